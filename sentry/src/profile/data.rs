//! What a profile is, as data: the schema of `vmm --profile FILE.json`.
//!
//! Times are nanoseconds; `at_ns` counts from the profile's beginning. Numbers of tasks are those of the sandbox's first PID namespace.
//! Fields may be added under the same [`SCHEMA`], and are 0 or empty where they are not there; one that changes its meaning raises it.

use serde::{Deserialize, Serialize};

/// The schema's number.
pub const SCHEMA: u32 = 1;

/// A profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// When it began, in seconds since 1970.
    pub started_at: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// How often stacks were sampled a second.
    pub hz: u32,
    /// System calls, those that took most time first.
    pub calls: Vec<Call>,
    /// Exits by kind, the system call among them.
    pub exits: Vec<Exit>,
    /// Calls of the host, by name.
    pub host_calls: Vec<Named>,
    /// What became of calls that were made without an exit.
    pub dispatch: Dispatch,
    /// Tasks in the order of their beginnings.
    pub tasks: Vec<Task>,
    /// Beginnings, programs and ends.
    pub timeline: Vec<Event>,
    /// How far the points lie apart.
    pub interval_ns: u64,
    /// Memory and processor time over time.
    pub points: Vec<Point>,
    /// Stacks, from the outermost frame to the innermost.
    pub stacks: Vec<Stack>,
    /// What did not fit.
    pub lost: Lost,
}

/// One system call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: u64,
    /// How often it was made.
    pub count: u64,
    /// How many of these failed.
    pub errors: u64,
    /// How many came by an exit.
    pub by_exit: u64,
    /// How many another thread served while the task stayed in user code.
    pub by_dispatcher: u64,
    /// How many user code had been told the answer to in advance; they have no times of their own.
    pub by_page: u64,
    /// How often another thread handed it back, after which it came by an exit.
    pub handed_back: u64,
    /// What it took.
    pub times: Times,
    /// What the sentry asked of the host for it.
    pub host_calls: Vec<Named>,
}

/// One kind of exit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exit {
    /// `system call`, `page fault: KIND`, `exception N` or `interruption`; the profile's own samples are among the last.
    pub kind: String,
    /// How many there were.
    pub count: u64,
    /// What they took.
    pub times: Times,
    /// What the sentry asked of the host for it.
    pub host_calls: Vec<Named>,
}

/// Where the time went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// In user code before it.
    pub user: Distribution,
    /// On the way out and back.
    pub crossing: Distribution,
    /// In the handler.
    pub handler: Distribution,
    /// Asleep; of those that slept.
    pub asleep: Distribution,
}

/// How a time was distributed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Distribution {
    /// How many times there are.
    pub count: u64,
    /// Their sum.
    pub total_ns: u64,
    /// Half of them are no longer.
    pub p50_ns: u64,
    /// Nine of ten are no longer.
    pub p90_ns: u64,
    /// 99 of 100 are no longer.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// How many there are up to which time, past the one before; to a hundredth of the time.
    pub buckets: Vec<(u64, u64)>,
}

/// A number with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The number.
    pub count: u64,
}

/// Calls without exits, and what polling for them took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dispatch {
    /// Calls that another thread served.
    pub served: u64,
    /// Those that it handed back.
    pub handed_back: u64,
    /// Those that left for want of somebody who looks.
    pub unseen: u64,
    /// Places in programs that were rewritten.
    pub sites: u64,
    /// Processor time of the threads that look, in which they served too.
    pub polling_ns: u64,
}

/// One task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    /// Its number; 0 for all those that did not fit.
    pub tid: i32,
    /// Its process's number.
    pub pid: i32,
    /// Its name.
    pub name: String,
    /// When it was first seen.
    pub started_ns: u64,
    /// When it ended, if it has.
    pub ended_ns: Option<u64>,
    /// What it took in all.
    pub times: TaskTimes,
    /// Its system calls, those that took most time first.
    pub calls: Vec<TaskCall>,
    /// Its other exits.
    pub exits: Vec<Named>,
}

/// Sums of a task, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskTimes {
    /// In user code.
    pub user_ns: u64,
    /// On the way out and back.
    pub crossing_ns: u64,
    /// In the sentry.
    pub handler_ns: u64,
    /// Asleep.
    pub asleep_ns: u64,
}

/// A task's share of a system call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskCall {
    /// The call's name.
    pub name: String,
    /// How often it was made.
    pub count: u64,
    /// What it took.
    pub times: TaskTimes,
}

/// Something on the time line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// When.
    pub at_ns: u64,
    /// Whose.
    pub tid: i32,
    /// Its process.
    pub pid: i32,
    /// `start`, `exec` or `exit`.
    pub kind: String,
    /// Who has made it, what it executes, or how it ended.
    pub detail: String,
}

/// The whole sandbox at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Point {
    /// When.
    pub at_ns: u64,
    /// Processor time in user code until then.
    pub user_ns: u64,
    /// Processor time in the sentry until then.
    pub system_ns: u64,
    /// Guest memory in use, bytes.
    pub memory_bytes: u64,
    /// Tasks.
    pub tasks: u64,
}

/// A stack, and how much processor time was spent in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stack {
    /// Names of frames, from the outermost to the innermost, with `;` between.
    pub frames: String,
    /// Processor time.
    pub cpu_ns: u64,
}

/// What there was no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lost {
    /// Tasks that share the record of task 0.
    pub tasks: u64,
    /// Events of the time line.
    pub events: u64,
    /// Samples.
    pub samples: u64,
}
