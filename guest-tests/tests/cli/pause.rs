//! `vmm pause` and `vmm resume`.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use guest_tests::bounded::{self, Finished, Running};
use rustix::process::{Signal, kill_process};

use crate::{TIMEOUT, Test, assert_code, assert_one_line, guest_program, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("pause::nothing_runs_until_resume", nothing_runs_until_resume),
    ("pause::signals_and_timers_wait", signals_and_timers_wait),
    ("pause::long_calls_are_held_up_in_their_midst", long_calls_are_held_up_in_their_midst),
    ("pause::a_sandbox_is_known_by_its_name", a_sandbox_is_known_by_its_name),
    ("pause::kill_sends_a_signal_to_the_first_process", kill_sends_a_signal_to_the_first_process),
    ("pause::wrong_processes_and_users_are_refused", wrong_processes_and_users_are_refused),
];

const MOMENT: Duration = Duration::from_millis(300);

fn start(script: &str) -> Running {
    let running = bounded::start(&mut vmm_command(&["--image", "/"], &["/bin/sh", "-c", script]));
    let mut running = running.expect("vmm starts");
    assert!(running.prints_within("ready\n", TIMEOUT).expect("output"));
    running
}

fn ask(word: &str, pid: &str) -> Finished {
    bounded::run(vmm_command(&[], &[]).args([word, pid]), TIMEOUT).expect("vmm starts")
}

fn kill_sends_a_signal_to_the_first_process() {
    let running = start("trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.05; done");
    let pid = running.pid().as_raw_nonzero().to_string();
    let mut command = vmm_command(&[], &[]);
    let asked = bounded::run(command.args(["kill", "--signal", "TERM", &pid]), TIMEOUT).expect("vmm starts");
    assert_code(&asked, 0);
    let finished = running.finish(TIMEOUT).expect("end");
    assert_code(&finished, 7);
    assert_eq!(finished.stdout, "ready\nasked\n", "{}", finished.describe());
    let running = start("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    assert_code(&ask_running("kill", &running), 0);
    assert_code(&running.finish(TIMEOUT).expect("end"), 137);
}

fn ask_running(word: &str, running: &Running) -> Finished {
    ask(word, &running.pid().as_raw_nonzero().to_string())
}

/// The CPU time of a process, in clock ticks.
fn ticks_of(running: &Running) -> u64 {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", running.pid().as_raw_nonzero())).expect("stat");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum()
}

fn nothing_runs_until_resume() {
    // Two loops that need no system call, and one that makes many.
    let script = "while :; do :; done & while :; do :; done & (while :; do echo $((i += 1)); done) >/dev/null & \
        echo ready; wait";
    let mut command = vmm_command(&["--image", "/"], &["/bin/bash", "-c", script]);
    let mut running = bounded::start(&mut command).expect("vmm starts");
    assert!(running.prints_within("ready\n", TIMEOUT).expect("output"));
    for _ in 0..3 {
        assert_code(&ask_running("pause", &running), 0);
        let before = ticks_of(&running);
        std::thread::sleep(MOMENT);
        assert!(ticks_of(&running) <= before + 1, "a paused sandbox runs");
        assert_one_line(&ask_running("pause", &running), &[125], &["paused already"]);
        assert_code(&ask_running("resume", &running), 0);
        let (before, deadline) = (ticks_of(&running), Instant::now() + TIMEOUT);
        while ticks_of(&running) <= before + 3 {
            assert!(Instant::now() < deadline, "a resumed sandbox stands still");
            std::thread::sleep(MOMENT / 10);
        }
        assert_one_line(&ask_running("resume", &running), &[125], &["not paused"]);
    }
    kill_process(running.pid(), Signal::KILL).expect("kill");
}

fn signals_and_timers_wait() {
    let mut running = start(
        "trap 'echo got TERM; exit 7' TERM; echo ready; sleep 0.2; echo slept; while :; do sleep 0.05; done",
    );
    assert_code(&ask_running("pause", &running), 0);
    kill_process(running.pid(), Signal::TERM).expect("kill");
    assert!(!running.prints_within("ready\nslept\n", 2 * MOMENT).expect("output"));
    assert_code(&ask_running("resume", &running), 0);
    let finished = running.finish(TIMEOUT).expect("end");
    assert_code(&finished, 7);
    assert!(finished.stdout.ends_with("got TERM\n"), "{}", finished.describe());
}

/// The call that `long_calls` knows by this number, made again and again, stands still when it is asked to and goes on.
fn long_calls_are_held_up_in_their_midst() {
    let program = guest_program("long_calls");
    let plain = ["0", "1", "2", "3", "6", "9", "10", "15", "16", "17", "20", "22", "25"];
    let of_many = ["26", "27", "28", "31", "33", "35", "38", "43", "46"];
    let newest = ["47", "48", "49", "50", "52", "53", "55"];
    for number in plain.into_iter().chain(of_many).chain(newest) {
        let mut command = vmm_command(&["--image", "/"], &[&program, number]);
        let mut running = bounded::start(&mut command).expect("vmm starts");
        assert!(running.prints_within("r", TIMEOUT).expect("output"), "{number}");
        let start = Instant::now();
        assert_code(&ask_running("pause", &running), 0);
        println!("call {number} stands still after {:?}", start.elapsed());
        let before = ticks_of(&running);
        std::thread::sleep(MOMENT);
        assert!(ticks_of(&running) <= before + 1, "call {number} goes on in a paused sandbox");
        assert_code(&ask_running("resume", &running), 0);
        let (before, deadline) = (ticks_of(&running), Instant::now() + TIMEOUT);
        while ticks_of(&running) <= before + 1 {
            assert!(Instant::now() < deadline, "call {number} does not go on");
            std::thread::sleep(MOMENT / 10);
        }
        kill_process(running.pid(), Signal::KILL).expect("kill");
        running.finish(TIMEOUT).expect("end");
    }
}

fn a_sandbox_is_known_by_its_name() {
    let name = format!("pause-test-{}", std::process::id());
    let script = "echo ready; while :; do sleep 0.05; done";
    let named = || vmm_command(&["--image", "/", "--name", &name], &["/bin/sh", "-c", script]);
    let mut running = bounded::start(&mut named()).expect("vmm starts");
    assert!(running.prints_within("ready\n", TIMEOUT).expect("output"));
    let second = bounded::run(&mut named(), TIMEOUT).expect("vmm starts");
    assert_one_line(&second, &[125], &[&name, "of that name"]);
    assert_code(&ask("pause", &name), 0);
    assert_one_line(&ask_running("pause", &running), &[125], &["paused already"]);
    assert_code(&ask_running("resume", &running), 0);
    assert_one_line(&ask("resume", &name), &[125], &[&name, "not paused"]);
    kill_process(running.pid(), Signal::KILL).expect("kill");
    running.finish(TIMEOUT).expect("end");
    assert_one_line(&ask("pause", &name), &[125], &[&name, "runs no sandbox"]);
}

fn wrong_processes_and_users_are_refused() {
    let own = std::process::id().to_string();
    assert_one_line(&ask("pause", &own), &[125], &[&own, "runs no sandbox"]);
    for number in ["0", "-1", "x"] {
        assert_code(&ask("pause", number), 125);
    }
    let running = start("echo ready; sleep 60");
    let pid = running.pid().as_raw_nonzero().to_string();
    let mut foreign: Command = vmm_command(&[], &[]);
    foreign.args(["pause", &pid]).uid(12345).gid(12345);
    // Where the other user cannot execute the binary, nothing is shown.
    if let Ok(refused) = bounded::run(&mut foreign, TIMEOUT) {
        assert_one_line(&refused, &[125], &["does not let you"]);
    }
    assert_one_line(&ask("resume", &pid), &[125], &["not paused"]);
    kill_process(running.pid(), Signal::KILL).expect("kill");
    assert!(!running.finish(TIMEOUT).expect("end").stdout.is_empty());
}
