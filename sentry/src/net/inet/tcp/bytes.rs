//! The bytes on their way to a reader, in order, with TCP's urgent mark among them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Errno;
use crate::net::{SocketMemory, SocketMemoryCharge};

/// The least room that is made at once: single bytes are put beside each other.
const LEAST_CHUNK_BYTES: usize = 2048;
/// The largest chunk.
const MAX_CHUNK_BYTES: usize = 64 * 1024;

struct Chunk {
    bytes: Vec<u8>,
    /// How much of it is read.
    start: usize,
    _charge: SocketMemoryCharge,
}

impl Chunk {
    fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// The urgent byte (`man 7 tcp`, "TCP takes urgent data").
#[derive(Clone, Copy)]
struct Urgent {
    /// Where it is in the stream.
    position: u64,
    byte: u8,
    is_read: bool,
}

/// Bytes in order. Positions count from the first that there ever was.
pub(super) struct ByteQueue {
    chunks: VecDeque<Chunk>,
    read_position: u64,
    write_position: u64,
    urgent: Option<Urgent>,
    memory: Arc<SocketMemory>,
}

/// How to take bytes out.
pub(super) struct Taking<'a> {
    /// How many at most.
    pub(super) max_bytes: usize,
    /// They stay (MSG_PEEK), and begin so far behind what is unread (SO_PEEK_OFF).
    pub(super) peek_offset: Option<usize>,
    /// The urgent byte is one among the others (SO_OOBINLINE).
    pub(super) is_urgent_inline: bool,
    /// Takes a piece; false if not all of it.
    pub(super) take: &'a mut dyn FnMut(&[u8]) -> bool,
}

impl ByteQueue {
    pub(super) fn new(memory: &Arc<SocketMemory>) -> Self {
        Self {
            chunks: VecDeque::new(),
            read_position: 0,
            write_position: 0,
            urgent: None,
            memory: memory.clone(),
        }
    }

    /// Bytes that nobody has read, the urgent one included.
    pub(super) fn unread_bytes(&self) -> usize {
        usize::try_from(self.write_position - self.read_position).unwrap_or(usize::MAX)
    }

    /// How many were ever put in.
    pub(super) fn written_bytes(&self) -> u64 {
        self.write_position
    }

    /// Puts `bytes` in.
    ///
    /// # Errors
    /// ENOBUFS if there is no memory for the first of them; others are left out then.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut pushed = self.push_beside(bytes);
        while let Some(rest) = bytes.get(pushed..).filter(|rest| !rest.is_empty()) {
            let part = rest.get(..MAX_CHUNK_BYTES).unwrap_or(rest);
            let capacity = part.len().max(LEAST_CHUNK_BYTES);
            let charge = match self.memory.charge(capacity) {
                Ok(charge) => charge,
                Err(error) if pushed == 0 => return Err(error),
                Err(_) => break,
            };
            let mut chunk = Vec::with_capacity(capacity);
            chunk.extend_from_slice(part);
            self.chunks.push_back(Chunk { bytes: chunk, start: 0, _charge: charge });
            pushed += part.len();
        }
        self.write_position += pushed as u64;
        Ok(pushed)
    }

    /// Puts into the last chunk what it has room for.
    fn push_beside(&mut self, bytes: &[u8]) -> usize {
        let Some(last) = self.chunks.back_mut() else { return 0 };
        let room = last.bytes.capacity() - last.bytes.len();
        let part = bytes.get(..room).unwrap_or(bytes);
        last.bytes.extend_from_slice(part);
        part.len()
    }

    /// Makes the last byte that was put in the urgent one. An earlier one becomes like all others.
    pub(super) fn mark_urgent(&mut self) {
        let Some(byte) = self.chunks.back().and_then(|chunk| chunk.bytes.last()) else { return };
        self.urgent = Some(Urgent { position: self.write_position - 1, byte: *byte, is_read: false });
    }

    /// Whether an urgent byte waits.
    pub(super) fn has_urgent(&self) -> bool {
        self.urgent.is_some_and(|urgent| !urgent.is_read)
    }

    /// Whether the reader is where the urgent byte is (SIOCATMARK).
    pub(super) fn is_at_mark(&self) -> bool {
        self.urgent.is_some_and(|urgent| urgent.position == self.read_position)
    }

    /// The urgent byte (MSG_OOB).
    ///
    /// # Errors
    /// EINVAL if there is none, or it is read.
    pub(super) fn take_urgent(&mut self, is_peek: bool) -> Result<u8, Errno> {
        let urgent = self.urgent.as_mut().filter(|urgent| !urgent.is_read).ok_or(Errno::EINVAL)?;
        urgent.is_read = !is_peek;
        Ok(urgent.byte)
    }

    /// Bytes that a read could get now, and that FIONREAD tells: up to the urgent one, or behind it.
    pub(super) fn readable_bytes(&self, is_urgent_inline: bool) -> usize {
        let unread = self.unread_bytes();
        match self.urgent.filter(|_| !is_urgent_inline) {
            Some(urgent) if urgent.position == self.read_position => unread - 1,
            Some(urgent) if urgent.position > self.read_position => {
                usize::try_from(urgent.position - self.read_position).unwrap_or(usize::MAX)
            }
            _ => unread,
        }
    }

    /// Takes bytes out, in pieces: how many. Never past the urgent byte, once it has taken any.
    ///
    /// # Errors
    /// EFAULT if the first piece was not taken.
    pub(super) fn read(&mut self, taking: Taking<'_>) -> Result<usize, Errno> {
        let is_peek = taking.peek_offset.is_some();
        let mut position = self.read_position + taking.peek_offset.unwrap_or(0) as u64;
        let mark = self.urgent.map(|urgent| urgent.position);
        if mark == Some(position) && !taking.is_urgent_inline && self.unread_bytes() > 0 {
            position += 1;
            if !is_peek {
                self.advance(1);
            }
        }
        let (mut taken, mut skipped) = (0, position - self.read_position);
        let stop = mark.filter(|mark| *mark > position).map_or(u64::MAX, |mark| mark - position);
        let max_bytes = taking.max_bytes.min(usize::try_from(stop).unwrap_or(usize::MAX));
        for chunk in &self.chunks {
            let unread = chunk.unread();
            let skip = usize::try_from(skipped).unwrap_or(usize::MAX).min(unread.len());
            skipped -= skip as u64;
            let piece = unread.get(skip..).unwrap_or_default();
            let piece = piece.get(..max_bytes - taken).unwrap_or(piece);
            if piece.is_empty() {
                continue;
            }
            if !(taking.take)(piece) {
                if taken == 0 {
                    return Err(Errno::EFAULT);
                }
                break;
            }
            taken += piece.len();
            if taken == max_bytes {
                break;
            }
        }
        if !is_peek {
            self.advance(taken);
        }
        Ok(taken)
    }

    /// `count` bytes have been read.
    fn advance(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let Some(first) = self.chunks.front_mut() else { break };
            let part = first.unread().len().min(left);
            first.start += part;
            left -= part;
            if first.unread().is_empty() {
                self.chunks.pop_front();
            }
        }
        self.read_position += count as u64;
        if self.urgent.is_some_and(|urgent| urgent.position < self.read_position) {
            self.urgent = None;
        }
    }
}

#[cfg(test)]
mod tests;
