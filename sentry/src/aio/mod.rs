//! Asynchronous input and output (`man 2 io_setup`).
//!
//! A [`Context`] holds requests that wait and the events of those that are done. What a file does at once is done by
//! io_submit(2) itself, as Linux does it; what would wait, for a pipe to have data or for a poll to come true, becomes an
//! [`Operation`] that is attempted again, on the timers' thread, whenever its file tells of a change.
//!
//! Locks: a request's operation, then its context's state; both below every lock that is held where a file tells of a
//! change, since all that happens there is that an attempt is scheduled.

mod request;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use self::request::Request;
pub(crate) use self::request::{Operation, Submission};
use crate::Errno;
use crate::abi::IoEvent;
use crate::fs::FileDescription;
use crate::heap::HeapCharge;
use crate::platform::VirtualAddress;
use crate::settings::{KernelNumber, KernelSettings};
use crate::time::TimerQueue;
use crate::wait::{Events, WaitQueue};

/// What all contexts of a kernel together may hold, in events, whatever `/proc/sys/fs/aio-max-nr` says.
const MAX_EVENTS: u64 = 1 << 20;

/// What a context takes beside its events.
const CONTEXT_BYTES: usize = 1024;
/// What an event takes, or the request that it comes from, beside its vector.
const EVENT_BYTES: usize = 512;

/// How many events the contexts of a kernel may hold (`/proc/sys/fs/aio-nr`).
pub(crate) struct AioBudget {
    used: AtomicU64,
    settings: Arc<KernelSettings>,
}

impl AioBudget {
    /// None are used yet; `settings` bound them.
    pub(crate) fn new(settings: &Arc<KernelSettings>) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), settings: settings.clone() })
    }

    /// `/proc/sys/fs/aio-nr`.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// # Errors
    /// EAGAIN: there would be more than the setting allows, or the process may have no more of the heap.
    fn charge(self: &Arc<Self>, events: u64) -> Result<Charge, Errno> {
        let end = u64::try_from(self.settings.get(KernelNumber::AioMaxEvents)).unwrap_or(0).min(MAX_EVENTS);
        let add = |used: u64| used.checked_add(events).filter(|sum| *sum <= end);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map_err(|_| Errno::EAGAIN)?;
        let mut charge = Charge { budget: self.clone(), events, heap_charge: HeapCharge::default() };
        charge
            .heap_charge
            .resize(CONTEXT_BYTES + events as usize * EVENT_BYTES)
            .map_err(|_| Errno::EAGAIN)?;
        Ok(charge)
    }
}

struct Charge {
    budget: Arc<AioBudget>,
    events: u64,
    heap_charge: HeapCharge,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.events, Ordering::Relaxed);
    }
}

/// A process's contexts, by the addresses that stand for them.
#[derive(Default)]
pub(crate) struct Contexts(Mutex<BTreeMap<VirtualAddress, Arc<Context>>>);

impl Contexts {
    /// Adds a context that holds `capacity` events.
    ///
    /// # Errors
    /// EAGAIN: there are too many of all processes.
    pub(crate) fn add(
        &self,
        id: VirtualAddress,
        capacity: u32,
        budget: &Arc<AioBudget>,
        timers: &Arc<TimerQueue>,
    ) -> Result<(), Errno> {
        let context = Context {
            capacity: capacity as usize,
            state: Mutex::default(),
            queue: WaitQueue::default(),
            timers: timers.clone(),
            _charge: budget.charge(capacity.into())?,
        };
        self.0.lock().insert(id, Arc::new(context));
        Ok(())
    }

    /// The context that `id` stands for.
    ///
    /// # Errors
    /// EINVAL.
    pub(crate) fn get(&self, id: VirtualAddress) -> Result<Arc<Context>, Errno> {
        self.0.lock().get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// io_destroy(2): what waits in the context waits no longer.
    ///
    /// # Errors
    /// EINVAL.
    pub(crate) fn remove(&self, id: VirtualAddress) -> Result<(), Errno> {
        let context = self.0.lock().remove(&id).ok_or(Errno::EINVAL)?;
        context.close();
        Ok(())
    }

    /// The end of the program.
    pub(crate) fn clear(&self) {
        let contexts = std::mem::take(&mut *self.0.lock());
        contexts.values().for_each(|context| context.close());
    }
}

/// Requests, and the events of those that are done.
pub(crate) struct Context {
    /// Requests and events together.
    capacity: usize,
    state: Mutex<State>,
    queue: WaitQueue,
    timers: Arc<TimerQueue>,
    _charge: Charge,
}

#[derive(Default)]
struct State {
    next_id: u64,
    /// Those that are being served, whether they wait or not.
    under_way: usize,
    waiting: BTreeMap<u64, Arc<Request>>,
    events: VecDeque<IoEvent>,
    is_closed: bool,
}

/// Room in a context for one request, which becomes its event.
#[must_use = "a place that is dropped is free again"]
pub(crate) struct Place {
    context: Arc<Context>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.context.state.lock().under_way -= 1;
    }
}

impl Context {
    /// How many requests one io_submit(2) looks at.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Where those who want events wait.
    pub(crate) fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    /// Takes room for a request.
    ///
    /// # Errors
    /// EAGAIN: as many are under way, or done and not collected, as there may be.
    pub(crate) fn reserve(self: &Arc<Self>) -> Result<Place, Errno> {
        let mut state = self.state.lock();
        if state.under_way + state.events.len() >= self.capacity {
            return Err(Errno::EAGAIN);
        }
        state.under_way += 1;
        drop(state);
        Ok(Place { context: self.clone() })
    }

    /// Up to `count` events, once there are `least` or no more will be waited for.
    ///
    /// # Errors
    /// EAGAIN: there are fewer. EINVAL: the context is destroyed.
    pub(crate) fn take_events(&self, least: usize, count: usize) -> Result<Vec<IoEvent>, Errno> {
        let mut state = self.state.lock();
        match state.events.len() {
            _ if state.is_closed => Err(Errno::EINVAL),
            len if len < least => Err(Errno::EAGAIN),
            len => Ok(state.events.drain(..len.min(count)).collect()),
        }
    }

    /// io_cancel(2): the request of the `struct iocb` at `object` waits no longer; its event says so.
    ///
    /// # Errors
    /// EINVAL: there is none that waits.
    pub(crate) fn cancel(&self, object: u64) -> Result<(), Errno> {
        let request = {
            let state = self.state.lock();
            state.waiting.values().find(|request| request.is_of(object)).cloned()
        };
        if request.is_some_and(|request| request.cancel()) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn add_event(&self, event: IoEvent, told: Option<&FileDescription>) {
        let mut state = self.state.lock();
        if !state.is_closed {
            state.events.push_back(event);
        }
        drop(state);
        self.queue.notify(Events::IN);
        if let Some(told) = told {
            // A counter that is full has told whoever listens.
            let _ = told.file().write_at(&1u64.to_ne_bytes(), 0);
        }
    }

    fn close(&self) {
        let (waiting, events) = {
            let mut state = self.state.lock();
            state.is_closed = true;
            (std::mem::take(&mut state.waiting), std::mem::take(&mut state.events))
        };
        drop(events);
        waiting.values().for_each(|request| request.abandon());
        self.queue.notify(Events::IN);
    }
}
