//! Raw sockets and ICMP echo sockets (`man 7 raw`, `man 7 icmp`), and the echo that answers them.
//!
//! A raw socket gets all that is sent by its protocol; one of IPv4 with its header. An echo socket (SOCK_DGRAM) has an identifier
//! where others have a port, and gets the answers that bear it.

mod deliver;
mod packet;
mod socket;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use self::packet::Filter;
use super::address::Version;
use super::bound::InetSocket;
use super::ports::{Port, Ports};
use crate::Errno;
use crate::fs::Caller;
use crate::net::{SocketKind, SocketMemoryCharge};
use crate::network_settings::NetworkSettings;
use crate::wait::WaitQueue;

/// ICMP and ICMPv6.
pub(super) const ICMP: u32 = 1;
pub(super) const ICMPV6: u32 = 58;

/// The raw sockets and echo sockets of a namespace.
#[derive(Default)]
pub struct IcmpSockets {
    raw: Mutex<Vec<Weak<IcmpSocket>>>,
    identifiers: Arc<Ports<IcmpSocket>>,
}

/// A raw socket or an ICMP echo socket.
pub struct IcmpSocket {
    inet: InetSocket,
    state: Mutex<State>,
    inbox: Mutex<Inbox>,
    queue: WaitQueue,
    me: Weak<Self>,
}

#[derive(Default)]
struct State {
    /// Where it is bound; the unspecified address is anywhere.
    own: Option<IpAddr>,
    remote: Option<SocketAddr>,
    /// An echo socket's.
    identifier: Option<Arc<Port<IcmpSocket>>>,
    filter: Filter,
}

#[derive(Default)]
struct Inbox {
    packets: VecDeque<Packet>,
    /// What they cost of SO_RCVBUF, in bytes.
    cost_bytes: usize,
    is_receive_shut: bool,
    is_send_shut: bool,
}

struct Packet {
    bytes: Arc<[u8]>,
    source: IpAddr,
    destination: IpAddr,
    charge: SocketMemoryCharge,
}

/// Whether `caller` may make echo sockets (ping_group_range).
pub(super) fn may_echo(settings: &NetworkSettings, caller: &dyn Caller) -> bool {
    let (groups, credentials) = (settings.ping_groups(), caller.credentials());
    groups.contains(&credentials.effective_gid.0)
        || credentials.groups.iter().any(|group| groups.contains(&group.0))
}

impl IcmpSocket {
    /// A socket that is neither bound nor connected.
    pub(super) fn new(inet: InetSocket) -> Arc<Self> {
        let socket = Arc::new_cyclic(|me| Self {
            inet,
            state: Mutex::default(),
            inbox: Mutex::default(),
            queue: WaitQueue::default(),
            me: me.clone(),
        });
        if socket.is_raw() {
            let mut raw = socket.inet.sockets().icmp().raw.lock();
            raw.retain(|other| other.strong_count() > 0);
            raw.push(socket.me.clone());
        }
        socket
    }

    fn is_raw(&self) -> bool {
        self.inet.common.kind() == SocketKind::Raw
    }

    /// The version of ICMP that it speaks, if it does.
    fn version(&self) -> Version {
        if self.inet.common.family() == Version::V4.family() { Version::V4 } else { Version::V6 }
    }

    /// Has an echo socket have an identifier: `wanted`, or any.
    fn identify(&self, state: &mut State, wanted: u16) -> Result<(), Errno> {
        if self.is_raw() || state.identifier.is_some() {
            return Ok(());
        }
        let claim = self.inet.claim(self.inet.unbound().ip(), false);
        let identifiers = &self.inet.sockets().icmp().identifiers;
        state.identifier = Some(identifiers.claim(wanted, claim, &self.me, 1..=u16::MAX)?);
        Ok(())
    }

    /// bind(2), to an address that may be bound to.
    fn bind_to(&self, address: SocketAddr) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if !self.is_raw() && state.identifier.is_some() {
            return Err(Errno::EINVAL);
        }
        self.identify(&mut state, address.port())?;
        state.own = Some(address.ip());
        Ok(())
    }

    /// Whether what is sent from `source` to `destination` is for it.
    fn accepts(&self, source: IpAddr, destination: IpAddr) -> bool {
        let state = self.state.lock();
        let is_to_own = state.own.is_none_or(|own| own.is_unspecified() || own == destination);
        is_to_own && state.remote.is_none_or(|remote| remote.ip() == source)
    }
}
