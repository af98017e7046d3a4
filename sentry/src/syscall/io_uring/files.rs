//! Operations that make files or close them, in the table of descriptors or among those that are registered with the ring.

use std::sync::Arc;

use linux_raw_sys::general::{O_CLOEXEC, O_LARGEFILE, O_PATH};
use linux_raw_sys::io_uring::{self as uapi, io_uring_op as op};
use syscalls::Sysno;

use super::operation::{HELD, Outcome, attempt, directory, file_of};
use crate::Errno;
use crate::fs::{Caller, Fd, FileDescription};
use crate::io_uring::{Ending, Request, Ring, RingFile, SqeFlags};
use crate::syscall::Table;
use crate::syscall::arguments::UserPointer;
use crate::task::{Attempting, CurrentTask, Dispatcher};
use crate::width::usize_from;

/// `IORING_FILE_INDEX_ALLOC`: any place that is free.
const ANY_PLACE: u32 = u32::MAX;

/// Puts `file` where `index`, which is one more than the place, says. Returns the place that was chosen, or 0 if it was given.
///
/// # Errors
/// ENFILE, ENXIO, EINVAL.
pub(super) fn place(ring: &Ring, index: u32, file: Arc<FileDescription>) -> Result<usize, Errno> {
    if file.downcast::<RingFile>().is_some() {
        return Err(Errno::EBADF);
    }
    let mut registered = ring.registered.lock();
    if index == ANY_PLACE {
        return registered.add_file(file).map(usize_from);
    }
    let old = registered.set_file(index.checked_sub(1).ok_or(Errno::EINVAL)?, Some(file));
    drop(registered);
    old.map(|_| 0)
}

/// Makes a system call that returns a descriptor. If the request wants a registered file instead, it gets that.
fn make(
    task: &mut CurrentTask,
    ring: &Ring,
    request: &Arc<Request>,
    number: Sysno,
    arguments: [u64; 6],
) -> Outcome {
    match attempt(task, request, |task| make_file(task, ring, request, number, arguments)) {
        Attempting::Done(result) => result.into(),
        Attempting::Waits(registrations) => Outcome::Waits(registrations),
    }
}

fn make_file(
    task: &mut CurrentTask,
    ring: &Ring,
    request: &Request,
    number: Sysno,
    arguments: [u64; 6],
) -> Result<usize, Errno> {
    let made = Table.dispatch(task, number as u64, arguments)?;
    if request.sqe.file_index == 0 {
        return Ok(made);
    }
    let fd = i32::try_from(made).map_err(|_| Errno::EBADF)?;
    let file = task.file(Fd(fd))?;
    drop(task.descriptors().remove(Fd(fd))?);
    place(ring, request.sqe.file_index, file)
}

pub(super) fn open(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let sqe = &request.sqe;
    if sqe.buf_index != 0 {
        return Err(Errno::EINVAL).into();
    }
    let is_plain = sqe.is(op::IORING_OP_OPENAT);
    if is_plain && sqe.file_index != 0 && sqe.op_flags & O_CLOEXEC != 0 {
        return Err(Errno::EINVAL).into();
    }
    if is_plain {
        let large = if sqe.op_flags & O_PATH != 0 { 0 } else { O_LARGEFILE };
        let flags = (sqe.op_flags | large).into();
        let arguments = [directory(sqe), sqe.addr, flags, sqe.len.into(), 0, 0];
        return make(task, ring, request, Sysno::openat, arguments);
    }
    let arguments = [directory(sqe), sqe.addr, sqe.off, sqe.len.into(), 0, 0];
    make(task, ring, request, Sysno::openat2, arguments)
}

pub(super) fn socket(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let sqe = &request.sqe;
    if sqe.addr != 0 || sqe.op_flags != 0 || sqe.buf_index != 0 {
        return Err(Errno::EINVAL).into();
    }
    make(task, ring, request, Sysno::socket, [directory(sqe), sqe.off, sqe.len.into(), 0, 0, 0])
}

pub(super) fn accept(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let sqe = &request.sqe;
    let multishot = uapi::IORING_ACCEPT_MULTISHOT;
    let known = multishot | uapi::IORING_ACCEPT_DONTWAIT | uapi::IORING_ACCEPT_POLL_FIRST;
    let how = u32::from(sqe.ioprio);
    let is_multishot = how & multishot != 0;
    let places_wrongly = is_multishot && sqe.file_index != 0 && sqe.file_index != ANY_PLACE;
    if sqe.len != 0 || sqe.buf_index != 0 || how & !known != 0 || places_wrongly {
        return Err(Errno::EINVAL).into();
    }
    let arguments = [HELD, sqe.addr, sqe.off, sqe.op_flags.into(), 0, 0];
    loop {
        let outcome = make(task, ring, request, Sysno::accept4, arguments);
        match outcome {
            Outcome::Done(ending) if is_multishot && ending.result >= 0 => {
                if !ring.post_more(request, ending) {
                    return Outcome::Done(ending);
                }
            }
            outcome => return outcome,
        }
    }
}

pub(super) fn close(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let sqe = &request.sqe;
    if sqe.off != 0 || sqe.addr != 0 || sqe.len != 0 || sqe.op_flags != 0 || sqe.buf_index != 0 {
        return Err(Errno::EINVAL).into();
    }
    if sqe.file_index != 0 {
        return if sqe.fd == 0 {
            close_registered(ring, sqe.file_index).into()
        } else {
            Err(Errno::EINVAL).into()
        };
    }
    close_descriptor(task, Fd(sqe.fd)).into()
}

/// A ring does not close itself, or another.
fn close_descriptor(task: &CurrentTask, fd: Fd) -> Result<usize, Errno> {
    if task.file(fd)?.downcast::<RingFile>().is_some() {
        return Err(Errno::EBADF);
    }
    drop(task.descriptors().remove(fd)?);
    Ok(0)
}

fn close_registered(ring: &Ring, index: u32) -> Result<usize, Errno> {
    let removed = ring.registered.lock().set_file(index - 1, None);
    match removed? {
        Some(_) => Ok(0),
        None => Err(Errno::EBADF),
    }
}

/// IORING_OP_FILES_UPDATE.
pub(super) fn update(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let sqe = &request.sqe;
    if sqe.op_flags != 0 || sqe.file_index != 0 || sqe.len == 0 {
        return Err(Errno::EINVAL).into();
    }
    let start = u32::try_from(sqe.off & u64::from(u32::MAX)).unwrap_or(0);
    if start == ANY_PLACE {
        return place_all(task, ring, UserPointer::new(sqe.addr), sqe.len).into();
    }
    replace(task, ring, start, UserPointer::new(sqe.addr), sqe.len).into()
}

fn place_all(
    task: &CurrentTask,
    ring: &Ring,
    descriptors: UserPointer<i32>,
    count: u32,
) -> Result<usize, Errno> {
    if ring.registered.lock().files.is_none() {
        return Err(Errno::ENXIO);
    }
    for done in 0..usize_from(count) {
        let descriptor = descriptors.element(done);
        let placed = descriptor.read(task).and_then(|fd| {
            let index = place(ring, ANY_PLACE, task.usable_file(Fd(fd))?)?;
            descriptor.write(task, &i32::try_from(index).map_err(|_| Errno::ENFILE)?)
        });
        match placed {
            Ok(()) => {}
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(done),
        }
    }
    Ok(usize_from(count))
}

/// Replaces registered files from place `start` on by those of `count` descriptors: -1 for none, -2 to leave one as it is.
///
/// # Errors
/// ENXIO, EINVAL, EOVERFLOW, EBADF, EFAULT; if some have been replaced, their number is returned instead.
pub(super) fn replace(
    task: &CurrentTask,
    ring: &Ring,
    start: u32,
    descriptors: UserPointer<i32>,
    count: u32,
) -> Result<usize, Errno> {
    let end = start.checked_add(count).ok_or(Errno::EOVERFLOW)?;
    let registered = ring.registered.lock().files.as_ref().map(Vec::len).ok_or(Errno::ENXIO)?;
    if usize_from(end) > registered {
        return Err(Errno::EINVAL);
    }
    for done in 0..count {
        let replaced = descriptors.element(usize_from(done)).read(task).and_then(|fd| match fd {
            uapi::IORING_REGISTER_FILES_SKIP => Ok(None),
            -1 => ring.registered.lock().set_file(start + done, None),
            fd => {
                let file = task.usable_file(Fd(fd))?;
                if file.downcast::<RingFile>().is_some() {
                    return Err(Errno::EBADF);
                }
                ring.registered.lock().set_file(start + done, Some(file))
            }
        });
        match replaced {
            Ok(_) => {}
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(usize_from(done)),
        }
    }
    Ok(usize_from(count))
}

/// IORING_OP_FIXED_FD_INSTALL: a registered file gets a descriptor.
pub(super) fn install(task: &mut CurrentTask, _: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let sqe = &request.sqe;
    if !request.flags.contains(SqeFlags::FIXED_FILE) {
        return Err(Errno::EBADF).into();
    }
    let keeps_open = sqe.op_flags & uapi::IORING_FIXED_FD_NO_CLOEXEC != 0;
    let is_wrong = sqe.off != 0 || sqe.addr != 0 || sqe.len != 0 || sqe.buf_index != 0 || sqe.file_index != 0;
    if is_wrong || sqe.op_flags & !uapi::IORING_FIXED_FD_NO_CLOEXEC != 0 {
        return Err(Errno::EINVAL).into();
    }
    let installed = file_of(request).and_then(|file| task.install_descriptor(file, !keeps_open));
    match installed {
        Ok(fd) => Outcome::Done(Ending { result: fd.0, ..Ending::default() }),
        Err(error) => Err(error).into(),
    }
}
