use super::*;

#[test]
fn a_place_is_in_a_sandbox_if_a_name_is_ahead_of_it() {
    let host = |text: &str| Place::Host(text.into());
    for text in ["file", "./a:b", "/a:b", "..", "-"] {
        assert_eq!(place(OsStr::new(text)).unwrap(), host(text));
    }
    let inside = |name: &str, path: &str| Place::Sandbox(Target::Container(name.into()), path.into());
    assert_eq!(place(OsStr::new("web:/a:b")).unwrap(), inside("web", "/a:b"));
    for text in ["web:", "web:a", ":/a", "a b:/c"] {
        assert!(place(OsStr::new(text)).is_err(), "{text}");
    }
}
