//! /proc/PID/fd and fdinfo.

use std::sync::Arc;

use super::numbered;
use crate::Errno;
use crate::fs::proc::{About, locks};
use crate::fs::pseudo::{Child, Children, Directory, Node, parse_number};
use crate::fs::{Fd, FileDescription, FileKind, LongText, OpenFlags, Path, Viewer};

pub(super) static LINKS: Directory<About> = Directory { entries: &[], children: Some(&Links) };
pub(super) static INFOS: Directory<About> = Directory { entries: &[], children: Some(&Infos) };

struct Links;
struct Infos;

impl Children<About> for Links {
    fn list(&self, about: &About) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        open_descriptors(about)
    }

    fn kind(&self) -> FileKind {
        FileKind::Symlink
    }

    fn find(&self, about: &About, name: &[u8]) -> Result<Child<About>, Errno> {
        let (subject, file) = find(about, name)?;
        // What may be done with the descriptor shows in the link's mode.
        let (flags, mut permissions) = (file.flags(), 0);
        if flags.is_readable() {
            permissions |= 0o500;
        }
        if flags.is_writable() {
            permissions |= 0o300;
        }
        Ok(Child { subject, permissions, node: Node::MagicLink(target, link_text) })
    }

    /// How many there are.
    fn size(&self, about: &About) -> u64 {
        let descriptors = about.process().ok().and_then(|process| process.descriptors());
        descriptors.map_or(0, |descriptors| descriptors.open_count() as u64)
    }

    fn are_fleeting(&self) -> bool {
        true
    }

    /// A process sees its own descriptors even if it is root's since it has given up its privileges.
    fn belong_to(&self, about: &About, viewer: &Viewer) -> bool {
        about.is_of_viewer(viewer)
    }
}

impl Children<About> for Infos {
    fn list(&self, about: &About) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
        open_descriptors(about)
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn find(&self, about: &About, name: &[u8]) -> Result<Child<About>, Errno> {
        let (subject, _) = find(about, name)?;
        Ok(Child { subject, permissions: 0o444, node: Node::Text(info) })
    }

    fn are_fleeting(&self) -> bool {
        true
    }

    fn check_viewer(&self, about: &About, viewer: &Viewer) -> Result<(), Errno> {
        about.inspect(viewer).map(drop)
    }
}

fn open_descriptors(about: &About) -> Result<Vec<(u64, Vec<u8>)>, Errno> {
    let process = about.process().map_err(|_| Errno::ENOENT)?;
    Ok(numbered(process.descriptors().map_or_else(Vec::new, |descriptors| descriptors.descriptors())))
}

fn find(about: &About, name: &[u8]) -> Result<(About, Arc<FileDescription>), Errno> {
    let descriptor = parse_number(name).ok_or(Errno::ENOENT)?;
    let subject = about.of_descriptor(descriptor);
    let process = about.process().map_err(|_| Errno::ENOENT)?;
    let file = process.descriptors().ok_or(Errno::ENOENT)?.get(Fd(descriptor)).map_err(|_| Errno::ENOENT)?;
    Ok((subject, file))
}

fn file(about: &About, viewer: &Viewer) -> Result<Arc<FileDescription>, Errno> {
    let process = about.inspect(viewer)?;
    process.descriptors().ok_or(Errno::ENOENT)?.get(Fd(about.descriptor)).map_err(|_| Errno::ENOENT)
}

fn target(about: &About, viewer: &Viewer) -> Result<Path, Errno> {
    Ok(Path::of_description(&file(about, viewer)?))
}

fn link_text(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let description = file(about, viewer)?;
    let Some(path) = description.path() else {
        return Ok(description.file().anonymous_name().into_bytes());
    };
    let view = about.process()?.fs_view().ok_or(Errno::ENOENT)?;
    Ok(path.display_from(&view.root))
}

/// Whoever has found the file may read it: the directory lets nobody else search it.
fn info(about: &About, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let process = about.process()?;
    let descriptors = process.descriptors().ok_or(Errno::ENOENT)?;
    let description = descriptors.get(Fd(about.descriptor)).map_err(|_| Errno::ENOENT)?;
    let mut flags = description.flags();
    flags.set(OpenFlags::CLOEXEC, descriptors.is_close_on_exec(Fd(about.descriptor)).unwrap_or(false));
    let mount = description.path().map_or(0, |path| path.mount.id());
    let inode = description.file().metadata().map_or(0, |metadata| metadata.inode);
    let position = description.shown_position();
    let flags = flags.bits();
    let mut text = LongText::beginning_with(format!(
        "pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t{inode}\n"
    ));
    locks::tell_of(&mut text, &descriptors, &description, process.status().process_id)?;
    description.file().descriptor_info(&mut text)?;
    Ok(text.into_bytes())
}
