//! Images: a directory is a root file system of its own, and no image is ever written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use guest_tests::bounded::{self, Finished};

use crate::{TIMEOUT, Test, assert_code, run, run_script, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("images::directory_is_a_root_file_system", directory_is_a_root_file_system),
    ("images::directory_is_never_written", directory_is_never_written),
    ("images::host_root_is_never_written", host_root_is_never_written),
    ("images::links_do_not_lead_out_of_the_image", links_do_not_lead_out_of_the_image),
    ("images::empty_directory_has_no_shell", empty_directory_has_no_shell),
    ("images::a_file_cut_while_mapped_is_a_bus_error_of_one", a_file_cut_while_mapped_is_a_bus_error_of_one),
    ("images::a_file_is_the_same_by_all_ways_to_it", a_file_is_the_same_by_all_ways_to_it),
];

/// Copies programs and the libraries that they need into a new root file system.
pub(crate) fn build_root(programs: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for directory in ["bin", "etc", "tmp", "proc", "dev"] {
        fs::create_dir(root.path().join(directory)).expect("mkdir");
    }
    for program in programs {
        let path = guest_tests::check::tool(program);
        copy_into(root.path(), &path, &Path::new("/bin").join(program));
        let libraries = Command::new("ldd").arg(&path).output().expect("ldd");
        let libraries = String::from_utf8_lossy(&libraries.stdout).into_owned();
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            copy_into(root.path(), Path::new(library), Path::new(library));
        }
    }
    fs::write(root.path().join("etc/marker"), "of the image\n").expect("write");
    root
}

/// Copies one file to its place below the root.
fn copy_into(root: &Path, source: &Path, place: &Path) {
    let target = root.join(place.strip_prefix("/").expect("an absolute path"));
    fs::create_dir_all(target.parent().expect("a directory")).expect("mkdir");
    fs::copy(source, target).expect("copy");
}

/// Every path below a directory with what must not change: mode, size, times, content of small files.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, (u32, u64, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path).expect("lstat");
        if metadata.is_dir() {
            pending.extend(fs::read_dir(&path).expect("list").map(|entry| entry.expect("entry").path()));
        }
        let is_small = metadata.is_file() && metadata.len() < 10_000;
        let content = if is_small { fs::read(&path).expect("read") } else { Vec::new() };
        let value = (metadata.mode(), metadata.len(), metadata.mtime(), metadata.ctime_nsec(), content);
        found.insert(path, value);
    }
    found
}

fn directory_is_a_root_file_system() {
    let root = build_root(&["sh", "cat", "ls"]);
    let image = root.path().to_string_lossy().into_owned();
    let script = "cat /etc/marker; ls /; cat /proc/self/comm; echo x > /dev/null; test -e /usr/bin/perl || echo no perl";
    let finished = run(&["--image", &image], &["/bin/sh", "-c", script]);
    assert_code(&finished, 0);
    assert!(finished.stdout.starts_with("of the image\nbin\n"), "{}", finished.describe());
    assert!(finished.stdout.ends_with("cat\nno perl\n"), "{}", finished.describe());
}

fn directory_is_never_written() {
    let root = build_root(&["sh", "cat", "rm", "mkdir", "mv", "chmod", "ln", "touch"]);
    let image = root.path().to_string_lossy().into_owned();
    fs::create_dir(root.path().join("etc/sub")).expect("mkdir");
    fs::write(root.path().join("etc/sub/file"), "kept\n").expect("write");
    let before = snapshot(root.path());
    let script = "set -e; echo changed > /etc/marker; echo more >> /etc/sub/file; cat /etc/marker /etc/sub/file
        rm /bin/ln; mkdir /new; echo x > /new/file; mv /etc/sub /etc/renamed; cat /etc/renamed/file; chmod 000 /bin/cat
        touch /bin/sh; rm -r /etc/renamed; test ! -e /etc/sub; test ! -e /bin/ln; test -e /new/file; echo done";
    let finished = run(&["--image", &image], &["/bin/sh", "-c", script]);
    assert_code(&finished, 0);
    assert_eq!(finished.stdout, "changed\nkept\nmore\nkept\nmore\ndone\n", "{}", finished.describe());
    assert!(snapshot(root.path()) == before, "the image has changed");
    // The next run sees the image as it was.
    let finished = run(&["--image", &image], &["/bin/sh", "-c", "cat /etc/marker /etc/sub/file"]);
    assert_eq!(finished.stdout, "of the image\nkept\n", "{}", finished.describe());
}

fn host_root_is_never_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, "host\n").expect("write");
    let before = snapshot(directory.path());
    let path = directory.path().display();
    let script = format!(
        "set -e; cd {path}; echo guest > file; mkdir d; echo x > d/new; cat file; rm -r {path}; test ! -e {path}"
    );
    let finished = run_script(&[], &script);
    assert_code(&finished, 0);
    assert_eq!(finished.stdout, "guest\n");
    assert!(snapshot(directory.path()) == before, "the host's directory has changed");
}

fn links_do_not_lead_out_of_the_image() {
    let root = build_root(&["sh", "cat"]);
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("secret"), "secret of the host\n").expect("write");
    let secret = outside.path().join("secret");
    symlink(&secret, root.path().join("absolute")).expect("symlink");
    symlink(
        Path::new("../../../../../../../..").join(secret.strip_prefix("/").expect("absolute")),
        root.path().join("relative"),
    )
    .expect("symlink");
    let image = root.path().to_string_lossy().into_owned();
    let script = format!(
        "cat /absolute /relative /..{0} /proc/self/root{0} /proc/1/root{0}; cat /etc/marker",
        secret.display()
    );
    let finished = run(&["--image", &image], &["/bin/sh", "-c", &script]);
    assert_eq!(finished.stdout, "of the image\n", "{}", finished.describe());
}

fn empty_directory_has_no_shell() {
    let root = tempfile::tempdir().expect("a directory");
    let finished = run(&["--image", &root.path().to_string_lossy()], &[]);
    assert_code(&finished, 127);
    assert!(finished.stderr.contains("/bin/sh"), "{}", finished.describe());
}

/// Where a static busybox is, if this machine has one (Debian's package busybox-static).
pub(crate) fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.exists())
}

/// The directory that holds a Debian root file system, if `PALISADE_DEBIAN_ROOT` names one (scripts/debian-rootfs makes it).
pub(crate) fn debian_root() -> Option<PathBuf> {
    std::env::var_os("PALISADE_DEBIAN_ROOT").map(PathBuf::from)
}

/// Debian's shell, interpreters, compiler and tools run on their own root file system.
pub(crate) fn debian_root_file_system_runs_its_programs(root: PathBuf) {
    let script = "set -e; cd $(mktemp -d); . /etc/os-release; echo $ID
        python3 -c 'import asyncio, json, sqlite3, subprocess; print(subprocess.check_output([\"uname\"]))'
        perl -e 'print 6 * 7, qq(\\n)'
        printf '#include <stdio.h>\\nint main(void) { puts(\"compiled\"); }' > a.c; make -s a; ./a
        find /etc -maxdepth 1 -name passwd | xargs grep -c ^root: ; seq 9 | gawk '{ s += $1 } END { print s }'
        tar cz -C /etc passwd | tar tz; ps -o comm= -p $$; dpkg --audit; su nobody -s /bin/sh -c 'id -un'";
    let finished = run(&["--image", &root.to_string_lossy()], &["/bin/bash", "-c", script]);
    assert_code(&finished, 0);
    let expected = "debian\nb'Linux\\n'\n42\ncompiled\n1\n45\npasswd\nbash\nnobody\n";
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
}

/// A root file system of busybox alone runs the shell script of a hundred lines with ash.
pub(crate) fn busybox_root_file_system_runs_ash(busybox: PathBuf) {
    let root = tempfile::tempdir().expect("a directory");
    copy_into(root.path(), &busybox, Path::new("/bin/busybox"));
    for applet in ["sh", "cat", "mktemp", "wc", "rm", "printf", "env"] {
        symlink("busybox", root.path().join("bin").join(applet)).expect("symlink");
    }
    fs::create_dir(root.path().join("tmp")).expect("mkdir");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/sh/ash_hundred_lines.sh");
    fs::copy(script, root.path().join("script")).expect("copy");
    let native = Command::new(&busybox).args(["sh", script]).output().expect("busybox");
    let finished = run(&["--image", &root.path().to_string_lossy()], &["/bin/sh", "/script"]);
    assert_code(&finished, 0);
    assert_eq!(finished.stdout, String::from_utf8_lossy(&native.stdout), "{}", finished.describe());
}

/// Runs Python in the image `/`, and cuts a file of the image of 1 MiB to 100 bytes when the program has made `ready` in the
/// volume `/flags`.
fn cut_file_under(program: &str) -> Finished {
    let directory = tempfile::tempdir().expect("a directory");
    let flags = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, vec![b'.'; 1 << 20]).expect("write");
    let option = format!("{}:/flags", flags.path().display());
    let options = ["--image", "/", "--volume", &option];
    let path = file.display().to_string();
    let mut command = vmm_command(&options, &["/usr/bin/python3", "-c", program, &path]);
    let mut running = bounded::start(&mut command).expect("vmm starts");
    assert!(running.prints_within("ready\n", TIMEOUT).expect("output"));
    fs::OpenOptions::new().write(true).open(&file).expect("open").set_len(100).expect("truncate");
    fs::write(flags.path().join("cut"), "").expect("write");
    running.finish(TIMEOUT).expect("end")
}

fn a_file_cut_while_mapped_is_a_bus_error_of_one() {
    let program = "import mmap, os, sys, time
def child(work):
    pid = os.fork()
    if pid == 0:
        work(); os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
f = open(sys.argv[1], 'rb')
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
c = mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE)
print(m[0], m[900000], c[800000], os.fstat(f.fileno()).st_size, flush=True)
print('ready', flush=True)
while not os.path.exists('/flags/cut'): time.sleep(0.02)
def write_lost():
    try: os.write(1, memoryview(m)[500000:500010])
    except OSError as error: print(error.strerror, flush=True)
def change_lost(): c[800000] = 1
print(child(write_lost), child(change_lost), child(lambda: m[900000]), child(lambda: m[300000]), child(lambda: m[50]))
print(m[0], os.fstat(f.fileno()).st_size, len(f.read()), flush=True)
m[900000]";
    let finished = cut_file_under(program);
    let expected = "46 46 46 1048576\nready\nBad address\n0 -7 -7 -7 0\n46 100 100\n";
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
    assert_code(&finished, 128 + 7);
}

/// What is mapped of a file of the image is the host's until it is changed, and what is changed is seen by all who map or read it.
fn a_file_is_the_same_by_all_ways_to_it() {
    let root = build_root(&["sh"]);
    let text: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    fs::write(root.path().join("etc/file"), &text).expect("write");
    let before = snapshot(root.path());
    let path = root.path().join("etc/file").display().to_string();
    let program = "import mmap, os, sys
def expected(n): return n % 251
f = os.open(sys.argv[1], os.O_RDWR)
size = os.fstat(f).st_size
shared = mmap.mmap(f, 0, prot=mmap.PROT_READ)
private = mmap.mmap(f, 0, flags=mmap.MAP_PRIVATE)
places = range(0, size, 5000)
assert all(m[n] == expected(n) for m in [shared, private] for n in places)
private[10] = 255
assert shared[10] == expected(10) and os.pread(f, 1, 10)[0] == expected(10)
os.pwrite(f, bytes([254]), 2000000)
assert shared[2000000] == private[2000000] == 254 and private[10] == 255
writable = mmap.mmap(f, 0)
writable[2999999] = 253
assert shared[2999999] == private[2999999] == os.pread(f, 1, 2999999)[0] == 253
if os.fork() == 0:
    writable[20000] = 252
    os._exit(0)
os.wait()
assert shared[20000] == 252
os.ftruncate(f, 100000)
os.ftruncate(f, size)
assert shared[99999] == expected(99999) and shared[100000] == shared[2999999] == 0
print('the same')";
    let finished = run(&["--image", "/"], &["/usr/bin/python3", "-c", program, &path]);
    assert_eq!(finished.stdout, "the same\n", "{}", finished.describe());
    assert!(snapshot(root.path()) == before, "the host's file has changed");
    assert!(fs::read(root.path().join("etc/file")).expect("read") == text, "the host's file has changed");
}
