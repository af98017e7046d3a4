use proptest::prelude::*;

use super::*;

#[test]
fn the_rest_of_the_line_is_one_argument() {
    let script = parse(b"#! /bin/sh  -e  x \necho").unwrap().unwrap();
    assert_eq!(script.interpreter, b"/bin/sh");
    let arguments = script.arguments_for(b"./s", &[b"s".to_vec(), b"a".to_vec()]);
    assert_eq!(arguments, [&b"/bin/sh"[..], b"-e  x", b"./s", b"a"]);
}

#[test]
fn lines_without_an_interpreter_are_not_executable() {
    assert_eq!(parse(b"\x7fELF"), Ok(None));
    assert_eq!(parse(b"#!"), Err(Errno::EACCES));
    assert_eq!(parse(b"#! \0x\n"), Err(Errno::EACCES));
    assert_eq!(parse(b"#!\n"), Err(Errno::ENOEXEC));
    assert_eq!(parse(b"#!  \t\nx"), Err(Errno::ENOEXEC));
    let endless = [b"#!/".to_vec(), vec![b'x'; super::super::HEAD_BYTES - 3]].concat();
    assert_eq!(parse(&endless), Err(Errno::ENOEXEC));
}

#[test]
fn of_a_long_line_the_first_255_bytes_count() {
    let long = [b"#!/bin/echo ".to_vec(), vec![b'x'; super::super::HEAD_BYTES - 12]].concat();
    let script = parse(&long).unwrap().unwrap();
    assert_eq!(script.argument.map(|argument| argument.len()), Some(super::super::HEAD_BYTES - 13));
    let mut exact = [b"#!/".to_vec(), vec![b'x'; super::super::HEAD_BYTES - 4]].concat();
    exact.push(b'\n');
    assert_eq!(parse(&exact).unwrap().unwrap().interpreter.len(), super::super::HEAD_BYTES - 3);
}

proptest! {
    #[test]
    fn whatever_the_bytes_a_script_names_an_interpreter_or_is_refused(rest in prop::collection::vec(line_byte(), 0..300)) {
        let head = [b"#!".to_vec(), rest].concat();
        if let Ok(Some(script)) = parse(&head) {
            prop_assert!(!script.interpreter.is_empty() && !script.interpreter.contains(&b'\n'));
            prop_assert!(script.arguments_for(b"script", &[b"script".to_vec()]).len() >= 2);
        }
    }
}

/// Any byte; most often those that mean something.
fn line_byte() -> impl Strategy<Value = u8> {
    prop_oneof![prop::sample::select(b" \t\n\0/x".to_vec()), any::<u8>()]
}
