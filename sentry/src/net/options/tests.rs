use super::*;

#[test]
fn buffers_are_doubled_and_bounded() {
    let mut options = SocketOptions::default();
    for (asked, send, receive) in [(0, 4608, 2304), (10_000, 20_000, 20_000), (u32::MAX, 425_984, 425_984)] {
        options.set_send_buffer(asked, &BufferSettings::default());
        options.set_receive_buffer(asked, &BufferSettings::default());
        assert_eq!((options.send_buffer_bytes, options.receive_buffer_bytes), (send, receive));
    }
}

#[test]
fn switches_are_told_apart() {
    let mut options = SocketOptions::default();
    options.set_switch(uapi::SO_PASSCRED, true).unwrap();
    assert_eq!(options.switch(uapi::SO_PASSCRED), Ok(true));
    assert_eq!(options.switch(uapi::SO_KEEPALIVE), Ok(false));
    assert_eq!(options.set_switch(200, true), Err(Errno::ENOPROTOOPT));
}
