use std::io;

use super::*;

fn ordinary() -> Uid {
    Uid::from_raw(1000)
}

#[test]
fn what_keeps_users_from_user_namespaces_is_named() {
    let settings = tempfile::tempdir().unwrap();
    assert!(missing_of(ordinary(), settings.path(), true).is_empty());
    for (setting, denied, remedy) in USER_NAMESPACES {
        let file = settings.path().join(setting);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("{denied}\n")).unwrap();
        let missing = missing_of(ordinary(), settings.path(), true);
        assert!(missing.len() == 1 && missing[0].ends_with(remedy), "{missing:?}");
        assert!(missing_of(Uid::ROOT, settings.path(), false).is_empty(), "root needs none");
        fs::write(&file, "12\n").unwrap();
        assert!(missing_of(ordinary(), settings.path(), true).is_empty(), "{setting}");
    }
    assert!(missing_of(ordinary(), settings.path(), false)[0].contains("XDG_STATE_HOME"));
}

#[test]
fn whom_the_device_is_open_to_says_what_to_do() {
    let denied = io::Error::from_raw_os_error(libc::EACCES);
    assert!(device_is_closed(&denied, 104, 0o660).contains("join its group 104"));
    assert!(device_is_closed(&denied, 0, 0o600).contains("chgrp kvm"));
}

#[test]
fn who_asks_is_told() {
    assert!(describe_user(ordinary()).starts_with("user 1000,"));
    assert!(describe_user(Uid::ROOT).starts_with("root"));
}
