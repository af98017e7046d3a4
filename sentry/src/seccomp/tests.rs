use std::sync::Arc;

use linux_raw_sys::ptrace as uapi;

use super::*;
use crate::Errno;
use crate::abi::{SeccompData, SockFilter};
use crate::bpf::{MAX_LEN, Program, Subject};

const RETURN: u32 = uapi::BPF_RET | uapi::BPF_K;
const LOAD: u32 = uapi::BPF_LD | uapi::BPF_W | uapi::BPF_ABS;
const LOAD_SCRATCH: u32 = uapi::BPF_LD | uapi::BPF_MEM;
const IF_EQUAL: u32 = uapi::BPF_JMP | uapi::BPF_JEQ | uapi::BPF_K;

fn statement(code: u32, k: u32) -> SockFilter {
    SockFilter { code: code as u16, jt: 0, jf: 0, k }
}

fn branch(code: u32, k: u32, jt: u8, jf: u8) -> SockFilter {
    SockFilter { code: code as u16, jt, jf, k }
}

fn filter(source: &[SockFilter], previous: Option<&Arc<Filter>>) -> Arc<Filter> {
    let program = Arc::new(Program::new(source, Subject::Call).unwrap());
    Filter::new(program, previous.cloned(), FilterFlags::empty(), None).unwrap()
}

fn call(nr: i32, first: u64) -> SeccompData {
    SeccompData { nr, arch: ARCHITECTURE, args: [first, 0, 0, 0, 0, 0], ..SeccompData::default() }
}

/// Answers calls numbered `number` with `value`, and allows the others.
fn answering(number: u32, value: u32) -> [SockFilter; 4] {
    [
        statement(LOAD, 0),
        branch(IF_EQUAL, number, 0, 1),
        statement(RETURN, value),
        statement(RETURN, uapi::SECCOMP_RET_ALLOW),
    ]
}

#[test]
fn programs_that_could_go_astray_are_refused() {
    let allow = statement(RETURN, uapi::SECCOMP_RET_ALLOW);
    let divide = uapi::BPF_ALU | uapi::BPF_DIV | uapi::BPF_K;
    let shift = uapi::BPF_ALU | uapi::BPF_LSH | uapi::BPF_K;
    let refused: &[&[SockFilter]] = &[
        &[],
        &[statement(LOAD, 0)],
        &[branch(IF_EQUAL, 0, 0, 1), allow],
        &[statement(uapi::BPF_JMP | uapi::BPF_JA, u32::MAX), allow],
        &[statement(LOAD, 64), allow],
        &[statement(LOAD, 2), allow],
        &[statement(uapi::BPF_LD | uapi::BPF_H | uapi::BPF_ABS, 0), allow],
        &[statement(LOAD_SCRATCH, 0), allow],
        &[statement(uapi::BPF_ST, 16), allow],
        &[statement(divide, 0), allow],
        &[statement(shift, 32), allow],
        &[statement(uapi::BPF_RET | uapi::BPF_X, 0)],
    ];
    for source in refused {
        assert_eq!(Program::new(source, Subject::Call).err(), Some(Errno::EINVAL), "{source:?}");
    }
    let longest = vec![allow; MAX_LEN];
    assert!(Program::new(&longest, Subject::Call).is_ok());
    assert!(Program::new(&[longest, vec![allow]].concat(), Subject::Call).is_err());
}

#[test]
fn scratch_memory_is_read_only_where_every_way_has_written_it() {
    let load = statement(LOAD_SCRATCH, 3);
    let store = statement(uapi::BPF_ST, 3);
    let end = statement(uapi::BPF_RET | uapi::BPF_A, 0);
    // One of the two ways jumps over the store.
    let source = vec![branch(IF_EQUAL, 0, 0, 1), store, load, end];
    assert!(Program::new(&source, Subject::Call).is_err());
    let source = vec![branch(IF_EQUAL, 0, 1, 0), store, store, load, end];
    assert!(Program::new(&source, Subject::Call).is_ok());
}

#[test]
fn arguments_are_words_with_the_lower_half_first() {
    let source = [
        statement(LOAD, 20),
        branch(IF_EQUAL, 1, 0, 2),
        statement(LOAD, 16),
        statement(uapi::BPF_RET | uapi::BPF_A, 0),
        statement(RETURN, uapi::SECCOMP_RET_ALLOW),
    ];
    let filter = filter(&source, None);
    let verdict = filter.judge(&call(5, 1 << 32 | u64::from(uapi::SECCOMP_RET_ERRNO | 7)));
    assert_eq!((verdict.action, verdict.data), (Action::Errno, 7));
    assert_eq!(filter.judge(&call(5, 7)).action, Action::Allow);
}

#[test]
fn a_division_by_zero_kills_the_thread() {
    let divide = uapi::BPF_ALU | uapi::BPF_DIV | uapi::BPF_X;
    let source = [
        statement(LOAD, 16),
        statement(uapi::BPF_MISC | uapi::BPF_TAX, 0),
        statement(divide, 0),
        statement(RETURN, uapi::SECCOMP_RET_ALLOW),
    ];
    let filter = filter(&source, None);
    assert_eq!(filter.judge(&call(1, 0)).action, Action::KillThread);
    assert_eq!(filter.judge(&call(1, 1)).action, Action::Allow);
}

#[test]
fn the_strictest_answer_counts_and_of_equals_the_newest() {
    let oldest = filter(&answering(1, uapi::SECCOMP_RET_ERRNO | 1), None);
    let middle = filter(&answering(1, uapi::SECCOMP_RET_ERRNO | 2), Some(&oldest));
    let newest = filter(&answering(2, uapi::SECCOMP_RET_KILL_PROCESS), Some(&middle));
    let verdict = newest.judge(&call(1, 0));
    assert_eq!((verdict.action, verdict.data), (Action::Errno, 2));
    assert_eq!(newest.judge(&call(2, 0)).action, Action::KillProcess);
    assert_eq!(newest.judge(&call(3, 0)).action, Action::Allow);
    assert_eq!(newest.judge(&call(-1, 0)).action, Action::Allow);
    assert!(oldest.is_within(&newest) && !newest.is_within(&oldest));
    let unknown = filter(&[statement(RETURN, 0x0012_0000)], None);
    assert_eq!(unknown.judge(&call(1, 0)).action, Action::KillProcess);
}

#[test]
fn a_chain_is_bounded_and_its_end_takes_no_stack() {
    let source = [statement(RETURN, uapi::SECCOMP_RET_ALLOW)];
    let program = Arc::new(Program::new(&source, Subject::Call).unwrap());
    let mut newest = None;
    let mut count = 0;
    let error = loop {
        match Filter::new(program.clone(), newest.clone(), FilterFlags::empty(), None) {
            Ok(filter) => newest = Some(filter),
            Err(error) => break error,
        }
        count += 1;
    };
    assert_eq!((error, count), (Errno::ENOMEM, (32768 - 5) / 9 + 1));
    std::thread::Builder::new().stack_size(32 * 1024).spawn(|| drop(newest)).unwrap().join().unwrap();
}
