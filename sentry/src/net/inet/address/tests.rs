use super::*;

fn address(bytes: &[u8]) -> SocketAddress {
    SocketAddress::new(bytes).unwrap()
}

#[test]
fn addresses_come_back_as_they_were() {
    for (version, text) in
        [(Version::V4, "127.0.0.1:80"), (Version::V6, "[::1]:80"), (Version::V6, "[fe80::1%3]:1")]
    {
        let given: SocketAddr = text.parse().unwrap();
        assert_eq!(version.decode(&version.encode(given)), Ok(given));
    }
}

#[test]
fn an_ipv6_socket_is_told_of_ipv4_addresses_as_mapped_ones() {
    let given: SocketAddr = "1.2.3.4:5".parse().unwrap();
    let told = Version::V6.decode(&Version::V6.encode(given)).unwrap();
    assert_eq!(told, "[::ffff:1.2.3.4]:5".parse().unwrap());
    assert_eq!(unmapped(told), given);
}

#[test]
fn short_addresses_and_other_families_are_refused() {
    let v4 = Version::V4.encode("1.2.3.4:5".parse().unwrap());
    assert_eq!(Version::V4.decode(&address(&v4.bytes()[..15])), Err(Errno::EINVAL));
    assert_eq!(Version::V6.decode(&v4), Err(Errno::EINVAL));
    assert_eq!(Version::V4.decode(&address(&[9; 16])), Err(Errno::EAFNOSUPPORT));
}
