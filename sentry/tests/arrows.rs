//! Arrows between the rooms of the sentry run downward only.
//!
//! A room is a module of the crate. It may name those of lower rows of [`ROOMS`], and nothing above or beside it. The test reads
//! the paths that begin with `crate::`, wherever they are written; tests may name anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the top down. Those of one row know nothing of each other, except that the kernel owns the tasks, and a task knows
/// the kernel that it lives in.
const ROOMS: &[&[&str]] = &[
    &["fuzzing"],
    &["boot"],
    &["syscall"],
    &["io_uring"],
    &["kernel", "task"],
    &["loader"],
    &["aio", "net", "perf", "profile", "seccomp"],
    &["fs"],
    &["cgroup", "futex", "ipc", "keys"],
    &["time"],
    &["memory"],
    &["bpf", "limits", "network_settings", "signal", "uts"],
    &["cred"],
    &["landlock"],
    &["virtual_cpus"],
    &["abi", "core_settings", "heap", "host", "pace", "process_identity", "settings", "slices", "wait"],
    &["platform"],
    &["errno", "width"],
];

/// Who may name each other across a row.
const TOGETHER: &[&str] = &["kernel", "task"];

/// One path that leads from a room to another.
struct Arrow {
    from: String,
    to: String,
    place: String,
}

impl Arrow {
    fn is_downward(&self) -> bool {
        let row = |room: &str| ROOMS.iter().position(|row| row.contains(&room));
        let are_together = TOGETHER.contains(&&*self.from) && TOGETHER.contains(&&*self.to);
        let is_lower = row(&self.from).zip(row(&self.to)).is_some_and(|(from, to)| from < to);
        are_together || is_lower
    }
}

#[test]
fn arrows_between_rooms_run_downward() {
    let mut files = Vec::new();
    find_files(&source(), &mut files);
    let arrows: Vec<Arrow> = files.iter().flat_map(|file| arrows_of(file)).collect();
    assert!(arrows.len() > 100, "only {} arrows were found", arrows.len());
    let upward = arrows.iter().filter(|arrow| !arrow.is_downward());
    let upward: Vec<String> =
        upward.map(|arrow| format!("{} -> {}: {}", arrow.from, arrow.to, arrow.place)).collect();
    assert!(upward.is_empty(), "arrows that do not run downward:\n{}", upward.join("\n"));
}

#[test]
fn every_room_has_its_row() {
    let listed: BTreeSet<String> =
        ROOMS.iter().flat_map(|row| row.iter()).map(|room| room.to_string()).collect();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(source()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        found.insert(name.trim_end_matches(".rs").to_string());
    }
    found.remove("lib");
    assert_eq!(found, listed);
}

#[test]
fn an_upward_arrow_is_seen() {
    let is_downward =
        |from: &str, to: &str| Arrow { from: from.into(), to: to.into(), place: String::new() }.is_downward();
    assert!(is_downward("syscall", "task") && is_downward("task", "kernel") && is_downward("fs", "errno"));
    assert!(!is_downward("task", "syscall") && !is_downward("keys", "ipc") && !is_downward("fs", "attic"));
    assert_eq!(names_after_crate("pub use crate::fs::{Path}; // crate::net"), ["fs"]);
    assert_eq!(names_after_crate("fn f(x: &crate::net::A) -> crate::Errno {"), ["net", "errno"]);
    assert_eq!(names_after_crate("use crate::{fs, net};"), ["{"]);
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of production code below `directory`.
fn find_files(directory: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let texts = entries.iter().filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap());
    let test_modules: BTreeSet<String> = texts.flat_map(|text| test_modules(&text)).collect();
    for path in entries {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let is_test = stem == "tests" || test_modules.contains(stem);
        if path.is_dir() && !is_test {
            find_files(&path, files);
        } else if !is_test && path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The modules in files of their own that are for tests only.
fn test_modules(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    pairs.filter_map(|pair| Some(pair[1].rsplit_once("mod ")?.1.strip_suffix(';')?.to_string())).collect()
}

/// The arrows from the file at `path`.
fn arrows_of(path: &Path) -> Vec<Arrow> {
    let relative = path.strip_prefix(source()).unwrap().to_str().unwrap().to_string();
    let room = relative.split('/').next().unwrap().trim_end_matches(".rs").to_string();
    let text = fs::read_to_string(path).unwrap();
    let mut arrows = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|_| room != "lib") {
        for to in names_after_crate(line).into_iter().filter(|to| *to != room) {
            arrows.push(Arrow {
                from: room.clone(),
                to,
                place: format!("{relative}:{number}: {}", line.trim()),
            });
        }
    }
    arrows
}

/// What follows `crate::` in a line of code: the names of rooms. What the crate's root shows of `errno` is of that room.
fn names_after_crate(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let name = |rest: &str| match rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_') {
        Some(0) => rest[..1].to_string(),
        end => rest[..end.unwrap_or(rest.len())].to_string(),
    };
    let names = code.split("crate::").skip(1).map(name);
    names.map(|name| if name == "Errno" { "errno".into() } else { name }).collect()
}
