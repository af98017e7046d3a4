//! Who polls call pages: as many workers as there are processors to spare.
//!
//! The first worker starts when first a call would rather be polled for, on the thread of a task: what confines that
//! confines the worker. Another one joins when a call was posted and nobody looked at it in time.
//!
//! Workers poll only while there are processors for them: fewer vCPUs in user code, and workers, than processors, and nobody
//! else on the host who waits for one ([`super::pressure`]). When polling no longer pays ([`super::economy`]) they stay away
//! for a while, longer each time. On a host with one processor nobody ever polls.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::economy::{Economy, Phase, Verdict};
use super::lane::{LANES_MAX, Lane};
use super::pressure::Pressure;
use crate::kernel::Kernel;
use crate::platform::Exitless;

/// Rounds between looks at the clock.
const ROUNDS: u32 = 64;
/// How long workers stay away when polling does not pay: the first time, and at most.
const ABSENCE: std::ops::Range<Duration> = Duration::from_millis(2)..Duration::from_millis(500);
/// For so long after the last poll calls may be expected to be polled for again.
const LATELY: Duration = Duration::from_millis(50);
/// Workers at most.
const WORKERS_MAX: usize = 4;
/// Stack of a worker: it runs the handlers of system calls.
const STACK_BYTES: usize = 512 << 10;

/// The workers, as contexts see them.
pub(crate) struct Dispatcher {
    /// By the numbers of their vCPUs.
    lanes: Vec<Arc<Lane>>,
    /// vCPUs that are in user code and have lent their servers.
    running: AtomicUsize,
    /// Workers that poll.
    polling: AtomicUsize,
    host: Arc<OnceLock<Host>>,
    economy: Economy,
    staff: Mutex<Staff>,
    called: Condvar,
    /// When this was made, and until when somebody has polled, in nanoseconds from then on.
    begun: Instant,
    polled_until: AtomicU64,
}

/// The host's processors. It tells of them outside of the jail only.
#[derive(Debug)]
pub(crate) struct Host {
    /// Where workers may run, and how many processors that is.
    cpus: Option<CpuSet>,
    processors: usize,
    pressure: Pressure,
}

impl Host {
    /// Those that the calling thread may use.
    pub(crate) fn look() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self { cpus: sched_getaffinity(None).ok(), processors, pressure: Pressure::new() }
    }
}

/// What workers that do not poll wait for.
struct Staff {
    /// Threads that were started.
    workers: usize,
    /// Those of them that wait, and are not called yet.
    idle: usize,
    calls: usize,
    is_over: bool,
    /// Nobody is called before then.
    absent_until: Option<Instant>,
    absence: Duration,
}

/// A vCPU's time in user code.
pub(crate) struct Running<'a>(&'a Dispatcher);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Dispatcher {
    /// For a machine of so many vCPUs. `None` if it is not wanted. Where `host` has no processor for a worker, there is what is
    /// told in advance.
    pub(crate) fn new(
        kernel: &Arc<Kernel>,
        vcpus_max: usize,
        exitless: Exitless,
        host: Arc<OnceLock<Host>>,
    ) -> Option<Arc<Self>> {
        if exitless == Exitless::Off {
            return None;
        }
        let lane = |index| Arc::new(Lane::new(kernel.clone(), index));
        let staff = Staff {
            workers: 0,
            idle: 0,
            calls: 0,
            is_over: false,
            absent_until: None,
            absence: ABSENCE.start,
        };
        Some(Arc::new(Self {
            lanes: (0..vcpus_max.min(LANES_MAX) as u64).map(lane).collect(),
            running: AtomicUsize::new(0),
            polling: AtomicUsize::new(0),
            host,
            economy: Economy::new(exitless == Exitless::On),
            staff: Mutex::new(staff),
            called: Condvar::new(),
            begun: Instant::now(),
            polled_until: AtomicU64::new(0),
        }))
    }

    /// The lane of vCPU `index`, if it has one.
    pub(crate) fn lane(&self, index: usize) -> Option<&Arc<Lane>> {
        self.lanes.get(index)
    }

    /// What calls cost, and when polling for them pays.
    pub(crate) fn economy(&self) -> &Economy {
        &self.economy
    }

    /// A vCPU goes to user code, with its server lent on `lane`.
    pub(crate) fn enter(&self, lane: &Lane) -> Running<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        lane.tell_polled(self.polling.load(Ordering::SeqCst) > 0);
        Running(self)
    }

    /// Whether calls may be expected to be polled for: somebody polls, or did until a moment ago.
    pub(crate) fn is_likely_to_poll(&self) -> bool {
        let until = Duration::from_nanos(self.polled_until.load(Ordering::Relaxed));
        if self.is_in_the_way() {
            return false;
        }
        self.economy.is_generous()
            || self.polling.load(Ordering::Relaxed) > 0
            || until > Duration::ZERO && self.begun.elapsed().saturating_sub(until) < LATELY
    }

    /// Whether somebody might poll: there is a processor for that, which nobody else waits for.
    pub(crate) fn may_poll(&self) -> bool {
        self.host().processors > 1 && !self.is_in_the_way()
    }

    /// Calls have left their gates that would rather be polled for: one more worker polls, if there is a processor for it
    /// besides the caller's.
    pub(crate) fn call(self: &Arc<Self>) {
        let processors = self.host().processors;
        if self.busy_processors() + 2 > processors || self.polling.load(Ordering::Relaxed) >= WORKERS_MAX {
            return;
        }
        if self.is_in_the_way() {
            return;
        }
        let mut staff = self.staff.lock();
        if staff.is_over || staff.absent_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        if staff.idle > 0 {
            staff.idle -= 1;
            staff.calls += 1;
            self.called.notify_one();
        } else if staff.workers < WORKERS_MAX.min(processors - 1)
            && self.polling.load(Ordering::Relaxed) == staff.workers
        {
            self.start_worker(&mut staff);
        }
    }

    /// Whether who polls keeps others on the host from a processor, and that counts.
    fn is_in_the_way(&self) -> bool {
        !self.economy.is_generous() && self.host().pressure.is_busy()
    }

    fn host(&self) -> &Host {
        self.host.get_or_init(Host::look)
    }

    fn busy_processors(&self) -> usize {
        self.running.load(Ordering::Relaxed) + self.polling.load(Ordering::Relaxed)
    }

    /// Starts one more worker. Where the host refuses, calls exit.
    fn start_worker(self: &Arc<Self>, staff: &mut Staff) {
        let dispatcher = self.clone();
        let work = move || dispatcher.work();
        let started = thread::Builder::new().name("dispatcher".into()).stack_size(STACK_BYTES).spawn(work);
        match started {
            Ok(_) => {
                staff.workers += 1;
                staff.calls += 1;
            }
            Err(error) => {
                log::debug!("calls exit, since there is nobody to poll: {error}");
                staff.absent_until = Some(Instant::now() + ABSENCE.end);
            }
        }
    }

    /// A worker's life, until [`Dispatcher::stop`].
    fn work(&self) {
        // The thread that it comes from may have been confined to other processors by its task.
        if let Some(Err(error)) = self.host().cpus.as_ref().map(|cpus| sched_setaffinity(None, cpus)) {
            log::debug!("a dispatcher stays on its starter's processors: {error}");
        }
        while self.await_call() {
            let pays = self.poll();
            let mut staff = self.staff.lock();
            staff.idle += 1;
            staff.note_phase(pays);
        }
    }

    /// Polls until that no longer pays, or there is no processor for it. Returns whether it has paid.
    fn poll(&self) -> bool {
        self.begin_polling();
        let mut phase = Phase::begin(&self.economy);
        let counts = self.economy.counts();
        let pays = loop {
            let mut served = 0;
            for _ in 0..ROUNDS {
                let found = self.lanes.iter().filter(|lane| lane.poll(counts)).count();
                served += found as u64;
                if found == 0 {
                    std::hint::spin_loop();
                }
            }
            // Whoever waited for us in vain has stopped posting.
            self.lanes.iter().filter(|lane| lane.is_lent()).for_each(|lane| lane.tell_polled(true));
            match phase.judge(served, Instant::now()) {
                Verdict::GoOn if self.is_in_the_way() => break false,
                Verdict::GoOn if self.busy_processors() > self.host().processors => break phase.has_paid(),
                Verdict::GoOn => {}
                Verdict::Over => break phase.has_paid(),
                Verdict::DoesNotPay => break false,
            }
        };
        self.end_polling();
        pays
    }

    fn begin_polling(&self) {
        self.polling.fetch_add(1, Ordering::SeqCst);
        self.lanes.iter().filter(|lane| lane.is_lent()).for_each(|lane| lane.tell_polled(true));
    }

    fn end_polling(&self) {
        let now = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.polled_until.store(now, Ordering::Relaxed);
        if self.polling.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        for lane in self.lanes.iter().filter(|lane| lane.is_lent()) {
            lane.tell_polled(false);
            // Who saw the flag just before has posted by now, or leaves when its patience ends.
            lane.poll(self.economy.counts());
        }
    }

    /// Waits for a call; `false` once there will be none.
    fn await_call(&self) -> bool {
        let mut staff = self.staff.lock();
        while staff.calls == 0 && !staff.is_over {
            self.called.wait(&mut staff);
        }
        staff.calls = staff.calls.saturating_sub(1);
        !staff.is_over
    }

    /// Ends the workers.
    pub(crate) fn stop(&self) {
        self.staff.lock().is_over = true;
        self.called.notify_all();
    }
}

impl Staff {
    /// A worker has polled, and that has paid or not.
    fn note_phase(&mut self, has_paid: bool) {
        if has_paid {
            self.absence = (self.absence / 2).max(ABSENCE.start);
        } else {
            self.absent_until = Some(Instant::now() + self.absence);
            self.absence = (self.absence * 2).min(ABSENCE.end);
        }
    }
}
