use super::*;

#[test]
fn users_are_numbers_or_names() {
    let numbers = |uid, gid| UserChoice::Numbers(User { uid, gid, ..User::default() });
    assert_eq!((user("5:6").unwrap(), user("5").unwrap()), (numbers(5, 6), numbers(5, 5)));
    for text in ["root", "web:5", "5:web", "a-b"] {
        assert_eq!(user(text).unwrap(), UserChoice::Named(text.into()));
    }
    for text in ["", "5:", ":5", "-1", "4294967295", "a:b:c"] {
        assert!(user(text).is_err(), "{text}");
    }
}
