//! What is told beside a datagram: when it has arrived, where it was sent to, and how (`man 7 ip`, `man 7 ipv6`, `man 7 udp`).

use std::net::{IpAddr, SocketAddr};

use linux_raw_sys::net as uapi;
use zerocopy::IntoBytes;

use super::Arrival;
use crate::abi::{In6Pktinfo, InPktinfo};
use crate::net::inet::address::Version;
use crate::net::inet::bound::InetSocket;
use crate::net::{ControlMessage, level};

/// UDP_GRO, which tells how long each of several datagrams is.
const UDP_GRO: u32 = 104;

/// What the options of a socket that has lost so many have a receive tell of `arrival`, in Linux's order.
pub(super) fn control(
    inet: &InetSocket,
    arrival: &Arrival,
    lost: u32,
    segment_bytes: Option<u16>,
) -> Vec<ControlMessage> {
    let mut told = Vec::new();
    level::tell_arrival(&inet.common, arrival.time, &mut told);
    let options = inet.common.options();
    let mut tell = |level, kind, data: &[u8]| told.push(ControlMessage { level, kind, data: data.to_vec() });
    if lost > 0 && options.switch(uapi::SO_RXQ_OVFL) == Ok(true) {
        tell(uapi::SOL_SOCKET, uapi::SO_RXQ_OVFL, lost.as_bytes());
    }
    if options.switch(uapi::SO_RCVMARK) == Ok(true) {
        tell(uapi::SOL_SOCKET, uapi::SO_MARK, 0_u32.as_bytes());
    }
    if let Some(segment_bytes) = segment_bytes {
        tell(uapi::SOL_UDP, UDP_GRO, i32::from(segment_bytes).as_bytes());
    }
    tell_internet(inet, arrival, false, &mut told);
    told
}

/// What the options of a socket have it tell of an error that ICMP has brought.
pub(super) fn control_of_error(inet: &InetSocket, arrival: &Arrival) -> Vec<ControlMessage> {
    let mut told = Vec::new();
    level::tell_arrival(&inet.common, arrival.time, &mut told);
    tell_internet(inet, arrival, true, &mut told);
    told
}

/// What IPv4 and IPv6 tell of a datagram, or of an error that has come: that one was sent to no port is not told.
fn tell_internet(inet: &InetSocket, arrival: &Arrival, is_error: bool, told: &mut Vec<ControlMessage>) {
    let mut tell = |level, kind, data: &[u8]| told.push(ControlMessage { level, kind, data: data.to_vec() });
    if inet.is_ipv6() {
        tell_v6(inet, arrival, is_error, &mut tell);
    }
    if arrival.destination.is_ipv4() {
        tell_v4(inet, arrival, is_error, &mut tell);
    }
}

fn tell_v4(inet: &InetSocket, arrival: &Arrival, is_error: bool, tell: &mut dyn FnMut(u32, u32, &[u8])) {
    let (IpAddr::V4(destination), IpAddr::V4(source)) = (arrival.destination.ip(), arrival.source.ip())
    else {
        return;
    };
    // An answer to what went to many comes from an address of the link: on the loopback that it came from.
    let is_for_many =
        destination.is_multicast() || destination.is_broadcast() || inet.is_broadcast(destination);
    let info = InPktinfo {
        ipi_ifindex: arrival.device.cast_signed(),
        ipi_spec_dst: match is_for_many {
            _ if is_error => [0; 4],
            true => source.octets(),
            false => destination.octets(),
        },
        ipi_addr: destination.octets(),
    };
    let original = Version::V4.encode(arrival.destination);
    let mut tell = |option, kind, data: &[u8]| {
        if inet.has_ip_option(option) {
            tell(uapi::SOL_IP, kind, data);
        }
    };
    tell(uapi::IP_PKTINFO, uapi::IP_PKTINFO, info.as_bytes());
    tell(uapi::IP_RECVTTL, uapi::IP_TTL, i32::from(arrival.ttl).as_bytes());
    tell(uapi::IP_RECVTOS, uapi::IP_TOS, &[arrival.tos]);
    if !is_error || arrival.destination.port() != 0 {
        tell(uapi::IP_RECVORIGDSTADDR, uapi::IP_ORIGDSTADDR, original.bytes());
    }
    tell(uapi::IP_RECVFRAGSIZE, uapi::IP_RECVFRAGSIZE, 0_i32.as_bytes());
}

fn tell_v6(inet: &InetSocket, arrival: &Arrival, is_error: bool, tell: &mut dyn FnMut(u32, u32, &[u8])) {
    let ipi6_addr = match arrival.destination.ip() {
        IpAddr::V4(destination) => destination.to_ipv6_mapped().octets(),
        IpAddr::V6(destination) => destination.octets(),
    };
    let info = In6Pktinfo { ipi6_addr, ipi6_ifindex: arrival.device };
    let mut tell = |option, kind, data: &[u8]| {
        if inet.has_ipv6_option(option) {
            tell(uapi::SOL_IPV6, kind, data);
        }
    };
    tell(uapi::IPV6_RECVPKTINFO, uapi::IPV6_PKTINFO, info.as_bytes());
    let SocketAddr::V6(destination) = arrival.destination else { return };
    let (hops, class) = (i32::from(arrival.ttl), i32::from(arrival.tos));
    tell(uapi::IPV6_RECVHOPLIMIT, uapi::IPV6_HOPLIMIT, hops.as_bytes());
    tell(uapi::IPV6_RECVTCLASS, uapi::IPV6_TCLASS, class.as_bytes());
    tell(uapi::IPV6_2292PKTINFO, uapi::IPV6_2292PKTINFO, info.as_bytes());
    tell(uapi::IPV6_2292HOPLIMIT, uapi::IPV6_2292HOPLIMIT, hops.as_bytes());
    let original = Version::V6.encode(destination.into());
    if !is_error || destination.port() != 0 {
        tell(uapi::IPV6_RECVORIGDSTADDR, uapi::IPV6_RECVORIGDSTADDR, original.bytes());
    }
    tell(uapi::IPV6_RECVFRAGSIZE, uapi::IPV6_RECVFRAGSIZE, 0_i32.as_bytes());
}
