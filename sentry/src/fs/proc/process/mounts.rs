//! /proc/PID/mounts and mountinfo.

use std::sync::Arc;

use crate::Errno;
use crate::fs::proc::source::Process;
use crate::fs::{FsView, Mount, MountFlags, Path};

pub(super) fn mounts(process: &dyn Process) -> Result<Vec<u8>, Errno> {
    let view = process.fs_view().ok_or(Errno::EINVAL)?;
    let mut text = Vec::new();
    for (mount, place) in visible(&view) {
        text.extend(escaped(mount.source().as_bytes()));
        text.push(b' ');
        text.extend(escaped(&place));
        let file_system = mount.file_system();
        let (access, options) = (access(&mount), file_system.options());
        let rest = format!(" {} {access}{}{options} 0 0\n", file_system.type_name(), restrictions(&mount));
        text.extend_from_slice(rest.as_bytes());
    }
    Ok(text)
}

pub(super) fn mountinfo(process: &dyn Process) -> Result<Vec<u8>, Errno> {
    let view = process.fs_view().ok_or(Errno::EINVAL)?;
    let mut text = Vec::new();
    for (mount, place) in visible(&view) {
        let file_system = mount.file_system();
        let device = file_system.device();
        let parent = mount.mount_point().map_or(mount.id(), |place| place.mount.id());
        let first = format!("{} {parent} {}:{} / ", mount.id(), device.major, device.minor);
        text.extend_from_slice(first.as_bytes());
        text.extend(escaped(&place));
        let (access, kind) = (access(&mount), file_system.type_name());
        let middle = format!(" {access}{} - {kind} ", restrictions(&mount));
        text.extend_from_slice(middle.as_bytes());
        text.extend(escaped(mount.source().as_bytes()));
        text.extend_from_slice(format!(" {access}{}\n", file_system.options()).as_bytes());
    }
    Ok(text)
}

/// The mounts below the process's root, with their places as it names them.
fn visible(view: &FsView) -> Vec<(Arc<Mount>, Vec<u8>)> {
    let root_mount = &view.root.mount;
    let place_of = |mount: &Arc<Mount>| {
        if Arc::ptr_eq(mount, root_mount) {
            return Some(b"/".to_vec());
        }
        let (place, is_reachable) = Path::new(mount.clone(), mount.root().clone()).absolute_from(&view.root);
        is_reachable.then_some(place)
    };
    view.namespace
        .mounts()
        .into_iter()
        .filter_map(|mount| place_of(&mount).map(|place| (mount, place)))
        .collect()
}

fn access(mount: &Mount) -> &'static str {
    if mount.flags().contains(MountFlags::READ_ONLY) { "ro" } else { "rw" }
}

fn restrictions(mount: &Mount) -> String {
    let shown = [
        (MountFlags::NO_SUID, ",nosuid"),
        (MountFlags::NO_DEVICES, ",nodev"),
        (MountFlags::NO_EXEC, ",noexec"),
        (MountFlags::NO_ACCESS_TIME, ",noatime"),
        (MountFlags::NO_DIRECTORY_ACCESS_TIME, ",nodiratime"),
        (MountFlags::RELATIVE_ACCESS_TIME, ",relatime"),
    ];
    shown.iter().filter(|(flag, _)| mount.flags().contains(*flag)).map(|(_, name)| *name).collect()
}

/// White space and backslashes as octal escapes (`man 5 fstab`).
fn escaped(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => {
                escaped.extend_from_slice(format!("\\{byte:03o}").as_bytes())
            }
            other => escaped.push(*other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_in_names_is_escaped() {
        assert_eq!(escaped(b"/a b\n\\"), b"/a\\040b\\012\\134");
    }
}
