//! Tests of the line discipline alone.

use linux_raw_sys::general as uapi;

use super::output::OUTPUT_BYTES;
use super::*;

fn shown(discipline: &mut Discipline) -> String {
    let mut buffer = vec![0; OUTPUT_BYTES];
    let count = discipline.take_shown(&mut buffer);
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

fn read(discipline: &mut Discipline) -> Option<String> {
    let mut buffer = [0; 64];
    let count = discipline.read(&mut buffer)?;
    Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

/// What typing `typed` shows, and the lines that can then be read.
fn type_all(discipline: &mut Discipline, typed: &[u8]) -> (String, Vec<String>) {
    discipline.type_in(typed);
    (shown(discipline), std::iter::from_fn(|| read(discipline)).collect())
}

#[test]
fn lines_are_edited_before_they_are_read() {
    for (typed, screen, lines) in [
        (&b"ab\r"[..], "ab\r\n", vec!["ab\n"]),
        (b"ab", "ab", vec![]),
        (b"ax\x7fb\n", "ax\x08 \x08b\r\n", vec!["ab\n"]),
        (b"one two\x17x\n", "one two\x08 \x08\x08 \x08\x08 \x08x\r\n", vec!["one x\n"]),
        (b"bad\x15ok\n", "bad\x08 \x08\x08 \x08\x08 \x08ok\r\n", vec!["ok\n"]),
        (b"ab\x04", "ab", vec!["ab"]),
        (b"\x04", "", vec![""]),
        (b"\x16\x03\n", "^\x08^C\r\n", vec!["\x03\n"]),
        (b"\x01\x7f\n", "^A\x08 \x08\x08 \x08\r\n", vec!["\n"]),
        (b"a\nb\n", "a\r\nb\r\n", vec!["a\n", "b\n"]),
    ] {
        let (shown, read) = type_all(&mut Discipline::default(), typed);
        assert_eq!(
            (shown.as_str(), read),
            (screen, lines.iter().map(|line| line.to_string()).collect()),
            "{typed:?}"
        );
    }
}

#[test]
fn a_long_line_is_read_in_parts_and_the_next_one_apart() {
    let mut discipline = Discipline::default();
    discipline.type_in(b"abcdef\nx\n");
    let mut buffer = [0; 4];
    assert_eq!(discipline.read(&mut buffer), Some(4));
    assert_eq!(read(&mut discipline).unwrap(), "ef\n");
    assert_eq!(read(&mut discipline).unwrap(), "x\n");
}

#[test]
fn signal_characters_flush_and_are_shown() {
    let mut discipline = Discipline::default();
    discipline.write(b"seen");
    let (taken, signals) = discipline.type_in(b"half\x03");
    assert_eq!((taken, signals), (5, vec![uapi::SIGINT]));
    assert_eq!(shown(&mut discipline), "seen^C");
    assert_eq!(type_all(&mut discipline, b"\n").1, ["\n"]);
    assert_eq!(discipline.type_in(b"\x1a\x1c").1, [uapi::SIGTSTP, uapi::SIGQUIT]);
}

#[test]
fn raw_mode_passes_everything_as_it_comes() {
    let mut termios = Termios { input: 0, output: 0, local: 0, ..Termios::default() };
    let mut discipline = Discipline::default();
    discipline.type_in(b"li");
    shown(&mut discipline);
    discipline.set_termios(termios);
    assert_eq!(type_all(&mut discipline, b"\x03\r\x7f"), (String::new(), vec!["li\x03\r\x7f".into()]));
    termios.control_characters[uapi::VMIN as usize] = 3;
    discipline.set_termios(termios);
    discipline.type_in(b"ab");
    assert_eq!((discipline.has_input(), discipline.is_readable()), (true, false));
    discipline.type_in(b"c");
    assert!(discipline.is_readable());
    assert_eq!(read(&mut discipline).unwrap(), "abc");
    assert_eq!(read(&mut discipline), None);
}

#[test]
fn output_is_processed_and_can_be_stopped() {
    let mut discipline = Discipline::default();
    assert_eq!(discipline.write(b"a\nb"), 3);
    assert_eq!(shown(&mut discipline), "a\r\nb");
    discipline.type_in(b"\x13");
    assert_eq!(discipline.write(b"x"), 0);
    discipline.type_in(b"\x11");
    assert_eq!(discipline.write(b"x"), 1);
    assert_eq!(shown(&mut discipline), "x");
}

#[test]
fn no_buffer_grows_without_bound() {
    let mut discipline = Discipline::default();
    for _ in 0..10 {
        discipline.type_in(&[b'x'; 10_000]);
        discipline.write(&[b'\n'; 10_000]);
    }
    assert!(discipline.input.len() <= INPUT_BYTES);
    discipline.type_in(b"\n");
    let taken: usize = (0..10).map(|_| discipline.type_in(&[b'\n'; 10_000]).0).sum();
    assert!(taken <= BACKLOG_BYTES && discipline.input.len() <= INPUT_BYTES);
    let mut shown = vec![0; 2 * OUTPUT_BYTES];
    let seen: usize = (0..10).map(|_| discipline.take_shown(&mut shown)).sum();
    assert!(seen <= OUTPUT_BYTES + 2 * INPUT_BYTES);
}

#[test]
fn end_of_file_lines_are_bounded_too() {
    let mut discipline = Discipline::default();
    for _ in 0..10 {
        discipline.type_in(&[4; 10_000]);
    }
    assert!(discipline.input.len() <= INPUT_BYTES && discipline.backlog.len() <= BACKLOG_BYTES);
}
