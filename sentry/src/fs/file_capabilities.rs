//! Capabilities that a file gives to who executes it: the extended attribute `security.capability` (`man 7 capabilities`,
//! "File capabilities").
//!
//! Of its versions, 2 belongs to the root of the namespace that the file system was mounted in, and 3 to a root user that
//! it names: it counts in the user namespace whose root that is, and in those within. What programs write and read is
//! translated, so that a namespace's root sees its own as version 2 ("Namespaced file capabilities").

use linux_raw_sys::general as uapi;

use super::inode::Inode;
use super::metadata::{AttributeChanges, FileKind, Metadata};
use super::path::Path;
use crate::Errno;
use crate::cred::{Capabilities, Credentials, KernelUid, Uid, UserNamespace};

/// The attribute's name.
pub(crate) const NAME: &[u8] = b"security.capability";

const HEADER_WORDS: usize = 1;
const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const GROUP_EXECUTE: u32 = 0o010;

/// What the attribute says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileCapabilities {
    /// Given, as far as the bounding set allows.
    pub(crate) permitted: Capabilities,
    /// Given to who has them inheritable.
    pub(crate) inheritable: Capabilities,
    /// Whether the permitted ones become effective.
    pub(crate) is_effective: bool,
    /// Whose they are, as the file system numbers users.
    root: u32,
    version: u32,
    has_unknown_flags: bool,
}

impl FileCapabilities {
    /// The initial namespace's.
    #[cfg(test)]
    pub(crate) fn new(permitted: Capabilities, inheritable: Capabilities, is_effective: bool) -> Self {
        Self {
            permitted,
            inheritable,
            is_effective,
            root: 0,
            version: uapi::VFS_CAP_REVISION_2,
            has_unknown_flags: false,
        }
    }

    /// Decodes the attribute, of any version.
    ///
    /// # Errors
    /// EINVAL.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Errno> {
        let (words, rest) = bytes.as_chunks::<4>();
        let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let version = words.first().ok_or(Errno::EINVAL)? & uapi::VFS_CAP_REVISION_MASK;
        let (len_words, root) = match version {
            uapi::VFS_CAP_REVISION_1 => (HEADER_WORDS + 2, 0),
            uapi::VFS_CAP_REVISION_2 => (HEADER_WORDS + 4, 0),
            uapi::VFS_CAP_REVISION_3 => (HEADER_WORDS + 5, words.last().copied().unwrap_or(0)),
            _ => return Err(Errno::EINVAL),
        };
        if words.len() != len_words || !rest.is_empty() {
            return Err(Errno::EINVAL);
        }
        let word = |index: usize| words.get(index).copied().unwrap_or(0);
        let has_high = version != uapi::VFS_CAP_REVISION_1;
        let set = |low: usize| {
            let high = if has_high { word(low + 2) } else { 0 };
            Capabilities::from_bits_truncate(u64::from(word(low)) | u64::from(high) << 32)
        };
        Ok(Self {
            permitted: set(HEADER_WORDS),
            inheritable: set(HEADER_WORDS + 1),
            is_effective: word(0) & uapi::VFS_CAP_FLAGS_EFFECTIVE != 0,
            root,
            version,
            has_unknown_flags: word(0) & !(uapi::VFS_CAP_REVISION_MASK | uapi::VFS_CAP_FLAGS_EFFECTIVE) != 0,
        })
    }

    /// Those of the file at `path` that count for `credentials`, if it has any.
    ///
    /// # Errors
    /// EINVAL: the attribute makes no sense.
    pub(crate) fn of_file(path: &Path, credentials: &Credentials) -> Result<Option<Self>, Errno> {
        let Ok(bytes) = path.inode().get_xattr(NAME) else { return Ok(None) };
        let found = Self::parse(&bytes)?;
        let root = owner_of(path)?.to_kernel_uid(Uid(found.root)).map(|root| path.mount.shown_uid(root));
        Ok(Some(found).filter(|_| root.is_some_and(|root| is_root_around(root, &credentials.user_namespace))))
    }
}

/// The user namespace that the file system at `path` was mounted in, which numbers its users.
///
/// # Errors
/// EOPNOTSUPP: the file has no name in any.
fn owner_of(path: &Path) -> Result<&UserNamespace, Errno> {
    path.mount.instance().owner().map(|owner| &**owner).ok_or(Errno::EOPNOTSUPP)
}

/// Whether the user whom the kernel numbers `uid` is the root of `namespace` or of one around it.
fn is_root_around(uid: KernelUid, namespace: &UserNamespace) -> bool {
    namespace.with_ancestors().any(|namespace| namespace.root_uid() == Some(uid))
}

/// Whether `credentials` may give the file of `metadata` capabilities, or take them.
///
/// # Errors
/// EPERM: without CAP_SETFCAP towards the file.
pub(super) fn check_may_set(metadata: &Metadata, credentials: &Credentials) -> Result<(), Errno> {
    match credentials.has_over(metadata.uid, metadata.gid, Capabilities::SETFCAP) {
        true => Ok(()),
        false => Err(Errno::EPERM),
    }
}

/// What is kept of the attribute's `value` that `credentials` write to the file at `path`.
///
/// # Errors
/// EINVAL: neither version 2 nor 3, or for a user whom the file system does not number. EPERM: as [`check_may_set`].
pub(super) fn to_kept(
    path: &Path,
    value: &[u8],
    metadata: &Metadata,
    credentials: &Credentials,
) -> Result<Vec<u8>, Errno> {
    let written = FileCapabilities::parse(value)?;
    if written.version == uapi::VFS_CAP_REVISION_1 || written.has_unknown_flags {
        return Err(Errno::EINVAL);
    }
    check_may_set(metadata, credentials)?;
    let owner = owner_of(path)?;
    if written.version == uapi::VFS_CAP_REVISION_2 && credentials.has_in(owner, Capabilities::SETFCAP) {
        return Ok(value.to_vec());
    }
    let root = credentials.user_namespace.to_kernel_uid(Uid(written.root)).ok_or(Errno::EINVAL)?;
    let root = path.mount.kept_uid(root).map_err(|_| Errno::EINVAL)?;
    let root = owner.from_kernel_uid(root);
    Ok(with_version(value, uapi::VFS_CAP_REVISION_3, Some(root.0)))
}

/// What `credentials` read of the attribute's kept `value`.
///
/// # Errors
/// EINVAL: a value of another version. EOVERFLOW: it belongs to a user who is root nowhere around the reader.
pub(super) fn to_shown(path: &Path, value: &[u8], credentials: &Credentials) -> Result<Vec<u8>, Errno> {
    let kept = FileCapabilities::parse(value)?;
    if kept.version == uapi::VFS_CAP_REVISION_1 || kept.has_unknown_flags {
        return Err(Errno::EINVAL);
    }
    let reader = &credentials.user_namespace;
    let root = owner_of(path)?.to_kernel_uid(Uid(kept.root)).ok_or(Errno::EOVERFLOW)?;
    let root = path.mount.shown_uid(root);
    match reader.from_kernel_uid(root) {
        shown if reader.maps_uid(root) && shown != Uid::ROOT => {
            Ok(with_version(value, uapi::VFS_CAP_REVISION_3, Some(shown.0)))
        }
        _ if is_root_around(root, reader) => Ok(with_version(value, uapi::VFS_CAP_REVISION_2, None)),
        _ => Err(Errno::EOVERFLOW),
    }
}

/// The attribute `value` of version 2 or 3 in another version.
fn with_version(value: &[u8], version: u32, root: Option<u32>) -> Vec<u8> {
    let (words, _) = value.as_chunks::<4>();
    let header = words.first().map_or(0, |word| u32::from_le_bytes(*word));
    let header = version | header & uapi::VFS_CAP_FLAGS_EFFECTIVE;
    let sets = words.iter().skip(HEADER_WORDS).take(4).map(|word| u32::from_le_bytes(*word));
    std::iter::once(header).chain(sets).chain(root).flat_map(u32::to_le_bytes).collect()
}

/// What a change of a file's contents by `credentials` takes from it: its capabilities, and the set-ID bits unless they
/// have CAP_FSETID (`man 7 inode`, "The file type and mode").
///
/// # Errors
/// Those of the file system.
pub(crate) fn drop_with_contents(inode: &dyn Inode, credentials: &Credentials) -> Result<(), Errno> {
    let metadata = inode.metadata()?;
    if metadata.kind() != FileKind::Regular {
        return Ok(());
    }
    drop_capabilities(inode)?;
    let keeps_bits = credentials.has_over(metadata.uid, metadata.gid, Capabilities::FSETID);
    match without_set_id(&metadata, credentials).filter(|_| !keeps_bits) {
        None => Ok(()),
        permissions => inode.set_attributes(&AttributeChanges { permissions, ..AttributeChanges::default() }),
    }
}

/// Takes a file's capabilities, if it has any.
///
/// # Errors
/// Those of the file system.
pub(super) fn drop_capabilities(inode: &dyn Inode) -> Result<(), Errno> {
    match inode.get_xattr(NAME) {
        Ok(_) => inode.remove_xattr(NAME),
        Err(_) => Ok(()),
    }
}

/// The permissions of a file without its set-ID bits, if that changes anything. A set-group-ID bit that nobody executes with
/// is kept by those who could set it.
pub(super) fn without_set_id(metadata: &Metadata, credentials: &Credentials) -> Option<u32> {
    if metadata.kind() == FileKind::Directory {
        return None;
    }
    let mut permissions = metadata.permissions() & !SET_UID;
    let could_set = credentials.is_in_group(metadata.gid)
        || credentials.has_over(metadata.uid, metadata.gid, Capabilities::FSETID);
    if permissions & GROUP_EXECUTE != 0 || !could_set {
        permissions &= !SET_GID;
    }
    (permissions != metadata.permissions()).then_some(permissions)
}

#[cfg(test)]
mod tests;
