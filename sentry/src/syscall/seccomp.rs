//! seccomp(2), and its part of prctl(2).

use std::sync::Arc;

use linux_raw_sys::general::O_CLOEXEC;
use linux_raw_sys::ptrace as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{ReturnValue, UserPointer, UserSlice, handlers};
use super::process::read_extensible;
use crate::Errno;
use crate::abi::{
    SeccompData, SeccompNotif, SeccompNotifAddfd, SeccompNotifResp, SeccompNotifSizes, SockFilter, SockFprog,
    UserObject,
};
use crate::bpf::{MAX_LEN, Program, Subject};
use crate::cred::Capabilities;
use crate::fs::{Caller, Fd, FileDescription, OpenFlags};
use crate::platform::{PAGE_SIZE, VirtualAddress};
use crate::seccomp::{Action, Addition, Answer, FilterFlags, Listener, ListenerFile};
use crate::task::{CurrentTask, Installation, Patience, Tid};
use crate::wait::Events;
use crate::width::usize_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![seccomp];

fn seccomp(task: &mut CurrentTask, operation: u32, flags: u32, arguments: u64) -> Result<usize, Errno> {
    match operation {
        uapi::SECCOMP_SET_MODE_STRICT if flags == 0 && arguments == 0 => {
            task.set_seccomp_strict().map(|()| 0)
        }
        uapi::SECCOMP_SET_MODE_FILTER => set_mode_filter(task, flags.into(), UserPointer::new(arguments)),
        uapi::SECCOMP_GET_ACTION_AVAIL if flags == 0 => {
            let action = UserPointer::<u32>::new(arguments).read(task)?;
            Action::from_value(action).map(|_| 0).ok_or(Errno::EOPNOTSUPP)
        }
        uapi::SECCOMP_GET_NOTIF_SIZES if flags == 0 => {
            let sizes = SeccompNotifSizes {
                seccomp_notif: len_of::<SeccompNotif>(),
                seccomp_notif_resp: len_of::<SeccompNotifResp>(),
                seccomp_data: len_of::<SeccompData>(),
            };
            UserPointer::new(arguments).write(task, &sizes).map(|()| 0)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// PR_SET_SECCOMP.
pub(super) fn set_mode(task: &mut CurrentTask, mode: u64, filter: u64) -> Result<usize, Errno> {
    match u32::try_from(mode) {
        Ok(uapi::SECCOMP_MODE_STRICT) => task.set_seccomp_strict().map(|()| 0),
        Ok(uapi::SECCOMP_MODE_FILTER) => set_mode_filter(task, 0, UserPointer::new(filter)),
        _ => Err(Errno::EINVAL),
    }
}

fn len_of<T: UserObject>() -> u16 {
    size_of::<T>() as u16
}

fn set_mode_filter(
    task: &mut CurrentTask,
    flags: u64,
    program: UserPointer<SockFprog>,
) -> Result<usize, Errno> {
    let flags = FilterFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let listens = flags.contains(FilterFlags::NEW_LISTENER);
    // Both would have a result to return.
    let has_two_results =
        listens && flags.contains(FilterFlags::TSYNC) && !flags.contains(FilterFlags::TSYNC_ESRCH);
    if has_two_results || flags.contains(FilterFlags::WAIT_KILLABLE_RECV) && !listens {
        return Err(Errno::EINVAL);
    }
    let program = read_program(task, program)?;
    if listens {
        return install_with_listener(task, program, flags);
    }
    match task.install_filter(program, flags, None)? {
        Installation::Done => Ok(0),
        Installation::Refused(_) if flags.contains(FilterFlags::TSYNC_ESRCH) => Err(Errno::ESRCH),
        Installation::Refused(other) => Ok(usize::try_from(other.tid()).unwrap_or(0)),
    }
}

/// Returns the descriptor of the filter's listener.
fn install_with_listener(
    task: &mut CurrentTask,
    program: Program,
    flags: FilterFlags,
) -> Result<usize, Errno> {
    let listener = Arc::new(Listener::new(flags.contains(FilterFlags::WAIT_KILLABLE_RECV)));
    let file = ListenerFile::new(listener.clone(), task.kernel().open_files());
    let fd = task.install_descriptor(FileDescription::new(file, None, OpenFlags::RDWR), true)?;
    let installation = task.install_filter(program, flags, Some(&listener));
    if matches!(installation, Ok(Installation::Done)) {
        return Ok(fd.encode());
    }
    drop(task.descriptors().remove(fd)?);
    // Without SECCOMP_FILTER_FLAG_TSYNC_ESRCH there would be two results.
    installation.and(Err(Errno::ESRCH))
}

/// The program of a task that may install one: it has no way to new privileges, or has all of them already.
fn read_program(task: &CurrentTask, program: UserPointer<SockFprog>) -> Result<Program, Errno> {
    let program = program.read(task)?;
    let len = usize::from(program.len);
    if len == 0 || len > MAX_LEN {
        return Err(Errno::EINVAL);
    }
    let credentials = task.credentials();
    if !credentials.no_new_privs && !credentials.has_in_own(Capabilities::SYS_ADMIN) {
        return Err(Errno::EACCES);
    }
    let source = UserPointer::<SockFilter>::new(program.filter).read_array(task, len)?;
    Program::new(&source, Subject::Call)
}

/// `_IOC(direction, '!', number, size_of::<T>())`, without its size and direction.
const fn request_of(number: u32) -> u32 {
    (uapi::SECCOMP_IOC_MAGIC as u32) << 8 | number
}

const RECV: u32 = request_of(0);
const SEND: u32 = request_of(1);
const ID_VALID: u32 = request_of(2);
const ADDFD: u32 = request_of(3);
const SET_FLAGS: u32 = request_of(4);

/// The directions of ioctl requests (`asm-generic/ioctl.h`).
const WRITE: u32 = 1;
const READ: u32 = 2;

/// ioctl(2) on a listener (`SECCOMP_IOCTL_NOTIF_*`).
pub(super) fn ioctl(
    task: &mut CurrentTask,
    listener: &Listener,
    request: u32,
    argument: u64,
) -> Result<usize, Errno> {
    let (number, len_bytes, direction) = (request & 0xffff, request >> 16 & 0x3fff, request >> 30);
    let is_of =
        |directions: &[u32], len: usize| directions.contains(&direction) && usize_from(len_bytes) == len;
    match number {
        RECV if is_of(&[READ | WRITE], size_of::<SeccompNotif>()) => {
            receive(task, listener, UserPointer::new(argument))
        }
        SEND if is_of(&[READ | WRITE], size_of::<SeccompNotifResp>()) => {
            send(task, listener, UserPointer::new(argument))
        }
        // The direction was told the wrong way round once.
        ID_VALID if is_of(&[WRITE, READ], size_of::<u64>()) => {
            listener.check_id(UserPointer::<u64>::new(argument).read(task)?).map(|()| 0)
        }
        // Of this one Linux looks at the size alone.
        ADDFD => {
            let place = UserSlice { address: VirtualAddress(argument), len_bytes: len_bytes.into() };
            add_descriptor(task, listener, place)
        }
        SET_FLAGS if is_of(&[WRITE], size_of::<u64>()) => match argument {
            // Whether an answer wakes its caller on the same CPU is a matter of speed alone.
            0 | KNOWN_LISTENER_FLAGS => Ok(0),
            _ => Err(Errno::EINVAL),
        },
        _ => Err(Errno::EINVAL),
    }
}

const KNOWN_LISTENER_FLAGS: u64 = uapi::SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP as u64;

fn receive(
    task: &mut CurrentTask,
    listener: &Listener,
    place: UserPointer<SeccompNotif>,
) -> Result<usize, Errno> {
    if place.read(task)? != SeccompNotif::default() {
        return Err(Errno::EINVAL);
    }
    let queues = [(listener.queue(), Events::IN | Events::HUP)];
    let received = Patience::FOREVER.retry(task, &queues, |_| listener.receive());
    let received =
        received.map_err(|error| if error == Errno::ERESTARTSYS { Errno::EINTR } else { error })?;
    let tasks = task.kernel().tasks();
    let caller = tasks.task(tasks.root(), Tid(received.thread_id));
    let pid = caller.map_or(0, |caller| tasks.number_of(&caller, task.thread_group().pid_namespace()).0);
    let notification =
        SeccompNotif { id: received.id, pid: pid.cast_unsigned(), flags: 0, data: received.call };
    place.write(task, &notification).inspect_err(|_| listener.take_back(received.id))?;
    Ok(0)
}

fn send(
    task: &CurrentTask,
    listener: &Listener,
    place: UserPointer<SeccompNotifResp>,
) -> Result<usize, Errno> {
    let response = place.read(task)?;
    let continues = match response.flags {
        0 => false,
        uapi::SECCOMP_USER_NOTIF_FLAG_CONTINUE if response.error == 0 && response.val == 0 => true,
        _ => return Err(Errno::EINVAL),
    };
    let answer = match response.error {
        _ if continues => Answer::Continue,
        0 => Answer::Result(response.val),
        error => Answer::Result(error.into()),
    };
    listener.answer(response.id, answer).map(|()| 0)
}

/// A structure that Linux has had from the beginning as it is; EINVAL for one that is shorter or a page.
fn read_addition(task: &CurrentTask, place: UserSlice) -> Result<SeccompNotifAddfd, Errno> {
    if place.len_bytes >= PAGE_SIZE {
        return Err(Errno::EINVAL);
    }
    read_extensible(task, place, size_of::<SeccompNotifAddfd>())
}

fn add_descriptor(task: &mut CurrentTask, listener: &Listener, place: UserSlice) -> Result<usize, Errno> {
    let request: SeccompNotifAddfd = read_addition(task, place)?;
    let known = uapi::SECCOMP_ADDFD_FLAG_SETFD | uapi::SECCOMP_ADDFD_FLAG_SEND;
    let is_placed = request.flags & uapi::SECCOMP_ADDFD_FLAG_SETFD != 0;
    if request.newfd_flags & !O_CLOEXEC != 0
        || request.flags & !known != 0
        || request.newfd != 0 && !is_placed
    {
        return Err(Errno::EINVAL);
    }
    let addition = Addition {
        file: task.file(Fd(request.srcfd.cast_signed()))?,
        at: is_placed.then_some(Fd(request.newfd.cast_signed())),
        is_close_on_exec: request.newfd_flags != 0,
        answers: request.flags & uapi::SECCOMP_ADDFD_FLAG_SEND != 0,
    };
    let (id, number) = (request.id, listener.add(request.id, addition)?);
    let added = Patience::FOREVER.retry(task, &[(listener.queue(), Events::PRI)], |_| {
        listener.take_added(number).unwrap_or(Err(Errno::EAGAIN))
    });
    match added {
        Err(Errno::ERESTARTSYS) => listener.cancel_addition(id, number).unwrap_or(Err(Errno::ERESTARTSYS)),
        added => added,
    }
    .map(|fd| fd.encode())
}
