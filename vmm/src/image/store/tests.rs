use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use oci_spec::image::{Arch, ImageConfigurationBuilder, Os, RootFsBuilder};

use super::super::chain;
use super::catalogue::Record;
use super::{Digest, Store};

fn store(directory: &tempfile::TempDir) -> Store {
    Store::open(Some(&directory.path().join("store"))).unwrap()
}

fn names(store: &Store, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(store.path().join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn add_layer(store: &Store, digest: &Digest, len: usize) {
    let make = |file: &fs::File| Ok((&*file).write_all(&vec![1; len])?);
    store.layer(digest, make).unwrap();
}

/// Enters an image with these layers, and its tree.
fn add_image(store: &Store, name: &str, layers: &[Digest]) -> String {
    let of_layers =
        RootFsBuilder::default().diff_ids(layers.iter().map(Digest::to_string).collect::<Vec<_>>());
    let configuration = ImageConfigurationBuilder::default()
        .os(Os::Linux)
        .architecture(Arch::Amd64)
        .rootfs(of_layers.build().unwrap())
        .build()
        .unwrap();
    let record =
        Record { names: vec![name.into()], layers: layers.iter().map(Digest::hex).collect(), configuration };
    let id = Digest::of(name.as_bytes()).hex();
    store.tree(&chain::id(layers), |file| Ok((&*file).write_all(b"tree")?)).unwrap();
    store.change_catalogue(|catalogue| catalogue.enter(&id, record, None)).unwrap();
    id
}

#[test]
fn of_all_who_want_a_layer_at_once_one_makes_it() {
    let directory = tempfile::tempdir().unwrap();
    let (made, digest) = (AtomicUsize::new(0), Digest::of(b"layer"));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let make = |file: &fs::File| {
                    made.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                    Ok((&*file).write_all(b"whole")?)
                };
                let layer = store(&directory).layer(&digest, make).unwrap();
                assert_eq!(std::io::read_to_string(layer).unwrap(), "whole");
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
    assert_eq!(names(&store(&directory), "layers"), [digest.hex()]);
}

#[test]
fn what_was_interrupted_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (store, digest) = (store(&directory), Digest::of(b"layer"));
    // As a process leaves it that is killed while it writes.
    let left = store.path().join("layers").join(format!("{}.partial", digest.hex()));
    fs::write(&left, "half of something longer").unwrap();
    assert!(!store.has_layer(&digest));
    let layer = store.layer(&digest, |file| Ok((&*file).write_all(b"whole")?)).unwrap();
    assert_eq!(std::io::read_to_string(layer).unwrap(), "whole");
    assert_eq!(names(&store, "layers"), [digest.hex()]);
}

#[test]
fn what_fails_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (store, digest) = (store(&directory), Digest::of(b"layer"));
    let failed = store.layer(&digest, |file| {
        (&*file).write_all(b"half")?;
        anyhow::bail!("no more")
    });
    assert_eq!(failed.unwrap_err().to_string(), "no more");
    assert!(names(&store, "layers").is_empty());
    add_layer(&store, &digest, 1);
}

#[test]
fn a_store_that_is_removed_meanwhile_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let removed = store.layer(&Digest::of(b"layer"), |_| Ok(fs::remove_dir_all(store.path())?));
    assert!(removed.is_err());
}

#[test]
fn removing_an_image_removes_what_no_other_has() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let [shared, own] = [Digest::of(b"shared"), Digest::of(b"own")];
    add_layer(&store, &shared, 10);
    add_layer(&store, &own, 10);
    let one = add_image(&store, "one:1", &[shared, own]);
    add_image(&store, "two:1", &[shared]);
    fs::write(store.path().join("layers/left.partial"), "").unwrap();
    let lock = store.lock_exclusive().unwrap();
    store.remove(&one, &lock).unwrap();
    assert_eq!(names(&store, "layers"), [shared.hex()]);
    assert_eq!(names(&store, "trees"), [shared.hex()], "the id of a chain of one is that of the layer");
    assert_eq!(store.catalogue().unwrap().images.len(), 1);
}

#[test]
fn pruning_keeps_what_was_used_last() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let layers = [b"1", b"2", b"3"].map(|text| Digest::of(text));
    for (place, layer) in layers.iter().enumerate() {
        add_layer(&store, layer, 1 << 20);
        add_image(&store, &format!("image:{place}"), &[*layer]);
        let tree = fs::File::open(store.path().join("trees").join(layer.hex())).unwrap();
        // The second was used last.
        let age = [100, 10, 50][place];
        tree.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
    }
    let lock = store.lock_exclusive().unwrap();
    let removed = store.prune((1 << 20) + (1 << 16), &lock).unwrap();
    assert_eq!(removed.len(), 2);
    assert_eq!(names(&store, "layers"), [layers[1].hex()]);
    assert_eq!(store.prune(0, &lock).unwrap().len(), 1);
    assert!(names(&store, "layers").is_empty() && names(&store, "trees").is_empty());
}

#[test]
fn a_name_is_the_image_s_that_had_it_last() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let layer = Digest::of(b"layer");
    add_layer(&store, &layer, 1);
    let old = add_image(&store, "app:1", &[layer]);
    let mut record = store.catalogue().unwrap().images[&old].clone();
    record.names = vec!["app:1".into(), "app:2".into()];
    store.change_catalogue(|catalogue| catalogue.enter("f00f00f00", record, None)).unwrap();
    let catalogue = store.catalogue().unwrap();
    assert_eq!(catalogue.find("docker.io/library/app:1").unwrap().0, "f00f00f00");
    assert!(catalogue.images[&old].names.is_empty());
    assert_eq!(catalogue.find("f00f00").unwrap().0, "f00f00f00");
    assert_eq!(catalogue.find(&old).unwrap().0, &old);
    assert!(catalogue.find("f00").is_none() && catalogue.find("app:3").is_none());
}
