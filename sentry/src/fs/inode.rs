//! Inodes: what a file system implements.
//!
//! Methods that name an entry are called on the directory, with a single path component that is neither `.` nor
//! `..` and at most 255 bytes long, and with the directory's dentry locked, so calls on one directory never race
//! each other. Permissions, mounts and sticky bits have been checked by then. No method blocks for long.

use std::any::Any;
use std::sync::Arc;

use parking_lot::Mutex;

use super::acl::{Acl, AclKind, InheritedAcls};
use super::file_flags::FileFlags;
use super::inotify::WatchList;
use super::locks::FileLocks;
use super::metadata::{AttributeChanges, DeviceNumber, FileKind, Metadata};
use super::path::Path;
use super::pseudo::refused_creation;
use super::terminal::SessionMember;
use super::write_count::WriteCount;
use super::{Access, File, OpenFlags};
use crate::Errno;
use crate::cred::{Credentials, KernelGid, KernelUid, UserNamespace};

/// Who looks at the file system: what `/proc/self` and `/dev/tty` depend on.
#[derive(Clone)]
pub struct Viewer {
    /// The viewer's credentials.
    pub credentials: Arc<Credentials>,
    /// Its thread group, as the root PID namespace numbers it.
    pub process_id: i32,
    /// Its thread, numbered so.
    pub thread_id: i32,
    /// Its session, numbered so.
    pub session_id: i32,
    /// What terminals know it by ([`SessionMember::association`]).
    pub association: u64,
}

impl Viewer {
    /// The sentry itself, with every capability. `user_namespace` is any one of the kernel.
    pub fn kernel(user_namespace: &Arc<UserNamespace>) -> Self {
        let credentials = Arc::new(Credentials::root(user_namespace.outermost()));
        Self { credentials, process_id: 0, thread_id: 0, session_id: 0, association: 0 }
    }

    /// Its process, as terminals know it.
    pub fn session_member(&self) -> SessionMember {
        let Self { process_id, session_id, association, .. } = *self;
        SessionMember { process_id, session_id, association }
    }

    /// The sentry itself, in an initial user namespace of its own.
    #[cfg(test)]
    pub(crate) fn test_kernel() -> Self {
        Self::kernel(&UserNamespace::initial())
    }
}

/// Where a symbolic link leads.
#[derive(Clone)]
pub enum LinkTarget {
    /// To a path, to be resolved from the link's directory.
    Text(Vec<u8>),
    /// Straight to a place, whatever its name (`man 7 symlink`, "Magic links").
    Magic(Path),
}

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewNode<'a> {
    /// An empty regular file.
    Regular,
    /// An empty directory.
    Directory,
    /// A symbolic link to this text.
    Symlink(&'a [u8]),
    /// A character device.
    CharacterDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A FIFO.
    Fifo,
    /// The name of a unix socket.
    Socket,
}

impl NewNode<'_> {
    /// The type of the inode to be made.
    pub fn kind(&self) -> FileKind {
        match self {
            Self::Regular => FileKind::Regular,
            Self::Directory => FileKind::Directory,
            Self::Symlink(_) => FileKind::Symlink,
            Self::CharacterDevice(_) => FileKind::CharacterDevice,
            Self::BlockDevice(_) => FileKind::BlockDevice,
            Self::Fifo => FileKind::Fifo,
            Self::Socket => FileKind::Socket,
        }
    }
}

/// A request for a new inode.
#[derive(Clone, Copy, Debug)]
pub struct NodeCreation<'a> {
    /// What to make.
    pub node: NewNode<'a>,
    /// Permission, set-ID and sticky bits, after the umask or the default list.
    pub permissions: u32,
    /// Owner.
    pub uid: KernelUid,
    /// Group; a set-group-ID directory gives its own instead.
    pub gid: KernelGid,
    /// Access control lists that it gets, where the file system has any.
    pub acls: Option<&'a InheritedAcls>,
}

/// What rename(2) does with an existing target (`man 2 renameat2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// Replace it.
    Replace,
    /// Fail with EEXIST.
    NoReplace,
    /// Swap the two.
    Exchange,
    /// Leave a whiteout, a device of number 0:0, where the old name was.
    Whiteout {
        /// Whether an existing target is replaced.
        replaces: bool,
        /// Whose the whiteout is.
        owner: (KernelUid, KernelGid),
    },
}

impl RenameMode {
    /// Whether an existing target is EEXIST.
    pub fn forbids_target(self) -> bool {
        matches!(self, Self::NoReplace | Self::Whiteout { replaces: false, .. })
    }
}

/// A slot in the inode of a FIFO or socket for the object behind the name: the pipe, the listening endpoint.
#[derive(Default)]
pub struct Attachment(Mutex<Option<Arc<dyn Any + Send + Sync>>>);

impl Attachment {
    /// The attached `T`, if there is one.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.lock().clone().and_then(|object| object.downcast().ok())
    }

    /// The attached `T`; made and attached now if nothing is.
    ///
    /// # Errors
    /// ENXIO if something else is attached.
    pub fn get_or_attach<T: Send + Sync + 'static>(
        &self,
        make: impl FnOnce() -> Arc<T>,
    ) -> Result<Arc<T>, Errno> {
        let mut slot = self.0.lock();
        let object = slot.get_or_insert_with(|| make()).clone();
        object.downcast().map_err(|_| Errno::ENXIO)
    }

    /// Attaches `object`, or nothing.
    pub fn set(&self, object: Option<Arc<dyn Any + Send + Sync>>) {
        let old = std::mem::replace(&mut *self.0.lock(), object);
        drop(old);
    }
}

/// A file, directory, link or other object of a file system. The defaults are those of a read-only file system
/// in which this is not a directory.
pub trait Inode: Send + Sync + Any {
    /// The type. Never changes.
    fn kind(&self) -> FileKind;

    /// What stat(2) tells.
    ///
    /// # Errors
    /// Those of the file system.
    fn metadata(&self) -> Result<Metadata, Errno>;

    /// Whether `credentials` permit `access`, if mode and owner do not tell.
    ///
    /// # Errors
    /// Those of the file system.
    fn permits(&self, _access: Access, _credentials: &Credentials) -> Option<Result<bool, Errno>> {
        None
    }

    /// Whether `viewer` may do anything with the inode, whatever mode and owner say: it shows the viewer's own process.
    fn belongs_to(&self, _viewer: &Viewer) -> bool {
        false
    }

    /// Fails for a viewer to whom the inode is not there, though a directory has it.
    ///
    /// # Errors
    /// ENOENT.
    fn check_visible(&self, _viewer: &Viewer) -> Result<(), Errno> {
        Ok(())
    }

    /// Fails for a viewer who may not use the inode at all, whatever its mode says and whatever capabilities he has.
    ///
    /// # Errors
    /// EACCES, and those of the file system.
    fn check_viewer(&self, _viewer: &Viewer) -> Result<(), Errno> {
        Ok(())
    }

    /// Asked by access(2) and chdir(2) beside: a server may say more than the permissions do.
    ///
    /// # Errors
    /// The server's.
    fn confirm_access(&self, _access: Access) -> Result<(), Errno> {
        Ok(())
    }

    /// Changes attributes; the caller has checked that it may.
    ///
    /// # Errors
    /// Those of chmod(2), chown(2), truncate(2) and utimensat(2).
    fn set_attributes(&self, _changes: &AttributeChanges) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// The inode called `name` in this directory.
    ///
    /// # Errors
    /// ENOENT.
    fn lookup(&self, _name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::ENOTDIR)
    }

    /// Whether what is asked of the inode may wait for somebody else, with its directory's dentry locked.
    fn may_sleep(&self) -> bool {
        false
    }

    /// Whether names found (or not) here stay true until they are changed through this directory, and may so be
    /// cached. procfs says no.
    fn has_stable_names(&self) -> bool {
        true
    }

    /// Whether a name here that is in use stays the same dentry for as long as looking it up anew yields the same inode,
    /// though names are not stable: others change the directory, too.
    fn revalidates_names(&self) -> bool {
        false
    }

    /// Whether this is a directory that nothing can ever be in: a mere mount point, where a mount hides nothing.
    fn is_permanently_empty(&self) -> bool {
        false
    }

    /// Whether nothing can be mounted here.
    fn refuses_mounts(&self) -> bool {
        false
    }

    /// Fails if nothing can be made in this directory because its names are all its own: that is said as soon as one is not found,
    /// before anybody's permissions.
    ///
    /// # Errors
    /// ENOENT.
    fn check_vacant(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Makes an inode called `name`, which does not exist yet.
    ///
    /// # Errors
    /// ENOSPC, and those of mknod(2).
    fn create(&self, _name: &[u8], creation: &NodeCreation<'_>) -> Result<Arc<dyn Inode>, Errno> {
        Err(refused_creation(creation.node))
    }

    /// Makes a regular file without a name (O_TMPFILE), which may get one later if `is_linkable`.
    ///
    /// # Errors
    /// EOPNOTSUPP, ENOSPC.
    fn create_unnamed(
        &self,
        _creation: &NodeCreation<'_>,
        _is_linkable: bool,
    ) -> Result<Arc<dyn Inode>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Gives `target`, an inode of the same file system, the further name `name`, which does not exist yet.
    ///
    /// # Errors
    /// EMLINK, ENOSPC, and those of link(2).
    fn link(&self, _name: &[u8], _target: &Arc<dyn Inode>) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Removes the name of something that is not a directory.
    ///
    /// # Errors
    /// Those of unlink(2).
    fn unlink(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// ENOTEMPTY, and those of rmdir(2).
    fn rmdir(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Renames `name` to `new_name` in `new_directory`, of the same file system. The caller has checked the kinds
    /// of both, and that no directory comes to lie within itself.
    ///
    /// # Errors
    /// ENOTEMPTY, ENOSPC, and those of rename(2).
    fn rename(
        &self,
        _name: &[u8],
        _new_directory: &Arc<dyn Inode>,
        _new_name: &[u8],
        _mode: RenameMode,
    ) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Where this symbolic link leads.
    ///
    /// # Errors
    /// EINVAL if it is none.
    fn follow_link(&self, _viewer: &Viewer) -> Result<LinkTarget, Errno> {
        Err(Errno::EINVAL)
    }

    /// The symbolic link has been read: its access time moves, if it has fallen behind (`relatime`).
    fn stamp_link_accessed(&self) {}

    /// The text of this symbolic link (readlink(2)), where it is not the one that [`Inode::follow_link`] yields.
    ///
    /// # Errors
    /// EINVAL if it is none.
    fn read_link(&self, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
        match self.follow_link(viewer)? {
            LinkTarget::Text(text) => Ok(text),
            LinkTarget::Magic(_) => Err(Errno::EINVAL),
        }
    }

    /// Opens the inode. The flags have been checked, and O_TRUNC is done by the caller.
    ///
    /// # Errors
    /// ENXIO for devices that do not exist, and those of open(2).
    fn open(self: Arc<Self>, flags: OpenFlags, viewer: &Viewer) -> Result<Arc<dyn File>, Errno>;

    /// The value of an extended attribute, by full name (`user.x`).
    ///
    /// # Errors
    /// ENODATA, EOPNOTSUPP.
    fn get_xattr(&self, _name: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets an extended attribute; `must_exist` is `Some(false)` for XATTR_CREATE, `Some(true)` for XATTR_REPLACE.
    ///
    /// # Errors
    /// EEXIST, ENODATA, ENOSPC, EOPNOTSUPP.
    fn set_xattr(&self, _name: &[u8], _value: &[u8], _must_exist: Option<bool>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The names of all extended attributes.
    ///
    /// # Errors
    /// Those of the file system.
    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>, Errno> {
        Ok(Vec::new())
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// ENODATA, EOPNOTSUPP.
    fn remove_xattr(&self, _name: &[u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// One of the file's access control lists, if it has that.
    ///
    /// # Errors
    /// EOPNOTSUPP: the file system has no lists.
    fn acl(&self, _kind: AclKind) -> Result<Option<Acl>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Replaces one of the file's access control lists, and with it, if `permissions` says so, the permission bits.
    ///
    /// # Errors
    /// EOPNOTSUPP, ENOSPC.
    fn set_acl(&self, _kind: AclKind, _acl: Option<&Acl>, _permissions: Option<u32>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The flags that are no part of the mode; `None` if it has none of them.
    fn file_flags(&self) -> Option<FileFlags> {
        None
    }

    /// Those of them that forbid things to everybody, which a file may have without telling.
    fn protecting_flags(&self) -> FileFlags {
        self.file_flags().unwrap_or_default() & FileFlags::PROTECTING
    }

    /// The flags that it can have.
    fn possible_file_flags(&self) -> FileFlags {
        FileFlags::empty()
    }

    /// Replaces the flags; the caller has checked that it may.
    ///
    /// # Errors
    /// EOPNOTSUPP: one is none that the file can have.
    fn set_file_flags(&self, _flags: FileFlags) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Where the object behind a FIFO's or socket's name is found.
    fn attachment(&self) -> Option<&Attachment> {
        None
    }

    /// The advisory locks on the file, if it supports any.
    fn locks(&self) -> Option<&FileLocks> {
        None
    }

    /// Who writes the contents and who executes them, if it is a file that can be executed.
    fn write_count(&self) -> Option<&WriteCount> {
        None
    }

    /// The inotify watches on the inode. One that is made anew at each lookup cannot keep any.
    fn watches(&self) -> Option<&WatchList> {
        None
    }

    /// The inode as its own type.
    fn as_any(&self) -> &dyn Any;
}
