use super::*;

#[test]
fn only_what_was_asked_for_stays_in_a_set() {
    let mut sets =
        Sets { places: [1, 2, 0].map(UserPointer::new), words: [vec![0b1010, 1], vec![0b10, 0], vec![0, 0]] };
    assert_eq!(sets.wanted(1), SELECTED[0] | SELECTED[1]);
    assert_eq!(sets.wanted(64), SELECTED[0]);
    assert_eq!(sets.wanted(0), Events::empty());
    let ready = [(1, Events::IN), (3, Events::empty()), (64, Events::HUP)];
    assert_eq!(sets.keep_ready(&ready), 2);
    assert_eq!(sets.words, [vec![0b10, 1], vec![0, 0], vec![0, 0]]);
}
