//! msgget(2), msgsnd(2), msgrcv(2) and msgctl(2).

use syscalls::Sysno;

use super::{Context, IPC_INFO, IPC_NOWAIT, IPC_RMID, IPC_SET, IPC_STAT, result_of, stat_result, structures};
use crate::Errno;
use crate::abi::MsqidDs;
use crate::ipc::{IpcLimit, Lookup, Message, PendingReception, QueueChange, Received, Reception, Selection};
use crate::syscall::Handler;
use crate::syscall::arguments::{UserPointer, handlers};
use crate::task::{Blocked, CurrentTask};
use crate::wait::Events;

pub(in crate::syscall) const HANDLERS: &[(Sysno, Handler)] = handlers![msgget, msgsnd, msgrcv, msgctl];

const MSG_STAT: u32 = 11;
const MSG_INFO: u32 = 12;
const MSG_STAT_ANY: u32 = 13;

// Flags of msgrcv(2).
const MSG_NOERROR: u32 = 0o10000;
const MSG_EXCEPT: u32 = 0o20000;
const MSG_COPY: u32 = 0o40000;

fn msgget(task: &mut CurrentTask, key: i32, flags: u32) -> Result<usize, Errno> {
    let context = Context::of(task);
    let objects = context.objects();
    let request = (key, flags);
    result_of(objects.message_queues.get(request, &objects.limits(), &context.caller())?)
}

/// A message in memory is its type, a `long`, and its text behind it.
fn msgsnd(
    task: &mut CurrentTask,
    id: i32,
    message: UserPointer<i64>,
    len_bytes: u64,
    flags: u32,
) -> Result<(), Errno> {
    let kind = message.read(task)?;
    let text = message.element(1).address();
    let context = Context::of(task);
    let objects = context.objects();
    let is_too_long = len_bytes > objects.limits().get(IpcLimit::MessageBytes);
    if is_too_long || id < 0 || kind < 1 {
        return Err(Errno::EINVAL);
    }
    let len = usize::try_from(len_bytes).map_err(|_| Errno::EINVAL)?;
    let message = Message::new(objects.budget(), kind, len, |bytes| task.memory().read_bytes(text, bytes))?;
    let queue = objects.message_queues.find(id)?;
    let (caller, mut message) = (context.caller(), Some(message));
    let is_nonblocking = flags & IPC_NOWAIT != 0;
    let mut attempt = || match queue.send(&mut message, &caller) {
        Err(Errno::EAGAIN) if !is_nonblocking => None,
        outcome => Some(outcome),
    };
    if let Some(outcome) = attempt() {
        return outcome;
    }
    match task.block(&[(queue.room(), Events::OUT)], None, attempt) {
        Ok(outcome) => outcome,
        Err(blocked) => Err(interruption(blocked)),
    }
}

/// Not restarted after a handler has run, whatever it wants (`man 7 signal`).
fn interruption(_blocked: Blocked) -> Errno {
    Errno::ERESTARTNOHAND
}

fn msgrcv(
    task: &mut CurrentTask,
    id: i32,
    place: UserPointer<i64>,
    max_bytes: i64,
    kind: i64,
    flags: u32,
) -> Result<usize, Errno> {
    let max_bytes = usize::try_from(max_bytes).map_err(|_| Errno::EINVAL)?;
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let selection = selection_of(kind, flags)?;
    let reception = Reception { selection, max_bytes, truncates: flags & MSG_NOERROR != 0 };
    let context = Context::of(task);
    let queue = context.objects().message_queues.find(id)?;
    let message = loop {
        match queue.receive(reception, flags & IPC_NOWAIT == 0, &context.caller())? {
            Received::Message(message) => break message,
            Received::Pending(pending) => match wait(task, pending) {
                // The queue has changed: the call is made again.
                Err(Errno::EAGAIN) => {}
                outcome => break outcome?,
            },
        }
    };
    let text = message.text();
    let text = text.get(..max_bytes).unwrap_or(text);
    place.write(task, &message.kind())?;
    task.memory().write_bytes(place.element(1).address(), text)?;
    Ok(text.len())
}

fn wait(task: &mut CurrentTask, pending: PendingReception) -> Result<Message, Errno> {
    match task.block(&[(pending.queue(), Events::IN)], None, || pending.outcome()) {
        Ok(outcome) => outcome,
        Err(blocked) => pending.cancel().unwrap_or(Err(interruption(blocked))),
    }
}

/// Which message `kind` and the flags ask for.
fn selection_of(kind: i64, flags: u32) -> Result<Selection, Errno> {
    if flags & MSG_COPY != 0 {
        let is_allowed = flags & MSG_EXCEPT == 0 && flags & IPC_NOWAIT != 0;
        return if is_allowed { Ok(Selection::CopyAt(kind)) } else { Err(Errno::EINVAL) };
    }
    Ok(match kind {
        0 => Selection::Any,
        ..0 => Selection::AtMost(kind.checked_neg().unwrap_or(i64::MAX)),
        _ if flags & MSG_EXCEPT != 0 => Selection::NotType(kind),
        _ => Selection::Type(kind),
    })
}

fn msgctl(task: &mut CurrentTask, id: i32, command: u32, address: u64) -> Result<usize, Errno> {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let context = Context::of(task);
    let objects = context.objects();
    let (queues, caller) = (&objects.message_queues, context.caller());
    match command {
        IPC_INFO | MSG_INFO => {
            let usage = queues.usage();
            let shown = (command == MSG_INFO).then_some(&usage);
            UserPointer::new(address).write(task, &structures::queue_limits(&objects.limits(), shown))?;
            Ok(usage.highest_index)
        }
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
            let lookup = match command {
                IPC_STAT => Lookup::Id,
                MSG_STAT => Lookup::Index,
                _ => Lookup::AnyIndex,
            };
            let status = queues.status(id, lookup, &caller)?;
            UserPointer::new(address).write(task, &structures::queue(&status, &context))?;
            Ok(stat_result(lookup, status.id))
        }
        IPC_SET => {
            let wanted: MsqidDs = UserPointer::new(address).read(task)?;
            let permissions = structures::change_of(task, &wanted.msg_perm);
            let change = QueueChange { permissions, max_bytes: wanted.msg_qbytes };
            queues.change(id, change, &objects.limits(), &caller)?;
            Ok(0)
        }
        IPC_RMID => {
            queues.remove(id, &caller)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
