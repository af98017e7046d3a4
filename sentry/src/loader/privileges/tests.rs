use super::*;
use crate::cred::{IdKind, KernelGid, KernelUid};

const ROOT: FileGrants = FileGrants { uid: Some(KernelUid(0)), gid: None, capabilities: None };
const NONE: FileGrants = FileGrants { uid: None, gid: None, capabilities: None };

#[test]
fn a_set_user_id_root_program_has_all_capabilities() {
    let user = Credentials::test_user(1000, 1000);
    let (new, is_secure) = credentials_after_exec(&user, ROOT, true);
    assert_eq!(
        (new.real_uid, new.effective_uid, new.saved_uid),
        (KernelUid(1000), KernelUid::ROOT, KernelUid::ROOT)
    );
    assert!(new.has(Capabilities::ALL) && is_secure);
}

#[test]
fn a_traced_program_of_a_user_gains_nothing() {
    let user = Credentials::test_user(1000, 1000);
    let (new, _) = credentials_after_exec(&user, ROOT, false);
    assert_eq!(
        (new.effective_uid, new.saved_uid, new.permitted),
        (KernelUid(1000), KernelUid(1000), Capabilities::empty())
    );
}

#[test]
fn a_user_s_program_has_only_ambient_capabilities() {
    let mut user = Credentials::test_user(1000, 1000);
    user.permitted = Capabilities::ALL;
    user.effective = Capabilities::ALL;
    user.ambient = Capabilities::NET_RAW;
    let (new, is_secure) = credentials_after_exec(&user, NONE, true);
    assert_eq!((new.effective, new.permitted, is_secure), (user.ambient, user.ambient, false));
    let of_group = FileGrants { gid: Some(KernelGid(5)), ..NONE };
    assert!(credentials_after_exec(&user, of_group, true).0.effective.is_empty());
}

fn with_capabilities(permitted: Capabilities, inheritable: Capabilities, is_effective: bool) -> FileGrants {
    let file = FileCapabilities::new(permitted, inheritable, is_effective);
    FileGrants { capabilities: Some(file), ..NONE }
}

#[test]
fn a_file_gives_what_the_bounding_set_allows_and_what_is_inheritable() {
    let mut user = Credentials::test_user(1000, 1000);
    user.bounding.remove(Capabilities::KILL);
    user.inheritable = Capabilities::CHOWN | Capabilities::MKNOD;
    user.permitted = Capabilities::NET_RAW;
    user.ambient = Capabilities::NET_RAW;
    let file = with_capabilities(
        Capabilities::KILL | Capabilities::SYS_TIME,
        Capabilities::CHOWN | Capabilities::SETUID,
        false,
    );
    let (new, is_secure) = credentials_after_exec(&user, file, true);
    let gained = Capabilities::SYS_TIME | Capabilities::CHOWN;
    assert_eq!((new.permitted, new.effective, is_secure), (gained, Capabilities::empty(), true));
    assert_eq!(new.ambient, Capabilities::empty());
    let (new, _) = credentials_after_exec(&user, file, false);
    assert!(new.permitted.is_empty());
    let file = with_capabilities(Capabilities::SYS_TIME, Capabilities::empty(), true);
    assert_eq!(credentials_after_exec(&user, file, true).0.effective, Capabilities::SYS_TIME);
    // As Linux has it: to a program that was to have effective ones, the environment is not to be trusted.
    let none = with_capabilities(Capabilities::empty(), Capabilities::empty(), true);
    assert!(credentials_after_exec(&user, none, true).1);
}

#[test]
fn capabilities_of_a_set_user_id_root_file_replace_root_s() {
    let user = Credentials::test_user(1000, 1000);
    let file = FileGrants {
        uid: Some(KernelUid(0)),
        ..with_capabilities(Capabilities::KILL, Capabilities::empty(), true)
    };
    let (new, is_secure) = credentials_after_exec(&user, file, true);
    assert_eq!((new.effective_uid, new.effective, is_secure), (KernelUid::ROOT, Capabilities::KILL, true));
    let (new, _) = credentials_after_exec(&Credentials::test_root(), file, true);
    assert_eq!(new.effective, Capabilities::ALL);
}

#[test]
fn root_regains_its_capabilities_unless_there_are_no_new_privileges() {
    let mut root = Credentials::test_root();
    root.permitted = Capabilities::KILL;
    root.effective = Capabilities::empty();
    let (new, is_secure) = credentials_after_exec(&root, ROOT, true);
    assert_eq!((new.effective, is_secure), (Capabilities::ALL, false));
    root.no_new_privs = true;
    assert_eq!(credentials_after_exec(&root, NONE, true).0.effective, Capabilities::KILL);
}

#[test]
fn the_root_of_a_user_namespace_keeps_capabilities_once_it_is_mapped() {
    let inside = Credentials::test_user(1000, 1000).in_new_namespace().unwrap();
    assert!(credentials_after_exec(&inside, NONE, true).0.permitted.is_empty());
    inside.user_namespace.write_map(IdKind::User, b"0 1000 1", &inside).unwrap();
    let (new, is_secure) = credentials_after_exec(&inside, NONE, true);
    assert_eq!((new.effective, is_secure), (Capabilities::ALL, false));
}
