//! TCP_INFO: what can be told of a connection that has no segments.

use super::{Role, TcpSocket, TcpState};
use crate::abi::TcpInfo;

/// The largest segment that a loopback of 65,536 bytes takes, beside its headers and a time stamp.
pub(super) const LOOPBACK_MSS: u32 = 65_483;
/// The one that every host takes.
pub(super) const DEFAULT_MSS: u32 = 536;
/// The loopback's MTU, in bytes.
const LOOPBACK_MTU: u32 = 65_536;
/// Ten segments: the first congestion window.
const CONGESTION_WINDOW: u32 = 10;
/// Time stamps, selective acknowledgement and window scaling (`TCPI_OPT_*`).
const OPTIONS: u8 = 7;
/// The least time after which Linux sends again, in microseconds.
const RETRANSMISSION_TIMEOUT_US: u32 = 200_000;
/// No slow start is over yet (`TCP_INFINITE_SSTHRESH`).
const NO_THRESHOLD: u32 = 0x7fff_ffff;

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
            tcpi_rto: RETRANSMISSION_TIMEOUT_US,
            tcpi_snd_mss: DEFAULT_MSS,
            tcpi_rcv_mss: DEFAULT_MSS,
            tcpi_snd_ssthresh: NO_THRESHOLD,
            tcpi_snd_cwnd: CONGESTION_WINDOW,
            tcpi_reordering: 3,
            tcpi_max_pacing_rate: u64::MAX,
            tcpi_pacing_rate: u64::MAX,
            ..TcpInfo::default()
        };
        if let Role::Listening(listener) = &self.state.lock().role {
            // Linux tells of the backlog here.
            info.tcpi_unacked = u32::try_from(listener.backlog.len()).unwrap_or(u32::MAX);
            info.tcpi_sacked = u32::try_from(listener.max_backlog).unwrap_or(u32::MAX);
        }
        if let Some((own, peer)) = self.ends() {
            let received = own.inbox().bytes.written_bytes();
            let (sent, window) = {
                let inbox = peer.inbox();
                (inbox.bytes.written_bytes(), inbox.room(&peer.memory))
            };
            (info.tcpi_options, info.tcpi_scales) = (OPTIONS, [0x77, 0]);
            let (segment_bytes, mtu) = match self.wire() {
                Some(wire) => (wire.segment_bytes, wire.mtu()),
                None => (LOOPBACK_MSS, LOOPBACK_MTU),
            };
            (info.tcpi_snd_mss, info.tcpi_rcv_mss) = (segment_bytes, DEFAULT_MSS);
            (info.tcpi_advmss, info.tcpi_pmtu) = (segment_bytes, mtu);
            (info.tcpi_bytes_sent, info.tcpi_bytes_acked) = (sent, sent);
            info.tcpi_bytes_received = received;
            info.tcpi_snd_wnd = u32::try_from(window).unwrap_or(u32::MAX);
        }
        info
    }
}
