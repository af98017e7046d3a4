//! ioctl(2) on sockets of any family that is about links (`man 7 netdevice`), and on those of IPv4 and IPv6 about addresses.

mod addresses;
mod bridges;
mod neighbours;
mod request;
mod routes;

use std::sync::Arc;

use linux_raw_sys::ioctl::{
    SIOCADDMULTI, SIOCDELMULTI, SIOCDIFADDR, SIOCGIFADDR, SIOCGIFBRDADDR, SIOCGIFCONF, SIOCGIFDSTADDR,
    SIOCGIFFLAGS, SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFMAP, SIOCGIFMETRIC, SIOCGIFMTU, SIOCGIFNAME,
    SIOCGIFNETMASK, SIOCGIFPFLAGS, SIOCGIFSLAVE, SIOCGIFTXQLEN, SIOCSIFADDR, SIOCSIFBRDADDR, SIOCSIFDSTADDR,
    SIOCSIFFLAGS, SIOCSIFHWADDR, SIOCSIFHWBROADCAST, SIOCSIFMAP, SIOCSIFMETRIC, SIOCSIFMTU, SIOCSIFNAME,
    SIOCSIFNETMASK, SIOCSIFPFLAGS, SIOCSIFSLAVE, SIOCSIFTXQLEN,
};
use linux_raw_sys::ioctl::{SIOCADDRT, SIOCDARP, SIOCDELRT, SIOCGARP, SIOCRTMSG, SIOCSARP};
use linux_raw_sys::ioctl::{SIOCGIFBR, SIOCGSTAMP, SIOCGSTAMP_NEW, SIOCGSTAMPNS_NEW, SIOCSIFBR};
use linux_raw_sys::net::{AF_INET, AF_INET6, AF_PACKET};
use netlink_packet_route::link::LinkFlags;

use self::bridges::{SIOCBRADDBR, SIOCBRADDIF, SIOCBRDELBR, SIOCBRDELIF};
pub(super) use self::request::{HardwareAddress, InterfaceRequest};
use super::configuration::LinkChanges;
use super::device::{Link, LinkName};
use super::{NetworkNamespace, Socket};
use crate::Errno;
use crate::fs::Caller;
use crate::fs::nsfs::NamespaceFile;
use crate::platform::VirtualAddress;
use crate::time::{timespec, timeval};

/// The numbers that are about routes and links: to the end of those of devices and protocols.
const LINK_REQUESTS: std::ops::RangeInclusive<u32> = SIOCADDRT..=0x89ff;
/// Among them those of protocols' own, of which there are none, and one that only some sockets have.
const OTHERS: std::ops::RangeInclusive<u32> = 0x89e0..=0x89ef;
const SIOCOUTQNSD: u32 = 0x894b;
/// The longest name of a link, with its NUL (`IFNAMSIZ`).
const NAME_BYTES: usize = 16;
const SIOCGIFVLAN: u32 = 0x8982;
const SIOCSIFVLAN: u32 = 0x8983;
/// The network namespace of a socket, as a descriptor.
const SIOCGSKNS: u32 = 0x894c;
/// Those of bonds.
const SIOCBONDENSLAVE: u32 = 0x8990;
const SIOCBONDSETHWADDR: u32 = 0x8992;
const SIOCBONDSLAVEINFOQUERY: u32 = 0x8993;
const SIOCBONDINFOQUERY: u32 = 0x8994;
const SIOCBONDCHANGEACTIVE: u32 = 0x8995;
/// Those of clocks in the hardware.
const SIOCSHWTSTAMP: u32 = 0x89b0;
const SIOCGHWTSTAMP: u32 = 0x89b1;
/// ethtool(8).
const SIOCETHTOOL: u32 = 0x8946;
/// Those of MII, of wide-area devices and of a driver's own, which a loopback refuses.
const SIOCGMIIPHY: u32 = 0x8947;
const SIOCSMIIREG: u32 = 0x8949;
const SIOCWANDEV: u32 = 0x894a;
const DEVICE_PRIVATE: std::ops::RangeInclusive<u32> = 0x89f0..=0x89ff;
/// The one thing that ethtool(8) learns of a loopback: whether it is connected.
const ETHTOOL_GLINK: u32 = 0xa;

const SIOCGSTAMPNS: u32 = 0x8907;

/// Serves a request on a socket, if its family has nothing of its own to say.
///
/// # Errors
/// ENOTTY for what is no such request; ENOENT for the time of a packet before there was any; ENODEV, EINVAL, EOPNOTSUPP, EPERM, EFAULT,
/// EADDRNOTAVAIL (`man 7 netdevice`).
pub(super) fn serve(
    socket: &dyn Socket,
    (request, argument): (u32, u64),
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    let family = socket.common().family();
    let namespace = socket.network_namespace().ok_or(Errno::ENODEV)?;
    match request {
        SIOCGSTAMP | SIOCGSTAMPNS | SIOCGSTAMP_NEW | SIOCGSTAMPNS_NEW
            if matches!(family, AF_INET | AF_INET6 | AF_PACKET) =>
        {
            let arrival = socket.common().last_arrival().ok_or(Errno::ENOENT)?;
            let is_nanoseconds = matches!(request, SIOCGSTAMPNS | SIOCGSTAMPNS_NEW);
            let told = if is_nanoseconds { timespec(arrival) } else { timeval(arrival) };
            caller.memory().write_object(VirtualAddress(argument), &told)?;
            Ok(0)
        }
        _ => serve_links(&namespace, family, (request, argument), caller),
    }
}

/// Serves a request that is about links.
fn serve_links(
    namespace: &Arc<NetworkNamespace>,
    family: u32,
    (request, argument): (u32, u64),
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    if !LINK_REQUESTS.contains(&request) || OTHERS.contains(&request) || request == SIOCOUTQNSD {
        return Err(Errno::ENOTTY);
    }
    let place = VirtualAddress(argument);
    // Packet sockets ask IPv4 what they do not know.
    let is_inet = matches!(family, AF_INET | AF_PACKET);
    match request {
        SIOCADDRT | SIOCDELRT if is_inet || family == AF_INET6 => {
            let family = if is_inet { AF_INET } else { family };
            return routes::serve(namespace, family, (request, argument), caller);
        }
        SIOCSIFADDR | SIOCDIFADDR if family == AF_INET6 => {
            check_administers(namespace, caller)?;
            return addresses::change_v6(namespace, (request, place), caller);
        }
        SIOCRTMSG if family == AF_INET => return Err(Errno::EINVAL),
        SIOCADDRT..=SIOCRTMSG => return Err(Errno::ENOTTY),
        SIOCDARP | SIOCGARP | SIOCSARP if is_inet => {
            return neighbours::serve(namespace, (request, argument), caller);
        }
        SIOCBRADDBR | SIOCBRDELBR => return bridges::serve(namespace, (request, argument), caller),
        SIOCGIFCONF => return addresses::list(namespace, place, caller),
        SIOCGIFBR | SIOCSIFBR => return bridges::serve_old(namespace, place, caller),
        SIOCGSKNS => {
            check_administers(namespace, caller)?;
            return NamespaceFile::open_for(namespace.clone(), caller);
        }
        SIOCGIFVLAN | SIOCSIFVLAN => return Err(Errno::ENOPKG),
        SIOCGIFPFLAGS | SIOCSIFPFLAGS if family == AF_INET => return Err(Errno::EINVAL),
        _ => {}
    }
    let mut asked: InterfaceRequest = caller.memory().read_object(place)?;
    match request {
        SIOCGIFADDR | SIOCGIFDSTADDR | SIOCGIFBRDADDR | SIOCGIFNETMASK if is_inet => {
            addresses::get(namespace, request, &mut asked)?;
        }
        SIOCSIFADDR | SIOCSIFDSTADDR | SIOCSIFBRDADDR | SIOCSIFNETMASK if is_inet => {
            check_administers(namespace, caller)?;
            return addresses::set(namespace, request, &asked).map(|()| 0);
        }
        SIOCGIFNAME => asked.set_name(&name_of(namespace, asked.number())?),
        SIOCBRADDIF | SIOCBRDELIF => return bridges::set_port(namespace, request, &asked, caller),
        SIOCETHTOOL => return ethtool(namespace, &asked, caller),
        _ if is_change(request) => {
            check_administers(namespace, caller)?;
            return set(namespace, request, &asked).map(|()| 0);
        }
        _ if !asks_of_link(request) => return Err(Errno::ENOTTY),
        _ => namespace
            .configuration()
            .look(|all| get(all.find_link(asked.device_name())?, request, &mut asked))?,
    }
    caller.memory().write_object(place, &asked)?;
    Ok(0)
}

/// A name of a link that stands at a place: up to its NUL, and no more than a name may have.
fn read_name(place: VirtualAddress, caller: &dyn Caller) -> Result<Vec<u8>, Errno> {
    let bytes: [u8; NAME_BYTES] = caller.memory().read_object(place)?;
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(name.get(..NAME_BYTES - 1).unwrap_or(name).to_vec())
}

fn check_administers(namespace: &NetworkNamespace, caller: &dyn Caller) -> Result<(), Errno> {
    if namespace.administers(&caller.credentials()) { Ok(()) } else { Err(Errno::EPERM) }
}

fn name_of(namespace: &NetworkNamespace, index: i32) -> Result<LinkName, Errno> {
    namespace.configuration().look(|all| Ok(all.link(index.cast_unsigned())?.name.clone()))
}

/// Fills in what is asked of a link.
fn get(link: &Link, request: u32, asked: &mut InterfaceRequest) -> Result<(), Errno> {
    match request {
        SIOCGIFFLAGS => asked.set_flags(link.shown_flags().bits() as u16),
        SIOCGIFMETRIC => asked.set_number(0),
        SIOCGIFMTU => asked.set_number(link.mtu.cast_signed()),
        SIOCGIFHWADDR => asked.set_hardware_address(HardwareAddress {
            kind: link.kind.layer().into(),
            address: link.hardware_address,
        }),
        SIOCGIFINDEX => asked.set_number(link.index.cast_signed()),
        SIOCGIFTXQLEN => asked.set_number(link.tx_queue_len.cast_signed()),
        SIOCGIFMAP => asked.clear(),
        SIOCGIFSLAVE => return Err(Errno::EINVAL),
        SIOCGMIIPHY..=SIOCSMIIREG | SIOCWANDEV => return Err(Errno::EOPNOTSUPP),
        // That of a driver's own, of a bond, or of a clock in the hardware.
        _ => return Err(Errno::EOPNOTSUPP),
    }
    Ok(())
}

/// Whether a request asks something of a link, which has to be there.
fn asks_of_link(request: u32) -> bool {
    matches!(
        request,
        SIOCGIFFLAGS
            | SIOCGIFMETRIC
            | SIOCGIFMTU
            | SIOCGIFHWADDR
            | SIOCGIFINDEX
            | SIOCGIFTXQLEN
            | SIOCGIFMAP
            | SIOCGIFSLAVE
            | SIOCGMIIPHY..=SIOCSMIIREG
            | SIOCWANDEV
            | SIOCBONDSLAVEINFOQUERY..=SIOCBONDINFOQUERY
            | SIOCGHWTSTAMP
    ) || DEVICE_PRIVATE.contains(&request)
}

fn is_change(request: u32) -> bool {
    matches!(
        request,
        SIOCSIFFLAGS
            | SIOCSIFMETRIC
            | SIOCSIFMTU
            | SIOCSIFHWADDR
            | SIOCSIFMAP
            | SIOCSIFTXQLEN
            | SIOCSIFNAME
            | SIOCSIFSLAVE
            | SIOCADDMULTI
            | SIOCDELMULTI
            | SIOCSIFHWBROADCAST
            | SIOCBONDENSLAVE..=SIOCBONDSETHWADDR | SIOCBONDCHANGEACTIVE | SIOCSHWTSTAMP
    )
}

/// Changes a link as it is asked to be.
fn set(namespace: &Arc<NetworkNamespace>, request: u32, asked: &InterfaceRequest) -> Result<(), Errno> {
    let link = namespace.configuration().look(|all| all.find_link(asked.device_name()).cloned())?;
    let positive = || u32::try_from(asked.number()).map_err(|_| Errno::EINVAL);
    let mut changes = LinkChanges::default();
    match request {
        SIOCSIFFLAGS => {
            let flags = LinkFlags::from_bits_retain(asked.flags().into());
            changes.flags = Some((flags, LinkFlags::all()));
        }
        SIOCSIFMTU => changes.mtu = Some(positive()?),
        SIOCSIFTXQLEN => changes.tx_queue_len = Some(positive()?),
        SIOCSIFNAME => changes.name = Some(LinkName::new(asked.second_name())?),
        SIOCSIFHWADDR => changes.hardware_address = Some(hardware_address(&link, asked)?),
        SIOCSIFSLAVE | SIOCADDMULTI | SIOCDELMULTI | SIOCSIFHWBROADCAST if link.is_loopback() => {
            return Err(Errno::EINVAL);
        }
        _ => return Err(Errno::EOPNOTSUPP),
    }
    Ok(namespace.change_link(link.index, changes)?)
}

/// # Errors
/// EINVAL for an address of another kind of link; EADDRNOTAVAIL for one that belongs to nobody or to many.
fn hardware_address(link: &Link, asked: &InterfaceRequest) -> Result<[u8; 6], Errno> {
    let HardwareAddress { kind, address } = asked.hardware_address();
    if kind != u16::from(link.kind.layer()) {
        return Err(Errno::EINVAL);
    }
    let is_of_one = address[0] & 1 == 0 && address != [0; 6];
    if is_of_one { Ok(address) } else { Err(Errno::EADDRNOTAVAIL) }
}

/// SIOCETHTOOL, as a loopback answers: it is connected, and that is all.
fn ethtool(
    namespace: &NetworkNamespace,
    asked: &InterfaceRequest,
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    let place = VirtualAddress(asked.pointer());
    let command: u32 = caller.memory().read_object(place)?;
    namespace.configuration().look(|all| all.find_link(asked.device_name()).map(drop))?;
    if command != ETHTOOL_GLINK {
        return Err(Errno::EOPNOTSUPP);
    }
    caller.memory().write_object(place, &[command, 1])?;
    Ok(0)
}
