//! The thread that hears of readiness of the host's sockets.
//!
//! It exists from the first socket on. Streams are watched for edges: whoever waits asks the socket itself after it has registered.
//! Flows are watched for as long as there is something, since what arrives is taken at once.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::Errno;
use crate::wait::Events;

/// How often what is idle is looked for, in seconds.
const SWEEP_SECONDS: i64 = 5;
/// Events that are taken at a time.
const EVENTS_AT_ONCE: usize = 64;

/// What hears of a host's socket.
pub(in crate::net) trait Watched: Send + Sync {
    /// The socket may be ready for `events`.
    fn announce(&self, events: Events);

    /// Ends what has been idle for too long.
    fn expire(&self, _now: Instant) {}
}

/// How a socket is watched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// Each change is told once.
    Edge,
    /// What can be read is told until it is.
    Level,
}

/// Announces readiness.
#[derive(Default)]
pub(super) struct Watcher {
    /// The host's epoll; `None` if it or the thread could not be made.
    epoll: OnceLock<Option<Arc<OwnedFd>>>,
    watched: Arc<Mutex<WatchedSockets>>,
}

#[derive(Default)]
struct WatchedSockets {
    next_name: u64,
    by_name: HashMap<u64, Weak<dyn Watched>>,
}

impl Watcher {
    /// Has `watched` hear of `socket` from now on; returns the name of the watch.
    ///
    /// # Errors
    /// ENOBUFS: it cannot be watched.
    pub(super) fn watch(
        &self,
        socket: BorrowedFd<'_>,
        trigger: Trigger,
        watched: &Arc<dyn Watched>,
    ) -> Result<u64, Errno> {
        let epoll = self.epoll().ok_or(Errno::ENOBUFS)?;
        let name = {
            let mut sockets = self.watched.lock();
            let name = sockets.next_name;
            sockets.next_name += 1;
            sockets.by_name.insert(name, Arc::downgrade(watched));
            name
        };
        let events = match trigger {
            Trigger::Edge => {
                EventFlags::IN | EventFlags::OUT | EventFlags::PRI | EventFlags::RDHUP | EventFlags::ET
            }
            Trigger::Level => EventFlags::IN,
        };
        epoll::add(epoll, socket, EventData::new_u64(name), events).map(|()| name).map_err(|error| {
            log::debug!("a socket of the host cannot be watched: {error}");
            self.watched.lock().by_name.remove(&name);
            Errno::ENOBUFS
        })
    }

    /// Ends a watch.
    pub(super) fn forget(&self, socket: BorrowedFd<'_>, name: u64) {
        if let Some(epoll) = self.epoll()
            && let Err(error) = epoll::delete(epoll, socket)
        {
            log::debug!("a socket of the host was not watched: {error}");
        }
        self.watched.lock().by_name.remove(&name);
    }

    fn epoll(&self) -> Option<&Arc<OwnedFd>> {
        self.epoll
            .get_or_init(|| self.start().inspect_err(|error| log::warn!("no watcher: {error}")).ok())
            .as_ref()
    }

    fn start(&self) -> std::io::Result<Arc<OwnedFd>> {
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        let (watched, waited) = (Arc::downgrade(&self.watched), epoll.clone());
        std::thread::Builder::new().name("outside".into()).spawn(move || announce(&waited, &watched))?;
        Ok(epoll)
    }
}

/// Announces for as long as there is a watcher.
fn announce(epoll: &OwnedFd, sockets: &Weak<Mutex<WatchedSockets>>) {
    let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
    let mut last_sweep = Instant::now();
    loop {
        events.clear();
        let timeout = Timespec { tv_sec: SWEEP_SECONDS, tv_nsec: 0 };
        match epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return log::error!("the watcher of the outside ends: {error}"),
        }
        let Some(sockets) = sockets.upgrade() else { return };
        for event in &events {
            let (name, flags) = (event.data.u64(), event.flags);
            let watched = sockets.lock().by_name.get(&name).and_then(Weak::upgrade);
            if let Some(watched) = watched {
                watched.announce(events_of(flags.bits()));
            }
        }
        let now = Instant::now();
        if now.duration_since(last_sweep).as_secs() >= SWEEP_SECONDS.unsigned_abs() {
            last_sweep = now;
            let all: Vec<_> = sockets.lock().by_name.values().filter_map(Weak::upgrade).collect();
            all.iter().for_each(|watched| watched.expire(now));
        }
    }
}

/// What poll(2) or epoll(7) of the host tells, as the guest is told it.
pub(super) fn events_of(bits: u32) -> Events {
    let mut events = Events::from_bits_truncate(bits);
    events.set(Events::RDNORM, events.contains(Events::IN));
    events.set(Events::WRNORM, events.contains(Events::OUT));
    events
}
