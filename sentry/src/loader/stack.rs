//! The initial stack: arguments, environment and auxiliary vector (System V ABI, AMD64 supplement, 3.4.1).

use linux_raw_sys::auxvec as at;

use super::elf::Placed;
use super::{FileGrants, LoadError, Strings, Surroundings, credentials_after_exec};
use crate::Errno;
use crate::abi::{RSEQ_ALIGNMENT, RSEQ_FEATURE_BYTES};
use crate::memory::{Backing, MapFlags, MapRequest, MemoryManager, Protection};
use crate::pace::Unhurried;
use crate::platform::{PAGE_SIZE, VirtualAddress};

/// Longest argument or environment string, with its NUL (Linux's `MAX_ARG_STRLEN`).
pub const MAX_ARGUMENT_BYTES: usize = 32 * PAGE_SIZE as usize;
/// Most bytes of arguments and environment whatever the stack's limit (three quarters of Linux's `_STK_LIM`).
pub const MAX_STRINGS_BYTES: u64 = 6 << 20;
/// What Linux grants even with a tiny stack limit.
const MIN_STRINGS_BYTES: u64 = 32 * PAGE_SIZE;
/// Top of the stack: a page below the end of the address space.
const STACK_TOP: u64 = VirtualAddress::USER_END.0 - PAGE_SIZE;
/// How much of the stack is there at once; it grows on demand.
const INITIAL_STACK_BYTES: u64 = 132 << 10;
/// What user code is told of the processor by name.
const PLATFORM: &[u8] = b"x86_64\0";
/// Clock ticks per second (`USER_HZ`).
const CLOCK_TICKS: u64 = 100;

/// What the auxiliary vector tells.
pub(super) struct Auxiliary<'a> {
    pub(super) program: &'a Placed,
    pub(super) interpreter_base: u64,
    /// Where the vDSO's ELF header is; 0 for none.
    pub(super) vdso: u64,
    pub(super) has_executable_stack: bool,
}

/// Whether the strings fit: a quarter of the stack's limit, at most [`MAX_STRINGS_BYTES`] (`man 2 execve`, "Limits on size of arguments and environment").
///
/// # Errors
/// E2BIG.
pub(super) fn check_size(
    arguments: &[Vec<u8>],
    environment: &[Vec<u8>],
    stack_limit_bytes: u64,
) -> Result<(), Errno> {
    let strings = || arguments.iter().chain(environment);
    let bytes: u64 = strings().map(|string| string.len() as u64 + 1 + size_of::<u64>() as u64).sum();
    let limit = (stack_limit_bytes / 4).clamp(MIN_STRINGS_BYTES, MAX_STRINGS_BYTES);
    if bytes > limit || strings().any(|string| string.len() >= MAX_ARGUMENT_BYTES) {
        return Err(Errno::E2BIG);
    }
    Ok(())
}

/// Maps the stack and fills it. Returns the stack pointer.
///
/// # Errors
/// ENOMEM.
pub(super) fn build(
    memory: &MemoryManager,
    around: &Surroundings<'_>,
    strings: &Strings,
    grants: FileGrants,
    auxiliary: &Auxiliary<'_>,
) -> Result<u64, LoadError> {
    let mut block = Block::new(STACK_TOP);
    let file_name = block.push_string(&strings.file_name);
    let environment = block.push_strings(&strings.environment);
    let arguments = block.push_strings(&strings.arguments);
    let platform = block.push(PLATFORM);
    let mut random = [0; 16];
    crate::host::fill_random(&mut random);
    let random = block.push(&random);

    let vector = auxiliary_vector(around, grants, auxiliary, [random, file_name, platform]);

    let mut words = vec![arguments.len() as u64];
    words.extend(
        arguments.iter().chain(&[0]).chain(&environment).chain(&[0]).copied().chain(vector.iter().copied()),
    );
    let stack_pointer = block.push_words(&words);

    map_stack(memory, stack_pointer, auxiliary.has_executable_stack)?;
    memory.write_bytes(VirtualAddress(stack_pointer), &block.into_bytes())?;
    memory.set_layout_strings(crate::memory::StringsLayout {
        arguments: string_range(&arguments, &strings.arguments),
        environment: string_range(&environment, &strings.environment),
        stack_start: VirtualAddress(stack_pointer),
        auxiliary_vector: vector,
    });
    Ok(stack_pointer)
}

/// The auxiliary vector, keys and values in turn (`man 3 getauxval`), with the addresses of what lies in the block.
fn auxiliary_vector(
    around: &Surroundings<'_>,
    grants: FileGrants,
    auxiliary: &Auxiliary<'_>,
    [random, file_name, platform]: [u64; 3],
) -> Vec<u64> {
    let (credentials, is_secure) =
        credentials_after_exec(&around.viewer.credentials, grants, around.allows_new_privileges);
    let namespace = &credentials.user_namespace;
    let cpu = around.kernel.cpu_features();
    let vector = [
        (at::AT_SYSINFO_EHDR, auxiliary.vdso),
        (at::AT_HWCAP, cpu.hwcap),
        (at::AT_PAGESZ, PAGE_SIZE),
        (at::AT_CLKTCK, CLOCK_TICKS),
        (at::AT_PHDR, auxiliary.program.headers),
        (at::AT_PHENT, 56),
        (at::AT_PHNUM, auxiliary.program.header_count.into()),
        (at::AT_BASE, auxiliary.interpreter_base),
        (at::AT_FLAGS, 0),
        (at::AT_ENTRY, auxiliary.program.entry),
        (at::AT_UID, namespace.from_kernel_uid(credentials.real_uid).0.into()),
        (at::AT_EUID, namespace.from_kernel_uid(credentials.effective_uid).0.into()),
        (at::AT_GID, namespace.from_kernel_gid(credentials.real_gid).0.into()),
        (at::AT_EGID, namespace.from_kernel_gid(credentials.effective_gid).0.into()),
        (at::AT_SECURE, is_secure.into()),
        (at::AT_RANDOM, random),
        (at::AT_HWCAP2, cpu.hwcap2),
        (at::AT_EXECFN, file_name),
        (at::AT_PLATFORM, platform),
        (at::AT_RSEQ_FEATURE_SIZE, RSEQ_FEATURE_BYTES.into()),
        (at::AT_RSEQ_ALIGN, RSEQ_ALIGNMENT.into()),
        (at::AT_MINSIGSTKSZ, cpu.min_signal_stack_bytes),
        (at::AT_NULL, 0),
    ];
    let entries = vector.into_iter().filter(|(key, value)| *key != at::AT_SYSINFO_EHDR || *value != 0);
    entries.flat_map(|(key, value)| [key.into(), value]).collect()
}

fn map_stack(memory: &MemoryManager, stack_pointer: u64, is_executable: bool) -> Result<(), LoadError> {
    let used = STACK_TOP - stack_pointer;
    let len_bytes = (used + INITIAL_STACK_BYTES).next_multiple_of(PAGE_SIZE);
    let mut protection = Protection::READ | Protection::WRITE;
    protection.set(Protection::EXECUTE, is_executable);
    memory.mmap(
        MapRequest {
            address: VirtualAddress(STACK_TOP - len_bytes),
            len_bytes,
            protection,
            flags: MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::GROWSDOWN,
            backing: Backing::Anonymous,
        },
        &Unhurried,
    )?;
    Ok(())
}

/// First and last-but-one address of strings that lie one after the other, lowest first.
fn string_range(addresses: &[u64], strings: &[Vec<u8>]) -> (VirtualAddress, VirtualAddress) {
    let start = addresses.first().copied().unwrap_or(0);
    let len: u64 = strings.iter().map(|string| string.len() as u64 + 1).sum();
    (VirtualAddress(start), VirtualAddress(start + len))
}

/// The stack's contents, built from its top downwards.
struct Block {
    top: u64,
    /// The bytes in reverse order: the last one lies lowest.
    reversed: Vec<u8>,
}

impl Block {
    fn new(top: u64) -> Self {
        // Linux leaves the topmost word zero.
        Self { top, reversed: vec![0; 8] }
    }

    fn address(&self) -> u64 {
        self.top - self.reversed.len() as u64
    }

    fn push(&mut self, bytes: &[u8]) -> u64 {
        self.reversed.extend(bytes.iter().rev());
        self.address()
    }

    fn push_string(&mut self, string: &[u8]) -> u64 {
        self.reversed.push(0);
        self.push(string)
    }

    /// Pushes strings so that the first one lies lowest; returns their addresses in order.
    fn push_strings(&mut self, strings: &[Vec<u8>]) -> Vec<u64> {
        let mut addresses: Vec<u64> = strings.iter().rev().map(|string| self.push_string(string)).collect();
        addresses.reverse();
        addresses
    }

    /// Pushes words so that the first one lies lowest, at an address that is a multiple of 16.
    fn push_words(&mut self, words: &[u64]) -> u64 {
        let len_bytes = words.len() as u64 * 8;
        while !(self.address() - len_bytes).is_multiple_of(16) {
            self.reversed.push(0);
        }
        for word in words.iter().rev() {
            self.push(&word.to_le_bytes());
        }
        self.address()
    }

    fn into_bytes(mut self) -> Vec<u8> {
        self.reversed.reverse();
        self.reversed
    }
}

#[cfg(test)]
mod tests;
