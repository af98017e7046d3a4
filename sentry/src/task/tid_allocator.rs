//! Which numbers of a PID namespace are in use.
//!
//! A number is in use while a task, a process group or a session has it. A bitmap of three levels finds the next
//! free one in constant time however many are taken: a bit of an upper level says that the word below is full.

use super::id::Tid;
use crate::Errno;

const WORD_BITS: usize = 64;
/// Numbers 0..=65,536 rounded up to whole words.
const LEAF_WORDS: usize = (Tid::MAX.0 as usize + 1).div_ceil(WORD_BITS);
const MIDDLE_WORDS: usize = LEAF_WORDS.div_ceil(WORD_BITS);

/// The numbers of one PID namespace.
pub(super) struct TidAllocator {
    /// How many of task, process group and session hold each number.
    holders: Vec<u8>,
    /// A set bit is a number in use.
    leaves: Vec<u64>,
    /// A set bit is a leaf without a free number.
    middle: Vec<u64>,
    /// A set bit is a middle word without a free leaf.
    top: u64,
    last: Tid,
}

impl TidAllocator {
    pub(super) fn new() -> Self {
        let capacity = LEAF_WORDS * WORD_BITS;
        let mut allocator = Self {
            holders: vec![0; capacity],
            leaves: vec![0; LEAF_WORDS],
            middle: vec![0; MIDDLE_WORDS],
            top: 0,
            last: Tid(0),
        };
        // What lies past the bitmaps' ends, and 0, is never free.
        for leaf in LEAF_WORDS..MIDDLE_WORDS * WORD_BITS {
            allocator.middle[leaf / WORD_BITS] |= 1 << (leaf % WORD_BITS);
        }
        allocator.top = u64::MAX << MIDDLE_WORDS;
        for number in std::iter::once(0).chain(Tid::MAX.0 as usize + 1..capacity) {
            allocator.set_in_use(number, true);
        }
        allocator
    }

    /// Gives the next free number after the last one given, wrapping past `end`, or [`Tid::MAX`], to the first after init's.
    ///
    /// # Errors
    /// EAGAIN if every number is in use.
    pub(super) fn allocate(&mut self, end: Tid) -> Result<Tid, Errno> {
        let lowest = if self.last.0 == 0 { Tid::INIT.0 } else { Tid::INIT.0 + 1 } as usize;
        let after_last = self.last.0 as usize + 1;
        let free_from = |start| self.next_free(start).filter(|number| *number <= end.0 as usize);
        let number = free_from(after_last.max(lowest)).or_else(|| free_from(lowest)).ok_or(Errno::EAGAIN)?;
        let tid = Tid(i32::try_from(number).map_err(|_| Errno::EAGAIN)?);
        self.last = tid;
        self.hold(tid);
        Ok(tid)
    }

    /// Gives `tid` itself (clone3's `set_tid`).
    ///
    /// # Errors
    /// EINVAL if it is no number to give, EEXIST if it is in use.
    pub(super) fn allocate_exactly(&mut self, tid: Tid) -> Result<(), Errno> {
        if tid.0 < Tid::INIT.0 || tid > Tid::MAX {
            return Err(Errno::EINVAL);
        }
        if self.holders[tid.0 as usize] > 0 {
            return Err(Errno::EEXIST);
        }
        self.last = self.last.max(tid);
        self.hold(tid);
        Ok(())
    }

    /// One more holder of a number that is in use.
    pub(super) fn hold(&mut self, tid: Tid) {
        let number = tid.0 as usize;
        self.holders[number] += 1;
        if self.holders[number] == 1 {
            self.set_in_use(number, true);
        }
    }

    /// One holder fewer.
    pub(super) fn release(&mut self, tid: Tid) {
        let number = tid.0 as usize;
        debug_assert!(self.holders[number] > 0, "{tid} is not in use");
        self.holders[number] = self.holders[number].saturating_sub(1);
        if self.holders[number] == 0 {
            self.set_in_use(number, false);
        }
    }

    /// Has the next number be one after `tid`.
    pub(super) fn set_last(&mut self, tid: Tid) {
        self.last = tid.min(Tid::MAX);
    }

    /// The number given last.
    pub(super) fn last(&self) -> Tid {
        self.last
    }

    fn set_in_use(&mut self, number: usize, is_in_use: bool) {
        let leaf = number / WORD_BITS;
        set_bit(&mut self.leaves[leaf], number % WORD_BITS, is_in_use);
        let word = leaf / WORD_BITS;
        set_bit(&mut self.middle[word], leaf % WORD_BITS, self.leaves[leaf] == u64::MAX);
        set_bit(&mut self.top, word, self.middle[word] == u64::MAX);
    }

    /// The first free number at or after `start`.
    fn next_free(&self, start: usize) -> Option<usize> {
        let leaf = start / WORD_BITS;
        if let Some(bit) = first_zero(*self.leaves.get(leaf)?, start % WORD_BITS) {
            return Some(leaf * WORD_BITS + bit);
        }
        let word = (leaf + 1) / WORD_BITS;
        let leaf = match first_zero(*self.middle.get(word)?, (leaf + 1) % WORD_BITS) {
            Some(bit) => word * WORD_BITS + bit,
            None => {
                let word = first_zero(self.top, word + 1)?;
                word * WORD_BITS + first_zero(self.middle[word], 0)?
            }
        };
        first_zero(self.leaves[leaf], 0).map(|bit| leaf * WORD_BITS + bit)
    }
}

fn set_bit(word: &mut u64, bit: usize, is_set: bool) {
    let mask = 1 << bit;
    *word = if is_set { *word | mask } else { *word & !mask };
}

/// The lowest clear bit at or above `from`.
fn first_zero(word: u64, from: usize) -> Option<usize> {
    let below = 1u64.checked_shl(u32::try_from(from).ok()?)? - 1;
    let bit = (word | below).trailing_ones() as usize;
    (bit < WORD_BITS).then_some(bit)
}

#[cfg(test)]
mod tests;
