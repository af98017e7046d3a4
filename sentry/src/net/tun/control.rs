//! ioctl(2) on /dev/net/tun (`linux/if_tun.h`).

use std::sync::Arc;

use linux_raw_sys::if_tun::{
    IFF_NAPI, IFF_NAPI_FRAGS, IFF_NO_PI, IFF_NOFILTER, IFF_ONE_QUEUE, IFF_PERSIST, IFF_TAP, IFF_TUN,
    IFF_TUN_EXCL, IFF_VNET_HDR, TUN_F_CSUM, TUN_F_TSO_ECN, TUN_F_TSO4, TUN_F_TSO6, TUN_F_UDP_TUNNEL_GSO,
    TUN_F_UDP_TUNNEL_GSO_CSUM, TUN_F_UFO, TUN_F_USO4, TUN_F_USO6,
};
use linux_raw_sys::ioctl::{
    SIOCGIFHWADDR, TUNGETDEVNETNS, TUNGETFEATURES, TUNGETIFF, TUNGETSNDBUF, TUNGETVNETHDRSZ, TUNSETCARRIER,
    TUNSETDEBUG, TUNSETGROUP, TUNSETIFF, TUNSETNOCSUM, TUNSETOFFLOAD, TUNSETOWNER, TUNSETPERSIST,
    TUNSETSNDBUF, TUNSETVNETHDRSZ,
};

use super::device::{TunSettings, VNET_HEADER_BYTES};
use super::file::TunFile;
use super::{TunDevice, TunLayer};
use crate::Errno;
use crate::cred::{Credentials, Gid, Uid};
use crate::fs::Caller;
use crate::fs::nsfs::NamespaceFile;
use crate::net::NetworkNamespace;
use crate::net::configuration::NewLink;
use crate::net::device::LinkKind;
use crate::net::ioctl::{HardwareAddress, InterfaceRequest};
use crate::net::netlink::attribute;
use crate::platform::VirtualAddress;

/// `IFLA_TUN_*` (`linux/if_link.h`).
const IFLA_TUN_OWNER: u16 = 1;
const IFLA_TUN_GROUP: u16 = 2;
const IFLA_TUN_TYPE: u16 = 3;
const IFLA_TUN_PI: u16 = 4;
const IFLA_TUN_VNET_HDR: u16 = 5;
const IFLA_TUN_PERSIST: u16 = 6;
const IFLA_TUN_MULTI_QUEUE: u16 = 7;

/// What TUNGETFEATURES tells: each link has one queue.
const FEATURES: u32 =
    IFF_TUN | IFF_TAP | IFF_NAPI | IFF_NAPI_FRAGS | IFF_NO_PI | IFF_ONE_QUEUE | IFF_VNET_HDR;
/// What a program may be said to leave to the link: all of it is done before.
const OFFLOADS: u32 = TUN_F_CSUM
    | TUN_F_TSO4
    | TUN_F_TSO6
    | TUN_F_TSO_ECN
    | TUN_F_UFO
    | TUN_F_USO4
    | TUN_F_USO6
    | TUN_F_UDP_TUNNEL_GSO
    | TUN_F_UDP_TUNNEL_GSO_CSUM;

/// Serves a request.
///
/// # Errors
/// EBADFD without a link, EEXIST for a second; EINVAL for what is no request and for values that none takes; EPERM, EBUSY, EFAULT.
pub(super) fn control(
    file: &TunFile,
    request: u32,
    argument: u64,
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    let place = VirtualAddress(argument);
    match request {
        TUNGETFEATURES => caller.memory().write_object(place, &FEATURES)?,
        TUNSETIFF if file.is_used() => return Err(Errno::EEXIST),
        TUNSETIFF => {
            let asked: InterfaceRequest = caller.memory().read_object(place)?;
            let name = attach(file, &asked, caller)?;
            caller.memory().write_object(place, &InterfaceRequest::of_link(&name, asked.flags()))?;
        }
        _ => return control_link(file.device()?, request, argument, caller),
    }
    Ok(0)
}

/// Serves a request about the link that there is.
fn control_link(
    device: &Arc<TunDevice>,
    request: u32,
    argument: u64,
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    let (place, memory) = (VirtualAddress(argument), caller.memory());
    let (network, index) = device.place()?;
    let settings = device.settings();
    let low = u32::try_from(argument & u64::from(u32::MAX)).unwrap_or_default();
    match request {
        TUNGETIFF => {
            let name =
                network.configuration().look(|all| all.link(index).map(|link| link.name.to_string()))?;
            let [a, b, ..] = (flags_of(device) | IFF_NOFILTER).to_ne_bytes();
            memory.write_object(place, &InterfaceRequest::of_link(&name, u16::from_ne_bytes([a, b])))?;
        }
        TUNSETPERSIST => device.change(|settings| settings.is_persistent = argument != 0),
        TUNSETOWNER => {
            let owner = caller.credentials().user_namespace.to_kernel_uid(Uid(low)).ok_or(Errno::EINVAL)?;
            device.change(|settings| settings.owner = Some(owner));
        }
        TUNSETGROUP => {
            let group = caller.credentials().user_namespace.to_kernel_gid(Gid(low)).ok_or(Errno::EINVAL)?;
            device.change(|settings| settings.group = Some(group));
        }
        TUNSETOFFLOAD if argument & !u64::from(OFFLOADS) != 0 => return Err(Errno::EINVAL),
        TUNSETOFFLOAD | TUNSETNOCSUM | TUNSETDEBUG => {}
        TUNGETSNDBUF => memory.write_object(place, &settings.send_buffer_bytes)?,
        TUNSETSNDBUF => {
            let len_bytes: i32 = memory.read_object(place)?;
            if len_bytes <= 0 {
                return Err(Errno::EINVAL);
            }
            device.change(|settings| settings.send_buffer_bytes = len_bytes);
        }
        TUNGETVNETHDRSZ => memory.write_object(place, &settings.vnet_header_bytes)?,
        TUNSETVNETHDRSZ => set_vnet_header_bytes(device, memory.read_object(place)?)?,
        TUNSETCARRIER => {
            let has_carrier: u32 = memory.read_object(place)?;
            network.configuration().set_carrier(index, has_carrier != 0);
        }
        TUNGETDEVNETNS if !network.administers(&caller.credentials()) => return Err(Errno::EPERM),
        TUNGETDEVNETNS => return NamespaceFile::open_for(network, caller),
        SIOCGIFHWADDR => {
            let mut told: InterfaceRequest = memory.read_object(place)?;
            let (kind, address) = network.configuration().look(|all| {
                all.link(index).map(|link| (u16::from(link.kind.layer()), link.hardware_address))
            })?;
            told.set_hardware_address(HardwareAddress { kind, address });
            memory.write_object(place, &told)?;
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn set_vnet_header_bytes(device: &TunDevice, len_bytes: i32) -> Result<(), Errno> {
    /// Longer than any header that there will be.
    const MAX_BYTES: u32 = 4096;
    let len_bytes = u32::try_from(len_bytes).map_err(|_| Errno::EINVAL)?;
    if !(VNET_HEADER_BYTES..=MAX_BYTES).contains(&len_bytes) {
        return Err(Errno::EINVAL);
    }
    device.change(|settings| settings.vnet_header_bytes = len_bytes);
    Ok(())
}

/// What a link is, as TUNGETIFF and `tun_flags` in sysfs tell it.
pub(in crate::net) fn flags_of(device: &TunDevice) -> u32 {
    let settings = device.settings();
    let stays = if settings.is_persistent { IFF_PERSIST } else { 0 };
    device.layer.flag() | settings.framing | stays
}

/// IFLA_INFO_DATA: what rtnetlink tells of a link.
pub(in crate::net) fn told_of(device: &TunDevice) -> Vec<u8> {
    let settings = device.settings();
    let is_on = |flag: u32| vec![u8::from(settings.framing & flag != 0)];
    let [kind, ..] = device.layer.flag().to_ne_bytes();
    let owners = [
        settings.owner.map(|uid| attribute(IFLA_TUN_OWNER, uid.0.to_ne_bytes().to_vec())),
        settings.group.map(|gid| attribute(IFLA_TUN_GROUP, gid.0.to_ne_bytes().to_vec())),
    ];
    let others = [
        attribute(IFLA_TUN_TYPE, vec![kind]),
        attribute(IFLA_TUN_PI, vec![u8::from(settings.has_packet_information())]),
        attribute(IFLA_TUN_VNET_HDR, is_on(IFF_VNET_HDR)),
        attribute(IFLA_TUN_PERSIST, vec![u8::from(settings.is_persistent)]),
        attribute(IFLA_TUN_MULTI_QUEUE, vec![0]),
    ];
    owners.into_iter().flatten().chain(others).flatten().collect()
}

/// Gives `file` the link that TUNSETIFF asks for, which is made if there is none of that name. Returns its name.
fn attach(file: &TunFile, asked: &InterfaceRequest, caller: &dyn Caller) -> Result<String, Errno> {
    let network = network_of(caller)?;
    let flags = u32::from(asked.flags());
    let framing = flags & (IFF_NO_PI | IFF_VNET_HDR);
    let name = String::from_utf8(asked.label().to_vec()).map_err(|_| Errno::EINVAL)?;
    let credentials = caller.credentials();
    let known = network.configuration().look(|all| {
        let link = all.find_link(name.as_bytes()).ok()?;
        Some((link.index, link.tun.clone()))
    });
    if let Some((index, tun)) = known {
        if flags & IFF_TUN_EXCL != 0 {
            return Err(Errno::EBUSY);
        }
        let is_suitable = |tun: &Arc<TunDevice>| layer_of(flags) == Some(tun.layer);
        let device = tun.filter(is_suitable).ok_or(Errno::EINVAL)?;
        if !may_have(&device.settings(), &network, &credentials) {
            return Err(Errno::EPERM);
        }
        device.attach(framing)?;
        network.configuration().set_carrier(index, true);
        file.take(device.clone()).inspect_err(|_| device.detach())?;
        return Ok(name);
    }
    if !network.administers(&credentials) {
        return Err(Errno::EPERM);
    }
    let layer = layer_of(flags).ok_or(Errno::EINVAL)?;
    let device = TunDevice::new(layer, framing, &network.shared().memory);
    device.attach(framing)?;
    let kind = if layer == TunLayer::Tun { LinkKind::Tun } else { LinkKind::Tap };
    let name = (!name.is_empty()).then_some(name);
    let index = network
        .make_program_link(&NewLink { name, ..NewLink::of_kind(kind) }, &device)
        .map_err(|refusal| refusal.errno)?;
    if let Err(error) = file.take(device) {
        network.remove_link(index).map_err(|refusal| refusal.errno)?;
        return Err(error);
    }
    network.configuration().look(|all| all.link(index).map(|link| link.name.to_string()))
}

/// What a link is to carry; of both, what Linux takes.
fn layer_of(flags: u32) -> Option<TunLayer> {
    match flags {
        _ if flags & IFF_TUN != 0 => Some(TunLayer::Tun),
        _ if flags & IFF_TAP != 0 => Some(TunLayer::Tap),
        _ => None,
    }
}

/// Whether somebody may have a link that is there: its owner and its group, administrators, and anybody if it has neither.
fn may_have(settings: &TunSettings, network: &NetworkNamespace, credentials: &Credentials) -> bool {
    let is_owner = settings.owner.is_none_or(|owner| owner == credentials.effective_uid);
    let is_member = settings.group.is_none_or(|group| credentials.is_in_group(group));
    is_owner && is_member || network.administers(credentials)
}

fn network_of(caller: &dyn Caller) -> Result<Arc<NetworkNamespace>, Errno> {
    let namespace = caller.network_namespace().ok_or(Errno::EINVAL)?;
    let any: Arc<dyn std::any::Any + Send + Sync> = namespace;
    any.downcast().map_err(|_| Errno::EINVAL)
}
