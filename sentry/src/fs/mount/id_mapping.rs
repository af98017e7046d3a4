//! ID-mapped mounts: whose files are, as a mount shows it (`man 2 mount_setattr`, "ID-mapped mounts").
//!
//! A file system keeps owners by the numbers that the user namespace has which it was mounted in. An ID-mapped mount takes these
//! for numbers of another namespace: what that maps 0 to is the owner of root's files. All that asks through a mount whose a file
//! is goes by [`Path::metadata`](crate::fs::Path::metadata), and all that says whose one shall be by [`Mount::kept_owner`].

use std::sync::Arc;

use super::Mount;
use crate::Errno;
use crate::cred::{Capabilities, Credentials, KernelGid, KernelUid, UserNamespace};
use crate::fs::file_system_type::{FileSystemType, TypeFlags};
use crate::fs::metadata::Metadata;

/// That mounts are to show owners as a user namespace numbers them.
#[derive(Clone, Debug)]
pub struct IdMapping {
    namespace: Arc<UserNamespace>,
    credentials: Arc<Credentials>,
}

impl IdMapping {
    /// By `namespace`, as `credentials` ask for it.
    ///
    /// # Errors
    /// EPERM: it is the initial one, or not theirs. EINVAL: it does not number anybody yet.
    pub fn new(namespace: Arc<UserNamespace>, credentials: Arc<Credentials>) -> Result<Self, Errno> {
        if namespace.level() == 0 || !credentials.has_in(&namespace, Capabilities::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        if !namespace.is_mapped() {
            return Err(Errno::EINVAL);
        }
        Ok(Self { namespace, credentials })
    }

    /// Fails for a mount that cannot be had so.
    ///
    /// # Errors
    /// EINVAL: the file system does not know such mounts, it numbers owners so itself, or others may have seen the mount already.
    /// EPERM: the mount is such a one already, or the file system is not theirs.
    pub(super) fn check(&self, mount: &Mount) -> Result<(), Errno> {
        let owner = mount.instance.owner().ok_or(Errno::EINVAL)?;
        if **owner == *self.namespace {
            return Err(Errno::EINVAL);
        }
        if mount.is_id_mapped() {
            return Err(Errno::EPERM);
        }
        let kind = FileSystemType::find(mount.file_system().type_name());
        if !kind.is_ok_and(|kind| kind.flags.contains(TypeFlags::ALLOW_IDMAP)) {
            return Err(Errno::EINVAL);
        }
        if !self.credentials.has_in(owner, Capabilities::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        if mount.is_detached() { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Has the mount, which nobody writes through, be so for good.
    pub(super) fn apply(&self, mount: &Mount) {
        mount.id_mapping.get_or_init(|| self.namespace.clone());
    }
}

impl Mount {
    /// Whether it shows other owners than its file system keeps.
    pub fn is_id_mapped(&self) -> bool {
        self.id_mapping.get().is_some()
    }

    /// The owner that it shows where the file system keeps `uid`.
    pub fn shown_uid(&self, uid: KernelUid) -> KernelUid {
        let Some((owner, shown)) = self.numberings() else { return uid };
        let own = owner.maps_uid(uid).then(|| owner.from_kernel_uid(uid));
        own.and_then(|own| shown.to_kernel_uid(own)).unwrap_or(KernelUid::INVALID)
    }

    /// The group that it shows where the file system keeps `gid`.
    pub fn shown_gid(&self, gid: KernelGid) -> KernelGid {
        let Some((owner, shown)) = self.numberings() else { return gid };
        let own = owner.maps_gid(gid).then(|| owner.from_kernel_gid(gid));
        own.and_then(|own| shown.to_kernel_gid(own)).unwrap_or(KernelGid::INVALID)
    }

    /// What it shows of an inode of which the file system tells `metadata`.
    pub fn shown(&self, metadata: Metadata) -> Metadata {
        Metadata { uid: self.shown_uid(metadata.uid), gid: self.shown_gid(metadata.gid), ..metadata }
    }

    /// What the file system keeps for the owner `uid`.
    ///
    /// # Errors
    /// EOVERFLOW: it cannot keep that.
    pub fn kept_uid(&self, uid: KernelUid) -> Result<KernelUid, Errno> {
        let kept = match self.numberings() {
            Some((owner, shown)) if shown.maps_uid(uid) => owner.to_kernel_uid(shown.from_kernel_uid(uid)),
            Some(_) => None,
            None => Some(uid),
        };
        kept.filter(|uid| self.instance.owner().is_none_or(|owner| owner.maps_uid(*uid)))
            .ok_or(Errno::EOVERFLOW)
    }

    /// What the file system keeps for the group `gid`.
    ///
    /// # Errors
    /// EOVERFLOW: it cannot keep that.
    pub fn kept_gid(&self, gid: KernelGid) -> Result<KernelGid, Errno> {
        let kept = match self.numberings() {
            Some((owner, shown)) if shown.maps_gid(gid) => owner.to_kernel_gid(shown.from_kernel_gid(gid)),
            Some(_) => None,
            None => Some(gid),
        };
        kept.filter(|gid| self.instance.owner().is_none_or(|owner| owner.maps_gid(*gid)))
            .ok_or(Errno::EOVERFLOW)
    }

    /// What the file system keeps of a file of these.
    ///
    /// # Errors
    /// EOVERFLOW: it cannot keep that.
    pub fn kept_owner(&self, (uid, gid): (KernelUid, KernelGid)) -> Result<(KernelUid, KernelGid), Errno> {
        Ok((self.kept_uid(uid)?, self.kept_gid(gid)?))
    }

    /// The namespaces whose numbers the file system keeps, and by which the mount takes these; `None` if it shows what is kept.
    fn numberings(&self) -> Option<(&UserNamespace, &UserNamespace)> {
        let shown = self.id_mapping.get()?;
        Some((self.instance.owner()?, shown))
    }
}
