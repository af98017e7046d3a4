use super::*;

#[test]
fn the_block_grows_down_and_ends_aligned() {
    let mut block = Block::new(0x1000);
    let addresses = block.push_strings(&[b"a".to_vec(), b"bc".to_vec()]);
    let words = block.push_words(&[1, 2, 3]);
    assert_eq!(words % 16, 0);
    let bytes = block.into_bytes();
    assert_eq!(bytes.len() as u64, 0x1000 - words);
    assert_eq!(&bytes[..8], &1u64.to_le_bytes());
    let at = |address: u64| (address - words) as usize;
    assert_eq!(&bytes[at(addresses[0])..][..5], b"a\0bc\0");
}

#[test]
fn strings_over_a_quarter_of_the_stack_are_too_big() {
    let strings = vec![vec![b'x'; 100_000]; 20];
    assert_eq!(check_size(&strings, &[], 8 << 20), Ok(()));
    assert_eq!(check_size(&strings, &strings, 8 << 20), Err(Errno::E2BIG));
    assert_eq!(check_size(&[vec![b'x'; MAX_ARGUMENT_BYTES]], &[], u64::MAX), Err(Errno::E2BIG));
}
