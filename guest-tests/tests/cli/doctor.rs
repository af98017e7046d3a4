//! `vmm doctor`: tells what the host offers, and is a program like any other after `--`.

use std::process::Command;

use guest_tests::bounded::{self, Finished};
use guest_tests::vmm;

use crate::{TIMEOUT, Test, assert_code, assert_one_line, run, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("doctor::tells_what_was_found_and_chosen", tells_what_was_found_and_chosen),
    ("doctor::says_the_same_as_the_log", says_the_same_as_the_log),
    ("doctor::of_a_host_without_kvm_says_what_to_do", of_a_host_without_kvm_says_what_to_do),
    ("doctor::of_a_host_that_hides_its_files_says_so", of_a_host_that_hides_its_files_says_so),
    ("doctor::needs_few_descriptors_and_tells_of_them", needs_few_descriptors_and_tells_of_them),
    ("doctor::goes_on_when_its_reader_does_not", goes_on_when_its_reader_does_not),
    ("doctor::after_dashes_is_a_program", after_dashes_is_a_program),
];

/// Subjects of lines whose text is the same in every run.
const FACTS: [&str; 7] = [
    "KVM interface",
    "capabilities",
    "limits",
    "SYSCALL",
    "SMEP and SMAP",
    "deleting a slot",
    "extended state",
];

fn tells_what_was_found_and_chosen() {
    let finished = run(&["doctor"], &[]);
    assert_code(&finished, 0);
    for subject in [
        "host kernel",
        "processor",
        "tasks",
        "modules",
        "/dev/kvm",
        "TSC",
        "missing",
        "an exit costs",
        "verdict",
    ]
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

/// Runs a shell script in a mount namespace of its own, with `vmm` as its `$0`.
fn run_in_own_namespace(script: &str) -> Finished {
    let binary = vmm::binary().unwrap_or_else(|message| panic!("{message}"));
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "/bin/bash", "-o", "pipefail", "-c", script]).arg(binary);
    bounded::run(&mut command, TIMEOUT).expect("unshare starts")
}

fn of_a_host_without_kvm_says_what_to_do() {
    let own_dev = "mount -t tmpfs none /dev";
    for (preparation, words) in [
        (own_dev.to_owned(), ["does not exist", "enable virtualisation", "module"]),
        (
            format!("{own_dev} && mknod /dev/kvm c 4000 1"),
            ["has no driver", "enable virtualisation", "module"],
        ),
        ("mount --bind /dev/zero /dev/kvm".to_owned(), ["is not KVM's device", "mknod", "10 232"]),
        (
            format!(
                "{own_dev} && mknod -m 600 /dev/kvm c 10 232 && set -- setpriv --reuid 65534 --clear-groups"
            ),
            ["permission denied", "group", "root"],
        ),
    ] {
        let finished = run_in_own_namespace(&format!("{preparation} && exec \"$@\" \"$0\" doctor"));
        assert_one_line(&finished, &[125], &["/dev/kvm"]);
        assert_one_line(&finished, &[125], &words);
        for told in ["host kernel", "processor", "modules", "no program can run here"] {
            assert!(finished.stdout.contains(told), "{told}: {}", finished.describe());
        }
    }
}

fn of_a_host_that_hides_its_files_says_so() {
    let finished =
        run_in_own_namespace("mount -t tmpfs none /proc && mount -t tmpfs none /sys && \"$0\" doctor");
    assert_code(&finished, 0);
    for told in ["/proc/cpuinfo does not tell", "/sys/module cannot be read", "programs can run here"] {
        assert!(finished.stdout.contains(told), "{told}: {}", finished.describe());
    }
    assert!(!finished.stdout.contains("modprobe"), "{}", finished.describe());
}

fn needs_few_descriptors_and_tells_of_them() {
    let finished = run_in_own_namespace("ulimit -n 40 && \"$0\" doctor");
    assert_code(&finished, 0);
    for told in ["limits           20 vCPUs", "ulimit -Hn"] {
        assert!(finished.stdout.contains(told), "{told}: {}", finished.describe());
    }
    assert_one_line(&run_in_own_namespace("ulimit -n 4 && \"$0\" doctor"), &[125], &["Too many open files"]);
}

fn goes_on_when_its_reader_does_not() {
    let finished = run_in_own_namespace("\"$0\" doctor | head -n 1");
    assert_code(&finished, 0);
    assert_eq!((finished.stdout.lines().count(), finished.stderr.as_str()), (1, ""));
    assert_code(&run_in_own_namespace("\"$0\" doctor <&- >&- 2>&-"), 0);
    assert_one_line(&run_in_own_namespace("\"$0\" doctor > /dev/full"), &[125], &["standard output"]);
}

fn after_dashes_is_a_program() {
    for words in [&["doctor"][..], &["/no/such/doctor"]] {
        assert_one_line(&run(&["--image", "/"], words), &[127], &["doctor"]);
    }
    let finished = bounded::run(&mut vmm_command(&[], &["doctor"]), TIMEOUT).expect("vmm starts");
    assert_one_line(&finished, &[127], &["doctor"]);
}
