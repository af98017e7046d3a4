//! What execve(2) does to credentials (`man 2 execve`; `man 7 capabilities`, "Transformation of capabilities during
//! execve()").

use crate::Errno;
use crate::cred::{Capabilities, Credentials, KernelGid, KernelUid, SecureBits};
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
    uid: Option<KernelUid>,
    /// Of a set-group-ID file: its group.
    gid: Option<KernelGid>,
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
        let is_honoured = !path.mount.flags().contains(MountFlags::NOSUID)
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
        && !old.securebits.contains(SecureBits::NOROOT);
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
mod tests;
