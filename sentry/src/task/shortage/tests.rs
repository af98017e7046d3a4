use super::*;

#[test]
fn an_instruction_that_never_gets_on_stands_still() {
    let mut standstill = Standstill::default();
    let mut registers = Registers { rip: 0x1000, ..Registers::default() };
    for _ in 0..MAX_COSTLY_FAULTS {
        assert!(!standstill.count(&registers));
    }
    assert!(standstill.count(&registers));
    // A repeated string instruction stays where it is, but its counter moves.
    registers.rcx = 7;
    assert!(!standstill.count(&registers));
}
