//! A recording: all records of one profile.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;

use super::intervals::{Intervals, Point};
use super::record::{Lap, Record, Way};
use super::stack_table::{Frame, StackTable};
use super::task_record::TaskRecord;
use super::timeline::{EventKind, Timeline};
use crate::host::HostCallCounts;
use crate::memory::FaultKind;

/// System calls by number: further numbers share the last record.
const CALLS: usize = 512;
/// Tasks that have records of their own.
const MAX_TASKS: usize = 1024;

/// What is to be recorded.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often stacks are sampled a second, 1 to 10,000.
    pub hz: u32,
    /// The program and its arguments: for who reads the profile.
    pub command: Vec<String>,
}

/// Why user code was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// By a system call.
    Syscall(u16),
    /// By a page fault.
    Fault(FaultKind),
    /// By another exception.
    Exception(u8),
    /// Somebody interrupted it, or the machine gave up.
    Interruption,
}

impl ExitKind {
    const FAULTS: usize = FaultKind::ALL.len();
    /// Faults, exceptions, interruptions.
    const OTHERS: usize = Self::FAULTS + 32 + 1;

    /// A system call of this number.
    pub fn of_call(number: u64) -> Self {
        Self::Syscall(u16::try_from(number).unwrap_or(u16::MAX).min(CALLS as u16 - 1))
    }

    /// What people call it.
    pub fn name(self) -> String {
        match self {
            Self::Syscall(_) => "system call".to_owned(),
            Self::Fault(kind) => format!("page fault: {}", kind.name()),
            Self::Exception(vector) => format!("exception {vector}"),
            Self::Interruption => "interruption".to_owned(),
        }
    }

    /// What a frame that stands for it is called.
    pub fn label(self) -> String {
        match self {
            Self::Syscall(number) => format!("sys_{}", super::task_record::call_name(number)),
            kind => format!("[{}]", kind.name()),
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Syscall(number) => number.into(),
            Self::Fault(kind) => kind as usize,
            Self::Exception(vector) => Self::FAULTS + usize::from(vector & 31),
            Self::Interruption => Self::OTHERS - 1,
        }
    }

    pub(super) fn others() -> impl Iterator<Item = Self> {
        let faults = FaultKind::ALL.into_iter().map(Self::Fault);
        faults.chain((0..32).map(Self::Exception)).chain([Self::Interruption])
    }
}

/// A record that is made when it is first needed.
type Slot = Mutex<Option<Box<Record>>>;

/// All that one profile records.
#[derive(Debug)]
pub struct Recording {
    pub(super) options: Options,
    begun: Instant,
    pub(super) started_at: SystemTime,
    /// By [`Way`] and number.
    calls: [Vec<Slot>; 2],
    /// How often each call was handed back.
    pub(super) handed_back: Mutex<Vec<u64>>,
    /// How often user code had been told the answer in advance.
    pub(super) answered: Mutex<Vec<u64>>,
    others: Vec<Slot>,
    pub(super) tasks: Mutex<Tasks>,
    pub(super) timeline: Mutex<Timeline>,
    pub(super) intervals: Mutex<Intervals>,
    pub(super) stacks: Mutex<StackTable>,
}

#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) records: Vec<Arc<TaskRecord>>,
    /// For those that there was no room for, and how many these were.
    pub(super) rest: Option<Arc<TaskRecord>>,
    pub(super) rest_count: u64,
}

impl Recording {
    /// Begins a recording.
    pub fn new(options: Options) -> Arc<Self> {
        let slots = |count| (0..count).map(|_| Slot::default()).collect::<Vec<_>>();
        Arc::new(Self {
            options,
            begun: Instant::now(),
            started_at: SystemTime::now(),
            calls: [slots(CALLS), slots(CALLS)],
            handed_back: Mutex::new(vec![0; CALLS]),
            answered: Mutex::new(vec![0; CALLS]),
            others: slots(ExitKind::OTHERS),
            tasks: Mutex::new(Tasks { records: Vec::new(), rest: None, rest_count: 0 }),
            timeline: Mutex::default(),
            intervals: Mutex::default(),
            stacks: Mutex::default(),
        })
    }

    /// How often stacks are to be sampled a second.
    pub fn hz(&self) -> u32 {
        self.options.hz
    }

    /// Nanoseconds since the beginning.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A task is seen for the first time. Past a number of tasks, all have one record.
    pub fn add_task(&self, tid: i32, pid: i32) -> Arc<TaskRecord> {
        let now = self.now_ns();
        let mut tasks = self.tasks.lock();
        if tasks.records.len() < MAX_TASKS {
            let record = Arc::new(TaskRecord::new(tid, pid, now));
            tasks.records.push(record.clone());
            return record;
        }
        tasks.rest_count += 1;
        tasks.rest.get_or_insert_with(|| Arc::new(TaskRecord::new(0, 0, now))).clone()
    }

    /// Whether this is a task's own record, rather than that of many.
    pub fn is_own(record: &TaskRecord) -> bool {
        record.tid != 0
    }

    /// Adds what a task has done: the exit, or the call, `kind`, served by `way`.
    pub fn add(&self, task: &TaskRecord, kind: ExitKind, way: Way, lap: &Lap, host_calls: &HostCallCounts) {
        let slot = match kind {
            ExitKind::Syscall(_) => self.calls[way as usize].get(kind.index()),
            _ => self.others.get(kind.index()),
        };
        if let Some(slot) = slot {
            slot.lock().get_or_insert_default().add(lap, host_calls);
        }
        task.add(kind, lap);
    }

    /// User code had been told the answer to call `number` in advance, and took it so often.
    pub fn add_answered(&self, task: &TaskRecord, number: u64, count: u32) {
        if let ExitKind::Syscall(number) = ExitKind::of_call(number)
            && let Some(sum) = self.answered.lock().get_mut(usize::from(number))
        {
            *sum = sum.saturating_add(count.into());
            task.add_answered(number, count);
        }
    }

    /// A call was handed back by the thread that looked at it.
    pub fn note_handed_back(&self, number: u64) {
        if let ExitKind::Syscall(number) = ExitKind::of_call(number)
            && let Some(count) = self.handed_back.lock().get_mut(usize::from(number))
        {
            *count += 1;
        }
    }

    /// Something happens to a task.
    pub fn note_event(&self, task: &TaskRecord, tid: i32, pid: i32, kind: EventKind) {
        let now = self.now_ns();
        if matches!(kind, EventKind::Exit(_)) && Self::is_own(task) {
            task.end(now);
        }
        self.timeline.lock().add(now, tid, pid, kind);
    }

    /// What the whole sandbox uses now.
    pub fn note_point(&self, point: Point) {
        self.intervals.lock().add(self.now_ns(), point);
    }

    /// When the next point is wanted, nanoseconds after the beginning.
    pub fn next_point_ns(&self) -> u64 {
        self.intervals.lock().next_ns()
    }

    /// A stack, from the outermost frame to the innermost, that stands for so much processor time.
    pub fn add_stack(&self, frames: Vec<Frame>, weight_ns: u64) {
        self.stacks.lock().add(frames, weight_ns);
    }

    /// The number of the image with this key, which has the path that `path` gives.
    pub fn image(&self, key: (u32, u32, u64), path: impl FnOnce() -> Vec<u8>) -> u32 {
        if let Some(image) = self.stacks.lock().find_image(key) {
            return image;
        }
        // Files have locks of their own: they are asked with none held here.
        let path = path();
        self.stacks.lock().add_image(key, path)
    }

    /// The number of a frame that has a name and no address.
    pub fn label(&self, name: &str) -> Frame {
        Frame::Label(self.stacks.lock().label(name))
    }

    /// Runs `look` at the records of call `number`, by [`Way`].
    pub(super) fn with_calls<T>(&self, number: usize, look: impl Fn(&Record, Way) -> T) -> [Option<T>; 2] {
        [Way::Exit, Way::Dispatcher].map(|way| {
            let slot = self.calls[way as usize].get(number)?.lock();
            slot.as_ref().map(|record| look(record, way))
        })
    }

    pub(super) fn with_other<T>(&self, kind: ExitKind, look: impl FnOnce(&Record) -> T) -> Option<T> {
        self.others.get(kind.index())?.lock().as_ref().map(|record| look(record))
    }

    pub(super) const fn call_count() -> usize {
        CALLS
    }
}
