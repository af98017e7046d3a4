//! What a sandbox has changed, as a layer; and the image that this makes over another.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use guest_tests::bounded;
use serde_json::{Value, json};

use crate::image_layout::{Layout, tar};
use crate::images::build_root;
use crate::images_archives::{WALK, path, run_in};
use crate::images_tools::{script, walk_natively};
use crate::{TIMEOUT, Test, assert_code, assert_one_line, run, run_script};

pub(crate) const TESTS: &[Test] = &[
    ("diffs::a_layer_makes_the_same_files_again", a_layer_makes_the_same_files_again),
    ("diffs::what_has_not_changed_is_not_told", what_has_not_changed_is_not_told),
    ("diffs::an_image_of_a_layer_is_one_more_image", an_image_of_a_layer_is_one_more_image),
    ("diffs::what_makes_no_layer_is_one_line", what_makes_no_layer_is_one_line),
    ("diffs::a_full_disk_leaves_the_file_as_it_was", a_full_disk_leaves_the_file_as_it_was),
];

const TOOLS: &[&str] = &[
    "sh", "find", "sort", "cksum", "rm", "chmod", "chown", "cat", "mkdir", "mv", "ln", "touch", "truncate",
    "mkfifo", "mknod", "setfattr", "getfattr", "seq",
];

/// Changes of every kind.
const CHANGES: &str = "cd /data; echo more >> one; rm gone; rm -r old; mkdir -m 711 old; echo new > old/new
    mv tree moved; echo in >> moved/deep/file; mv moved/deep up; ln moved/plain linked
    rm link; mkdir link; echo in > link/file; rm -r full; echo no directory > full; ln -s /nowhere full.link
    chown 33:44 linked; chmod 6711 linked; mkfifo -m 640 fifo; mknod null c 1 3; mknod disk b 7 1
    seq 5 > sparse; truncate -s 5M sparse; seq 9 >> sparse; truncate -s 9M sparse; truncate -s 1M hole
    setfattr -n user.colour -v red one; setfattr -n user.shape -v round up
    mkdir -p long/$(seq -s n 60)/$(seq -s m 60); echo deep > long/$(seq -s n 60)/$(seq -s m 60)/file
    ln -s $(seq -s / 80) long/link; chown -h 3000000:4000000000 long/link; touch -d '1969-12-31 23:59:58.5 UTC' untouched
    touch -d @1000000000.25 moved; touch -d @1000000001 old link up long . /data/unchanged/in.place";

fn changed_root() -> tempfile::TempDir {
    let root = build_root(TOOLS);
    let data = root.path().join("data");
    fs::create_dir(root.path().join("sys")).expect("mkdir");
    for directory in ["old", "tree/deep", "full/of", "unchanged"] {
        fs::create_dir_all(data.join(directory)).expect("mkdir");
    }
    let names = [
        "one",
        "gone",
        "old/hidden",
        "tree/plain",
        "tree/deep/file",
        "full/of/it",
        "untouched",
        "unchanged/in.place",
    ];
    names.iter().for_each(|name| fs::write(data.join(name), name).expect("write"));
    fs::hard_link(data.join("one"), data.join("unchanged/two")).expect("link");
    symlink("one", data.join("link")).expect("symlink");
    root
}

/// The walk, and the extended attributes.
fn walk() -> String {
    format!("{WALK}; getfattr -d /data/one /data/up 2>/dev/null")
}

fn a_layer_makes_the_same_files_again() {
    let (root, work) = (changed_root(), tempfile::tempdir().expect("a directory"));
    let layer = tar(root.path(), &[]);
    Layout::new(&work.path().join("layout")).add("app:1", &[layer], &json!({}));
    let (image, diff) = (path(work.path(), "layout"), path(work.path(), "diff"));
    let change_and_walk = format!("{CHANGES}; {}; exit 3", walk());
    let finished =
        run_in(work.path(), &["--image", &image, "--diff", &diff], &["/bin/sh", "-ec", &change_and_walk]);
    assert_code(&finished, 3);
    let expected = finished.stdout;
    assert!(expected.contains("user.colour=\"red\"") && expected.contains("./data/moved"), "{expected}");
    let own = fs::metadata(work.path()).expect("stat");
    let made = fs::metadata(&diff).expect("the layer");
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (own.uid(), own.gid(), 0o600));
    assert!(made.len() < 1 << 20, "holes take no room: {}", made.len());
    let store = path(work.path(), "store");
    assert_code(&run(&["images", "--store", &store, "commit", "app:1", &diff, "app:2"], &[]), 0);
    let again = run_in(work.path(), &["--image", "app:2"], &["/bin/sh", "-c", &walk()]);
    assert_eq!(again.stdout, expected, "{}", again.stderr);
    // And by other people's means.
    script(
        work.path(),
        "umoci raw add-layer --image layout:app:1 diff; umoci unpack --image layout:app:1 unpacked",
    );
    let natively = walk_natively(&work.path().join("unpacked/rootfs"), &walk());
    assert_eq!(natively, expected);
}

fn what_has_not_changed_is_not_told() {
    let (root, work) = (changed_root(), tempfile::tempdir().expect("a directory"));
    let config = json!({ "Volumes": { "/data/volume": {} }, "WorkingDir": "/data/made" });
    Layout::new(&work.path().join("layout")).add("app", &[tar(root.path(), &[])], &config);
    let (image, diff) = (path(work.path(), "layout"), path(work.path(), "diff"));
    let told = |options: &[&str], script: &str| {
        let options = [&["--image", &image, "--diff", &diff], options].concat();
        assert_code(&run_in(work.path(), &options, &["/bin/sh", "-ec", script]), 0);
        let listed = Command::new("tar").args(["-tf", &diff]).output().expect("tar");
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        String::from_utf8(listed.stdout).expect("UTF-8")
    };
    let reads = "find / -type f > /dev/null; cat /data/*/in.place > /dev/null; echo on > /proc/self/comm";
    assert_eq!(told(&[], reads), "");
    let mounted = work.path().join("mounted");
    fs::create_dir(&mounted).expect("mkdir");
    let volume = format!("{}:/mnt", mounted.display());
    let elsewhere =
        "echo 1 > /mnt/file; echo 2 > /data/volume/file; echo 3 > /tmpfs/file; echo 4 > /dev/shm/file";
    assert_eq!(told(&["--volume", &volume, "--tmpfs", "/tmpfs"], elsewhere), "");
    assert_eq!(told(&[], "echo 5 > /data/made/file"), "data/\ndata/made/\ndata/made/file\n");
    assert_eq!(told(&[], "echo 6 >> /data/one"), "data/\ndata/one\ndata/unchanged/\ndata/unchanged/two\n");
    assert_eq!(told(&["--read-only"], "cat /data/one"), "");
}

fn an_image_of_a_layer_is_one_more_image() {
    let (root, work) = (changed_root(), tempfile::tempdir().expect("a directory"));
    let config = json!({ "Entrypoint": ["/bin/cat"], "Cmd": ["/data/one"] });
    Layout::new(&work.path().join("layout")).add("app:1", &[tar(root.path(), &[])], &config);
    let (image, diff) = (path(work.path(), "layout"), path(work.path(), "diff"));
    let options = ["--image", &image, "--diff", &diff, "--entrypoint", "/bin/sh"];
    assert_code(&run_in(work.path(), &options, &["-c", "echo changed > /data/one"]), 0);
    fs::remove_dir_all(&image).expect("rm");
    let store = path(work.path(), "store");
    let images = |words: &[&str]| run(&[&["images", "--store", &store], words].concat(), &[]);
    let made = images(&["commit", "--json", "app:1", &diff, "app:2"]);
    let made: Value = serde_json::from_str(&made.stdout).expect("JSON");
    assert_eq!((&made["names"], made["layers"].as_array().map(Vec::len)), (&json!(["app:2"]), Some(2)));
    assert_eq!(run_in(work.path(), &["--image", "app:2"], &[]).stdout, "changed\n");
    assert_eq!(run_in(work.path(), &["--image", "app:1"], &[]).stdout, "one");
    // Compressed, from standard input, without a name: the same image.
    let binary = guest_tests::vmm::binary().expect("vmm");
    let piped = format!("gzip -c {diff} | {} images --store {store} commit app:1 -", binary.display());
    let piped = bounded::run(Command::new("/bin/sh").args(["-c", &piped]), TIMEOUT).expect("sh starts");
    assert_eq!(piped.stdout.trim_end(), made["id"].as_str().expect("an id"), "{}", piped.describe());
    assert_eq!(images(&["list"]).stdout.lines().count(), 2);
    // A name goes with the last that gets it.
    assert_code(&images(&["commit", "app:2", &diff, "app:1"]), 0);
    assert_eq!(run_in(work.path(), &["--image", "app:1"], &[]).stdout, "changed\n");
    assert_code(&images(&["remove", "app:1", "app:2"]), 0);
    assert_code(&images(&["prune"]), 0);
    assert_eq!(fs::read_dir(work.path().join("store/layers")).expect("list").count(), 0);
}

fn what_makes_no_layer_is_one_line() {
    let (root, work) = (build_root(&["sh"]), tempfile::tempdir().expect("a directory"));
    let layer = tar(root.path(), &[]);
    let at = |name: &str| path(work.path(), name);
    fs::write(at("root"), &layer).expect("write");
    fs::write(at("cut"), &layer[..layer.len() / 2]).expect("write");
    fs::write(at("text"), "no archive").expect("write");
    fs::write(at("diff"), "as it was").expect("write");
    let commit = |words: &[&str]| run(&[&["images", "--store", &at("store"), "commit"], words].concat(), &[]);
    assert_one_line(&commit(&[&at("root"), &at("cut"), "app"]), &[125], &["layer", "cut short"]);
    assert_one_line(&commit(&[&at("root"), &at("text"), "app"]), &[125], &["layer", "no archive"]);
    assert_one_line(&commit(&[&at("root"), "/nonesuch", "app"]), &[125], &["/nonesuch"]);
    assert_one_line(&commit(&[&at("root"), &at("root"), "App"]), &[125], &["'App'"]);
    assert_one_line(&commit(&["nonesuch:1", &at("root"), "app"]), &[125], &["nonesuch:1"]);
    let directory = root.path().display().to_string();
    assert_one_line(&commit(&[&directory, &at("root"), "app"]), &[125], &["no layers"]);
    let image = at("root");
    let diff_of = |diff: &str, script: &str| {
        run_in(work.path(), &["--image", &image, "--diff", diff], &["/bin/sh", "-c", script])
    };
    assert_one_line(&diff_of(&at("diff"), "echo > /.wh.name"), &[125], &["--diff", "/.wh.name"]);
    assert_eq!(fs::read(at("diff")).expect("read"), b"as it was");
    assert_one_line(&diff_of("/nonesuch/diff", "true"), &[125], &["--diff /nonesuch/diff"]);
    assert_one_line(&diff_of(&directory, "true"), &[125], &["--diff", "directory already"]);
    let left = fs::read_dir(work.path()).expect("list").map(|entry| entry.expect("entry").file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with('.')), "nothing is left over");
}

fn a_full_disk_leaves_the_file_as_it_was() {
    let work = tempfile::tempdir().expect("a directory");
    let binary = guest_tests::vmm::binary().expect("vmm");
    let script = "mount -t tmpfs -o size=1m none $1; echo old > $1/diff
        $0 --diff $1/diff -- /bin/sh -c 'head -c 3000000 /dev/urandom > /large'; echo $?; cat $1/diff; ls -A $1";
    let mut command = Command::new("unshare");
    command.args(["-m", "/bin/sh", "-c", script]).arg(binary).arg(work.path());
    let finished = bounded::run(&mut command, TIMEOUT).expect("unshare starts");
    assert!(finished.stderr.contains("No space left on device"), "{}", finished.describe());
    assert_eq!(finished.stdout, "125\nold\ndiff\n", "{}", finished.describe());
    // A directory as the image has changes, too.
    let diff = Path::new(work.path()).join("of-a-directory").display().to_string();
    assert_code(&run_script(&["--diff", &diff], "echo new > /etc/new.file"), 0);
    let listed = Command::new("tar").args(["-tf", &diff]).output().expect("tar");
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "etc/\netc/new.file\n");
}
