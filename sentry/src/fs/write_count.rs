//! Who writes a file, and who forbids it because it is executed: ETXTBSY (`man 2 execve`, `man 2 open`).
//!
//! Both are counted by inode (Linux's `i_writecount`): a file is written by many or denied to all of them by many,
//! never both at a time. What is counted is a value that is kept for as long as it holds, so no count is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::inode::Inode;
use super::mount::WriteAccess;
use super::path::Path;
use crate::Errno;

/// The writers of an inode; below zero, those who deny it to them.
#[derive(Default)]
pub struct WriteCount(AtomicI32);

impl WriteCount {
    /// How many there are; below zero, how many deny it to them.
    pub(super) fn writers(&self) -> i32 {
        self.0.load(Ordering::Acquire)
    }

    /// Moves the count by `step`, away from zero; false if those of the other sign are there.
    fn try_move(&self, step: i32) -> bool {
        let moved = |count: i32| {
            let is_mixed = count.signum() == -step.signum();
            if is_mixed { None } else { count.checked_add(step) }
        };
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, moved).is_ok()
    }
}

/// Somebody may write the contents of an inode: nobody executes it meanwhile.
pub(super) struct ContentsWriter(Arc<dyn Inode>);

impl ContentsWriter {
    /// Counts a writer of `inode`.
    ///
    /// # Errors
    /// ETXTBSY: it is executed.
    pub(super) fn begin(inode: &Arc<dyn Inode>) -> Result<Self, Errno> {
        match inode.write_count() {
            Some(count) if !count.try_move(1) => Err(Errno::ETXTBSY),
            _ => Ok(Self(inode.clone())),
        }
    }
}

impl Drop for ContentsWriter {
    fn drop(&mut self) {
        if let Some(count) = self.0.write_count() {
            count.0.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// An inode is executed: nobody may write its contents meanwhile.
pub struct WriteDenial(Arc<dyn Inode>);

impl WriteDenial {
    /// Denies `inode` to writers.
    ///
    /// # Errors
    /// ETXTBSY: somebody may write it.
    pub fn begin(inode: &Arc<dyn Inode>) -> Result<Self, Errno> {
        match inode.write_count() {
            Some(count) if !count.try_move(-1) => Err(Errno::ETXTBSY),
            _ => Ok(Self(inode.clone())),
        }
    }
}

impl Drop for WriteDenial {
    fn drop(&mut self) {
        if let Some(count) = self.0.write_count() {
            count.0.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Leave to write an open file: its mount stays writable, and nobody executes it.
pub(super) struct WriteLeave {
    _mount: WriteAccess,
    _contents: ContentsWriter,
}

impl WriteLeave {
    /// For the file at `path`.
    ///
    /// # Errors
    /// EROFS, ETXTBSY.
    pub(super) fn take(path: &Path) -> Result<Self, Errno> {
        Ok(Self { _mount: path.mount.begin_writing()?, _contents: ContentsWriter::begin(path.inode())? })
    }
}

/// The file that an address space was loaded from (`/proc/PID/exe`). Nobody may write it until the last who executes it
/// is gone or executes another.
pub struct ExecutedFile {
    path: Path,
    _denial: WriteDenial,
}

impl ExecutedFile {
    /// The file at `path`, denied to writers by `denial`.
    pub fn new(path: Path, denial: WriteDenial) -> Arc<Self> {
        Arc::new(Self { path, _denial: denial })
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests;
