use super::*;

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn manual_and_completions_tell_of_every_option() {
    let manual = String::from_utf8(Arguments::manual().unwrap()).unwrap();
    assert!(manual.starts_with(".ie") && manual.contains("\\-\\-volume"), "{manual}");
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = String::from_utf8(Arguments::completions(shell)).unwrap();
        assert!(script.contains("volume") && script.contains("completions"), "{shell}");
    }
}

#[test]
fn the_image_may_go_without_a_value() {
    for words in [&["vmm", "--image", "--", "sh"][..], &["vmm", "sh"], &["vmm", "--image", "/", "--", "sh"]] {
        let arguments = Arguments::try_parse_from(words).unwrap();
        assert_eq!(
            (arguments.image, arguments.command),
            (OsString::from("/"), vec!["sh".into()]),
            "{words:?}"
        );
    }
}

#[test]
fn options_after_the_command_are_the_command_s() {
    let arguments = Arguments::try_parse_from(["vmm", "--", "ls", "--image", "-l"]).unwrap();
    assert_eq!(arguments.command, ["ls", "--image", "-l"]);
}

#[test]
fn options_that_vmm_does_not_know_are_refused() {
    for words in [&["vmm", "--bogus"][..], &["vmm", "-Z", "ls"]] {
        assert!(Arguments::try_parse_from(words).is_err(), "{words:?}");
    }
    let arguments = Arguments::try_parse_from(["vmm", "ls", "-l", "--", "x"]).unwrap();
    assert_eq!(arguments.command, ["ls", "-l", "--", "x"]);
}

#[test]
fn doctor_is_a_program_after_dashes_or_options() {
    let arguments = Arguments::try_parse_from(["vmm", "doctor"]).unwrap();
    assert_eq!(arguments.subcommand, Some(Subcommand::Doctor { insecure_no_landlock: false }));
    for words in [
        &["vmm", "--", "doctor"][..],
        &["vmm", "--image", "/", "--", "doctor"],
        &["vmm", "--strace", "doctor"],
    ] {
        let arguments = Arguments::try_parse_from(words).unwrap();
        assert_eq!((arguments.subcommand, arguments.command), (None, vec!["doctor".into()]), "{words:?}");
    }
    let arguments = Arguments::try_parse_from(["vmm", "sh", "doctor"]).unwrap();
    assert_eq!((arguments.subcommand, arguments.command.len()), (None, 2));
}

#[test]
fn a_sandbox_is_paused_by_the_number_of_its_process_or_by_its_name() {
    let pid = Pid::from_raw(17).unwrap();
    for (text, sandbox) in [("17", Target::Process(pid)), ("web-1", Target::Container("web-1".into()))] {
        let arguments = Arguments::try_parse_from(["vmm", "pause", text]).unwrap();
        assert_eq!(arguments.subcommand, Some(Subcommand::Pause { sandbox }));
    }
    for text in ["0", "-1", "", "a/b", "99999999999"] {
        assert!(Arguments::try_parse_from(["vmm", "pause", "--", text]).is_err(), "{text}");
    }
    assert!(Arguments::try_parse_from(["vmm", "resume"]).is_err());
}

#[test]
fn later_variables_replace_earlier_ones() {
    let home = Some("/root");
    let variables = environment(&[], vec!["A=1".into(), "A=2=3".into(), "HOME=/x".into()], home).unwrap();
    assert!(variables.contains(&b"A=2=3".to_vec()) && !variables.contains(&b"A=1".to_vec()));
    assert!(variables.contains(&b"HOME=/x".to_vec()) && !variables.contains(&b"HOME=/root".to_vec()));
    assert!(variables[0].starts_with(b"PATH=") && variables.ends_with(&[b"A=2=3".into(), b"HOME=/x".into()]));
    // One that vmm itself does not have is nobody's.
    let variables = environment(&[], vec!["A=1".into(), "A".into()], home).unwrap();
    assert!(!variables.iter().any(|variable| variable.starts_with(b"A=")));
    assert!(environment(&[], vec!["=x".into()], home).is_err());
}

#[test]
fn names_are_those_of_containers() {
    for name in ["web-1", "0af3", "a.b_c", &"x".repeat(64)] {
        assert_eq!(container_name(name).unwrap(), name);
    }
    for name in ["", ".", "..", "a/b", "-x", "a b", "a\n", "\u{e9}", &"x".repeat(65)] {
        assert!(container_name(name).is_err(), "{name:?}");
    }
}

#[test]
fn host_names_are_those_that_linux_takes() {
    for (name, is_fine) in [("x".repeat(64), true), ("x".repeat(65), false), (String::new(), true)] {
        let arguments = Arguments::try_parse_from(["vmm", "--hostname", &name, "true"]);
        assert_eq!(arguments.is_ok_and(|arguments| arguments.hostname == *name), is_fine, "{name}");
    }
}

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
