//! The file system of POSIX message queues (`man 7 mq_overview`, "Mounting the message queue filesystem"): one directory,
//! with a file for each queue of an IPC namespace.
//!
//! Each namespace has one instance, which mq_open(2) uses whether or not it is mounted anywhere. What is left of it when
//! the namespace ends shows no queue.

mod directory;
mod file;

use std::sync::{Arc, Weak};

use self::directory::QueueDirectory;
use super::dentry::Dentry;
use super::file_system_type::{FileSystemType, TypeFlags, check_options};
use super::file_systems::FileSystems;
use super::landlock::check_open;
use super::mount::{Instance, MountFlags};
use super::operations::check_may_remove;
use super::{
    Access, DeviceNumber, FileDescription, FileSystem, FileSystemInfo, Mount, OpenFlags, Path, Viewer,
    check_access,
};
use crate::Errno;
use crate::cred::{Namespace, NamespaceKind, UserNamespace};
use crate::ipc::{IpcNamespace, QueueAttributes};
use crate::limits::UserCounters;

pub use self::file::QueueFile;

/// `MQUEUE_MAGIC`.
const MAGIC: u64 = 0x1980_0202;

/// An IPC namespace has one instance.
pub(super) const MQUEUE: FileSystemType = FileSystemType {
    name: "mqueue",
    flags: TypeFlags::USERNS_MOUNT.union(TypeFlags::SINGLE),
    shows: Some(NamespaceKind::Ipc),
    check_options: |_, options| check_options(options, &[], &[]),
    make: |mounter, _, _| Ok(mount_of(&mounter.ipc_namespace(), mounter.file_systems()).instance().clone()),
};

struct MessageQueueFileSystem {
    device: DeviceNumber,
}

/// The file system of the queues of `namespace`, mounted nowhere: mq_open(2) looks names up in it, and other mounts show the
/// same.
pub fn mount_of(namespace: &Arc<IpcNamespace>, file_systems: &FileSystems) -> Arc<Mount> {
    let owner = || namespace.identity().owner().cloned();
    let new = || new_mount(Arc::downgrade(namespace), file_systems, owner());
    let mount = namespace.queue_mount().get_or_init(|| new());
    // Nobody else puts anything there.
    mount.clone().downcast().unwrap_or_else(|_| new())
}

fn new_mount(
    namespace: Weak<IpcNamespace>,
    file_systems: &FileSystems,
    owner: Option<Arc<UserNamespace>>,
) -> Arc<Mount> {
    let device = file_systems.devices().take();
    let root = Dentry::new_root(Arc::new(QueueDirectory::new(namespace, device)));
    let instance = Instance::of(Arc::new(MessageQueueFileSystem { device }), root, owner);
    Mount::of(&file_systems.memory.mounts, instance, "mqueue", MountFlags::empty())
}

/// What mq_open(2) makes if there is no such queue.
pub struct QueueRequest {
    /// Permission bits, after the umask.
    pub permissions: u32,
    /// How much the queue may hold.
    pub attributes: QueueAttributes,
    /// Who is charged for it while it exists, and the limit of that (RLIMIT_MSGQUEUE).
    pub user: (Arc<UserCounters>, u64),
    /// There must be no such queue yet (O_EXCL).
    pub is_exclusive: bool,
    /// The limit of `queues_max` does not count.
    pub is_privileged: bool,
}

/// Opens the queue `name` of `mount`, or makes it as `request` has it. `flags` are the access mode and O_NONBLOCK.
///
/// # Errors
/// Those of mq_open(3).
pub fn open(
    mount: &Arc<Mount>,
    name: &[u8],
    flags: OpenFlags,
    request: Option<QueueRequest>,
    viewer: &Viewer,
) -> Result<Arc<FileDescription>, Errno> {
    let root = mount.root();
    let mut locked = root.lock();
    let child = match (locked.lookup(name), request) {
        (Ok(_), Some(request)) if request.is_exclusive => return Err(Errno::EEXIST),
        (Ok(child), _) => {
            if flags.contains(OpenFlags::RDWR | OpenFlags::WRONLY) {
                return Err(Errno::EINVAL);
            }
            let mut access = Access::empty();
            access.set(Access::READ, flags.is_readable());
            access.set(Access::WRITE, flags.is_writable());
            check_access(&**child.inode(), access, &viewer.credentials)?;
            child
        }
        (Err(Errno::ENOENT), Some(request)) => {
            let directory = root.inode().as_any().downcast_ref::<QueueDirectory>().ok_or(Errno::EACCES)?;
            check_access(directory, Access::WRITE | Access::EXECUTE, &viewer.credentials)?;
            let inode = directory.create_queue(name, request, &viewer.credentials)?;
            locked.adopt(name, inode)
        }
        (Err(error), _) => return Err(error),
    };
    drop(locked);
    let path = Path::new(mount.clone(), child);
    check_open(&viewer.credentials, &path, flags)?;
    let file = path.inode().clone().open(flags, viewer)?;
    Ok(FileDescription::new(file, Some(path), flags))
}

/// mq_unlink(2).
///
/// # Errors
/// ENOENT, EPERM.
pub fn unlink(mount: &Arc<Mount>, name: &[u8], viewer: &Viewer) -> Result<(), Errno> {
    let root = mount.root();
    // Declared before the lock: the queue may end with this reference.
    let child;
    let mut locked = root.lock();
    child = locked.lookup(name)?;
    check_may_remove(&Path::new(mount.clone(), root.clone()), &child, viewer)?;
    root.inode().unlink(name)?;
    locked.removed(name, &child);
    Ok(())
}

impl FileSystem for MessageQueueFileSystem {
    fn type_name(&self) -> &'static str {
        "mqueue"
    }

    fn device(&self) -> DeviceNumber {
        self.device
    }

    fn info(&self) -> FileSystemInfo {
        FileSystemInfo { magic: MAGIC, block_size_bytes: 4096, ..FileSystemInfo::default() }
    }
}
