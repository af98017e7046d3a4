//! Which calls may be served while their task is lent (see `task::lent`): those that need neither the task's registers nor
//! its context, that change neither its address space nor what it is, and that undo themselves when interrupted.

use syscalls::Sysno;

use super::arguments::{int, unsigned};
use crate::fs::Fd;
use crate::task::CurrentTask;

/// The most bytes that are moved so: with more, the exit hardly matters, and others would wait.
const LEN_MAX: u64 = 64 * 1024;
/// What a pipe takes at once or not at all (`man 7 pipe`, PIPE_BUF).
const PIPE_LEN_MAX: u64 = linux_raw_sys::general::PIPE_BUF as u64;

/// Whether call `number` of `task`, with `arguments`, is one of them.
pub(super) fn is_served_lent(task: &CurrentTask, number: u64, arguments: [u64; 6]) -> bool {
    let Some(call) = usize::try_from(number).ok().and_then(Sysno::new) else { return false };
    let [first, second, third, ..] = arguments;
    match call {
        Sysno::getpid
        | Sysno::gettid
        | Sysno::getppid
        | Sysno::getuid
        | Sysno::geteuid
        | Sysno::getgid
        | Sysno::getegid
        | Sysno::getpgrp
        | Sysno::getpgid
        | Sysno::getsid
        | Sysno::umask
        | Sysno::gettimeofday
        | Sysno::time
        | Sysno::uname
        | Sysno::getcwd
        | Sysno::lseek
        | Sysno::fstat
        | Sysno::stat
        | Sysno::lstat
        | Sysno::newfstatat
        | Sysno::statx
        | Sysno::statfs
        | Sysno::fstatfs
        | Sysno::access
        | Sysno::faccessat
        | Sysno::faccessat2
        | Sysno::readlink
        | Sysno::readlinkat
        | Sysno::getdents64 => true,
        Sysno::open => is_plain_open(second),
        Sysno::openat => is_plain_open(third),
        Sysno::clock_gettime | Sysno::clock_getres => is_clock_of_all(first),
        Sysno::read | Sysno::pread64 => is_small(third) && has_plain_file(task, first),
        Sysno::write | Sysno::pwrite64 => is_plain_write(task, first, third),
        Sysno::close => has_plain_file(task, first),
        Sysno::fcntl => is_plain_fcntl(second),
        Sysno::epoll_wait | Sysno::poll => true,
        Sysno::futex => is_futex_wake(second),
        _ => false,
    }
}

fn is_small(len_bytes: u64) -> bool {
    len_bytes <= LEN_MAX
}

/// Clocks that are nobody's own (`man 2 clock_gettime`).
fn is_clock_of_all(clock: u64) -> bool {
    use linux_raw_sys::general as uapi;
    matches!(
        unsigned(clock),
        uapi::CLOCK_REALTIME
            | uapi::CLOCK_MONOTONIC
            | uapi::CLOCK_MONOTONIC_RAW
            | uapi::CLOCK_REALTIME_COARSE
            | uapi::CLOCK_MONOTONIC_COARSE
            | uapi::CLOCK_BOOTTIME
    )
}

/// Opens that change nothing.
fn is_plain_open(flags: u64) -> bool {
    use linux_raw_sys::general as uapi;
    unsigned(flags) & (uapi::O_CREAT | uapi::O_TRUNC | uapi::O_ACCMODE) == 0
}

fn is_plain_fcntl(command: u64) -> bool {
    use linux_raw_sys::general as uapi;
    matches!(unsigned(command), uapi::F_GETFD | uapi::F_SETFD | uapi::F_GETFL)
}

fn is_futex_wake(operation: u64) -> bool {
    use linux_raw_sys::general as uapi;
    let command = int(operation) as u32 & !(uapi::FUTEX_PRIVATE_FLAG | uapi::FUTEX_CLOCK_REALTIME);
    command == uapi::FUTEX_WAKE
}

/// Whether a descriptor's file is one that never waits for anything but other tasks.
fn has_plain_file(task: &CurrentTask, descriptor: u64) -> bool {
    task.file(Fd(int(descriptor))).is_ok_and(|file| file.file().waits_for_tasks_only())
}

/// Writes that are done as a whole, or not at all.
fn is_plain_write(task: &CurrentTask, descriptor: u64, len_bytes: u64) -> bool {
    let Ok(file) = task.file(Fd(int(descriptor))) else { return false };
    let len_max = if file.is_regular() { LEN_MAX } else { PIPE_LEN_MAX };
    len_bytes <= len_max && file.file().waits_for_tasks_only()
}
