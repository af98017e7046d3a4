use super::*;

#[test]
fn what_is_written_down_is_read_again() {
    let description = Description {
        command: vec!["sh".into(), Text(vec![b'x', 0xff])],
        user: User { uid: 5, gid: 6, groups: vec![7] },
        capabilities: Some([1, 21].into()),
        resource_limits: vec![ResourceLimit { resource: 7, soft: 16, hard: u64::MAX }],
        name: Some("web".into()),
        ..Description::default()
    };
    let written = serde_json::to_string(&description).unwrap();
    assert!(written.contains(r#""command":["sh",[120,255]]"#), "{written}");
    assert_eq!(serde_json::from_str::<Description>(&written).unwrap(), description);
}

#[test]
fn what_is_left_out_is_as_usual_and_what_is_unknown_is_refused() {
    let description: Description = serde_json::from_str(r#"{"root": "/image"}"#).unwrap();
    assert_eq!(description, Description { root: "/image".into(), ..Description::default() });
    assert!(serde_json::from_str::<Description>(r#"{"rooot": "/image"}"#).is_err());
}

#[test]
fn capabilities_and_limits_reach_the_first_program() {
    let mut description = Description::default();
    let namespace = UserNamespace::initial();
    assert_eq!(description.credentials(&namespace), Credentials::root(&namespace));
    description.capabilities = Some([5, 63, 400].into());
    let credentials = description.credentials(&namespace);
    assert_eq!((credentials.permitted, credentials.bounding), (Capabilities::KILL, Capabilities::KILL));
    description.resource_limits = vec![ResourceLimit { resource: 7, soft: 16, hard: 32 }];
    let limits = description.limits().unwrap();
    assert_eq!(limits.get(Resource::OPEN_FILES), Limit { soft: 16, hard: 32 });
    for (resource, soft) in [(7, 33), (16, 1)] {
        description.resource_limits = vec![ResourceLimit { resource, soft, hard: 32 }];
        assert_eq!(description.limits(), Err(Errno::EINVAL));
    }
}
