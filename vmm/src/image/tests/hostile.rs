//! Archives that are torn, and archives that mean harm: one line, and nothing is kept.

use std::io::Write;

use super::{MIB, Tar, World};

#[test]
fn an_archive_that_is_cut_short_anywhere_is_refused() {
    let world = World::new();
    let whole = Tar::default()
        .directory("d/")
        .records(&[("mtime", b"12.5")])
        .file("d/file", &[5; 700])
        .long_name(&[b'x'; 120])
        .file("x", b"long")
        .linked("link", b'2', "d/file")
        .end();
    // Of two blocks of zeros at the end, one will do.
    for len in 0..whole.len() - 512 {
        world.write("a", &whole[..len]);
        world.refusal("a");
    }
    world.write("a", &whole[..whole.len() - 512]);
    world.open("a").unwrap();
}

#[test]
fn a_compressed_archive_that_is_cut_short_anywhere_is_refused() {
    let world = World::new();
    let whole = Tar::default().file("file", &(0..=255).collect::<Vec<u8>>()).end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&whole).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(&whole[..], ruzstd::encoding::CompressionLevel::Fastest);
    for compressed in [gzip, zstd] {
        for len in 0..compressed.len() {
            world.write("a", &compressed[..len]);
            world.refusal("a");
        }
    }
}

#[test]
fn a_member_that_leads_elsewhere_is_named() {
    let long = [b'n'; 10_000];
    let deep = "d/".repeat(3000);
    let cases: Vec<(&str, Tar, &[&str])> = vec![
        ("up", Tar::default().file("../up", b""), &["../up", "leads up"]),
        ("up later", Tar::default().file("a/../../up", b""), &["a/../../up", "leads up"]),
        ("absolute up", Tar::default().file("/../up", b""), &["/../up", "leads up"]),
        (
            "hard link up",
            Tar::default().file("a", b"").linked("b", b'1', "../../etc/passwd"),
            &["'b'", "hard link", "leads up"],
        ),
        (
            "through a link",
            Tar::default().linked("d", b'2', "/etc").file("d/passwd", b""),
            &["d/passwd", "'d'", "no directory"],
        ),
        (
            "through a link over a directory",
            Tar::default().directory("d").linked("d", b'2', "/etc").file("d/passwd", b""),
            &["d/passwd", "'d'", "no directory"],
        ),
        (
            "hard link through a link",
            Tar::default().linked("d", b'2', "/etc").linked("p", b'1', "d/passwd"),
            &["'p'", "hard link", "'d'"],
        ),
        ("through a file", Tar::default().file("f", b"").file("f/g", b""), &["f/g", "'f'", "no directory"]),
        (
            "hard link to a directory",
            Tar::default().directory("d").linked("e", b'1', "d"),
            &["'e'", "directory"],
        ),
        ("hard link to nothing", Tar::default().linked("e", b'1', "none"), &["hard link", "none"]),
        ("no name", Tar::default().file("./", b"").file(".", b"x"), &["'.'", "no name"]),
        ("long name", Tar::default().long_name(&long).file("n", b""), &["nnnn", "10000"]),
        ("long path", Tar::default().long_name(deep.as_bytes()).file("n", b""), &["d/d/d", "6000"]),
        ("unknown kind", Tar::default().add(&Tar::header(b"odd", b'Q', 0), &[]), &["odd", "'Q'"]),
        ("zero in a name", Tar::default().records(&[("path", b"a\0b")]).file("n", b""), &["a\\x00b", "zero"]),
        ("odd mtime", Tar::default().records(&[("mtime", b"soon")]).file("n", b""), &["'n'", "mtime"]),
        ("no user", Tar::default().records(&[("uid", b"4294967295")]).file("n", b""), &["'n'", "uid"]),
        (
            "sparse parts overlap",
            Tar::default()
                .records(&[("GNU.sparse.size", b"100"), ("GNU.sparse.map", b"0,3,2,1")])
                .file("n", b"data"),
            &["'n'", "overlap"],
        ),
        (
            "too long to be sparse",
            Tar::default()
                .records(&[("GNU.sparse.size", b"18446744073709551615"), ("GNU.sparse.map", b"0,4")])
                .file("n", b"data"),
            &["'n'", "too long"],
        ),
        ("hides nothing", Tar::default().file(".wh...", b""), &[".wh...", "hides nothing"]),
    ];
    for (case, archive, words) in cases {
        let world = World::new();
        world.write("a", &archive.end());
        let text = match case {
            // The layer itself is whole; it is what is below that lacks the file.
            "hard link to nothing" => format!("{:#}", world.open("a").err().unwrap()),
            _ => world.refusal("a"),
        };
        for word in words {
            assert!(text.contains(word), "{case}: {word}: {text}");
        }
        assert!(!world.path("up").exists() && !world.path("passwd").exists(), "{case}");
    }
}

#[test]
fn a_bomb_is_stopped_at_its_limit_and_a_higher_limit_lets_it_pass() {
    let world = World::new();
    let zeros = Tar::default().file("zeros", &vec![0; 20 * MIB as usize]).end();
    let many = (0..2000).fold(Tar::default(), |archive, number| archive.file(&format!("f{number}"), b""));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&zeros).unwrap();
    world.write("zeros", &zeros);
    world.write("zeros.gz", &gzip.finish().unwrap());
    world.write("many", &many.end());
    for name in ["zeros", "zeros.gz", "many"] {
        let error = format!("{:#}", world.open_within(name, 8 * MIB).err().unwrap());
        assert!(
            error.contains("more than 8388608 bytes") && error.contains("--image-limit"),
            "{name}: {error}"
        );
        assert!(world.kept().is_empty(), "{name}");
    }
    for name in ["zeros", "zeros.gz", "many"] {
        world.open_within(name, 48 * MIB).unwrap();
    }
}

#[test]
fn a_header_that_announces_a_great_deal_takes_no_memory_for_it() {
    for kind in *b"LKxg" {
        let world = World::new();
        let header = Tar::header(b"bomb", kind, 1 << 32);
        world.write("a", &Tar::default().add(&header, b"x").end());
        assert!(world.refusal("a").contains("extended header"), "{}", kind as char);
    }
    let world = World::new();
    let nested = (0..100).fold(Tar::default(), |archive, _| archive.long_name(b"x"));
    world.write("a", &nested.file("x", b"").end());
    assert!(world.refusal("a").contains("extended headers"));
}

#[test]
fn what_is_no_archive_is_refused() {
    let world = World::new();
    for contents in
        [&b""[..], b"#!/bin/sh\n", &[0; 4096], &[7; 4096], b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0"]
    {
        world.write("a", contents);
        world.refusal("a");
    }
}
