//! ioctl(2) on loop devices.

use std::sync::Arc;

use linux_raw_sys::loop_device as uapi;

use super::status::{from_old, to_old};
use super::{Binding, LoopDisk, LoopFlags, SECTOR_BYTES, check_block_bytes};
use crate::Errno;
use crate::abi::{LoopConfig, LoopInfo, LoopInfo64};
use crate::fs::block::ioctl::BlockRequest;
use crate::fs::{Fd, FileDescription};

impl LoopDisk {
    /// Serves a request that is for loop devices.
    ///
    /// # Errors
    /// ENXIO: there is no file. EPERM: it is not for the caller. EINVAL: there is no such request.
    pub(in crate::fs::block) fn ioctl(&self, call: &BlockRequest<'_>, request: u32) -> Result<usize, Errno> {
        match request {
            uapi::LOOP_SET_FD => self.set_file(call, call.argument as u32),
            uapi::LOOP_CONFIGURE => self.configure(call, &call.read()?),
            uapi::LOOP_CHANGE_FD => self.change_file(call),
            uapi::LOOP_CLR_FD => self.clear_file(call),
            uapi::LOOP_GET_STATUS | uapi::LOOP_GET_STATUS64 => self.tell_status(call, request),
            uapi::LOOP_SET_STATUS => {
                check_may_change(call)?;
                self.set_status(call, &from_old(&call.read::<LoopInfo>()?))
            }
            uapi::LOOP_SET_STATUS64 => {
                check_may_change(call)?;
                self.set_status(call, &call.read()?)
            }
            uapi::LOOP_SET_CAPACITY | uapi::LOOP_SET_DIRECT_IO | uapi::LOOP_SET_BLOCK_SIZE => {
                check_may_change(call)?;
                self.set_simple(call, request)
            }
            _ => self.binding().and(Err(Errno::EINVAL)),
        }
    }

    fn set_file(&self, call: &BlockRequest<'_>, fd: u32) -> Result<usize, Errno> {
        self.configure(call, &LoopConfig { fd, ..LoopConfig::default() })
    }

    /// LOOP_CONFIGURE, and LOOP_SET_FD, which asks for nothing.
    fn configure(&self, call: &BlockRequest<'_>, config: &LoopConfig) -> Result<usize, Errno> {
        const SETTABLE: LoopFlags = LoopFlags::all();
        let backing = backing_file(call, config.fd)?;
        if self.is_bound() {
            return Err(Errno::EBUSY);
        }
        let mut binding = Binding::new(backing, call.device, call.is_writable)?;
        if config.info.lo_flags & !SETTABLE.bits() != 0 {
            return Err(Errno::EINVAL);
        }
        binding.configure(&config.info)?;
        binding.flags |= LoopFlags::from_bits_truncate(config.info.lo_flags);
        if config.block_size != 0 {
            binding.block_bytes = check_block_bytes(config.block_size.into())?;
        }
        let scans = binding.flags.contains(LoopFlags::PARTSCAN);
        // Nobody may have it for himself meanwhile, as a mounted file system has.
        let claim = call.device.claim()?;
        self.bind(binding)?;
        drop(claim);
        call.device.changed();
        if scans {
            scan(call);
        }
        Ok(0)
    }

    fn change_file(&self, call: &BlockRequest<'_>) -> Result<usize, Errno> {
        let old = self.binding()?;
        if !old.flags.contains(LoopFlags::READ_ONLY) {
            return Err(Errno::EINVAL);
        }
        let backing = backing_file(call, call.argument as u32)?;
        let new = Binding::new(backing, call.device, false)?;
        // What is deeper might lie on this device.
        if new.depth > old.depth {
            return Err(Errno::EINVAL);
        }
        self.change(|binding| {
            binding.backing = new.backing;
            let size_bytes = binding.size_bytes;
            binding.measure()?;
            if binding.size_bytes == size_bytes { Ok(()) } else { Err(Errno::EINVAL) }
        })?;
        call.device.changed();
        Ok(0)
    }

    fn clear_file(&self, call: &BlockRequest<'_>) -> Result<usize, Errno> {
        self.clear(call.device.openers() > 1)?;
        if call.device.openers() <= 1 {
            call.registry.drop_partitions(call.device)?;
        }
        call.device.changed();
        Ok(0)
    }

    fn set_status(&self, call: &BlockRequest<'_>, info: &LoopInfo64) -> Result<usize, Errno> {
        let mut starts_scanning = false;
        self.change(|binding| {
            let old = binding.flags;
            binding.configure(info)?;
            let asked = LoopFlags::from_bits_truncate(info.lo_flags) & LoopFlags::SETTABLE;
            binding.flags = (old - LoopFlags::AUTOCLEAR) | asked;
            starts_scanning = (binding.flags - old).contains(LoopFlags::PARTSCAN);
            Ok(())
        })?;
        call.device.changed();
        if starts_scanning {
            scan(call);
        }
        Ok(0)
    }

    fn tell_status(&self, call: &BlockRequest<'_>, request: u32) -> Result<usize, Errno> {
        if call.argument == 0 {
            return Err(Errno::EINVAL);
        }
        let info = self.info()?;
        if request == uapi::LOOP_GET_STATUS { call.write(&to_old(&info)?) } else { call.write(&info) }
    }

    fn set_simple(&self, call: &BlockRequest<'_>, request: u32) -> Result<usize, Errno> {
        self.change(|binding| match request {
            uapi::LOOP_SET_CAPACITY => binding.measure(),
            uapi::LOOP_SET_BLOCK_SIZE => {
                binding.block_bytes = check_block_bytes(call.argument)?;
                Ok(())
            }
            _ => {
                let is_direct = call.argument != 0;
                if is_direct && !binding.offset.is_multiple_of(SECTOR_BYTES) {
                    return Err(Errno::EINVAL);
                }
                binding.flags.set(LoopFlags::DIRECT_IO, is_direct);
                Ok(())
            }
        })?;
        if request == uapi::LOOP_SET_CAPACITY {
            call.device.changed();
        }
        Ok(0)
    }
}

/// Looks for partitions. That there are none to be had keeps nobody from the device.
fn scan(call: &BlockRequest<'_>) {
    if let Err(error) = call.registry.scan_partitions(call.device) {
        log::debug!("the partitions of {} stay: {error}", call.device.name());
    }
}

/// Fails unless the device is open for writing, or the caller an administrator.
fn check_may_change(call: &BlockRequest<'_>) -> Result<(), Errno> {
    if call.is_writable || call.is_administrator() { Ok(()) } else { Err(Errno::EPERM) }
}

/// The open file that is to be behind a device.
fn backing_file(call: &BlockRequest<'_>, fd: u32) -> Result<Arc<FileDescription>, Errno> {
    call.caller.file(Fd(fd.cast_signed()))
}
