//! shmget(2), shmat(2), shmdt(2) and shmctl(2).

use syscalls::Sysno;

use super::{
    Context, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, result_of, stat_result, structures, write_words,
};
use crate::Errno;
use crate::ipc::{AttachFlags, Lookup};
use crate::limits::Resource;
use crate::platform::VirtualAddress;
use crate::syscall::Handler;
use crate::task::CurrentTask;

pub(in crate::syscall) const HANDLERS: &[(Sysno, Handler)] =
    &[(Sysno::shmget, shmget), (Sysno::shmat, shmat), (Sysno::shmdt, shmdt), (Sysno::shmctl, shmctl)];

const SHM_LOCK: u32 = 11;
const SHM_UNLOCK: u32 = 12;
const SHM_STAT: u32 = 13;
const SHM_INFO: u32 = 14;
const SHM_STAT_ANY: u32 = 15;

fn shmget(task: &mut CurrentTask, [key, size_bytes, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    let context = Context::of(task);
    let objects = context.objects();
    let request = (key as i32, size_bytes, flags as u32);
    let frames = task.kernel().frames();
    let serial = task.task().serial();
    result_of(objects.shared_memory.get(request, &objects.limits(), frames, &context.caller(), serial)?)
}

fn shmat(task: &mut CurrentTask, [id, address, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    let context = Context::of(task);
    let flags = AttachFlags::from_bits_truncate(flags as u32);
    let memory = task.memory();
    let shared_memory = &context.objects().shared_memory;
    let start = shared_memory.attach(id as i32, VirtualAddress(address), flags, memory, &context.caller())?;
    Ok(start.0 as usize)
}

fn shmdt(task: &mut CurrentTask, [address, ..]: [u64; 6]) -> Result<usize, Errno> {
    task.memory().detach_segment(VirtualAddress(address))?;
    Ok(0)
}

fn shmctl(task: &mut CurrentTask, [id, command, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let (id, command) = (id as i32, command as u32);
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let context = Context::of(task);
    let objects = context.objects();
    let (shared_memory, caller) = (&objects.shared_memory, context.caller());
    match command {
        IPC_INFO => {
            write_words(task, address, structures::segment_limits(&objects.limits()))?;
            Ok(shared_memory.usage().highest_index)
        }
        SHM_INFO => {
            let usage = shared_memory.usage();
            write_words(task, address, structures::segment_usage(&usage))?;
            Ok(usage.highest_index)
        }
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
            let lookup = match command {
                IPC_STAT => Lookup::Id,
                SHM_STAT => Lookup::Index,
                _ => Lookup::AnyIndex,
            };
            let status = shared_memory.status(id, lookup, &caller)?;
            write_words(task, address, structures::segment(&status, &context))?;
            Ok(stat_result(lookup, status.id))
        }
        IPC_SET => {
            shared_memory.change(id, structures::read_change(task, address)?, &caller)?;
            Ok(0)
        }
        IPC_RMID => {
            shared_memory.remove(id, &caller)?;
            Ok(0)
        }
        SHM_LOCK | SHM_UNLOCK => {
            let limit_bytes = task.thread_group().soft_limit(Resource::LOCKED_MEMORY);
            shared_memory.set_locked(id, command == SHM_LOCK, limit_bytes, &caller)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
