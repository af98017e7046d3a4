//! The layers of the jail: told, and missed.

use std::process::Command;

use guest_tests::bounded::{self, Finished};
use guest_tests::vmm;

use crate::{TIMEOUT, Test, assert_code, assert_one_line, run};

pub(crate) const TESTS: &[Test] = &[
    (
        "layers::a_host_without_landlock_runs_nothing_unless_told_to",
        a_host_without_landlock_runs_nothing_unless_told_to,
    ),
    ("layers::doctor_and_log_tell_of_them", doctor_and_log_tell_of_them),
];

/// Has landlock_create_ruleset(2), number 444, fail with EOPNOTSUPP, as where Landlock is turned off, and executes its arguments.
const WITHOUT_LANDLOCK: &str = "
    my $filter = pack '(SCCL)*', 0x20, 0, 0, 0, 0x15, 0, 1, 444, 0x06, 0, 0, 0x50000 | 95, 0x06, 0, 0, 0x7fff0000;
    syscall(157, 38, 1, 0, 0, 0) == 0 && syscall(317, 1, 0, pack 'Sx6P', 4, $filter) == 0 or die qq(no filter: $!\n);
    exec @ARGV";

fn run_without_landlock(words: &[&str]) -> Finished {
    let binary = vmm::binary().unwrap_or_else(|message| panic!("{message}"));
    let mut command = Command::new("perl");
    command.args(["-e", WITHOUT_LANDLOCK, "--"]).arg(binary).args(words);
    bounded::run(&mut command, TIMEOUT).expect("perl starts")
}

fn a_host_without_landlock_runs_nothing_unless_told_to() {
    let program = ["--image", "/", "--", "/bin/echo", "ran"];
    let finished = run_without_landlock(&program);
    assert_one_line(&finished, &[125], &["Landlock", "--insecure-no-landlock", "lsm="]);
    assert_eq!(finished.stdout, "", "{}", finished.describe());
    let finished = run_without_landlock(&[&["--insecure-no-landlock"], &program[..]].concat());
    assert_code(&finished, 0);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("ran\n", ""));
    let finished =
        run_without_landlock(&[&["--insecure-no-landlock", "--log", "warn"], &program[..]].concat());
    assert!(finished.stderr.contains("Landlock is missing"), "{}", finished.describe());

    let finished = run_without_landlock(&["doctor"]);
    assert_one_line(&finished, &[125], &["Landlock", "--insecure-no-landlock"]);
    assert!(finished.stdout.contains("no program can run here"), "{}", finished.describe());
    let finished = run_without_landlock(&["doctor", "--insecure-no-landlock"]);
    assert_code(&finished, 0);
    assert!(finished.stdout.contains("missing          Landlock"), "{}", finished.describe());
}

/// With the option, a Landlock that is there is used all the same.
fn doctor_and_log_tell_of_them() {
    let doctor = run(&["doctor", "--insecure-no-landlock"], &[]);
    assert_code(&doctor, 0);
    let log = run(&["--insecure-no-landlock", "--log", "info"], &["/bin/true"]);
    for (layer, word) in [("Landlock", ""), ("seccomp", "system calls")] {
        let line =
            doctor.stdout.lines().find_map(|line| line.strip_prefix(layer)).unwrap_or_default().trim_start();
        assert!(!line.is_empty() && line.contains(word), "{layer}: {}", doctor.describe());
        let logged = format!("vmm: info: {layer}: {line}");
        assert!(log.stderr.lines().any(|line| line == logged), "{logged}: {}", log.describe());
    }
}
