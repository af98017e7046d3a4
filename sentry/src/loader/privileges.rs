//! What execve(2) does to credentials (`man 2 execve`; `man 7 capabilities`, "Transformation of capabilities during
//! execve()").

use crate::Errno;
use crate::cred::{Capabilities, Credentials, SecureBits};
use crate::fs::file_capabilities::FileCapabilities;
use crate::fs::{Metadata, MountFlags, Path};

/// Set-user-ID and set-group-ID bits of a mode.
const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const GROUP_EXECUTE: u32 = 0o010;

/// What a file gives to who executes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileGrants {
    /// Of a set-user-ID file: its owner.
    uid: Option<u32>,
    /// Of a set-group-ID file: its group.
    gid: Option<u32>,
    capabilities: Option<FileCapabilities>,
}

impl FileGrants {
    /// Those of the file at `path`, as far as its mount and `credentials` honour them: the owner and the group need
    /// numbers in the user namespace, which lies in the one that the file system was mounted in.
    ///
    /// # Errors
    /// EPERM: the file's capabilities are to be effective, but not all of them can be had. EINVAL: they make no sense.
    pub(super) fn of_file(
        path: &Path,
        metadata: &Metadata,
        credentials: &Credentials,
    ) -> Result<Self, Errno> {
        let namespace = &credentials.user_namespace;
        let is_honoured = !path.mount.flags().contains(MountFlags::NO_SUID)
            && path.mount.instance().owner().is_none_or(|owner| namespace.is_within(owner));
        if !is_honoured {
            return Ok(Self::default());
        }
        let capabilities = FileCapabilities::of_file(path, credentials)?;
        if let Some(file) = capabilities
            && file.is_effective
            && !capabilities_from_file(credentials, file).contains(file.permitted)
        {
            return Err(Errno::EPERM);
        }
        let is_mapped = namespace.maps_uid(metadata.uid) && namespace.maps_gid(metadata.gid);
        let gives_ids = is_mapped && !credentials.no_new_privs;
        let is_set_gid = metadata.mode & (SET_GID | GROUP_EXECUTE) == SET_GID | GROUP_EXECUTE;
        Ok(Self {
            uid: (gives_ids && metadata.mode & SET_UID != 0).then_some(metadata.uid),
            gid: (gives_ids && is_set_gid).then_some(metadata.gid),
            capabilities,
        })
    }
}

/// What who executes a file gets of its capabilities.
fn capabilities_from_file(old: &Credentials, file: FileCapabilities) -> Capabilities {
    old.bounding & file.permitted | old.inheritable & file.inheritable
}

/// The credentials after execve(2), and whether the program is to distrust its environment (AT_SECURE). Unless they
/// may gain, they get no capability that `old` does not have.
pub(crate) fn credentials_after_exec(
    old: &Credentials,
    grants: FileGrants,
    may_gain: bool,
) -> (Credentials, bool) {
    let mut new = old.clone();
    new.effective_uid = grants.uid.unwrap_or(old.effective_uid);
    new.effective_gid = grants.gid.unwrap_or(old.effective_gid);
    let root = old.user_namespace.root_uid();
    let is_effective_root = root == Some(new.effective_uid);
    let is_real_root = root == Some(new.real_uid);
    // A set-user-ID root program with capabilities of its own gives a user no others.
    let counts_root = (is_real_root || is_effective_root && grants.capabilities.is_none())
        && !old.securebits.contains(SecureBits::NO_ROOT);
    new.permitted = match grants.capabilities {
        _ if counts_root => old.inheritable | old.bounding,
        Some(file) => capabilities_from_file(old, file),
        None => Capabilities::empty(),
    };
    let is_effective =
        counts_root && is_effective_root || grants.capabilities.is_some_and(|file| file.is_effective);
    let has_changed = new.effective_uid != old.effective_uid || !old.is_in_group(new.effective_gid);
    if !may_gain || old.no_new_privs {
        if has_changed && (old.no_new_privs || !old.has_in_own(Capabilities::SETUID)) {
            (new.effective_uid, new.effective_gid) = (new.real_uid, new.real_gid);
        }
        new.permitted &= old.permitted;
    }
    if has_changed || grants.capabilities.is_some() {
        new.ambient = Capabilities::empty();
    }
    new.permitted |= new.ambient;
    new.effective = if is_effective { new.permitted } else { new.ambient };
    (new.saved_uid, new.fs_uid) = (new.effective_uid, new.effective_uid);
    (new.saved_gid, new.fs_gid) = (new.effective_gid, new.effective_gid);
    new.securebits.remove(SecureBits::KEEP_CAPS);
    let is_secure = has_changed
        || new.effective_uid != new.real_uid
        || new.effective_gid != new.real_gid
        || !is_real_root && (is_effective || !new.ambient.contains(new.permitted));
    (new, is_secure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cred::IdKind;

    const ROOT: FileGrants = FileGrants { uid: Some(0), gid: None, capabilities: None };
    const NONE: FileGrants = FileGrants { uid: None, gid: None, capabilities: None };

    #[test]
    fn a_set_user_id_root_program_has_all_capabilities() {
        let user = Credentials::test_user(1000, 1000);
        let (new, is_secure) = credentials_after_exec(&user, ROOT, true);
        assert_eq!((new.real_uid, new.effective_uid, new.saved_uid), (1000, 0, 0));
        assert!(new.has(Capabilities::ALL) && is_secure);
    }

    #[test]
    fn a_traced_program_of_a_user_gains_nothing() {
        let user = Credentials::test_user(1000, 1000);
        let (new, _) = credentials_after_exec(&user, ROOT, false);
        assert_eq!((new.effective_uid, new.saved_uid, new.permitted), (1000, 1000, Capabilities::empty()));
    }

    #[test]
    fn a_user_s_program_has_only_ambient_capabilities() {
        let mut user = Credentials::test_user(1000, 1000);
        user.permitted = Capabilities::ALL;
        user.effective = Capabilities::ALL;
        user.ambient = Capabilities::NET_RAW;
        let (new, is_secure) = credentials_after_exec(&user, NONE, true);
        assert_eq!((new.effective, new.permitted, is_secure), (user.ambient, user.ambient, false));
        let of_group = FileGrants { gid: Some(5), ..NONE };
        assert!(credentials_after_exec(&user, of_group, true).0.effective.is_empty());
    }

    fn with_capabilities(
        permitted: Capabilities,
        inheritable: Capabilities,
        is_effective: bool,
    ) -> FileGrants {
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
        let file =
            FileGrants { uid: Some(0), ..with_capabilities(Capabilities::KILL, Capabilities::empty(), true) };
        let (new, is_secure) = credentials_after_exec(&user, file, true);
        assert_eq!((new.effective_uid, new.effective, is_secure), (0, Capabilities::KILL, true));
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
}
