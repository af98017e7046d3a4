//! What the arguments of each system call are.

use syscalls::Sysno;

use super::call::{
    Argument::{self, After, Before, Choice, Flags, In, InArray, Out, OutArray, Value},
    Returns,
};
use super::{decode, structures, symbols, value, variants};

/// The arguments of a call, and what it returns.
pub(super) type Shape = (&'static [Argument], Returns);

/// How the shape of a call is found.
#[derive(Clone, Copy)]
enum Row {
    Fixed(&'static [Argument], Returns),
    /// It depends on an argument.
    Variant(fn(&[u64; 6]) -> Shape),
}

/// One more than the largest number in the table.
const LEN: usize = 512;

static TABLE: [Option<Row>; LEN] = build();

const fn build() -> [Option<Row>; LEN] {
    let mut table = [None; LEN];
    let mut subject = 0;
    while subject < SUBJECTS.len() {
        let rows = SUBJECTS[subject];
        let mut index = 0;
        while index < rows.len() {
            let (number, row) = rows[index];
            assert!(table[number as usize].is_none(), "a system call with two rows");
            table[number as usize] = Some(row);
            index += 1;
        }
        subject += 1;
    }
    table
}

/// The shape of system call `number` with these arguments: hexadecimal if it is not in the table.
pub(super) fn find(number: u64, arguments: &[u64; 6]) -> Shape {
    const UNKNOWN: &[Argument] = &[HEX, HEX, HEX, HEX, HEX, HEX];
    match usize::try_from(number).ok().and_then(|index| TABLE.get(index).copied().flatten()) {
        Some(Row::Fixed(shape, returns)) => (shape, returns),
        Some(Row::Variant(shape)) => shape(arguments),
        None => (UNKNOWN, Returns::Number),
    }
}

/// Whether system call `number` has a row.
#[cfg(test)]
pub(super) fn has_row(number: Sysno) -> bool {
    TABLE.get(number as usize).is_some_and(Option::is_some)
}

const INT: Argument = Value(value::int);
const UINT: Argument = Value(value::unsigned);
const LONG: Argument = Value(value::long);
const SIZE: Argument = Value(value::size);
const HEX: Argument = Value(value::hex);
const POINTER: Argument = Value(value::pointer);
const FD: Argument = INT;
const PID: Argument = INT;
const ID: Argument = Value(value::id);
const KEY: Argument = Value(value::key);
const DIRECTORY: Argument = Value(value::directory);
const PATH: Argument = Before(decode::path);
const STRING: Argument = PATH;
const MODE: Argument = Value(value::mode);
const SIGNAL: Argument = Value(value::signal);
const CLOCK: Argument = Value(value::clock);
const READ_BUFFER: Argument = After(decode::buffer_out);
const WRITE_BUFFER: Argument = Before(decode::buffer_in);
const READ_VECTOR: Argument = After(decode::vector_out);
const WRITE_VECTOR: Argument = Before(decode::vector_in);
const TIMEOUT: Argument = In(&structures::TIMESPEC);
const MASK: Argument = In(&structures::SIGNAL_SET);
const AT_FLAGS: Argument = Flags(&symbols::AT_FLAGS);
const ADDRESS: Argument = Before(decode::address_in);
const ADDRESS_OUT: Argument = After(decode::address_out);
const LENGTH_OUT: Argument = Out(&structures::INT);

/// A row whose call returns a number.
const fn call(arguments: &'static [Argument]) -> Row {
    Row::Fixed(arguments, Returns::Number)
}

/// A row whose call returns something else.
const fn returning(returns: Returns, arguments: &'static [Argument]) -> Row {
    Row::Fixed(arguments, returns)
}

const SUBJECTS: &[&[(Sysno, Row)]] = &[
    FILES,
    NAMES,
    DESCRIPTORS,
    MOUNTS,
    MEMORY,
    PROCESSES,
    IDENTITY,
    RESOURCES,
    SIGNALS,
    TIME,
    READINESS,
    SOCKETS,
    SYSTEM,
    KEYS,
];

/// Keys and keyrings.
const KEYS: &[(Sysno, Row)] = &[
    (Sysno::add_key, call(&[STRING, STRING, WRITE_BUFFER, SIZE, KEY])),
    (Sysno::request_key, call(&[STRING, STRING, STRING, KEY])),
    (Sysno::keyctl, Row::Variant(variants::keyctl)),
];

/// Opening, reading and writing.
const FILES: &[(Sysno, Row)] = &[
    (Sysno::open, Row::Variant(variants::open)),
    (Sysno::openat, Row::Variant(variants::openat)),
    (Sysno::openat2, call(&[DIRECTORY, PATH, In(&structures::OPEN_HOW), SIZE])),
    (Sysno::creat, call(&[PATH, MODE])),
    (Sysno::close, call(&[FD])),
    (Sysno::close_range, call(&[UINT, UINT, Flags(&symbols::CLOSE_RANGE_FLAGS)])),
    (Sysno::read, call(&[FD, READ_BUFFER, SIZE])),
    (Sysno::write, call(&[FD, WRITE_BUFFER, SIZE])),
    (Sysno::pread64, call(&[FD, READ_BUFFER, SIZE, LONG])),
    (Sysno::pwrite64, call(&[FD, WRITE_BUFFER, SIZE, LONG])),
    (Sysno::readv, call(&[FD, READ_VECTOR, INT])),
    (Sysno::writev, call(&[FD, WRITE_VECTOR, INT])),
    (Sysno::preadv, call(&[FD, READ_VECTOR, INT, LONG])),
    (Sysno::pwritev, call(&[FD, WRITE_VECTOR, INT, LONG])),
    (Sysno::preadv2, call(&[FD, READ_VECTOR, INT, LONG, LONG, Flags(&symbols::TRANSFER_FLAGS)])),
    (Sysno::pwritev2, call(&[FD, WRITE_VECTOR, INT, LONG, LONG, Flags(&symbols::TRANSFER_FLAGS)])),
    (Sysno::lseek, call(&[FD, LONG, Choice(&symbols::SEEK_ORIGINS)])),
    (Sysno::sendfile, call(&[FD, FD, In(&structures::LONG), SIZE])),
    (Sysno::copy_file_range, call(&[FD, In(&structures::LONG), FD, In(&structures::LONG), SIZE, UINT])),
    (
        Sysno::splice,
        call(&[FD, In(&structures::LONG), FD, In(&structures::LONG), SIZE, Flags(&symbols::SPLICE_FLAGS)]),
    ),
    (Sysno::tee, call(&[FD, FD, SIZE, Flags(&symbols::SPLICE_FLAGS)])),
    (Sysno::vmsplice, call(&[FD, WRITE_VECTOR, SIZE, Flags(&symbols::SPLICE_FLAGS)])),
    (Sysno::truncate, call(&[PATH, LONG])),
    (Sysno::ftruncate, call(&[FD, LONG])),
    (Sysno::fallocate, call(&[FD, Flags(&symbols::FALLOCATE_MODES), LONG, LONG])),
    (Sysno::fsync, call(&[FD])),
    (Sysno::fdatasync, call(&[FD])),
    (Sysno::sync, call(&[])),
    (Sysno::syncfs, call(&[FD])),
    (Sysno::sync_file_range, call(&[FD, LONG, LONG, Flags(&symbols::SYNC_RANGE_FLAGS)])),
    (Sysno::fadvise64, call(&[FD, LONG, LONG, Choice(&symbols::FILE_ADVICE)])),
    (Sysno::readahead, call(&[FD, LONG, SIZE])),
    (Sysno::getdents, call(&[FD, After(decode::directory_entries), UINT])),
    (Sysno::getdents64, call(&[FD, After(decode::directory_entries), UINT])),
];

/// Names of files, and what is known of them.
const NAMES: &[(Sysno, Row)] = &[
    (Sysno::stat, call(&[PATH, Out(&structures::STAT)])),
    (Sysno::lstat, call(&[PATH, Out(&structures::STAT)])),
    (Sysno::fstat, call(&[FD, Out(&structures::STAT)])),
    (Sysno::newfstatat, call(&[DIRECTORY, PATH, Out(&structures::STAT), AT_FLAGS])),
    (Sysno::statx, call(&[DIRECTORY, PATH, AT_FLAGS, Flags(&symbols::STATX_MASK), Out(&structures::STATX)])),
    (Sysno::statfs, call(&[PATH, Out(&structures::STATFS)])),
    (Sysno::fstatfs, call(&[FD, Out(&structures::STATFS)])),
    (Sysno::access, call(&[PATH, Flags(&symbols::ACCESS_CHECKS)])),
    (Sysno::faccessat, call(&[DIRECTORY, PATH, Flags(&symbols::ACCESS_CHECKS)])),
    (
        Sysno::faccessat2,
        call(&[DIRECTORY, PATH, Flags(&symbols::ACCESS_CHECKS), Flags(&symbols::ACCESS_FLAGS)]),
    ),
    (Sysno::chmod, call(&[PATH, MODE])),
    (Sysno::fchmod, call(&[FD, MODE])),
    (Sysno::fchmodat, call(&[DIRECTORY, PATH, MODE])),
    (Sysno::fchmodat2, call(&[DIRECTORY, PATH, MODE, AT_FLAGS])),
    (Sysno::chown, call(&[PATH, ID, ID])),
    (Sysno::lchown, call(&[PATH, ID, ID])),
    (Sysno::fchown, call(&[FD, ID, ID])),
    (Sysno::fchownat, call(&[DIRECTORY, PATH, ID, ID, AT_FLAGS])),
    (Sysno::utime, call(&[PATH, In(&structures::UTIMBUF)])),
    (Sysno::utimes, call(&[PATH, In(&structures::FILE_TIMEVALS)])),
    (Sysno::futimesat, call(&[DIRECTORY, PATH, In(&structures::FILE_TIMEVALS)])),
    (Sysno::utimensat, call(&[DIRECTORY, PATH, In(&structures::FILE_TIMES), AT_FLAGS])),
    (Sysno::mkdir, call(&[PATH, MODE])),
    (Sysno::mkdirat, call(&[DIRECTORY, PATH, MODE])),
    (Sysno::mknod, call(&[PATH, Value(value::file_mode), Value(value::device)])),
    (Sysno::mknodat, call(&[DIRECTORY, PATH, Value(value::file_mode), Value(value::device)])),
    (Sysno::rmdir, call(&[PATH])),
    (Sysno::unlink, call(&[PATH])),
    (Sysno::unlinkat, call(&[DIRECTORY, PATH, Flags(&symbols::UNLINK_FLAGS)])),
    (Sysno::link, call(&[PATH, PATH])),
    (Sysno::linkat, call(&[DIRECTORY, PATH, DIRECTORY, PATH, AT_FLAGS])),
    (Sysno::symlink, call(&[PATH, PATH])),
    (Sysno::symlinkat, call(&[PATH, DIRECTORY, PATH])),
    (Sysno::rename, call(&[PATH, PATH])),
    (Sysno::renameat, call(&[DIRECTORY, PATH, DIRECTORY, PATH])),
    (Sysno::renameat2, call(&[DIRECTORY, PATH, DIRECTORY, PATH, Flags(&symbols::RENAME_FLAGS)])),
    (Sysno::readlink, call(&[PATH, After(decode::link_out), SIZE])),
    (Sysno::readlinkat, call(&[DIRECTORY, PATH, After(decode::link_out), SIZE])),
    (Sysno::getxattr, call(&[PATH, STRING, READ_BUFFER, SIZE])),
    (Sysno::lgetxattr, call(&[PATH, STRING, READ_BUFFER, SIZE])),
    (Sysno::fgetxattr, call(&[FD, STRING, READ_BUFFER, SIZE])),
    (Sysno::setxattr, call(&[PATH, STRING, WRITE_BUFFER, SIZE, Flags(&symbols::XATTR_FLAGS)])),
    (Sysno::lsetxattr, call(&[PATH, STRING, WRITE_BUFFER, SIZE, Flags(&symbols::XATTR_FLAGS)])),
    (Sysno::fsetxattr, call(&[FD, STRING, WRITE_BUFFER, SIZE, Flags(&symbols::XATTR_FLAGS)])),
    (Sysno::file_getattr, call(&[DIRECTORY, PATH, POINTER, SIZE, AT_FLAGS])),
    (Sysno::file_setattr, call(&[DIRECTORY, PATH, POINTER, SIZE, AT_FLAGS])),
    (Sysno::setxattrat, call(&[DIRECTORY, PATH, AT_FLAGS, STRING, POINTER, SIZE])),
    (Sysno::getxattrat, call(&[DIRECTORY, PATH, AT_FLAGS, STRING, POINTER, SIZE])),
    (Sysno::listxattrat, call(&[DIRECTORY, PATH, AT_FLAGS, READ_BUFFER, SIZE])),
    (Sysno::removexattrat, call(&[DIRECTORY, PATH, AT_FLAGS, STRING])),
    (Sysno::listxattr, call(&[PATH, READ_BUFFER, SIZE])),
    (Sysno::llistxattr, call(&[PATH, READ_BUFFER, SIZE])),
    (Sysno::flistxattr, call(&[FD, READ_BUFFER, SIZE])),
    (Sysno::removexattr, call(&[PATH, STRING])),
    (Sysno::lremovexattr, call(&[PATH, STRING])),
    (Sysno::fremovexattr, call(&[FD, STRING])),
    (Sysno::name_to_handle_at, call(&[DIRECTORY, PATH, POINTER, POINTER, AT_FLAGS])),
    (Sysno::open_by_handle_at, call(&[FD, POINTER, Value(value::open_flags)])),
    (Sysno::chdir, call(&[PATH])),
    (Sysno::fchdir, call(&[FD])),
    (Sysno::chroot, call(&[PATH])),
    (Sysno::getcwd, call(&[After(decode::path_out), SIZE])),
    (Sysno::umask, returning(Returns::Mode, &[MODE])),
];

/// Descriptors, and files that have no name.
const DESCRIPTORS: &[(Sysno, Row)] = &[
    (Sysno::dup, call(&[FD])),
    (Sysno::dup2, call(&[FD, FD])),
    (Sysno::dup3, call(&[FD, FD, Flags(&symbols::OPEN_FLAGS)])),
    (Sysno::fcntl, Row::Variant(variants::fcntl)),
    (Sysno::ioctl, Row::Variant(variants::ioctl)),
    (Sysno::flock, call(&[FD, Flags(&symbols::LOCK_OPERATIONS)])),
    (Sysno::memfd_create, call(&[STRING, Flags(&symbols::MEMFD_FLAGS)])),
    (Sysno::memfd_secret, call(&[Flags(&symbols::OPEN_FLAGS)])),
    (Sysno::userfaultfd, call(&[Flags(&symbols::OPEN_FLAGS)])),
    (Sysno::pipe, call(&[Out(&structures::FD_PAIR)])),
    (Sysno::pipe2, call(&[Out(&structures::FD_PAIR), Flags(&symbols::OPEN_FLAGS)])),
    (Sysno::eventfd, call(&[UINT])),
    (Sysno::eventfd2, call(&[UINT, Flags(&symbols::EVENTFD_FLAGS)])),
    (Sysno::signalfd, call(&[FD, MASK, SIZE])),
    (Sysno::signalfd4, call(&[FD, MASK, SIZE, Flags(&symbols::SIGNALFD_FLAGS)])),
    (Sysno::inotify_init, call(&[])),
    (Sysno::inotify_init1, call(&[Flags(&symbols::INOTIFY_FLAGS)])),
    (Sysno::fanotify_init, call(&[HEX, Value(value::open_flags)])),
    (Sysno::fanotify_mark, call(&[FD, HEX, HEX, DIRECTORY, PATH])),
    (Sysno::quotactl, call(&[HEX, PATH, UINT, POINTER])),
    (Sysno::quotactl_fd, call(&[FD, HEX, UINT, POINTER])),
    (Sysno::inotify_add_watch, call(&[FD, PATH, Flags(&symbols::INOTIFY_EVENTS)])),
    (Sysno::inotify_rm_watch, call(&[FD, INT])),
    (Sysno::pidfd_open, call(&[PID, Flags(&symbols::OPEN_FLAGS)])),
    (Sysno::pidfd_getfd, call(&[FD, FD, UINT])),
    (Sysno::pidfd_send_signal, call(&[FD, SIGNAL, In(&structures::SIGNAL_INFO), UINT])),
];

/// Mounts and namespaces.
const MOUNTS: &[(Sysno, Row)] = &[
    (Sysno::mount, call(&[PATH, PATH, STRING, Flags(&symbols::MOUNT_FLAGS), STRING])),
    (Sysno::umount2, call(&[PATH, Flags(&symbols::UNMOUNT_FLAGS)])),
    (Sysno::pivot_root, call(&[PATH, PATH])),
    (Sysno::open_tree, call(&[DIRECTORY, PATH, Flags(&symbols::OPEN_TREE_FLAGS)])),
    (Sysno::move_mount, call(&[DIRECTORY, PATH, DIRECTORY, PATH, Flags(&symbols::MOVE_MOUNT_FLAGS)])),
    (Sysno::fsopen, call(&[STRING, Flags(&symbols::FSOPEN_FLAGS)])),
    (Sysno::fsconfig, call(&[FD, UINT, STRING, STRING, INT])),
    (Sysno::fsmount, call(&[FD, Flags(&symbols::FSMOUNT_FLAGS), Flags(&symbols::MOUNT_ATTRIBUTES)])),
    (Sysno::fspick, call(&[DIRECTORY, PATH, Flags(&symbols::FSPICK_FLAGS)])),
    (Sysno::listmount, call(&[POINTER, POINTER, SIZE, HEX])),
    (Sysno::statmount, call(&[POINTER, POINTER, SIZE, HEX])),
    (Sysno::mount_setattr, call(&[DIRECTORY, PATH, Flags(&symbols::MOUNT_SETATTR_FLAGS), POINTER, SIZE])),
    (Sysno::unshare, call(&[Flags(&symbols::CLONE_FLAGS)])),
    (Sysno::setns, call(&[FD, Flags(&symbols::CLONE_FLAGS)])),
];

/// User memory.
const MEMORY: &[(Sysno, Row)] = &[
    (Sysno::brk, returning(Returns::Address, &[POINTER])),
    (
        Sysno::mmap,
        returning(
            Returns::Address,
            &[POINTER, SIZE, Flags(&symbols::PROTECTION), Value(value::map_flags), FD, HEX],
        ),
    ),
    (Sysno::munmap, call(&[POINTER, SIZE])),
    (Sysno::mremap, Row::Variant(variants::mremap)),
    (Sysno::mprotect, call(&[POINTER, SIZE, Flags(&symbols::PROTECTION)])),
    (Sysno::pkey_mprotect, call(&[POINTER, SIZE, Flags(&symbols::PROTECTION), INT])),
    (Sysno::pkey_alloc, call(&[UINT, HEX])),
    (Sysno::pkey_free, call(&[INT])),
    (Sysno::madvise, call(&[POINTER, SIZE, Choice(&symbols::MEMORY_ADVICE)])),
    (Sysno::process_madvise, call(&[FD, POINTER, SIZE, Choice(&symbols::MEMORY_ADVICE), HEX])),
    (Sysno::process_mrelease, call(&[FD, HEX])),
    (Sysno::remap_file_pages, call(&[POINTER, SIZE, HEX, SIZE, HEX])),
    (Sysno::mseal, call(&[POINTER, SIZE, HEX])),
    (Sysno::cachestat, call(&[FD, POINTER, POINTER, HEX])),
    (Sysno::msync, call(&[POINTER, SIZE, Flags(&symbols::SYNC_FLAGS)])),
    (Sysno::mincore, call(&[POINTER, SIZE, POINTER])),
    (Sysno::get_mempolicy, call(&[POINTER, POINTER, UINT, POINTER, HEX])),
    (Sysno::set_mempolicy, call(&[HEX, POINTER, UINT])),
    (Sysno::set_mempolicy_home_node, call(&[POINTER, SIZE, UINT, HEX])),
    (Sysno::mbind, call(&[POINTER, SIZE, HEX, POINTER, UINT, HEX])),
    (Sysno::migrate_pages, call(&[PID, UINT, POINTER, POINTER])),
    (Sysno::move_pages, call(&[PID, SIZE, POINTER, POINTER, POINTER, HEX])),
    (Sysno::mlock, call(&[POINTER, SIZE])),
    (Sysno::mlock2, call(&[POINTER, SIZE, Flags(&symbols::LOCK_FLAGS)])),
    (Sysno::munlock, call(&[POINTER, SIZE])),
    (Sysno::mlockall, call(&[Flags(&symbols::LOCK_ALL_FLAGS)])),
    (Sysno::munlockall, call(&[])),
    (Sysno::process_vm_readv, call(&[PID, POINTER, SIZE, POINTER, SIZE, UINT])),
    (Sysno::process_vm_writev, call(&[PID, WRITE_VECTOR, SIZE, POINTER, SIZE, UINT])),
    (Sysno::shmget, call(&[HEX, SIZE, Flags(&symbols::SEGMENT_FLAGS)])),
    (Sysno::shmat, returning(Returns::Address, &[INT, POINTER, Flags(&symbols::ATTACH_FLAGS)])),
    (Sysno::shmdt, call(&[POINTER])),
    (Sysno::shmctl, call(&[INT, Choice(&symbols::SEGMENT_COMMANDS), POINTER])),
    (Sysno::semget, call(&[HEX, INT, Flags(&symbols::IPC_FLAGS)])),
    (Sysno::semop, call(&[INT, InArray(&structures::SEMAPHORE_OPERATION), SIZE])),
    (Sysno::semtimedop, call(&[INT, InArray(&structures::SEMAPHORE_OPERATION), SIZE, TIMEOUT])),
    (Sysno::semctl, call(&[INT, INT, Choice(&symbols::SEMAPHORE_COMMANDS), HEX])),
    (Sysno::msgget, call(&[HEX, Flags(&symbols::IPC_FLAGS)])),
    (Sysno::msgsnd, call(&[INT, POINTER, SIZE, Flags(&symbols::IPC_FLAGS)])),
    (Sysno::msgrcv, call(&[INT, POINTER, SIZE, LONG, Flags(&symbols::RECEIVE_FLAGS)])),
    (Sysno::msgctl, call(&[INT, Choice(&symbols::QUEUE_COMMANDS), POINTER])),
    (Sysno::mq_open, Row::Variant(variants::mq_open)),
    (Sysno::mq_unlink, call(&[PATH])),
    (Sysno::mq_timedsend, call(&[FD, WRITE_BUFFER, SIZE, UINT, TIMEOUT])),
    (Sysno::mq_timedreceive, call(&[FD, READ_BUFFER, SIZE, Out(&structures::UNSIGNED), TIMEOUT])),
    (Sysno::mq_notify, call(&[FD, In(&structures::TIMER_EVENT)])),
    (
        Sysno::mq_getsetattr,
        call(&[FD, In(&structures::QUEUE_ATTRIBUTES), Out(&structures::QUEUE_ATTRIBUTES)]),
    ),
];

/// The life of tasks.
const PROCESSES: &[(Sysno, Row)] = &[
    (Sysno::clone, Row::Variant(variants::clone)),
    (Sysno::clone3, call(&[Before(decode::clone_arguments), SIZE])),
    (Sysno::fork, call(&[])),
    (Sysno::vfork, call(&[])),
    (Sysno::execve, call(&[PATH, Before(decode::strings), Before(decode::environment)])),
    (
        Sysno::execveat,
        call(&[
            DIRECTORY,
            PATH,
            Before(decode::strings),
            Before(decode::environment),
            Flags(&symbols::EXEC_FLAGS),
        ]),
    ),
    (Sysno::exit, returning(Returns::Never, &[INT])),
    (Sysno::exit_group, returning(Returns::Never, &[INT])),
    (
        Sysno::wait4,
        call(&[PID, After(decode::wait_status), Flags(&symbols::WAIT_FLAGS), Out(&structures::USAGE)]),
    ),
    (
        Sysno::waitid,
        call(&[
            Choice(&symbols::WAIT_TYPES),
            PID,
            Out(&structures::SIGNAL_INFO),
            Flags(&symbols::WAIT_FLAGS),
            Out(&structures::USAGE),
        ]),
    ),
    (Sysno::set_tid_address, call(&[POINTER])),
    (Sysno::getpid, call(&[])),
    (Sysno::gettid, call(&[])),
    (Sysno::getppid, call(&[])),
    (Sysno::getpgid, call(&[PID])),
    (Sysno::getpgrp, call(&[])),
    (Sysno::setpgid, call(&[PID, PID])),
    (Sysno::getsid, call(&[PID])),
    (Sysno::setsid, call(&[])),
    (Sysno::futex, Row::Variant(variants::futex)),
    (Sysno::futex_waitv, call(&[POINTER, UINT, HEX, TIMEOUT, CLOCK])),
    (Sysno::futex_wait, call(&[POINTER, HEX, HEX, HEX, TIMEOUT, CLOCK])),
    (Sysno::futex_wake, call(&[POINTER, HEX, INT, HEX])),
    (Sysno::futex_requeue, call(&[POINTER, HEX, INT, INT])),
    (Sysno::set_robust_list, call(&[POINTER, SIZE])),
    (Sysno::get_robust_list, call(&[PID, Out(&structures::POINTER), Out(&structures::LONG)])),
    (Sysno::rseq, call(&[POINTER, UINT, Flags(&symbols::RSEQ_FLAGS), HEX])),
    (Sysno::arch_prctl, Row::Variant(variants::arch_prctl)),
    (Sysno::prctl, Row::Variant(variants::prctl)),
    (Sysno::ptrace, call(&[Choice(&symbols::PTRACE_REQUESTS), PID, POINTER, POINTER])),
    (Sysno::kcmp, call(&[PID, PID, INT, HEX, HEX])),
    (Sysno::iopl, call(&[UINT])),
    (Sysno::ioperm, call(&[HEX, SIZE, INT])),
    (Sysno::init_module, call(&[POINTER, SIZE, STRING])),
    (Sysno::finit_module, call(&[FD, STRING, HEX])),
    (Sysno::delete_module, call(&[STRING, HEX])),
    (Sysno::kexec_load, call(&[POINTER, SIZE, POINTER, HEX])),
    (Sysno::kexec_file_load, call(&[FD, FD, SIZE, STRING, HEX])),
    (Sysno::bpf, call(&[INT, POINTER, SIZE])),
    (Sysno::ustat, call(&[HEX, POINTER])),
    (Sysno::sysfs, call(&[INT, HEX, POINTER])),
    (Sysno::io_uring_setup, call(&[UINT, POINTER])),
    (Sysno::io_uring_enter, call(&[FD, UINT, UINT, HEX, POINTER, SIZE])),
    (Sysno::io_uring_register, call(&[FD, INT, POINTER, UINT])),
    (Sysno::lsm_list_modules, call(&[POINTER, POINTER, HEX])),
    (Sysno::lsm_get_self_attr, call(&[INT, POINTER, POINTER, HEX])),
    (Sysno::lsm_set_self_attr, call(&[INT, POINTER, SIZE, HEX])),
    (Sysno::swapon, call(&[STRING, HEX])),
    (Sysno::swapoff, call(&[STRING])),
    (Sysno::acct, call(&[PATH])),
    (Sysno::perf_event_open, call(&[POINTER, PID, INT, FD, HEX])),
    (Sysno::landlock_create_ruleset, call(&[POINTER, SIZE, HEX])),
    (Sysno::landlock_add_rule, call(&[FD, INT, POINTER, HEX])),
    (Sysno::landlock_restrict_self, call(&[FD, HEX])),
    (Sysno::seccomp, call(&[Choice(&symbols::SECCOMP_OPERATIONS), HEX, POINTER])),
];

/// Users, groups and capabilities.
const IDENTITY: &[(Sysno, Row)] = &[
    (Sysno::getuid, call(&[])),
    (Sysno::geteuid, call(&[])),
    (Sysno::getgid, call(&[])),
    (Sysno::getegid, call(&[])),
    (Sysno::getresuid, call(&[Out(&structures::ID), Out(&structures::ID), Out(&structures::ID)])),
    (Sysno::getresgid, call(&[Out(&structures::ID), Out(&structures::ID), Out(&structures::ID)])),
    (Sysno::setuid, call(&[ID])),
    (Sysno::setgid, call(&[ID])),
    (Sysno::setreuid, call(&[ID, ID])),
    (Sysno::setregid, call(&[ID, ID])),
    (Sysno::setresuid, call(&[ID, ID, ID])),
    (Sysno::setresgid, call(&[ID, ID, ID])),
    (Sysno::setfsuid, call(&[ID])),
    (Sysno::setfsgid, call(&[ID])),
    (Sysno::getgroups, call(&[INT, After(decode::groups_out)])),
    (Sysno::setgroups, call(&[INT, Before(decode::groups_in)])),
    (Sysno::capget, call(&[In(&structures::CAPABILITY_HEADER), Out(&structures::CAPABILITIES)])),
    (Sysno::capset, call(&[In(&structures::CAPABILITY_HEADER), In(&structures::CAPABILITIES)])),
];

/// Limits, usage and scheduling.
const RESOURCES: &[(Sysno, Row)] = &[
    (Sysno::getrlimit, call(&[Choice(&symbols::LIMITS), Out(&structures::LIMIT)])),
    (Sysno::setrlimit, call(&[Choice(&symbols::LIMITS), In(&structures::LIMIT)])),
    (
        Sysno::prlimit64,
        call(&[PID, Choice(&symbols::LIMITS), In(&structures::LIMIT), Out(&structures::LIMIT)]),
    ),
    (Sysno::getrusage, call(&[Choice(&symbols::USAGE_OF), Out(&structures::USAGE)])),
    (Sysno::getpriority, call(&[Choice(&symbols::PRIORITY_OF), PID])),
    (Sysno::setpriority, call(&[Choice(&symbols::PRIORITY_OF), PID, INT])),
    (Sysno::sched_yield, call(&[])),
    (Sysno::sched_getaffinity, call(&[PID, SIZE, After(decode::processors_out)])),
    (Sysno::sched_setaffinity, call(&[PID, SIZE, Before(decode::processors_in)])),
    (Sysno::sched_getscheduler, call(&[PID])),
    (
        Sysno::sched_setscheduler,
        call(&[PID, Value(value::scheduling_policy), In(&structures::SCHEDULING_PARAMETER)]),
    ),
    (Sysno::sched_getparam, call(&[PID, Out(&structures::SCHEDULING_PARAMETER)])),
    (Sysno::sched_setparam, call(&[PID, In(&structures::SCHEDULING_PARAMETER)])),
    (Sysno::sched_get_priority_max, call(&[Value(value::scheduling_policy)])),
    (Sysno::sched_get_priority_min, call(&[Value(value::scheduling_policy)])),
    (Sysno::sched_rr_get_interval, call(&[PID, Out(&structures::TIMESPEC)])),
    (Sysno::sched_getattr, call(&[PID, POINTER, UINT, UINT])),
    (Sysno::sched_setattr, call(&[PID, POINTER, UINT])),
    (Sysno::ioprio_get, call(&[INT, PID])),
    (Sysno::ioprio_set, call(&[INT, PID, HEX])),
];

const SIGNALS: &[(Sysno, Row)] = &[
    (Sysno::rt_sigaction, call(&[SIGNAL, In(&structures::ACTION), Out(&structures::ACTION), SIZE])),
    (
        Sysno::rt_sigprocmask,
        call(&[Choice(&symbols::MASK_CHANGES), MASK, Out(&structures::SIGNAL_SET), SIZE]),
    ),
    (Sysno::rt_sigpending, call(&[Out(&structures::SIGNAL_SET), SIZE])),
    (Sysno::rt_sigsuspend, call(&[MASK, SIZE])),
    (Sysno::rt_sigtimedwait, call(&[MASK, Out(&structures::SIGNAL_INFO), TIMEOUT, SIZE])),
    (Sysno::rt_sigqueueinfo, call(&[PID, SIGNAL, In(&structures::SIGNAL_INFO)])),
    (Sysno::rt_tgsigqueueinfo, call(&[PID, PID, SIGNAL, In(&structures::SIGNAL_INFO)])),
    (Sysno::rt_sigreturn, call(&[])),
    (Sysno::sigaltstack, call(&[In(&structures::STACK), Out(&structures::STACK)])),
    (Sysno::pause, call(&[])),
    (Sysno::restart_syscall, call(&[])),
    (Sysno::kill, call(&[PID, SIGNAL])),
    (Sysno::tkill, call(&[PID, SIGNAL])),
    (Sysno::tgkill, call(&[PID, PID, SIGNAL])),
];

/// Clocks and timers.
const TIME: &[(Sysno, Row)] = &[
    (Sysno::time, call(&[Out(&structures::LONG)])),
    (Sysno::times, call(&[Out(&structures::TIMES)])),
    (Sysno::gettimeofday, call(&[Out(&structures::TIMEVAL), POINTER])),
    (Sysno::settimeofday, call(&[In(&structures::TIMEVAL), POINTER])),
    (Sysno::clock_gettime, call(&[CLOCK, Out(&structures::TIMESPEC)])),
    (Sysno::clock_settime, call(&[CLOCK, In(&structures::TIMESPEC)])),
    (Sysno::clock_adjtime, call(&[CLOCK, POINTER])),
    (Sysno::adjtimex, call(&[POINTER])),
    (Sysno::clock_getres, call(&[CLOCK, Out(&structures::TIMESPEC)])),
    (Sysno::clock_nanosleep, call(&[CLOCK, Flags(&symbols::TIMER_FLAGS), TIMEOUT, POINTER])),
    (Sysno::nanosleep, call(&[TIMEOUT, POINTER])),
    (Sysno::alarm, call(&[UINT])),
    (Sysno::getitimer, call(&[Choice(&symbols::INTERVAL_TIMERS), Out(&structures::INTERVAL)])),
    (
        Sysno::setitimer,
        call(&[Choice(&symbols::INTERVAL_TIMERS), In(&structures::INTERVAL), Out(&structures::INTERVAL)]),
    ),
    (Sysno::timer_create, call(&[CLOCK, In(&structures::TIMER_EVENT), Out(&structures::INT)])),
    (
        Sysno::timer_settime,
        call(&[INT, Flags(&symbols::TIMER_FLAGS), In(&structures::TIMER_SPEC), Out(&structures::TIMER_SPEC)]),
    ),
    (Sysno::timer_gettime, call(&[INT, Out(&structures::TIMER_SPEC)])),
    (Sysno::timer_getoverrun, call(&[INT])),
    (Sysno::timer_delete, call(&[INT])),
    (Sysno::timerfd_create, call(&[CLOCK, Flags(&symbols::TIMERFD_FLAGS)])),
    (
        Sysno::timerfd_settime,
        call(&[
            FD,
            Flags(&symbols::TIMERFD_SET_FLAGS),
            In(&structures::TIMER_SPEC),
            Out(&structures::TIMER_SPEC),
        ]),
    ),
    (Sysno::timerfd_gettime, call(&[FD, Out(&structures::TIMER_SPEC)])),
];

/// Waiting for files.
const READINESS: &[(Sysno, Row)] = &[
    (Sysno::poll, returning(Returns::Ready, &[After(decode::polled), UINT, INT])),
    (Sysno::ppoll, returning(Returns::Ready, &[After(decode::polled), UINT, TIMEOUT, MASK, SIZE])),
    (
        Sysno::select,
        returning(
            Returns::Ready,
            &[
                INT,
                After(decode::descriptor_set),
                After(decode::descriptor_set),
                After(decode::descriptor_set),
                In(&structures::TIMEVAL),
            ],
        ),
    ),
    (
        Sysno::pselect6,
        returning(
            Returns::Ready,
            &[
                INT,
                After(decode::descriptor_set),
                After(decode::descriptor_set),
                After(decode::descriptor_set),
                TIMEOUT,
                Before(decode::signal_mask_pair),
            ],
        ),
    ),
    (Sysno::io_setup, call(&[UINT, POINTER])),
    (Sysno::io_destroy, call(&[POINTER])),
    (Sysno::io_submit, call(&[POINTER, LONG, POINTER])),
    (Sysno::io_cancel, call(&[POINTER, POINTER, POINTER])),
    (Sysno::io_getevents, call(&[POINTER, LONG, LONG, POINTER, TIMEOUT])),
    (Sysno::io_pgetevents, call(&[POINTER, LONG, LONG, POINTER, TIMEOUT, POINTER])),
    (Sysno::epoll_create, call(&[INT])),
    (Sysno::epoll_create1, call(&[Flags(&symbols::EPOLL_FLAGS)])),
    (Sysno::epoll_ctl, call(&[FD, Choice(&symbols::EPOLL_OPERATIONS), FD, In(&structures::EPOLL_EVENT)])),
    (Sysno::epoll_wait, call(&[FD, OutArray(&structures::EPOLL_EVENT), INT, INT])),
    (Sysno::epoll_pwait, call(&[FD, OutArray(&structures::EPOLL_EVENT), INT, INT, MASK, SIZE])),
    (Sysno::epoll_pwait2, call(&[FD, OutArray(&structures::EPOLL_EVENT), INT, TIMEOUT, MASK, SIZE])),
];

const SOCKETS: &[(Sysno, Row)] = &[
    (Sysno::socket, call(&[Choice(&symbols::ADDRESS_FAMILIES), Value(value::socket_type), INT])),
    (
        Sysno::socketpair,
        call(&[
            Choice(&symbols::ADDRESS_FAMILIES),
            Value(value::socket_type),
            INT,
            Out(&structures::FD_PAIR),
        ]),
    ),
    (Sysno::bind, call(&[FD, ADDRESS, UINT])),
    (Sysno::connect, call(&[FD, ADDRESS, UINT])),
    (Sysno::listen, call(&[FD, INT])),
    (Sysno::accept, call(&[FD, ADDRESS_OUT, LENGTH_OUT])),
    (Sysno::accept4, call(&[FD, ADDRESS_OUT, LENGTH_OUT, Flags(&symbols::SOCKET_FLAGS)])),
    (Sysno::getsockname, call(&[FD, ADDRESS_OUT, LENGTH_OUT])),
    (Sysno::getpeername, call(&[FD, ADDRESS_OUT, LENGTH_OUT])),
    (Sysno::sendto, call(&[FD, WRITE_BUFFER, SIZE, Flags(&symbols::MESSAGE_FLAGS), ADDRESS, UINT])),
    (
        Sysno::recvfrom,
        call(&[
            FD,
            After(decode::message_out),
            SIZE,
            Flags(&symbols::MESSAGE_FLAGS),
            ADDRESS_OUT,
            LENGTH_OUT,
        ]),
    ),
    (Sysno::sendmsg, call(&[FD, Before(decode::message_header_in), Flags(&symbols::MESSAGE_FLAGS)])),
    (Sysno::recvmsg, call(&[FD, After(decode::message_header_out), Flags(&symbols::MESSAGE_FLAGS)])),
    (Sysno::sendmmsg, call(&[FD, POINTER, UINT, Flags(&symbols::MESSAGE_FLAGS)])),
    (Sysno::recvmmsg, call(&[FD, POINTER, UINT, Flags(&symbols::MESSAGE_FLAGS), TIMEOUT])),
    (Sysno::shutdown, call(&[FD, Choice(&symbols::SHUTDOWN)])),
    (
        Sysno::getsockopt,
        call(&[
            FD,
            Choice(&symbols::SOCKET_LEVELS),
            Before(decode::option_name),
            After(decode::option_out),
            LENGTH_OUT,
        ]),
    ),
    (
        Sysno::setsockopt,
        call(&[
            FD,
            Choice(&symbols::SOCKET_LEVELS),
            Before(decode::option_name),
            Before(decode::option_in),
            UINT,
        ]),
    ),
];

/// The system as a whole.
const SYSTEM: &[(Sysno, Row)] = &[
    (Sysno::uname, call(&[Out(&structures::SYSTEM_NAMES)])),
    (Sysno::sethostname, call(&[WRITE_BUFFER, SIZE])),
    (Sysno::setdomainname, call(&[WRITE_BUFFER, SIZE])),
    (Sysno::sysinfo, call(&[Out(&structures::SYSTEM_INFO)])),
    (Sysno::getrandom, call(&[READ_BUFFER, SIZE, Flags(&symbols::RANDOM_FLAGS)])),
    (Sysno::getcpu, call(&[Out(&structures::UNSIGNED), Out(&structures::UNSIGNED), POINTER])),
    (Sysno::personality, call(&[HEX])),
    (Sysno::membarrier, call(&[Choice(&symbols::BARRIER_COMMANDS), HEX, INT])),
    (Sysno::syslog, call(&[INT, POINTER, INT])),
    (Sysno::vhangup, call(&[])),
    (Sysno::reboot, call(&[HEX, HEX, HEX, POINTER])),
];
