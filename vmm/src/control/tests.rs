use super::*;

#[test]
fn requests_have_words() {
    for request in [Request::Pause, Request::Resume] {
        assert_eq!(Request::from_word(request.word()), Some(request));
    }
    assert_eq!(Request::from_word(b"stop"), None);
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
