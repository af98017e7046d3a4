//! Volumes: files of the host that the guest and others share, and nothing besides them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use guest_tests::bounded::{self, Finished};
use guest_tests::program::{self, Program};
use guest_tests::vmm;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::{TIMEOUT, Test, assert_code, assert_one_line, run, run_script, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("volumes::guest_programs_find_linux_on_a_volume", guest_programs_find_linux_on_a_volume),
    (
        "volumes::a_script_does_on_a_volume_what_it_does_natively",
        a_script_does_on_a_volume_what_it_does_natively,
    ),
    ("volumes::changes_show_on_both_sides_at_once", changes_show_on_both_sides_at_once),
    ("volumes::a_read_only_volume_is_not_written", a_read_only_volume_is_not_written),
    ("volumes::a_file_is_a_volume_too", a_file_is_a_volume_too),
    ("volumes::links_lead_nowhere_outside", links_lead_nowhere_outside),
    ("volumes::no_race_leads_outside", no_race_leads_outside),
    ("volumes::a_directory_that_is_moved_out_leads_nowhere", a_directory_that_is_moved_out_leads_nowhere),
    ("volumes::locks_hold_on_both_sides", locks_hold_on_both_sides),
    ("volumes::mappings_meet_in_the_file", mappings_meet_in_the_file),
    ("volumes::a_file_cut_while_mapped_is_a_bus_error_of_one", a_file_cut_while_mapped_is_a_bus_error_of_one),
    ("volumes::a_volume_that_vanishes_ends_nobody", a_volume_that_vanishes_ends_nobody),
    ("volumes::a_full_disk_is_the_program_s_error", a_full_disk_is_the_program_s_error),
    ("volumes::host_devices_are_not_the_guest_s", host_devices_are_not_the_guest_s),
    ("volumes::owners_change_places", owners_change_places),
    ("volumes::memory_has_its_size", memory_has_its_size),
    ("volumes::a_read_only_root_leaves_volumes_writable", a_read_only_root_leaves_volumes_writable),
    ("volumes::what_cannot_be_mounted_is_named", what_cannot_be_mounted_is_named),
];

/// The programs that live in their scratch directory alone.
const PROGRAMS: [&str; 12] = [
    "fifo_states",
    "files_copy",
    "files_locks",
    "files_names",
    "files_open",
    "files_status",
    "mmap_files",
    "python_inotify",
    "sh_coreutils",
    "text_file_busy",
    "transfers",
    "unix_sockets",
];

/// A directory for a volume, and what its option is to be mounted at `target`.
fn volume(target: &str, options: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let option = format!("{}:{target}{options}", directory.path().display());
    (directory, option)
}

/// Runs a shell script inside, with these volumes.
fn run_with(volumes: &[&str], script: &str) -> Finished {
    let options: Vec<&str> = volumes.iter().flat_map(|volume| ["--volume", volume]).collect();
    run_script(&options, script)
}

/// Runs a shell script on the host, in `directory`.
fn run_natively(directory: &Path, script: &str) -> Finished {
    let mut command = Command::new("/bin/sh");
    bounded::run(command.args(["-c", script]).current_dir(directory), TIMEOUT).expect("sh starts")
}

/// Programs that pass on this Linux pass when what they take for /tmp is a volume.
fn guest_programs_find_linux_on_a_volume() {
    let programs = program::discover().expect("programs");
    let build_directory = vmm::profile_directory().expect("a profile").join("guest-programs");
    for name in PROGRAMS {
        let program = programs.iter().find(|program| program.name() == name).expect(name);
        let words = program.words(Path::new(env!("CARGO_BIN_EXE_guest")), &build_directory).expect(name);
        run_program(program, &words);
    }
}

fn run_program(program: &Program, words: &[PathBuf]) {
    let (directory, option) = volume("/tmp", "");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).expect("chmod");
    let words: Vec<&str> = words.iter().map(|word| word.to_str().expect("text")).collect();
    let mut command = vmm_command(&["--image", "/", "--volume", &option], &words);
    let finished = bounded::run(&mut command, program.timeout()).expect("vmm starts");
    assert_code(&finished, 0);
}

/// Everything that a script can see of files, then the tree that it leaves.
fn a_script_does_on_a_volume_what_it_does_natively() {
    let script = "umask 022; export LC_ALL=C TZ=UTC
        mkdir -p a/b/c; echo one > a/one; printf two >> a/one; ln a/one a/b/linked; ln -s ../one a/b/soft
        readlink a/b/soft; cat a/b/soft; mv a/b/c a/d; mkfifo a/pipe; touch -d '2001-02-03 04:05:06.789' a/old
        chmod 4751 a/one; chmod 1777 a/d; truncate -s 100000 a/sparse; stat -c '%n %a %h %s %F' a a/* | sort
        stat -c %y a/old; cp -a a copy; rm a/b/linked; rmdir a/b 2>&1; rm -r copy/b; mv -n a/old a/one; ls -l a/old | wc -l
        exec 3<>gone; rm gone; echo through >&3; cat /dev/fd/3 | wc -c
        mv --exchange a/old a/one 2>/dev/null || mv a/old a/older; ls a copy; cat a/missing 2>&1 | sed 's/.*: //'
        echo overwrite > a/one 2>&1; tar cf - a | tar xf - -C copy; find . -type f | sort | xargs cksum; ls -d .*";
    let (inside, option) = volume("/work", "");
    let native = tempfile::tempdir().expect("a directory");
    for directory in [inside.path(), native.path()] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("chmod");
    }
    let expected = run_natively(native.path(), script);
    let found = run_with(&[&option], &format!("cd /work; {script}"));
    assert_eq!(found.stdout, expected.stdout, "{}", found.describe());
    let tree = "find . -printf '%P %y %m %U %G %n %s %l\\n' | grep -v '^ d' | sort";
    assert_eq!(run_natively(inside.path(), tree).stdout, run_natively(native.path(), tree).stdout);
}

/// Each side looks for what the other has done, in turns.
fn changes_show_on_both_sides_at_once() {
    let (directory, option) = volume("/v", "");
    let path = |name: &str| directory.path().join(name);
    fs::write(path("shared"), "host 1\n").expect("write");
    let script = "await() { while ! test -e /v/$1; do sleep 0.02; done; }
        exec 3</v/shared; cat <&3; test -e /v/new && echo early; echo guest > /v/answer; touch /v/ready
        await go; cat <&3; cat /v/shared /v/new; stat -c %s /v/shared; test -e /v/answer || echo gone; ls /v | tr '\\n' ' '";
    let mut command = vmm_command(&["--image", "/", "--volume", &option], &["/bin/sh", "-c", script]);
    let mut running = bounded::start(&mut command).expect("vmm starts");
    await_file(&mut running, &path("ready"));
    assert_eq!(fs::read_to_string(path("answer")).expect("read"), "guest\n");
    fs::write(path("shared"), "host 1\nhost 22\n").expect("write");
    fs::write(path("new"), "new\n").expect("write");
    fs::remove_file(path("answer")).expect("remove");
    fs::write(path("go"), "").expect("write");
    let finished = running.finish(TIMEOUT).expect("end");
    let expected = "host 1\nhost 22\nhost 1\nhost 22\nnew\n15\ngone\ngo new ready shared ";
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
}

fn await_file(running: &mut bounded::Running, path: &Path) {
    let deadline = std::time::Instant::now() + TIMEOUT;
    while !path.exists() {
        let so_far = running.stdout_so_far().expect("output");
        assert!(std::time::Instant::now() < deadline, "{} never appears: {so_far}", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn a_read_only_volume_is_not_written() {
    let (directory, option) = volume("/v", ":ro");
    fs::write(directory.path().join("file"), "kept").expect("write");
    let script = "cat /v/file; for what in 'echo x > /v/file' 'echo x > /v/new' 'rm /v/file' 'mkdir /v/d' \\
        'chmod 0 /v/file' 'touch /v/file' 'ln /v/file /v/l' 'mv /v/file /v/m' 'truncate -s0 /v/file' \\
        'mount -o remount,bind,rw /v 2>/dev/null; echo x > /v/file'; do
        (eval \"$what\") 2>/dev/null && echo \"done: $what\"; done; (echo > /v/new) 2>&1 | sed 's/.*: //'";
    let finished = run_with(&[&option], script);
    assert_eq!(finished.stdout, "keptRead-only file system\n", "{}", finished.describe());
    assert_eq!(fs::read_to_string(directory.path().join("file")).expect("read"), "kept");
    assert_eq!(fs::read_dir(directory.path()).expect("list").count(), 1);
}

fn a_file_is_a_volume_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("settings");
    fs::write(&file, "before\n").expect("write");
    let option = format!("{}:/deep/down/settings", file.display());
    let script = "cat /deep/down/settings; echo after > /deep/down/settings; echo more >> /deep/down/settings
        ls /deep/down; rm /deep/down/settings 2>&1 | sed 's/.*: //'";
    let finished = run_with(&[&option], script);
    assert_eq!(finished.stdout, "before\nsettings\nDevice or resource busy\n", "{}", finished.describe());
    assert_eq!(fs::read_to_string(&file).expect("read"), "after\nmore\n");
}

/// A directory with a secret beside a volume.
fn with_secret() -> (TempDir, PathBuf, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let volume = directory.path().join("volume");
    fs::create_dir(&volume).expect("mkdir");
    fs::create_dir(directory.path().join("outside")).expect("mkdir");
    fs::write(directory.path().join("outside/secret"), "SECRET").expect("write");
    let option = format!("{}:/v", volume.display());
    (directory, volume, option)
}

fn links_lead_nowhere_outside() {
    let (_directory, volume, option) = with_secret();
    symlink("../outside/secret", volume.join("file")).expect("symlink");
    symlink("../outside", volume.join("directory")).expect("symlink");
    let script = "cd /v; for path in file directory/secret ../outside/secret; do cat $path; done
        echo x > directory/new; echo x > file; cd /v/../outside && cat secret; ln -s ../outside mine && cat mine/secret; ls /v/..";
    let finished = run_with(&[&option], script);
    assert!(!finished.stdout.contains("SECRET"), "{}", finished.describe());
    let outside = volume.parent().expect("a parent").join("outside");
    assert_eq!(fs::read_to_string(outside.join("secret")).expect("read"), "SECRET");
    assert_eq!(fs::read_dir(outside).expect("list").count(), 1);
}

/// The host swaps a directory for a link to the outside, and renames a parent there and back, while the guest looks and writes.
fn no_race_leads_outside() {
    let (directory, volume, option) = with_secret();
    fs::create_dir_all(volume.join("d/deep")).expect("mkdir");
    fs::write(volume.join("d/secret"), "fine").expect("write");
    fs::write(volume.join("d/deep/mark"), "fine").expect("write");
    symlink("../outside", volume.join("link")).expect("symlink");
    let script = "cd /v/d/deep; touch /v/ready; i=0; while test $i -lt 120; do i=$((i+1))
        cat /v/d/secret ../secret ../../d/secret 2>/dev/null; echo x > /v/d/new; rm -f /v/d/new; ls /v/d/; done; echo end";
    let is_done = AtomicBool::new(false);
    let finished = std::thread::scope(|scope| {
        scope.spawn(|| {
            let rename = |from: &Path, to: &Path| drop(fs::rename(from, to));
            let pause = || std::thread::sleep(Duration::from_millis(1));
            while !volume.join("ready").exists() && !is_done.load(Ordering::Relaxed) {
                pause();
            }
            while !is_done.load(Ordering::Relaxed) {
                let (inside, aside) = (volume.join("d"), volume.join("aside"));
                rename(&inside, &aside);
                rename(&volume.join("link"), &inside);
                pause();
                rename(&inside, &volume.join("link"));
                rename(&aside, &inside);
                let moved = directory.path().join("outside/deep");
                rename(&inside.join("deep"), &moved);
                rename(&moved, &inside.join("deep"));
                pause();
            }
        });
        let finished = run_with(&[&option], script);
        is_done.store(true, Ordering::Relaxed);
        finished
    });
    assert!(finished.stdout.ends_with("end\n"), "{}", finished.describe());
    assert!(!finished.stdout.contains("SECRET"), "{}", finished.describe());
    assert!(finished.stdout.contains("fine"), "{}", finished.describe());
    assert!(!directory.path().join("outside/new").exists());
}

fn a_directory_that_is_moved_out_leads_nowhere() {
    let (directory, volume, option) = with_secret();
    fs::create_dir_all(volume.join("d/deep")).expect("mkdir");
    let script = "cd /v/d/deep; touch /v/ready; while ! test -e /v/go; do sleep 0.02; done
        cat ../secret ../../secret ../../../outside/secret; cd ..; cat secret; ls; echo end";
    let mut command = vmm_command(&["--image", "/", "--volume", &option], &["/bin/sh", "-c", script]);
    let mut running = bounded::start(&mut command).expect("vmm starts");
    await_file(&mut running, &volume.join("ready"));
    fs::rename(volume.join("d/deep"), directory.path().join("outside/deep")).expect("rename");
    fs::write(volume.join("go"), "").expect("write");
    let finished = running.finish(TIMEOUT).expect("end");
    assert!(finished.stdout.ends_with("end\n"), "{}", finished.describe());
    assert!(
        !finished.stdout.contains("SECRET") && !finished.stdout.contains("secret"),
        "{}",
        finished.describe()
    );
}

fn locks_hold_on_both_sides() {
    let (directory, option) = volume("/v", "");
    let path = |name: &str| directory.path().join(name);
    let file = fs::File::create(path("lock")).expect("create");
    flock(&file, FlockOperation::LockExclusive).expect("lock");
    let script = "await() { while ! test -e /v/$1; do sleep 0.02; done; }
        exec 3<>/v/lock; flock -n 3 || echo taken; touch /v/tried; flock 3; echo mine; touch /v/held; await asked
        flock -u 3; touch /v/released; await end
        python3 -c 'import fcntl; f = open(\"/v/record\", \"r+\")
try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
except OSError: print(\"range taken\")
fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0); print(\"range free\")'";
    let mut command = vmm_command(&["--image", "/", "--volume", &option], &["/bin/bash", "-c", script]);
    let mut running = bounded::start(&mut command).expect("vmm starts");
    await_file(&mut running, &path("tried"));
    flock(&file, FlockOperation::Unlock).expect("unlock");
    await_file(&mut running, &path("held"));
    assert!(flock(&file, FlockOperation::NonBlockingLockShared).is_err(), "the guest holds it");
    fs::write(path("asked"), "").expect("write");
    await_file(&mut running, &path("released"));
    flock(&file, FlockOperation::NonBlockingLockExclusive).expect("the guest has released it");
    fs::write(path("record"), "0123456789").expect("write");
    let mut holder = Command::new("/usr/bin/python3");
    let hold = "import fcntl,sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_SH, 5, 5)
open(sys.argv[2], 'w').close(); sys.stdin.read()";
    let holder = holder.args(["-c", hold]).arg(path("record")).arg(path("end"));
    let mut holder = holder.stdin(std::process::Stdio::piped()).spawn().expect("python starts");
    let finished = running.finish(TIMEOUT).expect("end");
    drop(holder.stdin.take());
    holder.wait().expect("python ends");
    assert_eq!(finished.stdout, "taken\nmine\nrange taken\nrange free\n", "{}", finished.describe());
}

/// Two sandboxes and the host map one file; each hears of the others' changes when these are synchronised.
fn mappings_meet_in_the_file() {
    let (directory, option) = volume("/v", "");
    let path = |name: &str| directory.path().join(name);
    fs::write(path("file"), vec![b'.'; 3 * 4096]).expect("write");
    let python = |body: &str| {
        format!(
            "python3 -c 'import mmap,os,time
def await_file(name):
    while not os.path.exists(\"/v/\" + name): time.sleep(0.02)
def tell(name): open(\"/v/\" + name, \"w\").close()
f = open(\"/v/file\", \"r+b\"); m = mmap.mmap(f.fileno(), 0); {body}'"
        )
    };
    let writer = python(
        "m[5000:5004] = b\"abcd\"; m.flush(); tell(\"written\"); await_file(\"answered\"); m.flush(); print(m[8192:8194])",
    );
    let reader = python(
        "print(m[5000]); tell(\"mapped\"); await_file(\"written\"); m.flush(); print(m[5000:5004]); m[8192:8194] = b\"xy\"; del m; f.close(); tell(\"answered\")",
    );
    let start = |script: &str| {
        let mut command = vmm_command(&["--image", "/", "--volume", &option], &["/bin/sh", "-c", script]);
        bounded::start(&mut command).expect("vmm starts")
    };
    let mut reading = start(&reader);
    await_file(&mut reading, &path("mapped"));
    let mut writing = start(&writer);
    await_file(&mut writing, &path("written"));
    assert_eq!(fs::read(path("file")).expect("read").get(5000..5004), Some(&b"abcd"[..]));
    let (read, written) = (reading.finish(TIMEOUT).expect("end"), writing.finish(TIMEOUT).expect("end"));
    assert_eq!(read.stdout, "46\nb'abcd'\n", "{}", read.describe());
    assert_eq!(written.stdout, "b'xy'\n", "{}", written.describe());
    assert_eq!(fs::read(path("file")).expect("read").get(8192..8194), Some(&b"xy"[..]));
}

fn a_file_cut_while_mapped_is_a_bus_error_of_one() {
    let (directory, option) = volume("/v", "");
    let path = |name: &str| directory.path().join(name);
    fs::write(path("file"), vec![b'.'; 1 << 20]).expect("write");
    let script = "python3 -c 'import mmap,os,time
f = open(\"/v/file\", \"r+b\"); m = mmap.mmap(f.fileno(), 0); print(m[0]); open(\"/v/mapped\", \"w\").close()
while not os.path.exists(\"/v/cut\"): time.sleep(0.02)
print(m[0], flush=True); print(m[900000])'; echo status $?; cat /v/file | wc -c";
    let mut command = vmm_command(&["--image", "/", "--volume", &option], &["/bin/sh", "-c", script]);
    let mut running = bounded::start(&mut command).expect("vmm starts");
    await_file(&mut running, &path("mapped"));
    fs::OpenOptions::new().write(true).open(path("file")).expect("open").set_len(100).expect("truncate");
    fs::write(path("cut"), "").expect("write");
    let finished = running.finish(TIMEOUT).expect("end");
    assert_eq!(finished.stdout, "46\n46\nstatus 135\n100\n", "{}", finished.describe());
}

fn a_volume_that_vanishes_ends_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let volume = directory.path().join("volume");
    fs::create_dir_all(volume.join("d")).expect("mkdir");
    fs::write(volume.join("file"), "kept").expect("write");
    let option = format!("{}:/v", volume.display());
    let flag = format!("{}:/flag", directory.path().display());
    let script = "exec 3</v/file; cd /v/d; touch /flag/ready; while ! test -e /flag/go; do sleep 0.02; done
        cat <&3; echo; ls /v | wc -l; ls . | wc -l; (echo > /v/new) 2>&1 | sed 's/.*: //'; cat /v/file 2>&1 | sed 's/.*: //'
        stat -c %h /v; echo end";
    let options = ["--image", "/", "--volume", &option, "--volume", &flag];
    let mut running =
        bounded::start(&mut vmm_command(&options, &["/bin/sh", "-c", script])).expect("vmm starts");
    await_file(&mut running, &directory.path().join("ready"));
    fs::remove_dir_all(&volume).expect("remove");
    fs::write(directory.path().join("go"), "").expect("write");
    let finished = running.finish(TIMEOUT).expect("end");
    let missing = "No such file or directory\n";
    let expected = format!("kept\n0\n0\nDirectory nonexistent\n{missing}0\nend\n");
    let lines =
        finished.stdout.replace("sh: 1: cannot create /v/new: ", "").replace(missing.trim_end(), "gone");
    let expected = expected.replace("Directory nonexistent", "gone").replace(missing.trim_end(), "gone");
    assert_eq!(lines.replace("Directory nonexistent", "gone"), expected, "{}", finished.describe());
}

/// By a limit of the caller's, and by a file system that is full.
fn a_full_disk_is_the_program_s_error() {
    let (directory, option) = volume("/v", "");
    let binary = vmm::binary().expect("vmm").display().to_string();
    let write = "dd if=/dev/zero of=$f bs=4096 count=600 2>&1 | grep -Eo \"File too large|No space left on device\"; stat -c %s $f";
    let limited = format!("trap \"\" XFSZ; ulimit -f 1000; {write}");
    let inside =
        format!("ulimit -f 1000; {binary} --image / -v {option} -- /bin/bash -c 'f=/v/file; {limited}'");
    let finished = run_natively(directory.path(), &inside);
    let native = run_natively(directory.path(), &format!("f=file; {}", limited.replace("\\\"", "\"")));
    assert_eq!(finished.stdout, native.stdout, "{}", finished.describe());
    assert!(native.stdout.starts_with("File too large\n"), "{}", native.describe());
    let full = format!(
        "mount -t tmpfs -o size=1m none {0} && {binary} --image / -v {option} -- /bin/sh -c 'f=/v/file; {write}; df --output=avail /v | tail -1'",
        directory.path().display()
    );
    let mut command = Command::new("/usr/bin/unshare");
    let finished =
        bounded::run(command.args(["--mount", "/bin/sh", "-c", &full]), TIMEOUT).expect("unshare starts");
    let lines: Vec<&str> = finished.stdout.split_whitespace().collect();
    assert_eq!(lines.join(" "), "No space left on device 1048576 0", "{}", finished.describe());
}

fn host_devices_are_not_the_guest_s() {
    let (directory, option) = volume("/v", "");
    let made = run_natively(directory.path(), "mknod null c 1 3 && mknod disk b 8 0 && mkfifo pipe");
    assert_code(&made, 0);
    let script = "ls /v; (echo x > /v/null) 2>&1 | sed 's/.*: //'; (cat /v/disk) 2>&1 | sed 's/.*: //'
        mknod /v/mine c 1 3 2>&1 | sed 's/.*: //'; (echo through > /v/pipe &) ; cat /v/pipe";
    let finished = run_with(&[&option], script);
    let denied = "Permission denied\n";
    let expected = format!("disk\nnull\npipe\n{denied}{denied}Operation not permitted\nthrough\n");
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
}

fn owners_change_places() {
    let (directory, option) = volume("/v", ":map");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::write(directory.path().join("file"), "mine").expect("write");
    let options = ["--image", "/", "--user", "1234:5678", "--volume", &option];
    let script = "stat -c '%u:%g' /v/file; echo more >> /v/file; touch /v/new; stat -c '%u:%g' /v/new; id -u";
    let finished = run(&options, &["/bin/sh", "-c", script]);
    assert_eq!(finished.stdout, "1234:5678\n1234:5678\n1234\n", "{}", finished.describe());
    let (own, new) =
        (fs::metadata(directory.path()).expect("stat"), fs::metadata(directory.path().join("new")));
    assert_eq!(new.expect("stat").uid(), own.uid());
}

fn memory_has_its_size() {
    let script = "dd if=/dev/zero of=/data/cache/file bs=64k count=64 2>/dev/null; stat -c %s /data/cache/file; stat -c %a /data/cache
        grep ' /data/cache ' /proc/mounts | cut -d' ' -f1-3; (echo > /frozen/x) 2>&1 | sed 's/.*: //'";
    let options =
        ["--tmpfs", "/data/cache:size=1M,mode=750", "--mount", "type=tmpfs,target=/frozen,readonly"];
    let finished = run_script(&options, script);
    let expected = "1048576\n750\ntmpfs /data/cache tmpfs\nRead-only file system\n";
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
}

fn a_read_only_root_leaves_volumes_writable() {
    let (directory, option) = volume("/v", "");
    let script =
        "for path in /new /tmp/new /etc/passwd; do (echo x >> $path) 2>/dev/null && echo wrote $path; done
        echo x > /v/new && echo x > /dev/shm/new && echo x > /dev/null && echo fine";
    let finished = run_script(&["--read-only", "--volume", &option], script);
    assert_eq!(finished.stdout, "fine\n", "{}", finished.describe());
    assert!(directory.path().join("new").exists());
}

fn what_cannot_be_mounted_is_named() {
    for (options, words) in [
        (["--volume", "/nonesuch:/v"], ["/nonesuch", "does not exist"]),
        (["--volume", "/proc:/v"], ["/proc", "kernel"]),
        (["--volume", "/dev/null:/v"], ["/dev/null", "neither a directory"]),
        (["--volume", "/tmp:/etc/passwd"], ["/etc/passwd", "must be a directory"]),
    ] {
        assert_one_line(&run_script(&options, "true"), &[125], &words);
    }
    for option in ["--volume=/tmp", "--volume=/tmp:v", "--tmpfs=/t:size=x", "--mount=type=disk,target=/v"] {
        let finished = run_script(&[option], "true");
        assert_code(&finished, 125);
        assert!(finished.stderr.contains("invalid value"), "{}", finished.describe());
    }
}
