//! The internet sockets of a network namespace.

use std::sync::Arc;

use super::tcp::TcpSockets;
use super::udp::UdpSockets;

/// What the internet sockets of a namespace share.
#[derive(Default)]
pub struct InetSockets {
    tcp: Arc<TcpSockets>,
    udp: UdpSockets,
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
}
