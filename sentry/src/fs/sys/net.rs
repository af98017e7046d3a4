//! /sys/class/net, and what its links lead to.

use super::{Machine, fixed};
use crate::Errno;
use crate::fs::pseudo::{Child, Children, Directory, Node, directory, link};
use crate::fs::{FileKind, LinkTarget, Viewer};

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

/// Those that can be written.
const WRITABLE: &[&str] = &["flags", "ifalias", "mtu", "netdev_group", "tx_queue_len"];

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
    children: Some(&Files(FILES)),
};
static COUNTERS: Directory<Machine> = Directory { entries: &[], children: Some(&Files(STATISTICS)) };
static QUEUES: Directory<Machine> =
    fixed(&[directory("rx-0", &RECEIVE_QUEUE), directory("tx-0", &SEND_QUEUE)]);
static RECEIVE_QUEUE: Directory<Machine> =
    Directory { entries: &[], children: Some(&Files(&["rps_cpus", "rps_flow_cnt"])) };
static SEND_QUEUE: Directory<Machine> =
    Directory { entries: &[], children: Some(&Files(&["tx_maxrate", "tx_timeout"])) };

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

/// Files of a link.
struct Files(&'static [&'static str]);

impl Children<Machine> for Files {
    fn list(&self, _machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok((0..).zip(self.0.iter().map(|name| name.as_bytes().to_vec())).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        let file = self.0.iter().copied().find(|file| file.as_bytes() == name).ok_or(Errno::ENOENT)?;
        let subject = Machine { file, ..machine.clone() };
        Ok(match WRITABLE.contains(&file) {
            true => Child { subject, permissions: 0o644, node: Node::Setting(read, write) },
            false => Child { subject, permissions: 0o444, node: Node::Text(read) },
        })
    }
}

fn read(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    machine.network.upgrade().ok_or(Errno::ENODEV)?.link_attribute(machine.link, machine.file)
}

fn write(machine: &Machine, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let network = machine.network.upgrade().ok_or(Errno::ENODEV)?;
    network.set_link_attribute(machine.link, machine.file, text, &viewer.credentials)
}
