//! What user code does comes back as the right exit with the right registers.

mod common;

use common::{CODE, Guest, STACK_TOP, start};
use platform_kvm::Config;
use sentry::platform::{Access, Exit, Registers, SegmentBases, VirtualAddress};

fn distinct() -> Registers {
    Registers {
        rax: 0x1001,
        rbx: 0x1002,
        rcx: 0x1003,
        rdx: 0x1004,
        rsi: 0x1005,
        rdi: 0x1006,
        rbp: 0x1007,
        r8: 0x1008,
        r9: 0x1009,
        r10: 0x100a,
        r11: 0x100b,
        r12: 0x100c,
        r13: 0x100d,
        r14: 0x100e,
        r15: 0x100f,
        rsp: STACK_TOP - 0x123,
        rip: CODE,
        rflags: 0x8d7 | 0x200,
    }
}

/// Where the first vCPU's stack is.
const KERNEL_STACK: u64 = 0xffff_ff80_0000_9fd0;

fn exception(exit: &Exit) -> Option<(u8, u32)> {
    match exit {
        Exit::Exception { vector, code } => Some((*vector, *code)),
        _ => None,
    }
}

#[test]
fn a_system_call_keeps_all_registers() {
    let guest = Guest::new();
    let space = guest.space(&[0x0f, 0x05, 0x0f, 0x05, 0x0f, 0x05]);
    let mut context = guest.context();
    let mut registers = distinct();
    for call in 1..=3 {
        let before = registers;
        assert!(matches!(context.run(&space, &mut registers), Exit::Syscall));
        let rip = CODE + 2 * call;
        assert_eq!(registers, Registers { rip, rcx: rip, r11: before.rflags, ..before });
        registers.rax = call;
    }
}

#[test]
fn registers_are_exact_however_user_code_is_entered() {
    // Each piece of code leaves the vCPU in another state; then all registers are replaced.
    let leave_by: [(&str, &[u8]); 3] = [
        ("system call", &[0x0f, 0x05]),
        ("exception", &[0x0f, 0x0b]),
        ("page fault", &[0xa1, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (name, code) in leave_by {
        let guest = Guest::new();
        let mut bytes = code.to_vec();
        bytes.resize(0x100, 0x90);
        bytes.extend([0x0f, 0x0b]); // ud2: changes no register
        let space = guest.space(&bytes);
        let mut context = guest.context();
        let mut registers = start();
        context.run(&space, &mut registers);
        let wanted = Registers { rip: CODE + 0x100, ..distinct() };
        registers = wanted;
        let exit = context.run(&space, &mut registers);
        assert_eq!(exception(&exit), Some((6, 0)), "{name}: {exit:?}");
        assert_eq!(registers, wanted, "{name}");
        // And again from there.
        let exit = context.run(&space, &mut registers);
        assert_eq!(exception(&exit), Some((6, 0)), "{name}: {exit:?}");
        assert_eq!(registers, wanted, "{name}");
    }
}

#[test]
fn exceptions_have_their_vectors() {
    let cases: [(&str, &[u8], &[u8], u64); 9] = [
        ("#DE", &[0x31, 0xc9, 0xf7, 0xf1], &[0], 2),
        ("#UD", &[0x0f, 0x0b], &[6], 0),
        ("#BP", &[0xcc], &[3], 1),
        ("hlt", &[0xf4], &[13], 0),
        ("cli", &[0xfa], &[13], 0),
        ("another port", &[0xe6, 0x11], &[13], 0),
        ("an exception's port", &[0xe6, 0x20], &[13], 0),
        // KVM hosts differ here.
        ("int $0x80", &[0xcd, 0x80], &[6, 13], 0),
        ("int $14", &[0xcd, 14], &[6, 13], 0),
    ];
    let guest = Guest::new();
    for (name, code, vectors, rip) in cases {
        let space = guest.space(code);
        let mut context = guest.context();
        let mut registers = start();
        let exit = context.run(&space, &mut registers);
        let (vector, _) = exception(&exit).unwrap_or_else(|| panic!("{name}: {exit:?}"));
        assert!(vectors.contains(&vector), "{name}: {exit:?}");
        assert!(registers.rip == CODE + rip || name.starts_with("int"), "{name}: {registers:x?}");
        assert_eq!(registers.rsp, STACK_TOP, "{name}");
    }
}

#[test]
fn single_stepping_stops_after_each_instruction() {
    let guest = Guest::new();
    let space = guest.space(&[0x90, 0x90, 0x48, 0xff, 0xc0, 0x90]);
    let mut context = guest.context();
    let mut registers = Registers { rflags: 0x302, ..start() };
    for rip in [1, 2, 5, 6] {
        let exit = context.run(&space, &mut registers);
        assert_eq!(exception(&exit), Some((1, 0)), "{exit:?}");
        assert_eq!(registers.rip, CODE + rip);
        assert_eq!(registers.rflags & 0x100, 0x100);
    }
    assert_eq!(registers.rax, 1);
}

#[test]
fn single_stepping_goes_on_after_a_system_call() {
    let guest = Guest::new();
    let space = guest.space(&[0x0f, 0x05, 0x90, 0x48, 0xff, 0xc0]); // syscall; nop; inc %rax
    let mut context = guest.context();
    let mut registers = start();
    assert!(matches!(context.run(&space, &mut registers), Exit::Syscall));
    (registers.rax, registers.rflags, registers.r11) = (0, 0x302, 0x302);
    for rip in [3, 6] {
        let exit = context.run(&space, &mut registers);
        assert_eq!(exception(&exit), Some((1, 0)), "{exit:?}");
        assert_eq!(registers.rip, CODE + rip);
    }
    assert_eq!(registers.rax, 1);
}

#[test]
fn page_faults_name_address_and_access() {
    let guest = Guest::new();
    let cases: [(&[u8], u64, Access); 5] = [
        (&[0x48, 0x8b, 0x07], 0x1234_5678, Access::READ), // mov (%rdi), %rax
        (&[0x48, 0x89, 0x07], 0x1234_5678, Access::WRITE),
        (&[0xff, 0xe7], 0x1234_5000, Access::EXECUTE), // jmp *%rdi
        (&[0xff, 0xe7], STACK_TOP - 64, Access::EXECUTE),
        (&[0x48, 0x89, 0x07], CODE, Access::WRITE),
    ];
    for (code, target, wanted) in cases {
        let space = guest.space(code);
        let mut context = guest.context();
        for _ in 0..20 {
            let mut registers = Registers { rdi: target, ..start() };
            match context.run(&space, &mut registers) {
                Exit::Fault { address, access } => {
                    assert_eq!((address, access), (VirtualAddress(target), wanted));
                }
                other => panic!("{target:#x}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_kernels_pages_cannot_be_touched() {
    let guest = Guest::new();
    for (code, page) in [(&[0x48, 0x8b, 0x07_u8], 3_u64), (&[0x48, 0x89, 0x07], 3), (&[0x48, 0x89, 0x07], 9)]
    {
        for page in [page, page + 1, page + 5] {
            let space = guest.space(code);
            let target = 0xffff_ff80_0000_0000 + page * 4096;
            let mut registers = Registers { rdi: target, rsi: 1, ..start() };
            let exit = guest.context().run(&space, &mut registers);
            let is_harmless = matches!(exit, Exit::Fault { address, .. } if address.0 == target)
                // The stubs may be readable.
                || matches!(exit, Exit::Fault { .. } | Exit::Exception { .. }) && code[1] == 0x8b;
            assert!(is_harmless, "page {page}: {exit:?}");
        }
    }
}

#[test]
fn using_the_port_is_a_protection_fault() {
    let guest = Guest::with_config(Config { vcpus_max: 2, ..Config::default() });
    // out and in, then the same by DX, with repeated strings, and wider; and there: ud2.
    let accesses: [&[u8]; 12] = [
        &[0xe6, 0x10],
        &[0xe4, 0x10],
        &[0xee],
        &[0xec],
        &[0x6e],
        &[0x6c],
        &[0xf3, 0x6e],
        &[0xf3, 0x6c],
        &[0xef],
        &[0xed],
        &[0xf3, 0x6f],
        &[0xf3, 0x6d],
    ];
    for access in accesses {
        let space = guest.space(&[access, &[0x0f, 0x0b]].concat());
        let mut context = guest.context();
        // More often than there are vCPUs: none is lost.
        for _ in 0..3 {
            let registers =
                Registers { rdx: 0x10, rsi: CODE, rdi: STACK_TOP - 4096, rcx: 10_000, rax: 7, ..start() };
            let mut after = registers;
            let exit = context.run(&space, &mut after);
            assert!(matches!(exception(&exit), Some((13, _))), "{access:x?}: {exit:?}");
            // Where KVM has let the access happen, RIP may be past it.
            assert!((CODE..=CODE + access.len() as u64).contains(&after.rip), "{access:x?}: {after:x?}");
            assert_eq!(after.rax, 7, "{access:x?}");
            // The context goes on.
            let mut next = Registers { rip: CODE + access.len() as u64, ..registers };
            assert_eq!(exception(&context.run(&space, &mut next)), Some((6, 0)), "{access:x?}");
            assert_eq!(next.rax, 7, "{access:x?}");
        }
    }
}

#[test]
fn wild_addresses_are_exceptions() {
    let guest = Guest::new();
    let space = guest.space(&[0xff, 0xe7]); // jmp *%rdi
    let mut context = guest.context();
    let wild = [
        0x7fff_ffff_f000,
        0x8000_0000_0000,
        0xffff_7fff_ffff_ffff,
        0xffff_8000_0000_0000,
        0xffff_ff80_0000_0000,
        0xffff_ff80_0000_4000,
        0xffff_ff80_0000_4002,
        0xffff_ff80_0000_4010,
        0xffff_ff80_0000_5002,
        0xffff_ff80_0000_5010,
        0xffff_ff80_0000_5020,
        0xffff_ff80_0000_51e2,
        0xffff_ffff_ffff_ffff,
    ];
    for rip in wild {
        let mut registers = Registers { rip, ..start() };
        let exit = context.run(&space, &mut registers);
        assert_eq!(exception(&exit), Some((13, 0)), "{rip:#x}: {exit:?}");

        // The same by a jump, from which user code never comes back.
        let mut registers = Registers { rdi: rip, rcx: CODE, r11: 0x202, ..start() };
        let exit = context.run(&space, &mut registers);
        assert!(
            matches!(exit, Exit::Exception { .. } | Exit::Fault { .. } | Exit::Syscall),
            "{rip:#x}: {exit:?}"
        );
    }
    let mut registers = Registers { rdi: 0x5000, ..start() };
    assert!(matches!(context.run(&space, &mut registers), Exit::Fault { .. }));
}

#[test]
fn a_return_to_a_wild_address_is_refused_before_entering() {
    let guest = Guest::new();
    let space = guest.space(&[0x0f, 0x05, 0x0f, 0x05]);
    let mut context = guest.context();
    let mut registers = start();
    assert!(matches!(context.run(&space, &mut registers), Exit::Syscall));
    let after = registers;
    // RCX and R11 as SYSRETQ wants them, and a stack that the fault of a SYSRETQ in ring 0 would write to.
    context.interrupter().interrupt();
    for rip in [0x7fff_ffff_f000, 0x8000_0000_0000, 0xffff_7fff_ffff_ffff, 0xffff_8000_0000_0000] {
        let wanted = Registers { rip, rcx: rip, r11: 0x202, rflags: 0x202, rsp: KERNEL_STACK, ..after };
        registers = wanted;
        let exit = context.run(&space, &mut registers);
        assert_eq!(exception(&exit), Some((13, 0)), "{rip:#x}: {exit:?}");
        assert_eq!(registers, wanted);
    }
    // No vCPU was entered: the kick is still owed. And SYSRETQ still leads back.
    registers = after;
    assert!(matches!(context.run(&space, &mut registers), Exit::Interrupted));
    assert!(matches!(context.run(&space, &mut registers), Exit::Syscall));
    assert_eq!(registers.rip, CODE + 4);
}

#[test]
fn wild_stacks_are_kept() {
    let guest = Guest::new();
    // ud2; syscall; mov %cr3, %rax
    let space = guest.space(&[0x0f, 0x0b, 0x0f, 0x05, 0x0f, 0x20, 0xd8]);
    for rsp in [0, 1, 0x8000_0000_0000, 0x322e_0e3c_7ddb_5a87, 0xffff_8000_0000_0000, KERNEL_STACK, u64::MAX]
    {
        let mut context = guest.context();
        for rflags in [0x202, 0x4_0202] {
            for (offset, vector) in
                [(0, Some(6)), (2, None), (4, Some(13)), (2, None), (0, Some(6)), (4, Some(13))]
            {
                let wanted = Registers { rsp, rip: CODE + offset, rflags, ..start() };
                let mut registers = wanted;
                match (context.run(&space, &mut registers), vector) {
                    (Exit::Syscall, None) => {}
                    (Exit::Exception { vector, .. }, Some(wanted)) if vector == wanted => {}
                    (exit, _) => panic!("{rsp:#x}, +{offset}: {exit:?}"),
                }
                assert_eq!((registers.rsp, registers.rflags), (rsp, rflags));
            }
        }
    }
}

#[test]
fn other_code_segments_do_not_exist() {
    let guest = Guest::new();
    // push $selector; push $CODE+16; lretq; and there: ud2
    for selector in [0x23, 0x10, 0x13, 0x2b, 0x3b, 0x43] {
        let mut code = vec![0x6a, selector, 0x68, 0x10, 0x00, 0x40, 0x00, 0x48, 0xcb];
        code.resize(16, 0x90);
        code.extend([0x0f, 0x0b]);
        let space = guest.space(&code);
        let mut context = guest.context();
        for _ in 0..3 {
            let exit = context.run(&space, &mut Registers { rsp: STACK_TOP - 64, ..start() });
            // Software emulations of the processor may find the stack unreadable instead.
            let is_refused = matches!(exit, Exit::Exception { vector: 13, .. } | Exit::Fault { .. });
            assert!(is_refused, "{selector:#x}: {exit:?}");
        }
    }
}

#[test]
fn flags_that_are_not_the_users_are_not_taken() {
    let guest = Guest::new();
    // pushf; pop %rax; syscall
    let space = guest.space(&[0x9c, 0x58, 0x0f, 0x05]);
    let mut context = guest.context();
    let mut registers = Registers { rflags: 0x7_7fff & !0x100 & !0x4_0000, ..start() };
    assert!(matches!(context.run(&space, &mut registers), Exit::Syscall));
    // NT is the user's own (POPF); not every host lets it through.
    const NESTED_TASK: u64 = 1 << 14;
    assert_eq!(registers.rax & !NESTED_TASK, 0xcd5 | 0x202);
}

#[test]
fn segment_bases_are_the_contexts() {
    let guest = Guest::new();
    // rdfsbase %rax; rdgsbase %rbx; wrfsbase %rdi; wrgsbase %rsi; syscall; rdfsbase %rax; syscall
    let code = [
        0xf3, 0x48, 0x0f, 0xae, 0xc0, 0xf3, 0x48, 0x0f, 0xae, 0xcb, 0xf3, 0x48, 0x0f, 0xae, 0xd7, 0xf3, 0x48,
        0x0f, 0xae, 0xde, 0x0f, 0x05, 0xf3, 0x48, 0x0f, 0xae, 0xc0, 0x0f, 0x05,
    ];
    let space = guest.space(&code);
    let mut context = guest.context();
    context.set_segment_bases(SegmentBases { fs: 0x1000, gs: 0x2000 });
    let mut registers = Registers { rdi: 0x7f00_0000_0000, rsi: 0x7f00_0000_1000, ..start() };
    assert!(matches!(context.run(&space, &mut registers), Exit::Syscall));
    assert_eq!((registers.rax, registers.rbx), (0x1000, 0x2000));
    assert_eq!(context.segment_bases(), SegmentBases { fs: 0x7f00_0000_0000, gs: 0x7f00_0000_1000 });
    context.set_segment_bases(SegmentBases { fs: 0x3000, gs: 0x4000 });
    assert!(matches!(context.run(&space, &mut registers), Exit::Syscall));
    assert_eq!(registers.rax, 0x3000);
    assert_eq!(context.segment_bases(), SegmentBases { fs: 0x3000, gs: 0x4000 });
}

#[test]
fn the_time_stamp_counter_is_the_hosts() {
    let guest = Guest::new();
    // rdtsc; shl $32, %rdx; or %rdx, %rax; syscall
    let space = guest.space(&[0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x0f, 0x05]);
    for _ in 0..3 {
        let mut registers = start();
        // SAFETY: RDTSC is always there.
        let before = unsafe { std::arch::x86_64::_rdtsc() };
        assert!(matches!(guest.context().run(&space, &mut registers), Exit::Syscall));
        // SAFETY: as above.
        let after = unsafe { std::arch::x86_64::_rdtsc() };
        assert!((before..=after).contains(&registers.rax));
    }
}

#[test]
fn rdtscp_names_the_hosts_cpu_or_none() {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let guest = Guest::new();
    let space = guest.space(&[0x0f, 0x01, 0xf9, 0x89, 0xcb, 0x0f, 0x05]); // rdtscp; mov %ecx, %ebx; syscall
    let mut context = guest.context();
    let all = sched_getaffinity(None).unwrap();
    for cpu in (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)) {
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one).unwrap();
        let mut registers = start();
        assert!(matches!(context.run(&space, &mut registers), Exit::Syscall));
        let named = registers.rbx as usize & 0xfff;
        assert!(named == cpu || named == 0xfff, "{named} on {cpu}");
    }
    sched_setaffinity(None, &all).unwrap();
}

#[test]
fn the_probes_stubs_are_gone_where_ring_0_has_its_own() {
    let guest = Guest::new();
    if !guest.platform.report().unwrap().enters_ring_0 {
        return;
    }
    // Where the probe ran in ring 3.
    const USER_STUBS: u64 = 0xffff_ff80_0000_5000;
    // syscall, then: mov (%rdi), %rax; jmp *%rdi
    for (code, access) in
        [(&[0x0f, 0x05, 0x48, 0x8b, 0x07_u8][..], Access::READ), (&[0x0f, 0x05, 0xff, 0xe7], Access::EXECUTE)]
    {
        for offset in [0, 2, 0x20] {
            let target = VirtualAddress(USER_STUBS + offset);
            let space = guest.space(code);
            let mut context = guest.context();
            let mut registers = Registers { rdi: target.0, ..start() };
            // From now on a shadow MMU has in this space what it learnt of the kernel's tables in the probe's.
            assert!(matches!(context.run(&space, &mut registers), Exit::Syscall));
            let exit = context.run(&space, &mut registers);
            let is_refused = matches!(exit, Exit::Fault { address, access: found } if (address, found) == (target, access));
            assert!(is_refused, "+{offset:#x}: {exit:?}");
        }
    }
}
