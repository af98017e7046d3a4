//! A stopped task's registers, in the layouts that debuggers know.

use super::debug::DebugRegisters;
use crate::Errno;
use crate::platform::{Registers, SegmentBases, VirtualAddress};
use crate::signal::initial_extended_state;
use crate::task::UserDispatch;

/// Words of `struct user_regs_struct`, which is also NT_PRSTATUS's set.
pub(crate) const GENERAL_REGISTER_COUNT: usize = 27;

// Places in `struct user_regs_struct`.
const ORIGINAL_RAX: usize = 15;
const CS: usize = 17;
const FLAGS: usize = 18;
const SS: usize = 20;
const FS_BASE: usize = 21;
const GS_BASE: usize = 22;
/// DS, ES, FS and GS: user code has null selectors there.
const DATA_SEGMENTS: std::ops::Range<usize> = 23..27;

/// RFLAGS as user code sees it: bit 1 is always set, and interrupts are on.
const FIXED_FLAGS: u64 = 1 << 1 | 1 << 9;

// The XSAVE area (SDM 1 13.4).
const LEGACY_BYTES: usize = 512;
const HEADER_END: usize = 576;
const MXCSR: std::ops::Range<usize> = 24..28;
const MXCSR_BITS: u32 = 0x2_ffff;
/// Where the kernel tells debuggers XCR0: in bytes that the processor leaves to software.
const SOFTWARE_XCR0: std::ops::Range<usize> = 464..472;
const XSTATE_BV: std::ops::Range<usize> = 512..520;
const LEGACY_FEATURES: u64 = 3;

/// A stopped task's registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// The general registers.
    pub(crate) registers: Registers,
    /// `orig_rax`: the system call that the task is in; negative for none.
    pub(crate) original_rax: u64,
    /// Bases of FS and GS.
    pub(crate) bases: SegmentBases,
    pub(crate) debug: DebugRegisters,
    /// The XSAVE area in standard format.
    pub(crate) extended_state: Vec<u8>,
    /// The features in it that user code has (XCR0).
    pub(crate) extended_features: u64,
    /// Whether the tracer replaced the extended state.
    pub(crate) has_new_extended_state: bool,
    /// Which system calls it gets back (PR_SET_SYSCALL_USER_DISPATCH).
    pub(crate) user_dispatch: Option<UserDispatch>,
}

impl Image {
    /// `struct user_regs_struct`.
    pub(crate) fn words(&self) -> [u64; GENERAL_REGISTER_COUNT] {
        let registers = &self.registers;
        [
            registers.r15,
            registers.r14,
            registers.r13,
            registers.r12,
            registers.rbp,
            registers.rbx,
            registers.r11,
            registers.r10,
            registers.r9,
            registers.r8,
            registers.rax,
            registers.rcx,
            registers.rdx,
            registers.rsi,
            registers.rdi,
            self.original_rax,
            registers.rip,
            Registers::USER_CS.into(),
            registers.rflags | FIXED_FLAGS,
            registers.rsp,
            Registers::USER_SS.into(),
            self.bases.fs,
            self.bases.gs,
            0,
            0,
            0,
            0,
        ]
    }

    /// Sets the word at `place` of `struct user_regs_struct`.
    ///
    /// # Errors
    /// EIO: another code or stack segment than user code's, or a base outside of user memory.
    pub(crate) fn set_word(&mut self, place: usize, value: u64) -> Result<(), Errno> {
        let is_user_base = value < VirtualAddress::USER_END.0;
        match place {
            ORIGINAL_RAX => self.original_rax = value,
            CS if value == u64::from(Registers::USER_CS) => {}
            SS if value == u64::from(Registers::USER_SS) => {}
            FLAGS => {
                let kept = self.registers.rflags & !Registers::USER_FLAGS;
                self.registers.rflags = kept | value & Registers::USER_FLAGS;
            }
            FS_BASE if is_user_base => self.bases.fs = value,
            GS_BASE if is_user_base => self.bases.gs = value,
            // A null selector is all that there is; its lower bits do not matter.
            place if DATA_SEGMENTS.contains(&place) && value <= 3 => {}
            place => *self.general(place).ok_or(Errno::EIO)? = value,
        }
        Ok(())
    }

    fn general(&mut self, place: usize) -> Option<&mut u64> {
        let registers = &mut self.registers;
        Some(match place {
            0 => &mut registers.r15,
            1 => &mut registers.r14,
            2 => &mut registers.r13,
            3 => &mut registers.r12,
            4 => &mut registers.rbp,
            5 => &mut registers.rbx,
            6 => &mut registers.r11,
            7 => &mut registers.r10,
            8 => &mut registers.r9,
            9 => &mut registers.r8,
            10 => &mut registers.rax,
            11 => &mut registers.rcx,
            12 => &mut registers.rdx,
            13 => &mut registers.rsi,
            14 => &mut registers.rdi,
            16 => &mut registers.rip,
            19 => &mut registers.rsp,
            _ => return None,
        })
    }

    /// Sets the first words of `struct user_regs_struct`, in order, up to one that is refused.
    ///
    /// # Errors
    /// As [`Image::set_word`].
    pub(crate) fn set_words(&mut self, words: &[u64]) -> Result<(), Errno> {
        words.iter().enumerate().try_for_each(|(place, word)| self.set_word(place, *word))
    }

    /// `struct user_fpregs_struct`: what FXSAVE stores.
    pub(crate) fn floating_point(&self) -> Vec<u8> {
        let mut bytes = self.extended_state.get(..LEGACY_BYTES).map(<[u8]>::to_vec).unwrap_or_default();
        bytes.resize(LEGACY_BYTES, 0);
        bytes
    }

    /// Replaces what FXSAVE stores; the rest of the extended state stays.
    ///
    /// # Errors
    /// EINVAL: MXCSR has bits that do not exist.
    pub(crate) fn set_floating_point(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let mut area = self.extended_state.clone();
        if area.len() < HEADER_END {
            area = initial_extended_state();
        }
        for (place, byte) in area.iter_mut().zip(bytes.iter().take(LEGACY_BYTES)) {
            *place = *byte;
        }
        let features = word(&area, XSTATE_BV) | LEGACY_FEATURES;
        put(&mut area, XSTATE_BV, features);
        self.replace_extended_state(area)
    }

    /// NT_X86_XSTATE: the XSAVE area, with XCR0 where debuggers look for it.
    pub(crate) fn xstate(&self) -> Vec<u8> {
        let mut area = self.extended_state.clone();
        put(&mut area, SOFTWARE_XCR0, self.extended_features);
        area
    }

    /// Replaces the extended state with a whole area.
    ///
    /// # Errors
    /// EFAULT: not the whole area. EINVAL: the processor would not restore it.
    pub(crate) fn set_xstate(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.len() != self.extended_state.len() {
            return Err(Errno::EFAULT);
        }
        self.replace_extended_state(bytes.to_vec())
    }

    fn replace_extended_state(&mut self, area: Vec<u8>) -> Result<(), Errno> {
        let mxcsr = area.get(MXCSR).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        let has_unknown_features = word(&area, XSTATE_BV) & !self.extended_features != 0;
        let header = area.get(XSTATE_BV.end..HEADER_END).unwrap_or_default();
        if mxcsr.is_none_or(|mxcsr| mxcsr & !MXCSR_BITS != 0)
            || has_unknown_features
            || header.iter().any(|byte| *byte != 0)
        {
            return Err(Errno::EINVAL);
        }
        self.extended_state = area;
        self.has_new_extended_state = true;
        Ok(())
    }
}

fn word(area: &[u8], range: std::ops::Range<usize>) -> u64 {
    area.get(range).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn put(area: &mut [u8], range: std::ops::Range<usize>, value: u64) {
    if let Some(place) = area.get_mut(range) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests;
