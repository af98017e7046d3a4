use super::*;

#[test]
fn requests_have_words() {
    for request in [Request::Pause, Request::Resume, Request::Kill(15)] {
        assert_eq!(Request::from_words(request.to_words().as_bytes()), Some(request));
    }
    for words in [&b"stop"[..], b"kill", b"kill x", b"pause 1", b"\xff"] {
        assert_eq!(Request::from_words(words), None);
    }
}

#[test]
fn a_process_without_a_sandbox_is_named() {
    let error = ask(&Target::Process(Pid::INIT), Request::Pause).unwrap_err();
    assert!(error.to_string().contains("runs no sandbox"), "{error}");
}

#[test]
fn a_name_is_taken_until_its_sandbox_is_gone() {
    let name = format!("test-{}", getpid().as_raw_nonzero());
    let first = ControlSocket::open(Some(&name)).unwrap();
    let error = ControlSocket::open(Some(&name)).err().expect("it is taken");
    assert!(format!("{error:#}").contains(&name), "{error:#}");
    drop(first);
    ControlSocket::open(Some(&name)).unwrap();
}
