//! fusectl: a directory for each connection, by which its requests can be seen and ended
//! (`filesystems/fuse.rst` of Linux's documentation).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::connection::Connection;
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::file_system_type::{FileSystemType, TypeFlags, check_options};
use crate::fs::metadata::DeviceNumber;
use crate::fs::pseudo::{
    Child, Children, Directory, Entry, Node, PseudoInode, Subject, parse_number, refused_creation,
};
use crate::fs::{FileKind, NewNode};

/// The connections of a kernel, by the minor device numbers of their file systems.
#[derive(Default)]
pub(in crate::fs) struct FuseConnections(Mutex<BTreeMap<u32, Weak<Connection>>>);

impl FuseConnections {
    pub(super) fn insert(&self, connection: &Arc<Connection>) {
        let mut connections = self.0.lock();
        connections.retain(|_, connection| connection.strong_count() != 0);
        connections.insert(connection.device.minor, Arc::downgrade(connection));
    }

    pub(super) fn remove(&self, connection: &Connection) {
        self.0.lock().remove(&connection.device.minor);
    }

    fn numbers(&self) -> Vec<u32> {
        self.0.lock().keys().copied().collect()
    }

    fn find(&self, number: u32) -> Option<Arc<Connection>> {
        self.0.lock().get(&number).and_then(Weak::upgrade)
    }
}

/// The file system of the connections.
pub(in crate::fs) const FUSECTL: FileSystemType = FileSystemType {
    name: "fusectl",
    flags: TypeFlags::SINGLE,
    shows: None,
    check_options: |_, options| check_options(options, &[], &[]),
    make: |mounter, owner, _| {
        let file_systems = mounter.file_systems();
        let connections = file_systems.fuse.clone();
        let root = |device| {
            let subject = Shown { device, connections, connection: None };
            let root: Arc<dyn crate::fs::Inode> = PseudoInode::root(subject, &ROOT);
            root
        };
        Ok(file_systems.singles.get(("fusectl", 0x6573_5543), mounter, owner, root))
    },
};

/// What the files tell about.
#[derive(Clone)]
struct Shown {
    device: DeviceNumber,
    connections: Arc<FuseConnections>,
    /// Which connection, below the directory of one.
    connection: Option<Arc<Connection>>,
}

impl Shown {
    fn connection(&self) -> Result<&Arc<Connection>, Errno> {
        self.connection.as_ref().ok_or(Errno::ENOENT)
    }
}

impl Subject for Shown {
    fn device(&self) -> DeviceNumber {
        self.device
    }

    fn creation_error(&self, node: NewNode<'_>) -> Errno {
        refused_creation(node)
    }

    fn owner(&self) -> (KernelUid, KernelGid) {
        match &self.connection {
            Some(connection) => (connection.options.user, connection.options.group),
            None => (KernelUid::ROOT, KernelGid::ROOT),
        }
    }
}

static ROOT: Entry<Shown> = Entry { name: "", permissions: 0o755, node: Node::Directory(&CONNECTIONS) };
static CONNECTIONS: Directory<Shown> = Directory { entries: &[], children: Some(&ConnectionDirectories) };
static CONNECTION: Directory<Shown> = Directory {
    entries: &[
        Entry {
            name: "abort",
            permissions: 0o200,
            node: Node::Setting(
                |_, _| Err(Errno::EACCES),
                |shown, _, _| {
                    shown.connection()?.abort();
                    Ok(())
                },
            ),
        },
        Entry {
            name: "waiting",
            permissions: 0o400,
            node: Node::Text(|shown, _| Ok(format!("{}\n", shown.connection()?.waiting()).into_bytes())),
        },
    ],
    children: None,
};

/// The directories of the connections.
struct ConnectionDirectories;

impl Children<Shown> for ConnectionDirectories {
    fn list(&self, shown: &Shown) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        let numbers = shown.connections.numbers().into_iter();
        Ok(numbers.map(|number| (number.into(), number.to_string().into_bytes())).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn find(&self, shown: &Shown, name: &[u8]) -> Result<Child<Shown>, Errno> {
        let number = parse_number(name).and_then(|number| u32::try_from(number).ok()).ok_or(Errno::ENOENT)?;
        let connection = shown.connections.find(number).ok_or(Errno::ENOENT)?;
        Ok(Child {
            subject: Shown { connection: Some(connection), ..shown.clone() },
            permissions: 0o500,
            node: Node::Directory(&CONNECTION),
        })
    }
}
