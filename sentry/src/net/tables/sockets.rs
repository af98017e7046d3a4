//! /proc/net/tcp, udp, raw, icmp, unix and what tells how many sockets there are.

use super::super::NetworkNamespace;
use super::super::inet::InetProtocol;
use super::internet;
use crate::fs::NetworkTable;

const TCP: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const UDP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const UDP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
const NETLINK: &str =
    "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n";
const UNIX: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";
const PROTOCOLS: &str = "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em\n";
/// How wide a line of the tables of IPv4 is, without its end.
const TCP_WIDTH: usize = 149;
const UDP_WIDTH: usize = 127;

/// /proc/net/unix; paths may be any bytes.
pub(in crate::net) fn unix(namespace: &NetworkNamespace) -> Vec<u8> {
    let mut text = UNIX.as_bytes().to_vec();
    text.extend(namespace.unix_sockets().all().iter().flat_map(|socket| socket.to_line()));
    text
}

pub(super) fn table(namespace: &NetworkNamespace, table: NetworkTable) -> String {
    match table {
        NetworkTable::Tcp => {
            format!("{TCP:<TCP_WIDTH$}\n{}", internet::rows(namespace, InetProtocol::Tcp, false))
        }
        NetworkTable::Tcp6 => format!("{TCP6}\n{}", internet::rows(namespace, InetProtocol::Tcp, true)),
        NetworkTable::Udp => {
            let rows = internet::rows(namespace, InetProtocol::Udp, false);
            format!(" {UDP:<width$}\n{rows}", width = UDP_WIDTH - 1)
        }
        NetworkTable::Udp6 => format!("{UDP6}\n{}", internet::rows(namespace, InetProtocol::Udp, true)),
        NetworkTable::UdpLite => {
            let rows = internet::rows(namespace, InetProtocol::UdpLite, false);
            format!(" {UDP:<width$}\n{rows}", width = UDP_WIDTH - 1)
        }
        NetworkTable::Icmp => {
            format!("{UDP:<UDP_WIDTH$}\n{}", internet::rows(namespace, InetProtocol::Echo, false))
        }
        NetworkTable::Raw => format!("{UDP}\n{}", internet::rows(namespace, InetProtocol::Raw, false)),
        NetworkTable::UdpLite6 => {
            format!("{UDP6}\n{}", internet::rows(namespace, InetProtocol::UdpLite, true))
        }
        NetworkTable::Icmp6 => format!("{UDP6}\n{}", internet::rows(namespace, InetProtocol::Echo, true)),
        NetworkTable::Raw6 => format!("{UDP6}\n{}", internet::rows(namespace, InetProtocol::Raw, true)),
        NetworkTable::Netlink => format!("{NETLINK}{}", namespace.netlink().to_lines()),

        NetworkTable::Packet => "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n".into(),
        NetworkTable::Protocols => PROTOCOLS.into(),
        NetworkTable::SocketStatistics => statistics(namespace),
        NetworkTable::SocketStatistics6 => statistics_6(namespace),
        _ => String::new(),
    }
}

/// How many sockets of a protocol and a family there are, the bound ones.
fn count(namespace: &NetworkNamespace, protocol: InetProtocol, is_ipv6: bool) -> usize {
    internet::sockets(namespace, protocol, is_ipv6).len()
}

/// /proc/net/sockstat.
fn statistics(namespace: &NetworkNamespace) -> String {
    let of = |protocol| count(namespace, protocol, false);
    let [tcp, udp, lite, raw] =
        [InetProtocol::Tcp, InetProtocol::Udp, InetProtocol::UdpLite, InetProtocol::Raw].map(of);
    let of_others = namespace.unix_sockets().all().len() + namespace.netlink().len();
    let used = of_others + namespace.inet_sockets().statuses().len();
    format!(
        "sockets: used {used}\nTCP: inuse {tcp} orphan 0 tw 0 alloc {tcp} mem 0\nUDP: inuse {udp} mem 0\nUDPLITE: inuse {lite}\nRAW: inuse {raw}\nFRAG: inuse 0 memory 0\n"
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
