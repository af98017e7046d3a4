//! Options of TCP (`man 7 tcp`). Those that are about segments are kept and told, and change nothing.

use std::ops::RangeInclusive;
use std::time::Duration;

use linux_raw_sys::net as uapi;
use zerocopy::IntoBytes;

use super::info::DEFAULT_MSS;
use super::{Flush, Role, TcpSocket};
use crate::Errno;
use crate::net::level::int;
use crate::network_settings::NetworkSettings;

/// Congestion control algorithms that can be chosen; the first is the usual one.
const CONGESTION_ALGORITHMS: [&str; 2] = ["cubic", "reno"];
/// `TCP_CA_NAME_MAX`.
const CONGESTION_NAME_BYTES: usize = 16;
/// Seconds that keep-alive times and intervals may be.
const KEEP_ALIVE_SECONDS: RangeInclusive<i32> = 1..=32_767;
/// How often something may be tried.
const TRIES: RangeInclusive<i32> = 1..=127;
/// The least and the largest TCP_MAXSEG.
const SEGMENT_BYTES: RangeInclusive<i32> = 88..=32_767;
/// The longest TCP_LINGER2, in seconds.
const MAX_LINGER2: i32 = 120;
/// How long it is unless told otherwise (net.ipv4.tcp_fin_timeout).
const USUAL_LINGER2: i32 = 60;
/// The least TCP_WINDOW_CLAMP but none.
const MIN_WINDOW_CLAMP: i32 = 1152;

/// Options that the host's connections have, too.
const HOST_OPTIONS: [u32; 8] = [
    uapi::TCP_NODELAY,
    uapi::TCP_CORK,
    uapi::TCP_QUICKACK,
    uapi::TCP_KEEPIDLE,
    uapi::TCP_KEEPINTVL,
    uapi::TCP_KEEPCNT,
    uapi::TCP_USER_TIMEOUT,
    uapi::TCP_NOTSENT_LOWAT,
];

/// The TCP options of a socket.
#[derive(Clone, Debug)]
pub(super) struct TcpOptions {
    no_delay: bool,
    pub(super) is_corked: bool,
    keep_alive_idle: i32,
    keep_alive_interval: i32,
    keep_alive_count: i32,
    syn_count: i32,
    linger2: i32,
    /// How long it is if nobody says so.
    usual_linger2: i32,
    /// In retransmissions, as Linux keeps it.
    deferred_accept: u32,
    window_clamp: i32,
    quick_ack: bool,
    congestion: &'static str,
    user_timeout: i32,
    /// 0 if it was not set.
    segment_bytes: i32,
    fast_open: i32,
    fast_open_key: Vec<u8>,
    is_fast_open_connect: bool,
    has_no_cookie: bool,
    /// TCP_TX_DELAY, in microseconds.
    delay_us: i32,
    not_sent_low_water: i32,
    /// TCP_SAVE_SYN: 1 for the headers of IP and TCP, 2 for the link's as well.
    saves_syn: i32,
    thin_linear_timeouts: bool,
    /// TCP_INQ: a receive tells how much is left.
    pub(super) tells_queued: bool,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            no_delay: false,
            is_corked: false,
            keep_alive_idle: 7200,
            keep_alive_interval: 75,
            keep_alive_count: 9,
            syn_count: 6,
            linger2: USUAL_LINGER2,
            usual_linger2: USUAL_LINGER2,
            deferred_accept: 0,
            window_clamp: 0,
            quick_ack: true,
            congestion: CONGESTION_ALGORITHMS[0],
            user_timeout: 0,
            segment_bytes: 0,
            fast_open: 0,
            fast_open_key: Vec::new(),
            is_fast_open_connect: false,
            has_no_cookie: false,
            delay_us: 0,
            not_sent_low_water: 0,
            saves_syn: 0,
            thin_linear_timeouts: false,
            tells_queued: false,
        }
    }
}

fn within(number: i32, range: RangeInclusive<i32>) -> Result<i32, Errno> {
    if range.contains(&number) { Ok(number) } else { Err(Errno::EINVAL) }
}

/// How often a SYN is sent within so many seconds, when the first time-out is one second and each is twice the last.
fn retransmissions_in(seconds: i32) -> u32 {
    (1..=u8::MAX.into()).find(|count| seconds_of(*count) >= seconds).unwrap_or(u8::MAX.into())
}

/// How long that takes.
fn seconds_of(retransmissions: u32) -> i32 {
    const MAX_TIMEOUT: i32 = 120;
    let timeouts = (0..retransmissions).map(|count| 1_i32.checked_shl(count).unwrap_or(i32::MAX));
    timeouts.map(|timeout| timeout.clamp(1, MAX_TIMEOUT)).sum()
}

impl TcpOptions {
    /// Those of a new socket where these settings hold.
    pub(super) fn new(settings: &NetworkSettings) -> Self {
        let usual = |name| i32::try_from(settings.of_ipv4(name)).unwrap_or(i32::MAX);
        let linger2 = usual("tcp_fin_timeout");
        Self {
            keep_alive_idle: usual("tcp_keepalive_time"),
            keep_alive_interval: usual("tcp_keepalive_intvl"),
            keep_alive_count: usual("tcp_keepalive_probes"),
            syn_count: usual("tcp_syn_retries"),
            linger2,
            usual_linger2: linger2,
            congestion: settings.congestion_control(),
            ..Self::default()
        }
    }

    fn set_number(&mut self, option: u32, number: i32) -> Result<(), Errno> {
        match option {
            uapi::TCP_NODELAY => self.no_delay = number != 0,
            uapi::TCP_CORK => self.is_corked = number != 0,
            uapi::TCP_QUICKACK => self.quick_ack = number != 0,
            uapi::TCP_KEEPIDLE => self.keep_alive_idle = within(number, KEEP_ALIVE_SECONDS)?,
            uapi::TCP_KEEPINTVL => self.keep_alive_interval = within(number, KEEP_ALIVE_SECONDS)?,
            uapi::TCP_KEEPCNT => self.keep_alive_count = within(number, TRIES)?,
            uapi::TCP_SYNCNT => self.syn_count = within(number, TRIES)?,
            uapi::TCP_LINGER2 if number == 0 => self.linger2 = self.usual_linger2,
            uapi::TCP_LINGER2 => self.linger2 = number.clamp(-1, MAX_LINGER2),
            uapi::TCP_DEFER_ACCEPT => {
                self.deferred_accept = if number > 0 { retransmissions_in(number) } else { 0 };
            }
            uapi::TCP_WINDOW_CLAMP if number == 0 => self.window_clamp = 0,
            uapi::TCP_WINDOW_CLAMP => self.window_clamp = number.max(MIN_WINDOW_CLAMP),
            uapi::TCP_USER_TIMEOUT => self.user_timeout = within(number, 0..=i32::MAX)?,
            uapi::TCP_MAXSEG if number == 0 => self.segment_bytes = 0,
            uapi::TCP_MAXSEG => self.segment_bytes = within(number, SEGMENT_BYTES)?,
            uapi::TCP_FASTOPEN => self.fast_open = within(number, 0..=i32::MAX)?,
            uapi::TCP_FASTOPEN_CONNECT => self.is_fast_open_connect = within(number, 0..=1)? != 0,
            uapi::TCP_NOTSENT_LOWAT => self.not_sent_low_water = number,
            uapi::TCP_SAVE_SYN => self.saves_syn = within(number, 0..=2)?,
            uapi::TCP_THIN_LINEAR_TIMEOUTS => self.thin_linear_timeouts = within(number, 0..=1)? != 0,
            uapi::TCP_THIN_DUPACK => drop(within(number, 0..=1)?),
            uapi::TCP_INQ => self.tells_queued = within(number, 0..=1)? != 0,
            uapi::TCP_FASTOPEN_NO_COOKIE => self.has_no_cookie = within(number, 0..=1)? != 0,
            uapi::TCP_TX_DELAY => self.delay_us = within(number, 0..=i32::MAX)?,
            // No connection is made of pieces, and none is signed.
            uapi::TCP_REPAIR | uapi::TCP_REPAIR_QUEUE | uapi::TCP_REPAIR_WINDOW | uapi::TCP_TIMESTAMP => {
                return Err(Errno::EPERM);
            }
            uapi::TCP_QUEUE_SEQ | uapi::TCP_REPAIR_OPTIONS | uapi::TCP_MD5SIG | uapi::TCP_MD5SIG_EXT => {
                return Err(Errno::EINVAL);
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn number(&self, option: u32) -> Result<i32, Errno> {
        Ok(match option {
            uapi::TCP_NODELAY => self.no_delay.into(),
            uapi::TCP_CORK => self.is_corked.into(),
            uapi::TCP_QUICKACK => self.quick_ack.into(),
            uapi::TCP_KEEPIDLE => self.keep_alive_idle,
            uapi::TCP_KEEPINTVL => self.keep_alive_interval,
            uapi::TCP_KEEPCNT => self.keep_alive_count,
            uapi::TCP_SYNCNT => self.syn_count,
            uapi::TCP_LINGER2 => self.linger2,
            uapi::TCP_DEFER_ACCEPT if self.deferred_accept == 0 => 0,
            uapi::TCP_DEFER_ACCEPT => seconds_of(self.deferred_accept),
            uapi::TCP_WINDOW_CLAMP => self.window_clamp,
            uapi::TCP_USER_TIMEOUT => self.user_timeout,
            uapi::TCP_FASTOPEN => self.fast_open,
            uapi::TCP_FASTOPEN_CONNECT => self.is_fast_open_connect.into(),
            uapi::TCP_NOTSENT_LOWAT => self.not_sent_low_water,
            uapi::TCP_SAVE_SYN => self.saves_syn,
            uapi::TCP_THIN_LINEAR_TIMEOUTS => self.thin_linear_timeouts.into(),
            uapi::TCP_THIN_DUPACK | uapi::TCP_IS_MPTCP | uapi::TCP_REPAIR => 0,
            uapi::TCP_FASTOPEN_NO_COOKIE => self.has_no_cookie.into(),
            uapi::TCP_TX_DELAY => self.delay_us,
            uapi::TCP_REPAIR_QUEUE | uapi::TCP_REPAIR_WINDOW | uapi::TCP_QUEUE_SEQ => {
                return Err(Errno::EINVAL);
            }
            uapi::TCP_ZEROCOPY_RECEIVE => return Err(Errno::EINVAL),
            uapi::TCP_INQ => self.tells_queued.into(),
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }

    /// How long a connection is idle before the peer is asked whether it is there, how long between two questions, and how many
    /// of them stay without an answer.
    pub(super) fn keep_alive_times(&self) -> (Duration, Duration, u32) {
        let seconds = |number: i32| Duration::from_secs(u64::try_from(number).unwrap_or(1));
        let count = u32::try_from(self.keep_alive_count).unwrap_or(1);
        (seconds(self.keep_alive_idle), seconds(self.keep_alive_interval), count)
    }

    /// TCP_USER_TIMEOUT; `None` for the usual.
    pub(super) fn user_timeout(&self) -> Option<Duration> {
        let milliseconds = u64::try_from(self.user_timeout).unwrap_or(0);
        Some(Duration::from_millis(milliseconds)).filter(|timeout| !timeout.is_zero())
    }

    /// How often a connect is tried again.
    pub(super) fn syn_tries(&self) -> u32 {
        u32::try_from(self.syn_count).unwrap_or(1)
    }

    /// How long a connection waits for its first bytes before it is accepted without (TCP_DEFER_ACCEPT).
    pub(super) fn deferral(&self) -> Option<Duration> {
        let seconds = u64::try_from(seconds_of(self.deferred_accept)).unwrap_or(0);
        (self.deferred_accept > 0).then(|| Duration::from_secs(seconds))
    }

    /// What the host is to know of its own connections, as far as it is not as usual.
    pub(super) fn of_host(&self) -> Vec<(u32, i32)> {
        let usual = Self::default();
        let number = |options: &Self, option| options.number_of_host(option);
        let told = HOST_OPTIONS.into_iter().filter(|option| number(self, *option) != number(&usual, *option));
        told.filter_map(|option| Some((option, self.number_of_host(option)?))).collect()
    }

    /// The value of an option that the host is to know.
    pub(super) fn number_of_host(&self, option: u32) -> Option<i32> {
        HOST_OPTIONS.contains(&option).then(|| self.number(option).ok()).flatten()
    }

    /// TCP_FASTOPEN_KEY: one key, or one and the one before it.
    fn set_fast_open_key(&mut self, value: &[u8]) -> Result<(), Errno> {
        const KEY_BYTES: usize = 16;
        if ![KEY_BYTES, 2 * KEY_BYTES].contains(&value.len()) {
            return Err(Errno::EINVAL);
        }
        self.fast_open_key = value.to_vec();
        Ok(())
    }

    /// The congestion control algorithm that was chosen.
    pub(super) fn congestion(&self) -> &'static str {
        self.congestion
    }

    fn set_congestion(&mut self, value: &[u8]) -> Result<(), Errno> {
        let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
        let known = CONGESTION_ALGORITHMS.into_iter().find(|known| known.as_bytes() == name);
        self.congestion = known.ok_or(Errno::ENOENT)?;
        Ok(())
    }
}

impl TcpSocket {
    /// The value of a TCP option.
    pub(super) fn tcp_option(&self, option: u32) -> Result<Vec<u8>, Errno> {
        match option {
            uapi::TCP_INFO => return Ok(self.info().as_bytes().to_vec()),
            uapi::TCP_MAXSEG => return Ok(self.segment_bytes().as_bytes().to_vec()),
            uapi::TCP_CONGESTION => {
                let mut name = self.options.lock().congestion.as_bytes().to_vec();
                name.resize(CONGESTION_NAME_BYTES, 0);
                return Ok(name);
            }
            uapi::TCP_ULP | uapi::TCP_CC_INFO | uapi::TCP_SAVED_SYN => return Ok(Vec::new()),
            uapi::TCP_FASTOPEN_KEY => return Ok(self.options.lock().fast_open_key.clone()),
            // The clock of its time stamps, which begins anywhere.
            uapi::TCP_TIMESTAMP => {
                let milliseconds = self.inet.network().shared().now().as_millis().to_le_bytes();
                return Ok(milliseconds.iter().copied().take(size_of::<u32>()).collect());
            }
            _ => {}
        }
        Ok(self.options.lock().number(option)?.as_bytes().to_vec())
    }

    /// What an option that has changed does at once.
    fn option_has_changed(&self, option: u32) {
        match option {
            uapi::TCP_CORK | uapi::TCP_NODELAY => {
                let is_held = option == uapi::TCP_CORK && self.options.lock().is_corked;
                if let Some(ends) = self.both_ends().filter(|_| !is_held) {
                    ends.flush(Flush::All);
                }
            }
            uapi::TCP_KEEPIDLE | uapi::TCP_KEEPINTVL | uapi::TCP_KEEPCNT => self.keep_alive(),
            _ => {}
        }
    }

    fn segment_bytes(&self) -> i32 {
        let set = self.options.lock().segment_bytes;
        if let Ok(Some(info)) = self.host().map(|host| host.and_then(|host| host.info())) {
            return info.tcpi_snd_mss.cast_signed();
        }
        let most = self.connection_segment_bytes().map(u32::cast_signed);
        match (set, most) {
            (0, most) => most.unwrap_or(DEFAULT_MSS.cast_signed()),
            (set, Some(most)) => set.min(most),
            (set, None) => set,
        }
    }

    /// Fails for an option that can be set only before there is a connection, and there is one.
    fn check_state(&self, option: u32, number: i32) -> Result<(), Errno> {
        let (is_closed, is_listening) = {
            let state = self.state.lock();
            (matches!(state.role, Role::Closed | Role::Failed), matches!(state.role, Role::Listening(_)))
        };
        match option {
            uapi::TCP_FASTOPEN | uapi::TCP_FASTOPEN_NO_COOKIE if !is_closed && !is_listening => {
                Err(Errno::EINVAL)
            }
            uapi::TCP_FASTOPEN_CONNECT if !is_closed => Err(Errno::EINVAL),
            uapi::TCP_WINDOW_CLAMP if number == 0 && !is_closed => Err(Errno::EINVAL),
            uapi::TCP_QUEUE_SEQ if !is_closed => Err(Errno::EPERM),
            _ => Ok(()),
        }
    }

    pub(super) fn set_tcp_option(&self, option: u32, value: &[u8]) -> Result<(), Errno> {
        match option {
            uapi::TCP_CONGESTION | uapi::TCP_ULP if value.is_empty() => Err(Errno::EINVAL),
            uapi::TCP_CONGESTION => self.options.lock().set_congestion(value),
            // No protocol can be put on top.
            uapi::TCP_ULP => Err(Errno::ENOENT),
            uapi::TCP_FASTOPEN_KEY => self.options.lock().set_fast_open_key(value),
            option => {
                let number = int(value)?;
                self.check_state(option, number)?;
                let number = match option {
                    uapi::TCP_FASTOPEN => number.min(self.inet.settings().max_backlog().cast_signed()),
                    _ => number,
                };
                self.options.lock().set_number(option, number)?;
                self.tell_host(option);
                self.option_has_changed(option);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
