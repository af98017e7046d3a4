//! The host threads that run tasks.
//!
//! A task is one host thread from its start to its end. A thread whose task has ended waits a while for the next one: it
//! need not be made, and what the platform keeps for a thread (a vCPU that this thread has run before) serves again.
//!
//! Tasks sleep on futexes of the host, whose hash table for a process is small by default: with ten thousand sleepers a wake-up
//! would walk past a thousand others. So the table grows with the number of threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{CpuSet, CurrentTask, Dispatcher};
use crate::host::{self, ThreadRoom};

/// Stack of each. Handlers do not recurse and keep large buffers on the heap.
const STACK_BYTES: usize = 512 << 10;
/// How many may wait for a task, and how long.
const IDLE_MAX: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);
/// Threads for which the host's own futex table will do.
const FEW_THREADS: usize = 64;
/// Slots of the futex table for each thread that it is made for.
const FUTEX_SLOTS_PER_THREAD: usize = 2;

/// The host threads that run the tasks of one set.
pub(super) struct HostThreads {
    /// Who serves the system calls of the tasks.
    dispatcher: Arc<dyn Dispatcher>,
    /// Those that wait for a task, who came last at the end: its stack is warm.
    idle: Mutex<Vec<Arc<Mailbox>>>,
    count: AtomicUsize,
    /// So many the host has room for.
    max_count: usize,
    /// How many threads the host's futex table is good for.
    futex_room: AtomicUsize,
}

/// Where a thread waits.
#[derive(Default)]
struct Mailbox {
    call: Mutex<Call>,
    is_called: Condvar,
}

/// What a thread that waits is called for.
#[derive(Default)]
enum Call {
    #[default]
    Wait,
    Run(Box<CurrentTask>),
    End,
}

impl HostThreads {
    /// No threads yet; those to come have `dispatcher` serve system calls.
    pub(super) fn new(dispatcher: Arc<dyn Dispatcher>) -> Arc<Self> {
        let max_count = ThreadRoom::of_this_process().task_threads();
        let (idle, count, futex_room) = Default::default();
        Arc::new(Self { dispatcher, idle, count, max_count, futex_room })
    }

    /// Runs `task` to its end on a thread of its own.
    ///
    /// # Errors
    /// The host has no thread left; the task is dropped.
    pub(super) fn run(self: &Arc<Self>, task: Box<CurrentTask>) -> std::io::Result<()> {
        let mailbox = self.idle.lock().pop();
        if let Some(mailbox) = mailbox {
            mailbox.call(Call::Run(task));
            return Ok(());
        }
        let has_room = |count: usize| (count < self.max_count).then_some(count + 1);
        let count = self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room)
            .map_err(|count| std::io::Error::other(format!("the host has no room for more than {count}")))?;
        self.make_futex_room(count);
        let (threads, dispatcher) = (Arc::downgrade(self), self.dispatcher.clone());
        let run = move || {
            Worker { threads, dispatcher, mailbox: Arc::default(), thread: HostThread::current() }.work(task)
        };
        host::start_thread(STACK_BYTES, Box::new(run)).inspect_err(|_| {
            self.count.fetch_sub(1, Ordering::Relaxed);
        })
    }

    /// Has the host's futex table suit more than `count` threads.
    fn make_futex_room(&self, count: usize) {
        let room = self.futex_room.load(Ordering::Relaxed).max(FEW_THREADS);
        if count < room {
            return;
        }
        let next = room.saturating_mul(4);
        if self.futex_room.fetch_max(next, Ordering::Relaxed) < next
            && let Err(error) = host::set_futex_slots(next.saturating_mul(FUTEX_SLOTS_PER_THREAD))
        {
            // Kernels before 6.16 have one table, which grows with the number of processors.
            log::debug!("the host's futex table stays: {error}");
        }
    }

    /// Has `mailbox` wait for the next task, if not too many do.
    fn offer(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut idle = self.idle.lock();
        let has_room = idle.len() < IDLE_MAX;
        if has_room {
            idle.push(mailbox.clone());
        }
        has_room
    }

    /// Takes the offer back; `false` if the mailbox has been given a task meanwhile, or will be at once.
    fn withdraw(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut idle = self.idle.lock();
        let position = idle.iter().position(|other| Arc::ptr_eq(other, mailbox));
        position.map(|position| idle.remove(position)).is_some()
    }
}

impl Drop for HostThreads {
    fn drop(&mut self) {
        for mailbox in self.idle.get_mut().drain(..) {
            mailbox.call(Call::End);
        }
    }
}

impl Mailbox {
    fn call(&self, call: Call) {
        *self.call.lock() = call;
        self.is_called.notify_one();
    }

    /// Waits for a call until `deadline`, or for ever without one.
    fn wait(&self, deadline: Option<Instant>) -> Call {
        let mut call = self.call.lock();
        while matches!(*call, Call::Wait) {
            match deadline {
                None => self.is_called.wait(&mut call),
                Some(deadline) => {
                    if self.is_called.wait_until(&mut call, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        std::mem::take(&mut call)
    }
}

/// One host thread.
struct Worker {
    threads: Weak<HostThreads>,
    dispatcher: Arc<dyn Dispatcher>,
    mailbox: Arc<Mailbox>,
    thread: HostThread,
}

/// A host thread, as the tasks that it runs know it.
pub(super) struct HostThread {
    pub(super) id: i32,
    /// The CPUs that it is confined to, once that is known.
    pub(super) confined_to: Option<CpuSet>,
}

impl HostThread {
    /// The calling one.
    pub(super) fn current() -> Self {
        Self { id: rustix::thread::gettid().as_raw_nonzero().get(), confined_to: None }
    }
}

impl Worker {
    fn work(mut self, first: Box<CurrentTask>) {
        self.run(first);
        while let Some(next) = self.next() {
            self.run(next);
        }
        if let Some(threads) = self.threads.upgrade() {
            threads.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn run(&mut self, mut current: Box<CurrentTask>) {
        let task = current.task().clone();
        // Names are for those who look at the host's threads.
        let name = format!("task {}\0", task.root_tid());
        if let Ok(name) = std::ffi::CStr::from_bytes_with_nul(name.as_bytes()) {
            let _ = rustix::thread::set_name(name);
        }
        current.run(&mut self.thread, &*self.dispatcher);
        drop(current);
        task.count_end();
    }

    fn next(&self) -> Option<Box<CurrentTask>> {
        if !self.threads.upgrade()?.offer(&self.mailbox) {
            return None;
        }
        let call = match self.mailbox.wait(Some(Instant::now() + PATIENCE)) {
            Call::Wait if self.threads.upgrade().is_some_and(|threads| threads.withdraw(&self.mailbox)) => {
                Call::End
            }
            Call::Wait => self.mailbox.wait(None),
            call => call,
        };
        match call {
            Call::Run(task) => Some(task),
            Call::Wait | Call::End => None,
        }
    }
}
