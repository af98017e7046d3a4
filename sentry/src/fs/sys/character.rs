//! The character devices: /sys/class, /sys/dev/char and /sys/devices/virtual (`Documentation/ABI/stable/sysfs-devices`).

use super::Machine;
use crate::Errno;
use crate::fs::pseudo::{Child, Children, Directory, Node, link, text};
use crate::fs::{FileKind, LinkTarget, Viewer};

/// A character device.
#[derive(Debug)]
pub(super) struct CharacterDevice {
    class: &'static str,
    name: &'static str,
    major: u32,
    minor: u32,
    /// What devtmpfs gives its node beside 0600.
    mode: Option<u32>,
}

const fn device(
    class: &'static str,
    name: &'static str,
    (major, minor): (u32, u32),
    mode: Option<u32>,
) -> CharacterDevice {
    CharacterDevice { class, name, major, minor, mode }
}

static DEVICES: [CharacterDevice; 12] = [
    device("mem", "full", (1, 7), Some(0o666)),
    device("mem", "kmsg", (1, 11), Some(0o644)),
    device("mem", "null", (1, 3), Some(0o666)),
    device("mem", "random", (1, 8), Some(0o666)),
    device("mem", "urandom", (1, 9), Some(0o666)),
    device("mem", "zero", (1, 5), Some(0o666)),
    device("misc", "fuse", (10, 229), None),
    device("misc", "loop-control", (10, 237), None),
    device("misc", "userfaultfd", (10, 126), None),
    device("tty", "console", (5, 1), None),
    device("tty", "ptmx", (5, 2), Some(0o666)),
    device("tty", "tty", (5, 0), Some(0o666)),
];

/// /sys/class/mem and so on.
pub(super) static MEM_CLASS: Directory<Machine> = links_of("mem");
pub(super) static MISC_CLASS: Directory<Machine> = links_of("misc");
pub(super) static TTY_CLASS: Directory<Machine> = links_of("tty");
/// /sys/dev/char.
pub(super) static BY_NUMBER: Directory<Machine> = Directory { entries: &[], children: Some(&Links(None)) };
/// /sys/devices/virtual/mem and so on.
pub(super) static MEM: Directory<Machine> = directories_of("mem");
pub(super) static MISC: Directory<Machine> = directories_of("misc");
pub(super) static TTY: Directory<Machine> = directories_of("tty");

static DEVICE: Directory<Machine> = Directory {
    entries: &[
        text("dev", |machine, _| Ok(format!("{}\n", number(character(machine)?)).into_bytes())),
        link("subsystem", |machine, _| {
            let target = format!("../../../../class/{}", character(machine)?.class);
            Ok(LinkTarget::Text(target.into_bytes()))
        }),
        text("uevent", uevent),
    ],
    children: None,
};

const fn links_of(class: &'static str) -> Directory<Machine> {
    let children: &'static dyn Children<Machine> = match class.as_bytes() {
        b"mem" => &Links(Some("mem")),
        b"misc" => &Links(Some("misc")),
        _ => &Links(Some("tty")),
    };
    Directory { entries: &[], children: Some(children) }
}

const fn directories_of(class: &'static str) -> Directory<Machine> {
    let children: &'static dyn Children<Machine> = match class.as_bytes() {
        b"mem" => &Directories("mem"),
        b"misc" => &Directories("misc"),
        _ => &Directories("tty"),
    };
    Directory { entries: &[], children: Some(children) }
}

/// /proc/misc: the devices that share a major number.
pub(in crate::fs) fn misc_listing() -> String {
    let devices = DEVICES.iter().filter(|device| device.class == "misc");
    devices.map(|device| format!("{:3} {}\n", device.minor, device.name)).collect()
}

/// The device that a file is about.
fn character(machine: &Machine) -> Result<&'static CharacterDevice, Errno> {
    machine.character.ok_or(Errno::ENODEV)
}

fn number(device: &CharacterDevice) -> String {
    format!("{}:{}", device.major, device.minor)
}

fn uevent(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let CharacterDevice { name, major, minor, mode, .. } = character(machine)?;
    let mut text = format!("MAJOR={major}\nMINOR={minor}\nDEVNAME={name}\n");
    if let Some(mode) = mode {
        text += &format!("DEVMODE=0{mode:o}\n");
    }
    Ok(text.into_bytes())
}

/// Links to the devices of a class, by their names, or to all by their numbers.
struct Links(Option<&'static str>);

impl Links {
    fn name(&self, device: &CharacterDevice) -> String {
        if self.0.is_some() { device.name.to_string() } else { number(device) }
    }

    fn devices(&self) -> impl Iterator<Item = &'static CharacterDevice> {
        DEVICES.iter().filter(|device| self.0.is_none_or(|class| device.class == class))
    }
}

impl Children<Machine> for Links {
    fn list(&self, _machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok((0..).zip(self.devices().map(|device| self.name(device).into_bytes())).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Symlink
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        let device =
            self.devices().find(|device| self.name(device).as_bytes() == name).ok_or(Errno::ENOENT)?;
        let target = |machine: &Machine, _: &Viewer| {
            let CharacterDevice { class, name, .. } = character(machine)?;
            Ok(LinkTarget::Text(format!("../../devices/virtual/{class}/{name}").into_bytes()))
        };
        Ok(Child { subject: machine.below_character(device), permissions: 0o777, node: Node::Link(target) })
    }
}

/// The directories of the devices of a class.
struct Directories(&'static str);

impl Children<Machine> for Directories {
    fn list(&self, _machine: &Machine) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        let devices = DEVICES.iter().filter(|device| device.class == self.0);
        Ok((0..).zip(devices.map(|device| device.name.as_bytes().to_vec())).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Directory
    }

    fn find(&self, machine: &Machine, name: &[u8]) -> Result<Child<Machine>, Errno> {
        let mut devices = DEVICES.iter().filter(|device| device.class == self.0);
        let device = devices.find(|device| device.name.as_bytes() == name).ok_or(Errno::ENOENT)?;
        let subject = machine.below_character(device);
        Ok(Child { subject, permissions: 0o555, node: Node::Directory(&DEVICE) })
    }
}

impl Machine {
    fn below_character(&self, device: &'static CharacterDevice) -> Self {
        Self { character: Some(device), ..self.clone() }
    }
}
