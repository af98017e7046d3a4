//! An init for programs that are none: it waits for what is orphaned, and passes signals on to the one program that it runs.
//!
//! It is an executable of a few hundred bytes, in a file system of its own. The program is its child, in a process group of its own
//! and in the terminal's foreground, so that it has the actions of signals that it would have outside (`man 7 pid_namespaces`: what
//! is the first process gets no signal that it does not handle). With the child, the init ends, and with the same status.

use std::arch::global_asm;
use std::slice;

use super::root::Builder;
use crate::Errno;
use crate::fs::tmpfs::{self, MemoryResources, TmpfsOptions};
use crate::fs::{MountFlags, Settings};

/// Where it is mounted.
const DIRECTORY: &str = "/dev/.init";
pub(super) const PATH: &str = "/dev/.init/init";
/// Where its first byte is in memory.
const ADDRESS: u64 = 0x40_0000;
/// The length of an ELF header and of one program header (`man 5 elf`).
const HEADER_LEN: u64 = 64;
const PROGRAM_HEADER_LEN: u64 = 56;

// Arguments: its own name, the program's path, and the program's arguments. Registers that outlive system calls: r13 points to the
// path, r14 to the environment; ebp is the child. On the stack: 0 the mask it was born with, 8 all signals, 16 a siginfo_t, 144 a number.
global_asm!(
    ".pushsection .rodata.palisade_init, \"a\", @progbits",
    "palisade_init_start:",
    "mov r12, [rsp]",
    "lea r13, [rsp + 16]",
    "lea r14, [rsp + r12 * 8 + 16]",
    "sub rsp, 256",
    "and rsp, -16",
    // rt_sigprocmask(SIG_SETMASK, all, mask)
    "mov qword ptr [rsp + 8], -1",
    "mov edi, 2",
    "lea rsi, [rsp + 8]",
    "mov rdx, rsp",
    "mov r10d, 8",
    "mov eax, 14",
    "syscall",
    // fork()
    "mov eax, 57",
    "syscall",
    "mov edi, 126",
    "test eax, eax",
    "js .Lpalisade_init_exit",
    "jz .Lpalisade_init_child",
    "mov ebp, eax",
    // rt_sigtimedwait(all, info, NULL)
    ".Lpalisade_init_wait:",
    "lea rdi, [rsp + 8]",
    "lea rsi, [rsp + 16]",
    "xor edx, edx",
    "mov r10d, 8",
    "mov eax, 128",
    "syscall",
    "test eax, eax",
    "js .Lpalisade_init_wait",
    "cmp eax, 17",
    "je .Lpalisade_init_reap",
    // kill(child, signal)
    "mov esi, eax",
    "mov edi, ebp",
    "mov eax, 62",
    "syscall",
    "jmp .Lpalisade_init_wait",
    // wait4(-1, status, WNOHANG, NULL)
    ".Lpalisade_init_reap:",
    "mov rdi, -1",
    "lea rsi, [rsp + 144]",
    "mov edx, 1",
    "xor r10d, r10d",
    "mov eax, 61",
    "syscall",
    "test eax, eax",
    "jle .Lpalisade_init_wait",
    "cmp eax, ebp",
    "jne .Lpalisade_init_reap",
    // The child's status, as a shell has it.
    "mov eax, [rsp + 144]",
    "movzx edi, ah",
    "and eax, 127",
    "jz .Lpalisade_init_exit",
    "lea edi, [rax + 128]",
    // exit_group(status)
    ".Lpalisade_init_exit:",
    "mov eax, 231",
    "syscall",
    // setpgid(0, 0)
    ".Lpalisade_init_child:",
    "xor edi, edi",
    "xor esi, esi",
    "mov eax, 109",
    "syscall",
    // getpid(); ioctl(0, TIOCSPGRP, pid): where there is no terminal, nothing comes of it.
    "mov eax, 39",
    "syscall",
    "mov [rsp + 144], eax",
    "xor edi, edi",
    "mov esi, 0x5410",
    "lea rdx, [rsp + 144]",
    "mov eax, 16",
    "syscall",
    // rt_sigprocmask(SIG_SETMASK, mask, NULL)
    "mov edi, 2",
    "mov rsi, rsp",
    "xor edx, edx",
    "mov r10d, 8",
    "mov eax, 14",
    "syscall",
    // execve(path, arguments, environment)
    "mov rdi, [r13]",
    "lea rsi, [r13 + 8]",
    "mov rdx, r14",
    "mov eax, 59",
    "syscall",
    "mov edi, 126",
    "cmp eax, -2",
    "jne .Lpalisade_init_exit",
    "mov edi, 127",
    "jmp .Lpalisade_init_exit",
    "palisade_init_end:",
    ".popsection",
);

unsafe extern "C" {
    #[link_name = "palisade_init_start"]
    static START: u8;
    #[link_name = "palisade_init_end"]
    static END: u8;
}

fn code() -> &'static [u8] {
    let (start, end) = (&raw const START, &raw const END);
    // SAFETY: both are labels of one section, in this order, and what lies between them never changes.
    unsafe { slice::from_raw_parts(start, end.addr() - start.addr()) }
}

/// The executable: a header, one segment that is all of the file, and the code.
fn executable() -> Vec<u8> {
    let entry = HEADER_LEN + PROGRAM_HEADER_LEN;
    let len = entry + code().len() as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // ET_EXEC, EM_X86_64, version 1.
    file.extend([2_u16, 62].map(u16::to_le_bytes).as_flattened());
    file.extend(1_u32.to_le_bytes());
    // Entry, program headers, no section headers.
    file.extend([ADDRESS + entry, HEADER_LEN, 0].map(u64::to_le_bytes).as_flattened());
    file.extend(0_u32.to_le_bytes());
    let sizes = [HEADER_LEN as u16, PROGRAM_HEADER_LEN as u16, 1, 0, 0, 0];
    file.extend(sizes.map(u16::to_le_bytes).as_flattened());
    // PT_LOAD, to be read and executed.
    file.extend([1_u32, 5].map(u32::to_le_bytes).as_flattened());
    file.extend([0, ADDRESS, ADDRESS, len, len, 4096].map(u64::to_le_bytes).as_flattened());
    file.extend(code());
    file
}

/// Puts it where [`PATH`] says, for nobody to change.
///
/// # Errors
/// There is no room, or something is in the way.
pub(super) fn install(resources: &MemoryResources, builder: &Builder) -> Result<(), Errno> {
    let options = TmpfsOptions { permissions: 0o755, ..TmpfsOptions::default() };
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let mount = tmpfs::new_mount(resources, &options, "init", flags)?;
    builder.mount(DIRECTORY, &mount)?;
    builder.write_program(PATH, &executable())?;
    let settings = Settings { set: MountFlags::RDONLY, ..Settings::default() };
    builder.namespace().change_settings(&builder.directories(DIRECTORY)?, settings, false)
}

#[cfg(test)]
mod tests;
