//! Unix sockets through the standard library: streams, datagrams, time-outs.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use guest_tests::check::scratch;

pub(crate) fn run() {
    a_server_answers_its_clients();
    shutdown_is_an_end_of_file();
    datagrams_keep_their_boundaries();
    reads_time_out();
}

fn a_server_answers_its_clients() {
    let directory = scratch();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).expect("bind");
    let server = std::thread::spawn(move || {
        for _ in 0..5 {
            let (stream, _) = listener.accept().expect("accept");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("read");
            (&stream).write_all(line.to_uppercase().as_bytes()).expect("write");
        }
    });
    for number in 0..5 {
        let mut stream = UnixStream::connect(&path).expect("connect");
        writeln!(stream, "client {number}").expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        assert_eq!(answer, format!("CLIENT {number}\n"));
        assert_eq!(stream.peer_addr().expect("peer").as_pathname(), Some(path.as_path()));
    }
    server.join().expect("join");
    let refused = UnixStream::connect(&path).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

fn shutdown_is_an_end_of_file() {
    let (mut near, mut far) = UnixStream::pair().expect("pair");
    near.write_all(b"last words").expect("write");
    near.shutdown(Shutdown::Write).expect("shutdown");
    let mut heard = String::new();
    far.read_to_string(&mut heard).expect("read");
    assert_eq!(heard, "last words");
    assert_eq!(near.write(b"x").expect_err("shut down").kind(), ErrorKind::BrokenPipe);
    far.write_all(b"the other way").expect("write");
    drop(far);
    let mut heard = String::new();
    near.read_to_string(&mut heard).expect("read");
    assert_eq!(heard, "the other way");
}

fn datagrams_keep_their_boundaries() {
    let directory = scratch();
    let path = directory.path().join("datagram");
    let receiver = UnixDatagram::bind(&path).expect("bind");
    let sender = UnixDatagram::unbound().expect("socket");
    for text in ["one", "", "three"] {
        sender.send_to(text.as_bytes(), &path).expect("send");
    }
    let mut buffer = [0; 64];
    for text in ["one", "", "three"] {
        let (length, address) = receiver.recv_from(&mut buffer).expect("receive");
        assert_eq!(&buffer[..length], text.as_bytes());
        assert!(address.is_unnamed());
    }
}

fn reads_time_out() {
    let (near, _far) = UnixStream::pair().expect("pair");
    near.set_read_timeout(Some(Duration::from_millis(20))).expect("timeout");
    assert_eq!((&near).read(&mut [0]).expect_err("nothing comes").kind(), ErrorKind::WouldBlock);
    near.set_nonblocking(true).expect("nonblocking");
    assert_eq!((&near).read(&mut [0]).expect_err("nothing comes").kind(), ErrorKind::WouldBlock);
}
