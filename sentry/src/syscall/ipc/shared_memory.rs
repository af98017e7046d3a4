//! shmget(2), shmat(2), shmdt(2) and shmctl(2).

use syscalls::Sysno;

use super::{Context, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, result_of, stat_result, structures};
use crate::Errno;
use crate::abi::ShmidDs;
use crate::ipc::{AttachFlags, Lookup};
use crate::limits::Resource;
use crate::platform::VirtualAddress;
use crate::syscall::Handler;
use crate::syscall::arguments::{UserPointer, handlers};
use crate::syscall::memory::apply_lowest_address;
use crate::task::CurrentTask;

pub(in crate::syscall) const HANDLERS: &[(Sysno, Handler)] = handlers![shmget, shmat, shmdt, shmctl];

const SHM_LOCK: u32 = 11;
const SHM_UNLOCK: u32 = 12;
const SHM_STAT: u32 = 13;
const SHM_INFO: u32 = 14;
const SHM_STAT_ANY: u32 = 15;

fn shmget(task: &mut CurrentTask, key: i32, size_bytes: u64, flags: u32) -> Result<usize, Errno> {
    let context = Context::of(task);
    let objects = context.objects();
    let request = (key, size_bytes, flags);
    let frames = task.kernel().frames();
    let serial = task.task().serial();
    result_of(objects.shared_memory.get(request, &objects.limits(), frames, &context.caller(), serial)?)
}

fn shmat(
    task: &mut CurrentTask,
    id: i32,
    address: VirtualAddress,
    flags: u32,
) -> Result<VirtualAddress, Errno> {
    let context = Context::of(task);
    let flags = AttachFlags::from_bits_truncate(flags);
    let memory = task.memory();
    apply_lowest_address(task, address);
    let shared_memory = &context.objects().shared_memory;
    shared_memory.attach(id, address, flags, memory, &context.caller())
}

fn shmdt(task: &mut CurrentTask, address: VirtualAddress) -> Result<(), Errno> {
    task.memory().detach_segment(address, task)
}

fn shmctl(task: &mut CurrentTask, id: i32, command: u32, address: u64) -> Result<usize, Errno> {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let context = Context::of(task);
    let objects = context.objects();
    let (shared_memory, caller) = (&objects.shared_memory, context.caller());
    match command {
        IPC_INFO => {
            UserPointer::new(address).write(task, &structures::segment_limits(&objects.limits()))?;
            Ok(shared_memory.usage().highest_index)
        }
        SHM_INFO => {
            let usage = shared_memory.usage();
            UserPointer::new(address).write(task, &structures::segment_usage(&usage))?;
            Ok(usage.highest_index)
        }
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
            let lookup = match command {
                IPC_STAT => Lookup::Id,
                SHM_STAT => Lookup::Index,
                _ => Lookup::AnyIndex,
            };
            let status = shared_memory.status(id, lookup, &caller)?;
            UserPointer::new(address).write(task, &structures::segment(&status, &context))?;
            Ok(stat_result(lookup, status.id))
        }
        IPC_SET => {
            let wanted: ShmidDs = UserPointer::new(address).read(task)?;
            shared_memory.change(id, structures::change_of(task, &wanted.shm_perm), &caller)?;
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
