//! What the process asks of its host: each thread counts its own calls, at the places where they are made.
//!
//! A count costs less than a hundredth of the call that it stands beside, so that it is always kept; who wants to know what a piece of
//! work took compares before and after.

use std::cell::Cell;

/// Declares the calls that are told apart, each with the name that it has for people.
macro_rules! host_calls {
    ($($(#[$meta:meta])* $variant:ident = $name:literal,)*) => {
        /// A kind of call to the host.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum HostCall {
            $($(#[$meta])* $variant,)*
        }

        /// Their names, in order.
        const NAMES: &[&str] = &[$($name,)*];
    };
}

host_calls! {
    /// Running a vCPU.
    KvmRun = "ioctl(KVM_RUN)",
    /// All else that is asked of a vCPU or its VM.
    Kvm = "ioctl(KVM)",
    /// read(2).
    Read = "read",
    /// write(2).
    Write = "write",
    /// pread(2), preadv2(2).
    ReadAt = "pread",
    /// pwrite(2), pwritev2(2).
    WriteAt = "pwrite",
    /// openat2(2).
    Open = "openat2",
    /// fstat(2), statx(2).
    Stat = "statx",
    /// fstatfs(2).
    StatFs = "fstatfs",
    /// readlinkat(2).
    ReadLink = "readlinkat",
    /// getdents64(2).
    ReadDirectory = "getdents64",
    /// lseek(2).
    Seek = "lseek",
    /// fgetxattr(2) and its like.
    Attribute = "xattr",
    /// What makes, removes and renames files of volumes.
    ChangeName = "mkdirat, unlinkat, renameat2 …",
    /// What changes owners, modes and times of files of volumes.
    ChangeMetadata = "fchmod, fchown, utimensat …",
    /// fallocate(2), ftruncate(2).
    Resize = "fallocate, ftruncate",
    /// fsync(2), syncfs(2).
    Sync = "fsync",
    /// Locks of files.
    Lock = "flock, fcntl",
    /// poll(2).
    Poll = "poll",
    /// epoll_ctl(2).
    Watch = "epoll_ctl",
    /// sendto(2), sendmsg(2).
    Send = "sendto",
    /// recvfrom(2), recvmsg(2).
    Receive = "recvfrom",
    /// What is asked of terminals and sockets.
    Control = "ioctl, setsockopt",
    /// madvise(2), mprotect(2).
    Memory = "madvise, mprotect",
    /// A thread is made.
    Thread = "clone",
    /// The thread goes to sleep.
    Sleep = "futex",
}

/// How many kinds there are.
pub const HOST_CALL_KINDS: usize = NAMES.len();

impl HostCall {
    /// The name of the kind with this index.
    pub fn name(index: usize) -> &'static str {
        NAMES.get(index).copied().unwrap_or_default()
    }
}

/// How often each kind was called, by index; they wrap around.
pub type HostCallCounts = [u32; HOST_CALL_KINDS];

thread_local! {
    static OWN: [Cell<u32>; HOST_CALL_KINDS] = const { [const { Cell::new(0) }; HOST_CALL_KINDS] };
}

/// Counts a call that the calling thread makes.
pub fn count_call(call: HostCall) {
    OWN.with(|own| {
        if let Some(count) = own.get(call as usize) {
            count.set(count.get().wrapping_add(1));
        }
    });
}

/// What the calling thread has called so far.
pub fn own_call_counts() -> HostCallCounts {
    OWN.with(|own| std::array::from_fn(|index| own.get(index).map_or(0, Cell::get)))
}
