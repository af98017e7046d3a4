//! A network that a test makes for itself: a namespace with addresses of its own, and servers in it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Addresses of the host that the sandbox's is tested against, and what is set up for them.
pub(super) const HERE: &str = "192.0.2.1";
pub(super) const THERE: &str = "192.0.2.2";
pub(super) const HERE_V6: &str = "2001:db8::1";
const SETUP: &str = "ip link set lo up && ip addr add 192.0.2.1/32 dev lo && ip addr add 192.0.2.2/32 dev lo \
    && ip addr add 192.0.2.53/32 dev lo && ip -6 addr add 2001:db8::1/128 dev lo nodad";

/// Runs `test` on a thread in a network namespace of its own. Servers that it starts, and processes, are in there.
pub(super) fn in_namespace(test: fn()) {
    let run = move || {
        // SAFETY: the table of descriptors is not among what is parted.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("a network namespace");
        let status = Command::new("sh").args(["-c", SETUP]).status().expect("sh");
        assert!(status.success(), "the namespace is set up");
        test();
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Serves each connection to `address` by a thread; returns the port.
pub(super) fn serve(address: &str, serve: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind((address, 0)).expect("an address");
    let port = listener.local_addr().expect("a port").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Sends back what comes, by TCP and by UDP.
pub(super) fn serve_echo(address: &str) -> u16 {
    let port = serve(address, echo);
    let socket = UdpSocket::bind((address, port)).expect("the port is free");
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        loop {
            // What one sender is told of by ICMP is no end for others.
            if let Ok((len, sender)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..len], sender);
            }
        }
    });
    port
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 65536];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..len]).is_err() {
            return;
        }
    }
}

/// A name, how long its address is good for in seconds, and the address.
pub(super) type Record = (&'static str, u32, Ipv4Addr);

/// A name server at port 53 of `address` that knows `records`; by UDP it answers that the answer is too long, if it `truncates`.
pub(super) fn serve_names(address: &str, records: &'static [Record], truncates: bool) {
    let socket = UdpSocket::bind((address, 53)).expect("the port is free");
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((len, sender)) = socket.recv_from(&mut buffer) {
            let answer = answer(&buffer[..len], records, truncates);
            let _ = socket.send_to(&answer, sender);
        }
    });
    let listener = TcpListener::bind((address, 53)).expect("the port is free");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = answer_by_tcp(stream.expect("a connection"), records);
        }
    });
}

fn answer_by_tcp(mut stream: TcpStream, records: &[Record]) -> std::io::Result<()> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut question)?;
    let answer = answer(&question, records, false);
    let len = u16::try_from(answer.len()).expect("a short answer").to_be_bytes();
    stream.write_all(&[&len[..], &answer].concat())
}

/// The answer to a question of RFC 1035: the question's name is its first thing behind 12 bytes of header.
fn answer(message: &[u8], records: &[Record], truncates: bool) -> Vec<u8> {
    let mut name = String::new();
    let mut at = 12;
    while message[at] > 0 {
        let end = at + 1 + usize::from(message[at]);
        name += &format!("{}.", String::from_utf8_lossy(&message[at + 1..end]).to_lowercase());
        at = end;
    }
    let question = &message[12..at + 5];
    let is_address = message[at + 1..at + 3] == [0, 1];
    let known: Vec<&Record> = records.iter().filter(|(known, ..)| format!("{known}.") == name).collect();
    let code = if known.is_empty() { 3 } else { 0 };
    let told: Vec<&Record> = known.into_iter().filter(|_| is_address && !truncates).collect();
    let flags = [if truncates { 0x87 } else { 0x85 }, 0x80 | code];
    let counts = [0, 1, 0, told.len() as u8, 0, 0, 0, 0];
    let mut answer = [&message[..2], &flags, &counts, question].concat();
    for (_, time_to_live, address) in told {
        answer.extend([0xc0, 12, 0, 1, 0, 1]);
        answer.extend(time_to_live.to_be_bytes());
        answer.extend([0, 4]);
        answer.extend(address.octets());
    }
    answer
}

/// What a published port answers to `request` when somebody is there.
pub(super) fn ask(address: &str, port: u16, request: &[u8]) -> Option<Vec<u8>> {
    let address: IpAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect(SocketAddr::new(address, port)).ok()?;
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(answer).filter(|answer| !answer.is_empty())
}

/// As [`ask`], of UDP.
pub(super) fn ask_datagram(socket: &UdpSocket, port: u16, request: &[u8]) -> Option<Vec<u8>> {
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time");
    socket.send_to(request, (Ipv4Addr::LOCALHOST, port)).ok()?;
    let mut buffer = vec![0; 65536];
    let (len, _) = socket.recv_from(&mut buffer).ok()?;
    buffer.truncate(len);
    Some(buffer)
}
