//! How a task is to be scheduled (`man 7 sched`). What is asked for is kept, checked and told; tasks are host threads, which
//! the host schedules as it sees fit.

use linux_raw_sys::general::{SCHED_DEADLINE, SCHED_FIFO, SCHED_NORMAL, SCHED_RR};

/// A scheduling policy with its parameters, and what becomes of it in children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// One of `SCHED_*`.
    pub policy: u32,
    /// 1 to 99 under SCHED_FIFO and SCHED_RR; else 0.
    pub priority: u32,
    /// What SCHED_DEADLINE goes by; zeroes under other policies.
    pub deadline: DeadlineParameters,
    /// Children do not inherit privileged scheduling (`SCHED_RESET_ON_FORK`).
    pub resets_on_fork: bool,
}

/// The parameters of SCHED_DEADLINE (`man 2 sched_setattr`), in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadlineParameters {
    /// Time on a CPU in each period.
    pub runtime_ns: u64,
    /// When that time is to be over, from the beginning of the period.
    pub deadline_ns: u64,
    /// 0 stands for the deadline.
    pub period_ns: u64,
    /// `SCHED_FLAG_RECLAIM` and `SCHED_FLAG_DL_OVERRUN`.
    pub flags: u64,
}

impl DeadlineParameters {
    /// The shortest runtime, and the bounds of a period (`kernel.sched_deadline_period_*_us`).
    const MIN_RUNTIME_NS: u64 = 1024;
    const MIN_PERIOD_NS: u64 = 100_000;
    const MAX_PERIOD_NS: u64 = 4_194_304_000;
    /// What part of a CPU deadlines may take, of 100 (`kernel.sched_rt_runtime_us`).
    const MAX_PERCENT: u64 = 95;

    /// The period that is meant.
    fn period(self) -> u64 {
        if self.period_ns == 0 { self.deadline_ns } else { self.period_ns }
    }

    /// Whether they contradict neither each other nor the bounds.
    pub fn are_valid(self) -> bool {
        let period = self.period();
        self.deadline_ns != 0
            && self.runtime_ns >= Self::MIN_RUNTIME_NS
            && self.runtime_ns <= self.deadline_ns
            && self.deadline_ns <= period
            && (Self::MIN_PERIOD_NS..=Self::MAX_PERIOD_NS).contains(&period)
    }

    /// Whether they leave others something of a CPU.
    pub fn fit(self) -> bool {
        self.runtime_ns.saturating_mul(100) <= self.period().saturating_mul(Self::MAX_PERCENT)
    }
}

impl Scheduling {
    /// Whether it goes by real-time priorities.
    pub fn is_real_time(self) -> bool {
        matches!(self.policy, SCHED_FIFO | SCHED_RR)
    }

    /// Whether it goes by deadlines.
    pub fn has_deadlines(self) -> bool {
        self.policy == SCHED_DEADLINE
    }

    /// A child's.
    pub fn of_child(self) -> Self {
        let is_privileged = self.is_real_time() || self.has_deadlines();
        match self.resets_on_fork && is_privileged {
            true => Self { policy: SCHED_NORMAL, ..Self::default() },
            false => Self { resets_on_fork: false, ..self },
        }
    }

    /// Whether there can be a child: one of a task that has deadlines would have them, too.
    pub fn allows_children(self) -> bool {
        !self.has_deadlines() || self.resets_on_fork
    }

    /// The niceness of a child whose parent has `niceness`.
    pub fn niceness_of_child(self, niceness: i32) -> i32 {
        match self.resets_on_fork {
            true if self.is_real_time() || self.has_deadlines() => 0,
            true => niceness.max(0),
            false => niceness,
        }
    }
}
