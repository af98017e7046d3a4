use super::*;

#[test]
fn credentials_are_one_aligned_message() {
    let mut encoder = Encoder::new(100);
    encoder.push_credentials(Ucred { pid: 1, uid: 2, gid: 3 });
    let mut expected = vec![28, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
    expected.extend([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encoder.bytes(), expected);
    assert!(!encoder.is_cut);
}

#[test]
fn what_does_not_fit_is_cut_and_told() {
    for (room, len) in [(0, 0), (15, 0), (16, 16), (20, 20), (28, 28)] {
        let mut encoder = Encoder::new(room);
        encoder.push_credentials(Ucred::default());
        assert_eq!((encoder.bytes().len(), encoder.is_cut), (len, room < 28), "{room}");
    }
}
