//! semget(2), semop(2), semtimedop(2) and semctl(2).

use std::time::{Duration, Instant};

use syscalls::Sysno;
use zerocopy::IntoBytes;

use super::{Context, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, result_of, stat_result, structures};
use crate::Errno;
use crate::abi::{SemidDs, Timespec};
use crate::ipc::{Lookup, PendingOperation, SemaphoreOperations, SemaphoreOutcome};
use crate::platform::VirtualAddress;
use crate::syscall::Handler;
use crate::syscall::arguments::{UserPointer, handlers, int};
use crate::task::{Blocked, CurrentTask};
use crate::time::duration_from_timespec;
use crate::wait::Events;

pub(in crate::syscall) const HANDLERS: &[(Sysno, Handler)] = handlers![semget, semop, semtimedop, semctl,];

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

fn semget(task: &mut CurrentTask, key: i32, len: i32, flags: u32) -> Result<usize, Errno> {
    let context = Context::of(task);
    let objects = context.objects();
    let request = (key, len, flags);
    result_of(objects.semaphores.get(request, &objects.limits(), &context.caller())?)
}

fn semtimedop(
    task: &mut CurrentTask,
    id: i32,
    operations: UserPointer<[u16; 3]>,
    count: u32,
    timeout: UserPointer<Timespec>,
) -> Result<(), Errno> {
    let timeout = timeout.read_unless_null(task)?.map(duration_from_timespec).transpose()?;
    operate(task, id, (operations, count), timeout)
}

fn semop(
    task: &mut CurrentTask,
    id: i32,
    operations: UserPointer<[u16; 3]>,
    count: u32,
) -> Result<(), Errno> {
    operate(task, id, (operations, count), None)
}

/// Does `count` operations at once, waiting up to `timeout` until all are possible.
fn operate(
    task: &mut CurrentTask,
    id: i32,
    (operations, count): (UserPointer<[u16; 3]>, u32),
    timeout: Option<Duration>,
) -> Result<(), Errno> {
    if count == 0 || id < 0 {
        return Err(Errno::EINVAL);
    }
    let context = Context::of(task);
    let limit = context.objects().limits().semaphores.operations;
    if count > limit {
        return Err(Errno::E2BIG);
    }
    let count = usize::try_from(count).map_err(|_| Errno::E2BIG)?;
    let operations =
        SemaphoreOperations::new(context.objects().budget(), count, || operations.read_array(task, count))?;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let has_undo = operations.iter().any(|operation| operation.has_undo);
    let undo_list = has_undo.then(|| task.task().undo_list());
    let semaphores = &context.objects().semaphores;
    match semaphores.operate(id, operations, undo_list.as_deref(), &context.caller())? {
        SemaphoreOutcome::Done => Ok(()),
        SemaphoreOutcome::Pending(pending) => wait(task, pending, deadline),
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

/// By what IPC_STAT, SEM_STAT or SEM_STAT_ANY names a set.
fn lookup_of(command: u32) -> Lookup {
    match command {
        IPC_STAT => Lookup::Id,
        SEM_STAT => Lookup::Index,
        _ => Lookup::AnyIndex,
    }
}

fn semctl(task: &mut CurrentTask, id: i32, number: i32, command: u32, argument: u64) -> Result<usize, Errno> {
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
            UserPointer::new(argument)
                .write(task, &structures::semaphore_limits(&objects.limits(), shown))?;
            Ok(usage.highest_index)
        }
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
            let lookup = lookup_of(command);
            let status = semaphores.status(id, lookup, &caller)?;
            UserPointer::new(argument).write(task, &structures::semaphore_set(&status, &context))?;
            Ok(stat_result(lookup, status.id))
        }
        IPC_SET => {
            let wanted: SemidDs = UserPointer::new(argument).read(task)?;
            semaphores.change(id, structures::change_of(task, &wanted.sem_perm), &caller)?;
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
            semaphores.set_value(id, number, int(argument), &caller)?;
            Ok(0)
        }
        GETALL => {
            let values = semaphores.values(id, &caller)?;
            task.memory().write_bytes(VirtualAddress(argument), values.as_bytes())?;
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
