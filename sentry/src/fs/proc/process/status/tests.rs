use super::*;

#[test]
fn cpu_lists_are_ranges() {
    for (bits, list) in [(0, ""), (1, "0"), (3, "0-1"), (0b1011_0001, "0,4-5,7"), (u64::MAX, "0-63")] {
        assert_eq!(number_ranges(bits), list);
    }
}

#[test]
fn names_cannot_forge_lines() {
    assert_eq!(escaped_name(b"a\nUid:\\"), "a\\nUid:\\\\");
}
