//! Namespaces of vmm's own (`man 7 namespaces`), with a root directory that holds nothing.
//!
//! [`Namespaces::isolate`] turns a directory into a tree of mounts that is attached nowhere, from which no path leads out. What
//! a thread has made [ahead](super::ahead), with the empty root, is entered when nothing of the host is needed by name any more.
//!
//! A user who may not make namespaces makes a user namespace first, in which it may, and a mount namespace to take trees from.
//! There it is user 1, and Linux shows what belongs to anybody else as the overflow user's. Root becomes another user instead,
//! who sees owners as they are.
//!
//! There is no PID namespace: a process enters one only by its child, which would part vmm from the number, the signals and
//! the terminal that its caller knows it by. What can be done to a process by its number takes calls that the filter lacks,
//! a user that vmm is no longer, and a reach that Landlock denies.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use linux_raw_sys::general as uapi;
use rustix::fs::{CWD, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, OpenTreeFlags, open_tree};
use rustix::process::{Uid, getgid, getuid};
use rustix::thread::{CapabilitySet, UnshareFlags, capabilities, unshare_unsafe};
use sentry::fs::host::HostOwners;

use super::Access;
use super::ahead::{Ahead, Rest};

/// The user and group that vmm is in a user namespace.
const INSIDE: u32 = 1;

/// The namespaces that vmm is in.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    owners: HostOwners,
    /// They are to be made, with one of the network or without.
    has_network: Option<bool>,
    ahead: Option<Ahead>,
    rest: Option<Rest>,
    entered: Vec<&'static str>,
    refused: Vec<String>,
}

impl Namespaces {
    /// Enters a user namespace, if need be, which takes that there is no second thread.
    pub(super) fn enter() -> Self {
        Self::begin(true)
    }

    /// As [`Self::enter`], for a process that stays in the network namespace that it is in.
    pub(super) fn enter_mounts() -> Self {
        Self::begin(false)
    }

    fn begin(has_network: bool) -> Self {
        let mut namespaces = Self::default();
        let may_mount =
            capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
        if !may_mount && !getuid().is_root() {
            namespaces.enter_user_namespace();
            if let Err(error) = unshare(UnshareFlags::NEWNS) {
                namespaces.refused.push(format!("mounts to take trees from ({error})"));
            }
        }
        namespaces.has_network = Some(has_network);
        namespaces
    }

    /// Begins to make the others, on a thread of its own.
    pub(super) fn begin_others(&mut self) {
        match self.has_network.take().map(Ahead::begin) {
            Some(Ok(ahead)) => self.ahead = Some(ahead),
            Some(Err(error)) => self.try_to("others", Err(error)),
            None => {}
        }
    }

    /// How the host tells of owners in them.
    pub(super) fn owners(&self) -> HostOwners {
        self.owners
    }

    /// The number by which the host tells of the process's user in them; root's, which nobody has in a user namespace, if
    /// there is none.
    pub(super) fn own_user(&self) -> Uid {
        match self.owners {
            HostOwners::Told => getuid(),
            HostOwners::Mapped { inside: (INSIDE, _), .. } => Uid::from_raw(INSIDE),
            HostOwners::Mapped { .. } => Uid::ROOT,
        }
    }

    /// The tree below `directory`, as the mounts are now, where nothing is mounted or unmounted any more and `..` does not
    /// lead out; `directory` itself, if the host refuses.
    ///
    /// # Errors
    /// The host is out of descriptors or memory.
    pub(super) fn isolate(&mut self, directory: OwnedFd, access: Access) -> Result<OwnedFd, Errno> {
        let tree = clone_tree(&directory, access).or_else(|error| match error {
            // It was opened before the process had mounts of its own.
            Errno::INVAL => clone_tree(open_again(&directory)?, access),
            error => Err(error),
        });
        match tree {
            Err(error @ (Errno::PERM | Errno::NOSYS | Errno::INVAL)) => {
                self.refused.push(format!("a tree of mounts ({error})"));
                Ok(directory)
            }
            result => result,
        }
    }

    /// Enters the rest, and leaves the host's directory tree.
    pub(super) fn complete(&mut self) {
        self.begin_others();
        let Some((entered, rest)) = self.ahead.take().map(Ahead::enter) else { return };
        for (name, result) in entered {
            self.try_to(name, result);
        }
        self.rest = Some(rest);
    }

    /// Waits until nothing of the host's directory tree is left in them, and no thread that made them.
    pub(super) fn finish(&mut self) {
        self.rest.take().into_iter().for_each(Rest::finish);
    }

    /// What they are, for a person.
    pub(super) fn describe(&self) -> String {
        let entered = if self.entered.is_empty() { "none".to_owned() } else { self.entered.join(", ") };
        match self.refused.as_slice() {
            [] => entered,
            refused => format!("{entered}; refused by the host: {}", refused.join(", ")),
        }
    }

    fn try_to(&mut self, name: &'static str, result: Result<(), Errno>) {
        match result {
            Ok(()) => self.entered.push(name),
            Err(error) => self.refused.push(format!("{name} ({error})")),
        }
    }

    fn enter_user_namespace(&mut self) {
        let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
        let result = unshare(UnshareFlags::NEWUSER);
        let is_entered = result.is_ok();
        self.try_to("user", result);
        if !is_entered {
            return;
        }
        let (mut inside, mut own) = ((INSIDE, INSIDE), (uid, gid));
        if let Err(error) = map_user(uid, gid) {
            self.refused.push(format!("a number for its user ({error})"));
            // All files look alike, and the overflow user's.
            (inside, own) = ((u32::MAX, u32::MAX), (0, 0));
        }
        self.owners = HostOwners::Mapped { inside, own };
    }
}

pub(super) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: the table of descriptors is not among what is parted.
    unsafe { unshare_unsafe(flags) }
}

/// Makes the host's user `uid` and group `gid` [`INSIDE`] of the user namespace that the process is in
/// (`man 7 user_namespaces`).
fn map_user(uid: u32, gid: u32) -> std::io::Result<()> {
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{INSIDE} {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{INSIDE} {gid} 1"))
}

/// The same directory, by the mounts that the process has now.
fn open_again(directory: &OwnedFd) -> Result<OwnedFd, Errno> {
    let path = readlinkat(CWD, format!("/proc/self/fd/{}", directory.as_raw_fd()), Vec::new())?;
    let again = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let (found, wanted) = (fstat(&again)?, fstat(directory)?);
    let is_same = (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino);
    if is_same { Ok(again) } else { Err(Errno::INVAL) }
}

fn clone_tree(directory: impl AsFd, access: Access) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(directory, c"", flags)?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW;
    if access == Access::Read {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    restrict_mounts(&tree, attributes)?;
    Ok(tree)
}

/// Gives all mounts of `tree` the attributes, and makes them nobody's peers (`man 2 mount_setattr`).
fn restrict_mounts(tree: impl AsFd, attributes: MountAttrFlags) -> Result<(), Errno> {
    let attributes = uapi::mount_attr {
        attr_set: attributes.bits().into(),
        attr_clr: 0,
        propagation: MountPropagationFlags::PRIVATE.bits().into(),
        userns_fd: 0,
    };
    // SAFETY: the path ends with NUL, and the structure is as long as its length says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            uapi::AT_EMPTY_PATH | uapi::AT_RECURSIVE,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
