//! What UDP counts.

use std::net::IpAddr;

use super::UdpSocket;
use crate::net::Counter;

/// The headers of IPv4 and of IPv6 with UDP's.
const V4_HEADER_BYTES: usize = 28;
const V6_HEADER_BYTES: usize = 48;

impl UdpSocket {
    /// Counts one more of `v4`, or of `v6`, by the family of the destination.
    pub(super) fn count(&self, destination: IpAddr, v4: Counter, v6: Counter) {
        if !self.is_lite() {
            self.inet.network().counters().add(if destination.is_ipv4() { v4 } else { v6 }, 1);
        }
    }

    /// Counts what was sent, in so many datagrams.
    pub(super) fn count_sent(&self, destination: IpAddr, datagrams: usize, len_bytes: usize) {
        let counters = self.inet.network().counters();
        for _ in 0..datagrams {
            self.count(destination, Counter::UdpSent, Counter::Udp6Sent);
        }
        let (packets, bytes, header_bytes) = match destination {
            IpAddr::V4(_) => (Counter::IpSent, Counter::IpBytesSent, V4_HEADER_BYTES),
            IpAddr::V6(_) => (Counter::Ip6Sent, Counter::Ip6BytesSent, V6_HEADER_BYTES),
        };
        counters.add(packets, datagrams as u64);
        counters.add(bytes, (len_bytes + header_bytes * datagrams) as u64);
    }

    /// Counts a datagram that has arrived.
    pub(super) fn count_received(&self, destination: IpAddr, len_bytes: usize) {
        self.count(destination, Counter::UdpReceived, Counter::Udp6Received);
        let counters = self.inet.network().counters();
        let (received, delivered, bytes, header_bytes) = match destination {
            IpAddr::V4(_) => {
                (Counter::IpReceived, Counter::IpDelivered, Counter::IpBytesReceived, V4_HEADER_BYTES)
            }
            IpAddr::V6(_) => {
                (Counter::Ip6Received, Counter::Ip6Delivered, Counter::Ip6BytesReceived, V6_HEADER_BYTES)
            }
        };
        counters.add(received, 1);
        counters.add(delivered, 1);
        counters.add(bytes, (len_bytes + header_bytes) as u64);
    }
}
