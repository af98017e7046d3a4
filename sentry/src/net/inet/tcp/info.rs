//! TCP_INFO: what can be told of a connection that has no segments.

use std::time::Duration;

use super::outbox::Ends;
use super::{Role, TcpSocket, TcpState};
use crate::abi::TcpInfo;

/// The loopback's MTU, in bytes: a packet of IPv4 cannot have all of it.
const LOOPBACK_MTUS: [u32; 2] = [65_535, 65_536];
/// The headers of IPv4 and of IPv6 with TCP's and a time stamp.
const HEADER_BYTES: [u32; 2] = [52, 72];
/// The one that every host takes.
pub(super) const DEFAULT_MSS: u32 = 536;
/// Ten segments: the first congestion window.
const CONGESTION_WINDOW: u32 = 10;
/// Time stamps, selective acknowledgement and window scaling (`TCPI_OPT_*`).
const OPTIONS: u8 = 7;
/// Both windows are told in units of 128 bytes; what was sent so far was all that there was to be sent.
const SCALES: [u8; 2] = [0x77, 1];
/// How many segments may be out of order before one of them is taken for lost.
const REORDERING: u32 = 3;
/// How long an acknowledgement may wait for an answer to go with, in microseconds.
const ACKNOWLEDGEMENT_TIMEOUT_US: u32 = 40_000;
/// What is sent has arrived when the call ends: the least that there is but nothing.
const ROUND_TRIP_US: u32 = 1;
/// The least time after which Linux sends again, in microseconds.
const RETRANSMISSION_TIMEOUT_US: u32 = 204_000;
/// No slow start is over yet (`TCP_INFINITE_SSTHRESH`).
const NO_THRESHOLD: u32 = 0x7fff_ffff;

fn loopback_mtu(is_ipv4: bool) -> u32 {
    LOOPBACK_MTUS[usize::from(!is_ipv4)]
}

/// The largest segment that the loopback takes, in bytes.
pub(super) fn loopback_segment_bytes(is_ipv4: bool) -> u32 {
    loopback_mtu(is_ipv4) - HEADER_BYTES[usize::from(!is_ipv4)]
}

fn milliseconds(elapsed: Duration) -> u32 {
    u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX)
}

impl TcpSocket {
    /// What `ss` and /proc/net/tcp call `st`.
    pub fn tcp_state(&self) -> TcpState {
        self.state.lock().tcp_state()
    }

    /// The value of TCP_INFO.
    pub(super) fn info(&self) -> TcpInfo {
        if let Ok(Some(host)) = self.host()
            && let Some(info) = host.info()
        {
            return info;
        }
        let mut info = TcpInfo {
            tcpi_state: self.tcp_state() as u8,
            tcpi_snd_cwnd: CONGESTION_WINDOW,
            tcpi_reordering: REORDERING,
            tcpi_max_pacing_rate: u64::MAX,
            tcpi_pacing_rate: u64::MAX,
            ..TcpInfo::default()
        };
        if let Role::Listening(listener) = &self.state.lock().role {
            // Linux tells of the backlog here.
            info.tcpi_unacked = u32::try_from(listener.backlog.len()).unwrap_or(u32::MAX);
            info.tcpi_sacked = u32::try_from(listener.max_backlog).unwrap_or(u32::MAX);
            return info;
        }
        (info.tcpi_rto, info.tcpi_snd_ssthresh) = (RETRANSMISSION_TIMEOUT_US, NO_THRESHOLD);
        (info.tcpi_snd_mss, info.tcpi_rcv_mss) = (DEFAULT_MSS, DEFAULT_MSS);
        if let Some(ends) = self.both_ends() {
            self.tell_of_ends(&mut info, &ends);
        }
        info
    }

    /// Tells of a connection.
    fn tell_of_ends(&self, info: &mut TcpInfo, ends: &Ends) {
        let (has_connected, is_ipv4) = (self.has_connected(), ends.own.home.is_ipv4());
        let (received, own_window) = {
            let inbox = ends.own.inbox();
            (inbox.bytes.written_bytes(), inbox.window_bytes().saturating_sub(inbox.bytes.unread_bytes()))
        };
        let (sent, ended, peer_window) = {
            // One after the other: both are the same of a connection to itself.
            let is_send_shut = ends.own.inbox().is_send_shut;
            let inbox = ends.peer.inbox();
            let unsent = inbox.unsent_bytes() as u64;
            let window = inbox.window_bytes().saturating_sub(inbox.bytes.unread_bytes());
            (inbox.bytes.written_bytes() - unsent, is_send_shut, window)
        };
        let (most, mtu) = match &ends.wire {
            Some(wire) => (wire.segment_bytes, wire.mtu()),
            None => (loopback_segment_bytes(is_ipv4), loopback_mtu(is_ipv4)),
        };
        let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        (info.tcpi_options, info.tcpi_scales) = (OPTIONS, SCALES);
        info.tcpi_snd_mss = self.connection_segment_bytes().unwrap_or(DEFAULT_MSS);
        (info.tcpi_advmss, info.tcpi_pmtu) = (most, mtu);
        (info.tcpi_rtt, info.tcpi_rttvar, info.tcpi_min_rtt) = (ROUND_TRIP_US, ROUND_TRIP_US, ROUND_TRIP_US);
        (info.tcpi_bytes_sent, info.tcpi_bytes_received) = (sent, received);
        // What begins a connection and what ends it count as a byte each.
        info.tcpi_bytes_acked = sent + u64::from(has_connected) + u64::from(ended);
        info.tcpi_notsent_bytes = size(ends.unsent_bytes());
        (info.tcpi_snd_wnd, info.tcpi_rcv_wnd) = (size(peer_window), size(own_window));
        (info.tcpi_rcv_ssthresh, info.tcpi_rcv_space) = (size(own_window), size(own_window));
        let (come, gone) = (ends.own.arrivals.counts(), ends.peer.arrivals.counts());
        // Whoever was connected to has not sent the answer to the SYN itself.
        info.tcpi_segs_out = gone.segments.saturating_sub(u32::from(!has_connected));
        (info.tcpi_segs_in, info.tcpi_data_segs_in) = (come.segments, come.data_segments);
        info.tcpi_data_segs_out = gone.data_segments;
        info.tcpi_delivered = gone.data_segments.saturating_add(1);
        info.tcpi_ato = if come.owes { ACKNOWLEDGEMENT_TIMEOUT_US } else { 0 };
        info.tcpi_last_data_recv = milliseconds(come.since_data);
        (info.tcpi_last_data_sent, info.tcpi_last_ack_recv) =
            (milliseconds(gone.since_data), milliseconds(gone.since_data));
    }

    /// Whether its connection is one that it has made, and not one that it was given by a listener.
    fn has_connected(&self) -> bool {
        matches!(&self.state.lock().role, Role::Connected(connection) if connection._place.is_some())
    }

    /// The largest segment of its connection, in bytes.
    pub(super) fn connection_segment_bytes(&self) -> Option<u32> {
        let ends = self.both_ends()?;
        let most = u32::try_from(ends.segment_bytes()).unwrap_or(u32::MAX);
        // Before it has heard anything but the answer to its SYN, the window is that: whole segments, and not scaled.
        let counts = ends.own.arrivals.counts();
        let is_first = self.has_connected() && counts.segments <= 1 && ends.wire.is_none();
        let first = loopback_segment_bytes(ends.own.home.is_ipv4()) / 2;
        Some(if is_first { most.min(first) } else { most })
    }
}
