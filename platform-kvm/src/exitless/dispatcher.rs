//! The thread that polls call pages.
//!
//! It polls while that pays. Without a request for [`IDLE_MAX`] it sleeps until a call leaves its gate and the caller
//! finds that another was not long ago. It polls only while there is a processor to spare for it: fewer vCPUs in user code
//! than processors. And where the host has others to run, so that the thread itself does not get the processor that it
//! polls with, it stays away for a while, longer each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::time::{ClockId, clock_gettime};

use super::lane::{LANES_MAX, Lane};
use crate::kernel::Kernel;

/// How long the dispatcher polls without finding anything.
const IDLE_MAX: Duration = Duration::from_micros(150);
/// Rounds between looks at the clock.
const ROUNDS: u32 = 64;
/// How often it looks whether it gets the processor that it asks for.
const SHARE_PERIOD: Duration = Duration::from_millis(2);
/// The least share, in percent, of that time that it must have run.
const SHARE_MIN_PERCENT: u32 = 80;
/// How long it stays away if it does not, the first time, and at most.
const ABSENCE: std::ops::Range<Duration> = Duration::from_millis(5)..Duration::from_millis(500);
/// Stack of the thread: it runs the handlers of system calls.
const STACK_BYTES: usize = 512 << 10;

/// The dispatcher, as contexts see it.
pub(crate) struct Dispatcher {
    /// By the numbers of their vCPUs.
    lanes: Vec<Arc<Lane>>,
    /// vCPUs that are in user code and have lent their servers.
    running: AtomicUsize,
    /// How many of them leave the thread a processor.
    running_max: usize,
    is_polling: AtomicBool,
    sleep: Mutex<Sleep>,
    called: Condvar,
}

#[derive(Default)]
struct Sleep {
    is_called: bool,
    is_over: bool,
    /// Not before then.
    absent_until: Option<Instant>,
}

/// A vCPU's time in user code.
pub(crate) struct Running<'a>(&'a Dispatcher);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Dispatcher {
    /// Starts the thread, which [`Dispatcher::stop`] ends.
    pub(crate) fn start(kernel: &Arc<Kernel>, vcpus_max: usize) -> std::io::Result<Arc<Self>> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let dispatcher = Arc::new(Self {
            lanes: (0..vcpus_max.min(LANES_MAX) as u64)
                .map(|index| Arc::new(Lane::new(kernel.clone(), index)))
                .collect(),
            running: AtomicUsize::new(0),
            running_max: processors - 1,
            is_polling: AtomicBool::new(false),
            sleep: Mutex::default(),
            called: Condvar::new(),
        });
        let worker = dispatcher.clone();
        let work = move || worker.work();
        thread::Builder::new().name("dispatcher".into()).stack_size(STACK_BYTES).spawn(work)?;
        Ok(dispatcher)
    }

    /// The lane of vCPU `index`, if it has one.
    pub(crate) fn lane(&self, index: usize) -> Option<&Arc<Lane>> {
        self.lanes.get(index)
    }

    /// A vCPU goes to user code, with its server lent on `lane`.
    pub(crate) fn enter(&self, lane: &Lane) -> Running<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        lane.page().set_polled(self.is_polling.load(Ordering::SeqCst));
        Running(self)
    }

    /// Has the thread poll, if it sleeps and there is a processor for it.
    pub(crate) fn call(&self) {
        if self.is_polling.load(Ordering::Relaxed) || !self.has_processor() {
            return;
        }
        let mut sleep = self.sleep.lock();
        if sleep.absent_until.is_none_or(|until| Instant::now() >= until) {
            sleep.is_called = true;
            self.called.notify_one();
        }
    }

    fn has_processor(&self) -> bool {
        self.running.load(Ordering::Relaxed) <= self.running_max && self.running_max > 0
    }

    /// The thread's life, until [`Dispatcher::stop`].
    fn work(&self) {
        let mut absence = ABSENCE.start;
        while self.await_call() {
            if self.poll() {
                absence = ABSENCE.start;
            } else {
                self.sleep.lock().absent_until = Some(Instant::now() + absence);
                absence = (absence * 2).min(ABSENCE.end);
            }
        }
    }

    /// Polls until that no longer pays. Returns whether it got the processor that it asked for.
    fn poll(&self) -> bool {
        self.set_polling(true);
        let mut last_request = Instant::now();
        let mut share = Share::begin();
        let got_processor = loop {
            let mut has_served = false;
            for _ in 0..ROUNDS {
                let found = self.lanes.iter().filter(|lane| lane.poll()).count() > 0;
                has_served |= found;
                if !found {
                    std::hint::spin_loop();
                }
            }
            let now = Instant::now();
            if has_served {
                last_request = now;
            }
            if share.is_short(now) {
                break false;
            }
            if now - last_request >= IDLE_MAX || !self.has_processor() {
                break true;
            }
        };
        self.set_polling(false);
        // Who saw the flag just before has posted by now, or leaves when its patience ends.
        self.lanes.iter().for_each(|lane| {
            lane.poll();
        });
        got_processor
    }

    fn set_polling(&self, is_polling: bool) {
        self.is_polling.store(is_polling, Ordering::SeqCst);
        for lane in self.lanes.iter().filter(|lane| lane.is_lent()) {
            lane.page().set_polled(is_polling);
        }
    }

    /// Waits for a call; `false` once there will be none.
    fn await_call(&self) -> bool {
        let mut sleep = self.sleep.lock();
        while !sleep.is_called && !sleep.is_over {
            self.called.wait(&mut sleep);
        }
        sleep.is_called = false;
        !sleep.is_over
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.sleep.lock().is_over = true;
        self.called.notify_one();
    }
}

/// How much of the time the thread has a processor.
struct Share {
    begun: Instant,
    used: Duration,
}

impl Share {
    fn begin() -> Self {
        Self { begun: Instant::now(), used: own_time() }
    }

    /// Whether it was too little in the last period, if that is over.
    fn is_short(&mut self, now: Instant) -> bool {
        let elapsed = now - self.begun;
        if elapsed < SHARE_PERIOD {
            return false;
        }
        let last = std::mem::replace(self, Self::begin());
        (self.used.saturating_sub(last.used)) * 100 < elapsed * SHARE_MIN_PERCENT
    }
}

/// Processor time of the calling thread.
fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
