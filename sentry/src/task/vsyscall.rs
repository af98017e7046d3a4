//! The vsyscall page: three old entry points at a fixed address, which a program calls instead of a system call
//! (`man 7 vdso`, "x86-64 functions" tells what became of them).
//!
//! Nothing is mapped there. As on Linux with `vsyscall=xonly`, a call faults and is served, and the page cannot be read.

use syscalls::Sysno;

use super::CurrentTask;
use crate::Errno;
use crate::platform::{Access, PAGE_SIZE, VirtualAddress};

/// Where the page is: `VSYSCALL_ADDR`.
const START: u64 = 0xffff_ffff_ff60_0000;
/// The calls by their order, one at each multiple of this.
const STEP: u64 = 0x400;

/// A call, with the registers that point to its results, and how long these are.
struct OldCall {
    number: Sysno,
    first_bytes: usize,
    second_bytes: usize,
}

const CALLS: [OldCall; 3] = [
    OldCall { number: Sysno::gettimeofday, first_bytes: 16, second_bytes: 8 },
    OldCall { number: Sysno::time, first_bytes: 8, second_bytes: 0 },
    OldCall { number: Sysno::getcpu, first_bytes: 4, second_bytes: 4 },
];

impl CurrentTask {
    /// Has the task, which faulted at `address`, make the system call in whose place it called the page: the registers are then
    /// those of a call whose next instruction is the caller's. False if it did not call the page.
    ///
    /// # Errors
    /// EFAULT: the stack cannot be read, or what is pointed to not be written. EINVAL: no call is there. Both are SIGSEGV, with no
    /// address.
    pub(super) fn enters_vsyscall(&mut self, address: VirtualAddress, access: Access) -> Result<bool, Errno> {
        let offset = address.0.wrapping_sub(START);
        if access != Access::EXECUTE || self.registers.rip != address.0 || offset >= PAGE_SIZE {
            return Ok(false);
        }
        let index = usize::try_from(offset / STEP).ok().filter(|_| offset.is_multiple_of(STEP));
        let call = index.and_then(|index| CALLS.get(index)).ok_or(Errno::EINVAL)?;
        let stack = VirtualAddress(self.registers.rsp);
        let mut caller = [0; 8];
        self.memory.read_bytes(stack, &mut caller)?;
        let pointers = [(self.registers.rdi, call.first_bytes), (self.registers.rsi, call.second_bytes)];
        for (pointer, len_bytes) in pointers.into_iter().filter(|(pointer, _)| *pointer != 0) {
            self.memory.check_writable(VirtualAddress(pointer), len_bytes)?;
        }
        self.registers.rax = call.number as u64;
        self.registers.rip = u64::from_ne_bytes(caller);
        self.registers.rsp = self.registers.rsp.wrapping_add(8);
        Ok(true)
    }
}
