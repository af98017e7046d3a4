//! The memory that a read fills or a write empties: one buffer, or the pieces of an iovec.

use linux_raw_sys::general as uapi;

use super::arguments::{UserPointer, UserSlice};
use crate::Errno;
use crate::abi::Iovec;
use crate::memory::{MemoryManager, PagePart};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;
use crate::width::u64_from;

/// The most that one call moves: Linux's `MAX_RW_COUNT`.
pub(crate) const MAX_TRANSFER_LEN: usize = 0x7fff_f000;

/// The most pieces of an iovec (`UIO_MAXIOV`).
pub(super) const MAX_PIECES: usize = uapi::UIO_MAXIOV as usize;

/// Pieces of user memory, used up from the front.
#[derive(Clone)]
pub(crate) struct UserBuffers {
    /// In reverse, so that the next one is the last.
    pieces: Vec<(u64, usize)>,
    remaining: usize,
}

impl UserBuffers {
    /// What the list of pieces takes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.pieces.capacity() * size_of::<(u64, usize)>()
    }

    /// One buffer.
    ///
    /// # Errors
    /// EFAULT if it cannot be user memory.
    pub(super) fn single(buffer: UserSlice) -> Result<Self, Errno> {
        let UserSlice { address: VirtualAddress(address), len_bytes } = buffer;
        check_range(address, len_bytes)?;
        let remaining = usize::try_from(len_bytes).unwrap_or(usize::MAX).min(MAX_TRANSFER_LEN);
        Ok(Self { pieces: vec![(address, remaining)], remaining })
    }

    /// One buffer of a message, of which no more counts than one call moves.
    ///
    /// # Errors
    /// EFAULT if that cannot be user memory.
    pub(super) fn message(buffer: UserSlice) -> Result<Self, Errno> {
        let len_bytes = buffer.len_bytes.min(u64_from(MAX_TRANSFER_LEN));
        Self::single(UserSlice { len_bytes, ..buffer })
    }

    /// The buffers of an iovec (`man 2 readv`).
    ///
    /// # Errors
    /// EINVAL for too many pieces or an absurd length, EFAULT.
    pub(super) fn vector(task: &CurrentTask, vector: UserPointer<Iovec>, count: u64) -> Result<Self, Errno> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > MAX_PIECES {
            return Err(Errno::EINVAL);
        }
        let vector = read_pieces(task, vector, count)?;
        let (mut pieces, mut remaining) = (Vec::with_capacity(vector.len()), 0);
        for Iovec { iov_base: start, iov_len: len_bytes } in vector {
            check_range(start, len_bytes)?;
            let len = usize::try_from(len_bytes).unwrap_or(usize::MAX).min(MAX_TRANSFER_LEN - remaining);
            remaining += len;
            if len > 0 {
                pieces.push((start, len));
            }
        }
        pieces.reverse();
        Ok(Self { pieces, remaining })
    }

    /// Bytes left.
    pub(crate) fn remaining(&self) -> usize {
        self.remaining
    }

    /// Bytes left in the first buffer that has any.
    pub(crate) fn first_len(&self) -> usize {
        self.pieces.iter().rev().map(|(_, len)| *len).find(|len| *len > 0).unwrap_or(0)
    }

    /// How many of the next `len_bytes` can be written, up to the first that cannot.
    pub(crate) fn writable_len(&self, memory: &MemoryManager, len_bytes: usize) -> usize {
        let mut left = len_bytes;
        for &(address, len) in self.pieces.iter().rev() {
            let part = len.min(left);
            let writable = memory.writable_len(VirtualAddress(address), part);
            left -= writable;
            if left == 0 || writable < part {
                break;
            }
        }
        len_bytes - left
    }

    /// Copies `bytes` to the next bytes; how many could be.
    pub(crate) fn fill(&mut self, memory: &MemoryManager, bytes: &[u8]) -> usize {
        self.advance(bytes.len(), |address, range| {
            memory.write_partial(VirtualAddress(address), bytes.get(range).unwrap_or_default())
        })
    }

    /// Copies the next bytes to `buffer`; how many could be.
    pub(crate) fn take(&mut self, memory: &MemoryManager, buffer: &mut [u8]) -> usize {
        self.advance(buffer.len(), |address, range| {
            memory.read_partial(VirtualAddress(address), buffer.get_mut(range).unwrap_or_default())
        })
    }

    /// The pages of the next bytes, at most `max_pages` parts of one page each, up to the first that cannot be read.
    ///
    /// # Errors
    /// EFAULT: there is none.
    pub(super) fn pages(&self, memory: &MemoryManager, max_pages: usize) -> Result<Vec<PagePart>, Errno> {
        let mut parts = Vec::new();
        for &(start, len) in self.pieces.iter().rev() {
            let mut done = 0;
            while done < len && parts.len() < max_pages {
                let address = VirtualAddress(start.wrapping_add(done as u64));
                match memory.page_part(address, len - done) {
                    Err(error) if parts.is_empty() => return Err(error),
                    Err(_) => return Ok(parts),
                    Ok(part) => {
                        done += part.range.len();
                        parts.push(part);
                    }
                }
            }
        }
        Ok(parts)
    }

    /// Goes through the next `len_bytes` piece by piece; `copy` says how much of a piece it managed.
    fn advance(
        &mut self,
        len_bytes: usize,
        mut copy: impl FnMut(u64, std::ops::Range<usize>) -> usize,
    ) -> usize {
        let mut done = 0;
        while done < len_bytes {
            let Some((address, len)) = self.pieces.last_mut() else { break };
            let part = (*len).min(len_bytes - done);
            let copied = copy(*address, done..done + part);
            *address = address.wrapping_add(u64_from(copied));
            *len -= copied;
            let is_used_up = *len == 0;
            done += copied;
            self.remaining -= copied;
            if is_used_up {
                self.pieces.pop();
            }
            if copied < part {
                break;
            }
        }
        done
    }
}

/// The pieces of an iovec. What is wrong with the length of one is said before what cannot be read behind it, and before what is
/// wrong with a place.
fn read_pieces(task: &CurrentTask, vector: UserPointer<Iovec>, count: usize) -> Result<Vec<Iovec>, Errno> {
    let has_bad_length = |piece: &Iovec| i64::try_from(piece.iov_len).is_err();
    let pieces = match vector.read_array(task, count) {
        Ok(pieces) => pieces,
        Err(error) => {
            let readable = (0..count).map_while(|index| vector.element(index).read(task).ok());
            return Err(if readable.into_iter().any(|piece| has_bad_length(&piece)) {
                Errno::EINVAL
            } else {
                error
            });
        }
    };
    if pieces.iter().any(has_bad_length) { Err(Errno::EINVAL) } else { Ok(pieces) }
}

/// Fails with EFAULT for what cannot be user memory, mapped or not.
pub(super) fn check_range(address: u64, len_bytes: u64) -> Result<(), Errno> {
    let end = address.checked_add(len_bytes).ok_or(Errno::EFAULT)?;
    if end > VirtualAddress::USER_END.0 { Err(Errno::EFAULT) } else { Ok(()) }
}
