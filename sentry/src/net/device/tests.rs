use super::*;

#[test]
fn a_name_is_short_text_without_slash_colon_or_space() {
    for good in ["lo", "eth0", "a.b", "fifteen-letters", "..."] {
        assert_eq!(
            LinkName::new(good.as_bytes()).map(|name| name.to_string()),
            Ok(good.to_string()),
            "{good}"
        );
    }
    let bad: [&[u8]; 9] =
        [b"", b".", b"..", b"a/b", b"lo:1", b"a b", b"a\x0bb", b"sixteen-letters!", b"\xff\xfe"];
    for bad in bad {
        assert_eq!(LinkName::new(bad), Err(Errno::EINVAL), "{bad:?}");
    }
}

#[test]
fn a_new_namespace_has_a_loopback_that_is_down() {
    let devices = Devices::default();
    let lo = devices.find(b"lo").unwrap();
    assert_eq!((lo.index, lo.mtu, lo.tx_queue_len), (1, 65536, 1000));
    assert_eq!(lo.shown_flags().bits(), linux_raw_sys::net::net_device_flags::IFF_LOOPBACK as u32);
    assert_eq!(lo.queueing_discipline(), "noop");
    assert!(devices.get(2).is_err() && devices.find(b"eth0").is_err());
}

#[test]
fn a_loopback_that_is_up_runs() {
    let mut devices = Devices::default();
    devices.get_mut(1).unwrap().flags |= netlink_packet_route::link::LinkFlags::Up;
    // IFF_UP, IFF_LOOPBACK, IFF_RUNNING and IFF_LOWER_UP.
    assert_eq!(devices.get(1).unwrap().shown_flags().bits(), 0x1_0049);
}
