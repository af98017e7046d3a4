use super::*;
use crate::cred::UserNamespace;
use crate::fs::DeviceNumber;

fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

fn acl(entries: &[(u16, u16, u32)]) -> Acl {
    Acl::from_kept(&list(entries)).unwrap().unwrap()
}

const FULL: &[(u16, u16, u32)] =
    &[(1, 7, NO_ID), (2, 6, 10), (4, 5, NO_ID), (8, 2, 20), (0x10, 6, NO_ID), (0x20, 1, NO_ID)];

#[test]
fn what_is_decoded_is_encoded_again() {
    assert_eq!(acl(FULL).to_kept(), list(FULL));
    assert_eq!(Acl::from_kept(&[]), Ok(None));
    assert_eq!(Acl::from_kept(&[2, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(Acl::from_kept(&[1, 0, 0, 0]), Err(Errno::EOPNOTSUPP));
    assert_eq!(Acl::from_kept(&list(&[(3, 0, 0)])), Err(Errno::EINVAL));
}

#[test]
fn only_whole_lists_in_order_pass() {
    let namespace = UserNamespace::initial();
    assert_eq!(acl(FULL).check(&namespace), Ok(()));
    assert_eq!(acl(&[(1, 7, 0), (4, 7, 0), (0x20, 7, 0)]).check(&namespace), Ok(()));
    for wrong in [
        &[(1, 7, 0), (4, 7, 0)][..],
        &[(4, 7, 0), (1, 7, 0), (0x20, 7, 0)],
        &[(1, 7, 0), (2, 7, 1), (4, 7, 0), (0x20, 7, 0)],
        &[(1, 8, 0), (4, 7, 0), (0x20, 7, 0)],
        &[(1, 7, 0), (1, 7, 0), (4, 7, 0), (0x20, 7, 0)],
    ] {
        assert_eq!(acl(wrong).check(&namespace), Err(Errno::EINVAL), "{wrong:?}");
    }
}

#[test]
fn the_mask_limits_all_but_owner_and_others() {
    let mut metadata = Metadata::new(FileKind::Regular, 0o761, DeviceNumber::default(), 1);
    (metadata.uid, metadata.gid) = (KernelUid(1), KernelGid(2));
    let list = acl(FULL);
    let may = |user, group, access| list.permits(&metadata, access, &Credentials::test_user(user, group));
    assert!(may(1, 9, Access::all()));
    assert!(may(10, 9, Access::READ | Access::WRITE) && !may(10, 9, Access::EXECUTE));
    assert!(may(3, 2, Access::READ) && !may(3, 2, Access::EXECUTE));
    assert!(may(3, 20, Access::WRITE) && !may(3, 20, Access::EXECUTE));
    assert!(may(3, 9, Access::EXECUTE) && !may(3, 9, Access::READ));
    assert_eq!(list.mode(), 0o761);
}

#[test]
fn modes_change_the_entries_that_they_show() {
    let changed = acl(FULL).with_mode(0o640);
    assert_eq!(changed.mode(), 0o640);
    assert_eq!(changed.limited_to(0o4444).mode(), 0o440);
    assert!(!changed.is_like_mode());
    let small = acl(&[(1, 7, 0), (4, 7, 0), (0x20, 7, 0)]);
    assert!(small.is_like_mode());
    assert_eq!(small.with_mode(0o750).mode(), 0o750);
}
