//! What UDP counts.

use std::net::IpAddr;

use super::UdpSocket;
use crate::net::{Counter, NetworkNamespace};

/// The headers of IPv4 and of IPv6 with UDP's.
const V4_HEADER_BYTES: usize = 28;
const V6_HEADER_BYTES: usize = 48;

fn header_bytes(destination: IpAddr) -> usize {
    if destination.is_ipv4() { V4_HEADER_BYTES } else { V6_HEADER_BYTES }
}

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
        counters.count_sent(
            destination.is_ipv4(),
            datagrams,
            len_bytes + header_bytes(destination) * datagrams,
        );
    }

    /// Counts a datagram that somebody has received, from `sender`.
    pub(super) fn count_received(&self, sender: IpAddr) {
        self.count(sender, Counter::UdpReceived, Counter::Udp6Received);
    }

    /// Counts a packet that has arrived in a namespace, whether or not a socket has it in the end.
    pub(super) fn count_arrived(
        network: &NetworkNamespace,
        destination: IpAddr,
        packets: usize,
        len_bytes: usize,
    ) {
        let len_bytes = len_bytes + header_bytes(destination) * packets;
        network.counters().count_received(destination.is_ipv4(), packets, len_bytes);
    }
}
