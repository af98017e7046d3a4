//! Makes small ELF executables, well formed or with single fields spoilt, for the tests of the loader.
//!
//! The layout is `man 5 elf`'s: the file header, the program headers, then the code, in one segment that
//! is mapped at [`BASE`] from file offset 0.

/// Where the file is mapped.
pub const BASE: u64 = 0x40_0000;

/// The size of the ELF file header in bytes.
const FILE_HEADER_LENGTH: u64 = 64;

/// The size of one program header in bytes.
const PROGRAM_HEADER_LENGTH: u64 = 56;

/// `PT_LOAD`: a segment to be mapped.
pub const PT_LOAD: u32 = 1;

/// `PT_INTERP`: the path of the interpreter.
pub const PT_INTERP: u32 = 3;

/// `mov $60, %eax; mov $42, %edi; syscall`: exits with status 42.
const EXIT_42: [u8; 12] = [0xb8, 60, 0, 0, 0, 0xbf, 42, 0, 0, 0, 0x0f, 0x05];

/// The fields of a program header, in the file's order.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// `p_type`: [`PT_LOAD`], [`PT_INTERP`] or another.
    pub kind: u32,
    /// `p_flags`: 1 execute, 2 write, 4 read.
    pub flags: u32,
    /// `p_offset`: where it begins in the file.
    pub offset: u64,
    /// `p_vaddr`: where it begins in memory.
    pub address: u64,
    /// `p_filesz`: its bytes in the file.
    pub file_length: u64,
    /// `p_memsz`: its bytes in memory.
    pub memory_length: u64,
    /// `p_align`.
    pub alignment: u64,
}

/// An executable to be encoded; a test spoils the fields it is about.
#[derive(Clone, Debug)]
pub struct Executable {
    /// `e_ident[EI_CLASS]`: 2 is 64-bit.
    pub class: u8,
    /// `e_type`: 2 is an executable.
    pub kind: u16,
    /// `e_machine`: 62 is x86-64.
    pub machine: u16,
    /// `e_entry`; `None` is the address of the code.
    pub entry: Option<u64>,
    /// `e_phentsize`.
    pub program_header_length: u16,
    /// `e_phnum`; `None` is the number of segments.
    pub program_header_count: Option<u16>,
    /// `e_phoff`.
    pub program_header_offset: u64,
    /// The program headers.
    pub segments: Vec<Segment>,
    /// Follows the program headers: code, then what segments refer to.
    pub body: Vec<u8>,
}

impl Executable {
    /// An executable that exits with status 42.
    pub fn exits_42() -> Self {
        let length = FILE_HEADER_LENGTH + PROGRAM_HEADER_LENGTH + EXIT_42.len() as u64;
        let segment = Segment {
            kind: PT_LOAD,
            flags: 5,
            offset: 0,
            address: BASE,
            file_length: length,
            memory_length: length,
            alignment: 0x1000,
        };
        Self {
            class: 2,
            kind: 2,
            machine: 62,
            entry: None,
            program_header_length: PROGRAM_HEADER_LENGTH as u16,
            program_header_count: None,
            program_header_offset: FILE_HEADER_LENGTH,
            segments: vec![segment],
            body: EXIT_42.to_vec(),
        }
    }

    /// The same with an interpreter at `path`.
    pub fn with_interpreter(path: &str) -> Self {
        let mut executable = Self::exits_42();
        let code_offset = FILE_HEADER_LENGTH + 2 * PROGRAM_HEADER_LENGTH;
        let path_length = path.len() as u64 + 1;
        let segment = Segment {
            kind: PT_INTERP,
            flags: 4,
            offset: code_offset + EXIT_42.len() as u64,
            address: BASE + code_offset + EXIT_42.len() as u64,
            file_length: path_length,
            memory_length: path_length,
            alignment: 1,
        };
        executable.segments.insert(0, segment);
        executable.body.extend_from_slice(path.as_bytes());
        executable.body.push(0);
        if let Some(load) = executable.segments.last_mut() {
            load.file_length = segment.offset + path_length;
            load.memory_length = load.file_length;
        }
        executable
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let code_offset = FILE_HEADER_LENGTH + PROGRAM_HEADER_LENGTH * self.segments.len() as u64;
        let mut file = vec![0x7f, b'E', b'L', b'F', self.class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend(self.kind.to_le_bytes());
        file.extend(self.machine.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(self.entry.unwrap_or(BASE + code_offset).to_le_bytes());
        file.extend(self.program_header_offset.to_le_bytes());
        // No section headers, no flags.
        file.extend(0_u64.to_le_bytes());
        file.extend(0_u32.to_le_bytes());
        file.extend((FILE_HEADER_LENGTH as u16).to_le_bytes());
        file.extend(self.program_header_length.to_le_bytes());
        let count = self.program_header_count.unwrap_or(self.segments.len() as u16);
        file.extend(count.to_le_bytes());
        file.extend([0; 6]);
        for segment in &self.segments {
            file.extend(segment.kind.to_le_bytes());
            file.extend(segment.flags.to_le_bytes());
            let Segment { offset, address, file_length, memory_length, alignment, .. } = *segment;
            for field in [offset, address, address, file_length, memory_length, alignment] {
                file.extend(field.to_le_bytes());
            }
        }
        file.extend(&self.body);
        file
    }
}
