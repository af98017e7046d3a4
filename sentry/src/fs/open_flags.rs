//! How a file is open.

use linux_raw_sys::general as uapi;

bitflags::bitflags! {
    /// The flags of open(2) that stay with the description: access mode and status flags.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct OpenFlags: u32 {
        /// Open for writing only.
        const WRONLY = uapi::O_WRONLY;
        /// Open for reading and writing.
        const RDWR = uapi::O_RDWR;
        /// Create the file if it does not exist.
        const CREAT = uapi::O_CREAT;
        /// Fail if it exists.
        const EXCL = uapi::O_EXCL;
        /// Do not make a terminal the controlling one.
        const NOCTTY = uapi::O_NOCTTY;
        /// Cut the file to length 0.
        const TRUNC = uapi::O_TRUNC;
        /// Write at the end, always.
        const APPEND = uapi::O_APPEND;
        /// Return EAGAIN where the call would block.
        const NONBLOCK = uapi::O_NONBLOCK;
        /// Write data through.
        const DSYNC = uapi::O_DSYNC;
        /// Signal-driven I/O.
        const ASYNC = uapi::FASYNC;
        /// No caching.
        const DIRECT = uapi::O_DIRECT;
        /// Accepted and ignored on 64-bit systems.
        const LARGEFILE = uapi::O_LARGEFILE;
        /// Only a directory will do.
        const DIRECTORY = uapi::O_DIRECTORY;
        /// Do not follow a final symbolic link.
        const NOFOLLOW = uapi::O_NOFOLLOW;
        /// Leave the access time alone.
        const NOATIME = uapi::O_NOATIME;
        /// Close on execve: a flag of the descriptor, not of the description.
        const CLOEXEC = uapi::O_CLOEXEC;
        /// Only a handle on the path.
        const PATH = uapi::O_PATH;
        /// Write data and metadata through (`O_SYNC` less `O_DSYNC`).
        const SYNC_METADATA = uapi::O_SYNC & !uapi::O_DSYNC;
        /// An unnamed file (`O_TMPFILE` less `O_DIRECTORY`).
        const TMPFILE = uapi::O_TMPFILE & !uapi::O_DIRECTORY;
    }
}

impl OpenFlags {
    /// The flags that fcntl(F_SETFL) may change.
    pub const CHANGEABLE: Self =
        Self::APPEND.union(Self::NONBLOCK).union(Self::ASYNC).union(Self::DIRECT).union(Self::NOATIME);

    /// Whether the description may be read.
    pub fn is_readable(self) -> bool {
        !self.intersects(Self::WRONLY | Self::PATH)
    }

    /// Whether the description may be written.
    pub fn is_writable(self) -> bool {
        // Both at once is for ioctl alone.
        let mode = self & Self::WRONLY.union(Self::RDWR);
        (mode == Self::WRONLY || mode == Self::RDWR) && !self.contains(Self::PATH)
    }
}
