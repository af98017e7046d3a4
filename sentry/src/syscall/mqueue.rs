//! POSIX message queues: mq_open(2), mq_unlink(2), mq_timedsend(2), mq_timedreceive(2), mq_notify(2), mq_getsetattr(2).

use std::sync::{Arc, Weak};
use std::time::Instant;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, UserPointer, UserSlice, handlers};
use super::ipc::Context;
use crate::Errno;
use crate::abi::{SignalEvent, Timespec};
use crate::cred::Capabilities;
use crate::fs::Fd;
use crate::fs::locks::LockOwner;
use crate::fs::mqueue::{self, QueueFile, QueueRequest};
use crate::fs::{Caller, FileDescription, OpenFlags};
use crate::ipc::{
    COOKIE_BYTES, Cookie, MAX_PRIORITIES, Message, Notification, NotificationKind, PendingPosixReception,
    PosixQueue, PosixReceived, QueueAttributes,
};
use crate::limits::Resource;
use crate::net::SocketFile;
use crate::platform::VirtualAddress;
use crate::signal::{Signal, SignalTarget};
use crate::task::{Blocked, CurrentTask};
use crate::time::{SystemClock, duration_from_timespec};
use crate::wait::Events;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![mq_open, mq_unlink, mq_timedsend, mq_timedreceive, mq_notify, mq_getsetattr,];

/// The longest name of a file.
const NAME_MAX: usize = linux_raw_sys::general::NAME_MAX as usize;
/// The permission bits of a mode.
const MODE_BITS: u32 = 0o7777;
/// `struct mq_attr`: flags, messages at most, bytes of a message at most, messages now; and reserved words.
type AttributeWords = [i64; 8];

fn mq_open(
    task: &mut CurrentTask,
    name: UserPath,
    flags: u32,
    mode: u32,
    attributes: UserPointer<AttributeWords>,
) -> Result<Fd, Errno> {
    let asked = attributes.read_unless_null(task)?;
    let name = read_name(task, name)?;
    let open_flags = OpenFlags::from_bits_truncate(flags & (uapi::O_ACCMODE | uapi::O_NONBLOCK));
    let context = Context::of(task);
    let mount = mqueue::mount_of(context.namespace(), task.kernel().file_systems());
    let request = match flags & uapi::O_CREAT {
        0 => None,
        _ => Some(queue_request(task, &context, flags, mode, asked)?),
    };
    task.descriptors().check_room(task.descriptor_bounds())?;
    let description = mqueue::open(&mount, &name, open_flags, request, &task.viewer())?;
    // Always closed by execve, whatever the flags say (`man 3 mq_open`).
    task.install_descriptor(description, true)
}

/// What is to be made if there is no such queue.
fn queue_request(
    task: &CurrentTask,
    context: &Context,
    flags: u32,
    mode: u32,
    asked: Option<AttributeWords>,
) -> Result<QueueRequest, Errno> {
    let limits = context.objects().limits();
    let is_privileged = context.has(Capabilities::SYS_RESOURCE);
    let attributes = match asked {
        None => QueueAttributes::default_of(&limits),
        Some([_, messages, bytes, ..]) => QueueAttributes::checked(messages, bytes, &limits, is_privileged)?,
    };
    let user = task.kernel().users().counters(task.credentials().real_uid);
    let limit = task.thread_group().soft_limit(Resource::MESSAGE_QUEUES);
    Ok(QueueRequest {
        permissions: mode & MODE_BITS & !task.task_fs().umask(),
        attributes,
        user: (user, limit),
        is_exclusive: flags & uapi::O_EXCL != 0,
        is_privileged,
    })
}

/// The name of a queue: one component of a path. The C library takes the slash away.
fn read_name(task: &CurrentTask, name: UserPath) -> Result<Vec<u8>, Errno> {
    let name = name.read(task)?;
    match &*name {
        b"" => Err(Errno::ENOENT),
        b"." | b".." => Err(Errno::EACCES),
        name if name.contains(&b'/') => Err(Errno::EACCES),
        name if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
        _ => Ok(name),
    }
}

fn mq_unlink(task: &mut CurrentTask, name: UserPath) -> Result<(), Errno> {
    let name = read_name(task, name)?;
    let context = Context::of(task);
    mqueue::unlink(
        &mqueue::mount_of(context.namespace(), task.kernel().file_systems()),
        &name,
        &task.viewer(),
    )
}

/// The open queue behind `descriptor`.
fn find(task: &CurrentTask, descriptor: Fd) -> Result<(Arc<FileDescription>, Arc<PosixQueue>), Errno> {
    let description = task.usable_file(descriptor)?;
    let queue = description.downcast::<QueueFile>().ok_or(Errno::EBADF)?.queue().clone();
    Ok((description, queue))
}

/// When a call is to give up; `None` for never.
fn read_deadline(task: &CurrentTask, timeout: UserPointer<Timespec>) -> Result<Option<Instant>, Errno> {
    let Some(time) = timeout.read_unless_null(task)? else { return Ok(None) };
    let time = duration_from_timespec(time)?;
    Ok(task.kernel().timekeeper().deadline(SystemClock::Realtime, time))
}

/// Restarted if the handler wants it (`man 7 signal`).
fn interruption(blocked: Blocked) -> Errno {
    match blocked {
        Blocked::Interrupted => Errno::ERESTARTSYS,
        Blocked::TimedOut => Errno::ETIMEDOUT,
    }
}

fn mq_timedsend(
    task: &mut CurrentTask,
    descriptor: Fd,
    text: UserSlice,
    priority: u32,
    timeout: UserPointer<Timespec>,
) -> Result<(), Errno> {
    let deadline = read_deadline(task, timeout)?;
    if priority >= MAX_PRIORITIES {
        return Err(Errno::EINVAL);
    }
    let (description, queue) = find(task, descriptor)?;
    if !description.flags().is_writable() {
        return Err(Errno::EBADF);
    }
    let len = usize::try_from(text.len_bytes).map_err(|_| Errno::EMSGSIZE)?;
    if len > queue.attributes().message_bytes {
        return Err(Errno::EMSGSIZE);
    }
    let message = Message::new(queue.budget(), priority.into(), len, |bytes| {
        task.memory().read_bytes(text.address, bytes)
    })?;
    let (identity, uid) = (task.thread_group().identity(), task.credentials().real_uid);
    let is_nonblocking = description.flags().contains(OpenFlags::NONBLOCK);
    let mut message = Some(message);
    let mut attempt = || match queue.send(&mut message, &identity, uid) {
        Err(Errno::EAGAIN) if !is_nonblocking => None,
        outcome => Some(outcome),
    };
    if let Some(outcome) = attempt() {
        return outcome;
    }
    match task.block(&[(queue.events(), Events::OUT)], deadline, attempt) {
        Ok(outcome) => outcome,
        Err(blocked) => Err(interruption(blocked)),
    }
}

fn mq_timedreceive(
    task: &mut CurrentTask,
    descriptor: Fd,
    place: UserSlice,
    priority: UserPointer<u32>,
    timeout: UserPointer<Timespec>,
) -> Result<usize, Errno> {
    let deadline = read_deadline(task, timeout)?;
    let (description, queue) = find(task, descriptor)?;
    if !description.flags().is_readable() {
        return Err(Errno::EBADF);
    }
    if usize::try_from(place.len_bytes).is_ok_and(|room| room < queue.attributes().message_bytes) {
        return Err(Errno::EMSGSIZE);
    }
    let waits = !description.flags().contains(OpenFlags::NONBLOCK);
    let message = match queue.receive(waits)? {
        PosixReceived::Message(message) => message,
        PosixReceived::Pending(pending) => wait(task, pending, deadline)?,
    };
    priority.write_unless_null(task, &u32::try_from(message.kind()).unwrap_or(0))?;
    task.memory().write_bytes(place.address, message.text())?;
    Ok(message.text().len())
}

fn wait(
    task: &mut CurrentTask,
    pending: PendingPosixReception,
    deadline: Option<Instant>,
) -> Result<Message, Errno> {
    match task.block(&[(pending.queue(), Events::IN)], deadline, || pending.message()) {
        Ok(message) => Ok(message),
        Err(blocked) => pending.cancel().ok_or_else(|| interruption(blocked)),
    }
}

fn mq_notify(task: &mut CurrentTask, descriptor: Fd, event: UserPointer<SignalEvent>) -> Result<(), Errno> {
    let event = event.read_unless_null(task)?;
    let kind = event.map(|event| notification_kind(&event)).transpose()?;
    let cookie = match (kind, &event) {
        (Some(NotificationKind::Thread), Some(event)) => Some(cookie_of(task, event)?),
        _ => None,
    };
    let (_, queue) = find(task, descriptor)?;
    let group = task.thread_group();
    let owner = group.identity();
    let Some(kind) = kind else {
        queue.unregister(&owner);
        return Ok(());
    };
    let target: Weak<dyn SignalTarget> = {
        let weak: Weak<crate::task::ThreadGroup> = Arc::downgrade(group);
        weak
    };
    let pid_namespace = group.pid_namespace().serial();
    let user_namespace = task.credentials().user_namespace.clone();
    let LockOwner::Process { table, .. } = task.descriptors().lock_owner(group.tgid()) else {
        return Err(Errno::EBADF);
    };
    queue.register(Notification { kind, owner, target, pid_namespace, user_namespace, table, cookie })?;
    Ok(())
}

fn notification_kind(event: &SignalEvent) -> Result<NotificationKind, Errno> {
    let (number, value) = (event.sigev_signo, event.sigev_value);
    match event.sigev_notify {
        uapi::SIGEV_NONE => Ok(NotificationKind::Silent),
        uapi::SIGEV_SIGNAL if number == 0 => Ok(NotificationKind::Signal(None, value)),
        uapi::SIGEV_SIGNAL => Ok(NotificationKind::Signal(Some(Signal::new(number)?), value)),
        uapi::SIGEV_THREAD => Ok(NotificationKind::Thread),
        _ => Err(Errno::EINVAL),
    }
}

/// What a thread of the C library is told by: the value points to it, and the signal's number is the descriptor of the netlink
/// socket that it goes to.
///
/// # Errors
/// EFAULT, EBADF; ENOTSOCK: it is no such socket.
fn cookie_of(task: &CurrentTask, event: &SignalEvent) -> Result<Cookie, Errno> {
    let bytes: [u8; COOKIE_BYTES] = task.memory().read_object(VirtualAddress(event.sigev_value))?;
    let file = task.usable_file(Fd(event.sigev_signo))?;
    let socket = file.downcast::<SocketFile>().ok_or(Errno::ENOTSOCK)?;
    let receiver = socket.socket().cookie_receiver().ok_or(Errno::ENOTSOCK)?;
    Ok(Cookie::new(receiver, bytes))
}

fn mq_getsetattr(
    task: &mut CurrentTask,
    descriptor: Fd,
    new: UserPointer<AttributeWords>,
    old: UserPointer<AttributeWords>,
) -> Result<(), Errno> {
    let new_flags = new.read_unless_null(task)?.map(|[flags, ..]| flags);
    if new_flags.is_some_and(|flags| flags & !i64::from(uapi::O_NONBLOCK) != 0) {
        return Err(Errno::EINVAL);
    }
    let (description, queue) = find(task, descriptor)?;
    let flags = description.flags();
    if let Some(new_flags) = new_flags {
        let nonblocking = if new_flags != 0 { OpenFlags::NONBLOCK } else { OpenFlags::empty() };
        description.set_status_flags((flags - OpenFlags::NONBLOCK) | nonblocking);
    }
    if !old.is_null() {
        let attributes = queue.attributes();
        let mut words: AttributeWords = [0; 8];
        words[0] = i64::from((flags & OpenFlags::NONBLOCK).bits());
        words[1] = i64::try_from(attributes.max_messages).unwrap_or(i64::MAX);
        words[2] = i64::try_from(attributes.message_bytes).unwrap_or(i64::MAX);
        words[3] = i64::try_from(queue.status().messages).unwrap_or(i64::MAX);
        old.write(task, &words)?;
    }
    Ok(())
}
