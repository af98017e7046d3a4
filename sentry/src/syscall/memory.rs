//! Address spaces: mmap and its kin, and copies between processes.

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use super::user_buffers::{MAX_PIECES, check_range};
use crate::Errno;
use crate::abi::{Cachestat, CachestatRange, Iovec};
use crate::cred::Capabilities;
use crate::fs::file_flags::{FileFlags, check_without};
use crate::fs::{Fd, FileDescription, FileKind, HugeFile, MountFlags, SecretFile};
use crate::memory::{
    Backing, Growth, HUGE_PAGE_BYTES, MapFlags, MapRequest, MemoryLimits, MemoryManager, Protection,
    RemapFlags,
};
use crate::pace::Pace;
use crate::platform::{PAGE_SIZE, VirtualAddress, VirtualRange};
use crate::slices::first;
use crate::task::{CurrentTask, Tid, check_access};
use crate::width::u64_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    mmap,
    munmap,
    mprotect,
    pkey_mprotect,
    pkey_alloc,
    pkey_free,
    mremap,
    brk,
    madvise,
    msync,
    mincore,
    mlock,
    mlock2,
    munlock,
    mlockall,
    munlockall,
    process_vm_readv,
    process_vm_writev,
    process_madvise,
    process_mrelease,
    remap_file_pages,
    mseal,
    cachestat,
];

/// The protection bits that mmap(2) and mprotect(2) know.
const PROTECTION_BITS: u32 = uapi::PROT_READ | uapi::PROT_WRITE | uapi::PROT_EXEC;
/// The flags that MAP_SHARED_VALIDATE accepts, beside the type: Linux's `LEGACY_MAP_MASK`, with all sizes of huge pages.
const VALIDATED_FLAGS: u32 = uapi::MAP_FIXED
    | uapi::MAP_ANONYMOUS
    | uapi::MAP_DENYWRITE
    | uapi::MAP_EXECUTABLE
    | uapi::MAP_UNINITIALIZED
    | uapi::MAP_GROWSDOWN
    | uapi::MAP_LOCKED
    | uapi::MAP_NORESERVE
    | uapi::MAP_POPULATE
    | uapi::MAP_NONBLOCK
    | uapi::MAP_STACK
    | uapi::MAP_HUGETLB
    | uapi::MAP_32BIT
    | 0b11111 << uapi::MAP_HUGE_SHIFT;
/// Logarithms of the sizes that huge pages have; 0 stands for the usual one.
const HUGE_PAGE_SHIFTS: [u32; 3] = [0, 21, 30];

/// The checks come in Linux's order: descriptor, length and place, what may be locked, and then what is wrong with the file.
fn mmap(
    task: &mut CurrentTask,
    address: VirtualAddress,
    len_bytes: u64,
    protection: u64,
    raw_flags: u32,
    descriptor: Fd,
    offset: u64,
) -> Result<VirtualAddress, Errno> {
    let protection = protection_of(protection);
    if !offset.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let mut flags = MapFlags::from_bits_truncate(raw_flags & !uapi::MAP_TYPE);
    let is_huge = raw_flags & uapi::MAP_HUGETLB != 0;
    let mut is_secret = false;
    let backing = if flags.contains(MapFlags::ANONYMOUS) {
        let shift = raw_flags >> uapi::MAP_HUGE_SHIFT & uapi::MAP_HUGE_MASK;
        if is_huge && !HUGE_PAGE_SHIFTS.contains(&shift) {
            return Err(Errno::EINVAL);
        }
        match is_huge {
            true => huge_backing(task, raw_flags, shift).unwrap_or_else(Backing::Refused),
            false => anonymous_backing(raw_flags),
        }
    } else {
        let file = task.usable_file(descriptor)?;
        if is_huge {
            return Err(Errno::EINVAL);
        }
        let place = FilePlace { offset, len_bytes };
        is_secret = file.downcast::<SecretFile>().is_some();
        file_backing(&file, place, protection, raw_flags).unwrap_or_else(Backing::Refused)
    };
    let kind = raw_flags & uapi::MAP_TYPE;
    let is_shared = kind == uapi::MAP_SHARED || kind == uapi::MAP_SHARED_VALIDATE;
    flags.set(MapFlags::DROPPABLE, kind == uapi::MAP_DROPPABLE);
    flags |= if is_shared { MapFlags::SHARED } else { MapFlags::PRIVATE };
    flags.set(MapFlags::SECRET, is_secret);
    if flags.intersects(MapFlags::LOCKED | MapFlags::SECRET) {
        apply_lock_limit(task);
    }
    let request = MapRequest { address, len_bytes, protection, flags, backing };
    apply_lowest_address(task, address);
    task.memory().mmap(request, task)
}

/// Memory of huge pages is a file without a name, as on Linux. There is no pool of those of 1 GiB.
fn huge_backing(task: &CurrentTask, raw_flags: u32, shift: u32) -> Result<Backing, Errno> {
    const NAME: &[u8] = b"anon_hugepage";
    let is_file_kind = matches!(raw_flags & uapi::MAP_TYPE, uapi::MAP_SHARED | uapi::MAP_PRIVATE);
    if !is_file_kind || raw_flags & uapi::MAP_GROWSDOWN != 0 {
        return Err(Errno::EINVAL);
    }
    if !matches!(shift, 0 | 21) {
        return Err(Errno::ENOMEM);
    }
    let files = task.kernel().file_systems().memory_files()?;
    let file = files.create_huge(NAME, (0o777, 0), HUGE_PAGE_BYTES, &task.viewer())?;
    let cache = file.file().page_cache()?;
    Ok(Backing::File { cache, offset: 0, file: Some(file), max_protection: Protection::all() })
}

fn anonymous_backing(raw_flags: u32) -> Backing {
    let is_stack = raw_flags & uapi::MAP_GROWSDOWN != 0;
    match raw_flags & uapi::MAP_TYPE {
        uapi::MAP_SHARED if is_stack => Backing::Refused(Errno::EINVAL),
        uapi::MAP_SHARED | uapi::MAP_PRIVATE => Backing::Anonymous,
        uapi::MAP_DROPPABLE if is_stack || raw_flags & uapi::MAP_LOCKED != 0 => {
            Backing::Refused(Errno::EINVAL)
        }
        uapi::MAP_DROPPABLE => Backing::Anonymous,
        _ => Backing::Refused(Errno::EINVAL),
    }
}

/// The part of a file that is to be mapped, as mmap(2) is given it.
struct FilePlace {
    offset: u64,
    len_bytes: u64,
}

impl FilePlace {
    /// Whether it ends within `max_bytes`.
    fn fits(&self, max_bytes: u64) -> bool {
        let len_bytes = self.len_bytes.checked_next_multiple_of(PAGE_SIZE);
        len_bytes
            .and_then(|len_bytes| max_bytes.checked_sub(len_bytes))
            .is_some_and(|last| self.offset <= last)
    }
}

/// How far a file can be mapped, in bytes from its start: Linux's MAX_LFS_FILESIZE; what is no file with a size has no other
/// bound than addresses have.
fn max_mapped_bytes(file: &FileDescription, kind: FileKind) -> u64 {
    let is_nameless = kind == FileKind::Regular && file.path().is_none();
    let has_size = matches!(kind, FileKind::Regular | FileKind::Socket | FileKind::BlockDevice);
    if has_size && !is_nameless { i64::MAX.cast_unsigned() } else { u64::MAX }
}

/// What a mapping of an open file may do (`man 2 mmap`, EACCES and EPERM).
fn file_backing(
    file: &Arc<FileDescription>,
    place: FilePlace,
    protection: Protection,
    raw_flags: u32,
) -> Result<Backing, Errno> {
    let file_kind = file.metadata()?.kind();
    if !place.fits(max_mapped_bytes(file, file_kind)) {
        return Err(Errno::EOVERFLOW);
    }
    let (kind, flags) = (raw_flags & uapi::MAP_TYPE, file.flags());
    let is_shared = kind == uapi::MAP_SHARED || kind == uapi::MAP_SHARED_VALIDATE;
    if kind == uapi::MAP_SHARED_VALIDATE && raw_flags & !(VALIDATED_FLAGS | uapi::MAP_TYPE) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let is_private = kind == uapi::MAP_PRIVATE && file.downcast::<SecretFile>().is_none();
    if !is_shared && !is_private {
        return Err(Errno::EINVAL);
    }
    let mut max_protection = Protection::all();
    if is_shared && !flags.is_writable() {
        if protection.contains(Protection::WRITE) {
            return Err(Errno::EACCES);
        }
        max_protection.remove(Protection::WRITE);
    }
    if !flags.is_readable() {
        return Err(Errno::EACCES);
    }
    // What lies in no directory is on file systems of the kernel's own, which allow none of it but for memory.
    let forbids_execution = file
        .path()
        .map_or(file_kind != FileKind::Regular, |path| path.mount.flags().contains(MountFlags::NOEXEC));
    if forbids_execution {
        if protection.contains(Protection::EXECUTE) {
            return Err(Errno::EPERM);
        }
        max_protection.remove(Protection::EXECUTE);
    }
    let offset = file.file().mapped_offset(place.offset)?;
    let cache = file.file().page_cache()?;
    if raw_flags & uapi::MAP_GROWSDOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let only_grows =
        file.path().is_some_and(|path| check_without(&**path.inode(), FileFlags::APPEND).is_err());
    if is_shared && only_grows && file.flags().is_writable() && protection.contains(Protection::WRITE) {
        return Err(Errno::EACCES);
    }
    if is_shared && let Err(sealed) = file.file().check_writable_mapping() {
        if protection.contains(Protection::WRITE) {
            return Err(sealed);
        }
        max_protection.remove(Protection::WRITE);
    }
    Ok(Backing::File { cache, offset, file: Some(file.clone()), max_protection })
}

fn munmap(task: &mut CurrentTask, address: VirtualAddress, len_bytes: u64) -> Result<(), Errno> {
    task.memory().munmap(address, len_bytes, task)
}

fn mprotect(
    task: &mut CurrentTask,
    address: VirtualAddress,
    len_bytes: u64,
    protection: u64,
) -> Result<(), Errno> {
    let grows = u64::from(uapi::PROT_GROWSDOWN | uapi::PROT_GROWSUP);
    let known = u64::from(PROTECTION_BITS | uapi::PROT_SEM);
    let has = |flag: u32| protection & u64::from(flag) != 0;
    let growth = match (has(uapi::PROT_GROWSDOWN), has(uapi::PROT_GROWSUP)) {
        (false, false) => Growth::None,
        (true, false) => Growth::Down,
        (false, true) => Growth::Up,
        (true, true) => return Err(Errno::EINVAL),
    };
    let protection = (protection & !(known | grows) == 0).then(|| protection_of(protection));
    task.memory().mprotect_growing(address, len_bytes, protection, growth, task)
}

fn pkey_mprotect(
    task: &mut CurrentTask,
    address: VirtualAddress,
    len_bytes: u64,
    protection: u64,
    key: i32,
) -> Result<(), Errno> {
    if key == -1 { mprotect(task, address, len_bytes, protection) } else { Err(Errno::EINVAL) }
}

/// This processor's protection keys are not shown to user code.
fn pkey_alloc(_: &mut CurrentTask) -> Result<(), Errno> {
    Err(Errno::ENOSPC)
}

fn pkey_free(_: &mut CurrentTask) -> Result<(), Errno> {
    Err(Errno::EINVAL)
}

fn mremap(
    task: &mut CurrentTask,
    old_address: VirtualAddress,
    old_len_bytes: u64,
    new_len_bytes: u64,
    flags: u64,
    new_address: VirtualAddress,
) -> Result<VirtualAddress, Errno> {
    let flags = u32::try_from(flags).ok().and_then(RemapFlags::from_bits).ok_or(Errno::EINVAL)?;
    apply_lock_limit(task);
    apply_lowest_address(task, new_address);
    task.memory().mremap(old_address, old_len_bytes, new_len_bytes, flags, new_address, task)
}

fn brk(task: &mut CurrentTask, address: VirtualAddress) -> Result<VirtualAddress, Errno> {
    Ok(task.memory().brk(address, task))
}

fn madvise(
    task: &mut CurrentTask,
    address: VirtualAddress,
    len_bytes: u64,
    advice: u32,
) -> Result<(), Errno> {
    task.memory().madvise(address, len_bytes, advice, task)
}

/// Another process takes only advice that changes nothing that it sees.
fn process_madvise(
    task: &mut CurrentTask,
    descriptor: Fd,
    pieces: UserPointer<Iovec>,
    count: u64,
    advice: u32,
    flags: u32,
) -> Result<u64, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let pieces = read_pieces(task, pieces, count)?;
    let target = super::pidfd::task_of(task, descriptor)?;
    let memory = target.memory().ok_or(Errno::ESRCH)?;
    let is_own = memory.id() == task.memory().id();
    if !is_own {
        if !matches!(advice, uapi::MADV_COLD | uapi::MADV_PAGEOUT | uapi::MADV_WILLNEED | uapi::MADV_COLLAPSE)
        {
            return Err(Errno::EINVAL);
        }
        check_access(task.task(), &target).map_err(|_| Errno::EACCES)?;
        if !task.credentials().has(Capabilities::SYS_NICE) {
            return Err(Errno::EPERM);
        }
    }
    let mut advised = 0;
    for piece in pieces {
        match memory.madvise(VirtualAddress(piece.iov_base), piece.iov_len, advice, task) {
            Ok(()) => advised += piece.iov_len,
            Err(errno) if advised == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(advised)
}

/// What a process that is being killed holds is freed as it ends; whoever asks about another one is mistaken.
fn process_mrelease(task: &mut CurrentTask, descriptor: Fd, flags: u32) -> Result<(), Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let target = super::pidfd::task_of(task, descriptor)?;
    target.memory().ok_or(Errno::ESRCH)?;
    if target.is_being_killed() { Ok(()) } else { Err(Errno::EINVAL) }
}

fn remap_file_pages(
    task: &mut CurrentTask,
    address: VirtualAddress,
    len_bytes: u64,
    protection: u64,
    first: u64,
    _flags: u64,
) -> Result<(), Errno> {
    if protection != 0 {
        return Err(Errno::EINVAL);
    }
    task.memory().remap_file_pages(address, len_bytes, first, task)
}

fn mseal(task: &mut CurrentTask, address: VirtualAddress, len_bytes: u64, flags: u64) -> Result<(), Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    task.memory().mseal(address, len_bytes, task)
}

/// Pages of no file that is kept in memory are in no cache.
fn cachestat(
    task: &mut CurrentTask,
    descriptor: Fd,
    range: UserPointer<CachestatRange>,
    place: UserPointer<Cachestat>,
    flags: u32,
) -> Result<(), Errno> {
    let file = task.usable_file(descriptor)?;
    let range = range.read(task)?;
    let cache = file.file().page_cache();
    // Huge pages are not told.
    if file.downcast::<HugeFile>().is_some() || cache.as_ref().is_ok_and(|cache| cache.is_huge()) {
        return Err(Errno::EOPNOTSUPP);
    }
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let first = range.off / PAGE_SIZE;
    let end = match range.len {
        0 => u64::MAX,
        len => (range.off.saturating_add(len - 1) / PAGE_SIZE).saturating_add(1),
    };
    let cached = cache.map_or(0, |cache| cache.resident_pages(first..end));
    place.write(task, &Cachestat { nr_cache: cached, ..Cachestat::default() })
}

fn msync(task: &mut CurrentTask, address: VirtualAddress, len_bytes: u64, flags: u32) -> Result<(), Errno> {
    task.memory().msync(address, len_bytes, flags, task)
}

fn mincore(
    task: &mut CurrentTask,
    address: VirtualAddress,
    len_bytes: u64,
    vector: UserPointer<u8>,
) -> Result<(), Errno> {
    /// Pages that are looked at in one step.
    const STEP: u64 = 4096;
    if !address.0.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    if VirtualRange::new(address, len_bytes).is_none() {
        return Err(Errno::ENOMEM);
    }
    let pages = len_bytes.div_ceil(PAGE_SIZE);
    if VirtualRange::new(vector.address(), pages).is_none() {
        return Err(Errno::EFAULT);
    }
    let mut done = 0;
    while done < pages {
        let count = (pages - done).min(STEP);
        let start = address.checked_add(done * PAGE_SIZE).ok_or(Errno::ENOMEM)?;
        let residency = task.memory().mincore(start, count)?;
        let target = vector.address().checked_add(done).ok_or(Errno::EFAULT)?;
        task.memory().write_bytes(target, &residency)?;
        done += u64_from(residency.len());
        task.keep_going()?;
    }
    Ok(())
}

fn mlock(task: &mut CurrentTask, address: VirtualAddress, len_bytes: u64) -> Result<(), Errno> {
    apply_lock_limit(task);
    task.memory().mlock(address, len_bytes, false, task)
}

fn mlock2(task: &mut CurrentTask, address: VirtualAddress, len_bytes: u64, flags: u32) -> Result<(), Errno> {
    if flags & !uapi::MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL);
    }
    apply_lock_limit(task);
    task.memory().mlock(address, len_bytes, flags != 0, task)
}

fn munlock(task: &mut CurrentTask, address: VirtualAddress, len_bytes: u64) -> Result<(), Errno> {
    task.memory().munlock(address, len_bytes, task)
}

fn mlockall(task: &mut CurrentTask, flags: u32) -> Result<(), Errno> {
    let has = |flag: u32| flags & flag != 0;
    let known = uapi::MCL_CURRENT | uapi::MCL_FUTURE | uapi::MCL_ONFAULT;
    if flags & !known != 0 || !has(uapi::MCL_CURRENT) && !has(uapi::MCL_FUTURE) {
        return Err(Errno::EINVAL);
    }
    apply_lock_limit(task);
    task.memory().mlockall(has(uapi::MCL_CURRENT), has(uapi::MCL_FUTURE), has(uapi::MCL_ONFAULT), task)
}

fn munlockall(task: &mut CurrentTask) -> Result<(), Errno> {
    task.memory().munlockall(task)
}

/// Lets the address space know what the caller may lock: the limit, or all with CAP_IPC_LOCK.
fn apply_lock_limit(task: &CurrentTask) {
    let mut limits = task.thread_group().memory_limits();
    if task.credentials().has(Capabilities::IPC_LOCK) {
        limits.locked_bytes = u64::MAX;
    }
    task.memory().set_limits(limits);
}

/// Lets the address space know whether the caller may name `address`: with CAP_SYS_RAWIO any, else none below
/// `vm.mmap_min_addr`.
pub(super) fn apply_lowest_address(task: &CurrentTask, address: VirtualAddress) {
    if address.0 >= MemoryLimits::LOWEST_ADDRESS {
        return;
    }
    let may_name_all = task.credentials().has(Capabilities::SYS_RAWIO);
    task.memory().set_lowest_address(if may_name_all { 0 } else { MemoryLimits::LOWEST_ADDRESS });
}

fn protection_of(bits: u64) -> Protection {
    let mut protection = Protection::empty();
    protection.set(Protection::READ, bits & u64::from(uapi::PROT_READ) != 0);
    protection.set(Protection::WRITE, bits & u64::from(uapi::PROT_WRITE) != 0);
    protection.set(Protection::EXECUTE, bits & u64::from(uapi::PROT_EXEC) != 0);
    protection
}

fn process_vm_readv(
    task: &mut CurrentTask,
    pid: Tid,
    local: UserPointer<Iovec>,
    local_count: u64,
    remote: UserPointer<Iovec>,
    remote_count: u64,
    flags: u64,
) -> Result<usize, Errno> {
    let transfer_asked = transfer_of(task, pid, (local, local_count), (remote, remote_count), flags)?;
    let Some((other, local, remote)) = transfer_asked else { return Ok(0) };
    transfer(task, (&other, &remote), (task.memory(), &local))
}

fn process_vm_writev(
    task: &mut CurrentTask,
    pid: Tid,
    local: UserPointer<Iovec>,
    local_count: u64,
    remote: UserPointer<Iovec>,
    remote_count: u64,
    flags: u64,
) -> Result<usize, Errno> {
    let transfer_asked = transfer_of(task, pid, (local, local_count), (remote, remote_count), flags)?;
    let Some((other, local, remote)) = transfer_asked else { return Ok(0) };
    transfer(task, (task.memory(), &local), (&other, &remote))
}

/// The other process's memory, the caller's pieces, and the other's.
type Transfer = (Arc<MemoryManager>, Vec<Iovec>, Vec<Iovec>);

/// Decodes the arguments that process_vm_readv(2) and process_vm_writev(2) share; `None` if there is nothing to copy, whoever is
/// named.
fn transfer_of(
    task: &CurrentTask,
    pid: Tid,
    (local, local_count): (UserPointer<Iovec>, u64),
    (remote, remote_count): (UserPointer<Iovec>, u64),
    flags: u64,
) -> Result<Option<Transfer>, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let local = read_pieces(task, local, local_count)?;
    for piece in &local {
        check_range(piece.iov_base, piece.iov_len)?;
    }
    if local.iter().all(|piece| piece.iov_len == 0) {
        return Ok(None);
    }
    let remote = read_pieces(task, remote, remote_count)?;
    if remote.iter().all(|piece| piece.iov_len == 0) {
        return Ok(None);
    }
    let namespace = task.thread_group().pid_namespace();
    let other = task.kernel().tasks().task(namespace, pid).ok_or(Errno::ESRCH)?;
    check_access(task.task(), &other)?;
    Ok(Some((other.memory().ok_or(Errno::ESRCH)?, local, remote)))
}

fn read_pieces(task: &CurrentTask, vector: UserPointer<Iovec>, count: u64) -> Result<Vec<Iovec>, Errno> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > MAX_PIECES {
        return Err(Errno::EINVAL);
    }
    let pieces = vector.read_array(task, count)?;
    let are_sound = pieces.iter().all(|piece| i64::try_from(piece.iov_len).is_ok());
    if are_sound { Ok(pieces) } else { Err(Errno::EINVAL) }
}

/// Copies from pieces of one address space to pieces of another, and returns how many bytes it copied.
fn transfer(
    pace: &dyn Pace,
    (source, from): (&MemoryManager, &[Iovec]),
    (target, to): (&MemoryManager, &[Iovec]),
) -> Result<usize, Errno> {
    /// Bytes that are copied in one step.
    const STEP: usize = 64 << 10;
    let mut buffer = vec![0; STEP];
    let (mut from, mut to) = (Cursor::new(from), Cursor::new(to));
    let mut done = 0;
    while let (Some((read_at, readable)), Some((write_at, writable))) = (from.next_piece(), to.next_piece()) {
        let len = usize::try_from(readable.min(writable)).unwrap_or(usize::MAX).min(STEP);
        let Some(piece) = buffer.get_mut(..len) else { break };
        let read = source.read_from_outside(VirtualAddress(read_at), piece);
        let written = target.write_from_outside(VirtualAddress(write_at), first(piece, read)?);
        done += written;
        if written < len || pace.keep_going().is_err() {
            break;
        }
        from.advance(u64_from(len));
        to.advance(u64_from(len));
    }
    let was_empty = from.is_empty() || to.is_empty();
    if done == 0 && !was_empty { Err(Errno::EFAULT) } else { Ok(done) }
}

/// Where a transfer is in its pieces.
struct Cursor<'a> {
    pieces: &'a [Iovec],
    /// Bytes of the first piece that are done.
    done: u64,
}

impl<'a> Cursor<'a> {
    fn new(pieces: &'a [Iovec]) -> Self {
        Self { pieces, done: 0 }
    }

    /// Address and length of what comes next.
    fn next_piece(&mut self) -> Option<(u64, u64)> {
        while let Some((Iovec { iov_base: address, iov_len: len }, rest)) = self.pieces.split_first() {
            if self.done < *len {
                return Some((address.saturating_add(self.done), len - self.done));
            }
            (self.pieces, self.done) = (rest, 0);
        }
        None
    }

    fn is_empty(&mut self) -> bool {
        self.next_piece().is_none()
    }

    fn advance(&mut self, len_bytes: u64) {
        self.done += len_bytes;
    }
}
