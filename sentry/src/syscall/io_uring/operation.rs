//! The operations: what each wants of its submission, and how it is done.
//!
//! Most are a system call by another name, whose handler is asked by number; the arguments are where that call expects them.

use std::sync::Arc;

use linux_raw_sys::general::{AT_FDCWD, RWF_NOWAIT};
use linux_raw_sys::io_uring::{self as uapi, io_uring_op as op};
use linux_raw_sys::net::MSG_DONTWAIT;
use syscalls::Sysno;

use super::{buffers, cancel, files, poll, submit, timeout, transfer};
use crate::Errno;
use crate::abi::IoUringSqe;
use crate::cred::{Capabilities, Credentials};
use crate::fs::eventfd::EventFile;
use crate::fs::{Fd, FileDescription};
use crate::io_uring::{Ending, Request, Ring, Server, SetupFlags, SqeFlags, Timeout};
use crate::net::SocketFile;
use crate::syscall::Table;
use crate::task::{Attempt, Attempting, CurrentTask, Dispatcher, IoPriority};
use crate::wait::{Events, Registration};

/// Does the requests of rings.
pub(super) struct Operations;

pub(super) static OPERATIONS: Operations = Operations;

/// What is read of a submission before its request begins.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) credentials: Option<Arc<Credentials>>,
    pub(super) timeout: Option<Timeout>,
    pub(super) poll_events: Option<Events>,
}

/// What came of a request.
pub(super) enum Outcome {
    /// It is over.
    Done(Ending),
    /// It waits for what these tell of.
    Waits(Vec<Registration>),
    /// It has been taken care of.
    UnderWay,
}

impl From<Result<usize, Errno>> for Outcome {
    fn from(result: Result<usize, Errno>) -> Self {
        Self::Done(Ending::of(result))
    }
}

/// Whether an operation waits although its file says that nothing does (O_NONBLOCK).
#[derive(Clone, Copy)]
enum Waiting {
    AsFile,
    Always,
    /// For files that can tell beforehand whether they would wait (FMODE_NOWAIT).
    IfAble,
}

/// Whether a file can tell beforehand that it would wait.
fn is_able(file: &FileDescription) -> bool {
    file.file().pipe_end().is_some()
        || file.downcast::<SocketFile>().is_some()
        || file.downcast::<EventFile>().is_some()
}

/// What an operation is.
#[derive(Clone, Copy)]
struct Row {
    opcode: op,
    /// It is done with a file, which its descriptor names.
    has_file: bool,
    /// It may be given a buffer of a group.
    selects: bool,
    waits: Waiting,
    perform: fn(&mut CurrentTask, &Arc<Ring>, &Arc<Request>) -> Outcome,
}

const PLAIN: Row = Row {
    opcode: op::IORING_OP_NOP,
    has_file: false,
    selects: false,
    waits: Waiting::AsFile,
    perform: no_operation,
};

const fn row(opcode: op, perform: fn(&mut CurrentTask, &Arc<Ring>, &Arc<Request>) -> Outcome) -> Row {
    Row { opcode, perform, ..PLAIN }
}

const fn of_file(opcode: op, perform: fn(&mut CurrentTask, &Arc<Ring>, &Arc<Request>) -> Outcome) -> Row {
    Row { has_file: true, ..row(opcode, perform) }
}

const fn of_socket(opcode: op, perform: fn(&mut CurrentTask, &Arc<Ring>, &Arc<Request>) -> Outcome) -> Row {
    Row { waits: Waiting::Always, ..of_file(opcode, perform) }
}

const fn of_transfer(opcode: op) -> Row {
    Row { waits: Waiting::IfAble, ..of_file(opcode, transfer::perform) }
}

const fn selecting(row: Row) -> Row {
    Row { selects: true, ..row }
}

/// What can be done.
const ROWS: &[Row] = &[
    row(op::IORING_OP_NOP, no_operation),
    selecting(of_transfer(op::IORING_OP_READV)),
    of_transfer(op::IORING_OP_WRITEV),
    of_file(op::IORING_OP_FSYNC, synchronise),
    of_transfer(op::IORING_OP_READ_FIXED),
    of_transfer(op::IORING_OP_WRITE_FIXED),
    of_file(op::IORING_OP_POLL_ADD, poll::perform),
    row(op::IORING_OP_POLL_REMOVE, poll::remove),
    of_file(op::IORING_OP_SYNC_FILE_RANGE, |task, _, request| {
        let sqe = &request.sqe;
        call(
            task,
            request,
            Sysno::sync_file_range,
            [HELD, sqe.off, sqe.len.into(), sqe.op_flags.into(), 0, 0],
        )
    }),
    of_socket(op::IORING_OP_SENDMSG, transfer::send_message),
    selecting(of_socket(op::IORING_OP_RECVMSG, transfer::receive_message)),
    row(op::IORING_OP_TIMEOUT, timeout::perform),
    row(op::IORING_OP_TIMEOUT_REMOVE, timeout::remove),
    of_socket(op::IORING_OP_ACCEPT, files::accept),
    row(op::IORING_OP_ASYNC_CANCEL, cancel::perform),
    row(op::IORING_OP_LINK_TIMEOUT, no_operation),
    of_socket(op::IORING_OP_CONNECT, |task, _, request| {
        call(task, request, Sysno::connect, [HELD, request.sqe.addr, request.sqe.off, 0, 0, 0])
    }),
    of_file(op::IORING_OP_FALLOCATE, |task, _, request| {
        let sqe = &request.sqe;
        call(task, request, Sysno::fallocate, [HELD, sqe.len.into(), sqe.off, sqe.addr, 0, 0])
    }),
    row(op::IORING_OP_OPENAT, files::open),
    row(op::IORING_OP_CLOSE, files::close),
    row(op::IORING_OP_FILES_UPDATE, files::update),
    row(op::IORING_OP_STATX, |task, _, request| {
        let sqe = &request.sqe;
        let arguments = [directory(sqe), sqe.addr, sqe.op_flags.into(), sqe.len.into(), sqe.off, 0];
        call(task, request, Sysno::statx, arguments)
    }),
    selecting(of_transfer(op::IORING_OP_READ)),
    of_transfer(op::IORING_OP_WRITE),
    of_file(op::IORING_OP_FADVISE, |task, _, request| {
        let sqe = &request.sqe;
        let len_bytes = if sqe.addr != 0 { sqe.addr } else { sqe.len.into() };
        call(task, request, Sysno::fadvise64, [HELD, sqe.off, len_bytes, sqe.op_flags.into(), 0, 0])
    }),
    row(op::IORING_OP_MADVISE, |task, _, request| {
        let sqe = &request.sqe;
        let len_bytes = if sqe.off != 0 { sqe.off } else { sqe.len.into() };
        call(task, request, Sysno::madvise, [sqe.addr, len_bytes, sqe.op_flags.into(), 0, 0, 0])
    }),
    of_socket(op::IORING_OP_SEND, transfer::send),
    selecting(of_socket(op::IORING_OP_RECV, transfer::receive)),
    row(op::IORING_OP_OPENAT2, files::open),
    row(op::IORING_OP_EPOLL_CTL, |task, _, request| {
        let sqe = &request.sqe;
        call(task, request, Sysno::epoll_ctl, [directory(sqe), sqe.len.into(), sqe.off, sqe.addr, 0, 0])
    }),
    of_file(op::IORING_OP_SPLICE, transfer::splice),
    row(op::IORING_OP_PROVIDE_BUFFERS, buffers::provide),
    row(op::IORING_OP_REMOVE_BUFFERS, buffers::remove),
    of_file(op::IORING_OP_TEE, transfer::splice),
    of_file(op::IORING_OP_SHUTDOWN, |task, _, request| {
        call(task, request, Sysno::shutdown, [HELD, request.sqe.len.into(), 0, 0, 0, 0])
    }),
    row(op::IORING_OP_RENAMEAT, |task, _, request| {
        let sqe = &request.sqe;
        let arguments = [directory(sqe), sqe.addr, sqe.len.into(), sqe.off, sqe.op_flags.into(), 0];
        call(task, request, Sysno::renameat2, arguments)
    }),
    row(op::IORING_OP_UNLINKAT, |task, _, request| {
        let sqe = &request.sqe;
        call(task, request, Sysno::unlinkat, [directory(sqe), sqe.addr, sqe.op_flags.into(), 0, 0, 0])
    }),
    row(op::IORING_OP_MKDIRAT, |task, _, request| {
        let sqe = &request.sqe;
        call(task, request, Sysno::mkdirat, [directory(sqe), sqe.addr, sqe.len.into(), 0, 0, 0])
    }),
    row(op::IORING_OP_SYMLINKAT, |task, _, request| {
        let sqe = &request.sqe;
        call(task, request, Sysno::symlinkat, [sqe.addr, directory(sqe), sqe.off, 0, 0, 0])
    }),
    row(op::IORING_OP_LINKAT, |task, _, request| {
        let sqe = &request.sqe;
        let arguments = [directory(sqe), sqe.addr, sqe.len.into(), sqe.off, sqe.op_flags.into(), 0];
        call(task, request, Sysno::linkat, arguments)
    }),
    row(op::IORING_OP_MSG_RING, cancel::message),
    of_file(op::IORING_OP_FSETXATTR, |task, _, request| {
        let sqe = &request.sqe;
        let arguments = [HELD, sqe.addr, sqe.off, sqe.len.into(), sqe.op_flags.into(), 0];
        call(task, request, Sysno::fsetxattr, arguments)
    }),
    row(op::IORING_OP_SETXATTR, |task, _, request| {
        let sqe = &request.sqe;
        let arguments = [sqe.addr3, sqe.addr, sqe.off, sqe.len.into(), sqe.op_flags.into(), 0];
        call(task, request, Sysno::setxattr, arguments)
    }),
    of_file(op::IORING_OP_FGETXATTR, |task, _, request| {
        let sqe = &request.sqe;
        call(task, request, Sysno::fgetxattr, [HELD, sqe.addr, sqe.off, sqe.len.into(), 0, 0])
    }),
    row(op::IORING_OP_GETXATTR, |task, _, request| {
        let sqe = &request.sqe;
        call(task, request, Sysno::getxattr, [sqe.addr3, sqe.addr, sqe.off, sqe.len.into(), 0, 0])
    }),
    row(op::IORING_OP_SOCKET, files::socket),
    of_socket(op::IORING_OP_SEND_ZC, transfer::send),
    of_socket(op::IORING_OP_SENDMSG_ZC, transfer::send_message),
    selecting(of_transfer(op::IORING_OP_READ_MULTISHOT)),
    row(op::IORING_OP_WAITID, |task, _, request| {
        let sqe = &request.sqe;
        let arguments = [sqe.len.into(), directory(sqe), sqe.off, u64::from(sqe.file_index), 0, 0];
        call(task, request, Sysno::waitid, arguments)
    }),
    of_file(op::IORING_OP_FIXED_FD_INSTALL, files::install),
    of_file(op::IORING_OP_FTRUNCATE, |task, _, request| {
        call(task, request, Sysno::ftruncate, [HELD, request.sqe.off, 0, 0, 0, 0])
    }),
    of_file(op::IORING_OP_BIND, |task, _, request| {
        call(task, request, Sysno::bind, [HELD, request.sqe.addr, request.sqe.off, 0, 0, 0])
    }),
    of_file(op::IORING_OP_LISTEN, |task, _, request| {
        call(task, request, Sysno::listen, [HELD, request.sqe.len.into(), 0, 0, 0, 0])
    }),
];

/// The register that names the file of a request.
pub(super) const HELD: u64 = Fd::HELD.0 as u64;
/// One more than the largest operation that Linux 6.12 knows.
pub(super) const OPERATION_COUNT: u8 = op::IORING_OP_LISTEN as u8 + 1;

fn find(opcode: u8) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.opcode as u8 == opcode)
}

/// Whether `opcode` can be done (IORING_REGISTER_PROBE).
pub(super) fn is_supported(opcode: u8) -> bool {
    find(opcode).is_some()
}

/// The register with the descriptor of a submission that is no file's that must be open.
pub(super) fn directory(sqe: &IoUringSqe) -> u64 {
    i64::from(sqe.fd).cast_unsigned()
}

/// Whether an operation is over at once, so that a ring whose transfers are asked for (IORING_SETUP_IOPOLL) takes it.
fn needs_no_poll(opcode: op) -> bool {
    matches!(
        opcode,
        op::IORING_OP_NOP
            | op::IORING_OP_FILES_UPDATE
            | op::IORING_OP_PROVIDE_BUFFERS
            | op::IORING_OP_REMOVE_BUFFERS
            | op::IORING_OP_MSG_RING
    )
}

/// Fails if the caller may not do input and output at `priority`, as ioprio_set(2) knows them.
///
/// # Errors
/// EINVAL, EPERM.
fn check_priority(task: &CurrentTask, priority: u16) -> Result<(), Errno> {
    let credentials = task.credentials();
    let is_privileged = [Capabilities::SYS_ADMIN, Capabilities::SYS_NICE].map(|right| credentials.has(right));
    IoPriority::new(priority.into(), is_privileged.contains(&true)).map(drop)
}

/// Reads what must be known before the request begins, and checks what can be. `before` is what it is linked to.
///
/// # Errors
/// Those that the request fails with.
pub(super) fn prepare(
    task: &CurrentTask,
    ring: &Ring,
    sqe: &IoUringSqe,
    before: Option<&Arc<Request>>,
) -> Result<Prepared, Errno> {
    let row = find(sqe.opcode).ok_or(Errno::EINVAL)?;
    let flags = submit::check_flags(ring, sqe, row.selects)?;
    let is_transfer = matches!(row.waits, Waiting::IfAble);
    if sqe.ioprio != 0 && !is_transfer && !matches!(row.waits, Waiting::Always) {
        return Err(Errno::EINVAL);
    }
    if sqe.ioprio != 0 && is_transfer {
        check_priority(task, sqe.ioprio)?;
    }
    if ring.flags().contains(SetupFlags::IOPOLL) && !needs_no_poll(row.opcode) {
        // No file here is asked for what has become of its transfers.
        return Err(if is_transfer { Errno::EOPNOTSUPP } else { Errno::EINVAL });
    }
    let mut prepared = Prepared::default();
    if sqe.personality != 0 {
        let registered = ring.registered.lock();
        prepared.credentials = Some(registered.personality(sqe.personality).ok_or(Errno::EINVAL)?);
    }
    if !row.has_file && flags.contains(SqeFlags::FIXED_FILE) && !sqe.is(op::IORING_OP_MSG_RING) {
        let is_cancel = sqe.is(op::IORING_OP_ASYNC_CANCEL);
        return Err(if is_cancel || sqe.fd == AT_FDCWD { Errno::EINVAL } else { Errno::EBADF });
    }
    match row.opcode {
        op::IORING_OP_TIMEOUT => prepared.timeout = Some(timeout::read(task, sqe)?),
        op::IORING_OP_LINK_TIMEOUT => {
            let is_placed = before.is_some_and(|before| !before.sqe.is(op::IORING_OP_LINK_TIMEOUT));
            if !is_placed {
                return Err(Errno::EINVAL);
            }
            prepared.timeout = Some(timeout::read(task, sqe)?);
        }
        op::IORING_OP_POLL_ADD => prepared.poll_events = Some(poll::read(sqe)?),
        _ => {}
    }
    Ok(prepared)
}

impl Server for Operations {
    fn serve(&self, task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) {
        if !request.begin() {
            return;
        }
        let outcome = match (request.refusal, find(request.sqe.opcode)) {
            (Some(refusal), _) => Err(refusal).into(),
            (None, None) => Err(Errno::EINVAL).into(),
            (None, Some(row)) => match hold_file(task, ring, request, row) {
                Err(error) => Err(error).into(),
                Ok(()) => (row.perform)(task, ring, request),
            },
        };
        match outcome {
            Outcome::Done(ending) => ring.complete(request, buffers::tell(ring, request, ending)),
            Outcome::Waits(registrations) => {
                request.wait(registrations);
                ring.arm_limit(request);
            }
            Outcome::UnderWay => ring.arm_limit(request),
        }
    }
}

/// Finds the file of `request`, which is its own from then on.
fn hold_file(task: &CurrentTask, ring: &Ring, request: &Request, row: &Row) -> Result<(), Errno> {
    if !row.has_file || request.file().is_some() {
        return Ok(());
    }
    let fd = request.sqe.fd;
    let file = if request.flags.contains(SqeFlags::FIXED_FILE) {
        ring.registered.lock().file(fd.cast_unsigned()).ok_or(Errno::EBADF)?
    } else {
        task.usable_file(Fd(fd))?
    };
    request.set_file(file);
    Ok(())
}

/// Attempts what `request` asks for.
pub(super) fn attempt<T>(
    task: &mut CurrentTask,
    request: &Arc<Request>,
    operation: impl FnOnce(&mut CurrentTask) -> Result<T, Errno>,
) -> Attempting<Result<T, Errno>> {
    let file = request.file();
    let row = find(request.sqe.opcode);
    let waits_always = row.is_some_and(|row| match row.waits {
        Waiting::AsFile => false,
        Waiting::Always => request.sqe.op_flags & MSG_DONTWAIT == 0,
        Waiting::IfAble => request.sqe.op_flags & RWF_NOWAIT == 0 && file.as_deref().is_some_and(is_able),
    });
    let attempt =
        Attempt { observer: request.clone(), waits_always, file, credentials: request.credentials.clone() };
    task.attempt(attempt, operation)
}

/// Makes a system call as the request.
pub(super) fn call(
    task: &mut CurrentTask,
    request: &Arc<Request>,
    number: Sysno,
    arguments: [u64; 6],
) -> Outcome {
    match attempt(task, request, |task| Table.dispatch(task, number as u64, arguments)) {
        Attempting::Done(result) => result.into(),
        Attempting::Waits(registrations) => Outcome::Waits(registrations),
    }
}

fn no_operation(_: &mut CurrentTask, _: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    const INJECT_RESULT: u32 = uapi::IORING_NOP_INJECT_RESULT;
    match request.sqe.op_flags {
        0 => Ok(0).into(),
        INJECT_RESULT => Outcome::Done(Ending { result: request.sqe.len.cast_signed(), ..Ending::default() }),
        _ => Err(Errno::EINVAL).into(),
    }
}

fn synchronise(task: &mut CurrentTask, _: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let sqe = &request.sqe;
    if sqe.addr != 0 || sqe.buf_index != 0 || sqe.file_index != 0 {
        return Err(Errno::EINVAL).into();
    }
    match sqe.op_flags {
        0 => call(task, request, Sysno::fsync, [HELD, 0, 0, 0, 0, 0]),
        uapi::IORING_FSYNC_DATASYNC => call(task, request, Sysno::fdatasync, [HELD, 0, 0, 0, 0, 0]),
        _ => Err(Errno::EINVAL).into(),
    }
}

/// The file that `request` is done with.
pub(super) fn file_of(request: &Request) -> Result<Arc<FileDescription>, Errno> {
    request.file().ok_or(Errno::EBADF)
}
