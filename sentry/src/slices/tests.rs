use super::*;

#[test]
fn a_part_of_a_buffer_is_there() {
    let mut bytes = [1, 2, 3];
    assert_eq!(first(&bytes, 2), Ok(&[1, 2][..]));
    assert_eq!(rest(&bytes, 2), Ok(&[3][..]));
    assert_eq!(rest(&bytes, 3), Ok(&[][..]));
    assert_eq!(first_mut(&mut bytes, 3).map(|part| part.len()), Ok(3));
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "4 bytes of a buffer of 3")]
fn a_part_that_is_not_there_stops_a_debug_build() {
    let _ = first(&[1, 2, 3], 4);
}

#[test]
#[cfg(not(debug_assertions))]
fn a_part_that_is_not_there_is_eio() {
    assert_eq!(first(&[1, 2, 3], 4), Err(Errno::EIO));
}
