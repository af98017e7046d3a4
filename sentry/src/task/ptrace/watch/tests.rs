use super::*;

const RIP: u64 = 0x40_0000;

/// What the instruction `bytes` does, while 8 bytes at 0x1000 are watched for writes and 8 at 0x2000 for all accesses.
fn foresee(bytes: &[u8]) -> Foreseen {
    let mut watched = DebugRegisters::default();
    watched.set(0, 0x1000).unwrap();
    watched.set(1, 0x2000).unwrap();
    watched.set(7, 1 | 1 << 2 | 0b1001 << 16 | 0b1011 << 20).unwrap();
    let registers = Registers {
        rip: RIP,
        rax: 0x800,
        rcx: 2,
        rsi: 0x2000,
        rdi: 0x1000,
        rsp: 0x2008,
        ..Registers::default()
    };
    let bases = SegmentBases { fs: 0x1800, gs: 0 };
    let instruction = Decoder::with_ip(64, bytes, RIP, DecoderOptions::NONE).decode();
    Foreseen::new(&instruction, &registers, bases, &watched)
}

#[test]
fn instructions_hit_what_they_touch() {
    let cases: [(&str, &[u8], u64); 12] = [
        ("mov (%rdi), %rbx", &[0x48, 0x8b, 0x1f], 0),
        ("mov %rbx, (%rdi)", &[0x48, 0x89, 0x1f], 1),
        ("mov (%rsi), %bl", &[0x8a, 0x1e], 2),
        ("mov 8(%rsi), %bl", &[0x8a, 0x5e, 8], 0),
        ("lea (%rsi), %rbx", &[0x48, 0x8d, 0x1e], 0),
        ("mov (%rax,%rax,2), %bl: 0x1800", &[0x8a, 0x1c, 0x40], 0),
        ("mov %fs:(%rax), %bl: 0x2000", &[0x64, 0x8a, 0x18], 2),
        ("push %rbx: 0x2000", &[0x53], 2),
        ("call", &[0xe8, 0, 0, 0, 0], 2),
        ("rep movsb", &[0xf3, 0xa4], 3),
        ("lock cmpxchg %rbx, (%rdi)", &[0xf0, 0x48, 0x0f, 0xb1, 0x1f], 1),
        ("prefetcht0 (%rsi)", &[0x0f, 0x18, 0x0e], 0),
    ];
    for (name, bytes, hits) in cases {
        assert_eq!(foresee(bytes).hits, hits, "{name}");
    }
}

#[test]
fn branches_tell_where_they_are_not_taken() {
    for (name, bytes, next) in [
        ("nop", &[0x90][..], None),
        ("jnz", &[0x75, 5], Some(RIP + 2)),
        ("ret", &[0xc3], Some(RIP + 1)),
        ("not an instruction", &[0x06], None),
        ("half an instruction", &[0xe8, 0], None),
    ] {
        assert_eq!(foresee(bytes).next, next, "{name}");
    }
}
