//! Foreign bytes of every kind, changed at random: taken or refused, and never more than they may take. `scripts/fuzz` runs these for longer.

use std::io::{Read, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::archives::sample;
use super::layouts::archive_with_list;
use super::{MIB, World};
use crate::image::allowance::Allowance;
use crate::image::compression::decompress;
use crate::image::tar::{TarReader, shown};
use crate::image::{layer, tree};

const BLOCK_LEN: usize = 512;
/// What `xz` makes of 40 lines.
const XZ: &[u8] = b"\xfd7zXZ\x00\x00\x01i\x22\xde6\x02\x00!\x01\x10\x00\x00\x00\xa8p\x8e\x86\xe0\x015\x00L]\x006\x1aJ\x1f\x08\xa0%\xc1\xde\x94\xba\x90\xcc;+\x1f5:\xf2_\xd5\x9e~s\xb2\xde\xf6F<\x9a\xa3\xeb\x1al\x0e\xa1\x94\x87\x083\x5cG6\x0d.\xb4\x8e*\x95\xe4x\xbf&\xb6`\x88F\x7f\xfe\xcc\x12\xcd\xae\x91\xa3\x0b\xb4\xd4\x96\xe3\xad\x18\x83\x09`\x00\x00\xaa\xb2?\x99\x00\x01d\xb6\x02\x00\x00\x00\xae\xac\xbee>0\x0d\x8b\x02\x00\x00\x00\x00\x01YZ";

/// Bytes that are put somewhere, and how many of the old ones go for them.
type Edit = (Index, Vec<u8>, usize);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let telling = prop_oneof![
        Just(b"-1".to_vec()),
        Just(b"18446744073709551615".to_vec()),
        Just(vec![0xff; 8]),
        Just(b"../".to_vec()),
        Just(b".wh..wh..opq".to_vec()),
        Just(b"GNU.sparse.".to_vec()),
    ];
    let bytes = prop_oneof![3 => vec(any::<u8>(), 0..4), 1 => telling];
    vec((any::<Index>(), bytes, 0_usize..6), 1..6)
}

fn edited(mut bytes: Vec<u8>, edits: &[Edit], keeps_len: bool) -> Vec<u8> {
    for (place, new, gone) in edits {
        let start = place.index(bytes.len() + 1);
        let gone = if keeps_len { new.len() } else { *gone };
        let end = (start + gone).min(bytes.len());
        let new = if keeps_len { &new[..end - start] } else { &new[..] };
        bytes.splice(start..end, new.iter().copied());
    }
    bytes
}

/// The archive with right sums in everything that could be a header.
fn with_sums(mut archive: Vec<u8>) -> Vec<u8> {
    for block in archive.chunks_exact_mut(BLOCK_LEN).filter(|block| block[257..262] == *b"ustar") {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
    }
    archive
}

fn compressed() -> Vec<Vec<u8>> {
    let whole = sample();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&whole).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(&whole[..], ruzstd::encoding::CompressionLevel::Fastest);
    vec![gzip.finish().unwrap(), XZ.to_vec(), zstd]
}

#[test]
fn the_samples_are_whole() {
    for bytes in compressed() {
        let mut unpacked = Vec::new();
        decompress(&bytes[..]).unwrap().1.read_to_end(&mut unpacked).unwrap();
        assert!(unpacked.len() > 300);
    }
    tree::decode(&index()).unwrap();
    for of_docker in [false, true] {
        let world = World::new();
        world.write("image", &archive_with_list(of_docker, |list| list));
        assert_eq!(world.open("image").is_ok(), !of_docker);
    }
}

/// The index of the sample's tree.
fn index() -> Vec<u8> {
    let file = tempfile::tempfile().unwrap();
    layer::unpack(&mut TarReader::new(&sample()[..]), &file, &Allowance::new(MIB)).unwrap();
    let mut index = Vec::new();
    tree::encode(&layer::read_tree(&file).unwrap(), &[], &mut index).unwrap();
    index
}

proptest! {
    #[test]
    fn whatever_the_archive_says_it_makes_a_layer_or_none(edits in edits(), keeps_len in any::<bool>()) {
        let archive = with_sums(edited(sample(), &edits, keeps_len));
        let file = tempfile::tempfile().unwrap();
        let mut reader = TarReader::new(&archive[..]);
        if layer::unpack(&mut reader, &file, &Allowance::new(MIB)).is_ok() {
            layer::read_tree(&file).unwrap();
        }
    }

    #[test]
    fn whatever_the_members_hold_is_bounded_by_the_archive(edits in edits()) {
        let archive = with_sums(edited(sample(), &edits, true));
        let mut reader = TarReader::new(&archive[..]);
        let mut held = 0;
        while let Ok(Some(member)) = reader.next_member() {
            prop_assert!(shown(&member.path).len() < 1000);
            let mut data = Vec::new();
            let is_whole = reader.read_to_end(&mut data).is_ok();
            held += data.len();
            if !is_whole {
                break;
            }
        }
        prop_assert!(held <= archive.len());
    }

    #[test]
    fn whatever_the_compressed_bytes_are_they_come_to_an_end(edits in edits(), which in 0_usize..3) {
        let bytes = edited(compressed().swap_remove(which), &edits, false);
        if let Ok((_, contents)) = decompress(&bytes[..]) {
            let mut unpacked = Vec::new();
            let _ = contents.take(64 * MIB).read_to_end(&mut unpacked);
        }
    }

    #[test]
    fn whatever_the_index_says_it_is_a_tree_or_none(edits in edits()) {
        // Words, as a file's are.
        let bytes = edited(index(), &edits, true);
        let mut words = vec![0_u64; bytes.len().div_ceil(8)];
        let aligned = &mut zerocopy::IntoBytes::as_mut_bytes(&mut words[..])[..bytes.len()];
        aligned.copy_from_slice(&bytes);
        let _ = tree::decode(aligned);
    }

    #[test]
    fn whatever_the_lists_of_images_say_they_are_read_or_refused(edits in edits(), of_docker in any::<bool>()) {
        let world = World::new();
        world.write("image", &archive_with_list(of_docker, |list| edited(list, &edits, false)));
        let _ = world.open("image");
    }
}
