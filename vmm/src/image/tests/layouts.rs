//! OCI layouts and what docker saves.

use std::collections::BTreeMap;

use super::{Tar, World, contents, exists, root, status};
use crate::image::digest::Digest;

/// An image layout in memory: blobs by their paths.
#[derive(Default)]
struct Layout {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: Vec<String>,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

impl Layout {
    fn blob(&mut self, contents: Vec<u8>, media_type: &str, more: &str) -> String {
        let digest = Digest::of(&contents);
        let descriptor =
            format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}{more}}}"#, contents.len());
        self.blobs.insert(format!("blobs/sha256/{}", digest.hex()), contents);
        descriptor
    }

    fn image(&mut self, layers: &[Vec<u8>], architecture: &str, media_type: &str) -> String {
        let diff_ids: Vec<_> = layers.iter().map(|layer| format!("\"{}\"", Digest::of(layer))).collect();
        let configuration = format!(
            r#"{{"os":"linux","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            diff_ids.join(",")
        );
        let configuration = self.blob(configuration.into_bytes(), CONFIGURATION, "");
        let layers: Vec<_> = layers.iter().map(|layer| self.blob(layer.clone(), media_type, "")).collect();
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{configuration},"layers":[{}]}}"#,
            layers.join(",")
        )
    }

    fn add(&mut self, name: &str, layers: &[Vec<u8>]) {
        let manifest = self.image(layers, "amd64", LAYER);
        let named = format!(r#","annotations":{{"org.opencontainers.image.ref.name":"{name}"}}"#);
        let descriptor = self.blob(manifest.into_bytes(), MANIFEST, &named);
        self.manifests.push(descriptor);
    }

    fn index(manifests: &[String]) -> String {
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, manifests.join(","))
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.blobs.clone();
        files.insert("index.json".into(), Self::index(&self.manifests).into_bytes());
        files.insert("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        files
    }

    fn write(&self, world: &World, name: &str) {
        for (path, contents) in self.files() {
            let path = world.path(name).join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, contents).unwrap();
        }
    }

    fn archive(&self) -> Vec<u8> {
        archive_of(&self.files())
    }
}

fn archive_of(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let archive = files.iter().fold(Tar::default(), |archive, (path, contents)| {
        let archive = archive.long_name(path.as_bytes());
        archive.file("short", contents)
    });
    archive.end()
}

/// An image layout, or what docker saves, whose list of images is what `edit` makes of it.
pub(super) fn archive_with_list(of_docker: bool, edit: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut layout = Layout::default();
    layout.add("app", &[base(), above()]);
    let mut files = layout.files();
    // Which of the blobs is which is left open: most lists make no sense anyhow.
    let list = if of_docker {
        let blobs = layout.blobs.keys().map(|path| format!("\"{path}\"")).collect::<Vec<_>>();
        files.remove("index.json");
        let text =
            format!(r#"[{{"Config":{},"RepoTags":["app:1"],"Layers":[{}]}}]"#, blobs[0], blobs.join(","));
        files.insert("manifest.json".into(), text.into_bytes());
        "manifest.json"
    } else {
        "index.json"
    };
    let text = files.remove(list).unwrap_or_default();
    files.insert(list.into(), edit(text));
    archive_of(&files)
}

fn base() -> Vec<u8> {
    let mut owned = Tar::header(b"etc/", b'5', 0);
    owned.set_mode(0o700);
    owned.set_uid(5);
    owned.set_cksum();
    Tar::default()
        .add(&owned, &[])
        .file("etc/kept", b"base")
        .file("etc/gone", b"base")
        .file("etc/changed", b"base")
        .file("opaque/hidden", b"base")
        .file("linked/old", b"moved")
        .file("linked/other", b"twice")
        .linked("linked/other2", b'1', "linked/other")
        .linked("lib", b'2', "usr/lib")
        .file("usr/lib/x", b"x")
        .end()
}

fn above() -> Vec<u8> {
    Tar::default()
        .file("etc/.wh.gone", b"")
        .file("etc/changed", b"above")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"above")
        // A file that was renamed: a link to the one below, whose old name is hidden.
        .file("linked/.wh.old", b"")
        .linked("linked/new", b'1', "linked/old")
        .file("linked/.wh.other2", b"")
        .file("lib/shadows", b"a directory now")
        .file(".wh..wh.plnk", b"")
        .end()
}

#[test]
fn layers_lie_over_each_other_as_the_specification_says() {
    let world = World::new();
    let mut layout = Layout::default();
    layout.add("one", &[base(), above()]);
    layout.write(&world, "layout");
    world.write("layout.tar", &layout.archive());
    for name in ["layout", "layout.tar"] {
        let root = root(world.open(name).unwrap());
        assert!(!exists(&root, "etc/gone") && !exists(&root, "etc/.wh.gone"), "{name}");
        assert_eq!(contents(&root, "etc/kept"), b"base");
        assert_eq!(contents(&root, "etc/changed"), b"above");
        assert_eq!(
            (status(&root, "etc").mode, status(&root, "etc").uid.0),
            (0o40700, 5),
            "not described above"
        );
        assert!(!exists(&root, "opaque/hidden") && exists(&root, "opaque/new"));
        assert!(!exists(&root, "linked/old"));
        assert_eq!(contents(&root, "linked/new"), b"moved");
        assert_eq!(status(&root, "linked/other").links, 1, "the other name is hidden");
        assert_eq!(contents(&root, "lib/shadows"), b"a directory now");
        assert!(!exists(&root, "lib/x") && exists(&root, "usr/lib/x"));
    }
    assert_eq!(world.kept().len(), 2);
}

#[test]
fn images_share_layers() {
    let world = World::new();
    let mut layout = Layout::default();
    layout.add("one", &[base(), above()]);
    layout.add("docker.io/library/two:latest", &[base()]);
    layout.write(&world, "layout");
    let several = format!("{:#}", world.open("layout").err().unwrap());
    assert!(several.contains("#NAME") && several.contains("one, docker.io/library/two:latest"), "{several}");
    world.open("layout#one").unwrap();
    assert_eq!(world.kept().len(), 2);
    world.open("layout#two").unwrap();
    assert_eq!(world.kept().len(), 2, "both layers were there");
    let none = format!("{:#}", world.open("layout#three").err().unwrap());
    assert!(none.contains("'three'") && none.contains("one"), "{none}");
}

#[test]
fn this_machine_s_image_is_taken_of_several() {
    let world = World::new();
    let mut layout = Layout::default();
    let platform = |os: &str, architecture: &str| {
        format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}"#)
    };
    let mut nested = Vec::new();
    for (os, architecture) in [("linux", "arm64"), ("linux", "amd64"), ("unknown", "unknown")] {
        let layer = Tar::default().file(architecture, b"").end();
        let manifest = layout.image(&[layer], architecture, LAYER);
        nested.push(layout.blob(manifest.into_bytes(), MANIFEST, &platform(os, architecture)));
    }
    let index = layout.blob(Layout::index(&nested).into_bytes(), INDEX, "");
    layout.manifests.push(index);
    layout.write(&world, "layout");
    assert!(exists(&root(world.open("layout").unwrap()), "amd64"));
    let mut other = Layout::default();
    let manifest = other.image(&[base()], "arm64", LAYER);
    let descriptor = other.blob(manifest.into_bytes(), MANIFEST, &platform("linux", "arm64"));
    other.manifests.push(descriptor);
    other.write(&world, "other");
    let error = format!("{:#}", world.open("other").err().unwrap());
    assert!(error.contains("nothing for linux/amd64, only for linux/arm64"), "{error}");
}

#[test]
fn what_docker_saves_is_read_whatever_its_files_are_called() {
    let world = World::new();
    let diff_ids = [Digest::of(&base()), Digest::of(&above())];
    let configuration = format!(
        r#"{{"os":"linux","architecture":"amd64","config":{{"Cmd":["x"],"Entrypoint":null}},"rootfs":{{"type":"layers","diff_ids":["{}","{}"]}}}}"#,
        diff_ids[0], diff_ids[1]
    );
    let list = r#"[{"Config":"c.json","RepoTags":["app:1"],"Layers":["a/layer.tar","b/layer.tar"]}]"#;
    let archive = Tar::default()
        .directory("a/")
        .file("a/layer.tar", &base())
        .file("real.tar", &above())
        .linked("b/layer.tar", b'2', "../real.tar")
        .file("c.json", configuration.as_bytes())
        .file("manifest.json", list.as_bytes())
        .end();
    world.write("saved", &archive);
    for name in ["saved", "saved#app:1", "saved#docker.io/library/app:1"] {
        let opened = world.open(name).unwrap();
        assert_eq!(opened.configuration.as_ref().unwrap().command(), ["x"]);
        assert!(!exists(&root(opened), "etc/gone"), "{name}");
    }
    // In a store of its own: what is there need not be in the archive.
    let world = World::new();
    let lacking = list.replace("b/layer.tar", "none");
    let archive = Tar::default().file("a/layer.tar", &base()).file("c.json", configuration.as_bytes());
    world.write("torn", &archive.file("manifest.json", lacking.as_bytes()).end());
    let error = format!("{:#}", world.open("torn").err().unwrap());
    assert!(error.contains("'none' is missing"), "{error}");
}

#[test]
fn a_blob_that_is_not_what_was_announced_is_refused() {
    let mut layout = Layout::default();
    layout.add("one", &[base()]);
    for path in layout.blobs.keys() {
        let world = World::new();
        layout.write(&world, "layout");
        let file = world.path("layout").join(path);
        let mut contents = std::fs::read(&file).unwrap();
        let place = contents.len() / 2;
        contents[place] ^= 1;
        std::fs::write(&file, contents).unwrap();
        world.refusal("layout");
        std::fs::remove_file(&file).unwrap();
        assert!(world.refusal("layout").contains(path.rsplit('/').next().unwrap()), "{path}");
    }
}

#[test]
fn indexes_and_manifests_that_make_no_sense_are_refused() {
    let deep = {
        let mut layout = Layout::default();
        let mut inner = layout.blob(Layout::index(&[]).into_bytes(), INDEX, "");
        for _ in 0..10 {
            inner = layout.blob(Layout::index(&[inner]).into_bytes(), INDEX, "");
        }
        layout.manifests.push(inner);
        layout
    };
    let circle = {
        let mut layout = Layout::default();
        let own = Layout::index(&[]);
        let descriptor = layout.blob(own.into_bytes(), INDEX, "");
        layout.manifests.push(descriptor);
        let name = layout.blobs.keys().next().unwrap().clone();
        let itself = Layout::index(&layout.manifests);
        layout.blobs.insert(name, itself.into_bytes());
        layout
    };
    let wide = {
        let mut layout = Layout::default();
        let empty = layout.blob(Layout::index(&[]).into_bytes(), INDEX, "");
        layout.manifests = vec![empty; 300];
        layout
    };
    let unknown_entry = {
        let mut layout = Layout::default();
        let odd = layout.blob(b"x".to_vec(), "application/x-odd", "");
        layout.manifests.push(odd);
        layout
    };
    let unknown_layer = {
        let mut layout = Layout::default();
        let manifest = layout.image(&[base()], "amd64", "application/vnd.oci.image.layer.v1.tar+encrypted");
        let descriptor = layout.blob(manifest.into_bytes(), MANIFEST, "");
        layout.manifests.push(descriptor);
        layout
    };
    let empty = {
        let mut layout = Layout::default();
        layout.blob(b"of nobody".to_vec(), LAYER, "");
        layout
    };
    for (layout, word) in [
        (deep, "deep"),
        (circle, "bytes instead of"),
        (wide, "more than 256"),
        (unknown_entry, "application/x-odd"),
        (unknown_layer, "+encrypted"),
        (empty, "no image"),
    ] {
        let world = World::new();
        layout.write(&world, "layout");
        let text = world.refusal("layout");
        assert!(text.contains(word), "{word}: {text}");
    }
}
