//! The internet sockets of a network namespace.

use std::sync::Arc;

use super::icmp::IcmpSockets;
use super::report::{InetStatus, Reports};
use super::tcp::TcpSockets;
use super::udp::UdpSockets;

/// What the internet sockets of a namespace share.
#[derive(Default)]
pub struct InetSockets {
    tcp: Arc<TcpSockets>,
    udp: UdpSockets,
    reports: Reports,
    icmp: IcmpSockets,
}

impl InetSockets {
    /// Those of TCP.
    pub fn tcp(&self) -> &Arc<TcpSockets> {
        &self.tcp
    }

    /// Those of UDP.
    pub fn udp(&self) -> &UdpSockets {
        &self.udp
    }

    /// All of them, for who tells of them.
    pub(super) fn reports(&self) -> &Reports {
        &self.reports
    }

    /// What is told of all that are bound.
    pub fn statuses(&self) -> Vec<InetStatus> {
        self.reports.all()
    }

    /// The raw ones, and those of ICMP echoes.
    pub fn icmp(&self) -> &IcmpSockets {
        &self.icmp
    }
}
