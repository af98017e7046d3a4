//! userfaultfd(2): a file that tells of touches of memory, and through which pages are brought in (`man 2 ioctl_userfaultfd`).

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::anonymous::AnonymousInode;
use super::special::DeviceDriver;
use super::{
    Caller, DeviceNumber, File, Inode, LongText, Metadata, OpenFiles, OpenFlags, Splicing, Viewer, sleeper,
};
use crate::Errno;
use crate::heap;
use crate::memory::{FaultError, FaultHandler, MemoryManager, UserFault, UserfaultModes};
use crate::pace::Unhurried;
use crate::platform::{PAGE_SIZE, VirtualAddress};
use crate::wait::{Events, WaitQueue};

/// The version of the interface (`UFFD_API`).
const API: u64 = 0xaa;
/// Bytes of `struct uffd_msg`.
const MESSAGE_BYTES: usize = 32;
/// `UFFD_EVENT_PAGEFAULT`.
const PAGE_FAULT: u8 = 0x12;

/// The requests, with the sizes of their structures (`linux/userfaultfd.h`).
mod request {
    pub(super) const API: u32 = 0xc018_aa3f;
    pub(super) const REGISTER: u32 = 0xc020_aa00;
    pub(super) const UNREGISTER: u32 = 0x8010_aa01;
    pub(super) const WAKE: u32 = 0x8010_aa02;
    pub(super) const COPY: u32 = 0xc028_aa03;
    pub(super) const ZEROPAGE: u32 = 0xc020_aa04;
    pub(super) const MOVE: u32 = 0xc028_aa05;
    pub(super) const WRITEPROTECT: u32 = 0xc018_aa06;
    pub(super) const CONTINUE: u32 = 0xc020_aa07;
    pub(super) const POISON: u32 = 0xc020_aa08;
}

/// What UFFDIO_API and UFFDIO_REGISTER say that can be asked for: bits by the numbers of the requests.
const API_REQUESTS: u64 = 1 << 63 | 1 << 1 | 1 << 0;
const WAKE_BIT: u64 = 1 << 2;
const COPY_BIT: u64 = 1 << 3;
const ZEROPAGE_BIT: u64 = 1 << 4;
const MOVE_BIT: u64 = 1 << 5;
const WRITEPROTECT_BIT: u64 = 1 << 6;
const CONTINUE_BIT: u64 = 1 << 7;
const POISON_BIT: u64 = 1 << 8;

/// Of COPY, MOVE, ZEROPAGE, CONTINUE and POISON: nobody is woken.
const DONT_WAKE: u64 = 1 << 0;
/// Of COPY: the page is protected. Of WRITEPROTECT: pages are to be.
const COPY_PROTECTED: u64 = 1 << 1;
/// Of MOVE: there need not be pages to move.
const ALLOW_HOLES: u64 = 1 << 1;
const PROTECT: u64 = 1 << 0;
const PROTECT_DONT_WAKE: u64 = 1 << 1;

bitflags::bitflags! {
    /// `UFFD_FEATURE_*`, as far as they are served.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Features: u64 {
        const PAGEFAULT_FLAG_WP = 1 << 0;
        const MISSING_SHMEM = 1 << 5;
        const SIGBUS = 1 << 7;
        const THREAD_ID = 1 << 8;
        const MINOR_SHMEM = 1 << 10;
        const EXACT_ADDRESS = 1 << 11;
        const POISON = 1 << 14;
        const MOVE = 1 << 16;
    }
}

/// What threads wait for.
struct Pending {
    fault: UserFault,
    thread: i32,
    is_woken: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Known after UFFDIO_API.
    features: Option<u64>,
    /// What has not been read.
    unread: VecDeque<Arc<Pending>>,
    /// What has been read, and waits to be seen to.
    read: Vec<Arc<Pending>>,
    is_closed: bool,
}

/// What an open file and the mappings that are registered with it share.
struct Context {
    id: u64,
    memory: Weak<MemoryManager>,
    /// Touches by system calls are refused (UFFD_USER_MODE_ONLY).
    is_user_only: bool,
    state: Mutex<State>,
    /// Who reads.
    readers: WaitQueue,
    /// Who touches.
    touchers: WaitQueue,
}

/// An open file of userfaultfd(2).
pub struct UserfaultFile {
    context: Arc<Context>,
    is_nonblocking: AtomicBool,
    inode: AnonymousInode,
}

impl UserfaultFile {
    /// For the address space `memory`; `flags` has O_NONBLOCK or not.
    pub fn new(
        memory: &Arc<MemoryManager>,
        is_user_only: bool,
        flags: OpenFlags,
        files: &OpenFiles,
    ) -> Arc<Self> {
        let context = Context {
            id: memory.frames().new_id(),
            memory: Arc::downgrade(memory),
            is_user_only,
            state: Mutex::default(),
            readers: WaitQueue::default(),
            touchers: WaitQueue::default(),
        };
        Arc::new(Self {
            context: Arc::new(context),
            is_nonblocking: AtomicBool::new(flags.contains(OpenFlags::NONBLOCK)),
            inode: AnonymousInode::new(files),
        })
    }
}

impl Context {
    fn features(&self) -> Option<Features> {
        self.state.lock().features.map(Features::from_bits_truncate)
    }

    fn memory(&self) -> Result<Arc<MemoryManager>, Errno> {
        self.memory.upgrade().ok_or(Errno::ESRCH)
    }

    /// Has those try again who wait for a page of `range`.
    fn wake(&self, start: u64, len_bytes: u64) {
        let is_meant = |pending: &Arc<Pending>| {
            pending.fault.address.0.checked_sub(start).is_some_and(|offset| offset < len_bytes)
        };
        let mut state = self.state.lock();
        for pending in state.unread.iter().chain(&state.read).filter(|pending| is_meant(pending)) {
            pending.is_woken.store(true, Ordering::Release);
        }
        state.unread.retain(|pending| !is_meant(pending));
        state.read.retain(|pending| !is_meant(pending));
        drop(state);
        self.touchers.notify(Events::IN);
    }

    fn remove(&self, gone: &Arc<Pending>) {
        let mut state = self.state.lock();
        state.unread.retain(|pending| !Arc::ptr_eq(pending, gone));
        state.read.retain(|pending| !Arc::ptr_eq(pending, gone));
    }
}

impl FaultHandler for Context {
    fn serve(&self, fault: UserFault) -> Result<(), FaultError> {
        let features = self.features().unwrap_or(Features::empty());
        if features.contains(Features::SIGBUS) {
            return Err(FaultError::PastEnd);
        }
        if self.is_user_only && !fault.is_user {
            return Err(FaultError::Io(Errno::EFAULT));
        }
        if !sleeper::may_sleep() {
            return Err(FaultError::Io(Errno::EFAULT));
        }
        let (_, thread) = heap::actor();
        let pending = Arc::new(Pending { fault, thread, is_woken: AtomicBool::new(false) });
        {
            let mut state = self.state.lock();
            if state.is_closed {
                return Ok(());
            }
            state.unread.push_back(pending.clone());
        }
        self.readers.notify(Events::IN | Events::RDNORM);
        let is_woken = || pending.is_woken.load(Ordering::Acquire).then_some(());
        let result = sleeper::wait(&self.touchers, is_woken, || ());
        self.remove(&pending);
        result.map_err(FaultError::Io)
    }

    fn is_open(&self) -> bool {
        !self.state.lock().is_closed
    }

    fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for UserfaultFile {
    fn drop(&mut self) {
        let (unread, read) = {
            let mut state = self.context.state.lock();
            state.is_closed = true;
            (std::mem::take(&mut state.unread), std::mem::take(&mut state.read))
        };
        if let Some(memory) = self.context.memory.upgrade() {
            // It cannot fail at that pace.
            let _ = memory.end_userfaults(self.context.id, &Unhurried);
        }
        unread.iter().chain(&read).for_each(|pending| pending.is_woken.store(true, Ordering::Release));
        self.context.touchers.notify(Events::IN);
    }
}

/// `struct uffd_msg` for a touch.
fn message(pending: &Pending, features: Features) -> [u8; MESSAGE_BYTES] {
    const WRITE: u64 = 1 << 0;
    const WP: u64 = 1 << 1;
    const MINOR: u64 = 1 << 2;
    let fault = pending.fault;
    let mut flags = if fault.is_write { WRITE } else { 0 };
    flags |= match fault.mode {
        UserfaultModes::WP => WP,
        UserfaultModes::MINOR => MINOR,
        _ => 0,
    };
    let thread = if features.contains(Features::THREAD_ID) { pending.thread } else { 0 };
    let mut bytes = [0; MESSAGE_BYTES];
    bytes[0] = PAGE_FAULT;
    bytes[8..16].copy_from_slice(&flags.to_ne_bytes());
    bytes[16..24].copy_from_slice(&fault.address.0.to_ne_bytes());
    bytes[24..28].copy_from_slice(&thread.to_ne_bytes());
    bytes
}

impl UserfaultFile {
    /// UFFDIO_API: what both sides know.
    fn agree(&self, caller: &dyn Caller, place: VirtualAddress) -> Result<usize, Errno> {
        let [version, wanted, _]: [u64; 3] = caller.memory().read_object(place)?;
        let mut state = self.context.state.lock();
        let is_known = version == API && Features::from_bits(wanted).is_some() && state.features.is_none();
        if !is_known {
            drop(state);
            caller.memory().write_object(place, &[0u64; 3])?;
            return Err(Errno::EINVAL);
        }
        state.features = Some(wanted);
        drop(state);
        caller.memory().write_object(place, &[API, Features::all().bits(), API_REQUESTS])?;
        Ok(0)
    }

    fn register(&self, caller: &dyn Caller, place: VirtualAddress) -> Result<usize, Errno> {
        let [start, len_bytes, mode, _]: [u64; 4] = caller.memory().read_object(place)?;
        let modes = UserfaultModes::from_bits(mode).filter(|modes| !modes.is_empty()).ok_or(Errno::EINVAL)?;
        let handler: Arc<dyn FaultHandler> = self.context.clone();
        let range = (VirtualAddress(start), len_bytes);
        self.context.memory()?.register_userfaults(range, &handler, modes, caller)?;
        let mut served = WAKE_BIT | COPY_BIT | ZEROPAGE_BIT | MOVE_BIT | POISON_BIT;
        if modes.contains(UserfaultModes::WP) {
            served |= WRITEPROTECT_BIT;
        }
        if modes.contains(UserfaultModes::MINOR) {
            served |= CONTINUE_BIT;
        }
        let told = VirtualAddress(place.0.wrapping_add(24));
        caller.memory().write_object(told, &served)?;
        Ok(0)
    }

    fn unregister(&self, caller: &dyn Caller, place: VirtualAddress) -> Result<usize, Errno> {
        let [start, len_bytes]: [u64; 2] = caller.memory().read_object(place)?;
        self.context.memory()?.unregister_userfaults((VirtualAddress(start), len_bytes), caller)?;
        self.context.wake(start, len_bytes);
        Ok(0)
    }

    fn wake(&self, caller: &dyn Caller, place: VirtualAddress) -> Result<usize, Errno> {
        let [start, len_bytes]: [u64; 2] = caller.memory().read_object(place)?;
        check_range(start, len_bytes)?;
        self.context.wake(start, len_bytes);
        Ok(0)
    }

    fn copy(&self, caller: &dyn Caller, place: VirtualAddress) -> Result<usize, Errno> {
        let [start, source, len_bytes, mode, _]: [u64; 5] = caller.memory().read_object(place)?;
        check_range(start, len_bytes)?;
        let ends = source.checked_add(len_bytes).is_some();
        if mode & !(DONT_WAKE | COPY_PROTECTED) != 0 || !ends {
            return Err(Errno::EINVAL);
        }
        let (memory, is_protected) = (self.context.memory()?, mode & COPY_PROTECTED != 0);
        let mut page = vec![0; PAGE_SIZE as usize];
        let done = self.each_page(caller, start..start + len_bytes, |address| {
            let from = VirtualAddress(source + (address.0 - start));
            caller.memory().read_bytes(from, &mut page)?;
            memory.install_page(address, Some(&page), (self.context.id, is_protected))
        });
        self.finish(caller, (place, 32), (start, len_bytes), done, mode & DONT_WAKE != 0)
    }

    fn move_pages(&self, caller: &dyn Caller, place: VirtualAddress) -> Result<usize, Errno> {
        let [start, source, len_bytes, mode, _]: [u64; 5] = caller.memory().read_object(place)?;
        check_range(start, len_bytes)?;
        check_range(source, len_bytes)?;
        if mode & !(DONT_WAKE | ALLOW_HOLES) != 0 {
            return Err(Errno::EINVAL);
        }
        let memory = self.context.memory()?;
        let done = self.each_page(caller, start..start + len_bytes, |address| {
            let from = VirtualAddress(source + (address.0 - start));
            match memory.move_page(from, address, self.context.id)? {
                false if mode & ALLOW_HOLES == 0 => Err(Errno::ENOENT),
                _ => Ok(()),
            }
        });
        self.finish(caller, (place, 32), (start, len_bytes), done, mode & DONT_WAKE != 0)
    }

    fn poison(&self, caller: &dyn Caller, place: VirtualAddress) -> Result<usize, Errno> {
        let id = self.context.id;
        self.resolve(caller, place, |memory, address| memory.poison_page(address, id))
    }

    fn zero(&self, caller: &dyn Caller, place: VirtualAddress) -> Result<usize, Errno> {
        let id = self.context.id;
        self.resolve(caller, place, |memory, address| memory.install_page(address, None, (id, false)))
    }

    fn go_on(&self, caller: &dyn Caller, place: VirtualAddress) -> Result<usize, Errno> {
        let id = self.context.id;
        self.resolve(caller, place, |memory, address| memory.continue_page(address, id))
    }

    /// Does `operation` for each page of the range at `place`, and wakes who waits for them unless told not to.
    fn resolve(
        &self,
        caller: &dyn Caller,
        place: VirtualAddress,
        operation: impl Fn(&MemoryManager, VirtualAddress) -> Result<(), Errno>,
    ) -> Result<usize, Errno> {
        let [start, len_bytes, mode, _]: [u64; 4] = caller.memory().read_object(place)?;
        check_range(start, len_bytes)?;
        if mode & !DONT_WAKE != 0 {
            return Err(Errno::EINVAL);
        }
        let memory = self.context.memory()?;
        let done = self.each_page(caller, start..start + len_bytes, |address| operation(&memory, address));
        self.finish(caller, (place, 24), (start, len_bytes), done, mode & DONT_WAKE != 0)
    }

    fn protect(&self, caller: &dyn Caller, place: VirtualAddress) -> Result<usize, Errno> {
        let [start, len_bytes, mode]: [u64; 3] = caller.memory().read_object(place)?;
        check_range(start, len_bytes)?;
        let is_protected = mode & PROTECT != 0;
        if mode & !(PROTECT | PROTECT_DONT_WAKE) != 0 || mode == PROTECT | PROTECT_DONT_WAKE {
            return Err(Errno::EINVAL);
        }
        let range = (VirtualAddress(start), len_bytes);
        self.context.memory()?.protect_pages(range, (self.context.id, is_protected), caller)?;
        if mode == 0 {
            self.context.wake(start, len_bytes);
        }
        Ok(0)
    }

    /// Does something for each page of a range, up to the first failure. Returns for how many bytes it was done.
    fn each_page(
        &self,
        caller: &dyn Caller,
        range: std::ops::Range<u64>,
        mut operation: impl FnMut(VirtualAddress) -> Result<(), Errno>,
    ) -> Result<u64, Errno> {
        let mut next = range.start;
        while next < range.end {
            match operation(VirtualAddress(next)) {
                Err(error) if next == range.start => return Err(error),
                Err(_) => break,
                Ok(()) => next += PAGE_SIZE,
            }
            caller.keep_going()?;
        }
        Ok(next - range.start)
    }

    /// Tells how much has been done, where the request's structure has a word for it, and wakes who waited for that.
    fn finish(
        &self,
        caller: &dyn Caller,
        (place, word): (VirtualAddress, u64),
        (start, len_bytes): (u64, u64),
        done: Result<u64, Errno>,
        wakes_nobody: bool,
    ) -> Result<usize, Errno> {
        let told = match done {
            Ok(done) => done.cast_signed(),
            Err(error) => -i64::from(error.raw()),
        };
        caller.memory().write_object(VirtualAddress(place.0.wrapping_add(word)), &told)?;
        let done = done?;
        if !wakes_nobody {
            self.context.wake(start, done);
        }
        if done == len_bytes { Ok(0) } else { Err(Errno::EAGAIN) }
    }
}

/// Fails for what is not a range of whole pages.
fn check_range(start: u64, len_bytes: u64) -> Result<(), Errno> {
    let is_whole = start.is_multiple_of(PAGE_SIZE) && len_bytes.is_multiple_of(PAGE_SIZE) && len_bytes > 0;
    let end = start.checked_add(len_bytes);
    let is_there = is_whole && end.is_some_and(|end| end <= VirtualAddress::USER_END.0);
    if is_there { Ok(()) } else { Err(Errno::EINVAL) }
}

impl File for UserfaultFile {
    fn has_write(&self) -> bool {
        false
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn read_unit(&self) -> super::TransferUnit {
        super::TransferUnit::Bytes(MESSAGE_BYTES)
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        let features = self.context.features().ok_or(Errno::EINVAL)?;
        let mut state = self.context.state.lock();
        if buffer.len() < MESSAGE_BYTES {
            return Err(Errno::EINVAL);
        }
        let mut filled = 0;
        for room in buffer.chunks_exact_mut(MESSAGE_BYTES) {
            let Some(pending) = state.unread.pop_front() else { break };
            room.copy_from_slice(&message(&pending, features));
            state.read.push(pending);
            filled += MESSAGE_BYTES;
        }
        if filled == 0 { Err(Errno::EAGAIN) } else { Ok(filled) }
    }

    fn readiness(&self) -> Events {
        let state = self.context.state.lock();
        match () {
            () if state.features.is_none() || !self.is_nonblocking.load(Ordering::Relaxed) => Events::ERR,
            () if state.unread.is_empty() => Events::empty(),
            () => Events::IN | Events::RDNORM,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.context.readers)
    }

    fn flags_changed(&self, flags: OpenFlags) {
        self.is_nonblocking.store(flags.contains(OpenFlags::NONBLOCK), Ordering::Relaxed);
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let place = VirtualAddress(argument);
        if request != request::API && self.context.features().is_none() {
            return Err(Errno::EINVAL);
        }
        match request {
            request::API => self.agree(caller, place),
            request::REGISTER => self.register(caller, place),
            request::UNREGISTER => self.unregister(caller, place),
            request::WAKE => self.wake(caller, place),
            request::COPY => self.copy(caller, place),
            request::ZEROPAGE => self.zero(caller, place),
            request::MOVE => self.move_pages(caller, place),
            request::WRITEPROTECT => self.protect(caller, place),
            request::CONTINUE => self.go_on(caller, place),
            request::POISON => self.poison(caller, place),
            _ => Err(Errno::EINVAL),
        }
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:[userfaultfd]".into()
    }

    fn descriptor_info(&self, text: &mut LongText) -> Result<(), Errno> {
        let (unread, read, features) = {
            let state = self.context.state.lock();
            (state.unread.len(), state.read.len(), state.features.unwrap_or(0))
        };
        let (pending, total) = (unread, unread + read);
        text.push(format!(
            "pending:\t{pending}\ntotal:\t{total}\nAPI:\t{API:x}:{features:x}:{API_REQUESTS:x}\n"
        ))
    }

    fn offers_nowait(&self, _is_write: bool) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// /dev/userfaultfd: whoever may open it gets files of userfaultfd(2), whatever else they may.
pub(in crate::fs) struct UserfaultDriver;

impl UserfaultDriver {
    /// The minor number.
    pub(in crate::fs) const MINOR: u32 = 126;
}

impl DeviceDriver for UserfaultDriver {
    fn open(
        &self,
        _device: DeviceNumber,
        inode: &Arc<dyn Inode>,
        _flags: OpenFlags,
        _viewer: &Viewer,
    ) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(UserfaultDevice { inode: inode.clone() }))
    }
}

/// The open device. Its one request needs a task's descriptors: ioctl(2) serves it.
pub struct UserfaultDevice {
    inode: Arc<dyn Inode>,
}

impl UserfaultDevice {
    /// `USERFAULTFD_IOC_NEW`, whose argument is the flags of userfaultfd(2).
    pub const NEW: u32 = 0xaa00;
}

impl File for UserfaultDevice {
    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
