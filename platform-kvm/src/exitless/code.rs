//! The gate's machine code.
//!
//! It may change RAX, RCX and R11 only, which SYSCALL takes, and no flag: LEA and NOT count, JRCXZ tests. R11 gets the flags,
//! as by SYSCALL, by way of a stack of the gate's own: the program's may be anything, and holds a red zone. All addresses
//! are constants, since every vCPU finds its call page, and the process's records, at the same ones:
//!
//! ```text
//! gate:      mov %rcx, RECORD
//!            movzbl %al, %ecx;  mov NUMBERS(,%rcx,4), %r11d
//!            not %r11;  lea 1(%r11,%rax), %r11;  mov %r11, %rcx;  jrcxz known
//!            mov POLLED, %rcx;  jrcxz leave;  jmp post
//! leave:     syscall;  int3
//! known:     movzbl %al, %ecx;  mov COUNTS(,%rcx,4), %r11d
//!            lea 1(%r11), %r11d;  mov %r11d, COUNTS(,%rcx,4)
//!            mov VALUES(,%rcx,8), %rax                       # answered
//!            go back
//! post:      mov %rax, NUMBER;  mov %rdi, …  %rsi %rdx %r10 %r8 %r9
//!            mov SEQUENCE, %rcx;  lea 1(%rcx), %rcx
//!            mov %rcx, SEQUENCE                              # posted
//! posted:    mov %rcx, %rax;  not %rax;  mov $PATIENCE, %r11d
//! wait:      mov ANSWERED, %rcx;  lea 1(%rcx,%rax), %rcx;  jrcxz answered
//!            pause;  lea -1(%r11), %r11;  mov %r11, %rcx;  jrcxz give_up;  jmp wait
//! answered:  mov MUST_LEAVE, %rcx;  jrcxz take;  jmp give_up
//! take:      mov VALUE, %rax
//!            go back
//! give_up:   mov NUMBER, %rax;  syscall
//!
//! go back:   mov %rsp, STACK_POINTER;  mov $STACK_END, %rsp
//!            pushfq;  pop %r11;  mov STACK_POINTER, %rsp      # before each of these the stack is the gate's
//!            mov RECORD, %rcx;  lea TAIL(%rcx), %rcx;  jmp *%rcx
//! ```

use std::ops::{Range, RangeInclusive};

use super::page::{COUNTS, NUMBERS, VALUES, offset};
use crate::exitless::sites::RECORD_TAIL;
use crate::layout::{CALL_PAGE, GATE_CODE};

/// How often the gate looks for the answer, with a PAUSE between: some tens of microseconds, about what an exit costs.
const PATIENCE: u32 = 1000;

/// Registers by their numbers (SDM 2A 2.1.5).
const RAX: u8 = 0;
const RCX: u8 = 1;
const RSP: u8 = 4;
/// RDI, RSI, RDX, R10, R8, R9: the arguments, in order.
const ARGUMENTS: [u8; 6] = [7, 6, 2, 10, 8, 9];

/// The gate's code and the places in it that matter when a vCPU stops there, as offsets.
#[derive(Debug)]
pub(crate) struct GateCode {
    pub(crate) bytes: Vec<u8>,
    /// Here the answer is in RAX, and nothing was posted.
    pub(crate) known: Range<u64>,
    /// Here the stack is the gate's own.
    pub(crate) own_stack: [RangeInclusive<u64>; 2],
    /// From here on the request is posted.
    pub(crate) posted: u64,
    /// After the SYSCALL of a call that was not posted.
    pub(crate) left: u64,
    /// After the SYSCALL of a call that was.
    pub(crate) given_up: u64,
}

impl GateCode {
    /// Assembles the gate.
    pub(crate) fn assemble() -> Self {
        let mut code = Assembler::default();
        code.store(RCX, offset::RECORD);
        code.bytes(&LOW_BYTE);
        code.bytes(&[0x44, 0x8b, 0x1c, 0x8d]); // mov NUMBERS(,%rcx,4), %r11d
        code.bytes(&displacement(CALL_PAGE + NUMBERS));
        code.bytes(&[0x49, 0xf7, 0xd3]); // not %r11
        code.bytes(&[0x4d, 0x8d, 0x5c, 0x03, 0x01]); // lea 1(%r11,%rax), %r11
        code.bytes(&[0x4c, 0x89, 0xd9]); // mov %r11, %rcx
        let to_known = code.jrcxz();
        code.load(RCX, offset::POLLED);
        let to_leave = code.jrcxz();
        let to_post = code.jmp();
        code.land(to_leave);
        code.bytes(&SYSCALL);
        let left = code.here();
        code.bytes(&[0xcc]); // int3: nobody comes here
        code.land(to_known);
        code.take_known();
        let known = code.here();
        let own_stack_known = code.go_back();
        let known = known..code.here();
        code.land(to_post);
        code.post();
        let posted = code.here();
        code.bytes(&[0x48, 0x89, 0xc8]); // mov %rcx, %rax
        code.bytes(&[0x48, 0xf7, 0xd0]); // not %rax
        code.bytes(&[0x41, 0xbb]); // mov $PATIENCE, %r11d
        code.bytes(&PATIENCE.to_le_bytes());
        let wait = code.here();
        code.load(RCX, offset::ANSWERED);
        code.bytes(&[0x48, 0x8d, 0x4c, 0x01, 0x01]); // lea 1(%rcx,%rax), %rcx
        let to_answered = code.jrcxz();
        code.bytes(&[0xf3, 0x90]); // pause
        code.bytes(&[0x4d, 0x8d, 0x5b, 0xff]); // lea -1(%r11), %r11
        code.bytes(&[0x4c, 0x89, 0xd9]); // mov %r11, %rcx
        let to_give_up = code.jrcxz();
        let to_wait = code.jmp();
        code.land_at(to_wait, wait);
        code.land(to_answered);
        code.load(RCX, offset::MUST_LEAVE);
        let to_take = code.jrcxz();
        let refused = code.jmp();
        code.land(to_take);
        code.load(RAX, offset::VALUE);
        let own_stack_taken = code.go_back();
        code.land(to_give_up);
        code.land(refused);
        code.load(RAX, offset::NUMBER);
        code.bytes(&SYSCALL);
        let given_up = code.here();
        let own_stack = [own_stack_known, own_stack_taken];
        Self { bytes: code.0, known, own_stack, posted, left, given_up }
    }
}

/// `movzbl %al, %ecx`.
const LOW_BYTE: [u8; 3] = [0x0f, 0xb6, 0xc8];

/// The SYSCALL instruction.
pub(crate) const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// A displacement of 32 bits that names an address in the uppermost 2 GiB.
pub(crate) const fn displacement(address: u64) -> [u8; 4] {
    (address as u32).to_le_bytes()
}

/// Code as it grows.
#[derive(Default)]
struct Assembler(Vec<u8>);

/// The byte of a short jump that says how far it goes.
struct Jump(usize);

impl Assembler {
    fn here(&self) -> u64 {
        self.0.len() as u64
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Counts an answer that was known in advance, the number of whose call is in AL, and loads it into RAX.
    fn take_known(&mut self) {
        self.bytes(&LOW_BYTE);
        self.bytes(&[0x44, 0x8b, 0x1c, 0x8d]); // mov COUNTS(,%rcx,4), %r11d
        self.bytes(&displacement(CALL_PAGE + COUNTS));
        self.bytes(&[0x45, 0x8d, 0x5b, 0x01]); // lea 1(%r11), %r11d
        self.bytes(&[0x44, 0x89, 0x1c, 0x8d]); // mov %r11d, COUNTS(,%rcx,4)
        self.bytes(&displacement(CALL_PAGE + COUNTS));
        self.bytes(&[0x48, 0x8b, 0x04, 0xcd]); // mov VALUES(,%rcx,8), %rax
        self.bytes(&displacement(CALL_PAGE + VALUES));
    }

    /// Writes number and arguments into the call page, and then the next sequence number, which stays in RCX.
    fn post(&mut self) {
        self.store(RAX, offset::NUMBER);
        for (index, register) in ARGUMENTS.into_iter().enumerate() {
            self.store(register, offset::NUMBER + 8 + index as u64 * 8);
        }
        self.load(RCX, offset::SEQUENCE);
        self.bytes(&[0x48, 0x8d, 0x49, 0x01]); // lea 1(%rcx), %rcx
        self.store(RCX, offset::SEQUENCE);
    }

    /// `mov %register, offset of the call page`.
    fn store(&mut self, register: u8, offset: u64) {
        self.move_register(0x89, register, offset);
    }

    /// `mov offset of the call page, %register`.
    fn load(&mut self, register: u8, offset: u64) {
        self.move_register(0x8b, register, offset);
    }

    fn move_register(&mut self, opcode: u8, register: u8, offset: u64) {
        let rex = 0x48 | register >> 3 << 2;
        // ModRM and SIB for an absolute displacement (SDM 2A 2.2.1.3).
        self.bytes(&[rex, opcode, (register & 7) << 3 | 4, 0x25]);
        self.bytes(&displacement(CALL_PAGE + offset));
    }

    /// Has R11 as SYSCALL leaves it, and goes to the record's way back. Returns where the stack is the gate's own.
    fn go_back(&mut self) -> RangeInclusive<u64> {
        self.store(RSP, offset::STACK_POINTER);
        self.bytes(&[0x48, 0xc7, 0xc4]); // mov $STACK_END, %rsp
        self.bytes(&displacement(CALL_PAGE + offset::STACK_END));
        let begin = self.here();
        self.bytes(&[0x9c]); // pushfq
        self.bytes(&[0x41, 0x5b]); // pop %r11
        let end = self.here();
        self.load(RSP, offset::STACK_POINTER);
        self.load(RCX, offset::RECORD);
        self.bytes(&[0x48, 0x8d, 0x49, RECORD_TAIL as u8]); // lea TAIL(%rcx), %rcx
        self.bytes(&[0xff, 0xe1]); // jmp *%rcx
        begin..=end
    }

    fn jrcxz(&mut self) -> Jump {
        self.bytes(&[0xe3, 0]);
        Jump(self.0.len() - 1)
    }

    fn jmp(&mut self) -> Jump {
        self.bytes(&[0xeb, 0]);
        Jump(self.0.len() - 1)
    }

    /// Has `jump` lead here.
    fn land(&mut self, jump: Jump) {
        self.land_at(jump, self.here());
    }

    fn land_at(&mut self, jump: Jump, target: u64) {
        let distance = target as i64 - (jump.0 as i64 + 1);
        debug_assert!(i8::try_from(distance).is_ok(), "a short jump that is too long");
        self.0[jump.0] = distance as i8 as u8;
    }
}

/// Whether an address is in the gate's code.
pub(crate) fn contains(code: &GateCode, rip: u64) -> bool {
    (GATE_CODE..=GATE_CODE + code.bytes.len() as u64).contains(&rip)
}
