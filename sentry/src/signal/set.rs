//! Sets of signals: the kernel's 64-bit `sigset_t`.

use std::fmt;
use std::ops::{BitAnd, BitOr, Not, Sub};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Signal;

/// A set of signals; bit N-1 stands for signal N.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);
    /// SIGKILL and SIGSTOP, which cannot be blocked.
    pub const UNBLOCKABLE: Self = Self::of(&[Signal::SIGKILL, Signal::SIGSTOP]);
    /// Those that the processor's exceptions raise, which are delivered before all others.
    pub const SYNCHRONOUS: Self = Self::of(&[
        Signal::SIGSEGV,
        Signal::SIGBUS,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGFPE,
        Signal::SIGSYS,
    ]);
    /// Those that stop a process by default.
    pub const STOP: Self = Self::of(&[Signal::SIGSTOP, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU]);
    /// The size in bytes that system calls demand of the caller.
    pub const SIZE_BYTES: u64 = 8;

    /// The set of these signals.
    pub const fn of(signals: &[Signal]) -> Self {
        let (mut bits, mut position) = (0, 0);
        while position < signals.len() {
            bits |= 1 << signals[position].index();
            position += 1;
        }
        Self(bits)
    }

    /// The set with these bits, bit N-1 for signal N.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits, bit N-1 for signal N.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether no signal is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `signal` is in the set.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & (1 << signal.index()) != 0
    }

    /// Adds `signal`.
    pub const fn insert(&mut self, signal: Signal) {
        self.0 |= 1 << signal.index();
    }

    /// Takes `signal` out.
    pub const fn remove(&mut self, signal: Signal) {
        self.0 &= !(1 << signal.index());
    }

    /// Whether the sets share a signal.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set as a mask of blocked signals: without those that cannot be blocked.
    pub const fn as_blocked_mask(self) -> Self {
        Self(self.0 & !Self::UNBLOCKABLE.0)
    }

    /// The lowest signal in the set.
    pub fn first(self) -> Option<Signal> {
        (self.0 != 0).then(|| Signal::new(self.0.trailing_zeros() as i32 + 1).ok()).flatten()
    }

    /// The signals in the set, lowest first.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let signal = rest.first()?;
            rest.remove(signal);
            Some(signal)
        })
    }
}

impl BitOr for SignalSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for SignalSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for SignalSet {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Not for SignalSet {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests;
