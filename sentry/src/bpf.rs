//! Programs of classic BPF (Linux's Documentation/networking/filter.rst): over the words of a system call (`man 2 seccomp`), or over
//! a packet (`man 7 socket`, SO_ATTACH_FILTER).
//!
//! Instructions are decoded once, when the program is installed; what Linux would refuse does not become a
//! [`Program`]. Jumps lead forward only, so a program ends after at most as many steps as it has instructions.

use linux_raw_sys::ptrace as uapi;
use linux_raw_sys::ptrace::{BPF_MOD, BPF_MSH};

use crate::Errno;
use crate::abi::{SeccompData, SockFilter};
use crate::heap::HeapCharge;

/// Most instructions of a program (`BPF_MAXINSNS`).
pub(crate) const MAX_LEN: usize = 4096;

/// Words of scratch memory (`BPF_MEMWORDS`).
const SCRATCH_WORDS: usize = 16;

/// What a program looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// `struct seccomp_data`, by its words.
    Call,
    /// A packet, by bytes, half-words and words.
    Packet,
}

/// How much is looked at, from most significant byte to least where it is a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Byte,
    Half,
    Word,
}

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) offset: u32,
    pub(crate) width: Width,
}

/// What a filter takes beside its program's instructions.
const OVERHEAD_BYTES: usize = 512;

/// A program that has been checked.
#[derive(Debug)]
pub(crate) struct Program {
    /// As it was given.
    source: Box<[SockFilter]>,
    operations: Box<[Operation]>,
    _heap_charge: HeapCharge,
}

/// A decoded instruction. `A` is the accumulator, `X` the index register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// `A` becomes a part of the data.
    LoadData(Part),
    /// The same, so many bytes behind `X`.
    LoadBehindIndex(Part),
    /// `A` becomes the length of the packet.
    LoadLength,
    /// `X` becomes that.
    LoadIndexLength,
    /// `X` becomes four times the low half of the byte there.
    LoadHeaderLength(u32),
    LoadConstant(u32),
    LoadScratch(usize),
    LoadIndexConstant(u32),
    LoadIndexScratch(usize),
    Store(usize),
    StoreIndex(usize),
    /// `X` becomes `A`.
    ToIndex,
    /// `A` becomes `X`.
    FromIndex,
    Compute(Arithmetic, Operand),
    Negate,
    Jump(usize),
    Branch {
        condition: Condition,
        operand: Operand,
        if_true: usize,
        if_false: usize,
    },
    ReturnConstant(u32),
    ReturnAccumulator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    Constant(u32),
    Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

impl Program {
    /// Checks and decodes a program.
    ///
    /// # Errors
    /// EINVAL: it is empty or too long, an instruction is none or none for a filter, a jump leads outside, scratch
    /// memory is read before it is written, or the program does not end by a return. ENOMEM.
    pub(crate) fn new(source: &[SockFilter], subject: Subject) -> Result<Self, Errno> {
        if source.is_empty() || source.len() > MAX_LEN {
            return Err(Errno::EINVAL);
        }
        let decode = |(index, instruction)| Operation::decode(instruction, index, source.len(), subject);
        let operations = source.iter().enumerate().map(decode).collect::<Result<Box<[_]>, _>>()?;
        let ends =
            matches!(operations.last(), Some(Operation::ReturnConstant(_) | Operation::ReturnAccumulator));
        if !ends || !reads_only_written_scratch(&operations) {
            return Err(Errno::EINVAL);
        }
        let len_bytes = OVERHEAD_BYTES + size_of_val(&*operations) + size_of_val(source);
        let _heap_charge = HeapCharge::new(len_bytes)?;
        Ok(Self { source: source.into(), operations, _heap_charge })
    }

    /// The instructions, as they were given.
    pub(crate) fn source(&self) -> &[SockFilter] {
        &self.source
    }

    /// How long Linux's translation of the program to eBPF is, instructions: what it bounds.
    pub(crate) fn translated_len(&self) -> usize {
        const PROLOGUE_LEN: usize = 3;
        let operations = self.operations.iter().enumerate();
        PROLOGUE_LEN + operations.map(|(index, operation)| operation.translated_len(index + 1)).sum::<usize>()
    }

    /// Runs the program over data of `len_bytes` of which `load` knows some parts; `None` once it looks at another.
    pub(crate) fn run(&self, len_bytes: u32, load: impl Fn(Part) -> Option<u32>) -> Option<u32> {
        self.run_within(self.operations.len(), len_bytes, load)
    }

    /// The same; `None`, too, if it has not ended after `steps_max` instructions.
    pub(crate) fn run_within(
        &self,
        steps_max: usize,
        len_bytes: u32,
        load: impl Fn(Part) -> Option<u32>,
    ) -> Option<u32> {
        let (mut accumulator, mut index) = (0u32, 0u32);
        let mut scratch = [0u32; SCRATCH_WORDS];
        let mut next = 0;
        for _ in 0..steps_max {
            let operation = *self.operations.get(next)?;
            next += 1;
            match operation {
                Operation::LoadData(part) => accumulator = load(part)?,
                Operation::LoadBehindIndex(Part { offset, width }) => {
                    accumulator = load(Part { offset: offset.wrapping_add(index), width })?;
                }
                Operation::LoadLength => accumulator = len_bytes,
                Operation::LoadIndexLength => index = len_bytes,
                Operation::LoadHeaderLength(offset) => {
                    index = (load(Part { offset, width: Width::Byte })? & 0xf) * 4;
                }
                Operation::LoadConstant(value) => accumulator = value,
                Operation::LoadScratch(word) => accumulator = *scratch.get(word)?,
                Operation::LoadIndexConstant(value) => index = value,
                Operation::LoadIndexScratch(word) => index = *scratch.get(word)?,
                Operation::Store(word) => *scratch.get_mut(word)? = accumulator,
                Operation::StoreIndex(word) => *scratch.get_mut(word)? = index,
                Operation::ToIndex => index = accumulator,
                Operation::FromIndex => accumulator = index,
                Operation::Compute(arithmetic, operand) => {
                    match arithmetic.apply(accumulator, operand.value(index)) {
                        Some(value) => accumulator = value,
                        // A division by zero ends a program with 0, which is SECCOMP_RET_KILL_THREAD.
                        None => return Some(0),
                    }
                }
                Operation::Negate => accumulator = accumulator.wrapping_neg(),
                Operation::Jump(target) => next = target,
                Operation::Branch { condition, operand, if_true, if_false } => {
                    let holds = condition.holds(accumulator, operand.value(index));
                    next = if holds { if_true } else { if_false };
                }
                Operation::ReturnConstant(value) => return Some(value),
                Operation::ReturnAccumulator => return Some(accumulator),
            }
        }
        None
    }
}

impl Operand {
    fn value(self, index: u32) -> u32 {
        match self {
            Self::Constant(value) => value,
            Self::Index => index,
        }
    }
}

impl Arithmetic {
    fn from_code(code: u32, subject: Subject) -> Option<Self> {
        Some(match code & 0xf0 {
            BPF_MOD if subject == Subject::Packet => Self::Remainder,
            uapi::BPF_ADD => Self::Add,
            uapi::BPF_SUB => Self::Subtract,
            uapi::BPF_MUL => Self::Multiply,
            uapi::BPF_DIV => Self::Divide,
            uapi::BPF_AND => Self::And,
            uapi::BPF_OR => Self::Or,
            uapi::BPF_XOR => Self::Xor,
            uapi::BPF_LSH => Self::ShiftLeft,
            uapi::BPF_RSH => Self::ShiftRight,
            _ => return None,
        })
    }

    /// Whether a constant operand is refused when the program is installed.
    fn refuses(self, constant: u32) -> bool {
        match self {
            Self::Divide | Self::Remainder => constant == 0,
            Self::ShiftLeft | Self::ShiftRight => constant >= u32::BITS,
            _ => false,
        }
    }

    /// The result; `None` of a division by zero.
    fn apply(self, left: u32, right: u32) -> Option<u32> {
        Some(match self {
            Self::Add => left.wrapping_add(right),
            Self::Subtract => left.wrapping_sub(right),
            Self::Multiply => left.wrapping_mul(right),
            Self::Divide => left.checked_div(right)?,
            Self::Remainder => left.checked_rem(right)?,
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
            Self::ShiftLeft => left.wrapping_shl(right),
            Self::ShiftRight => left.wrapping_shr(right),
        })
    }
}

impl Condition {
    fn from_code(code: u32) -> Option<Self> {
        Some(match code & 0xf0 {
            uapi::BPF_JEQ => Self::Equal,
            uapi::BPF_JGT => Self::Greater,
            uapi::BPF_JGE => Self::GreaterOrEqual,
            uapi::BPF_JSET => Self::AnyBit,
            _ => return None,
        })
    }

    fn holds(self, left: u32, right: u32) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::AnyBit => left & right != 0,
        }
    }
}

impl Operation {
    /// The instruction at `index` of a program of `len`.
    fn decode(instruction: &SockFilter, index: usize, len: usize, subject: Subject) -> Result<Self, Errno> {
        let (code, k) = (u32::from(instruction.code), instruction.k);
        let target = |distance: u32| {
            let target = index + 1 + usize::try_from(distance).map_err(|_| Errno::EINVAL)?;
            if target < len { Ok(target) } else { Err(Errno::EINVAL) }
        };
        // A class of instructions has no bits but these.
        let class = code & 0x07;
        Ok(match class {
            uapi::BPF_LD | uapi::BPF_LDX => Self::decode_load(code, k, subject)?,
            uapi::BPF_ST if code == class => Self::Store(scratch_word(k)?),
            uapi::BPF_STX if code == class => Self::StoreIndex(scratch_word(k)?),
            uapi::BPF_ALU => Self::decode_arithmetic(code, k, subject)?,
            uapi::BPF_JMP if code == uapi::BPF_JMP | uapi::BPF_JA => Self::Jump(target(k)?),
            uapi::BPF_JMP => Self::Branch {
                condition: Condition::from_code(code).ok_or(Errno::EINVAL)?,
                operand: operand(code, k)?,
                if_true: target(instruction.jt.into())?,
                if_false: target(instruction.jf.into())?,
            },
            uapi::BPF_RET if code == uapi::BPF_RET | uapi::BPF_K => Self::ReturnConstant(k),
            uapi::BPF_RET if code == uapi::BPF_RET | uapi::BPF_A => Self::ReturnAccumulator,
            uapi::BPF_MISC if code == uapi::BPF_MISC | uapi::BPF_TAX => Self::ToIndex,
            uapi::BPF_MISC if code == uapi::BPF_MISC | uapi::BPF_TXA => Self::FromIndex,
            _ => return Err(Errno::EINVAL),
        })
    }

    /// How many instructions of eBPF stand for it, before `next`.
    fn translated_len(&self, next: usize) -> usize {
        match *self {
            Self::ReturnConstant(_) => 2,
            // A division looks at its divisor first.
            Self::Compute(Arithmetic::Divide, Operand::Index) => 4,
            Self::Branch { operand, if_true, if_false, .. } => {
                // A constant that would be extended by its sign is loaded by itself.
                let is_loaded = matches!(operand, Operand::Constant(value) if value.cast_signed() < 0);
                let jumps_twice = if_true != next && if_false != next;
                1 + usize::from(is_loaded) + usize::from(jumps_twice)
            }
            _ => 1,
        }
    }

    fn decode_load(code: u32, k: u32, subject: Subject) -> Result<Self, Errno> {
        const LEN_BYTES: u32 = size_of::<SeccompData>() as u32;
        const ABSOLUTE: u32 = uapi::BPF_LD | uapi::BPF_W | uapi::BPF_ABS;
        const LENGTH: u32 = uapi::BPF_LD | uapi::BPF_W | uapi::BPF_LEN;
        const INDEX_LENGTH: u32 = uapi::BPF_LDX | uapi::BPF_W | uapi::BPF_LEN;
        const IMMEDIATE: u32 = uapi::BPF_LD | uapi::BPF_IMM;
        const INDEX_IMMEDIATE: u32 = uapi::BPF_LDX | uapi::BPF_IMM;
        const SCRATCH: u32 = uapi::BPF_LD | uapi::BPF_MEM;
        const INDEX_SCRATCH: u32 = uapi::BPF_LDX | uapi::BPF_MEM;
        Ok(match code {
            LENGTH if subject == Subject::Packet => Self::LoadLength,
            INDEX_LENGTH if subject == Subject::Packet => Self::LoadIndexLength,
            _ if subject == Subject::Packet
                && let Some(load) = Self::decode_packet_load(code, k) =>
            {
                load
            }
            ABSOLUTE if subject == Subject::Call && k < LEN_BYTES && k.is_multiple_of(4) => {
                Self::LoadData(Part { offset: k, width: Width::Word })
            }
            LENGTH => Self::LoadConstant(LEN_BYTES),
            INDEX_LENGTH => Self::LoadIndexConstant(LEN_BYTES),
            IMMEDIATE => Self::LoadConstant(k),
            INDEX_IMMEDIATE => Self::LoadIndexConstant(k),
            SCRATCH => Self::LoadScratch(scratch_word(k)?),
            INDEX_SCRATCH => Self::LoadIndexScratch(scratch_word(k)?),
            _ => return Err(Errno::EINVAL),
        })
    }

    /// A load from a packet.
    fn decode_packet_load(code: u32, k: u32) -> Option<Self> {
        const SIZE: u32 = uapi::BPF_W | uapi::BPF_H | uapi::BPF_B;
        if code == uapi::BPF_LDX | uapi::BPF_B | BPF_MSH {
            return Some(Self::LoadHeaderLength(k));
        }
        let width = match code & SIZE {
            uapi::BPF_W => Width::Word,
            uapi::BPF_H => Width::Half,
            uapi::BPF_B => Width::Byte,
            _ => return None,
        };
        let part = Part { offset: k, width };
        match code & !SIZE {
            absolute if absolute == uapi::BPF_LD | uapi::BPF_ABS => Some(Self::LoadData(part)),
            indexed if indexed == uapi::BPF_LD | uapi::BPF_IND => Some(Self::LoadBehindIndex(part)),
            _ => None,
        }
    }

    fn decode_arithmetic(code: u32, k: u32, subject: Subject) -> Result<Self, Errno> {
        if code == uapi::BPF_ALU | uapi::BPF_NEG {
            return Ok(Self::Negate);
        }
        let arithmetic = Arithmetic::from_code(code, subject).ok_or(Errno::EINVAL)?;
        let operand = operand(code, k)?;
        match operand {
            Operand::Constant(constant) if arithmetic.refuses(constant) => Err(Errno::EINVAL),
            _ => Ok(Self::Compute(arithmetic, operand)),
        }
    }
}

/// The right side of an arithmetic instruction or a branch.
fn operand(code: u32, k: u32) -> Result<Operand, Errno> {
    match code & !0xf7 {
        uapi::BPF_K => Ok(Operand::Constant(k)),
        uapi::BPF_X => Ok(Operand::Index),
        _ => Err(Errno::EINVAL),
    }
}

fn scratch_word(k: u32) -> Result<usize, Errno> {
    usize::try_from(k).ok().filter(|word| *word < SCRATCH_WORDS).ok_or(Errno::EINVAL)
}

/// Whether no way through the program reads a scratch word that was not written on it.
fn reads_only_written_scratch(operations: &[Operation]) -> bool {
    const ALL: u16 = u16::MAX;
    // What has been written on every way that jumps to an instruction: bit N for word N.
    let mut at_target = vec![ALL; operations.len()];
    let mut written = 0;
    for (index, operation) in operations.iter().enumerate() {
        written &= at_target[index];
        let mut leads_to = |target: usize| at_target[target] &= written;
        match *operation {
            Operation::Store(word) | Operation::StoreIndex(word) => written |= 1 << word,
            Operation::LoadScratch(word) | Operation::LoadIndexScratch(word) if written & 1 << word == 0 => {
                return false;
            }
            Operation::Jump(target) => {
                leads_to(target);
                written = ALL;
            }
            Operation::Branch { if_true, if_false, .. } => {
                leads_to(if_true);
                leads_to(if_false);
                written = ALL;
            }
            _ => {}
        }
    }
    true
}
