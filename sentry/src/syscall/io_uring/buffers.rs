//! Groups of buffers that requests choose from (IOSQE_BUFFER_SELECT).

use std::collections::VecDeque;
use std::sync::Arc;

use linux_raw_sys::io_uring::{self as uapi, io_uring_op as op};

use super::operation::Outcome;
use crate::Errno;
use crate::abi::IoUringSqe;
use crate::heap::{HeapCharge, shrink_queue};
use crate::io_uring::{Buffer, Ending, Group, Picked, Request, Ring, SqeFlags};
use crate::platform::VirtualAddress;
use crate::syscall::arguments::UserPointer;
use crate::task::CurrentTask;
use crate::width::{u64_from, usize_from};

/// Buffers that a group has at most: their numbers are of sixteen bits.
const MAX_BUFFERS: usize = 1 << 16;
/// What one takes.
const BUFFER_BYTES: usize = 32;

/// An entry of a ring of buffers (`struct io_uring_buf`).
const ENTRY_BYTES: u64 = 16;
/// Where in the first entry the ring's tail is.
const TAIL_OFFSET: u64 = 14;

/// Chooses a buffer for `request`, of at most `max_bytes` unless that is 0. It keeps it until it is over.
///
/// # Errors
/// ENOBUFS.
pub(super) fn pick(
    task: &CurrentTask,
    ring: &Ring,
    request: &Request,
    max_bytes: u64,
) -> Result<Picked, Errno> {
    let kept = *request.picked.lock();
    let picked = match kept {
        Some(picked) => picked,
        None => {
            let picked = take(task, ring, request.sqe.buf_index)?;
            *request.picked.lock() = Some(picked);
            picked
        }
    };
    let len_bytes =
        if max_bytes == 0 { picked.buffer.len_bytes } else { picked.buffer.len_bytes.min(max_bytes) };
    Ok(Picked { buffer: Buffer { len_bytes, ..picked.buffer }, ..picked })
}

fn take(task: &CurrentTask, ring: &Ring, group: u16) -> Result<Picked, Errno> {
    let mut registered = ring.registered.lock();
    match registered.groups.get_mut(&group) {
        None => Err(Errno::ENOBUFS),
        Some(Group::Provided(buffers, _)) => {
            let first = buffers.pop_front();
            shrink_queue(buffers);
            first.ok_or(Errno::ENOBUFS)
        }
        Some(Group::Ring { address, mask, head }) => {
            let (address, mask, taken) = (*address, *mask, *head);
            // User memory is read without the lock; who was quicker takes the entry.
            drop(registered);
            let tail: u16 = UserPointer::new(address.0.wrapping_add(TAIL_OFFSET)).read(task)?;
            if tail == taken {
                return Err(Errno::ENOBUFS);
            }
            let place = address.0.wrapping_add(u64::from(taken & mask) * ENTRY_BYTES);
            let entry: [u32; 4] = UserPointer::new(place).read(task)?;
            let mut registered = ring.registered.lock();
            let Some(Group::Ring { head, .. }) = registered.groups.get_mut(&group) else {
                return Err(Errno::ENOBUFS);
            };
            *head = taken.wrapping_add(1);
            let [low, high, len_bytes, rest] = entry;
            let buffer =
                Buffer { address: u64::from(high) << 32 | u64::from(low), len_bytes: len_bytes.into() };
            Ok(Picked { id: (rest & 0xffff) as u16, buffer })
        }
    }
}

/// Puts back what `request` chose and did not use.
fn give_back(ring: &Ring, request: &Request, picked: Picked) {
    match ring.registered.lock().groups.get_mut(&request.sqe.buf_index) {
        Some(Group::Provided(buffers, _)) => buffers.push_front(picked),
        Some(Group::Ring { head, .. }) => *head = head.wrapping_sub(1),
        None => {}
    }
}

/// Adds to `ending` which buffer was chosen. One that nothing went into is free again.
pub(super) fn tell(ring: &Ring, request: &Request, ending: Ending) -> Ending {
    let Some(picked) = request.picked.lock().take() else { return ending };
    let receives = request.sqe.is(op::IORING_OP_RECV) || request.sqe.is(op::IORING_OP_RECVMSG);
    if ending.result < 0 || ending.result == 0 && receives {
        give_back(ring, request, picked);
        return ending;
    }
    let number = u32::from(picked.id) << uapi::IORING_CQE_BUFFER_SHIFT;
    Ending { flags: ending.flags | uapi::IORING_CQE_F_BUFFER | number, ..ending }
}

/// What `request` chose is free again, for it waits.
pub(super) fn release(ring: &Ring, request: &Request) {
    let picked = request.picked.lock().take();
    if let Some(picked) = picked {
        give_back(ring, request, picked);
    }
}

/// Whether `request` chooses a buffer.
pub(super) fn chooses(request: &Request) -> bool {
    request.flags.contains(SqeFlags::BUFFER_SELECT)
}

pub(super) fn provide(_: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    provide_buffers(ring, &request.sqe).into()
}

fn provide_buffers(ring: &Ring, sqe: &IoUringSqe) -> Result<usize, Errno> {
    if sqe.op_flags != 0 || sqe.file_index != 0 || sqe.fd == 0 {
        return Err(if sqe.fd == 0 && sqe.op_flags == 0 { Errno::E2BIG } else { Errno::EINVAL });
    }
    let count = usize::try_from(sqe.fd).ok().filter(|count| *count <= MAX_BUFFERS).ok_or(Errno::E2BIG)?;
    let first = usize::try_from(sqe.off).ok().filter(|first| *first < MAX_BUFFERS).ok_or(Errno::E2BIG)?;
    if sqe.len == 0 {
        return Err(Errno::EINVAL);
    }
    if first + count > MAX_BUFFERS {
        return Err(Errno::EINVAL);
    }
    let total = u64::from(sqe.len).checked_mul(u64_from(count)).ok_or(Errno::EOVERFLOW)?;
    let end = sqe.addr.checked_add(total).ok_or(Errno::EOVERFLOW)?;
    crate::syscall::user_buffers::check_range(sqe.addr, end - sqe.addr)?;
    let mut registered = ring.registered.lock();
    registered.charge_group(sqe.buf_index)?;
    let empty = || Group::Provided(VecDeque::new(), HeapCharge::default());
    let Group::Provided(buffers, charge) = registered.groups.entry(sqe.buf_index).or_insert_with(empty)
    else {
        return Err(Errno::EINVAL);
    };
    if buffers.len() + count > MAX_BUFFERS {
        return Err(Errno::ENOMEM);
    }
    charge.resize((buffers.len() + count) * BUFFER_BYTES)?;
    for index in 0..count {
        let address = sqe.addr + u64_from(index) * u64::from(sqe.len);
        let buffer = Buffer { address, len_bytes: sqe.len.into() };
        buffers.push_back(Picked { id: ((first + index) & 0xffff) as u16, buffer });
    }
    Ok(0)
}

pub(super) fn remove(_: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    remove_buffers(ring, &request.sqe).into()
}

fn remove_buffers(ring: &Ring, sqe: &IoUringSqe) -> Result<usize, Errno> {
    if sqe.op_flags != 0 || sqe.addr != 0 || sqe.len != 0 || sqe.off != 0 || sqe.file_index != 0 {
        return Err(Errno::EINVAL);
    }
    let count = usize::try_from(sqe.fd).ok().filter(|count| (1..=MAX_BUFFERS).contains(count));
    let count = count.ok_or(Errno::EINVAL)?;
    match ring.registered.lock().groups.get_mut(&sqe.buf_index) {
        None => Err(Errno::ENOENT),
        Some(Group::Ring { .. }) => Err(Errno::EINVAL),
        Some(Group::Provided(buffers, _)) => {
            let removed = count.min(buffers.len());
            buffers.drain(..removed);
            shrink_queue(buffers);
            Ok(removed)
        }
    }
}

/// `struct io_uring_buf_reg`, as words: where the ring is, its entries, group and flags, and what must be zero.
pub(super) type BufferRing = [u64; 5];

/// IORING_REGISTER_PBUF_RING.
///
/// # Errors
/// EINVAL, EFAULT, EEXIST, ENOMEM.
pub(super) fn register_ring(task: &CurrentTask, ring: &Ring, given: BufferRing) -> Result<(), Errno> {
    let [address, what, rest @ ..] = given;
    let (entries, group, flags) = (what as u32, (what >> 32) as u16, (what >> 48) as u16);
    if rest != [0; 3] || flags != 0 || !address.is_multiple_of(4096) || address == 0 {
        return Err(if address == 0 && flags == 0 { Errno::EFAULT } else { Errno::EINVAL });
    }
    if !entries.is_power_of_two() || entries >= 65_536 {
        return Err(Errno::EINVAL);
    }
    let address = VirtualAddress(address);
    task.memory().check_writable(address, usize_from(entries) * usize_from(ENTRY_BYTES))?;
    let mut registered = ring.registered.lock();
    match registered.groups.get(&group) {
        Some(Group::Provided(buffers, _)) if buffers.is_empty() => {}
        Some(_) => return Err(Errno::EEXIST),
        None => {}
    }
    let mask = u16::try_from(entries - 1).map_err(|_| Errno::EINVAL)?;
    registered.charge_group(group)?;
    registered.groups.insert(group, Group::Ring { address, mask, head: 0 });
    Ok(())
}

/// IORING_UNREGISTER_PBUF_RING.
///
/// # Errors
/// EINVAL, ENOENT.
pub(super) fn unregister_ring(ring: &Ring, given: BufferRing) -> Result<(), Errno> {
    let [_, what, rest @ ..] = given;
    let (group, flags) = ((what >> 32) as u16, (what >> 48) as u16);
    if rest != [0; 3] || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let mut registered = ring.registered.lock();
    match registered.groups.get(&group) {
        None => return Err(Errno::ENOENT),
        Some(Group::Provided(..)) => return Err(Errno::EINVAL),
        Some(Group::Ring { .. }) => {}
    }
    registered.groups.remove(&group);
    Ok(())
}

/// IORING_REGISTER_PBUF_STATUS: how many buffers of a group have been taken.
///
/// # Errors
/// EINVAL, ENOENT.
pub(super) fn taken(ring: &Ring, group: u32) -> Result<u32, Errno> {
    let group = u16::try_from(group).map_err(|_| Errno::ENOENT)?;
    match ring.registered.lock().groups.get(&group) {
        Some(Group::Ring { head, .. }) => Ok((*head).into()),
        Some(Group::Provided(..)) => Err(Errno::EINVAL),
        None => Err(Errno::ENOENT),
    }
}
