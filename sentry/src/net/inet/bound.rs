//! What all internet sockets have: a namespace, options of IP, and an address that they may bind to.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use linux_raw_sys::net as uapi;
use netlink_packet_route::route::RouteType;
use parking_lot::Mutex;

use super::InetSockets;
use super::address::{self, Version, unmapped};
use super::ip::IpOptions;
use super::ipv6::Ipv6Options;
use super::ports::Claim;
use crate::Errno;
use crate::cred::{Capabilities, KernelUid};
use crate::fs::Caller;
use crate::net::route::{RouteQuery, RouteResult};
use crate::net::{NetworkNamespace, SocketAddress, SocketCommon, SocketKind};
use crate::network_settings::NetworkSettings;

/// The part that all internet sockets have.
pub(super) struct InetSocket {
    pub(super) common: SocketCommon,
    version: Version,
    network: Arc<NetworkNamespace>,
    uid: KernelUid,
    ip: Mutex<IpOptions>,
    ipv6: Mutex<Ipv6Options>,
}

impl InetSocket {
    /// That of a new socket of `caller`.
    pub(super) fn new(
        version: Version,
        network: &Arc<NetworkNamespace>,
        kind: SocketKind,
        protocol: u32,
        caller: &dyn Caller,
    ) -> Self {
        let credentials = caller.credentials();
        let owner = (credentials.fs_uid, credentials.fs_gid);
        let settings = network.settings();
        Self {
            common: SocketCommon::new(network.shared(), version.family(), kind, protocol, owner),
            version,
            network: network.clone(),
            uid: credentials.fs_uid,
            ip: Mutex::new(IpOptions::new(settings)),
            ipv6: Mutex::new(Ipv6Options::new(settings)),
        }
    }

    /// That of a socket that this one, a listener, has made of a connection: with the same options.
    pub(super) fn child(&self) -> Self {
        let metadata = self.common.inode().metadata();
        let (kind, protocol) = (self.common.kind(), self.common.protocol());
        let (family, owner) = (self.version.family(), (metadata.uid, metadata.gid));
        let common = SocketCommon::new(self.network.shared(), family, kind, protocol, owner);
        let options = self.common.options();
        // Copying cannot fail.
        let _copied = common.change_options(|own| {
            *own = options;
            Ok(())
        });
        Self {
            common,
            version: self.version,
            network: self.network.clone(),
            uid: self.uid,
            ip: Mutex::new(self.ip.lock().clone()),
            ipv6: Mutex::new(self.ipv6.lock().clone()),
        }
    }

    /// Whether it is of AF_INET6.
    pub(super) fn is_ipv6(&self) -> bool {
        self.version == Version::V6
    }

    /// Whom it belongs to.
    pub(super) fn uid(&self) -> KernelUid {
        self.uid
    }

    pub(super) fn network(&self) -> &Arc<NetworkNamespace> {
        &self.network
    }

    pub(super) fn sockets(&self) -> &InetSockets {
        self.network.inet_sockets()
    }

    pub(super) fn settings(&self) -> &NetworkSettings {
        self.network.settings()
    }

    /// Whether an IPv6 socket leaves IPv4 alone.
    pub(super) fn is_v6_only(&self) -> bool {
        self.version == Version::V6 && self.ipv6.lock().is_v6_only
    }

    /// The terms on which it wants the port of `address`.
    pub(super) fn claim(&self, address: IpAddr, is_listening: bool) -> Claim {
        let options = self.common.options();
        Claim {
            address,
            is_v6_only: self.is_v6_only(),
            device: options.bound_device,
            reuses_address: options.switch(uapi::SO_REUSEADDR).unwrap_or_default(),
            reuses_port: options.reuses_port,
            uid: self.uid,
            is_listening,
        }
    }

    /// What bind(2) asks for: an address that is its own, or none, and a port that `caller` may have.
    ///
    /// # Errors
    /// EINVAL, EAFNOSUPPORT, EADDRNOTAVAIL, EACCES.
    pub(super) fn check_bind(&self, given: &SocketAddress, caller: &dyn Caller) -> Result<SocketAddr, Errno> {
        let address = self.decode_bind(given)?;
        self.check_own(address)?;
        let (port, settings) = (address.port(), self.settings());
        let may_bind =
            || caller.credentials().has_over_namespace(&*self.network, Capabilities::NET_BIND_SERVICE);
        if port != 0 && u32::from(port) < settings.unprivileged_port_start() && !may_bind() {
            return Err(Errno::EACCES);
        }
        Ok(address)
    }

    fn decode_bind(&self, given: &SocketAddress) -> Result<SocketAddr, Errno> {
        let is_unspecific = given.is_unspecified() && self.version == Version::V4;
        if !is_unspecific {
            let address = self.version.decode(given)?;
            let is_mapped = unmapped(address).is_ipv4() && address.is_ipv6();
            return if is_mapped && self.is_v6_only() { Err(Errno::EINVAL) } else { Ok(unmapped(address)) };
        }
        // Old programs leave the family out where they name no address either.
        let address = address::decode_v4(given)?;
        if address.ip().is_unspecified() { Ok(address) } else { Err(Errno::EAFNOSUPPORT) }
    }

    fn check_own(&self, address: SocketAddr) -> Result<(), Errno> {
        let ip = address.ip();
        let is_set = match ip {
            IpAddr::V4(_) => self.settings().binds_nonlocal_ipv4(),
            IpAddr::V6(_) => self.settings().binds_nonlocal_ipv6(),
        };
        let may_be_foreign = is_set || self.ip.lock().may_be_foreign();
        if ip.is_unspecified() || may_be_foreign {
            return Ok(());
        }
        if let SocketAddr::V6(v6) = address
            && is_link_local(v6.ip())
            && v6.scope_id() == 0
            && self.common.options().bound_device.is_none()
        {
            return Err(Errno::EINVAL);
        }
        match self.network.configuration().address_kind(ip) {
            RouteType::Local | RouteType::Multicast | RouteType::Anycast => Ok(()),
            RouteType::Broadcast if ip.is_ipv4() => Ok(()),
            _ => Err(Errno::EADDRNOTAVAIL),
        }
    }

    /// Where a connect or a send to `given` goes, whose own address is `bound` if it has one.
    ///
    /// # Errors
    /// EINVAL, EAFNOSUPPORT, ENETUNREACH.
    pub(super) fn decode_destination(&self, given: &SocketAddress) -> Result<SocketAddr, Errno> {
        let address = self.version.decode(given)?;
        let is_mapped = unmapped(address).is_ipv4() && address.is_ipv6();
        if is_mapped && self.is_v6_only() {
            return Err(Errno::ENETUNREACH);
        }
        Ok(unmapped(address))
    }

    /// Where a datagram for `given` goes: an IPv6 socket takes an address of IPv4 as well.
    ///
    /// # Errors
    /// As [`InetSocket::decode_destination`].
    pub(super) fn decode_datagram_destination(&self, given: &SocketAddress) -> Result<SocketAddr, Errno> {
        match (self.version, given.family()) {
            (Version::V6, Some(uapi::AF_INET)) if self.is_v6_only() => Err(Errno::EAFNOSUPPORT),
            (Version::V6, Some(uapi::AF_INET)) => Version::V4.decode(given),
            // Old programs leave the family out.
            (Version::V4, Some(uapi::AF_UNSPEC)) => address::decode_v4(given),
            _ => self.decode_destination(given),
        }
    }

    /// What goes out has this time to live and type of service.
    pub(super) fn ttl_and_tos(&self) -> (u8, u8) {
        let ip = self.ip.lock();
        (ip.ttl.unwrap_or_else(|| self.settings().default_ttl()), ip.tos)
    }

    /// Whether an on/off option of IP is on.
    pub(super) fn has_ip_option(&self, option: u32) -> bool {
        self.ip.lock().is_on(option)
    }

    /// Whether an on/off option of IPv6 is on.
    pub(super) fn has_ipv6_option(&self, option: u32) -> bool {
        self.version == Version::V6 && self.ipv6.lock().is_on(option)
    }

    /// Whether it is to be told of errors though it is not connected (IP_RECVERR).
    pub(super) fn wants_errors(&self) -> bool {
        self.has_ip_option(uapi::IP_RECVERR) || self.has_ipv6_option(uapi::IPV6_RECVERR)
    }

    /// The way to `destination` from `source`, if that is settled.
    ///
    /// # Errors
    /// ENETUNREACH, EINVAL, and those of
    /// [`NetworkConfiguration::route`](crate::net::configuration::NetworkConfiguration::route).
    pub(super) fn route(
        &self,
        destination: SocketAddr,
        source: Option<IpAddr>,
    ) -> Result<RouteResult, Errno> {
        let options = self.common.options();
        let scope = match destination {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id()),
            _ => None,
        };
        let source = source.filter(|source| !source.is_unspecified());
        if source.is_some_and(|source| source.is_ipv4() != destination.is_ipv4()) {
            return Err(Errno::ENETUNREACH);
        }
        let query = RouteQuery {
            source,
            device: options.bound_device.or(scope),
            tos: self.ip.lock().tos,
            mark: options.mark,
            ..RouteQuery::to(destination.ip())
        };
        let route = self.network.configuration().route(&query)?;
        if route.is_up { Ok(route) } else { Err(Errno::ENETUNREACH) }
    }

    /// How it is told of `address`.
    pub(super) fn encode(&self, address: SocketAddr) -> SocketAddress {
        self.version.encode(address)
    }

    /// Its name before it has one.
    pub(super) fn unbound(&self) -> SocketAddr {
        SocketAddr::new(self.version.unspecified(), 0)
    }

    /// The value of an option of a level that all internet sockets have.
    pub(super) fn option(&self, level: u32, option: u32, room_bytes: usize) -> Result<Vec<u8>, Errno> {
        match level {
            uapi::SOL_IP => self.ip.lock().get(option, room_bytes),
            uapi::SOL_IPV6 if self.version == Version::V6 => self.ipv6.lock().get(option),
            uapi::SOL_IPV6 => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    /// Sets an option of a level that all internet sockets have; `is_bound` if it has a port.
    pub(super) fn set_option(
        &self,
        level: u32,
        option: u32,
        value: &[u8],
        (is_bound, caller): (bool, &dyn Caller),
    ) -> Result<(), Errno> {
        match level {
            uapi::SOL_IP => {
                let administers = || {
                    let credentials = caller.credentials();
                    [Capabilities::NET_ADMIN, Capabilities::NET_RAW]
                        .into_iter()
                        .any(|any| credentials.has_over_namespace(&*self.network, any))
                };
                self.ip.lock().set(option, value, administers)
            }
            uapi::SOL_IPV6 if self.version == Version::V6 => self.ipv6.lock().set(option, value, is_bound),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }
}

/// Whether an address is of one link alone (fe80::/10).
fn is_link_local(address: &Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}
