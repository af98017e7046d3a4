use super::*;
use crate::cred::{KernelGid, KernelUid};

fn facts() -> NameFacts {
    NameFacts {
        process: 7,
        root_process: 70,
        thread: 8,
        root_thread: 80,
        uid: KernelUid(1),
        gid: KernelGid(2),
        dumpable: 1,
        signal: 11,
        time_s: 1000,
        host: b"box".to_vec(),
        name: b"..".to_vec(),
        executable: b"/usr/bin/prog".to_vec(),
        limit_bytes: 4096,
        cpu: 3,
    }
}

#[test]
fn letters_stand_for_facts() {
    for (pattern, name) in [
        ("core", "core"),
        ("core.%p.%P.%i.%I", "core.7.70.8.80"),
        ("%u-%g-%d-%s-%t-%c-%C", "1-2-1-11-1000-4096-3"),
        ("%h/%e/%f/%E", "box/!./prog/!usr!bin!prog"),
        ("100%%%z%", "100%"),
    ] {
        assert_eq!(facts().file_name(pattern.as_bytes(), false), name.as_bytes(), "{pattern}");
    }
}

#[test]
fn a_command_is_split_before_its_letters_are_replaced() {
    let facts = NameFacts { name: b"a b".to_vec(), ..facts() };
    assert_eq!(facts.arguments(b"/bin/cat  -n %e"), [&b"/bin/cat"[..], b"-n", b"a b"]);
}

#[test]
fn the_number_is_appended_once() {
    assert_eq!(facts().file_name(b"core", true), b"core.7");
    assert_eq!(facts().file_name(b"%p", true), b"7");
    assert_eq!(component(b""), b"!");
}
