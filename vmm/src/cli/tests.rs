use std::ffi::OsString;

use rustix::process::Pid;
use vmm::control::Target;

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn manual_and_completions_tell_of_every_option() {
    let manual = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        man::page(Arguments::command(), &words).map(|page| String::from_utf8(page).unwrap())
    };
    let whole = manual(&[]).unwrap();
    assert!(whole.starts_with(".ie") && whole.contains("\\-\\-volume"), "{whole}");
    let commit = manual(&["images", "commit"]).unwrap();
    assert!(commit.contains("vmm\\-images\\-commit") && commit.contains("LAYER"), "{commit}");
    assert!(manual(&["images", "nonesuch"]).unwrap_err().to_string().contains("commit"));
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
            (arguments.run.image, arguments.run.command),
            (OsString::from("/"), vec!["sh".into()]),
            "{words:?}"
        );
    }
}

#[test]
fn options_after_the_command_are_the_command_s() {
    let arguments = Arguments::try_parse_from(["vmm", "--", "ls", "--image", "-l"]).unwrap();
    assert_eq!(arguments.run.command, ["ls", "--image", "-l"]);
}

#[test]
fn options_that_vmm_does_not_know_are_refused() {
    for words in [&["vmm", "--bogus"][..], &["vmm", "-Z", "ls"]] {
        assert!(Arguments::try_parse_from(words).is_err(), "{words:?}");
    }
    let arguments = Arguments::try_parse_from(["vmm", "ls", "-l", "--", "x"]).unwrap();
    assert_eq!(arguments.run.command, ["ls", "-l", "--", "x"]);
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
        assert_eq!((arguments.subcommand, arguments.run.command), (None, vec!["doctor".into()]), "{words:?}");
    }
    let arguments = Arguments::try_parse_from(["vmm", "sh", "doctor"]).unwrap();
    assert_eq!((arguments.subcommand, arguments.run.command.len()), (None, 2));
}

#[test]
fn a_sandbox_is_paused_by_the_number_of_its_process_or_by_its_name() {
    let pid = Pid::from_raw(17).unwrap();
    for (text, sandbox) in [("17", Target::Process(pid)), ("web-1", Target::Container("web-1".into()))] {
        let arguments = Arguments::try_parse_from(["vmm", "pause", text]).unwrap();
        assert_eq!(arguments.subcommand, Some(Subcommand::Pause(TargetArguments { sandbox })));
    }
    for text in ["0", "-1", "", "a/b", "99999999999"] {
        assert!(Arguments::try_parse_from(["vmm", "pause", "--", text]).is_err(), "{text}");
    }
    assert!(Arguments::try_parse_from(["vmm", "resume"]).is_err());
}

#[test]
fn host_names_are_those_that_linux_takes() {
    for (name, is_fine) in [("x".repeat(64), true), ("x".repeat(65), false), (String::new(), true)] {
        let arguments = Arguments::try_parse_from(["vmm", "--hostname", &name, "true"]);
        assert_eq!(arguments.is_ok_and(|arguments| arguments.run.hostname == *name), is_fine, "{name}");
    }
}
