//! The thread that hears of readiness on the host and announces it to wait queues.
//!
//! It exists from the first time that somebody waits for a host file. Events are edge-triggered: whoever waits
//! asks the file itself after it has registered, so an edge is all that is needed, and a file that stays ready
//! costs nothing.

use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::wait::{Events, WaitQueue};

/// Announces readiness of host files.
#[derive(Default)]
pub struct HostNotifier {
    /// The host's epoll; `None` if it or the thread could not be made.
    epoll: OnceLock<Option<Arc<OwnedFd>>>,
    watched: Arc<Mutex<Watched>>,
}

#[derive(Default)]
struct Watched {
    next_name: u64,
    queues: BTreeMap<u64, WaitQueue>,
}

impl HostNotifier {
    /// A notifier without a thread yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Announces readiness of `descriptor` to `queue` from now on. `None` if it cannot be waited for.
    pub(super) fn watch(&self, descriptor: BorrowedFd<'_>, queue: WaitQueue) -> Option<u64> {
        let epoll = self.epoll()?;
        let name = {
            let mut watched = self.watched.lock();
            let name = watched.next_name;
            watched.next_name += 1;
            watched.queues.insert(name, queue);
            name
        };
        let events = EventFlags::IN | EventFlags::OUT | EventFlags::PRI | EventFlags::RDHUP | EventFlags::ET;
        match epoll::add(epoll, descriptor, EventData::new_u64(name), events) {
            Ok(()) => Some(name),
            Err(error) => {
                log::debug!("a standard stream cannot be waited for: {error}");
                self.watched.lock().queues.remove(&name);
                None
            }
        }
    }

    /// Ends a watch.
    pub(super) fn forget(&self, descriptor: BorrowedFd<'_>, name: u64) {
        if let Some(epoll) = self.epoll()
            && let Err(error) = epoll::delete(epoll, descriptor)
        {
            log::debug!("a standard stream was not watched: {error}");
        }
        self.watched.lock().queues.remove(&name);
    }

    fn epoll(&self) -> Option<&Arc<OwnedFd>> {
        self.epoll
            .get_or_init(|| self.start().inspect_err(|error| log::warn!("no host notifier: {error}")).ok())
            .as_ref()
    }

    fn start(&self) -> std::io::Result<Arc<OwnedFd>> {
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        let (watched, waited) = (self.watched.clone(), epoll.clone());
        std::thread::Builder::new()
            .name("host-notifier".into())
            .spawn(move || announce(&waited, &watched))?;
        Ok(epoll)
    }
}

/// Announces until the host's epoll fails, which it does not while the process lives.
fn announce(epoll: &OwnedFd, watched: &Mutex<Watched>) {
    let mut events = Vec::with_capacity(16);
    loop {
        events.clear();
        match epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return log::error!("the host notifier ends: {error}"),
        }
        for event in &events {
            let (name, flags) = (event.data.u64(), event.flags);
            let queue = watched.lock().queues.get(&name).cloned();
            if let Some(queue) = queue {
                let mut announced = Events::from_bits_truncate(flags.bits());
                announced.set(Events::RDNORM, announced.contains(Events::IN));
                announced.set(Events::WRNORM, announced.contains(Events::OUT));
                queue.notify(announced);
            }
        }
    }
}
