//! Known packets.

use super::*;

#[test]
fn a_header_sums_up_to_nothing() {
    let addresses = ["192.168.0.1", "192.168.0.199"].map(|text| text.parse().unwrap());
    let header = ipv4_header(addresses, 17, 95, (64, 0));
    assert_eq!(checksum(&[&header]), 0);
    assert_eq!(header[..4], [0x45, 0, 0, 115]);
}

#[test]
fn an_echo_is_answered_and_nothing_else_is() {
    let mut request = [ECHO_REQUEST, 0, 0, 0, 1, 2, 0, 3, b'x'];
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    seal(&mut request, loopback, loopback);
    assert_eq!(checksum(&[&request]), 0);
    let mut reply = answer(&request, true).unwrap();
    seal(&mut reply, loopback, loopback);
    assert_eq!((reply[0], checksum(&[&reply])), (ECHO_REPLY, 0));
    assert_eq!(answered_identifier(&reply, true), Some(0x102));
    assert_eq!((answer(&reply, true), answer(&request[..7], true)), (None, None));
}

#[test]
fn a_filter_keeps_types_out() {
    let mut filter = Filter::default();
    filter.0[0] = 1 << ECHO_REQUEST;
    assert!(!filter.passes(ICMP, &[ECHO_REQUEST]) && filter.passes(ICMP, &[ECHO_REPLY]));
    assert!(filter.passes(17, &[ECHO_REQUEST]));
}
