//! /sys/block, /sys/class/block and /sys/dev/block, and what their links lead to (`Documentation/ABI/stable/sysfs-block`).

use std::sync::Arc;

use super::{Machine, fixed};
use crate::Errno;
use crate::fs::block::{BlockDevice, LoopShown, SECTOR_BYTES};
use crate::fs::pseudo::{Child, Children, Directory, Entry, Node, directory, link, text};
use crate::fs::{FileKind, LinkTarget, Viewer};

/// /sys/block: the disks.
pub(super) static DISK_LINKS: Directory<Machine> = Directory {
    entries: &[],
    children: Some(&Links { up: "..", shows_partitions: false, by_number: false }),
};
/// /sys/class/block: partitions, too.
pub(super) static CLASS: Directory<Machine> = Directory {
    entries: &[],
    children: Some(&Links { up: "../..", shows_partitions: true, by_number: false }),
};
/// /sys/dev/block: the same by their numbers.
pub(super) static BY_NUMBER: Directory<Machine> = Directory {
    entries: &[],
    children: Some(&Links { up: "../..", shows_partitions: true, by_number: true }),
};
/// /sys/devices/virtual/block.
pub(super) static DEVICES: Directory<Machine> = Directory { entries: &[], children: Some(&DiskDirectories) };

static DISK: Directory<Machine> = Directory {
    entries: &[
        text("alignment_offset", |_, _| Ok(b"0\n".into())),
        text("capability", |_, _| Ok(b"0\n".into())),
        text("dev", number),
        text("discard_alignment", |_, _| Ok(b"0\n".into())),
        text("diskseq", |machine, _| machine.of_device(BlockDevice::sequence)),
        text("events", |_, _| Ok(Vec::new())),
        text("ext_range", |_, _| Ok(b"256\n".into())),
        text("hidden", |_, _| Ok(b"0\n".into())),
        text("inflight", |_, _| Ok(b"       0        0\n".into())),
        directory("queue", &QUEUE),
        text("range", |_, _| Ok(b"1\n".into())),
        text("removable", |_, _| Ok(b"0\n".into())),
        text("ro", is_read_only),
        text("size", sectors),
        text("stat", |machine, _| machine.of_device(|device| device.counters().line())),
        link("subsystem", |_, _| Ok(LinkTarget::Text(b"../../../../class/block".into()))),
        text("uevent", |machine, _| uevent(machine, "disk")),
    ],
    children: Some(&OfDisk),
};

static PARTITION: Directory<Machine> = fixed(&[
    text("alignment_offset", |_, _| Ok(b"0\n".into())),
    text("dev", number),
    text("discard_alignment", |_, _| Ok(b"0\n".into())),
    text("inflight", |_, _| Ok(b"       0        0\n".into())),
    text("partition", |machine, _| {
        machine.of_device(|device| device.partition().map_or(0, |(index, _)| index))
    }),
    text("ro", is_read_only),
    text("size", sectors),
    text("start", |machine, _| {
        machine.of_device(|device| device.partition().map_or(0, |(_, bytes)| bytes.start / SECTOR_BYTES))
    }),
    text("stat", |machine, _| machine.of_device(|device| device.counters().line())),
    link("subsystem", |_, _| Ok(LinkTarget::Text(b"../../../../../class/block".into()))),
    text("uevent", |machine, _| uevent(machine, "partition")),
]);

/// A file with a number that never changes.
const fn constant(name: &'static str) -> Entry<Machine> {
    text(name, |_, _| Ok(b"0\n".into()))
}

static QUEUE: Directory<Machine> = fixed(&[
    constant("add_random"),
    constant("dax"),
    constant("discard_granularity"),
    constant("discard_zeroes_data"),
    constant("fua"),
    text("hw_sector_size", block_bytes),
    constant("io_poll"),
    text("iostats", |_, _| Ok(b"1\n".into())),
    text("logical_block_size", block_bytes),
    text("max_hw_sectors_kb", |_, _| Ok(b"1280\n".into())),
    text("max_sectors_kb", |_, _| Ok(b"1280\n".into())),
    text("max_segments", |_, _| Ok(b"128\n".into())),
    text("minimum_io_size", block_bytes),
    constant("nomerges"),
    text("nr_requests", |_, _| Ok(b"128\n".into())),
    constant("nr_zones"),
    constant("optimal_io_size"),
    text("physical_block_size", block_bytes),
    text("read_ahead_kb", |_, _| Ok(b"128\n".into())),
    constant("rotational"),
    text("rq_affinity", |_, _| Ok(b"1\n".into())),
    text("scheduler", |_, _| Ok(b"[none]\n".into())),
    text("write_cache", |_, _| Ok(b"write back\n".into())),
    constant("write_same_max_bytes"),
    constant("write_zeroes_max_bytes"),
    text("zoned", |_, _| Ok(b"none\n".into())),
]);

static LOOP: Directory<Machine> = fixed(&[
    text("autoclear", |machine, _| machine.of_loop(|shown| bit(shown.is_autoclear))),
    text("backing_file", |machine, _| machine.of_loop(|shown| [&*shown.backing_file, b"\n"].concat())),
    text("dio", |machine, _| machine.of_loop(|shown| bit(shown.is_direct))),
    text("offset", |machine, _| machine.of_loop(|shown| format!("{}\n", shown.offset).into())),
    text("partscan", |machine, _| machine.of_loop(|shown| bit(shown.scans_partitions))),
    text("sizelimit", |machine, _| machine.of_loop(|shown| format!("{}\n", shown.size_limit).into())),
]);

impl Machine {
    /// The block device that a file is about.
    fn device(&self) -> Result<&Arc<BlockDevice>, Errno> {
        self.block_device.as_ref().ok_or(Errno::ENODEV)
    }

    /// A line with what `tell` says of it.
    fn of_device<T: std::fmt::Display>(
        &self,
        tell: impl FnOnce(&BlockDevice) -> T,
    ) -> Result<Vec<u8>, Errno> {
        Ok(format!("{}\n", tell(self.device()?)).into_bytes())
    }

    /// What `tell` says of it as a loop device.
    fn of_loop(&self, tell: impl FnOnce(&LoopShown) -> Vec<u8>) -> Result<Vec<u8>, Errno> {
        let shown = self.device()?.loop_disk().and_then(|disk| disk.shown());
        Ok(tell(&shown.ok_or(Errno::ENODEV)?))
    }

    fn below(&self, device: &Arc<BlockDevice>) -> Self {
        Self { block_device: Some(device.clone()), ..self.clone() }
    }
}

fn bit(is_set: bool) -> Vec<u8> {
    if is_set { b"1\n".into() } else { b"0\n".into() }
}

fn number(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    machine.of_device(|device| format!("{}:{}", device.number().major, device.number().minor))
}

fn sectors(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    machine.of_device(|device| device.size_bytes() / SECTOR_BYTES)
}

fn block_bytes(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    machine.of_device(BlockDevice::logical_block_bytes)
}

fn is_read_only(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    machine.of_device(|device| u8::from(device.is_read_only()))
}

fn uevent(machine: &Machine, kind: &str) -> Result<Vec<u8>, Errno> {
    let device = machine.device()?;
    let (number, name, sequence) = (device.number(), device.name(), device.sequence());
    let mut text = format!(
        "MAJOR={}\nMINOR={}\nDEVNAME={name}\nDEVTYPE={kind}\nDISKSEQ={sequence}\n",
        number.major, number.minor
    );
    if let Some((index, _)) = device.partition() {
        text += &format!("PARTN={index}\n");
    }
    Ok(text.into_bytes())
}

/// Symbolic links to the directories of devices.
struct Links {
    /// The way to /sys.
    up: &'static str,
    shows_partitions: bool,
    by_number: bool,
}

impl Links {
    fn devices(&self, machine: &Machine) -> Vec<Arc<BlockDevice>> {
        if self.shows_partitions { machine.block.all() } else { machine.block.disks() }
    }

    fn name(&self, device: &BlockDevice) -> Vec<u8> {
        let number = device.number();
        match self.by_number {
            true => format!("{}:{}", number.major, number.minor).into_bytes(),
            false => device.name().as_bytes().to_vec(),
        }
    }
}

/// Where listing goes on: by the devices' numbers.
fn key(device: &BlockDevice) -> u64 {
    u64::from(device.number().major) << 20 | u64::from(device.number().minor)
}

/// The path of a device's directory below /sys.
fn directory_of(machine: &Machine, device: &BlockDevice) -> String {
    let disks = machine.block.disks();
    let holds = |disk: &&Arc<BlockDevice>| {
        disk.partitions().lock().iter().any(|partition| partition.number() == device.number())
    };
    match disks.iter().find(holds) {
        Some(disk) => format!("devices/virtual/block/{}/{}", disk.name(), device.name()),
        None => format!("devices/virtual/block/{}", device.name()),
    }
}

impl Children<Machine> for Links {
    fn list(&self, machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok(self.devices(machine).iter().map(|device| (key(device), self.name(device))).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Symlink
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        let devices = self.devices(machine);
        let device = devices.iter().find(|device| self.name(device) == name).ok_or(Errno::ENOENT)?;
        let target: fn(&Machine, &Viewer) -> Result<LinkTarget, Errno> = match self.up {
            ".." => |machine, _| link_to(machine, ".."),
            _ => |machine, _| link_to(machine, "../.."),
        };
        Ok(Child { subject: machine.below(device), permissions: 0o777, node: Node::Link(target) })
    }
}

fn link_to(machine: &Machine, up: &str) -> Result<LinkTarget, Errno> {
    let directory = directory_of(machine, machine.device()?);
    Ok(LinkTarget::Text(format!("{up}/{directory}").into_bytes()))
}

struct DiskDirectories;

impl Children<Machine> for DiskDirectories {
    fn list(&self, machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        let disks = machine.block.disks();
        Ok(disks.iter().map(|disk| (key(disk), disk.name().as_bytes().to_vec())).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        let disk = machine.block.named(name).filter(|disk| disk.partition().is_none());
        let disk = disk.ok_or(Errno::ENOENT)?;
        Ok(Child { subject: machine.below(&disk), permissions: 0o555, node: Node::Directory(&DISK) })
    }
}

/// The directories in that of a disk: `loop` of a loop device with a file, and the partitions.
struct OfDisk;

impl Children<Machine> for OfDisk {
    fn list(&self, machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        let disk = machine.device()?;
        let is_loop = disk.loop_disk().is_some_and(|disk| disk.shown().is_some());
        let mut names = Vec::from_iter(is_loop.then(|| (0, b"loop".to_vec())));
        for partition in &*disk.partitions().lock() {
            let (index, _) = partition.partition().unwrap_or_default();
            names.push((u64::from(index), partition.name().as_bytes().to_vec()));
        }
        names.sort();
        Ok(names)
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        let disk = machine.device()?;
        if name == b"loop" && disk.loop_disk().is_some_and(|disk| disk.shown().is_some()) {
            let subject = machine.clone();
            return Ok(Child { subject, permissions: 0o555, node: Node::Directory(&LOOP) });
        }
        let partitions = disk.partitions().lock();
        let partition = partitions.iter().find(|partition| partition.name().as_bytes() == name);
        let subject = machine.below(partition.ok_or(Errno::ENOENT)?);
        Ok(Child { subject, permissions: 0o555, node: Node::Directory(&PARTITION) })
    }
}
