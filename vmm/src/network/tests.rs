//! What the options say, and what is allowed by it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::policy::{Policy, Way};
use super::protocol::Request;
use super::*;

fn network(allowed: &[&str]) -> Network {
    Network { allowed: allowed.iter().map(|text| text.parse().unwrap()).collect(), ..Network::default() }
}

fn policy(allowed: &[&str]) -> Policy {
    Policy::new(&network(allowed))
}

fn way(policy: &mut Policy, destination: &str, now: Instant) -> Result<Way, Errno> {
    policy.way(Protocol::Tcp, destination.parse().unwrap(), now)
}

fn outside(address: &str) -> Result<Way, Errno> {
    Ok(Way::Outside(address.parse().unwrap()))
}

#[test]
fn allowances_are_names_addresses_and_prefixes() {
    for (text, told) in [
        ("pypi.org", "pypi.org"),
        ("PyPI.org.:443", "pypi.org:443"),
        ("localhost:8000-8010", "localhost:8000-8010"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8:22", "10.0.0.0/8:22"),
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:1-65535", "192.0.2.1:1-65535"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("[2001:db8::]/32:443", "[2001:db8::/32]:443"),
        ("[2001:db8::/32]:443-444", "[2001:db8::/32]:443-444"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ] {
        let allowance: Allowance = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(allowance.to_string(), told, "{text}");
        assert_eq!(told.parse::<Allowance>().unwrap(), allowance, "{told}");
    }
}

#[test]
fn what_is_no_allowance_is_refused() {
    for text in [
        "",
        ":",
        ":80",
        "host:",
        "host:0",
        "host:65536",
        "host:2-1",
        "host:http",
        "a..b",
        "*.org",
        "300.0.0.1",
        "10.0.0.0/33",
        "[::1",
        "[::1]80",
        "[host]:80:",
        "host/8",
        "a b",
        "\u{e4}.de",
        "1.2.3.4:5:6",
    ] {
        let parsed = text.parse::<Allowance>();
        assert!(parsed.is_err(), "{text}: {parsed:?}");
    }
    assert!(format!("{}.org", "x".repeat(64)).parse::<Allowance>().is_err());
}

#[test]
fn ports_are_published_in_docker_s_spelling() {
    for (text, told) in [
        ("8080:80", "8080:80/tcp"),
        ("8080:80/tcp", "8080:80/tcp"),
        ("127.0.0.1:5353:53/udp", "127.0.0.1:5353:53/udp"),
        ("[::1]:8080:80", "[::1]:8080:80/tcp"),
    ] {
        assert_eq!(text.parse::<Publication>().unwrap().to_string(), told);
    }
    for text in ["", "80", "0:80", "80:0", "80:80/sctp", "host:80:80", "80:65536", "::1:80:80/icmp"] {
        assert!(text.parse::<Publication>().is_err(), "{text}");
    }
}

#[test]
fn hosts_have_names_and_addresses() {
    let entry = |text: &str| host_entry(text).ok().map(|(name, address)| format!("{name} {address}"));
    assert_eq!(entry("DB:127.0.0.1").as_deref(), Some("db 127.0.0.1"));
    assert_eq!(entry("db:[2001:db8::1]").as_deref(), Some("db 2001:db8::1"));
    assert_eq!(entry("db:2001:db8::1").as_deref(), Some("db 2001:db8::1"));
    assert_eq!(entry("host.internal:host-gateway").as_deref(), Some("host.internal 10.0.2.2"));
    for text in ["db", ":1.2.3.4", "db:", "db:host", "d b:1.2.3.4"] {
        assert_eq!(entry(text), None, "{text}");
    }
}

#[test]
fn what_is_allowed_is_let_through_and_nothing_else() {
    let now = Instant::now();
    let mut policy = policy(&["192.0.2.1:443", "10.0.0.0/8", "2001:db8::/32:80"]);
    for open in ["192.0.2.1:443", "10.255.0.1:1", "[2001:db8:1::1]:80"] {
        assert_eq!(way(&mut policy, open, now), outside(open), "{open}");
    }
    for closed in ["192.0.2.1:80", "192.0.2.2:443", "[2001:db9::1]:80", "127.0.0.1:443", "[::1]:80"] {
        assert_eq!(way(&mut policy, closed, now), Err(Errno::CONNREFUSED), "{closed}");
    }
    // Another spelling of an address opens and closes what the first does.
    assert_eq!(way(&mut policy, "[::ffff:192.0.2.1]:443", now), outside("192.0.2.1:443"));
    assert_eq!(way(&mut policy, "[::ffff:192.0.2.2]:443", now), Err(Errno::CONNREFUSED));
}

#[test]
fn addresses_that_are_nobody_s_lead_nowhere_whatever_is_allowed() {
    let now = Instant::now();
    let mut all = Policy::new(&Network { reaches_all: true, ..Network::default() });
    for (address, error) in [
        ("0.0.0.0:80", Errno::INVAL),
        ("[::]:80", Errno::INVAL),
        ("[::ffff:0.0.0.0]:80", Errno::INVAL),
        ("192.0.2.1:0", Errno::INVAL),
        ("224.0.0.1:80", Errno::NETUNREACH),
        ("[ff02::1]:80", Errno::NETUNREACH),
        ("255.255.255.255:80", Errno::NETUNREACH),
        ("10.0.2.3:80", Errno::CONNREFUSED),
    ] {
        assert_eq!(way(&mut all, address, now), Err(error), "{address}");
    }
    assert_eq!(way(&mut all, "10.0.2.3:53", now), Ok(Way::Resolver));
    assert_eq!(way(&mut all, "[fd50:616c:6973::3]:53", now), Ok(Way::Resolver));
}

#[test]
fn the_host_s_loopback_is_behind_its_address_on_the_link() {
    let now = Instant::now();
    let mut policy = policy(&["127.0.0.1:8080", "[::1]:8081"]);
    assert_eq!(way(&mut policy, "10.0.2.2:8080", now), outside("127.0.0.1:8080"));
    assert_eq!(way(&mut policy, "[fd50:616c:6973::2]:8081", now), outside("[::1]:8081"));
    assert_eq!(way(&mut policy, "10.0.2.2:8081", now), Err(Errno::CONNREFUSED));
    // Allowing the address on the link opens nothing: who is there is told by the host's own.
    let mut policy = self::policy(&["10.0.2.2:8080"]);
    assert_eq!(way(&mut policy, "10.0.2.2:8080", now), Err(Errno::CONNREFUSED));
}

#[test]
fn a_name_opens_its_addresses_for_as_long_as_the_answer_says() {
    let now = Instant::now();
    let mut policy = policy(&["db.example:5432", "db.example:6000-6010", "web.example"]);
    let second = Duration::from_secs(1);
    assert!(policy.allows_name("db.example") && !policy.allows_name("sub.db.example"));
    assert_eq!(way(&mut policy, "192.0.2.1:5432", now), Err(Errno::CONNREFUSED));
    policy.learn("db.example", "192.0.2.1".parse().unwrap(), 10 * second, now);
    policy.learn("other.example", "192.0.2.9".parse().unwrap(), 10 * second, now);
    for open in ["192.0.2.1:5432", "192.0.2.1:6005"] {
        assert_eq!(way(&mut policy, open, now + 9 * second), outside(open));
        assert_eq!(way(&mut policy, open, now + 12 * second), Err(Errno::CONNREFUSED));
    }
    assert_eq!(way(&mut policy, "192.0.2.1:80", now), Err(Errno::CONNREFUSED));
    assert_eq!(way(&mut policy, "192.0.2.9:5432", now), Err(Errno::CONNREFUSED));
    // Learnt anew, it stays open.
    policy.learn("db.example", "192.0.2.1".parse().unwrap(), 10 * second, now + 9 * second);
    assert_eq!(way(&mut policy, "192.0.2.1:5432", now + 15 * second), outside("192.0.2.1:5432"));
}

#[test]
fn a_name_does_not_open_the_host_itself() {
    let now = Instant::now();
    let mut policy = policy(&["evil.example"]);
    for own in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254", "fe80::1", "224.0.0.1"]
    {
        policy.learn("evil.example", own.parse().unwrap(), Duration::from_secs(60), now);
        let target = SocketAddr::new(own.parse().unwrap(), 80);
        assert!(policy.way(Protocol::Tcp, target, now).is_err(), "{own}");
    }
    assert_eq!(way(&mut policy, "10.0.2.2:80", now), Err(Errno::CONNREFUSED));
}

#[test]
fn what_is_learnt_is_bounded() {
    let now = Instant::now();
    let mut policy = policy(&["many.example"]);
    let address = |number: u32| IpAddr::from((0x0b00_0000 + number).to_be_bytes());
    for number in 0..10_000 {
        policy.learn("many.example", address(number), Duration::from_secs(60 + u64::from(number)), now);
    }
    let is_open = |policy: &mut Policy, number| {
        policy.way(Protocol::Udp, SocketAddr::new(address(number), 1), now).is_ok()
    };
    let open = (0..10_000).filter(|number| is_open(&mut policy, *number)).count();
    assert_eq!(open, 4096);
    assert!(is_open(&mut policy, 9_999) && !is_open(&mut policy, 0));
}

#[test]
fn a_name_of_add_host_has_that_address() {
    let now = Instant::now();
    let hosts = vec![
        ("db".to_owned(), "192.0.2.7".parse().unwrap()),
        ("gate".to_owned(), "10.0.2.2".parse().unwrap()),
    ];
    let mut policy = Policy::new(&Network { hosts, ..network(&["db:5432", "gate:80"]) });
    assert_eq!(way(&mut policy, "192.0.2.7:5432", now), outside("192.0.2.7:5432"));
    assert_eq!(way(&mut policy, "192.0.2.7:80", now), Err(Errno::CONNREFUSED));
    assert_eq!(way(&mut policy, "10.0.2.2:80", now), outside("127.0.0.1:80"));
}

#[test]
fn without_permission_there_is_no_door_and_names_are_the_image_s() {
    let none = Network::default();
    assert!(!none.has_door() && !none.leads_out());
    assert_eq!(none.name_service(), NameService::default());
    let inside = Network { nameservers: vec!["127.0.0.53".parse().unwrap()], ..Network::default() };
    assert_eq!(inside.name_service().nameservers, inside.nameservers);
    let out = Network { nameservers: vec!["127.0.0.53".parse().unwrap()], ..network(&["a.example"]) };
    assert_eq!(out.name_service().nameservers, [IpAddr::from(RESOLVER_V4)]);
    let published = Network { published: vec!["80:80".parse().unwrap()], ..Network::default() };
    assert!(published.has_door() && !published.leads_out());
    assert_eq!(published.name_service(), NameService::default());
}

#[test]
fn few_ports_are_told_to_landlock() {
    assert_eq!(
        network(&["a.example:443", "10.0.0.0/8:22-24"]).connected_ports(),
        Some(vec![22, 23, 24, 53, 443])
    );
    assert_eq!(network(&["a.example:443", "b.example"]).connected_ports(), None);
    assert_eq!(Network { reaches_all: true, ..Network::default() }.connected_ports(), None);
}

#[test]
fn requests_are_as_they_were_sent_or_refused() {
    use zerocopy::IntoBytes;
    for address in ["192.0.2.1:80", "[2001:db8::1]:443", "[::ffff:192.0.2.1]:65535"] {
        let address: SocketAddr = address.parse().unwrap();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let request = Request::new(protocol, address);
            assert_eq!(Request::decode(request.as_bytes()), Ok((protocol, address)));
            for kind in [0, 3, u32::MAX] {
                assert_eq!(Request::decode(Request { kind, ..request }.as_bytes()), Err(Errno::INVAL));
            }
            let bytes = request.as_bytes();
            for len in 0..bytes.len() {
                assert_eq!(Request::decode(&bytes[..len]), Err(Errno::INVAL), "{len} bytes");
            }
            assert_eq!(Request::decode(&[bytes, &[0]].concat()), Err(Errno::INVAL));
            let mut other = bytes.to_vec();
            other[4] = 5;
            assert_eq!(Request::decode(&other), Err(Errno::INVAL), "version 5");
        }
    }
}
