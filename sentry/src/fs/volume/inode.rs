//! A node as the virtual file system asks for it.

use std::any::Any;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid,
    XattrFlags, accessat, chownat, fgetxattr, flistxattr, fremovexattr, fsetxattr, linkat, mkdirat, mknodat,
    readlinkat, renameat_with, symlinkat, unlinkat, utimensat,
};

use super::directory::DirectoryFile;
use super::handle::Handle;
use super::node::Node;
use super::regular::RegularFile;
use super::status_of;
use crate::Errno;
use crate::cred::{Credentials, KernelGid, KernelUid};
use crate::fs::acl::{Acl, AclKind};
use crate::fs::host::{device_of, open_beneath};
use crate::fs::inode::{Attachment, Inode, LinkTarget, NewNode, NodeCreation, RenameMode, Viewer};
use crate::fs::locks::FileLocks;
use crate::fs::metadata::{AttributeChanges, DeviceNumber, FileKind, Metadata, TimeChange};
use crate::fs::{Access, File, OpenFlags, WriteCount};
use crate::host::{HostCall, count_call};
use crate::slices;

const SET_GID: u32 = 0o2000;
const SET_ID: u32 = 0o6000;
/// The longest extended attribute, and list of their names (`XATTR_SIZE_MAX`).
const MAX_XATTR_LEN: usize = 64 * 1024;
/// The extended attributes that are shared with the host.
const SHARED_XATTRS: &[u8] = b"user.";

impl Inode for Node {
    fn kind(&self) -> FileKind {
        self.file_kind()
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.current_metadata()
    }

    /// What the host forbids its caller, nobody may do here.
    fn permits(&self, access: Access, _credentials: &Credentials) -> Option<Result<bool, Errno>> {
        if self.volume().is_privileged {
            return None;
        }
        let access = rustix::fs::Access::from_bits_truncate(access.bits());
        match accessat(self.handle(), c"", access, AtFlags::EACCESS | AtFlags::EMPTY_PATH) {
            Err(rustix::io::Errno::ACCESS | rustix::io::Errno::ROFS) => Some(Ok(false)),
            _ => None,
        }
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        if let Some(size) = changes.size_bytes {
            self.resize(size)?;
        }
        if changes.uid.is_some() || changes.gid.is_some() {
            self.change_owner(changes.uid, changes.gid)?;
        }
        if let Some(permissions) = changes.permissions {
            self.change_mode(permissions)?;
        }
        if changes.accessed.is_some() || changes.modified.is_some() {
            let times = Timestamps {
                last_access: time_to_set(changes.accessed),
                last_modification: time_to_set(changes.modified),
            };
            count_call(HostCall::ChangeMetadata);
            utimensat(self.handle(), c"", &times, AtFlags::EMPTY_PATH)?;
        }
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        Ok(self.child(name)?)
    }

    fn has_stable_names(&self) -> bool {
        false
    }

    fn revalidates_names(&self) -> bool {
        true
    }

    fn create(&self, name: &[u8], creation: &NodeCreation<'_>) -> Result<Arc<dyn Inode>, Errno> {
        let mode = Mode::from_bits_truncate(creation.permissions);
        let directory = self.handle();
        count_call(HostCall::ChangeName);
        let made = match creation.node {
            NewNode::Regular => {
                let flags = OFlags::CREATE | OFlags::EXCL;
                Some(self.create_file(name, flags, creation.permissions)?)
            }
            NewNode::Directory => mkdirat(directory, name, mode).map(|()| None)?,
            NewNode::Symlink(text) => symlinkat(text, directory, name).map(|()| None)?,
            NewNode::Fifo => mknodat(directory, name, FileType::Fifo, mode, 0).map(|()| None)?,
            NewNode::Socket => mknodat(directory, name, FileType::Socket, mode, 0).map(|()| None)?,
            NewNode::CharacterDevice(_) | NewNode::BlockDevice(_) => return Err(Errno::EPERM),
        };
        let node = self.child(name)?;
        if let Some(file) = made {
            let handle = Arc::new(Handle::open(&self.volume().handles, || Ok(file))?);
            let status = status_of(&*handle)?;
            if (device_of(&status), status.stx_ino) != node.identity() {
                return Err(Errno::ESTALE);
            }
            node.contents().keep(&handle, true);
        }
        self.give_to_creator(&node, creation)?;
        Ok(node)
    }

    fn create_unnamed(
        &self,
        creation: &NodeCreation<'_>,
        is_linkable: bool,
    ) -> Result<Arc<dyn Inode>, Errno> {
        let flags = if is_linkable { OFlags::TMPFILE } else { OFlags::TMPFILE | OFlags::EXCL };
        let node = self.unnamed(self.create_file(b".", flags, creation.permissions)?)?;
        self.give_to_creator(&node, creation)?;
        Ok(node)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let target = self.same_volume(target)?;
        count_call(HostCall::ChangeName);
        match linkat(target.handle(), c"", self.handle(), name, AtFlags::EMPTY_PATH) {
            // Before Linux 6.10 it asks for CAP_DAC_READ_SEARCH, and says so in this way.
            Err(rustix::io::Errno::NOENT) => self.link_by_place(name, target)?,
            result => result?,
        }
        target.found_at(self, name);
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        count_call(HostCall::ChangeName);
        Ok(unlinkat(self.handle(), name, AtFlags::empty())?)
    }

    fn rmdir(&self, name: &[u8]) -> Result<(), Errno> {
        count_call(HostCall::ChangeName);
        Ok(unlinkat(self.handle(), name, AtFlags::REMOVEDIR)?)
    }

    fn rename(
        &self,
        name: &[u8],
        new_directory: &Arc<dyn Inode>,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let new_directory = self.same_volume(new_directory)?;
        let flags = match mode {
            RenameMode::Replace => RenameFlags::empty(),
            RenameMode::NoReplace => RenameFlags::NOREPLACE,
            RenameMode::Exchange => RenameFlags::EXCHANGE,
            // A device on the host.
            RenameMode::Whiteout { .. } => return Err(Errno::EINVAL),
        };
        count_call(HostCall::ChangeName);
        renameat_with(self.handle(), name, new_directory.handle(), new_name, flags)?;
        new_directory.moved_here(new_name);
        if mode == RenameMode::Exchange {
            self.moved_here(name);
        }
        Ok(())
    }

    fn follow_link(&self, _viewer: &Viewer) -> Result<LinkTarget, Errno> {
        match self.file_kind() {
            FileKind::Symlink => {
                count_call(HostCall::ReadLink);
                let text = readlinkat(self.handle(), c"", Vec::new())?;
                Ok(LinkTarget::Text(text.into_bytes()))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(self: Arc<Self>, flags: OpenFlags, viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        match self.file_kind() {
            FileKind::Regular => {
                let file = RegularFile::open(self.clone(), flags)?;
                if self.place().is_some() {
                    self.contents().let_go();
                }
                Ok(Arc::new(file))
            }
            FileKind::Directory => Ok(Arc::new(DirectoryFile::open(self)?)),
            FileKind::Symlink => Err(Errno::ELOOP),
            FileKind::Fifo => {
                let inode: Arc<dyn Inode> = self.clone();
                self.volume().specials.open(FileKind::Fifo, DeviceNumber::default(), &inode, flags, viewer)
            }
            FileKind::Socket | FileKind::CharacterDevice | FileKind::BlockDevice => Err(Errno::ENXIO),
        }
    }

    fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let Some(handle) = self.xattr_handle(name, Errno::ENODATA)? else { return Err(Errno::ENODATA) };
        let mut value = vec![0; MAX_XATTR_LEN];
        count_call(HostCall::Attribute);
        let len = fgetxattr(&*handle, name, &mut value[..])?;
        value.truncate(len);
        Ok(value)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], must_exist: Option<bool>) -> Result<(), Errno> {
        let handle = self.xattr_handle(name, Errno::EOPNOTSUPP)?.ok_or(Errno::EPERM)?;
        let flags = match must_exist {
            None => XattrFlags::empty(),
            Some(false) => XattrFlags::CREATE,
            Some(true) => XattrFlags::REPLACE,
        };
        count_call(HostCall::Attribute);
        Ok(fsetxattr(&*handle, name, value, flags)?)
    }

    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let Some(handle) = self.attribute_handle()? else { return Ok(Vec::new()) };
        let mut names = vec![0; MAX_XATTR_LEN];
        count_call(HostCall::Attribute);
        let len = flistxattr(&*handle, &mut names[..])?;
        let names = slices::first(&names, len)?.split(|&byte| byte == 0);
        Ok(names.filter(|name| name.starts_with(SHARED_XATTRS)).map(<[u8]>::to_vec).collect())
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        let handle = self.xattr_handle(name, Errno::ENODATA)?.ok_or(Errno::EPERM)?;
        count_call(HostCall::Attribute);
        Ok(fremovexattr(&*handle, name)?)
    }

    /// The host keeps it, with the owners that it tells of elsewhere.
    fn acl(&self, kind: AclKind) -> Result<Option<Acl>, Errno> {
        let handle = match self.attribute_handle() {
            // Whom the host keeps from the file learns nothing of its lists either.
            Ok(None) | Err(Errno::EACCES) => return Err(Errno::EOPNOTSUPP),
            handle => handle?.ok_or(Errno::EOPNOTSUPP)?,
        };
        let mut value = vec![0; MAX_XATTR_LEN];
        let len = match fgetxattr(&*handle, kind.attribute(), &mut value[..]) {
            Err(rustix::io::Errno::NODATA) => return Ok(None),
            result => result?,
        };
        let owners = &self.volume().owners;
        let user = |uid| Some(owners.inside((uid, 0)).0);
        Acl::decode(slices::first(&value, len)?, user, |gid| Some(owners.inside((0, gid)).1))
    }

    /// The host sets the mode that goes with the list.
    fn set_acl(&self, kind: AclKind, acl: Option<&Acl>, permissions: Option<u32>) -> Result<(), Errno> {
        let handle = self.attribute_handle()?.ok_or(Errno::EOPNOTSUPP)?;
        let owners = &self.volume().owners;
        let to_tell = |acl: &Acl| acl.encode(|uid| owners.user_to_tell(uid), |gid| owners.group_to_tell(gid));
        match acl.map(to_tell) {
            Some(value) => fsetxattr(&*handle, kind.attribute(), &value, XattrFlags::empty())?,
            None => fremovexattr(&*handle, kind.attribute())?,
        }
        permissions.map_or(Ok(()), |permissions| self.change_mode(permissions))
    }

    fn attachment(&self) -> Option<&Attachment> {
        Some(self.endpoint())
    }

    fn locks(&self) -> Option<&FileLocks> {
        Some(self.file_locks())
    }

    fn write_count(&self) -> Option<&WriteCount> {
        Some(self.writers())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Node {
    /// Has a new file belong to who asked for it, if the host lets its caller give files away; else it is the caller's.
    fn give_to_creator(&self, node: &Self, creation: &NodeCreation<'_>) -> Result<(), Errno> {
        let inherits_group = u32::from(self.status()?.stx_mode) & SET_GID != 0;
        let status = node.status()?;
        let owners = &self.volume().owners;
        let uid = Some(owners.user_to_tell(creation.uid)).filter(|uid| *uid != status.stx_uid);
        let gid =
            Some(owners.group_to_tell(creation.gid)).filter(|gid| !inherits_group && *gid != status.stx_gid);
        if uid.is_none() && gid.is_none() {
            return Ok(());
        }
        match chown(node, uid, gid) {
            Err(Errno::EPERM) => return Ok(()),
            result => result?,
        }
        // Giving away takes these.
        let is_lost = creation.node != NewNode::Directory && creation.permissions & SET_ID != 0;
        if is_lost { node.change_mode(creation.permissions) } else { Ok(()) }
    }

    fn change_owner(&self, uid: Option<KernelUid>, gid: Option<KernelGid>) -> Result<(), Errno> {
        let owners = &self.volume().owners;
        let uid = uid.map(|uid| owners.user_to_tell(uid));
        chown(self, uid, gid.map(|gid| owners.group_to_tell(gid)))
    }

    fn change_mode(&self, permissions: u32) -> Result<(), Errno> {
        match fchmodat2(self.handle(), permissions) {
            // Before Linux 6.6.
            Err(Errno::ENOSYS) => {
                let handle = self.attribute_handle()?.ok_or(Errno::EOPNOTSUPP)?;
                count_call(HostCall::ChangeMetadata);
                Ok(rustix::fs::fchmod(&*handle, Mode::from_bits_truncate(permissions))?)
            }
            result => result,
        }
    }

    /// Gives `target` the name `name`, by the name that it was found by.
    fn link_by_place(&self, name: &[u8], target: &Self) -> Result<(), Errno> {
        let (directory, old_name) = target.place().ok_or(Errno::ENOENT)?;
        count_call(HostCall::ChangeName);
        linkat(directory.handle(), &*old_name, self.handle(), name, AtFlags::empty())?;
        let linked = status_of(open_beneath(self.handle(), name, OFlags::PATH)?)?;
        if (device_of(&linked), linked.stx_ino) != target.identity() {
            // The host had put another file there.
            count_call(HostCall::ChangeName);
            unlinkat(self.handle(), name, AtFlags::empty())?;
            return Err(Errno::ENOENT);
        }
        Ok(())
    }

    /// A descriptor by which attributes are read and set; `None` for what is neither a file nor a directory.
    fn attribute_handle(&self) -> Result<Option<Arc<Handle>>, Errno> {
        match self.file_kind() {
            FileKind::Directory => self.open_again(OFlags::RDONLY).map(Some),
            FileKind::Regular => match self.contents().any_open() {
                Some(open) => Ok(Some(open)),
                None => {
                    self.open_again(OFlags::RDONLY).or_else(|_| self.open_again(OFlags::WRONLY)).map(Some)
                }
            },
            _ => Ok(None),
        }
    }

    /// As [`Self::attribute_handle`], if the extended attribute `name` is shared with the host; else `otherwise`.
    fn xattr_handle(&self, name: &[u8], otherwise: Errno) -> Result<Option<Arc<Handle>>, Errno> {
        if name.starts_with(SHARED_XATTRS) {
            return self.attribute_handle();
        }
        let is_known = [&b"trusted."[..], b"security."].iter().any(|prefix| name.starts_with(prefix));
        Err(if is_known { otherwise } else { Errno::EOPNOTSUPP })
    }
}

fn chown(node: &Node, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    count_call(HostCall::ChangeMetadata);
    match chownat(node.handle(), c"", uid, gid, AtFlags::EMPTY_PATH) {
        // In the user namespace that this process is in, nobody has that number.
        Err(rustix::io::Errno::INVAL) => Err(Errno::EPERM),
        result => Ok(result?),
    }
}

/// chmod(2) of what the handle refers to, which is open for O_PATH alone.
fn fchmodat2(handle: &Handle, permissions: u32) -> Result<(), Errno> {
    use std::os::fd::{AsFd, AsRawFd};
    let (descriptor, flags) = (handle.as_fd().as_raw_fd(), libc::AT_EMPTY_PATH);
    // SAFETY: the descriptor is open, and the path is an empty string.
    let result =
        unsafe { libc::syscall(libc::SYS_fchmodat2, descriptor, c"".as_ptr(), permissions & 0o7777, flags) };
    if result < 0 { Err(std::io::Error::last_os_error().into()) } else { Ok(()) }
}

fn time_to_set(change: Option<TimeChange>) -> Timespec {
    match change {
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Some(TimeChange::Now) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Some(TimeChange::To(stamp)) => Timespec { tv_sec: stamp.seconds, tv_nsec: stamp.nanoseconds.into() },
    }
}
