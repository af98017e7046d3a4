use super::*;

fn bound(source: &str, target: &str, is_read_only: bool, maps_owner: bool) -> MountPoint {
    bind(source.into(), target.into(), is_read_only, maps_owner)
}

fn kept(target: &str, options: &str, is_read_only: bool) -> MountPoint {
    MountPoint { options: options.into(), ..memory(target.into(), MemoryOptions::default(), is_read_only) }
}

#[test]
fn volumes_are_spelled_as_docker_does() {
    for (text, expected) in [
        ("/a:/b", bound("/a", "/b", false, false)),
        ("/a:/b/:ro", bound("/a", "/b", true, false)),
        ("/a:/b:map,ro", bound("/a", "/b", true, true)),
    ] {
        assert_eq!(volume(text).unwrap(), expected, "{text}");
    }
    for text in ["", "/a", ":/b", "/a:b", "/a:/", "/a:/b:x", "nonesuch:/b"] {
        assert!(volume(text).is_err(), "{text}");
    }
}

#[test]
fn memory_has_a_size_and_a_mode() {
    assert_eq!(tmpfs("/t").unwrap(), kept("/t", "", false));
    let wanted = kept("/t", "size=1048576,mode=700", true);
    assert_eq!(tmpfs("/t:size=1M,mode=700,ro,noexec").unwrap(), wanted);
    for text in ["t", "/t:size=", "/t:mode=9", "/t:color=red", "/t:ro=1"] {
        assert!(tmpfs(text).is_err(), "{text}");
    }
}

#[test]
fn mounts_have_three_types() {
    for (text, expected) in [
        ("type=bind,source=/a,target=/b", bound("/a", "/b", false, false)),
        ("type=bind,src=/a,dst=/b,readonly,map", bound("/a", "/b", true, true)),
        ("src=/a,destination=/b,ro=false", bound("/a", "/b", false, false)),
        ("type=volume,target=/b", kept("/b", "", false)),
        ("type=tmpfs,target=/b,tmpfs-size=2M,tmpfs-mode=1777", kept("/b", "size=2097152,mode=1777", false)),
    ] {
        assert_eq!(mount(text).unwrap(), expected, "{text}");
    }
    for text in [
        "type=bind,target=/b",
        "type=tmpfs,source=/a,target=/b",
        "type=disk,target=/b",
        "type=bind,source=/a",
        "type=bind,source=/a,target=/b,tmpfs-size=1M",
        "type=tmpfs,target=/b,map",
        "type=bind,source=/a,target=/b,ro=maybe",
        "target=/b,colour=red",
    ] {
        assert!(mount(text).is_err(), "{text}");
    }
}
