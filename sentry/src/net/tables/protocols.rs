//! /proc/net/protocols: what kinds of sockets there are.

use std::fmt::Write;

use super::super::inet::InetProtocol;
use super::super::{NetworkNamespace, Socket, SocketKind};
use super::internet;

const HEADER: &str = "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em\n";

/// A kind of sockets.
struct Protocol {
    name: &'static str,
    /// What Linux's own takes, in bytes.
    size_bytes: u32,
    counted: Counted,
    /// Whether it has a bound of memory that all its sockets share.
    has_memory: bool,
    max_header_bytes: u32,
    has_slab: bool,
    /// Which calls it serves itself.
    calls: &'static str,
}

/// Whose sockets are counted.
#[derive(Clone, Copy)]
enum Counted {
    Internet(InetProtocol, bool),
    /// Of the local domain, streams or all others.
    Unix {
        are_streams: bool,
    },
    Netlink,
    Packet,
}

const fn datagrams(name: &'static str, size_bytes: u32, protocol: InetProtocol, is_ipv6: bool) -> Protocol {
    let has_memory = matches!(protocol, InetProtocol::Udp | InetProtocol::UdpLite);
    let calls = match protocol {
        InetProtocol::Echo => "y  y  y  n  n  y  n  n  y  y  y  y  y  y  n  y  y  n",
        InetProtocol::Raw => "y  y  y  n  y  y  y  n  y  y  y  y  y  y  y  y  n  n",
        _ => "y  y  y  n  y  y  y  n  y  y  y  y  n  n  y  y  y  n",
    };
    let counted = Counted::Internet(protocol, is_ipv6);
    Protocol { name, size_bytes, counted, has_memory, max_header_bytes: 0, has_slab: true, calls }
}

const fn tcp(name: &'static str, size_bytes: u32, is_ipv6: bool) -> Protocol {
    Protocol {
        name,
        size_bytes,
        counted: Counted::Internet(InetProtocol::Tcp, is_ipv6),
        has_memory: true,
        max_header_bytes: 192,
        has_slab: true,
        calls: "y  y  y  y  y  y  y  y  y  y  y  y  n  y  y  y  y  y",
    }
}

const fn local(name: &'static str, size_bytes: u32, counted: Counted) -> Protocol {
    let has_slab = matches!(counted, Counted::Unix { .. });
    let calls = match counted {
        Counted::Unix { are_streams: false } => "y  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n",
        Counted::Unix { are_streams: true } => "y  n  n  n  n  n  n  n  y  n  n  n  n  n  n  n  n  n",
        _ => "n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n",
    };
    Protocol { name, size_bytes, counted, has_memory: false, max_header_bytes: 0, has_slab, calls }
}

const PROTOCOLS: [Protocol; 14] = [
    local("PACKET", 1600, Counted::Packet),
    datagrams("PINGv6", 1344, InetProtocol::Echo, true),
    datagrams("RAWv6", 1344, InetProtocol::Raw, true),
    datagrams("UDPLITEv6", 1472, InetProtocol::UdpLite, true),
    datagrams("UDPv6", 1472, InetProtocol::Udp, true),
    tcp("TCPv6", 2432, true),
    local("UNIX-STREAM", 1152, Counted::Unix { are_streams: true }),
    local("UNIX", 1152, Counted::Unix { are_streams: false }),
    datagrams("UDP-Lite", 1344, InetProtocol::UdpLite, false),
    datagrams("PING", 1016, InetProtocol::Echo, false),
    datagrams("RAW", 1152, InetProtocol::Raw, false),
    datagrams("UDP", 1344, InetProtocol::Udp, false),
    tcp("TCP", 2304, false),
    local("NETLINK", 1096, Counted::Netlink),
];

fn count(namespace: &NetworkNamespace, counted: Counted) -> usize {
    match counted {
        Counted::Internet(protocol, is_ipv6) => internet::sockets(namespace, protocol, is_ipv6).len(),
        Counted::Unix { are_streams } => {
            let sockets = namespace.unix_sockets().all();
            sockets
                .iter()
                .filter(|socket| (socket.common().kind() == SocketKind::Stream) == are_streams)
                .count()
        }
        Counted::Netlink => namespace.netlink().len(),
        Counted::Packet => namespace.packet_sockets().len(),
    }
}

pub(super) fn table(namespace: &NetworkNamespace) -> String {
    let mut text = HEADER.to_string();
    for protocol in &PROTOCOLS {
        let Protocol { name, size_bytes, max_header_bytes, calls, .. } = protocol;
        let count = count(namespace, protocol.counted);
        // Nothing presses as long as there is memory.
        let (memory, pressure) = if protocol.has_memory { ("0", "no") } else { ("-1", "NI") };
        let slab = if protocol.has_slab { "yes" } else { "no" };
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{name:<9} {size_bytes:4} {count:6}  {memory:>6}   {pressure:<3} {max_header_bytes:6}   {slab:<3}  {:<10}  {calls}",
            "kernel"
        );
    }
    text
}
