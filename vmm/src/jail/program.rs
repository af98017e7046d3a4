//! Turns rules for system calls into one program of classic BPF (`man 2 seccomp`).
//!
//! Linux runs the program at each call whose answer depends on arguments, above all at KVM_RUN, and once for every
//! number when it is installed. So the numbers are found by bisection, not one after the other.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use linux_raw_sys::ptrace::AUDIT_ARCH_X86_64;
use seccompiler::sock_filter;
use sentry::syscall::Sysno;

/// What becomes of a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is made.
    Allow,
    /// It fails with ENOSYS.
    Unavailable,
    /// It is made if all tests hold, else trapped.
    AllowIf(Vec<Test>),
    /// It raises SIGSYS.
    Trap,
}

/// A test of the argument whose index comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// Its lower half is one of these.
    OneOf(u32, Vec<u32>),
    /// Its lower half has none of these bits.
    HasNone(u32, u32),
    /// Its lower half has one of these bits.
    HasSome(u32, u32),
    /// Its lower half is this, or less.
    AtMost(u32, u32),
    /// All 64 bits are zero.
    IsZero(u32),
    /// One of these holds.
    AnyOf(Vec<Test>),
}

/// The offsets of `struct seccomp_data`: the number, the architecture, and the arguments' lower halves.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// Compiles the rules; a call without one is trapped, and a process of another architecture killed.
///
/// # Errors
/// The program would be too long.
pub(super) fn compile(rules: BTreeMap<Sysno, Answer>) -> anyhow::Result<Vec<sock_filter>> {
    let mut program = vec![
        instruction(LOAD, ARCHITECTURE),
        jump(libc::BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0),
        instruction(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
        instruction(LOAD, NUMBER),
    ];
    program.extend(bisect(&intervals(rules))?);
    ensure!(program.len() <= libc::BPF_MAXINSNS as usize, "{} instructions are too many", program.len());
    Ok(program)
}

/// The first number of each run of numbers that have one answer, from 0 on, in order.
fn intervals(rules: BTreeMap<Sysno, Answer>) -> Vec<(u32, Answer)> {
    let mut intervals = vec![(0, Answer::Trap)];
    let mut start_interval = |start: u32, answer: Answer| match intervals.last_mut() {
        Some((last_start, last)) if *last_start == start => *last = answer,
        Some((_, last)) if *last == answer => {}
        _ => intervals.push((start, answer)),
    };
    let mut rules: Vec<_> = rules.into_iter().map(|(number, answer)| (number as u32, answer)).collect();
    rules.sort_unstable_by_key(|(number, _)| *number);
    for (number, answer) in rules {
        start_interval(number, answer);
        start_interval(number + 1, Answer::Trap);
    }
    intervals
}

/// Finds the interval of the number that has been loaded.
fn bisect(intervals: &[(u32, Answer)]) -> anyhow::Result<Vec<sock_filter>> {
    if let [(_, answer)] = intervals {
        return answer_with(answer);
    }
    let (lower, upper) = intervals.split_at(intervals.len() / 2);
    let Some((boundary, _)) = upper.first() else { return answer_with(&Answer::Trap) };
    let lower = bisect(lower)?;
    let mut program = match u8::try_from(lower.len()) {
        Ok(distance) => vec![jump(libc::BPF_JGE, *boundary, distance, 0)],
        // Too far for a comparison.
        Err(_) => vec![
            jump(libc::BPF_JGE, *boundary, 0, 1),
            instruction(libc::BPF_JMP | libc::BPF_JA, u32::try_from(lower.len())?),
        ],
    };
    program.extend(lower);
    program.extend(bisect(upper)?);
    Ok(program)
}

fn answer_with(answer: &Answer) -> anyhow::Result<Vec<sock_filter>> {
    let mut program = Vec::new();
    let action = match answer {
        Answer::Allow => libc::SECCOMP_RET_ALLOW,
        Answer::Unavailable => libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
        Answer::Trap => libc::SECCOMP_RET_TRAP,
        Answer::AllowIf(tests) => {
            for test in tests {
                program.extend(unless(test, vec![instruction(RETURN, libc::SECCOMP_RET_TRAP)])?);
            }
            libc::SECCOMP_RET_ALLOW
        }
    };
    program.push(instruction(RETURN, action));
    Ok(program)
}

/// Goes on after its end if the test holds, and runs `otherwise` before if not.
fn unless(test: &Test, otherwise: Vec<sock_filter>) -> anyhow::Result<Vec<sock_filter>> {
    let lower_half = |index: u32| instruction(LOAD, ARGUMENTS + index * 8);
    let over = distance(otherwise.len())?;
    let mut program = match test {
        Test::OneOf(index, values) => {
            let mut program = vec![lower_half(*index)];
            for (left, value) in (0..values.len()).rev().zip(values) {
                program.push(jump(libc::BPF_JEQ, *value, distance(left + otherwise.len())?, 0));
            }
            program
        }
        Test::HasNone(index, bits) => vec![lower_half(*index), jump(libc::BPF_JSET, *bits, 0, over)],
        Test::HasSome(index, bits) => vec![lower_half(*index), jump(libc::BPF_JSET, *bits, over, 0)],
        Test::AtMost(index, value) => vec![lower_half(*index), jump(libc::BPF_JGT, *value, 0, over)],
        Test::IsZero(index) => vec![
            lower_half(*index),
            jump(libc::BPF_JEQ, 0, 0, 2),
            instruction(LOAD, ARGUMENTS + index * 8 + 4),
            jump(libc::BPF_JEQ, 0, over, 0),
        ],
        Test::AnyOf(tests) => {
            return tests.iter().rev().try_fold(otherwise, |otherwise, test| unless(test, otherwise));
        }
    };
    program.extend(otherwise);
    Ok(program)
}

fn distance(instructions: usize) -> anyhow::Result<u8> {
    u8::try_from(instructions).context("a jump of the filter is too long")
}

fn instruction(code: u32, operand: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k: operand }
}

/// Compares what was loaded with `operand`, and skips so many instructions if it holds or not.
fn jump(comparison: u32, operand: u32, if_true: u8, if_false: u8) -> sock_filter {
    let code = libc::BPF_JMP | comparison | libc::BPF_K;
    sock_filter { code: code as u16, jt: if_true, jf: if_false, k: operand }
}

#[cfg(test)]
mod tests;
