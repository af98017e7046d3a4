//! inotify(7): telling who watches a file, or a directory, of what happens to it.
//!
//! A watch hangs on the inode, whatever name was given, and keeps it. When the last use of a name ends that the last link
//! was removed of, the watch ends with IN_DELETE_SELF. Where inodes are made anew at each lookup, it hangs on the
//! [`Dentry`](super::Dentry) instead: while the name exists the instance keeps that; once it has been removed only those
//! who use the file do.
//!
//! Lock order: an instance's state, then a list of watches or what users have, which are leaves.

mod instance;
mod limits;
#[cfg(test)]
mod tests;
mod watch;

use linux_raw_sys::general as uapi;

pub use instance::InotifyFile;
pub use limits::InotifyLimits;
pub(super) use limits::{Account, InotifyLimit};
pub use watch::WatchList;
pub(super) use watch::{EntryChild, WatchRegister};

bitflags::bitflags! {
    /// What happens to files, and how a watch is added, in the bits of inotify(7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct WatchMask: u32 {
        /// Read.
        const ACCESS = uapi::IN_ACCESS;
        /// Written or truncated.
        const MODIFY = uapi::IN_MODIFY;
        /// Permissions, owners, time stamps, links or extended attributes changed.
        const ATTRIB = uapi::IN_ATTRIB;
        /// Closed by one who could write.
        const CLOSE_WRITE = uapi::IN_CLOSE_WRITE;
        /// Closed by one who could not.
        const CLOSE_NOWRITE = uapi::IN_CLOSE_NOWRITE;
        /// Opened.
        const OPEN = uapi::IN_OPEN;
        /// The entry was renamed: its old name.
        const MOVED_FROM = uapi::IN_MOVED_FROM;
        /// The entry was renamed: its new name.
        const MOVED_TO = uapi::IN_MOVED_TO;
        /// The entry was made.
        const CREATE = uapi::IN_CREATE;
        /// The entry was removed.
        const DELETE = uapi::IN_DELETE;
        /// The watched file is gone.
        const DELETE_SELF = uapi::IN_DELETE_SELF;
        /// The watched file was renamed.
        const MOVE_SELF = uapi::IN_MOVE_SELF;
        /// Every event that a watch can ask for.
        const ALL_EVENTS = uapi::IN_ALL_EVENTS;
        /// Reported: the file system is mounted nowhere any more.
        const UNMOUNT = uapi::IN_UNMOUNT;
        /// Reported: events were lost.
        const Q_OVERFLOW = uapi::IN_Q_OVERFLOW;
        /// Reported: the watch has ended.
        const IGNORED = uapi::IN_IGNORED;
        /// Reported: it happened to a directory.
        const ISDIR = uapi::IN_ISDIR;
        /// Watch only a directory.
        const ONLYDIR = uapi::IN_ONLYDIR;
        /// Watch a symbolic link itself.
        const DONT_FOLLOW = uapi::IN_DONT_FOLLOW;
        /// No events of entries that have been removed.
        const EXCL_UNLINK = uapi::IN_EXCL_UNLINK;
        /// Fail if the file is watched already.
        const MASK_CREATE = uapi::IN_MASK_CREATE;
        /// Add to the events of a watch that is there already.
        const MASK_ADD = uapi::IN_MASK_ADD;
        /// End the watch with its first event.
        const ONESHOT = uapi::IN_ONESHOT;
    }
}
