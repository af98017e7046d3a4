//! `--detach`, and what is asked of sandboxes that run on their own.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use guest_tests::bounded::{self, Finished};
use guest_tests::vmm;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{TIMEOUT, Test, assert_code, assert_one_line};

pub(crate) const TESTS: &[Test] = &[
    ("detached::one_runs_on_its_own_to_its_end", one_runs_on_its_own_to_its_end),
    ("detached::its_log_is_shown_and_followed", its_log_is_shown_and_followed),
    ("detached::its_log_is_bounded", its_log_is_bounded),
    ("detached::what_does_not_start_is_told_and_leaves_nothing", what_does_not_start_is_told),
    ("detached::names_are_taken_until_they_are_removed", names_are_taken_until_they_are_removed),
    ("detached::a_vmm_that_is_killed_has_a_status", a_vmm_that_is_killed_has_a_status),
    ("detached::input_and_terminal_are_as_docker_s", input_and_terminal_are_as_docker_s),
    ("detached::what_sandboxes_use_is_told", what_sandboxes_use_is_told),
    ("detached::a_disk_that_is_full_keeps_nobody", a_disk_that_is_full_keeps_nobody),
];

/// Sandboxes whose records are kept apart from all others, and who are all ended with this.
struct Host(TempDir);

impl Host {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(vmm::binary().unwrap_or_else(|message| panic!("{message}")));
        command.env("XDG_STATE_HOME", self.0.path()).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Finished {
        bounded::run(&mut self.command(words), TIMEOUT).expect("vmm starts")
    }

    /// Starts a detached sandbox of that name that runs a shell script.
    fn start(&self, options: &[&str], name: &str, script: &str) {
        let words = [&["--detach", "--name", name], options, &["--", "sh", "-c", script]].concat();
        let finished = self.run(&words);
        assert_code(&finished, 0);
        assert_eq!(finished.stdout, format!("{name}\n"), "{}", finished.describe());
    }

    /// What `vmm ps` tells of the sandbox of that name.
    fn told(&self, name: &str) -> Option<Value> {
        let finished = self.run(&["ps", "--all", "--json"]);
        assert_code(&finished, 0);
        let all: Vec<Value> = serde_json::from_str(&finished.stdout).expect("JSON");
        all.into_iter().find(|sandbox| sandbox["name"] == name)
    }

    fn records(&self) -> usize {
        let records = std::fs::read_dir(self.0.path().join("palisade/sandboxes"));
        records.map_or(0, Iterator::count)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let finished = self.run(&["ps", "--all", "--json"]);
        let all: Vec<Value> = serde_json::from_str(&finished.stdout).unwrap_or_default();
        for sandbox in all {
            let name = sandbox["name"].as_str().unwrap_or_default();
            if self.0.path().join("palisade/sandboxes").join(name).is_dir() {
                self.run(&["rm", "--force", name]);
            }
        }
    }
}

/// A name that no other test has.
fn name(text: &str) -> String {
    format!("{text}-{}", std::process::id())
}

fn one_runs_on_its_own_to_its_end() {
    let (host, name) = (Host::new(), name("own"));
    let script = "echo begun; echo wrong >&2; trap 'exit 7' TERM; while :; do sleep 0.05; done";
    host.start(&[], &name, script);
    let told = host.told(&name).expect("it is told of");
    assert_eq!((&told["state"], &told["image"]), (&"running".into(), &"/".into()), "{told}");
    assert_eq!(told["command"][2], script, "{told}");
    let table = host.run(&["ps"]).stdout;
    assert!(table.starts_with("NAME") && table.contains(&name) && table.contains("running"), "{table}");
    assert_code(&host.run(&["exec", &name, "true"]), 0);
    assert_code(&host.run(&["pause", &name]), 0);
    assert_eq!(host.told(&name).expect("it is told of")["state"], "paused");
    assert_code(&host.run(&["resume", &name]), 0);
    let waiting = bounded::start(&mut host.command(&["wait", "--json", &name])).expect("vmm starts");
    let killed = host.run(&["kill", "--signal", "TERM", "--json", &name]);
    assert!(killed.stdout.contains(&name), "{}", killed.describe());
    let waited = waiting.finish(TIMEOUT).expect("end");
    let ended: Value = serde_json::from_str(&waited.stdout).expect("JSON");
    assert_eq!(
        (&ended[0]["sandbox"], &ended[0]["exit_status"]),
        (&name.as_str().into(), &7.into()),
        "{ended}"
    );
    assert_eq!(host.run(&["wait", &name]).stdout, "7\n");
    let told = host.told(&name).expect("it is told of");
    assert_eq!((&told["state"], &told["exit_status"]), (&"exited".into(), &7.into()), "{told}");
    assert!(!host.run(&["ps"]).stdout.contains(&name), "it does not run");
    let logs = host.run(&["logs", &name]);
    assert_eq!((&*logs.stdout, &*logs.stderr), ("begun\n", "wrong\n"), "{}", logs.describe());
    assert_eq!(host.run(&["rm", &name]).stdout, format!("{name}\n"));
    assert_one_line(&host.run(&["logs", &name]), &[125], &[&name, "no detached sandbox", "`vmm ps --all`"]);
    assert_eq!(host.records(), 0);
}

fn its_log_is_shown_and_followed() {
    let (host, name) = (Host::new(), name("log"));
    host.start(&[], &name, "echo one; sleep 0.5; echo two; sleep 0.5; printf three; exit 3");
    let followed = host.run(&["logs", "--follow", &name]);
    assert_eq!(followed.stdout, "one\ntwo\nthree", "{}", followed.describe());
    assert_eq!(host.run(&["logs", "--tail", "2", &name]).stdout, "two\nthree");
    assert_eq!(host.run(&["logs", "--tail", "0", &name]).stdout, "");
    let json = host.run(&["logs", "--json", &name]).stdout;
    let entries: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(entries.len(), 3, "{json}");
    assert_eq!((&entries[1]["text"], &entries[1]["stream"]), (&"two\n".into(), &"stdout".into()), "{json}");
    assert!(entries[0]["time_ns"].as_u64() < entries[2]["time_ns"].as_u64(), "{json}");
}

fn its_log_is_bounded() {
    let (host, name) = (Host::new(), name("bounded"));
    host.start(&["--log-limit", "256K"], &name, "seq 300000; echo last");
    assert_eq!(host.run(&["wait", &name]).stdout, "0\n");
    let record = host.0.path().join("palisade/sandboxes").join(&name);
    let kept: u64 =
        ["log", "log.1"].map(|file| record.join(file).metadata().expect("a file").len()).iter().sum();
    assert!(kept <= 256 << 10, "{kept}");
    assert!(host.run(&["logs", &name]).stdout.ends_with("300000\nlast\n"), "the end is kept");
}

fn what_does_not_start_is_told() {
    let host = Host::new();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["--", "/nonesuch"], 127, "'/nonesuch': not found"),
        (&["--", "/etc/passwd"], 126, "/etc/passwd"),
        (&["--memory", "1M", "--", "true"], 125, "--memory"),
        (&["--user", "nonesuch", "--", "true"], 125, "nonesuch"),
    ];
    for (words, status, reason) in cases {
        let finished = host.run(&[&["--detach"], words].concat());
        assert_one_line(&finished, &[status], &[reason]);
        assert_eq!(finished.stdout, "", "{}", finished.describe());
        assert_eq!(host.records(), 0);
    }
    let mut unwritable = host.command(&["--detach", "--", "true"]);
    unwritable.env("XDG_STATE_HOME", "/proc");
    assert_one_line(&bounded::run(&mut unwritable, TIMEOUT).expect("vmm"), &[125], &["/proc"]);
    for word in ["logs", "rm", "wait"] {
        assert_one_line(&host.run(&[word, "nonesuch"]), &[125], &["nonesuch"]);
        assert_code(&host.run(&[word, "../x"]), 125);
    }
}

fn names_are_taken_until_they_are_removed() {
    let (host, name) = (Host::new(), name("taken"));
    host.start(&[], &name, "sleep 1000");
    let words = ["--detach", "--name", &name, "--", "true"];
    assert_one_line(&host.run(&words), &[125], &[&name]);
    assert_one_line(&host.run(&["rm", &name]), &[125], &[&name, "runs"]);
    assert_code(&host.run(&["kill", &name]), 0);
    assert_eq!(host.run(&["wait", &name]).stdout, "137\n");
    assert_one_line(&host.run(&words), &[125], &[&name, "vmm rm"]);
    assert_code(&host.run(&["rm", &name]), 0);
    assert_eq!(host.run(&words).stdout, format!("{name}\n"));
    assert_eq!(host.run(&["wait", &name]).stdout, "0\n");
    assert_code(&host.run(&["rm", "--force", &name]), 0);
    // Without a name it gets one, and with --rm nothing stays.
    let finished = host.run(&["--detach", "--rm", "--", "sleep", "0.3"]);
    let name = finished.stdout.trim();
    assert!(name.len() > 8, "{}", finished.describe());
    assert_eq!(host.run(&["wait", name]).stdout, "0\n");
    let deadline = Instant::now() + TIMEOUT;
    while host.records() > 0 {
        assert!(Instant::now() < deadline, "its record stays");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn a_vmm_that_is_killed_has_a_status() {
    let (host, name) = (Host::new(), name("killed"));
    host.start(&[], &name, "sleep 1000");
    let pid = host.told(&name).expect("it is told of")["pid"].as_i64().expect("a number");
    kill_process(Pid::from_raw(pid as i32).expect("a pid"), Signal::KILL).expect("kill");
    assert_eq!(host.run(&["wait", &name]).stdout, "137\n");
    // If nobody is left who keeps it, it is lost, and can be removed.
    let lost = format!("{name}-lost");
    host.start(&[], &lost, "sleep 1000");
    let pid = host.told(&lost).expect("it is told of")["pid"].as_i64().expect("a number") as i32;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let keeper = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).expect("a parent");
    for pid in [keeper.parse().expect("a number"), pid] {
        kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("kill");
    }
    assert_one_line(&host.run(&["wait", &lost]), &[125], &[&lost]);
    assert_eq!(host.told(&lost).expect("it is told of")["state"], "lost");
    assert_code(&host.run(&["rm", &lost]), 0);
}

fn input_and_terminal_are_as_docker_s() {
    let (host, name) = (Host::new(), name("input"));
    host.start(&[], &name, "cat; echo end");
    assert_eq!(host.run(&["logs", "-f", &name]).stdout, "end\n");
    let open = format!("{name}-open");
    host.start(&["-i"], &open, "echo ready; cat; echo end");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(host.run(&["logs", &open]).stdout, "ready\n");
    let terminal = format!("{name}-tty");
    host.start(&["-t"], &terminal, "tty; test -t 0 && test -t 2 && echo both >&2");
    assert_eq!(host.run(&["logs", "-f", &terminal]).stdout, "/dev/pts/0\r\nboth\r\n");
}

fn what_sandboxes_use_is_told() {
    let (host, name) = (Host::new(), name("stats"));
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; sleep 1000 & sleep 1000";
    host.start(&["--memory", "256M", "--pids-limit", "64"], &name, script);
    let deadline = Instant::now() + TIMEOUT;
    while !host.run(&["logs", &name]).stdout.contains("done") {
        assert!(Instant::now() < deadline);
    }
    let json = host.run(&["stats", "--json", &name]);
    let used: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let used = &used[0];
    assert_eq!(
        (&used["name"], &used["memory_limit_bytes"]),
        (&name.as_str().into(), &(256 << 20).into()),
        "{used}"
    );
    assert_eq!((&used["tasks"], &used["tasks_limit"]), (&3.into(), &64.into()), "{used}");
    for figure in ["memory_bytes", "resident_bytes", "user_seconds", "uptime_seconds"] {
        assert!(used[figure].as_f64().is_some_and(|value| value > 0.0), "{figure}: {used}");
    }
    let text = host.run(&["stats", "--prometheus"]).stdout;
    assert!(text.contains(&format!("palisade_sandbox_tasks{{name=\"{name}\",")), "{text}");
    assert!(host.run(&["stats"]).stdout.lines().any(|line| line.starts_with(&name)));
    assert_one_line(&host.run(&["stats", "nonesuch"]), &[125], &["nonesuch"]);
}

/// A small file system of its own for the records.
fn a_disk_that_is_full_keeps_nobody() {
    let (host, name) = (Host::new(), name("full"));
    mount_small(host.0.path());
    host.start(&[], &name, "seq 300000; echo last >&2; exit 5");
    let waited = host.run(&["wait", &name]);
    let logs = host.run(&["logs", &name]);
    unmount(host.0.path());
    assert!(logs.stdout.starts_with("1\n2\n3\n"), "{}", logs.describe());
    // The end of it may be lost with the disk, but nobody waits for ever.
    assert!(waited.stdout == "5\n" || waited.stderr.contains("nobody has seen"), "{}", waited.describe());
}

fn mount_small(place: &Path) {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=512k", "none"]).arg(place);
    assert!(mount.status().expect("mount").success(), "a small file system is mounted");
}

fn unmount(place: &Path) {
    assert!(Command::new("umount").arg("-l").arg(place).status().expect("umount").success());
}
