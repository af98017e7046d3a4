//! What is told beside a datagram: where it was sent to, and how (`man 7 ip`, IP_PKTINFO; `man 7 ipv6`).

use std::net::IpAddr;

use linux_raw_sys::net as uapi;
use zerocopy::IntoBytes;

use crate::abi::{In6Pktinfo, InPktinfo};
use crate::net::ControlMessage;
use crate::net::inet::bound::InetSocket;

/// How a datagram has arrived.
pub(in crate::net::inet) struct Arrival {
    pub(in crate::net::inet) destination: IpAddr,
    pub(in crate::net::inet) device: u32,
    pub(in crate::net::inet) ttl: u8,
    pub(in crate::net::inet) tos: u8,
}

impl InetSocket {
    /// What the options of the socket have a receive tell of `arrival`.
    pub(in crate::net::inet) fn tell(&self, arrival: &Arrival) -> Vec<ControlMessage> {
        let mut told = Vec::new();
        if let IpAddr::V4(destination) = arrival.destination {
            let address = destination.octets();
            let info = InPktinfo {
                ipi_ifindex: arrival.device.cast_signed(),
                ipi_spec_dst: address,
                ipi_addr: address,
            };
            let mut tell = |option, kind, data: &[u8]| {
                if self.has_ip_option(option) {
                    told.push(ControlMessage { level: uapi::SOL_IP, kind, data: data.to_vec() });
                }
            };
            tell(uapi::IP_PKTINFO, uapi::IP_PKTINFO, info.as_bytes());
            tell(uapi::IP_RECVTTL, uapi::IP_TTL, i32::from(arrival.ttl).as_bytes());
            tell(uapi::IP_RECVTOS, uapi::IP_TOS, &[arrival.tos]);
        }
        let ipi6_addr = match arrival.destination {
            IpAddr::V4(destination) => destination.to_ipv6_mapped().octets(),
            IpAddr::V6(destination) => destination.octets(),
        };
        let info = In6Pktinfo { ipi6_addr, ipi6_ifindex: arrival.device };
        let mut tell = |option, kind, data: &[u8]| {
            if self.has_ipv6_option(option) {
                told.push(ControlMessage { level: uapi::SOL_IPV6, kind, data: data.to_vec() });
            }
        };
        tell(uapi::IPV6_RECVPKTINFO, uapi::IPV6_PKTINFO, info.as_bytes());
        tell(uapi::IPV6_RECVHOPLIMIT, uapi::IPV6_HOPLIMIT, i32::from(arrival.ttl).as_bytes());
        tell(uapi::IPV6_RECVTCLASS, uapi::IPV6_TCLASS, i32::from(arrival.tos).as_bytes());
        told
    }
}
