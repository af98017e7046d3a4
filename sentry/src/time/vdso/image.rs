//! The code page: an ELF shared object, `linux-vdso.so.1`, put together from the functions below.
//!
//! The functions are position-independent, call nothing and reach their data relative to themselves: the data
//! page lies right before the ELF header.

use std::arch::global_asm;

/// Length of the image: one page.
pub const CODE_BYTES: usize = 4096;
/// Where the functions lie in the image; the assembly has the same number.
const TEXT_OFFSET: usize = 0x800;

// The layout of the data page is that of `vvar.rs`. System calls: 228 clock_gettime, 96 gettimeofday, 201
// time, 309 getcpu, 229 clock_getres.
//
// `read_clock`: r10 = a clock's place in the table; returns nanoseconds in rax and CF clear, or CF set if a
// system call must tell. It leaves rdi and rsi alone.
global_asm!(
    ".pushsection .rodata.palisade_vdso, \"a\"",
    ".balign 16",
    "palisade_vdso_start:",
    "palisade_vdso_clock_gettime:",
    "    cmp edi, 11",
    "    ja 2f",
    "    mov r10d, edi",
    "    call palisade_vdso_read_clock",
    "    jc 2f",
    "    mov ecx, 1000000000",
    "    xor edx, edx",
    "    div rcx",
    "    mov [rsi], rax",
    "    mov [rsi + 8], rdx",
    "    xor eax, eax",
    "    ret",
    "2:  mov eax, 228",
    "    syscall",
    "    ret",
    ".balign 16",
    "palisade_vdso_gettimeofday:",
    "    xor r10d, r10d",
    "    call palisade_vdso_read_clock",
    "    jc 2f",
    "    test rdi, rdi",
    "    jz 3f",
    "    mov ecx, 1000000000",
    "    xor edx, edx",
    "    div rcx",
    "    mov [rdi], rax",
    "    mov eax, edx",
    "    mov ecx, 1000",
    "    xor edx, edx",
    "    div ecx",
    "    mov [rdi + 8], rax",
    "3:  test rsi, rsi",
    "    jz 4f",
    "    mov qword ptr [rsi], 0",
    "4:  xor eax, eax",
    "    ret",
    "2:  mov eax, 96",
    "    syscall",
    "    ret",
    ".balign 16",
    "palisade_vdso_time:",
    "    xor r10d, r10d",
    "    call palisade_vdso_read_clock",
    "    jc 2f",
    "    mov ecx, 1000000000",
    "    xor edx, edx",
    "    div rcx",
    "    test rdi, rdi",
    "    jz 3f",
    "    mov [rdi], rax",
    "3:  ret",
    "2:  mov eax, 201",
    "    syscall",
    "    ret",
    ".balign 16",
    // RDTSCP tells what the host's kernel or the machine has put there: the node above 12 bits of CPU number.
    // What is no CPU of ours is not believed. There is one node.
    "palisade_vdso_getcpu:",
    "    lea r8, [rip + palisade_vdso_start - 0x1800]",
    "    mov r9d, [r8 + 4]",
    "    test r9d, r9d",
    "    jz 2f",
    "    rdtscp",
    "    and ecx, 0xfff",
    "    cmp ecx, r9d",
    "    jae 2f",
    "    test rdi, rdi",
    "    jz 3f",
    "    mov [rdi], ecx",
    "3:  test rsi, rsi",
    "    jz 4f",
    "    mov dword ptr [rsi], 0",
    "4:  xor eax, eax",
    "    ret",
    "2:  xor edx, edx",
    "    mov eax, 309",
    "    syscall",
    "    ret",
    ".balign 16",
    "palisade_vdso_clock_getres:",
    "    mov eax, 229",
    "    syscall",
    "    ret",
    ".balign 16",
    "palisade_vdso_read_clock:",
    "    lea r8, [rip + palisade_vdso_start - 0x1800]",
    "    shl r10d, 4",
    "    lea r10, [r8 + r10 + 32]",
    "2:  mov r9d, [r8]",
    "    test r9d, 1",
    "    jnz 4f",
    "    mov r11, [r10 + 8]",
    "    test r11, r11",
    "    jz 5f",
    "    lfence",
    "    rdtsc",
    "    shl rdx, 32",
    "    or rax, rdx",
    "    sub rax, [r8 + 8]",
    "    cmp rax, [r8 + 16]",
    "    ja 3f",
    "    mul r11",
    "    shrd rax, rdx, 32",
    "    add rax, [r10]",
    "    cmp r9d, [r8]",
    "    jne 2b",
    "    clc",
    "    ret",
    // Out of the lines' validity, unless they were changing just now.
    "3:  cmp r9d, [r8]",
    "    jne 2b",
    "5:  stc",
    "    ret",
    "4:  pause",
    "    jmp 2b",
    "palisade_vdso_end:",
    ".popsection",
);

unsafe extern "C" {
    static palisade_vdso_start: u8;
    static palisade_vdso_clock_gettime: u8;
    static palisade_vdso_gettimeofday: u8;
    static palisade_vdso_time: u8;
    static palisade_vdso_getcpu: u8;
    static palisade_vdso_clock_getres: u8;
    static palisade_vdso_end: u8;
}

/// The functions as bytes, and where in them each exported one starts.
fn text() -> (&'static [u8], [(&'static str, usize); 5]) {
    let start = &raw const palisade_vdso_start;
    let offset = |label: *const u8| label as usize - start as usize;
    let len_bytes = offset(&raw const palisade_vdso_end);
    // SAFETY: the assembly above defines this many constant bytes from `start` on.
    let bytes = unsafe { std::slice::from_raw_parts(start, len_bytes) };
    let functions = [
        ("__vdso_clock_gettime", offset(&raw const palisade_vdso_clock_gettime)),
        ("__vdso_gettimeofday", offset(&raw const palisade_vdso_gettimeofday)),
        ("__vdso_time", offset(&raw const palisade_vdso_time)),
        ("__vdso_getcpu", offset(&raw const palisade_vdso_getcpu)),
        ("__vdso_clock_getres", offset(&raw const palisade_vdso_clock_getres)),
    ];
    (bytes, functions)
}

const SONAME: &str = "linux-vdso.so.1";
const VERSION: &str = "LINUX_2.6";

// ELF constants (System V ABI, chapters 4 and 5).
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const READ_EXECUTE: u32 = 5;
const READ: u32 = 4;
const GLOBAL_FUNCTION: u8 = 1 << 4 | 2;
const DT_NULL: u64 = 0;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
const DT_SYMENT: u64 = 11;
const DT_SONAME: u64 = 14;
const DT_VERSYM: u64 = 0x6fff_fff0;
const DT_VERDEF: u64 = 0x6fff_fffc;
const DT_VERDEFNUM: u64 = 0x6fff_fffd;
const VER_FLG_BASE: u16 = 1;
const EHDR_BYTES: usize = 64;
const PHDR_BYTES: usize = 56;
const SYM_BYTES: u64 = 24;
const DYN_BYTES: usize = 16;

/// The image, one page.
pub fn vdso_image() -> Vec<u8> {
    let (text, functions) = text();
    let mut image = Image::new(2);
    let soname = image.string(SONAME);
    let version = image.string(VERSION);
    let names: Vec<u32> = functions.iter().map(|(name, _)| image.string(name)).collect();
    let names_and_offsets = || functions.iter().zip(&names);

    let symbols = image.section(8);
    image.bytes.extend([0; SYM_BYTES as usize]);
    for ((_, offset), name) in names_and_offsets() {
        image.u32(*name);
        image.bytes.extend([GLOBAL_FUNCTION, 0]);
        // A section index that is not "undefined"; there are no section headers.
        image.u16(1);
        image.u64((TEXT_OFFSET + offset) as u64);
        image.u64(0);
    }
    let hash = image.hash_table(functions.map(|(name, _)| name));
    let versions = image.section(2);
    image.u16(0);
    functions.iter().for_each(|_| image.u16(2));
    let definitions = image.section(8);
    image.version_definition(1, VER_FLG_BASE, SONAME, soname, false);
    image.version_definition(2, 0, VERSION, version, true);
    let strings = image.section(1);
    let string_table = std::mem::take(&mut image.strings);
    image.bytes.extend(&string_table);
    let dynamic = image.section(8);
    let entries = [
        (DT_SONAME, u64::from(soname)),
        (DT_HASH, hash),
        (DT_STRTAB, strings),
        (DT_SYMTAB, symbols),
        (DT_STRSZ, string_table.len() as u64),
        (DT_SYMENT, SYM_BYTES),
        (DT_VERSYM, versions),
        (DT_VERDEF, definitions),
        (DT_VERDEFNUM, 2),
        (DT_NULL, 0),
    ];
    for (tag, value) in entries {
        image.u64(tag);
        image.u64(value);
    }
    image.finish(text, dynamic, entries.len() * DYN_BYTES)
}

/// An image under construction; addresses are offsets.
struct Image {
    bytes: Vec<u8>,
    strings: Vec<u8>,
    segments: usize,
}

impl Image {
    fn new(segments: usize) -> Self {
        Self { bytes: vec![0; EHDR_BYTES + segments * PHDR_BYTES], strings: vec![0], segments }
    }

    fn u16(&mut self, value: u16) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend(value.to_le_bytes());
    }

    /// Starts a section and returns its address.
    fn section(&mut self, alignment: usize) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        self.bytes.len() as u64
    }

    /// Adds a string and returns its place in the table.
    fn string(&mut self, string: &str) -> u32 {
        let place = self.strings.len() as u32;
        self.strings.extend(string.bytes());
        self.strings.push(0);
        place
    }

    /// A hash table of one bucket: there are few symbols. They are numbered from 1.
    fn hash_table<const N: usize>(&mut self, names: [&str; N]) -> u64 {
        let address = self.section(4);
        let count = names.len() as u32 + 1;
        self.u32(1);
        self.u32(count);
        self.u32(1);
        self.u32(0);
        for symbol in 1..count {
            self.u32(if symbol + 1 < count { symbol + 1 } else { 0 });
        }
        address
    }

    /// `Elf64_Verdef` with its one `Elf64_Verdaux`.
    fn version_definition(&mut self, index: u16, flags: u16, name: &str, name_place: u32, is_last: bool) {
        const DEFINITION_BYTES: u32 = 20;
        const AUXILIARY_BYTES: u32 = 8;
        self.u16(1);
        self.u16(flags);
        self.u16(index);
        self.u16(1);
        self.u32(elf_hash(name));
        self.u32(DEFINITION_BYTES);
        self.u32(if is_last { 0 } else { DEFINITION_BYTES + AUXILIARY_BYTES });
        self.u32(name_place);
        self.u32(0);
    }

    /// Adds the functions and fills in the headers.
    fn finish(mut self, text: &[u8], dynamic: u64, dynamic_bytes: usize) -> Vec<u8> {
        assert!(
            self.bytes.len() <= TEXT_OFFSET && TEXT_OFFSET + text.len() <= CODE_BYTES,
            "the vDSO fits its page"
        );
        let mut image = self.bytes.split_off(EHDR_BYTES + self.segments * PHDR_BYTES);
        let mut headers = Self { bytes: Vec::new(), strings: Vec::new(), segments: self.segments };
        headers.elf_header();
        headers.program_header(PT_LOAD, READ_EXECUTE, 0, CODE_BYTES, CODE_BYTES as u64);
        headers.program_header(PT_DYNAMIC, READ, dynamic, dynamic_bytes, 8);
        let mut bytes = headers.bytes;
        bytes.append(&mut image);
        bytes.resize(TEXT_OFFSET, 0);
        bytes.extend(text);
        bytes.resize(CODE_BYTES, 0);
        bytes
    }

    fn elf_header(&mut self) {
        // 64-bit, little-endian, version 1, System V.
        self.bytes.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
        self.u64(0);
        self.u16(ET_DYN);
        self.u16(EM_X86_64);
        self.u32(1);
        self.u64(TEXT_OFFSET as u64);
        self.u64(EHDR_BYTES as u64);
        self.u64(0);
        self.u32(0);
        self.u16(EHDR_BYTES as u16);
        self.u16(PHDR_BYTES as u16);
        self.u16(self.segments as u16);
        // No section headers.
        self.u16(0);
        self.u16(0);
        self.u16(0);
    }

    fn program_header(&mut self, kind: u32, flags: u32, address: u64, len_bytes: usize, alignment: u64) {
        self.u32(kind);
        self.u32(flags);
        for value in [address, address, address, len_bytes as u64, len_bytes as u64, alignment] {
            self.u64(value);
        }
    }
}

/// The hash of the System V ABI, chapter 5.
fn elf_hash(name: &str) -> u32 {
    name.bytes().fold(0, |hash: u32, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}

#[cfg(test)]
mod tests;
