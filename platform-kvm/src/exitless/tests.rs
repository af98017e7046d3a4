//! What is known without a vCPU: windows, records, and where a stop is.

use std::sync::Arc;

use sentry::platform::{PAGE_SIZE, Registers};

use super::code::GateCode;
use super::crossing::{Crossing, settle};
use super::lane::{Lane, Served};
use super::page::offset;
use super::sites::{RECORD_TAIL, RECORDS_MAX, Site, Sites, record_address, record_at};
use crate::kernel::Kernel;
use crate::layout::{CALL_PAGE, GATE_CODE};

const PAGE: u64 = 0x40_0000;
/// RSP of a program, which nobody asks for sense.
const STACK_POINTER: u64 = 0x1234;

/// A page with `bytes` at `offset`, and nothing else that decodes.
fn page(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut page = vec![0x90; PAGE_SIZE as usize];
    page[offset..offset + bytes.len()].copy_from_slice(bytes);
    page
}

/// The window that is found for the SYSCALL in `bytes`, as offsets from its start.
fn window(bytes: &[u8], number: u64) -> Option<(u64, u64)> {
    let at = bytes.windows(2).position(|two| two == [0x0f, 0x05]).unwrap() as u64;
    let start = PAGE + 0x100;
    let site = Site::find(&page(0x100, bytes), start + at, number)?;
    Some((site.start - start, site.end - start))
}

#[test]
fn windows_are_whole_instructions() {
    for (name, bytes, number, wanted) in [
        ("syscall; cmp $-4096, %rax", &[0x0f, 5, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff][..], 7, Some((0, 8))),
        ("mov $39, %eax; syscall", &[0xb8, 39, 0, 0, 0, 0x0f, 5, 0xc3], 39, Some((0, 7))),
        ("mov $39, %rax; syscall", &[0x48, 0xc7, 0xc0, 39, 0, 0, 0, 0x0f, 5], 39, Some((0, 9))),
        ("the same with another number", &[0xb8, 39, 0, 0, 0, 0x0f, 5], 40, None),
        ("mov $39, %r8d; syscall", &[0x41, 0xb8, 39, 0, 0, 0, 0x0f, 5], 39, None),
        (
            "add %bh, 39(%rax), as of padding; syscall",
            &[0, 0xb8, 39, 0, 0, 0, 0x0f, 5, 0xc3],
            39,
            Some((1, 8)),
        ),
        ("the same at GS", &[0x65, 0, 0xb8, 39, 0, 0, 0, 0x0f, 5, 0xc3], 39, None),
        ("the same at R8", &[0x41, 0, 0xb8, 39, 0, 0, 0, 0x0f, 5, 0xc3], 39, None),
        ("idivl 39(%rax); syscall", &[0xf7, 0xb8, 39, 0, 0, 0, 0x0f, 5, 0xc3], 39, None),
        ("movl $39, -0x48(%rbp); syscall", &[0xc7, 0x45, 0xb8, 39, 0, 0, 0, 0x0f, 5], 39, None),
        ("xor %eax, %eax; syscall; ret", &[0x31, 0xc0, 0x0f, 5, 0xc3], 0, None),
        ("a negative number", &[0xb8, 0xff, 0xff, 0xff, 0xff, 0x0f, 5], 0xffff_ffff, None),
    ] {
        assert_eq!(window(bytes, number), wanted, "{name}");
    }
}

#[test]
fn a_window_that_leaves_its_page_is_none() {
    let end = PAGE_SIZE as usize;
    let cut = page(end - 7, &[0x0f, 5, 0x48, 0x3d, 0, 0xf0, 0xff]);
    assert_eq!(Site::find(&cut, PAGE + PAGE_SIZE - 7, 0), None);
    let begin = page(0, &[0xb8, 39, 0, 0, 0, 0x0f, 5]);
    assert_eq!(Site::find(&begin, PAGE + 5, 39), None, "what is before is unknown");
}

#[test]
fn a_record_is_for_one_site_for_ever() {
    let code = page(0x100, &[0x0f, 5, 0x48, 0x3d, 0, 0, 0, 0]);
    let site = |page: u64| Site::find(&code, 0x100, 39).unwrap().at(page);
    let mut sites = Sites::default();
    sites.add(7, site(PAGE));
    sites.drop_page(PAGE);
    assert!(sites.may_add(7, &site(PAGE)));
    assert!(!sites.may_add(7, &site(PAGE + PAGE_SIZE)));
    assert!(sites.may_add(8, &site(PAGE + PAGE_SIZE)));
    sites.set_due(PAGE, 39);
    assert_eq!(
        (sites.take_number(PAGE + 1), sites.take_number(PAGE), sites.take_number(PAGE)),
        (None, Some(39), None)
    );
    assert!(sites.may_rewrite(PAGE + 0x100));
    sites.refuse(PAGE + 0x100);
    assert!(!sites.may_rewrite(PAGE + 0x100));
    assert!(!sites.may_add(7, &site(PAGE)), "it was found to be met in its middle");
    assert_eq!(record_at(record_address(RECORDS_MAX - 1)), Some((RECORDS_MAX - 1, 0)));
    assert_eq!(record_at(record_address(RECORDS_MAX)), None);
}

/// A site of each kind, with record 0.
fn kinds() -> [(Site, Sites); 2] {
    let cmp = page(0x100, &[0x0f, 5, 0x48, 0x3d, 0, 0, 0, 0]);
    let mov = page(0x100, &[0xb8, 39, 0, 0, 0, 0x0f, 5]);
    [(cmp, PAGE + 0x100), (mov, PAGE + 0x105)].map(|(code, syscall)| {
        let site = Site::find(&code, syscall, 39).unwrap();
        let mut sites = Sites::default();
        sites.add(0, site);
        (site, sites)
    })
}

#[test]
fn a_stop_anywhere_is_before_or_after_the_call() {
    let gate = GateCode::assemble();
    let lane = Lane::new(Arc::new(Kernel::new(1).unwrap()), 0);
    lane.initialize();
    let end = GATE_CODE + gate.bytes.len() as u64;
    for (site, sites) in kinds() {
        let record = record_address(0);
        for rip in (record + 8..record + 62).chain(GATE_CODE + 1..=end) {
            let is_own_stack =
                gate.own_stack.iter().any(|places| places.contains(&rip.wrapping_sub(GATE_CODE)));
            let rsp = if is_own_stack { CALL_PAGE + offset::STACK_END } else { STACK_POINTER };
            let mut registers = Registers { rip, rax: 39, rcx: record, rsp, ..Registers::default() };
            let mut page = lane.page();
            page.post(record, 39);
            page.set_stack_pointer(if is_own_stack { STACK_POINTER } else { 1 });
            let crossing = settle(&gate, &sites, page, None, false, &mut registers);
            assert_eq!((crossing, registers.rsp), (Crossing::Settled, STACK_POINTER), "{rip:#x}");
            let is_known = gate.known.contains(&rip.wrapping_sub(GATE_CODE));
            let is_back = is_known || (record + RECORD_TAIL..record + 64).contains(&rip);
            let places: &[u64] =
                if is_back { &[site.after(), site.end] } else { &[site.start, site.syscall] };
            assert!(places.contains(&registers.rip), "{rip:#x} is {:#x}", registers.rip);
            assert_eq!(registers.rax, 39);
            if is_back || rip < GATE_CODE + gate.posted {
                continue;
            }
            // The same with an answer.
            let served = Served { sequence: page.sequence(), value: 7, must_stop: false };
            registers = Registers { rip, rax: 1, ..Registers::default() };
            settle(&gate, &sites, page, Some(served), false, &mut registers);
            assert_eq!((registers.rip, registers.rax), (site.after(), 7), "{rip:#x}");
            // One of an earlier request is none.
            let served = Served { sequence: page.sequence() - 1, value: 7, must_stop: false };
            registers = Registers { rip, rax: 1, ..Registers::default() };
            settle(&gate, &sites, page, Some(served), false, &mut registers);
            assert_eq!((registers.rip, registers.rax), (site.syscall, 39), "{rip:#x}");
        }
    }
}

#[test]
fn records_that_do_not_exist_are_forged() {
    let gate = GateCode::assemble();
    let lane = Lane::new(Arc::new(Kernel::new(1).unwrap()), 0);
    lane.initialize();
    let [(_, sites), _] = kinds();
    let mut page = lane.page();
    for record in [0, record_address(1), record_address(0) + 8, u64::MAX] {
        page.post(record, 39);
        let mut registers = Registers { rip: GATE_CODE + gate.posted, ..Registers::default() };
        assert_eq!(settle(&gate, &sites, page, None, false, &mut registers), Crossing::Forged, "{record:#x}");
    }
    let mut registers = Registers { rip: record_address(1), ..Registers::default() };
    assert_eq!(settle(&gate, &sites, page, None, false, &mut registers), Crossing::Forged);
}
