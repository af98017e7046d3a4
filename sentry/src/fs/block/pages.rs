//! What mappings show of a device.

use std::sync::Weak;

use vm_memory::VolatileSlice;

use super::BlockDevice;
use crate::Errno;
use crate::memory::{PageSource, fill_by_reads};

pub(super) struct DevicePages(pub(super) Weak<BlockDevice>);

impl PageSource for DevicePages {
    fn fill(&self, offset: u64, destination: VolatileSlice<'_>) -> Result<(), Errno> {
        let device = self.0.upgrade().ok_or(Errno::EIO)?;
        fill_by_reads(offset, destination, |portion, offset| device.read_unmapped(portion, offset)).map(drop)
    }

    fn takes_changes(&self) -> bool {
        true
    }

    fn take_back(&self, offset: u64, changed: VolatileSlice<'_>) -> Result<(), Errno> {
        let device = self.0.upgrade().ok_or(Errno::EIO)?;
        let mut bytes = vec![0; changed.len()];
        changed.copy_to(&mut bytes);
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match device.write_unmapped(rest, offset.saturating_add(done as u64)) {
                // A mapping does not let the device grow.
                Ok(0) | Err(Errno::ENOSPC) => return Ok(()),
                Ok(written) => done += written,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn current_size(&self) -> Option<u64> {
        self.0.upgrade().map(|device| device.size_bytes())
    }
}
