//! Images that other people's tools make: umoci, skopeo and buildah, without a network.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::image_layout::{Layout, tar};
use crate::images::build_root;
use crate::images_archives::{WALK, path, run_in};
use crate::{Test, assert_code};

pub(crate) const TESTS: &[Test] = &[
    ("images_tools::umoci_s_layers_are_as_it_unpacks_them", umoci_s_layers_are_as_it_unpacks_them),
    ("images_tools::skopeo_s_copies_are_the_same_image", skopeo_s_copies_are_the_same_image),
    ("images_tools::buildah_s_image_runs_as_its_file_says", buildah_s_image_runs_as_its_file_says),
];

/// Runs a script of the host's in `directory`.
pub(crate) fn script(directory: &Path, script: &str) {
    let output = Command::new("/bin/sh").arg("-ec").arg(script).current_dir(directory).output().expect("sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What `script` prints that walks through `root`.
pub(crate) fn walk_natively(root: &Path, script: &str) -> String {
    let output = Command::new("chroot").arg(root).args(["/bin/sh", "-c", script]).output().expect("chroot");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn walk_root() -> tempfile::TempDir {
    let root = build_root(&["sh", "find", "sort", "cksum", "rm", "chmod", "cat", "id"]);
    for directory in ["sys", "data/old"] {
        fs::create_dir_all(root.path().join(directory)).expect("mkdir");
    }
    for name in ["data/one", "data/gone", "data/old/hidden"] {
        fs::write(root.path().join(name), name).expect("write");
    }
    fs::hard_link(root.path().join("data/one"), root.path().join("data/two")).expect("link");
    symlink("one", root.path().join("data/link")).expect("symlink");
    root
}

fn umoci_s_layers_are_as_it_unpacks_them() {
    let (root, work) = (walk_root(), tempfile::tempdir().expect("a directory"));
    let prepare = "umoci init --layout l; umoci new --image l:one; umoci unpack --image l:one first
        cp -a $ROOT/. first/rootfs; umoci repack --image l:one first
        umoci unpack --image l:one second; cd second/rootfs; rm data/gone; rm -r data/old; mkdir -m 711 data/old; echo new > data/old/new
        rm data/link; mkdir data/link; echo in > data/link/file; chown 7:8 data/two; mv data/two data/moved; chmod 4755 bin/cat; mknod data/null c 1 3
        rm etc/marker; ln -s ../data/one etc/marker; cd ../..; umoci repack --image l:two second; umoci unpack --image l:two third";
    script(work.path(), &prepare.replace("$ROOT", &root.path().display().to_string()));
    for name in ["one", "two"] {
        let unpacked = work.path().join(if name == "one" { "second-as-it-was" } else { "third" });
        if name == "one" {
            script(work.path(), "umoci unpack --image l:one second-as-it-was");
        }
        let expected = walk_natively(&unpacked.join("rootfs"), WALK);
        assert!(expected.contains("./data/moved") == (name == "two"), "{expected}");
        let image = path(work.path(), &format!("l#{name}"));
        let finished = run_in(work.path(), &["--image", &image], &["/bin/sh", "-c", WALK]);
        assert_code(&finished, 0);
        assert_eq!(finished.stdout, expected, "{name}");
    }
}

fn skopeo_s_copies_are_the_same_image() {
    let (root, work) = (build_root(&["sh", "cat"]), tempfile::tempdir().expect("a directory"));
    let more = tempfile::tempdir().expect("a directory");
    fs::create_dir(more.path().join("etc")).expect("mkdir");
    fs::write(more.path().join("etc/more"), "more\n").expect("write");
    let layers = [tar(root.path(), &[]), tar(more.path(), &[])];
    let config = json!({ "Entrypoint": ["/bin/cat"], "Cmd": ["/etc/marker", "/etc/more"] });
    Layout::new(&work.path().join("layout")).add("one", &layers, &config);
    let copies = [
        ("oci:compressed:one", "compressed"),
        ("oci-archive:archive:one", "archive"),
        ("docker-archive:saved:app:1", "saved"),
        ("docker-archive:saved2:app:1", "saved2#app:1"),
    ];
    for (target, image) in copies {
        script(
            work.path(),
            &format!("skopeo --insecure-policy copy -q --dest-compress-format zstd oci:layout:one {target}"),
        );
        // A store of its own: each copy is unpacked.
        let store = path(work.path(), &format!("store-{image}"));
        let finished = crate::run(&["--store", &store, "--image", &path(work.path(), image)], &[]);
        assert_code(&finished, 0);
        assert_eq!(finished.stdout, "of the image\nmore\n", "{target}: {}", finished.stderr);
    }
}

const CONTAINERFILE: &str = r#"FROM scratch
COPY root /
ENV GREETING=hello
RUN ["/bin/sh", "-c", "echo built > /etc/built; rm /data/gone; chmod 1777 /data"]
WORKDIR /data
USER 33:44
VOLUME /data/volume
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["id -u; id -g; pwd; cat /etc/built; echo $GREETING; test ! -e gone"]
"#;

fn buildah_s_image_runs_as_its_file_says() {
    let (root, work) = (walk_root(), tempfile::tempdir().expect("a directory"));
    fs::write(work.path().join("Containerfile"), CONTAINERFILE).expect("write");
    script(
        work.path(),
        &format!(
            "cp -a {} root; alias b='buildah --root $PWD/graph --runroot $PWD/run --storage-driver vfs'
            b bud -q --isolation chroot --layers -t app:1 .; b push -q app:1 oci:$PWD/layout:one; b push -q app:1 docker-archive:$PWD/saved:app:1",
            root.path().display()
        ),
    );
    for image in ["layout", "saved"] {
        let finished = run_in(work.path(), &["--image", &path(work.path(), image)], &[]);
        assert_code(&finished, 0);
        assert_eq!(finished.stdout, "33\n44\n/data\nbuilt\nhello\n", "{image}: {}", finished.stderr);
    }
    let layers: Vec<PathBuf> = fs::read_dir(work.path().join("store/layers"))
        .expect("list")
        .map(|entry| entry.expect("entry").path())
        .collect();
    assert!(layers.len() > 1, "{layers:?}");
}
