//! An inotify instance: its watches, and its queue of events, which is read as a file.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};

use linux_raw_sys::ioctl::{FIONREAD, INOTIFY_IOC_SETNEXTWD};
use parking_lot::Mutex;
use zerocopy::IntoBytes;

use super::WatchMask;
use super::limits::{Account, InotifyLimits};
use super::watch::Watch;
use crate::Errno;
use crate::abi::InotifyEvent;
use crate::cred::KernelUid;
use crate::fs::anonymous::AnonymousInode;
use crate::fs::{Caller, Dentry, File, Inode, LongText, Metadata, OpenFiles, Splicing, TransferUnit};
use crate::heap::{HeapCharge, shrink_queue};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// What is before the name of an event.
const HEADER_BYTES: usize = size_of::<InotifyEvent>();

/// What an instance takes.
const INSTANCE_BYTES: usize = 1024;
/// What an event takes beside its name, in a queue that grows by doubling.
const EVENT_BYTES: usize = 2 * size_of::<Event>() + 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) watch: i32,
    pub(super) mask: WatchMask,
    pub(super) cookie: u32,
    pub(super) name: Box<[u8]>,
}

impl Event {
    /// The name with its padding: terminated, and a multiple of the header long.
    fn name_bytes(&self) -> usize {
        if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(HEADER_BYTES) }
    }

    fn size_bytes(&self) -> usize {
        HEADER_BYTES + self.name_bytes()
    }

    /// What it takes of the sentry's memory.
    fn kept_bytes(&self) -> usize {
        EVENT_BYTES + self.name.len()
    }

    /// Whether it says what `last`, the event before it, has said. Cookies do not matter.
    fn repeats(&self, last: &Self) -> bool {
        let is_same = (self.watch, self.mask, &self.name) == (last.watch, last.mask, &last.name);
        is_same && !last.mask.contains(WatchMask::IGNORED)
    }

    fn encode(&self, place: &mut [u8]) {
        let len = self.name_bytes() as u32;
        let head = InotifyEvent { wd: self.watch, mask: self.mask.bits(), cookie: self.cookie, len };
        place.fill(0);
        place[..HEADER_BYTES].copy_from_slice(head.as_bytes());
        place[HEADER_BYTES..HEADER_BYTES + self.name.len()].copy_from_slice(&self.name);
    }
}

/// An inotify instance.
pub struct InotifyFile {
    state: Mutex<State>,
    queue: WaitQueue,
    inode: AnonymousInode,
    account: Account,
    max_events: usize,
    own: Weak<Self>,
}

#[derive(Default)]
struct State {
    last_descriptor: i32,
    watches: BTreeMap<i32, Watched>,
    events: VecDeque<Event>,
    /// Whether that events were lost waits among the events.
    says_overflow: bool,
    heap_charge: HeapCharge,
}

impl State {
    /// The first free descriptor from the next one on, and then from 1 on; `None` if all are taken.
    fn free_descriptor(&self) -> Option<i32> {
        let next = self.last_descriptor.checked_add(1).unwrap_or(1);
        free_from(&self.watches, next..=i32::MAX).or_else(|| free_from(&self.watches, 1..=next))
    }
}

/// The first of `descriptors` that no watch has.
fn free_from(watches: &BTreeMap<i32, Watched>, mut descriptors: RangeInclusive<i32>) -> Option<i32> {
    let mut taken = watches.range(descriptors.clone()).map(|(descriptor, _)| *descriptor).peekable();
    descriptors.find(|descriptor| taken.next_if_eq(descriptor).is_none())
}

/// A watch and what it is on.
struct Watched {
    watch: Arc<Watch>,
    place: WatchedPlace,
}

/// Where a watch hangs.
enum WatchedPlace {
    Inode(Arc<dyn Inode>),
    Dentry {
        dentry: Weak<Dentry>,
        /// Keeps the dentry while its name exists.
        pin: Option<Arc<Dentry>>,
    },
}

impl InotifyFile {
    /// An instance without watches, of user `uid`.
    ///
    /// # Errors
    /// EMFILE: the user has too many instances. ENOMEM.
    pub fn new(limits: &Arc<InotifyLimits>, uid: KernelUid, files: &OpenFiles) -> Result<Arc<Self>, Errno> {
        let account = Account::open(limits, uid)?;
        // Who makes the instance pays for its events, too.
        let heap_charge = HeapCharge::new(INSTANCE_BYTES)?;
        Ok(Arc::new_cyclic(|own| Self {
            state: Mutex::new(State { heap_charge, ..State::default() }),
            queue: WaitQueue::default(),
            inode: AnonymousInode::new(files),
            max_events: account.max_queued_events(),
            account,
            own: own.clone(),
        }))
    }

    /// Watches the file at `dentry`, or changes the watch that is on it, and returns the watch's descriptor.
    ///
    /// # Errors
    /// EEXIST: it is watched, and `mask` wants a new watch. ENOSPC: there are too many watches. ENOMEM.
    pub fn add_watch(&self, dentry: &Arc<Dentry>, mask: WatchMask) -> Result<i32, Errno> {
        let mut state = self.state.lock();
        if let Some(watch) = dentry.watches().of_instance(&self.own) {
            if mask.contains(WatchMask::MASK_CREATE) {
                return Err(Errno::EEXIST);
            }
            let old = if mask.contains(WatchMask::MASK_ADD) { watch.mask() } else { WatchMask::empty() };
            watch.set_mask(mask | old);
            return Ok(watch.descriptor);
        }
        let descriptor = state.free_descriptor().ok_or(Errno::ENOSPC)?;
        let watch = Arc::new(Watch::new(self.own.clone(), descriptor, mask, dentry.is_directory())?);
        self.account.add_watch()?;
        state.last_descriptor = descriptor;
        let place = match dentry.inode().watches() {
            Some(_) => WatchedPlace::Inode(dentry.inode().clone()),
            None => {
                let pin = (!dentry.is_deleted()).then(|| dentry.clone());
                WatchedPlace::Dentry { dentry: Arc::downgrade(dentry), pin }
            }
        };
        state.watches.insert(descriptor, Watched { watch: watch.clone(), place });
        dentry.watch(watch);
        Ok(descriptor)
    }

    /// Ends a watch at its owner's wish.
    ///
    /// # Errors
    /// EINVAL: there is no such watch.
    pub fn remove_watch(&self, descriptor: i32) -> Result<(), Errno> {
        if self.end_watch(descriptor) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Ends a watch and says so; whether there was one.
    pub(super) fn end_watch(&self, descriptor: i32) -> bool {
        let Some(watched) = self.state.lock().watches.remove(&descriptor) else { return false };
        self.account.remove_watches(1);
        watched.detach();
        self.push(Event { watch: descriptor, mask: WatchMask::IGNORED, cookie: 0, name: Box::default() });
        true
    }

    /// No longer keeps the name of a watch.
    pub(super) fn unpin(&self, descriptor: i32) {
        let pin = match self.state.lock().watches.get_mut(&descriptor).map(|watched| &mut watched.place) {
            Some(WatchedPlace::Dentry { pin, .. }) => pin.take(),
            Some(WatchedPlace::Inode(_)) | None => None,
        };
        drop(pin);
    }

    /// Puts an event into the queue, unless the last one says the same already.
    pub(super) fn push(&self, event: Event) {
        if self.state.lock().push(event, self.max_events, &self.account) {
            self.queue.notify(Events::IN | Events::RDNORM);
        }
    }
}

impl State {
    /// Whether there is something more to read.
    fn push(&mut self, event: Event, max_events: usize, account: &Account) -> bool {
        let has_room = self.events.len() < max_events;
        if has_room && self.events.back().is_some_and(|last| event.repeats(last)) {
            return false;
        }
        let charged = self.heap_charge.len_bytes() + event.kept_bytes();
        if has_room && self.heap_charge.resize(charged).is_ok() {
            if account.queue(event.kept_bytes()) {
                self.events.push_back(event);
                return true;
            }
            self.heap_charge.force(charged - event.kept_bytes());
        }
        if std::mem::replace(&mut self.says_overflow, true) {
            return false;
        }
        let mask = WatchMask::Q_OVERFLOW;
        self.events.push_back(Event { watch: -1, mask, cookie: 0, name: Box::default() });
        true
    }

    /// Takes the first event out.
    fn pop(&mut self, account: &Account) {
        let first = self.events.pop_front();
        shrink_queue(&mut self.events);
        match first {
            Some(event) if event.mask == WatchMask::Q_OVERFLOW => self.says_overflow = false,
            Some(event) => {
                account.unqueue(event.kept_bytes());
                self.heap_charge.force(self.heap_charge.len_bytes().saturating_sub(event.kept_bytes()));
            }
            None => {}
        }
    }
}

impl Watched {
    /// Takes the watch off its file. No lock of the instance is held.
    fn detach(self) {
        match self.place {
            WatchedPlace::Inode(inode) => {
                if let Some(watches) = inode.watches() {
                    watches.remove(&self.watch);
                }
            }
            WatchedPlace::Dentry { dentry, pin } => {
                if let Some(dentry) = dentry.upgrade() {
                    dentry.watches().remove(&self.watch);
                }
                drop(pin);
            }
        }
    }
}

impl Drop for InotifyFile {
    fn drop(&mut self) {
        let State { watches, events, .. } = std::mem::take(self.state.get_mut());
        self.account.remove_watches(watches.len());
        let is_charged = |event: &&Event| event.mask != WatchMask::Q_OVERFLOW;
        self.account.unqueue(events.iter().filter(is_charged).map(Event::kept_bytes).sum());
        watches.into_values().for_each(Watched::detach);
    }
}

impl Watched {
    /// What is watched; `None` once the file is gone.
    fn inode(&self) -> Option<Arc<dyn Inode>> {
        match &self.place {
            WatchedPlace::Inode(inode) => Some(inode.clone()),
            WatchedPlace::Dentry { dentry, .. } => Some(dentry.upgrade()?.inode().clone()),
        }
    }
}

/// The line of /proc/PID/fdinfo about a watch of `inode`.
fn watch_info(descriptor: i32, inode: &dyn Inode, mask: WatchMask) -> Option<String> {
    let metadata = inode.metadata().ok()?;
    let device = metadata.device.major << 20 | metadata.device.minor;
    let (number, mask) = (metadata.inode, mask.bits());
    Some(format!("inotify wd:{descriptor:x} ino:{number:x} sdev:{device:x} mask:{mask:x} ignored_mask:0 \n"))
}

impl File for InotifyFile {
    fn descriptor_info(&self, text: &mut LongText) -> Result<(), Errno> {
        // The newest first, as Linux has them. Files are looked at without the lock.
        let state = self.state.lock();
        let _copy = HeapCharge::transient(state.watches.len() * 2 * size_of::<Arc<dyn Inode>>())?;
        let watches = state.watches.iter().rev();
        let watches: Vec<_> = watches
            .filter_map(|(descriptor, watched)| Some((*descriptor, watched.inode()?, watched.watch.mask())))
            .collect();
        drop(state);
        watches
            .iter()
            .filter_map(|(descriptor, inode, mask)| watch_info(*descriptor, &**inode, *mask))
            .try_for_each(|line| text.push(line))
    }

    fn has_single_position(&self) -> bool {
        true
    }

    fn read_unit(&self) -> TransferUnit {
        TransferUnit::Whole
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        let mut state = self.state.lock();
        let first = state.events.front().ok_or(Errno::EAGAIN)?;
        if first.size_bytes() > buffer.len() {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        while let Some(event) = state.events.front() {
            let Some(place) = buffer.get_mut(done..done + event.size_bytes()) else { break };
            event.encode(place);
            done += place.len();
            state.pop(&self.account);
        }
        Ok(done)
    }

    fn readiness(&self) -> Events {
        match self.state.lock().events.is_empty() {
            true => Events::empty(),
            false => Events::IN | Events::RDNORM,
        }
    }

    fn signals_readiness(&self) -> bool {
        true
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        if request == INOTIFY_IOC_SETNEXTWD {
            let next = i32::try_from(argument).ok().filter(|next| *next > 0).ok_or(Errno::EINVAL)?;
            self.state.lock().last_descriptor = next - 1;
            return Ok(0);
        }
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let len_bytes: usize = self.state.lock().events.iter().map(Event::size_bytes).sum();
        caller.memory().write_object(VirtualAddress(argument), &(len_bytes as i32))?;
        Ok(0)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:inotify".into()
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
