//! The rows of /proc/net/tcp, tcp6, udp and udp6.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::super::NetworkNamespace;
use super::super::inet::{InetProtocol, InetStatus};
use crate::Errno;
use crate::abi::TcpInfo;
use crate::cred::{KernelUid, UserNamespace};
use crate::fs::LongText;
use crate::heap::HeapCharge;

/// How wide a row is, without its end.
const TCP_WIDTH: usize = 149;
const UDP_WIDTH: usize = 127;
/// A tick of the clock that timers are told in (USER_HZ).
const MILLISECONDS_OF_TICK: u128 = 10;
/// `TCP_LISTEN`.
const LISTENS: u8 = 10;

/// The sockets of a protocol and a family.
pub(super) fn sockets(
    namespace: &NetworkNamespace,
    protocol: InetProtocol,
    is_ipv6: bool,
) -> Vec<InetStatus> {
    let all = namespace.inet_sockets().statuses();
    all.into_iter().filter(|status| status.protocol == protocol && status.is_ipv6 == is_ipv6).collect()
}

/// What a socket of which is told takes meanwhile.
const STATUS_BYTES: usize = size_of::<InetStatus>() + size_of::<TcpInfo>();

/// A table: `heading`, and a row for each socket; users have the numbers that `users` gives them.
///
/// # Errors
/// ENOMEM; EINTR: the reader is ending.
pub(super) fn table(
    namespace: &NetworkNamespace,
    heading: String,
    (protocol, is_ipv6): (InetProtocol, bool),
    users: &UserNamespace,
) -> Result<Vec<u8>, Errno> {
    let mut text = LongText::beginning_with(heading);
    let sockets = sockets(namespace, protocol, is_ipv6);
    let _charge = HeapCharge::transient(sockets.len() * STATUS_BYTES)?;
    for (number, mut status) in sockets.into_iter().enumerate() {
        status.uid = KernelUid(users.from_kernel_uid(status.uid).0);
        let status = &status;
        let (row, width) = match protocol {
            InetProtocol::Tcp => (tcp(number, status), TCP_WIDTH),
            _ => (udp(number, status), UDP_WIDTH),
        };
        let width = if is_ipv6 { 0 } else { width };
        text.push(format!("{row:<width$}\n"))?;
    }
    Ok(text.into_bytes())
}

/// What both protocols tell, up to the inode.
fn head(status: &InetStatus) -> String {
    let nowhere = SocketAddr::new(status.shown(IpAddr::from([0; 4])), 0);
    let (local, remote) = (address(status, status.local), address(status, status.remote.unwrap_or(nowhere)));
    let InetStatus { state, unread_bytes, unsent_bytes, uid: KernelUid(uid), inode, .. } = status;
    format!(
        "{local} {remote} {state:02X} {unsent_bytes:08X}:{unread_bytes:08X} 00:00000000 00000000 {uid:5} {:8} {inode}",
        0
    )
}

/// An address as words of this machine's, and the port.
fn address(status: &InetStatus, address: SocketAddr) -> String {
    let bytes = match status.shown(address.ip()) {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (words, _) = bytes.as_chunks::<4>();
    let words: String = words.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word))).collect();
    format!("{words}:{:04X}", address.port())
}

/// With what nothing here has: time-outs, and a congestion window as it is at first. Kernel addresses are nobody's business.
fn tcp(number: usize, status: &InetStatus) -> String {
    if let Some(left) = status.lingers_for {
        return lingering(number, status, left);
    }
    let tail = if status.state == LISTENS { "100 0 0 10 0" } else { "20 0 0 10 -1" };
    format!("{number:4}: {} 1 {:016x} {tail}", head(status), 0)
}

/// A connection that has ended: its timer is the third, and it is nobody's.
fn lingering(number: usize, status: &InetStatus, left: Duration) -> String {
    let (local, remote) =
        (address(status, status.local), address(status, status.remote.unwrap_or(status.local)));
    let (state, ticks) = (status.state, left.as_millis() / MILLISECONDS_OF_TICK);
    format!(
        "{number:4}: {local} {remote} {state:02X} 00000000:00000000 03:{ticks:08X} 00000000 {:5} {:8} 0 3 {:016x}",
        0, 0, 0
    )
}

fn udp(number: usize, status: &InetStatus) -> String {
    format!("{number:5}: {} 2 {:016x} {}", head(status), 0, status.lost)
}
