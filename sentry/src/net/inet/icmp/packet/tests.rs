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
    let message = |kind| [kind, 0, 0, 0, 0, 0, 0, 0];
    assert!(!filter.passes(ICMP, &message(ECHO_REQUEST)) && filter.passes(ICMP, &message(ECHO_REPLY)));
    assert!(!filter.passes(ICMP, &[ECHO_REPLY]));
    assert!(filter.passes(17, &[ECHO_REQUEST]));
}

#[test]
fn a_datagrams_sum_covers_the_addresses() {
    let ends = (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into());
    let mut datagram = [0, 1, 0, 2, 0, 10, 0, 0, b'h', b'i'];
    seal_at(&mut datagram, 6, 17, ends).unwrap();
    let pseudo_header = [127, 0, 0, 1, 127, 0, 0, 1, 0, 17, 0, 10];
    assert_eq!(checksum(&[&pseudo_header, &datagram]), 0);
    assert_eq!(seal_at(&mut [0; 7], 6, 17, ends), Err(Errno::EINVAL));
}
