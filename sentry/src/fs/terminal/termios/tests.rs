use zerocopy::IntoBytes;

use super::*;

#[test]
fn settings_survive_their_layout() {
    let settings = Termios { line: 7, input_speed: 9600, ..Termios::default() };
    assert_eq!(Termios::from_user(&settings.to_user()), settings);
    let short = Termios { input_speed: BAUD_38400, ..settings };
    assert_eq!(Termios::default().updated_from(&settings.to_user().termios), short);
    assert_eq!(settings.character(uapi::VEOF), 4);
}
#[test]
fn system_v_settings_replace_half_of_each_word() {
    let settings = Termios { input: 0x0003_0500, ..Termios::default() };
    let mut user = settings.to_termio();
    assert_eq!(settings.updated_from_termio(&user), settings);
    user.as_mut_bytes().fill(0xff);
    let all = settings.updated_from_termio(&user);
    assert_eq!((all.input, all.output, all.line), (0x0003_ffff, 0xffff, 0xff));
    assert_eq!((all.character(uapi::VTIME), all.character(uapi::VSTART)), (0xff, 0x11));
}

#[test]
fn speeds_follow_the_control_flags() {
    let with = |control| {
        let asked = Termios { control, input_speed: 1234, output_speed: 4321, ..Termios::default() };
        let made = asked.on_pseudoterminal();
        (made.input_speed, made.output_speed, made.control & !uapi::CBAUD & !uapi::CIBAUD)
    };
    let forced = uapi::CS8 | uapi::CREAD;
    assert_eq!(with(uapi::B9600 | uapi::CS5 | uapi::PARENB), (9600, 9600, forced));
    assert_eq!(with(uapi::B4000000), (4_000_000, 4_000_000, forced));
    assert_eq!(with(uapi::BOTHER), (4321, 4321, forced));
    assert_eq!(with(uapi::BOTHER | uapi::BOTHER << uapi::IBSHIFT), (1234, 4321, forced));
    assert_eq!(with(uapi::BOTHER | uapi::B9600 << uapi::IBSHIFT), (9600, 4321, forced));
    assert_eq!(with(uapi::B0), (0, 0, forced));
}

#[test]
fn locked_settings_stay() {
    let old = Termios::default();
    let mut lock = Termios::no_lock();
    lock.local = uapi::ECHO;
    lock.control_characters[uapi::VINTR as usize] = 1;
    let asked = Termios::no_lock().locked(&lock, &old);
    assert_eq!(asked.local, uapi::ECHO);
    assert_eq!((asked.character(uapi::VINTR), asked.character(uapi::VEOF)), (3, 0));
}
