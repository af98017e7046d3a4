//! /proc/PID/map_files: a link for each mapping of a file, called by its addresses.

use crate::Errno;
use crate::fs::proc::About;
use crate::fs::proc::source::MappingStatus;
use crate::fs::pseudo::{Child, Children, Directory, Node};
use crate::fs::{FileKind, LinkTarget, Viewer};

pub(super) static LINKS: Directory<About> = Directory { entries: &[], children: Some(&Links) };

struct Links;

/// Whether a mapping is of a file, which has a name.
fn has_file(mapping: &MappingStatus) -> bool {
    mapping.name.starts_with(b"/")
}

fn name_of(mapping: &MappingStatus) -> Vec<u8> {
    format!("{:x}-{:x}", mapping.start, mapping.end).into_bytes()
}

/// The mapping called `name`.
fn find(about: &About, name: &[u8]) -> Result<MappingStatus, Errno> {
    let start = name.split(|&byte| byte == b'-').next().unwrap_or_default();
    let start = std::str::from_utf8(start).ok().and_then(|start| u64::from_str_radix(start, 16).ok());
    let mappings = about.process()?.mappings_from(start.ok_or(Errno::ENOENT)?, 1)?;
    let mapping = mappings.into_iter().next().filter(has_file).ok_or(Errno::ENOENT)?;
    if name_of(&mapping) == name { Ok(mapping) } else { Err(Errno::ENOENT) }
}

impl Children<About> for Links {
    fn list(&self, about: &About) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        let mappings = match about.process().map_err(|_| Errno::ENOENT)?.mappings() {
            Err(Errno::ESRCH) => Vec::new(),
            mappings => mappings?,
        };
        let files = mappings.iter().filter(|mapping| has_file(mapping));
        // By the page that each begins with: a position in a directory is shorter than an address.
        Ok(files.map(|mapping| (mapping.start >> 12, name_of(mapping))).collect())
    }

    fn kind(&self) -> FileKind {
        FileKind::Symlink
    }

    fn find(&self, about: &About, name: &[u8]) -> Result<Child<About>, Errno> {
        let mapping = find(about, name)?;
        let [readable, writable, _] = mapping.access;
        let permissions = if readable { 0o400 } else { 0 } | if writable { 0o200 } else { 0 };
        let subject = about.of_mapping(mapping.start);
        Ok(Child { subject, permissions, node: Node::Link(target) })
    }

    fn are_fleeting(&self) -> bool {
        true
    }

    fn check_viewer(&self, about: &About, viewer: &Viewer) -> Result<(), Errno> {
        about.inspect(viewer).map(drop)
    }
}

fn target(about: &About, viewer: &Viewer) -> Result<LinkTarget, Errno> {
    let mappings = about.inspect(viewer)?.mappings_from(about.mapping, 1)?;
    let mapping = mappings.into_iter().next().filter(has_file).ok_or(Errno::ENOENT)?;
    Ok(LinkTarget::Text(mapping.name))
}
