use super::*;

#[test]
fn deferred_accept_is_rounded_to_retransmissions() {
    let mut options = TcpOptions::default();
    for (set, told) in [(0, 0), (1, 1), (2, 3), (5, 7), (8, 15)] {
        options.set_number(uapi::TCP_DEFER_ACCEPT, set).unwrap();
        assert_eq!(options.number(uapi::TCP_DEFER_ACCEPT), Ok(told), "{set}");
    }
}

#[test]
fn what_does_not_exist_is_refused() {
    let mut options = TcpOptions::default();
    assert_eq!(options.set_number(999, 1), Err(Errno::ENOPROTOOPT));
    assert_eq!(options.set_number(uapi::TCP_KEEPCNT, 128), Err(Errno::EINVAL));
    assert_eq!(options.set_congestion(b"nothing"), Err(Errno::ENOENT));
    assert_eq!(options.set_congestion(b"reno\0"), Ok(()));
}
