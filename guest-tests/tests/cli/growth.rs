//! What guests make and keep, to their bounds: vmm's memory stays within the sandbox's and its own, and others are served.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use guest_tests::bounded::{self, Running};

use crate::{TIMEOUT, Test, assert_code, guest_program, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("growth::roots_objects_stay_within_memory", roots_objects_stay_within_memory),
    ("growth::nobodys_objects_stay_within_memory", nobodys_objects_stay_within_memory),
    ("growth::a_host_without_memory_ends_vmm_with_a_line", a_host_without_memory_ends_vmm_with_a_line),
];

/// What vmm may have beside the sandbox's memory.
const OWN_MIB: u64 = 96;
/// How long everything may take, on a host that has other things to do.
const PATIENCE: Duration = Duration::from_secs(300);

fn roots_objects_stay_within_memory() {
    grow("root", 256);
}

fn nobodys_objects_stay_within_memory() {
    grow("nobody", 256);
}

/// Has `user` make each kind of object until it is refused or its time is over, beside a process that wants to be served.
fn grow(user: &str, memory_mib: u64) {
    let (canary, growth) = (guest_program("canary"), guest_program("growth"));
    let memory = format!("{memory_mib}M");
    let options = ["--image", "/", "--memory", &memory];
    let mut running =
        bounded::start(&mut vmm_command(&options, &[&canary, &growth, "all", user])).expect("vmm starts");
    let status = format!("/proc/{}/status", running.pid().as_raw_nonzero());
    let deadline = Instant::now() + PATIENCE;
    let (mut peak_kib, mut peak_at) = (0, String::new());
    // A process that has ended and is not waited for has no memory.
    while let Some(resident_kib) = field_kib(&status, "VmRSS:") {
        assert!(Instant::now() < deadline, "vmm does not end: {}", last_name(&mut running));
        if resident_kib > peak_kib {
            (peak_kib, peak_at) = (resident_kib, last_name(&mut running));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let finished = running.finish(PATIENCE).expect("end");
    println!("{user}: at most {} MiB, with {peak_at}", peak_kib >> 10);
    assert_code(&finished, 0);
    assert!(peak_kib >> 10 <= memory_mib + OWN_MIB, "{} MiB with {peak_at}", peak_kib >> 10);
    let beats = finished.stdout.lines().filter(|line| *line == "beat").count();
    let names = finished.stdout.lines().filter(|line| *line != "beat").count();
    assert!(names > 30 && beats > names, "{beats} beats and {names} kinds of objects");
}

/// More threads than the host gives vmm: the first that cannot be is refused inside, and nobody ends of it. Takes a minute and most
/// of what the host has: `scripts/test -p guest-tests --test cli -- --ignored --exact growth::more_threads_than_the_host_gives`.
pub(crate) fn more_threads_than_the_host_gives() {
    let (canary, program) = (guest_program("canary"), guest_program("most_threads"));
    let options = ["--image", "/", "--memory", "8G"];
    let finished = bounded::run(&mut vmm_command(&options, &[&canary, &program, "all"]), PATIENCE);
    let finished = finished.expect("vmm starts");
    assert_code(&finished, 0);
    let made = finished.stdout.lines().find_map(|line| line.strip_prefix("made ")?.strip_suffix(" threads"));
    let made: u64 = made.and_then(|number| number.parse().ok()).expect("a number");
    println!("{made} threads");
    assert!(made > 1000, "{}", finished.describe());
}

/// A field of a process's status that is a size; `None` if the process has ended.
fn field_kib(status: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

/// What is being made.
fn last_name(running: &mut Running) -> String {
    let stdout = running.stdout_so_far().expect("output");
    stdout.lines().rev().find(|line| *line != "beat").unwrap_or("nothing").into()
}

/// The host gives vmm no more memory than another one had when it began, while a guest makes it want some.
fn a_host_without_memory_ends_vmm_with_a_line() {
    let growth = guest_program("growth");
    let mut command =
        vmm_command(&["--image", "/", "--memory", "256M"], &[&growth, "unix_packets", "root", "5000"]);
    let mut running = bounded::start(&mut command).expect("vmm starts");
    assert!(running.prints_within("unix_packets root\n", TIMEOUT).expect("output"));
    let status = format!("/proc/{}/status", running.pid().as_raw_nonzero());
    let begun_kib = field_kib(&status, "VmSize:").expect("a size");
    drop(running);
    let limit = format!("ulimit -v {}; exec \"$@\"", begun_kib + 1024);
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", &limit, "sh"]).arg(command.get_program()).args(command.get_args());
    let finished = bounded::run(&mut limited, TIMEOUT).expect("vmm starts");
    assert_code(&finished, 125);
    assert!(finished.stderr.contains("no memory left for vmm itself"), "{}", finished.describe());
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.describe());
}
