//! A root directory that holds nothing.

use std::os::fd::OwnedFd;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsmount, fsopen, mount_change, move_mount, unmount,
};
use rustix::process::{chroot, fchdir, pivot_root};

/// A root directory that holds nothing.
#[derive(Debug)]
pub(super) struct EmptyRoot {
    directory: OwnedFd,
    /// It is where the mounts of its namespace begin. Else the host's are still there, out of reach.
    is_root_of_mounts: bool,
}

impl EmptyRoot {
    /// Makes it the root and working directory of the calling thread, which has entered its mounts.
    ///
    /// # Errors
    /// The host refuses.
    pub(super) fn enter(&self) -> Result<(), Errno> {
        if self.is_root_of_mounts {
            return Ok(());
        }
        fchdir(&self.directory)?;
        chroot(c".")
    }
}

/// Makes an empty file system, which nobody can write to, the root and working directory, and gives up the host's mounts.
///
/// # Errors
/// The host refuses.
pub(super) fn leave_directory_tree() -> Result<EmptyRoot, Errno> {
    let file_system = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&file_system)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let directory = fsmount(&file_system, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // Where the root cannot be another (initramfs, or vmm's is no mount), the host's mounts stay, out of reach.
    let is_root_of_mounts = pivot_into(&directory).is_ok();
    let root = EmptyRoot { directory, is_root_of_mounts };
    root.enter()?;
    Ok(root)
}

fn pivot_into(root: &OwnedFd) -> Result<(), Errno> {
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    move_mount(root, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    fchdir(root)?;
    pivot_root(c".", c".")?;
    // The old root lies on the new one now.
    unmount(c".", UnmountFlags::DETACH)
}
