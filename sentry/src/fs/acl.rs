//! Access control lists (`man 5 acl`): who may do what with a file beside owner, group and others.
//!
//! A list has the form of the extended attributes that it is read and set by, `system.posix_acl_access` and
//! `system.posix_acl_default`. The group bits of the mode of a file with a list are the list's mask. New files inherit the
//! default list of their directory.

use crate::Errno;
use crate::cred::{Credentials, Gid, KernelGid, KernelUid, Uid, UserNamespace};
use crate::fs::metadata::{FileKind, Metadata};
use crate::fs::{Access, Inode, Mount};

/// Version of the format (`POSIX_ACL_XATTR_VERSION`).
const VERSION: u32 = 2;
const HEADER_LEN: usize = 4;
const ENTRY_LEN: usize = 8;
/// What an entry without an id has in its place (`ACL_UNDEFINED_ID`).
const NO_ID: u32 = u32::MAX;
const ACCESS_BITS: u32 = 0o777;

/// Which of a file's two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclKind {
    /// The one that is checked.
    Access,
    /// The one that a directory gives to what is made in it.
    Default,
}

impl AclKind {
    /// The list that the extended attribute `name` is.
    pub fn of_attribute(name: &[u8]) -> Option<Self> {
        [Self::Access, Self::Default].into_iter().find(|kind| kind.attribute() == name)
    }

    /// The name of the extended attribute.
    pub fn attribute(self) -> &'static [u8] {
        match self {
            Self::Access => b"system.posix_acl_access",
            Self::Default => b"system.posix_acl_default",
        }
    }
}

/// Whom an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Owner,
    User(KernelUid),
    OwningGroup,
    Group(KernelGid),
    Mask,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    /// As in a digit of a mode.
    permissions: u16,
}

impl Entry {
    fn allows(self, access: Access) -> bool {
        Access::from_bits_truncate(self.permissions.into()).contains(access)
    }
}

/// An access control list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl(Vec<Entry>);

impl Acl {
    /// Decodes the value of an extended attribute, with ids by the kernel's numbers. `None` if it has no entries.
    ///
    /// # Errors
    /// EINVAL, EOPNOTSUPP for another version.
    pub fn from_kept(value: &[u8]) -> Result<Option<Self>, Errno> {
        Self::decode(value, |uid| Some(KernelUid(uid)), |gid| Some(KernelGid(gid)))
    }

    /// As [`Acl::from_kept`], with ids as `namespace` numbers them.
    ///
    /// # Errors
    /// EINVAL, also for an id that the namespace does not have; EOPNOTSUPP for another version.
    pub fn from_shown(value: &[u8], namespace: &UserNamespace) -> Result<Option<Self>, Errno> {
        Self::decode(value, |uid| namespace.to_kernel_uid(Uid(uid)), |gid| namespace.to_kernel_gid(Gid(gid)))
    }

    /// Decodes the value of an extended attribute, whose ids the functions turn into the kernel's.
    ///
    /// # Errors
    /// EINVAL, EOPNOTSUPP for another version.
    pub fn decode(
        value: &[u8],
        uid: impl Fn(u32) -> Option<KernelUid>,
        gid: impl Fn(u32) -> Option<KernelGid>,
    ) -> Result<Option<Self>, Errno> {
        if value.is_empty() {
            return Ok(None);
        }
        let (version, rest) = value.split_first_chunk::<HEADER_LEN>().ok_or(Errno::EINVAL)?;
        if u32::from_le_bytes(*version) != VERSION {
            return Err(Errno::EOPNOTSUPP);
        }
        let (entries, rest) = rest.as_chunks::<ENTRY_LEN>();
        if !rest.is_empty() {
            return Err(Errno::EINVAL);
        }
        let decoded = entries.iter().map(|&[t0, t1, p0, p1, i0, i1, i2, i3]| {
            let id = u32::from_le_bytes([i0, i1, i2, i3]);
            let tag = match u16::from_le_bytes([t0, t1]) {
                0x01 => Tag::Owner,
                0x02 => Tag::User(uid(id).ok_or(Errno::EINVAL)?),
                0x04 => Tag::OwningGroup,
                0x08 => Tag::Group(gid(id).ok_or(Errno::EINVAL)?),
                0x10 => Tag::Mask,
                0x20 => Tag::Other,
                _ => return Err(Errno::EINVAL),
            };
            Ok(Entry { tag, permissions: u16::from_le_bytes([p0, p1]) })
        });
        let entries: Vec<Entry> = decoded.collect::<Result<_, Errno>>()?;
        Ok(if entries.is_empty() { None } else { Some(Self(entries)) })
    }

    /// The list with the users and groups that the functions yield instead.
    ///
    /// # Errors
    /// Those of the functions.
    pub fn with_ids(
        mut self,
        uid: impl Fn(KernelUid) -> Result<KernelUid, Errno>,
        gid: impl Fn(KernelGid) -> Result<KernelGid, Errno>,
    ) -> Result<Self, Errno> {
        for entry in &mut self.0 {
            match &mut entry.tag {
                Tag::User(user) => *user = uid(*user)?,
                Tag::Group(group) => *group = gid(*group)?,
                _ => {}
            }
        }
        Ok(self)
    }

    /// The list as `mount` shows it.
    pub(super) fn shown(self, mount: &Mount) -> Result<Self, Errno> {
        match mount.is_id_mapped() {
            true => self.with_ids(|uid| Ok(mount.shown_uid(uid)), |gid| Ok(mount.shown_gid(gid))),
            false => Ok(self),
        }
    }

    /// The value of the extended attribute, with ids by the kernel's numbers.
    pub fn to_kept(&self) -> Vec<u8> {
        self.encode(|KernelUid(uid)| uid, |KernelGid(gid)| gid)
    }

    /// The value of the extended attribute as `namespace` sees it; whom it does not number is nobody.
    pub fn to_shown(&self, namespace: &UserNamespace) -> Vec<u8> {
        let uid = |uid| if namespace.maps_uid(uid) { namespace.from_kernel_uid(uid).0 } else { NO_ID };
        let gid = |gid| if namespace.maps_gid(gid) { namespace.from_kernel_gid(gid).0 } else { NO_ID };
        self.encode(uid, gid)
    }

    /// The value of the extended attribute, with the ids that the functions yield.
    pub fn encode(&self, uid: impl Fn(KernelUid) -> u32, gid: impl Fn(KernelGid) -> u32) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            let (tag, id) = match entry.tag {
                Tag::Owner => (0x01_u16, NO_ID),
                Tag::User(user) => (0x02, uid(user)),
                Tag::OwningGroup => (0x04, NO_ID),
                Tag::Group(group) => (0x08, gid(group)),
                Tag::Mask => (0x10, NO_ID),
                Tag::Other => (0x20, NO_ID),
            };
            value.extend(tag.to_le_bytes());
            value.extend(entry.permissions.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    /// Fails unless the entries are those of a list, in the right order, with ids that `namespace` has.
    ///
    /// # Errors
    /// EINVAL.
    pub fn check(&self, namespace: &UserNamespace) -> Result<(), Errno> {
        let rank = |tag| match tag {
            Tag::Owner => 0,
            Tag::User(_) => 1,
            Tag::OwningGroup => 2,
            Tag::Group(_) => 3,
            Tag::Mask => 4,
            Tag::Other => 5,
        };
        let is_ordered = self.0.is_sorted_by(|one, next| {
            let (one, next) = (rank(one.tag), rank(next.tag));
            one < next || one == next && matches!(one, 1 | 3)
        });
        let has = |wanted| self.0.iter().any(|entry| rank(entry.tag) == wanted);
        let is_complete = has(0) && has(2) && has(5) && (has(4) || !has(1) && !has(3));
        let is_sound = self.0.iter().all(|entry| match entry.tag {
            _ if entry.permissions & !0o7 != 0 => false,
            Tag::User(uid) => namespace.maps_uid(uid),
            Tag::Group(gid) => namespace.maps_gid(gid),
            _ => true,
        });
        if is_ordered && is_complete && is_sound { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// The access bits of the mode of a file that has the list.
    pub fn mode(&self) -> u32 {
        let of = |wanted| {
            self.0.iter().find(|entry| entry.tag == wanted).map(|entry| u32::from(entry.permissions))
        };
        let group = of(Tag::Mask).or(of(Tag::OwningGroup));
        of(Tag::Owner).unwrap_or(0) << 6 | group.unwrap_or(0) << 3 | of(Tag::Other).unwrap_or(0)
    }

    /// Whether the mode says all that the list does.
    pub fn is_like_mode(&self) -> bool {
        self.0.iter().all(|entry| matches!(entry.tag, Tag::Owner | Tag::OwningGroup | Tag::Other))
    }

    /// The list after chmod(2) to `mode`.
    pub fn with_mode(&self, mode: u32) -> Self {
        self.changed(|digit, _| mode >> digit)
    }

    /// The list with no more than `mode` allows.
    fn limited_to(&self, mode: u32) -> Self {
        self.changed(|digit, old| old & mode >> digit)
    }

    /// Replaces the permissions of the entries that the mode shows, each a digit of it.
    fn changed(&self, permissions: impl Fn(u32, u32) -> u32) -> Self {
        let has_mask = self.0.iter().any(|entry| entry.tag == Tag::Mask);
        let change = |entry: &Entry| {
            let digit = match entry.tag {
                Tag::Owner => 6,
                Tag::Mask => 3,
                Tag::OwningGroup if !has_mask => 3,
                Tag::Other => 0,
                _ => return *entry,
            };
            let permissions = permissions(digit, entry.permissions.into()) & 0o7;
            Entry { permissions: permissions as u16, ..*entry }
        };
        Self(self.0.iter().map(change).collect())
    }

    /// Whether `access` is granted to `credentials`, of a file of `metadata`.
    pub(super) fn permits(&self, metadata: &Metadata, access: Access, credentials: &Credentials) -> bool {
        let masked = |entry: &Entry| {
            let mask = self.0.iter().find(|entry| entry.tag == Tag::Mask);
            entry.allows(access) && mask.is_none_or(|mask| mask.allows(access))
        };
        let mut is_in_group = false;
        for entry in &self.0 {
            match entry.tag {
                Tag::Owner if metadata.uid == credentials.fs_uid => return entry.allows(access),
                Tag::User(uid) if uid == credentials.fs_uid => return masked(entry),
                Tag::OwningGroup if credentials.is_in_group(metadata.gid) => is_in_group = true,
                Tag::Group(gid) if credentials.is_in_group(gid) => is_in_group = true,
                Tag::Other => return !is_in_group && entry.allows(access),
                _ => continue,
            }
            if entry.allows(access) {
                return masked(entry);
            }
        }
        false
    }
}

/// The permission bits that a new file is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreationMode {
    /// Permission, set-ID and sticky bits.
    pub permissions: u32,
    /// Bits that it does not get, unless a default list decides (`man 2 umask`).
    pub umask: u32,
}

impl CreationMode {
    /// These bits, whatever the caller's umask.
    pub const fn exact(permissions: u32) -> Self {
        Self { permissions, umask: 0 }
    }
}

/// The lists that a new file gets.
#[derive(Clone, Debug, Default)]
pub struct InheritedAcls {
    /// Its access list.
    pub access: Option<Acl>,
    /// Its default list.
    pub default: Option<Acl>,
}

impl InheritedAcls {
    /// What a new file of `kind` in `directory` gets, and its permissions: by the default list, else by the umask.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn of_directory(
        directory: &dyn Inode,
        kind: FileKind,
        mode: CreationMode,
    ) -> Result<(Self, u32), Errno> {
        let list = match kind {
            FileKind::Symlink => None,
            _ => directory.acl(AclKind::Default).or_else(without_support)?,
        };
        let Some(list) = list else { return Ok((Self::default(), mode.permissions & !mode.umask)) };
        let access = list.limited_to(mode.permissions);
        let permissions = mode.permissions & !ACCESS_BITS | access.mode();
        Ok((
            Self {
                access: Some(access).filter(|access| !access.is_like_mode()),
                default: (kind == FileKind::Directory).then_some(list),
            },
            permissions,
        ))
    }
}

/// The access list of `inode` of `metadata`, if it decides what `credentials` may do, as `mount` shows it if there is one.
///
/// # Errors
/// Those of the file system.
pub(super) fn deciding_list(
    mount: Option<&Mount>,
    inode: &dyn Inode,
    metadata: &Metadata,
    credentials: &Credentials,
) -> Result<Option<Acl>, Errno> {
    const GROUP_BITS: u32 = 0o070;
    // The owner has what the mode says; and where the mask is empty, nobody has more than others have.
    if metadata.uid == credentials.fs_uid || metadata.mode & GROUP_BITS == 0 {
        return Ok(None);
    }
    let list = inode.acl(AclKind::Access).or_else(without_support)?;
    match (mount, list) {
        (Some(mount), Some(list)) => list.shown(mount).map(Some),
        (_, list) => Ok(list),
    }
}

/// A file system without lists is as good as a file without one.
fn without_support(error: Errno) -> Result<Option<Acl>, Errno> {
    if error == Errno::EOPNOTSUPP { Ok(None) } else { Err(error) }
}

#[cfg(test)]
mod tests;
