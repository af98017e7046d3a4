//! The files of bridges and of their ports in /sys/class/net, which brctl(8) reads: times are in hundredths of a second, and no
//! spanning tree is built.

use super::configuration::Snapshot;
use super::device::Link;
use super::tables::hardware_address;
use crate::Errno;

/// The priority of a bridge, before its address.
const PRIORITY: u16 = 0x8000;
/// Where the number of a port begins below its priority.
const PORT_NUMBER_BITS: u32 = 10;
const PORT_PRIORITY: u32 = 32;
/// `BR_STATE_FORWARDING`, and `BR_STATE_DISABLED`.
const STATES: [u32; 2] = [3, 0];

/// What a file of a bridge, or of a port, holds.
///
/// # Errors
/// EACCES for a file that is only written; ENODEV.
pub(super) fn show(all: &Snapshot<'_>, link: &Link, name: &str) -> Result<String, Errno> {
    let bridge = match link.controller {
        Some(controller) if name.starts_with("brport/") => all.link(controller)?,
        _ => link,
    };
    let text = match name {
        "bridge/bridge_id" | "bridge/root_id" | "brport/designated_bridge" | "brport/designated_root" => {
            identifier(bridge)
        }
        "bridge/flush" | "brport/flush" => return Err(Errno::EACCES),
        "brport/backup_port" => String::new(),
        "brport/state" => STATES[usize::from(!link.is_running())].to_string(),
        "brport/port_no" => format!("{:#x}", number(all, link)),
        "brport/port_id" => format!("{:#x}", port_identifier(all, link)),
        "brport/designated_port" => port_identifier(all, link).to_string(),
        other => usual(other).to_string(),
    };
    Ok(text + "\n")
}

fn identifier(bridge: &Link) -> String {
    format!("{PRIORITY:04x}.{}", hardware_address(bridge.hardware_address).replace(':', ""))
}

/// The number of a port, from 1.
fn number(all: &Snapshot<'_>, port: &Link) -> u32 {
    let ports = all.links().filter(|link| link.controller == port.controller);
    ports.zip(1..).find(|(link, _)| link.index == port.index).map_or(0, |(_, number)| number)
}

fn port_identifier(all: &Snapshot<'_>, port: &Link) -> u32 {
    PORT_PRIORITY << PORT_NUMBER_BITS | number(all, port)
}

/// What a bridge has that nobody has set.
fn usual(name: &str) -> &'static str {
    match name {
        "bridge/ageing_time" => "30000",
        "bridge/forward_delay" => "1500",
        "bridge/group_addr" => "01:80:c2:00:00:00",
        "bridge/group_fwd_mask" | "brport/group_fwd_mask" => "0x0",
        "bridge/hash_elasticity" => "16",
        "bridge/hash_max" => "4096",
        "bridge/hello_time" => "200",
        "bridge/max_age" => "2000",
        "bridge/multicast_igmp_version" | "bridge/multicast_last_member_count" => "2",
        "bridge/multicast_startup_query_count" | "brport/path_cost" => "2",
        "bridge/multicast_last_member_interval" => "100",
        "bridge/multicast_membership_interval" => "26000",
        "bridge/multicast_mld_version" | "bridge/multicast_router" | "bridge/multicast_snooping" => "1",
        "bridge/multicast_querier_interval" => "25500",
        "bridge/multicast_query_interval" => "12500",
        "bridge/multicast_query_response_interval" => "1000",
        "bridge/multicast_startup_query_interval" => "3124",
        "bridge/priority" => "32768",
        "brport/priority" => "32",
        "brport/broadcast_flood" | "brport/learning" | "brport/multicast_flood" => "1",
        "brport/multicast_router" | "brport/unicast_flood" => "1",
        _ => "0",
    }
}
