//! Options of the socket level (`man 7 socket`).

use std::time::Duration;

use linux_raw_sys::net as uapi;

use crate::Errno;
use crate::network_settings::BufferSettings;

/// What a socket's buffers hold in a new kernel (net.core.wmem_default).
const DEFAULT_BUFFER_BYTES: u32 = 212_992;
/// The smallest buffers, after doubling.
const MIN_SEND_BUFFER_BYTES: u32 = 4608;
const MIN_RECEIVE_BUFFER_BYTES: u32 = 2304;

/// SO_BUF_LOCK: a buffer that was set stays as it is (SOCK_SNDBUF_LOCK, SOCK_RCVBUF_LOCK).
pub(super) const SEND_BUFFER_LOCK: u32 = 1;
pub(super) const RECEIVE_BUFFER_LOCK: u32 = 2;

/// Which times of day a receive tells of what it got (SO_TIMESTAMP and its kin, of which the last one counts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// In nanoseconds, not microseconds (SO_TIMESTAMPNS).
    pub is_nanoseconds: bool,
    /// By the number that is the same where `time_t` has 32 bits (SO_TIMESTAMP_NEW).
    pub is_new: bool,
}

/// SO_TIMESTAMPING: which stamps are made, and how they are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamping {
    /// `SOF_TIMESTAMPING_*`.
    pub flags: u32,
    /// The clock of the hardware that they are bound to.
    pub hardware_clock: i32,
    /// Set by SO_TIMESTAMPING_NEW.
    pub is_new: bool,
}

/// How long operations on a blocking socket wait; `None` is forever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketTimeouts {
    /// SO_RCVTIMEO.
    pub receive: Option<Duration>,
    /// SO_SNDTIMEO.
    pub send: Option<Duration>,
}

/// What SOL_SOCKET's options say of one socket (`man 7 socket`).
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// SO_SNDBUF, doubled as Linux doubles it.
    pub send_buffer_bytes: u32,
    /// SO_RCVBUF, doubled.
    pub receive_buffer_bytes: u32,
    /// Time-outs.
    pub timeouts: SocketTimeouts,
    /// SO_LINGER: on or off, and seconds.
    pub linger: (bool, i32),
    /// SO_RCVLOWAT.
    pub receive_low_water: u32,
    /// SO_PRIORITY.
    pub priority: u32,
    /// SO_MARK.
    pub mark: u32,
    /// SO_BUSY_POLL, in microseconds.
    pub busy_poll: u32,
    /// SO_BUSY_POLL_BUDGET, in packets.
    pub busy_poll_budget: u16,
    /// SO_MAX_PACING_RATE, in bytes a second.
    pub max_pacing_rate: u64,
    /// SO_TXTIME: a clock, and flags.
    pub send_time: (i32, u32),
    /// SO_TIMESTAMP and its kin.
    pub timestamp: Option<Timestamp>,
    /// SO_TIMESTAMPING.
    pub timestamping: Timestamping,
    /// SO_BUF_LOCK: which buffers stay as they are.
    pub locked_buffers: u32,
    /// SO_INCOMING_CPU.
    pub incoming_cpu: u32,
    /// SO_BINDTODEVICE: the index of the link.
    pub bound_device: Option<u32>,
    /// SO_REUSEPORT.
    pub reuses_port: bool,
    /// SO_ZEROCOPY.
    pub is_zero_copy: bool,
    /// SO_TXREHASH.
    pub rehashes: bool,
    /// On/off options by number; those above 127 do not exist here.
    switches: u128,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            send_buffer_bytes: DEFAULT_BUFFER_BYTES,
            receive_buffer_bytes: DEFAULT_BUFFER_BYTES,
            timeouts: SocketTimeouts::default(),
            linger: (false, 0),
            receive_low_water: 1,
            priority: 0,
            mark: 0,
            busy_poll: 0,
            busy_poll_budget: 8,
            max_pacing_rate: u64::MAX,
            send_time: (0, 0),
            timestamp: None,
            timestamping: Timestamping::default(),
            locked_buffers: 0,
            incoming_cpu: u32::MAX,
            bound_device: None,
            reuses_port: false,
            is_zero_copy: false,
            rehashes: true,
            switches: 0,
        }
    }
}

/// Options that are on or off; families look at some of them.
const SWITCHES: [u32; 17] = [
    uapi::SO_DEBUG,
    uapi::SO_REUSEADDR,
    uapi::SO_DONTROUTE,
    uapi::SO_BROADCAST,
    uapi::SO_KEEPALIVE,
    uapi::SO_OOBINLINE,
    uapi::SO_NO_CHECK,
    uapi::SO_PASSCRED,
    uapi::SO_PASSSEC,
    uapi::SO_RXQ_OVFL,
    uapi::SO_WIFI_STATUS,
    uapi::SO_NOFCS,
    uapi::SO_LOCK_FILTER,
    uapi::SO_SELECT_ERR_QUEUE,
    uapi::SO_PREFER_BUSY_POLL,
    uapi::SO_RCVMARK,
    uapi::SO_PASSPIDFD,
];

impl SocketOptions {
    /// An on/off option.
    ///
    /// # Errors
    /// ENOPROTOOPT if `option` is none.
    pub fn switch(&self, option: u32) -> Result<bool, Errno> {
        if !SWITCHES.contains(&option) {
            return Err(Errno::ENOPROTOOPT);
        }
        Ok(self.switches >> option & 1 == 1)
    }

    /// Sets an on/off option.
    ///
    /// # Errors
    /// ENOPROTOOPT if `option` is none.
    pub fn set_switch(&mut self, option: u32, is_on: bool) -> Result<(), Errno> {
        self.switch(option)?;
        self.switches = self.switches & !(1 << option) | u128::from(is_on) << option;
        Ok(())
    }

    /// Those of a new socket.
    pub(super) fn new(buffers: &BufferSettings) -> Self {
        Self {
            send_buffer_bytes: buffers.default_send_bytes(),
            receive_buffer_bytes: buffers.default_receive_bytes(),
            ..Self::default()
        }
    }

    /// SO_SNDBUF, which is at most net.core.wmem_max before it is doubled.
    pub fn set_send_buffer(&mut self, len_bytes: u32, buffers: &BufferSettings) {
        self.force_send_buffer(len_bytes.min(buffers.max_send_bytes()));
    }

    /// SO_SNDBUFFORCE: what all sockets may have together is bounded elsewhere, by [`SocketMemory`](super::SocketMemory).
    pub fn force_send_buffer(&mut self, len_bytes: u32) {
        self.locked_buffers |= SEND_BUFFER_LOCK;
        self.send_buffer_bytes = doubled(len_bytes).max(MIN_SEND_BUFFER_BYTES);
    }

    /// SO_RCVBUF, which is at most net.core.rmem_max before it is doubled.
    pub fn set_receive_buffer(&mut self, len_bytes: u32, buffers: &BufferSettings) {
        self.force_receive_buffer(len_bytes.min(buffers.max_receive_bytes()));
    }

    /// SO_RCVBUFFORCE.
    pub fn force_receive_buffer(&mut self, len_bytes: u32) {
        self.locked_buffers |= RECEIVE_BUFFER_LOCK;
        self.receive_buffer_bytes = doubled(len_bytes).max(MIN_RECEIVE_BUFFER_BYTES);
    }
}

/// Twice as much, as long as that is a positive `int`.
fn doubled(len_bytes: u32) -> u32 {
    len_bytes.min(i32::MAX.cast_unsigned() / 2) * 2
}

#[cfg(test)]
mod tests;
