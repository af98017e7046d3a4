//! What mappings show of a device.

use std::sync::Weak;

use vm_memory::VolatileSlice;

use super::BlockDevice;
use crate::Errno;
use crate::memory::PageSource;
use crate::slices;

/// Bytes that are copied at a time.
const COPY_LEN: usize = 64 * 1024;

pub(super) struct DevicePages(pub(super) Weak<BlockDevice>);

impl PageSource for DevicePages {
    fn fill(&self, offset: u64, destination: VolatileSlice<'_>) -> Result<(), Errno> {
        let device = self.0.upgrade().ok_or(Errno::EIO)?;
        let mut buffer = vec![0; COPY_LEN.min(destination.len())];
        let mut done = 0;
        while done < destination.len() {
            let len = buffer.len().min(destination.len() - done);
            let portion = slices::first_mut(&mut buffer, len)?;
            let read = device.read_unmapped(portion, offset.saturating_add(done as u64))?;
            if read == 0 {
                break;
            }
            let target = destination.subslice(done, read).map_err(|_| Errno::EIO)?;
            target.copy_from(slices::first(&buffer, read)?);
            done += read;
        }
        Ok(())
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
