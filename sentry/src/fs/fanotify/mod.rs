//! fanotify(7): telling who watches a file, a mount or a file system of what happens, and asking who wants to permit it.
//!
//! A [`Mark`](mark::Mark) of a group hangs where inotify's watches do, on a mount, or on a file system. What happens is an
//! [`Occurrence`]; each group that has marks in its way decides by their masks whether it hears of it, and queues an event. An
//! event names the file by a descriptor that is made when it is read, or by handles, as the group was asked for.
//!
//! Lock order: a group's state, then a list of marks or what users have, which are leaves.

mod event;
mod group;
mod mark;
mod occurrence;

pub use event::Question;
pub use group::FanotifyFile;
pub(super) use mark::MarkList;
pub use mark::{MarkChange, MarkPlace};
pub(super) use occurrence::Occurrence;
pub use occurrence::{ask, is_asked};

use super::inotify::WatchMask;

bitflags::bitflags! {
    /// What happens to files, in the bits of fanotify_mark(2). The lower ones are inotify's.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct FanMask: u64 {
        /// Read.
        const ACCESS = 0x1;
        /// Written or truncated.
        const MODIFY = 0x2;
        /// Permissions, owners, time stamps, links or extended attributes changed.
        const ATTRIB = 0x4;
        /// Closed by one who could write.
        const CLOSE_WRITE = 0x8;
        /// Closed by one who could not.
        const CLOSE_NOWRITE = 0x10;
        /// Opened.
        const OPEN = 0x20;
        /// An entry was renamed: its old name.
        const MOVED_FROM = 0x40;
        /// An entry was renamed: its new name.
        const MOVED_TO = 0x80;
        /// An entry was made.
        const CREATE = 0x100;
        /// An entry was removed.
        const DELETE = 0x200;
        /// The file is gone.
        const DELETE_SELF = 0x400;
        /// The file was renamed.
        const MOVE_SELF = 0x800;
        /// Opened to be executed.
        const OPEN_EXEC = 0x1000;
        /// Reported: events were lost.
        const Q_OVERFLOW = 0x4000;
        /// The file system has found an error.
        const FS_ERROR = 0x8000;
        /// May it be opened?
        const OPEN_PERM = 0x1_0000;
        /// May it be read?
        const ACCESS_PERM = 0x2_0000;
        /// May it be opened to be executed?
        const OPEN_EXEC_PERM = 0x4_0000;
        /// Also what happens to the files of a directory.
        const EVENT_ON_CHILD = 0x0800_0000;
        /// An entry was renamed: both names.
        const RENAME = 0x1000_0000;
        /// Also what happens to directories.
        const ONDIR = 0x4000_0000;
    }
}

impl FanMask {
    /// Whoever asks for these is asked.
    pub const QUESTIONS: Self = Self::OPEN_PERM.union(Self::ACCESS_PERM).union(Self::OPEN_EXEC_PERM);
    /// What happens to entries of directories.
    pub const OF_ENTRIES: Self =
        Self::CREATE.union(Self::DELETE).union(Self::MOVED_FROM).union(Self::MOVED_TO).union(Self::RENAME);
    /// What is done through a path, so that a descriptor can be had.
    pub const OF_PATHS: Self = Self::ACCESS
        .union(Self::MODIFY)
        .union(Self::CLOSE_WRITE)
        .union(Self::CLOSE_NOWRITE)
        .union(Self::OPEN)
        .union(Self::OPEN_EXEC)
        .union(Self::QUESTIONS);
    /// Those that say which of an object's events count, and are none.
    pub const MODIFIERS: Self = Self::ONDIR.union(Self::EVENT_ON_CHILD);
    /// All that a mark may have.
    pub const OF_MARKS: Self = Self::OF_PATHS
        .union(Self::OF_ENTRIES)
        .union(Self::ATTRIB)
        .union(Self::DELETE_SELF)
        .union(Self::MOVE_SELF)
        .union(Self::FS_ERROR)
        .union(Self::MODIFIERS);

    /// What inotify calls the same.
    pub(super) fn of_watch(mask: WatchMask) -> Self {
        Self::from_bits_truncate(u64::from((mask & WatchMask::ALL_EVENTS).bits()))
    }
}

bitflags::bitflags! {
    /// How a group was made, in the bits of fanotify_init(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct InitFlags: u32 {
        /// Its descriptor is closed on execve.
        const CLOEXEC = 0x1;
        /// Reading it does not wait.
        const NONBLOCK = 0x2;
        /// It may be asked, about final contents.
        const CLASS_CONTENT = 0x4;
        /// It may be asked, about contents that it may still change.
        const CLASS_PRE_CONTENT = 0x8;
        /// Any number of events waits.
        const UNLIMITED_QUEUE = 0x10;
        /// It has any number of marks.
        const UNLIMITED_MARKS = 0x20;
        /// Its answers may be noted.
        const ENABLE_AUDIT = 0x40;
        /// Events have a descriptor of the process.
        const REPORT_PIDFD = 0x80;
        /// Events tell the thread and not the process.
        const REPORT_TID = 0x100;
        /// Events have the file's handle.
        const REPORT_FID = 0x200;
        /// Events have the directory's handle.
        const REPORT_DIR_FID = 0x400;
        /// And the name in it.
        const REPORT_NAME = 0x800;
        /// Events of entries have the file's handle as well.
        const REPORT_TARGET_FID = 0x1000;
        /// An error instead of a descriptor is told.
        const REPORT_FD_ERROR = 0x2000;
    }
}

impl InitFlags {
    /// Those by which events have handles.
    pub const HANDLES: Self =
        Self::REPORT_FID.union(Self::REPORT_DIR_FID).union(Self::REPORT_NAME).union(Self::REPORT_TARGET_FID);
    /// Those by which it may be asked.
    pub const CLASSES: Self = Self::CLASS_CONTENT.union(Self::CLASS_PRE_CONTENT);
    /// Those that take a privilege.
    pub const PRIVILEGED: Self = Self::CLASSES
        .union(Self::REPORT_TID)
        .union(Self::REPORT_PIDFD)
        .union(Self::REPORT_FD_ERROR)
        .union(Self::UNLIMITED_QUEUE)
        .union(Self::UNLIMITED_MARKS)
        .union(Self::ENABLE_AUDIT);
}

bitflags::bitflags! {
    /// What fanotify_mark(2) is to do.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MarkFlags: u32 {
        /// Add to a mark.
        const ADD = 0x1;
        /// Take from a mark.
        const REMOVE = 0x2;
        /// Do not follow a final symbolic link.
        const DONT_FOLLOW = 0x4;
        /// Only a directory will do.
        const ONLYDIR = 0x8;
        /// A mount.
        const MOUNT = 0x10;
        /// What is not to be heard of.
        const IGNORED_MASK = 0x20;
        /// That stays when the file changes.
        const IGNORED_SURV_MODIFY = 0x40;
        /// Take all marks away.
        const FLUSH = 0x80;
        /// A file system.
        const FILESYSTEM = 0x100;
        /// The mark does not keep the file.
        const EVICTABLE = 0x200;
        /// What is not to be heard of, with modifiers of its own.
        const IGNORE = 0x400;
    }
}
