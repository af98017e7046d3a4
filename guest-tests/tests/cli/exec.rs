//! `vmm exec`: a command beside the first process.

use std::process::Command;
use std::time::Duration;

use guest_tests::bounded::{self, Finished, Running};
use guest_tests::vmm;
use rustix::process::{Signal, kill_process};

use crate::terminal::{assert_shown, command_on_a_terminal};
use crate::{TIMEOUT, Test, assert_code, assert_one_line, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("exec::a_command_joins_the_first_process", a_command_joins_the_first_process),
    ("exec::it_has_its_own_environment_user_and_directory", it_has_its_own_environment_user_and_directory),
    ("exec::its_status_is_passed_on", its_status_is_passed_on),
    ("exec::its_streams_are_the_caller_s", its_streams_are_the_caller_s),
    ("exec::it_has_a_terminal_of_its_own", it_has_a_terminal_of_its_own),
    ("exec::signals_reach_it", signals_reach_it),
    ("exec::a_sandbox_that_ends_ends_it", a_sandbox_that_ends_ends_it),
    ("exec::a_hundred_run_at_once", a_hundred_run_at_once),
    ("exec::what_cannot_be_run_is_told_in_a_line", what_cannot_be_run_is_told_in_a_line),
    ("exec::namespaces_are_those_of_the_first_process", namespaces_are_those_of_the_first_process),
];

/// A sandbox with a name of its own, whose first process says that it is ready.
pub(crate) struct Sandbox {
    pub(crate) name: String,
    pub(crate) running: Running,
}

impl Sandbox {
    pub(crate) fn start(test: &str, options: &[&str], script: &str) -> Self {
        let name = format!("{test}-{}", std::process::id());
        let options = [&["--name", &name], options].concat();
        let mut command = vmm_command(&options, &["/bin/sh", "-c", script]);
        let mut running = bounded::start(&mut command).expect("vmm starts");
        let is_ready = running.prints_within("ready\n", TIMEOUT).expect("output");
        assert!(is_ready, "{}", running.finish(Duration::ZERO).expect("end").describe());
        Self { name, running }
    }

    /// One that waits for its end.
    fn idle(test: &str) -> Self {
        Self::start(test, &[], "echo ready; exec sleep 1000")
    }

    /// Runs `vmm exec OPTIONS NAME -- WORDS`.
    fn exec(&self, options: &[&str], words: &[&str]) -> Finished {
        bounded::run(&mut self.exec_command(options, words), TIMEOUT).expect("vmm starts")
    }

    fn exec_command(&self, options: &[&str], words: &[&str]) -> Command {
        let mut command = vmm_command(&["exec"], &[]);
        command.args(options).arg(&self.name).arg("--").args(words);
        command
    }

    /// Runs a shell script beside the first process.
    fn script(&self, options: &[&str], script: &str) -> Finished {
        self.exec(options, &["sh", "-c", script])
    }
}

fn a_command_joins_the_first_process() {
    let sandbox =
        Sandbox::start("join", &["--hostname", "inside"], "echo mine >/tmp/file; echo ready; sleep 1000");
    let finished = sandbox.script(&[], "cat /tmp/file; hostname; cat /proc/1/comm; echo theirs >/tmp/other");
    assert_eq!(finished.stdout, "mine\ninside\nsh\n", "{}", finished.describe());
    let finished = sandbox.exec(&[], &["cat", "/tmp/other"]);
    assert_eq!(finished.stdout, "theirs\n", "{}", finished.describe());
    // It is nobody's child, leads a session of its own, and is in the control group of the first one.
    let script = "read -r pid _ _ parent group session rest </proc/self/stat; test $pid = $group -a $pid = $session && echo $parent";
    let finished = sandbox.script(&[], script);
    assert_eq!(finished.stdout, "0\n", "{}", finished.describe());
    let finished = sandbox.script(&[], "cmp /proc/self/cgroup /proc/1/cgroup && cat /proc/self/cgroup");
    assert_eq!(finished.stdout, format!("0::/{}\n", sandbox.name), "{}", finished.describe());
    // What it leaves behind is the first one's.
    let finished = sandbox.script(&[], "sh -c 'echo $$; exec sleep 1000' >/tmp/left & sleep 0.2");
    assert_code(&finished, 0);
    let finished = sandbox.script(&[], "read -r pid </tmp/left; grep PPid /proc/$pid/status; kill $pid");
    assert_eq!(finished.stdout, "PPid:\t1\n", "{}", finished.describe());
    let by_number = sandbox.running.pid().as_raw_nonzero().to_string();
    let mut command = vmm_command(&["exec"], &[]);
    let finished = bounded::run(command.args([&by_number, "echo", "-n", "--", "x"]), TIMEOUT).expect("vmm");
    assert_eq!(finished.stdout, "-- x", "{}", finished.describe());
}

fn it_has_its_own_environment_user_and_directory() {
    let options = ["--env", "A=first", "--env", "B=first", "--workdir", "/usr"];
    let sandbox = Sandbox::start("own", &options, "echo ready; sleep 1000");
    let show = "echo $A $B $C $HOME $(id -u):$(id -g) $PWD";
    let finished = sandbox.script(&[], show);
    assert_eq!(finished.stdout, "first first /root 0:0 /usr\n", "{}", finished.describe());
    let options = ["-e", "B=second", "-e", "C=3", "-e", "A", "-u", "nobody", "-w", "/tmp"];
    let finished = sandbox.script(&options, "echo ${A-none} $B $C $HOME $(id -un):$(id -gn) $PWD");
    assert_eq!(
        finished.stdout,
        "none second 3 /nonexistent nobody:nogroup /tmp\n",
        "{}",
        finished.describe()
    );
    let finished = sandbox.script(&["--user", "5:60"], "id -u; id -g; grep CapEff /proc/self/status");
    assert_eq!(finished.stdout, "5\n60\nCapEff:\t0000000000000000\n", "{}", finished.describe());
    let finished = sandbox.script(&[], "grep -h CapEff /proc/self/status /proc/1/status | uniq | wc -l");
    assert_eq!(finished.stdout, "1\n", "{}", finished.describe());
}

fn its_status_is_passed_on() {
    let sandbox = Sandbox::idle("status");
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -SEGV $$", 139)] {
        assert_code(&sandbox.script(&[], script), status);
    }
    assert_code(&sandbox.exec(&[], &["true"]), 0);
}

fn its_streams_are_the_caller_s() {
    let sandbox = Sandbox::idle("streams");
    let binary = vmm::binary().expect("vmm").display();
    let run = |script: &str| {
        let directory = tempfile::tempdir().expect("a directory");
        let script = script.replace("exec", &format!("{binary} exec"));
        let mut command = Command::new("bash");
        command.args(["-c", &script]).env("N", &sandbox.name).current_dir(directory.path());
        let finished = bounded::run(&mut command, TIMEOUT).expect("bash starts");
        finished.stdout + &finished.stderr
    };
    assert_eq!(run("echo typed | exec -i $N -- cat"), "typed\n");
    assert_eq!(run("echo typed | exec $N -- cat"), "");
    assert_eq!(run("seq 100000 | exec -i $N -- cat | tail -n 1"), "100000\n");
    assert_eq!(run("exec $N -- seq 100000 | wc -l"), "100000\n");
    assert_eq!(run("exec $N -- yes | head -n 1"), "y\n");
    assert_eq!(run("exec $N -- sh -c 'echo out; echo err >&2' 2>err; echo and; cat err"), "out\nand\nerr\n");
    assert_eq!(run("exec $N -- sh -c 'echo a; echo b >&2' >both 2>&1; cat both"), "a\nb\n");
    assert_eq!(run("echo before >file; exec $N -- echo after >>file; cat file"), "before\nafter\n");
    assert_eq!(
        run("seq 3 >file; { exec -i $N -- head -c 2; read line; echo rest $line; } <file"),
        "1\nrest 2\n"
    );
    assert_eq!(
        run("exec $N -- sh -c 'test -e /dev/stdin || echo closed; echo x' <&- ; echo"),
        "closed\nx\n\n"
    );
    assert_eq!(
        run("exec $N -- echo lost >/dev/null; exec $N -- sh -c 'test -c /dev/stdout && echo' >/dev/null"),
        ""
    );
    // One stream for both, and none for input.
    assert_eq!(run("exec $N -- stat -L -c %F /dev/stdin </dev/null"), "character special file\n");
}

fn it_has_a_terminal_of_its_own() {
    let sandbox = Sandbox::idle("tty");
    let binary = vmm::binary().expect("vmm").display();
    let run = |options: &str, script: &str, steps: &[&str]| {
        command_on_a_terminal(&format!("{binary} exec {options} {} -- sh -c '{script}'", sandbox.name), steps)
    };
    let script = "tty; stty size; echo $TERM; test -t 2 && echo to >/dev/tty; stty -echo raw; exit 7";
    let finished = run("", script, &[]);
    assert_shown(&finished, &["/dev/pts/0\n", "31 97\n", "to\n"], "[status 7, restored]");
    let script = "trap \"echo got INT\" INT; trap \"stty size\" WINCH; trap \"exit 4\" TERM; echo ready; read line; \
        echo line $line; while :; do sleep 0.05; done";
    let steps = ["ready=ab\\x7f\\n", "line a=\\x03", "got INT=size", "40 120=!TERM"];
    assert_shown(&run("-it", script, &steps), &["line a\n", "got INT\n", "40 120\n"], "[status 4, restored]");
    // Without a terminal of its own the caller's is passed through pipes.
    let script = "test -t 0 || test -t 1 || echo none; read line; echo line $line; exit 3";
    let finished = run("-i --tty=false", script, &["none=typed\\n"]);
    assert_shown(&finished, &["none\n", "line typed\n"], "[status 3, restored]");
    // Two at once have two terminals, and one whose caller goes is hung up.
    let script = format!(
        "{binary} exec -it {0} -- sh -c \"trap \\\"echo hung up >/tmp/hup; exit\\\" HUP; tty; while :; do sleep 0.1; done\" & \
         sleep 1; {binary} exec -t {0} -- tty; kill -KILL $!",
        sandbox.name
    );
    let finished = command_on_a_terminal(&format!("bash -c '{script}'"), &[]);
    assert_shown(&finished, &["/dev/pts/0", "/dev/pts/1"], "[status 0");
    let finished =
        sandbox.script(&[], "for _ in $(seq 100); do cat /tmp/hup 2>/dev/null && break; sleep 0.1; done");
    assert_eq!(finished.stdout, "hung up\n", "{}", finished.describe());
    let finished = sandbox.script(&[], "ls /dev/pts");
    assert_eq!(finished.stdout, "ptmx\n", "the terminals are gone: {}", finished.describe());
}

fn signals_reach_it() {
    let sandbox = Sandbox::idle("signals");
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::USR1, "USR1")] {
        let script =
            format!("trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done");
        let mut running =
            bounded::start(&mut sandbox.exec_command(&[], &["sh", "-c", &script])).expect("vmm");
        assert!(running.prints_within("ready\n", TIMEOUT).expect("output"));
        kill_process(running.pid(), signal).expect("kill");
        let finished = running.finish(TIMEOUT).expect("end");
        assert_code(&finished, 7);
        assert_eq!(finished.stdout, format!("ready\ngot {name}\n"), "{}", finished.describe());
    }
    assert_code(&sandbox.exec(&[], &["true"]), 0);
}

fn a_sandbox_that_ends_ends_it() {
    for signal in ["KILL", "TERM"] {
        let sandbox =
            Sandbox::start("ends", &[], "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done");
        let words = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"];
        let mut joined = bounded::start(&mut sandbox.exec_command(&[], &words)).expect("vmm starts");
        assert!(joined.prints_within("ready\n", TIMEOUT).expect("output"));
        let mut command = vmm_command(&["kill", "--signal", signal, &sandbox.name], &[]);
        assert_code(&bounded::run(&mut command, TIMEOUT).expect("vmm starts"), 0);
        assert_code(&joined.finish(TIMEOUT).expect("end"), 137);
        let code = if signal == "KILL" { 137 } else { 3 };
        assert_code(&sandbox.running.finish(TIMEOUT).expect("end"), code);
    }
    // If vmm itself is killed, nobody tells the status.
    let sandbox = Sandbox::idle("ends");
    let mut joined =
        bounded::start(&mut sandbox.exec_command(&[], &["sh", "-c", "echo ready; sleep 1000"])).expect("vmm");
    assert!(joined.prints_within("ready\n", TIMEOUT).expect("output"));
    kill_process(sandbox.running.pid(), Signal::KILL).expect("kill");
    assert_one_line(&joined.finish(TIMEOUT).expect("end"), &[125], &[&sandbox.name, "has ended"]);
}

fn a_hundred_run_at_once() {
    let sandbox = Sandbox::idle("hundred");
    let started: Vec<_> = (0..100)
        .map(|number| {
            let script = format!("sleep 0.5; echo {number}; exit {number}");
            bounded::start(&mut sandbox.exec_command(&[], &["sh", "-c", &script])).expect("vmm starts")
        })
        .collect();
    for (number, running) in (0..).zip(started) {
        let finished = running.finish(2 * TIMEOUT).expect("end");
        assert_code(&finished, number);
        assert_eq!(finished.stdout, format!("{number}\n"), "{}", finished.describe());
    }
}

fn what_cannot_be_run_is_told_in_a_line() {
    let sandbox = Sandbox::start("errors", &["--pids-limit", "3"], "echo ready; exec sleep 1000");
    let cases: [(&[&str], &[&str], i32, &str); 6] = [
        (&[], &["/nonesuch"], 127, "'/nonesuch': not found"),
        (&[], &["nonesuch"], 127, "'nonesuch': not found"),
        (&[], &["/etc/passwd"], 126, "/etc/passwd"),
        (&["-w", "/nonesuch"], &["true"], 125, "/nonesuch"),
        (&["-u", "nonesuch"], &["true"], 125, "nonesuch"),
        (&["-e", "=x"], &["true"], 125, "no name"),
    ];
    for (options, words, status, reason) in cases {
        assert_one_line(&sandbox.exec(options, words), &[status], &[reason]);
    }
    let mut nobody = vmm_command(&["exec", "nonesuch", "true"], &[]);
    assert_one_line(
        &bounded::run(&mut nobody, TIMEOUT).expect("vmm"),
        &[125],
        &["nonesuch", "runs no sandbox", "`vmm ps`"],
    );
    let mut nothing = vmm_command(&["exec", &sandbox.name], &[]);
    assert_code(&bounded::run(&mut nothing, TIMEOUT).expect("vmm"), 125);
    // What the limit of processes allows is used up.
    let mut held: Vec<Running> = Vec::new();
    for _ in 0..2 {
        let words = ["sh", "-c", "echo ready; exec sleep 1000"];
        let mut running = bounded::start(&mut sandbox.exec_command(&[], &words)).expect("vmm starts");
        assert!(running.prints_within("ready\n", TIMEOUT).expect("output"));
        held.push(running);
    }
    // As with docker, a command that joins is not refused for it, but counts.
    let finished = sandbox.script(&[], "/bin/true; echo");
    assert!(finished.stderr.contains("Cannot fork"), "{}", finished.describe());
    let pause = |word| bounded::run(&mut vmm_command(&[word, &sandbox.name], &[]), TIMEOUT).expect("vmm");
    assert_code(&pause("pause"), 0);
    assert_one_line(&sandbox.exec(&[], &["true"]), &[125], &["paused"]);
    assert_code(&pause("resume"), 0);
}

fn namespaces_are_those_of_the_first_process() {
    let script = "unshare -mun sh -c 'hostname other; mount -t tmpfs none /mnt; echo here >/mnt/file; \
        echo ready; exec sleep 1000'";
    let sandbox = Sandbox::start("namespaces", &[], &format!("exec {script}"));
    let script = "for n in mnt uts net pid ipc; do test $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) || echo $n; done; \
        hostname; cat /mnt/file";
    let finished = sandbox.script(&[], script);
    assert_eq!(finished.stdout, "other\nhere\n", "{}", finished.describe());
}
