//! One entry of an interest list.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;

use super::{ReadyEvent, Shared};
use crate::Errno;
use crate::fs::{File, FileDescription};
use crate::heap::HeapCharge;
use crate::wait::{Events, Observer, Registration, WaitQueue};

bitflags::bitflags! {
    /// How an interest is reported (`man 2 epoll_ctl`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct InterestFlags: u32 {
        /// Report each change once.
        const ET = uapi::EPOLLET;
        /// Report once, then wait for EPOLL_CTL_MOD.
        const ONESHOT = uapi::EPOLLONESHOT;
        /// Wake one of several epolls.
        const EXCLUSIVE = uapi::EPOLLEXCLUSIVE;
        /// Keep the system awake: ignored.
        const WAKEUP = uapi::EPOLLWAKEUP;
    }
}

/// What may be asked for together with EPOLLEXCLUSIVE.
const EXCLUSIVE_BITS: u32 = uapi::EPOLLIN
    | uapi::EPOLLOUT
    | uapi::EPOLLERR
    | uapi::EPOLLHUP
    | uapi::EPOLLWAKEUP
    | uapi::EPOLLET
    | uapi::EPOLLEXCLUSIVE;

/// What epoll_ctl(2) asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedEvents {
    /// The events to report; errors and hang-ups always are.
    pub events: Events,
    /// How.
    pub flags: InterestFlags,
    /// Handed back with each report.
    pub data: u64,
    /// Nothing was asked for that EPOLLEXCLUSIVE does not go with.
    may_be_exclusive: bool,
}

impl RequestedEvents {
    /// Decodes `struct epoll_event`; unknown bits are ignored, as Linux ignores them.
    pub fn from_bits(bits: u32, data: u64) -> Self {
        Self {
            events: Events::from_bits_truncate(bits),
            flags: InterestFlags::from_bits_truncate(bits),
            data,
            may_be_exclusive: bits & !EXCLUSIVE_BITS == 0,
        }
    }

    /// The few bits that EPOLLEXCLUSIVE goes with.
    pub(super) fn check_exclusive(&self) -> Result<(), Errno> {
        if self.may_be_exclusive { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn is_exclusive(&self) -> bool {
        self.flags.contains(InterestFlags::EXCLUSIVE)
    }

    fn reported(&self) -> Events {
        self.events | Events::ERR | Events::HUP
    }

    fn bits(&self) -> u32 {
        self.reported().bits() | self.flags.bits()
    }
}

/// A description under a descriptor number: an interest's identity.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) descriptor: i32,
    /// The description's id, which no other ever has.
    file_id: Option<u64>,
    /// Does not keep it from being closed.
    pub(super) file: Weak<FileDescription>,
}

impl Key {
    pub(super) fn new(descriptor: i32, file: &Arc<FileDescription>) -> Self {
        Self { descriptor, file_id: file.id(), file: Arc::downgrade(file) }
    }

    fn rank(&self) -> (Option<u64>, i32) {
        (self.file_id, self.descriptor)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// One entry of an interest list.
pub(super) struct Interest {
    key: Key,
    state: Mutex<State>,
    /// Whether it is in the ready list; changes under that list's lock.
    is_listed: AtomicBool,
    shared: Weak<Shared>,
    me: Weak<Interest>,
    _heap_charge: HeapCharge,
}

struct State {
    requested: RequestedEvents,
    /// A one-shot interest that has fired.
    is_disabled: bool,
    registration: Option<Registration>,
}

impl Interest {
    pub(super) fn register(
        key: Key,
        requested: RequestedEvents,
        queue: &WaitQueue,
        shared: &Arc<Shared>,
        heap_charge: HeapCharge,
    ) -> Arc<Self> {
        let interest = Arc::new_cyclic(|me| Self {
            key,
            state: Mutex::new(State { requested, is_disabled: false, registration: None }),
            is_listed: AtomicBool::new(false),
            shared: Arc::downgrade(shared),
            me: me.clone(),
            _heap_charge: heap_charge,
        });
        let registration = match requested.is_exclusive() {
            true => queue.register_exclusive(requested.reported(), interest.clone()),
            false => queue.register(requested.reported(), interest.clone()),
        };
        interest.state.lock().registration = Some(registration);
        interest
    }

    pub(super) fn change(self: &Arc<Self>, requested: RequestedEvents, queue: &WaitQueue) {
        let registration = Some(queue.register(requested.reported(), self.clone()));
        let old =
            std::mem::replace(&mut *self.state.lock(), State { requested, is_disabled: false, registration });
        drop(old);
    }

    /// Leaves the file's wait queue for good, and reports nothing any more.
    pub(super) fn unregister(&self) {
        let registration = {
            let mut state = self.state.lock();
            state.is_disabled = true;
            state.registration.take()
        };
        drop(registration);
    }

    pub(super) fn is_exclusive(&self) -> bool {
        self.state.lock().requested.is_exclusive()
    }

    pub(super) fn is_alive(&self) -> bool {
        self.key.file.strong_count() > 0
    }

    pub(super) fn file(&self) -> Option<Arc<FileDescription>> {
        self.key.file.upgrade()
    }

    /// Returns whether it was listed before.
    pub(super) fn mark_listed(&self) -> bool {
        self.is_listed.swap(true, Ordering::Relaxed)
    }

    pub(super) fn mark_unlisted(&self) {
        self.is_listed.store(false, Ordering::Relaxed);
    }

    /// What the file is ready for, of what is wished.
    pub(super) fn ready_events(&self, file: &dyn File) -> Events {
        let wished = {
            let state = self.state.lock();
            if state.is_disabled { Events::empty() } else { state.requested.reported() }
        };
        if wished.is_empty() { wished } else { file.readiness() & wished }
    }

    /// The event to report of a file that is ready for `events`, and whether the interest goes back to the ready list; `None`
    /// if it has fired meanwhile.
    pub(super) fn take(&self, events: Events) -> Option<(ReadyEvent, bool)> {
        let mut state = self.state.lock();
        if state.is_disabled {
            return None;
        }
        let is_one_shot = state.requested.flags.contains(InterestFlags::ONESHOT);
        state.is_disabled = is_one_shot;
        let is_edge_triggered = state.requested.flags.contains(InterestFlags::ET);
        Some((ReadyEvent { events, data: state.requested.data }, !is_one_shot && !is_edge_triggered))
    }

    /// After a new requested: the file may be ready already.
    pub(super) fn announce_if_ready(self: &Arc<Self>, file: &FileDescription) {
        let events = self.ready_events(&**file.file());
        if !events.is_empty() {
            self.notify(events);
        }
    }

    /// The line in /proc/PID/fdinfo.
    pub(super) fn info(&self) -> String {
        let (descriptor, requested) = (self.key.descriptor, self.state.lock().requested);
        let common =
            format!("tfd: {descriptor:8} events: {:8x} data: {:16x} ", requested.bits(), requested.data);
        let Some(file) = self.file() else { return format!("{common}\n") };
        let (inode, device) = file
            .metadata()
            .map_or((0, 0), |metadata| (metadata.inode, metadata.device.major << 20 | metadata.device.minor));
        format!("{common} pos:{} ino:{inode:x} sdev:{device:x}\n", file.shown_position())
    }
}

impl Observer for Interest {
    fn notify(&self, events: Events) {
        self.notify_exclusive(events);
    }

    fn notify_exclusive(&self, _events: Events) -> bool {
        let (Some(me), Some(shared)) = (self.me.upgrade(), self.shared.upgrade()) else { return false };
        shared.push(&me);
        let is_awaited = !shared.queue.is_empty();
        shared.queue.notify(Events::IN | Events::RDNORM);
        is_awaited
    }
}
