use super::*;

#[test]
fn names_are_those_of_containers() {
    for name in ["web-1", "0af3", "a.b_c", &"x".repeat(64)] {
        assert_eq!(container_name(name).unwrap(), name);
    }
    for name in ["", ".", "..", "a/b", "-x", "a b", "a\n", "\u{e9}", &"x".repeat(65)] {
        assert!(container_name(name).is_err(), "{name:?}");
    }
}
