//! Requests about the addresses of links.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use linux_raw_sys::ioctl::{
    SIOCGIFADDR, SIOCGIFBRDADDR, SIOCGIFDSTADDR, SIOCSIFADDR, SIOCSIFBRDADDR, SIOCSIFNETMASK,
};
use linux_raw_sys::net::AF_INET;
use netlink_packet_route::address::{AddressFlags, AddressScope};
use netlink_packet_route::link::LinkFlags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::request::InterfaceRequest;
use crate::Errno;
use crate::fs::Caller;
use crate::net::NetworkNamespace;
use crate::net::configuration::AddressPattern;
use crate::net::device::{InterfaceAddress, Link, scope_of};
use crate::platform::VirtualAddress;

/// `struct ifconf`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct InterfaceList {
    len_bytes: i32,
    pad: u32,
    place: u64,
}

/// SIOCGIFCONF: all addresses, as many as there is room for; without a place, the room that all need.
pub(super) fn list(
    namespace: &NetworkNamespace,
    place: VirtualAddress,
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    let asked: InterfaceList = caller.memory().read_object(place)?;
    let told: Vec<InterfaceRequest> = namespace.configuration().look(|all| {
        let addresses = all.links().flat_map(|link| &link.addresses);
        addresses
            .filter_map(|address| Some(InterfaceRequest::of_address(address.label.as_deref()?, v4(address)?)))
            .collect()
    });
    // Less than nothing is nothing; who only asks how much there is need not say.
    let room = usize::try_from(asked.len_bytes).unwrap_or(0) / size_of::<InterfaceRequest>();
    let shown = if asked.place == 0 { told.len() } else { told.len().min(room) };
    if asked.place != 0 {
        let bytes: Vec<u8> = told[..shown].iter().flat_map(|request| request.as_bytes().to_vec()).collect();
        caller.memory().write_bytes(VirtualAddress(asked.place), &bytes)?;
    }
    let len_bytes = i32::try_from(shown * size_of::<InterfaceRequest>()).unwrap_or(i32::MAX);
    caller.memory().write_object(place, &InterfaceList { len_bytes, ..asked })?;
    Ok(0)
}

fn v4(address: &InterfaceAddress) -> Option<Ipv4Addr> {
    match address.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

/// The link that is meant, and its address with the label.
fn find(
    namespace: &NetworkNamespace,
    asked: &InterfaceRequest,
) -> Result<(Link, Option<InterfaceAddress>), Errno> {
    let link = namespace.configuration().look(|all| all.find_link(asked.device_name()).cloned())?;
    let has_label = |address: &&InterfaceAddress| {
        address.label.as_ref().is_some_and(|label| label.as_bytes() == asked.label())
    };
    let found = link.addresses.iter().find(has_label).cloned();
    Ok((link, found))
}

/// Fills in what is asked of an address.
pub(super) fn get(
    namespace: &NetworkNamespace,
    request: u32,
    asked: &mut InterfaceRequest,
) -> Result<(), Errno> {
    let (_, found) = find(namespace, asked)?;
    let address = found.ok_or(Errno::EADDRNOTAVAIL)?;
    let own = v4(&address).ok_or(Errno::EADDRNOTAVAIL)?;
    let told = match request {
        SIOCGIFADDR => own,
        SIOCGIFDSTADDR => match address.peer {
            Some(IpAddr::V4(peer)) => peer,
            _ => own,
        },
        SIOCGIFBRDADDR => address.broadcast.unwrap_or(Ipv4Addr::UNSPECIFIED),
        _ => mask(address.network.prefix_len()),
    };
    asked.set_address(told);
    Ok(())
}

fn mask(len: u8) -> Ipv4Addr {
    Ipv4Net::new(Ipv4Addr::UNSPECIFIED, len).map_or(Ipv4Addr::UNSPECIFIED, |network| network.netmask())
}

/// Gives a link an address, or changes the one with the label.
pub(super) fn set(namespace: &NetworkNamespace, request: u32, asked: &InterfaceRequest) -> Result<(), Errno> {
    if asked.family() != AF_INET {
        return Err(Errno::EINVAL);
    }
    let (link, old) = find(namespace, asked)?;
    let given = asked.address();
    let new = match (request, &old) {
        (SIOCSIFADDR, _) => new_address(&link, asked, given)?,
        (_, None) => return Err(Errno::EADDRNOTAVAIL),
        (SIOCSIFNETMASK, Some(old)) => {
            let len = ipnet::ip_mask_to_prefix(IpAddr::V4(given)).map_err(|_| Errno::EINVAL)?;
            let network = IpNet::new(old.ip(), len).map_err(|_| Errno::EINVAL)?;
            InterfaceAddress { network, ..old.clone() }
        }
        (SIOCSIFBRDADDR, Some(old)) => InterfaceAddress { broadcast: Some(given), ..old.clone() },
        (_, Some(old)) => InterfaceAddress { peer: Some(IpAddr::V4(given)), ..old.clone() },
    };
    if let Some(old) = old {
        let pattern = AddressPattern { local: Some(old.ip()), label: old.label, network: None };
        namespace.configuration().delete_address(link.index, false, &pattern)?;
    }
    if new.ip().is_unspecified() {
        return Ok(());
    }
    let flags = new.flags.difference(AddressFlags::Secondary);
    Ok(namespace.configuration().add_address(link.index, InterfaceAddress { flags, ..new }, false)?)
}

/// `struct in6_ifreq`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Ipv6Request {
    address: [u8; 16],
    prefix_len: u32,
    device: u32,
}

/// Gives a link an IPv6 address (SIOCSIFADDR), or takes one away (SIOCDIFADDR).
pub(super) fn change_v6(
    namespace: &NetworkNamespace,
    (request, place): (u32, VirtualAddress),
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    let asked: Ipv6Request = caller.memory().read_object(place)?;
    let address = Ipv6Addr::from(asked.address);
    let len = u8::try_from(asked.prefix_len).map_err(|_| Errno::EINVAL)?;
    let network = IpNet::from(Ipv6Net::new(address, len).map_err(|_| Errno::EINVAL)?);
    let configuration = namespace.configuration();
    if request == SIOCSIFADDR {
        let scope = scope_of(address.into());
        configuration.add_address(asked.device, InterfaceAddress::new(network, scope), false)?;
    } else {
        let pattern = AddressPattern { local: Some(address.into()), label: None, network: Some(network) };
        configuration.delete_address(asked.device, true, &pattern)?;
    }
    Ok(0)
}

/// An address in the network of its class.
fn new_address(link: &Link, asked: &InterfaceRequest, given: Ipv4Addr) -> Result<InterfaceAddress, Errno> {
    let len = match given.octets()[0] {
        0 => 0,
        1..=127 => 8,
        128..=191 => 16,
        192..=223 => 24,
        _ => return Err(Errno::EINVAL),
    };
    let network = Ipv4Net::new(given, len).map_err(|_| Errno::EINVAL)?;
    let label = std::str::from_utf8(asked.label()).map_err(|_| Errno::EINVAL)?;
    let scope = if given.is_loopback() { AddressScope::Host } else { AddressScope::Universe };
    let has_broadcast = link.flags.contains(LinkFlags::Broadcast);
    Ok(InterfaceAddress {
        label: Some(label.into()),
        broadcast: has_broadcast.then(|| network.broadcast()),
        ..InterfaceAddress::new(network.into(), scope)
    })
}
