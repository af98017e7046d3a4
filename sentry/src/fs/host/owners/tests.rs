use super::*;
use crate::cred::{KernelGid, KernelUid};

#[test]
fn who_is_known_is_told_by_the_host_s_number_and_others_are_root() {
    let mapped = HostOwners::Mapped { inside: (1, 1), own: (1000, 100) };
    for (told, is) in [((1, 1), (1000, 100)), ((1, 65534), (1000, 0)), ((65534, 1), (0, 100))] {
        assert_eq!(mapped.of_file(told), (KernelUid(is.0), KernelGid(is.1)));
        assert_eq!(HostOwners::Told.of_file(told), (KernelUid(told.0), KernelGid(told.1)));
    }
}
