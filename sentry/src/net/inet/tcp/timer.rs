//! What time does to a connection: what is held back goes out, what does not get through is sent again and given up in the end
//! (`man 7 tcp`: TCP_USER_TIMEOUT, `tcp_retries2`, TCP_SYNCNT), and a peer that is silent is asked whether it is there
//! (SO_KEEPALIVE).
//!
//! Within a namespace everything arrives and everybody answers, unless rules say otherwise: only what is held back has a timer.

use std::sync::{Arc, Weak};
use std::time::Duration;

use linux_raw_sys::net as uapi;
use parking_lot::Mutex;

use super::endpoint::{ENDED, READABLE};
use super::outbox::{Ends, Flush};
use super::{Role, TcpSocket, TcpSockets};
use crate::Errno;
use crate::heap::HeapCharge;
use crate::net::Counter;
use crate::time::{Expire, MonotonicTime, TimerHandle, TimerQueue};

/// How long less than a segment is held back at most.
const CORKED: Duration = Duration::from_millis(200);
/// The first and the longest time after which something is sent again, and of a SYN the first.
const RETRANSMISSION: Duration = Duration::from_millis(200);
const LONGEST_RETRANSMISSION: Duration = Duration::from_secs(120);
const SYN_RETRANSMISSION: Duration = Duration::from_secs(1);
/// How often something is sent again before a connection is given up (`tcp_retries2`), and when nobody has it open (`tcp_orphan_retries`).
const RETRIES: u32 = 15;
const ORPHAN_RETRIES: u32 = 8;

/// The timer of a socket, and what it has tried.
#[derive(Default)]
pub(super) struct Timing {
    handle: Option<TimerHandle>,
    /// How often something has been sent again, or a silent peer was asked.
    tries: u32,
    /// Since when nothing gets through.
    since: Option<MonotonicTime>,
}

/// Nothing has come with a connection whose acceptance was deferred: it is accepted all the same.
fn announce_deferred(ends: &Ends) {
    let listener = ends.own.inbox().listener.take();
    if let Some(listener) = listener {
        listener.notify(READABLE);
    }
}

fn doubled(first: Duration, tries: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX)).min(LONGEST_RETRANSMISSION)
}

impl Expire for TcpSocket {
    fn expire(&self) {
        let is_connecting = matches!(self.state.lock().role, Role::Connecting { .. });
        if is_connecting {
            return self.try_to_connect_again();
        }
        if let Some(ends) = self.both_ends() {
            announce_deferred(&ends);
            ends.flush(Flush::All);
            self.look_after(&ends);
        }
    }
}

impl TcpSocket {
    fn timers(&self) -> &Arc<TimerQueue> {
        &self.inet.network().shared().timers
    }

    /// Has the socket look again after a while. Without a thread of the host's for that, it does not.
    pub(super) fn look_again_after(&self, wait: Duration) {
        let target: Weak<dyn Expire> = self.me.clone();
        let handle = self.timers().schedule_after(wait, target).ok().flatten();
        let before = std::mem::replace(&mut self.timing.lock().handle, handle);
        drop(before);
    }

    /// Something is held back for more to come, or gets through to nobody.
    pub(super) fn expect_more(&self, ends: &Ends) {
        if ends.is_open() {
            self.look_again_after(CORKED);
        } else if self.timing.lock().since.is_none() {
            self.look_after(ends);
        }
    }

    /// A connection to another namespace is there, or its options have changed: a silent peer is asked at times.
    pub(super) fn keep_alive(&self) {
        let Some(ends) = self.both_ends().filter(|ends| ends.wire.is_some()) else { return };
        if !ends.is_holding() {
            let mut timing = self.timing.lock();
            (timing.tries, timing.since) = (0, None);
            drop(timing);
            self.ask_later();
        }
    }

    fn ask_later(&self) {
        if self.inet.common.options().switch(uapi::SO_KEEPALIVE) == Ok(true) {
            self.look_again_after(self.options.lock().keep_alive_times().0);
        }
    }

    /// Sends again what did not get through, or asks whether the peer is there; gives up when it is time.
    fn look_after(&self, ends: &Ends) {
        let is_over = ends.own.inbox().is_closed();
        if is_over {
            return;
        }
        if ends.is_open() {
            let mut timing = self.timing.lock();
            (timing.tries, timing.since) = (0, None);
            drop(timing);
            // Within a namespace everybody is there.
            if ends.wire.is_some() {
                self.ask_later();
            }
            return;
        }
        let is_asked = self.inet.common.options().switch(uapi::SO_KEEPALIVE) == Ok(true);
        let is_holding = ends.is_holding();
        if !is_holding && !is_asked {
            return;
        }
        let (_, interval, count) = self.options.lock().keep_alive_times();
        let user_timeout = self.options.lock().user_timeout();
        let (tries, elapsed) = {
            let now = self.timers().now();
            let mut timing = self.timing.lock();
            let since = *timing.since.get_or_insert(now);
            timing.tries += 1;
            (timing.tries, now.saturating_duration_since(since))
        };
        let most = if is_holding { RETRIES } else { count };
        let is_time = match user_timeout {
            Some(timeout) => elapsed >= timeout && tries > 1,
            None => tries > most,
        };
        if is_time {
            return self.give_up(ends);
        }
        let wait = if is_holding { doubled(RETRANSMISSION, tries - 1) } else { interval };
        let left = user_timeout.filter(|_| is_holding).map(|timeout| timeout.saturating_sub(elapsed));
        self.look_again_after(left.map_or(wait, |left| wait.min(left).max(Duration::from_millis(1))));
    }

    /// The peer is not there any more, as far as this end can know.
    fn give_up(&self, ends: &Ends) {
        ends.clear();
        ends.own.home.count(Counter::TcpAbortsOnTimeout);
        {
            let mut inbox = ends.own.inbox();
            inbox.error = Some(Errno::ETIMEDOUT);
            inbox.is_reset = true;
        }
        self.queue.notify(ENDED);
    }

    /// Nothing answers a connect: it is tried again.
    pub(super) fn try_later_to_connect(&self) {
        let tries = self.timing.lock().tries;
        self.look_again_after(doubled(SYN_RETRANSMISSION, tries));
    }

    fn try_to_connect_again(&self) {
        let (tries, since) = {
            let now = self.timers().now();
            let mut timing = self.timing.lock();
            timing.tries += 1;
            (timing.tries, now.saturating_duration_since(*timing.since.get_or_insert(now)))
        };
        let (most, user_timeout) = {
            let options = self.options.lock();
            (options.syn_tries(), options.user_timeout())
        };
        if tries > most || user_timeout.is_some_and(|timeout| since >= timeout) {
            return self.fail_connect(Errno::ETIMEDOUT);
        }
        match self.connect_again() {
            Ok(()) => self.connected_at_last(),
            Err(Errno::EAGAIN) => {}
            Err(error) => self.fail_connect(error),
        }
    }

    /// A connect has come to its end: later tries are about something else.
    pub(super) fn connected_at_last(&self) {
        let before = std::mem::take(&mut *self.timing.lock());
        drop(before);
        self.keep_alive();
    }
}

/// Most connections of a namespace that nobody has open and that have something on its way (`tcp_max_orphans`).
const MAX_ORPHANS: usize = 4096;
/// What one takes beside its bytes.
const ORPHAN_BYTES: usize = 1024;

/// A connection whose socket is closed while something is on its way.
pub(super) struct Orphan {
    ends: Ends,
    _charge: HeapCharge,
    timing: Mutex<Timing>,
    timers: Arc<TimerQueue>,
    home: Weak<TcpSockets>,
    me: Weak<Self>,
}

/// Drops what has not gone out, and tells the peer as far as it hears.
fn break_off(ends: &Ends) {
    ends.clear();
    ends.own.home.count(Counter::TcpAbortsOnMemory);
    if ends.is_open() {
        ends.count_reset();
        ends.peer.reset();
    }
}

impl Orphan {
    /// Keeps a connection until all has gone out, or that is given up. Where there are too many it is broken off, as by Linux.
    pub(super) fn keep(ends: Ends, timers: &Arc<TimerQueue>, (home, max_orphans): (&Arc<TcpSockets>, usize)) {
        let charge = match HeapCharge::new(ORPHAN_BYTES) {
            Ok(charge) if home.orphans.lock().len() < max_orphans.min(MAX_ORPHANS) => charge,
            _ => return break_off(&ends),
        };
        let orphan = Arc::new_cyclic(|me| Self {
            ends,
            _charge: charge,
            timing: Mutex::default(),
            timers: timers.clone(),
            home: Arc::downgrade(home),
            me: me.clone(),
        });
        home.orphans.lock().push(orphan.clone());
        orphan.wait();
    }

    fn wait(&self) {
        let target: Weak<dyn Expire> = self.me.clone();
        let wait = doubled(RETRANSMISSION, self.timing.lock().tries);
        let handle = self.timers.schedule_after(wait, target).ok().flatten();
        self.timing.lock().handle = handle;
    }
}

impl Expire for Orphan {
    fn expire(&self) {
        self.ends.flush(Flush::All);
        let tries = {
            let mut timing = self.timing.lock();
            timing.tries += 1;
            timing.tries
        };
        let is_over = !self.ends.is_holding() || self.ends.own.inbox().is_reset || tries > ORPHAN_RETRIES;
        if !is_over {
            return self.wait();
        }
        if let Some(home) = self.home.upgrade() {
            let me = self.me.clone();
            let mut orphans = home.orphans.lock();
            let place = orphans.iter().position(|orphan| Weak::ptr_eq(&Arc::downgrade(orphan), &me));
            let gone = place.map(|place| orphans.swap_remove(place));
            drop(orphans);
            drop(gone);
        }
    }
}
