use super::*;
use crate::platform::VirtualAddress;

const HANDLED: Action = Action {
    handler: Handler::User(VirtualAddress(0x1000)),
    flags: ActionFlags::empty(),
    restorer: VirtualAddress(0),
    mask: super::super::SignalSet::EMPTY,
};
const IGNORED: Action = Action { handler: Handler::Ignore, ..HANDLED };
const DEFAULT: Action = Action { handler: Handler::Default, ..HANDLED };

#[test]
fn the_action_decides_and_then_the_default() {
    for (signal, action, delivery) in [
        (Signal::SIGTERM, HANDLED, Delivery::Handle(HANDLED)),
        (Signal::SIGTERM, IGNORED, Delivery::Ignore),
        (Signal::SIGTERM, DEFAULT, Delivery::Terminate { dumps_core: false }),
        (Signal::SIGQUIT, DEFAULT, Delivery::Terminate { dumps_core: true }),
        (Signal::SIGCHLD, DEFAULT, Delivery::Ignore),
        (Signal::SIGCONT, DEFAULT, Delivery::Ignore),
        (Signal::SIGTSTP, DEFAULT, Delivery::Stop),
        (Signal::SIGKILL, IGNORED, Delivery::Terminate { dumps_core: false }),
    ] {
        assert_eq!(decide(signal, action, false), delivery, "{signal}");
    }
}

#[test]
fn init_gets_only_what_it_handles() {
    assert_eq!(decide(Signal::SIGTERM, DEFAULT, true), Delivery::Ignore);
    assert_eq!(decide(Signal::SIGSTOP, DEFAULT, true), Delivery::Stop);
    assert_eq!(decide(Signal::SIGTERM, HANDLED, true), Delivery::Handle(HANDLED));
}

#[test]
fn calls_restart_as_their_code_and_the_handler_say() {
    let plain = Some(ActionFlags::empty());
    let restarting = Some(ActionFlags::RESTART);
    let eintr = Errno::EINTR.as_return_value();
    for (errno, handler, rax) in [
        (Errno::ERESTARTSYS, None, 7),
        (Errno::ERESTARTSYS, plain, eintr),
        (Errno::ERESTARTSYS, restarting, 7),
        (Errno::ERESTARTNOINTR, plain, 7),
        (Errno::ERESTARTNOHAND, None, 7),
        (Errno::ERESTARTNOHAND, restarting, eintr),
        (Errno::ERESTART_RESTARTBLOCK, None, 219),
        (Errno::ERESTART_RESTARTBLOCK, restarting, eintr),
    ] {
        let mut registers = Registers { rip: 0x1002, ..Registers::default() };
        resume_call(&mut registers, InterruptedCall { number: 7, errno }, handler);
        assert_eq!(registers.rax, rax, "{errno} {handler:?}");
        assert_eq!(registers.rip, if rax == eintr { 0x1002 } else { 0x1000 });
    }
}
