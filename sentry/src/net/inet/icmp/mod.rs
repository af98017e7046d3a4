//! Raw sockets and ICMP echo sockets (`man 7 raw`, `man 7 icmp`), and the echo that answers them.
//!
//! A raw socket gets all that is sent by its protocol; one of IPv4 with its header. An echo socket (SOCK_DGRAM) has an identifier
//! where others have a port, and gets the answers that bear it.

mod arrive;
mod deliver;
mod packet;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use linux_raw_sys::net::SO_REUSEADDR;
use parking_lot::Mutex;

pub(super) use self::arrive::{Packet, copy_to_raw, refuse_port, take, whole};
use self::packet::Filter;
pub(super) use self::packet::seal_at;
use super::address::Version;
use super::bound::InetSocket;
use super::datagram::DatagramQueue;
use super::ports::{LocalPorts, Port, Ports};
use super::report::{InetProtocol, InetStatus, Report};
use crate::Errno;
use crate::fs::Caller;
use crate::network_settings::NetworkSettings;
use crate::time::Timekeeper;

/// ICMP and ICMPv6.
pub(super) const ICMP: u32 = 1;
pub(super) const ICMPV6: u32 = 58;

/// The raw sockets and echo sockets of a namespace.
pub struct IcmpSockets {
    raw: Mutex<Vec<Weak<IcmpSocket>>>,
    identifiers: Arc<Ports<IcmpSocket>>,
}

impl IcmpSockets {
    /// None yet.
    pub(super) fn new(timekeeper: &Arc<Timekeeper>) -> Self {
        Self { raw: Mutex::default(), identifiers: Ports::new(timekeeper) }
    }
}

/// A raw socket or an ICMP echo socket.
pub struct IcmpSocket {
    inet: InetSocket,
    state: Mutex<State>,
    arrived: DatagramQueue,
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

/// Whether `caller` may make echo sockets (ping_group_range).
pub(super) fn may_echo(settings: &NetworkSettings, caller: &dyn Caller) -> bool {
    let (groups, credentials) = (settings.ping_groups(), caller.credentials());
    groups.contains(&credentials.effective_gid.0)
        || credentials.groups.iter().any(|group| groups.contains(&group.0))
}

impl IcmpSocket {
    /// A socket that is neither bound nor connected.
    pub(super) fn new(inet: InetSocket) -> Arc<Self> {
        // What such sockets are bound to, they share from the beginning.
        let _set = inet.common.change_options(|options| options.set_switch(SO_REUSEADDR, true));
        let socket = Arc::new_cyclic(|me| Self {
            inet,
            state: Mutex::default(),
            arrived: DatagramQueue::default(),
            me: me.clone(),
        });
        let reports: Weak<dyn Report> = socket.me.clone();
        socket.inet.sockets().reports().register(reports);
        if socket.is_raw() {
            let mut raw = socket.inet.sockets().icmp().raw.lock();
            raw.retain(|other| other.strong_count() > 0);
            raw.push(socket.me.clone());
        }
        socket
    }

    fn is_raw(&self) -> bool {
        self.inet.is_raw()
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
        state.identifier = Some(identifiers.claim(wanted, claim, &self.me, LocalPorts::all(1..=u16::MAX))?);
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

    /// Whether what is sent from `source` to `destination` through a link is for it.
    fn accepts(&self, source: IpAddr, destination: IpAddr, device: u32) -> bool {
        if self.inet.common.options().bound_device.is_some_and(|own| own != device) {
            return false;
        }
        if destination.is_multicast() && !self.inet.hears(destination, source, device) {
            return false;
        }
        let state = self.state.lock();
        let is_to_own = state.own.is_none_or(|own| own.is_unspecified() || own == destination);
        is_to_own && state.remote.is_none_or(|remote| remote.ip() == source)
    }
}

impl Report for IcmpSocket {
    fn report(&self) -> Option<InetStatus> {
        let protocol = u16::try_from(self.inet.common.protocol()).unwrap_or(0);
        let (local, remote) = {
            let state = self.state.lock();
            let identifier = state.identifier.as_ref().map(|identifier| identifier.number());
            let number = if self.is_raw() { protocol } else { identifier? };
            (SocketAddr::new(state.own.unwrap_or(self.inet.unbound().ip()), number), state.remote)
        };
        let kind = if self.is_raw() { InetProtocol::Raw } else { InetProtocol::Echo };
        Some(InetStatus::of_datagrams(kind, (&self.inet, &self.arrived), (local, remote)))
    }
}
