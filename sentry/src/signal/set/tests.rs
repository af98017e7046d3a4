use super::*;

#[test]
fn bits_are_the_kernel_s() {
    let set = SignalSet::of(&[Signal::SIGHUP, Signal::SIGRTMAX]);
    assert_eq!(set.bits(), 1 | 1 << 63);
    assert_eq!(set.iter().collect::<Vec<_>>(), [Signal::SIGHUP, Signal::SIGRTMAX]);
}

#[test]
fn kill_and_stop_cannot_be_blocked() {
    let mask = SignalSet::ALL.as_blocked_mask();
    assert!(!mask.contains(Signal::SIGKILL) && !mask.contains(Signal::SIGSTOP));
    assert!(mask.contains(Signal::SIGCONT));
}
