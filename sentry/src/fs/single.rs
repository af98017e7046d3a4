//! File systems of which a kernel has one instance, whose files tell of a part of the kernel; and those of them that have next to
//! nothing to tell here.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::dentry::Dentry;
use super::file_system_type::{FileSystemType, Mounter, TypeFlags, check_options};
use super::inode::{Inode, NewNode};
use super::metadata::DeviceNumber;
use super::mount::{FileSystem, FileSystemInfo, Instance};
use super::pseudo::{Directory, Entry, Node, PseudoInode, Subject, refused_creation, text};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid, UserNamespace};

/// The instances that there are, by the names of their types.
#[derive(Default)]
pub(super) struct SingleInstances(Mutex<HashMap<&'static str, Arc<Instance>>>);

impl SingleInstances {
    /// The instance of `kind`, whose root directory `make_root` makes if there is none yet.
    pub(super) fn get(
        &self,
        (type_name, magic): (&'static str, u64),
        mounter: &dyn Mounter,
        owner: Arc<UserNamespace>,
        make_root: impl FnOnce(DeviceNumber) -> Arc<dyn Inode>,
    ) -> Arc<Instance> {
        let make = || {
            let device = mounter.file_systems().devices().take();
            let file_system = Arc::new(SingleFileSystem { type_name, magic, device });
            Instance::new(file_system, Dentry::new_root(make_root(device)), owner)
        };
        self.0.lock().entry(type_name).or_insert_with(make).clone()
    }
}

struct SingleFileSystem {
    type_name: &'static str,
    magic: u64,
    device: DeviceNumber,
}

impl FileSystem for SingleFileSystem {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn device(&self) -> DeviceNumber {
        self.device
    }

    fn info(&self) -> FileSystemInfo {
        FileSystemInfo { magic: self.magic, block_size_bytes: 4096, ..FileSystemInfo::default() }
    }
}

/// What files tell about that are about nothing in particular.
#[derive(Clone)]
struct Nothing(DeviceNumber);

impl Subject for Nothing {
    fn device(&self) -> DeviceNumber {
        self.0
    }

    fn has_stable_names(&self) -> bool {
        true
    }

    fn creation_error(&self, node: NewNode<'_>) -> Errno {
        refused_creation(node)
    }

    fn owner(&self) -> (KernelUid, KernelGid) {
        (KernelUid::ROOT, KernelGid::ROOT)
    }
}

const fn root(permissions: u32, directory: &'static Directory<Nothing>) -> Entry<Nothing> {
    Entry { name: "", permissions, node: Node::Directory(directory) }
}

static EMPTY: Directory<Nothing> = Directory { entries: &[], children: None };
static SECURITY: Directory<Nothing> =
    Directory { entries: &[text("lsm", |_, _| Ok(b"capability,landlock".into()))], children: None };
static SECURITY_ROOT: Entry<Nothing> = root(0o755, &SECURITY);
static PRIVATE_ROOT: Entry<Nothing> = root(0o700, &EMPTY);
static PSTORE_ROOT: Entry<Nothing> = root(0o750, &EMPTY);

/// A type with one instance, which nobody without privileges mounts.
const fn single(name: &'static str) -> FileSystemType {
    FileSystemType {
        name,
        flags: TypeFlags::SINGLE,
        shows: None,
        check_options: |_, options| check_options(options, &[], &["uid", "gid", "mode"]),
        make: |_, _, _| Err(Errno::ENODEV),
    }
}

fn instance(
    mounter: &dyn Mounter,
    owner: Arc<UserNamespace>,
    kind: (&'static str, u64),
    root: &'static Entry<Nothing>,
) -> Result<Arc<Instance>, Errno> {
    let singles = &mounter.file_systems().singles;
    Ok(singles.get(kind, mounter, owner, |device| PseudoInode::root(Nothing(device), root)))
}

/// What security modules tell: which there are.
pub(super) const SECURITYFS: FileSystemType = FileSystemType {
    check_options: |_, options| check_options(options, &[], &[]),
    make: |mounter, owner, _| instance(mounter, owner, ("securityfs", 0x7363_6673), &SECURITY_ROOT),
    ..single("securityfs")
};

/// What drivers tell their authors: there are none.
pub(super) const DEBUGFS: FileSystemType = FileSystemType {
    make: |mounter, owner, _| instance(mounter, owner, ("debugfs", 0x6462_6720), &PRIVATE_ROOT),
    ..single("debugfs")
};

/// What is traced: nothing can be.
pub(super) const TRACEFS: FileSystemType = FileSystemType {
    make: |mounter, owner, _| instance(mounter, owner, ("tracefs", 0x7472_6163), &PRIVATE_ROOT),
    ..single("tracefs")
};

/// What former kernels left: this one had no former one.
pub(super) const PSTORE: FileSystemType = FileSystemType {
    check_options: |_, options| check_options(options, &[], &["kmsg_bytes"]),
    make: |mounter, owner, _| instance(mounter, owner, ("pstore", 0x6165_676c), &PSTORE_ROOT),
    ..single("pstore")
};
