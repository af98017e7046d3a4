//! /sys/class/net, and what its links lead to.

use super::{Machine, fixed};
use crate::Errno;
use crate::fs::pseudo::{Child, Children, Directory, Node, directory, link};
use crate::fs::{FileKind, LinkRelations, LinkTarget, Viewer};

/// The files of a link.
const FILES: &[&str] = &[
    "addr_assign_type",
    "addr_len",
    "address",
    "broadcast",
    "carrier",
    "carrier_changes",
    "carrier_down_count",
    "carrier_up_count",
    "dev_id",
    "dev_port",
    "dormant",
    "duplex",
    "flags",
    "gro_flush_timeout",
    "ifalias",
    "ifindex",
    "iflink",
    "link_mode",
    "mtu",
    "name_assign_type",
    "napi_defer_hard_irqs",
    "netdev_group",
    "operstate",
    "proto_down",
    "speed",
    "testing",
    "threaded",
    "tx_queue_len",
    "type",
    "uevent",
];

/// The files of a TUN or a TAP alone.
const TUN_FILES: &[&str] = &["group", "owner", "tun_flags"];

/// What the links to the links above and below one begin with.
const UPPER: &str = "upper_";
const LOWER: &str = "lower_";

/// The files of a bridge.
const BRIDGE_FILES: &[&str] = &[
    "bridge/ageing_time",
    "bridge/bridge_id",
    "bridge/flush",
    "bridge/forward_delay",
    "bridge/gc_timer",
    "bridge/group_addr",
    "bridge/group_fwd_mask",
    "bridge/hash_elasticity",
    "bridge/hash_max",
    "bridge/hello_time",
    "bridge/hello_timer",
    "bridge/max_age",
    "bridge/multicast_igmp_version",
    "bridge/multicast_last_member_count",
    "bridge/multicast_last_member_interval",
    "bridge/multicast_membership_interval",
    "bridge/multicast_mld_version",
    "bridge/multicast_querier",
    "bridge/multicast_querier_interval",
    "bridge/multicast_query_interval",
    "bridge/multicast_query_response_interval",
    "bridge/multicast_query_use_ifaddr",
    "bridge/multicast_router",
    "bridge/multicast_snooping",
    "bridge/multicast_startup_query_count",
    "bridge/multicast_startup_query_interval",
    "bridge/multicast_stats_enabled",
    "bridge/nf_call_arptables",
    "bridge/nf_call_ip6tables",
    "bridge/nf_call_iptables",
    "bridge/no_linklocal_learn",
    "bridge/priority",
    "bridge/root_id",
    "bridge/root_path_cost",
    "bridge/root_port",
    "bridge/stp_state",
    "bridge/tcn_timer",
    "bridge/topology_change",
    "bridge/topology_change_detected",
    "bridge/topology_change_timer",
];

/// The files of a port.
const PORT_FILES: &[&str] = &[
    "brport/backup_port",
    "brport/bpdu_guard",
    "brport/broadcast_flood",
    "brport/change_ack",
    "brport/config_pending",
    "brport/designated_bridge",
    "brport/designated_cost",
    "brport/designated_port",
    "brport/designated_root",
    "brport/flush",
    "brport/forward_delay_timer",
    "brport/group_fwd_mask",
    "brport/hairpin_mode",
    "brport/hold_timer",
    "brport/isolated",
    "brport/learning",
    "brport/message_age_timer",
    "brport/multicast_fast_leave",
    "brport/multicast_flood",
    "brport/multicast_router",
    "brport/multicast_to_unicast",
    "brport/neigh_suppress",
    "brport/path_cost",
    "brport/port_id",
    "brport/port_no",
    "brport/priority",
    "brport/proxyarp",
    "brport/proxyarp_wifi",
    "brport/root_block",
    "brport/state",
    "brport/unicast_flood",
];

/// Those that can be written.
const WRITABLE: &[&str] = &[
    "carrier",
    "flags",
    "gro_flush_timeout",
    "ifalias",
    "mtu",
    "napi_defer_hard_irqs",
    "netdev_group",
    "proto_down",
    "rps_cpus",
    "rps_flow_cnt",
    "threaded",
    "tx_maxrate",
    "tx_queue_len",
    "uevent",
];

/// The files in `statistics`.
const STATISTICS: &[&str] = &[
    "collisions",
    "multicast",
    "rx_bytes",
    "rx_compressed",
    "rx_crc_errors",
    "rx_dropped",
    "rx_errors",
    "rx_fifo_errors",
    "rx_frame_errors",
    "rx_length_errors",
    "rx_missed_errors",
    "rx_nohandler",
    "rx_over_errors",
    "rx_packets",
    "tx_aborted_errors",
    "tx_bytes",
    "tx_carrier_errors",
    "tx_compressed",
    "tx_dropped",
    "tx_errors",
    "tx_fifo_errors",
    "tx_heartbeat_errors",
    "tx_packets",
    "tx_window_errors",
];

/// /sys/class/net.
pub(super) static CLASS: Directory<Machine> = Directory { entries: &[], children: Some(&ClassLinks) };
/// /sys/devices/virtual/net.
pub(super) static DEVICES: Directory<Machine> = Directory { entries: &[], children: Some(&LinkDirectories) };

static LINK: Directory<Machine> = Directory {
    entries: &[
        directory("queues", &QUEUES),
        directory("statistics", &COUNTERS),
        link("subsystem", |_, _| Ok(LinkTarget::Text(b"../../../../class/net".into()))),
    ],
    children: Some(&LinkFiles),
};
static BRIDGE: Directory<Machine> = Directory { entries: &[], children: Some(&Files(BRIDGE_FILES)) };
static PORTS: Directory<Machine> = Directory { entries: &[], children: Some(&Ports) };
static PORT: Directory<Machine> = Directory {
    entries: &[link("bridge", |machine, _| {
        let relations = relations(machine);
        let bridge = relations.controller.ok_or(Errno::ENOENT)?;
        Ok(LinkTarget::Text(format!("../../{bridge}").into_bytes()))
    })],
    children: Some(&Files(PORT_FILES)),
};
static COUNTERS: Directory<Machine> = Directory { entries: &[], children: Some(&Files(STATISTICS)) };
static QUEUES: Directory<Machine> =
    fixed(&[directory("rx-0", &RECEIVE_QUEUE), directory("tx-0", &SEND_QUEUE)]);
static RECEIVE_QUEUE: Directory<Machine> =
    Directory { entries: &[], children: Some(&Files(&["rps_cpus", "rps_flow_cnt"])) };
static SEND_QUEUE: Directory<Machine> =
    Directory { entries: &[], children: Some(&Files(&["tx_maxrate", "tx_timeout"])) };

/// How the link stands to others.
fn relations(machine: &Machine) -> LinkRelations {
    machine
        .network
        .upgrade()
        .map_or_else(LinkRelations::default, |network| network.link_relations(machine.link))
}

/// The links of the namespace.
fn links(machine: &Machine) -> Vec<(u32, String)> {
    machine.network.upgrade().map_or(Vec::new(), |network| network.links())
}

fn names(machine: &Machine) -> Vec<(u64, Vec<u8>)> {
    links(machine).into_iter().map(|(index, name)| (index.into(), name.into_bytes())).collect()
}

fn find(machine: &Machine, name: &[u8]) -> Result<Machine, Errno> {
    let found = links(machine).into_iter().find(|(_, other)| other.as_bytes() == name);
    let (link, _) = found.ok_or(Errno::ENOENT)?;
    Ok(Machine { link, ..machine.clone() })
}

/// The symbolic links of /sys/class/net.
struct ClassLinks;

impl Children<Machine> for ClassLinks {
    fn list(&self, machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok(names(machine))
    }

    fn kind(&self) -> FileKind {
        FileKind::Symlink
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        let target = |machine: &Machine, _: &Viewer| {
            let found = links(machine).into_iter().find(|(index, _)| *index == machine.link);
            let (_, name) = found.ok_or(Errno::ENOENT)?;
            Ok(LinkTarget::Text(format!("../../devices/virtual/net/{name}").into_bytes()))
        };
        Ok(Child { subject: find(machine, name)?, permissions: 0o777, node: Node::Link(target) })
    }
}

struct LinkDirectories;

impl Children<Machine> for LinkDirectories {
    fn list(&self, machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok(names(machine))
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        Ok(Child { subject: find(machine, name)?, permissions: 0o555, node: Node::Directory(&LINK) })
    }
}

/// The files of a link, and what only a bridge or a port has.
struct LinkFiles;

impl Children<Machine> for LinkFiles {
    fn list(&self, machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        let LinkRelations { is_bridge, is_tun, controller, ports } = relations(machine);
        let mut names: Vec<String> = FILES.iter().map(|name| name.to_string()).collect();
        names.extend(is_tun.then_some(TUN_FILES).into_iter().flatten().map(|name| name.to_string()));
        names.extend(is_bridge.then(|| ["bridge", "brif"].map(String::from)).into_iter().flatten());
        names.extend(ports.iter().map(|port| format!("{LOWER}{port}")));
        if let Some(bridge) = controller {
            names.extend(["brport".into(), "master".into(), format!("{UPPER}{bridge}")]);
        }
        Ok((0..).zip(names.into_iter().map(String::into_bytes)).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn kind_of(&self, name: &[u8]) -> FileKind {
        match name {
            b"bridge" | b"brif" | b"brport" => FileKind::Directory,
            b"master" => FileKind::Symlink,
            name if name.starts_with(LOWER.as_bytes()) || name.starts_with(UPPER.as_bytes()) => {
                FileKind::Symlink
            }
            _ => FileKind::Regular,
        }
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        let is_plain = self.kind_of(name) == FileKind::Regular;
        let is_of_tun = || std::str::from_utf8(name).is_ok_and(|name| TUN_FILES.contains(&name));
        if is_plain && is_of_tun() && relations(machine).is_tun {
            return Files(TUN_FILES).find(machine, name);
        }
        if is_plain {
            return Files(FILES).find(machine, name);
        }
        let LinkRelations { is_bridge, controller, ports, .. } = relations(machine);
        let directory = |node| Child { subject: machine.clone(), permissions: 0o755, node };
        let other = |prefix: &str, name: &[u8]| name.strip_prefix(prefix.as_bytes()).map(<[u8]>::to_vec);
        match name {
            b"bridge" if is_bridge => Ok(directory(Node::Directory(&BRIDGE))),
            b"brif" if is_bridge => Ok(directory(Node::Directory(&PORTS))),
            b"brport" if controller.is_some() => Ok(directory(Node::Directory(&PORT))),
            b"master" => sibling(machine, controller.ok_or(Errno::ENOENT)?.as_bytes()),
            name => {
                let upper =
                    other(UPPER, name).filter(|name| controller.as_deref().map(str::as_bytes) == Some(name));
                let lower =
                    other(LOWER, name).filter(|name| ports.iter().any(|port| port.as_bytes() == *name));
                sibling(machine, &upper.or(lower).ok_or(Errno::ENOENT)?)
            }
        }
    }
}

/// A symbolic link in the directory of one link to that of another.
fn sibling(machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
    let target = |machine: &Machine, _: &Viewer| {
        Ok(LinkTarget::Text(format!("../{}", name_of(machine)?).into_bytes()))
    };
    Ok(Child { subject: find(machine, name)?, permissions: 0o777, node: Node::Link(target) })
}

fn name_of(machine: &Machine) -> Result<String, Errno> {
    let found = links(machine).into_iter().find(|(index, _)| *index == machine.link);
    found.map(|(_, name)| name).ok_or(Errno::ENOENT)
}

/// The ports of a bridge.
struct Ports;

impl Children<Machine> for Ports {
    fn list(&self, machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok((0..).zip(relations(machine).ports.into_iter().map(String::into_bytes)).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Symlink
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        if !relations(machine).ports.iter().any(|port| port.as_bytes() == name) {
            return Err(Errno::ENOENT);
        }
        let target = |machine: &Machine, _: &Viewer| {
            Ok(LinkTarget::Text(format!("../../{}/brport", name_of(machine)?).into_bytes()))
        };
        Ok(Child { subject: find(machine, name)?, permissions: 0o777, node: Node::Link(target) })
    }
}

/// Files of a link; a name may begin with the directory that it is in.
struct Files(&'static [&'static str]);

impl Children<Machine> for Files {
    fn list(&self, _machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok((0..).zip(self.0.iter().map(|file| base(file).as_bytes().to_vec())).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        let file = self.0.iter().copied().find(|file| base(file).as_bytes() == name).ok_or(Errno::ENOENT)?;
        let subject = Machine { file, ..machine.clone() };
        Ok(match WRITABLE.contains(&file) {
            true => Child { subject, permissions: 0o644, node: Node::Setting(read, write) },
            false => Child { subject, permissions: 0o444, node: Node::Text(read) },
        })
    }
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn read(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    machine.network.upgrade().ok_or(Errno::ENODEV)?.link_attribute(machine.link, machine.file)
}

fn write(machine: &Machine, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let network = machine.network.upgrade().ok_or(Errno::ENODEV)?;
    network.set_link_attribute(machine.link, machine.file, text, &viewer.credentials)
}
