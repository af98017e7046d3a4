//! The internet sockets of a network namespace.

use std::sync::Arc;

use super::tcp::TcpSockets;

/// What the internet sockets of a namespace share.
#[derive(Default)]
pub struct InetSockets {
    tcp: Arc<TcpSockets>,
}

impl InetSockets {
    /// Those of TCP.
    pub fn tcp(&self) -> &Arc<TcpSockets> {
        &self.tcp
    }
}
