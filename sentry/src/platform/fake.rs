//! A platform without a machine, for tests of the kernel: address spaces are tables in a map, and contexts
//! play a script of exits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::{
    Access, AddressSpace, Context, Exit, FrameRun, GuestAddress, GuestMemory, GuestMemoryError, Interrupter,
    InvalidExtendedState, PAGE_SIZE, Platform, PlatformError, Registers, SegmentBases, VirtualAddress,
    VirtualRange,
};

/// What a scripted context does at each run.
pub type Script = Box<dyn FnMut(&Arc<dyn AddressSpace>, &mut Registers) -> Exit + Send>;

/// Makes scripts.
pub type ScriptMaker = Box<dyn Fn() -> Script + Send>;

/// A platform without a machine.
pub struct FakePlatform {
    memory: Arc<GuestMemory>,
    scripts: Mutex<VecDeque<Script>>,
    /// Makes the script of a context for which none was pushed.
    default_script: Mutex<Option<ScriptMaker>>,
    /// The next context is refused.
    refuses_context: AtomicBool,
}

impl FakePlatform {
    /// Makes a platform with `memory_bytes` (a multiple of 2 MiB) of guest memory.
    ///
    /// # Errors
    /// The host would not reserve the memory.
    pub fn new(memory_bytes: u64) -> Result<Arc<Self>, GuestMemoryError> {
        let memory = Arc::new(GuestMemory::new(GuestAddress(0), memory_bytes)?);
        Ok(Arc::new(Self {
            memory,
            scripts: Mutex::default(),
            default_script: Mutex::default(),
            refuses_context: AtomicBool::new(false),
        }))
    }

    /// Refuses the next context, as a host does that has no room for another.
    pub fn refuse_next_context(&self) {
        self.refuses_context.store(true, Ordering::Relaxed);
    }

    /// Has `make` make the scripts of contexts beyond those that were pushed; without it they call `exit(0)`.
    pub fn set_default_script(&self, make: ScriptMaker) {
        *self.default_script.lock() = Some(make);
    }

    /// Gives `script` to the next context that is made without one.
    pub fn push_script(&self, script: Script) {
        self.scripts.lock().push_back(script);
    }
}

/// The script of a context that nobody gave one.
fn exit_at_once(_: &Arc<dyn AddressSpace>, registers: &mut Registers) -> Exit {
    registers.rax = u64::from(linux_raw_sys::general::__NR_exit);
    registers.rdi = 0;
    Exit::Syscall
}

impl Platform for FakePlatform {
    fn memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }

    fn extend_memory(&self, _len_bytes: u64) -> Result<u64, PlatformError> {
        Ok(self.memory.len_bytes())
    }

    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Ok(Arc::new(FakeAddressSpace::default()))
    }

    fn new_context(&self) -> Result<Box<dyn Context>, PlatformError> {
        if self.refuses_context.swap(false, Ordering::Relaxed) {
            return Err(PlatformError::NoVcpu);
        }
        let pushed = self.scripts.lock().pop_front();
        let script = pushed
            .or_else(|| self.default_script.lock().as_ref().map(|make| make()))
            .unwrap_or_else(|| Box::new(exit_at_once));
        Ok(Box::new(FakeContext {
            script,
            bases: SegmentBases::default(),
            extended: vec![0; self.extended_state_len_bytes()],
            interrupter: Arc::default(),
        }))
    }

    fn extended_state_len_bytes(&self) -> usize {
        576
    }

    fn extended_features(&self) -> u64 {
        3
    }
}

/// Page tables in a map, a page at a time.
#[derive(Default)]
struct FakeAddressSpace {
    pages: Mutex<BTreeMap<u64, (GuestAddress, Access)>>,
}

impl AddressSpace for FakeAddressSpace {
    fn map(&self, start: VirtualAddress, runs: &[FrameRun], access: Access) -> Result<(), PlatformError> {
        let mut pages = self.pages.lock();
        let mut page = start.0 / PAGE_SIZE;
        for run in runs {
            for index in 0..run.pages as u64 {
                pages.insert(page, (GuestAddress(run.start.0 + index * PAGE_SIZE), access));
                page += 1;
            }
        }
        Ok(())
    }

    fn unmap(&self, range: VirtualRange) {
        let page_range = range.start.0 / PAGE_SIZE..range.end.0.div_ceil(PAGE_SIZE);
        self.pages.lock().retain(|page, _| !page_range.contains(page));
    }

    fn protect(&self, range: VirtualRange, access: Access) {
        for (_, entry) in
            self.pages.lock().range_mut(range.start.0 / PAGE_SIZE..range.end.0.div_ceil(PAGE_SIZE))
        {
            entry.1 = access;
        }
    }

    fn clear(&self) {
        self.pages.lock().clear();
    }

    fn abandon(&self) {
        self.clear();
    }

    fn translate(&self, address: VirtualAddress) -> Option<(GuestAddress, Access)> {
        let (frame, access) = *self.pages.lock().get(&(address.0 / PAGE_SIZE))?;
        Some((GuestAddress(frame.0 + address.page_offset()), access))
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

struct FakeContext {
    script: Script,
    bases: SegmentBases,
    extended: Vec<u8>,
    interrupter: Arc<FakeInterrupter>,
}

impl Context for FakeContext {
    fn run(&mut self, space: &Arc<dyn AddressSpace>, registers: &mut Registers) -> Exit {
        if self.interrupter.is_pending.swap(false, Ordering::AcqRel) {
            return Exit::Interrupted;
        }
        (self.script)(space, registers)
    }

    fn interrupter(&self) -> Arc<dyn Interrupter> {
        self.interrupter.clone()
    }

    fn segment_bases(&mut self) -> SegmentBases {
        self.bases
    }

    fn set_segment_bases(&mut self, bases: SegmentBases) {
        self.bases = bases;
    }

    fn extended_state(&mut self) -> Vec<u8> {
        self.extended.clone()
    }

    fn set_extended_state(&mut self, area: &[u8]) -> Result<(), InvalidExtendedState> {
        if area.len() < 512 {
            return Err(InvalidExtendedState);
        }
        let len_bytes = area.len().min(self.extended.len());
        self.extended.fill(0);
        self.extended[..len_bytes].copy_from_slice(&area[..len_bytes]);
        Ok(())
    }

    fn sleep(&mut self) {}

    fn wake(&mut self) -> bool {
        true
    }

    fn prepare(&mut self) {}
}

#[derive(Default)]
struct FakeInterrupter {
    is_pending: AtomicBool,
}

impl Interrupter for FakeInterrupter {
    fn interrupt(&self) {
        self.is_pending.store(true, Ordering::Release);
    }
}
