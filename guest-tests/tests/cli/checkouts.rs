//! Jobs on a checkout in a volume, by `scripts/examples/ci-job`: a project in C is built, and pytest runs, for root and for an ordinary
//! user.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use guest_tests::bounded::{self, Finished};
use tempfile::TempDir;

use crate::ordinary::{as_user, home};
use crate::{Test, assert_code};

pub(crate) const TESTS: &[Test] = &[
    ("checkouts::root_builds_and_tests_one", root_builds_and_tests_one),
    ("checkouts::an_ordinary_user_builds_and_tests_one", an_ordinary_user_builds_and_tests_one),
];

/// A project: a program in C of two files and a header, and tests of it in Python.
const FILES: [(&str, &str); 5] = [
    ("add.h", "long add(long a, long b);\n"),
    ("add.c", "#include \"add.h\"\nlong add(long a, long b) { return a + b; }\n"),
    (
        "main.c",
        "#include <stdio.h>\n#include <stdlib.h>\n#include \"add.h\"\n
        int main(int argc, char **argv) {\n    long sum = 0;\n    for (int i = 1; i < argc; i++)\n        sum = add(sum, atol(argv[i]));\n
        printf(\"%ld\\n\", sum);\n    return 0;\n}\n",
    ),
    (
        "Makefile",
        "calc: main.o add.o\n\tcc -o $@ main.o add.o\n%.o: %.c add.h\n\tcc -O -c -o $@ $<\ntest: calc\n\ttest $$(./calc 2 3) = 5\n",
    ),
    (
        "tests/test_calc.py",
        "import os, subprocess, threading\nimport pytest\n
@pytest.mark.parametrize('numbers, total', [((), 0), ((2, 3), 5), ((10, -4, 1), 7)])
def test_sum(numbers, total):
    assert int(subprocess.check_output(['./calc', *map(str, numbers)])) == total\n
def test_files(tmp_path):
    (tmp_path / 'a').write_text('text')
    os.link(tmp_path / 'a', tmp_path / 'b')
    assert (tmp_path / 'b').stat().st_nlink == 2 and sorted(os.listdir(tmp_path)) == ['a', 'b']\n
def test_output(capfd):
    thread = threading.Thread(target=lambda: subprocess.run(['echo', 'from a thread']))
    thread.start()
    thread.join()
    assert capfd.readouterr().out == 'from a thread\\n'\n
@pytest.mark.skipif(not os.path.exists('fail'), reason='on demand')
def test_that_fails():
    assert 1 + 1 == 3\n",
    ),
];

/// Builds twice, of which the second time has nothing to do, and tests.
const JOB: &str = "make -s -j2 test; make calc; /usr/bin/pytest-3 -q --junitxml=$ARTEFACTS/report.xml tests > $ARTEFACTS/log";

/// A home with the project in `checkout`, the example as `ci-job`, and a cache.
fn home_with_checkout(owner: u32) -> TempDir {
    let home = home();
    let place = home.path().join("home");
    for directory in ["checkout/tests", "cache"] {
        fs::create_dir_all(place.join(directory)).expect("mkdir");
    }
    for (name, contents) in FILES {
        fs::write(place.join("checkout").join(name), contents).expect("write");
    }
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/examples/ci-job");
    fs::copy(example, place.join("ci-job")).expect("copy");
    give(&place, owner);
    home
}

fn give(path: &Path, owner: u32) {
    chown(path, Some(owner), Some(owner)).expect("chown");
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("list");
        entries.for_each(|entry| give(&entry.expect("entry").path(), owner));
    }
}

fn builds_and_tests(owner: u32, run: impl Fn(&TempDir, &str) -> Finished) {
    let home = home_with_checkout(owner);
    let at = |name: &str| home.path().join("home").join(name);
    let job = |artefacts: &str| {
        let script = format!("cd $HOME; MEMORY=1G ./ci-job / checkout cache {artefacts} /bin/sh -ec '{JOB}'");
        run(&home, &script)
    };
    let first = job("first");
    assert_code(&first, 0);
    assert_eq!(first.stdout, "make: 'calc' is up to date.\n", "{}", first.describe());
    let log = fs::read_to_string(at("first/log")).expect("the log");
    assert!(log.contains("5 passed, 1 skipped"), "{log}");
    for made in ["checkout/calc", "checkout/tests/__pycache__", "first/report.xml"] {
        assert_eq!(fs::metadata(at(made)).expect("it is made").uid(), owner, "{made}");
    }
    let program = Command::new(at("checkout/calc")).args(["20", "22"]).output().expect("the program runs");
    assert_eq!(program.stdout, b"42\n");
    // A test that fails is the job's status, and what it left comes out all the same.
    fs::write(at("checkout/fail"), "").expect("write");
    assert_code(&job("second"), 1);
    let report = fs::read_to_string(at("second/report.xml")).expect("the report");
    assert!(report.contains("failures=\"1\""), "{report}");
}

fn root_builds_and_tests_one() {
    builds_and_tests(0, |home, script| {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script])
            .env("HOME", home.path().join("home"))
            .env("VMM", home.path().join("vmm"));
        bounded::run(&mut command, Duration::from_secs(120)).expect("sh starts")
    });
}

fn an_ordinary_user_builds_and_tests_one() {
    // A home has the device of one run.
    builds_and_tests(12345, |home, script| as_user(home, "rm -f $0/kvm", script));
}
