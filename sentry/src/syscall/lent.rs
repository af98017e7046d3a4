//! Which calls may be served while their task is lent (see `task::lent`): those that need neither the task's registers nor
//! its context, that are not about the thread that serves them, and that undo themselves when interrupted.
//!
//! What only takes long may be served so: whoever waits for the same thread meanwhile makes its calls itself. But nothing
//! that may never end, and nothing that moves much: there an exit does not matter.

use syscalls::Sysno;

use super::arguments::{int, unsigned};
use crate::fs::{Fd, FileDescription, OpenFlags};
use crate::net::SocketFile;
use crate::task::CurrentTask;

/// The most bytes that are moved so: with more, the exit hardly matters, and others would wait.
const LEN_MAX: u64 = 64 * 1024;

/// Whether call `number` of `task`, with `arguments`, is one of them.
pub(super) fn is_served_lent(task: &CurrentTask, number: u64, arguments: [u64; 6]) -> bool {
    let Some(call) = usize::try_from(number).ok().and_then(Sysno::new) else { return false };
    tells_or_sets(call)
        // Without a number that it was shown, it is told where the serving thread is.
        || call == Sysno::getcpu && task.has_cpu_number()
        || names_a_file(call)
        || is_memory_call(call, arguments)
        || is_file_call(task, call, arguments)
        || is_socket_call(task, call, arguments)
        || is_waiting_call(call, arguments)
}

/// What is told or set at once, whatever the arguments.
fn tells_or_sets(call: Sysno) -> bool {
    matches!(
        call,
        Sysno::getpid
            | Sysno::gettid
            | Sysno::getppid
            | Sysno::getuid
            | Sysno::geteuid
            | Sysno::getgid
            | Sysno::getegid
            | Sysno::getresuid
            | Sysno::getresgid
            | Sysno::getgroups
            | Sysno::getpgrp
            | Sysno::getpgid
            | Sysno::getsid
            | Sysno::setpgid
            | Sysno::getpriority
            | Sysno::getrlimit
            | Sysno::setrlimit
            | Sysno::prlimit64
            | Sysno::getrusage
            | Sysno::times
            | Sysno::sched_getscheduler
            | Sysno::sched_getparam
            | Sysno::sched_getattr
            | Sysno::sched_getaffinity
            | Sysno::sched_get_priority_max
            | Sysno::sched_get_priority_min
            | Sysno::sched_rr_get_interval
            | Sysno::capget
            | Sysno::personality
            | Sysno::umask
            | Sysno::uname
            | Sysno::sysinfo
            | Sysno::gettimeofday
            | Sysno::time
            | Sysno::clock_gettime
            | Sysno::clock_getres
            | Sysno::getitimer
            | Sysno::setitimer
            | Sysno::alarm
            | Sysno::timer_create
            | Sysno::timer_settime
            | Sysno::timer_gettime
            | Sysno::timer_getoverrun
            | Sysno::timer_delete
            | Sysno::rt_sigaction
            | Sysno::rt_sigprocmask
            | Sysno::rt_sigpending
            | Sysno::rt_sigqueueinfo
            | Sysno::rt_tgsigqueueinfo
            | Sysno::kill
            | Sysno::tkill
            | Sysno::tgkill
            | Sysno::pidfd_open
            | Sysno::pidfd_send_signal
            | Sysno::set_robust_list
            | Sysno::get_robust_list
            | Sysno::set_tid_address
            | Sysno::getcwd
            | Sysno::chdir
            | Sysno::fchdir
            | Sysno::dup
            | Sysno::pipe
            | Sysno::pipe2
            | Sysno::eventfd
            | Sysno::eventfd2
            | Sysno::memfd_create
            | Sysno::signalfd
            | Sysno::signalfd4
            | Sysno::epoll_create
            | Sysno::epoll_create1
            | Sysno::epoll_ctl
            | Sysno::timerfd_create
            | Sysno::timerfd_settime
            | Sysno::timerfd_gettime
            | Sysno::inotify_init
            | Sysno::inotify_init1
            | Sysno::inotify_add_watch
            | Sysno::inotify_rm_watch
            | Sysno::shmget
            | Sysno::shmctl
            | Sysno::semget
            | Sysno::semctl
            | Sysno::msgget
            | Sysno::msgctl
            | Sysno::mq_getsetattr
            | Sysno::mq_unlink
    )
}

/// What looks up, makes, changes or removes a name.
fn names_a_file(call: Sysno) -> bool {
    matches!(
        call,
        Sysno::stat
            | Sysno::lstat
            | Sysno::fstat
            | Sysno::newfstatat
            | Sysno::statx
            | Sysno::statfs
            | Sysno::fstatfs
            | Sysno::access
            | Sysno::faccessat
            | Sysno::faccessat2
            | Sysno::readlink
            | Sysno::readlinkat
            | Sysno::mkdir
            | Sysno::mkdirat
            | Sysno::rmdir
            | Sysno::unlink
            | Sysno::unlinkat
            | Sysno::rename
            | Sysno::renameat
            | Sysno::renameat2
            | Sysno::link
            | Sysno::linkat
            | Sysno::symlink
            | Sysno::symlinkat
            | Sysno::chmod
            | Sysno::fchmod
            | Sysno::fchmodat
            | Sysno::chown
            | Sysno::lchown
            | Sysno::fchown
            | Sysno::fchownat
            | Sysno::utimensat
            | Sysno::utime
            | Sysno::utimes
            | Sysno::futimesat
            | Sysno::fchmodat2
            | Sysno::mknod
            | Sysno::mknodat
            | Sysno::setxattr
            | Sysno::lsetxattr
            | Sysno::fsetxattr
            | Sysno::removexattr
            | Sysno::lremovexattr
            | Sysno::fremovexattr
            | Sysno::getxattr
            | Sysno::lgetxattr
            | Sysno::fgetxattr
            | Sysno::listxattr
            | Sysno::llistxattr
            | Sysno::flistxattr
            | Sysno::open
            | Sysno::openat
            | Sysno::openat2
            | Sysno::creat
    )
}

/// What changes the address space, but does not fill much of it.
fn is_memory_call(call: Sysno, arguments: [u64; 6]) -> bool {
    use linux_raw_sys::general as uapi;
    let [_, _, third, fourth, ..] = arguments;
    match call {
        Sysno::brk | Sysno::munmap | Sysno::mprotect | Sysno::mremap | Sysno::mincore => true,
        Sysno::mmap => unsigned(fourth) & (uapi::MAP_POPULATE | uapi::MAP_LOCKED) == 0,
        Sysno::madvise => matches!(unsigned(third), uapi::MADV_DONTNEED | uapi::MADV_FREE),
        _ => false,
    }
}

/// What is done to an open file.
fn is_file_call(task: &CurrentTask, call: Sysno, arguments: [u64; 6]) -> bool {
    let [first, second, third, ..] = arguments;
    let is_file = |wanted: &dyn Fn(&FileDescription) -> bool| {
        task.file(Fd(int(first))).is_ok_and(|file| file.file().is_prompt() && wanted(&file))
    };
    match call {
        Sysno::read | Sysno::pread64 => {
            third <= LEN_MAX
                && is_file(&|file| file.file().read_pace().is_none() && takes_what_is_there(file))
        }
        Sysno::write | Sysno::pwrite64 => is_file(&|file| is_taken_whole(file, third)),
        // How much is to be moved is known later: no more than a regular file takes anyway.
        Sysno::readv | Sysno::writev | Sysno::preadv | Sysno::pwritev | Sysno::preadv2 | Sysno::pwritev2 => {
            is_file(&FileDescription::is_regular)
        }
        Sysno::lseek | Sysno::getdents | Sysno::getdents64 => is_file(&|_| true),
        Sysno::ftruncate | Sysno::fsync | Sysno::fdatasync => is_file(&|_| true),
        Sysno::fadvise64 | Sysno::flock => is_file(&|_| true),
        Sysno::close => is_file(&closes_at_once),
        Sysno::dup2 | Sysno::dup3 => {
            task.file(Fd(int(second))).is_ok_and(|file| file.file().is_prompt() && closes_at_once(&file))
        }
        Sysno::fcntl => is_plain_fcntl(second) || is_record_lock(second) && is_file(&|_| true),
        Sysno::ioctl => is_plain_ioctl(second),
        Sysno::getrandom => second <= LEN_MAX,
        _ => false,
    }
}

/// Whether `len_bytes` are written as a whole or not at all, unless writing in part is as good.
fn is_taken_whole(file: &FileDescription, len_bytes: u64) -> bool {
    let may_be_partial = file.flags().contains(OpenFlags::NONBLOCK);
    len_bytes <= LEN_MAX && (may_be_partial || file.file().takes_whole(len_bytes))
}

/// Whether closing waits for nobody: a socket may linger.
fn closes_at_once(file: &FileDescription) -> bool {
    file.downcast::<SocketFile>().is_none()
}

fn is_plain_fcntl(command: u64) -> bool {
    use linux_raw_sys::general as uapi;
    matches!(
        unsigned(command),
        uapi::F_GETFD
            | uapi::F_SETFD
            | uapi::F_GETFL
            | uapi::F_SETFL
            | uapi::F_DUPFD
            | uapi::F_DUPFD_CLOEXEC
            | uapi::F_GETOWN
            | uapi::F_GETPIPE_SZ
    )
}

/// Commands of locks that do not wait.
fn is_record_lock(command: u64) -> bool {
    use linux_raw_sys::general as uapi;
    matches!(unsigned(command), uapi::F_GETLK | uapi::F_SETLK | uapi::F_OFD_GETLK | uapi::F_OFD_SETLK)
}

fn is_plain_ioctl(request: u64) -> bool {
    use linux_raw_sys::ioctl as requests;
    matches!(
        unsigned(request),
        requests::TCGETS
            | requests::TIOCGWINSZ
            | requests::TIOCGPGRP
            | requests::FIONREAD
            | requests::FIONBIO
            | requests::FIOCLEX
            | requests::FIONCLEX
    )
}

/// What is done to a socket.
fn is_socket_call(task: &CurrentTask, call: Sysno, arguments: [u64; 6]) -> bool {
    let [first, _, third, fourth, ..] = arguments;
    let is_file =
        |wanted: &dyn Fn(&FileDescription) -> bool| task.file(Fd(int(first))).is_ok_and(|file| wanted(&file));
    match call {
        Sysno::socket
        | Sysno::socketpair
        | Sysno::bind
        | Sysno::listen
        | Sysno::accept
        | Sysno::accept4
        | Sysno::getsockname
        | Sysno::getpeername
        | Sysno::getsockopt
        | Sysno::setsockopt
        | Sysno::shutdown => true,
        Sysno::recvfrom => third <= LEN_MAX && !waits_for_all(fourth) && is_file(&takes_what_is_there),
        Sysno::recvmsg => !waits_for_all(third) && is_file(&takes_what_is_there),
        Sysno::sendto => {
            let is_whole = |file: &FileDescription| is_taken_whole(file, third) || is_never_waiting(fourth);
            third <= LEN_MAX && is_file(&is_whole)
        }
        Sysno::sendmsg => {
            is_never_waiting(third) || is_file(&|file| file.flags().contains(OpenFlags::NONBLOCK))
        }
        _ => false,
    }
}

/// Whether reading it does not wait for more once there is something (SO_RCVLOWAT).
fn takes_what_is_there(file: &FileDescription) -> bool {
    let socket = file.downcast::<SocketFile>();
    socket.is_none_or(|file| file.socket().common().options().receive_low_water <= 1)
}

fn waits_for_all(flags: u64) -> bool {
    unsigned(flags) & linux_raw_sys::net::MSG_WAITALL != 0
}

fn is_never_waiting(flags: u64) -> bool {
    unsigned(flags) & linux_raw_sys::net::MSG_DONTWAIT != 0
}

/// What waits until something is ready, if that is so already.
fn is_waiting_call(call: Sysno, arguments: [u64; 6]) -> bool {
    let [_, second, third, fourth, fifth, sixth] = arguments;
    match call {
        Sysno::poll | Sysno::select | Sysno::epoll_wait => true,
        Sysno::semop | Sysno::semtimedop | Sysno::mq_timedsend | Sysno::mq_timedreceive => true,
        Sysno::msgsnd | Sysno::msgrcv => true,
        // A mask would have to be put back.
        Sysno::ppoll => fourth == 0,
        Sysno::pselect6 => sixth == 0,
        Sysno::epoll_pwait | Sysno::epoll_pwait2 => fifth == 0,
        Sysno::futex => is_plain_futex(second),
        Sysno::wait4 => unsigned(third) & linux_raw_sys::general::WNOHANG != 0,
        Sysno::waitid => unsigned(fourth) & linux_raw_sys::general::WNOHANG != 0,
        _ => false,
    }
}

/// What wakes, and what waits for a value that may have changed already.
fn is_plain_futex(operation: u64) -> bool {
    use linux_raw_sys::general as uapi;
    let command = unsigned(operation) & !(uapi::FUTEX_PRIVATE_FLAG | uapi::FUTEX_CLOCK_REALTIME);
    matches!(
        command,
        uapi::FUTEX_WAKE
            | uapi::FUTEX_WAKE_BITSET
            | uapi::FUTEX_WAKE_OP
            | uapi::FUTEX_REQUEUE
            | uapi::FUTEX_CMP_REQUEUE
            | uapi::FUTEX_WAIT
            | uapi::FUTEX_WAIT_BITSET
    )
}
