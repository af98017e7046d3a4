//! The seccomp filter (`man 2 seccomp`): which system calls of the host remain.
//!
//! Whatever is not in a list here is trapped: see [`super::violation`]. A few calls that the C library makes on its own
//! and can do without fail with ENOSYS instead: clone3, whose flags a filter cannot see, so that threads are made by
//! clone, whose flags it can; and openat, by which malloc and backtraces look into /proc and /sys.

use std::collections::BTreeMap;

use linux_raw_sys::{general as uapi, prctl};
use seccompiler::apply_filter_all_threads;
use sentry::syscall::Sysno;

use super::Access;
use super::program::{
    Answer::{self, Allow, AllowIf, Unavailable},
    Test::{HasNone, HasSome, IsZero, OneOf},
    compile,
};
use super::requests;

/// Calls that remain whatever their arguments.
const UNCONDITIONAL: &[Sysno] = &[
    // Standard streams, and the files of the image.
    Sysno::read,
    Sysno::write,
    Sysno::writev,
    Sysno::pread64,
    Sysno::preadv2,
    Sysno::pwritev2,
    Sysno::lseek,
    Sysno::close,
    Sysno::fsync,
    Sysno::ftruncate,
    Sysno::pwrite64,
    Sysno::fallocate,
    Sysno::tee,
    Sysno::recvfrom,
    Sysno::fstat,
    Sysno::fstatfs,
    Sysno::statx,
    Sysno::openat2,
    Sysno::readlinkat,
    Sysno::getdents64,
    Sysno::fgetxattr,
    Sysno::flistxattr,
    // Readiness.
    Sysno::poll,
    Sysno::ppoll,
    Sysno::epoll_create1,
    Sysno::epoll_ctl,
    Sysno::epoll_wait,
    Sysno::epoll_pwait,
    Sysno::epoll_pwait2,
    // Memory.
    Sysno::brk,
    Sysno::munmap,
    Sysno::mremap,
    Sysno::madvise,
    // Threads.
    Sysno::futex,
    Sysno::membarrier,
    Sysno::set_robust_list,
    Sysno::rseq,
    Sysno::sched_yield,
    Sysno::getcpu, // Where the vDSO does not answer: static executables, hosts without RDTSCP.
    Sysno::sched_getaffinity,
    Sysno::sched_setaffinity,
    Sysno::getpid,
    Sysno::gettid,
    Sysno::exit,
    Sysno::exit_group,
    Sysno::restart_syscall,
    // Signals that the sentry's own threads send each other.
    Sysno::rt_sigprocmask,
    Sysno::rt_sigreturn,
    Sysno::sigaltstack,
    // Clocks and randomness.
    Sysno::clock_gettime,
    Sysno::clock_getres,
    Sysno::clock_nanosleep,
    Sysno::nanosleep,
    Sysno::getrandom,
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
const UNAVAILABLE: &[Sysno] = &[Sysno::openat, Sysno::clone3];

/// The commands of fcntl that remain.
const FCNTL_COMMANDS: &[u32] =
    &[uapi::F_GETFD, uapi::F_GETFL, uapi::F_DUPFD_CLOEXEC, uapi::F_GETPIPE_SZ, uapi::F_SETPIPE_SZ];

/// Those by which files of volumes are locked.
const LOCK_COMMANDS: &[u32] = &[uapi::F_OFD_SETLK, uapi::F_OFD_GETLK];

/// The signal that the C library handles from the first thread on, to have setuid(2) concern all threads
/// (`man 7 nptl`).
const SIGSETXID: u32 = 33;

/// Installs the filter for all threads. It stays, and no other can be added.
///
/// # Errors
/// The host refuses.
pub(super) fn install(access: Access) -> anyhow::Result<()> {
    Ok(apply_filter_all_threads(&compile(rules(access))?)?)
}

/// How large the filter is and what it leaves.
///
/// # Errors
/// It cannot be compiled.
pub(super) fn describe(access: Access) -> anyhow::Result<String> {
    let rules = rules(access);
    let count = |is_kind: fn(&Answer) -> bool| rules.values().filter(|answer| is_kind(answer)).count();
    let always = count(|answer| *answer == Allow);
    let sometimes = count(|answer| matches!(answer, AllowIf(_)));
    let instructions = compile(rules)?.len();
    Ok(format!(
        "{always} system calls, {sometimes} more with some arguments, by a filter of {instructions} instructions"
    ))
}

fn rules(access: Access) -> BTreeMap<Sysno, Answer> {
    let own_process = rustix::process::getpid().as_raw_nonzero().get().cast_unsigned();
    let conditional = [
        (Sysno::ioctl, vec![OneOf(1, requests::allowed())]),
        (Sysno::mmap, vec![HasNone(2, uapi::PROT_EXEC)]),
        (Sysno::mprotect, vec![HasNone(2, uapi::PROT_EXEC)]),
        (Sysno::clone, vec![HasSome(0, uapi::CLONE_THREAD)]),
        (Sysno::tgkill, vec![OneOf(0, vec![own_process])]),
        (Sysno::rt_sigaction, vec![OneOf(0, vec![SIGSETXID])]),
        (Sysno::fcntl, vec![OneOf(1, FCNTL_COMMANDS.to_vec())]),
        (Sysno::prctl, vec![OneOf(0, vec![prctl::PR_SET_NAME, prctl::PR_SET_VMA, prctl::PR_FUTEX_HASH])]),
        // The limits of this process, without new ones.
        (Sysno::prlimit64, vec![IsZero(0), IsZero(2)]),
        // Requests to pause and resume, at a socket that is open already.
        (Sysno::accept4, vec![IsZero(1)]),
        (
            Sysno::getsockopt,
            vec![OneOf(1, vec![libc::SOL_SOCKET as u32]), OneOf(2, vec![libc::SO_PEERCRED as u32])],
        ),
        // Without an address to send to.
        (Sysno::sendto, vec![IsZero(4)]),
    ];
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
    rules.extend(UNAVAILABLE.iter().map(|number| (*number, Unavailable)));
    rules
}
