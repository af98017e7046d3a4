//! What a door brings into a namespace, and what sockets of the host's do, on the host's loopback.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::time::Instant;

use netlink_packet_route::route::RouteType;
use parking_lot::Mutex;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::*;
use crate::cred::{Identity, NamespaceKind, UserNamespace};
use crate::net::route::RouteQuery;
use crate::net::{KernelSockets, Shutdown};
use crate::wait::Events;

/// Leads to the host's loopback, whatever the address.
struct ToLoopback;

fn to_loopback(kind: SocketType, remote: SocketAddr) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, kind, flags, None)?;
    match connect(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, remote.port()))) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

impl Door for ToLoopback {
    fn connect(&self, remote: SocketAddr) -> Result<OwnedFd, Errno> {
        to_loopback(SocketType::STREAM, remote)
    }

    fn open_flow(&self, remote: SocketAddr) -> Result<OwnedFd, Errno> {
        to_loopback(SocketType::DGRAM, remote)
    }
}

/// Remembers what it was told.
#[derive(Default)]
struct Heard(Mutex<Events>);

impl Watched for Heard {
    fn announce(&self, events: Events) {
        *self.0.lock() |= events;
    }
}

impl Heard {
    fn wait_for(&self, events: Events) {
        let begin = Instant::now();
        while !self.0.lock().contains(events) {
            assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", *self.0.lock());
            std::thread::yield_now();
        }
    }
}

fn namespace() -> Arc<NetworkNamespace> {
    let identity = Identity::initial(NamespaceKind::Network, &UserNamespace::initial());
    NetworkNamespace::new(identity, KernelSockets::default())
}

fn open(max_sockets: usize) -> (Arc<NetworkNamespace>, Arc<Outside>) {
    let namespace = namespace();
    namespace.open_door(Arc::new(ToLoopback), max_sockets).unwrap();
    let outside = namespace.outside().unwrap().clone();
    (namespace, outside)
}

fn outer(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

#[test]
fn a_door_brings_a_link_addresses_and_a_way_to_everywhere() {
    let query = |address: &str| RouteQuery::to(address.parse().unwrap());
    let without = namespace();
    assert_eq!(without.configuration().route(&query("192.0.2.1")).unwrap_err(), Errno::ENETUNREACH);
    let (namespace, outside) = open(1);
    assert_eq!(namespace.open_door(Arc::new(ToLoopback), 1), Err(Errno::EEXIST));
    let ways: [(&str, IpAddr, Option<IpAddr>); 4] = [
        ("192.0.2.1", GUEST_V4.into(), Some(HOST_V4.into())),
        ("2001:db8::1", GUEST_V6.into(), Some(HOST_V6.into())),
        ("10.0.2.3", GUEST_V4.into(), None),
        ("fd50:616c:6973::3", GUEST_V6.into(), None),
    ];
    for (destination, source, gateway) in ways {
        let way = namespace.configuration().route(&query(destination)).unwrap();
        assert_eq!((way.kind, way.source, way.gateway), (RouteType::Unicast, source, gateway));
        assert!(outside.is_through(&way), "{destination}");
    }
    for own in ["127.0.0.2", "10.0.2.15", "::1", "fd50:616c:6973::15"] {
        let way = namespace.configuration().route(&query(own)).unwrap();
        assert_eq!(way.kind, RouteType::Local, "{own}");
    }
}

#[test]
fn a_stream_s_bytes_stay_until_they_are_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_namespace, outside) = open(1);
    let heard = Arc::new(Heard::default());
    let stream = outside.connect(outer(listener.local_addr().unwrap().port()), heard.clone()).unwrap();
    heard.wait_for(Events::OUT);
    assert_eq!(stream.take_error(), None);
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(stream.receive(9, (false, 0), &mut |_| true), Err(Errno::EAGAIN));
    peer.write_all(b"hello").unwrap();
    heard.wait_for(Events::IN);
    let mut got = Vec::new();
    let mut take = |piece: &[u8]| {
        got.extend_from_slice(piece);
        true
    };
    assert_eq!(stream.receive(2, (true, 0), &mut take), Ok(2));
    assert_eq!(stream.receive(9, (true, 3), &mut take), Ok(2));
    assert_eq!(stream.receive(9, (false, 0), &mut |_| false), Err(Errno::EFAULT));
    assert_eq!(stream.receive(2, (false, 0), &mut take), Ok(2));
    assert_eq!(stream.receive(9, (false, 0), &mut take), Ok(3));
    assert_eq!(got, b"helohello");
    assert_eq!(stream.send(b"answer", Sending::default()), Ok(6));
    stream.shut_down(Shutdown { receiving: false, sending: true }).unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    drop(peer);
    heard.wait_for(Events::HUP);
    assert_eq!(stream.receive(9, (false, 0), &mut |_| false), Ok(0));
}

#[test]
fn sockets_of_the_host_are_counted() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let remote = outer(receiver.local_addr().unwrap().port());
    let (_namespace, outside) = open(2);
    let heard = Arc::new(Heard::default());
    let flows = [(); 2].map(|()| outside.open_flow(remote, heard.clone()).unwrap());
    assert_eq!(outside.open_flow(remote, heard.clone()).err(), Some(Errno::ENOBUFS));
    assert_eq!(flows[0].send(b"ping", Sending::default()), Ok(4));
    let mut buffer = [0; 8];
    let (len, sender) = receiver.recv_from(&mut buffer).unwrap();
    receiver.send_to(&buffer[..len], sender).unwrap();
    heard.wait_for(Events::IN);
    assert_eq!(flows[0].receive_datagram(&mut buffer), Ok(4));
    drop(flows);
    assert!(outside.open_flow(remote, heard).is_ok());
}
