use proptest::prelude::*;

use super::*;
use crate::loader::fuzzing::Bytes;

/// The fields of a program header: its type, its flags, and the six that are addresses and sizes.
type Fields = (u32, u32, [u64; 6]);

/// Numbers at which things change, and others.
fn number() -> impl Strategy<Value = u64> {
    let edges =
        vec![0, 1, 0x40, 0xfff, 0x1000, 0x40_0000, 0x7fff_ffff_f000, 1 << 63, u64::MAX - 0xfff, u64::MAX];
    prop_oneof![4 => prop::sample::select(edges), 2 => 0..0x3000_u64, 1 => any::<u64>()]
}

fn fields() -> impl Strategy<Value = Fields> {
    let kind =
        prop_oneof![4 => Just(1_u32), 2 => Just(3), 1 => Just(6), 1 => Just(0x6474_e551), 1 => any::<u32>()];
    (kind, any::<u32>(), prop::array::uniform6(number()))
}

/// An ELF file for x86-64 with the program headers, the place and number of which the header tells, truly or not.
fn encode(offset: u64, count: u16, entry: u64, headers: &[Fields]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    file.extend([entry, offset, 0].iter().flat_map(|field| field.to_le_bytes()));
    file.extend([0, 0, 64, 56, count, 0, 0, 0].iter().flat_map(|field: &u16| field.to_le_bytes()));
    for (kind, flags, numbers) in headers {
        file.extend([*kind, *flags].iter().flat_map(|field| field.to_le_bytes()));
        file.extend(numbers.iter().flat_map(|field| field.to_le_bytes()));
    }
    file
}

/// What has been accepted can be asked everything.
fn examine(file: Vec<u8>) {
    let head = file.clone();
    if let Ok(image) = Image::parse(&Bytes(file), &head) {
        let _ = (image.interpreter().map(<[u8]>::len), image.has_executable_stack());
    }
}

proptest! {
    #[test]
    fn whatever_the_headers_a_file_is_parsed_or_refused(
        offset in prop_oneof![8 => Just(64_u64), 1 => number()],
        count in prop_oneof![8 => Just(None), 1 => any::<u16>().prop_map(Some)],
        entry in number(),
        headers in prop::collection::vec(fields(), 0..6),
        rest in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut file = encode(offset, count.unwrap_or(headers.len() as u16), entry, &headers);
        file.extend(rest);
        examine(file);
    }

    #[test]
    fn whatever_the_bytes_an_elf_file_is_parsed_or_refused(
        headers in prop::collection::vec(fields(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        len in any::<prop::sample::Index>(),
    ) {
        let mut file = encode(64, headers.len() as u16, 0x40_0000, &headers);
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        file.truncate(len.index(file.len()) + 1);
        examine(file);
    }
}
