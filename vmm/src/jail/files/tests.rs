use super::*;

#[test]
fn landlock_is_enough_from_truncation_on() {
    for (landlock, is_enough, text) in [
        (Landlock::Missing, false, "none"),
        (Landlock::Abi(2), false, "ABI 2, which knows less than ABI 3"),
        (Landlock::Abi(3), true, "ABI 3"),
        (Landlock::Abi(7), true, "ABI 7"),
    ] {
        assert_eq!((landlock.is_enough(), landlock.describe().as_str()), (is_enough, text));
    }
}
