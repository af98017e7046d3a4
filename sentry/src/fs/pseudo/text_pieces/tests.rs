use super::*;

#[test]
fn a_piece_serves_what_lies_in_it() {
    let text: Vec<u8> = (0..MAX_KEPT_BYTES + 100).map(|place| place as u8).collect();
    let first = Kept::cut(text.clone(), 0).unwrap();
    assert_eq!(first.rest(5), Some(&text[5..MAX_KEPT_BYTES]));
    assert_eq!(first.rest(MAX_KEPT_BYTES), None);
    let last = Kept::cut(text.clone(), MAX_KEPT_BYTES).unwrap();
    assert_eq!(last.rest(MAX_KEPT_BYTES + 10), Some(&text[MAX_KEPT_BYTES + 10..]));
    assert_eq!(last.rest(text.len()), Some(&[][..]));
    assert_eq!(last.rest(text.len() + 7), Some(&[][..]));
    assert_eq!(last.rest(MAX_KEPT_BYTES - 1), None);
}
