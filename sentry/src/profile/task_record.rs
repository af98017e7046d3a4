//! What is kept of one task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use syscalls::Sysno;

use super::data::{self, Named, TaskCall, TaskTimes};
use super::host_stack::HostStacks;
use super::record::Lap;
use super::recording::ExitKind;

/// System calls that a task's record tells apart; further ones count for [`OTHER_CALL`].
const MAX_CALLS: usize = 128;
const OTHER_CALL: u16 = u16::MAX;
/// Stays in user code that the mean is of, about.
const STAYS: u64 = 8;
/// Who stays there for less on average is about to leave: a tenth of a period at 1 kHz, so that samples hardly move.
const SOON_NS: u64 = 100_000;

/// One task's record.
#[derive(Debug)]
pub struct TaskRecord {
    /// Its number in the first PID namespace.
    pub tid: i32,
    /// Its process's.
    pub pid: i32,
    started_ns: u64,
    /// 0 while it lives.
    ended_ns: AtomicU64,
    /// What its thread is to sample, or has sampled, in the sentry.
    pub host_stacks: Arc<HostStacks>,
    /// Nanoseconds that the next stack of user code stands for; 0 if none is wanted.
    wanted_ns: AtomicU64,
    /// Its processor time when a sample was last asked for.
    sampled_ns: AtomicU64,
    /// How long it stays in user code, of late: a moving mean, in nanoseconds.
    mean_stay_ns: AtomicU64,
    totals: Mutex<Totals>,
}

#[derive(Debug, Default)]
struct Totals {
    name: String,
    all: Sums,
    calls: Vec<(u16, u64, Sums)>,
    exits: Vec<(ExitKind, u64)>,
}

type Sums = TaskTimes;

fn add(sums: &mut Sums, lap: &Lap) {
    sums.user_ns = sums.user_ns.saturating_add(lap.user_ns);
    sums.crossing_ns = sums.crossing_ns.saturating_add(lap.crossing_ns);
    sums.handler_ns = sums.handler_ns.saturating_add(lap.handler_ns);
    sums.asleep_ns = sums.asleep_ns.saturating_add(lap.asleep_ns);
}

fn cost_ns(sums: &Sums) -> u64 {
    sums.crossing_ns.saturating_add(sums.handler_ns).saturating_add(sums.asleep_ns)
}

impl TaskRecord {
    pub(super) fn new(tid: i32, pid: i32, started_ns: u64) -> Self {
        Self {
            tid,
            pid,
            started_ns,
            ended_ns: AtomicU64::new(0),
            host_stacks: Arc::default(),
            wanted_ns: AtomicU64::new(0),
            sampled_ns: AtomicU64::new(0),
            mean_stay_ns: AtomicU64::new(0),
            totals: Mutex::default(),
        }
    }

    /// What it is called from now on.
    pub fn set_name(&self, name: String) {
        self.totals.lock().name = name;
    }

    /// What it is called.
    pub fn name(&self) -> String {
        self.totals.lock().name.clone()
    }

    pub(super) fn end(&self, at_ns: u64) {
        self.ended_ns.store(at_ns.max(1), Ordering::Relaxed);
    }

    /// Its thread has used `cpu_ns` so far. Returns how much that is since a sample was last asked for.
    pub fn unsampled_ns(&self, cpu_ns: u64) -> u64 {
        match self.sampled_ns.load(Ordering::Relaxed) {
            // What it did before it was looked at is not the profile's.
            0 => {
                self.note_sampled(cpu_ns);
                0
            }
            sampled => cpu_ns.saturating_sub(sampled),
        }
    }

    /// A sample stands for all that its thread has used so far.
    pub fn note_sampled(&self, cpu_ns: u64) {
        self.sampled_ns.store(cpu_ns.max(1), Ordering::Relaxed);
    }

    /// Asks for a stack of user code that stands for so much more time. Returns whether one is wanted already.
    pub fn want_guest_stack(&self, weight_ns: u64) -> bool {
        self.wanted_ns.fetch_add(weight_ns, Ordering::Relaxed) != 0
    }

    /// It has left user code by itself, after `user_ns`. For its own thread.
    pub fn note_stay(&self, user_ns: u64) {
        let mean_ns = self.mean_stay_ns.load(Ordering::Relaxed);
        let next_ns = mean_ns - mean_ns / STAYS + user_ns / STAYS;
        self.mean_stay_ns.store(next_ns, Ordering::Relaxed);
    }

    /// Whether it leaves user code so often that a sample can wait until it does: making it leave costs as much as the call
    /// that it is going to make.
    pub fn leaves_soon(&self) -> bool {
        self.mean_stay_ns.load(Ordering::Relaxed) < SOON_NS
    }

    /// The time that a stack of user code is to stand for now; 0 if none is wanted.
    pub fn take_wanted(&self) -> u64 {
        if self.wanted_ns.load(Ordering::Relaxed) == 0 {
            0
        } else {
            self.wanted_ns.swap(0, Ordering::Relaxed)
        }
    }

    pub(super) fn add(&self, kind: ExitKind, lap: &Lap) {
        let mut totals = self.totals.lock();
        add(&mut totals.all, lap);
        match kind {
            ExitKind::Syscall(number) => totals.add_calls(number, 1, lap),
            kind => match totals.exits.iter_mut().find(|(other, _)| *other == kind) {
                Some((_, count)) => *count += 1,
                None => totals.exits.push((kind, 1)),
            },
        }
    }

    pub(super) fn add_answered(&self, number: u16, count: u32) {
        self.totals.lock().add_calls(number, count.into(), &Lap::default());
    }

    pub(super) fn summary(&self) -> data::Task {
        let totals = self.totals.lock();
        let mut calls: Vec<_> = totals.calls.iter().collect();
        calls.sort_by_key(|(_, _, sums)| std::cmp::Reverse(cost_ns(sums)));
        let calls = calls.into_iter().map(|(number, count, times)| TaskCall {
            name: call_name(*number),
            count: *count,
            times: *times,
        });
        data::Task {
            tid: self.tid,
            pid: self.pid,
            name: totals.name.clone(),
            started_ns: self.started_ns,
            ended_ns: Some(self.ended_ns.load(Ordering::Relaxed)).filter(|ended| *ended != 0),
            times: totals.all,
            calls: calls.collect(),
            exits: totals
                .exits
                .iter()
                .map(|(kind, count)| Named { name: kind.name(), count: *count })
                .collect(),
        }
    }
}

impl Totals {
    fn add_calls(&mut self, number: u16, more: u64, lap: &Lap) {
        let mut place = self.calls.binary_search_by_key(&number, |(number, ..)| *number);
        if place.is_err() && self.calls.len() >= MAX_CALLS {
            place = self.calls.binary_search_by_key(&OTHER_CALL, |(number, ..)| *number);
        }
        let number = if place.is_err() && self.calls.len() >= MAX_CALLS { OTHER_CALL } else { number };
        let index = place.unwrap_or_else(|index| {
            self.calls.insert(index, (number, 0, Sums::default()));
            index
        });
        if let Some((_, count, sums)) = self.calls.get_mut(index) {
            *count = count.saturating_add(more);
            add(sums, lap);
        }
    }
}

/// What a system call is called, by number.
pub(super) fn call_name(number: u16) -> String {
    match Sysno::new(number.into()) {
        Some(call) => call.name().to_owned(),
        None => "(others)".to_owned(),
    }
}
