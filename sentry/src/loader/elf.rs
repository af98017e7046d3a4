//! ELF executables and their interpreters (`man 5 elf`).

use object::LittleEndian;
use object::elf::{
    ELFMAG, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD,
    PT_PHDR, ProgramHeader64,
};
use object::pod;

use super::{Executable, LoadError, read_fully};
use crate::Errno;
use crate::fs::File;
use crate::memory::{Backing, MapFlags, MapRequest, MemoryManager, Protection};
use crate::pace::Unhurried;
use crate::platform::{PAGE_SIZE, VirtualAddress};

/// Most bytes of program headers (Linux's limit).
const MAX_HEADERS_BYTES: usize = 64 << 10;
/// Where position-independent programs begin (Linux's `ELF_ET_DYN_BASE` without randomisation).
const PROGRAM_BASE: u64 = 0x5555_5555_4000;

type Header = FileHeader64<LittleEndian>;
type ProgramHeader = ProgramHeader64<LittleEndian>;

/// What an image is loaded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The program itself.
    Program,
    /// Its dynamic linker.
    Interpreter,
}

/// The part of a file that is loaded, checked.
pub(super) struct Image {
    is_position_independent: bool,
    /// It is neither a program nor an interpreter, which is found out when it is mapped.
    is_object: bool,
    entry: u64,
    header_count: u16,
    /// Where the program headers are found in memory, before the image is moved.
    headers_address: Option<u64>,
    interpreter: Option<Vec<u8>>,
    has_executable_stack: bool,
    segments: Vec<Segment>,
}

/// A PT_LOAD segment.
#[derive(Clone, Copy, Debug)]
struct Segment {
    address: u64,
    memory_bytes: u64,
    file_offset: u64,
    file_bytes: u64,
    alignment: u64,
    protection: Protection,
}

/// Where an image lies in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// What was added to its addresses.
    pub(super) base: u64,
    /// Its entry point.
    pub(super) entry: u64,
    /// Its program headers.
    pub(super) headers: u64,
    /// How many there are.
    pub(super) header_count: u16,
    /// First address past it.
    pub(super) end: VirtualAddress,
}

impl Image {
    /// Parses and checks `file`, whose first bytes are `head`.
    ///
    /// # Errors
    /// ENOEXEC with the reason.
    pub(super) fn parse(file: &dyn File, head: &[u8]) -> Result<Self, LoadError> {
        let header = check_header(head)?;
        if !matches!(header.e_type.get(LittleEndian), ET_EXEC | ET_DYN) {
            return Err(LoadError::not_executable("it is an ELF file, but not an executable"));
        }
        Self::of_header(file, header)
    }

    /// The same for a program's interpreter.
    ///
    /// # Errors
    /// EIO: it is shorter than a header. ELIBBAD: it is no interpreter.
    pub(super) fn parse_interpreter(file: &dyn File, head: &[u8]) -> Result<Self, LoadError> {
        if head.len() < size_of::<Header>() {
            return Err(LoadError::new(Errno::EIO, "it ends within its header"));
        }
        let bad = |error: LoadError| match error.errno {
            Errno::ENOEXEC => LoadError { errno: Errno::ELIBBAD, ..error },
            _ => error,
        };
        let header = check_header(head).map_err(bad)?;
        let mut image = Self::of_header(file, header).map_err(bad)?;
        image.is_object = !matches!(header.e_type.get(LittleEndian), ET_EXEC | ET_DYN);
        Ok(image)
    }

    fn of_header(file: &dyn File, header: &Header) -> Result<Self, LoadError> {
        let table = read_table(file, header)?;
        let headers: &[ProgramHeader] = pod::slice_from_all_bytes(&table)
            .map_err(|()| LoadError::not_executable("its program headers are torn"))?;
        let endian = LittleEndian;
        let mut image = Self {
            is_position_independent: header.e_type.get(endian) == ET_DYN,
            is_object: false,
            entry: header.e_entry.get(endian),
            header_count: header.e_phnum.get(endian),
            headers_address: None,
            interpreter: None,
            has_executable_stack: false,
            segments: Vec::new(),
        };
        for header in headers {
            match header.p_type.get(endian) {
                PT_LOAD => image.segments.push(Segment::parse(header)),
                PT_INTERP if image.interpreter.is_none() => {
                    image.interpreter = Some(read_interpreter(file, header)?)
                }
                PT_PHDR => image.headers_address = Some(header.p_vaddr.get(endian)),
                PT_GNU_STACK => image.has_executable_stack = header.p_flags.get(endian).0 & PF_X.0 != 0,
                _ => {}
            }
        }
        let table_offset = header.e_phoff.get(endian);
        if image.headers_address.is_none() {
            image.headers_address =
                image.segments.iter().find_map(|segment| segment.address_of(table_offset));
        }
        Ok(image)
    }

    /// The path of the interpreter that it asks for.
    pub(super) fn interpreter(&self) -> Option<&[u8]> {
        self.interpreter.as_deref()
    }

    /// Whether it asks for an executable stack.
    pub(super) fn has_executable_stack(&self) -> bool {
        self.has_executable_stack
    }

    /// There is something to load, and all of it lies where user code has addresses. Segments may be in any order, and
    /// lie on each other: the later one is seen.
    fn check_segments(&self) -> Result<(), LoadError> {
        if self.is_object {
            return Err(LoadError::not_executable("it is an ELF file, but not an executable"));
        }
        if self.segments.is_empty() {
            return Err(LoadError::not_executable("it has no segment to load"));
        }
        self.segments.iter().try_for_each(Segment::check)
    }

    /// The addresses from the first byte of a segment to the last one's end.
    fn span(&self) -> (u64, u64) {
        let start = self.segments.iter().map(|segment| segment.address).min().unwrap_or(0);
        let end = self.segments.iter().map(|segment| segment.address + segment.memory_bytes).max();
        (start & !(PAGE_SIZE - 1), end.unwrap_or(0))
    }

    /// Maps the segments into `memory`.
    ///
    /// # Errors
    /// ENOMEM, and ENOEXEC if a segment makes no sense or lies where user code has no addresses.
    pub(super) fn map(
        &self,
        memory: &MemoryManager,
        executable: &Executable,
        role: Role,
    ) -> Result<Placed, LoadError> {
        self.check_segments()?;
        let base = self.reserve(memory, role)?;
        let cache = executable.file.page_cache()?;
        for segment in &self.segments {
            segment.map(memory, base, &cache, executable)?;
        }
        let (_, end) = self.span();
        if role == Role::Program {
            let (code, data) = self.code_and_data(base);
            memory.update_layout(|layout| (layout.code, layout.data) = (code, data));
        }
        Ok(Placed {
            base,
            entry: self.entry.wrapping_add(base),
            headers: self.headers_address.map_or(0, |address| address.wrapping_add(base)),
            header_count: self.header_count,
            end: VirtualAddress(end.wrapping_add(base)),
        })
    }

    /// Where code and data begin and end, as Linux tells of them: code is what may be executed, data what lies highest.
    fn code_and_data(
        &self,
        base: u64,
    ) -> ((VirtualAddress, VirtualAddress), (VirtualAddress, VirtualAddress)) {
        let start = |segment: &Segment| segment.address;
        let end = |segment: &Segment| segment.address.saturating_add(segment.file_bytes);
        let is_code = |segment: &&Segment| segment.protection.contains(Protection::EXECUTE);
        let code = self.segments.iter().filter(is_code);
        let code = (code.clone().map(start).min().unwrap_or(0), code.map(end).max().unwrap_or(0));
        let data = (self.segments.iter().map(start).max(), self.segments.iter().map(end).max());
        let placed = |address: u64| VirtualAddress(address.wrapping_add(base));
        ((placed(code.0), placed(code.1)), (placed(data.0.unwrap_or(0)), placed(data.1.unwrap_or(0))))
    }

    /// Finds room for a position-independent image, and returns what is to be added to its addresses.
    fn reserve(&self, memory: &MemoryManager, role: Role) -> Result<u64, LoadError> {
        let (first, end) = self.span();
        let span = end.checked_next_multiple_of(PAGE_SIZE).map_or(u64::MAX, |end| end - first);
        if !self.is_position_independent {
            return Ok(0);
        }
        let alignment = self.segments.iter().map(|segment| segment.alignment).max().unwrap_or(PAGE_SIZE);
        let wanted = match role {
            Role::Program => PROGRAM_BASE.next_multiple_of(alignment),
            Role::Interpreter => 0,
        };
        let request = MapRequest {
            address: VirtualAddress(wanted),
            len_bytes: span.saturating_add(if wanted == 0 { alignment - PAGE_SIZE } else { 0 }),
            protection: Protection::empty(),
            flags: MapFlags::PRIVATE | MapFlags::NORESERVE,
            backing: Backing::Anonymous,
        };
        let start = memory.mmap(request, &Unhurried)?;
        Ok(start.0.next_multiple_of(alignment).wrapping_sub(first))
    }
}

impl Segment {
    fn parse(header: &ProgramHeader) -> Self {
        let endian = LittleEndian;
        let flags = header.p_flags.get(endian).0;
        let mut protection = Protection::empty();
        protection.set(Protection::READ, flags & PF_R.0 != 0);
        protection.set(Protection::WRITE, flags & PF_W.0 != 0);
        protection.set(Protection::EXECUTE, flags & PF_X.0 != 0);
        let alignment = header.p_align.get(endian);
        Self {
            address: header.p_vaddr.get(endian),
            memory_bytes: header.p_memsz.get(endian),
            file_offset: header.p_offset.get(endian),
            file_bytes: header.p_filesz.get(endian),
            alignment: if alignment.is_power_of_two() {
                alignment.clamp(PAGE_SIZE, 1 << 30)
            } else {
                PAGE_SIZE
            },
            protection,
        }
    }

    fn check(&self) -> Result<(), LoadError> {
        if self.file_bytes > self.memory_bytes {
            return Err(LoadError::not_executable("a segment is larger in the file than in memory"));
        }
        let memory_end = self.address.checked_add(self.memory_bytes);
        let is_outside = self.address >= VirtualAddress::USER_END.0;
        if is_outside || memory_end.is_none_or(|end| end > VirtualAddress::USER_END.0) {
            return Err(LoadError::not_executable(format!(
                "a segment of {:#x} bytes at {:#x} lies outside of the address space",
                self.memory_bytes, self.address
            )));
        }
        if self.file_bytes > 0 && self.address % PAGE_SIZE != self.file_offset % PAGE_SIZE {
            return Err(LoadError::not_executable(
                "a segment's address and file offset differ within the page",
            ));
        }
        match self.file_offset.checked_add(self.file_bytes) {
            Some(end) if end <= i64::MAX as u64 => Ok(()),
            _ => Err(LoadError::not_executable("a segment lies where no file reaches")),
        }
    }

    /// Where the byte at `file_offset` comes to lie, if it belongs to the segment.
    fn address_of(&self, file_offset: u64) -> Option<u64> {
        let offset = file_offset.checked_sub(self.file_offset)?;
        (offset < self.file_bytes).then(|| self.address.wrapping_add(offset))
    }

    fn map(
        &self,
        memory: &MemoryManager,
        base: u64,
        cache: &std::sync::Arc<crate::memory::PageCache>,
        executable: &Executable,
    ) -> Result<(), LoadError> {
        let address = self.address.wrapping_add(base);
        let in_page = address % PAGE_SIZE;
        let file_end = address + self.file_bytes;
        let page_end = |end: u64| end.next_multiple_of(PAGE_SIZE);
        if self.file_bytes > 0 {
            memory.mmap(
                MapRequest {
                    address: VirtualAddress(address - in_page),
                    len_bytes: self.file_bytes + in_page,
                    protection: self.protection,
                    flags: MapFlags::PRIVATE | MapFlags::FIXED,
                    backing: Backing::File {
                        cache: cache.clone(),
                        offset: self.file_offset - in_page,
                        file: Some(executable.description.clone()),
                        max_protection: Protection::all(),
                    },
                },
                &Unhurried,
            )?;
        }
        let memory_end = address + self.memory_bytes;
        let zero_start = if self.file_bytes > 0 { page_end(file_end) } else { address - in_page };
        if page_end(memory_end) > zero_start {
            memory.mmap(
                MapRequest {
                    address: VirtualAddress(zero_start),
                    len_bytes: page_end(memory_end) - zero_start,
                    protection: self.protection,
                    flags: MapFlags::PRIVATE | MapFlags::FIXED,
                    backing: Backing::Anonymous,
                },
                &Unhurried,
            )?;
        }
        if self.memory_bytes > self.file_bytes
            && self.file_bytes > 0
            && self.protection.contains(Protection::WRITE)
            && file_end < zero_start
        {
            memory.zero(VirtualAddress(file_end), zero_start - file_end)?;
        }
        Ok(())
    }
}

fn check_header(head: &[u8]) -> Result<&Header, LoadError> {
    if !head.starts_with(&ELFMAG) {
        return Err(Errno::ENOEXEC.into());
    }
    let (header, _) = pod::from_bytes::<Header>(head)
        .map_err(|()| LoadError::not_executable("the ELF file is torn: it ends within its header"))?;
    // The class is not looked at: of files for this machine, all are read as those of 64 bits.
    let endian = LittleEndian;
    let machine = header.e_machine.get(endian);
    if machine != EM_X86_64 {
        return Err(LoadError::not_executable(format!(
            "it is for another machine (ELF machine {}), not for x86-64",
            machine.0
        )));
    }
    if usize::from(header.e_phentsize.get(endian)) != size_of::<ProgramHeader>() {
        return Err(LoadError::not_executable("its program headers have an unknown size"));
    }
    Ok(header)
}

fn read_table(file: &dyn File, header: &Header) -> Result<Vec<u8>, LoadError> {
    let len_bytes = usize::from(header.e_phnum.get(LittleEndian)) * size_of::<ProgramHeader>();
    if len_bytes == 0 || len_bytes > MAX_HEADERS_BYTES {
        return Err(LoadError::not_executable("it has no program headers, or too many"));
    }
    let mut table = vec![0; len_bytes];
    if read_fully(file, &mut table, header.e_phoff.get(LittleEndian))? < len_bytes {
        return Err(LoadError::not_executable("the ELF file is torn: it ends within its program headers"));
    }
    Ok(table)
}

fn read_interpreter(file: &dyn File, header: &ProgramHeader) -> Result<Vec<u8>, LoadError> {
    let len_bytes = header.p_filesz.get(LittleEndian);
    let invalid = || LoadError::not_executable("its interpreter's name is torn");
    if !(2..=u64::from(linux_raw_sys::general::PATH_MAX)).contains(&len_bytes) {
        return Err(invalid());
    }
    let mut name = vec![0; len_bytes as usize];
    if read_fully(file, &mut name, header.p_offset.get(LittleEndian))? < name.len() {
        return Err(LoadError::new(Errno::EIO, "it ends within its interpreter's name"));
    }
    if name.pop() != Some(0) {
        return Err(invalid());
    }
    if let Some(end) = name.iter().position(|byte| *byte == 0) {
        name.truncate(end);
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
