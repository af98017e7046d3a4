use super::*;

#[test]
fn white_space_in_names_is_escaped() {
    let mut text = Vec::new();
    escape(&mut text, b"/a b\n\\");
    assert_eq!(text, b"/a\\040b\\012\\134");
}
