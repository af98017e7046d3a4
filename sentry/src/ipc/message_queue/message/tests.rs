use super::*;

#[test]
fn a_selection_finds_the_message_that_the_manual_page_says() {
    let budget = Arc::default();
    let queue: VecDeque<_> =
        [5, 3, 9, 3].map(|kind| Message::new(&budget, kind, 0, |_| Ok(())).unwrap()).into();
    for (selection, place) in [
        (Selection::Any, Some(0)),
        (Selection::Type(3), Some(1)),
        (Selection::Type(4), None),
        (Selection::NotType(5), Some(1)),
        (Selection::AtMost(4), Some(1)),
        (Selection::AtMost(9), Some(1)),
        (Selection::AtMost(2), None),
        (Selection::CopyAt(3), Some(3)),
        (Selection::CopyAt(4), None),
        (Selection::CopyAt(-1), None),
    ] {
        assert_eq!(selection.find(&queue), place, "{selection:?}");
    }
}
