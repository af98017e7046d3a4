//! The code page: an ELF shared object, `linux-vdso.so.1`, put together from the functions below.
//!
//! The functions are position-independent, call nothing and reach their data relative to themselves: the data
//! page lies right before the ELF header.

use std::arch::global_asm;

use object::write::elf::{FileHeader, ProgramHeader, SinglePhase, Sym, Verdef, Writer};
use object::write::{self, StringId};
use object::{Endianness, elf};

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
/// `VERSION`'s index, after those of local symbols and of the file itself.
const VERSION_INDEX: elf::VersionIndex = elf::VersionIndex(2);

/// The image, one page.
///
/// # Panics
///
/// Panics if the functions have outgrown their page.
pub fn vdso_image() -> Vec<u8> {
    let (text, functions) = text();
    let mut bytes = Vec::with_capacity(CODE_BYTES);
    let headers = Image::new(&mut bytes, &functions).write(text);
    let headers = headers.expect("the vDSO has no more than an ELF file can hold");
    bytes[..headers.len()].copy_from_slice(&headers);
    assert_eq!(bytes.len(), CODE_BYTES, "the vDSO fits its page");
    bytes
}

/// An image under construction; addresses are offsets. There are no section headers: nobody reads them.
struct Image<'a> {
    writer: Writer<'a, SinglePhase>,
    soname: StringId,
    version: StringId,
    functions: &'a [(&'static str, usize)],
    names: Vec<StringId>,
}

impl<'a> Image<'a> {
    fn new(bytes: &'a mut Vec<u8>, functions: &'a [(&'static str, usize)]) -> Self {
        let mut writer = Writer::new_single_phase(Endianness::Little, true, bytes);
        let soname = writer.add_dynamic_string(SONAME.as_bytes());
        let version = writer.add_dynamic_string(VERSION.as_bytes());
        let names = functions.iter().map(|(name, _)| writer.add_dynamic_string(name.as_bytes())).collect();
        Self { writer, soname, version, functions, names }
    }

    /// Writes the page but for its headers, which it returns: what they tell is known last.
    fn write(mut self, text: &[u8]) -> write::Result<Vec<u8>> {
        self.writer.write_file_header(&FileHeader {
            e_type: elf::ET_DYN,
            e_machine: elf::EM_X86_64,
            e_entry: TEXT_OFFSET as u64,
            ..FileHeader::default()
        })?;
        self.writer.write_program_headers_placeholder(2);
        let (strings, strings_bytes) = self.writer.write_dynstr()?;
        let dynamic = [
            (elf::DT_SONAME, self.writer.dynamic_string_offset(Some(self.soname)).into()),
            (elf::DT_STRTAB, strings),
            (elf::DT_STRSZ, strings_bytes.into()),
            (elf::DT_SYMTAB, self.symbols()),
            (elf::DT_SYMENT, size_of::<elf::Sym64<Endianness>>() as u64),
            (elf::DT_HASH, self.hash_table()),
            (elf::DT_VERSYM, self.symbol_versions()),
            (elf::DT_VERDEF, self.version_definitions()),
            (elf::DT_VERDEFNUM, 2),
            (elf::DT_NULL, 0),
        ];
        let dynamic_offset = self.writer.write_align_dynamic();
        for (tag, value) in dynamic {
            self.writer.write_dynamic(tag, value)?;
        }
        let dynamic_bytes = self.writer.offset() - dynamic_offset;
        self.writer.pad_until(TEXT_OFFSET as u64);
        self.writer.write(text);
        self.writer.pad_until(CODE_BYTES as u64);
        let mut headers = Vec::new();
        self.writer.write_headers_to(
            &mut headers,
            &[
                segment(elf::PT_LOAD, elf::PF_R | elf::PF_X, 0, CODE_BYTES as u64, CODE_BYTES as u64),
                segment(elf::PT_DYNAMIC, elf::PF_R, dynamic_offset, dynamic_bytes, 8),
            ],
        )?;
        Ok(headers)
    }

    fn symbols(&mut self) -> u64 {
        let table = self.writer.write_null_dynamic_symbol();
        for ((_, offset), name) in self.functions.iter().zip(&self.names) {
            let name = self.writer.dynamic_string_offset(Some(*name));
            self.writer.write_dynamic_symbol(&Sym {
                section: None,
                st_name: name,
                st_info: elf::SymbolInfo::new(elf::STB_GLOBAL, elf::STT_FUNC),
                st_other: Default::default(),
                // Any section but "undefined" will do.
                st_shndx: elf::SymbolSection(1),
                st_value: (TEXT_OFFSET + offset) as u64,
                st_size: 0,
            });
        }
        table
    }

    /// A hash table of one bucket: there are few symbols. The first is the null symbol, which has no name.
    fn hash_table(&mut self) -> u64 {
        let functions = self.functions;
        let hash = |symbol: u32| Some(elf::hash(functions[symbol.checked_sub(1)? as usize].0.as_bytes()));
        self.writer.write_hash(1, functions.len() as u32 + 1, hash)
    }

    fn symbol_versions(&mut self) -> u64 {
        let table = self.writer.write_null_gnu_versym();
        self.functions.iter().for_each(|_| self.writer.write_gnu_versym(VERSION_INDEX.versym(false)));
        table
    }

    fn version_definitions(&mut self) -> u64 {
        let table = self.writer.write_align_gnu_verdef(2);
        for (index, flags, text, name) in [
            (elf::VER_NDX_GLOBAL, elf::VER_FLG_BASE, SONAME, self.soname),
            (VERSION_INDEX, elf::VersionFlags::default(), VERSION, self.version),
        ] {
            let name = self.writer.dynamic_string_offset(Some(name));
            let (version, hash) = (elf::VER_DEF_CURRENT, elf::hash(text.as_bytes()));
            self.writer.write_gnu_verdef(&Verdef { version, flags, index, aux_count: 1, name, hash });
        }
        table
    }
}

/// A segment whose addresses are its offsets in the file.
fn segment(
    kind: elf::ProgramType,
    flags: elf::ProgramFlags,
    offset: u64,
    len_bytes: u64,
    alignment: u64,
) -> ProgramHeader {
    ProgramHeader {
        p_type: kind,
        p_flags: flags,
        p_offset: offset,
        p_vaddr: offset,
        p_paddr: offset,
        p_filesz: len_bytes,
        p_memsz: len_bytes,
        p_align: alignment,
    }
}

#[cfg(test)]
mod tests;
