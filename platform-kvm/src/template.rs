//! What every vCPU is made with, and what the probe adds to it.
//!
//! Four-level long mode in ring 3 with the flat segments of Linux. Only those bits of CR4 are set that user code
//! needs: some hosts refuse others although their CPUID offers them.

use kvm_bindings::{CpuId, Msrs, kvm_msr_entry, kvm_segment, kvm_xcr, kvm_xcrs};
use kvm_ioctls::VcpuFd;
use sentry::platform::{PlatformError, Registers};

use crate::cpuid::has_rdtscp;
use crate::ioctl::{attempt, set_tsc_offset_zero};
use crate::kernel::{GDT_LIMIT, KERNEL_CS, Kernel, SUPERVISOR_STUB, TSS_LIMIT, TSS_SELECTOR, USER_STUB};
use crate::layout::{VECTORS, kernel_physical, kernel_virtual, page};
use crate::probe::{Choice, SyscallEntry};

/// What SYSCALL clears: TF, IF, DF, IOPL, NT, RF, AC (Linux clears the same).
const SYSCALL_FLAG_MASK: u64 = 0x5_7700;

/// PE, MP, ET, NE, WP, AM, PG (SDM 3A 2.5).
const CR0: u64 = 0x8005_0033;
/// PAE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE.
const CR4: u64 = 1 << 5 | 1 << 9 | 1 << 10 | 1 << 16 | 1 << 18;
/// SMEP, SMAP.
const CR4_SUPERVISOR_PROTECTION: u64 = 1 << 20 | 1 << 21;
/// SCE, LME, LMA, NXE.
const EFER: u64 = 1 | 1 << 8 | 1 << 10 | 1 << 11;

/// MSRs (SDM 4).
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_SFMASK: u32 = 0xc000_0084;
const MSR_TSC_AUX: u32 = 0xc000_0103;
/// What RDTSCP tells user code, unless the host lets it read the processor's own register: the number of no CPU. The
/// host moves vCPUs from one CPU to another and tells nobody, so that a number would soon be wrong.
const NO_CPU: u64 = 0xfff;
/// SYSCALL's ring-0 selectors, and those of SYSRET: code at +16, stack at +8 (SDM 2B, SYSRET).
const STAR: u64 = 0x23 << 48 | (KERNEL_CS as u64) << 32;

/// Guest-physical address of the PML4 that maps the kernel's pages only.
pub(crate) const PROBE_ROOT: u64 = kernel_physical(page::PML4);

/// What a vCPU is made with.
pub(crate) struct Template {
    cpuid: CpuId,
    xcr0: u64,
    entry: Option<SyscallEntry>,
    must_set_tsc: bool,
    cr4: u64,
}

impl Template {
    /// For the first vCPU, which finds the rest out.
    pub(crate) fn for_probe(cpuid: CpuId, xcr0: u64) -> Self {
        Self { cpuid, xcr0, entry: None, must_set_tsc: false, cr4: CR4 }
    }

    /// Takes what the probe found.
    pub(crate) fn choose(&mut self, choice: Choice, has_supervisor_protection: bool) {
        self.entry = Some(choice.entry);
        self.must_set_tsc = choice.must_set_tsc;
        if choice.entry == SyscallEntry::Ring0 && has_supervisor_protection {
            self.cr4 |= CR4_SUPERVISOR_PROTECTION;
        }
    }

    /// Whether ring 3 runs the stub, and so must reach its port.
    pub(crate) fn may_write_port(&self) -> bool {
        self.entry != Some(SyscallEntry::Ring0)
    }

    /// Whether ring 0 is emulated: then IRETQ costs more than setting the system registers, and reading those
    /// costs nothing that can be measured.
    pub(crate) fn has_emulated_ring_0(&self) -> bool {
        self.entry == Some(SyscallEntry::Ring3)
    }

    /// Where SYSCALL goes.
    pub(crate) fn syscall_stub(&self) -> u64 {
        if self.may_write_port() { USER_STUB } else { SUPERVISOR_STUB }
    }

    /// Prepares a new vCPU.
    pub(crate) fn init(&self, vcpu: &mut VcpuFd, kernel: &Kernel, index: u64) -> Result<(), PlatformError> {
        attempt("set a vCPU's CPUID", vcpu.set_cpuid2(&self.cpuid))?;
        let mut sregs = attempt("read a vCPU's registers", vcpu.get_sregs())?;
        let code = segment(Registers::USER_CS, 11, true);
        let data = segment(Registers::USER_SS, 3, false);
        (sregs.cs, sregs.ss) = (code, data);
        (sregs.ds, sregs.es, sregs.fs, sregs.gs) = (data, data, data, data);
        sregs.tr = kvm_segment {
            base: kernel.tss_base(index),
            limit: TSS_LIMIT,
            selector: TSS_SELECTOR,
            type_: 11,
            present: 1,
            ..Default::default()
        };
        // The reset state has a table of 64 KiB at linear address 0, which user code could fill with gates (SDM 3A 9.1.1).
        sregs.ldt = kvm_segment { type_: 2, unusable: 1, ..kvm_segment::default() };
        (sregs.gdt.base, sregs.gdt.limit) = (kernel.gdt_base(index), GDT_LIMIT);
        (sregs.idt.base, sregs.idt.limit) = (kernel_virtual(page::IDT), VECTORS * 16 - 1);
        (sregs.cr0, sregs.cr4, sregs.efer) = (CR0, self.cr4, EFER);
        sregs.cr3 = PROBE_ROOT;
        // Not every host's CPUID tells what it takes: trying does.
        let what = "set a vCPU's registers, for which the processor must have long mode, NX, XSAVE and FSGSBASE, and a \
                    virtual machine be shown them (as by QEMU's `-cpu host`)";
        attempt(what, vcpu.set_sregs(&sregs))?;
        let xcrs = kvm_xcrs {
            nr_xcrs: 1,
            xcrs: {
                let mut xcrs = [kvm_xcr::default(); 16];
                xcrs[0].value = self.xcr0;
                xcrs
            },
            ..Default::default()
        };
        attempt("set a vCPU's XCR0", vcpu.set_xcrs(&xcrs))?;
        vcpu.sync_regs_mut().sregs = sregs;
        self.apply(vcpu)
    }

    /// Sets what depends on the probe.
    pub(crate) fn apply(&self, vcpu: &mut VcpuFd) -> Result<(), PlatformError> {
        let msr = |index, data| kvm_msr_entry { index, data, ..Default::default() };
        let mut entries = vec![
            msr(MSR_STAR, STAR),
            msr(MSR_LSTAR, self.syscall_stub()),
            msr(MSR_SFMASK, SYSCALL_FLAG_MASK),
        ];
        if has_rdtscp(&self.cpuid) {
            entries.push(msr(MSR_TSC_AUX, NO_CPU));
        }
        let refused = |reason: String| PlatformError::Unexpected {
            attempt: "set a vCPU's system call registers",
            reason,
        };
        let msrs = Msrs::from_entries(&entries).map_err(|error| refused(format!("{error:?}")))?;
        let count = attempt("set a vCPU's system call registers", vcpu.set_msrs(&msrs))?;
        if count != entries.len() {
            return Err(refused(format!("only {count} were accepted")));
        }
        if self.must_set_tsc {
            // User code tells the time by it: with another counter, wrongly.
            set_tsc_offset_zero(vcpu)?;
        }
        // For whoever loads the system registers next.
        vcpu.sync_regs_mut().sregs.cr4 = self.cr4;
        Ok(())
    }
}

/// A flat segment of ring 3.
pub(crate) const fn segment(selector: u16, type_: u8, is_code: bool) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        dpl: 3,
        db: !is_code as u8,
        s: 1,
        l: is_code as u8,
        g: 1,
        avl: 0,
        unusable: 0,
        padding: 0,
    }
}
