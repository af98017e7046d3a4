//! Calls of which each ends a jailed process, whatever its arguments or with those that the sentry never gives.

use sentry::syscall::Sysno;

use super::{CALL, attempt};
use crate::failure::Failure;

/// Calls by which a process that is no longer itself would reach out.
pub(super) const DANGEROUS: [Sysno; 75] = [
    // Files by name.
    Sysno::open,
    Sysno::creat,
    Sysno::open_by_handle_at,
    Sysno::name_to_handle_at,
    Sysno::truncate,
    Sysno::unlink,
    Sysno::unlinkat,
    Sysno::rename,
    Sysno::renameat2,
    Sysno::mkdirat,
    Sysno::mknodat,
    Sysno::linkat,
    Sysno::symlinkat,
    Sysno::chmod,
    Sysno::fchmod,
    Sysno::fchmodat,
    Sysno::fchown,
    Sysno::fchownat,
    Sysno::utimensat,
    Sysno::fsetxattr,
    Sysno::chdir,
    Sysno::fchdir,
    Sysno::chroot,
    Sysno::fanotify_init,
    // Mounts and namespaces.
    Sysno::mount,
    Sysno::umount2,
    Sysno::pivot_root,
    Sysno::fsopen,
    Sysno::open_tree,
    Sysno::move_mount,
    Sysno::unshare,
    Sysno::setns,
    // Programs and other processes.
    Sysno::fork,
    Sysno::vfork,
    Sysno::clone,
    Sysno::execve,
    Sysno::execveat,
    Sysno::ptrace,
    Sysno::process_vm_readv,
    Sysno::process_vm_writev,
    Sysno::process_madvise,
    Sysno::kcmp,
    Sysno::kill,
    Sysno::tkill,
    Sysno::rt_sigqueueinfo,
    Sysno::pidfd_open,
    Sysno::pidfd_getfd,
    Sysno::pidfd_send_signal,
    // The network, and descriptors of others.
    Sysno::socket,
    Sysno::socketpair,
    Sysno::connect,
    Sysno::bind,
    Sysno::sendmsg,
    // Code and memory.
    Sysno::memfd_create,
    Sysno::userfaultfd,
    Sysno::remap_file_pages,
    Sysno::shmget,
    // Privileges, and the kernel itself.
    Sysno::setuid,
    Sysno::setgid,
    Sysno::setresuid,
    Sysno::capset,
    Sysno::seccomp,
    Sysno::personality,
    Sysno::bpf,
    Sysno::perf_event_open,
    Sysno::io_uring_setup,
    Sysno::keyctl,
    Sysno::init_module,
    Sysno::finit_module,
    Sysno::kexec_load,
    Sysno::reboot,
    Sysno::swapon,
    Sysno::acct,
    Sysno::clock_settime,
    Sysno::iopl,
];

#[test]
fn each_dangerous_call_ends_a_jailed_process() {
    for call in DANGEROUS {
        ends(call, [0; 6]);
    }
}

#[test]
fn each_call_with_dangerous_arguments_ends_a_jailed_process() {
    for (call, arguments) in dangerous_arguments() {
        ends(call, arguments);
    }
}

fn ends(call: Sysno, arguments: [i64; 6]) {
    let words = arguments.map(|argument| argument.to_string()).join(" ");
    let output = attempt(&format!("{CALL}{} {words}", call as i64));
    let name = call.name();
    assert_eq!(output.status.code(), Some(Failure::VMM.into()), "{name} {words}: {output:?}");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains(&format!(" {name}(")), "{name} {words}: {message}");
}

/// `_IO(KVMIO, 0x01)`.
const KVM_CREATE_VM: u64 = 0xae01;

/// Calls that the sentry makes, with arguments that it never gives them.
fn dangerous_arguments() -> Vec<(Sysno, [i64; 6])> {
    [files_and_memory(), processes(), sockets(), subcommands()].concat()
}

fn first(call: Sysno, value: i64) -> (Sysno, [i64; 6]) {
    (call, [value, 0, 0, 0, 0, 0])
}

fn second(call: Sysno, value: i64) -> (Sysno, [i64; 6]) {
    (call, [0, value, 0, 0, 0, 0])
}

fn third(call: Sysno, value: i64) -> (Sysno, [i64; 6]) {
    (call, [0, 0, value, 0, 0, 0])
}

/// Stands for an address where none may be.
const POINTER: i64 = 1;

fn files_and_memory() -> Vec<(Sysno, [i64; 6])> {
    const HERE: i64 = libc::AT_FDCWD as i64;
    const DATA: i64 = (libc::PROT_READ | libc::PROT_WRITE) as i64;
    let mapping = |flags| (Sysno::mmap, [0, 4096, DATA, i64::from(libc::MAP_PRIVATE | flags), -1, 0]);
    vec![
        (Sysno::openat2, [HERE, 0, 0, 24, 0, 0]),
        (Sysno::openat2, [3, 0, 0, 16, 0, 0]),
        first(Sysno::statx, HERE),
        first(Sysno::readlinkat, HERE),
        (Sysno::fallocate, [1, libc::FALLOC_FL_UNSHARE_RANGE.into(), 0, 1, 0, 0]),
        (Sysno::preadv2, [0, 0, 0, 0, 0, libc::RWF_HIPRI.into()]),
        (Sysno::pwritev2, [0, 0, 0, 0, 0, libc::RWF_DSYNC.into()]),
        (Sysno::tee, [0, 0, 0, libc::SPLICE_F_MOVE.into(), 0, 0]),
        third(Sysno::lseek, 5),
        second(Sysno::pipe2, libc::O_DIRECT.into()),
        first(Sysno::epoll_create1, 0),
        second(Sysno::epoll_ctl, 4),
        third(Sysno::mmap, libc::PROT_EXEC.into()),
        mapping(libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN),
        mapping(libc::MAP_ANONYMOUS | libc::MAP_HUGETLB),
        third(Sysno::mprotect, DATA | i64::from(libc::PROT_EXEC)),
        third(Sysno::mprotect, DATA | i64::from(libc::PROT_GROWSDOWN)),
        (Sysno::mremap, [0, 0, 0, i64::from(libc::MREMAP_FIXED | libc::MREMAP_MAYMOVE), 0, 0]),
    ]
}

fn processes() -> Vec<(Sysno, [i64; 6])> {
    let other = i64::from(std::process::id());
    let clock_of_process_1 = i64::from(!1 << 3 | 2);
    vec![
        first(Sysno::clone, libc::SIGCHLD.into()),
        first(Sysno::clone, i64::from(libc::CLONE_VM | libc::CLONE_VFORK)),
        first(Sysno::clone, i64::from(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)),
        (Sysno::tgkill, [other, other, libc::SIGABRT.into(), 0, 0, 0]),
        first(Sysno::rt_sigaction, libc::SIGSYS.into()),
        first(Sysno::rt_sigaction, libc::SIGSEGV.into()),
        first(Sysno::rt_sigprocmask, 3),
        first(Sysno::sched_setaffinity, other),
        first(Sysno::prlimit64, other),
        third(Sysno::prlimit64, POINTER),
        first(Sysno::clock_gettime, clock_of_process_1),
        first(Sysno::clock_getres, clock_of_process_1),
        first(Sysno::clock_nanosleep, libc::CLOCK_PROCESS_CPUTIME_ID.into()),
        first(Sysno::membarrier, libc::MEMBARRIER_CMD_GLOBAL.into()),
        third(Sysno::getrandom, libc::GRND_RANDOM.into()),
    ]
}

fn sockets() -> Vec<(Sysno, [i64; 6])> {
    let (level, option) = (libc::SOL_SOCKET.into(), libc::SO_PEERCRED.into());
    vec![
        second(Sysno::accept4, POINTER),
        first(Sysno::accept4, 0),
        (Sysno::getsockopt, [0, level, libc::SO_PEERGROUPS.into(), 0, 0, 0]),
        (Sysno::getsockopt, [0, libc::IPPROTO_TCP.into(), option, 0, 0, 0]),
        (Sysno::sendto, [0, 0, 0, 0, POINTER, 0]),
        (Sysno::sendto, [0, 0, 0, libc::MSG_OOB.into(), 0, 0]),
        (Sysno::recvfrom, [0, 0, 0, 0, POINTER, 0]),
        (Sysno::recvfrom, [0, 0, 0, libc::MSG_ERRQUEUE.into(), 0, 0]),
        third(Sysno::recvmsg, 0),
    ]
}

/// Calls that are many, by a number.
fn subcommands() -> Vec<(Sysno, [i64; 6])> {
    let advice = [libc::MADV_REMOVE, libc::MADV_MERGEABLE, libc::MADV_HWPOISON, libc::MADV_PAGEOUT];
    let futex = [libc::FUTEX_FD, libc::FUTEX_CMP_REQUEUE, libc::FUTEX_LOCK_PI, libc::FUTEX_WAKE];
    let fcntl =
        [libc::F_DUPFD, libc::F_SETFL, libc::F_SETOWN, libc::F_SETLEASE, libc::F_NOTIFY, libc::F_ADD_SEALS];
    let prctl = [
        libc::PR_SET_DUMPABLE,
        libc::PR_SET_PTRACER,
        libc::PR_SET_SECCOMP,
        libc::PR_SET_MM,
        libc::PR_CAP_AMBIENT,
        libc::PR_SET_SECUREBITS,
    ];
    let ioctl = [
        libc::TIOCSTI,
        libc::TIOCSCTTY,
        libc::TIOCCONS,
        libc::FIOASYNC,
        libc::FS_IOC_SETFLAGS,
        KVM_CREATE_VM,
    ];
    let mut calls = Vec::new();
    calls.extend(advice.map(|advice| third(Sysno::madvise, advice.into())));
    calls.extend(futex.map(|operation| second(Sysno::futex, operation.into())));
    calls.extend(fcntl.map(|command| second(Sysno::fcntl, command.into())));
    calls.extend(prctl.map(|option| first(Sysno::prctl, option.into())));
    calls.extend(ioctl.map(|request| second(Sysno::ioctl, request as i64)));
    calls
}
