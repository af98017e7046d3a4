//! epoll(7): an interest list, and the part of it that may be ready.
//!
//! Each interest observes its file's wait queue. A notification moves it to the ready list; waiting takes it off,
//! asks the file what it is really ready for, and, if level-triggered, puts it back. An interest does not keep its
//! file open: it ends with the last descriptor of the description.
//!
//! Lock order: the lock of edges between epolls ([`OpenFiles`]), then `interests`, then a file's wait queue, then `ready`, then the epoll's own wait queue,
//! and so on upwards; that is finite because epolls never form a loop.

mod interest;
#[cfg(test)]
mod tests;
mod topology;

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use self::interest::{Interest, Key};
use super::anonymous::AnonymousInode;
use super::{Caller, File, FileDescription, LongText, Metadata, OpenFiles, Splicing};
use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::heap::{HeapCharge, shrink_queue};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

pub use interest::{InterestFlags, RequestedEvents};

/// Most watches of one epoll, whatever the setting says.
const MAX_INTERESTS: usize = 1 << 20;
/// What an interest takes, with its places in the lists and in its file's queue.
const INTEREST_BYTES: usize = 640;

/// One ready file, as epoll_wait(2) reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyEvent {
    /// What it is ready for, of what was asked.
    pub events: Events,
    /// What epoll_ctl stored with the interest.
    pub data: u64,
}

/// An epoll instance.
pub struct EpollFile {
    /// Whose lock guards which epolls of the kernel watch which.
    files: Arc<OpenFiles>,
    interests: Mutex<Interests>,
    shared: Arc<Shared>,
    inode: AnonymousInode,
    me: Weak<EpollFile>,
    /// The epolls that watch this one. Guarded by the topology lock too.
    parents: Mutex<Vec<Weak<EpollFile>>>,
    /// How network devices are polled (`struct epoll_params`).
    busy_polling: AtomicU64,
}

#[derive(Default)]
struct Interests {
    by_key: BTreeMap<Key, Arc<Interest>>,
    /// Closed files' interests are swept when the list has grown to this length.
    sweep_at: usize,
}

/// What interests reach from within a file's notification.
#[derive(Default)]
struct Shared {
    ready: Mutex<VecDeque<Arc<Interest>>>,
    queue: WaitQueue,
}

impl EpollFile {
    /// An epoll without interests, to be one of `files`.
    pub fn new(files: &Arc<OpenFiles>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            files: files.clone(),
            interests: Mutex::default(),
            shared: Arc::default(),
            inode: AnonymousInode::new(files),
            me: me.clone(),
            parents: Mutex::default(),
            busy_polling: AtomicU64::new(0),
        })
    }

    /// EPOLL_CTL_ADD.
    ///
    /// # Errors
    /// EEXIST, EPERM for a file that does not announce readiness, ELOOP for epolls in a loop or too deep, EINVAL for
    /// EPOLLEXCLUSIVE on an epoll or with events that it forbids, ENOSPC for too many, ENOMEM.
    pub fn add(
        &self,
        descriptor: i32,
        file: &Arc<FileDescription>,
        requested: RequestedEvents,
    ) -> Result<(), Errno> {
        let queue = file.file().wait_queue().ok_or(Errno::EPERM)?;
        let child = file.downcast::<EpollFile>();
        if requested.flags.contains(InterestFlags::EXCLUSIVE) {
            requested.check_exclusive()?;
            if child.is_some() {
                return Err(Errno::EINVAL);
            }
        }
        let _topology = match child {
            Some(child) => Some(topology::join(self, child)?),
            None => None,
        };
        let mut interests = self.interests.lock();
        interests.sweep();
        let key = Key::new(descriptor, file);
        if interests.by_key.contains_key(&key) {
            return Err(Errno::EEXIST);
        }
        if interests.by_key.len() >= self.files.max_watches().min(MAX_INTERESTS) {
            return Err(Errno::ENOSPC);
        }
        let heap_charge = HeapCharge::new(INTEREST_BYTES)?;
        let interest = Interest::register(key.clone(), requested, queue, &self.shared, heap_charge);
        interests.by_key.insert(key, interest.clone());
        if let Some(child) = child {
            child.parents.lock().push(self.me.clone());
        }
        drop(interests);
        interest.announce_if_ready(file);
        Ok(())
    }

    /// EPOLL_CTL_MOD.
    ///
    /// # Errors
    /// ENOENT; EINVAL if EPOLLEXCLUSIVE is or was asked for.
    pub fn modify(
        &self,
        descriptor: i32,
        file: &Arc<FileDescription>,
        requested: RequestedEvents,
    ) -> Result<(), Errno> {
        let queue = file.file().wait_queue().ok_or(Errno::EPERM)?;
        if requested.flags.contains(InterestFlags::EXCLUSIVE) {
            return Err(Errno::EINVAL);
        }
        let interests = self.interests.lock();
        let interest = interests.by_key.get(&Key::new(descriptor, file)).ok_or(Errno::ENOENT)?.clone();
        drop(interests);
        if interest.is_exclusive() {
            return Err(Errno::EINVAL);
        }
        interest.change(requested, queue);
        interest.announce_if_ready(file);
        Ok(())
    }

    /// EPOLL_CTL_DEL.
    ///
    /// # Errors
    /// ENOENT.
    pub fn remove(&self, descriptor: i32, file: &Arc<FileDescription>) -> Result<(), Errno> {
        let key = Key::new(descriptor, file);
        let interest = self.interests.lock().by_key.remove(&key).ok_or(Errno::ENOENT)?;
        self.forget(&interest);
        if let Some(child) = file.downcast::<EpollFile>() {
            topology::leave(self, child);
        }
        Ok(())
    }

    /// The open file that is watched by `descriptor`, the one after `skipped` others that were (`man 2 kcmp`, KCMP_EPOLL_TFD).
    pub fn watched(&self, descriptor: i32, skipped: u32) -> Option<Arc<FileDescription>> {
        let interests = self.interests.lock();
        let mut files = interests.by_key.keys().filter(|key| key.descriptor == descriptor);
        files.nth(usize::try_from(skipped).ok()?)?.file.upgrade()
    }

    fn forget(&self, interest: &Arc<Interest>) {
        interest.unregister();
        self.shared.ready.lock().retain(|ready| !Arc::ptr_eq(ready, interest));
    }

    /// Takes at most `max_events` ready files; empty if none is ready. Each file is asked once: what some tell, they tell only
    /// once. `may_tell` is asked before the first one is taken off, which stays if it fails.
    ///
    /// # Errors
    /// What `may_tell` fails with.
    pub fn take_ready(
        &self,
        max_events: usize,
        mut may_tell: impl FnMut() -> Result<(), Errno>,
    ) -> Result<Vec<ReadyEvent>, Errno> {
        let mut reported = Vec::new();
        let mut level_triggered = Vec::new();
        // What is put back must not be taken again in this round.
        let mut remaining = self.shared.ready.lock().len();
        while reported.len() < max_events && remaining > 0 {
            remaining -= 1;
            let Some(interest) = self.shared.pop() else { break };
            let Some(file) = interest.file() else { continue };
            let events = interest.ready_events(&**file.file());
            if events.is_empty() {
                continue;
            }
            if reported.is_empty() {
                may_tell().inspect_err(|_| self.shared.push_first(&interest))?;
            }
            let Some((event, is_level_triggered)) = interest.take(events) else { continue };
            reported.push(event);
            if is_level_triggered {
                level_triggered.push(interest);
            }
        }
        for interest in level_triggered {
            self.shared.push(&interest);
        }
        Ok(reported)
    }

    /// Whether some file is ready.
    pub fn has_ready(&self) -> bool {
        let mut remaining = self.shared.ready.lock().len();
        while remaining > 0 {
            remaining -= 1;
            let Some(interest) = self.shared.pop() else { return false };
            // One that is not ready any more leaves the list: its next event brings it back.
            if interest.file().is_some_and(|file| !interest.ready_events(&**file.file()).is_empty()) {
                self.shared.push_first(&interest);
                return true;
            }
        }
        false
    }

    /// The epolls that this one watches.
    fn children(&self) -> Vec<Arc<FileDescription>> {
        let interests = self.interests.lock();
        let files = interests.by_key.values().filter_map(|interest| interest.file());
        files.filter(|file| file.downcast::<EpollFile>().is_some()).collect()
    }
}

impl Interests {
    fn sweep(&mut self) {
        if self.by_key.len() < self.sweep_at {
            return;
        }
        self.by_key.retain(|_, interest| interest.is_alive());
        self.sweep_at = self.by_key.len().saturating_mul(2).max(64);
    }
}

impl Shared {
    /// Puts `interest` at the end of the ready list, unless it is there.
    fn push(&self, interest: &Arc<Interest>) {
        let mut ready = self.ready.lock();
        if !interest.mark_listed() {
            ready.push_back(interest.clone());
        }
    }

    /// As [`Shared::push`], at the place where it was taken from.
    fn push_first(&self, interest: &Arc<Interest>) {
        let mut ready = self.ready.lock();
        if !interest.mark_listed() {
            ready.push_front(interest.clone());
        }
    }

    fn pop(&self) -> Option<Arc<Interest>> {
        let mut ready = self.ready.lock();
        let interest = ready.pop_front()?;
        shrink_queue(&mut ready);
        interest.mark_unlisted();
        Some(interest)
    }
}

impl Drop for EpollFile {
    fn drop(&mut self) {
        // The ready list refers to interests, which refer to the list.
        for interest in self.interests.get_mut().by_key.values() {
            interest.unregister();
        }
        self.shared.ready.lock().clear();
    }
}

/// Fails for what cannot be asked of network devices (`struct epoll_params`): how many microseconds they are polled, how many
/// packets are taken then, and whether that is preferred to interrupts.
fn check_busy_polling(parameters: u64, credentials: &Credentials) -> Result<(), Errno> {
    /// `NAPI_POLL_WEIGHT`.
    const MOST_PACKETS: u16 = 64;
    let [m0, m1, m2, m3, p0, p1, prefers, padding] = parameters.to_le_bytes();
    let is_possible = u32::from_le_bytes([m0, m1, m2, m3]) <= i32::MAX.cast_unsigned() && prefers <= 1;
    if padding != 0 || !is_possible {
        return Err(Errno::EINVAL);
    }
    let is_much = u16::from_le_bytes([p0, p1]) > MOST_PACKETS;
    if is_much && !credentials.has(Capabilities::NET_ADMIN) { Err(Errno::EPERM) } else { Ok(()) }
}

impl File for EpollFile {
    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        /// `EPIOCSPARAMS` and `EPIOCGPARAMS` (linux/eventpoll.h): polling of network devices, of which there are none. What is
        /// set is only kept.
        const SET_PARAMETERS: u32 = 0x4008_8a01;
        const GET_PARAMETERS: u32 = 0x8008_8a02;
        let place = VirtualAddress(argument);
        match request {
            SET_PARAMETERS => {
                let parameters = caller.memory().read_object(place)?;
                check_busy_polling(parameters, &caller.credentials())?;
                self.busy_polling.store(parameters, Ordering::Relaxed);
                Ok(0)
            }
            GET_PARAMETERS => {
                let parameters = self.busy_polling.load(Ordering::Relaxed);
                caller.memory().write_object(place, &parameters).map(|()| 0)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn has_read(&self) -> bool {
        false
    }

    fn has_write(&self) -> bool {
        false
    }

    fn has_single_position(&self) -> bool {
        true
    }

    fn readiness(&self) -> Events {
        if self.has_ready() { Events::IN | Events::RDNORM } else { Events::empty() }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.shared.queue)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:[eventpoll]".into()
    }

    fn descriptor_info(&self, text: &mut LongText) -> Result<(), Errno> {
        // Files are looked at without the lock.
        let (interests, _copy) = {
            let table = self.interests.lock();
            let copy = HeapCharge::transient(table.by_key.len() * size_of::<Arc<Interest>>())?;
            (table.by_key.values().cloned().collect::<Vec<_>>(), copy)
        };
        interests
            .iter()
            .filter(|interest| interest.is_alive())
            .try_for_each(|interest| text.push(interest.info()))
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
