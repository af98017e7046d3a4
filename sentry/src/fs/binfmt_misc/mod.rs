//! binfmt_misc: by its files formats of programs are registered, which an interpreter runs.

mod format;

use std::sync::Arc;

use super::file_system_type::{FileSystemType, TypeFlags, check_options};
use super::metadata::DeviceNumber;
use super::pseudo::{
    Child, Children, Directory, Entry, Node, PseudoInode, Subject, refused_creation, setting,
};
use super::{FileKind, Inode, NewNode, sleeper};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use format::Order;
pub use format::{BinaryFormat, BinaryFormats};

/// The file system of the formats of a kernel.
pub(super) const BINFMT_MISC: FileSystemType = FileSystemType {
    name: "binfmt_misc",
    flags: TypeFlags::SINGLE,
    shows: None,
    check_options: |_, options| check_options(options, &[], &[]),
    make: |mounter, owner, _| {
        let file_systems = mounter.file_systems();
        let formats = file_systems.binary_formats.clone();
        let root = |device| {
            let root: Arc<dyn Inode> = PseudoInode::root(Shown { device, formats, name: Vec::new() }, &ROOT);
            root
        };
        Ok(file_systems.singles.get(("binfmt_misc", 0x4249_4e4d), mounter, owner, root))
    },
};

/// What the files tell about.
#[derive(Clone)]
struct Shown {
    device: DeviceNumber,
    formats: Arc<BinaryFormats>,
    /// Which format, in its file.
    name: Vec<u8>,
}

impl Subject for Shown {
    fn device(&self) -> DeviceNumber {
        self.device
    }

    fn creation_error(&self, node: NewNode<'_>) -> Errno {
        refused_creation(node)
    }

    fn owner(&self) -> (KernelUid, KernelGid) {
        (KernelUid::ROOT, KernelGid::ROOT)
    }
}

static ROOT: Entry<Shown> = Entry { name: "", permissions: 0o755, node: Node::Directory(&FORMATS) };
static FORMATS: Directory<Shown> = Directory {
    entries: &[
        Entry {
            name: "register",
            permissions: 0o200,
            node: Node::Setting(
                |_, _| Err(Errno::EINVAL),
                |shown, _, text| shown.formats.register(text, sleeper::find),
            ),
        },
        setting(
            "status",
            |shown, _| {
                Ok(if shown.formats.is_enabled() { b"enabled\n".into() } else { b"disabled\n".into() })
            },
            |shown, _, text| {
                shown.formats.order_all(Order::parse(text)?);
                Ok(())
            },
        ),
    ],
    children: Some(&FormatFiles),
};

/// The files of the formats.
struct FormatFiles;

impl Children<Shown> for FormatFiles {
    fn list(&self, shown: &Shown) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        Ok((0..).zip(shown.formats.names()).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn find(&self, shown: &Shown, name: &[u8]) -> Result<Child<Shown>, Errno> {
        shown.formats.named(name).ok_or(Errno::ENOENT)?;
        Ok(Child {
            subject: Shown { name: name.to_vec(), ..shown.clone() },
            permissions: 0o644,
            node: Node::Setting(
                |shown, _| Ok(shown.formats.named(&shown.name).ok_or(Errno::ENOENT)?.text()),
                |shown, _, text| {
                    shown.formats.order(&shown.name, Order::parse(text)?);
                    Ok(())
                },
            ),
        })
    }
}
