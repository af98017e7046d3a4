//! Call sites that are rewritten: which instructions move, and what stands in their place.
//!
//! The jump is `jmp *slot`, seven bytes; the slot is the first word of the site's record, and an address in the uppermost
//! 2 GiB. Three windows are known, which make up nearly all sites of C libraries and of Go:
//!
//! | window | a jump into its middle |
//! |---|---|
//! | `syscall; cmp $imm32, %rax` | to CMP: meets `in $imm8, %eax` of a port that ring 3 may not read: #GP |
//! | `mov $n, %eax; syscall` | to SYSCALL: meets the slot's third byte, 0x06 or 0x07: #UD |
//! | `mov $n, %rax; syscall` | to SYSCALL, which stays where it is |
//!
//! The first is always sound: what follows SYSCALL is an instruction. What precedes it need not be, so the others are taken
//! only if the call had that number and no other reading of the bytes ends at SYSCALL, but for one that would have
//! accessed memory at RAX: with the number of a call there it would have faulted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use iced_x86::{Decoder, DecoderOptions, Instruction, InstructionInfoFactory, OpAccess, Register};
use sentry::platform::{PAGE_SIZE, VirtualRange};

use super::code::{SYSCALL, displacement};
use super::patches::Patch;
use crate::layout::{GATE_CODE, RECORDS, RECORDS_LEN};

/// Bytes of a record: the slot, the way to the gate, and from [`RECORD_TAIL`] on the way back.
pub(crate) const RECORD_LEN: u64 = 64;
const RECORD_ENTRY: u64 = 8;
/// Offset of the way back.
pub(crate) const RECORD_TAIL: u64 = 32;
/// Bytes of the first instruction there, which sets RCX.
const SET_RCX_LEN: u64 = 10;
/// Records of one address space.
pub(crate) const RECORDS_MAX: usize = (RECORDS_LEN / RECORD_LEN) as usize;
/// Bytes of `jmp *slot`.
const JUMP_LEN: usize = 7;
/// Sites of an address space that stay, before nothing is rewritten there any more.
const REFUSED_MAX: usize = 1024;
/// More than any call's number. Below twice that nobody may map anything (`/proc/sys/vm/mmap_min_addr`).
const NUMBERS_END: u64 = 4096;
/// Bytes of the longest instruction (SDM 2A 2.3.11).
const INSTRUCTION_LEN_MAX: usize = 15;

/// A call site and what of it moves to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    /// Address of the first byte that is replaced.
    pub(crate) start: u64,
    /// Address of SYSCALL.
    pub(crate) syscall: u64,
    /// Address of the first instruction that stays.
    pub(crate) end: u64,
    /// The bytes that are replaced; of those behind the window, none.
    moved: [u8; 9],
}

impl Site {
    /// Looks for a window around the SYSCALL at `syscall` in `code`, the bytes of its page, after a call with `number`.
    pub(crate) fn find(code: &[u8], syscall: u64, number: u64) -> Option<Self> {
        let at = (syscall % PAGE_SIZE) as usize;
        if code.get(at..at + 2)? != SYSCALL {
            return None;
        }
        let window = |before: usize, after: usize| {
            let mut moved = [0; 9];
            let bytes = code.get(at - before..at + 2 + after)?;
            moved.get_mut(..bytes.len())?.copy_from_slice(bytes);
            let end = syscall + 2 + after as u64;
            Some(Self { start: syscall - before as u64, syscall, end, moved })
        };
        if code.get(at + 2..at + 8).is_some_and(|bytes| bytes[..2] == [0x48, 0x3d]) {
            return window(0, 6);
        }
        let immediate = (number as u32).to_le_bytes();
        for opcode in [&[0xb8][..], &[0x48, 0xc7, 0xc0]] {
            let before = opcode.len() + 4;
            let expected = opcode.iter().chain(&immediate);
            let is_move = at > before && code[at - before..at].iter().eq(expected);
            if is_move && number < NUMBERS_END && is_only_reading(&code[..at], before) {
                return window(before, 0);
            }
        }
        None
    }

    /// The same site in a page at `page`, of one whose addresses are places in the page.
    pub(crate) fn at(self, page: u64) -> Self {
        let Self { start, syscall, end, moved } = self;
        Self { start: page + start, syscall: page + syscall, end: page + end, moved }
    }

    /// Whether both replace a byte.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Address of the instruction after SYSCALL: what user code goes on with.
    pub(crate) fn after(&self) -> u64 {
        self.syscall + 2
    }

    /// What is moved before SYSCALL, and after it.
    fn parts(&self) -> (&[u8], &[u8]) {
        let before = (self.syscall - self.start) as usize;
        let after = (self.end - self.after()) as usize;
        (&self.moved[..before], &self.moved[before + 2..before + 2 + after])
    }

    /// The jump that stands at `start`, to record `index`.
    pub(crate) fn jump(&self, index: usize) -> [u8; JUMP_LEN] {
        // Both SIB bytes say "no base, no index" (SDM 2A 2.1.5); the second is IN's opcode, where CMP was.
        let sib = if self.start == self.syscall { 0xe5 } else { 0x25 };
        let [a, b, c, d] = displacement(record_address(index));
        [0xff, 0x24, sib, a, b, c, d]
    }

    /// Record `index`, for this site.
    pub(crate) fn record(&self, index: usize) -> Vec<u8> {
        let start = record_address(index);
        let (before, after) = self.parts();
        let mut record = (start + RECORD_ENTRY).to_le_bytes().to_vec();
        record.extend_from_slice(before);
        let next = |record: &Vec<u8>, len: u64| start + record.len() as u64 + len;
        let to_start = start.wrapping_sub(next(&record, 7));
        record.extend_from_slice(&[0x48, 0x8d, 0x0d]); // lea start(%rip), %rcx
        record.extend_from_slice(&displacement(to_start));
        let to_gate = GATE_CODE.wrapping_sub(next(&record, 5));
        record.push(0xe9); // jmp gate
        record.extend_from_slice(&displacement(to_gate));
        record.resize(RECORD_TAIL as usize, 0xcc);
        record.extend_from_slice(&[0x48, 0xb9]); // movabs $after, %rcx
        record.extend_from_slice(&self.after().to_le_bytes());
        record.extend_from_slice(after);
        record.extend_from_slice(&[0xff, 0x25, 0, 0, 0, 0]); // jmp *0(%rip)
        record.extend_from_slice(&self.end.to_le_bytes());
        record.resize(RECORD_LEN as usize, 0xcc);
        record
    }

    /// Where user code that is to go on at `rip` must go on instead, while the site is rewritten.
    fn moved_to(&self, index: usize, rip: u64) -> Option<u64> {
        let record = record_address(index);
        if rip == self.after() && self.end != self.after() {
            return Some(record + RECORD_TAIL + SET_RCX_LEN);
        }
        let before = self.syscall - self.start;
        let is_covered = before > 0 && before < JUMP_LEN as u64;
        (rip == self.syscall && is_covered).then_some(record + RECORD_ENTRY + before)
    }

    /// The address in the original for `offset` in the record.
    pub(crate) fn original_of(&self, offset: u64) -> u64 {
        let (before, suffix) = (self.syscall - self.start, self.end - self.after());
        match offset {
            0..RECORD_TAIL if offset < RECORD_ENTRY + before => self.start,
            0..RECORD_TAIL => self.syscall,
            _ if offset < RECORD_TAIL + SET_RCX_LEN + suffix => self.after(),
            _ => self.end,
        }
    }
}

/// Address of record `index`.
pub(crate) fn record_address(index: usize) -> u64 {
    RECORDS + index as u64 * RECORD_LEN
}

/// The record that `address` lies in, and where in it.
pub(crate) fn record_at(address: u64) -> Option<(usize, u64)> {
    let offset = address.checked_sub(RECORDS).filter(|offset| *offset < RECORDS_LEN)?;
    Some(((offset / RECORD_LEN) as usize, offset % RECORD_LEN))
}

/// Whether no instruction that begins before the last `len` bytes of `code` ends with them.
fn is_only_reading(code: &[u8], len: usize) -> bool {
    let start = code.len() - len;
    (1..INSTRUCTION_LEN_MAX).filter_map(|back| start.checked_sub(back)).all(|begin| {
        let mut decoder = Decoder::new(64, &code[begin..], DecoderOptions::NONE);
        let instruction = decoder.decode();
        instruction.is_invalid() || begin + instruction.len() != code.len() || faults_below(&instruction)
    })
}

/// Whether an instruction after which RAX holds the number of a call has faulted: it accesses memory at most two such numbers
/// from 0, where nobody may map anything.
fn faults_below(instruction: &Instruction) -> bool {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(instruction);
    let keeps_rax = info
        .used_registers()
        .iter()
        .all(|used| used.register().full_register() != Register::RAX || used.access() == OpAccess::Read);
    keeps_rax
        && info.used_memory().iter().any(|used| {
            let is_plain = used.base() == Register::RAX && used.index() == Register::None;
            let has_base = matches!(used.segment(), Register::FS | Register::GS);
            is_plain
                && !has_base
                && used.displacement() < NUMBERS_END
                && used.access() != OpAccess::NoMemAccess
        })
}

/// A page of which user code sees a copy. Whoever takes one away keeps it until no vCPU sees it.
#[derive(Debug)]
pub(crate) struct RewrittenPage {
    /// Guest-physical address of the original.
    pub(crate) original: u64,
    pub(crate) patch: Arc<Patch>,
}

/// The call sites of one address space. Records are never used again for other sites.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    /// By the numbers of their records.
    sites: BTreeMap<usize, Site>,
    /// The guest-physical addresses of the pages of records, by their numbers.
    pub(crate) record_pages: BTreeMap<u64, u64>,
    /// The rewritten pages, by their addresses.
    pub(crate) pages: BTreeMap<u64, RewrittenPage>,
    /// The sites that are rewritten now, by the addresses of their first bytes.
    rewritten: BTreeMap<u64, usize>,
    /// The SYSCALL that is to be rewritten next, and the number of its call.
    due: Option<(u64, u64)>,
    /// SYSCALL instructions that stay.
    refused: BTreeSet<u64>,
    /// Nothing is rewritten any more.
    pub(crate) is_given_up: bool,
}

impl Sites {
    /// Whether the SYSCALL at `syscall` may be rewritten.
    pub(crate) fn may_rewrite(&self, syscall: u64) -> bool {
        !self.is_given_up && !self.refused.contains(&syscall)
    }

    /// The SYSCALL at `syscall`, which was a call of `number`, is to be rewritten.
    pub(crate) fn set_due(&mut self, syscall: u64, number: u64) {
        self.due = Some((syscall, number));
    }

    /// The number of the call for which [`Sites::set_due`] was last told, if it was from `syscall`.
    pub(crate) fn take_number(&mut self, syscall: u64) -> Option<u64> {
        self.due.take_if(|(due, _)| *due == syscall).map(|(_, number)| number)
    }

    /// Leaves a SYSCALL as it is from now on.
    pub(crate) fn refuse(&mut self, syscall: u64) {
        if self.refused.len() < REFUSED_MAX {
            self.refused.insert(syscall);
        } else {
            self.is_given_up = true;
        }
    }

    /// Whether `site` may have record `index`.
    pub(crate) fn may_add(&self, index: usize, site: &Site) -> bool {
        let is_free = self.sites.get(&index).is_none_or(|other| other == site);
        is_free && !self.is_given_up && !self.refused.contains(&site.syscall)
    }

    /// The same of all sites of `patch`, shown at `page`.
    pub(crate) fn may_add_all(&self, patch: &Patch, page: u64) -> bool {
        patch.sites_at(page).all(|(index, site)| self.may_add(index, &site))
    }

    /// Adds a site with record `index`.
    pub(crate) fn add(&mut self, index: usize, site: Site) {
        self.sites.insert(index, site);
        self.rewritten.insert(site.start, index);
    }

    /// Adds a page that is shown by way of `patch`, with its sites. It has none yet.
    pub(crate) fn add_page(&mut self, page: u64, original: u64, patch: Arc<Patch>) {
        for (index, site) in patch.sites_at(page) {
            self.add(index, site);
        }
        self.pages.insert(page, RewrittenPage { original, patch });
    }

    /// The site of record `index`.
    pub(crate) fn get(&self, index: usize) -> Option<&Site> {
        self.sites.get(&index)
    }

    /// The rewritten site whose window holds `rip`, with its record's number.
    pub(crate) fn around(&self, rip: u64) -> Option<(usize, Site)> {
        let (_, index) = self.rewritten.range(..=rip).next_back()?;
        let site = self.sites.get(index).filter(|site| rip < site.end)?;
        Some((*index, *site))
    }

    /// Whether `rip` is in the middle of a window that is or was rewritten.
    pub(crate) fn was_middle(&self, rip: u64) -> bool {
        self.sites.values().any(|site| site.start < rip && rip < site.end)
    }

    /// Where user code that is to go on at `rip` must go on instead.
    pub(crate) fn moved_to(&self, rip: u64) -> Option<u64> {
        let (index, site) = self.around(rip)?;
        site.moved_to(index, rip)
    }

    /// The rewritten pages of `range`.
    pub(crate) fn pages_in(&self, range: VirtualRange) -> Vec<u64> {
        self.pages.range(range.start.0..range.end.0).map(|(page, _)| *page).collect()
    }

    /// Forgets a page that user code no longer sees.
    pub(crate) fn drop_page(&mut self, page: u64) -> Option<RewrittenPage> {
        let starts: Vec<u64> =
            self.rewritten.range(page..page + PAGE_SIZE).map(|(start, _)| *start).collect();
        for start in starts {
            self.rewritten.remove(&start);
        }
        self.pages.remove(&page)
    }

    /// Forgets all that lived in table memory, and the pages. What the records were stays known, for who was in one.
    pub(crate) fn reset(&mut self) -> BTreeMap<u64, RewrittenPage> {
        self.rewritten.clear();
        self.record_pages.clear();
        std::mem::take(&mut self.pages)
    }
}
