//! Plain archives of a root file system.

use std::io::Write;

use sentry::fs::FileKind;

use super::{Tar, World, contents, exists, root, status};

/// An archive with something of every kind.
pub(super) fn sample() -> Vec<u8> {
    let device = |path: &[u8], kind, major, minor| {
        let mut header = Tar::header(path, kind, 0);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        header.set_cksum();
        header
    };
    let mut owned = Tar::header(b"etc/owned", b'0', 3);
    owned.set_uid(4_000_000_000);
    owned.set_gid(77);
    owned.set_mode(0o6755);
    owned.set_cksum();
    Tar::default()
        .directory("./")
        .directory("etc/")
        .add(&owned, b"own")
        .file("etc/empty", b"")
        .file("etc/large", &vec![7; 10_000])
        .linked("etc/again", b'1', "etc/large")
        .linked("link", b'2', "/etc/../../outside")
        .add(&device(b"null", b'3', 1, 3), &[])
        .add(&device(b"disk", b'4', 300, 70_000), &[])
        .add(&Tar::header(b"fifo", b'6', 0), &[])
        .file("implicit/deep/file", b"deep")
        .end()
}

#[test]
fn an_archive_s_files_are_as_it_says() {
    let world = World::new();
    world.write("a", &sample());
    let root = root(world.open("a").unwrap());
    let owned = status(&root, "etc/owned");
    assert_eq!((owned.uid.0, owned.gid.0, owned.mode, owned.links), (4_000_000_000, 77, 0o106755, 1));
    assert_eq!(contents(&root, "etc/large"), vec![7; 10_000]);
    assert_eq!(contents(&root, "etc/again"), vec![7; 10_000]);
    let (one, other) = (status(&root, "etc/large"), status(&root, "etc/again"));
    assert_eq!((one.identity, one.links), (other.identity, 2));
    assert_eq!((one.modified.seconds, one.size_bytes, one.blocks), (1_000_000, 10_000, 24));
    assert_eq!(status(&root, "etc/empty").size_bytes, 0);
    assert_eq!(status(&root, "link").link_text.as_deref(), Some(&b"/etc/../../outside"[..]));
    for (path, kind, device) in [
        ("null", FileKind::CharacterDevice, (1, 3)),
        ("disk", FileKind::BlockDevice, (300, 70_000)),
        ("fifo", FileKind::Fifo, (0, 0)),
    ] {
        let status = status(&root, path);
        let found = (status.special_device.major, status.special_device.minor);
        assert_eq!((status.kind, found), (kind, device), "{path}");
    }
    assert_eq!((status(&root, "implicit").mode, status(&root, "implicit").links), (0o40755, 3));
    assert_eq!(contents(&root, "implicit/deep/file"), b"deep");
}

#[test]
fn all_compressions_make_one_layer() {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    let (world, plain) = (World::new(), sample());
    world.write("plain", &plain);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    world.write("gzip", &gzip);
    // Two members, as pigz and estargz write them.
    let half = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    world.write("gzip-members", &[half(&plain[..700]), half(&plain[700..])].concat());
    let frames = [
        compress_to_vec(&plain[..700], CompressionLevel::Fastest),
        // A frame without data.
        [&[0x53, 0x2a, 0x4d, 0x18][..], &3_u32.to_le_bytes(), b"xyz"].concat(),
        compress_to_vec(&plain[700..], CompressionLevel::Fastest),
    ];
    world.write("zstd", &frames.concat());
    for name in ["plain", "gzip", "gzip-members", "zstd"] {
        assert_eq!(contents(&root(world.open(name).unwrap()), "etc/owned"), b"own", "{name}");
    }
    assert_eq!(world.kept().len(), 1);
}

#[test]
fn long_names_times_and_attributes_come_from_extended_headers() {
    let world = World::new();
    let long = ["d".repeat(200), "e".repeat(200), "f".repeat(255)].join("/");
    // The value of a capability is binary, and may have a newline in it.
    let capability = b"\x01\x00\x00\x02\n\x04\x00\x00=\x00\x00\x00\n\x00\x00\x00\x00\x00\x00\x00";
    let archive = Tar::default()
        .records(&[
            ("path", long.as_bytes()),
            ("mtime", b"-1.25"),
            ("uid", b"3000000000"),
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.user.note", b"kept"),
            ("SCHILY.xattr.security.selinux", b"left out"),
        ])
        .file("short", b"data")
        .long_name(&[b'g'; 255])
        .file("other", b"gnu")
        .records(&[("linkpath", b"a target")])
        .linked("symlink", b'2', "ignored")
        .end();
    world.write("a", &archive);
    let root = root(world.open("a").unwrap());
    let found = status(&root, &long);
    assert_eq!((found.modified.seconds, found.modified.nanoseconds), (-2, 750_000_000));
    assert_eq!(found.uid.0, 3_000_000_000);
    let mut file = root.clone();
    for name in long.split('/') {
        file = file.lookup(name.as_bytes()).unwrap().0;
    }
    let expected = vec![
        (b"security.capability".to_vec(), capability.to_vec()),
        (b"user.note".to_vec(), b"kept".to_vec()),
    ];
    assert_eq!(file.xattrs(), expected);
    assert!(exists(&root, &"g".repeat(255)));
    assert_eq!(status(&root, "symlink").link_text.as_deref(), Some(&b"a target"[..]));
}

#[test]
fn later_members_replace_earlier_ones() {
    let world = World::new();
    let archive = Tar::default()
        .file("file", b"first")
        .file("file", b"second")
        .file("d/kept", b"kept")
        .directory("d/")
        .directory("becomes")
        .file("becomes/lost", b"")
        .file("becomes", b"a file")
        .file("Case", b"upper")
        .file("case", b"lower")
        .end();
    world.write("a", &archive);
    let root = root(world.open("a").unwrap());
    for (path, expected) in [
        ("file", &b"second"[..]),
        ("d/kept", b"kept"),
        ("becomes", b"a file"),
        ("Case", b"upper"),
        ("case", b"lower"),
    ] {
        assert_eq!(contents(&root, path), expected, "{path}");
    }
}

#[test]
fn holes_of_sparse_files_stay_holes() {
    let world = World::new();
    let map = b"2\n4096\n5\n1000000\n3\n";
    let mut data = map.to_vec();
    data.resize(512, 0);
    data.extend(b"firstend");
    let archive = Tar::default()
        .records(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.realsize", b"2000000"),
        ])
        .file("GNUSparseFile.0/sparse", &data)
        .records(&[("GNU.sparse.size", b"9000"), ("GNU.sparse.map", b"8000,4")])
        .file("older", b"data")
        .file("after", b"after")
        .end();
    world.write("a", &archive);
    let root = root(world.open("a").unwrap());
    let sparse = contents(&root, "sparse");
    assert_eq!(
        (sparse.len(), &sparse[4096..4101], &sparse[1_000_000..1_000_003]),
        (2_000_000, &b"first"[..], &b"end"[..])
    );
    assert_eq!(sparse.iter().filter(|byte| **byte != 0).count(), 8);
    assert_eq!(status(&root, "sparse").blocks, 8);
    assert_eq!(contents(&root, "older"), [&[0; 8000][..], b"data", &[0; 996]].concat());
    assert_eq!(contents(&root, "after"), b"after");
}
