//! What loop devices tell of themselves: LOOP_GET_STATUS64, LOOP_GET_STATUS, and /sys/block/loopN/loop.

use zerocopy::FromZeros;

use super::{LoopDisk, LoopFlags};
use crate::Errno;
use crate::abi::{LoopInfo, LoopInfo64};

/// What sysfs shows of a loop device with a file.
pub struct LoopShown {
    /// The path of the file.
    pub backing_file: Vec<u8>,
    /// Where the device begins in it, in bytes.
    pub offset: u64,
    /// How much of it is shown at most, in bytes; 0 for all.
    pub size_limit: u64,
    /// Whether the last close lets go of the file.
    pub is_autoclear: bool,
    /// Whether the partition table is looked at.
    pub scans_partitions: bool,
    /// Whether the file is used past the cache.
    pub is_direct: bool,
}

impl LoopDisk {
    /// What sysfs shows, if there is a file.
    pub(in crate::fs) fn shown(&self) -> Option<LoopShown> {
        let binding = self.binding().ok()?;
        let path = binding.backing.path()?;
        Some(LoopShown {
            backing_file: path.display_from(&path.outermost_root()),
            offset: binding.offset,
            size_limit: binding.size_limit,
            is_autoclear: binding.flags.contains(LoopFlags::AUTOCLEAR),
            scans_partitions: binding.flags.contains(LoopFlags::PARTSCAN),
            is_direct: binding.flags.contains(LoopFlags::DIRECT_IO),
        })
    }

    /// LOOP_GET_STATUS64.
    ///
    /// # Errors
    /// ENXIO: there is no file. The file system's.
    pub(super) fn info(&self) -> Result<LoopInfo64, Errno> {
        let binding = self.binding()?;
        let metadata = binding.backing.metadata()?;
        Ok(LoopInfo64 {
            lo_device: metadata.device.as_u64(),
            lo_inode: metadata.inode,
            lo_rdevice: metadata.special_device.as_u64(),
            lo_offset: binding.offset,
            lo_sizelimit: binding.size_limit,
            lo_number: self.index,
            lo_flags: binding.flags.bits(),
            lo_file_name: binding.file_name,
            lo_crypt_name: binding.crypt_name,
            ..LoopInfo64::new_zeroed()
        })
    }
}

/// What LOOP_SET_STATUS says.
pub(super) fn from_old(old: &LoopInfo) -> LoopInfo64 {
    LoopInfo64 {
        lo_offset: i64::from(old.lo_offset).cast_unsigned(),
        lo_encrypt_type: old.lo_encrypt_type.cast_unsigned(),
        lo_encrypt_key_size: old.lo_encrypt_key_size.cast_unsigned(),
        lo_flags: old.lo_flags.cast_unsigned(),
        lo_file_name: old.lo_name,
        ..LoopInfo64::new_zeroed()
    }
}

/// What LOOP_GET_STATUS tells.
///
/// # Errors
/// EOVERFLOW: it has no room for the place.
pub(super) fn to_old(info: &LoopInfo64) -> Result<LoopInfo, Errno> {
    Ok(LoopInfo {
        lo_number: info.lo_number.cast_signed(),
        lo_device: info.lo_device,
        lo_inode: info.lo_inode,
        lo_rdevice: info.lo_rdevice,
        lo_offset: i32::try_from(info.lo_offset).map_err(|_| Errno::EOVERFLOW)?,
        lo_flags: info.lo_flags.cast_signed(),
        lo_name: info.lo_file_name,
        ..LoopInfo::new_zeroed()
    })
}
