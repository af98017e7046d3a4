//! What /dev holds.

use super::MiscDevices;
use crate::Errno;
use crate::fs::CreationMode;
use crate::fs::block::LoopControl;
use crate::fs::fuse::FuseDriver;
use crate::fs::operations::create_node;
use crate::fs::userfaultfd::UserfaultDriver;
use crate::fs::{DeviceNumber, NewNode, Path, Resolver};

/// Name, major and minor number, permissions.
const CHARACTER_DEVICES: &[(&str, u32, u32, u32)] = &[
    ("null", 1, 3, 0o666),
    ("zero", 1, 5, 0o666),
    ("full", 1, 7, 0o666),
    ("random", 1, 8, 0o666),
    ("urandom", 1, 9, 0o666),
    ("kmsg", 1, 11, 0o644),
    ("tty", 5, 0, 0o666),
    ("console", 5, 1, 0o600),
    ("loop-control", MiscDevices::MAJOR, LoopControl::MINOR, 0o660),
    ("fuse", MiscDevices::MAJOR, FuseDriver::MINOR, 0o666),
    ("userfaultfd", MiscDevices::MAJOR, UserfaultDriver::MINOR, 0o600),
];

/// Name and target.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Mount points below /dev, and where devices of networks are.
const DIRECTORIES: &[&str] = &["shm", "pts", "mqueue", "net"];

/// What lies in directories: as [`CHARACTER_DEVICES`].
const DEVICES_BELOW: &[(&str, u32, u32, u32)] = &[("net/tun", MiscDevices::MAJOR, 200, 0o666)];

/// Makes the entries of `directory`, the root of a file system for /dev.
///
/// # Errors
/// Those of mknod(2).
pub(super) fn populate(resolver: &Resolver<'_>, directory: &Path) -> Result<(), Errno> {
    make_devices(resolver, directory, CHARACTER_DEVICES)?;
    for (name, target) in LINKS {
        create_node(
            resolver,
            directory,
            name.as_bytes(),
            NewNode::Symlink(target.as_bytes()),
            CreationMode::exact(0o777),
        )?;
    }
    for name in DIRECTORIES {
        create_node(resolver, directory, name.as_bytes(), NewNode::Directory, CreationMode::exact(0o755))?;
    }
    make_devices(resolver, directory, DEVICES_BELOW)
}

fn make_devices(
    resolver: &Resolver<'_>,
    directory: &Path,
    devices: &[(&str, u32, u32, u32)],
) -> Result<(), Errno> {
    for &(name, major, minor, permissions) in devices {
        let node = NewNode::CharacterDevice(DeviceNumber::new(major, minor));
        create_node(resolver, directory, name.as_bytes(), node, CreationMode::exact(permissions))?;
    }
    Ok(())
}
