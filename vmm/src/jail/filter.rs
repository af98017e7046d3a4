//! The seccomp filter (`man 2 seccomp`): which system calls of the host remain.
//!
//! Whatever is not in a list here is trapped: see [`super::violation`]. A few calls that the C library makes on its own
//! and can do without fail with ENOSYS instead: clone3, whose flags a filter cannot see, so that threads are made by
//! clone, whose flags it can; and openat, by which malloc and backtraces look into /proc and /sys.

use std::collections::BTreeMap;

use linux_raw_sys::general::{self as uapi, membarrier_cmd};
use linux_raw_sys::prctl;
use seccompiler::{apply_filter_all_threads, sock_filter};
use sentry::syscall::Sysno;

use super::program::{
    Answer::{self, Allow, AllowIf, Unavailable},
    Test::{self, AnyOf, AtMost, HasNone, HasSome, IsZero, OneOf},
    compile,
};
use super::requests;
use super::{Access, broker};

/// Calls that remain whatever their arguments: what they do, they do to what is open, to the calling thread, or to the process's
/// memory without making code of it.
const UNCONDITIONAL: [Sysno; 33] = [
    // Standard streams, and the files of the image.
    Sysno::read,
    Sysno::write,
    Sysno::writev,
    Sysno::pread64,
    Sysno::close,
    Sysno::fsync,
    Sysno::ftruncate,
    Sysno::pwrite64,
    Sysno::fstat,
    Sysno::fstatfs,
    Sysno::getdents64,
    Sysno::fgetxattr,
    Sysno::flistxattr,
    // Readiness.
    Sysno::poll,
    Sysno::ppoll,
    Sysno::epoll_wait,
    Sysno::epoll_pwait,
    Sysno::epoll_pwait2,
    // Memory.
    Sysno::brk,
    Sysno::munmap,
    // Threads. pthread_getattr_np asks for the affinity of a thread by its number.
    Sysno::set_robust_list,
    Sysno::rseq,
    Sysno::sched_yield,
    Sysno::getcpu, // Where the vDSO does not answer: static executables, hosts without RDTSCP.
    Sysno::sched_getaffinity,
    Sysno::getpid,
    Sysno::gettid,
    Sysno::exit,
    Sysno::exit_group,
    Sysno::restart_syscall,
    Sysno::rt_sigreturn,
    Sysno::sigaltstack,
    Sysno::nanosleep,
];

/// Calls that a volume needs besides, whatever their arguments.
const OF_VOLUMES: &[Sysno] = &[Sysno::flock, Sysno::faccessat2, Sysno::syncfs];

/// Calls that change files below a writable volume, which Landlock keeps them to.
const OF_WRITABLE_VOLUMES: &[Sysno] = &[
    Sysno::mkdirat,
    Sysno::symlinkat,
    Sysno::linkat,
    Sysno::unlinkat,
    Sysno::renameat2,
    Sysno::fchownat,
    Sysno::fchmod,
    Sysno::fchmodat2,
    Sysno::utimensat,
    Sysno::fsetxattr,
    Sysno::fremovexattr,
];

/// Calls that fail with ENOSYS.
pub(super) const UNAVAILABLE: &[Sysno] = &[Sysno::openat, Sysno::clone3];

/// The commands of fcntl that remain.
const FCNTL_COMMANDS: &[u32] =
    &[uapi::F_GETFD, uapi::F_GETFL, uapi::F_DUPFD_CLOEXEC, uapi::F_GETPIPE_SZ, uapi::F_SETPIPE_SZ];

/// Those by which files of volumes are locked.
const LOCK_COMMANDS: &[u32] = &[uapi::F_OFD_SETLK, uapi::F_OFD_GETLK];

/// The signal that the C library handles from the first thread on, to have setuid(2) concern all threads
/// (`man 7 nptl`).
const SIGSETXID: u32 = 33;

/// The sign of an `int`.
const NEGATIVE: u32 = 1 << 31;

/// CPUCLOCK_PERTHREAD_MASK of Linux's include/linux/posix-timers_types.h.
const CLOCK_OF_THREAD: u32 = 4;

/// A filter that can be installed.
pub(super) struct Filter {
    program: Vec<sock_filter>,
    /// Calls that remain, and those that do with some arguments.
    always: usize,
    sometimes: usize,
}

impl Filter {
    /// Compiles `rules`.
    ///
    /// # Errors
    /// They are too many.
    pub(super) fn new(rules: BTreeMap<Sysno, Answer>) -> anyhow::Result<Self> {
        let count = |is_kind: fn(&Answer) -> bool| rules.values().filter(|answer| is_kind(answer)).count();
        let (always, sometimes) =
            (count(|answer| *answer == Allow), count(|answer| matches!(answer, AllowIf(_))));
        Ok(Self { program: compile(rules)?, always, sometimes })
    }

    /// The sentry's.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn of_sentry(access: Access, has_broker: bool) -> anyhow::Result<Self> {
        Self::new(rules(access, has_broker))
    }

    /// Installs it for all threads. It stays, and no other can be added.
    ///
    /// # Errors
    /// The host refuses.
    pub(super) fn install(&self) -> anyhow::Result<()> {
        Ok(apply_filter_all_threads(&self.program)?)
    }

    /// How large it is and what it leaves.
    pub(super) fn describe(&self) -> String {
        let Self { program, always, sometimes } = self;
        let instructions = program.len();
        format!(
            "{always} system calls, {sometimes} more with some arguments, by a filter of {instructions} instructions"
        )
    }
}

fn rules(access: Access, has_broker: bool) -> BTreeMap<Sysno, Answer> {
    let conditional = [files(), memory(), threads(), signals_and_clocks(), sockets()].concat();
    let mut rules: BTreeMap<_, _> =
        conditional.into_iter().map(|(number, tests)| (number, AllowIf(tests))).collect();
    rules.extend(UNCONDITIONAL.iter().map(|number| (*number, Allow)));
    if access >= Access::Share {
        rules.extend(OF_VOLUMES.iter().map(|number| (*number, Allow)));
        rules.insert(Sysno::fcntl, AllowIf(vec![OneOf(1, [FCNTL_COMMANDS, LOCK_COMMANDS].concat())]));
    }
    if access == Access::Write {
        rules.extend(OF_WRITABLE_VOLUMES.iter().map(|number| (*number, Allow)));
        // FIFOs and sockets, which are names alone; no devices.
        rules.insert(Sysno::mknodat, AllowIf(vec![HasNone(2, libc::S_IFCHR)]));
    }
    if has_broker {
        rules.extend(broker::of_handed_sockets().into_iter().map(|(number, tests)| (number, AllowIf(tests))));
        let requests = [requests::allowed(), requests::OF_HANDED_SOCKETS.to_vec()].concat();
        rules.insert(Sysno::ioctl, AllowIf(vec![OneOf(1, requests)]));
    }
    rules.extend(UNAVAILABLE.iter().map(|number| (*number, Unavailable)));
    rules
}

/// A call, and the tests that its arguments pass.
pub(super) type Condition = (Sysno, Vec<Test>);

/// Paths start at a directory that is open, not at the working directory.
fn files() -> Vec<Condition> {
    let below_a_handle = HasNone(0, NEGATIVE);
    let flags_of_transfers = OneOf(5, vec![0, libc::RWF_NOWAIT as u32, libc::RWF_APPEND as u32]);
    let modes = uapi::FALLOC_FL_KEEP_SIZE
        | uapi::FALLOC_FL_PUNCH_HOLE
        | uapi::FALLOC_FL_COLLAPSE_RANGE
        | uapi::FALLOC_FL_ZERO_RANGE
        | uapi::FALLOC_FL_INSERT_RANGE;
    vec![
        (Sysno::ioctl, vec![OneOf(1, requests::allowed())]),
        (Sysno::openat2, vec![below_a_handle.clone(), OneOf(3, vec![size_of::<uapi::open_how>() as u32])]),
        (Sysno::statx, vec![below_a_handle.clone()]),
        (Sysno::readlinkat, vec![below_a_handle]),
        (Sysno::fcntl, vec![OneOf(1, FCNTL_COMMANDS.to_vec())]),
        (Sysno::preadv2, vec![flags_of_transfers.clone()]),
        (Sysno::pwritev2, vec![flags_of_transfers]),
        (Sysno::lseek, vec![AtMost(2, uapi::SEEK_HOLE)]),
        (Sysno::fallocate, vec![HasNone(1, !modes)]),
        // By which what a pipe of a program that joins holds is looked at.
        (Sysno::pipe2, vec![OneOf(1, vec![uapi::O_CLOEXEC | uapi::O_NONBLOCK])]),
        (Sysno::tee, vec![OneOf(3, vec![uapi::SPLICE_F_NONBLOCK])]),
        (Sysno::epoll_create1, vec![OneOf(0, vec![uapi::EPOLL_CLOEXEC])]),
        (Sysno::epoll_ctl, vec![AtMost(1, uapi::EPOLL_CTL_MOD)]),
    ]
}

/// Nothing is ever code, and no mapping has flags but those of the allocator, of stacks, and of guest memory.
pub(super) fn memory() -> Vec<Condition> {
    let data = uapi::PROT_READ | uapi::PROT_WRITE;
    let kinds = uapi::MAP_SHARED
        | uapi::MAP_PRIVATE
        | uapi::MAP_FIXED
        | uapi::MAP_ANONYMOUS
        | uapi::MAP_NORESERVE
        | uapi::MAP_STACK;
    let advice = [
        uapi::MADV_POPULATE_READ,
        uapi::MADV_POPULATE_WRITE,
        uapi::MADV_HUGEPAGE,
        uapi::MADV_NOHUGEPAGE,
        uapi::MADV_DONTNEED,
        // The C library's, on stacks.
        uapi::MADV_GUARD_INSTALL,
        uapi::MADV_GUARD_REMOVE,
    ];
    vec![
        (Sysno::mmap, vec![HasNone(2, !data), HasNone(3, !kinds)]),
        (Sysno::mprotect, vec![HasNone(2, !data)]),
        (Sysno::mremap, vec![HasNone(3, !uapi::MREMAP_MAYMOVE)]),
        (Sysno::madvise, vec![OneOf(2, advice.to_vec())]),
    ]
}

/// Threads of this process alone, as the C library makes them.
pub(super) fn threads() -> Vec<Condition> {
    const PRIVATE: u32 = uapi::FUTEX_PRIVATE_FLAG;
    const REALTIME: u32 = uapi::FUTEX_CLOCK_REALTIME;
    let thread = uapi::CLONE_VM
        | uapi::CLONE_FS
        | uapi::CLONE_FILES
        | uapi::CLONE_SIGHAND
        | uapi::CLONE_THREAD
        | uapi::CLONE_SYSVSEM
        | uapi::CLONE_SETTLS
        | uapi::CLONE_PARENT_SETTID
        | uapi::CLONE_CHILD_CLEARTID;
    let sleeps_and_wakes = [
        uapi::FUTEX_WAIT | PRIVATE,
        uapi::FUTEX_WAKE | PRIVATE,
        uapi::FUTEX_WAIT_BITSET | PRIVATE,
        uapi::FUTEX_WAIT_BITSET | PRIVATE | REALTIME,
        // pthread_join waits for Linux to clear the thread's number, which wakes no private futex.
        uapi::FUTEX_WAIT,
        uapi::FUTEX_WAIT_BITSET | REALTIME,
    ];
    let barriers = [
        membarrier_cmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED,
        membarrier_cmd::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
    ];
    vec![
        (Sysno::clone, vec![OneOf(0, vec![thread])]),
        (Sysno::futex, vec![OneOf(1, sleeps_and_wakes.to_vec())]),
        (Sysno::membarrier, vec![OneOf(0, barriers.map(|command| command as u32).to_vec())]),
        // The calling thread.
        (Sysno::sched_setaffinity, vec![IsZero(0)]),
        (Sysno::prctl, vec![OneOf(0, vec![prctl::PR_SET_NAME, prctl::PR_SET_VMA, prctl::PR_FUTEX_HASH])]),
        // The limits of this process, without new ones.
        (Sysno::prlimit64, vec![IsZero(0), IsZero(2)]),
    ]
}

/// Signals that the process's own threads send each other, and no clock of another process.
pub(super) fn signals_and_clocks() -> Vec<Condition> {
    let own_process = rustix::process::getpid().as_raw_nonzero().get().cast_unsigned();
    // What ends a run of a vCPU, what asks a thread for its stack, what abort(3) sends, and what the keys of the caller's terminal mean to vmm.
    let sampling = sentry::profile::sampling_signal();
    let signals = [libc::SIGRTMIN(), sampling, libc::SIGABRT, libc::SIGSTOP, libc::SIGTSTP, libc::SIGQUIT]
        .map(i32::cast_unsigned);
    // The number of a process's clock is negative, and has a bit more if it is a thread's (of the same process).
    let own_clock = AnyOf(vec![AtMost(0, uapi::CLOCK_TAI), HasSome(0, CLOCK_OF_THREAD)]);
    vec![
        (Sysno::tgkill, vec![OneOf(0, vec![own_process]), OneOf(2, signals.to_vec())]),
        (Sysno::rt_sigaction, vec![OneOf(0, vec![SIGSETXID, libc::SIGQUIT.cast_unsigned()])]),
        (Sysno::rt_sigprocmask, vec![AtMost(0, uapi::SIG_SETMASK)]),
        (Sysno::clock_gettime, vec![own_clock.clone()]),
        (Sysno::clock_getres, vec![own_clock]),
        (Sysno::clock_nanosleep, vec![AtMost(0, uapi::CLOCK_MONOTONIC), AtMost(1, uapi::TIMER_ABSTIME)]),
        (Sysno::getrandom, vec![HasNone(2, !(uapi::GRND_NONBLOCK | uapi::GRND_INSECURE))]),
    ]
}

/// Sockets that are open already: the caller's streams, and where requests from outside arrive, descriptors with them. No address is
/// sent to.
fn sockets() -> Vec<Condition> {
    let flags = !(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL).cast_unsigned();
    vec![
        (Sysno::accept4, vec![IsZero(1), OneOf(3, vec![libc::SOCK_CLOEXEC as u32])]),
        (
            Sysno::getsockopt,
            vec![OneOf(1, vec![libc::SOL_SOCKET as u32]), OneOf(2, vec![libc::SO_PEERCRED as u32])],
        ),
        (Sysno::recvfrom, vec![HasNone(3, flags), IsZero(4)]),
        (Sysno::recvmsg, vec![OneOf(2, vec![libc::MSG_CMSG_CLOEXEC as u32])]),
        (Sysno::sendto, vec![HasNone(3, flags), IsZero(4)]),
    ]
}
