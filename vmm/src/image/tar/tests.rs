//! What is written is read again as it was.

use std::io::Read;

use proptest::prelude::*;

use super::{Extent, Member, MemberKind, TarReader, TarWriter};

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(1_u8..=255, 1..20),
        proptest::collection::vec(1_u8..=255, 90..300),
        Just(b"plain".to_vec())
    ]
    // A name that ends with a slash is a directory's.
    .prop_map(|name| name.into_iter().map(|byte| if byte == b'/' { b'_' } else { byte }).collect())
}

fn kind() -> impl Strategy<Value = MemberKind> {
    prop_oneof![
        Just(MemberKind::Regular),
        Just(MemberKind::Regular),
        Just(MemberKind::Directory),
        name().prop_map(MemberKind::Symlink),
        name().prop_map(MemberKind::HardLink),
        (0_u32..4096, 0_u32..1 << 20).prop_map(|(major, minor)| MemberKind::CharacterDevice(major, minor)),
        (0_u32..4096, 0_u32..1 << 20).prop_map(|(major, minor)| MemberKind::BlockDevice(major, minor)),
        Just(MemberKind::Fifo),
    ]
}

fn xattr() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let value = proptest::collection::vec(any::<u8>(), 1..40);
    ("user\\.[a-z]{1,8}", value).prop_map(|(name, value)| (name.into_bytes(), value))
}

/// Gaps and lengths become parts of a file that ends with a hole or with data.
fn extents() -> impl Strategy<Value = Option<(Vec<Extent>, u64)>> {
    let parts = proptest::collection::vec((1_u64..1 << 40, 1_u64..2000), 0..6);
    proptest::option::of((parts, 0_u64..5000)).prop_map(|sparse| {
        sparse.map(|(parts, rest)| {
            let mut end = 0;
            let extents = parts.into_iter().map(|(gap, len)| {
                let extent = Extent { offset: end + gap, len };
                end = extent.offset + len;
                extent
            });
            let extents: Vec<Extent> = extents.collect();
            let end = extents.last().map_or(0, |extent| extent.offset + extent.len);
            (extents, end + rest)
        })
    })
}

fn member() -> impl Strategy<Value = Member> {
    let ids = (any::<u32>().prop_map(|id| id.min(u32::MAX - 1)), 0_u32..70_000);
    let modified = (-(1_i64 << 40)..1 << 40, prop_oneof![Just(0), 0_u32..1_000_000_000]);
    (
        name(),
        kind(),
        0_u32..0o10_000,
        ids,
        modified,
        proptest::collection::vec(xattr(), 0..3),
        0_u64..3000,
        extents(),
    )
        .prop_map(|(path, kind, mode, (uid, gid), modified, xattrs, len, sparse)| {
            let is_regular = kind == MemberKind::Regular;
            let (extents, size) = match sparse.filter(|_| is_regular) {
                Some((extents, size)) => (Some(extents), size),
                None => (None, if is_regular { len } else { 0 }),
            };
            Member { path, kind, mode, uid, gid, modified, xattrs, size, extents, position: 0 }
        })
}

fn data_len(member: &Member) -> u64 {
    member.extents.as_ref().map_or(member.size, |extents| extents.iter().map(|extent| extent.len).sum())
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(members in proptest::collection::vec(member(), 0..8)) {
        let mut writer = TarWriter::new(Vec::new());
        for (number, member) in members.iter().enumerate() {
            writer.add(member, &mut std::io::repeat(number as u8 + 1)).unwrap();
        }
        let archive = writer.finish().unwrap();
        let mut reader = TarReader::new(&archive[..]);
        for (number, member) in members.iter().enumerate() {
            let mut found = reader.next_member().unwrap().unwrap();
            let mut data = Vec::new();
            reader.read_to_end(&mut data).unwrap();
            if member.kind == MemberKind::Regular {
                prop_assert_eq!(data, vec![number as u8 + 1; data_len(member) as usize]);
            }
            found.position = 0;
            if let Some(extents) = &mut found.extents {
                extents.retain(|extent| extent.len > 0);
            }
            prop_assert_eq!(&found, member);
        }
        prop_assert!(reader.next_member().unwrap().is_none());
        prop_assert!(reader.has_end_mark());
    }
}

#[test]
fn data_that_is_cut_short_is_an_error() {
    let member = Member {
        path: b"file".to_vec(),
        kind: MemberKind::Regular,
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified: (0, 0),
        xattrs: Vec::new(),
        size: 10,
        extents: None,
        position: 0,
    };
    let error = TarWriter::new(Vec::new()).add(&member, &mut &b"short"[..]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}
