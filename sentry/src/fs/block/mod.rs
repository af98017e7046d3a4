//! Block devices: storage that is read and written anywhere, in whole blocks.
//!
//! A [`Disk`](device::Disk) is where the bytes are: the file of a [loop device](loop_device), or the memory of a [ramdisk](ram). A
//! [`BlockDevice`] is a whole disk or a partition of one, under a number and a name; [`BlockDevices`] holds those of a kernel,
//! opens them by their nodes, and has the nodes appear and vanish in devtmpfs. Nothing is cached: what is written to a device
//! is in its disk at once.
//!
//! Lock order: the registry's devices, then a disk's partitions, then a disk's own lock. None is held while bytes move.

mod device;
mod file;
mod ioctl;
mod loop_device;
mod pages;
mod partitions;
mod ram;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::RwLock;

pub use device::{BlockDevice, Claim, Counters};
pub use loop_device::{LoopControl, LoopShown};

use self::file::BlockFile;
use self::loop_device::LoopDisk;
use self::ram::RamDisk;
use super::special::DeviceDriver;
use super::{DeviceNumber, File, FileKind, Inode, OpenFlags, Viewer};
use crate::Errno;
use crate::memory::FrameAllocator;

/// Bytes of a sector, the unit in which Linux counts storage.
pub const SECTOR_BYTES: u64 = 512;
/// The major number of loop devices.
pub const LOOP_MAJOR: u32 = 7;
/// The major number of ramdisks, as block devices.
pub const RAM_MAJOR: u32 = 1;
/// The major number of partitions that have no minor number in their disk's range.
pub const EXTENDED_MAJOR: u32 = 259;

/// Loop devices that there are from the start (`max_loop`).
const FIRST_LOOPS: u32 = 8;
/// The most loop devices.
const MAX_LOOPS: u32 = 256;
/// Ramdisks.
const RAM_DISKS: u32 = 16;
/// The most partitions of all disks.
const MAX_PARTITIONS: u32 = 4096;

/// Who makes and removes the nodes of devices: devtmpfs.
pub trait DeviceNodes: Send + Sync {
    /// Makes the node `name` of a block device.
    fn add(&self, name: &str, number: DeviceNumber);
    /// Takes the node of device `name` away from /dev.
    fn remove(&self, name: &str);
}

/// The block devices of a kernel.
pub struct BlockDevices {
    this: Weak<BlockDevices>,
    frames: Arc<FrameAllocator>,
    devices: RwLock<BTreeMap<DeviceNumber, Arc<BlockDevice>>>,
    nodes: OnceLock<Weak<dyn DeviceNodes>>,
}

impl BlockDevices {
    /// The first loop devices, which no file is behind, and empty ramdisks, whose memory comes from `frames`.
    pub fn new(frames: &Arc<FrameAllocator>) -> Arc<Self> {
        let devices = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            frames: frames.clone(),
            devices: RwLock::default(),
            nodes: OnceLock::new(),
        });
        for index in 0..RAM_DISKS {
            let number = DeviceNumber::new(RAM_MAJOR, index);
            let disk = RamDisk::new(frames);
            devices.insert(BlockDevice::whole(format!("ram{index}"), number, disk, frames));
        }
        for index in 0..FIRST_LOOPS {
            devices.insert(devices.new_loop(index));
        }
        devices
    }

    /// Has `nodes` make the nodes of all devices, now and later.
    pub fn show_in(&self, nodes: &Arc<dyn DeviceNodes>) {
        if self.nodes.set(Arc::downgrade(nodes)).is_ok() {
            for device in self.all() {
                nodes.add(device.name(), device.number());
            }
        }
    }

    /// All devices, by their numbers.
    pub fn all(&self) -> Vec<Arc<BlockDevice>> {
        self.devices.read().values().cloned().collect()
    }

    /// The whole disks.
    pub fn disks(&self) -> Vec<Arc<BlockDevice>> {
        self.devices.read().values().filter(|device| device.partition().is_none()).cloned().collect()
    }

    /// The device with this number.
    ///
    /// # Errors
    /// ENXIO.
    pub fn find(&self, number: DeviceNumber) -> Result<Arc<BlockDevice>, Errno> {
        self.devices.read().get(&number).cloned().ok_or(Errno::ENXIO)
    }

    /// The device called `name`.
    pub fn named(&self, name: &[u8]) -> Option<Arc<BlockDevice>> {
        self.devices.read().values().find(|device| device.name().as_bytes() == name).cloned()
    }

    fn new_loop(&self, index: u32) -> Arc<BlockDevice> {
        let disk = LoopDisk::new(index);
        BlockDevice::whole(format!("loop{index}"), DeviceNumber::new(LOOP_MAJOR, index), disk, &self.frames)
    }

    fn insert(&self, device: Arc<BlockDevice>) {
        self.devices.write().insert(device.number(), device);
    }

    fn announce(&self, device: &BlockDevice) {
        if let Some(nodes) = self.nodes.get().and_then(Weak::upgrade) {
            nodes.add(device.name(), device.number());
        }
    }

    fn remove(&self, device: &BlockDevice) {
        let removed = self.devices.write().remove(&device.number());
        if let (Some(_), Some(nodes)) = (removed, self.nodes.get().and_then(Weak::upgrade)) {
            nodes.remove(device.name());
        }
    }

    /// Makes loop device `index` (LOOP_CTL_ADD), or one with any number.
    ///
    /// # Errors
    /// EEXIST; ENOSPC: there are too many.
    fn add_loop(&self, index: Option<u32>) -> Result<u32, Errno> {
        let device = {
            let mut devices = self.devices.write();
            let is_free = |index: &u32| !devices.contains_key(&DeviceNumber::new(LOOP_MAJOR, *index));
            let index = match index {
                Some(index) if index >= MAX_LOOPS => return Err(Errno::ENOSPC),
                Some(index) => Some(index).filter(is_free).ok_or(Errno::EEXIST)?,
                None => (0..MAX_LOOPS).find(is_free).ok_or(Errno::ENOSPC)?,
            };
            let device = self.new_loop(index);
            devices.insert(device.number(), device.clone());
            device
        };
        self.announce(&device);
        Ok(device.number().minor)
    }

    /// Removes loop device `index` (LOOP_CTL_REMOVE).
    ///
    /// # Errors
    /// ENODEV: there is none. EBUSY: it is in use.
    fn remove_loop(&self, index: u32) -> Result<(), Errno> {
        let device = self.find(DeviceNumber::new(LOOP_MAJOR, index)).map_err(|_| Errno::ENODEV)?;
        let disk = device.loop_disk().ok_or(Errno::ENODEV)?;
        if device.openers() != 0 || disk.is_bound() {
            return Err(Errno::EBUSY);
        }
        self.remove(&device);
        Ok(())
    }

    /// A loop device without a file, made if there is none (LOOP_CTL_GET_FREE).
    ///
    /// # Errors
    /// ENOSPC: there are too many.
    fn free_loop(&self) -> Result<u32, Errno> {
        let is_free = |device: &&Arc<BlockDevice>| device.loop_disk().is_some_and(|disk| !disk.is_bound());
        let free = self.devices.read().values().find(is_free).map(|device| device.number().minor);
        free.map_or_else(|| self.add_loop(None), Ok)
    }

    /// Replaces the partitions of `disk`, a whole disk, by those of its table.
    ///
    /// # Errors
    /// EBUSY: one of the old ones is in use. The disk's.
    fn scan_partitions(&self, disk: &Arc<BlockDevice>) -> Result<(), Errno> {
        self.drop_partitions(disk)?;
        for found in partitions::read_table(disk)? {
            // What does not fit is left out, as on Linux.
            let added = self.add_partition(disk, found.index, found.start..found.end);
            if added == Err(Errno::ENOSPC) {
                break;
            }
        }
        Ok(())
    }

    /// Removes all partitions of `disk`.
    ///
    /// # Errors
    /// EBUSY: one is in use; then all stay.
    fn drop_partitions(&self, disk: &Arc<BlockDevice>) -> Result<(), Errno> {
        let removed = {
            let mut partitions = disk.partitions().lock();
            if partitions.iter().any(|partition| partition.openers() != 0) {
                return Err(Errno::EBUSY);
            }
            std::mem::take(&mut *partitions)
        };
        removed.iter().for_each(|partition| self.remove(partition));
        Ok(())
    }

    /// Makes partition `index` of `disk`, of these bytes of it.
    ///
    /// # Errors
    /// EINVAL: they are not whole blocks of the disk. EBUSY: they are another partition's, or the number is. ENOSPC: too many.
    fn add_partition(
        &self,
        disk: &Arc<BlockDevice>,
        index: u32,
        bytes: std::ops::Range<u64>,
    ) -> Result<(), Errno> {
        let block = u64::from(disk.logical_block_bytes());
        let is_whole = bytes.start.is_multiple_of(block) && bytes.end.is_multiple_of(block);
        if bytes.is_empty() || !is_whole || bytes.end > disk.size_bytes() || index == 0 {
            return Err(Errno::EINVAL);
        }
        let partition = {
            let mut devices = self.devices.write();
            let number = (0..MAX_PARTITIONS).map(|minor| DeviceNumber::new(EXTENDED_MAJOR, minor));
            let number = number.into_iter().find(|number| !devices.contains_key(number));
            let mut partitions = disk.partitions().lock();
            let overlaps = |other: &Arc<BlockDevice>| {
                let (other_index, range) = other.partition().unwrap_or((0, 0..0));
                other_index == index || range.start < bytes.end && bytes.start < range.end
            };
            if partitions.iter().any(overlaps) {
                return Err(Errno::EBUSY);
            }
            let partition = BlockDevice::part(disk, number.ok_or(Errno::ENOSPC)?, index, bytes, &self.frames);
            partitions.push(partition.clone());
            devices.insert(partition.number(), partition.clone());
            partition
        };
        self.announce(&partition);
        Ok(())
    }

    /// Removes partition `index` of `disk`.
    ///
    /// # Errors
    /// ENXIO: there is none. EBUSY: it is in use.
    fn remove_partition(&self, disk: &BlockDevice, index: u32) -> Result<(), Errno> {
        let removed = {
            let mut partitions = disk.partitions().lock();
            let is_it = |device: &Arc<BlockDevice>| device.partition().is_some_and(|(own, _)| own == index);
            let place = partitions.iter().position(is_it).ok_or(Errno::ENXIO)?;
            if partitions.get(place).is_some_and(|partition| partition.openers() != 0) {
                return Err(Errno::EBUSY);
            }
            partitions.remove(place)
        };
        self.remove(&removed);
        Ok(())
    }

    /// What /proc/partitions tells.
    pub fn listing(&self) -> String {
        let mut text = String::from("major minor  #blocks  name\n\n");
        for device in self.all().iter().filter(|device| device.size_bytes() != 0) {
            let DeviceNumber { major, minor } = device.number();
            text += &format!("{major:4}  {minor:7} {:10} {}\n", device.size_bytes() / 1024, device.name());
        }
        text
    }

    /// What /proc/diskstats tells.
    pub fn statistics(&self) -> String {
        let line = |device: &Arc<BlockDevice>| {
            let DeviceNumber { major, minor } = device.number();
            format!("{major:4} {minor:7} {} {}\n", device.name(), device.counters().line())
        };
        self.all().iter().map(line).collect()
    }
}

impl DeviceDriver for BlockDevices {
    fn open(
        &self,
        device: DeviceNumber,
        inode: &Arc<dyn Inode>,
        flags: OpenFlags,
        _viewer: &Viewer,
    ) -> Result<Arc<dyn File>, Errno> {
        let registry = self.this.upgrade().ok_or(Errno::ENXIO)?;
        Ok(Arc::new(BlockFile::open(registry, self.find(device)?, inode.clone(), flags)?))
    }
}

/// Has `specials` open block devices.
pub fn register(specials: &super::special::SpecialFiles, devices: &Arc<BlockDevices>) {
    for major in [RAM_MAJOR, LOOP_MAJOR, EXTENDED_MAJOR] {
        specials.register(FileKind::BlockDevice, major, devices.clone());
    }
}
