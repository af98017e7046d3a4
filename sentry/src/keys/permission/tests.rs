use super::*;
use crate::cred::{KernelGid, KernelUid};

#[test]
fn identity_gives_one_set_and_possession_adds_its_own() {
    let permissions = Permissions::from_bits_retain(0x0102_0408);
    let owner = Owner { uid: KernelUid(1), gid: Some(KernelGid(2)) };
    let cases = [
        (Credentials::test_user(1, 2), false, Need::READ),
        (Credentials::test_user(1, 2), true, Need::READ | Need::VIEW),
        (Credentials::test_user(3, 2), false, Need::WRITE),
        (Credentials::test_user(3, 4), false, Need::SEARCH),
        (Credentials::test_user(3, 4), true, Need::SEARCH | Need::VIEW),
    ];
    for (credentials, is_possessed, expected) in cases {
        assert_eq!(permissions.granted(owner, &credentials, is_possessed), expected);
    }
}

#[test]
fn a_group_without_rights_falls_through_to_others() {
    let permissions = Permissions::from_bits_retain(0x01);
    let owner = Owner { uid: KernelUid(1), gid: Some(KernelGid(2)) };
    assert_eq!(permissions.granted(owner, &Credentials::test_user(3, 2), false), Need::VIEW);
}
