//! The frame of the guest programs written in Rust: a panic in any thread prints its place and exits 1.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, WaitStatus};

/// Runs the program that the first argument names.
///
/// A panic, in whichever thread, ends the process with status 1, so that `assert!` is all a program needs.
/// Returns status 2 if the argument names none.
pub fn run(programs: &[(&str, fn())]) -> ExitCode {
    std::panic::set_hook(Box::new(|information| {
        eprintln!("{information}");
        std::process::exit(1);
    }));
    let wanted = std::env::args().nth(1).unwrap_or_default();
    match programs.iter().find(|(name, _)| *name == wanted) {
        Some((_, program)) => {
            program();
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("no program {wanted:?}; there are:");
            for (name, _) in programs {
                eprintln!("  {name}");
            }
            ExitCode::from(2)
        }
    }
}

/// A fresh directory below /tmp, removed when dropped.
///
/// # Panics
/// If it cannot be made.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("guest-test-").tempdir_in("/tmp").expect("a directory below /tmp")
}

/// Waits for a child and returns how it ended.
///
/// # Panics
/// If it cannot be waited for.
pub fn wait_for(pid: Pid) -> WaitStatus {
    let ended = rustix::process::waitpid(Some(pid), WaitOptions::empty()).expect("waitpid");
    ended.expect("a child that ended").1
}

/// Calls `condition` until it holds.
///
/// # Panics
/// If it does not hold within five seconds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not within five seconds: {what}");
}

/// The absolute path of a tool that every Debian has.
///
/// # Panics
/// If it is in neither /bin nor /usr/bin.
pub fn tool(name: &str) -> PathBuf {
    let places = ["/bin", "/usr/bin"].map(|directory| PathBuf::from(directory).join(name));
    places.into_iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no {name}"))
}
