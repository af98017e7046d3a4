//! Options of UDP and UDP-Lite (`man 7 udp`, `man 7 udplite`).

use linux_raw_sys::net as uapi;

use super::UdpSocket;
use crate::Errno;
use crate::net::level::int;

const UDP_CORK: u32 = 1;
const UDP_ENCAP: u32 = 100;
const UDP_NO_CHECK6_TX: u32 = 101;
const UDP_NO_CHECK6_RX: u32 = 102;
const UDP_SEGMENT: u32 = 103;
const UDP_GRO: u32 = 104;
const UDPLITE_SEND_CSCOV: u32 = 10;
const UDPLITE_RECV_CSCOV: u32 = 11;
/// The header, which a checksum covers at least.
const LEAST_COVERAGE: i32 = 8;

/// The UDP options of a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UdpOptions {
    /// UDP_CORK: what is sent waits for more.
    pub(super) is_corked: bool,
    /// UDP_SEGMENT: what is longer is several datagrams; 0 for one, however long.
    pub(super) segment_bytes: u16,
    /// UDP_GRO: datagrams that belong together may come as one.
    pub(super) takes_segments: bool,
    no_checksum_sent: bool,
    no_checksum_received: bool,
    coverage_sent: i32,
    coverage_received: i32,
}

/// How much a checksum covers: everything, or at least the header.
fn coverage(number: i32) -> i32 {
    match number {
        0 => 0,
        number => number.clamp(LEAST_COVERAGE, u16::MAX.into()),
    }
}

impl UdpSocket {
    /// The value of an option.
    pub(super) fn udp_option(&self, option: u32) -> Result<Vec<u8>, Errno> {
        let options = *self.options.lock();
        let number = match option {
            UDP_CORK => options.is_corked.into(),
            UDP_ENCAP => 0,
            UDP_NO_CHECK6_TX => options.no_checksum_sent.into(),
            UDP_NO_CHECK6_RX => options.no_checksum_received.into(),
            UDP_SEGMENT => options.segment_bytes.into(),
            UDP_GRO => options.takes_segments.into(),
            UDPLITE_SEND_CSCOV => options.coverage_sent,
            UDPLITE_RECV_CSCOV => options.coverage_received,
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    pub(super) fn set_udp_option(&self, option: u32, value: &[u8]) -> Result<(), Errno> {
        let number = int(value)?;
        let is_on = number != 0;
        let mut options = self.options.lock();
        match option {
            UDP_CORK => {
                options.is_corked = is_on;
                drop(options);
                if !is_on {
                    self.uncork()?;
                }
            }
            // Nothing is taken out of other packets.
            UDP_ENCAP if !is_on => {}
            UDP_NO_CHECK6_TX => options.no_checksum_sent = is_on,
            UDP_NO_CHECK6_RX => options.no_checksum_received = is_on,
            UDP_SEGMENT => options.segment_bytes = u16::try_from(number).map_err(|_| Errno::EINVAL)?,
            UDP_GRO => options.takes_segments = is_on,
            UDPLITE_SEND_CSCOV if self.is_lite() => options.coverage_sent = coverage(number),
            UDPLITE_RECV_CSCOV if self.is_lite() => options.coverage_received = coverage(number),
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// Whether `level` is that of its own options.
    pub(super) fn is_own_level(&self, level: u32) -> bool {
        matches!(level, uapi::SOL_UDP | uapi::SOL_UDPLITE)
    }
}
