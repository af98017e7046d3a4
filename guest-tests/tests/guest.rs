//! One test per guest program and place: `native::NAME` on this Linux, `inside::NAME` in the microVM, and
//! `exitless::NAME` there with system calls that do not leave it.
//!
//! Of the latter a few are run always, and all when somebody asks: `scripts/test --test guest -- --ignored`.
//!
//! A program must succeed in both places. A script, in addition, must print inside what it prints on Linux.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use guest_tests::bounded::{self, Finished};
use guest_tests::known_state;
use guest_tests::program::{self, Program};
use guest_tests::vmm;
use libtest_mimic::{Arguments, Failed, Trial};

/// How many tests run at once unless `--test-threads` says otherwise: the programs measure time, some
/// make thousands of threads, and continuous integration has two cores.
const DEFAULT_TEST_THREADS: usize = 2;

/// vmm's options in the microVM, and there without exits as far as possible.
const INSIDE: &[&str] = &["--image", "/"];
const EXITLESS: &[&str] = &["--image", "/", "--exitless", "on"];

/// The programs that are run without exits always: what a call that another thread serves could get wrong, in half a minute.
const EXITLESS_ALWAYS: &[&str] = &[
    "call_registers",
    "code_fuzz",
    "credentials",
    "fork_wait",
    "frequent_calls",
    "futex",
    "memory_races",
    "pipes",
    "ptrace_breakpoints",
    "ptrace_registers",
    "seccomp_filters",
    "signal_context",
    "signal_restart",
    "signal_send",
    "unix_sockets",
    "vanishing_buffers",
];

fn main() -> ExitCode {
    known_state::enter();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(DEFAULT_TEST_THREADS);
    let programs = match program::discover() {
        Ok(programs) => programs,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(unknown) =
        EXITLESS_ALWAYS.iter().find(|name| !programs.iter().any(|program| program.name() == **name))
    {
        eprintln!("there is no program {unknown}");
        return ExitCode::FAILURE;
    }
    let mut trials = Vec::new();
    for program in programs.into_iter().map(Arc::new) {
        let native = Arc::clone(&program);
        let is_native = !program.is_inside_only();
        let test = Trial::test(format!("native::{}", program.name()), move || test_native(&native));
        trials.extend(is_native.then_some(test));
        for (place, options) in [("inside", INSIDE), ("exitless", EXITLESS)] {
            let (name, program) = (format!("{place}::{}", program.name()), Arc::clone(&program));
            let tested = Arc::clone(&program);
            let test = Trial::test(name, move || test_inside(options, &tested));
            let is_always = options == INSIDE || EXITLESS_ALWAYS.contains(&program.name());
            trials.push(test.with_ignored_flag(!is_always));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The program succeeds on Linux.
fn test_native(program: &Program) -> Result<(), Failed> {
    run_native(program).map(drop)
}

/// The program succeeds inside and, if it is a script, prints what it prints on Linux.
fn test_inside(options: &[&str], program: &Program) -> Result<(), Failed> {
    let words = words(program)?;
    let (executable, arguments) = words.split_first().ok_or("the program has no command")?;
    let inside = run(vmm::command(options, executable)?.args(arguments), program)?;
    if program.is_compared() {
        let native = run_native(program)?;
        if native.stdout != inside.stdout {
            return Err(format!(
                "the output differs\n=== on Linux\n{}\n=== inside: {}",
                native.stdout,
                inside.describe()
            )
            .into());
        }
    }
    Ok(())
}

/// Runs the program on Linux.
fn run_native(program: &Program) -> Result<Finished, Failed> {
    let words = words(program)?;
    let (executable, arguments) = words.split_first().ok_or("the program has no command")?;
    run(Command::new(executable).args(arguments), program).map_err(|failed| {
        let reason = failed.message().unwrap_or_default();
        format!("on Linux: {reason}").into()
    })
}

/// Runs a command that must succeed within the program's time.
fn run(command: &mut Command, program: &Program) -> Result<Finished, Failed> {
    let finished = bounded::run(command, program.timeout())
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if finished.has_succeeded() { Ok(finished) } else { Err(finished.describe().into()) }
}

/// The command of a program, which is built first if need be.
fn words(program: &Program) -> Result<Vec<PathBuf>, Failed> {
    let build_directory = vmm::profile_directory()?.join("guest-programs");
    Ok(program.words(Path::new(env!("CARGO_BIN_EXE_guest")), &build_directory)?)
}
