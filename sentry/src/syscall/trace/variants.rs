//! Calls whose later arguments depend on an earlier one.

use linux_raw_sys::{general as uapi, ioctl, prctl};

use super::call::{
    Argument::{self, Before, Choice, Flags, In, Out, Value},
    Returns,
};
use super::table::Shape;
use super::{decode, structures, symbols, value};
use crate::syscall::arguments::unsigned;
use crate::syscall::keys::command;

const FD: Argument = Value(value::int);
const POINTER: Argument = Value(value::pointer);
const PATH: Argument = Before(decode::path);
const OPEN_FLAGS: Argument = Value(value::open_flags);
const MODE: Argument = Value(value::mode);

/// Whether open(2) looks at its mode.
fn creates(flags: u64) -> bool {
    const TMPFILE: u32 = uapi::O_TMPFILE & !uapi::O_DIRECTORY;
    unsigned(flags) & (uapi::O_CREAT | TMPFILE) != 0
}

/// open(2).
pub(super) fn open(arguments: &[u64; 6]) -> Shape {
    let shape: &[Argument] =
        if creates(arguments[1]) { &[PATH, OPEN_FLAGS, MODE] } else { &[PATH, OPEN_FLAGS] };
    (shape, Returns::Number)
}

/// openat(2).
pub(super) fn openat(arguments: &[u64; 6]) -> Shape {
    const DIRECTORY: Argument = Value(value::directory);
    let shape: &[Argument] = if creates(arguments[2]) {
        &[DIRECTORY, PATH, OPEN_FLAGS, MODE]
    } else {
        &[DIRECTORY, PATH, OPEN_FLAGS]
    };
    (shape, Returns::Number)
}

/// mq_open(2).
pub(super) fn mq_open(arguments: &[u64; 6]) -> Shape {
    let shape: &[Argument] = if creates(arguments[1]) {
        &[PATH, OPEN_FLAGS, MODE, In(&structures::QUEUE_ATTRIBUTES)]
    } else {
        &[PATH, OPEN_FLAGS]
    };
    (shape, Returns::Number)
}

/// fcntl(2).
pub(super) fn fcntl(arguments: &[u64; 6]) -> Shape {
    const COMMAND: Argument = Choice(&symbols::FCNTL_COMMANDS);
    let shape: &[Argument] = match unsigned(arguments[1]) {
        uapi::F_GETFL => return (&[FD, COMMAND], Returns::FileFlags),
        uapi::F_GETFD
        | uapi::F_GETOWN
        | uapi::F_GETSIG
        | uapi::F_GETLEASE
        | uapi::F_GETPIPE_SZ
        | uapi::F_GET_SEALS => &[FD, COMMAND],
        uapi::F_SETFD => &[FD, COMMAND, Flags(&symbols::DESCRIPTOR_FLAGS)],
        uapi::F_SETFL => &[FD, COMMAND, OPEN_FLAGS],
        uapi::F_SETLK | uapi::F_SETLKW | uapi::F_OFD_SETLK | uapi::F_OFD_SETLKW => {
            &[FD, COMMAND, In(&structures::FLOCK)]
        }
        uapi::F_GETLK | uapi::F_OFD_GETLK => &[FD, COMMAND, Out(&structures::FLOCK)],
        uapi::F_SETOWN_EX => &[FD, COMMAND, In(&structures::FILE_OWNER)],
        uapi::F_GETOWN_EX => &[FD, COMMAND, Out(&structures::FILE_OWNER)],
        uapi::F_SETSIG => &[FD, COMMAND, Value(value::signal)],
        uapi::F_ADD_SEALS => &[FD, COMMAND, Flags(&symbols::SEALS)],
        uapi::F_DUPFD | uapi::F_DUPFD_CLOEXEC | uapi::F_SETOWN | uapi::F_SETPIPE_SZ => {
            &[FD, COMMAND, Value(value::int)]
        }
        _ => &[FD, COMMAND, Value(value::hex)],
    };
    (shape, Returns::Number)
}

/// ioctl(2).
pub(super) fn ioctl(arguments: &[u64; 6]) -> Shape {
    const REQUEST: Argument = Choice(&symbols::IOCTL_REQUESTS);
    let shape: &[Argument] = match unsigned(arguments[1]) {
        ioctl::TCGETS | ioctl::TCGETS2 => &[FD, REQUEST, Out(&structures::TERMINAL)],
        ioctl::TCSETS
        | ioctl::TCSETSW
        | ioctl::TCSETSF
        | ioctl::TCSETS2
        | ioctl::TCSETSW2
        | ioctl::TCSETSF2 => &[FD, REQUEST, In(&structures::TERMINAL)],
        ioctl::TIOCGWINSZ => &[FD, REQUEST, Out(&structures::WINDOW_SIZE)],
        ioctl::TIOCSWINSZ => &[FD, REQUEST, In(&structures::WINDOW_SIZE)],
        ioctl::FIONREAD
        | ioctl::TIOCOUTQ
        | ioctl::TIOCGPGRP
        | ioctl::TIOCGSID
        | ioctl::TIOCGPTN
        | ioctl::TIOCGETD => &[FD, REQUEST, Out(&structures::INT)],
        ioctl::FIONBIO
        | ioctl::FIOASYNC
        | ioctl::TIOCSPGRP
        | ioctl::TIOCSPTLCK
        | ioctl::TIOCSETD
        | ioctl::TIOCPKT => &[FD, REQUEST, In(&structures::INT)],
        ioctl::FIOCLEX | ioctl::FIONCLEX | ioctl::TIOCNOTTY | ioctl::TIOCEXCL | ioctl::TIOCNXCL => {
            &[FD, REQUEST]
        }
        ioctl::TIOCSCTTY | ioctl::TCSBRK | ioctl::TCSBRKP | ioctl::TCXONC | ioctl::TCFLSH => {
            &[FD, REQUEST, Value(value::int)]
        }
        _ => &[FD, REQUEST, Value(value::hex)],
    };
    (shape, Returns::Number)
}

/// keyctl(2).
pub(super) fn keyctl(arguments: &[u64; 6]) -> Shape {
    const OPERATION: Argument = Choice(&symbols::KEY_OPERATIONS);
    const KEY: Argument = Value(value::key);
    const ID: Argument = Value(value::id);
    const SIZE: Argument = Value(value::size);
    const NUMBER: Argument = Value(value::unsigned);
    const HEX: Argument = Value(value::hex);
    let shape: &[Argument] = match unsigned(arguments[0]) {
        command::GET_KEYRING_ID => &[OPERATION, KEY, Value(value::int)],
        command::JOIN_SESSION_KEYRING => &[OPERATION, PATH],
        command::UPDATE => &[OPERATION, KEY, Before(decode::buffer_in), SIZE],
        command::REVOKE | command::CLEAR | command::INVALIDATE => &[OPERATION, KEY],
        command::CHOWN => &[OPERATION, KEY, ID, ID],
        command::SETPERM => &[OPERATION, KEY, HEX],
        command::DESCRIBE | command::READ | command::GET_SECURITY => &[OPERATION, KEY, POINTER, SIZE],
        command::LINK | command::UNLINK => &[OPERATION, KEY, KEY],
        command::SEARCH => &[OPERATION, KEY, PATH, PATH, KEY],
        command::SET_REQKEY_KEYRING => &[OPERATION, Choice(&symbols::REQUEST_KEYRINGS)],
        command::SET_TIMEOUT => &[OPERATION, KEY, NUMBER],
        command::ASSUME_AUTHORITY => &[OPERATION, KEY],
        command::SESSION_TO_PARENT => &[OPERATION],
        command::GET_PERSISTENT => &[OPERATION, ID, KEY],
        command::RESTRICT_KEYRING => &[OPERATION, KEY, PATH, PATH],
        command::MOVE => &[OPERATION, KEY, KEY, KEY, Flags(&symbols::KEY_MOVE_FLAGS)],
        command::CAPABILITIES => &[OPERATION, POINTER, SIZE],
        _ => &[OPERATION, HEX, HEX, HEX, HEX],
    };
    (shape, Returns::Number)
}

/// futex(2).
pub(super) fn futex(arguments: &[u64; 6]) -> Shape {
    const COMMAND: Argument = Before(decode::futex_command);
    const COUNT: Argument = Value(value::int);
    const WORD: Argument = Value(value::unsigned);
    const TIMEOUT: Argument = In(&structures::TIMESPEC);
    const BITS: Argument = Value(value::hex);
    let shape: &[Argument] = match unsigned(arguments[1]) & uapi::FUTEX_CMD_MASK as u32 {
        uapi::FUTEX_WAIT => &[POINTER, COMMAND, WORD, TIMEOUT],
        uapi::FUTEX_WAIT_BITSET => &[POINTER, COMMAND, WORD, TIMEOUT, POINTER, BITS],
        uapi::FUTEX_WAKE => &[POINTER, COMMAND, COUNT],
        uapi::FUTEX_WAKE_BITSET => &[POINTER, COMMAND, COUNT, POINTER, POINTER, BITS],
        uapi::FUTEX_REQUEUE => &[POINTER, COMMAND, COUNT, COUNT, POINTER],
        uapi::FUTEX_CMP_REQUEUE | uapi::FUTEX_CMP_REQUEUE_PI => {
            &[POINTER, COMMAND, COUNT, COUNT, POINTER, WORD]
        }
        uapi::FUTEX_WAKE_OP => &[POINTER, COMMAND, COUNT, COUNT, POINTER, BITS],
        uapi::FUTEX_LOCK_PI | uapi::FUTEX_LOCK_PI2 => &[POINTER, COMMAND, WORD, TIMEOUT],
        uapi::FUTEX_UNLOCK_PI | uapi::FUTEX_TRYLOCK_PI => &[POINTER, COMMAND],
        uapi::FUTEX_WAIT_REQUEUE_PI => &[POINTER, COMMAND, WORD, TIMEOUT, POINTER],
        _ => &[POINTER, COMMAND, WORD, POINTER, POINTER, BITS],
    };
    (shape, Returns::Number)
}

/// prctl(2).
pub(super) fn prctl(arguments: &[u64; 6]) -> Shape {
    const COMMAND: Argument = Choice(&symbols::PRCTL_COMMANDS);
    const NUMBER: Argument = Value(value::long);
    const HEX: Argument = Value(value::hex);
    let shape: &[Argument] = match unsigned(arguments[0]) {
        prctl::PR_SET_NAME => &[COMMAND, In(&structures::TASK_NAME)],
        prctl::PR_GET_NAME => &[COMMAND, Out(&structures::TASK_NAME)],
        prctl::PR_SET_PDEATHSIG => &[COMMAND, Value(value::signal)],
        prctl::PR_GET_PDEATHSIG | prctl::PR_GET_CHILD_SUBREAPER => &[COMMAND, Out(&structures::INT)],
        prctl::PR_GET_TID_ADDRESS => &[COMMAND, Out(&structures::POINTER)],
        prctl::PR_GET_DUMPABLE
        | prctl::PR_GET_KEEPCAPS
        | prctl::PR_GET_SECCOMP
        | prctl::PR_GET_SECUREBITS
        | prctl::PR_GET_TIMERSLACK => &[COMMAND],
        prctl::PR_SET_DUMPABLE
        | prctl::PR_SET_KEEPCAPS
        | prctl::PR_CAPBSET_READ
        | prctl::PR_CAPBSET_DROP
        | prctl::PR_SET_TIMERSLACK
        | prctl::PR_SET_CHILD_SUBREAPER => &[COMMAND, NUMBER],
        prctl::PR_SET_NO_NEW_PRIVS
        | prctl::PR_GET_NO_NEW_PRIVS
        | prctl::PR_SET_THP_DISABLE
        | prctl::PR_GET_THP_DISABLE => &[COMMAND, NUMBER, NUMBER, NUMBER, NUMBER],
        _ => &[COMMAND, HEX, HEX, HEX, HEX],
    };
    (shape, Returns::Number)
}

/// arch_prctl(2).
pub(super) fn arch_prctl(arguments: &[u64; 6]) -> Shape {
    const GET_FS: u32 = 0x1003;
    const GET_GS: u32 = 0x1004;
    const COMMAND: Argument = Choice(&symbols::ARCH_COMMANDS);
    let shape: &[Argument] = match unsigned(arguments[0]) {
        GET_FS | GET_GS => &[COMMAND, Out(&structures::POINTER)],
        _ => &[COMMAND, Value(value::hex)],
    };
    (shape, Returns::Number)
}

/// clone(2).
pub(super) fn clone(arguments: &[u64; 6]) -> Shape {
    const STACK: Argument = Argument::Named("child_stack", &POINTER);
    const FLAGS: Argument = Argument::Named("flags", &Value(value::clone_flags));
    const PARENT_TID: Argument = Argument::Named("parent_tid", &POINTER);
    const CHILD_TID: Argument = Argument::Named("child_tid", &POINTER);
    const TLS: Argument = Argument::Named("tls", &POINTER);
    let flags = unsigned(arguments[0]);
    let has_tls = flags & uapi::CLONE_SETTLS != 0;
    let has_child_tid = flags & (uapi::CLONE_CHILD_SETTID | uapi::CLONE_CHILD_CLEARTID) != 0;
    let has_parent_tid = flags & (uapi::CLONE_PARENT_SETTID | uapi::CLONE_PIDFD) != 0;
    let shape: &[Argument] = match (has_tls, has_child_tid, has_parent_tid) {
        (true, _, _) => &[FLAGS, STACK, PARENT_TID, CHILD_TID, TLS],
        (false, true, _) => &[FLAGS, STACK, PARENT_TID, CHILD_TID],
        (false, false, true) => &[FLAGS, STACK, PARENT_TID],
        (false, false, false) => &[FLAGS, STACK],
    };
    (shape, Returns::Number)
}

/// mremap(2).
pub(super) fn mremap(arguments: &[u64; 6]) -> Shape {
    const SIZE: Argument = Value(value::size);
    const FLAGS: Argument = Flags(&symbols::REMAP_FLAGS);
    let shape: &[Argument] = if unsigned(arguments[3]) & uapi::MREMAP_FIXED != 0 {
        &[POINTER, SIZE, SIZE, FLAGS, POINTER]
    } else {
        &[POINTER, SIZE, SIZE, FLAGS]
    };
    (shape, Returns::Address)
}
