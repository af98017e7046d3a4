//! What mappings show of a file: fetched from the host, and written back to it.

use std::sync::{Arc, OnceLock};

use vm_memory::VolatileSlice;

use super::handle::Handle;
use super::retry;
use crate::Errno;
use crate::host::{HostCall, count_call};
use crate::memory::{PageSource, fill_by_reads};
use crate::platform::PAGE_SIZE;

/// By which mapped pages are fetched and written back.
#[derive(Default)]
pub(super) struct MappedHandles {
    pub(super) readable: OnceLock<Arc<Handle>>,
    pub(super) writable: OnceLock<Arc<Handle>>,
}

/// The pages of the file.
pub(super) struct VolumePages(pub(super) Arc<MappedHandles>);

impl VolumePages {
    fn size(&self) -> Result<u64, Errno> {
        let handle = self.0.readable.get().ok_or(Errno::EIO)?;
        size_of(handle)
    }
}

impl PageSource for VolumePages {
    /// Pages behind the end of the file are ENXIO: somebody else has cut it.
    fn fill(&self, offset: u64, destination: VolatileSlice<'_>) -> Result<(), Errno> {
        let handle = self.0.readable.get().ok_or(Errno::EIO)?;
        let read = |portion: &mut [u8], position| {
            count_call(HostCall::ReadAt);
            retry(|| rustix::io::pread(&**handle, &mut *portion, position))
        };
        let done = fill_by_reads(offset, destination, read)?;
        let is_cut = done.next_multiple_of(PAGE_SIZE as usize) < destination.len();
        if is_cut { Err(Errno::ENXIO) } else { Ok(()) }
    }

    fn takes_changes(&self) -> bool {
        self.0.writable.get().is_some()
    }

    /// What lies behind the end of the file by now is lost, as on Linux: a mapping never lets a file grow.
    fn take_back(&self, offset: u64, changed: VolatileSlice<'_>) -> Result<(), Errno> {
        let handle = self.0.writable.get().ok_or(Errno::EROFS)?;
        let left = usize::try_from(self.size()?.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; changed.len()];
        changed.copy_to(&mut bytes);
        bytes.truncate(left);
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let position = offset.checked_add(done as u64).ok_or(Errno::EFBIG)?;
            count_call(HostCall::WriteAt);
            match retry(|| rustix::io::pwrite(&**handle, rest, position))? {
                0 => return Err(Errno::EIO),
                written => done += written,
            }
        }
        Ok(())
    }

    fn current_size(&self) -> Option<u64> {
        self.size().ok()
    }
}

pub(super) fn size_of(handle: &Handle) -> Result<u64, Errno> {
    count_call(HostCall::Stat);
    let stat = rustix::fs::fstat(handle)?;
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}
