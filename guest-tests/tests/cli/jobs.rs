//! A sandbox among the jobs of an interactive shell.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use guest_tests::bounded::{self, Finished};
use guest_tests::vmm;

use crate::{Test, assert_code};

pub(crate) const TESTS: &[Test] = &[
    ("jobs::one_in_the_background_runs_to_its_end", one_in_the_background_runs_to_its_end),
    ("jobs::one_that_reads_the_terminal_from_the_background_stops", one_that_reads_the_terminal_stops),
];

/// Runs a shell with job control on a terminal of its own, and prints what comes out of the terminal.
const ON_A_TERMINAL: &str = r#"
import os, pty, sys
pid, master = pty.fork()
if pid == 0:
    os.execvp("bash", ["bash", "--norc", "-c", "set -m\n" + sys.argv[1]])
output = b""
while True:
    try:
        data = os.read(master, 4096)
    except OSError:
        break
    if not data:
        break
    output += data
sys.stdout.write(output.decode().replace("\r\n", "\n"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;
const TIMEOUT: Duration = Duration::from_secs(60);

/// The program, run in turn by itself and inside.
fn in_both_places(script: impl Fn(&str) -> String) -> [Finished; 2] {
    let vmm: &Path = vmm::binary().expect("vmm");
    let inside = format!("{} --image / -- ", vmm.display());
    ["", &inside].map(|prefix| {
        let mut command = Command::new("python3");
        command.args(["-c", ON_A_TERMINAL, &script(prefix)]);
        bounded::run(&mut command, TIMEOUT).expect("python3 runs")
    })
}

fn one_in_the_background_runs_to_its_end() {
    let script = |prefix: &str| format!("{prefix}sh -c 'sleep 0.2; exit 7' & wait $!; echo status $?");
    for finished in in_both_places(script) {
        assert_code(&finished, 0);
        assert!(finished.stdout.ends_with("status 7\n"), "{}", finished.describe());
    }
}

fn one_that_reads_the_terminal_stops() {
    let script = |prefix: &str| {
        format!(
            "{prefix}cat & for _ in $(seq 300); do jobs | grep -q Stopped && break; sleep 0.1; done\n\
             jobs | grep -o Stopped; kill -KILL %1; wait %1 2>/dev/null; true"
        )
    };
    for finished in in_both_places(script) {
        assert_code(&finished, 0);
        assert!(finished.stdout.lines().any(|line| line == "Stopped"), "{}", finished.describe());
    }
}
