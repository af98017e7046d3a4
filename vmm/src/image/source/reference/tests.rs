use super::*;

#[test]
fn docker_s_defaults_may_be_left_out() {
    for (one, other, same) in [
        ("debian:12", "docker.io/library/debian:12", true),
        ("debian", "debian:latest", true),
        ("quay.io/a/b", "quay.io/a/b:latest", true),
        ("localhost:5000/x", "localhost:5000/x:latest", true),
        ("debian:12", "debian:13", false),
        ("a/debian", "debian", false),
    ] {
        assert_eq!(is_same(one, other), same, "{one} {other}");
    }
}

#[test]
fn names_of_registries_are_told_from_paths() {
    for name in ["debian:12", "debian", "quay.io/a/b:1", "localhost:5000/x", "a/b@sha256:00", "a_b-c.d"] {
        assert!(looks_like_reference(name), "{name}");
    }
    for path in ["/x", "./x", "../x", "", "a b", "x:", ":x", "Image.tar", "x//y", "x/"] {
        assert!(!looks_like_reference(path), "{path}");
    }
}
