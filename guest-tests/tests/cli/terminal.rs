//! `--tty` and `--interactive`: a terminal of the guest's own, between the caller's and the program.

use std::process::Command;
use std::time::Duration;

use guest_tests::bounded::{self, Finished};
use guest_tests::vmm;

use crate::{Test, assert_code, run_with_input, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("terminal::it_is_the_guest_s_own_and_as_large_as_the_caller_s", it_is_the_guest_s_own),
    ("terminal::it_follows_the_caller_s_size", it_follows_the_caller_s_size),
    ("terminal::keys_reach_the_foreground", keys_reach_the_foreground),
    ("terminal::the_caller_s_is_restored_at_every_end", the_caller_s_is_restored_at_every_end),
    ("terminal::what_is_shown_last_is_not_lost", what_is_shown_last_is_not_lost),
    ("terminal::it_can_be_had_and_be_gone_without", it_can_be_had_and_be_gone_without),
    ("terminal::without_interactive_the_input_is_empty", without_interactive_the_input_is_empty),
];

/// Runs a command on a terminal of 31 lines of 97 characters. Each of the other words is `TEXT=KEYS`: the keys are typed once the
/// text is shown; `size` for the keys makes the terminal 40 by 120, and `!NAME` sends a signal. Prints what is shown, the status, and whether the
/// terminal's settings are what they were.
pub(crate) const ON_A_TERMINAL: &str = r#"
import fcntl, os, pty, select, signal, struct, sys, termios, time
command, steps = sys.argv[1], [word.split("=", 1) for word in sys.argv[2:]]
pid, master = pty.fork()
if pid == 0:
    os.read(0, 1)
    os.execvp("sh", ["sh", "-c", "exec " + command])
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
before = termios.tcgetattr(master)
os.write(master, b"\n")
output, end = b"", time.time() + 50
while time.time() < end:
    if select.select([master], [], [], 0.05)[0]:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        output += data
    if steps and steps[0][0].encode() in output:
        keys = steps.pop(0)[1]
        if keys == "size":
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        elif keys.startswith("!"):
            os.kill(pid, getattr(signal, "SIG" + keys[1:]))
        else:
            os.write(master, keys.encode().decode("unicode_escape").encode())
else:
    os.kill(pid, 9)
    output += b"[too late]"
after = termios.tcgetattr(master)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.stdout.write(output.decode(errors="replace").replace("\r\n", "\n"))
print("[status %d, %s]" % (status, "restored" if before == after else "not restored"))
"#;

/// Runs `vmm OPTIONS -- sh -c SCRIPT` on a terminal; see [`ON_A_TERMINAL`] for the steps.
fn on_a_terminal(options: &str, script: &str, steps: &[&str]) -> Finished {
    let binary = vmm::binary().expect("vmm").display();
    command_on_a_terminal(&format!("{binary} {options} -- sh -c '{script}'"), steps)
}

/// Runs a command on a terminal.
pub(crate) fn command_on_a_terminal(command: &str, steps: &[&str]) -> Finished {
    let mut python = Command::new("python3");
    python.args(["-c", ON_A_TERMINAL, command]).args(steps);
    bounded::run(&mut python, Duration::from_secs(60)).expect("python3 runs")
}

/// Asserts what is shown, in this order, and how it ends.
pub(crate) fn assert_shown(finished: &Finished, shown: &[&str], end: &str) {
    let mut rest = &*finished.stdout;
    for text in shown.iter().chain([&end]) {
        let found = rest.find(text).unwrap_or_else(|| panic!("{text:?} is shown: {}", finished.describe()));
        rest = &rest[found + text.len()..];
    }
}

fn it_is_the_guest_s_own() {
    let script = "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all; ls -m /dev/pts; echo to >/dev/tty; exit 7";
    let shown = ["/dev/pts/0\n", "31 97\n", "all\n", "0, ptmx\n", "to\n"];
    for options in ["", "--tty", "-t -i"] {
        assert_shown(&on_a_terminal(options, script, &[]), &shown, "[status 7, restored]");
    }
    // The caller's own, as it is.
    let finished = on_a_terminal("--tty=false", "tty; stty size; exit 7", &[]);
    assert_shown(&finished, &["/dev/console\n", "31 97\n"], "[status 7, restored]");
}

fn it_follows_the_caller_s_size() {
    let script = "trap \"stty size; exit 3\" WINCH; echo ready; while :; do sleep 0.05; done";
    let finished = on_a_terminal("-t", script, &["ready=size"]);
    assert_shown(&finished, &["ready\n", "40 120\n"], "[status 3, restored]");
}

fn keys_reach_the_foreground() {
    let script =
        "trap \"echo got INT\" INT; echo ready; read line; echo line $line; read line || echo over; exit 4";
    let finished = on_a_terminal("", script, &["ready=abc\\x7f\\n", "line ab=\\x03", "got INT=\\x04"]);
    assert_shown(&finished, &["ready\n", "line ab\n", "got INT\n"], "[status 4, restored]");
    // Jobs of a shell inside are stopped and go on, and the caller's shell hears nothing of it.
    let script = "set -m; sh -c \"echo begun; read line; echo done\"; jobs; fg >/dev/null; exit 5";
    let finished = on_a_terminal("", script, &["begun=\\x1a", "Stopped=\\n"]);
    assert_shown(&finished, &["begun\n", "Stopped", "done\n"], "[status 5, restored]");
}

fn the_caller_s_is_restored_at_every_end() {
    let waits = "stty -echo -icanon; trap \"exit 9\" TERM; echo ready; while :; do sleep 0.05; done";
    assert_shown(&on_a_terminal("", "stty -echo raw; exit 6", &[]), &[], "[status 6, restored]");
    assert_shown(&on_a_terminal("", waits, &["ready=!TERM"]), &["ready"], "[status 9, restored]");
    let stubborn = "trap \"\" TERM; echo ready; while :; do sleep 0.05; done";
    let options = "--stop-timeout 0";
    assert_shown(&on_a_terminal(options, stubborn, &["ready=!TERM"]), &[], "[status 137, restored]");
    let options = "--timeout 1s --stop-timeout 0";
    assert_shown(&on_a_terminal(options, stubborn, &[]), &["ready"], "[status 124, restored]");
    let binary = vmm::binary().expect("vmm").display();
    let missing = command_on_a_terminal(&format!("{binary} -- /nonesuch"), &[]);
    assert_shown(&missing, &["not found in the image"], "[status 127, restored]");
}

fn what_is_shown_last_is_not_lost() {
    let script =
        "i=0; while [ $i -lt 3000 ]; do echo line $i of many; i=$((i + 1)); done; printf end; exit 8";
    let finished = on_a_terminal("", script, &[]);
    assert_shown(&finished, &["line 0 of", "line 1500 of", "line 2999 of many\nend"], "[status 8, restored]");
    // What still has the terminal does not keep the sandbox.
    let finished = on_a_terminal("", "sleep 60 & echo on its own; exit 2", &[]);
    assert_shown(&finished, &["on its own\n"], "[status 2, restored]");
}

fn it_can_be_had_and_be_gone_without() {
    // The caller has no terminal: the program has one all the same.
    let words = ["sh", "-c", "test -t 0 && test -t 1 && echo on $(tty); read line; echo got $line"];
    let finished = run_with_input(&["--tty"], &words, "typed\n");
    assert_code(&finished, 0);
    assert!(finished.stdout.contains("on /dev/pts/0\r\n"), "{}", finished.describe());
    assert!(finished.stdout.ends_with("got typed\r\n"), "{}", finished.describe());
    let finished = run_with_input(&[], &["sh", "-c", "test -t 0 || cat"], "typed\n");
    assert_eq!(finished.stdout, "typed\n", "{}", finished.describe());
}

fn without_interactive_the_input_is_empty() {
    let finished = run_with_input(&["--interactive=false"], &["cat"], "typed\n");
    assert_code(&finished, 0);
    assert_eq!(finished.stdout, "", "{}", finished.describe());
    // And what was not read is the next one's.
    let binary = vmm::binary().expect("vmm").display();
    let script = format!("printf 'a\\nb\\n' | {{ {binary} -i=false -- cat; cat; }}");
    let finished = bounded::run(Command::new("sh").args(["-c", &script]), crate::TIMEOUT).expect("sh");
    assert_eq!(finished.stdout, "a\nb\n", "{}", finished.describe());
    let refused = bounded::run(vmm_command(&[], &[]).args(["--tty=maybe"]), crate::TIMEOUT).expect("vmm");
    assert_code(&refused, 125);
}
