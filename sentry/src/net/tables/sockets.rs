//! /proc/net/tcp, udp, raw, icmp, unix and what tells how many sockets there are.

use super::super::NetworkNamespace;
use super::super::inet::InetProtocol;
use super::internet;
use crate::Errno;
use crate::cred::UserNamespace;
use crate::fs::{LongText, NetworkTable};

const TCP: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const UDP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const UDP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
const PACKET: &str = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";
const NETLINK: &str =
    "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n";
const UNIX: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";
/// How wide a line of the tables of IPv4 is, without its end.
const TCP_WIDTH: usize = 149;
const UDP_WIDTH: usize = 127;

/// /proc/net/unix; paths may be any bytes.
///
/// # Errors
/// ENOMEM; EINTR: the reader is ending.
pub(in crate::net) fn unix(namespace: &NetworkNamespace) -> Result<Vec<u8>, Errno> {
    let mut text = LongText::beginning_with(UNIX);
    for socket in namespace.unix_sockets().all() {
        text.push(socket.to_line())?;
    }
    Ok(text.into_bytes())
}

/// What a table of internet sockets tells of, and how it begins; `None` for other tables.
fn internet_table(table: NetworkTable) -> Option<(String, (InetProtocol, bool))> {
    let of_udp = || format!(" {UDP:<width$}\n", width = UDP_WIDTH - 1);
    Some(match table {
        NetworkTable::Tcp => (format!("{TCP:<TCP_WIDTH$}\n"), (InetProtocol::Tcp, false)),
        NetworkTable::Tcp6 => (format!("{TCP6}\n"), (InetProtocol::Tcp, true)),
        NetworkTable::Udp => (of_udp(), (InetProtocol::Udp, false)),
        NetworkTable::Udp6 => (format!("{UDP6}\n"), (InetProtocol::Udp, true)),
        NetworkTable::UdpLite => (of_udp(), (InetProtocol::UdpLite, false)),
        NetworkTable::UdpLite6 => (format!("{UDP6}\n"), (InetProtocol::UdpLite, true)),
        NetworkTable::Icmp => (format!("{UDP:<UDP_WIDTH$}\n"), (InetProtocol::Echo, false)),
        NetworkTable::Icmp6 => (format!("{UDP6}\n"), (InetProtocol::Echo, true)),
        NetworkTable::Raw => (format!("{UDP}\n"), (InetProtocol::Raw, false)),
        NetworkTable::Raw6 => (format!("{UDP6}\n"), (InetProtocol::Raw, true)),
        _ => return None,
    })
}

pub(super) fn table(
    namespace: &NetworkNamespace,
    table: NetworkTable,
    users: &UserNamespace,
) -> Result<Vec<u8>, Errno> {
    if let Some((heading, sockets)) = internet_table(table) {
        return internet::table(namespace, heading, sockets, users);
    }
    Ok(match table {
        NetworkTable::Netlink => return netlink(namespace),
        NetworkTable::Packet => return packet(namespace),
        NetworkTable::SocketStatistics => statistics(namespace).into(),
        NetworkTable::SocketStatistics6 => statistics_6(namespace).into(),
        _ => Vec::new(),
    })
}

fn netlink(namespace: &NetworkNamespace) -> Result<Vec<u8>, Errno> {
    let mut text = LongText::beginning_with(NETLINK);
    for socket in namespace.netlink().all() {
        text.push(socket.to_line())?;
    }
    Ok(text.into_bytes())
}

fn packet(namespace: &NetworkNamespace) -> Result<Vec<u8>, Errno> {
    let mut text = LongText::beginning_with(PACKET);
    for socket in namespace.packet_sockets().all() {
        text.push(socket.to_line())?;
    }
    Ok(text.into_bytes())
}

/// How many sockets of a protocol and a family there are, the bound ones; without connections that have ended.
fn count(namespace: &NetworkNamespace, protocol: InetProtocol, is_ipv6: bool) -> usize {
    let all = internet::sockets(namespace, protocol, is_ipv6);
    all.iter().filter(|status| status.lingers_for.is_none()).count()
}

/// /proc/net/sockstat.
fn statistics(namespace: &NetworkNamespace) -> String {
    let of = |protocol| count(namespace, protocol, false);
    let [tcp, udp, lite, raw] =
        [InetProtocol::Tcp, InetProtocol::Udp, InetProtocol::UdpLite, InetProtocol::Raw].map(of);
    let of_others =
        namespace.unix_sockets().all().len() + namespace.netlink().len() + namespace.packet_sockets().len();
    let all = namespace.inet_sockets().statuses();
    let ended = all.iter().filter(|status| status.lingers_for.is_some()).count();
    let orphans = namespace.inet_sockets().tcp().orphan_count();
    let used = of_others + all.len() - ended;
    let tcp_of_both = tcp + count(namespace, InetProtocol::Tcp, true);
    format!(
        "sockets: used {used}\nTCP: inuse {tcp} orphan {orphans} tw {ended} alloc {tcp_of_both} mem 0\nUDP: inuse {udp} mem 0\nUDPLITE: inuse {lite}\nRAW: inuse {raw}\nFRAG: inuse 0 memory 0\n"
    )
}

/// /proc/net/sockstat6.
fn statistics_6(namespace: &NetworkNamespace) -> String {
    let of = |protocol| count(namespace, protocol, true);
    let [tcp, udp, lite, raw] =
        [InetProtocol::Tcp, InetProtocol::Udp, InetProtocol::UdpLite, InetProtocol::Raw].map(of);
    format!(
        "TCP6: inuse {tcp}\nUDP6: inuse {udp}\nUDPLITE6: inuse {lite}\nRAW6: inuse {raw}\nFRAG6: inuse 0 memory 0\n"
    )
}
