//! Reading and writing a file through its pages.

use std::sync::Arc;

use super::{MAX_ATTEMPTS, MAX_SIZE, PageCache, WRITE_PAGES, locate, pages_of};
use crate::Errno;
use crate::memory::allocator::FrameAllocator;
use crate::memory::table::Entry;
use crate::memory::{FrameUse, MemoryAccount};
use crate::platform::{PAGE_SHIFT, PAGE_SIZE};

/// Pages that a first read fetches, and that a sequential one reaches.
const READ_AHEAD_PAGES: std::ops::Range<u64> = 16..128;

/// How far a copy under the lock got.
enum Progress {
    Bytes(usize),
    /// This page is needed first.
    Missing(u64),
}

impl PageCache {
    /// Reads from `offset` on, and returns how many bytes there were: fewer than asked for at the end of the file. `payer`
    /// pays for what is fetched.
    ///
    /// # Errors
    /// The source's, or ENOMEM, if nothing was read before it.
    pub fn read_at(
        &self,
        buffer: &mut [u8],
        offset: u64,
        payer: Option<&Arc<MemoryAccount>>,
    ) -> Result<usize, Errno> {
        self.advance(buffer.len(), offset, (payer, FrameUse::File), |done, position| {
            Ok(self.read_present(&mut buffer[done..], position))
        })
    }

    /// Writes `data` at `offset`, and returns how much of it fit. The file grows as needed; a gap is a hole. `payer` pays for
    /// new pages.
    ///
    /// # Errors
    /// EFBIG past the largest file; the source's, the budget's or ENOMEM, if nothing was written before it.
    pub fn write_at(
        &self,
        data: &[u8],
        offset: u64,
        payer: Option<&Arc<MemoryAccount>>,
    ) -> Result<usize, Errno> {
        if data.is_empty() {
            return Ok(0);
        }
        let _writing = self.begin_write();
        let room = MAX_SIZE.checked_sub(offset).filter(|&room| room > 0).ok_or(Errno::EFBIG)?;
        let data = &data[..data.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        self.advance(data.len(), offset, (payer, FrameUse::Shared), |done, position| {
            self.copy_into_present(&data[done..], position, payer.map(|payer| &**payer))
        })
    }

    /// Repeats `step`, which copies at (bytes done, position) what it can, until `len_bytes` are done or it
    /// does nothing more; fetches the pages that it misses. `payer` pays, and other pages that are needed are for `frame_use`.
    fn advance(
        &self,
        len_bytes: usize,
        offset: u64,
        (payer, frame_use): (Option<&Arc<MemoryAccount>>, FrameUse),
        mut step: impl FnMut(usize, u64) -> Result<Progress, Errno>,
    ) -> Result<usize, Errno> {
        let (mut done, mut attempts, mut has_reclaimed) = (0, 0, false);
        while done < len_bytes {
            let Some(position) = offset.checked_add(done as u64) else { break };
            let outcome = match step(done, position) {
                Ok(Progress::Bytes(0)) => break,
                Ok(Progress::Bytes(count)) => {
                    done += count;
                    (attempts, has_reclaimed) = (0, false);
                    Ok(())
                }
                Ok(Progress::Missing(_)) if attempts == MAX_ATTEMPTS => Err(Errno::ENOMEM),
                Ok(Progress::Missing(page)) => {
                    attempts += 1;
                    self.read_ahead(page, pages_of((len_bytes - done) as u64), payer.map(|payer| &**payer))
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => {}
                Err(Errno::ENOMEM)
                    if !has_reclaimed && self.frames.relieve(payer, frame_use, WRITE_PAGES as usize) > 0 =>
                {
                    has_reclaimed = true;
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Fetches `page`, of `wanted` pages that will be read, and more if the file is being read in sequence.
    fn read_ahead(&self, page: u64, wanted: u64, payer: Option<&MemoryAccount>) -> Result<(), Errno> {
        let count = {
            let mut state = self.state.write();
            state.window = match state.next_read == page {
                true => (state.window * 2).clamp(READ_AHEAD_PAGES.start, READ_AHEAD_PAGES.end),
                false => READ_AHEAD_PAGES.start,
            };
            let count = state.window.max(wanted.min(READ_AHEAD_PAGES.end));
            state.next_read = page + count;
            count
        };
        match self.populate(page, page..page + count, payer) {
            Err(_) if count > 1 => self.populate(page, page..page + 1, payer),
            outcome => outcome,
        }
    }

    fn read_present(&self, buffer: &mut [u8], position: u64) -> Progress {
        let state = self.state.read();
        let left = state.size.saturating_sub(position);
        let len_bytes = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < len_bytes {
            let (page, within) = locate(position + done as u64);
            let count = (PAGE_SIZE as usize - within).min(len_bytes - done);
            let target = &mut buffer[done..done + count];
            match state.pages.get(page) {
                Some(entry) => copy_out(&self.frames, entry, within, target),
                None if page >= pages_of(state.source_end) => target.fill(0),
                None if done > 0 => break,
                None => return Progress::Missing(page),
            }
            done += count;
        }
        Progress::Bytes(done)
    }

    fn copy_into_present(
        &self,
        data: &[u8],
        position: u64,
        payer: Option<&MemoryAccount>,
    ) -> Result<Progress, Errno> {
        let mut state = self.state.write();
        let has_mappers = !self.mappers.lock().is_empty();
        let mut done = 0;
        let portion = data.len().min((WRITE_PAGES << PAGE_SHIFT) as usize);
        while done < portion {
            let (page, within) = locate(position + done as u64);
            let count = (PAGE_SIZE as usize - within).min(portion - done);
            if state.pages.get(page).is_none() {
                let is_partial = count < PAGE_SIZE as usize;
                if is_partial && page < pages_of(state.source_end) {
                    match done {
                        0 => return Ok(Progress::Missing(page)),
                        _ => break,
                    }
                }
                let whole_pages = ((portion - done) as u64 >> PAGE_SHIFT).max(1);
                if let Err(error) = self.insert_zeroes(&mut state, page..page + whole_pages, payer) {
                    // A smaller piece may fit still.
                    let single = self.insert_zeroes(&mut state, page..page + 1, payer);
                    match (single, done) {
                        (Ok(()), _) => {}
                        (Err(_), 0) => return Err(error),
                        (Err(_), _) => break,
                    }
                }
            }
            let Some(entry) = state.pages.get(page) else { break };
            match self.mark_changed(&mut state, page, entry) {
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => copy_in(&self.frames, entry, within, &data[done..done + count]),
            }
            done += count;
        }
        let (end, old_size) = (position + done as u64, state.size);
        if end > old_size {
            // What a mapping left behind the end of the file must not appear as it grows.
            if has_mappers && position > old_size {
                self.zero_tail(&state, old_size);
            }
            state.size = end;
        }
        Ok(Progress::Bytes(done))
    }
}

fn copy_out(frames: &FrameAllocator, entry: Entry, within: usize, target: &mut [u8]) {
    if let Ok(rest) = frames.slice(entry.number(), PAGE_SIZE as usize).offset(within) {
        rest.copy_to(target);
    }
}

fn copy_in(frames: &FrameAllocator, entry: Entry, within: usize, data: &[u8]) {
    if let Ok(rest) = frames.slice(entry.number(), PAGE_SIZE as usize).offset(within) {
        rest.copy_from(data);
    }
}
