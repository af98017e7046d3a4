//! What the caller redirects: a file, a pipe, a device or nothing as a standard stream is the same thing inside.
//!
//! Each line is run by a shell twice, `run PROGRAM` being the program itself and then the program in vmm, and must print
//! the same, end with the same status and leave the same files. What the guest may not do to the caller's files, though
//! the program itself could, is told by expectation.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use guest_tests::bounded::{self, Finished};
use guest_tests::vmm;

use crate::{TIMEOUT, Test};

pub(crate) const TESTS: &[Test] = &[
    ("streams::a_file_as_input_is_a_file", a_file_as_input_is_a_file),
    ("streams::a_file_as_output_is_a_file", a_file_as_output_is_a_file),
    ("streams::the_position_is_the_callers", the_position_is_the_callers),
    ("streams::streams_are_opened_again", streams_are_opened_again),
    ("streams::files_are_mapped", files_are_mapped),
    ("streams::data_moves_between_descriptors", data_moves_between_descriptors),
    ("streams::files_are_locked_and_told_of", files_are_locked_and_told_of),
    ("streams::directories_and_devices_are_what_they_are", directories_and_devices_are_what_they_are),
    ("streams::pipes_are_pipes", pipes_are_pipes),
    ("streams::closed_streams_stay_closed", closed_streams_stay_closed),
    ("streams::limits_of_the_caller_hold", limits_of_the_caller_hold),
    ("streams::what_is_appended_to_only_grows", what_is_appended_to_only_grows),
    ("streams::the_callers_files_keep_their_attributes", the_callers_files_keep_their_attributes),
];

/// What a line did.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
    files: BTreeMap<String, String>,
}

/// Runs the lines in both places and compares.
fn compare(lines: &[&str]) {
    let binary = vmm::binary().unwrap_or_else(|message| panic!("{message}"));
    let inside = format!("{} -w \"$PWD\" -e LC_ALL=C -- \"$@\"", binary.display());
    let different: Vec<String> = lines
        .iter()
        .filter_map(|line| {
            let (mut native, mut inside) = (outcome("\"$@\"", line), outcome(&inside, line));
            let is_different = native != inside;
            let other = inside.files.clone();
            inside.files.retain(|name, contents| native.files.get(name) != Some(contents));
            native.files.retain(|name, contents| other.get(name) != Some(contents));
            is_different.then(|| format!("{line}\n  natively {native:?}\n  inside   {inside:?}"))
        })
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// Runs `line` where `run` does as `manner` says, in a directory of its own.
fn outcome(manner: &str, line: &str) -> Outcome {
    let directory = tempfile::tempdir().expect("a directory");
    let finished = run_in(directory.path(), manner, line);
    let files = fs::read_dir(directory.path())
        .expect("list")
        .filter_map(Result::ok)
        .map(|entry| {
            let contents = fs::read(entry.path()).expect("read");
            let shown = String::from_utf8_lossy(&contents).into_owned();
            (entry.file_name().to_string_lossy().into_owned(), shown)
        })
        .collect();
    let place = directory.path().to_string_lossy().into_owned();
    Outcome {
        status: finished.code(),
        stdout: finished.stdout.replace(&place, "PLACE"),
        stderr: finished.stderr.replace(&place, "PLACE"),
        files,
    }
}

fn run_in(directory: &Path, manner: &str, line: &str) -> Finished {
    let numbers: String = (1..=2000).map(|number| format!("{number}\n")).collect();
    for (name, contents) in [("in", numbers.as_str()), ("out", "old contents\n")] {
        fs::write(directory.join(name), contents).expect("write");
        // Both runs find files of the same age, even if a second ends between them.
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options()
            .write(true)
            .open(directory.join(name))
            .and_then(|file| file.set_modified(written))
            .expect("age");
    }
    let script = format!("run() {{ {manner}; }}\n{line}");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).current_dir(directory).env("LC_ALL", "C").env_remove("PYTHONUNBUFFERED");
    bounded::run(&mut command, TIMEOUT).expect("sh starts")
}

/// Runs `line` with `run` being vmm, and returns what it printed to both streams and what is in `out` then.
fn inside(line: &str) -> (String, String) {
    let binary = vmm::binary().unwrap_or_else(|message| panic!("{message}"));
    let directory = tempfile::tempdir().expect("a directory");
    let manner = format!("{} -w \"$PWD\" -e LC_ALL=C -- \"$@\"", binary.display());
    let finished = run_in(directory.path(), &manner, line);
    let left = fs::read_to_string(directory.path().join("out")).expect("read");
    (finished.stdout + &finished.stderr, left)
}

fn a_file_as_input_is_a_file() {
    compare(&[
        "run wc -c < in",
        "run tail -c 5 < in",
        "run tail -n 2 < in",
        "run dd bs=1 skip=10 count=20 status=none < in",
        "run diff - in < in",
        "run cmp - in < in",
        "run gzip -c < in | gzip -dc | cmp - in",
        "run tar tf - < in",
        "run perl -e 'seek(STDIN, 10, 0); print scalar <STDIN>; print tell(STDIN)' < in",
        "run python3 -c 'import sys; f = sys.stdin.buffer; f.seek(-4, 2); print(f.read(), f.tell())' < in",
        "run python3 -c 'import os; print(os.pread(0, 4, 100), os.lseek(0, 0, 1), os.preadv(0, [bytearray(3)], 9000))' < in",
        "run python3 -c 'import os; print(os.lseek(0, 3, os.SEEK_DATA), os.lseek(0, 1, os.SEEK_HOLE), os.lseek(0, 0, 1))' < in",
        "run python3 -c 'import os; os.lseek(0, -1, 0)' < in 2> /dev/null",
        "run python3 -c 'import os; os.write(0, b\"x\")' < in 2> /dev/null",
        "run python3 -c 'import select; p = select.poll(); p.register(0); print(p.poll(1000))' < in",
        "run python3 -c 'import select; select.epoll().register(0)' < in 2> /dev/null",
        "run python3 -c 'import fcntl, termios, array, os; a = array.array(\"i\", [0]); os.lseek(0, 3, 0); fcntl.ioctl(0, termios.FIONREAD, a); print(a)' < in",
    ]);
}

fn a_file_as_output_is_a_file() {
    compare(&[
        "run sh -c 'echo one; echo two >&2; echo three' > out 2>&1",
        "run sh -c 'echo one; echo two >&2; echo three' > out 2> errors",
        "run sh -c 'echo one; echo two' >> out",
        "run sh -c 'echo one; echo two >&2' >> out 2>&1",
        "run dd bs=1 seek=20 status=none < in > out",
        "run dd bs=1 count=3 conv=notrunc status=none < in 1<> out",
        "run truncate -s 3 /dev/stdout > out",
        "run fallocate -l 100 /dev/stdout 1<> out",
        "run fallocate -p -o 4096 -l 4096 /dev/stdout 1<> in",
        "run python3 -c 'import os; os.ftruncate(1, 4); os.write(1, b\"ab\")' > out",
        "run python3 -c 'import os; os.ftruncate(1, 4); os.write(1, b\"ab\")' 1<> out",
        "run python3 -c 'import os; os.posix_fallocate(1, 0, 50); print(os.fstat(1).st_size)' > out",
        "run python3 -c 'import os; os.fsync(1); os.fdatasync(1); print(1)' > out",
        "run python3 -c 'import os; os.pwrite(1, b\"zz\", 3); os.write(1, b\"q\")' >> out",
        "run python3 -c 'import os; os.pwrite(1, b\"zz\", 3); os.write(1, b\"q\")' > out",
        "run python3 -c 'import os, fcntl; fcntl.fcntl(1, fcntl.F_SETFL, os.O_APPEND); os.write(1, b\"q\")' 1<> out",
        "run python3 -c 'import os; os.read(1, 1)' > out",
        "run cat < in >> in",
    ]);
}

fn the_position_is_the_callers() {
    compare(&[
        "(run head -c 5; cat) < in | head -3",
        "(run head -n 3; cat) < in | head -3",
        "(run sed -n '2{p;q}'; head -1) < in",
        "(run sh -c 'read a; echo $a'; run sh -c 'read a; echo $a') < in",
        "(run /bin/echo one; echo two; run /bin/echo three) > out",
        "(run python3 -c 'import os; os.lseek(1, 3, 1)'; echo two) > out",
        "(run tail -c 3 > /dev/null; cat) < in",
        "run sh -c 'read a; read b; echo $a $b; cat | head -1' < in",
        "run sh -c 'cat; cat' < in | wc -l",
        "run bash -c 'mapfile -n 2 a; echo ${a[@]}; read x; echo $x' < in",
        "(run /bin/echo one & run /bin/echo two & wait) > out; sort out > sorted; mv sorted out",
        "for i in 1 2 3 4; do run sh -c 'for i in 1 2 3 4 5 6 7 8 9; do echo line; done' & done > out; wait",
    ]);
}

fn streams_are_opened_again() {
    compare(&[
        "run sh -c 'echo one > /dev/stdout; echo two' > out",
        "run sh -c 'echo one >> /dev/stdout; echo two' > out",
        "run sh -c 'echo one >> /dev/stdout; echo two' >> out",
        "run sh -c 'echo one >> /dev/stderr; echo two >&2' 2>> out",
        "run sh -c 'cat < /dev/stdin | head -2; cat | head -2' < in",
        "run sh -c 'cat /proc/self/fd/0 | head -2; head -c 4; head -c 3 /dev/stdin' < in",
        "run sh -c 'echo one 1<> /dev/stdout; echo two' 1<> out",
        "run sh -c 'cat 0<> /dev/stdin | head -2; head -c 4' <> in",
        "run sh -c 'exec 5< /dev/stdin; read a <&5; read b; echo $a $b' < in",
        "run cp /dev/stdin /dev/stdout < in | tail -1",
        "run sort -o /dev/stdout < in | head -2",
        "run tar cf /dev/stdout in | tar tf -",
        "cp /bin/true program; run sh -c 'exec /proc/self/fd/0' < program",
        "run python3 -c 'import os; f = os.open(\"/dev/stdin\", 0); print(os.lseek(f, 9, 0), os.lseek(0, 0, 1))' < in",
        "run python3 -c 'import os; os.truncate(\"/dev/stdout\", 5)' 1<> out",
        "run sh -c 'echo x > /dev/stdout/' > out 2> /dev/null",
    ]);
}

fn files_are_mapped() {
    compare(&[
        "run python3 -c 'import mmap; m = mmap.mmap(0, 0, access=mmap.ACCESS_READ); print(m[-5:], len(m))' < in",
        "run python3 -c 'import mmap; m = mmap.mmap(0, 0, access=mmap.ACCESS_COPY); m[0:3] = b\"XYZ\"; print(m[0:5])' < in",
        "run python3 -c 'import mmap; mmap.mmap(0, 0)' < in 2> /dev/null",
        "run python3 -c 'import mmap; m = mmap.mmap(0, 0); m[0:3] = b\"XYZ\"; print(m[0:5])' <> out",
        "run python3 -c 'import mmap, os; m = mmap.mmap(0, 0); m[0:3] = b\"XYZ\"; print(os.pread(0, 5, 0)); os.pwrite(0, b\"abc\", 1); print(m[0:5])' <> out",
        "run python3 -c 'import mmap, os; m = mmap.mmap(0, 0); m[0:3] = b\"XYZ\"; os.kill(os.getpid(), 9)' <> out 2> /dev/null; true",
        "run python3 -c 'import mmap, os; m = mmap.mmap(0, 0); m[7000:7003] = b\"XYZ\"; m.flush(); os.ftruncate(0, 7001)' <> in",
        "run python3 -c 'import mmap, os; m = mmap.mmap(0, 0); os.fork() or (m.__setitem__(0, 88), os._exit(0)); os.wait(); print(m[0])' <> in",
        "run python3 -c 'import mmap, os; os.write(0, b\"q\"); m = mmap.mmap(0, 0); print(m[0:4]); m.close(); os.pwrite(0, b\"r\", 0); m = mmap.mmap(0, 0); print(m[0:4])' <> in",
    ]);
}

fn data_moves_between_descriptors() {
    compare(&[
        "run python3 -c 'import os; print(os.sendfile(1, 0, 0, 10), os.lseek(0, 0, 1)); print(os.sendfile(1, 0, None, 5), os.lseek(0, 0, 1))' < in > out",
        "run python3 -c 'import os; print(os.sendfile(1, 0, 3, 10))' < in >> out 2> /dev/null",
        "run python3 -c 'import os; print(os.copy_file_range(0, 1, 20), os.lseek(1, 0, 1))' < in > out",
        "run python3 -c 'import os; print(os.copy_file_range(0, 1, 20))' <> in 1<&0 2> /dev/null",
        "run python3 -c 'import os; r, w = os.pipe(); print(os.splice(0, w, 20, offset_src=3), os.read(r, 100), os.lseek(0, 0, 1))' < in",
        "run python3 -c 'import os; r, w = os.pipe(); os.write(w, b\"abc\"); print(os.splice(r, 1, 20), os.lseek(1, 0, 1))' > out",
        "run python3 -c 'import os; r, w = os.pipe(); os.write(w, b\"abc\"); print(os.splice(r, 1, 20))' >> out 2> /dev/null",
        "cat in | run python3 -c 'import os; r, w = os.pipe(); print(os.splice(0, w, 20), os.read(r, 100))'",
        "run python3 -c 'import os; r, w = os.pipe(); os.write(w, b\"abc\"); os.splice(r, 1, 20)' | cat",
        "run python3 -c 'import os; print(os.splice(0, 1, 7, offset_src=2), file=__import__(\"sys\").stderr)' < in | cat",
    ]);
}

fn files_are_locked_and_told_of() {
    compare(&[
        "run sh -c 'flock -n 0 && echo locked; flock -n -x /dev/stdin true || echo taken' < in",
        "run sh -c 'flock -n 1 && flock -n -x /dev/stdin true || echo taken >&2' < in >> in",
        "run python3 -c 'import fcntl, os; fcntl.lockf(0, fcntl.LOCK_EX); os.fork() or os._exit(fcntl.fcntl(0, fcntl.F_GETLK, b\"\\0\" * 32)[0] + 4); print(os.wait()[1])' <> in",
        "run python3 -c 'import fcntl; fcntl.lockf(0, fcntl.LOCK_EX)' < in 2> /dev/null",
        "run stat -L -c '%F %s %a %u %g %h %b %B %Y' /dev/stdin < in",
        "touch unlinked; (rm unlinked; run stat -L -c '%h' /dev/stdin) < unlinked",
        "run readlink /proc/self/fd/0 < in",
        "run sh -c 'cat /proc/self/fdinfo/0 | head -1; read a; head -1 /proc/self/fdinfo/0' < in",
        "run python3 -c 'import fcntl; print([hex(fcntl.fcntl(n, fcntl.F_GETFL)) for n in range(2)])' < in >> out",
        "run python3 -c 'import fcntl; print([hex(fcntl.fcntl(n, fcntl.F_GETFL)) for n in range(2)])' <> in > out",
        "run python3 -c 'import os; print(os.path.samefile(\"/dev/stdin\", \"/dev/stdout\"))' < in >> in",
        "run python3 -c 'import os; print(os.path.samefile(\"/dev/stdin\", \"/dev/stdout\"))' < in > out",
    ]);
}

fn directories_and_devices_are_what_they_are() {
    compare(&[
        "run cat < .",
        "run ls /dev/stdin/ < .",
        "run stat -L -c %F /dev/stdin < .",
        "run python3 -c 'import os; print(os.lseek(0, 5, 0), os.read(0, 3), os.readlink(\"/proc/self/fd/0\"))' < /dev/null",
        "run head -c 3 < /dev/zero",
        "run /bin/echo hi > /dev/full",
        "run python3 -c 'import mmap; print(mmap.mmap(0, 4096, access=mmap.ACCESS_READ)[:4])' < /dev/zero",
        "run head -c 9 < /dev/urandom | wc -c",
        "run stat -L -c '%F %t %T' /dev/stdin < /dev/null",
        "run sh -c 'echo lost; echo lost > /dev/stdout' > /dev/null",
    ]);
}

fn pipes_are_pipes() {
    compare(&[
        "run yes | head -1",
        "run sh -c 'yes; echo $? >&2' | head -1",
        "run sh -c 'trap \"\" PIPE; yes 2> /dev/null; echo $? >&2' | head -1",
        "run python3 -c 'import os; os.lseek(0, 0, 1)' 2> /dev/null | cat",
        "true | run python3 -c 'import select, time; time.sleep(0.3); p = select.poll(); p.register(0); print(p.poll(1000))'",
        "cat in | run python3 -c 'import fcntl, termios, array, time; time.sleep(0.5); a = array.array(\"i\", [0]); fcntl.ioctl(0, termios.FIONREAD, a); print(a, fcntl.fcntl(0, 1032), fcntl.fcntl(0, 1031, 200000), fcntl.fcntl(0, 1032))'",
        "cat in | run sh -c 'head -c 3; head -c 3 /dev/stdin > /dev/null; cat > /dev/null'",
        "run sh -c 'echo one > /dev/stdout; echo two >> /dev/stdout' | cat",
        "cat in | run sh -c 'echo x > /dev/stdin' 2> /dev/null | cat",
        "run sh -c 'exec >&-; sleep 3' | sh -c 'cat; [ $(ps -eo args | grep -c \"^sleep 3\") = 0 ] || true'",
        "mkfifo pipe; cat in > pipe & run tail -n 1 < pipe; wait; rm pipe",
        "mkfifo pipe; cat pipe > out & run /bin/echo hello > pipe; wait; rm pipe",
        "run stat -L -c '%F' /dev/stdin < in | run cat",
    ]);
}

fn closed_streams_stay_closed() {
    compare(&[
        "run cat <&-",
        "run /bin/echo hi >&-",
        "run sh -c 'echo lost >&2; exit 3' 2>&-",
        "run python3 -c 'import os; print(os.open(\"in\", 0))' <&-",
        "run python3 -c 'import os; os.open(\"in\", 0); os.open(\"in\", 0); os._exit(os.open(\"in\", 0))' <&- >&- 2>&-",
        "run sh -c 'echo hi > new; cat new; rm new' <&- 2>&-",
    ]);
}

fn limits_of_the_caller_hold() {
    compare(&[
        "(ulimit -f 1; run dd if=/dev/zero bs=100 count=30 status=none > out; echo $?) 2> /dev/null",
        "(ulimit -f 1; run sh -c 'trap \"\" XFSZ; dd if=/dev/zero bs=100 count=30 status=none' 2> /dev/null > out; echo $?)",
        "(ulimit -f 1; run sh -c 'trap \"\" XFSZ; truncate -s 5000 /dev/stdout' 2> /dev/null > out; echo $?)",
    ]);
}

fn what_is_appended_to_only_grows() {
    const OLD: &str = "old contents\n";
    for (script, told, left) in [
        ("echo one > /dev/stdout; echo two", "", "old contents\none\ntwo\n"),
        ("truncate -s 0 /dev/stdout", "Operation not permitted", OLD),
        ("truncate -s 0 /proc/self/fd/1", "Operation not permitted", OLD),
        (
            "python3 -c 'import ctypes, os, sys; libc = ctypes.CDLL(None, use_errno=True); libc.fallocate(1, 3, 0, 5); sys.exit(os.strerror(ctypes.get_errno()))'",
            "Operation not permitted",
            OLD,
        ),
        ("python3 -c 'import os; os.ftruncate(1, 0)'", "Operation not permitted", OLD),
        ("python3 -c 'import fcntl; fcntl.fcntl(1, fcntl.F_SETFL, 0)'", "Operation not permitted", OLD),
        ("python3 -c 'import os; os.pwrite(1, b\"new\", 0)'", "", "old contents\nnew"),
        (
            "python3 -c 'import os; f = os.open(\"/dev/stdout\", 1); os.write(f, b\"new\")'",
            "",
            "old contents\nnew",
        ),
    ] {
        let (printed, found) = inside(&format!("run sh -c '{}' >> out", script.replace('\'', "'\\''")));
        assert!(printed.contains(told), "{script}: {printed}");
        assert_eq!(found, left, "{script}: {printed}");
    }
}

fn the_callers_files_keep_their_attributes() {
    for (script, told) in [
        ("chmod 777 /dev/stdin", "Operation not permitted"),
        ("chown 1:1 /dev/stdin", "Operation not permitted"),
        ("python3 -c \"import os; os.fchmod(0, 0o777)\"", "Operation not permitted"),
        ("python3 -c \"import os; os.setxattr(0, b\\\"user.x\\\", b\\\"y\\\")\"", "PermissionError"),
        ("echo x > /dev/stdin", "Permission denied"),
        ("cat < /dev/stdout", "Permission denied"),
        ("cat /dev/stdin/in", "Not a directory"),
    ] {
        let line = format!("run sh -c '{script}' < in > out; stat -c '%a %u' in >> out; cat out");
        let (printed, _) = inside(&line);
        assert!(printed.contains(told), "{script}: {printed}");
        let native = inside("run sh -c : < in > out; stat -c '%a %u' in >> out; cat out").0;
        assert!(
            printed.ends_with(&native) || printed.contains(native.trim()),
            "{script}: {printed} {native}"
        );
    }
    let (printed, _) = inside("run cat /dev/stdin/in < .");
    assert!(printed.contains("Permission denied"), "{printed}");
}
