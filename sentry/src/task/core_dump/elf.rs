//! The layout of a core file: ELF headers, then notes about the process, then its memory (`man 5 elf`; Linux's
//! `binfmt_elf.c` and `struct elf_prstatus`).

use linux_raw_sys::elf_uapi::{
    NT_AUXV, NT_FILE, NT_PRPSINFO, NT_PRSTATUS, NT_SIGINFO, NT_X86_XSTATE, PT_LOAD, PT_NOTE,
};
use std::time::Duration;

use zerocopy::IntoBytes;

use super::segments::Segment;
use crate::cred::{Gid, Uid};
use crate::memory::{MappingInfo, Protection};
use crate::platform::PAGE_SIZE;
use crate::signal::SignalInfo;
use crate::task::ResourceUsage;
use crate::task::ptrace::Image;

/// The room for arguments in NT_PRPSINFO.
pub(super) const ARGUMENTS_BYTES: usize = 80;

const FILE_HEADER_BYTES: u64 = 64;
const PROGRAM_HEADER_BYTES: u64 = 56;
const CORE_FILE: u16 = 4;
const X86_64: u16 = 62;
const NT_FPREGSET: u32 = 2;

/// What notes tell of one thread.
pub(in crate::task) struct ThreadNotes {
    pub(super) number: i32,
    /// Its own pending and blocked signals.
    pub(super) pending: u64,
    pub(super) blocked: u64,
    pub(super) usage: ResourceUsage,
    pub(super) image: Image,
}

/// What notes tell of the process.
pub(super) struct Notes {
    pub(super) info: SignalInfo,
    /// The one that the signal ended first.
    pub(super) threads: Vec<ThreadNotes>,
    pub(super) process: i32,
    pub(super) parent: i32,
    pub(super) process_group: i32,
    pub(super) session: i32,
    pub(super) niceness: i32,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) name: Vec<u8>,
    pub(super) arguments: Vec<u8>,
    pub(super) children_usage: ResourceUsage,
    pub(super) auxiliary_vector: Vec<u64>,
    pub(super) mappings: Vec<MappingInfo>,
}

/// Bytes in little-endian order, one value after the other.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// `struct timeval`.
    fn time(&mut self, time: Duration) -> &mut Self {
        self.u64(time.as_secs()).u64(time.subsec_micros().into())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A text in a field of this length that ends with NUL.
    fn text(&mut self, text: &[u8], len: usize) -> &mut Self {
        let text = text.get(..text.len().min(len.saturating_sub(1))).unwrap_or_default();
        self.bytes(text).zeros(len - text.len())
    }

    fn zeros(&mut self, count: usize) -> &mut Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    fn align(&mut self, alignment: usize) -> &mut Self {
        let len = self.0.len();
        self.zeros(len.next_multiple_of(alignment) - len)
    }

    /// A note with its header.
    fn note(&mut self, name: &[u8], kind: u32, description: &[u8]) -> &mut Self {
        self.u32(name.len() as u32).u32(description.len() as u32).u32(kind);
        self.bytes(name).align(4).bytes(description).align(4)
    }
}

impl Notes {
    /// The notes, in Linux's order.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        const CORE: &[u8] = b"CORE\0";
        const LINUX: &[u8] = b"LINUX\0";
        let mut notes = Bytes::default();
        for (place, thread) in self.threads.iter().enumerate() {
            notes.note(CORE, NT_PRSTATUS, &self.status(thread));
            if place == 0 {
                let vector: Vec<u8> =
                    self.auxiliary_vector.iter().flat_map(|word| word.to_le_bytes()).collect();
                notes.note(CORE, NT_PRPSINFO, &self.process());
                notes.note(CORE, NT_SIGINFO, self.info.to_user().as_bytes());
                notes.note(CORE, NT_AUXV, &vector);
                notes.note(CORE, NT_FILE, &self.files());
            }
            notes.note(CORE, NT_FPREGSET, &thread.image.floating_point());
            notes.note(LINUX, NT_X86_XSTATE, &thread.image.xstate());
        }
        notes.0
    }

    /// `struct elf_prstatus`.
    fn status(&self, thread: &ThreadNotes) -> Vec<u8> {
        let signal = self.info.signal.number();
        let mut status = Bytes::default();
        status.i32(signal.into()).i32(self.info.code).i32(self.info.errno);
        status.u16(signal.into()).align(8);
        status.u64(thread.pending).u64(thread.blocked);
        status.i32(thread.number).i32(self.parent).i32(self.process_group).i32(self.session);
        status.time(thread.usage.user_time).time(thread.usage.system_time);
        status.time(self.children_usage.user_time).time(self.children_usage.system_time);
        for word in thread.image.words() {
            status.u64(word);
        }
        // The floating-point registers are there.
        status.i32(1).align(8);
        status.0
    }

    /// `struct elf_prpsinfo`.
    fn process(&self) -> Vec<u8> {
        let arguments: Vec<u8> =
            self.arguments.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
        let mut process = Bytes::default();
        // It runs, and is no zombie.
        process.bytes(&[0, b'R', 0, self.niceness as u8]).align(8).u64(0);
        process.u32(self.uid.0).u32(self.gid.0);
        process.i32(self.process).i32(self.parent).i32(self.process_group).i32(self.session);
        process.text(&self.name, crate::task::NAME_LEN).text(&arguments, ARGUMENTS_BYTES);
        process.0
    }

    /// NT_FILE: the mapped files, their places in pages, then their names.
    fn files(&self) -> Vec<u8> {
        let files: Vec<_> = self.mappings.iter().filter(|mapping| mapping.inode != 0).collect();
        let mut bytes = Bytes::default();
        bytes.u64(files.len() as u64).u64(PAGE_SIZE);
        for file in &files {
            bytes.u64(file.range.start.0).u64(file.range.end.0).u64(file.offset / PAGE_SIZE);
        }
        for file in &files {
            bytes.bytes(&file.name).zeros(1);
        }
        bytes.0
    }
}

/// Everything before the memory: the headers and the notes, up to a page's end.
pub(super) fn head(notes: &[u8], segments: &[Segment]) -> Vec<u8> {
    let count = segments.len() as u64 + 1;
    let notes_offset = FILE_HEADER_BYTES + count * PROGRAM_HEADER_BYTES;
    let notes_bytes = notes.len() as u64;
    let mut offset = (notes_offset + notes_bytes).next_multiple_of(PAGE_SIZE);
    let mut head = Bytes::default();
    // 64 bits, little-endian, version 1.
    head.bytes(b"\x7fELF\x02\x01\x01").zeros(9);
    head.u16(CORE_FILE).u16(X86_64).u32(1).u64(0).u64(FILE_HEADER_BYTES).u64(0).u32(0);
    head.u16(FILE_HEADER_BYTES as u16).u16(PROGRAM_HEADER_BYTES as u16);
    head.u16(u16::try_from(count).unwrap_or(u16::MAX)).u16(0).u16(0).u16(0);
    head.u32(PT_NOTE).u32(0).u64(notes_offset).u64(0).u64(0).u64(notes_bytes).u64(0).u64(4);
    for segment in segments {
        let (start, end) = (segment.range.start.0, segment.range.end.0);
        head.u32(PT_LOAD).u32(flags(segment.protection)).u64(offset).u64(start).u64(0);
        head.u64(segment.dumped_bytes).u64(end - start).u64(PAGE_SIZE);
        offset += segment.dumped_bytes;
    }
    head.bytes(notes).align(PAGE_SIZE as usize);
    head.0
}

/// `PF_R`, `PF_W`, `PF_X`.
fn flags(protection: Protection) -> u32 {
    let pairs = [(Protection::READ, 4), (Protection::WRITE, 2), (Protection::EXECUTE, 1)];
    pairs.into_iter().filter(|(right, _)| protection.contains(*right)).map(|(_, flag)| flag).sum()
}
