//! Archives of images: every kind and compression, run by what they hold, and by what they say.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use guest_tests::bounded;
use serde_json::json;

use crate::image_layout::{Layout, tar};
use crate::images::build_root;
use crate::layers::AS_ORDINARY_USER;
use crate::{TIMEOUT, Test, assert_code, assert_one_line, run, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("images_archives::all_kinds_and_compressions_run", all_kinds_and_compressions_run),
    ("images_archives::standard_input_is_an_archive", standard_input_is_an_archive),
    ("images_archives::files_are_as_in_a_chroot", files_are_as_in_a_chroot),
    ("images_archives::an_ordinary_user_sees_the_same_files", an_ordinary_user_sees_the_same_files),
    ("images_archives::layers_are_never_written", layers_are_never_written),
    (
        "images_archives::the_configuration_holds_unless_told_otherwise",
        the_configuration_holds_unless_told_otherwise,
    ),
    (
        "images_archives::users_volumes_and_directories_are_the_image_s",
        users_volumes_and_directories_are_the_image_s,
    ),
    ("images_archives::the_stop_signal_is_the_image_s", the_stop_signal_is_the_image_s),
    ("images_archives::what_is_wrong_with_an_archive_is_one_line", what_is_wrong_with_an_archive_is_one_line),
    ("images_archives::a_name_says_where_images_come_from", a_name_says_where_images_come_from),
];

/// Runs `vmm` with a store in `directory`.
pub(crate) fn run_in(directory: &Path, options: &[&str], words: &[&str]) -> bounded::Finished {
    let store = directory.join("store").to_string_lossy().into_owned();
    run(&[&["--store", &store], options].concat(), words)
}

/// A path in `directory`, as text.
pub(crate) fn path(directory: &Path, name: &str) -> String {
    directory.join(name).to_string_lossy().into_owned()
}

fn pack(program: &str, source: &Path, target: &Path) {
    let output = Command::new(program).arg("-c").arg(source).output().expect("a compressor");
    assert!(output.status.success(), "{program}");
    fs::write(target, output.stdout).expect("write");
}

fn all_kinds_and_compressions_run() {
    let (root, work) = (build_root(&["sh", "cat"]), tempfile::tempdir().expect("a directory"));
    let at = |name: &str| work.path().join(name);
    let layer = tar(root.path(), &[]);
    fs::write(at("root"), &layer).expect("write");
    Layout::new(&at("layout")).add("one", &[layer], &json!({}));
    fs::write(at("layout-archive"), tar(&at("layout"), &[])).expect("write");
    for (program, name) in [("gzip", "gz"), ("xz", "x"), ("zstd", "z")] {
        pack(program, &at("root"), &at(&format!("root-{name}")));
        pack(program, &at("layout-archive"), &at(&format!("layout-{name}")));
    }
    let images = [
        "root",
        "root-gz",
        "root-x",
        "root-z",
        "layout",
        "layout-archive",
        "layout-gz",
        "layout-x",
        "layout-z",
    ];
    for image in images.into_iter().chain(["layout#one"]) {
        let finished =
            run_in(work.path(), &["--image", &path(work.path(), image)], &["/bin/cat", "/etc/marker"]);
        assert_code(&finished, 0);
        assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("of the image\n", ""), "{image}");
    }
    assert_eq!(fs::read_dir(at("store/layers")).expect("list").count(), 1, "it is one layer all the time");
}

fn standard_input_is_an_archive() {
    let (root, work) = (build_root(&["sh", "cat"]), tempfile::tempdir().expect("a directory"));
    fs::write(work.path().join("root"), tar(root.path(), &["-z"])).expect("write");
    let input = || Stdio::from(fs::File::open(work.path().join("root")).expect("open"));
    let store = path(work.path(), "store");
    let mut from_file = vmm_command(&["--store", &store, "--image", "-"], &["/bin/cat", "/etc/marker"]);
    let running = bounded::start_with_input(&mut from_file, input()).expect("vmm starts");
    assert_eq!(running.finish(TIMEOUT).expect("vmm ends").stdout, "of the image\n");
    let binary = guest_tests::vmm::binary().expect("vmm");
    let script = format!(
        "cat {0}/root | {1} --store {store} --image - -- /bin/cat /etc/marker",
        work.path().display(),
        binary.display()
    );
    let finished = bounded::run(Command::new("/bin/sh").args(["-c", &script]), TIMEOUT).expect("sh starts");
    assert_eq!(finished.stdout, "of the image\n", "{}", finished.describe());
}

/// What a walk tells of every file: name, type, mode, owners, size, time, text of a link; and of what is no directory its links.
pub(crate) const WALK: &str = "cd /; find . \\( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp \\) -prune -o \\
    \\( -type d -printf '%p %y %m %U %G %T@\\n' \\) -o -printf '%p %y %m %U %G %s %n %T@ %l\\n' | sort; \\
    find ./data -type f | sort | while read -r file; do cksum \"$file\"; done";

/// A root file system with files of every kind, and what a walk through it tells in a chroot.
fn walked_root() -> (tempfile::TempDir, String) {
    let root = build_root(&["sh", "find", "sort", "cksum"]);
    let data = root.path().join("data");
    fs::create_dir_all(data.join("d".repeat(200)).join("e".repeat(200))).expect("mkdir");
    fs::write(data.join("plain"), vec![b'p'; 70_000]).expect("write");
    fs::hard_link(data.join("plain"), data.join("another name")).expect("link");
    symlink("../data/plain", data.join("link")).expect("symlink");
    fs::write(data.join("set-id"), "s").expect("write");
    let mut sparse = fs::File::create(data.join("sparse")).expect("create");
    sparse.set_len(3 << 20).expect("truncate");
    sparse.write_all(b"begin").expect("write");
    let script = "cd $0; chown 33:44 set-id plain; chmod 6711 set-id; mkfifo -m 640 fifo; mknod disk b 7 1; mknod null c 1 3
        chown -h 5:6 link; mkdir -m 1777 sticky; touch -d '1969-12-31 23:59:58.5 UTC' plain";
    let prepared = Command::new("/bin/sh").arg("-ec").arg(script).arg(&data).status().expect("sh");
    assert!(prepared.success());
    for directory in ["sys", "tmp"] {
        fs::create_dir_all(root.path().join(directory)).expect("mkdir");
    }
    let natively =
        Command::new("chroot").arg(root.path()).args(["/bin/sh", "-c", WALK]).output().expect("chroot");
    let expected = String::from_utf8_lossy(&natively.stdout).into_owned();
    assert!(expected.lines().count() > 20, "{expected}");
    (root, expected)
}

fn files_are_as_in_a_chroot() {
    let (root, expected) = walked_root();
    let work = tempfile::tempdir().expect("a directory");
    for (name, options) in [
        ("posix", &["--format=posix"][..]),
        ("sparse", &["--format=posix", "--sparse"]),
        ("old-sparse", &["--format=posix", "--sparse", "--sparse-version=0.1"]),
        ("oldest-sparse", &["--format=posix", "--sparse", "--sparse-version=0.0"]),
    ] {
        fs::write(work.path().join(name), tar(root.path(), options)).expect("write");
        let finished = run_in(work.path(), &["--image", &path(work.path(), name)], &["/bin/sh", "-c", WALK]);
        assert_code(&finished, 0);
        assert_eq!(finished.stdout, expected, "{name}: {}", finished.stderr);
    }
    // GNU's own format has no fractions of seconds.
    fs::write(work.path().join("gnu"), tar(root.path(), &["--format=gnu", "--sparse"])).expect("write");
    let script = "cksum /data/sparse; find /data -name plain -printf '%n %s\\n'";
    let finished = run_in(work.path(), &["--image", &path(work.path(), "gnu")], &["/bin/sh", "-c", script]);
    let natively =
        Command::new("chroot").arg(root.path()).args(["/bin/sh", "-c", script]).output().expect("chroot");
    assert_eq!(finished.stdout, String::from_utf8_lossy(&natively.stdout), "{}", finished.describe());
}

fn an_ordinary_user_sees_the_same_files() {
    let (root, expected) = walked_root();
    let work = tempfile::tempdir().expect("a directory");
    fs::write(work.path().join("root"), tar(root.path(), &["--format=posix"])).expect("write");
    fs::copy(guest_tests::vmm::binary().expect("vmm"), work.path().join("vmm")).expect("copy");
    std::os::unix::fs::chown(work.path(), Some(12345), Some(12345)).expect("chown");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", AS_ORDINARY_USER]).arg(work.path());
    command.args([path(work.path(), "vmm"), "--store".into(), path(work.path(), "store")]);
    command.args(["--image", &path(work.path(), "root"), "--", "/bin/sh", "-c", WALK]);
    let finished = bounded::run(&mut command, TIMEOUT).expect("unshare starts");
    assert_code(&finished, 0);
    assert_eq!(finished.stdout, expected, "{}", finished.stderr);
}

fn layers_are_never_written() {
    let (root, work) =
        (build_root(&["sh", "cat", "rm", "mv", "mkdir"]), tempfile::tempdir().expect("a directory"));
    fs::write(work.path().join("root"), tar(root.path(), &[])).expect("write");
    let image = path(work.path(), "root");
    let script = "set -e; echo changed >> /etc/marker; cat /etc/marker; mv /etc /moved; mkdir /etc; rm /bin/mv; test ! -e /etc/marker";
    for _ in 0..2 {
        let finished = run_in(work.path(), &["--image", &image], &["/bin/sh", "-c", script]);
        assert_code(&finished, 0);
        assert_eq!(finished.stdout, "of the image\nchanged\n");
    }
}

fn the_configuration_holds_unless_told_otherwise() {
    let (root, work) = (build_root(&["sh", "cat"]), tempfile::tempdir().expect("a directory"));
    let config = json!({
        "Entrypoint": ["/bin/sh", "-c", "echo $A $B $PATH; pwd; echo \"$@\"", "zero"],
        "Cmd": ["of", "image"], "Env": ["A=1", "B=2 3", "PATH=/bin"], "WorkingDir": "/etc",
    });
    let layers = [tar(root.path(), &[])];
    let image = path(work.path(), "layout");
    Layout::new(Path::new(&image)).add("one", &layers, &config);
    let cases: [(&[&str], &[&str], &str); 4] = [
        (&[], &[], "1 2 3 /bin\n/etc\nof image\n"),
        (&[], &["of", "caller"], "1 2 3 /bin\n/etc\nof caller\n"),
        (&["--env", "B=x", "--workdir", "/"], &[], "1 x /bin\n/\nof image\n"),
        (&["--entrypoint", "/bin/cat"], &["marker"], "of the image\n"),
    ];
    for (options, words, expected) in cases {
        let finished = run_in(work.path(), &[&["--image", &image], options].concat(), words);
        assert_code(&finished, 0);
        assert_eq!(finished.stdout, expected, "{options:?} {words:?}: {}", finished.stderr);
    }
}

fn users_volumes_and_directories_are_the_image_s() {
    let (root, work) =
        (build_root(&["sh", "cat", "id", "grep", "ls"]), tempfile::tempdir().expect("a directory"));
    let etc = root.path().join("etc");
    fs::write(etc.join("passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/sh\n")
        .expect("write");
    fs::write(etc.join("group"), "root:x:0:\nweb:x:34:\nextra:x:50:web\n").expect("write");
    fs::create_dir_all(root.path().join("var/data")).expect("mkdir");
    fs::write(root.path().join("var/data/kept"), "kept\n").expect("write");
    let script = "id -u; id -G; echo $HOME; pwd; cat /var/data/kept; grep -c ' /var/data \\| /made/volume ' /proc/self/mountinfo";
    let config = json!({
        "Cmd": ["/bin/sh", "-c", script], "User": "web", "WorkingDir": "/made/for/it",
        "Volumes": { "/var/data": {}, "/made/volume/": {}, "/": {} },
    });
    let image = path(work.path(), "layout");
    Layout::new(Path::new(&image)).add("one", &[tar(root.path(), &[])], &config);
    let volumes = "kept\n2\n";
    let cases: [(&[&str], String); 5] = [
        (&[], format!("33\n34 50\n/srv\n/made/for/it\n{volumes}")),
        (&["--user", "0:0"], format!("0\n0\n/root\n/made/for/it\n{volumes}")),
        (&["--user", "12"], format!("12\n12\n/\n/made/for/it\n{volumes}")),
        (&["--user", "root:extra"], format!("0\n50\n/root\n/made/for/it\n{volumes}")),
        (&["--env", "HOME=/mine"], format!("33\n34 50\n/mine\n/made/for/it\n{volumes}")),
    ];
    for (options, expected) in cases {
        let finished = run_in(work.path(), &[&["--image", &image], options].concat(), &[]);
        assert_code(&finished, 0);
        assert_eq!(finished.stdout, expected, "{options:?}: {}", finished.stderr);
    }
    // Volumes stay writable where the root is not, and an explicit one takes the place of the image's.
    let mine = path(work.path(), "mine");
    fs::create_dir(&mine).expect("mkdir");
    let volume = format!("{mine}:/made/volume");
    let options = ["--image", &image, "--user", "0", "--read-only", "--volume", &volume];
    let script =
        "echo x > /var/data/new; cat /var/data/new; echo y > /made/volume/new; echo z > /new || echo refused";
    let finished = run_in(work.path(), &options, &["/bin/sh", "-c", script]);
    assert_eq!(finished.stdout, "x\nrefused\n", "{}", finished.describe());
    assert_eq!(fs::read_to_string(work.path().join("mine/new")).expect("read"), "y\n");
    let finished = run_in(work.path(), &["--image", &image, "--user", "nobody"], &[]);
    assert_one_line(&finished, &[125], &["'nobody'", "/etc/passwd"]);
}

fn the_stop_signal_is_the_image_s() {
    let (root, work) = (build_root(&["sh", "sleep"]), tempfile::tempdir().expect("a directory"));
    let script = "trap 'echo interrupted; exit 3' INT; trap 'echo user; exit 4' USR1; echo ready; while :; do sleep 0.1; done";
    let config = json!({ "Cmd": ["/bin/sh", "-c", script], "StopSignal": "SIGINT" });
    let (store, image) = (path(work.path(), "store"), path(work.path(), "layout"));
    Layout::new(Path::new(&image)).add("one", &[tar(root.path(), &[])], &config);
    let cases: [(&[&str], i32, &str); 2] =
        [(&[], 3, "ready\ninterrupted\n"), (&["--stop-signal", "usr1"], 4, "ready\nuser\n")];
    for (options, code, expected) in cases {
        let options = [&["--store", &store, "--image", &image], options].concat();
        let mut running = bounded::start(&mut vmm_command(&options, &[])).expect("vmm starts");
        assert!(running.prints_within("ready", TIMEOUT).expect("output"));
        rustix::process::kill_process(running.pid(), rustix::process::Signal::TERM).expect("kill");
        let finished = running.finish(TIMEOUT).expect("vmm ends");
        assert_code(&finished, code);
        assert_eq!(finished.stdout, expected);
    }
    let finished = run_in(work.path(), &["--image", &image, "--stop-signal", "none"], &[]);
    assert_code(&finished, 125);
    assert!(finished.stderr.contains("'none' is no signal"), "{}", finished.describe());
}

fn what_is_wrong_with_an_archive_is_one_line() {
    let (root, work) = (build_root(&["sh"]), tempfile::tempdir().expect("a directory"));
    let whole = tar(root.path(), &[]);
    fs::write(work.path().join("torn"), &whole[..whole.len() / 2]).expect("write");
    fs::write(work.path().join("whole"), &whole).expect("write");
    let up = tar(&root.path().join("etc"), &["-P", "--transform", "s,./marker,../../up,"]);
    fs::write(work.path().join("up"), up).expect("write");
    fs::write(work.path().join("text"), "no archive at all\n").expect("write");
    let mut layout = Layout::new(&work.path().join("several"));
    layout.add("one", std::slice::from_ref(&whole), &json!({}));
    layout.add("two", &[whole], &json!({}));
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("torn", &[], &["cut short"]),
        ("up", &[], &["'../../up'", "leads up"]),
        ("text", &[], &["text", "archive"]),
        ("several", &[], &["#NAME", "one, two"]),
        ("whole", &["--image-limit", "100K"], &["--image-limit", "more than 102400 bytes"]),
    ];
    for (name, options, words) in cases {
        let image = path(work.path(), name);
        let finished = run_in(work.path(), &[&["--image", &image], options].concat(), &["/bin/true"]);
        assert_one_line(&finished, &[125], &[&[name], words].concat());
    }
    let kept = fs::read_dir(work.path().join("store/layers")).expect("list").count();
    assert_eq!(kept, 0, "nothing is half unpacked");
}

fn a_name_says_where_images_come_from() {
    let work = tempfile::tempdir().expect("a directory");
    let finished = run_in(work.path(), &["--image", "debian:12"], &["/bin/true"]);
    assert_one_line(&finished, &[125], &["debian:12", "skopeo copy docker://debian:12 oci:debian"]);
}
