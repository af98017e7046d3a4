use super::*;
use crate::cred::{KernelGid, KernelUid};

fn ids((uid, gid): (u32, u32)) -> (KernelUid, KernelGid) {
    (KernelUid(uid), KernelGid(gid))
}

#[test]
fn two_change_places_and_the_others_stay() {
    let map = OwnerMap { told: HostOwners::Told, user: (1000, 0), group: (100, 0) };
    assert_eq!(
        [(1000, 100), (0, 0), (5, 6)].map(|told| map.inside(told)),
        [(0, 0), (1000, 100), (5, 6)].map(ids)
    );
    assert_eq!([0, 1000, 5].map(|user| map.user_to_tell(KernelUid(user))), [1000, 0, 5]);
    assert_eq!(OwnerMap::new(HostOwners::Told).inside((7, 8)), ids((7, 8)));
}

#[test]
fn in_a_user_namespace_the_caller_has_another_number() {
    let told = HostOwners::Mapped { inside: (1, 1), own: (1000, 100) };
    let map = OwnerMap::new(told).with_caller_as((0, 0));
    assert_eq!(map.inside((1, 1)), ids((0, 0)));
    assert_eq!((map.user_to_tell(KernelUid::ROOT), map.group_to_tell(KernelGid::ROOT)), (1, 1));
    assert_eq!(OwnerMap::new(told).inside((1, 1)), ids((1000, 100)));
}
