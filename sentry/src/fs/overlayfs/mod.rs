//! Overlays that a guest mounts: directories of other file systems, seen as one (`man 8 mount`, "Mount options for overlay").
//!
//! An [`OverlayInode`] stands for a file of the topmost layer that has one of its name, or for the directories of all
//! layers that have one. What is below is never changed: a file is copied to the upper layer before it is first changed
//! ([`copy_up`]), and what is removed leaves a whiteout there. The format of the layers is Linux's, so that an upper layer
//! can be a lower one later, or be packed by who builds images.
//!
//! The sandbox's own root is another thing, though it bears the same name: see [`overlay`](super::overlay).
//!
//! Lock order: the overlay's dentries, then [`OverlayInode::copying`], then the dentries of layers.

mod change;
mod copy_up;
mod file;
mod inode;
mod layer;
mod listing;
mod lookup;
mod marks;
mod options;
mod setup;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::file_system_type::{FileSystemType, TypeFlags};
use super::metadata::DeviceNumber;
use super::mount::{FileSystem, FileSystemInfo};
use super::special::SpecialFiles;
use crate::Errno;
use crate::cred::Credentials;
use crate::fs::Dentry;
use inode::OverlayInode;
use layer::Layer;
use lookup::LowerFile;
use options::{InodeNumbers, OverlayOptions};

const OVERLAYFS_MAGIC: u64 = 0x794c_7630;
/// File systems that may lie on each other (`FILESYSTEM_MAX_STACK_DEPTH`).
const MAX_STACK_DEPTH: usize = 2;

/// Directories of other file systems, seen as one.
pub(super) const OVERLAY: FileSystemType = FileSystemType {
    name: "overlay",
    flags: TypeFlags::USERNS_MOUNT,
    shows: None,
    check_options: setup::check_options,
    make: setup::make_instance,
};

/// The layer that takes changes.
struct Upper {
    layer: Layer,
    /// Where what is not finished yet is kept, and what is on its way out.
    work: Arc<Dentry>,
}

/// What all inodes of an overlay share.
struct Overlay {
    device: DeviceNumber,
    options: OverlayOptions,
    upper: Option<Upper>,
    /// From the top down.
    lower: Vec<Layer>,
    /// How many file systems the layers are on.
    file_systems: usize,
    /// Who mounted it, for whom layers are read and written.
    mounter: Arc<Credentials>,
    /// Whether the mounter may set the attributes that marks are.
    may_mark: bool,
    specials: Arc<SpecialFiles>,
    /// Whether a layer is served by somebody who may take his time.
    may_sleep: bool,
    inodes: Mutex<HashMap<Key, Weak<OverlayInode>>>,
    next_number: AtomicU64,
    next_temporary: AtomicU64,
}

/// What an inode is found by, so that there is one for a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// The number of its file of the upper layer, which may have several names.
    Number(u64),
    /// The dentry of a directory, or of a file of a lower layer, which the inode keeps: its id on one of the layers' file
    /// systems.
    Dentry { file_system: usize, id: u64 },
}

impl Overlay {
    /// The layer that takes changes.
    ///
    /// # Errors
    /// EROFS: there is none, or nothing may be changed there.
    fn upper(&self) -> Result<&Upper, Errno> {
        let upper = self.upper.as_ref().ok_or(Errno::EROFS)?;
        upper.layer.mount().check_writable()?;
        Ok(upper)
    }

    /// What an inode is found by whose topmost file is `top`, of the upper layer.
    fn key_of_upper(&self, top: &Dentry) -> Result<Key, Errno> {
        if !top.is_directory() {
            return Ok(Key::Number(top.inode().metadata()?.inode));
        }
        self.key_of_dentry(top, None)
    }

    /// What an inode is found by whose topmost file is `top`, of a lower layer.
    fn key_of_lower(&self, top: &LowerFile) -> Result<Key, Errno> {
        self.key_of_dentry(&top.dentry, Some(top.layer))
    }

    fn key_of_dentry(&self, dentry: &Dentry, layer: Option<usize>) -> Result<Key, Errno> {
        let layer = self.layer(layer).ok_or(Errno::EIO)?;
        Ok(Key::Dentry { file_system: layer.file_system, id: dentry.id() })
    }

    /// The layer that a file of the upper layer, or of the lower layer `index`, is of.
    fn layer(&self, index: Option<usize>) -> Option<&Layer> {
        match index {
            Some(index) => self.lower.get(index),
            None => self.upper.as_ref().map(|upper| &upper.layer),
        }
    }

    /// The numbers that stat(2) tells of the file numbered `number` of `layer`.
    fn shown_numbers(&self, layer: &Layer, ino: u64) -> (DeviceNumber, u64) {
        if self.file_systems == 1 {
            return (self.device, ino);
        }
        match self.options.numbers {
            InodeNumbers::Plain => (layer.device, ino),
            InodeNumbers::WithFileSystem => {
                let bits = self.file_systems.next_power_of_two().trailing_zeros() + 1;
                (self.device, ino | (layer.file_system as u64) << (u64::BITS - bits))
            }
        }
    }

    /// Whether the numbers of directories are those of layers.
    fn has_numbers_of_layers(&self) -> bool {
        self.file_systems == 1 || self.options.numbers == InodeNumbers::WithFileSystem
    }

    fn take_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// A name in the work directory that nothing has.
    fn temporary_name(&self) -> Vec<u8> {
        format!("#{:x}", self.next_temporary.fetch_add(1, Ordering::Relaxed)).into_bytes()
    }
}

struct OverlayFileSystem(Arc<Overlay>);

impl FileSystem for OverlayFileSystem {
    fn type_name(&self) -> &'static str {
        OVERLAY.name
    }

    fn device(&self) -> DeviceNumber {
        self.0.device
    }

    fn info(&self) -> FileSystemInfo {
        let top = self.0.upper.as_ref().map(|upper| &upper.layer).or(self.0.lower.first());
        let info = top.map(|layer| layer.mount().file_system().info()).unwrap_or_default();
        FileSystemInfo { magic: OVERLAYFS_MAGIC, ..info }
    }

    fn sync(&self) -> Result<(), Errno> {
        match &self.0.upper {
            Some(upper) if !self.0.options.is_volatile => upper.layer.mount().file_system().sync(),
            _ => Ok(()),
        }
    }

    fn is_never_writable(&self) -> bool {
        self.0.upper.is_none()
    }

    fn stack_depth(&self) -> usize {
        setup::depth_below(self.0.upper.iter().map(|upper| &upper.layer).chain(&self.0.lower)) + 1
    }

    fn options(&self) -> String {
        self.0.options.shown()
    }
}
