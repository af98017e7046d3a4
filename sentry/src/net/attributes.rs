//! The files of a link in /sys/class/net (`Documentation/ABI/testing/sysfs-class-net`).

use std::num::ParseIntError;

use netlink_packet_route::link::{LinkFlags, State};

use super::configuration::LinkChanges;
use super::device::{Link, LinkKind, LinkTuning};
use super::tables::hardware_address;
use super::tun;
use crate::Errno;

/// Megabits a second that Linux says of a veth.
const CABLE_SPEED: &str = "10000";

/// What a file of a link holds.
///
/// # Errors
/// EINVAL for what the link cannot tell: a loopback has no speed, and one that is down no carrier.
pub(super) fn show(link: &Link, name: &str) -> Result<String, Errno> {
    let (came, went) = link.carrier_changes;
    let text = match name {
        "addr_len" => "6".into(),
        "address" => hardware_address(link.hardware_address),
        "broadcast" => hardware_address(link.hardware_broadcast),
        "tun_flags" => format!("{:#x}", link.tun.as_deref().map_or(0, tun::flags_of)),
        "owner" => number_or_none(link.tun.as_deref().and_then(|tun| tun.settings().owner).map(|uid| uid.0)),
        "group" => number_or_none(link.tun.as_deref().and_then(|tun| tun.settings().group).map(|gid| gid.0)),
        "carrier" if link.is_up() => u32::from(link.has_carrier).to_string(),
        "carrier_changes" => (came + went).to_string(),
        "carrier_up_count" => came.to_string(),
        "carrier_down_count" => went.to_string(),
        "duplex" if link.is_up() && link.kind == LinkKind::Veth => "full".into(),
        "speed" if link.is_up() && link.kind == LinkKind::Veth => CABLE_SPEED.into(),
        "speed" if link.is_running() && link.kind == LinkKind::Bridge => CABLE_SPEED.into(),
        "dormant" | "testing" if link.is_up() => "0".into(),
        "carrier" | "dormant" | "testing" | "duplex" | "speed" => return Err(Errno::EINVAL),
        "dev_id" => "0x0".into(),
        // As it is, without what only tells of its state.
        "flags" => format!("{:#x}", link.flags.bits()),
        "ifalias" => link.alias.clone(),
        "ifindex" => link.index.to_string(),
        "iflink" => link.lower_index().to_string(),
        "mtu" => link.mtu.to_string(),
        "name_assign_type" => "2".into(),
        "netdev_group" => link.group.to_string(),
        "operstate" => operational_state(link.operational_state()).into(),
        "tx_queue_len" => link.tx_queue_len.to_string(),
        "rps_cpus" => format!("{:x}", link.tuning[LinkTuning::RpsCpus as usize]),
        name if tuning(name).is_some() => {
            tuning(name).map_or(0, |tuning| link.tuning[tuning as usize]).to_string()
        }
        "type" => u16::from(link.kind.layer()).to_string(),
        "uevent" => return Ok(format!("INTERFACE={}\nIFINDEX={}\n", link.name, link.index)),
        "rx_bytes" => link.statistics.received().bytes.to_string(),
        "rx_packets" => link.statistics.received().packets.to_string(),
        "tx_bytes" => link.statistics.sent().bytes.to_string(),
        "tx_packets" => link.statistics.sent().packets.to_string(),
        // The rest counts what does not happen here, or is off.
        _ => "0".into(),
    };
    let is_empty = text.is_empty();
    Ok(if is_empty { text } else { text + "\n" })
}

/// A number; -1 for none.
fn number_or_none(number: Option<u32>) -> String {
    number.map_or_else(|| "-1".into(), |number| number.to_string())
}

fn operational_state(state: State) -> &'static str {
    match state {
        State::NotPresent => "notpresent",
        State::Down => "down",
        State::LowerLayerDown => "lowerlayerdown",
        State::Testing => "testing",
        State::Dormant => "dormant",
        State::Up => "up",
        _ => "unknown",
    }
}

/// What a file with this name tells and sets of how a link receives.
fn tuning(name: &str) -> Option<LinkTuning> {
    Some(match name {
        "gro_flush_timeout" => LinkTuning::GroFlushTimeout,
        "napi_defer_hard_irqs" => LinkTuning::NapiDeferHardIrqs,
        "rps_cpus" => LinkTuning::RpsCpus,
        "rps_flow_cnt" => LinkTuning::RpsFlowCount,
        _ => return None,
    })
}

/// What is written to a file of [`LinkTuning`]: a set in hexadecimal, or a number, which is rounded up to a power of two for flows.
fn parse_tuning(tuning: LinkTuning, text: &str) -> Result<u64, Errno> {
    /// The largest table of flows.
    const MAX_FLOWS: u32 = 1 << 30;
    match tuning {
        LinkTuning::RpsCpus => u64::from_str_radix(&text.replace(',', ""), 16).map_err(|_| Errno::EINVAL),
        LinkTuning::RpsFlowCount => match number(text)? {
            0 => Ok(0),
            flows if flows > MAX_FLOWS => Err(Errno::EINVAL),
            flows => Ok(flows.next_power_of_two().into()),
        },
        LinkTuning::NapiDeferHardIrqs => match number(text)? {
            count if count > i32::MAX.cast_unsigned() => Err(Errno::ERANGE),
            count => Ok(count.into()),
        },
        LinkTuning::GroFlushTimeout => Ok(number(text)?.into()),
    }
}

/// Fails for what is no action that is told of a device (`kobject_synth_uevent`).
fn check_action(text: &str) -> Result<(), Errno> {
    const ACTIONS: [&str; 8] = ["add", "remove", "change", "move", "online", "offline", "bind", "unbind"];
    let action = text.split(' ').next().unwrap_or_default();
    if ACTIONS.contains(&action) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// What writing to a file of a link asks for.
///
/// # Errors
/// EINVAL for what is no number; EOPNOTSUPP for what no link here can change; EACCES for a file that nobody writes.
pub(super) fn parse(name: &str, text: &[u8]) -> Result<LinkChanges, Errno> {
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?.trim_end_matches('\n');
    let mut changes = LinkChanges::default();
    match name {
        "mtu" => changes.mtu = Some(number(text)?),
        "tx_queue_len" => changes.tx_queue_len = Some(number(text)?),
        "netdev_group" => changes.group = Some(number(text)?),
        "flags" => changes.flags = Some((LinkFlags::from_bits_retain(number(text)?), LinkFlags::all())),
        "ifalias" => changes.alias = Some(text.into()),
        "uevent" => check_action(text)?,
        "carrier" | "proto_down" | "threaded" | "tx_maxrate" => {
            number(text)?;
            return Err(Errno::EOPNOTSUPP);
        }
        _ => {
            let tuning = tuning(name).ok_or(Errno::EACCES)?;
            changes.tuning = Some((tuning, parse_tuning(tuning, text)?));
        }
    }
    Ok(changes)
}

/// A number in any of C's notations.
fn number(text: &str) -> Result<u32, Errno> {
    let number: Result<u32, ParseIntError> = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8),
        None => text.parse(),
    };
    number.map_err(|_| Errno::EINVAL)
}
