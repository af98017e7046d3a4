use super::*;

#[test]
fn only_1_to_64_are_signals() {
    for (number, is_signal) in [(-1, false), (0, false), (1, true), (64, true), (65, false)] {
        assert_eq!(Signal::new(number).is_ok(), is_signal, "{number}");
    }
    assert_eq!(Signal::new_or_probe(0), Ok(None));
}

#[test]
fn defaults_are_those_of_the_manual() {
    for (signal, disposition) in [
        (Signal::SIGTERM, DefaultDisposition::Terminate),
        (Signal::SIGSEGV, DefaultDisposition::Core),
        (Signal::SIGTTOU, DefaultDisposition::Stop),
        (Signal::SIGCONT, DefaultDisposition::Continue),
        (Signal::SIGWINCH, DefaultDisposition::Ignore),
        (Signal::SIGRTMAX, DefaultDisposition::Terminate),
    ] {
        assert_eq!(signal.default_disposition(), disposition, "{signal}");
    }
}
