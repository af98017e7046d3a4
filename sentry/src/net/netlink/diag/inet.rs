//! Internet sockets (`linux/inet_diag.h`).

use std::net::{IpAddr, SocketAddr};

use linux_raw_sys::net::{AF_INET, AF_INET6};
use netlink_packet_core::NlasIterator;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::super::reply::attribute;
use super::{Asker, gather};
use crate::Errno;
use crate::net::NetworkNamespace;
use crate::net::inet::{InetProtocol, InetStatus};

/// Attributes of an answer.
const MEMORY: u16 = 1;
const INFO: u16 = 2;
const CONGESTION: u16 = 4;
const SOCKET_MEMORY: u16 = 7;
const SHUTDOWN: u16 = 8;
const V6_ONLY: u16 = 11;
/// `TCP_LISTEN`.
const LISTENS: u8 = 10;
/// A cookie that names no socket.
const NO_COOKIE: [u32; 2] = [u32::MAX; 2];

/// `struct inet_diag_sockid`: ports and addresses in network order.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Id {
    source_port: [u8; 2],
    destination_port: [u8; 2],
    source: [u8; 16],
    destination: [u8; 16],
    device: u32,
    cookie: [u32; 2],
}

/// `struct inet_diag_req_v2`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Question {
    family: u8,
    protocol: u8,
    /// Attributes that are wanted: bit N for attribute N + 1.
    extensions: u8,
    padding: u8,
    /// States that are wanted: bit N for state N.
    states: u32,
    id: Id,
}

/// `struct inet_diag_msg`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Answer {
    family: u8,
    state: u8,
    timer: u8,
    retransmissions: u8,
    id: Id,
    expires: u32,
    receive_queue: u32,
    send_queue: u32,
    uid: u32,
    inode: u32,
}

impl Id {
    /// The same as the peer sees it.
    fn turned(self) -> Self {
        Self {
            source_port: self.destination_port,
            destination_port: self.source_port,
            source: self.destination,
            destination: self.source,
            ..self
        }
    }
}

impl Question {
    /// The sockets of its protocol and family.
    fn sockets(&self, namespace: &NetworkNamespace) -> Result<Vec<InetStatus>, Errno> {
        let protocol = match self.protocol {
            6 => InetProtocol::Tcp,
            17 => InetProtocol::Udp,
            136 => InetProtocol::UdpLite,
            255 => InetProtocol::Raw,
            _ => return Err(Errno::ENOENT),
        };
        let is_ipv6 = u32::from(self.family) == AF_INET6;
        let all = namespace.inet_sockets().statuses();
        Ok(all.into_iter().filter(|one| one.protocol == protocol && one.is_ipv6 == is_ipv6).collect())
    }

    fn wants(&self, attribute: u16) -> bool {
        self.extensions >> (attribute - 1) & 1 == 1
    }
}

/// Fails for a protocol that only an attribute behind the question has room for (INET_DIAG_REQ_PROTOCOL): there is none of those.
///
/// # Errors
/// ENOENT.
pub(super) fn check_protocol(attributes: &[u8], question: &Question) -> Result<(), Errno> {
    const PROTOCOL: u16 = 3;
    for attribute in NlasIterator::new(attributes).flatten().filter(|one| one.kind() == PROTOCOL) {
        let number = attribute.value().first_chunk().map(|number| u32::from_ne_bytes(*number));
        if number.is_some_and(|number| number != u32::from(question.protocol)) {
            return Err(Errno::ENOENT);
        }
    }
    Ok(())
}

/// All that a question is about.
///
/// # Errors
/// ENOENT: nobody tells of that protocol. ENOMEM; EINTR: who asks is ending.
pub(super) fn list(asker: &Asker<'_>, question: &Question) -> Result<Vec<Vec<u8>>, Errno> {
    let is_wanted = |one: &&InetStatus| {
        let port = |number: u16, wanted: [u8; 2]| wanted == [0; 2] || wanted == number.to_be_bytes();
        question.states >> one.state & 1 == 1
            && port(one.local.port(), question.id.source_port)
            && port(one.remote.map_or(0, |remote| remote.port()), question.id.destination_port)
    };
    let sockets = question.sockets(asker.namespace)?;
    gather(sockets.iter().filter(is_wanted).map(|one| answer(asker, question, one)))
}

/// The one socket that a question names.
///
/// # Errors
/// ENOENT; ESTALE: the cookie is another's.
pub(super) fn find(asker: &Asker<'_>, question: &Question) -> Result<Vec<u8>, Errno> {
    let sockets = question.sockets(asker.namespace)?;
    // Of UDP, the own address stands where others have the peer's.
    let asked = match question.protocol {
        17 | 136 => question.id.turned(),
        _ => question.id,
    };
    let is_it = |one: &&InetStatus| {
        let id = id_of(one);
        (id.source_port, id.source) == (asked.source_port, asked.source)
            && (id.destination_port, id.destination) == (asked.destination_port, asked.destination)
    };
    // One that is connected to nobody stands for all that it would take.
    let listens = |one: &&InetStatus| {
        one.remote.is_none()
            && one.local.port().to_be_bytes() == asked.source_port
            && (one.local.ip().is_unspecified() || id_of(one).source == asked.source)
    };
    let found = sockets.iter().find(is_it).or_else(|| sockets.iter().find(listens)).ok_or(Errno::ENOENT)?;
    let is_same = asked.cookie == NO_COOKIE || asked.cookie == id_of(found).cookie;
    if is_same { Ok(answer(asker, question, found)) } else { Err(Errno::ESTALE) }
}

/// An address of so many bytes: the rest is zero.
fn bytes_of(ip: IpAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    match ip {
        IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes = ip.octets(),
    }
    bytes
}

fn id_of(one: &InetStatus) -> Id {
    let nowhere = SocketAddr::new(one.shown(IpAddr::from([0; 4])), 0);
    let remote = one.remote.unwrap_or(nowhere);
    Id {
        source_port: one.local.port().to_be_bytes(),
        destination_port: remote.port().to_be_bytes(),
        source: bytes_of(one.shown(one.local.ip())),
        destination: bytes_of(one.shown(remote.ip())),
        device: 0,
        cookie: [one.inode as u32, (one.inode >> 32) as u32],
    }
}

fn answer(asker: &Asker<'_>, question: &Question, one: &InetStatus) -> Vec<u8> {
    let count = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let answer = Answer {
        family: (if one.is_ipv6 { AF_INET6 } else { AF_INET }) as u8,
        state: one.state,
        timer: 0,
        retransmissions: 0,
        id: id_of(one),
        expires: 0,
        receive_queue: count(one.unread_bytes),
        send_queue: count(if one.state == LISTENS { one.max_backlog } else { one.unsent_bytes }),
        uid: asker.users.from_kernel_uid(one.uid).0,
        inode: one.inode as u32,
    };
    let mut told = answer.as_bytes().to_vec();
    let is_listener = one.state == LISTENS;
    let queued = if is_listener { 0 } else { count(one.unread_bytes) };
    told.extend(attribute(SHUTDOWN, vec![one.shut]));
    if one.is_ipv6 && (is_listener || one.protocol != InetProtocol::Tcp) {
        told.extend(attribute(V6_ONLY, vec![one.is_v6_only.into()]));
    }
    if question.wants(MEMORY) {
        told.extend(attribute(MEMORY, [queued, 0, 0, 0].as_bytes().to_vec()));
    }
    if let Some(info) = one.info.as_deref().filter(|_| question.wants(INFO)) {
        told.extend(attribute(INFO, info.as_bytes().to_vec()));
    }
    if let Some(name) = one.congestion.filter(|_| question.wants(CONGESTION)) {
        told.extend(attribute(CONGESTION, [name.as_bytes(), &[0]].concat()));
    }
    if question.wants(SOCKET_MEMORY) {
        let (room, send_room) = one.buffers;
        let memory = [queued, room, 0, send_room, 0, 0, 0, 0, one.lost];
        told.extend(attribute(SOCKET_MEMORY, memory.as_bytes().to_vec()));
    }
    told
}
