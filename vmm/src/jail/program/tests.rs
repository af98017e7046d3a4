use super::*;

/// Runs the program as Linux would.
fn run(program: &[sock_filter], number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = [number, AUDIT_ARCH_X86_64, 0, 0].to_vec();
    data.extend(arguments.iter().flat_map(|value| [*value as u32, (*value >> 32) as u32]));
    let (mut accumulator, mut position) = (0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[position];
        let code = u32::from(code);
        position += 1;
        let holds = match code & !libc::BPF_JMP {
            _ if code == LOAD => {
                accumulator = data[k as usize / 4];
                continue;
            }
            _ if code == RETURN => return k,
            libc::BPF_JA => {
                position += k as usize;
                continue;
            }
            libc::BPF_JEQ => accumulator == k,
            libc::BPF_JGE => accumulator >= k,
            libc::BPF_JGT => accumulator > k,
            libc::BPF_JSET => accumulator & k != 0,
            _ => panic!("no such instruction: {code:#x}"),
        };
        position += usize::from(if holds { jt } else { jf });
    }
}

#[test]
fn each_call_has_its_answer_and_no_other() {
    let tests = vec![Test::OneOf(1, vec![5, 6, 7])];
    let rules = BTreeMap::from([
        (Sysno::read, Answer::Allow),
        (Sysno::write, Answer::Allow),
        (Sysno::close, Answer::Unavailable),
        (Sysno::ioctl, Answer::AllowIf(tests)),
        (Sysno::exit_group, Answer::Allow),
    ]);
    let program = compile(rules).unwrap();
    for number in (0..600).chain([0x4000_0000, u32::MAX]) {
        let expected = match number {
            0 | 1 | 231 => libc::SECCOMP_RET_ALLOW,
            3 => libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
            _ => libc::SECCOMP_RET_TRAP,
        };
        assert_eq!(run(&program, number, [0; 6]), expected, "{number}");
    }
}

#[test]
fn a_filter_may_be_longer_than_a_comparison_jumps() {
    let numbers: Vec<u32> = (0..200).collect();
    let answer = |number: u32| Answer::AllowIf(vec![Test::OneOf(0, vec![number; 8]), Test::IsZero(1)]);
    let rules = numbers.iter().map(|number| (Sysno::new(*number as usize).unwrap(), answer(*number)));
    let program = compile(rules.collect()).unwrap();
    assert!(program.len() > 2000, "{}", program.len());
    for number in 0..300 {
        let expected = if number < 200 { libc::SECCOMP_RET_ALLOW } else { libc::SECCOMP_RET_TRAP };
        assert_eq!(run(&program, number, [number.into(), 0, 0, 0, 0, 0]), expected, "{number}");
        assert_eq!(run(&program, number, [number.into(), 1, 0, 0, 0, 0]), libc::SECCOMP_RET_TRAP, "{number}");
    }
}

#[test]
fn tests_look_at_the_right_bits_of_the_right_argument() {
    let wide = 1 << 32;
    for (test, allowed, trapped) in [
        (Test::OneOf(1, vec![5, 6]), [5, 6, wide | 5], [0, 7, wide]),
        (Test::HasNone(1, 4), [0, 3, wide], [4, 7, wide | 4]),
        (Test::HasSome(1, 6), [2, 4, wide | 2], [0, 1, wide]),
        (Test::AtMost(1, 6), [0, 6, wide | 6], [7, 1 << 31, wide | 7]),
        (Test::IsZero(1), [0, 0, 0], [1, wide, wide | 1]),
        (
            Test::AnyOf(vec![Test::OneOf(1, vec![9, 10]), Test::IsZero(1), Test::HasSome(1, 4)]),
            [0, 10, 5],
            [1, wide, 8],
        ),
    ] {
        let second = Test::IsZero(2);
        let rules = BTreeMap::from([(Sysno::ioctl, Answer::AllowIf(vec![test.clone(), second]))]);
        let program = compile(rules).unwrap();
        let number = Sysno::ioctl as u32;
        for value in allowed {
            assert_eq!(run(&program, number, [9, value, 0, 9, 9, 9]), libc::SECCOMP_RET_ALLOW, "{test:?}");
            assert_eq!(run(&program, number, [9, value, 1, 9, 9, 9]), libc::SECCOMP_RET_TRAP, "{test:?}");
        }
        for value in trapped {
            assert_eq!(run(&program, number, [9, value, 0, 9, 9, 9]), libc::SECCOMP_RET_TRAP, "{test:?}");
        }
    }
}
