//! One vCPU: entering user code, and naming what ended it.
//!
//! Between runs a vCPU is in one of the states of [`Mode`]. User registers enter it in the cheapest way that
//! its mode allows, always with one KVM_RUN and without another ioctl (KVM api.rst, "sync regs"):
//!
//! | mode | entered by |
//! |---|---|
//! | `User` | setting the registers |
//! | `Syscall`, RCX = RIP and R11 = RFLAGS without TF | SYSRETQ |
//! | `Syscall` otherwise, `Exception` | IRETQ from a frame that the host writes to the vCPU's stack |
//! | the same where ring 0 is emulated, and any mode if page tables or segment bases change | setting the system registers, too |
//!
//! A run that a kick ends inside a stub is resumed until the stub's `out`.
//!
//! # Where VMX differs from SVM
//!
//! By the titles of the SDM's sections, since their numbers change between editions:
//!
//! - SYSRETQ to a non-canonical address raises #GP in ring 0 on Intel's processors and in ring 3 on AMD's (SDM 2B,
//!   "SYSRET", Operation: the check of RCX comes before CPL changes). In ring 0 it would push a frame, without another
//!   stack, wherever user code's RSP points: through a supervisor's translation. So `KvmContext::run` refuses every RIP
//!   past user memory before it boards a vCPU.
//! - NMIs of the host end a run on VMX by the control "NMI exiting" (SDM 3C, "Pin-Based VM-Execution Controls"), and on
//!   SVM by an intercept (APM 2 15.13.2); KVM serves them and goes on, wherever in a stub that was. The guest has none:
//!   only KVM_NMI injects one, which is never asked for, so that neither "virtual NMIs" nor "blocking by NMI" (SDM 3C,
//!   "Guest Non-Register State"), which IRETQ ends, ever matter to the stubs. One that came anyway would end the run
//!   by the gate of vector 2: as an exception of user code if it hit ring 3, and as a broken vCPU if it hit a stub.
//! - EPT violations tell the access by the bits of an exit qualification (SDM 3C, "Exit Qualification for EPT
//!   Violations"), nested page faults by an error code (APM 2 15.25.6). We see neither: what a fault wanted comes from
//!   the error code of the guest's own #PF, which is the same on all. But a walk of the guest's tables counts as a write
//!   to them where EPT has accessed and dirty flags (SDM 3C, "Accessed and Dirty Flags for EPT"), and always on SVM: the
//!   slots of tables must never be read-only (see `chunks`).

use std::sync::Arc;
use std::time::Instant;

use kvm_bindings::{KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS, kvm_regs, kvm_sregs};
use kvm_ioctls::{VcpuExit, VcpuFd};
use rustix::process::Pid;
use sentry::host::{HostCall, count_call};
use sentry::platform::{
    Access, Exit, GuestAddress, GuestMemoryError, PlatformError, Registers, SegmentBases, VirtualAddress,
};

use crate::exitless::lane::Lane;
use crate::ioctl::{attempt, set_xsave, xsave};
use crate::kernel::{Frame, IRET_STUB, OUT_LEN, SYSRET_STUB};
use crate::kick::{Kick, own_thread};
use crate::layout::{EXCEPTION_PORT, SYSCALL_PORT, VECTORS};
use crate::machine::Machine;
use crate::template::{PROBE_ROOT, segment};

/// RFLAGS: bit 1 is always set (SDM 1 3.4.3).
const FLAG_FIXED: u64 = 1 << 1;
/// RFLAGS.TF: a SYSRETQ that sets it traps at once, before the next instruction, so that a program that is stepped would
/// not get on; an IRETQ lets that instruction run first (SDM 3B 18.3.1.4, "Single-Step Exception Condition").
const FLAG_TRAP: u64 = 1 << 8;
/// RFLAGS.IF: user code is interruptible, as under Linux.
const FLAG_INTERRUPT: u64 = 1 << 9;
/// RFLAGS.NT and RFLAGS.ID: user code sets them by itself (POPF), and they stay over its system calls and faults.
const FLAGS_KEPT: u64 = 1 << 14 | 1 << 21;
/// RFLAGS.RF: set in the frames of faults, and of no use to us.
const FLAG_RESUME: u64 = 1 << 16;
/// Page-fault error code (SDM 3A 4.7).
const FAULT_WRITE: u64 = 1 << 1;
const FAULT_RESERVED: u64 = 1 << 3;
const FAULT_FETCH: u64 = 1 << 4;
const FAULT_KEY: u64 = 1 << 5;
const PAGE_FAULT: u8 = 14;
const GENERAL_PROTECTION: u8 = 13;

/// Runs for which system registers are synchronised after a page fault: another often follows, and CR2 comes
/// with them. Each costs little on some hosts, but a system call need not pay it.
const FAULT_STREAK: u32 = 8;
/// Times that a run is resumed before we give the vCPU up.
const RESUMES_MAX: u32 = 100_000;

/// Where a vCPU is between runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// In ring 3, wherever the registers say.
    User,
    /// In ring 0, in the stub of SYSCALL.
    Syscall,
    /// In ring 0, in the stub of an exception.
    Exception,
}

/// Why a run stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// User code wants something.
    Exit(Exit),
    /// A kick; the registers say where user code is.
    Kicked,
}

/// What KVM_RUN answered.
enum Answer {
    Port(u16),
    Kicked,
    Fault,
    Broken(String),
}

/// A page-table root that a vCPU may have loaded: roots are reused, numbers are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    /// Names the address space.
    pub(crate) space: u64,
    /// Guest-physical address of its PML4.
    pub(crate) address: GuestAddress,
}

/// One vCPU.
pub(crate) struct Vcpu {
    machine: Arc<Machine>,
    index: usize,
    fd: VcpuFd,
    mode: Mode,
    /// System registers in user mode; CR3 and the bases of FS and GS vary.
    sregs: Box<kvm_sregs>,
    /// `sregs` must be loaded at the next run.
    must_load: bool,
    /// The bases of FS and GS, if they are known: user code may have changed them since.
    bases: Option<SegmentBases>,
    root: Option<Root>,
    /// Where its user code's calls are served without an exit, if anywhere.
    lane: Option<Arc<Lane>>,
    /// Runs left for which system registers are synchronised.
    fault_streak: u32,
    /// No context has used the extended state.
    is_extended_initial: bool,
    is_broken: bool,
    /// The thread that runs it.
    thread: Option<Pid>,
}

impl Vcpu {
    /// Takes a vCPU that [`Template::init`] has prepared.
    pub(crate) fn new(machine: Arc<Machine>, index: usize, mut fd: VcpuFd) -> Self {
        // The system registers as `Template::init` left them: in user mode.
        let mut sregs = fd.sync_regs_mut().sregs;
        sregs.cs = segment(Registers::USER_CS, 11, true);
        sregs.ss = segment(Registers::USER_SS, 3, false);
        let lane = machine.dispatcher().and_then(|dispatcher| dispatcher.lane(index)).cloned();
        lane.iter().for_each(|lane| lane.initialize());
        Self {
            machine,
            index,
            fd,
            mode: Mode::User,
            sregs: Box::new(sregs),
            must_load: true,
            bases: Some(SegmentBases::default()),
            root: None,
            lane,
            fault_streak: FAULT_STREAK,
            is_extended_initial: true,
            is_broken: false,
            thread: None,
        }
    }

    /// The thread that ran it last.
    pub(crate) fn thread(&self) -> Option<Pid> {
        self.thread
    }

    /// Whether the calling thread can run it without moving it.
    pub(crate) fn is_here(&self) -> bool {
        self.thread.is_none_or(|thread| thread == own_thread())
    }

    /// The calling thread will run it from now on. Where that takes long it is done here, lest it count as
    /// running: KVM_RUN with `immediate_exit` does nothing else. Nobody may be about to kick the vCPU.
    pub(crate) fn move_here(&mut self) {
        let thread = own_thread();
        let last = self.thread.replace(thread);
        let is_unknown = self.machine.is_moving_unknown();
        if is_unknown && last.is_some_and(|last| last != thread) {
            let begun = Instant::now();
            self.finish_access();
            self.machine.note_move(begun.elapsed());
        }
    }

    /// Where its user code's calls are served without an exit, if anywhere.
    pub(crate) fn lane(&self) -> Option<&Arc<Lane>> {
        self.lane.as_ref()
    }

    /// It is to run in the space of `root`, which must see nothing of what user code of another has left. Before anything is
    /// lent: what is cleared looks like a request.
    pub(crate) fn prepare_lane(&self, root: Root) {
        if let Some(lane) = &self.lane
            && self.root.is_none_or(|last| last.space != root.space)
        {
            lane.clear();
        }
    }

    /// Its number in the VM.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Whether it can no longer run.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// How to end the next run.
    ///
    /// # Safety
    /// The vCPU and the calling thread outlive the value.
    pub(crate) unsafe fn kick(&mut self, thread: Pid) -> Kick {
        self.fd.set_kvm_immediate_exit(0);
        // SAFETY: passed on to the caller.
        unsafe { Kick::new(&mut self.fd, thread) }
    }

    /// The bases of FS and GS.
    pub(crate) fn segment_bases(&mut self) -> Result<SegmentBases, PlatformError> {
        if let Some(bases) = self.bases {
            return Ok(bases);
        }
        let sregs = attempt("read a vCPU's segment bases", self.fd.get_sregs())?;
        let bases = SegmentBases { fs: sregs.fs.base, gs: sregs.gs.base };
        self.bases = Some(bases);
        Ok(bases)
    }

    /// Sets the bases of FS and GS for the next run. Both are canonical.
    pub(crate) fn set_segment_bases(&mut self, bases: SegmentBases) {
        self.bases = Some(bases);
        self.must_load = true;
    }

    /// Reads the extended state.
    pub(crate) fn extended_state(&mut self) -> Result<Vec<u8>, PlatformError> {
        let mut area = self.machine.extended.buffer()?;
        xsave(&self.fd, &mut area)?;
        Ok(self.machine.extended.to_bytes(&area))
    }

    /// Writes the extended state; `None` for that of a new task.
    pub(crate) fn set_extended_state(&mut self, state: Option<&[u8]>) -> Result<(), PlatformError> {
        let format = &self.machine.extended;
        match state {
            None if self.is_extended_initial => Ok(()),
            None => set_xsave(&self.fd, &format.to_xsave(&format.initial())?),
            Some(bytes) => {
                self.is_extended_initial = false;
                set_xsave(&self.fd, &format.to_xsave(bytes)?)
            }
        }
    }

    /// Runs user code until it wants something or a kick arrives. `registers.rip` is in user memory.
    pub(crate) fn run(&mut self, root: Root, registers: &mut Registers) -> Stop {
        match self.try_run(root, registers) {
            Ok(stop) => stop,
            Err(error) => self.broken(error.to_string()),
        }
    }

    fn try_run(&mut self, root: Root, registers: &mut Registers) -> Result<Stop, PlatformError> {
        self.load_space(root)?;
        self.enter(registers)?;
        self.is_extended_initial = false;
        let is_synchronised = self.choose_synchronised();
        for _ in 0..RESUMES_MAX {
            let (flushes, _) = self.machine.flush_state();
            match self.run_once() {
                Answer::Port(port) => return self.on_port(port, registers, is_synchronised),
                Answer::Kicked => match self.on_kick(registers, is_synchronised)? {
                    Some(stop) => return Ok(stop),
                    // The kick is on record with whoever sent it, and the `out` is a few instructions away.
                    None => self.fd.set_kvm_immediate_exit(0),
                },
                // KVM could not read memory in the middle of a flush: it can now.
                Answer::Fault if self.machine.flush_state() != (flushes, false) => {}
                Answer::Fault => return self.on_lost(registers, is_synchronised),
                Answer::Broken(reason) => return Ok(self.broken(reason)),
            }
            self.fd.get_kvm_run().kvm_dirty_regs = 0;
        }
        Ok(self.broken("user code cannot be entered".into()))
    }

    fn run_once(&mut self) -> Answer {
        count_call(HostCall::KvmRun);
        let answer = match self.fd.run() {
            // Only user code reads ports, and only ours.
            Ok(VcpuExit::IoOut(port, _) | VcpuExit::IoIn(port, _)) => Answer::Port(port),
            Ok(VcpuExit::Intr) => Answer::Kicked,
            Ok(VcpuExit::MemoryFault { .. }) => Answer::Fault,
            Ok(VcpuExit::InternalError) => Answer::Broken("KVM reports an internal error".into()),
            Ok(other) => Answer::Broken(format!("KVM_RUN ended with {other:?}")),
            Err(error) => match error.errno() {
                libc::EINTR | libc::EAGAIN => Answer::Kicked,
                libc::EFAULT => Answer::Fault,
                _ => Answer::Broken(format!("KVM_RUN failed: {error}")),
            },
        };
        if let Answer::Broken(reason) = answer { Answer::Broken(self.explain(reason)) } else { answer }
    }

    /// Adds where the guest was.
    fn explain(&mut self, reason: String) -> String {
        let run = self.fd.get_kvm_run();
        // SAFETY: `internal` is plain numbers, which any bytes are.
        let internal = unsafe { run.__bindgen_anon_1.internal };
        let kvm_regs { rip, rsp, rflags, .. } = self.fd.sync_regs_mut().regs;
        let data = &internal.data[..(internal.ndata as usize).min(4)];
        format!(
            "{reason} (suberror {}, {data:x?}) at RIP {rip:#x}, RSP {rsp:#x}, RFLAGS {rflags:#x}",
            internal.suberror
        )
    }

    fn broken(&mut self, reason: String) -> Stop {
        self.is_broken = true;
        Stop::Exit(Exit::Broken(reason))
    }

    fn load_space(&mut self, root: Root) -> Result<(), PlatformError> {
        if self.root == Some(root) {
            return Ok(());
        }
        self.segment_bases()?;
        self.sregs.cr3 = root.address.0;
        self.must_load = true;
        self.root = Some(root);
        Ok(())
    }

    /// Puts user registers where the next KVM_RUN finds them.
    fn enter(&mut self, registers: &Registers) -> Result<(), PlatformError> {
        let chosen = (Registers::USER_FLAGS | FLAGS_KEPT) & !FLAG_RESUME;
        let rflags = registers.rflags & chosen | FLAG_INTERRUPT | FLAG_FIXED;
        let mut dirty = KVM_SYNC_X86_REGS;
        let leaves_ring_0 = self.mode == Mode::Exception && self.machine.template.has_emulated_ring_0();
        if self.must_load || leaves_ring_0 {
            let bases = self.segment_bases()?;
            (self.sregs.fs.base, self.sregs.gs.base) = (bases.fs, bases.gs);
            self.fd.sync_regs_mut().sregs = *self.sregs;
            dirty |= KVM_SYNC_X86_SREGS;
            self.must_load = false;
            self.mode = Mode::User;
        }
        let mut regs = to_kvm(registers);
        match self.mode {
            Mode::User => regs.rflags = rflags,
            Mode::Syscall
                if registers.rcx == registers.rip && registers.r11 == rflags && rflags & FLAG_TRAP == 0 =>
            {
                (regs.rip, regs.rflags) = (SYSRET_STUB, FLAG_FIXED);
            }
            Mode::Syscall | Mode::Exception => {
                let frame = Frame {
                    error_code: 0,
                    rip: registers.rip,
                    cs: Registers::USER_CS.into(),
                    rflags,
                    rsp: registers.rsp,
                    ss: Registers::USER_SS.into(),
                };
                let kernel = self.machine.kernel();
                kernel.set_frame(self.index as u64, frame).map_err(unreachable_stack)?;
                // The frame proper lies above the error code.
                regs.rsp = kernel.frame_address(self.index as u64) + 8;
                (regs.rip, regs.rflags) = (IRET_STUB, FLAG_FIXED);
            }
        }
        self.fd.sync_regs_mut().regs = regs;
        self.fd.get_kvm_run().kvm_dirty_regs = dirty.into();
        Ok(())
    }

    /// Decides whether this run brings the system registers back, too.
    fn choose_synchronised(&mut self) -> bool {
        let is_synchronised = self.fault_streak > 0 || self.machine.template.has_emulated_ring_0();
        self.fault_streak = self.fault_streak.saturating_sub(1);
        let valid = if is_synchronised { KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS } else { KVM_SYNC_X86_REGS };
        self.fd.get_kvm_run().kvm_valid_regs = valid.into();
        is_synchronised
    }

    /// Names what a stub (or user code) wrote to a port for.
    fn on_port(
        &mut self,
        port: u16,
        registers: &mut Registers,
        is_synchronised: bool,
    ) -> Result<Stop, PlatformError> {
        self.bases = is_synchronised.then(|| {
            let sregs = &self.fd.sync_regs_mut().sregs;
            SegmentBases { fs: sregs.fs.base, gs: sregs.gs.base }
        });
        let regs = self.fd.sync_regs_mut().regs;
        from_kvm(&regs, registers);
        let stub = self.machine.template.syscall_stub();
        let vector = port.wrapping_sub(EXCEPTION_PORT);
        if port == SYSCALL_PORT && (stub..=stub + OUT_LEN).contains(&regs.rip) {
            self.mode = self.mode_in_syscall_stub();
            registers.rip = regs.rcx;
            registers.rflags = regs.r11 & !FLAG_RESUME;
            Ok(Stop::Exit(Exit::Syscall))
        } else if port == SYSCALL_PORT {
            // User code used the port itself: to it, the port does not exist.
            self.finish_access();
            self.must_load = true;
            Ok(Stop::Exit(Exit::Exception { vector: GENERAL_PROTECTION, code: 0 }))
        } else if vector < VECTORS {
            self.mode = Mode::Exception;
            self.on_exception(vector as u8, registers, is_synchronised)
        } else {
            Ok(self.broken(format!("port {port:#x} was written at RIP {:#x}", regs.rip)))
        }
    }

    /// Where SYSCALL has left the vCPU. Where ring 0 is emulated that is ring 3 in all common cases, but ring 0
    /// if user code's stack pointer is not canonical: it must never go on from there as if it were ring 3.
    fn mode_in_syscall_stub(&mut self) -> Mode {
        if !self.machine.template.has_emulated_ring_0() {
            return Mode::Syscall;
        }
        match self.fd.sync_regs_mut().sregs.cs.selector & 3 {
            3 => Mode::User,
            _ => Mode::Exception,
        }
    }

    /// Has KVM finish an access to a port, which would otherwise change the registers that come next: with
    /// `immediate_exit` it does that and nothing else (KVM api.rst 5, `KVM_EXIT_IO`).
    fn finish_access(&mut self) {
        self.fd.set_kvm_immediate_exit(1);
        self.fd.get_kvm_run().kvm_dirty_regs = 0;
        if !matches!(self.run_once(), Answer::Kicked) {
            self.is_broken = true;
        }
    }

    fn on_exception(
        &mut self,
        vector: u8,
        registers: &mut Registers,
        is_synchronised: bool,
    ) -> Result<Stop, PlatformError> {
        let kernel = self.machine.kernel();
        let stack = kernel.frame_address(self.index as u64);
        let frame = kernel.frame(self.index as u64).map_err(unreachable_stack)?;
        if registers.rsp != stack || frame.cs & 3 != 3 {
            return Ok(self.broken(format!("exception {vector} outside user code: {frame:x?}")));
        }
        registers.rip = frame.rip;
        registers.rsp = frame.rsp;
        registers.rflags = frame.rflags & !FLAG_RESUME;
        if frame.cs != u64::from(Registers::USER_CS) {
            // The host has other code segments (of 32 bits) than ours: to user code, they do not exist.
            return Ok(Stop::Exit(Exit::Exception { vector: GENERAL_PROTECTION, code: 0 }));
        }
        if vector != PAGE_FAULT {
            return Ok(Stop::Exit(Exit::Exception { vector, code: frame.error_code as u32 }));
        }
        self.fault_streak = FAULT_STREAK;
        let address = if is_synchronised {
            self.fd.sync_regs_mut().sregs.cr2
        } else {
            let sregs = attempt("read a vCPU's CR2", self.fd.get_sregs())?;
            self.bases = Some(SegmentBases { fs: sregs.fs.base, gs: sregs.gs.base });
            sregs.cr2
        };
        // Above user memory a host may have its own entries: to user code, as unreachable as any.
        if frame.error_code & FAULT_RESERVED != 0 && address < VirtualAddress::USER_END.0 {
            return Ok(self.broken(format!("reserved bits in the page tables at {address:#x}")));
        }
        // A host that leaves us its CR4 has protection keys, which we do not offer and cannot give back.
        if frame.error_code & FAULT_KEY != 0 {
            return Ok(Stop::Exit(Exit::Exception { vector: GENERAL_PROTECTION, code: 0 }));
        }
        let access = match frame.error_code {
            code if code & FAULT_FETCH != 0 => Access::EXECUTE,
            code if code & FAULT_WRITE != 0 => Access::WRITE,
            _ => Access::READ,
        };
        Ok(Stop::Exit(Exit::Fault { address: VirtualAddress(address), access }))
    }

    /// Finds out where a kick has left the vCPU. `None` if it is on its way to a stub's `out`, and must be
    /// resumed until there.
    fn on_kick(
        &mut self,
        registers: &mut Registers,
        is_synchronised: bool,
    ) -> Result<Option<Stop>, PlatformError> {
        let events = attempt("read a vCPU's events", self.fd.get_vcpu_events())?;
        if events.exception.injected != 0 || events.exception.pending != 0 {
            return Ok(None);
        }
        let sregs = match is_synchronised {
            true => self.fd.sync_regs_mut().sregs,
            false => attempt("read a vCPU's registers", self.fd.get_sregs())?,
        };
        self.bases = Some(SegmentBases { fs: sregs.fs.base, gs: sregs.gs.base });
        let regs = self.fd.sync_regs_mut().regs;
        let is_in_ring_0 = sregs.cs.selector & 3 == 0;
        let stub = self.machine.template.syscall_stub();
        match regs.rip {
            // Still on the way to user code: nothing has changed.
            SYSRET_STUB if is_in_ring_0 => self.mode = Mode::Syscall,
            IRET_STUB if is_in_ring_0 => self.mode = Mode::Exception,
            _ if is_in_ring_0 => return Ok(None),
            rip if rip == stub => return Ok(None),
            // KVM does not say whether it still has to deliver INT3 or INTO, only that it did or will.
            _ if matches!(events.exception.nr, 3 | 4) => {
                return self.deliver_pending(sregs, registers).map(Some);
            }
            _ => {
                self.mode = Mode::User;
                from_kvm(&regs, registers);
                registers.rflags &= !FLAG_RESUME;
            }
        }
        Ok(Some(Stop::Kicked))
    }

    /// KVM could not reach guest memory: a part that is mapped from a file, if there are such parts.
    fn on_lost(&mut self, registers: &mut Registers, is_synchronised: bool) -> Result<Stop, PlatformError> {
        let can_be_lost = self.machine.memory().allows_files();
        match if can_be_lost { self.on_kick(registers, is_synchronised)? } else { None } {
            Some(Stop::Kicked) => Ok(Stop::Exit(Exit::Lost)),
            Some(stop) => Ok(stop),
            None => Ok(self.broken("KVM could not reach guest memory".into())),
        }
    }

    /// Has KVM deliver an exception that it may have in hand, and no more: without the page tables of user code
    /// the vCPU comes back with that exception, or else with the fault of the next instruction's fetch.
    fn deliver_pending(
        &mut self,
        mut sregs: kvm_sregs,
        registers: &mut Registers,
    ) -> Result<Stop, PlatformError> {
        sregs.cr3 = PROBE_ROOT;
        attempt("take a vCPU's page tables", self.fd.set_sregs(&sregs))?;
        self.root = None;
        self.must_load = true;
        self.fd.get_kvm_run().kvm_valid_regs = (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS).into();
        for _ in 0..RESUMES_MAX {
            self.fd.set_kvm_immediate_exit(0);
            self.fd.get_kvm_run().kvm_dirty_regs = 0;
            match self.run_once() {
                Answer::Port(port) => {
                    return Ok(match self.on_port(port, registers, true)? {
                        Stop::Exit(Exit::Fault { .. }) => Stop::Kicked,
                        stop => stop,
                    });
                }
                Answer::Kicked | Answer::Fault => {}
                Answer::Broken(reason) => return Ok(self.broken(reason)),
            }
        }
        Ok(self.broken("an exception cannot be delivered".into()))
    }
}

fn unreachable_stack(source: GuestMemoryError) -> PlatformError {
    PlatformError::Memory { attempt: "reach a vCPU's stack", source }
}

fn to_kvm(registers: &Registers) -> kvm_regs {
    let Registers {
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rbp,
        rsp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip,
        rflags,
    } = *registers;
    kvm_regs { rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags }
}

fn from_kvm(regs: &kvm_regs, registers: &mut Registers) {
    let kvm_regs {
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rsp,
        rbp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip,
        rflags,
    } = *regs;
    *registers = Registers {
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rbp,
        rsp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip,
        rflags,
    };
}
