use super::*;

const HANDLED: [u64; 4] = [0x1000, 0x1400_0004, 0x2000, u64::MAX];

#[test]
fn kill_and_stop_cannot_be_handled() {
    let mut actions = SignalActions::default();
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        assert_eq!(actions.set(signal, Action::from_words(HANDLED)), Err(Errno::EINVAL));
    }
}

#[test]
fn the_mask_never_blocks_kill_and_stop() {
    let action = Action::from_words(HANDLED);
    assert_eq!(action.to_words()[..3], HANDLED[..3]);
    assert_eq!(action.mask, SignalSet::ALL - SignalSet::UNBLOCKABLE);
}

#[test]
fn unsupported_flags_do_not_stick() {
    assert_eq!(Action::from_words([0, 0x400 | 0x2, 0, 0]).to_words()[1], 2);
}

#[test]
fn exec_drops_handlers_and_keeps_what_is_ignored() {
    let mut actions = SignalActions::default();
    actions.set(Signal::SIGUSR1, Action::from_words(HANDLED)).unwrap();
    actions.set(Signal::SIGUSR2, Action::from_words([1, 0x1000_0000, 0, 5])).unwrap();
    actions.reset_handlers();
    assert_eq!(actions.get(Signal::SIGUSR1), Action::default());
    assert_eq!(actions.get(Signal::SIGUSR2), Action { handler: Handler::Ignore, ..Action::default() });
}
