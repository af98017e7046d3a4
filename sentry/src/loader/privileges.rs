//! What execve(2) does to credentials (`man 2 execve`; `man 7 capabilities`, "Transformation of capabilities during
//! execve()").

use crate::cred::{Capabilities, Credentials, SecureBits};
use crate::fs::{Metadata, MountFlags, Path};

/// Set-user-ID and set-group-ID bits of a mode.
const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const GROUP_EXECUTE: u32 = 0o010;

/// The user and group that a file's mode gives to who executes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetIds {
    /// Of a set-user-ID file: its owner.
    pub uid: Option<u32>,
    /// Of a set-group-ID file: its group.
    pub gid: Option<u32>,
}

impl SetIds {
    /// Those of the file at `path`, as far as its mount and `credentials` honour them: the owner and the group need
    /// numbers in the user namespace, which lies in the one that the file system was mounted in.
    pub(super) fn of_file(path: &Path, metadata: &Metadata, credentials: &Credentials) -> Self {
        let namespace = &credentials.user_namespace;
        let is_honoured = !path.mount.flags().contains(MountFlags::NO_SUID)
            && !credentials.no_new_privs
            && namespace.with_ancestors().any(|namespace| *namespace == **path.mount.instance().owner())
            && namespace.maps_uid(metadata.uid)
            && namespace.maps_gid(metadata.gid);
        let is_set_gid = metadata.mode & (SET_GID | GROUP_EXECUTE) == SET_GID | GROUP_EXECUTE;
        Self {
            uid: (is_honoured && metadata.mode & SET_UID != 0).then_some(metadata.uid),
            gid: (is_honoured && is_set_gid).then_some(metadata.gid),
        }
    }
}

/// The credentials after execve(2), and whether the program is to distrust its environment (AT_SECURE). Unless they
/// may gain, they get no capability that `old` does not have.
pub fn credentials_after_exec(old: &Credentials, ids: SetIds, may_gain: bool) -> (Credentials, bool) {
    let mut new = old.clone();
    new.effective_uid = ids.uid.unwrap_or(old.effective_uid);
    new.effective_gid = ids.gid.unwrap_or(old.effective_gid);
    let root = old.user_namespace.root_uid().filter(|_| !old.securebits.contains(SecureBits::NO_ROOT));
    let is_effective_root = root == Some(new.effective_uid);
    let is_real_root = root == Some(new.real_uid);
    let is_root = is_effective_root || is_real_root;
    new.permitted = if is_root { old.inheritable | old.bounding } else { Capabilities::empty() };
    let has_changed = new.effective_uid != old.effective_uid || !old.is_in_group(new.effective_gid);
    if !may_gain || old.no_new_privs {
        if has_changed && (old.no_new_privs || !old.has_in_own(Capabilities::SETUID)) {
            (new.effective_uid, new.effective_gid) = (new.real_uid, new.real_gid);
        }
        new.permitted &= old.permitted;
    }
    if has_changed {
        new.ambient = Capabilities::empty();
    }
    new.permitted |= new.ambient;
    new.effective = if is_effective_root { new.permitted } else { new.ambient };
    (new.saved_uid, new.fs_uid) = (new.effective_uid, new.effective_uid);
    (new.saved_gid, new.fs_gid) = (new.effective_gid, new.effective_gid);
    new.securebits.remove(SecureBits::KEEP_CAPS);
    let is_secure = has_changed
        || new.effective_uid != new.real_uid
        || new.effective_gid != new.real_gid
        || !is_real_root && (is_effective_root || !new.ambient.contains(new.permitted));
    (new, is_secure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::IdKind;

    const ROOT: SetIds = SetIds { uid: Some(0), gid: None };
    const NONE: SetIds = SetIds { uid: None, gid: None };

    #[test]
    fn a_set_user_id_root_program_has_all_capabilities() {
        let user = Credentials::of_user(1000, 1000);
        let (new, is_secure) = credentials_after_exec(&user, ROOT, true);
        assert_eq!((new.real_uid, new.effective_uid, new.saved_uid), (1000, 0, 0));
        assert!(new.has(Capabilities::ALL) && is_secure);
    }

    #[test]
    fn a_traced_program_of_a_user_gains_nothing() {
        let user = Credentials::of_user(1000, 1000);
        let (new, _) = credentials_after_exec(&user, ROOT, false);
        assert_eq!((new.effective_uid, new.saved_uid, new.permitted), (1000, 1000, Capabilities::empty()));
    }

    #[test]
    fn a_user_s_program_has_only_ambient_capabilities() {
        let mut user = Credentials::of_user(1000, 1000);
        user.permitted = Capabilities::ALL;
        user.effective = Capabilities::ALL;
        user.ambient = Capabilities::NET_RAW;
        let (new, is_secure) = credentials_after_exec(&user, NONE, true);
        assert_eq!((new.effective, new.permitted, is_secure), (user.ambient, user.ambient, false));
        let of_group = SetIds { gid: Some(5), ..NONE };
        assert!(credentials_after_exec(&user, of_group, true).0.effective.is_empty());
    }

    #[test]
    fn root_regains_its_capabilities_unless_there_are_no_new_privileges() {
        let mut root = Credentials::root();
        root.permitted = Capabilities::KILL;
        root.effective = Capabilities::empty();
        let (new, is_secure) = credentials_after_exec(&root, ROOT, true);
        assert_eq!((new.effective, is_secure), (Capabilities::ALL, false));
        root.no_new_privs = true;
        assert_eq!(credentials_after_exec(&root, NONE, true).0.effective, Capabilities::KILL);
    }

    #[test]
    fn the_root_of_a_user_namespace_keeps_capabilities_once_it_is_mapped() {
        let inside = Credentials::of_user(1000, 1000).in_new_namespace().unwrap();
        assert!(credentials_after_exec(&inside, NONE, true).0.permitted.is_empty());
        inside.user_namespace.write_map(IdKind::User, b"0 1000 1", &inside).unwrap();
        let (new, is_secure) = credentials_after_exec(&inside, NONE, true);
        assert_eq!((new.effective, is_secure), (Capabilities::ALL, false));
    }
}
