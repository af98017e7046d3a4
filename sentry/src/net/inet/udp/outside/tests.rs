//! Flows are few, and do not outlive their use.

use std::os::fd::OwnedFd;

use super::*;
use crate::cred::{Identity, NamespaceKind, UserNamespace};
use crate::net::outside::Door;
use crate::net::{KernelSockets, NetworkNamespace};

/// Hands over sockets that lead nowhere.
struct ToNobody;

impl Door for ToNobody {
    fn connect(&self, _remote: SocketAddr) -> Result<OwnedFd, Errno> {
        Err(Errno::ECONNREFUSED)
    }

    fn open_flow(&self, _remote: SocketAddr) -> Result<OwnedFd, Errno> {
        Ok(std::os::unix::net::UnixDatagram::unbound().map_err(|_| Errno::ENOBUFS)?.into())
    }
}

struct Deaf;

impl Watched for Deaf {
    fn announce(&self, _events: Events) {}
}

fn outside() -> Arc<Outside> {
    let identity = Identity::initial(NamespaceKind::Network, &UserNamespace::initial());
    let namespace = NetworkNamespace::new(identity, KernelSockets::default());
    namespace.open_door(Arc::new(ToNobody), 1000).unwrap();
    namespace.outside().unwrap().clone()
}

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn put(flows: &Flows, outside: &Arc<Outside>, port: u16) {
    let host = outside.open_flow(peer(port), Arc::new(Deaf)).unwrap();
    flows.put(peer(port), host);
}

#[test]
fn an_idle_flow_ends_and_one_that_is_used_does_not() {
    let (flows, outside) = (Flows::default(), outside());
    let begin = Instant::now();
    put(&flows, &outside, 1);
    put(&flows, &outside, 2);
    let used = flows.get(peer(2)).unwrap();
    *used.last_used.lock() = begin + IDLE;
    for port in [1, 2] {
        flows.expire(peer(port), begin + IDLE / 2);
        assert!(flows.get(peer(port)).is_some());
        flows.expire(peer(port), begin + IDLE * 3 / 2);
    }
    assert!(flows.get(peer(1)).is_none() && flows.get(peer(2)).is_some());
}

#[test]
fn of_too_many_flows_the_one_that_was_used_least_recently_ends() {
    let (flows, outside) = (Flows::default(), outside());
    let count = u16::try_from(MAX_FLOWS).unwrap();
    for port in 1..=count {
        put(&flows, &outside, port);
        *flows.get(peer(port)).unwrap().last_used.lock() =
            Instant::now() + Duration::from_millis(port.into());
    }
    *flows.get(peer(1)).unwrap().last_used.lock() = Instant::now() + Duration::from_secs(3600);
    put(&flows, &outside, count + 1);
    let there = |port| flows.get(peer(port)).is_some();
    assert!(there(1) && !there(2) && there(3) && there(count + 1));
}
