//! Exit statuses and streams: the program's own status, 128+N, 125, 126, 127.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use guest_tests::{bounded, vmm};

use crate::{
    TIMEOUT, Test, assert_code, assert_code_among, assert_one_line, run, run_script, run_with_input,
};

pub(crate) const TESTS: &[Test] = &[
    ("status::is_the_programs_own", is_the_programs_own),
    ("status::of_a_killed_program_is_128_plus_the_signal", of_a_killed_program_is_128_plus_the_signal),
    ("status::command_not_found_is_127", command_not_found_is_127),
    ("status::command_that_cannot_be_executed_is_126", command_that_cannot_be_executed_is_126),
    ("status::wrong_use_is_125", wrong_use_is_125),
    (
        "status::messages_that_nobody_can_read_change_no_status",
        messages_that_nobody_can_read_change_no_status,
    ),
    ("status::scripts_nested_too_deep_are_126", scripts_nested_too_deep_are_126),
    ("status::scripts_run_by_their_interpreter", scripts_run_by_their_interpreter),
    ("status::background_processes_do_not_delay_the_end", background_processes_do_not_delay_the_end),
    ("status::standard_streams_are_the_callers", standard_streams_are_the_callers),
    ("status::the_documented_first_command_works", the_documented_first_command_works),
];

fn is_the_programs_own() {
    for code in [0, 1, 42, 125, 255] {
        assert_code(&run_script(&[], &format!("exit {code}")), code);
    }
}

fn of_a_killed_program_is_128_plus_the_signal() {
    for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("ABRT", 6)] {
        // The first process of a namespace may be spared its own signals; its child is not.
        let script = format!("sh -c 'kill -{name} $$'; exit $?");
        assert_code(&run_script(&[], &script), 128 + number);
    }
    let perl = ["/usr/bin/perl", "-e", "my $code = unpack('p', pack('Q', 8)); print length $code"];
    assert_code(&run(&["--image", "/"], &perl), 128 + 11);
}

fn command_not_found_is_127() {
    for command in ["/no/such/program", "no-such-program-anywhere", ""] {
        assert_one_line(&run(&["--image", "/"], &[command]), &[127], &[command]);
    }
}

fn command_that_cannot_be_executed_is_126() {
    let directory = tempfile::tempdir().expect("a directory");
    let garbage = directory.path().join("garbage");
    write_executable(&garbage, b"\x01\x02\x03 neither ELF nor script");
    let garbage = garbage.to_string_lossy().into_owned();
    for command in ["/etc/passwd", "/etc", &garbage] {
        assert_one_line(&run(&["--image", "/"], &[command]), &[126], &[command]);
    }
}

fn wrong_use_is_125() {
    let long_name = "x".repeat(65);
    let cases: [(&[&str], &str); 10] = [
        (&["--no-such-option"], "--no-such-option"),
        (&["--memory", "much"], "much"),
        (&["--memory", "0"], "0"),
        (&["--memory", "4294967291G"], "do not fit"),
        (&["--memory", "18446744073709551615"], "do not fit"),
        (&["--memory", "100T"], "do not fit"),
        (&["--hostname", &long_name], "64"),
        (&["--user", "x:y:z"], "x:y:z"),
        (&["--image", "/no/such/image"], "/no/such/image"),
        (&["--image", "/etc/passwd"], "/etc/passwd"),
    ];
    for (options, named) in cases {
        let finished = run(options, &["/bin/true"]);
        assert_code(&finished, 125);
        assert!(finished.stderr.contains(named), "names {named:?}: {}", finished.describe());
        assert!(finished.stdout.is_empty(), "{}", finished.describe());
    }
}

fn messages_that_nobody_can_read_change_no_status() {
    for (words, code) in [
        ("-- /no/such/program", 127),
        ("--image /no/such/image", 125),
        ("--no-such-option", 125),
        ("-- /etc", 126),
    ] {
        let script = format!("{} {words} 2> /dev/full", vmm::binary().expect("vmm").display());
        let finished =
            bounded::run(Command::new("/bin/sh").args(["-c", &script]), TIMEOUT).expect("sh starts");
        assert_code(&finished, code);
    }
}

fn scripts_nested_too_deep_are_126() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |depth: usize| directory.path().join(format!("script{depth}"));
    write_executable(&path(0), b"#!/bin/true\n");
    for depth in 1..8 {
        write_executable(&path(depth), format!("#!{}\n", path(depth - 1).display()).as_bytes());
    }
    for (depth, codes) in [(0, [0]), (4, [0]), (5, [126]), (7, [126])] {
        let script = path(depth).to_string_lossy().into_owned();
        let finished = run(&["--image", "/"], &[&script]);
        assert_code_among(&finished, &codes);
    }
    let missing = directory.path().join("missing");
    write_executable(&missing, b"#!/no/such/interpreter\n");
    let missing = missing.to_string_lossy().into_owned();
    assert_one_line(&run(&["--image", "/"], &[&missing]), &[126, 127], &["/no/such/interpreter"]);
}

fn scripts_run_by_their_interpreter() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("script");
    write_executable(&script, b"#!/bin/sh -e\necho \"$1 $-\"\nexit 9\n");
    let script = script.to_string_lossy().into_owned();
    let finished = run(&["--image", "/"], &[&script, "argument"]);
    assert_code(&finished, 9);
    assert_eq!(finished.stdout, "argument e\n");
}

fn background_processes_do_not_delay_the_end() {
    let finished = run_script(&[], "sleep 25 & sleep 26 & exit 3");
    assert_code(&finished, 3);
    assert!(finished.elapsed.as_secs() < 15, "{}", finished.describe());
}

fn standard_streams_are_the_callers() {
    let finished = run_script(&[], "echo to out; echo to err >&2");
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("to out\n", "to err\n"));
    let input = "line\n".repeat(5000);
    let finished = run_with_input(&["--image", "/"], &["/bin/cat"], &input);
    assert_code(&finished, 0);
    assert!(finished.stdout == input, "cat repeats its input");
    // Without a command the shell runs, here a script from standard input.
    let finished = run_with_input(&["--image"], &[], "echo from a shell\nexit 6\n");
    assert_code(&finished, 6);
    assert_eq!(finished.stdout, "from a shell\n");
}

fn the_documented_first_command_works() {
    let finished = run_script(&[], "echo hello from $(uname -s) | tr a-z A-Z");
    assert_code(&finished, 0);
    assert_eq!(finished.stdout, "HELLO FROM LINUX\n");
    let finished = run(&[], &["sh", "-c", "echo found in PATH"]);
    assert_eq!(finished.stdout, "found in PATH\n", "{}", finished.describe());
}

/// Makes an executable file.
pub(crate) fn write_executable(path: &Path, content: &[u8]) {
    std::fs::write(path, content).expect("write");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
}
