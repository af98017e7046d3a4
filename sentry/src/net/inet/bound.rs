//! What all internet sockets have: a namespace, options of IP, and an address that they may bind to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use linux_raw_sys::net as uapi;
use netlink_packet_route::route::RouteType;
use parking_lot::Mutex;
use zerocopy::FromBytes;

use super::address::{self, Version, unmapped};
use super::control::SendControl;
use super::ip::{self, IpOptions};
use super::ipv6::{self, Ipv6Options};
use super::multicast::{self, Interface, Memberships};
use super::ports::{Claim, LocalPorts};
use super::zero_copy::ZeroCopies;
use super::{InetSockets, RAW, TCP, UDP, UDP_LITE};
use crate::Errno;
use crate::abi::In6Pktinfo;
use crate::cred::{Capabilities, KernelGid, KernelUid};
use crate::fs::Caller;
use crate::net::level::int;
use crate::net::route::{RouteQuery, RouteResult};
use crate::net::xtables::Content;
use crate::net::{NetworkNamespace, SocketAddress, SocketCommon, SocketKind};
use crate::network_settings::NetworkSettings;

/// Options that came with what was received last, of before there were control messages.
const IPV6_2292PKTOPTIONS: u32 = 6;

/// The part that all internet sockets have.
pub(super) struct InetSocket {
    pub(super) common: SocketCommon,
    version: Version,
    network: Arc<NetworkNamespace>,
    uid: KernelUid,
    gid: KernelGid,
    ip: Mutex<IpOptions>,
    ipv6: Mutex<Ipv6Options>,
    /// The multicast groups that it has joined.
    pub(super) memberships: Mutex<Memberships>,
    pub(super) zero_copies: ZeroCopies,
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
            gid: credentials.fs_gid,
            ip: Mutex::new(IpOptions::new(settings, kind, (version, protocol))),
            ipv6: Mutex::new(Ipv6Options::new(settings, protocol)),
            memberships: Mutex::default(),
            zero_copies: ZeroCopies::default(),
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
            gid: self.gid,
            ip: Mutex::new(self.ip.lock().clone()),
            ipv6: Mutex::new(self.ipv6.lock().clone()),
            memberships: Mutex::default(),
            zero_copies: ZeroCopies::default(),
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

    /// What it sends, for rules to look at: whose it is, and its mark.
    pub(super) fn marked(&self, content: Content) -> Content {
        Content { owner: Some((self.uid, self.gid)), mark: self.common.options().mark, ..content }
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

    /// The same for a raw socket of IPv4, which looks at no family and at no port.
    ///
    /// # Errors
    /// EINVAL, EADDRNOTAVAIL.
    pub(super) fn check_raw_bind(&self, given: &SocketAddress) -> Result<SocketAddr, Errno> {
        let address = address::decode_v4(given)?;
        self.check_own(address)?;
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
        if ip.is_ipv6() && ip.is_multicast() && self.common.kind() == SocketKind::Stream {
            return Err(Errno::EINVAL);
        }
        self.check_scope(address)?;
        match self.network.configuration().address_kind(ip) {
            RouteType::Local | RouteType::Multicast | RouteType::Anycast => Ok(()),
            RouteType::Broadcast if ip.is_ipv4() => Ok(()),
            _ => Err(Errno::EADDRNOTAVAIL),
        }
    }

    /// Fails for an address that is of one link alone, if nothing says of which.
    ///
    /// # Errors
    /// EINVAL.
    pub(super) fn check_scope(&self, address: SocketAddr) -> Result<(), Errno> {
        let SocketAddr::V6(v6) = address else { return Ok(()) };
        let has_device = v6.scope_id() != 0 || self.common.options().bound_device.is_some();
        let is_chosen = || v6.ip().is_multicast() && self.ipv6.lock().multicast_device.is_some();
        let is_of_one = is_link_local(v6.ip());
        if is_of_one && !has_device && !is_chosen() { Err(Errno::EINVAL) } else { Ok(()) }
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

    /// The destination that a datagram names; `None` for the peer.
    ///
    /// # Errors
    /// EINVAL, EAFNOSUPPORT, ENETUNREACH.
    pub(super) fn check_named(&self, given: &SocketAddress) -> Result<Option<SocketAddress>, Errno> {
        let is_v6_only = self.is_v6_only();
        match (self.version, given.family()) {
            (Version::V6, Some(uapi::AF_UNSPEC)) => return Ok(None),
            (Version::V6, Some(uapi::AF_INET)) if is_v6_only => return Err(Errno::ENETUNREACH),
            (Version::V6, Some(uapi::AF_INET | uapi::AF_INET6)) | (Version::V4, _) => {}
            _ => return Err(Errno::EINVAL),
        }
        self.decode_datagram_destination(given).map(|_| Some(*given))
    }

    /// Whether it is a raw socket.
    pub(super) fn is_raw(&self) -> bool {
        self.common.kind() == SocketKind::Raw
    }

    /// Whether an address is one of a broadcast.
    pub(super) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        self.network.configuration().address_kind(address.into()) == RouteType::Broadcast
    }

    /// Whether what `source` sends to a group arrives through a link, and is for this socket.
    pub(super) fn hears(&self, group: IpAddr, source: IpAddr, device: u32) -> bool {
        let hears_all = match group {
            IpAddr::V4(_) => self.has_ip_option(uapi::IP_MULTICAST_ALL),
            IpAddr::V6(_) => self.has_ipv6_option(uapi::IPV6_MULTICAST_ALL),
        };
        self.memberships.lock().hears(group, source, device, hears_all)
    }

    /// Whether it writes the header of what it sends.
    pub(super) fn writes_header(&self) -> bool {
        match self.version {
            Version::V4 => self.ip.lock().writes_header,
            Version::V6 => self.ipv6.lock().writes_header,
        }
    }

    /// Whether what is longer than the MTU of its way to `destination` is an error.
    pub(super) fn forbids_fragments(&self, destination: IpAddr) -> bool {
        match destination {
            IpAddr::V4(_) => self.ip.lock().forbids_fragments(),
            IpAddr::V6(_) => self.ipv6.lock().forbids_fragments(),
        }
    }

    /// The ports that it may be given: those of the namespace, within its own bounds (IP_LOCAL_PORT_RANGE).
    pub(super) fn local_ports(&self) -> LocalPorts {
        let all = self.settings().local_ports();
        let [least, most] = self.ip.lock().local_ports();
        let is_within = |port: &u16| *port != 0 && all.contains(port);
        let bound = |port: u16, usual: u16| Some(port).filter(is_within).unwrap_or(usual);
        let own = bound(least, *all.start())..=bound(most, *all.end());
        let range = if own.is_empty() { all } else { own };
        LocalPorts { range, reserved: self.settings().reserved_ports() }
    }

    /// The time to live and the type of service of what goes out to `destination` through a link, with what was asked for it in
    /// particular.
    pub(super) fn ttl_and_tos(&self, destination: IpAddr, device: u32, asked: &SendControl) -> (u8, u8) {
        let (ttl, tos) = match destination {
            IpAddr::V4(destination) => {
                let ip = self.ip.lock();
                let of_one = ip.ttl.unwrap_or_else(|| self.network.usual_ttl(destination.into(), device));
                (if destination.is_multicast() { ip.multicast_ttl } else { of_one }, ip.tos)
            }
            IpAddr::V6(destination) => {
                let ipv6 = self.ipv6.lock();
                let of_one =
                    ipv6.hop_limit.unwrap_or_else(|| self.network.usual_ttl(destination.into(), device));
                let of_many = ipv6.multicast_hop_limit.unwrap_or(1);
                let ttl = if destination.is_multicast() { of_many } else { of_one };
                (ttl, ipv6.traffic_class.unwrap_or(0))
            }
        };
        (asked.ttl.unwrap_or(ttl), asked.tos.unwrap_or(tos))
    }

    /// The link and the own address that what is sent to `destination` has by the options about that.
    fn chosen_way(&self, destination: IpAddr) -> (Option<u32>, Option<IpAddr>) {
        match destination {
            IpAddr::V4(destination) => {
                let ip = self.ip.lock();
                match destination.is_multicast() {
                    true => (ip.multicast_device, ip.multicast_source.map(IpAddr::V4)),
                    false => (ip.unicast_device, None),
                }
            }
            IpAddr::V6(destination) => {
                let ipv6 = self.ipv6.lock();
                let (device, source) = ipv6.sticky_info;
                let by_kind =
                    if destination.is_multicast() { ipv6.multicast_device } else { ipv6.unicast_device };
                (device.or(by_kind), source)
            }
        }
    }

    /// Whether an on/off option of IP is on.
    pub(super) fn has_ip_option(&self, option: u32) -> bool {
        self.ip.lock().is_on(option)
    }

    /// Whether an on/off option of IPv6 is on.
    pub(super) fn has_ipv6_option(&self, option: u32) -> bool {
        self.version == Version::V6 && self.ipv6.lock().is_on(option)
    }

    /// Whether it is to be told of errors of what it sent to `destination`, though it is not connected (IP_RECVERR, IPV6_RECVERR).
    pub(super) fn wants_errors(&self, destination: IpAddr) -> bool {
        match destination {
            IpAddr::V4(_) => self.has_ip_option(uapi::IP_RECVERR),
            IpAddr::V6(_) => self.has_ipv6_option(uapi::IPV6_RECVERR),
        }
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
        self.route_as_asked(destination, source, &SendControl::default())
    }

    /// The same for what was asked for in particular.
    ///
    /// # Errors
    /// As [`InetSocket::route`].
    pub(super) fn route_as_asked(
        &self,
        destination: SocketAddr,
        source: Option<IpAddr>,
        asked: &SendControl,
    ) -> Result<RouteResult, Errno> {
        let (chosen_device, chosen_source) = self.chosen_way(destination.ip());
        let options = self.common.options();
        let scope = match destination {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id()),
            _ => None,
        };
        let is_some = |source: &IpAddr| !source.is_unspecified();
        let source = asked.source.or(source.filter(is_some)).or(chosen_source.filter(is_some));
        if source.is_some_and(|source| source.is_ipv4() != destination.is_ipv4()) {
            return Err(Errno::ENETUNREACH);
        }
        let device = options.bound_device.or(asked.device).or(scope).or(chosen_device);
        let query = RouteQuery {
            source,
            device: device.or_else(|| self.device_of_source(destination.ip(), source)),
            tos: asked.tos.unwrap_or(self.ip.lock().tos),
            mark: asked.mark.unwrap_or(options.mark),
            ..RouteQuery::to(destination.ip())
        };
        let route = self.network.configuration().route(&query)?;
        if route.is_up { Ok(route) } else { Err(Errno::ENETUNREACH) }
    }

    /// What goes to a group of IPv4 or to everybody leaves by the link that has the own address, if that is settled.
    fn device_of_source(&self, destination: IpAddr, source: Option<IpAddr>) -> Option<u32> {
        let IpAddr::V4(destination) = destination else { return None };
        let is_for_many = destination.is_multicast() || destination.is_broadcast();
        source.filter(|_| is_for_many).and_then(|source| self.device_with(source))
    }

    /// How it is told of `address`.
    pub(super) fn encode(&self, address: SocketAddr) -> SocketAddress {
        self.version.encode(address)
    }

    /// Its name before it has one.
    pub(super) fn unbound(&self) -> SocketAddr {
        SocketAddr::new(self.version.unspecified(), 0)
    }

    /// Whether there may be an option of a level, which is the protocol's own or not.
    ///
    /// # Errors
    /// ENOPROTOOPT; EOPNOTSUPP where IPv4 is asked for the value of another level's, or is to pass groups on as a router.
    pub(super) fn check_option(
        &self,
        level: u32,
        option: u32,
        (is_set, is_own_level): (bool, bool),
    ) -> Result<(), Errno> {
        /// MRT_INIT and its kin.
        const MULTICAST_ROUTING: RangeInclusive<u32> = 200..=212;
        let has_ipv4 = self.version == Version::V4 || !self.is_raw();
        match level {
            _ if is_own_level => Ok(()),
            uapi::SOL_IP if has_ipv4 && MULTICAST_ROUTING.contains(&option) => Err(Errno::EOPNOTSUPP),
            // Who asks is told of the value's length first.
            uapi::SOL_IP if has_ipv4 && (!is_set || ip::is_option(option)) => Ok(()),
            // Who sets one has its value read first.
            uapi::SOL_IPV6 if self.version == Version::V6 && (is_set || self.has_ipv6_number(option)) => {
                Ok(())
            }
            uapi::SOL_IP if has_ipv4 => Err(Errno::ENOPROTOOPT),
            _ if self.version == Version::V4 && !is_set => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn has_ipv6_number(&self, option: u32) -> bool {
        ipv6::is_option(option, self.is_raw())
    }

    /// The value of an option of a level that all internet sockets have.
    /// `port` is its own, or what a raw socket has for one.
    pub(super) fn option(
        &self,
        level: u32,
        option: u32,
        port: u16,
        room_bytes: usize,
    ) -> Result<Vec<u8>, Errno> {
        let is_stream = self.common.kind() == SocketKind::Stream;
        match level {
            uapi::SOL_IP => self.ip.lock().get(option, port, room_bytes),
            // What was received with the connection: nothing.
            uapi::SOL_IPV6 if self.version == Version::V6 && option == IPV6_2292PKTOPTIONS && is_stream => {
                Ok(Vec::new())
            }
            uapi::SOL_IPV6 if self.version == Version::V6 => self.ipv6.lock().get(option),
            uapi::SOL_IPV6 => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    /// What is known of the peer (IP_MTU, IPV6_MTU, IPV6_PATHMTU, IPV6_ADDRFORM), if `level` and `option` ask for that.
    pub(super) fn peer_option(
        &self,
        (level, option): (u32, u32),
        remote: Option<SocketAddr>,
        room_bytes: usize,
    ) -> Option<Result<Vec<u8>, Errno>> {
        let has_form = matches!(self.common.protocol(), TCP | UDP | UDP_LITE);
        match (level, option) {
            (uapi::SOL_IP, uapi::IP_MTU) => {}
            (uapi::SOL_IPV6, uapi::IPV6_MTU) if self.is_ipv6() => {}
            (uapi::SOL_IPV6, uapi::IPV6_PATHMTU) if self.is_ipv6() => {
                return Some(self.path_mtu(remote, room_bytes));
            }
            (uapi::SOL_IPV6, uapi::IPV6_ADDRFORM) if self.is_ipv6() && has_form => {
                let family = self.version.family().to_ne_bytes().to_vec();
                return Some(remote.map(|_| family).ok_or(Errno::ENOTCONN));
            }
            _ => return None,
        }
        Some(self.mtu(remote).map(|mtu| mtu.to_ne_bytes().to_vec()))
    }

    /// The MTU of the way to the peer.
    fn mtu(&self, remote: Option<SocketAddr>) -> Result<u32, Errno> {
        /// No packet of IPv4 is longer (`IP_MAX_MTU`).
        const MAX_V4_MTU: u32 = 0xffff;
        let route = self.route(remote.ok_or(Errno::ENOTCONN)?, None).map_err(|_| Errno::ENOTCONN)?;
        let most = if route.destination.is_ipv4() { MAX_V4_MTU } else { u32::MAX };
        Ok(route.mtu.min(most))
    }

    /// `struct ip6_mtuinfo`: an address, which is none, and the MTU.
    fn path_mtu(&self, remote: Option<SocketAddr>, room_bytes: usize) -> Result<Vec<u8>, Errno> {
        const ADDRESS_BYTES: usize = 28;
        if room_bytes < ADDRESS_BYTES + size_of::<u32>() {
            return Err(Errno::EINVAL);
        }
        let mut told = vec![0; ADDRESS_BYTES];
        told.extend_from_slice(&self.mtu(remote)?.to_ne_bytes());
        Ok(told)
    }

    /// IPV6_CHECKSUM or IPV6_HDRINCL of a raw socket.
    pub(super) fn set_raw_option(&self, option: u32, number: i32) -> Result<(), Errno> {
        let mut ipv6 = self.ipv6.lock();
        match option {
            uapi::IPV6_HDRINCL => ipv6.writes_header = number != 0,
            _ if number > 0 && number % 2 != 0 => return Err(Errno::EINVAL),
            _ => ipv6.checksum_offset = usize::try_from(number).ok(),
        }
        Ok(())
    }

    /// Where a raw socket of IPv6 has the checksum that is written for it, if it has one.
    pub(super) fn checksum_offset(&self) -> Option<usize> {
        self.ipv6.lock().checksum_offset.filter(|_| self.is_ipv6() && self.is_raw())
    }

    /// It is bound: one of IPv6 with an address has nothing to do with IPv4 any more.
    pub(super) fn note_bound(&self, address: SocketAddr) {
        if address.is_ipv6() && !address.ip().is_unspecified() {
            self.ipv6.lock().is_v6_only = true;
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
        let is_missing = level == uapi::SOL_IPV6 && self.version == Version::V4;
        let is_unknown = level == uapi::SOL_IPV6 && !self.has_ipv6_number(option);
        if !matches!(level, uapi::SOL_IP | uapi::SOL_IPV6) || is_missing || is_unknown {
            return Err(Errno::ENOPROTOOPT);
        }
        if let Some(result) = self.set_multicast(level, option, value) {
            return result;
        }
        let has = |capability| caller.credentials().has_over_namespace(&*self.network, capability);
        let administers = || [Capabilities::NET_ADMIN, Capabilities::NET_RAW].into_iter().any(has);
        match (level, option) {
            (uapi::SOL_IP, uapi::IP_MULTICAST_IF) => self.set_multicast_interface(value),
            (uapi::SOL_IP, uapi::IP_UNICAST_IF) => {
                let device = self.device_in_network_order(value)?;
                self.ip.lock().unicast_device = device;
                Ok(())
            }
            (uapi::SOL_IPV6, uapi::IPV6_PKTINFO) => self.set_sticky_info(value),
            (uapi::SOL_IPV6, uapi::IPV6_HOPOPTS | uapi::IPV6_DSTOPTS | uapi::IPV6_RTHDRDSTOPTS)
                if !has(Capabilities::NET_RAW) =>
            {
                Err(Errno::EPERM)
            }
            (uapi::SOL_IPV6, uapi::IPV6_MULTICAST_IF) => self.set_multicast_interface_v6(value),
            (uapi::SOL_IPV6, uapi::IPV6_UNICAST_IF) => {
                let device = self.device_in_network_order(value)?;
                self.ipv6.lock().unicast_device = device;
                Ok(())
            }
            // One that receives nothing hears of nothing.
            (uapi::SOL_IP, uapi::IP_ROUTER_ALERT) if self.common.protocol() == RAW => Err(Errno::EINVAL),
            (uapi::SOL_IP, _) => {
                self.ip.lock().set(option, value, administers)?;
                if option == uapi::IP_TOS { self.set_priority() } else { Ok(()) }
            }
            _ => self.ipv6.lock().set(option, value, is_bound, administers),
        }
    }

    /// A type of service has its priority.
    fn set_priority(&self) -> Result<(), Errno> {
        let priority = ip::priority_of(self.ip.lock().tos);
        self.common.change_options(|options| {
            options.priority = priority;
            Ok(())
        })?;
        Ok(())
    }

    /// IP_MULTICAST_IF.
    fn set_multicast_interface(&self, value: &[u8]) -> Result<(), Errno> {
        if self.common.kind() == SocketKind::Stream || value.len() < size_of::<Ipv4Addr>() {
            return Err(Errno::EINVAL);
        }
        let (interface, address) = match value.first_chunk::<8>() {
            // An address alone.
            None => {
                let address = value.first_chunk::<4>().map_or(Ipv4Addr::UNSPECIFIED, |bytes| (*bytes).into());
                let is_any = address.is_unspecified();
                (if is_any { Interface::Any } else { Interface::Address(address) }, address)
            }
            Some(_) => {
                let request = multicast::request_v4(value);
                (Interface::of_request(&request), request.imr_address.into())
            }
        };
        let device = match interface {
            Interface::Any => None,
            Interface::Index(index) => Some(self.existing_device(index)?),
            Interface::Address(address) => {
                Some(self.device_with(address.into()).ok_or(Errno::EADDRNOTAVAIL)?)
            }
        };
        self.check_device(device)?;
        let mut ip = self.ip.lock();
        (ip.multicast_device, ip.multicast_source) =
            (device, device.is_some().then_some(address).filter(|address| !address.is_unspecified()));
        Ok(())
    }

    /// IPV6_PKTINFO: the own address and the link of what is sent from now on.
    fn set_sticky_info(&self, value: &[u8]) -> Result<(), Errno> {
        let (info, _) = In6Pktinfo::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
        let device = Some(info.ipi6_ifindex).filter(|index| *index != 0);
        self.check_device(device)?;
        let source = Some(Ipv6Addr::from(info.ipi6_addr)).filter(|source| !source.is_unspecified());
        self.ipv6.lock().sticky_info = (device, source.map(IpAddr::V6));
        Ok(())
    }

    /// IPV6_MULTICAST_IF.
    fn set_multicast_interface_v6(&self, value: &[u8]) -> Result<(), Errno> {
        if self.common.kind() == SocketKind::Stream {
            return Err(Errno::ENOPROTOOPT);
        }
        let index = int(value)?.cast_unsigned();
        let device = Some(index).filter(|index| *index != 0);
        if let Some(index) = device {
            self.network.configuration().look(|all| all.link(index).map(drop))?;
        }
        self.check_device(device)?;
        self.ipv6.lock().multicast_device = device;
        Ok(())
    }

    fn existing_device(&self, index: u32) -> Result<u32, Errno> {
        let is_there = self.network.configuration().look(|all| all.link(index).is_ok());
        if is_there { Ok(index) } else { Err(Errno::EADDRNOTAVAIL) }
    }

    /// Fails for a link that is not the one that the socket is for alone.
    fn check_device(&self, device: Option<u32>) -> Result<(), Errno> {
        let bound = self.common.options().bound_device;
        let are_apart = bound.zip(device).is_some_and(|(bound, device)| bound != device);
        if are_apart { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// IP_UNICAST_IF and IPV6_UNICAST_IF; `None` for no link.
    fn device_in_network_order(&self, value: &[u8]) -> Result<Option<u32>, Errno> {
        let bytes = <[u8; 4]>::try_from(value).map_err(|_| Errno::EINVAL)?;
        match u32::from_be_bytes(bytes) {
            0 => Ok(None),
            index => {
                let device = Some(self.existing_device(index)?);
                self.check_device(device)?;
                Ok(device)
            }
        }
    }
}

/// Whether an address is of one link alone (fe80::/10), or of a group of a link or of a host (RFC 4291).
fn is_link_local(address: &Ipv6Addr) -> bool {
    let [first, ..] = address.segments();
    first & 0xffc0 == 0xfe80 || matches!(first & 0xff0f, 0xff01 | 0xff02)
}
