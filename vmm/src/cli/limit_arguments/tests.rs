//! Limits and privileges as people write them.

use super::*;

#[test]
fn capabilities_are_added_to_what_is_left() {
    let with = |add: &[&str], drop: &[&str]| {
        let parse = |names: &[&str]| names.iter().map(|name| capability(name).unwrap()).collect();
        LimitArguments { cap_add: parse(add), cap_drop: parse(drop), ..LimitArguments::default() }
    };
    assert_eq!(with(&[], &[]).capabilities(0), None);
    assert_eq!(with(&["CAP_kill"], &["ALL"]).capabilities(0), Some([5].into()));
    assert_eq!(with(&["NET_RAW"], &[]).capabilities(1000), Some([13].into()));
    assert_eq!(with(&[], &["chown"]).capabilities(0).unwrap().len(), CAPABILITIES.len() - 1);
    assert!(capability("FLY").is_err());
}

#[test]
fn limits_have_docker_s_names() {
    let limit = ulimit("nofile=16:32").unwrap();
    assert_eq!(limit, ResourceLimit { resource: uapi::RLIMIT_NOFILE, soft: 16, hard: 32 });
    let limit = ulimit("core=-1").unwrap();
    assert_eq!((limit.soft, limit.hard), (u64::MAX, u64::MAX));
    for text in ["nofile", "nofile=", "files=1", "nofile=3:2", "nofile=1:x"] {
        assert!(ulimit(text).is_err(), "{text}");
    }
}

#[test]
fn times_and_cpus_are_read() {
    for (text, millis) in [("90", 90_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000)] {
        assert_eq!(duration(text).unwrap(), Duration::from_millis(millis), "{text}");
    }
    assert_eq!((cpus("1.5").unwrap(), cpus("4").unwrap()), (1500, 4000));
    for text in ["", "m", "5x", "-1", "99999999999999999h"] {
        assert!(duration(text).is_err(), "{text}");
    }
    assert!(cpus("0").is_err() && cpus("many").is_err());
}
