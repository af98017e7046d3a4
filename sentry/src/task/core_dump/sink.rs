//! Where a core dump goes: a file, up to RLIMIT_CORE, or a pipe.

use crate::Errno;
use crate::fs::FileDescription;
use crate::task::CurrentTask;
use crate::wait::Events;

/// Zeroes that fill holes in a pipe.
const ZEROES: [u8; 4096] = [0; 4096];

/// A file that is being filled.
pub(super) struct Sink<'a> {
    task: &'a CurrentTask,
    file: &'a FileDescription,
    kill_count: u64,
    position: u64,
    /// Bytes that may still be written; holes do not count.
    left_bytes: u64,
}

impl<'a> Sink<'a> {
    /// Fills `file` with the core of the process of `task`, at most `limit_bytes`.
    pub(super) fn new(task: &'a CurrentTask, file: &'a FileDescription, limit_bytes: u64) -> Self {
        let kill_count = task.thread_group().kill_count();
        Self { task, file, kill_count, position: 0, left_bytes: limit_bytes }
    }

    /// Writes `bytes`.
    ///
    /// # Errors
    /// EFBIG: they do not fit the limit. EINTR: somebody kills the process. The errors of write(2).
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.check_alive()?;
        self.left_bytes = self.left_bytes.checked_sub(bytes.len() as u64).ok_or(Errno::EFBIG)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = self.write_some(rest)?;
            rest = rest.get(written..).filter(|_| written > 0).ok_or(Errno::EIO)?;
            self.position += written as u64;
        }
        Ok(())
    }

    /// Writes what there is room for, once there is.
    fn write_some(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let file = self.file.file();
        let waiter = self.task.task().waiter().clone();
        let _registration = file.wait_queue().map(|queue| queue.register(Events::OUT, waiter));
        loop {
            match file.write_at(bytes, self.position) {
                Err(Errno::EAGAIN) => {
                    self.check_alive()?;
                    self.task.rest(None);
                }
                result => return result,
            }
        }
    }

    fn check_alive(&self) -> Result<(), Errno> {
        let is_killed = self.task.thread_group().kill_count() != self.kill_count;
        if is_killed { Err(Errno::EINTR) } else { Ok(()) }
    }

    /// Leaves a hole.
    ///
    /// # Errors
    /// EFBIG: the file would be too long for any.
    pub(super) fn skip(&mut self, len_bytes: u64) -> Result<(), Errno> {
        if !self.file.file().is_seekable() {
            return self.write_zeroes(len_bytes);
        }
        let end = self.position.checked_add(len_bytes).filter(|end| i64::try_from(*end).is_ok());
        self.position = end.ok_or(Errno::EFBIG)?;
        Ok(())
    }

    fn write_zeroes(&mut self, len_bytes: u64) -> Result<(), Errno> {
        let mut left = len_bytes;
        while left > 0 {
            let portion = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROES.len());
            self.write(&ZEROES[..portion])?;
            left -= portion as u64;
        }
        Ok(())
    }

    /// Makes the file as long as it is, with a hole at its end.
    pub(super) fn finish(self) {
        let file = self.file.file();
        if file.is_seekable() && file.truncate(self.position).is_err() {
            log::warn!("a core file is shorter than it should be");
        }
    }
}
