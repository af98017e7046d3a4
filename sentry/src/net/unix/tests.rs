//! What unix sockets promise, kept.

use super::*;
use crate::cred::{Groups, KernelGid, KernelUid};
use crate::fs::{Collector, FileDescription, OpenFlags};
use crate::net::file::fill;
use crate::net::{Outgoing, Received, Receiving, SocketAddress, SocketFile};
use crate::process_identity::ProcessIdentity;

fn me() -> PeerCredentials {
    PeerCredentials {
        process: ProcessIdentity::new([(0, 10)]),
        uid: KernelUid(1000),
        gid: KernelGid(100),
        groups: Groups::default(),
    }
}

fn you() -> PeerCredentials {
    PeerCredentials {
        process: ProcessIdentity::new([(0, 20)]),
        uid: KernelUid(2000),
        gid: KernelGid(200),
        groups: Groups::default(),
    }
}

fn pair(kind: SocketKind) -> (Arc<UnixSocket>, Arc<UnixSocket>) {
    UnixSocket::pair(kind, me(), &Arc::default())
}

fn send(socket: &UnixSocket, bytes: &[u8]) -> Result<usize, Errno> {
    socket.send_to(Outgoing { bytes, ..Outgoing::default() }, None)
}

fn receive_into(socket: &UnixSocket, buffer: &mut [u8], how: Receiving) -> Result<Received, Errno> {
    socket.receive(buffer.len(), how, &mut fill(buffer))
}

fn receive(socket: &UnixSocket, len_bytes: usize) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; len_bytes];
    let received = receive_into(socket, &mut buffer, Receiving::default())?;
    buffer.truncate(received.len_bytes);
    Ok(buffer)
}

fn bound(names: &Arc<UnixSockets>, kind: SocketKind, name: &[u8]) -> Arc<UnixSocket> {
    let socket = UnixSocket::new(kind, KernelUid::ROOT, KernelGid::ROOT, names);
    socket.bind_abstract(Some(name.into())).unwrap();
    socket
}

fn send_files(socket: &UnixSocket, bytes: &[u8], files: Vec<Arc<FileDescription>>) -> Result<usize, Errno> {
    let files = SentFiles { files, ..SentFiles::default() };
    socket.send_to(Outgoing { bytes, credentials: me(), files, ..Outgoing::default() }, None)
}

fn describe(socket: &Arc<UnixSocket>) -> Arc<FileDescription> {
    SocketFile::open(socket.clone(), OpenFlags::empty())
}

#[test]
fn streams_have_no_bounds_and_the_others_do() {
    for (kind, expected) in [
        (SocketKind::Stream, vec![&b"onet"[..], b"wo"]),
        (SocketKind::Datagram, vec![b"one", b"two"]),
        (SocketKind::SequencedPacket, vec![b"one", b"two"]),
    ] {
        let (a, b) = pair(kind);
        assert_eq!((send(&a, b"one"), send(&a, b"two")), (Ok(3), Ok(3)));
        for part in expected {
            assert_eq!(receive(&b, 4).unwrap(), part, "{kind:?}");
        }
        assert_eq!(receive(&b, 4), Err(Errno::EAGAIN));
    }
}

#[test]
fn a_cut_message_loses_its_rest_and_tells_its_length() {
    let (a, b) = pair(SocketKind::Datagram);
    send(&a, b"long message").unwrap();
    let mut buffer = [0; 4];
    for is_peek in [true, false] {
        let received = receive_into(&b, &mut buffer, Receiving { is_peek, ..Receiving::default() }).unwrap();
        assert_eq!((received.len_bytes, received.message_bytes), (4, 12));
    }
    assert_eq!(receive(&b, 4), Err(Errno::EAGAIN));
}

#[test]
fn a_stream_peek_sees_across_messages_and_takes_nothing() {
    let (a, b) = pair(SocketKind::Stream);
    send(&a, b"ab").unwrap();
    send(&a, b"cd").unwrap();
    let mut buffer = [0; 3];
    assert_eq!(
        receive_into(&b, &mut buffer, Receiving { is_peek: true, ..Receiving::default() }).unwrap().len_bytes,
        3
    );
    assert_eq!(&buffer, b"abc");
    assert_eq!(receive(&b, 9), Ok(b"abcd".to_vec()));
}

#[test]
fn a_full_stream_takes_a_part_then_nothing_and_a_reader_makes_room() {
    let (a, b) = pair(SocketKind::Stream);
    let sent = send(&a, &vec![1; 1 << 20]).unwrap();
    assert!((150_000..=250_000).contains(&sent), "{sent}");
    assert_eq!(send(&a, b"x"), Err(Errno::EAGAIN));
    assert!(!a.readiness().contains(Events::OUT));
    assert_eq!(receive(&b, 1 << 20).unwrap().len(), sent);
    assert!(a.readiness().contains(Events::OUT));
}

#[test]
fn small_messages_cost_what_they_cost_on_linux() {
    let (a, _b) = pair(SocketKind::Stream);
    let count = std::iter::repeat_with(|| send(&a, b"x")).take_while(Result::is_ok).count();
    assert!((250..400).contains(&count), "{count}");
}

#[test]
fn an_oversized_datagram_is_refused() {
    let (a, _b) = pair(SocketKind::Datagram);
    assert_eq!(send(&a, &vec![0; 212_992]), Err(Errno::EMSGSIZE));
    assert_eq!(send(&a, &vec![0; 212_992 - 32]), Ok(212_960));
}

#[test]
fn closing_is_eof_for_the_reader_and_epipe_for_the_writer() {
    let (a, b) = pair(SocketKind::Stream);
    send(&a, b"bye").unwrap();
    drop(a);
    let events = b.readiness();
    assert!(events.contains(Events::IN | Events::HUP | Events::RDHUP | Events::OUT), "{events:?}");
    assert_eq!(receive(&b, 9), Ok(b"bye".to_vec()));
    assert_eq!(receive(&b, 9), Ok(vec![]));
    assert_eq!(send(&b, b"x"), Err(Errno::EPIPE));
}

#[test]
fn closing_with_unread_data_resets_the_peer() {
    let (a, b) = pair(SocketKind::Stream);
    send(&a, b"unread").unwrap();
    drop(b);
    assert!(a.readiness().contains(Events::ERR));
    assert_eq!(receive(&a, 9), Err(Errno::ECONNRESET));
    assert_eq!(receive(&a, 9), Ok(vec![]));
}

#[test]
fn shutting_down_ends_one_half() {
    let (a, b) = pair(SocketKind::Stream);
    a.shut_down_halves(Shutdown { receiving: false, sending: true });
    assert_eq!(send(&a, b"x"), Err(Errno::EPIPE));
    assert_eq!(receive(&b, 9), Ok(vec![]));
    assert!(b.readiness().contains(Events::RDHUP) && !b.readiness().contains(Events::HUP));
    assert_eq!(send(&b, b"back"), Ok(4));
    assert_eq!(receive(&a, 9), Ok(b"back".to_vec()));
    b.shut_down_halves(Shutdown { receiving: true, sending: true });
    assert!(a.readiness().contains(Events::HUP) && b.readiness().contains(Events::HUP));
    let idle = UnixSocket::new(SocketKind::Stream, KernelUid::ROOT, KernelGid::ROOT, &Arc::default());
    idle.shut_down_halves(Shutdown { receiving: true, sending: false });
    assert!(idle.readiness().contains(Events::RDHUP | Events::IN));
}

#[test]
fn a_connection_is_usable_before_it_is_accepted() {
    let names = Arc::new(UnixSockets::default());
    let listener = bound(&names, SocketKind::Stream, b"here");
    let client = UnixSocket::new(SocketKind::Stream, KernelUid::ROOT, KernelGid::ROOT, &Arc::default());
    assert_eq!(client.readiness(), Events::OUT | Events::WRNORM | Events::WRBAND | Events::HUP);
    assert_eq!(client.connect_to(&listener, me()), Err(Errno::ECONNREFUSED));
    listener.listen_as(1, you()).unwrap();
    client.connect_to(&names.find(SocketKind::Stream, &b"here"[..].into()).unwrap(), me()).unwrap();
    assert_eq!(client.connect_to(&listener, me()), Err(Errno::EISCONN));
    assert_eq!(send(&client, b"early"), Ok(5));
    assert_eq!(listener.readiness(), Events::IN | Events::RDNORM);
    let server = listener.take_connection(false).unwrap();
    assert_eq!(receive(&server, 9), Ok(b"early".to_vec()));
    assert_eq!((client.peer_credentials(), server.peer_credentials()), (Some(you()), Some(me())));
    assert_eq!(client.peer_address(), Ok(UnixAddress::Abstract(b"here"[..].into())));
    assert_eq!((server.address(), server.peer_address()), (listener.address(), Ok(UnixAddress::Unnamed)));
    assert_eq!(listener.take_connection(false).err(), Some(Errno::EAGAIN));
}

#[test]
fn a_full_backlog_makes_clients_wait_and_a_dead_listener_resets_them() {
    let names = Arc::new(UnixSockets::default());
    let listener = bound(&names, SocketKind::Stream, b"here");
    listener.listen_as(0, you()).unwrap();
    let connect = || {
        let client = UnixSocket::new(SocketKind::Stream, KernelUid::ROOT, KernelGid::ROOT, &Arc::default());
        client.connect_to(&listener, me()).map(|()| client)
    };
    let first = connect().unwrap();
    assert_eq!(connect().err(), Some(Errno::EAGAIN));
    let accepted = listener.take_connection(false).unwrap();
    let second = connect().unwrap();
    drop(listener);
    assert_eq!(receive(&second, 1), Err(Errno::ECONNRESET));
    assert_eq!(receive(&first, 1), Err(Errno::EAGAIN));
    drop(accepted);
    assert_eq!(names.find(SocketKind::Stream, &b"here"[..].into()).err(), Some(Errno::ECONNREFUSED));
}

#[test]
fn datagrams_tell_their_sender_and_a_connected_socket_takes_only_its_peer_s() {
    let names = Arc::new(UnixSockets::default());
    let [a, b, c] = [b"a", b"b", b"c"].map(|name| bound(&names, SocketKind::Datagram, name));
    let outgoing = Outgoing { bytes: b"hi", ..Outgoing::default() };
    assert_eq!(a.send_to(outgoing.clone(), None), Err(Errno::ENOTCONN));
    assert_eq!(a.send_to(outgoing.clone(), Some(&b)), Ok(2));
    let received = receive_into(&b, &mut [0; 9], Receiving::default()).unwrap();
    assert_eq!(received.sender, Some(SocketAddress::new(b"\x01\0\0a").unwrap()));
    b.connect_to(&c, me()).unwrap();
    assert_eq!(a.send_to(outgoing.clone(), Some(&b)), Err(Errno::EPERM));
    assert_eq!(c.send_to(outgoing.clone(), Some(&b)), Ok(2));
    drop(c);
    assert_eq!(b.send_to(outgoing, None), Err(Errno::ECONNREFUSED));
    assert_eq!(b.peer_address(), Err(Errno::ENOTCONN));
    let stream = UnixSocket::new(SocketKind::Stream, KernelUid::ROOT, KernelGid::ROOT, &Arc::default());
    assert_eq!(stream.connect_to(&a, me()), Err(Errno::EPROTOTYPE));
}

#[test]
fn names_are_used_once_and_freed_with_their_socket() {
    let names = Arc::new(UnixSockets::default());
    let socket = bound(&names, SocketKind::Stream, b"n");
    assert_eq!(socket.bind_abstract(Some(b"m"[..].into())), Err(Errno::EINVAL));
    let other = UnixSocket::new(SocketKind::Stream, KernelUid::ROOT, KernelGid::ROOT, &names);
    assert_eq!(other.bind_abstract(Some(b"n"[..].into())), Err(Errno::EADDRINUSE));
    drop(socket);
    assert_eq!(other.bind_abstract(Some(b"n"[..].into())), Ok(()));
    let automatic = UnixSocket::new(SocketKind::Stream, KernelUid::ROOT, KernelGid::ROOT, &names);
    automatic.bind_abstract(None).unwrap();
    assert_eq!(automatic.address(), UnixAddress::Abstract(b"00001"[..].into()));
}

#[test]
fn files_travel_with_the_bytes_that_they_came_with() {
    let (a, b) = pair(SocketKind::Stream);
    let (sent, _other) = pair(SocketKind::Stream);
    let file = describe(&sent);
    send(&a, b"before").unwrap();
    send_files(&a, b"with", vec![file.clone()]).unwrap();
    send(&a, b"after").unwrap();
    let mut buffer = [0; 64];
    // A read goes on up to and with the message that brings files, and ends there.
    let lengths_and_files: Vec<_> = (0..2)
        .map(|_| receive_into(&b, &mut buffer, Receiving::default()).unwrap())
        .map(|received| (received.len_bytes, received.files.len()))
        .collect();
    assert_eq!(lengths_and_files, [(10, 1), (5, 0)]);
    assert_eq!(Arc::strong_count(&file), 1);
}

#[test]
fn credentials_are_told_when_asked_for_and_part_a_stream() {
    let (a, b) = pair(SocketKind::Stream);
    let outgoing = |bytes, credentials| Outgoing { bytes, credentials, ..Outgoing::default() };
    let shared: Arc<dyn Socket> = b.clone();
    shared.change_options(|options| options.set_switch(uapi::SO_PASSCRED, true)).unwrap();
    a.send_to(outgoing(b"me", me()), None).unwrap();
    a.send_to(outgoing(b"you", you()), None).unwrap();
    let mut buffer = [0; 64];
    let first = receive_into(&b, &mut buffer, Receiving::default()).unwrap();
    assert_eq!((first.len_bytes, first.credentials), (2, Some(me())));
    let second = receive_into(&b, &mut buffer, Receiving::default()).unwrap();
    assert_eq!((second.len_bytes, second.credentials), (3, Some(you())));
}

#[test]
fn a_long_chain_of_sockets_within_sockets_is_let_go_without_a_deep_stack() {
    let names = Arc::new(UnixSockets::default());
    let pair = |kind| UnixSocket::pair(kind, me(), &names);
    let (mut holder, mut reader) = pair(SocketKind::Datagram);
    let outermost = (holder.clone(), reader.clone());
    for _ in 0..4000 {
        let (next_holder, next_reader) = pair(SocketKind::Datagram);
        send_files(&holder, b"x", vec![describe(&next_reader), describe(&next_holder)]).unwrap();
        (holder, reader) = (next_holder, next_reader);
    }
    drop((holder, reader));
    drop(outermost);
}

#[test]
fn too_many_files_in_a_message_are_refused() {
    let (a, _b) = pair(SocketKind::Stream);
    let file = describe(&a);
    assert_eq!(send_files(&a, b"x", vec![file; MAX_FILES + 1]), Err(Errno::EINVAL));
}

#[test]
fn an_empty_message_is_a_message() {
    let (a, b) = pair(SocketKind::SequencedPacket);
    assert_eq!(send(&a, b""), Ok(0));
    assert!(b.readiness().contains(Events::IN));
    assert_eq!(receive(&b, 9), Ok(vec![]));
    assert_eq!(receive(&b, 9), Err(Errno::EAGAIN));
    let (stream, other) = pair(SocketKind::Stream);
    assert_eq!(send(&stream, b""), Ok(0));
    assert_eq!(receive(&other, 9), Err(Errno::EAGAIN));
}

/// Two listeners whose only client each has sent the other listener, and the files in flight.
fn listeners_in_each_others_backlog(names: &Arc<UnixSockets>) -> [Arc<FileDescription>; 2] {
    let listeners = [&b"one"[..], b"two"].map(|name| bound(names, SocketKind::Stream, name));
    let descriptions = [describe(&listeners[0]), describe(&listeners[1])];
    for (listener, other) in [(&listeners[0], &descriptions[1]), (&listeners[1], &descriptions[0])] {
        listener.listen_as(1, you()).unwrap();
        let client = UnixSocket::new(SocketKind::Stream, KernelUid::ROOT, KernelGid::ROOT, names);
        client.connect_to(listener, me()).unwrap();
        send_files(&client, b"x", vec![other.clone()]).unwrap();
    }
    descriptions
}

#[test]
fn sockets_that_only_messages_refer_to_end() {
    let names = Arc::new(UnixSockets::default());
    let in_flight = names.in_flight();
    let (a, b) = UnixSocket::pair(SocketKind::Stream, me(), &names);
    let (pipe, other_end) = UnixSocket::pair(SocketKind::Stream, me(), &names);
    let descriptions = [describe(&a), describe(&b), describe(&pipe)];
    for (from, file) in [(&a, 1), (&b, 0), (&b, 2)] {
        send_files(from, b"x", vec![descriptions[file].clone()]).unwrap();
    }
    drop((a, b, pipe));
    let [a, b, _pipe] = descriptions;
    in_flight.descriptor_is_gone();
    assert_eq!(in_flight.count(), 3);
    drop((a, b, _pipe));
    in_flight.descriptor_is_gone();
    assert_eq!(in_flight.count(), 0);
    assert_eq!(receive(&other_end, 1).unwrap(), b"");
}

#[test]
fn a_hundred_thousand_rings_leave_nothing() {
    let names = Arc::new(UnixSockets::default());
    for _ in 0..100_000 {
        let (a, b) = UnixSocket::pair(SocketKind::Stream, me(), &names);
        let descriptions = [describe(&a), describe(&b)];
        send_files(&a, b"x", descriptions.to_vec()).unwrap();
        send_files(&b, b"x", descriptions.to_vec()).unwrap();
        drop((a, b, descriptions));
        names.in_flight().descriptor_is_gone();
    }
    assert_eq!((names.in_flight().count(), names.all().len()), (0, 0));
}

#[test]
fn listeners_end_with_what_waits_to_be_accepted() {
    let names = Arc::new(UnixSockets::default());
    let [one, two] = listeners_in_each_others_backlog(&names);
    drop(one);
    names.in_flight().descriptor_is_gone();
    assert_eq!(names.in_flight().count(), 2);
    drop(two);
    names.in_flight().descriptor_is_gone();
    assert_eq!((names.in_flight().count(), names.all().len()), (0, 0));
}

#[test]
fn a_user_may_have_so_many_files_on_their_way() {
    let (a, b) = pair(SocketKind::Stream);
    let file = describe(&pair(SocketKind::Stream).0);
    let sent = SentFiles { files: vec![file; 2], limit: Some(3), ..SentFiles::default() };
    let send = || a.send_to(Outgoing { bytes: b"x", files: sent.clone(), ..Outgoing::default() }, None);
    assert_eq!([send(), send(), send()], [Ok(1), Ok(1), Err(Errno::ETOOMANYREFS)]);
    assert_eq!(receive(&b, 1).unwrap(), b"x");
    assert_eq!(send(), Ok(1));
}
