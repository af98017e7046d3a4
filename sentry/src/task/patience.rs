//! Doing an operation again until it need not wait: the one home of "until ready, time-out or signal".

use std::time::{Duration, Instant};

use super::{Blocked, CurrentTask};
use crate::Errno;
use crate::fs::{FileDescription, OpenFlags, Position, Turn};
use crate::wait::{Events, WaitQueue};

/// How long an operation may wait, counted from when this was made.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    is_nonblocking: bool,
    deadline: Option<Instant>,
}

impl CurrentTask {
    /// The position of `description`, once no other operation has it.
    ///
    /// # Errors
    /// ERESTARTNOINTR if interrupted meanwhile.
    pub fn position<'a>(&mut self, description: &'a FileDescription) -> Result<Position<'a>, Errno> {
        self.take_turn(description, || description.try_position())
    }

    /// The turn at an outer position of `description`, once no other operation has it.
    ///
    /// # Errors
    /// ERESTARTNOINTR if interrupted meanwhile.
    pub fn turn<'a>(&mut self, description: &'a FileDescription) -> Result<Turn<'a>, Errno> {
        self.take_turn(description, || description.try_turn())
    }

    fn take_turn<T>(
        &mut self,
        description: &FileDescription,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Result<T, Errno> {
        if let Some(turn) = attempt() {
            return Ok(turn);
        }
        let queue = [(description.position_queue(), Events::IN)];
        self.block(&queue, None, attempt).map_err(|_| Errno::ERESTARTNOINTR)
    }
}

impl Patience {
    /// No wait at all.
    pub const NEVER: Self = Self { is_nonblocking: true, deadline: None };
    /// Until a signal.
    pub const FOREVER: Self = Self { is_nonblocking: false, deadline: None };

    /// None if `is_nonblocking`; else as long as `timeout`, or for ever.
    pub fn new(is_nonblocking: bool, timeout: Option<Duration>) -> Self {
        Self { is_nonblocking, deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)) }
    }

    /// That of an operation that waits for `events` of `description`: O_NONBLOCK, else the file's own time-out.
    pub fn of(description: &FileDescription, events: Events) -> Self {
        Self::new(description.flags().contains(OpenFlags::NONBLOCK), description.file().timeout(events))
    }

    /// The same, or none at all.
    pub fn unless(self, never_waits: bool) -> Self {
        if never_waits { Self::NEVER } else { self }
    }

    /// Whether it waits at all.
    pub fn waits(self) -> bool {
        !self.is_nonblocking
    }

    /// What an interrupted operation returns: with a time-out it is not restarted, for that would begin anew
    /// (`man 7 signal`).
    fn interruption(self) -> Errno {
        if self.deadline.is_some() { Errno::EINTR } else { Errno::ERESTARTSYS }
    }

    /// Tries `operation`, and again each time that one of `queues` announces one of its events, while it answers EAGAIN.
    ///
    /// # Errors
    /// EAGAIN once the time is over, EINTR or ERESTARTSYS if interrupted, and the operation's own.
    pub fn retry<T>(
        self,
        task: &mut CurrentTask,
        queues: &[(&WaitQueue, Events)],
        mut operation: impl FnMut(&mut CurrentTask) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match operation(task) {
            Err(Errno::EAGAIN) if self.waits() || task.waits_always() => {}
            result => return result,
        }
        let attempt = |task: &mut CurrentTask| match operation(task) {
            Err(Errno::EAGAIN) => None,
            result => Some(result),
        };
        match task.block_with(queues, self.deadline, attempt) {
            Ok(result) => result,
            Err(Blocked::TimedOut) => Err(Errno::EAGAIN),
            Err(Blocked::Interrupted) => Err(self.interruption()),
        }
    }

    /// As [`Patience::retry`], on the queue of one file.
    ///
    /// # Errors
    /// As [`Patience::retry`].
    pub fn retry_on<T>(
        self,
        task: &mut CurrentTask,
        description: &FileDescription,
        events: Events,
        operation: impl FnMut(&mut CurrentTask) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match description.file().wait_queue() {
            Some(queue) => self.retry(task, &[(queue, events)], operation),
            None => self.retry(task, &[], operation),
        }
    }
}
