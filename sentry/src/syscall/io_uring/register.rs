//! io_uring_register(2).

use std::sync::Arc;

use linux_raw_sys::io_uring::{self as uapi, io_uring_register_op as op};

use super::operation::{OPERATION_COUNT, is_supported};
use super::{buffers, cancel, files, find_ring};
use crate::Errno;
use crate::abi::{
    IoUringFilesUpdate, IoUringProbe, IoUringProbeOp, IoUringRestriction, IoUringRsrcRegister,
    IoUringRsrcUpdate2, IoUringSyncCancelReg, Iovec, UserObject, io_uring_registration, io_uring_restriction,
};
use crate::cred::Capabilities;
use crate::fs::eventfd::EventFile;
use crate::fs::{Fd, FileDescription};
use crate::io_uring::{Buffer, EventCounter, Restrictions, Ring, RingFile};
use crate::limits::Resource;
use crate::platform::{PAGE_SIZE, VirtualAddress};
use crate::syscall::arguments::UserPointer;
use crate::task::CurrentTask;
use crate::width::{u64_from, usize_from};

/// Rings that a task registers at most (`IO_RINGFD_REG_MAX`).
pub(super) const MAX_RINGS: usize = 16;
/// Files that a ring has at most (`IORING_MAX_FIXED_FILES`).
const MAX_FILES: u32 = 1 << 20;
/// Buffers that it has at most (`IORING_MAX_REG_BUFFERS`).
const MAX_BUFFERS: u32 = 1 << 14;
/// The longest buffer.
const MAX_BUFFER_BYTES: u64 = 1 << 30;

/// The arguments of a registration.
#[derive(Clone, Copy)]
struct Argument {
    address: u64,
    count: u32,
}

impl Argument {
    fn pointer<T>(self) -> UserPointer<T> {
        UserPointer::new(self.address)
    }

    /// Fails unless there is none.
    fn check_none(self) -> Result<(), Errno> {
        if self.address == 0 && self.count == 0 { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// The structure, if there is exactly one.
    fn single<T: UserObject>(self, task: &CurrentTask) -> Result<T, Errno> {
        if self.address == 0 || self.count != 1 { Err(Errno::EINVAL) } else { self.pointer().read(task) }
    }

    /// The structure, whose size the count is.
    fn sized<T: UserObject>(self, task: &CurrentTask) -> Result<T, Errno> {
        if usize_from(self.count) != size_of::<T>() { Err(Errno::EINVAL) } else { self.pointer().read(task) }
    }
}

pub(super) fn io_uring_register(
    task: &mut CurrentTask,
    fd: Fd,
    opcode: u32,
    address: u64,
    count: u32,
) -> Result<usize, Errno> {
    const REGISTERED: u32 = op::IORING_REGISTER_USE_REGISTERED_RING as u32;
    let (is_registered, opcode) = (opcode & REGISTERED != 0, opcode & !REGISTERED);
    let registration = io_uring_registration(opcode).ok_or(Errno::EINVAL)?;
    let (_open, ring) = find_ring(task, fd, is_registered)?;
    ring.check_issuer(task)?;
    if !ring.is_disabled()
        && let Some(restrictions) = &ring.registered.lock().restrictions
        && restrictions.registrations >> opcode & 1 == 0
    {
        return Err(Errno::EACCES);
    }
    register(task, &ring, registration, Argument { address, count })
}

fn register(
    task: &mut CurrentTask,
    ring: &Arc<Ring>,
    registration: op,
    argument: Argument,
) -> Result<usize, Errno> {
    match registration {
        op::IORING_REGISTER_BUFFERS => register_buffers(task, ring, argument),
        op::IORING_UNREGISTER_BUFFERS => {
            argument.check_none()?;
            let old = ring.registered.lock().buffers.take();
            old.map(|_| 0).ok_or(Errno::ENXIO)
        }
        op::IORING_REGISTER_FILES => register_files(task, ring, argument.pointer(), argument.count, false),
        op::IORING_UNREGISTER_FILES => {
            argument.check_none()?;
            let old = ring.registered.lock().files.take();
            old.map(|_| 0).ok_or(Errno::ENXIO)
        }
        op::IORING_REGISTER_FILES_UPDATE => update_files(task, ring, argument),
        op::IORING_REGISTER_PROBE => probe(task, argument),
        op::IORING_REGISTER_PERSONALITY => {
            argument.check_none()?;
            ring.registered.lock().add_personality(task.credentials()).map(usize::from)
        }
        op::IORING_UNREGISTER_PERSONALITY if argument.address == 0 => {
            let number = u16::try_from(argument.count).map_err(|_| Errno::EINVAL)?;
            let removed = ring.registered.lock().remove_personality(number);
            removed.map(|_| 0).ok_or(Errno::EINVAL)
        }
        op::IORING_UNREGISTER_PERSONALITY => Err(Errno::EINVAL),
        op::IORING_REGISTER_RESTRICTIONS => restrict(task, ring, argument),
        op::IORING_REGISTER_ENABLE_RINGS => {
            argument.check_none()?;
            ring.enable(task).map(|()| 0)
        }
        _ => register_more(task, ring, registration, argument),
    }
}

fn register_more(
    task: &mut CurrentTask,
    ring: &Arc<Ring>,
    registration: op,
    argument: Argument,
) -> Result<usize, Errno> {
    match registration {
        op::IORING_REGISTER_EVENTFD | op::IORING_REGISTER_EVENTFD_ASYNC => {
            register_event(task, ring, argument, registration == op::IORING_REGISTER_EVENTFD_ASYNC)
        }
        op::IORING_UNREGISTER_EVENTFD => {
            argument.check_none()?;
            ring.set_event(None).map(|_| 0).ok_or(Errno::ENXIO)
        }
        op::IORING_REGISTER_FILES2 => {
            let given: IoUringRsrcRegister = argument.sized(task)?;
            let is_sparse = check_resources(&given)?;
            register_files(task, ring, UserPointer::new(given.data), given.nr, is_sparse)
        }
        op::IORING_REGISTER_FILES_UPDATE2 => {
            let given: IoUringRsrcUpdate2 = argument.sized(task)?;
            check_update(&given)?;
            files::replace(task, ring, given.offset, UserPointer::new(given.data), given.nr)
        }
        op::IORING_REGISTER_BUFFERS2 => {
            let given: IoUringRsrcRegister = argument.sized(task)?;
            match check_resources(&given)? {
                true => register_empty_buffers(ring, given.nr),
                false => register_buffers(task, ring, Argument { address: given.data, count: given.nr }),
            }
        }
        op::IORING_REGISTER_BUFFERS_UPDATE => {
            let given: IoUringRsrcUpdate2 = argument.sized(task)?;
            check_update(&given)?;
            update_buffers(task, ring, &given)
        }
        op::IORING_REGISTER_RING_FDS => register_rings(task, argument),
        op::IORING_UNREGISTER_RING_FDS => unregister_rings(task, argument),
        op::IORING_REGISTER_PBUF_RING => {
            buffers::register_ring(task, ring, argument.single(task)?).map(|()| 0)
        }
        op::IORING_UNREGISTER_PBUF_RING => buffers::unregister_ring(ring, argument.single(task)?).map(|()| 0),
        op::IORING_REGISTER_PBUF_STATUS => {
            let [group, _, rest @ ..]: [u32; 10] = argument.single(task)?;
            if rest != [0; 8] {
                return Err(Errno::EINVAL);
            }
            let taken = buffers::taken(ring, group)?;
            argument.pointer::<u32>().element(1).write(task, &taken).map(|()| 0)
        }
        op::IORING_REGISTER_SYNC_CANCEL => {
            let given: IoUringSyncCancelReg = argument.single(task)?;
            cancel::synchronously(task, ring, &given)
        }
        op::IORING_REGISTER_FILE_ALLOC_RANGE => {
            set_file_range(ring, argument.pointer::<[u32; 4]>().read(task)?, argument.count)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Whether the places are to be empty at first. Nobody is told by tags when one is free again.
fn check_resources(given: &IoUringRsrcRegister) -> Result<bool, Errno> {
    let is_sparse = given.flags == uapi::IORING_RSRC_REGISTER_SPARSE;
    let is_wrong = given.flags & !uapi::IORING_RSRC_REGISTER_SPARSE != 0
        || given.resv2 != 0
        || given.nr == 0
        || given.tags != 0
        || is_sparse && given.data != 0;
    if is_wrong { Err(Errno::EINVAL) } else { Ok(is_sparse) }
}

fn check_update(given: &IoUringRsrcUpdate2) -> Result<(), Errno> {
    let is_wrong = given.nr == 0 || given.resv != 0 || given.resv2 != 0 || given.tags != 0;
    if is_wrong { Err(Errno::EINVAL) } else { Ok(()) }
}

/// A file that a ring may have.
fn find_file(task: &CurrentTask, fd: i32) -> Result<Option<Arc<FileDescription>>, Errno> {
    if fd == -1 {
        return Ok(None);
    }
    let file = task.usable_file(Fd(fd))?;
    if file.downcast::<RingFile>().is_some() { Err(Errno::EBADF) } else { Ok(Some(file)) }
}

fn register_files(
    task: &CurrentTask,
    ring: &Ring,
    descriptors: UserPointer<i32>,
    count: u32,
    is_sparse: bool,
) -> Result<usize, Errno> {
    if ring.registered.lock().files.is_some() {
        return Err(Errno::EBUSY);
    }
    if count == 0 {
        return Err(Errno::EINVAL);
    }
    if count > MAX_FILES || usize_from(count) > task.open_files_limit() {
        return Err(Errno::EMFILE);
    }
    ring.registered.lock().charge(usize_from(count))?;
    let find = |index: usize| match is_sparse || descriptors.is_null() {
        true => Ok(None),
        false => find_file(task, descriptors.element(index).read(task)?),
    };
    let files = (0..usize_from(count)).map(find).collect::<Result<Vec<_>, Errno>>()?;
    let mut registered = ring.registered.lock();
    if registered.files.is_some() {
        return Err(Errno::EBUSY);
    }
    registered.file_range = (0, files.len());
    registered.files = Some(files);
    Ok(0)
}

fn update_files(task: &CurrentTask, ring: &Ring, argument: Argument) -> Result<usize, Errno> {
    if argument.count == 0 {
        return Err(Errno::EINVAL);
    }
    let given: IoUringFilesUpdate = argument.pointer().read(task)?;
    if given.resv != 0 {
        return Err(Errno::EINVAL);
    }
    files::replace(task, ring, given.offset, UserPointer::new(given.fds), argument.count)
}

fn set_file_range(ring: &Ring, given: [u32; 4], count: u32) -> Result<usize, Errno> {
    let [start, len, rest @ ..] = given;
    if count != 0 || rest != [0; 2] {
        return Err(Errno::EINVAL);
    }
    let end = start.checked_add(len).ok_or(Errno::EOVERFLOW)?;
    let mut registered = ring.registered.lock();
    let files = registered.files.as_ref().map_or(0, Vec::len);
    if usize_from(end) > files {
        return Err(Errno::EINVAL);
    }
    registered.file_range = (usize_from(start), usize_from(end));
    Ok(0)
}

/// The buffer that a piece describes, if it describes one.
fn buffer_of(task: &CurrentTask, piece: Iovec) -> Result<Option<Buffer>, Errno> {
    let Iovec { iov_base: address, iov_len: len_bytes } = piece;
    if address == 0 && len_bytes == 0 {
        return Ok(None);
    }
    if address == 0 || len_bytes == 0 || len_bytes > MAX_BUFFER_BYTES {
        return Err(Errno::EFAULT);
    }
    let len = usize::try_from(len_bytes).map_err(|_| Errno::EFAULT)?;
    task.memory().check_writable(VirtualAddress(address), len)?;
    Ok(Some(Buffer { address, len_bytes }))
}

/// Fails if `buffers` are more than the task may lock in memory.
fn check_locked(task: &CurrentTask, buffers: &[Option<Buffer>]) -> Result<(), Errno> {
    let pages = |buffer: &Buffer| buffer.len_bytes.div_ceil(PAGE_SIZE) * PAGE_SIZE;
    let locked: u64 = buffers.iter().flatten().map(pages).sum();
    let limit = task.thread_group().soft_limit(Resource::LOCKED_MEMORY);
    let is_free = task.credentials().has(Capabilities::IPC_LOCK);
    if is_free || locked <= limit { Ok(()) } else { Err(Errno::ENOMEM) }
}

fn register_buffers(task: &CurrentTask, ring: &Ring, argument: Argument) -> Result<usize, Errno> {
    if ring.registered.lock().buffers.is_some() {
        return Err(Errno::EBUSY);
    }
    if argument.count == 0 || argument.count > MAX_BUFFERS {
        return Err(Errno::EINVAL);
    }
    ring.registered.lock().charge(usize_from(argument.count))?;
    let pieces = argument.pointer::<Iovec>();
    let buffer = |index: usize| buffer_of(task, pieces.element(index).read(task)?);
    let buffers = (0..usize_from(argument.count)).map(buffer).collect::<Result<Vec<_>, Errno>>()?;
    check_locked(task, &buffers)?;
    ring.registered.lock().buffers = Some(buffers);
    Ok(0)
}

fn register_empty_buffers(ring: &Ring, count: u32) -> Result<usize, Errno> {
    let mut registered = ring.registered.lock();
    if registered.buffers.is_some() {
        return Err(Errno::EBUSY);
    }
    if count > MAX_BUFFERS {
        return Err(Errno::EINVAL);
    }
    registered.charge(usize_from(count))?;
    registered.buffers = Some(vec![None; usize_from(count)]);
    Ok(0)
}

fn update_buffers(task: &CurrentTask, ring: &Ring, given: &IoUringRsrcUpdate2) -> Result<usize, Errno> {
    let end = given.offset.checked_add(given.nr).ok_or(Errno::EOVERFLOW)?;
    let has = ring.registered.lock().buffers.as_ref().map(Vec::len).ok_or(Errno::ENXIO)?;
    if usize_from(end) > has {
        return Err(Errno::EINVAL);
    }
    let pieces = UserPointer::<Iovec>::new(given.data);
    for done in 0..usize_from(given.nr) {
        let buffer = pieces.element(done).read(task).and_then(|piece| buffer_of(task, piece));
        let buffer = match buffer {
            Ok(buffer) => buffer,
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(done),
        };
        let mut registered = ring.registered.lock();
        let place = registered.buffers.as_mut().and_then(|all| all.get_mut(usize_from(given.offset) + done));
        *place.ok_or(Errno::ENXIO)? = buffer;
    }
    Ok(usize_from(given.nr))
}

fn register_event(
    task: &CurrentTask,
    ring: &Ring,
    argument: Argument,
    is_for_late: bool,
) -> Result<usize, Errno> {
    let fd: i32 = argument.single(task)?;
    if ring.has_event() {
        return Err(Errno::EBUSY);
    }
    let file = task.usable_file(Fd(fd))?;
    if file.downcast::<EventFile>().is_none() {
        return Err(Errno::EINVAL);
    }
    drop(ring.set_event(Some(EventCounter { file, is_for_late })));
    Ok(0)
}

fn probe(task: &CurrentTask, argument: Argument) -> Result<usize, Errno> {
    const MAX_OPERATIONS: u32 = 256;
    if argument.address == 0 || argument.count > MAX_OPERATIONS {
        return Err(Errno::EINVAL);
    }
    let place = argument.pointer::<IoUringProbe>();
    let operations = UserPointer::<IoUringProbeOp>::new(
        argument.address.wrapping_add(u64_from(size_of::<IoUringProbe>())),
    );
    let is_zero = place.read(task)? == IoUringProbe::default()
        && operations
            .read_array(task, usize_from(argument.count))?
            .iter()
            .all(|row| *row == IoUringProbeOp::default());
    if !is_zero {
        return Err(Errno::EINVAL);
    }
    let shown = u8::try_from(argument.count).unwrap_or(u8::MAX).min(OPERATION_COUNT);
    let head = IoUringProbe { last_op: OPERATION_COUNT - 1, ops_len: shown, ..IoUringProbe::default() };
    for opcode in 0..shown {
        let flags = if is_supported(opcode) { uapi::IO_URING_OP_SUPPORTED as u16 } else { 0 };
        let row = IoUringProbeOp { op: opcode, flags, ..IoUringProbeOp::default() };
        operations.element(opcode.into()).write(task, &row)?;
    }
    place.write(task, &head).map(|()| 0)
}

fn restrict(task: &CurrentTask, ring: &Ring, argument: Argument) -> Result<usize, Errno> {
    use uapi::io_uring_register_restriction_op as kinds;
    const MAX_COUNT: u32 = 128;
    if !ring.is_disabled() {
        return Err(Errno::EBADFD);
    }
    if ring.registered.lock().restrictions.is_some() {
        return Err(Errno::EBUSY);
    }
    if argument.address == 0 || argument.count > MAX_COUNT {
        return Err(Errno::EINVAL);
    }
    let mut restrictions = Restrictions::default();
    let given = argument.pointer::<IoUringRestriction>().read_array(task, usize_from(argument.count))?;
    for one in given {
        match io_uring_restriction(one.opcode).ok_or(Errno::EINVAL)? {
            kinds::IORING_RESTRICTION_REGISTER_OP if io_uring_registration(one.value.into()).is_some() => {
                restrictions.registrations |= 1 << one.value;
            }
            kinds::IORING_RESTRICTION_SQE_OP if one.value < OPERATION_COUNT => {
                restrictions.operations |= 1 << one.value;
            }
            kinds::IORING_RESTRICTION_SQE_FLAGS_ALLOWED => restrictions.allowed_flags = one.value,
            kinds::IORING_RESTRICTION_SQE_FLAGS_REQUIRED => restrictions.required_flags = one.value,
            _ => return Err(Errno::EINVAL),
        }
    }
    ring.registered.lock().restrictions = Some(restrictions);
    Ok(0)
}

/// `struct io_uring_rsrc_update`, as words: the offset, and the descriptor.
type RingUpdate = [u64; 2];

fn register_rings(task: &mut CurrentTask, argument: Argument) -> Result<usize, Errno> {
    if argument.count == 0 || usize_from(argument.count) > MAX_RINGS {
        return Err(Errno::EINVAL);
    }
    let updates = argument.pointer::<RingUpdate>();
    for done in 0..usize_from(argument.count) {
        let registered = updates.element(done).read(task).and_then(|update| register_ring(task, update));
        let index = match registered {
            Ok(index) => index,
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(done),
        };
        let offset = UserPointer::<u32>::new(updates.element(done).address().0);
        offset.write(task, &u32::try_from(index).map_err(|_| Errno::EINVAL)?)?;
    }
    Ok(usize_from(argument.count))
}

fn register_ring(task: &mut CurrentTask, [place, fd]: RingUpdate) -> Result<usize, Errno> {
    let (offset, reserved) = (place as u32, place >> 32);
    if reserved != 0 {
        return Err(Errno::EINVAL);
    }
    let file = task.usable_file(Fd(fd as i32))?;
    if file.downcast::<RingFile>().is_none() {
        return Err(Errno::EOPNOTSUPP);
    }
    task.registered_rings.resize(MAX_RINGS, None);
    let rings = &mut task.registered_rings;
    let index = match offset {
        u32::MAX => rings.iter().position(Option::is_none).ok_or(Errno::EBUSY)?,
        offset => usize_from(offset),
    };
    match rings.get_mut(index) {
        Some(place) if place.is_none() => *place = Some(file),
        Some(_) => return Err(Errno::EBUSY),
        None => return Err(Errno::EINVAL),
    }
    Ok(index)
}

fn unregister_rings(task: &mut CurrentTask, argument: Argument) -> Result<usize, Errno> {
    if argument.count == 0 || usize_from(argument.count) > MAX_RINGS {
        return Err(Errno::EINVAL);
    }
    let updates = argument.pointer::<RingUpdate>();
    for done in 0..usize_from(argument.count) {
        let [place, data] = updates.element(done).read(task)?;
        let index = usize::try_from(place).unwrap_or(usize::MAX);
        if place >> 32 != 0 || data != 0 || index >= MAX_RINGS {
            return if done == 0 { Err(Errno::EINVAL) } else { Ok(done) };
        }
        let old = task.registered_rings.get_mut(index).and_then(Option::take);
        drop(old);
    }
    Ok(usize_from(argument.count))
}
