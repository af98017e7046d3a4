//! /proc/PID/mem: the memory of a process, by address, whatever its protection.

use std::any::Any;
use std::sync::{Arc, Weak};

use crate::Errno;
use crate::fs::proc::About;
use crate::fs::{File, Metadata, Splicing, Viewer};
use crate::memory::MemoryManager;
use crate::platform::VirtualAddress;

/// Opens the memory of the process that `about` tells of: whoever may trace it may (`man 2 ptrace`). The file is about
/// that address space for good: execve leaves it behind.
pub(super) fn open(about: &About, viewer: &Viewer, metadata: Metadata) -> Result<Arc<dyn File>, Errno> {
    // Before the question: what the process executes meanwhile is not what the answer is about.
    let memory = about.process()?.address_space();
    about.inspect(viewer)?;
    // As on Linux the file of a process that has ended opens, and is empty.
    let memory = memory.map_or_else(Weak::new, |memory| Arc::downgrade(&memory));
    Ok(Arc::new(MemoryFile { memory, metadata }))
}

struct MemoryFile {
    memory: Weak<MemoryManager>,
    metadata: Metadata,
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let Some(memory) = self.memory.upgrade() else { return Ok(0) };
        match memory.read_forced(VirtualAddress(offset), buffer) {
            0 if !buffer.is_empty() => Err(Errno::EIO),
            read => Ok(read),
        }
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno> {
        let Some(memory) = self.memory.upgrade() else { return Ok(0) };
        match memory.write_forced(VirtualAddress(offset), buffer) {
            0 if !buffer.is_empty() => Err(Errno::EIO),
            written => Ok(written),
        }
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn seeks_from_end(&self) -> bool {
        false
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.metadata)
    }

    fn truncate(&self, _len_bytes: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
