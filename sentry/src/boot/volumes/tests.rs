use super::*;

fn point(source: &Path) -> MountPoint {
    MountPoint {
        target: "/v".into(),
        file_system: HOSTFS.into(),
        source: Some(source.into()),
        options: String::new(),
        is_read_only: false,
    }
}

#[test]
fn what_is_no_volume_is_named() {
    for (path, word) in [("/nonesuch", "does not exist"), ("/dev/null", "neither"), ("/proc", "kernel")] {
        let error = Volumes::open(&[point(Path::new(path))]).err().unwrap().to_string();
        assert!(error.contains(path) && error.contains(word), "{error}");
    }
}

#[test]
fn volumes_are_those_of_the_mounts() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mounts = [MountPoint::usual(), vec![point(directory.path()), point(&file)]].concat();
    let volumes = Volumes::open(&mounts).unwrap();
    let kinds = volumes.opened.iter().map(|volume| volume.root.is_directory());
    assert_eq!(kinds.collect::<Vec<_>>(), [true, false]);
}
