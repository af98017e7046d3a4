//! Reading, writing, sending, receiving and splicing.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use linux_raw_sys::io_uring::{self as uapi, io_uring_op as op};
use linux_raw_sys::net::{MSG_NOSIGNAL, MSG_WAITALL};
use syscalls::Sysno;

use super::buffers;
use super::operation::{HELD, Outcome, attempt, call, file_of};
use crate::Errno;
use crate::abi::{IoUringSqe, Iovec, Msghdr, io_uring_operation};
use crate::fs::Fd;
use crate::io_uring::{Buffer, Ending, Request, Ring, SqeFlags};
use crate::net::{SocketFile, SocketKind};
use crate::platform::VirtualAddress;
use crate::syscall::arguments::{UserPointer, UserSlice};
use crate::syscall::readwrite::{self, At, Direction, UserMemory};
use crate::syscall::socket::message;
use crate::syscall::transfer::{self, SpliceOffset};
use crate::task::{Attempting, CurrentTask};
use crate::wait::Registration;
use crate::width::{u64_from, usize_from};

/// How a submission wants to receive or send (`ioprio`): none of these changes what comes of it.
const HINTS: u32 = uapi::IORING_RECVSEND_POLL_FIRST;

fn is_read(sqe: &IoUringSqe) -> bool {
    const READS: [op; 4] =
        [op::IORING_OP_READV, op::IORING_OP_READ_FIXED, op::IORING_OP_READ, op::IORING_OP_READ_MULTISHOT];
    READS.into_iter().any(|read| sqe.is(read))
}

/// The memory that a read fills or a write empties.
fn memory_of(task: &CurrentTask, ring: &Ring, request: &Request) -> Result<UserMemory, Errno> {
    let sqe = &request.sqe;
    let mut buffer = Buffer { address: sqe.addr, len_bytes: sqe.len.into() };
    match io_uring_operation(sqe.opcode) {
        Some(op::IORING_OP_READV) if buffers::chooses(request) => {
            let piece = only_piece(task, sqe.addr, sqe.len.into())?;
            buffer = buffers::pick(task, ring, request, piece.iov_len)?.buffer;
        }
        Some(op::IORING_OP_READV | op::IORING_OP_WRITEV) => {
            return Ok(UserMemory::Pieces(UserPointer::new(sqe.addr), sqe.len.into()));
        }
        Some(op::IORING_OP_READ_FIXED | op::IORING_OP_WRITE_FIXED) => {
            let registered = ring.registered.lock();
            let fixed = registered.buffers.as_ref().and_then(|all| *all.get(usize::from(sqe.buf_index))?);
            if !fixed.is_some_and(|fixed| fixed.holds(buffer.address, buffer.len_bytes)) {
                return Err(Errno::EFAULT);
            }
        }
        _ if buffers::chooses(request) => {
            buffer = buffers::pick(task, ring, request, buffer.len_bytes)?.buffer;
        }
        _ => {}
    }
    Ok(UserMemory::Buffer(slice_of(buffer)))
}

/// The only piece of a vector, in whose place a buffer of a group is taken.
fn only_piece(task: &CurrentTask, vector: u64, count: u64) -> Result<Iovec, Errno> {
    if count == 1 { UserPointer::new(vector).read(task) } else { Err(Errno::EINVAL) }
}

fn slice_of(buffer: Buffer) -> UserSlice {
    UserSlice { address: VirtualAddress(buffer.address), len_bytes: buffer.len_bytes }
}

/// Reads or writes.
pub(super) fn perform(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let is_multishot = request.sqe.is(op::IORING_OP_READ_MULTISHOT);
    if is_multishot {
        if !buffers::chooses(request) || request.sqe.addr != 0 || request.sqe.len != 0 {
            return Err(Errno::EINVAL).into();
        }
        if !file_of(request).is_ok_and(|file| file.file().wait_queue().is_some()) {
            return Err(Errno::EBADFD).into();
        }
    }
    repeat(ring, request, is_multishot, |_| {
        attempt(task, request, |task| {
            let memory = memory_of(task, ring, request)?;
            let file = file_of(request)?;
            let at = match request.sqe.off {
                u64::MAX => At::Position,
                _ if !file.file().is_seekable() => At::Position,
                offset => At::Offset(i64::try_from(offset).map_err(|_| Errno::EINVAL)?.cast_unsigned()),
            };
            let direction = if is_read(&request.sqe) { Direction::Read } else { Direction::Write };
            let (moved, wanted) =
                readwrite::transfer(task, Fd::HELD, memory, (direction, at), request.sqe.op_flags)?;
            Ok((moved, moved < wanted))
        })
    })
}

/// Does `step`, which returns how much it moved and whether that is less than it should; again and again if the request
/// `is_multishot`, with a completion each time.
fn repeat(
    ring: &Ring,
    request: &Request,
    is_multishot: bool,
    step: impl FnMut(&Request) -> Attempting<Result<(usize, bool), Errno>>,
) -> Outcome {
    repeat_while(ring, request, |moved| is_multishot && moved != 0, step)
}

/// Does `step`, which returns how much it moved and whether that is less than it should; again and again while `goes_on` says so
/// of what was moved, with a completion each time.
fn repeat_while(
    ring: &Ring,
    request: &Request,
    goes_on: impl Fn(usize) -> bool,
    mut step: impl FnMut(&Request) -> Attempting<Result<(usize, bool), Errno>>,
) -> Outcome {
    loop {
        let (moved, is_short) = match step(request) {
            Attempting::Waits(registrations) => return waits(ring, request, registrations),
            Attempting::Done(Err(error)) => return Err(error).into(),
            Attempting::Done(Ok(done)) => done,
        };
        let ending = Ending { is_short, ..Ending::of(Ok(moved)) };
        if !goes_on(moved) {
            return Outcome::Done(ending);
        }
        let ending = buffers::tell(ring, request, ending);
        if !ring.post_more(request, ending) {
            return Outcome::Done(ending);
        }
    }
}

/// A buffer that nothing has come into yet is another's meanwhile.
fn waits(ring: &Ring, request: &Request, registrations: Vec<Registration>) -> Outcome {
    if request.moved.load(Ordering::Relaxed) == 0 {
        buffers::release(ring, request);
    }
    Outcome::Waits(registrations)
}

/// What came of sending: what is linked to less than all does not begin, if all was wanted.
fn sent(request: &Request, outcome: Outcome, ring: &Ring) -> Outcome {
    let sqe = &request.sqe;
    let is_zero_copy = sqe.is(op::IORING_OP_SEND_ZC) || sqe.is(op::IORING_OP_SENDMSG_ZC);
    let ending = match outcome {
        Outcome::Done(ending) => ending,
        outcome => return outcome,
    };
    let is_vector = !sqe.is(op::IORING_OP_SEND) && !sqe.is(op::IORING_OP_SEND_ZC);
    let is_less = !is_vector && ending.result >= 0 && ending.result.cast_unsigned() < sqe.len;
    let ending = Ending { is_short: is_less && sqe.op_flags & MSG_WAITALL != 0, ..ending };
    if is_zero_copy && ending.result >= 0 {
        ring.post_more(request, ending);
        // The memory was copied: it is free again.
        return Outcome::Done(Ending { result: 0, flags: uapi::IORING_CQE_F_NOTIF, ..ending });
    }
    Outcome::Done(ending)
}

fn check_send(ring: &Ring, request: &Request) -> Result<(), Errno> {
    let sqe = &request.sqe;
    let is_zero_copy = sqe.is(op::IORING_OP_SEND_ZC);
    let more =
        if is_zero_copy { uapi::IORING_RECVSEND_FIXED_BUF | uapi::IORING_SEND_ZC_REPORT_USAGE } else { 0 };
    let how = u32::from(sqe.ioprio);
    if how & !(HINTS | more) != 0 {
        return Err(Errno::EINVAL);
    }
    if how & uapi::IORING_RECVSEND_FIXED_BUF != 0 {
        let registered = ring.registered.lock();
        let fixed = registered.buffers.as_ref().and_then(|all| *all.get(usize::from(sqe.buf_index))?);
        if !fixed.is_some_and(|fixed| fixed.holds(sqe.addr, sqe.len.into())) {
            return Err(Errno::EFAULT);
        }
    }
    Ok(())
}

pub(super) fn send(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    if let Err(error) = check_send(ring, request) {
        return Err(error).into();
    }
    let sqe = &request.sqe;
    let flags = sqe.op_flags | MSG_NOSIGNAL;
    let address_len = sqe.file_index & 0xffff;
    let arguments = [HELD, sqe.addr, sqe.len.into(), flags.into(), sqe.off, address_len.into()];
    let outcome = call(task, request, Sysno::sendto, arguments);
    sent(request, outcome, ring)
}

pub(super) fn send_message(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    if let Err(error) = check_send(ring, request) {
        return Err(error).into();
    }
    let flags = request.sqe.op_flags | MSG_NOSIGNAL;
    let outcome = call(task, request, Sysno::sendmsg, [HELD, request.sqe.addr, flags.into(), 0, 0, 0]);
    sent(request, outcome, ring)
}

pub(super) fn receive(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let sqe = &request.sqe;
    let how = u32::from(sqe.ioprio);
    let is_multishot = how & uapi::IORING_RECV_MULTISHOT != 0;
    let is_wrong = is_multishot && (!buffers::chooses(request) || sqe.op_flags & MSG_WAITALL != 0);
    if how & !(HINTS | uapi::IORING_RECV_MULTISHOT) != 0 || sqe.off != 0 || sqe.file_index != 0 || is_wrong {
        return Err(Errno::EINVAL).into();
    }
    repeat(ring, request, is_multishot, |_| {
        attempt(task, request, |task| {
            let mut buffer = Buffer { address: sqe.addr, len_bytes: sqe.len.into() };
            if request.flags.contains(SqeFlags::BUFFER_SELECT) {
                buffer = buffers::pick(task, ring, request, buffer.len_bytes)?.buffer;
            }
            receive_part(task, request, buffer)
        })
    })
}

/// Receives into `buffer`: with MSG_WAITALL until it is full, however often the request has to wait for that.
fn receive_part(task: &mut CurrentTask, request: &Request, buffer: Buffer) -> Result<(usize, bool), Errno> {
    let flags = request.sqe.op_flags;
    receive_all(task, request, buffer, |task, rest| {
        message::receive_into(task, Fd::HELD, slice_of(rest), flags)
    })
}

/// Has `step` receive into `buffer`; with MSG_WAITALL, where messages have no bounds, again and again into the rest of it.
fn receive_all(
    task: &mut CurrentTask,
    request: &Request,
    buffer: Buffer,
    mut step: impl FnMut(&mut CurrentTask, Buffer) -> Result<usize, Errno>,
) -> Result<(usize, bool), Errno> {
    if request.sqe.op_flags & MSG_WAITALL == 0 || !is_stream(request) {
        return step(task, buffer).map(|received| (received, false));
    }
    loop {
        let moved = u64::from(request.moved.load(Ordering::Relaxed));
        let rest = Buffer {
            address: buffer.address.wrapping_add(moved),
            len_bytes: buffer.len_bytes.saturating_sub(moved),
        };
        let received = match step(task, rest) {
            Err(error) if moved == 0 || error.is_restart() => return Err(error),
            // What has come counts.
            Err(_) | Ok(0) => return Ok((usize_from(moved), moved < buffer.len_bytes)),
            Ok(received) => u64_from(received),
        };
        request.moved.store((moved + received) as u32, Ordering::Relaxed);
        if moved + received >= buffer.len_bytes {
            return Ok((usize_from(moved + received), false));
        }
    }
}

/// Whether the header at `address` has one piece of memory: several are filled by one call alone.
fn has_one_piece(task: &CurrentTask, address: u64) -> bool {
    UserPointer::<Msghdr>::new(address).read(task).is_ok_and(|header| header.msg_iovlen == 1)
}

/// Whether the request is about a socket from which a message may come in parts.
fn is_stream(request: &Request) -> bool {
    let file = file_of(request).ok();
    let kind = file
        .as_ref()
        .and_then(|file| file.downcast::<SocketFile>())
        .map(|file| file.socket().common().kind());
    matches!(kind, Some(SocketKind::Stream | SocketKind::SequencedPacket))
}

pub(super) fn receive_message(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let sqe = &request.sqe;
    let how = u32::from(sqe.ioprio);
    if how & !(HINTS | uapi::IORING_RECV_MULTISHOT) != 0 || sqe.off != 0 || sqe.file_index != 0 {
        return Err(Errno::EINVAL).into();
    }
    if how & uapi::IORING_RECV_MULTISHOT != 0 {
        return receive_messages(task, ring, request);
    }
    if buffers::chooses(request) {
        return repeat(ring, request, false, |_| {
            attempt(task, request, |task| {
                let header: Msghdr = UserPointer::new(sqe.addr).read(task)?;
                let wanted = match header.msg_iovlen {
                    0 => 0,
                    count => only_piece(task, header.msg_iov, count)?.iov_len,
                };
                let buffer = slice_of(buffers::pick(task, ring, request, wanted)?.buffer);
                let place = UserPointer::new(sqe.addr);
                message::receive_header_into(task, Fd::HELD, place, buffer, sqe.op_flags)
                    .map(|received| (received, false))
            })
        });
    }
    if sqe.op_flags & MSG_WAITALL != 0 && is_stream(request) && has_one_piece(task, sqe.addr) {
        return repeat(ring, request, false, |_| {
            attempt(task, request, |task| {
                let place = UserPointer::new(sqe.addr);
                let header: Msghdr = place.read(task)?;
                let piece = only_piece(task, header.msg_iov, header.msg_iovlen)?;
                let buffer = Buffer { address: piece.iov_base, len_bytes: piece.iov_len };
                receive_all(task, request, buffer, |task, rest| {
                    message::receive_header_into(task, Fd::HELD, place, slice_of(rest), sqe.op_flags)
                })
            })
        });
    }
    call(task, request, Sysno::recvmsg, [HELD, sqe.addr, sqe.op_flags.into(), 0, 0, 0])
}

/// Receives a message into each buffer of a group, for as long as there are both.
fn receive_messages(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let sqe = &request.sqe;
    if !buffers::chooses(request) || sqe.op_flags & MSG_WAITALL != 0 {
        return Err(Errno::EINVAL).into();
    }
    let is_message = Cell::new(false);
    repeat_while(
        ring,
        request,
        |_| is_message.get(),
        |_| {
            attempt(task, request, |task| {
                let buffer = slice_of(buffers::pick(task, ring, request, 0)?.buffer);
                let place = UserPointer::new(sqe.addr);
                let (filled, is_one) = message::receive_packed(task, Fd::HELD, place, buffer, sqe.op_flags)?;
                is_message.set(is_one);
                Ok((filled, false))
            })
        },
    )
}

/// Splices, or tees, from the file that the submission names beside its own.
pub(super) fn splice(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let sqe = &request.sqe;
    let flags = sqe.op_flags & !uapi::SPLICE_F_FD_IN_FIXED;
    let is_fixed = sqe.op_flags & uapi::SPLICE_F_FD_IN_FIXED != 0;
    let wanted = sqe.len;
    let attempted = attempt(task, request, |task| {
        let from = match is_fixed {
            true => ring.registered.lock().file(sqe.file_index).ok_or(Errno::EBADF)?,
            false => task.usable_file(Fd(sqe.file_index.cast_signed()))?,
        };
        let to = file_of(request)?;
        let moved = if sqe.is(op::IORING_OP_TEE) {
            if sqe.off != 0 || sqe.addr != 0 {
                return Err(Errno::EINVAL);
            }
            transfer::tee_files(task, &from, &to, wanted.into(), flags)?
        } else {
            let ends = [(from, SpliceOffset::given(sqe.addr)), (to, SpliceOffset::given(sqe.off))];
            transfer::splice_files(task, ends, wanted.into(), flags)?
        };
        Ok(moved)
    });
    match attempted {
        Attempting::Waits(registrations) => Outcome::Waits(registrations),
        Attempting::Done(result) => {
            let ending = Ending::of(result);
            let is_short = ending.result >= 0 && ending.result.cast_unsigned() < wanted;
            Outcome::Done(Ending { is_short, ..ending })
        }
    }
}
