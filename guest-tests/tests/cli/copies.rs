//! `vmm cp`: files and trees between a running sandbox and the host.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use guest_tests::bounded::{self, Finished};

use crate::exec::Sandbox;
use crate::{TIMEOUT, Test, assert_code, assert_one_line, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("copies::files_and_trees_go_out_and_in", files_and_trees_go_out_and_in),
    ("copies::links_lead_nowhere_else", links_lead_nowhere_else),
    ("copies::what_cannot_be_copied_is_told_and_leaves_nothing", what_cannot_be_copied_is_told),
    ("copies::a_full_disk_leaves_nothing", a_full_disk_leaves_nothing),
];

fn cp(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Finished {
    let mut command = vmm_command(&["cp"], &[]);
    bounded::run(command.arg(from.as_ref()).arg(to.as_ref()), TIMEOUT).expect("vmm starts")
}

fn inside(sandbox: &Sandbox, path: &str) -> String {
    format!("{}:{path}", sandbox.name)
}

/// Everything below `directory` but owners: names, types, modes, times (of links none: they are made anew), contents.
fn tree(directory: &Path) -> String {
    let script = "find . -type l -printf '%P %y %l\\n' -o -printf '%P %y %m %Ts\\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum";
    let output = Command::new("sh").args(["-c", script]).current_dir(directory).output().expect("sh");
    String::from_utf8(output.stdout).expect("text")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

fn files_and_trees_go_out_and_in() {
    let script = "mkdir -p /tmp/out/deep/er; cd /tmp/out; echo one >file; head -c 3000000 /dev/urandom >deep/large; \
        ln -s ../file deep/link; ln -s /nowhere deep/broken; chmod 750 deep; chmod 4711 file; touch -d @1000000000 file deep; \
        long=$(printf %0200d 7); echo long >deep/$long; mkfifo deep/fifo; echo ready; sleep 1000";
    let sandbox = Sandbox::start("copies", &[], script);
    let host = tempfile::tempdir().expect("a directory");
    assert_code(&cp(inside(&sandbox, "/tmp/out/file"), host.path().join("named")), 0);
    assert_eq!(fs::read_to_string(host.path().join("named")).expect("read"), "one\n");
    let mode = fs::metadata(host.path().join("named")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o711, "set-ID bits stay inside");
    assert_code(&cp(inside(&sandbox, "/tmp/out/file"), host.path()), 0);
    assert_code(&cp(inside(&sandbox, "/tmp/out/deep"), host.path()), 0);
    assert_eq!(names(host.path()), ["deep", "file", "named"]);
    let deep = host.path().join("deep");
    assert_eq!(fs::metadata(deep.join("large")).expect("a file").len(), 3_000_000);
    assert_eq!(fs::read_link(deep.join("link")).expect("a link"), Path::new("../file"));
    assert_eq!(names(&deep).len(), 5, "but for the FIFO");
    // And back, beside itself: what goes in is what came out.
    assert_code(&cp(&deep, inside(&sandbox, "/tmp")), 0);
    assert_code(&cp(inside(&sandbox, "/tmp/deep"), host.path().join("again")), 0);
    assert_eq!(tree(&deep), tree(&host.path().join("again")));
    fs::write(host.path().join("new"), "new").expect("write");
    assert_code(&cp(host.path().join("new"), inside(&sandbox, "/tmp/out/file")), 0);
    assert_code(&cp(inside(&sandbox, "/tmp/out/file"), host.path().join("named")), 0);
    assert_eq!(fs::read_to_string(host.path().join("named")).expect("read"), "new", "files are replaced");
}

fn links_lead_nowhere_else() {
    let script = "mkdir /tmp/d; ln -s / /tmp/d/root; ln -s ../../../../../../../../etc /tmp/up; echo inside >/etc/mine; \
        ln -s /etc/mine /tmp/named; echo ready; sleep 1000";
    let sandbox = Sandbox::start("links", &[], script);
    let host = tempfile::tempdir().expect("a directory");
    // Links and `..` of a path are the sandbox's own.
    for path in ["/tmp/up/mine", "/tmp/named", "/../../../etc/mine", "/tmp/d/root/etc/mine"] {
        assert_code(&cp(inside(&sandbox, path), host.path().join("out")), 0);
        assert_eq!(fs::read_to_string(host.path().join("out")).expect("read"), "inside\n", "{path}");
    }
    fs::write(host.path().join("in"), "in").expect("write");
    assert_code(&cp(host.path().join("in"), inside(&sandbox, "/tmp/up/theirs")), 0);
    assert!(
        !Path::new("/etc/theirs").exists() && !Path::new("/etc/mine").exists(),
        "the host's is left alone"
    );
    let finished = cp(inside(&sandbox, "/etc/theirs"), host.path());
    assert_code(&finished, 0);
    // Inside a tree they are copied as they are, on either side.
    assert_code(&cp(inside(&sandbox, "/tmp/d"), host.path()), 0);
    assert_eq!(fs::read_link(host.path().join("d/root")).expect("a link"), Path::new("/"));
    std::os::unix::fs::symlink("/etc", host.path().join("d/etc")).expect("link");
    assert_code(&cp(host.path().join("d"), inside(&sandbox, "/tmp/e")), 0);
    let finished = cp(inside(&sandbox, "/tmp/e"), host.path());
    assert_code(&finished, 0);
    assert_eq!(tree(&host.path().join("d")), tree(&host.path().join("e")));
}

fn what_cannot_be_copied_is_told() {
    let sandbox = Sandbox::start("refused", &[], "mkdir /tmp/d; echo x >/tmp/d/f; echo ready; sleep 1000");
    let host = tempfile::tempdir().expect("a directory");
    fs::create_dir(host.path().join("d")).expect("a directory");
    fs::write(host.path().join("file"), "x").expect("write");
    let at = |name: &str| host.path().join(name).to_str().expect("text").to_owned();
    let cases: [(String, String, &str); 10] = [
        (inside(&sandbox, "/nonesuch"), at("x"), "/nonesuch"),
        (inside(&sandbox, "/dev/null"), at("x"), "neither a file nor a directory"),
        (inside(&sandbox, "/tmp/d"), at(""), "there is a directory already"),
        (inside(&sandbox, "/tmp/d"), at("nonesuch/x"), "nonesuch"),
        (inside(&sandbox, "/"), at(""), "name the copy"),
        (at("d"), inside(&sandbox, "/tmp"), "there is a directory already"),
        (at("file"), inside(&sandbox, "/nonesuch/x"), "/nonesuch/x"),
        (at("nonesuch"), inside(&sandbox, "/tmp"), "nonesuch"),
        ("nobody:/x".into(), at("x"), "nobody runs no sandbox"),
        (at("file"), at("x"), "NAME:PATH"),
    ];
    for (from, to, reason) in cases {
        assert_one_line(&cp(&from, &to), &[125], &[reason]);
    }
    assert_eq!(names(host.path()), ["d", "file"]);
    let script = "ls -A /tmp/d; ls -d /tmp/.d.* /tmp/.file.* /tmp/file 2>/dev/null";
    let mut command = vmm_command(&["exec", &sandbox.name, "sh", "-c", script], &[]);
    let listed = bounded::run(&mut command, TIMEOUT).expect("vmm starts");
    assert_eq!(listed.stdout, "f\n", "{}", listed.describe());
}

fn a_full_disk_leaves_nothing() {
    let script = "head -c 2000000 /dev/zero >/tmp/large; echo ready; sleep 1000";
    let sandbox = Sandbox::start("full", &["--tmpfs", "/small:size=1M"], script);
    let host = tempfile::tempdir().expect("a directory");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(host.path());
    assert!(mount.status().expect("mount").success());
    let out = cp(inside(&sandbox, "/tmp/large"), host.path());
    let left = names(host.path());
    assert!(Command::new("umount").arg(host.path()).status().expect("umount").success());
    assert_one_line(&out, &[125], &["No space left"]);
    assert!(left.is_empty(), "{left:?}");
    fs::write(host.path().join("large"), vec![0; 2_000_000]).expect("write");
    assert_one_line(&cp(host.path().join("large"), inside(&sandbox, "/small")), &[125], &["/small"]);
    let mut command = vmm_command(&["exec", &sandbox.name, "ls", "-A", "/small"], &[]);
    let listed = bounded::run(&mut command, TIMEOUT).expect("vmm starts");
    assert_eq!(listed.stdout, "", "{}", listed.describe());
}
