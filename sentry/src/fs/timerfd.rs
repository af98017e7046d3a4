//! timerfd(2): expirations as something to read.
//!
//! Expirations are computed from the clock when somebody asks; the [`TimerQueue`] only wakes those who wait.

use linux_raw_sys::ioctl::TFD_IOC_SET_TICKS;
use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::anonymous::AnonymousInode;
use super::{Caller, File, LongText, Metadata, OpenFiles, Splicing, TransferUnit};
use crate::Errno;
use crate::platform::VirtualAddress;
use crate::time::{Expire, TimeSource, TimerHandle, TimerQueue, TimerSetting};
use crate::wait::{Events, WaitQueue};

/// An open timer.
pub struct TimerFile {
    clock_id: u32,
    source: Arc<dyn TimeSource>,
    timers: Arc<TimerQueue>,
    queue: WaitQueue,
    own: Weak<Self>,
    state: Mutex<State>,
    inode: AnonymousInode,
}

#[derive(Default)]
struct State {
    /// The next expiration, on the timer's clock.
    next: Option<Duration>,
    interval: Duration,
    /// Expirations that have been counted and not read.
    ticks: u64,
    flags: u32,
    /// Keeps the wake-up alive.
    alarm: Option<TimerHandle>,
}

impl Expire for TimerFile {
    /// The deadline has come on the host's clock. The timer's own, which is steered, may be a little behind: then the rest
    /// is waited for.
    fn expire(&self) {
        let now = self.source.now();
        let mut state = self.state.lock();
        state.advance(now);
        let is_early = state.ticks == 0 && self.rearm(&mut state, now).is_ok();
        drop(state);
        if !is_early {
            self.queue.notify(Events::IN | Events::RDNORM);
        }
    }
}

impl TimerFile {
    /// A disarmed timer on `source`, which is the clock `clock_id`.
    pub fn new(
        clock_id: u32,
        source: Arc<dyn TimeSource>,
        timers: &Arc<TimerQueue>,
        files: &OpenFiles,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            clock_id,
            source,
            timers: timers.clone(),
            queue: WaitQueue::default(),
            own: own.clone(),
            state: Mutex::default(),
            inode: AnonymousInode::new(files),
        })
    }

    /// What it is set on.
    pub fn source(&self) -> &Arc<dyn TimeSource> {
        &self.source
    }

    /// timerfd_settime(2): arms or disarms. Returns the former setting.
    ///
    /// # Errors
    /// EAGAIN: the host is out of threads.
    pub fn set(&self, new: TimerSetting, is_absolute: bool, flags: u32) -> Result<TimerSetting, Errno> {
        let now = self.source.now();
        let mut state = self.state.lock();
        let old = state.setting(now);
        let next = match new.value {
            Duration::ZERO => None,
            value if is_absolute => Some(value),
            value => Some(now.saturating_add(value)),
        };
        *state = State { next, interval: new.interval, ticks: 0, flags, alarm: None };
        self.rearm(&mut state, now)?;
        Ok(old)
    }

    /// timerfd_gettime(2).
    pub fn setting(&self) -> TimerSetting {
        let now = self.source.now();
        self.state.lock().setting(now)
    }

    fn rearm(&self, state: &mut State, now: Duration) -> Result<(), Errno> {
        state.alarm = None;
        let wait = state.next.map(|next| next.saturating_sub(now));
        if let Some(wait) = wait {
            let own: Weak<dyn Expire> = self.own.clone();
            state.alarm = self.timers.schedule_after(wait, own)?;
        }
        Ok(())
    }
}

impl State {
    /// Counts what has expired by `now`.
    fn advance(&mut self, now: Duration) {
        let Some(next) = self.next.filter(|next| *next <= now) else { return };
        if self.interval.is_zero() {
            self.ticks = self.ticks.saturating_add(1);
            self.next = None;
            return;
        }
        let interval_ns = self.interval.as_nanos();
        let expired = (now - next).as_nanos() / interval_ns + 1;
        self.ticks = self.ticks.saturating_add(u64::try_from(expired).unwrap_or(u64::MAX));
        let advance_ns = u64::try_from(expired.saturating_mul(interval_ns)).unwrap_or(u64::MAX);
        self.next = Some(next.saturating_add(Duration::from_nanos(advance_ns)));
    }

    fn setting(&mut self, now: Duration) -> TimerSetting {
        self.advance(now);
        let value = self.next.map_or(Duration::ZERO, |next| next.saturating_sub(now));
        TimerSetting { interval: self.interval, value }
    }
}

impl File for TimerFile {
    fn read_unit(&self) -> TransferUnit {
        TransferUnit::Bytes(size_of::<u64>())
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        let place = buffer.first_chunk_mut::<8>().ok_or(Errno::EINVAL)?;
        let now = self.source.now();
        let mut state = self.state.lock();
        state.advance(now);
        if state.ticks == 0 {
            return Err(Errno::EAGAIN);
        }
        *place = std::mem::take(&mut state.ticks).to_ne_bytes();
        self.rearm(&mut state, now)?;
        Ok(place.len())
    }

    fn has_write(&self) -> bool {
        false
    }

    fn has_single_position(&self) -> bool {
        true
    }

    fn readiness(&self) -> Events {
        let now = self.source.now();
        let mut state = self.state.lock();
        state.advance(now);
        if state.ticks > 0 { Events::IN } else { Events::empty() }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        if request != TFD_IOC_SET_TICKS {
            return Err(Errno::ENOTTY);
        }
        let ticks: u64 = caller.memory().read_object(VirtualAddress(argument))?;
        if ticks == 0 {
            return Err(Errno::EINVAL);
        }
        self.state.lock().ticks = ticks;
        self.queue.notify(Events::IN | Events::RDNORM);
        Ok(0)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:[timerfd]".into()
    }

    fn descriptor_info(&self, text: &mut LongText) -> Result<(), Errno> {
        let now = self.source.now();
        let pair = |time: Duration| format!("({}, {})", time.as_secs(), time.subsec_nanos());
        let shown = {
            let mut state = self.state.lock();
            let setting = state.setting(now);
            format!(
                "clockid: {}\nticks: {}\nsettime flags: 0{:o}\nit_value: {}\nit_interval: {}\n",
                self.clock_id,
                state.ticks,
                state.flags,
                pair(setting.value),
                pair(setting.interval),
            )
        };
        text.push(shown)
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn offers_nowait(&self, _is_write: bool) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests;
