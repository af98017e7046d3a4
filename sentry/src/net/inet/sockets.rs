//! The internet sockets of a network namespace.

use std::net::IpAddr;
use std::sync::Arc;

use super::icmp::IcmpSockets;
use super::multicast::Groups;
use super::report::{InetStatus, Reports};
use super::tcp::TcpSockets;
use super::udp::UdpSockets;
use crate::time::Timekeeper;

/// What the internet sockets of a namespace share.
pub struct InetSockets {
    tcp: Arc<TcpSockets>,
    udp: UdpSockets,
    udp_lite: UdpSockets,
    reports: Reports,
    icmp: IcmpSockets,
    groups: Groups,
}

impl InetSockets {
    /// None yet; `timekeeper` tells how long what has ended lingers.
    pub fn new(timekeeper: &Arc<Timekeeper>) -> Self {
        Self {
            tcp: TcpSockets::new(timekeeper),
            udp: UdpSockets::new(timekeeper),
            udp_lite: UdpSockets::new(timekeeper),
            reports: Reports::default(),
            icmp: IcmpSockets::new(timekeeper),
            groups: Groups::default(),
        }
    }

    /// Those of TCP.
    pub fn tcp(&self) -> &Arc<TcpSockets> {
        &self.tcp
    }

    /// Those of UDP.
    pub fn udp(&self) -> &UdpSockets {
        &self.udp
    }

    /// Those of UDP-Lite.
    pub fn udp_lite(&self) -> &UdpSockets {
        &self.udp_lite
    }

    /// All of them, for who tells of them.
    pub(super) fn reports(&self) -> &Reports {
        &self.reports
    }

    /// What is told of all that are bound, and of connections that have ended and linger.
    pub fn statuses(&self) -> Vec<InetStatus> {
        let mut all = self.reports.all();
        all.extend(self.tcp.ended());
        all
    }

    /// The multicast groups that they have joined.
    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The groups that they have joined: the link, the group, and how many have.
    pub fn joined_groups(&self) -> Vec<(u32, IpAddr, usize)> {
        self.groups.all()
    }

    /// The raw ones, and those of ICMP echoes.
    pub fn icmp(&self) -> &IcmpSockets {
        &self.icmp
    }
}
