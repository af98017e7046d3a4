//! The port to the machine that runs user code.
//!
//! The sentry never names a hypervisor. It asks a [`Platform`] for guest memory, for [`AddressSpace`]s
//! (page tables) and for [`Context`]s (the execution state of one task), and everything that user code
//! does comes back as an [`Exit`]. `platform-kvm` implements the port on KVM; `fake` implements it with
//! a script, so that the kernel's tests need no KVM.

mod address;
mod empty_space;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fake;
mod memory;
mod registers;

use std::fmt;
use std::sync::Arc;

pub use address::{PAGE_SHIFT, PAGE_SIZE, VirtualAddress, VirtualRange};
pub use empty_space::EmptySpace;
pub use error::PlatformError;
pub use memory::{GuestMemory, GuestMemoryError, losses};
pub use registers::{Registers, SegmentBases};
pub use vm_memory::GuestAddress;

bitflags::bitflags! {
    /// What user code may do, or tried to do, with a page.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct Access: u8 {
        /// Load.
        const READ = 1;
        /// Store.
        const WRITE = 2;
        /// Instruction fetch.
        const EXECUTE = 4;
    }
}

/// A run of guest-physical pages, contiguous from `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRun {
    /// Guest-physical address of the first page; page-aligned.
    pub start: GuestAddress,
    /// Length in pages of 4 KiB.
    pub pages: usize,
}

/// Why user code stopped.
#[derive(Debug)]
pub enum Exit {
    /// A system call: number and arguments are in the registers as the ABI has them (`rax`; `rdi`, `rsi`,
    /// `rdx`, `r10`, `r8`, `r9`), `rip` is the instruction after SYSCALL, and `rcx`/`r11` hold what SYSCALL
    /// left there (the next `rip`, and RFLAGS).
    Syscall,
    /// A page fault (#PF).
    Fault {
        /// The address that was touched (CR2).
        address: VirtualAddress,
        /// Exactly one of `READ`, `WRITE`, `EXECUTE`.
        access: Access,
    },
    /// Any other exception (SDM 3A 6.15).
    Exception {
        /// Vector, 0-31.
        vector: u8,
        /// Error code, 0 for vectors that push none.
        code: u32,
    },
    /// An [`Interrupter`] kicked the context, or it returned early for a reason of its own. Nothing happened.
    Interrupted,
    /// User code touched guest memory that the host cannot show: a part that is [mapped from a file](GuestMemory::map_file) which
    /// ends before it, or cannot be read. Nothing happened.
    Lost,
    /// The machine can no longer run this context. The task is killed and the reason logged.
    Broken(String),
}

/// One microVM.
pub trait Platform: Send + Sync {
    /// The guest's memory. Frames below [`Platform::extend_memory`]'s high-water mark may be mapped.
    fn memory(&self) -> &Arc<GuestMemory>;

    /// Makes at least the first `len_bytes` of guest memory mappable, in steps of the platform's choice, and
    /// returns how many bytes now are (never more than [`GuestMemory::len_bytes`]).
    ///
    /// # Errors
    /// The host refused another piece of memory.
    fn extend_memory(&self, len_bytes: u64) -> Result<u64, PlatformError>;

    /// Makes an empty set of page tables.
    ///
    /// # Errors
    /// The host is out of a resource.
    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError>;

    /// Makes the execution state of a new task: initial extended state (x87/SSE), segment bases 0.
    ///
    /// # Errors
    /// The host is out of a resource.
    fn new_context(&self) -> Result<Box<dyn Context>, PlatformError>;

    /// Bytes of [`Context::extended_state`]: the XSAVE area in standard format for the features that user code has (SDM 1 13.4).
    fn extended_state_len_bytes(&self) -> usize;

    /// The features that user code has enabled in XCR0 (SDM 1 13.3).
    fn extended_features(&self) -> u64;

    /// What became of calls that were made without an exit; none on a platform that has none.
    fn call_counts(&self) -> CallCounts {
        CallCounts::default()
    }
}

/// What became of system calls that were made without an exit, since the platform was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Calls that another thread served.
    pub served: u64,
    /// Calls that it handed back.
    pub handed_back: u64,
    /// Calls that left since nobody looked at them.
    pub unseen: u64,
    /// Places in programs that were rewritten.
    pub sites: u64,
    /// Processor time of those who look, nanoseconds.
    pub polling_ns: u64,
}

/// One set of page tables. The tables are a cache of what the sentry knows: an implementation may forget any
/// translation at any time, and the next touch comes back as an [`Exit::Fault`].
pub trait AddressSpace: Send + Sync {
    /// Maps `runs`, one after the other, from `start` on, replacing what was mapped there. Large pages are
    /// used where addresses and lengths allow it.
    ///
    /// # Errors
    /// The host is out of a resource; some of the range may have been mapped.
    fn map(&self, start: VirtualAddress, runs: &[FrameRun], access: Access) -> Result<(), PlatformError>;

    /// Removes all translations of `range`. After it returns no vCPU uses one of them.
    fn unmap(&self, range: VirtualRange);

    /// Sets the access of the translations that exist in `range` (absent ones stay absent). After it
    /// returns no vCPU has more than `access` there.
    fn protect(&self, range: VirtualRange, access: Access);

    /// Removes every translation. After it returns no vCPU uses one of them.
    fn clear(&self);

    /// Nobody runs here any more: every translation goes, and what is mapped from now on is shown to nobody. No vCPU is
    /// disturbed for it, so other address spaces keep what their vCPUs know of the same frames.
    fn abandon(&self);

    /// For tests and `/proc`: the translation that is in the tables now, if any.
    fn translate(&self, address: VirtualAddress) -> Option<(GuestAddress, Access)>;

    /// The address of a SYSCALL instruction that traps often, once, if the platform could serve its calls without an exit
    /// were it [rewritten](AddressSpace::rewrite_call).
    fn take_frequent_call(&self) -> Option<VirtualAddress> {
        None
    }

    /// Lets the platform show user code another page in place of the one that is mapped at `syscall`, in which calls from
    /// there take a shorter way. The caller promises that the page's frame does not change while it is mapped there;
    /// any change of that translation shows the original again.
    fn rewrite_call(&self, _syscall: VirtualAddress) {}

    /// Whether [`AddressSpace::map_text`] would show another page than one of `runs`.
    fn knows_text(&self, _runs: &[FrameRun]) -> bool {
        false
    }

    /// As [`AddressSpace::map`] for reading and executing, of frames that do not change while they are mapped here: the
    /// platform may show others at once, which it was let [rewrite](AddressSpace::rewrite_call) in some address space.
    ///
    /// # Errors
    /// As [`AddressSpace::map`].
    fn map_text(&self, start: VirtualAddress, runs: &[FrameRun]) -> Result<(), PlatformError> {
        self.map(start, runs, Access::READ | Access::EXECUTE)
    }

    /// The platform's own view of itself, to find again in [`Context::run`].
    fn as_any(&self) -> &dyn std::any::Any;
}

/// One task's execution state. It is on a vCPU while it runs.
pub trait Context: Send {
    /// Runs user code in `space` from `registers` until it stops, and leaves its state in `registers`.
    fn run(&mut self, space: &Arc<dyn AddressSpace>, registers: &mut Registers) -> Exit;

    /// As [`Context::run`], but system calls may be served by `server` meanwhile, on another thread, without an exit. When
    /// this returns, no call is being served any more. A call is served or is an [`Exit::Syscall`], never both.
    fn run_served(
        &mut self,
        space: &Arc<dyn AddressSpace>,
        registers: &mut Registers,
        _server: &mut dyn CallServer,
    ) -> Exit {
        self.run(space, registers)
    }

    /// A handle with which other threads end [`Context::run`].
    fn interrupter(&self) -> Arc<dyn Interrupter>;

    /// The bases of FS and GS as user code last left them (it may change them itself, FSGSBASE).
    fn segment_bases(&mut self) -> SegmentBases;

    /// Sets the bases of FS and GS for the next run.
    fn set_segment_bases(&mut self, bases: SegmentBases);

    /// The extended state: an XSAVE area in standard format.
    fn extended_state(&mut self) -> Vec<u8>;

    /// Replaces the extended state. Short areas (at least 512 bytes) leave the rest in its initial state.
    ///
    /// # Errors
    /// The area is one that XRSTOR would refuse (SDM 1 13.8): nothing has changed.
    fn set_extended_state(&mut self, area: &[u8]) -> Result<(), InvalidExtendedState>;

    /// The task is about to sleep: others may have its vCPU.
    fn sleep(&mut self);

    /// The task sleeps no more: it keeps its vCPU for now. Returns whether the next [`Context::run`] goes into user code at
    /// once, rather than wait for a vCPU.
    fn wake(&mut self) -> bool;

    /// Does the waiting that [`Context::run`] would do before user code. Returns early if an interrupter wants it to.
    fn prepare(&mut self);
}

/// System calls by number, each with the one answer that it has for as long as a run of its context lasts, unless it is
/// [withdrawn](Interrupter::withdraw_answer).
pub type Answers = [Option<(u8, u64)>; 7];

/// Serves system calls of a context that is in user code, on whatever thread finds them.
pub trait CallServer: Send {
    /// What need not be served, since user code may be told in advance. Asked before each run.
    fn answers(&mut self) -> Answers {
        Answers::default()
    }

    /// Whether it is to be told how often user code has taken those answers.
    fn counts_answers(&self) -> bool {
        false
    }

    /// User code, which may lie, says that it has taken the answer to call `number` so often since it was entered.
    fn note_answered(&mut self, _number: u64, _count: u32) {}

    /// Serves a call, or declines it before anything has changed.
    fn serve(&mut self, number: u64, arguments: [u64; 6]) -> Reply;

    /// The call with which the run has ended had waited in vain to be served. Told on the context's own thread.
    fn note_vain_wait(&mut self) {}
}

/// What became of a call that a [`CallServer`] was handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// User code goes on with this value in `rax`.
    Value(u64),
    /// The same, but the context stops before it goes on: somebody has interrupted it.
    ValueAndStop(u64),
    /// Nothing has happened. The call is to come back as an [`Exit::Syscall`].
    Decline,
}

/// An XSAVE area that the processor would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidExtendedState;

impl fmt::Display for InvalidExtendedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an XSAVE area that this processor can restore")
    }
}

impl std::error::Error for InvalidExtendedState {}

/// Ends a context's run from another thread.
pub trait Interrupter: Send + Sync {
    /// Makes the context's current run, or its next one if it is not running, return
    /// [`Exit::Interrupted`] soon. Never blocks; async-signal-safe callers are not supported.
    fn interrupt(&self);

    /// The [answer](CallServer::answers) to call `number` holds no longer: user code that asks after this has returned is not
    /// told it, and the run ends soon as if [interrupted](Interrupter::interrupt). Never blocks.
    fn withdraw_answer(&self, _number: u8) {
        self.interrupt();
    }
}
