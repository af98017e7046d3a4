//! How a task is scheduled, as far as it is kept for who asks: the host's scheduler decides (`man 7 sched`).

/// A scheduling policy and what becomes of it in children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// One of `SCHED_*`.
    pub policy: u32,
    /// Children do not inherit privileged scheduling (`SCHED_RESET_ON_FORK`).
    pub resets_on_fork: bool,
}

impl Scheduling {
    /// A child's: what it would have to give up is real-time scheduling, which nobody has here.
    pub fn of_child(self) -> Self {
        Self { resets_on_fork: false, ..self }
    }

    /// The niceness of a child whose parent has `niceness`.
    pub fn niceness_of_child(self, niceness: i32) -> i32 {
        if self.resets_on_fork { niceness.max(0) } else { niceness }
    }
}
