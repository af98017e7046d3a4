//! Packet mode: each read of the master yields a byte that says what happened, then bytes that were shown, if nothing did
//! (`man 2 TIOCPKT`).

use linux_raw_sys::general as uapi;

bitflags::bitflags! {
    /// What a master in packet mode is told of its slave.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct PacketStatus: u8 {
        /// What was typed and not read is gone.
        const FLUSHREAD = uapi::TIOCPKT_FLUSHREAD as u8;
        /// What was shown and not seen is gone.
        const FLUSHWRITE = uapi::TIOCPKT_FLUSHWRITE as u8;
        /// Output has stopped.
        const STOP = uapi::TIOCPKT_STOP as u8;
        /// Output goes on.
        const START = uapi::TIOCPKT_START as u8;
        /// ^S and ^Q no longer stop and start output.
        const NOSTOP = uapi::TIOCPKT_NOSTOP as u8;
        /// ^S and ^Q stop and start output.
        const DOSTOP = uapi::TIOCPKT_DOSTOP as u8;
        /// The settings of a terminal whose input is processed elsewhere (EXTPROC) have changed.
        const IOCTL = uapi::TIOCPKT_IOCTL as u8;
    }
}

/// Whether the master is in packet mode, and what it has not been told yet.
#[derive(Debug, Default)]
pub(super) struct PacketMode {
    is_on: bool,
    status: PacketStatus,
}

impl PacketMode {
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Turns the mode on or off; one that is turned on has nothing to tell yet.
    pub(super) fn set(&mut self, is_on: bool) {
        if is_on != self.is_on {
            *self = Self { is_on, status: PacketStatus::empty() };
        }
    }

    /// Something happened; it makes `over` old news.
    pub(super) fn note(&mut self, news: PacketStatus, over: PacketStatus) {
        if self.is_on {
            self.status = (self.status - over) | news;
        }
    }

    /// Whether there is something to tell.
    pub(super) fn has_status(&self) -> bool {
        !self.status.is_empty()
    }

    /// Tells it: the first byte of a read. 0 says that bytes follow.
    pub(super) fn take_status(&mut self) -> u8 {
        std::mem::take(&mut self.status).bits()
    }
}
