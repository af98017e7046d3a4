//! The store of images: shared, listed, emptied, and of use to an ordinary user.

use std::fs;
use std::path::Path;

use guest_tests::bounded;
use serde_json::{Value, json};

use crate::image_layout::{Layout, tar};
use crate::images::build_root;
use crate::images_archives::{path, run_in};
use crate::{TIMEOUT, Test, assert_code, assert_one_line, run, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("images_store::images_are_listed_inspected_and_removed", images_are_listed_inspected_and_removed),
    ("images_store::many_starts_at_once_share_an_empty_store", many_starts_at_once_share_an_empty_store),
    (
        "images_store::a_store_that_vanishes_does_not_end_a_sandbox",
        a_store_that_vanishes_does_not_end_a_sandbox,
    ),
    ("images_store::a_full_disk_leaves_nothing", a_full_disk_leaves_nothing),
];

fn images(directory: &Path, words: &[&str]) -> bounded::Finished {
    let store = path(directory, "store");
    run(&[&["images", "--store", &store], words].concat(), &[])
}

fn listed(directory: &Path) -> Vec<Value> {
    let finished = images(directory, &["list", "--json"]);
    assert_code(&finished, 0);
    serde_json::from_str(&finished.stdout).expect("JSON")
}

fn images_are_listed_inspected_and_removed() {
    let (root, work) = (build_root(&["sh", "cat"]), tempfile::tempdir().expect("a directory"));
    let layer = tar(root.path(), &[]);
    let more = tempfile::tempdir().expect("a directory");
    fs::write(more.path().join("more"), "more\n").expect("write");
    let image = path(work.path(), "layout");
    let mut layout = Layout::new(Path::new(&image));
    let config = json!({ "Cmd": ["/bin/cat", "/etc/marker"], "ExposedPorts": { "80/tcp": {} }, "StopSignal": "SIGINT" });
    layout.add("app:1", std::slice::from_ref(&layer), &config);
    layout.add("app:2", &[layer, tar(more.path(), &[])], &config);
    for name in ["app:1", "app:2"] {
        assert_code(&images(work.path(), &["pull-in", &format!("{image}#{name}")]), 0);
    }
    fs::remove_dir_all(&image).expect("rm");
    assert_eq!(listed(work.path()).len(), 2);
    // From here on the store is all there is.
    let finished = run_in(work.path(), &["--image", "app:2"], &[]);
    assert_eq!(finished.stdout, "of the image\n", "{}", finished.describe());
    let inspected = images(work.path(), &["inspect", "--json", "app:1"]);
    let inspected: Value = serde_json::from_str(&inspected.stdout).expect("JSON");
    assert_eq!(
        (&inspected["exposed_ports"], &inspected["stop_signal"]),
        (&json!(["80/tcp"]), &json!("SIGINT"))
    );
    assert_eq!(inspected["command"], json!(["/bin/cat", "/etc/marker"]));
    assert!(images(work.path(), &["list"]).stdout.contains("app:1"));
    assert_one_line(&images(work.path(), &["remove", "app:3"]), &[125], &["app:3"]);
    assert_code(&images(work.path(), &["remove", "app:1"]), 0);
    let layers = || fs::read_dir(work.path().join("store/layers")).expect("list").count();
    assert_eq!((listed(work.path()).len(), layers()), (1, 2), "app:2 has both layers");
    assert_code(&images(work.path(), &["prune", "--keep", "1T"]), 0);
    assert_eq!(layers(), 2);
    assert_code(&images(work.path(), &["prune", "--keep", "4K"]), 0);
    assert_eq!((listed(work.path()).len(), layers()), (0, 0));
}

fn many_starts_at_once_share_an_empty_store() {
    const STARTS: usize = 50;
    let (root, work) = (build_root(&["sh", "cat"]), tempfile::tempdir().expect("a directory"));
    fs::write(work.path().join("root"), tar(root.path(), &["-z"])).expect("write");
    let (store, image) = (path(work.path(), "store"), path(work.path(), "root"));
    let options = ["--memory", "64M", "--store", &store, "--image", &image];
    let start =
        |_| bounded::start(&mut vmm_command(&options, &["/bin/cat", "/etc/marker"])).expect("vmm starts");
    let running: Vec<_> = (0..STARTS).map(start).collect();
    for one in running {
        let finished = one.finish(TIMEOUT * 4).expect("vmm ends");
        assert_code(&finished, 0);
        assert_eq!(finished.stdout, "of the image\n");
    }
    let names = |folder: &str| {
        let entries = fs::read_dir(work.path().join("store").join(folder)).expect("list");
        entries.map(|entry| entry.expect("entry").file_name()).collect::<Vec<_>>()
    };
    assert_eq!((names("layers").len(), names("trees").len()), (1, 1), "{:?}", names("layers"));
}

fn a_store_that_vanishes_does_not_end_a_sandbox() {
    let (root, work) = (build_root(&["sh", "cat"]), tempfile::tempdir().expect("a directory"));
    fs::write(work.path().join("root"), tar(root.path(), &[])).expect("write");
    let (store, image) = (path(work.path(), "store"), path(work.path(), "root"));
    let script = "echo ready; read line; cat /etc/marker";
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = vmm_command(&["--store", &store, "--image", &image], &["/bin/sh", "-c", script]);
    let mut running = bounded::start_with_input(&mut command, reader.into()).expect("vmm starts");
    assert!(running.prints_within("ready", TIMEOUT).expect("output"));
    fs::remove_dir_all(&store).expect("rm");
    std::io::Write::write_all(&mut &writer, b"go on\n").expect("write");
    let finished = running.finish(TIMEOUT).expect("vmm ends");
    assert_eq!(finished.stdout, "ready\nof the image\n", "{}", finished.describe());
    let again = run_in(work.path(), &["--image", &image], &["/bin/cat", "/etc/marker"]);
    assert_eq!(again.stdout, "of the image\n", "{}", again.describe());
}

/// A store on a file system of a megabyte.
fn a_full_disk_leaves_nothing() {
    let (root, work) = (build_root(&["sh", "cat"]), tempfile::tempdir().expect("a directory"));
    fs::write(root.path().join("large"), vec![1; 2 << 20]).expect("write");
    fs::write(work.path().join("root"), tar(root.path(), &[])).expect("write");
    let binary = guest_tests::vmm::binary().expect("vmm");
    let script = "mount -t tmpfs -o size=1m none $1; $0 --store $1 --image $2 -- /bin/true; echo $?; ls $1/layers $1/trees";
    let mut command = std::process::Command::new("unshare");
    fs::create_dir(work.path().join("store")).expect("mkdir");
    command
        .args(["-m", "/bin/sh", "-c", script])
        .arg(binary)
        .arg(work.path().join("store"))
        .arg(work.path().join("root"));
    let finished = bounded::run(&mut command, TIMEOUT).expect("unshare starts");
    assert!(finished.stderr.contains("No space left on device"), "{}", finished.describe());
    assert!(
        finished.stdout.starts_with("125\n") && !finished.stdout.contains("partial"),
        "{}",
        finished.describe()
    );
}
