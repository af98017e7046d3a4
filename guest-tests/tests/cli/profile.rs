//! `--profile`, `vmm profile` and `vmm report`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use guest_tests::bounded::{self, Finished};
use serde_json::Value;

use crate::{TIMEOUT, Test, assert_code, assert_one_line, guest_program, run, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    (
        "profile::calls_are_counted_and_the_status_comes_through",
        calls_are_counted_and_the_status_comes_through,
    ),
    ("profile::every_format_is_whole", every_format_is_whole),
    ("profile::the_time_line_has_each_task_and_program", the_time_line_has_each_task_and_program),
    ("profile::stacks_lead_through_guest_and_sentry", stacks_lead_through_guest_and_sentry),
    ("profile::a_full_disk_and_a_wrong_name_are_errors", a_full_disk_and_a_wrong_name_are_errors),
    ("profile::a_running_sandbox_is_profiled_for_a_while", a_running_sandbox_is_profiled_for_a_while),
    ("profile::calls_without_exits_are_told_apart", calls_without_exits_are_told_apart),
];

/// Runs the guest program `known_calls` with these words, and returns its profile as JSON.
fn profile(directory: &Path, options: &[&str], words: &[&str]) -> (Finished, Value) {
    let file = directory.join("profile.json");
    let program = guest_program("known_calls");
    let (file_name, words) = (file.display().to_string(), [&[&*program], words].concat());
    let finished = run(&[&["--image", "/", "--profile", &file_name], options].concat(), &words);
    let text = fs::read(&file).unwrap_or_else(|error| panic!("{error}: {}", finished.describe()));
    (finished, serde_json::from_slice(&text).expect("JSON"))
}

fn call<'a>(profile: &'a Value, name: &str) -> &'a Value {
    let calls = profile["calls"].as_array().expect("calls");
    calls.iter().find(|call| call["name"] == name).unwrap_or(&Value::Null)
}

fn calls_are_counted_and_the_status_comes_through() {
    let directory = tempfile::tempdir().expect("a directory");
    let (finished, profile) = profile(directory.path(), &["--exitless", "off"], &["calls", "7"]);
    assert_code(&finished, 7);
    for (name, count, errors) in [("getpgrp", 1000, 0), ("lseek", 300, 300), ("sched_yield", 20, 0)] {
        let call = call(&profile, name);
        assert_eq!((&call["count"], &call["errors"]), (&count.into(), &errors.into()), "{name}: {call}");
        assert_eq!(call["by_exit"], count);
        let handler = &call["times"]["handler"];
        assert_eq!(handler["count"], count);
        let buckets = handler["buckets"].as_array().expect("buckets");
        assert_eq!(buckets.iter().map(|bucket| bucket[1].as_u64().expect("a count")).sum::<u64>(), count);
        assert!(handler["p50_ns"].as_u64() <= handler["max_ns"].as_u64());
    }
    let nap = &call(&profile, "clock_nanosleep")["times"]["asleep"];
    assert!(nap["total_ns"].as_u64() >= Some(20_000_000), "{nap}");
    let exits = profile["exits"].as_array().expect("exits");
    assert!(exits.iter().any(|exit| exit["kind"] == "page fault: new memory"), "{exits:?}");
    let host_calls = profile["host_calls"].as_array().expect("calls");
    assert!(host_calls.iter().any(|call| call["name"] == "ioctl(KVM_RUN)"));
    let (finished, _) = self::profile(directory.path(), &[], &["signal"]);
    assert_code(&finished, 128 + 9);
}

fn report(profile: &Path, file: &Path) -> Finished {
    let mut command = vmm_command(&[], &[]);
    bounded::run(command.arg("report").args([profile, file]), TIMEOUT).expect("vmm starts")
}

fn every_format_is_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let (finished, _) = profile(directory.path(), &[], &["spin", "0"]);
    assert_code(&finished, 0);
    let json = directory.path().join("profile.json");
    let made = |name: &str| -> (PathBuf, String) {
        let file = directory.path().join(name);
        assert_code(&report(&json, &file), 0);
        (file.clone(), fs::read_to_string(file).expect("read"))
    };
    let (text_file, text) = made("p.txt");
    for heading in ["SYSTEM CALLS", "EXITS", "TASKS", "STACKS", "exit_group"] {
        assert!(text.contains(heading), "{heading} is missing in\n{text}");
    }
    let shown = bounded::run(vmm_command(&[], &[]).arg("report").arg(&json), TIMEOUT).expect("vmm starts");
    assert_eq!(shown.stdout, text);
    let (_, folded) = made("p.folded");
    let is_folded = |line: &str| line.rsplit_once(' ').is_some_and(|(_, count)| count.parse::<u64>().is_ok());
    assert!(!folded.is_empty() && folded.lines().all(is_folded), "{folded}");
    let (_, picture) = made("p.svg");
    assert!(picture.contains("<svg") && picture.trim_end().ends_with("</svg>"));
    let (_, page) = made("p.html");
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    for part in ["id=\"calls\"", "id=\"exits\"", "id=\"flame\"", "id=\"timeline\"", "<polyline", "exit_group"]
    {
        assert!(page.contains(part), "{part}");
    }
    let (_, again) = made("again.json");
    assert_eq!(again, fs::read_to_string(&json).expect("read"));
    assert_one_line(&report(&text_file, &directory.path().join("x.txt")), &[125], &["no profile"]);
}

fn the_time_line_has_each_task_and_program() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("p.json");
    let option = file.display().to_string();
    let script = "/bin/true; /bin/false; exit 5";
    let finished = run(&["--image", "/", "--profile", &option], &["/bin/sh", "-c", script]);
    assert_code(&finished, 5);
    let profile: Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
    let events = profile["timeline"].as_array().expect("events");
    let of = |kind: &str| -> Vec<&str> {
        let wanted = events.iter().filter(|event| event["kind"] == kind);
        wanted.map(|event| event["detail"].as_str().expect("a detail")).collect()
    };
    assert_eq!(of("exec"), ["/bin/true", "/bin/false"]);
    assert_eq!(of("exit"), ["status 0", "status 1", "status 5"]);
    assert_eq!(of("start"), ["child of 0", "child of 1", "child of 1"]);
    let names: Vec<_> =
        profile["tasks"].as_array().expect("tasks").iter().map(|task| &task["name"]).collect();
    assert_eq!(names, ["sh", "true", "false"]);
}

fn stacks_lead_through_guest_and_sentry() {
    let directory = tempfile::tempdir().expect("a directory");
    let (finished, profile) = profile(directory.path(), &["--exitless", "off"], &["spin", "0"]);
    assert_code(&finished, 0);
    let stacks = profile["stacks"].as_array().expect("stacks");
    let has = |frames: &[&str]| {
        stacks.iter().any(|stack| {
            let found = stack["frames"].as_str().expect("frames");
            frames.iter().all(|frame| found.contains(frame))
        })
    };
    assert!(has(&["known_calls;", "main", "outer", "spin_here"]), "{stacks:?}");
    assert!(has(&["known_calls;", "sys_read;", "sentry::"]), "{stacks:?}");
}

fn a_full_disk_and_a_wrong_name_are_errors() {
    let directory = tempfile::tempdir().expect("a directory");
    let full = directory.path().join("full.json");
    symlink("/dev/full", &full).expect("a link");
    let full = full.display().to_string();
    let finished = run(&["--image", "/", "--profile", &full], &["/bin/true"]);
    assert_one_line(&finished, &[125], &["full.json", "cannot be written", "No space left"]);
    // What the program says counts for more.
    let finished = run(&["--image", "/", "--profile", &full], &["/bin/false"]);
    assert_one_line(&finished, &[1], &["full.json", "cannot be written"]);
    let finished = run(&["--image", "/", "--profile", "/tmp/profile.png"], &["/bin/true"]);
    assert_one_line(&finished, &[125], &["profile.png", ".html"]);
    let finished = run(&["--image", "/", "--profile", "/nonesuch/p.json"], &["/bin/true"]);
    assert_one_line(&finished, &[125], &["/nonesuch/p.json"]);
}

fn a_running_sandbox_is_profiled_for_a_while() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = "echo ready; while read word; do :; done < /dev/zero & while :; do /bin/true; done";
    let mut running =
        bounded::start(&mut vmm_command(&["--image", "/"], &["/bin/sh", "-c", script])).expect("vmm starts");
    assert!(running.prints_within("ready\n", TIMEOUT).expect("output"));
    let pid = running.pid().as_raw_nonzero().to_string();
    let ask = |words: &[&str]| bounded::run(vmm_command(&[], &[]).args(words), TIMEOUT).expect("vmm starts");
    for name in ["first.json", "second.json"] {
        let file = directory.path().join(name).display().to_string();
        assert_code(&ask(&["profile", &pid, "--for", "700ms", &file]), 0);
        let profile: Value = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
        assert!(profile["duration_ns"].as_u64() >= Some(700_000_000));
        assert!(call(&profile, "execve")["count"].as_u64() > Some(0), "{}", profile["calls"]);
        assert!(call(&profile, "read")["count"].as_u64() > Some(0), "{}", profile["calls"]);
        let first = &profile["tasks"].as_array().expect("tasks");
        assert!(first.iter().any(|task| task["tid"] == 1 && task["name"] == "sh"), "{first:?}");
    }
    assert_code(&ask(&["profile", &pid, "--hz", "0"]), 125);
    assert_one_line(&ask(&["profile", "999999"]), &[125], &["999999"]);
    assert_code(&ask(&["kill", &pid]), 0);
    assert_code(&running.finish(TIMEOUT).expect("end"), 137);
}

fn calls_without_exits_are_told_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    let (finished, profile) = profile(directory.path(), &["--exitless", "on"], &["calls", "0"]);
    assert_code(&finished, 0);
    let getpgrp = call(&profile, "getpgrp");
    let part = |name: &str| getpgrp[name].as_u64().expect("a count");
    assert_eq!(part("by_exit") + part("by_dispatcher"), 1000, "{getpgrp}");
    assert_eq!(part("count"), 1000);
    let getuid = call(&profile, "getuid");
    let parts = ["by_exit", "by_dispatcher", "by_page"].map(|name| getuid[name].as_u64().expect("a count"));
    // A kick right behind the counting has a call begin anew.
    assert!((5000..5010).contains(&parts.iter().sum::<u64>()), "{getuid}");
    let served = profile["dispatch"]["served"].as_u64().expect("a count");
    let calls = profile["calls"].as_array().expect("calls");
    let by_dispatcher: u64 = calls.iter().map(|call| call["by_dispatcher"].as_u64().expect("a count")).sum();
    assert!(by_dispatcher <= served, "{by_dispatcher} of {served}");
}
