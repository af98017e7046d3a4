//! Telling where a program is whose vCPU stopped in the gate or in a record.

use sentry::platform::Registers;

use super::code::{self, GateCode};
use super::lane::Served;
use super::page::CallPage;
use super::sites::{RECORD_TAIL, Site, Sites, record_at};
use crate::layout::GATE_CODE;

/// What became of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crossing {
    /// It was not in the gate: the registers are the program's.
    Outside,
    /// The program is before its call, or after it.
    Settled,
    /// The gate left by SYSCALL: the program makes its call now.
    Call,
    /// The program went there by itself.
    Forged,
}

/// Puts the program that stopped with `registers` to a place of its own. `served` is the last request that was served
/// during this run; `is_call`: the stop was a SYSCALL.
pub(crate) fn settle(
    gate: &GateCode,
    sites: &Sites,
    page: CallPage<'_>,
    served: Option<Served>,
    is_call: bool,
    registers: &mut Registers,
) -> Crossing {
    if let Some((index, offset)) = record_at(registers.rip) {
        let Some(site) = sites.get(index) else { return Crossing::Forged };
        registers.rip = site.original_of(offset);
        if offset == RECORD_TAIL {
            go_on_after(site, registers);
        }
        return Crossing::Settled;
    }
    if !code::contains(gate, registers.rip) {
        return Crossing::Outside;
    }
    let offset = registers.rip - GATE_CODE;
    if gate.own_stack.iter().any(|places| places.contains(&offset)) {
        registers.rsp = page.stack_pointer();
    }
    let record = if offset == 0 { registers.rcx } else { page.record() };
    let site = record_at(record).filter(|(_, within)| *within == 0).and_then(|(index, _)| sites.get(index));
    let Some(site) = site else { return Crossing::Forged };
    if gate.known.contains(&offset) {
        go_on_after(site, registers);
        return Crossing::Settled;
    }
    let is_posted = offset >= gate.posted;
    let answer = served.filter(|served| is_posted && served.sequence == page.sequence());
    if let Some(Served { value, .. }) = answer {
        registers.rax = value;
        go_on_after(site, registers);
        return Crossing::Settled;
    }
    if is_call && (offset == gate.left || offset == gate.given_up) {
        go_on_after(site, registers);
        return Crossing::Call;
    }
    if is_posted {
        registers.rax = page.number();
    }
    registers.rip = site.syscall;
    Crossing::Settled
}

/// The state after a SYSCALL (SDM 2B, "SYSCALL").
fn go_on_after(site: &Site, registers: &mut Registers) {
    registers.rip = site.after();
    registers.rcx = site.after();
    registers.r11 = registers.rflags;
}
