//! The guest's own few pages.
//!
//! There is no guest kernel: only what the processor demands for leaving ring 3 (SDM 3A 3.4, 6.14, 7.7).
//! The IDT's gates lead to stubs that write a port, so that KVM_RUN ends with the frame still on the vCPU's
//! stack, where the host reads and edits it. One page a vCPU holds its GDT, TSS and that stack.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use sentry::platform::{GuestAddress, GuestMemory, GuestMemoryError, PAGE_SIZE, Registers};

use crate::exitless::code::GateCode;
use crate::layout::{
    EXCEPTION_PORT, KERNEL_PML4_INDEX, KERNEL_START, SYSCALL_PORT, VECTORS, entry, kernel_physical,
    kernel_virtual, page,
};

/// Selector of ring-0 code.
pub(crate) const KERNEL_CS: u16 = 0x10;
const KERNEL_SS: u16 = 0x18;
/// Selector of the TSS.
pub(crate) const TSS_SELECTOR: u16 = 0x38;

/// Offset of the TSS in a vCPU's page; the GDT is at 0.
const TSS_OFFSET: u64 = 0x100;
/// Limit of the GDT: nine descriptors of 8 bytes.
pub(crate) const GDT_LIMIT: u16 = 9 * 8 - 1;
/// Offset of the I/O permission bitmap in the TSS (SDM 1 19.5.2).
const IO_BITMAP_OFFSET: u64 = 0x68;
/// Bytes of the bitmap: the ports that our stubs use, and one byte of ones past the end.
const IO_BITMAP_LEN: u64 = 0x21;
/// Limit of the TSS.
pub(crate) const TSS_LIMIT: u32 = (IO_BITMAP_OFFSET + IO_BITMAP_LEN - 1) as u32;

/// Offsets in the page of stubs.
const SYSCALL_STUB: u64 = 0;
const SYSRET: u64 = 2;
const IRET: u64 = 0x10;
const PROBE: u64 = 0x20;
const EXCEPTION_STUBS: u64 = 0x100;
const EXCEPTION_STUB_LEN: u64 = 16;

/// The stub that SYSCALL enters, where only ring 0 may run it.
pub(crate) const SUPERVISOR_STUB: u64 = kernel_virtual(page::STUBS) + SYSCALL_STUB;
/// The stub that SYSCALL enters, where ring 3 may run it.
pub(crate) const USER_STUB: u64 = kernel_virtual(page::USER_STUBS) + SYSCALL_STUB;
/// An SYSRETQ: the way back to user code with RIP in RCX and RFLAGS in R11.
pub(crate) const SYSRET_STUB: u64 = kernel_virtual(page::STUBS) + SYSRET;
/// An IRETQ: the way back to user code through a frame.
pub(crate) const IRET_STUB: u64 = kernel_virtual(page::STUBS) + IRET;
/// What the probe runs in ring 3: reads the TSC into RAX, then SYSCALL, then UD2.
pub(crate) const PROBE_CODE: u64 = kernel_virtual(page::USER_STUBS) + PROBE;
/// The probe's UD2.
pub(crate) const PROBE_UD2: u64 = PROBE_CODE + 11;

/// Bytes of the syscall stub's `out`: RIP at the exit is at its start or at its end, by host.
pub(crate) const OUT_LEN: u64 = 2;

/// What an exception leaves on the stack of ring 0 (SDM 3A 6.14.2), with the error code below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) error_code: u64,
    pub(crate) rip: u64,
    pub(crate) cs: u64,
    pub(crate) rflags: u64,
    pub(crate) rsp: u64,
    pub(crate) ss: u64,
}

/// Bytes of a [`Frame`].
const FRAME_LEN: u64 = 48;

/// The kernel's pages.
#[derive(Debug)]
pub(crate) struct Kernel {
    memory: GuestMemory,
    /// Index of the first vCPU's page.
    first_vcpu_page: u64,
    /// Index of the first vCPU's call page.
    first_call_page: u64,
    gate: GateCode,
}

impl Kernel {
    /// Builds the pages for `max_vcpus` vCPUs.
    pub(crate) fn new(max_vcpus: u64) -> Result<Self, GuestMemoryError> {
        // A table maps 512 pages: those before the tables, the tables, and the vCPUs' pages.
        let tables = (page::TABLES + max_vcpus).div_ceil(511);
        let first_vcpu_page = page::TABLES + tables;
        let first_call_page = first_vcpu_page + max_vcpus;
        let len_bytes = ((first_call_page + max_vcpus) * PAGE_SIZE).next_multiple_of(2 << 20);
        let memory = GuestMemory::new(KERNEL_START, len_bytes)?;
        let kernel = Self { memory, first_vcpu_page, first_call_page, gate: GateCode::assemble() };
        kernel.write(page::GATE * PAGE_SIZE, &kernel.gate.bytes)?;
        kernel.write_tables(tables)?;
        kernel.write_stubs()?;
        kernel.write_idt()?;
        Ok(kernel)
    }

    /// The memory, to be shown to the guest.
    pub(crate) fn memory(&self) -> &GuestMemory {
        &self.memory
    }

    /// The PML4 entry that every address space needs at [`KERNEL_PML4_INDEX`].
    pub(crate) const fn pml4_entry() -> u64 {
        kernel_physical(page::PDPT) | entry::TABLE
    }

    /// The same for the first entry of the table below, which the PML4's may lead to instead.
    pub(crate) const fn directory_entry() -> u64 {
        kernel_physical(page::DIRECTORY) | entry::TABLE
    }

    /// The code of the gate (see `exitless`).
    pub(crate) fn gate(&self) -> &GateCode {
        &self.gate
    }

    /// The guest-physical address of the gate's code.
    pub(crate) const fn gate_page() -> u64 {
        kernel_physical(page::GATE)
    }

    /// The guest-physical address of a vCPU's call page.
    pub(crate) fn call_page(&self, index: u64) -> GuestAddress {
        GuestAddress(kernel_physical(self.first_call_page + index))
    }

    /// The guest-physical range of the stubs.
    pub(crate) const fn stubs() -> Range<u64> {
        kernel_physical(page::STUBS)..kernel_physical(page::STUBS + 1)
    }

    /// Makes the stubs reachable for ring 3, or no longer; in the latter case a shadow MMU must forget what it knows of
    /// [`Self::stubs`].
    pub(crate) fn set_user_stubs(&self, is_reachable: bool) -> Result<(), GuestMemoryError> {
        let value =
            kernel_physical(page::STUBS) | entry::PRESENT | entry::USER | entry::ACCESSED | entry::DIRTY;
        self.map(page::USER_STUBS, if is_reachable { value } else { 0 })
    }

    /// Fills and maps the page of vCPU `index`. If `may_write_port`, ring 3 may write [`SYSCALL_PORT`].
    pub(crate) fn add_vcpu(&self, index: u64, may_write_port: bool) -> Result<(), GuestMemoryError> {
        let vcpu_page = self.first_vcpu_page + index;
        let tss = self.tss_base(index);
        let offset = vcpu_page * PAGE_SIZE;
        self.write(offset + u64::from(KERNEL_CS), &0x00af_9b00_0000_ffff_u64.to_le_bytes())?;
        self.write(offset + u64::from(KERNEL_SS), &0x00cf_9300_0000_ffff_u64.to_le_bytes())?;
        self.write(offset + u64::from(Registers::USER_SS & !3), &0x00cf_f300_0000_ffff_u64.to_le_bytes())?;
        self.write(offset + u64::from(Registers::USER_CS & !3), &0x00af_fb00_0000_ffff_u64.to_le_bytes())?;
        let descriptor = u64::from(TSS_LIMIT)
            | (tss & 0xff_ffff) << 16
            | 0x89 << 40 // present, available 64-bit TSS
            | (tss >> 24 & 0xff) << 56;
        self.write(offset + u64::from(TSS_SELECTOR), &descriptor.to_le_bytes())?;
        self.write(offset + u64::from(TSS_SELECTOR) + 8, &(tss >> 32).to_le_bytes())?;

        let tss_offset = offset + TSS_OFFSET;
        let stack_top = kernel_virtual(vcpu_page + 1);
        self.write(tss_offset + 4, &stack_top.to_le_bytes())?; // RSP0
        self.write(tss_offset + 0x66, &(IO_BITMAP_OFFSET as u16).to_le_bytes())?;
        let mut bitmap = [0xff_u8; IO_BITMAP_LEN as usize];
        if may_write_port {
            bitmap[usize::from(SYSCALL_PORT / 8)] &= !(1 << (SYSCALL_PORT % 8));
        }
        self.write(tss_offset + IO_BITMAP_OFFSET, &bitmap)?;
        self.map(vcpu_page, kernel_physical(vcpu_page) | supervisor() | entry::WRITABLE | entry::NO_EXECUTE)
    }

    /// Guest-virtual base of a vCPU's GDT.
    pub(crate) fn gdt_base(&self, index: u64) -> u64 {
        kernel_virtual(self.first_vcpu_page + index)
    }

    /// Guest-virtual base of a vCPU's TSS.
    pub(crate) fn tss_base(&self, index: u64) -> u64 {
        self.gdt_base(index) + TSS_OFFSET
    }

    /// Guest-virtual address of the frame that an exception leaves on a vCPU's stack.
    pub(crate) fn frame_address(&self, index: u64) -> u64 {
        self.gdt_base(index) + PAGE_SIZE - FRAME_LEN
    }

    /// Reads the frame that an exception left on a vCPU's stack.
    pub(crate) fn frame(&self, index: u64) -> Result<Frame, GuestMemoryError> {
        let mut words = [0; 6];
        for (word, value) in words.iter_mut().enumerate() {
            *value = self.frame_word(index, word as u64)?.load(Ordering::Relaxed);
        }
        let [error_code, rip, cs, rflags, rsp, ss] = words;
        Ok(Frame { error_code, rip, cs, rflags, rsp, ss })
    }

    /// Writes the frame with which [`IRET_STUB`] enters user code.
    pub(crate) fn set_frame(&self, index: u64, frame: Frame) -> Result<(), GuestMemoryError> {
        let Frame { error_code, rip, cs, rflags, rsp, ss } = frame;
        for (word, value) in [error_code, rip, cs, rflags, rsp, ss].into_iter().enumerate() {
            self.frame_word(index, word as u64)?.store(value, Ordering::Relaxed);
        }
        Ok(())
    }

    fn frame_word(&self, index: u64, word: u64) -> Result<&AtomicU64, GuestMemoryError> {
        let offset = self.frame_address(index) - kernel_virtual(0) + word * 8;
        self.word(offset)
    }

    /// The tables of the kernel's part of every address space, and a PML4 with nothing else.
    fn write_tables(&self, tables: u64) -> Result<(), GuestMemoryError> {
        let put = |table: u64, index: u64, target: u64| {
            let word = self.word(table * PAGE_SIZE + index * 8)?;
            word.store(kernel_physical(target) | entry::TABLE, Ordering::Relaxed);
            Ok::<(), GuestMemoryError>(())
        };
        put(page::PML4, KERNEL_PML4_INDEX, page::PDPT)?;
        put(page::PDPT, 0, page::DIRECTORY)?;
        for table in 0..tables {
            put(page::DIRECTORY, table, page::TABLES + table)?;
        }
        self.map(page::IDT, kernel_physical(page::IDT) | supervisor() | entry::NO_EXECUTE)?;
        self.map(page::STUBS, kernel_physical(page::STUBS) | supervisor())
    }

    fn write_stubs(&self) -> Result<(), GuestMemoryError> {
        let stubs = page::STUBS * PAGE_SIZE;
        let out = [0xe6, SYSCALL_PORT as u8]; // out %al, $port
        self.write(stubs + SYSCALL_STUB, &out)?;
        self.write(stubs + SYSRET, &[0x48, 0x0f, 0x07])?; // sysretq
        self.write(stubs + IRET, &[0x48, 0xcf])?; // iretq
        // rdtsc; shl $32, %rdx; or %rdx, %rax; syscall; ud2
        let probe = [0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x0f, 0x05, 0x0f, 0x0b];
        self.write(stubs + PROBE, &probe)?;
        for vector in 0..VECTORS {
            let mut code = Vec::with_capacity(EXCEPTION_STUB_LEN as usize);
            if !pushes_error_code(vector) {
                code.extend([0x6a, 0]); // push $0
            }
            code.extend([0xe6, (EXCEPTION_PORT + vector) as u8]); // out %al, $port
            code.extend([0x48, 0x83, 0xc4, 8]); // add $8, %rsp
            code.extend([0x48, 0xcf]); // iretq
            self.write(stubs + EXCEPTION_STUBS + u64::from(vector) * EXCEPTION_STUB_LEN, &code)?;
        }
        Ok(())
    }

    fn write_idt(&self) -> Result<(), GuestMemoryError> {
        for vector in 0..VECTORS {
            let stub = kernel_virtual(page::STUBS) + EXCEPTION_STUBS + u64::from(vector) * EXCEPTION_STUB_LEN;
            // Ring 3 may call only the gates of INT3 and INTO: one with an error code would lack it.
            let privilege = if matches!(vector, 3 | 4) { 3 } else { 0 };
            let low = (stub & 0xffff)
                | u64::from(KERNEL_CS) << 16
                | 0x8e << 40 // present, 64-bit interrupt gate
                | privilege << 45
                | (stub >> 16 & 0xffff) << 48;
            let gate = page::IDT * PAGE_SIZE + u64::from(vector) * 16;
            self.write(gate, &low.to_le_bytes())?;
            self.write(gate + 8, &(stub >> 32).to_le_bytes())?;
        }
        Ok(())
    }

    /// Sets the lowest-level entry of a page of the kernel.
    fn map(&self, kernel_page: u64, value: u64) -> Result<(), GuestMemoryError> {
        let table = page::TABLES + kernel_page / 512;
        self.word(table * PAGE_SIZE + kernel_page % 512 * 8)?.store(value, Ordering::Relaxed);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), GuestMemoryError> {
        self.memory.slice(GuestAddress(KERNEL_START.0 + offset), bytes.len())?.copy_from(bytes);
        Ok(())
    }

    fn word(&self, offset: u64) -> Result<&AtomicU64, GuestMemoryError> {
        self.memory.atomic(GuestAddress(KERNEL_START.0 + offset))
    }
}

/// Bits of a page that only ring 0 may touch.
const fn supervisor() -> u64 {
    entry::PRESENT | entry::ACCESSED | entry::DIRTY
}

/// Whether the processor pushes an error code for a vector (SDM 3A 6.15).
const fn pushes_error_code(vector: u16) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

#[cfg(test)]
mod tests;
