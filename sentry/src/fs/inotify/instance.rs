//! An inotify instance: its watches, and its queue of events, which is read as a file.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use linux_raw_sys::ioctl::FIONREAD;
use parking_lot::Mutex;

use super::WatchMask;
use super::watch::Watch;
use crate::Errno;
use crate::fs::anonymous::AnonymousInode;
use crate::fs::{Caller, Dentry, File, Metadata};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// Events that wait in one queue (`fs.inotify.max_queued_events`).
const MAX_EVENTS: usize = 16_384;
/// Watches of one instance (`fs.inotify.max_user_watches`).
const MAX_WATCHES: usize = 65_536;
/// `struct inotify_event` without the name.
const HEADER_BYTES: usize = 16;

/// One event.
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

    fn encode(&self, place: &mut [u8]) {
        let len = self.name_bytes() as u32;
        let words = [
            self.watch.to_ne_bytes(),
            self.mask.bits().to_ne_bytes(),
            self.cookie.to_ne_bytes(),
            len.to_ne_bytes(),
        ];
        place.fill(0);
        place[..HEADER_BYTES].copy_from_slice(words.as_flattened());
        place[HEADER_BYTES..HEADER_BYTES + self.name.len()].copy_from_slice(&self.name);
    }
}

/// An inotify instance.
pub struct InotifyFile {
    state: Mutex<State>,
    queue: WaitQueue,
    inode: AnonymousInode,
    own: Weak<Self>,
}

#[derive(Default)]
struct State {
    last_descriptor: i32,
    watches: BTreeMap<i32, Watched>,
    events: VecDeque<Event>,
}

/// A watch and the file that it is on.
struct Watched {
    watch: Arc<Watch>,
    dentry: Weak<Dentry>,
    /// Keeps the dentry while its name exists.
    pin: Option<Arc<Dentry>>,
}

impl InotifyFile {
    /// An instance without watches.
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            state: Mutex::default(),
            queue: WaitQueue::default(),
            inode: AnonymousInode::new(),
            own: own.clone(),
        })
    }

    /// Watches `dentry`, or changes the watch that is on it, and returns the watch's descriptor.
    ///
    /// # Errors
    /// EEXIST: it is watched, and `mask` wants a new watch. ENOSPC: there are too many watches.
    pub fn add_watch(&self, dentry: &Arc<Dentry>, mask: WatchMask) -> Result<i32, Errno> {
        let mut state = self.state.lock();
        let existing = state.watches.values().find(|watched| watched.dentry.as_ptr() == Arc::as_ptr(dentry));
        if let Some(watched) = existing {
            if mask.contains(WatchMask::CREATE_WATCH) {
                return Err(Errno::EEXIST);
            }
            let old = if mask.contains(WatchMask::ADD) { watched.watch.mask() } else { WatchMask::empty() };
            watched.watch.set_mask(mask | old);
            return Ok(watched.watch.descriptor);
        }
        if state.watches.len() >= MAX_WATCHES {
            return Err(Errno::ENOSPC);
        }
        let descriptor = state.last_descriptor.checked_add(1).ok_or(Errno::ENOSPC)?;
        state.last_descriptor = descriptor;
        let watch = Arc::new(Watch::new(self.own.clone(), descriptor, mask));
        let pin = (!dentry.is_deleted()).then(|| dentry.clone());
        let watched = Watched { watch: watch.clone(), dentry: Arc::downgrade(dentry), pin };
        state.watches.insert(descriptor, watched);
        drop(state);
        dentry.watches().add(watch);
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
        watched.detach();
        self.push(Event { watch: descriptor, mask: WatchMask::IGNORED, cookie: 0, name: Box::default() });
        true
    }

    /// No longer keeps the file of a watch.
    pub(super) fn unpin(&self, descriptor: i32) {
        let pin = self.state.lock().watches.get_mut(&descriptor).and_then(|watched| watched.pin.take());
        drop(pin);
    }

    /// Puts an event into the queue, unless the last one says the same already.
    pub(super) fn push(&self, event: Event) {
        {
            let events = &mut self.state.lock().events;
            if events.back() == Some(&event) {
                return;
            }
            if events.len() < MAX_EVENTS {
                events.push_back(event);
            } else if events.len() == MAX_EVENTS {
                let mask = WatchMask::OVERFLOW;
                events.push_back(Event { watch: -1, mask, cookie: 0, name: Box::default() });
            }
        }
        self.queue.notify(Events::IN | Events::RDNORM);
    }
}

impl Watched {
    /// Takes the watch off its dentry. No lock of the instance is held.
    fn detach(self) {
        if let Some(dentry) = self.dentry.upgrade() {
            dentry.watches().remove(&self.watch);
        }
    }
}

impl Drop for InotifyFile {
    fn drop(&mut self) {
        let watches = std::mem::take(&mut self.state.get_mut().watches);
        watches.into_values().for_each(Watched::detach);
    }
}

impl File for InotifyFile {
    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        let events = &mut self.state.lock().events;
        let first = events.front().ok_or(Errno::EAGAIN)?;
        if first.size_bytes() > buffer.len() {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        while let Some(event) = events.front() {
            let Some(place) = buffer.get_mut(done..done + event.size_bytes()) else { break };
            event.encode(place);
            done += place.len();
            events.pop_front();
        }
        Ok(done)
    }

    fn readiness(&self) -> Events {
        match self.state.lock().events.is_empty() {
            true => Events::empty(),
            false => Events::IN | Events::RDNORM,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
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

    fn as_any(&self) -> &dyn Any {
        self
    }
}
