//! `vmm doctor`: tells what the host offers, and is a program like any other after `--`.

use std::process::Command;

use guest_tests::{bounded, vmm};

use crate::{TIMEOUT, Test, assert_code, assert_one_line, run, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("doctor::tells_what_was_found_and_chosen", tells_what_was_found_and_chosen),
    ("doctor::says_the_same_as_the_log", says_the_same_as_the_log),
    ("doctor::of_a_host_without_kvm_says_what_to_do", of_a_host_without_kvm_says_what_to_do),
    ("doctor::after_dashes_is_a_program", after_dashes_is_a_program),
];

/// Subjects of lines whose text is the same in every run.
const FACTS: [&str; 4] = ["KVM interface", "capabilities", "limits", "extended state"];

fn tells_what_was_found_and_chosen() {
    let finished = run(&["doctor"], &[]);
    assert_code(&finished, 0);
    for subject in ["host kernel", "virtualisation", "/dev/kvm", "SYSCALL", "TSC", "an exit costs", "verdict"]
        .iter()
        .chain(&FACTS)
    {
        let found = finished.stdout.lines().any(|line| line.starts_with(subject) && line.len() > 18);
        assert!(found, "a line on {subject}: {}", finished.describe());
    }
}

fn says_the_same_as_the_log() {
    let doctor = run(&["doctor"], &[]);
    let log = run(&["--log", "debug"], &["/bin/true"]);
    for subject in FACTS {
        let line = doctor.stdout.lines().find_map(|line| line.strip_prefix(subject)).unwrap_or_default();
        let logged = format!("vmm: debug: {subject}: {}", line.trim_start());
        assert!(log.stderr.lines().any(|line| line == logged), "{logged}: {}", log.describe());
    }
}

/// A mount namespace of its own, whose /dev has no KVM.
fn of_a_host_without_kvm_says_what_to_do() {
    let binary = vmm::binary().unwrap_or_else(|message| panic!("{message}"));
    let script = "mount -t tmpfs none /dev && exec \"$0\" doctor";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "/bin/sh", "-c", script]).arg(binary);
    let finished = bounded::run(&mut command, TIMEOUT).expect("unshare starts");
    assert_one_line(&finished, &[125], &["/dev/kvm", "enable virtualisation", "module"]);
    assert!(finished.stdout.contains("host kernel"), "{}", finished.describe());
}

fn after_dashes_is_a_program() {
    for words in [&["doctor"][..], &["/no/such/doctor"]] {
        assert_one_line(&run(&["--image", "/"], words), &[127], &["doctor"]);
    }
    let finished = bounded::run(&mut vmm_command(&[], &["doctor"]), TIMEOUT).expect("vmm starts");
    assert_one_line(&finished, &[127], &["doctor"]);
}
