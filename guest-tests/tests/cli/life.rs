//! Signals that reach the guest, what a killed `vmm` leaves behind, and hosts without KVM.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use guest_tests::bounded;
use guest_tests::vmm;
use rustix::process::{Signal, kill_process, test_kill_process_group};

use crate::{TIMEOUT, Test, assert_code, assert_one_line, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("life::signals_reach_the_first_process", signals_reach_the_first_process),
    (
        "life::what_ignores_sigterm_is_killed_after_the_stop_timeout",
        what_ignores_sigterm_is_killed_after_the_stop_timeout,
    ),
    ("life::a_second_sigterm_kills_at_once", a_second_sigterm_kills_at_once),
    ("life::what_ends_in_time_is_not_killed", what_ends_in_time_is_not_killed),
    ("life::inherited_descriptors_are_closed", inherited_descriptors_are_closed),
    ("life::killing_vmm_leaves_nothing_behind", killing_vmm_leaves_nothing_behind),
    ("life::blocked_signals_are_no_trouble", blocked_signals_are_no_trouble),
    ("life::limits_that_are_too_small_are_named", limits_that_are_too_small_are_named),
    ("life::closed_streams_are_no_trouble", closed_streams_are_no_trouble),
    ("life::without_kvm_the_device_is_named", without_kvm_the_device_is_named),
    ("life::a_fork_bomb_ends_with_its_first_process", a_fork_bomb_ends_with_its_first_process),
];

fn signals_reach_the_first_process() {
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::HUP, "HUP")] {
        let script =
            format!("trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done");
        let mut command = vmm_command(&["--image", "/"], &["/bin/sh", "-c", &script]);
        let mut running = bounded::start(&mut command).expect("vmm starts");
        let is_ready = running.prints_within("ready\n", TIMEOUT).expect("output");
        assert!(is_ready, "{}", running.finish(Duration::ZERO).expect("end").describe());
        kill_process(running.pid(), signal).expect("kill");
        let finished = running.finish(TIMEOUT).expect("end");
        assert_code(&finished, 7);
        assert_eq!(finished.stdout, format!("ready\ngot {name}\n"), "{}", finished.describe());
    }
}

/// A sandbox that is ready and whose first process runs this script, with this much time to end.
fn start_with_stop_timeout(seconds: &str, script: &str) -> bounded::Running {
    let options = ["--image", "/", "--stop-timeout", seconds];
    let mut command = vmm_command(&options, &["/bin/sh", "-c", script]);
    let mut running = bounded::start(&mut command).expect("vmm starts");
    assert!(running.prints_within("ready\n", TIMEOUT).expect("output"), "the script is ready");
    running
}

fn what_ignores_sigterm_is_killed_after_the_stop_timeout() {
    for (seconds, disposition) in [("2", "trap '' TERM"), ("0", "trap 'echo late' TERM")] {
        let script = format!("{disposition}; sleep 60 & echo ready; while :; do sleep 0.05; done");
        let running = start_with_stop_timeout(seconds, &script);
        let begun = Instant::now();
        kill_process(running.pid(), Signal::TERM).expect("kill");
        let finished = running.finish(TIMEOUT).expect("end");
        let elapsed = begun.elapsed();
        assert_code(&finished, 137);
        let timeout = Duration::from_secs(seconds.parse().expect("a number"));
        assert!(elapsed >= timeout && elapsed < timeout + Duration::from_secs(8), "{elapsed:?}");
    }
}

fn a_second_sigterm_kills_at_once() {
    let script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done";
    let mut running = start_with_stop_timeout("3600", script);
    kill_process(running.pid(), Signal::TERM).expect("kill");
    assert!(running.prints_within("asked\n", TIMEOUT).expect("output"), "the first one is passed on");
    std::thread::sleep(Duration::from_millis(200));
    kill_process(running.pid(), Signal::TERM).expect("kill");
    let finished = running.finish(TIMEOUT).expect("end");
    assert_code(&finished, 137);
    assert_eq!(finished.stdout, "ready\nasked\n", "{}", finished.describe());
}

fn what_ends_in_time_is_not_killed() {
    let script = "trap 'sleep 1; echo tidy; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let running = start_with_stop_timeout("20", script);
    kill_process(running.pid(), Signal::TERM).expect("kill");
    let finished = running.finish(TIMEOUT).expect("end");
    assert_code(&finished, 3);
    assert_eq!(finished.stdout, "ready\ntidy\n", "{}", finished.describe());
}

/// Who waits for the end of a pipe that vmm was born with sees it while vmm runs.
fn inherited_descriptors_are_closed() {
    let binary = vmm::binary().expect("vmm");
    let script = format!(
        "set -e; d=$(mktemp -d); mkfifo $d/p
        {} --image / -- /bin/sh -c 'echo ready; sleep 20' 9> $d/p > $d/out & vmm=$!
        timeout 10 cat $d/p; echo status $?; kill -KILL $vmm; rm -r $d",
        binary.display()
    );
    let finished =
        bounded::run(Command::new("/bin/bash").args(["-c", &script]), TIMEOUT).expect("bash starts");
    assert_eq!(finished.stdout, "status 0\n", "{}", finished.describe());
}

fn killing_vmm_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().expect("a directory");
    let script = "sleep 60 & (sleep 61 & sleep 62) & echo ready; wait";
    let mut command = vmm_command(&["--image", "/"], &["/bin/sh", "-c", script]);
    let mut running = bounded::start(command.env("TMPDIR", temporary.path())).expect("vmm starts");
    let is_ready = running.prints_within("ready\n", TIMEOUT).expect("output");
    assert!(is_ready, "{}", running.finish(Duration::ZERO).expect("end").describe());
    let (pid, shared_before) = (running.pid(), entries("/dev/shm"));
    kill_process(pid, Signal::KILL).expect("kill");
    // `finish` would kill the group: look first.
    let deadline = Instant::now() + Duration::from_secs(5);
    while live_members_of_group(pid.as_raw_nonzero().get()) > 0 {
        assert!(Instant::now() < deadline, "processes of the group outlive vmm");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(running);
    assert!(test_kill_process_group(pid).is_err(), "the group is gone");
    assert_eq!(entries(temporary.path()), Vec::<String>::new(), "temporary files are left");
    assert!(entries("/dev/shm").iter().all(|name| shared_before.contains(name)), "shared memory is left");
}

/// How many processes of a group are more than zombies.
fn live_members_of_group(group: i32) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let stats = processes.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let state = fields.next().unwrap_or_default();
            let found_group = fields.nth(1).unwrap_or_default();
            found_group == group.to_string() && state != "Z"
        })
        .count()
}

/// The names in a directory.
fn entries(directory: impl AsRef<std::path::Path>) -> Vec<String> {
    let listed = fs::read_dir(directory).expect("list").filter_map(Result::ok);
    listed.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// All signals are blocked when vmm starts; it needs one of its own to get threads out of user code.
fn blocked_signals_are_no_trouble() {
    let block = "use POSIX; my $all = POSIX::SigSet->new(1 .. 31, 34 .. 64); sigprocmask(SIG_SETMASK, $all); exec @ARGV";
    let script = "while :; do :; done & kill -KILL $!; wait $!; echo $?";
    let mut command = Command::new("perl");
    command.args(["-e", block]).arg(vmm::binary().expect("vmm")).args(["--", "/bin/sh", "-c", script]);
    let finished = bounded::run(&mut command, TIMEOUT).expect("perl starts");
    assert_eq!(finished.stdout, "137\n", "{}", finished.describe());
}

fn limits_that_are_too_small_are_named() {
    let binary = vmm::binary().expect("vmm");
    for (limit, words) in [
        ("ulimit -v 100000", ["address space", "ulimit -v"]),
        ("ulimit -d 100000", ["address space", "ulimit -d"]),
        // Which of the things that are made at the same time comes too late, is chance.
        ("ulimit -n 8", ["vmm: ", "Too many open files"]),
        ("ulimit -n 10", ["vmm: ", "Too many open files"]),
    ] {
        let script = format!("{limit}; exec {} --image / -- /bin/true", binary.display());
        let finished =
            bounded::run(Command::new("bash").args(["-c", &script]), TIMEOUT).expect("bash starts");
        assert_one_line(&finished, &[125], &words);
        assert_eq!(finished.stderr.matches("(os error").count(), 1, "said once: {}", finished.describe());
    }
}

fn closed_streams_are_no_trouble() {
    let binary = vmm::binary().expect("vmm");
    let script = format!("exec {} --image / -- /bin/sh -c 'echo lost; exit 5' <&- >&-", binary.display());
    let finished = bounded::run(Command::new("/bin/sh").args(["-c", &script]), TIMEOUT).expect("sh starts");
    assert_code(&finished, 5);
    let script = format!("{} --image / -- /bin/sh -c 'seq 100000' | head -n 1", binary.display());
    let finished = bounded::run(Command::new("/bin/sh").args(["-c", &script]), TIMEOUT).expect("sh starts");
    assert_eq!(finished.stdout, "1\n", "{}", finished.describe());
}

fn without_kvm_the_device_is_named() {
    let binary = vmm::binary().expect("vmm");
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // A mount namespace whose /dev/kvm is no KVM device, or which has none.
    for preparation in ["mount --bind /dev/null /dev/kvm", "mount -t tmpfs none /dev"] {
        let script = format!("{preparation} && exec {} --image / -- /bin/true", binary.display());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", &script]);
        let finished = bounded::run(&mut command, TIMEOUT).expect("unshare starts");
        assert_one_line(&finished, &[125], &["/dev/kvm"]);
    }
    if fs::metadata("/dev/kvm")
        .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::mode(&metadata) & 0o006 == 0)
    {
        let mut command = vmm_command(&["--image", "/"], &["/bin/true"]);
        let finished = bounded::run(command.uid(65534).gid(65534), TIMEOUT).expect("vmm starts");
        assert_one_line(&finished, &[125], &["/dev/kvm", "ermission"]);
    }
}

fn a_fork_bomb_ends_with_its_first_process() {
    let script =
        "bomb() { bomb | bomb & }; (ulimit -u 60 2> /dev/null; bomb) 2> /dev/null; sleep 1; echo survived";
    let mut command =
        vmm_command(&["--image", "/", "--memory", "512M", "--user", "4242"], &["/bin/bash", "-c", script]);
    let finished = bounded::run(&mut command, TIMEOUT).expect("vmm starts");
    assert_code(&finished, 0);
    assert_eq!(finished.stdout, "survived\n", "{}", finished.describe());
}
