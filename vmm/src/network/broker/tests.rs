//! The broker as a sentry that is no longer itself would use it: with forged requests. The tests run themselves once more in a child
//! process, whose broker serves what the child asks.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Output};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags};
use zerocopy::{FromBytes, IntoBytes};

use super::super::protocol::{Arrival, CONNECT};
use super::*;

/// Names the attempt to the child, and tells it of ports at which somebody listens.
const ATTEMPT: &str = "BROKER_TEST_ATTEMPT";
const PORTS: &str = "BROKER_TEST_PORTS";

fn attempt(name: &str, ports: &[u16]) -> Output {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "network::broker::tests::child", "--nocapture"]);
    command.env(ATTEMPT, name).env(PORTS, ports.join(" ")).output().unwrap()
}

fn succeeds(name: &str, ports: &[u16]) {
    let output = attempt(name, ports);
    assert!(output.status.success(), "{name}: {output:?}");
}

/// Not a test by itself: it passes if nothing is to be attempted.
#[test]
fn child() {
    let Ok(name) = std::env::var(ATTEMPT) else { return };
    let ports = std::env::var(PORTS).unwrap();
    let ports: Vec<u16> = ports.split(' ').map(|port| port.parse().unwrap()).collect();
    match name.as_str() {
        "forged requests" => forged_requests(ports[0], ports[1]),
        "forged credits" => forged_credits(ports[0]),
        "ends with vmm" => ends_with_vmm(),
        name => panic!("no attempt is called {name}"),
    }
}

/// Whether a broker's socket reaches somebody at an address of the host's.
pub(crate) fn connects(address: SocketAddr) -> bool {
    let Ok(socket) = sockets::towards(Protocol::Tcp, address) else { return false };
    let mut polled = [rustix::event::PollFd::new(&socket, rustix::event::PollFlags::OUT)];
    rustix::event::poll(&mut polled, None).unwrap();
    !polled[0].revents().contains(rustix::event::PollFlags::ERR)
}

fn network(allowed: &[String], published: &[String]) -> Network {
    Network {
        allowed: allowed.iter().map(|text| text.parse().unwrap()).collect(),
        published: published.iter().map(|text| text.parse().unwrap()).collect(),
        ..Network::default()
    }
}

fn start_confined(network: &Network) -> Started {
    let rules = Rules { is_landlock_required: false, user: None, has_broker: true };
    let mut started = start(network, rules).unwrap();
    started.report.wait().unwrap();
    started
}

/// Sends `request` as it is, and returns the error number, or the socket.
fn ask(calls: &OwnedFd, request: &[u8]) -> Result<OwnedFd, i32> {
    rustix::net::send(calls, request, SendFlags::NOSIGNAL).unwrap();
    let mut answer = [0; 64];
    let (len, socket) = receive(calls.as_fd(), &mut answer, RecvFlags::empty()).unwrap();
    match Answer::read_from_bytes(&answer[..len]).unwrap().error {
        0 => Ok(socket.unwrap()),
        error => Err(error.cast_signed()),
    }
}

fn ask_for(calls: &OwnedFd, protocol: Protocol, remote: &str) -> Result<OwnedFd, i32> {
    let remote: SocketAddr = remote.parse().unwrap();
    ask(calls, Request::new(protocol, remote).as_bytes())
}

#[test]
fn a_forged_request_gets_no_socket_that_is_not_allowed() {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
    succeeds("forged requests", &ports);
    // Whatever was tried, nobody has come to the second one.
    listeners[1].set_nonblocking(true).unwrap();
    assert!(listeners[0].accept().is_ok() && listeners[1].accept().is_err());
}

fn forged_requests(open: u16, closed: u16) {
    let started = start_confined(&network(&[format!("127.0.0.1:{open}")], &[]));
    let calls = &started.calls;
    let refused = |remote: &str, error: i32| {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            assert_eq!(ask_for(calls, protocol, remote).err(), Some(error), "{protocol} {remote}");
        }
    };
    for remote in [
        "127.0.0.1",
        "10.0.2.2",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "127.0.0.2",
        "[fd50:616c:6973::2]",
        "10.0.2.3",
    ] {
        refused(&format!("{remote}:{closed}"), libc::ECONNREFUSED);
    }
    for remote in ["0.0.0.0", "[::]", "[::ffff:0.0.0.0]"] {
        refused(&format!("{remote}:{open}"), libc::EINVAL);
    }
    refused("127.0.0.1:0", libc::EINVAL);
    refused(&format!("224.0.0.1:{open}"), libc::ENETUNREACH);
    refused(&format!("255.255.255.255:{open}"), libc::ENETUNREACH);
    let good = Request::new(Protocol::Tcp, SocketAddr::from(([127, 0, 0, 1], open)));
    for kind in [0, 3, 1 << 31, u32::MAX] {
        assert_eq!(ask(calls, Request { kind, ..good }.as_bytes()).err(), Some(libc::EINVAL));
    }
    let bytes = good.as_bytes();
    for forged in
        [&bytes[..1], &bytes[..23], &[bytes, bytes].concat(), &[0xff; 24], &vec![CONNECT as u8; 100_000]]
    {
        assert_eq!(ask(calls, forged).err(), Some(libc::EINVAL), "{} bytes", forged.len());
    }
    // A descriptor that comes with a request is closed, and makes no difference.
    let pair = rustix::pipe::pipe().unwrap();
    send_with(calls.as_fd(), (&good, &[]), Some(pair.0.as_fd()), SendFlags::empty()).unwrap();
    let mut answer = [0; 4];
    let (_, socket) = receive(calls.as_fd(), &mut answer, RecvFlags::empty()).unwrap();
    assert!(answer == [0; 4] && socket.is_some());
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        assert!(ask_for(calls, protocol, &format!("10.0.2.2:{open}")).is_ok());
        assert!(ask_for(calls, protocol, &format!("[::ffff:127.0.0.1]:{open}")).is_ok());
    }
}

#[test]
fn a_published_port_waits_for_places_and_forged_credits_make_none() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    succeeds("forged credits", &[port]);
}

/// Takes so many arrivals, however long they take, and no more: whether another comes in a while.
fn take_arrivals(started: &Started, count: usize) -> bool {
    let mut buffer = [0; 4096];
    for _ in 0..count {
        assert!(has_arrival(started, Duration::from_secs(60)), "fewer than {count}");
        let (len, socket) = receive(started.arrivals.as_fd(), &mut buffer, RecvFlags::empty()).unwrap();
        let (arrival, payload) = Arrival::read_from_prefix(&buffer[..len]).unwrap();
        assert_eq!((arrival.publication, payload, socket.is_some()), (0, &b"text"[..], true));
    }
    has_arrival(started, Duration::from_millis(300))
}

/// Waits until the broker has seen all that was said on the second pair.
fn wait_until_taken(started: &Started) {
    let untaken = || {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the request writes one `int`.
        let result = unsafe { libc::ioctl(started.arrivals.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
        assert_eq!(result, 0);
        bytes > 0
    };
    while untaken() {
        std::thread::yield_now();
    }
    // It does one thing after the other: when it answers, it is done with the last of them.
    assert_eq!(ask(&started.calls, &[0]).err(), Some(libc::EINVAL));
}

fn has_arrival(started: &Started, patience: Duration) -> bool {
    let timeout = rustix::event::Timespec::try_from(patience).unwrap();
    let mut polled = [rustix::event::PollFd::new(&started.arrivals, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut polled, Some(&timeout)).unwrap() > 0
}

fn forged_credits(port: u16) {
    let started = start_confined(&network(&[], &[format!("127.0.0.1:{port}:53/udp")]));
    let credit = |publication: u32| {
        send_with(started.arrivals.as_fd(), (&Credit { publication }, &[]), None, SendFlags::empty())
            .unwrap();
    };
    for publication in [1, 2, u32::MAX] {
        credit(publication);
    }
    for forged in [&[0; 3][..], &[0; 5], &[0; 4096]] {
        rustix::net::send(&started.arrivals, forged, SendFlags::NOSIGNAL).unwrap();
    }
    // More credits than there are places make no more places.
    (0..100).for_each(|_| credit(0));
    wait_until_taken(&started);
    let clients: Vec<UdpSocket> = (0..50).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for client in &clients {
        client.send_to(b"text", ("127.0.0.1", port)).unwrap();
    }
    assert!(!take_arrivals(&started, 32));
    (0..8).for_each(|_| credit(0));
    assert!(!take_arrivals(&started, 8));
    // Nothing leads out.
    assert_eq!(
        ask_for(&started.calls, Protocol::Udp, &format!("127.0.0.1:{port}")).err(),
        Some(libc::ECONNREFUSED)
    );
    assert_eq!(ask_for(&started.calls, Protocol::Udp, "10.0.2.3:53").err(), Some(libc::ECONNREFUSED));
}

#[test]
fn the_broker_ends_with_vmm() {
    succeeds("ends with vmm", &[1]);
}

fn ends_with_vmm() {
    let started = start_confined(&network(&["192.0.2.1".to_owned()], &[]));
    drop(started);
    let (_, status) = rustix::process::wait(rustix::process::WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0));
}
