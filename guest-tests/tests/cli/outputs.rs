//! What comes out of a sandbox, and the limits of a job: outputs, time, tasks, resources, privileges, environment files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use guest_tests::bounded;
use guest_tests::vmm;

use crate::{Test, assert_code, assert_one_line, run_script};

pub(crate) const TESTS: &[Test] = &[
    ("outputs::a_tree_comes_out_whatever_the_status", a_tree_comes_out_whatever_the_status),
    ("outputs::a_file_replaces_a_file", a_file_replaces_a_file),
    ("outputs::what_is_not_there_leaves_nothing", what_is_not_there_leaves_nothing),
    ("outputs::a_job_whose_time_is_over_ends_with_124", a_job_whose_time_is_over_ends_with_124),
    ("outputs::tasks_have_a_limit_that_nobody_inside_lifts", tasks_have_a_limit_that_nobody_inside_lifts),
    ("outputs::resource_limits_are_the_program_s", resource_limits_are_the_program_s),
    ("outputs::capabilities_are_added_and_dropped", capabilities_are_added_and_dropped),
    ("outputs::environment_files_come_before_options", environment_files_come_before_options),
    ("outputs::a_ci_job_builds_a_checkout", a_ci_job_builds_a_checkout),
];

fn a_tree_comes_out_whatever_the_status() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = directory.path().join("tree");
    let option = format!("/made:{}", target.display());
    let script =
        "mkdir -p /made/deep/er; echo content > /made/file; chmod 750 /made/file; ln -s file /made/soft
        touch -d @1000000000 /made/file; seq 100000 > /made/deep/er/long; mkfifo /made/pipe; exit 3";
    let finished = run_script(&["--output", &option], script);
    assert_code(&finished, 3);
    let file = fs::metadata(target.join("file")).expect("the file");
    let own = fs::metadata(directory.path()).expect("stat");
    assert_eq!((file.permissions().mode() & 0o7777, file.mtime()), (0o750, 1_000_000_000));
    assert_eq!((file.uid(), file.gid()), (own.uid(), own.gid()));
    assert_eq!(fs::read_link(target.join("soft")).expect("the link"), Path::new("file"));
    let long = fs::read_to_string(target.join("deep/er/long")).expect("the long file");
    assert_eq!(long.lines().count(), 100_000);
    assert!(!target.join("pipe").exists());
    assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1, "nothing else is left");
}

fn a_file_replaces_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = directory.path().join("report");
    fs::write(&target, "old").expect("write");
    let option = format!("/tmp/report:{}", target.display());
    assert_code(&run_script(&["--output", &option], "echo new > /tmp/report"), 0);
    assert_eq!(fs::read_to_string(&target).expect("read"), "new\n");
    let in_the_way = format!("/tmp:{}", directory.path().display());
    assert_one_line(&run_script(&["--output", &in_the_way], "true"), &[125], &["directory already"]);
}

fn what_is_not_there_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let option = format!("/nonesuch:{}", directory.path().join("out").display());
    assert_one_line(&run_script(&["--output", &option], "true"), &[125], &["/nonesuch"]);
    let finished = run_script(&["--output", &option], "exit 4");
    assert_one_line(&finished, &[4], &["/nonesuch"]);
    let nowhere = "/tmp:/nonesuch/out";
    assert_one_line(&run_script(&["--output", nowhere], "true"), &[125], &["/nonesuch/out"]);
    assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 0);
}

fn a_job_whose_time_is_over_ends_with_124() {
    let asked = "trap 'echo asked; exit 0' TERM; while :; do sleep 0.05; done";
    let finished = run_script(&["--timeout", "1s"], asked);
    assert_code(&finished, 124);
    assert_eq!(finished.stdout, "asked\n", "{}", finished.describe());
    let deaf = "trap '' TERM; while :; do sleep 0.05; done";
    assert_code(&run_script(&["--timeout", "500ms", "--stop-timeout", "1"], deaf), 124);
    assert_code(&run_script(&["--timeout", "1h"], "exit 5"), 5);
}

fn tasks_have_a_limit_that_nobody_inside_lifts() {
    let script = "mkdir /sys/fs/cgroup/mine 2>/dev/null; echo max > /sys/fs/cgroup/mine/pids.max 2>/dev/null
        echo $$ > /sys/fs/cgroup/mine/cgroup.procs; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 20 & done; echo all";
    let finished = run_script(&["--pids-limit", "5", "--cpus", "1.5"], script);
    assert!(!finished.stdout.contains("all"), "{}", finished.describe());
    assert!(finished.stderr.contains("fork"), "{}", finished.describe());
}

fn resource_limits_are_the_program_s() {
    let options = ["--ulimit", "nofile=77:99", "--ulimit", "core=-1"];
    let finished = run_script(&options, "ulimit -Sn; ulimit -Hn; ulimit -c");
    assert_eq!(finished.stdout, "77\n99\nunlimited\n", "{}", finished.describe());
}

fn capabilities_are_added_and_dropped() {
    let script = "grep CapEff /proc/self/status | cut -f2; chown 5 /tmp 2>/dev/null || echo refused";
    let finished = run_script(&["--cap-drop", "ALL", "--cap-add", "KILL"], script);
    assert_eq!(finished.stdout, "0000000000000020\nrefused\n", "{}", finished.describe());
}

fn environment_files_come_before_options() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("variables");
    fs::write(&file, "# a comment\nA=1\n\nB=two words\n  C=3\n").expect("write");
    let file = file.display().to_string();
    let finished = run_script(&["--env-file", &file, "--env", "A=9"], "echo $A-$B-$C");
    assert_eq!(finished.stdout, "9-two words-3\n", "{}", finished.describe());
    assert_one_line(&run_script(&["--env-file", "/nonesuch"], "true"), &[125], &["/nonesuch"]);
}

/// `scripts/examples/ci-job`: a project in C is built and tested on a checkout, with a cache; the artefact comes out.
fn a_ci_job_builds_a_checkout() {
    let directory = tempfile::tempdir().expect("a directory");
    let (checkout, cache) = (directory.path().join("checkout"), directory.path().join("cache"));
    fs::create_dir_all(&checkout).expect("mkdir");
    fs::create_dir_all(&cache).expect("mkdir");
    fs::write(checkout.join("main.c"), "#include <stdio.h>\nint main(void) { puts(\"built\"); return 0; }\n")
        .expect("write");
    let build =
        "cc -o \"$ARTEFACTS/program\" main.c && echo compiled && \"$ARTEFACTS/program\" > \"$ARTEFACTS/log\"
        echo run >> /cache/runs; wc -l < /cache/runs; touch tested; exit $1";
    let job = |artefacts: &str, status: &str| {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/examples/ci-job"));
        command.env("VMM", vmm::binary().expect("vmm")).env("MEMORY", "1G").arg("/");
        command.args([&checkout, &cache, &directory.path().join(artefacts)]);
        command.args(["/bin/sh", "-c", build, "sh", status]);
        bounded::run(&mut command, Duration::from_secs(60)).expect("sh starts")
    };
    let (first, second) = (job("first", "0"), job("second", "7"));
    assert_code(&first, 0);
    assert_code(&second, 7);
    assert_eq!((&*first.stdout, &*second.stdout), ("compiled\n1\n", "compiled\n2\n"));
    for artefacts in ["first", "second"] {
        let log = directory.path().join(artefacts).join("log");
        assert_eq!(fs::read_to_string(log).expect("the log"), "built\n");
    }
    let program = Command::new(directory.path().join("first/program")).output().expect("the program runs");
    assert_eq!(program.stdout, b"built\n");
    assert!(checkout.join("tested").exists());
}
