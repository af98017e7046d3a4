//! Images: a directory is a root file system of its own, and no image is ever written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Test, assert_code, run, run_script};

pub(crate) const TESTS: &[Test] = &[
    ("images::directory_is_a_root_file_system", directory_is_a_root_file_system),
    ("images::directory_is_never_written", directory_is_never_written),
    ("images::host_root_is_never_written", host_root_is_never_written),
    ("images::links_do_not_lead_out_of_the_image", links_do_not_lead_out_of_the_image),
    ("images::empty_directory_has_no_shell", empty_directory_has_no_shell),
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
