//! /proc/PID/mounts, mountinfo and mountstats (`man 5 proc`).
//!
//! Who opens one sees that process's mounts from then on, whatever becomes of the process. Polling the first two tells of changes
//! (POLLPRI and POLLERR), once each.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Errno;
use crate::fs::proc::About;
use crate::fs::pseudo::{Piece, TextPieces};
use crate::fs::sleeper::ServedPace;
use crate::fs::{File, FileSystem, FsView, Metadata, Mount, MountFlags, Viewer};
use crate::pace::Pace;
use crate::wait::{Events, WaitQueue};

/// Writes the line of a mount, which is seen at this place.
type WriteLine = fn(&mut Vec<u8>, &Look, &Arc<Mount>, &[u8]);

/// Whose mounts are looked at, and by whom.
struct Look {
    view: FsView,
    viewer: Viewer,
}

/// Opens /proc/PID/mounts.
pub(super) fn mounts(about: &About, viewer: &Viewer, metadata: Metadata) -> Result<Arc<dyn File>, Errno> {
    MountsFile::open(about, viewer, metadata, mount_line, true)
}

/// Opens /proc/PID/mountinfo.
pub(super) fn mountinfo(about: &About, viewer: &Viewer, metadata: Metadata) -> Result<Arc<dyn File>, Errno> {
    MountsFile::open(about, viewer, metadata, mountinfo_line, true)
}

/// Opens /proc/PID/mountstats.
pub(super) fn mountstats(about: &About, viewer: &Viewer, metadata: Metadata) -> Result<Arc<dyn File>, Errno> {
    MountsFile::open(about, viewer, metadata, mountstats_line, false)
}

/// Length at which a piece of a text ends. A line that is longer, with the path of a deep directory, is one of its own.
const PIECE_BYTES: usize = 32 * 1024;

/// An open file, whose text is made up in pieces.
struct MountsFile {
    look: Look,
    metadata: Metadata,
    write_line: WriteLine,
    /// Whether polling tells of changes.
    is_watched: bool,
    text: TextPieces,
    /// The changes of the mounts that have been told of.
    changes: AtomicU64,
}

impl MountsFile {
    fn open(
        about: &About,
        viewer: &Viewer,
        metadata: Metadata,
        write_line: WriteLine,
        is_watched: bool,
    ) -> Result<Arc<dyn File>, Errno> {
        let view = about.process()?.fs_view().ok_or(Errno::EINVAL)?;
        let changes = AtomicU64::new(view.namespace.changes());
        let look = Look { view, viewer: viewer.clone() };
        Ok(Arc::new(Self { look, metadata, write_line, is_watched, text: TextPieces::default(), changes }))
    }

    /// The lines of mounts from the one numbered `from` on.
    fn piece(&self, from: u64) -> Result<Piece, Errno> {
        let mut text = Vec::new();
        for mount in self.look.view.namespace.mounts() {
            let number = mount.id();
            if number < from {
                continue;
            }
            if text.len() >= PIECE_BYTES {
                return Ok(Piece { text, next: Some(number) });
            }
            ServedPace.keep_going()?;
            if let Some(place) = mount.place_in(&self.look.view) {
                (self.write_line)(&mut text, &self.look, &mount, &place);
            }
        }
        Ok(Piece::whole(text))
    }
}

impl File for MountsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.text.read(buffer, offset, |from| self.piece(from), &ServedPace)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_sequence(&self) -> bool {
        true
    }

    fn readiness(&self) -> Events {
        let changes = self.look.view.namespace.changes();
        let is_told = !self.is_watched || self.changes.swap(changes, Ordering::Relaxed) == changes;
        let ready = Events::IN | Events::RDNORM;
        if is_told { ready } else { ready | Events::PRI | Events::ERR }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        self.is_watched.then(|| self.look.view.namespace.watchers())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.metadata)
    }

    fn truncate(&self, _len_bytes: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn mount_line(text: &mut Vec<u8>, _: &Look, mount: &Arc<Mount>, place: &[u8]) {
    escape(text, mount.source().as_bytes());
    text.push(b' ');
    escape(text, place);
    let file_system = mount.file_system();
    let access = access(mount.check_writable().is_err());
    let (restrictions, options) = (restrictions(mount), file_system.options());
    let of_all = mount.instance().flags().text();
    text.extend_from_slice(
        format!(" {} {access}{of_all}{restrictions}{options} 0 0\n", full_type(&**file_system)).as_bytes(),
    );
}

fn mountinfo_line(text: &mut Vec<u8>, Look { view, viewer }: &Look, mount: &Arc<Mount>, place: &[u8]) {
    let file_system = mount.file_system();
    let device = file_system.device();
    let parent = mount.mount_point().map_or(mount.id(), |place| place.mount.id());
    let first = format!("{} {parent} {}:{} ", mount.id(), device.major, device.minor);
    text.extend_from_slice(first.as_bytes());
    escape(text, &mount.root_in_file_system(viewer));
    text.push(b' ');
    escape(text, place);
    let own_access = access(mount.flags().contains(MountFlags::RDONLY));
    let is_visible = |other: &Arc<Mount>| view.namespace.holds(other) && other.place_in(view).is_some();
    let propagation = mount.propagation_fields(is_visible);
    let kind = full_type(&**file_system);
    let middle = format!(" {own_access}{}{propagation} - {kind} ", restrictions(mount));
    text.extend_from_slice(middle.as_bytes());
    escape(text, mount.source().as_bytes());
    let (access, of_all) = (access(mount.instance().is_read_only()), mount.instance().flags().text());
    text.extend_from_slice(format!(" {access}{of_all}{}\n", file_system.options()).as_bytes());
}

fn mountstats_line(text: &mut Vec<u8>, _: &Look, mount: &Arc<Mount>, place: &[u8]) {
    text.extend_from_slice(b"device ");
    escape(text, mount.source().as_bytes());
    text.extend_from_slice(b" mounted on ");
    escape(text, place);
    text.extend_from_slice(format!(" with fstype {}\n", full_type(&**mount.file_system())).as_bytes());
}

/// The type, with who serves it.
fn full_type(file_system: &dyn FileSystem) -> String {
    let subtype = file_system.subtype().map(|subtype| format!(".{subtype}")).unwrap_or_default();
    format!("{}{subtype}", file_system.type_name())
}

fn access(is_read_only: bool) -> &'static str {
    if is_read_only { "ro" } else { "rw" }
}

fn restrictions(mount: &Mount) -> String {
    let shown = [
        (MountFlags::NOSUID, ",nosuid"),
        (MountFlags::NODEV, ",nodev"),
        (MountFlags::NOEXEC, ",noexec"),
        (MountFlags::NOATIME, ",noatime"),
        (MountFlags::NODIRATIME, ",nodiratime"),
        (MountFlags::RELATIME, ",relatime"),
        (MountFlags::NOSYMFOLLOW, ",nosymfollow"),
    ];
    let of_flags = shown.iter().filter(|(flag, _)| mount.flags().contains(*flag)).map(|(_, name)| *name);
    of_flags.chain(mount.is_id_mapped().then_some(",idmapped")).collect()
}

/// White space and backslashes as octal escapes (`man 5 fstab`).
fn escape(text: &mut Vec<u8>, name: &[u8]) {
    for byte in name {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => {
                text.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            }
            other => text.push(*other),
        }
    }
}

#[cfg(test)]
mod tests;
