//! Executables that are torn, foreign or absurd. Linux is the oracle: what it runs runs, what it refuses is refused.

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use guest_tests::bounded::Finished;
use guest_tests::elf::{BASE, Executable, PT_LOAD, Segment};

use crate::status::write_executable;
use crate::{Test, assert_code, assert_code_among, assert_one_line, run};

pub(crate) const TESTS: &[Test] = &[
    ("elf_files::minimal_executable_runs", minimal_executable_runs),
    ("elf_files::torn_files_are_refused", torn_files_are_refused),
    ("elf_files::foreign_files_are_refused", foreign_files_are_refused),
    ("elf_files::odd_segments_end_as_on_linux", odd_segments_end_as_on_linux),
    ("elf_files::missing_interpreter_is_named", missing_interpreter_is_named),
    ("elf_files::single_executable_is_an_image", single_executable_is_an_image),
    ("elf_files::torn_image_is_refused", torn_image_is_refused),
];

/// What Linux makes of an executable.
#[derive(Debug)]
enum Verdict {
    Refused(std::io::Error),
    Exited(i32),
    Killed(i32),
}

fn on_linux(path: &Path) -> Verdict {
    match Command::new(path).status() {
        Err(error) => Verdict::Refused(error),
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Verdict::Exited(code),
            (None, signal) => Verdict::Killed(signal.unwrap_or(0)),
        },
    }
}

/// Writes the executable, runs it inside, and holds the end against what happens on Linux.
fn compare(name: &str, content: &[u8]) -> Finished {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(name);
    write_executable(&path, content);
    let verdict = on_linux(&path);
    let finished = run(&["--image", "/"], &[&path.to_string_lossy()]);
    let expected: &[i32] = match &verdict {
        Verdict::Exited(code) => &[*code],
        // Linux kills where it has passed the point of no return; a sandbox may look before.
        Verdict::Killed(signal) => &[128 + signal, 126],
        // What is not found is the interpreter.
        Verdict::Refused(error) if error.kind() == ErrorKind::NotFound => &[126, 127],
        Verdict::Refused(_) => &[126],
    };
    let code = finished.code().unwrap_or(-1);
    assert!(expected.contains(&code), "{name}: {verdict:?} on Linux; inside: {}", finished.describe());
    if matches!(verdict, Verdict::Refused(_)) {
        let lines = finished.stderr.lines().count();
        assert_eq!(lines, 1, "{name}: one line of error: {}", finished.describe());
        assert!(finished.stderr.contains(name), "{name} is named: {}", finished.describe());
    }
    finished
}

/// As [`compare`], but what Linux runs although it makes no sense may be refused.
fn compare_or_refused(name: &str, content: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(name);
    write_executable(&path, content);
    let finished = run(&["--image", "/"], &[&path.to_string_lossy()]);
    if finished.code() == Some(126) {
        assert_one_line(&finished, &[126], &[name]);
    } else {
        compare(name, content);
    }
}

fn minimal_executable_runs() {
    assert_code(&compare("minimal", &Executable::exits_42().encode()), 42);
}

fn torn_files_are_refused() {
    let whole = Executable::exits_42().encode();
    for length in [4, 15, 16, 40, 63, 64, 80, 119] {
        compare(&format!("torn-at-{length}"), &whole[..length]);
    }
    // The headers say more than the file holds.
    let mut executable = Executable::exits_42();
    executable.program_header_offset = 1 << 40;
    compare("headers-far-away", &executable.encode());
    executable.program_header_offset = u64::MAX - 10;
    compare("headers-overflow", &executable.encode());
    let mut executable = Executable::exits_42();
    executable.program_header_count = Some(0);
    compare("no-headers", &executable.encode());
    executable.program_header_count = Some(u16::MAX);
    compare("endless-headers", &executable.encode());
    let mut executable = Executable::exits_42();
    executable.program_header_length = 12;
    compare("short-headers", &executable.encode());
}

fn foreign_files_are_refused() {
    for machine in [0, 3, 40, 183, 243] {
        let mut executable = Executable::exits_42();
        executable.machine = machine;
        compare(&format!("machine-{machine}"), &executable.encode());
    }
    let mut executable = Executable::exits_42();
    executable.kind = 1;
    compare("relocatable", &executable.encode());
    executable.kind = 4;
    compare("core", &executable.encode());
    let mut big_endian = Executable::exits_42().encode();
    big_endian[5] = 2;
    compare_or_refused("big-endian", &big_endian);
}

fn odd_segments_end_as_on_linux() {
    type Spoil = fn(&mut Executable);
    let cases: &[(&str, Spoil)] = &[
        ("huge-memory", |executable| executable.segments[0].memory_length = 1 << 60),
        ("memory-overflow", |executable| executable.segments[0].memory_length = u64::MAX),
        ("file-beyond-memory", |executable| executable.segments[0].memory_length = 1),
        ("file-length-overflow", |executable| executable.segments[0].file_length = u64::MAX),
        ("kernel-address", |executable| executable.segments[0].address = 0xffff_8000_0000_0000),
        ("address-overflow", |executable| executable.segments[0].address = u64::MAX - 0xfff),
        ("at-address-zero", |executable| executable.segments[0].address = 0),
        ("misaligned", |executable| executable.segments[0].address = BASE + 0x10),
        ("odd-alignment", |executable| executable.segments[0].alignment = 3),
        ("offset-beyond-file", |executable| executable.segments[0].offset = 0x10_0000),
        ("entry-nowhere", |executable| executable.entry = Some(0x10)),
        ("entry-in-kernel", |executable| executable.entry = Some(0xffff_ffff_8000_0000)),
        ("not-executable", |executable| executable.segments[0].flags = 4),
        ("no-access", |executable| executable.segments[0].flags = 0),
        ("overlapping", overlapping),
        ("descending", descending),
        ("zero-length", |executable| {
            executable.segments.push(Segment { file_length: 0, memory_length: 0, ..far_segment() })
        }),
        ("large-zero-part", |executable| {
            executable.segments.push(Segment { file_length: 0, memory_length: 64 << 20, ..far_segment() })
        }),
        ("absurd-zero-part", |executable| {
            executable.segments.push(Segment { file_length: 0, memory_length: 1 << 46, ..far_segment() })
        }),
    ];
    for (name, spoil) in cases {
        let mut executable = Executable::exits_42();
        spoil(&mut executable);
        compare_or_refused(name, &executable.encode());
    }
}

/// A second segment well above the first.
fn far_segment() -> Segment {
    let executable = Executable::exits_42();
    Segment { kind: PT_LOAD, flags: 6, address: BASE + 0x20_0000, ..executable.segments[0] }
}

fn overlapping(executable: &mut Executable) {
    let first = executable.segments[0];
    executable.segments.push(Segment { flags: 5, ..first });
    // One program header more moves the code.
    for segment in &mut executable.segments {
        segment.file_length += 56;
        segment.memory_length += 56;
    }
}

fn descending(executable: &mut Executable) {
    executable.segments.insert(0, far_segment());
    for segment in &mut executable.segments {
        segment.file_length += 56;
        segment.memory_length += 56;
    }
}

fn missing_interpreter_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("program");
    write_executable(&path, &Executable::with_interpreter("/no/such/ld.so").encode());
    let finished = run(&["--image", "/"], &[&path.to_string_lossy()]);
    assert_one_line(&finished, &[126, 127], &["/no/such/ld.so"]);
    for (name, interpreter) in [
        ("interpreter-is-a-directory", "/etc"),
        ("interpreter-is-text", "/etc/passwd"),
        ("interpreter-is-empty", ""),
    ] {
        compare(name, &Executable::with_interpreter(interpreter).encode());
    }
}

fn single_executable_is_an_image() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("image");
    write_executable(&path, &Executable::exits_42().encode());
    assert_code(&run(&["--image", &path.to_string_lossy()], &[]), 42);
}

fn torn_image_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("image");
    for (content, codes) in [
        (&Executable::exits_42().encode()[..70], [125, 126]),
        (b"", [125, 125]),
        (b"#!/bin/sh\n", [125, 125]),
    ] {
        write_executable(&path, content);
        let finished = run(&["--image", &path.to_string_lossy()], &[]);
        assert_code_among(&finished, &codes);
        assert_one_line(&finished, &codes, &["image"]);
    }
}
