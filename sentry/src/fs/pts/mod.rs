//! Pseudoterminals and their file system, devpts (`man 4 pts`).
//!
//! Opening `ptmx` makes a [`Pair`] and yields its master; the slave appears under its number for as long as the master is open.
//! The file system refers to pairs weakly: open files keep them.

mod discipline;
mod held;
mod master;
mod options;
mod packet;
mod pair;
mod slave;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use linux_raw_sys::general::DEVPTS_SUPER_MAGIC;
use parking_lot::Mutex;

use self::options::PtsOptions;
use self::pair::Pair;
use super::file_system_type::{FileSystemType, TypeFlags};
use super::listing::{Listed, ListedDirectory, OpenDirectory};
use super::terminal::ControllingTerminals;
use super::{
    AttributeChanges, Dentry, DeviceNumber, File, FileKind, FileSystem, FileSystemInfo, Inode, Instance,
    Metadata, OpenFlags, Viewer,
};
use crate::Errno;
use crate::cred::UserNamespace;

pub use held::HeldTerminal;

/// What a write to a terminal takes from user memory at once.
const WRITE_UNIT_BYTES: usize = 2048;
/// Inode numbers: the root's, that of `ptmx`, and the first slave's.
const ROOT_INODE: u64 = 1;
const PTMX_INODE: u64 = 2;
const FIRST_SLAVE_INODE: u64 = 3;

/// Each instance has terminals of its own.
pub(super) const DEVPTS: FileSystemType = FileSystemType {
    name: "devpts",
    flags: TypeFlags::USERNS_MOUNT,
    shows: None,
    check_options: |mounter, options| {
        PtsOptions::parse(options, &mounter.viewer().credentials.user_namespace).map(drop)
    },
    make: |mounter, owner, request| {
        let file_systems = mounter.file_systems();
        let options = PtsOptions::parse(request.options, &mounter.viewer().credentials.user_namespace)?;
        let device = file_systems.devices().take();
        let terminals = PtsFileSystem::new(file_systems.terminals.clone(), device, options, &owner);
        let root = Dentry::new_root(terminals.root());
        Ok(Instance::new(terminals, root, owner))
    },
};

/// One instance of devpts.
pub struct PtsFileSystem {
    device: DeviceNumber,
    terminals: Arc<ControllingTerminals>,
    pairs: Mutex<BTreeMap<u32, Arc<PtsNode>>>,
    options: Mutex<PtsOptions>,
    owner: Arc<UserNamespace>,
    /// The attributes of `ptmx`.
    ptmx: Mutex<Metadata>,
}

impl PtsFileSystem {
    /// An instance without terminals, mounted from the user namespace `owner`; `terminals` says which controls which session.
    pub fn new(
        terminals: Arc<ControllingTerminals>,
        device: DeviceNumber,
        options: PtsOptions,
        owner: &Arc<UserNamespace>,
    ) -> Arc<Self> {
        let kind = FileKind::CharacterDevice;
        let fresh = Metadata::new(kind, options.ptmx_permissions, device, PTMX_INODE);
        let ptmx = Metadata { special_device: DeviceNumber::new(5, 2), block_size_bytes: 1024, ..fresh };
        Arc::new(Self {
            device,
            terminals,
            pairs: Mutex::default(),
            options: Mutex::new(options),
            owner: owner.clone(),
            ptmx: Mutex::new(ptmx),
        })
    }

    /// The root directory.
    pub fn root(self: &Arc<Self>) -> Arc<dyn Inode> {
        Arc::new(PtsRoot(self.clone()))
    }

    fn terminals(&self) -> &Arc<ControllingTerminals> {
        &self.terminals
    }

    /// Makes a pseudoterminal and opens its master through `inode`.
    fn open_master(self: &Arc<Self>, inode: Arc<dyn Inode>, viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        let options = *self.options.lock();
        let mut pairs = self.pairs.lock();
        if pairs.len() >= options.max {
            return Err(Errno::ENOSPC);
        }
        // The lowest free number.
        let used = (0u32..).zip(pairs.keys()).take_while(|(number, key)| number == *key).count();
        let number = u32::try_from(used).map_err(|_| Errno::ENOSPC)?;
        let credentials = &viewer.credentials;
        let owner = (options.uid.unwrap_or(credentials.fs_uid), options.gid.unwrap_or(credentials.fs_gid));
        let pair = Pair::new(number, (owner, options.permissions), self)?;
        self.terminals.add_pair()?;
        pairs.insert(number, Arc::new(PtsNode::new(&pair)));
        Ok(pair.open_master(inode))
    }

    fn remove(&self, number: u32) {
        let removed = self.pairs.lock().remove(&number);
        if removed.is_some() {
            self.terminals.remove_pair();
        }
    }
}

impl FileSystem for PtsFileSystem {
    fn type_name(&self) -> &'static str {
        "devpts"
    }

    fn device(&self) -> DeviceNumber {
        self.device
    }

    fn info(&self) -> FileSystemInfo {
        let magic = DEVPTS_SUPER_MAGIC.into();
        FileSystemInfo { magic, block_size_bytes: 4096, ..FileSystemInfo::default() }
    }

    fn options(&self) -> String {
        self.options.lock().shown()
    }

    fn reconfigure(&self, options: &str, _viewer: &Viewer) -> Result<(), Errno> {
        let options = PtsOptions::parse(options, &self.owner)?;
        *self.options.lock() = options;
        self.ptmx.lock().mode = FileKind::CharacterDevice.mode_bits() | options.ptmx_permissions;
        Ok(())
    }
}

/// The root directory.
struct PtsRoot(Arc<PtsFileSystem>);

impl Inode for PtsRoot {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(Metadata { links: 2, ..Metadata::new(FileKind::Directory, 0o755, self.0.device, ROOT_INODE) })
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if name == b"ptmx" {
            return Ok(Arc::new(Ptmx(self.0.clone())));
        }
        let number = super::pseudo::parse_number(name).and_then(|number| u32::try_from(number).ok());
        let node = self.0.pairs.lock().get(&number.ok_or(Errno::ENOENT)?).cloned();
        Ok(node.ok_or(Errno::ENOENT)?)
    }

    fn has_stable_names(&self) -> bool {
        false
    }

    fn open(self: Arc<Self>, _flags: OpenFlags, _viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(OpenDirectory(self)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl ListedDirectory for PtsRoot {
    fn entries(&self) -> Vec<Listed> {
        let mut entries = vec![
            Listed::new(0, ROOT_INODE, FileKind::Directory, "."),
            Listed::new(1, ROOT_INODE, FileKind::Directory, ".."),
            Listed::new(2, PTMX_INODE, FileKind::CharacterDevice, "ptmx"),
        ];
        // A slave's place follows from its number, so that others may come and go in between.
        let slaves = self.0.pairs.lock().keys().copied().map(u64::from).collect::<Vec<_>>();
        entries.extend(slaves.into_iter().map(|number| {
            let inode = FIRST_SLAVE_INODE + number;
            Listed::new(3 + number, inode, FileKind::CharacterDevice, number.to_string())
        }));
        entries
    }
}

/// The multiplexer: each open makes a pseudoterminal.
struct Ptmx(Arc<PtsFileSystem>);

impl Inode for Ptmx {
    fn kind(&self) -> FileKind {
        FileKind::CharacterDevice
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(*self.0.ptmx.lock())
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        change_device(&mut self.0.ptmx.lock(), changes);
        Ok(())
    }

    fn open(self: Arc<Self>, _flags: OpenFlags, viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        let file_system = self.0.clone();
        file_system.open_master(self, viewer)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Changes mode and owner of a device node.
fn change_device(attributes: &mut Metadata, changes: &AttributeChanges) {
    if let Some(permissions) = changes.permissions {
        attributes.mode = FileKind::CharacterDevice.mode_bits() | permissions;
    }
    attributes.uid = changes.uid.unwrap_or(attributes.uid);
    attributes.gid = changes.gid.unwrap_or(attributes.gid);
}

/// A slave's node.
struct PtsNode {
    pair: Weak<Pair>,
    attributes: Arc<Mutex<Metadata>>,
}

impl PtsNode {
    fn new(pair: &Arc<Pair>) -> Self {
        Self { pair: Arc::downgrade(pair), attributes: pair.attributes().clone() }
    }
}

impl Inode for PtsNode {
    fn kind(&self) -> FileKind {
        FileKind::CharacterDevice
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(*self.attributes.lock())
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        change_device(&mut self.attributes.lock(), changes);
        Ok(())
    }

    fn open(self: Arc<Self>, flags: OpenFlags, viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        let pair = self.pair.upgrade().ok_or(Errno::EIO)?;
        let slave = pair.open_slave(flags, &viewer.credentials)?;
        if !flags.contains(OpenFlags::NOCTTY) && flags.is_readable() {
            pair.offer(viewer.process_id, viewer.session_id);
        }
        Ok(slave)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
