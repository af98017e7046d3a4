//! SIOCADDRT and SIOCDELRT: routes as route(8) makes them (`man 7 rtnetlink` for what they are).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use linux_raw_sys::ioctl::SIOCADDRT;
use linux_raw_sys::net::AF_INET;
use netlink_packet_route::route::{RouteProtocol, RouteScope, RouteType};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Errno;
use crate::fs::Caller;
use crate::net::NetworkNamespace;
use crate::net::configuration::{RouteCreation, RoutePattern};
use crate::net::route::{IPV6_METRIC, MAIN_TABLE, Route};
use crate::platform::VirtualAddress;

/// `RTF_*` (`linux/route.h`).
const GATEWAY: u32 = 0x2;
const HOST: u32 = 0x4;
const MTU: u32 = 0x40;
const REJECT: u32 = 0x200;
/// The longest name of a link, with its NUL.
const NAME_BYTES: usize = 16;

/// `struct sockaddr_in`, as `struct rtentry` has three.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Address {
    family: u16,
    port: u16,
    ip: [u8; 4],
    zero: [u8; 8],
}

/// `struct rtentry`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct V4Entry {
    pad1: u64,
    destination: Address,
    gateway: Address,
    mask: Address,
    flags: u16,
    pad2: [u16; 3],
    pad3: u64,
    pad4: u64,
    metric: i16,
    pad5: [u16; 3],
    device: u64,
    mtu: u64,
    window: u64,
    initial_round_trip: u16,
    pad6: [u16; 3],
}

/// `struct in6_rtmsg`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct V6Entry {
    destination: [u8; 16],
    source: [u8; 16],
    gateway: [u8; 16],
    kind: u32,
    destination_len: u16,
    source_len: u16,
    metric: u32,
    pad: u32,
    info: u64,
    flags: u32,
    device: u32,
}

/// Makes a route, or takes one away.
///
/// # Errors
/// EPERM, EFAULT, EAFNOSUPPORT, EINVAL, ENODEV, and those of
/// [`NetworkConfiguration::add_route`](crate::net::configuration::NetworkConfiguration::add_route) or of its counterpart.
pub(super) fn serve(
    namespace: &NetworkNamespace,
    family: u32,
    (request, argument): (u32, u64),
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    super::check_administers(namespace, caller)?;
    let place = VirtualAddress(argument);
    let is_new = request == SIOCADDRT;
    let route = match family {
        AF_INET => v4_route(namespace, &caller.memory().read_object(place)?, is_new, caller)?,
        _ => v6_route(&caller.memory().read_object(place)?)?,
    };
    let configuration = namespace.configuration();
    if is_new {
        configuration.add_route(route, RouteCreation { creates: true, ..RouteCreation::default() })?;
    } else {
        let kind = route.kind;
        configuration.delete_route(&RoutePattern { route, kind })?;
    }
    Ok(0)
}

fn unicast(destination: IpNet) -> Route {
    Route {
        destination,
        tos: 0,
        table: MAIN_TABLE,
        protocol: RouteProtocol::Boot,
        scope: RouteScope::Link,
        kind: RouteType::Unicast,
        device: None,
        gateway: None,
        preferred_source: None,
        metric: 0,
        mtu: None,
    }
}

fn v4_route(
    namespace: &NetworkNamespace,
    entry: &V4Entry,
    is_new: bool,
    caller: &dyn Caller,
) -> Result<Route, Errno> {
    let flags = u32::from(entry.flags);
    let mut route = unicast(v4_destination(entry)?.into());
    // A metric of zero is none; others are told with one more.
    route.metric = u32::try_from(entry.metric).unwrap_or(0).saturating_sub(1);
    if flags & REJECT != 0 {
        (route.kind, route.scope) = (RouteType::Unreachable, RouteScope::Host);
        return Ok(route);
    }
    if entry.device != 0 {
        route.device = Some(device(namespace, entry.device, caller)?);
    }
    let gateway = Ipv4Addr::from(entry.gateway.ip);
    if u32::from(entry.gateway.family) == AF_INET && !gateway.is_unspecified() {
        route.gateway = Some(gateway.into());
        let kind = namespace.configuration().address_kind(gateway.into());
        if flags & GATEWAY != 0 && kind == RouteType::Unicast {
            route.scope = RouteScope::Universe;
        }
    }
    if is_new && flags & GATEWAY != 0 && route.gateway.is_none() {
        return Err(Errno::EINVAL);
    }
    route.mtu = (flags & MTU != 0).then(|| u32::try_from(entry.mtu).unwrap_or(u32::MAX));
    Ok(route)
}

/// # Errors
/// EAFNOSUPPORT; EINVAL: the mask has holes, or the address more than the mask.
fn v4_destination(entry: &V4Entry) -> Result<Ipv4Net, Errno> {
    const HOST_LEN: u8 = 32;
    if u32::from(entry.destination.family) != AF_INET {
        return Err(Errno::EAFNOSUPPORT);
    }
    let address = Ipv4Addr::from(entry.destination.ip);
    if u32::from(entry.flags) & HOST != 0 {
        return Ipv4Net::new(address, HOST_LEN).map_err(|_| Errno::EINVAL);
    }
    let mask = Ipv4Addr::from(entry.mask.ip);
    let has_family = u32::from(entry.mask.family) == AF_INET;
    if !has_family && (!mask.is_unspecified() || entry.mask.family != 0) {
        return Err(Errno::EAFNOSUPPORT);
    }
    let network = Ipv4Net::with_netmask(address, mask).map_err(|_| Errno::EINVAL)?;
    if network.network() == address { Ok(network) } else { Err(Errno::EINVAL) }
}

/// The link with the name that stands there.
fn device(namespace: &NetworkNamespace, place: u64, caller: &dyn Caller) -> Result<u32, Errno> {
    let name = super::read_name(VirtualAddress(place), caller)?;
    let name = name.split(|byte| matches!(byte, 0 | b':')).next().unwrap_or_default().to_vec();
    let name = name.get(..NAME_BYTES - 1).unwrap_or(&name);
    namespace.configuration().look(|all| all.find_link(name).map(|link| link.index))
}

fn v6_route(entry: &V6Entry) -> Result<Route, Errno> {
    let len = u8::try_from(entry.destination_len).map_err(|_| Errno::EINVAL)?;
    let network = Ipv6Net::new(Ipv6Addr::from(entry.destination), len).map_err(|_| Errno::EINVAL)?;
    let metric = if entry.metric == 0 { IPV6_METRIC } else { entry.metric };
    let mut route = Route { metric, scope: RouteScope::Universe, ..unicast(network.trunc().into()) };
    if entry.flags & REJECT != 0 {
        route.kind = RouteType::Unreachable;
        return Ok(route);
    }
    route.device = Some(entry.device).filter(|device| *device != 0);
    let gateway = Ipv6Addr::from(entry.gateway);
    route.gateway = (entry.flags & GATEWAY != 0).then_some(IpAddr::V6(gateway));
    Ok(route)
}
