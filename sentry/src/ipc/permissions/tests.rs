use super::*;
use crate::cred::{Credentials, KernelGid, KernelUid};
use crate::ipc::with_caller;

fn permissions(mode: u32) -> Permissions {
    let creator = Credentials::test_user(10, 20);
    let mut permissions = with_caller(&creator, |caller| Permissions::new(1, mode, 0, caller));
    permissions
        .change(PermissionChange { uid: Some(KernelUid(11)), gid: Some(KernelGid(21)), mode })
        .unwrap();
    permissions
}

fn may(mode: u32, access: IpcAccess, credentials: &Credentials) -> bool {
    with_caller(credentials, |caller| permissions(mode).check(access, caller).is_ok())
}

#[test]
fn the_first_class_that_fits_decides() {
    let user = Credentials::test_user;
    for (mode, access, credentials, is_allowed) in [
        (0o600, IpcAccess::READ | IpcAccess::WRITE, user(10, 1), true),
        (0o600, IpcAccess::READ | IpcAccess::WRITE, user(11, 1), true),
        (0o066, IpcAccess::READ, user(10, 20), false),
        (0o040, IpcAccess::READ, user(1, 20), true),
        (0o040, IpcAccess::READ, user(1, 21), true),
        (0o404, IpcAccess::READ, user(1, 21), false),
        (0o004, IpcAccess::READ, user(1, 1), true),
        (0o004, IpcAccess::WRITE, user(1, 1), false),
        (0o000, IpcAccess::WRITE, Credentials::test_root(), true),
    ] {
        assert_eq!(may(mode, access, &credentials), is_allowed, "{mode:o} {access:?} {credentials:?}");
    }
}

#[test]
fn only_owner_creator_and_administrator_control_an_object() {
    for (credentials, is_allowed) in [
        (Credentials::test_user(10, 1), true),
        (Credentials::test_user(11, 1), true),
        (Credentials::test_user(12, 21), false),
        (Credentials::test_root(), true),
    ] {
        let is_owner = with_caller(&credentials, |caller| permissions(0o777).check_owner(caller).is_ok());
        assert_eq!(is_owner, is_allowed, "{credentials:?}");
    }
}
