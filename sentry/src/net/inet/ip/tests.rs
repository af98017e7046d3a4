use super::*;

#[test]
fn options_are_read_back_as_bytes_or_words() {
    let mut options = IpOptions::new(&NetworkSettings::default());
    options.set(uapi::IP_TTL, &[9], || false).unwrap();
    assert_eq!(options.get(uapi::IP_TTL, 1), Ok(vec![9]));
    assert_eq!(options.get(uapi::IP_TTL, 4), Ok(vec![9, 0, 0, 0]));
    options.set(uapi::IP_TTL, &(-1_i32).to_ne_bytes(), || false).unwrap();
    assert_eq!(options.get(uapi::IP_TTL, 1), Ok(vec![64]));
    assert_eq!(options.set(uapi::IP_TTL, &[0], || false), Err(Errno::EINVAL));
    assert_eq!(options.set(uapi::IP_TRANSPARENT, &[1], || false), Err(Errno::EPERM));
    assert_eq!(options.set(99, &[1], || true), Err(Errno::ENOPROTOOPT));
}
