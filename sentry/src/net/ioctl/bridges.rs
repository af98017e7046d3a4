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
    if request == SIOCBRADDBR {
        let name = String::from_utf8(name).map_err(|_| Errno::EINVAL)?;
        namespace.make_link(&NewLink { name: Some(name), ..NewLink::of_kind(LinkKind::Bridge) })?;
        return Ok(0);
    }
    debug_assert_eq!(request, SIOCBRDELBR);
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
