//! The position of an open file.
//!
//! One operation at a time has it, and may have it for long: who waits for its turn sleeps, and can be stopped or ended.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::OuterPosition;
use crate::wait::{Events, WaitQueue};

/// Nobody has the position.
const FREE: u8 = 0;
/// An operation has it.
const TAKEN: u8 = 1;
/// An operation has it, and another may be waiting.
const AWAITED: u8 = 2;

/// The position of a description, and whose turn it is.
#[derive(Default)]
pub(super) struct OwnPosition {
    value: AtomicU64,
    turn: AtomicU8,
    /// Made when somebody has to wait, which is rare.
    queue: OnceLock<WaitQueue>,
}

impl OwnPosition {
    pub(super) fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, position: u64) {
        self.value.store(position, Ordering::Relaxed);
    }

    /// Where the end of a turn is announced.
    pub(super) fn queue(&self) -> &WaitQueue {
        self.queue.get_or_init(WaitQueue::default)
    }

    /// Takes the turn. If another operation has it, its end will be announced.
    pub(super) fn try_turn(&self) -> Option<Turn<'_>> {
        let taken = self.turn.fetch_update(Ordering::Acquire, Ordering::Relaxed, |turn| {
            Some(if turn == FREE { TAKEN } else { AWAITED })
        });
        (taken == Ok(FREE)).then_some(Turn(self))
    }
}

/// An operation's turn; dropping it lets the next have theirs.
#[must_use = "dropping the turn lets others have theirs"]
pub struct Turn<'a>(&'a OwnPosition);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.0.turn.swap(FREE, Ordering::Release) == AWAITED {
            self.0.queue().notify(Events::IN);
        }
    }
}

/// The position of a description, for one operation.
pub struct Position<'a> {
    value: u64,
    /// What it was at first.
    seen: u64,
    turn: Turn<'a>,
    outer: Option<&'a dyn OuterPosition>,
}

impl<'a> Position<'a> {
    pub(super) fn of(own: &'a OwnPosition, outer: Option<&'a dyn OuterPosition>) -> Option<Self> {
        let turn = own.try_turn()?;
        let value = outer.map_or_else(|| own.get(), |outer| outer.get().unwrap_or(0));
        Some(Self { value, seen: value, turn, outer })
    }
}

impl std::ops::Deref for Position<'_> {
    type Target = u64;

    fn deref(&self) -> &u64 {
        &self.value
    }
}

impl std::ops::DerefMut for Position<'_> {
    fn deref_mut(&mut self) -> &mut u64 {
        &mut self.value
    }
}

impl Drop for Position<'_> {
    fn drop(&mut self) {
        if self.value == self.seen {
            return;
        }
        match self.outer {
            Some(outer) => move_outer(outer, self.value),
            None => self.turn.0.set(self.value),
        }
    }
}

/// Moves a position that lives outside.
pub(super) fn move_outer(outer: &dyn OuterPosition, position: u64) {
    if let Err(error) = outer.set(position) {
        log::debug!("the host's file position stays: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_operation_at_a_time_has_the_position_and_the_next_hears_of_its_end() {
        let own = OwnPosition::default();
        let mut first = Position::of(&own, None).unwrap();
        *first += 5;
        assert!(own.try_turn().is_none());
        assert_eq!(own.get(), 0);
        drop(first);
        assert_eq!(own.turn.load(Ordering::Relaxed), FREE);
        let second = Position::of(&own, None).unwrap();
        assert_eq!(*second, 5);
    }
}
