//! Child processes through the standard library: pipes, environment, directories, statuses, failures.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use guest_tests::check::tool;

pub(crate) fn run() {
    output_is_collected();
    input_flows_through_a_filter();
    environment_and_directory_are_passed();
    failures_of_exec_are_reported();
    endings_are_told_apart();
    many_children_at_once();
}

fn output_is_collected() {
    let output =
        Command::new(tool("sh")).args(["-c", "echo out; echo err >&2; exit 3"]).output().expect("sh");
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");
    assert_eq!(output.status.code(), Some(3));
}

fn input_flows_through_a_filter() {
    let mut child =
        Command::new(tool("cat")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat");
    let mut input = child.stdin.take().expect("stdin");
    let text = "0123456789abcdef".repeat(20_000);
    let sent = text.clone();
    let writer = std::thread::spawn(move || input.write_all(sent.as_bytes()).expect("write"));
    let mut received = String::new();
    child.stdout.take().expect("stdout").read_to_string(&mut received).expect("read");
    writer.join().expect("join");
    assert!(child.wait().expect("wait").success());
    assert!(received == text, "cat returns what it got");
}

fn environment_and_directory_are_passed() {
    let output = Command::new(tool("sh"))
        .args(["-c", "echo $GREETING:$HOME:$PWD"])
        .env_clear()
        .env("GREETING", "good day")
        .current_dir("/usr")
        .output()
        .expect("sh");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "good day::/usr\n");
}

fn failures_of_exec_are_reported() {
    let absent = Command::new("/no/such/program").spawn();
    assert_eq!(absent.expect_err("absent").kind(), ErrorKind::NotFound);
    let directory = Command::new("/usr").spawn();
    assert_eq!(directory.expect_err("a directory").kind(), ErrorKind::PermissionDenied);
}

fn endings_are_told_apart() {
    let mut sleeper = Command::new(tool("sleep")).arg("60").process_group(0).spawn().expect("sleep");
    assert!(sleeper.try_wait().expect("try_wait").is_none());
    sleeper.kill().expect("kill");
    assert_eq!(sleeper.wait().expect("wait").signal(), Some(9));
    let term = Command::new(tool("sh")).args(["-c", "kill -TERM $$"]).status().expect("sh");
    assert_eq!((term.code(), term.signal()), (None, Some(15)));
}

fn many_children_at_once() {
    let children: Vec<_> = (0..20_u8)
        .map(|number| Command::new(tool("sh")).args(["-c", &format!("exit {number}")]).spawn().expect("sh"))
        .collect();
    for (number, mut child) in children.into_iter().enumerate() {
        assert_eq!(child.wait().expect("wait").code(), Some(number as i32));
    }
}
