//! The page that a vCPU's user code shares with the dispatcher.
//!
//! A cache line belongs to one writer, so that it crosses from one processor to the other once a call:
//!
//! | line | written by | holds |
//! |---|---|---|
//! | request | user code | number, six arguments, sequence number |
//! | answer | the host | value, sequence number, whether to leave by SYSCALL instead |
//! | polled | the host, rarely | whether anybody polls |
//! | record | user code | through which record the call came; its stack pointer while the gate reads the flags |
//! | counts | user code | by the low byte of its number, how often a call was answered in advance |
//! | answers in advance | the host, rarely | by the low byte of its number, a call and its answer |

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use sentry::platform::{GuestAddress, GuestMemory};

/// Offsets in the page.
pub(crate) mod offset {
    /// The number of the call; the six arguments follow.
    pub(crate) const NUMBER: u64 = 0;
    /// Raised to post a request.
    pub(crate) const SEQUENCE: u64 = 56;
    /// The value for RAX.
    pub(crate) const VALUE: u64 = 64;
    /// The request that has been answered.
    pub(crate) const ANSWERED: u64 = 72;
    /// Not 0 if the call must leave by SYSCALL.
    pub(crate) const MUST_LEAVE: u64 = 80;
    /// Not 0 if somebody polls.
    pub(crate) const POLLED: u64 = 128;
    /// Address of the record that the call came through.
    pub(crate) const RECORD: u64 = 192;
    /// RSP, while the gate has another.
    pub(crate) const STACK_POINTER: u64 = 200;
    /// The end of the gate's own stack, which holds one word.
    pub(crate) const STACK_END: u64 = 216;
}

/// How often user code has taken the answer to a call, of 32 bits, by the low byte of its number, which is below
/// [`COUNTED`]: as far as there is room before the numbers.
pub(crate) const COUNTS: u64 = 0x100;
/// Calls that may be answered in advance have numbers whose low bytes are lower.
pub(crate) const COUNTED: u8 = ((NUMBERS - COUNTS) / 4) as u8;
/// Calls that are answered in advance: 256 numbers of 32 bits, by their low bytes.
pub(crate) const NUMBERS: u64 = 0x400;
/// Their answers, of 64 bits.
pub(crate) const VALUES: u64 = 0x800;

/// Words in use, but for the answers in advance.
const WORDS: u64 = 32;

/// A request as it was copied from the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) sequence: u64,
    pub(crate) number: u64,
    pub(crate) arguments: [u64; 6],
}

/// A number that is not looked for in this entry.
const fn absent(entry: u8) -> u32 {
    if entry == 0 { 1 } else { 0 }
}

/// One vCPU's call page, as the host reaches it.
#[derive(Clone, Copy)]
pub(crate) struct CallPage<'a> {
    memory: &'a GuestMemory,
    start: GuestAddress,
}

impl<'a> CallPage<'a> {
    /// The page at guest-physical `start`, which lies in `memory`.
    pub(crate) fn new(memory: &'a GuestMemory, start: GuestAddress) -> Self {
        Self { memory, start }
    }

    /// The sequence number of the last request.
    pub(crate) fn sequence(&self) -> u64 {
        self.load(offset::SEQUENCE)
    }

    /// Copies the request.
    pub(crate) fn request(&self) -> Request {
        let sequence = self.sequence();
        let arguments = std::array::from_fn(|index| self.load(8 + index as u64 * 8));
        Request { sequence, number: self.number(), arguments }
    }

    /// The number of the call that was posted last.
    pub(crate) fn number(&self) -> u64 {
        self.load(offset::NUMBER)
    }

    /// The record that a call came through.
    pub(crate) fn record(&self) -> u64 {
        self.load(offset::RECORD)
    }

    /// The program's RSP, while the gate has another.
    pub(crate) fn stack_pointer(&self) -> u64 {
        self.load(offset::STACK_POINTER)
    }

    /// Answers request `sequence`; `None` has it leave by SYSCALL.
    pub(crate) fn answer(&self, sequence: u64, value: Option<u64>) {
        self.store(offset::VALUE, value.unwrap_or(0));
        self.store(offset::MUST_LEAVE, u64::from(value.is_none()));
        self.store(offset::ANSWERED, sequence);
    }

    /// Tells user code whether anybody polls.
    pub(crate) fn set_polled(&self, is_polled: bool) {
        self.store(offset::POLLED, u64::from(is_polled));
    }

    /// Forgets what another process left here, but for the answers in advance.
    pub(crate) fn clear(&self) {
        for word in 0..WORDS {
            self.store(word * 8, 0);
        }
    }

    /// Makes a page without answers in advance of one that is all zeroes: call 0 is none.
    pub(crate) fn initialize(&self) {
        self.set_number(0, absent(0));
    }

    /// How often user code has taken the answer to call `number` since this was last asked.
    pub(crate) fn take_count(&self, number: u8) -> u32 {
        let address = GuestAddress(self.start.0 + COUNTS + u64::from(number) * 4);
        self.memory.atomic::<AtomicU32>(address).map_or(0, |word| word.swap(0, Ordering::Relaxed))
    }

    /// Answers call `number` in advance; `None` no longer does.
    pub(crate) fn set_answer(&self, number: u8, value: Option<u64>) {
        let value = value.filter(|_| number < COUNTED);
        self.set_number(number, absent(number));
        if let Some(value) = value {
            self.store(VALUES + u64::from(number) * 8, value);
            self.set_number(number, number.into());
        }
    }

    fn set_number(&self, entry: u8, number: u32) {
        let address = GuestAddress(self.start.0 + NUMBERS + u64::from(entry) * 4);
        if let Ok(word) = self.memory.atomic::<AtomicU32>(address) {
            word.store(number, Ordering::Release);
        }
    }

    /// Posts a request as the gate would, without arguments.
    #[cfg(test)]
    pub(crate) fn post(&mut self, record: u64, number: u64) {
        self.store(offset::RECORD, record);
        self.store(offset::NUMBER, number);
        self.store(offset::SEQUENCE, self.sequence() + 1);
    }

    /// Notes RSP as the gate would.
    #[cfg(test)]
    pub(crate) fn set_stack_pointer(&mut self, stack_pointer: u64) {
        self.store(offset::STACK_POINTER, stack_pointer);
    }

    fn load(&self, offset: u64) -> u64 {
        self.word(offset).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn store(&self, offset: u64, value: u64) {
        if let Some(word) = self.word(offset) {
            word.store(value, Ordering::Release);
        }
    }

    fn word(&self, offset: u64) -> Option<&'a AtomicU64> {
        self.memory.atomic(GuestAddress(self.start.0 + offset)).ok()
    }
}
