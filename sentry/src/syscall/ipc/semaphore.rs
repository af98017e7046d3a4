//! semget(2), semop(2), semtimedop(2) and semctl(2).

use std::time::{Duration, Instant};

use syscalls::Sysno;

use super::{
    Context, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, result_of, stat_result, structures, write_words,
};
use crate::Errno;
use crate::ipc::{Lookup, PendingOperation, SemaphoreOperations, SemaphoreOutcome};
use crate::platform::VirtualAddress;
use crate::syscall::Handler;
use crate::task::{Blocked, CurrentTask};
use crate::time::duration_from_timespec;
use crate::wait::Events;

pub(in crate::syscall) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::semget, semget),
    (Sysno::semop, |task, [id, operations, count, ..]| semop(task, id, operations, count, None)),
    (Sysno::semtimedop, semtimedop),
    (Sysno::semctl, semctl),
];

const GETPID: u32 = 11;
const GETVAL: u32 = 12;
const GETALL: u32 = 13;
const GETNCNT: u32 = 14;
const GETZCNT: u32 = 15;
const SETVAL: u32 = 16;
const SETALL: u32 = 17;
const SEM_STAT: u32 = 18;
const SEM_INFO: u32 = 19;
const SEM_STAT_ANY: u32 = 20;

fn semget(task: &mut CurrentTask, [key, len, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    let context = Context::of(task);
    let objects = context.objects();
    let request = (key as i32, len as i32, flags as u32);
    result_of(objects.semaphores.get(request, &objects.limits(), &context.caller())?)
}

fn semtimedop(
    task: &mut CurrentTask,
    [id, operations, count, timeout, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let timeout = match timeout {
        0 => None,
        address => Some(duration_from_timespec(task.memory().read_object(VirtualAddress(address))?)?),
    };
    semop(task, id, operations, count, timeout)
}

fn semop(
    task: &mut CurrentTask,
    id: u64,
    operations: u64,
    count: u64,
    timeout: Option<Duration>,
) -> Result<usize, Errno> {
    let id = id as i32;
    if count == 0 || id < 0 {
        return Err(Errno::EINVAL);
    }
    let context = Context::of(task);
    let limit = context.objects().limits().semaphores.operations;
    let count = u32::try_from(count).ok().filter(|count| *count <= limit).ok_or(Errno::E2BIG)?;
    let operations = SemaphoreOperations::new(count as usize, || {
        task.memory().read_objects(VirtualAddress(operations), count as usize)
    })?;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let has_undo = operations.iter().any(|operation| operation.has_undo);
    let undo_list = has_undo.then(|| task.task().undo_list());
    let semaphores = &context.objects().semaphores;
    match semaphores.operate(id, operations, undo_list.as_deref(), &context.caller())? {
        SemaphoreOutcome::Done => Ok(0),
        SemaphoreOutcome::Pending(pending) => wait(task, pending, deadline).map(|()| 0),
    }
}

/// Waits until somebody has done the operations. Never restarted, whatever the handler wants (`man 7 signal`).
fn wait(task: &mut CurrentTask, pending: PendingOperation, deadline: Option<Instant>) -> Result<(), Errno> {
    let blocked = match task.block(&[(pending.queue(), Events::IN)], deadline, || pending.outcome()) {
        Ok(outcome) => return outcome,
        Err(Blocked::Interrupted) => Errno::EINTR,
        Err(Blocked::TimedOut) => Errno::EAGAIN,
    };
    pending.cancel().unwrap_or(Err(blocked))
}

fn semctl(task: &mut CurrentTask, [id, number, command, argument, ..]: [u64; 6]) -> Result<usize, Errno> {
    let (id, number, command) = (id as i32, number as i32, command as u32);
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let context = Context::of(task);
    let objects = context.objects();
    let (semaphores, caller) = (&objects.semaphores, context.caller());
    match command {
        IPC_INFO | SEM_INFO => {
            let usage = semaphores.usage();
            let shown = (command == SEM_INFO).then_some(&usage);
            write_words(task, argument, structures::semaphore_limits(&objects.limits(), shown))?;
            Ok(usage.highest_index)
        }
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
            let lookup = match command {
                IPC_STAT => Lookup::Id,
                SEM_STAT => Lookup::Index,
                _ => Lookup::AnyIndex,
            };
            let status = semaphores.status(id, lookup, &caller)?;
            write_words(task, argument, structures::semaphore_set(&status, &context))?;
            Ok(stat_result(lookup, status.id))
        }
        IPC_SET => {
            semaphores.change(id, structures::read_change(task, argument)?, &caller)?;
            Ok(0)
        }
        IPC_RMID => {
            semaphores.remove(id, &caller)?;
            Ok(0)
        }
        GETVAL | GETPID | GETNCNT | GETZCNT => {
            let semaphore = semaphores.semaphore(id, number, &caller)?;
            Ok(match command {
                GETVAL => semaphore.value.into(),
                GETPID => result_of(context.number_of(&semaphore.process))?,
                GETNCNT => semaphore.waiting_for_more,
                _ => semaphore.waiting_for_zero,
            })
        }
        SETVAL => {
            semaphores.set_value(id, number, argument as i32, &caller)?;
            Ok(0)
        }
        GETALL => {
            let bytes: Vec<u8> =
                semaphores.values(id, &caller)?.into_iter().flat_map(u16::to_ne_bytes).collect();
            task.memory().write_bytes(VirtualAddress(argument), &bytes)?;
            Ok(0)
        }
        SETALL => {
            let len = semaphores.settable_len(id, &caller)?;
            let values: Vec<u16> = task.memory().read_objects(VirtualAddress(argument), len)?;
            semaphores.set_values(id, &values, &caller)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
