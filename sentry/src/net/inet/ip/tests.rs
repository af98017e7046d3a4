use super::*;

fn options_of(kind: SocketKind) -> IpOptions {
    IpOptions::new(&NetworkSettings::default(), kind, (Version::V4, 0))
}

#[test]
fn options_are_read_back_as_bytes_or_words() {
    let mut options = options_of(SocketKind::Datagram);
    options.set(uapi::IP_TTL, &[9], || false).unwrap();
    assert_eq!(options.get(uapi::IP_TTL, 17, 1), Ok(vec![9]));
    assert_eq!(options.get(uapi::IP_TTL, 17, 4), Ok(vec![9, 0, 0, 0]));
    options.set(uapi::IP_TTL, &(-1_i32).to_ne_bytes(), || false).unwrap();
    assert_eq!(options.get(uapi::IP_TTL, 17, 1), Ok(vec![64]));
    assert_eq!(options.set(uapi::IP_TTL, &[0], || false), Err(Errno::EINVAL));
    assert_eq!(options.set(uapi::IP_TRANSPARENT, &[1], || false), Err(Errno::EPERM));
    assert_eq!(options.set(99, &[1], || true), Err(Errno::ENOPROTOOPT));
}

#[test]
fn the_lower_bits_of_the_type_of_service_are_a_datagrams_to_set() {
    for (kind, told) in [(SocketKind::Datagram, 0x1f), (SocketKind::Stream, 0x1c)] {
        let mut options = options_of(kind);
        options.set(uapi::IP_TOS, &[0x1f], || false).unwrap();
        assert_eq!(options.get(uapi::IP_TOS, 17, 1), Ok(vec![told]));
    }
}

#[test]
fn options_of_the_header_are_padded_and_checked() {
    assert_eq!(checked_options(&[1, 1, 1, 7, 9]), Err(Errno::EINVAL));
    assert_eq!(checked_options(&[7, 3, 4]), Ok(vec![7, 3, 4, 0]));
    assert_eq!(checked_options(&[7, 1]), Err(Errno::EINVAL));
    assert_eq!(checked_options(&[0; 41]), Err(Errno::EINVAL));
}

#[test]
fn a_range_of_ports_is_ascending_or_open() {
    let mut options = options_of(SocketKind::Stream);
    let range = |least: u16, most: u16| [least.to_ne_bytes(), most.to_ne_bytes()].concat();
    assert_eq!(options.set(uapi::IP_LOCAL_PORT_RANGE, &range(2, 1), || false), Err(Errno::EINVAL));
    assert_eq!(options.set(uapi::IP_LOCAL_PORT_RANGE, &[1, 2], || false), Err(Errno::EINVAL));
    options.set(uapi::IP_LOCAL_PORT_RANGE, &range(40_000, 0), || false).unwrap();
    assert_eq!(options.local_ports(), [40_000, 0]);
}
