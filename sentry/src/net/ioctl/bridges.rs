//! Bridges as brctl(8) makes them: SIOCBRADDBR and its kin.

use std::sync::Arc;

use super::request::InterfaceRequest;
use crate::Errno;
use crate::fs::Caller;
use crate::net::NetworkNamespace;
use crate::net::configuration::NewLink;
use crate::net::device::{Link, LinkKind};
use crate::platform::VirtualAddress;

/// The requests (`linux/sockios.h`).
pub(super) const SIOCBRADDBR: u32 = 0x89a0;
pub(super) const SIOCBRDELBR: u32 = 0x89a1;
pub(super) const SIOCBRADDIF: u32 = 0x89a2;
pub(super) const SIOCBRDELIF: u32 = 0x89a3;

/// The operations of SIOCGIFBR and SIOCSIFBR, and the version that one of them tells (`linux/if_bridge.h`).
const BRCTL_GET_VERSION: u64 = 0;
const BRCTL_GET_BRIDGES: u64 = 1;
const BRCTL_ADD_BRIDGE: u64 = 2;
const BRCTL_DEL_BRIDGE: u64 = 3;
const BRCTL_VERSION: usize = 1;

/// Makes a bridge, or removes one.
///
/// # Errors
/// EPERM, also for what is no bridge; EFAULT; EEXIST, EINVAL; ENXIO for one that is not there, EBUSY for one that is up.
pub(super) fn serve(
    namespace: &Arc<NetworkNamespace>,
    (request, argument): (u32, u64),
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    super::check_administers(namespace, caller)?;
    let name = super::read_name(VirtualAddress(argument), caller)?;
    make_or_remove(namespace, request == SIOCBRADDBR, name)
}

/// As brctl(8) did it once: SIOCGIFBR and SIOCSIFBR, with an operation and its arguments.
///
/// # Errors
/// Those of [`serve`]; EOPNOTSUPP for another operation; ENOMEM for more bridges than a list has room for.
pub(super) fn serve_old(
    namespace: &Arc<NetworkNamespace>,
    place: VirtualAddress,
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    let [operation, first, second]: [u64; 3] = caller.memory().read_object(place)?;
    match operation {
        BRCTL_GET_VERSION => Ok(BRCTL_VERSION),
        BRCTL_GET_BRIDGES => list(namespace, (VirtualAddress(first), second), caller),
        BRCTL_ADD_BRIDGE | BRCTL_DEL_BRIDGE => {
            super::check_administers(namespace, caller)?;
            let name = super::read_name(VirtualAddress(first), caller)?;
            make_or_remove(namespace, operation == BRCTL_ADD_BRIDGE, name)
        }
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// Writes the indices of up to `most` bridges, and returns how many.
fn list(
    namespace: &NetworkNamespace,
    (place, most): (VirtualAddress, u64),
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    /// What Linux has room for.
    const END: usize = 2048;
    let most = usize::try_from(most).ok().filter(|most| *most < END).ok_or(Errno::ENOMEM)?;
    let indices = namespace.configuration().look(|all| {
        let bridges = all.links().filter(|link| link.kind == LinkKind::Bridge);
        bridges.take(most).map(|link| link.index).collect::<Vec<_>>()
    });
    let bytes = indices.iter().flat_map(|index| index.to_ne_bytes()).collect::<Vec<_>>();
    caller.memory().write_bytes(place, &bytes)?;
    Ok(indices.len())
}

fn make_or_remove(namespace: &Arc<NetworkNamespace>, is_new: bool, name: Vec<u8>) -> Result<usize, Errno> {
    if is_new {
        let name = String::from_utf8(name).map_err(|_| Errno::EINVAL)?;
        namespace.make_link(&NewLink { name: Some(name), ..NewLink::of_kind(LinkKind::Bridge) })?;
        return Ok(0);
    }
    let found = namespace.configuration().look(|all| all.find_link(&name).cloned());
    let bridge = found.map_err(|_| Errno::ENXIO)?;
    match bridge.kind {
        LinkKind::Bridge if bridge.is_up() => Err(Errno::EBUSY),
        LinkKind::Bridge => {
            namespace.remove_link(bridge.index)?;
            Ok(0)
        }
        _ => Err(Errno::EPERM),
    }
}

/// Makes the link with the index that is told a port of a bridge, or takes it out.
///
/// # Errors
/// EPERM; EOPNOTSUPP for what is no bridge; EINVAL for what is no link, or no port of it; EBUSY for a port of another; ELOOP.
pub(super) fn set_port(
    namespace: &NetworkNamespace,
    request: u32,
    asked: &InterfaceRequest,
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    super::check_administers(namespace, caller)?;
    let configuration = namespace.configuration();
    let bridge: Link = configuration.look(|all| all.find_link(asked.device_name()).cloned())?;
    if bridge.kind != LinkKind::Bridge {
        return Err(Errno::EOPNOTSUPP);
    }
    let index = asked.number().cast_unsigned();
    let port = configuration.look(|all| all.link(index).cloned()).map_err(|_| Errno::EINVAL)?;
    let is_new = request == SIOCBRADDIF;
    match port.controller {
        Some(_) if is_new => return Err(Errno::EBUSY),
        other if !is_new && other != Some(bridge.index) => return Err(Errno::EINVAL),
        _ => {}
    }
    configuration.set_controller(port.index, is_new.then_some(bridge.index))?;
    Ok(0)
}
