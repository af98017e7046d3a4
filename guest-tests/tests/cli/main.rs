//! The contract of `vmm` itself: exit statuses, options, images, bad input, signals and what is left behind.
//!
//! What the guest's programs may expect of Linux is tested by `guest.rs`. Here a test starts `vmm` as a
//! user does and looks at its status, its two streams and the host.

mod checkouts;
mod copies;
mod detached;
mod diffs;
mod doctor;
mod elf_files;
mod exec;
mod growth;
mod image_layout;
mod images;
mod images_archives;
mod images_store;
mod images_tools;
mod init;
mod jobs;
mod kernel_interfaces;
mod layers;
mod life;
mod network;
mod options;
mod ordinary;
mod outputs;
mod pause;
mod profile;
mod settings;
mod status;
mod streams;
mod terminal;
mod volumes;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use guest_tests::bounded::{self, Finished};
use guest_tests::known_state;
use guest_tests::program;
use guest_tests::vmm;
use libtest_mimic::{Arguments, Trial};

/// How many tests run at once unless `--test-threads` says otherwise.
const DEFAULT_TEST_THREADS: usize = 2;

/// How long one run of `vmm` may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A test panics if it fails; its name is that of its module and function.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    known_state::enter();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(DEFAULT_TEST_THREADS);
    // Where an assertion failed is enough; a backtrace of the harness tells nothing.
    std::panic::set_hook(Box::new(|information| eprintln!("{information}")));
    let tests = [
        settings::TESTS,
        status::TESTS,
        elf_files::TESTS,
        exec::TESTS,
        growth::TESTS,
        options::TESTS,
        ordinary::TESTS,
        images::TESTS,
        images_archives::TESTS,
        images_store::TESTS,
        images_tools::TESTS,
        kernel_interfaces::TESTS,
        layers::TESTS,
        init::TESTS,
        jobs::TESTS,
        life::TESTS,
        checkouts::TESTS,
        copies::TESTS,
        detached::TESTS,
        diffs::TESTS,
        network::TESTS,
        doctor::TESTS,
        outputs::TESTS,
        pause::TESTS,
        profile::TESTS,
        streams::TESTS,
        terminal::TESTS,
        volumes::TESTS,
    ]
    .concat();
    let mut trials: Vec<Trial> = tests
        .into_iter()
        .map(|(name, test)| {
            Trial::test(name, move || {
                vmm::require_kvm()?;
                test();
                Ok(())
            })
        })
        .collect();
    let busybox = images::busybox();
    trials.push(
        Trial::test("images::busybox_root_file_system_runs_ash", || {
            images::busybox_root_file_system_runs_ash(images::busybox().expect("busybox"));
            Ok(())
        })
        .with_ignored_flag(busybox.is_none()),
    );
    let debian = images::debian_root();
    trials.push(
        Trial::test("images::debian_root_file_system_runs_its_programs", || {
            images::debian_root_file_system_runs_its_programs(images::debian_root().expect("a root"));
            Ok(())
        })
        .with_ignored_flag(debian.is_none()),
    );
    trials.push(
        Trial::test("growth::more_threads_than_the_host_gives", || {
            vmm::require_kvm()?;
            growth::more_threads_than_the_host_gives();
            Ok(())
        })
        .with_ignored_flag(true),
    );
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The command `vmm OPTIONS -- WORDS`; without words there is no `--` either.
pub(crate) fn vmm_command(options: &[&str], words: &[&str]) -> Command {
    let binary = vmm::binary().unwrap_or_else(|message| panic!("{message}"));
    let mut command = Command::new(binary);
    command.args(options);
    if !words.is_empty() {
        command.arg("--").args(words);
    }
    command
}

/// The executable of a guest program in C, built if need be.
pub(crate) fn guest_program(name: &str) -> String {
    let programs = program::discover().expect("programs");
    let program = programs.iter().find(|program| program.name() == name).expect("a program of that name");
    let build_directory = vmm::profile_directory().expect("a profile").join("guest-programs");
    let words = program.words(Path::new(env!("CARGO_BIN_EXE_guest")), &build_directory).expect("a build");
    words[0].to_str().expect("a path in UTF-8").into()
}

/// Runs `vmm OPTIONS -- WORDS` to its end, with an empty standard input.
pub(crate) fn run(options: &[&str], words: &[&str]) -> Finished {
    bounded::run(&mut vmm_command(options, words), TIMEOUT).expect("vmm starts")
}

/// Runs a shell script inside on the host's root file system.
pub(crate) fn run_script(options: &[&str], script: &str) -> Finished {
    run(&[&["--image", "/"], options].concat(), &["/bin/sh", "-c", script])
}

/// Runs with this text as standard input.
pub(crate) fn run_with_input(options: &[&str], words: &[&str], input: &str) -> Finished {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("input");
    std::fs::write(&path, input).expect("write");
    let input = Stdio::from(std::fs::File::open(&path).expect("open"));
    let running = bounded::start_with_input(&mut vmm_command(options, words), input).expect("vmm starts");
    running.finish(TIMEOUT).expect("vmm ends")
}

/// Asserts the status and prints everything if it is another.
pub(crate) fn assert_code(finished: &Finished, code: i32) {
    assert_eq!(finished.code(), Some(code), "expected {code}: {}", finished.describe());
}

/// Asserts one of several statuses.
pub(crate) fn assert_code_among(finished: &Finished, codes: &[i32]) {
    let code = finished.code().unwrap_or(-1);
    assert!(codes.contains(&code), "expected one of {codes:?}: {}", finished.describe());
}

/// Asserts a status and that standard error is one line which contains each of the words.
pub(crate) fn assert_one_line(finished: &Finished, codes: &[i32], words: &[&str]) {
    assert_code_among(finished, codes);
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "one line of error: {}", finished.describe());
    for word in words {
        assert!(lines[0].contains(word), "the line names {word:?}: {}", finished.describe());
    }
}
