//! ioctl(2) on block devices: what all of them know (`linux/fs.h`).

use std::sync::Arc;

use linux_raw_sys::ioctl as requests;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{BlockDevice, BlockDevices, SECTOR_BYTES};
use crate::Errno;
use crate::abi::{BlkpgArgument, BlkpgPartition};
use crate::cred::Capabilities;
use crate::fs::Caller;
use crate::platform::{PAGE_SIZE, VirtualAddress};

/// Sectors that are read ahead, which nobody does here.
const READ_AHEAD_SECTORS: u64 = 256;
/// The most sectors of one transfer (BLKSECTGET).
const MAX_SECTORS: u16 = 2560;

/// One call of ioctl(2) on an open device.
pub(super) struct BlockRequest<'a> {
    pub(super) registry: &'a Arc<BlockDevices>,
    pub(super) device: &'a Arc<BlockDevice>,
    /// Whether it is open for writing.
    pub(super) is_writable: bool,
    pub(super) argument: u64,
    pub(super) caller: &'a dyn Caller,
}

impl BlockRequest<'_> {
    /// Serves `request`.
    ///
    /// # Errors
    /// EACCES for who may not administer, EFAULT, EINVAL, and those of the request.
    pub(super) fn serve(&self, request: u32) -> Result<usize, Errno> {
        match request {
            requests::BLKROSET
            | requests::BLKFLSBUF
            | requests::BLKRRPART
            | requests::BLKRASET
            | requests::BLKFRASET
            | requests::BLKBSZSET
            | requests::BLKPG => {
                if !self.is_administrator() {
                    return Err(Errno::EACCES);
                }
                self.administer(request)
            }
            requests::BLKDISCARD | requests::BLKSECDISCARD | requests::BLKZEROOUT => self.clear(request),
            _ => self.tell(request),
        }
    }

    pub(super) fn is_administrator(&self) -> bool {
        self.caller.credentials().has(Capabilities::SYS_ADMIN)
    }

    pub(super) fn read<T: FromBytes + IntoBytes>(&self) -> Result<T, Errno> {
        self.caller.memory().read_object(VirtualAddress(self.argument))
    }

    pub(super) fn write(&self, value: &(impl IntoBytes + Immutable)) -> Result<usize, Errno> {
        self.caller.memory().write_object(VirtualAddress(self.argument), value).map(|()| 0)
    }

    /// What the device is like.
    fn tell(&self, request: u32) -> Result<usize, Errno> {
        let device = self.device;
        match request {
            requests::BLKROGET => self.write(&i32::from(device.is_read_only())),
            requests::BLKGETSIZE => self.write(&(device.size_bytes() / SECTOR_BYTES)),
            requests::BLKGETSIZE64 => self.write(&device.size_bytes()),
            requests::BLKSSZGET | requests::BLKPBSZGET | requests::BLKIOMIN => {
                self.write(&device.logical_block_bytes())
            }
            requests::BLKBSZGET => self.write(&device.soft_block_bytes()),
            requests::BLKIOOPT | requests::BLKALIGNOFF | requests::BLKDISCARDZEROES => self.write(&0_u32),
            requests::BLKSECTGET => self.write(&MAX_SECTORS),
            requests::BLKROTATIONAL => self.write(&0_u16),
            requests::BLKRAGET | requests::BLKFRAGET if self.argument == 0 => Err(Errno::EINVAL),
            requests::BLKRAGET | requests::BLKFRAGET => self.write(&READ_AHEAD_SECTORS),
            requests::BLKGETDISKSEQ => self.write(&device.sequence()),
            requests::FIGETBSZ => self.write(&device.soft_block_bytes()),
            requests::BLKTRACESETUP
            | requests::BLKTRACESTART
            | requests::BLKTRACESTOP
            | requests::BLKTRACETEARDOWN => Err(Errno::ENOTTY),
            _ => match device.loop_disk() {
                Some(disk) => disk.ioctl(self, request),
                None => Err(Errno::ENOTTY),
            },
        }
    }

    /// What only an administrator may.
    fn administer(&self, request: u32) -> Result<usize, Errno> {
        match request {
            requests::BLKROSET => {
                let is_read_only: i32 = self.read()?;
                self.device.set_read_only(is_read_only != 0);
            }
            requests::BLKFLSBUF => self.device.sync()?,
            requests::BLKBSZSET => {
                if self.argument == 0 {
                    return Err(Errno::EINVAL);
                }
                self.device.set_soft_block_bytes(check_block_bytes(u64::from(self.read::<u32>()?))?);
            }
            requests::BLKRRPART => {
                if self.device.partition().is_some() || !self.device.disk().has_partitions() {
                    return Err(Errno::EINVAL);
                }
                self.registry.scan_partitions(self.device)?;
            }
            requests::BLKPG => return self.change_partition(),
            // Nothing is read ahead.
            _ => {}
        }
        Ok(0)
    }

    /// BLKPG: adds or removes a partition that no table needs to name.
    fn change_partition(&self) -> Result<usize, Errno> {
        const ADD_PARTITION: i32 = 1;
        const DEL_PARTITION: i32 = 2;
        let argument: BlkpgArgument = self.read()?;
        let partition: BlkpgPartition = self.caller.memory().read_object(VirtualAddress(argument.data))?;
        let index = u32::try_from(partition.pno).ok().filter(|index| *index != 0).ok_or(Errno::EINVAL)?;
        if self.device.partition().is_some() {
            return Err(Errno::EINVAL);
        }
        match argument.op {
            DEL_PARTITION => self.registry.remove_partition(self.device, index)?,
            ADD_PARTITION => {
                let bytes = |value: i64| u64::try_from(value).map_err(|_| Errno::EINVAL);
                let (start, len) = (bytes(partition.start)?, bytes(partition.length)?);
                let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
                self.registry.add_partition(self.device, index, start..end)?;
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    /// BLKDISCARD and its like.
    fn clear(&self, request: u32) -> Result<usize, Errno> {
        if !self.is_writable {
            return Err(Errno::EBADF);
        }
        if request == requests::BLKSECDISCARD {
            return Err(Errno::EOPNOTSUPP);
        }
        let [start, len]: [u64; 2] = self.read()?;
        let block = u64::from(self.device.logical_block_bytes());
        let end = start.checked_add(len).filter(|end| *end <= self.device.size_bytes());
        if !start.is_multiple_of(block) || !len.is_multiple_of(block) || len == 0 {
            return Err(Errno::EINVAL);
        }
        self.device.discard(start..end.ok_or(Errno::EINVAL)?).map(|()| 0)
    }
}

/// A length of blocks, in bytes, if it can be one: a power of two from a sector to a page.
///
/// # Errors
/// EINVAL.
pub(super) fn check_block_bytes(bytes: u64) -> Result<u32, Errno> {
    let is_valid = (SECTOR_BYTES..=PAGE_SIZE).contains(&bytes) && bytes.is_power_of_two();
    u32::try_from(bytes).ok().filter(|_| is_valid).ok_or(Errno::EINVAL)
}
