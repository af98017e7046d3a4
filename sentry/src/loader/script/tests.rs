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
    assert_eq!(parse(b"#!"), Err(Errno::ENOEXEC));
    assert_eq!(parse(b"#!  \t\nx"), Err(Errno::ENOEXEC));
    let endless = [b"#!/".to_vec(), vec![b'x'; super::super::HEAD_BYTES - 3]].concat();
    assert_eq!(parse(&endless), Err(Errno::ENOEXEC));
}
