use std::time::Duration;

use super::*;
use crate::cred::KernelUid;

fn claim(address: &str) -> Claim {
    Claim {
        address: address.parse().unwrap(),
        is_v6_only: false,
        device: None,
        reuses_address: false,
        reuses_port: false,
        uid: KernelUid::ROOT,
        is_listening: false,
    }
}

/// In a minute.
fn soon() -> MonotonicTime {
    Timekeeper::default().monotonic() + Duration::from_secs(60)
}

fn bind(ports: &Arc<Ports<()>>, port: u16, claim: Claim) -> Result<Arc<Port<()>>, Errno> {
    ports.claim(port, claim, &Weak::new(), LocalPorts::all(1000..=1999))
}

#[test]
fn who_overlaps_is_refused() {
    for (first, second, fits) in [
        ("127.0.0.1", "127.0.0.2", true),
        ("127.0.0.1", "127.0.0.1", false),
        ("0.0.0.0", "127.0.0.1", false),
        ("::", "127.0.0.1", false),
        ("::1", "127.0.0.1", true),
        ("0.0.0.0", "::1", true),
        ("0.0.0.0", "::", false),
    ] {
        let ports = Ports::new(&Arc::default());
        let _first = bind(&ports, 80, claim(first)).unwrap();
        assert_eq!(bind(&ports, 80, claim(second)).is_ok(), fits, "{first} and {second}");
    }
}

#[test]
fn reuse_is_for_those_who_both_want_it_until_one_listens() {
    let ports = Ports::new(&Arc::default());
    let reusing = Claim { reuses_address: true, ..claim("0.0.0.0") };
    let first = bind(&ports, 80, reusing).unwrap();
    let second = bind(&ports, 80, reusing).unwrap();
    assert!(bind(&ports, 80, claim("0.0.0.0")).is_err());
    assert_eq!(first.change(|claim| claim.is_listening = true), Ok(()));
    assert_eq!(second.change(|claim| claim.is_listening = true), Err(Errno::EADDRINUSE));
    assert!(bind(&ports, 80, reusing).is_err());
}

#[test]
fn a_port_that_lingers_is_for_those_who_reuse_it() {
    let ports = Ports::new(&Arc::default());
    let reusing = Claim { reuses_address: true, ..claim("0.0.0.0") };
    let port = bind(&ports, 80, reusing).unwrap();
    port.linger_until(soon());
    drop(port);
    assert!(bind(&ports, 80, claim("0.0.0.0")).is_err());
    assert!(bind(&ports, 80, reusing).is_ok());
}

#[test]
fn ports_run_out_and_come_back() {
    let ports: Arc<Ports<()>> = Ports::new(&Arc::default());
    let take = || ports.claim(0, claim("0.0.0.0"), &Weak::new(), LocalPorts::all(10..=12));
    let taken: Vec<_> = (0..3).map(|_| take().unwrap()).collect();
    assert_eq!(take().err(), Some(Errno::EADDRINUSE));
    drop(taken);
    assert!(take().is_ok());
}

#[test]
fn those_that_have_lingered_longest_make_room_for_others() {
    let ports: Arc<Ports<()>> = Ports::new(&Arc::default());
    let until = soon();
    for number in 0..MAX_LINGERING + 10 {
        // Each has an address of its own.
        let address = format!("127.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
        let port = u16::try_from(number % 1000).unwrap() + 1;
        bind(&ports, port, claim(&address)).unwrap().linger_until(until);
    }
    let lingering = || ports.0.lock().ports.values().map(Vec::len).sum::<usize>();
    assert_eq!(lingering(), MAX_LINGERING);
    assert!(bind(&ports, 1, claim("127.0.0.0")).is_ok());
    assert!(bind(&ports, 11, claim("127.0.0.10")).is_err());
}
