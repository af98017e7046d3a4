//! The VM: its memory slots, its vCPUs' making, and what the host can do.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Once, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use kvm_bindings::{
    CpuId, KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_XSAVE2, KVM_MAX_CPUID_ENTRIES, KVM_SYNC_X86_REGS,
    KVM_SYNC_X86_SREGS, kvm_enable_cap,
};
use kvm_ioctls::{Cap, Kvm, VcpuExit, VcpuFd, VmFd};
use log::debug;
use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};
use sentry::platform::{GuestAddress, GuestMemory, PlatformError};

use crate::chunks::{CHUNK_LEN, Chunk, Chunks};
use crate::counts::RunCounts;
use crate::error::Error;
use crate::exitless::dispatcher::{Dispatcher, Host};
use crate::exitless::patches::Patches;
use crate::extended::Format;
use crate::flush::{FlushList, forget_translations};
use crate::ioctl::{attempt, delete_slot, host_tsc, host_xcr0, in_bounds, set_slot, set_tsc_offset_zero};
use crate::kernel::{Kernel, PROBE_CODE};
use crate::layout::{KERNEL_SLOT, KERNEL_START, Layout, MEMORY_SLOT, SLOT_LEN_MAX, SLOT_LEN_MIN};
use crate::platform::{Config, Exitless};
use crate::probe::{self, Choice, Outcome, SyscallEntry, TscReading};
use crate::report::{self, Report};
use crate::tables::Grow;
use crate::template::Template;
use crate::vcpu::Vcpu;
use crate::{cpuid, kick};

/// KVM_X86_QUIRK_SLOT_ZAP_ALL (KVM api.rst 7.31): deleting a slot drops every shadow page, not only its own.
const QUIRK_SLOT_ZAP_ALL: u64 = 1 << 7;
/// The version of KVM's interface (KVM api.rst 4.1).
const API_VERSION: i32 = 12;
/// How long nobody tries again to make a page table that could not be made.
const PATIENCE: Duration = Duration::from_millis(100);
/// A move of a vCPU to another thread that takes so long is slower than making a vCPU.
const SLOW_MOVE: Duration = Duration::from_micros(700);
/// How often the time-stamp counters are compared: the thread may have gone to another processor in between.
const TSC_LOOKS: usize = 3;

/// One VM.
pub(crate) struct Machine {
    this: Weak<Self>,
    vm: VmFd,
    memory: Arc<GuestMemory>,
    kernel: Arc<Kernel>,
    /// Serves calls that do not exit, if that was asked for.
    dispatcher: Option<Arc<Dispatcher>>,
    run_counts: RunCounts,
    patches: Patches,
    chunks: Arc<Chunks>,
    pub(crate) template: Template,
    pub(crate) extended: Format,
    report: Report,
    vcpus_max: usize,
    /// How much of guest memory has slots, and how many. Also orders the changes of slots.
    slots: Mutex<MemorySlots>,
    next_space: AtomicU64,
    flushes_started: AtomicU64,
    flushes_finished: AtomicU64,
    preparing: Once,
    /// A vCPU has moved from one thread to another slowly, and one quickly.
    has_moved_slowly: AtomicBool,
    has_moved_quickly: AtomicBool,
}

#[derive(Debug, Default)]
struct MemorySlots {
    len_bytes: u64,
    count: u32,
}

impl MemorySlots {
    /// Shows the guest at least the first `len_bytes` of `memory`.
    fn extend(&mut self, vm: &VmFd, memory: &GuestMemory, len_bytes: u64) -> Result<(), PlatformError> {
        let wanted = len_bytes.min(memory.len_bytes());
        while self.len_bytes < wanted {
            let rest = memory.len_bytes() - self.len_bytes;
            let step = self.len_bytes.clamp(SLOT_LEN_MIN, SLOT_LEN_MAX).min(rest);
            let start = GuestAddress(memory.start().0 + self.len_bytes);
            set_slot(vm, MEMORY_SLOT + self.count, memory, start, step)?;
            self.len_bytes += step;
            self.count += 1;
        }
        Ok(())
    }
}

impl Machine {
    /// Makes a VM for `memory` and its first vCPU, with which it finds out how the host behaves.
    /// `host` is looked at when first somebody polls, at the latest.
    pub(crate) fn new(
        config: &Config,
        memory: Arc<GuestMemory>,
        host: Arc<OnceLock<Host>>,
    ) -> Result<(Arc<Self>, Vcpu), Error> {
        kick::install_handler()
            .map_err(|source| PlatformError::refused("install a signal handler", source))?;
        let kvm = open()?;
        require(&kvm)?;
        let begun = Begun::new(&kvm, config.vcpus_max, &memory)?;
        let room = Room::new(&kvm, config.guest_bytes())?;
        let vcpu = begun.make_vcpu(&room.chunks)?;
        Self::complete(&kvm, config, (memory, host), (begun, vcpu), room)
    }

    /// Whether KVM and the processor have room for so much guest memory.
    pub(crate) fn check_room(memory_bytes: u64) -> Result<(), Error> {
        Room::new(&open()?, memory_bytes).map(drop)
    }

    /// Has the first vCPU find out how the host behaves, and puts everything together.
    fn complete(
        kvm: &Kvm,
        config: &Config,
        (memory, host): (Arc<GuestMemory>, Arc<OnceLock<Host>>),
        (begun, mut vcpu): (Begun, VcpuFd),
        Room { mut cpuid, address_bits, chunks }: Room,
    ) -> Result<(Arc<Self>, Vcpu), Error> {
        let Begun { vm, kernel, slots, vcpus_max, drops_own_shadow_pages_only } = begun;
        let kvm_len_bytes = vm.check_extension_raw(KVM_CAP_XSAVE2.into()).max(0) as usize;
        let extended = Format::new(&cpuid, host_xcr0(), kvm_len_bytes);
        let has_supervisor_protection = cpuid::has_supervisor_protection(&cpuid);
        cpuid::hide_unusable(&mut cpuid, extended.features);
        cpuid::name_caches(&mut cpuid);
        let mut template = Template::for_probe(cpuid, extended.features);
        template.init(&mut vcpu, &kernel, 0)?;
        let choice = Self::choose(&mut vcpu, &kernel, &mut template, has_supervisor_protection)?;
        let report = Report {
            api_version: API_VERSION,
            capabilities: report::capabilities(&vm),
            vcpus_max,
            vcpus_of_kvm: kvm.get_max_vcpus(),
            vcpus_wanted: config.vcpus_max,
            memory_slots_max: kvm.get_nr_memslots(),
            address_bits,
            outcome: choice.1,
            enters_ring_0: choice.0.entry == SyscallEntry::Ring0,
            drops_own_shadow_pages_only,
            has_supervisor_protection,
            extended_features: extended.features,
            extended_state_len_bytes: extended.len_bytes,
        };
        for (subject, text) in report.lines() {
            debug!("{subject}: {text}");
        }

        // The only way to the gate leads by rewritten call sites.
        let exitless = if config.keeps_text { Exitless::Off } else { config.exitless };
        let dispatcher = Dispatcher::new(&kernel, vcpus_max, exitless, host);
        let machine = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            vm,
            memory,
            kernel,
            dispatcher,
            run_counts: RunCounts::default(),
            patches: Patches::default(),
            chunks,
            template,
            extended,
            report,
            vcpus_max,
            slots: Mutex::new(slots),
            next_space: AtomicU64::new(0),
            flushes_started: AtomicU64::new(0),
            flushes_finished: AtomicU64::new(0),
            preparing: Once::new(),
            has_moved_slowly: AtomicBool::new(false),
            has_moved_quickly: AtomicBool::new(false),
        });
        let first = Vcpu::new(machine.clone(), 0, vcpu);
        Ok((machine, first))
    }

    /// Runs the probe on the first vCPU, and prepares `template` and the vCPU as it says.
    fn choose(
        vcpu: &mut VcpuFd,
        kernel: &Kernel,
        template: &mut Template,
        has_supervisor_protection: bool,
    ) -> Result<(Choice, Outcome), Error> {
        let outcome = Self::probe(vcpu, kernel)?;
        let Some(choice) = Choice::of(&outcome) else { return Err(Error::UnknownTrap(Box::new(outcome))) };
        if choice.must_set_tsc {
            Self::follow_tsc(vcpu, kernel)?;
        }
        template.choose(choice, has_supervisor_protection);
        if choice.entry == SyscallEntry::Ring0 {
            kernel.set_user_stubs(false)?;
            // A shadow MMU has seen them where the probe ran, and would go on showing them.
            let flushed = forget_translations(kernel.memory(), &Kernel::stubs());
            flushed.map_err(|source| PlatformError::refused("hide the probe's stubs", source))?;
            in_bounds(kernel.add_vcpu(0, false))?;
        }
        template.apply(vcpu)?;
        Ok((choice, outcome))
    }

    pub(crate) fn memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }

    /// What the host is, and what was chosen.
    pub(crate) fn report(&self) -> &Report {
        &self.report
    }

    /// The guest's own pages.
    pub(crate) fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// A number that no address space of the machine has had.
    pub(crate) fn new_space_number(&self) -> u64 {
        self.next_space.fetch_add(1, Ordering::Relaxed)
    }

    /// Who serves calls that do not exit, if anybody does.
    pub(crate) fn dispatcher(&self) -> Option<&Arc<Dispatcher>> {
        self.dispatcher.as_ref()
    }

    /// Rewritten pages of text.
    pub(crate) fn patches(&self) -> &Patches {
        &self.patches
    }

    /// How often its vCPUs ran.
    pub(crate) fn run_counts(&self) -> &RunCounts {
        &self.run_counts
    }

    /// How many vCPUs there may be.
    pub(crate) fn vcpus_max(&self) -> usize {
        self.vcpus_max
    }

    /// Makes vCPU `index`, which was never made before.
    pub(crate) fn new_vcpu(self: &Arc<Self>, index: usize) -> Result<Vcpu, PlatformError> {
        let fd = Self::make_vcpu(&self.vm, &self.kernel, &self.template, index as u64)?;
        Ok(Vcpu::new(self.clone(), index, fd))
    }

    /// Shows the guest at least the first `len_bytes` of its memory.
    pub(crate) fn extend_memory(&self, len_bytes: u64) -> Result<u64, PlatformError> {
        let mut slots = self.slots.lock();
        slots.extend(&self.vm, &self.memory, len_bytes)?;
        Ok(slots.len_bytes)
    }

    /// Shows a chunk of tables to the guest.
    fn add_chunk(&self, chunk: &Chunk) -> Result<(), PlatformError> {
        let _order = self.slots.lock();
        show_chunk(&self.vm, &self.chunks, chunk)
    }

    /// Hides a chunk of tables: KVM forgets everything that it learnt from it.
    fn remove_chunk(&self, chunk: &Chunk) -> Result<(), PlatformError> {
        let _order = self.slots.lock();
        delete_slot(&self.vm, self.chunks.slot(chunk))
    }

    /// Makes KVM forget everything that it learnt from `chunks`. No vCPU may be running in their space.
    pub(crate) fn purge(&self, chunks: &[Chunk]) -> Result<(), PlatformError> {
        for chunk in chunks {
            self.remove_chunk(chunk)?;
            self.add_chunk(chunk)?;
        }
        Ok(())
    }

    /// Takes a chunk back.
    pub(crate) fn release(&self, chunk: Chunk, used_pages: u64) {
        self.chunks.retire(chunk, used_pages);
    }

    /// Takes a chunk for an address space. The first that is not ready starts the thread that makes them so: not before, so
    /// that what confines the thread which made the machine confines this one, and a lone program goes without.
    fn take_chunk(&self) -> Result<Chunk, PlatformError> {
        if let Some(chunk) = self.chunks.take_ready() {
            return Ok(chunk);
        }
        self.preparing.call_once(|| {
            if let Err(error) = self.start_preparing() {
                log::warn!("page tables are made ready when they are needed: {error}");
            }
        });
        self.make_chunk()
    }

    /// Has a thread make chunks ready for as long as there is the machine.
    fn start_preparing(&self) -> io::Result<()> {
        let (chunks, machine) = (self.chunks.clone(), self.this.clone());
        let prepare = move || {
            while chunks.await_work() {
                let Some(machine) = machine.upgrade() else { break };
                if !machine.recycle_one() && !machine.prepare_one() {
                    thread::sleep(PATIENCE);
                }
            }
        };
        thread::Builder::new().name("page tables".into()).spawn(prepare).map(drop)
    }

    /// Makes a chunk, with its slot.
    fn make_chunk(&self) -> Result<Chunk, PlatformError> {
        loop {
            let chunk = match self.chunks.take() {
                Ok(chunk) => chunk,
                // Those that were given up will do, if nobody has made them ready yet.
                Err(PlatformError::TablesFull) if self.recycle_one() => match self.chunks.take_ready() {
                    Some(chunk) => return Ok(chunk),
                    None => continue,
                },
                Err(error) => return Err(error),
            };
            return match self.add_chunk(&chunk) {
                Ok(()) => Ok(chunk),
                Err(error) => {
                    self.chunks.give_back(chunk);
                    Err(error)
                }
            };
        }
    }

    /// Makes one more chunk ready; `false` if there can be none.
    fn prepare_one(&self) -> bool {
        let made = self.make_chunk();
        made.map(|chunk| self.chunks.make_ready(chunk)).is_ok()
    }

    /// Makes a chunk that was given up usable again; `false` if there is none. If KVM will not let go of it, nobody gets it.
    fn recycle_one(&self) -> bool {
        let Some((chunk, used_pages)) = self.chunks.take_retired() else { return false };
        let emptied =
            self.remove_chunk(&chunk).and_then(|()| in_bounds(self.chunks.zero(&chunk, used_pages)));
        if let Err(error) = emptied {
            log::error!("a page table is lost: {error}");
        } else if self.chunks.wants_ready() && self.add_chunk(&chunk).is_ok() {
            self.chunks.make_ready(chunk);
        } else {
            self.chunks.give_back(chunk);
        }
        true
    }

    /// Makes KVM forget the translations to the frames of `list`.
    pub(crate) fn flush(&self, list: &FlushList) -> io::Result<()> {
        self.flushes_started.fetch_add(1, Ordering::SeqCst);
        let tables = self.chunks.memory();
        let result = list.ranges().iter().try_for_each(|range| {
            // Rewritten pages lie beside the tables.
            let memory = if range.start >= tables.start().0 { tables } else { &*self.memory };
            forget_translations(memory, range)
        });
        self.flushes_finished.fetch_add(1, Ordering::SeqCst);
        result
    }

    /// A number that changes as flushes end, and whether one is under way: a read of guest memory that KVM
    /// makes meanwhile may fail.
    pub(crate) fn flush_state(&self) -> (u64, bool) {
        let finished = self.flushes_finished.load(Ordering::SeqCst);
        let started = self.flushes_started.load(Ordering::SeqCst);
        (finished, started != finished)
    }

    /// Whether running a vCPU on another thread than before seems to be slow: kernels before 6.13 wait for an
    /// RCU grace period then, many milliseconds. One quick move tells that this one does not.
    pub(crate) fn is_moving_slow(&self) -> bool {
        self.has_moved_slowly.load(Ordering::Relaxed) && self.is_moving_unknown()
    }

    /// Whether no vCPU has moved quickly yet.
    pub(crate) fn is_moving_unknown(&self) -> bool {
        !self.has_moved_quickly.load(Ordering::Relaxed)
    }

    /// A vCPU has moved.
    pub(crate) fn note_move(&self, duration: Duration) {
        debug!("a vCPU went to another thread in {duration:?}");
        let is_slow = duration >= SLOW_MOVE;
        let note = if is_slow { &self.has_moved_slowly } else { &self.has_moved_quickly };
        note.store(true, Ordering::Relaxed);
    }

    fn make_vcpu(
        vm: &VmFd,
        kernel: &Kernel,
        template: &Template,
        index: u64,
    ) -> Result<VcpuFd, PlatformError> {
        let mut vcpu = create_vcpu(vm, kernel, index, template.may_write_port())?;
        template.init(&mut vcpu, kernel, index)?;
        Ok(vcpu)
    }

    /// Has a vCPU that is not otherwise ready run the probe's instructions: see `probe`. Its system registers are those
    /// of user mode before and after.
    fn probe(vcpu: &mut VcpuFd, kernel: &Kernel) -> Result<Outcome, PlatformError> {
        let sync = vcpu.sync_regs_mut();
        let user_sregs = sync.sregs;
        sync.regs = Default::default();
        sync.regs.rip = PROBE_CODE;
        sync.regs.rflags = 2;
        let run = vcpu.get_kvm_run();
        run.kvm_dirty_regs = (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS).into();
        run.kvm_valid_regs = (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS).into();
        let before = host_tsc();
        let syscall = Self::probe_once(vcpu)?;
        let after = host_tsc();
        let tsc = TscReading { before, guest: vcpu.sync_regs_mut().regs.rax, after };
        vcpu.get_kvm_run().kvm_dirty_regs = 0;
        let exception = Self::probe_once(vcpu)?;
        let frame = in_bounds(kernel.frame(0))?;
        vcpu.sync_regs_mut().sregs = user_sregs;
        Ok(Outcome::new(syscall, exception, frame, tsc))
    }

    /// Makes the TSC of the probe's vCPU the host's, and sees that it is.
    fn follow_tsc(vcpu: &mut VcpuFd, kernel: &Kernel) -> Result<(), Error> {
        set_tsc_offset_zero(vcpu)?;
        let mut reading = Self::probe(vcpu, kernel)?.tsc;
        for _ in 1..TSC_LOOKS {
            if reading.is_the_hosts() {
                break;
            }
            reading = Self::probe(vcpu, kernel)?.tsc;
        }
        if reading.is_the_hosts() { Ok(()) } else { Err(Error::UnknownTsc(reading)) }
    }

    /// Runs a vCPU until it stops.
    fn probe_once(vcpu: &mut VcpuFd) -> Result<probe::Stop, PlatformError> {
        let (port, description) = loop {
            match vcpu.run() {
                Ok(VcpuExit::IoOut(port, _)) => break (Some(port), format!("a write to port {port:#x}")),
                Ok(VcpuExit::Intr) => {}
                Ok(other) => break (None, format!("{other:?}")),
                Err(error) => match error.errno() {
                    // A signal for this thread tells nothing of the guest, which goes on.
                    libc::EINTR => {}
                    // Nor does a host that has no thread or memory to spare.
                    libc::EAGAIN | libc::ENOMEM => return attempt("run a vCPU", Err(error)),
                    _ => break (None, format!("KVM_RUN: {error}")),
                },
            }
        };
        let sync = vcpu.sync_regs_mut();
        let privilege = (sync.sregs.cs.selector & 3) as u8;
        Ok(probe::Stop { port, rip: sync.regs.rip, privilege, description })
    }
}

/// What a machine begins with, whatever the processor has.
struct Begun {
    vm: VmFd,
    kernel: Arc<Kernel>,
    slots: MemorySlots,
    vcpus_max: usize,
    drops_own_shadow_pages_only: bool,
}

impl Begun {
    /// Makes the VM, with the memory that the platform has promised.
    fn new(kvm: &Kvm, vcpus_wanted: usize, memory: &GuestMemory) -> Result<Self, Error> {
        let vm = attempt("create a virtual machine", create_vm(kvm))?;
        let drops_own_shadow_pages_only = disable_slot_zap_all(&vm);
        let vcpus_max = vcpus_wanted.min(kvm.get_max_vcpus()).min(descriptors_to_spare()).max(1);
        let kernel = Arc::new(Kernel::new(vcpus_max as u64)?);
        kernel.set_user_stubs(true)?;
        set_slot(&vm, KERNEL_SLOT, kernel.memory(), KERNEL_START, kernel.memory().len_bytes())?;
        let mut slots = MemorySlots::default();
        slots.extend(&vm, memory, SLOT_LEN_MIN)?;
        Ok(Self { vm, kernel, slots, vcpus_max, drops_own_shadow_pages_only })
    }

    /// Makes the first vCPU, which knows of no CPUID yet: last, since it would have to be waited for whenever a slot changes. So
    /// the first program's tables come before it.
    fn make_vcpu(&self, chunks: &Chunks) -> Result<VcpuFd, Error> {
        let chunk = chunks.take()?;
        show_chunk(&self.vm, chunks, &chunk)?;
        chunks.make_ready(chunk);
        Ok(create_vcpu(&self.vm, &self.kernel, 0, true)?)
    }
}

/// What the processor has, and where the page tables are in its addresses.
struct Room {
    cpuid: CpuId,
    address_bits: u32,
    chunks: Arc<Chunks>,
}

impl Room {
    fn new(kvm: &Kvm, memory_bytes: u64) -> Result<Self, Error> {
        let cpuid = attempt("ask for the supported CPUID", kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES))?;
        let address_bits = cpuid::physical_address_bits(&cpuid);
        let layout = Layout::new(memory_bytes, address_bits, kvm.get_nr_memslots())?;
        let chunks = Chunks::new(layout.chunks_start, layout.chunk_slot, layout.chunks_max)?;
        let chunks = Arc::new(chunks.for_memory(layout.memory_bytes));
        Ok(Self { cpuid, address_bits, chunks })
    }
}

/// Makes vCPU `index` and its page.
fn create_vcpu(
    vm: &VmFd,
    kernel: &Kernel,
    index: u64,
    may_write_port: bool,
) -> Result<VcpuFd, PlatformError> {
    in_bounds(kernel.add_vcpu(index, may_write_port))?;
    attempt("create a vCPU", vm.create_vcpu(index))
}

impl Grow for Machine {
    fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    fn grow(&self) -> Result<Chunk, PlatformError> {
        self.take_chunk()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.chunks.close();
        if let Some(dispatcher) = &self.dispatcher {
            dispatcher.stop();
        }
    }
}

/// How many descriptors vCPUs may take: half of those that the process may have.
fn descriptors_to_spare() -> usize {
    getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| usize::try_from(limit / 2).unwrap_or(usize::MAX))
}

/// Opens the device.
fn open() -> Result<Kvm, Error> {
    let kvm = Kvm::new().map_err(|error| match error.errno() {
        libc::ENOENT => Error::NoDevice,
        libc::ENODEV | libc::ENXIO => Error::NoDriver,
        libc::EACCES => Error::NoPermission,
        libc::EPERM => Error::NotPermitted,
        _ => Error::OpenDevice(error.into()),
    })?;
    match kvm.get_api_version() {
        API_VERSION => Ok(kvm),
        -1 => Err(Error::NotKvm),
        version => Err(Error::ApiVersion(version)),
    }
}

/// Shows a chunk of tables to the guest of `vm`.
fn show_chunk(vm: &VmFd, chunks: &Chunks, chunk: &Chunk) -> Result<(), PlatformError> {
    set_slot(vm, chunks.slot(chunk), chunks.memory(), chunks.start(chunk), CHUNK_LEN)
}

/// Creates the VM. KVM gives up when a signal arrives meanwhile.
fn create_vm(kvm: &Kvm) -> Result<VmFd, kvm_ioctls::Error> {
    loop {
        match kvm.create_vm() {
            Err(error) if error.errno() == libc::EINTR => {}
            result => return result,
        }
    }
}

/// Refuses hosts that lack what we build on.
fn require(kvm: &Kvm) -> Result<(), Error> {
    let needed = [
        (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
        (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
        (Cap::Xsave2, "KVM_CAP_XSAVE2"),
        (Cap::Xcrs, "KVM_CAP_XCRS"),
    ];
    if let Some((_, name)) = needed.into_iter().find(|(capability, _)| !kvm.check_extension(*capability)) {
        return Err(Error::MissingCapability(name));
    }
    let wanted = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    if kvm.check_extension_int(Cap::SyncRegs) as u32 & wanted != wanted {
        return Err(Error::MissingCapability("KVM_CAP_SYNC_REGS for registers"));
    }
    Ok(())
}

/// Has the deletion of a slot drop that slot's shadow pages only, where the host can do it: tells whether.
fn disable_slot_zap_all(vm: &VmFd) -> bool {
    let offered = vm.check_extension_raw(KVM_CAP_DISABLE_QUIRKS2.into()).max(0) as u64;
    let is_offered = offered & QUIRK_SLOT_ZAP_ALL != 0;
    let capability = kvm_enable_cap {
        cap: KVM_CAP_DISABLE_QUIRKS2,
        args: [QUIRK_SLOT_ZAP_ALL, 0, 0, 0],
        ..Default::default()
    };
    is_offered && vm.enable_cap(&capability).is_ok()
}
