//! `--init`: the program as the child of an init.

use guest_tests::bounded;
use guest_tests::vmm;
use rustix::process::{Signal, kill_process};

use crate::terminal::{assert_shown, command_on_a_terminal};
use crate::{TIMEOUT, Test, assert_code, assert_one_line, run, run_script, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("init::the_program_is_its_child_and_has_its_status", the_program_is_its_child_and_has_its_status),
    ("init::what_is_orphaned_is_waited_for", what_is_orphaned_is_waited_for),
    ("init::signals_are_passed_on", signals_are_passed_on),
    ("init::the_program_is_in_the_foreground", the_program_is_in_the_foreground),
    ("init::what_cannot_be_run_is_told", what_cannot_be_run_is_told),
];

fn the_program_is_its_child_and_has_its_status() {
    let script = "cat /proc/1/comm; echo $PPID $0 $#; tr '\\0' ' ' </proc/1/cmdline; exit 7";
    let finished = run(&["--init", "--image", "/"], &["sh", "-c", script, "zero", "one"]);
    assert_code(&finished, 7);
    assert!(finished.stdout.starts_with("init\n1 zero 1\ninit /"), "{}", finished.describe());
    for (script, status) in [("exit 0", 0), ("kill -KILL $$", 137), ("kill -SEGV $$", 139), ("exit 255", 255)]
    {
        assert_code(&run_script(&["--init"], script), status);
    }
    let finished =
        run_script(&["--init", "--user", "1000:1000", "--read-only", "--env", "A=b"], "id -u; echo $A");
    assert_eq!(finished.stdout, "1000\nb\n", "{}", finished.describe());
    let finished = run_script(&["--init"], "echo x >/dev/.init/init || rm /dev/.init/init || echo kept");
    assert!(finished.stdout.ends_with("kept\n"), "{}", finished.describe());
}

fn what_is_orphaned_is_waited_for() {
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do (sh -c 'sleep 0.1' &) ; done; sleep 0.8; \
        cat /proc/[0-9]*/stat | grep -c ' Z '; ls -d /proc/[0-9]* | wc -l";
    let finished = run_script(&["--init"], script);
    assert!(finished.stdout.starts_with("0\n"), "{}", finished.describe());
}

fn signals_are_passed_on() {
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::HUP, "HUP")] {
        let script =
            format!("trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done");
        let mut command = vmm_command(&["--image", "/", "--init"], &["sh", "-c", &script]);
        let mut running = bounded::start(&mut command).expect("vmm starts");
        assert!(running.prints_within("ready\n", TIMEOUT).expect("output"));
        kill_process(running.pid(), signal).expect("kill");
        let finished = running.finish(TIMEOUT).expect("end");
        assert_code(&finished, 9);
        assert!(finished.stdout.ends_with(&format!("got {name}\n")), "{}", finished.describe());
    }
    // What a program does not handle ends it, as it would outside.
    let mut command = vmm_command(&["--image", "/", "--init"], &["sh", "-c", "echo ready; exec sleep 1000"]);
    let mut running = bounded::start(&mut command).expect("vmm starts");
    assert!(running.prints_within("ready\n", TIMEOUT).expect("output"));
    kill_process(running.pid(), Signal::TERM).expect("kill");
    assert_code(&running.finish(TIMEOUT).expect("end"), 143);
}

fn the_program_is_in_the_foreground() {
    let binary = vmm::binary().expect("vmm").display();
    let script = "trap \"echo got INT; exit 4\" INT; echo ready; read line; echo line $line; while :; do sleep 0.05; done";
    let command = format!("{binary} --init -- sh -c '{script}'");
    let finished = command_on_a_terminal(&command, &["ready=abc\\n", "line abc=\\x03"]);
    assert_shown(&finished, &["line abc\n", "got INT\n"], "[status 4, restored]");
}

fn what_cannot_be_run_is_told() {
    assert_one_line(&run(&["--init"], &["/nonesuch"]), &[127], &["'/nonesuch': not found"]);
    assert_one_line(&run(&["--init"], &["/etc/passwd"]), &[126], &["/etc/passwd"]);
}
