//! The structures in which groups and sources are named.

use linux_raw_sys::net::IP_MSFILTER;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linux_raw_sys::net as uapi;
use zerocopy::FromBytes;

use super::FilterMode;
use crate::Errno;
use crate::abi::{IpMreqSource, IpMreqn, Ipv6Mreq};
use crate::net::SocketAddress;
use crate::net::inet::address::Version;

const IPV6_JOIN_GROUP: u32 = 20;
const IPV6_LEAVE_GROUP: u32 = 21;
/// Where `struct group_req` has the group, and `struct group_source_req` the source.
const GROUP_OFFSET: usize = 8;
const SOURCE_OFFSET: usize = GROUP_OFFSET + SocketAddress::MAX_BYTES;
const SOURCE_REQUEST_BYTES: usize = SOURCE_OFFSET + SocketAddress::MAX_BYTES;
/// `struct group_filter`: mode, count, and where the sources begin.
const FILTER_MODE_OFFSET: usize = SOURCE_OFFSET;
const FILTER_COUNT_OFFSET: usize = FILTER_MODE_OFFSET + 4;
const FILTER_SOURCES_OFFSET: usize = FILTER_COUNT_OFFSET + 4;

/// How a link is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net::inet) enum Interface {
    /// That which a route leads through.
    Any,
    Index(u32),
    /// The one with this address.
    Address(Ipv4Addr),
}

/// What an option asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::net::inet) enum Request {
    Join(IpAddr, Interface),
    Leave(IpAddr, Interface),
    Source { group: IpAddr, interface: Interface, source: IpAddr, mode: FilterMode, adds: bool },
    Filter { group: IpAddr, interface: Interface, mode: FilterMode, sources: Vec<IpAddr> },
}

impl Interface {
    fn of_index(index: u32) -> Self {
        if index == 0 { Self::Any } else { Self::Index(index) }
    }

    fn of_address(address: [u8; 4]) -> Self {
        if address == [0; 4] { Self::Any } else { Self::Address(address.into()) }
    }

    /// That of a `struct ip_mreqn`, or of the shorter ones that it begins with.
    pub(in crate::net::inet) fn of_request(request: &IpMreqn) -> Self {
        match u32::try_from(request.imr_ifindex) {
            Ok(0) | Err(_) => Self::of_address(request.imr_address),
            Ok(index) => Self::Index(index),
        }
    }
}

/// `struct ip_mreqn`, or as much of it as `value` has.
pub(in crate::net::inet) fn request_v4(value: &[u8]) -> IpMreqn {
    let mut bytes = [0; size_of::<IpMreqn>()];
    let len = match value.len() {
        0..8 => 0,
        8..12 => 8,
        _ => 12,
    };
    for (byte, given) in bytes.iter_mut().zip(value.get(..len).unwrap_or_default()) {
        *byte = *given;
    }
    IpMreqn::read_from_bytes(&bytes).unwrap_or_default()
}

fn word(value: &[u8], offset: usize) -> Result<u32, Errno> {
    let word = value.get(offset..).and_then(|rest| rest.first_chunk());
    word.map(|word| u32::from_ne_bytes(*word)).ok_or(Errno::EINVAL)
}

/// The `struct sockaddr_storage` at `offset`; `None` if it is of another family.
fn address(version: Version, value: &[u8], offset: usize) -> Result<Option<IpAddr>, Errno> {
    let rest = value.get(offset..offset + SocketAddress::MAX_BYTES).ok_or(Errno::EINVAL)?;
    Ok(version.decode(&SocketAddress::new(rest)?).ok().map(|address| address.ip()))
}

fn mode(number: u32) -> Result<FilterMode, Errno> {
    match number {
        uapi::MCAST_INCLUDE => Ok(FilterMode::Include),
        uapi::MCAST_EXCLUDE => Ok(FilterMode::Exclude),
        _ => Err(Errno::EINVAL),
    }
}

/// What `option` of IPv4 asks for; `None` if it is about no group.
///
/// # Errors
/// EINVAL, EADDRNOTAVAIL, ENOBUFS.
pub(super) fn decode_v4(option: u32, value: &[u8]) -> Result<Option<Request>, Errno> {
    let (mode, adds) = match option {
        uapi::IP_ADD_MEMBERSHIP | uapi::IP_DROP_MEMBERSHIP => {
            if value.len() < 8 {
                return Err(Errno::EINVAL);
            }
            let request = request_v4(value);
            let (group, interface) =
                (Ipv4Addr::from(request.imr_multiaddr).into(), Interface::of_request(&request));
            let joins = option == uapi::IP_ADD_MEMBERSHIP;
            let make = if joins { Request::Join } else { Request::Leave };
            return Ok(Some(make(group, interface)));
        }
        uapi::IP_ADD_SOURCE_MEMBERSHIP => (FilterMode::Include, true),
        uapi::IP_DROP_SOURCE_MEMBERSHIP => (FilterMode::Include, false),
        uapi::IP_BLOCK_SOURCE => (FilterMode::Exclude, true),
        uapi::IP_UNBLOCK_SOURCE => (FilterMode::Exclude, false),
        IP_MSFILTER => return decode_old_filter(value).map(Some),
        _ => return decode_any(Version::V4, option, value),
    };
    let request = IpMreqSource::read_from_bytes(value).map_err(|_| Errno::EINVAL)?;
    Ok(Some(Request::Source {
        group: Ipv4Addr::from(request.imr_multiaddr).into(),
        interface: Interface::of_address(request.imr_interface),
        source: Ipv4Addr::from(request.imr_sourceaddr).into(),
        mode,
        adds,
    }))
}

/// `struct ip_msfilter`.
fn decode_old_filter(value: &[u8]) -> Result<Request, Errno> {
    const SOURCES_OFFSET: usize = 16;
    let field = |offset| word(value, offset).map(u32::to_ne_bytes);
    let count = word(value, 12)? as usize;
    let sources = value.get(SOURCES_OFFSET..).and_then(|rest| rest.get(..count.checked_mul(4)?));
    let sources =
        sources.ok_or(if count > super::MAX_V4_SOURCES { Errno::ENOBUFS } else { Errno::EINVAL })?;
    let (sources, _) = sources.as_chunks::<4>();
    Ok(Request::Filter {
        group: Ipv4Addr::from(field(0)?).into(),
        interface: Interface::of_address(field(4)?),
        mode: mode(word(value, 8)?)?,
        sources: sources.iter().map(|source| IpAddr::from(*source)).collect(),
    })
}

/// The filter of a group told in the structure that asked for it, with as many sources as that has room for.
///
/// # Errors
/// EINVAL.
pub(super) fn encode_filter(
    version: Version,
    option: u32,
    asked: &[u8],
    (mode, sources): (FilterMode, &[IpAddr]),
) -> Result<Vec<u8>, Errno> {
    let is_old = option == IP_MSFILTER;
    let (mode_offset, source_bytes) =
        if is_old { (8, 4) } else { (FILTER_MODE_OFFSET, SocketAddress::MAX_BYTES) };
    let room = word(asked, mode_offset + 4)? as usize;
    let number = if mode == FilterMode::Include { uapi::MCAST_INCLUDE } else { uapi::MCAST_EXCLUDE };
    let count = u32::try_from(sources.len()).map_err(|_| Errno::EINVAL)?;
    let mut told = asked.get(..mode_offset).ok_or(Errno::EINVAL)?.to_vec();
    told.extend_from_slice(&number.to_ne_bytes());
    told.extend_from_slice(&count.to_ne_bytes());
    for source in sources.iter().take(room) {
        let mut place = match source {
            IpAddr::V4(source) if is_old => source.octets().to_vec(),
            source => version.encode((*source, 0).into()).bytes().to_vec(),
        };
        place.resize(source_bytes, 0);
        told.extend(place);
    }
    Ok(told)
}

/// What `option` of IPv6 asks for; `None` if it is about no group.
///
/// # Errors
/// EINVAL, EADDRNOTAVAIL, ENOBUFS.
pub(super) fn decode_v6(option: u32, value: &[u8]) -> Result<Option<Request>, Errno> {
    let make = match option {
        IPV6_JOIN_GROUP => Request::Join,
        IPV6_LEAVE_GROUP => Request::Leave,
        _ => return decode_any(Version::V6, option, value),
    };
    let (request, _) = Ipv6Mreq::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
    let group = Ipv6Addr::from(request.ipv6mr_multiaddr).into();
    Ok(Some(make(group, Interface::of_index(request.ipv6mr_ifindex))))
}

/// The group and the link that a filter is asked about.
///
/// # Errors
/// EINVAL, EADDRNOTAVAIL.
pub(super) fn decode_question(
    version: Version,
    option: u32,
    asked: &[u8],
) -> Result<(IpAddr, Interface), Errno> {
    if option == IP_MSFILTER {
        let [group, interface] = [word(asked, 0)?, word(asked, 4)?].map(u32::to_ne_bytes);
        return Ok((Ipv4Addr::from(group).into(), Interface::of_address(interface)));
    }
    let is_whole = version == Version::V4 || asked.len() >= FILTER_SOURCES_OFFSET;
    if !is_whole {
        return Err(Errno::EINVAL);
    }
    let stranger = if version == Version::V4 { Errno::EINVAL } else { Errno::EADDRNOTAVAIL };
    let group = address(version, asked, GROUP_OFFSET)?.ok_or(stranger)?;
    Ok((group, Interface::of_index(word(asked, 0)?)))
}

/// The options that both versions have (RFC 3678).
fn decode_any(version: Version, option: u32, value: &[u8]) -> Result<Option<Request>, Errno> {
    let (mode, adds) = match option {
        uapi::MCAST_JOIN_GROUP | uapi::MCAST_LEAVE_GROUP => {
            let interface = Interface::of_index(word(value, 0)?);
            let group = address(version, value, GROUP_OFFSET)?.ok_or(match version {
                Version::V4 => Errno::EINVAL,
                Version::V6 => Errno::EADDRNOTAVAIL,
            })?;
            let joins = option == uapi::MCAST_JOIN_GROUP;
            let make = if joins { Request::Join } else { Request::Leave };
            return Ok(Some(make(group, interface)));
        }
        uapi::MCAST_JOIN_SOURCE_GROUP => (FilterMode::Include, true),
        uapi::MCAST_LEAVE_SOURCE_GROUP => (FilterMode::Include, false),
        uapi::MCAST_BLOCK_SOURCE => (FilterMode::Exclude, true),
        uapi::MCAST_UNBLOCK_SOURCE => (FilterMode::Exclude, false),
        uapi::MCAST_MSFILTER => return decode_filter(version, value).map(Some),
        _ => return Ok(None),
    };
    if value.len() < SOURCE_REQUEST_BYTES {
        return Err(Errno::EINVAL);
    }
    let named = |offset| address(version, value, offset)?.ok_or(Errno::EADDRNOTAVAIL);
    let (group, source) = (named(GROUP_OFFSET)?, named(SOURCE_OFFSET)?);
    Ok(Some(Request::Source { group, interface: Interface::of_index(word(value, 0)?), source, mode, adds }))
}

/// `struct group_filter`.
fn decode_filter(version: Version, value: &[u8]) -> Result<Request, Errno> {
    let (number, count) = (word(value, FILTER_MODE_OFFSET)?, word(value, FILTER_COUNT_OFFSET)? as usize);
    let most = if version == Version::V4 { super::MAX_V4_SOURCES } else { super::MAX_V6_SOURCES };
    if count > most {
        return Err(Errno::ENOBUFS);
    }
    let source = |index: usize| {
        let offset = FILTER_SOURCES_OFFSET + index * SocketAddress::MAX_BYTES;
        address(version, value, offset)?.ok_or(Errno::EADDRNOTAVAIL)
    };
    Ok(Request::Filter {
        group: address(version, value, GROUP_OFFSET)?.ok_or(Errno::EADDRNOTAVAIL)?,
        interface: Interface::of_index(word(value, 0)?),
        mode: mode(number)?,
        sources: (0..count).map(source).collect::<Result<_, Errno>>()?,
    })
}
