//! SIOCSARP, SIOCGARP and SIOCDARP (`man 7 arp`).

use std::net::{IpAddr, Ipv4Addr};

use linux_raw_sys::if_arp::{ATF_COM, ATF_PERM};
use linux_raw_sys::ioctl::{SIOCDARP, SIOCGARP};
use linux_raw_sys::net::AF_INET;
use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourState};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Errno;
use crate::fs::Caller;
use crate::net::NetworkNamespace;
use crate::net::device::Link;
use crate::net::route::{Neighbour, RouteQuery};
use crate::platform::VirtualAddress;

/// Flags that only entries for others may have (`linux/if_arp.h`).
const PUBLISHED: u32 = 0x08;
const HAS_MASK: u32 = 0x20;
const NOT_PUBLISHED: u32 = 0x40;

/// `struct arpreq`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct ArpRequest {
    family: u16,
    port: u16,
    ip: [u8; 4],
    zero: [u8; 8],
    hardware_kind: u16,
    hardware_address: [u8; 14],
    flags: u32,
    mask: [u8; 16],
    device: [u8; 16],
}

impl ArpRequest {
    fn ip(&self) -> IpAddr {
        Ipv4Addr::from(self.ip).into()
    }

    /// The link that is meant: the one that it names, or for `changes` the one that leads to the address.
    fn link(&self, namespace: &NetworkNamespace, changes: bool) -> Result<Link, Errno> {
        let name = self.device.split(|byte| *byte == 0).next().unwrap_or_default();
        if !name.is_empty() {
            return namespace.configuration().look(|all| all.find_link(name).cloned());
        }
        if !changes {
            return Err(Errno::ENODEV);
        }
        let route = namespace.configuration().route(&RouteQuery::to(self.ip()))?;
        namespace.configuration().look(|all| all.link(route.device).cloned())
    }

    fn neighbour(&self, link: &Link) -> Neighbour {
        let [a, b, c, d, e, f, ..] = self.hardware_address;
        let is_permanent = self.flags & ATF_PERM != 0;
        Neighbour {
            device: link.index,
            address: self.ip(),
            hardware_address: (self.flags & ATF_COM != 0).then_some([a, b, c, d, e, f]),
            state: if is_permanent { NeighbourState::Permanent } else { NeighbourState::Stale },
            flags: NeighbourFlags::empty(),
        }
    }
}

/// Tells of a neighbour, notes one, or forgets it.
///
/// # Errors
/// EPERM, EFAULT, EPFNOSUPPORT, EINVAL, ENODEV, ENETUNREACH; ENXIO for a neighbour that is not known; EOPNOTSUPP for one that is to
/// be published: nobody asks here.
pub(super) fn serve(
    namespace: &NetworkNamespace,
    (request, argument): (u32, u64),
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    let (place, changes) = (VirtualAddress(argument), request != SIOCGARP);
    if changes {
        super::check_administers(namespace, caller)?;
    }
    let mut asked: ArpRequest = caller.memory().read_object(place)?;
    if u32::from(asked.family) != AF_INET {
        return Err(Errno::EPFNOSUPPORT);
    }
    if asked.flags & PUBLISHED == 0 && asked.flags & (HAS_MASK | NOT_PUBLISHED) != 0 {
        return Err(Errno::EINVAL);
    }
    if asked.flags & PUBLISHED != 0 && changes {
        return Err(if request == SIOCDARP { Errno::ENXIO } else { Errno::EOPNOTSUPP });
    }
    let link = asked.link(namespace, changes)?;
    let kind = u16::from(link.kind.layer());
    let is_other_kind = asked.hardware_kind != 0 && asked.hardware_kind != kind;
    if is_other_kind && asked.flags & ATF_COM != 0 {
        return Err(Errno::EINVAL);
    }
    let configuration = namespace.configuration();
    match request {
        SIOCGARP => {
            let found = configuration.look(|all| {
                let is_it = |one: &&Neighbour| (one.device, one.address) == (link.index, asked.ip());
                all.neighbours().find(is_it).cloned()
            });
            tell(&mut asked, &link, &found.ok_or(Errno::ENXIO)?);
            caller.memory().write_object(place, &asked)?;
        }
        SIOCDARP => configuration
            .delete_neighbour(link.index, asked.ip())
            .map_err(|refusal| if refusal.errno == Errno::ENOENT { Errno::ENXIO } else { refusal.errno })?,
        _ => configuration.add_neighbour(asked.neighbour(&link), true, false)?,
    }
    Ok(0)
}

fn tell(asked: &mut ArpRequest, link: &Link, found: &Neighbour) {
    let is_permanent = found.state == NeighbourState::Permanent;
    let known = if found.hardware_address.is_some() { ATF_COM } else { 0 };
    asked.flags = known | if is_permanent { ATF_PERM } else { 0 };
    asked.hardware_kind = link.kind.layer().into();
    asked.hardware_address = [0; 14];
    asked.hardware_address[..6].copy_from_slice(&found.hardware_address.unwrap_or_default());
    let name = link.name.as_bytes();
    asked.device = [0; 16];
    asked.device[..name.len()].copy_from_slice(name);
}
