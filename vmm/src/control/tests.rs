use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use rustix::process::{Pid, getpid};

use super::channel::Channel;
use super::message::Reply;
use super::*;

fn pair() -> (Channel, OwnedFd) {
    let (a, b) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("sockets");
    (Channel::new(a), b)
}

const MOMENT: Option<Duration> = Some(Duration::from_millis(50));

#[test]
fn what_is_sent_arrives_with_its_descriptors() {
    let (ours, theirs) = pair();
    let theirs = Channel::new(theirs);
    let (read, write) = rustix::pipe::pipe().unwrap();
    for request in [Request::Pause, Request::Kill { signal: 15 }, Request::Resume] {
        ours.send(&request, &[write.as_fd(), read.as_fd()]).unwrap();
        let (received, descriptors) = theirs.receive::<Request>(MOMENT).unwrap().unwrap();
        assert_eq!((received, descriptors.len()), (request, 2));
        rustix::io::write(&descriptors[0], b"x").unwrap();
        assert_eq!(rustix::io::read(&read, &mut [0; 4]).unwrap(), 1);
    }
    theirs.send(&Reply::Refused("why".into()), &[]).unwrap();
    assert!(matches!(ours.receive::<Reply>(MOMENT).unwrap(), Some((Reply::Refused(why), _)) if why == "why"));
    drop(theirs);
    assert!(ours.receive::<Reply>(MOMENT).unwrap().is_none());
}

#[test]
fn what_is_no_message_is_refused() {
    let header = |version: u32, len: u32| [version.to_le_bytes(), len.to_le_bytes()].concat();
    let cases: [(Vec<u8>, &str); 7] = [
        (header(2, 2), "version 2"),
        (header(1, u32::MAX), "too long"),
        ([header(1, 4), b"what".to_vec()].concat(), "not understood"),
        ([header(1, 2), b"\xff\xfe".to_vec()].concat(), "not understood"),
        ([header(1, 10), b"\"shutdown\"".to_vec()].concat(), "not understood"),
        ([header(1, 100), b"\"pause\"".to_vec()].concat(), "says nothing"),
        (b"pau".to_vec(), "says nothing"),
    ];
    for (bytes, reason) in cases {
        let (ours, theirs) = pair();
        send(&theirs, &bytes, SendFlags::empty()).unwrap();
        let error = format!("{:#}", ours.receive::<Request>(MOMENT).map(drop).unwrap_err());
        assert!(error.contains(reason), "{}: {error}", bytes.escape_ascii());
    }
    let (ours, theirs) = pair();
    send(&theirs, &header(1, 7), SendFlags::empty()).unwrap();
    drop(theirs);
    let error = ours.receive::<Request>(MOMENT).map(drop).unwrap_err();
    assert!(error.to_string().contains("breaks off"), "{error}");
}

#[test]
fn a_process_without_a_sandbox_is_named() {
    let error = ask(&Target::Process(Pid::INIT), &Request::Pause).unwrap_err();
    assert!(error.to_string().contains("runs no sandbox"), "{error}");
}

#[test]
fn a_name_is_taken_until_its_sandbox_is_gone() {
    let name = format!("test-{}", getpid().as_raw_nonzero());
    let first = ControlSocket::open(Some(&name)).unwrap();
    let error = ControlSocket::open(Some(&name)).err().expect("it is taken");
    assert!(format!("{error:#}").contains(&name), "{error:#}");
    drop(first);
    ControlSocket::open(Some(&name)).unwrap();
}

#[test]
fn who_means_none_is_told_which_there_are() {
    let names = |count: usize| (0..count).map(|number| format!("n{number}")).collect::<Vec<_>>();
    assert_eq!(known(&names(0), "vmm ps"), "there is none (`vmm ps` tells more)");
    assert_eq!(known(&names(1), "vmm ps"), "there is n0 (`vmm ps` tells more)");
    assert_eq!(known(&names(2), "vmm ps"), "there are n0, n1 (`vmm ps` tells more)");
    assert!(known(&names(20), "vmm ps").ends_with("n11 and 8 more (`vmm ps` tells more)"));
}
