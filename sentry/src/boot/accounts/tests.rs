use super::*;

fn accounts() -> Accounts {
    Accounts {
        passwd: "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34::/srv:/bin/sh\n7:x:70:71::/seven:\n"
            .into(),
        group: "root:x:0:\nweb:x:34:\nextra:x:50:other,web\nmore:x:51:web\n".into(),
    }
}

#[test]
fn users_are_found_as_docker_finds_them() {
    for (text, uid, gid, groups) in [
        ("web", 33, 34, &[50, 51][..]),
        ("33", 33, 34, &[50, 51]),
        ("web:root", 33, 0, &[]),
        ("web:99", 33, 99, &[]),
        ("12", 12, 0, &[]),
        ("12:extra", 12, 50, &[]),
        // A name that looks like a number is a name.
        ("7", 70, 71, &[]),
        ("", 0, 0, &[]),
        (":extra", 0, 50, &[]),
    ] {
        let expected = User { uid, gid, groups: groups.to_vec() };
        assert_eq!(accounts().find(text), Ok(expected), "{text}");
    }
}

#[test]
fn names_that_there_are_not_are_errors() {
    assert_eq!(accounts().find("nobody"), Err(AccountError::User("nobody".into())));
    assert_eq!(accounts().find("web:staff"), Err(AccountError::Group("staff".into())));
    for text in ["4294967295", "-1", "0x1", "broken", "+5"] {
        assert!(accounts().find(text).is_err(), "{text}");
    }
}

#[test]
fn a_home_is_that_of_the_number() {
    for (uid, home) in [(0, "/root"), (33, "/srv"), (12, "/")] {
        assert_eq!(accounts().home(uid), home);
    }
}
