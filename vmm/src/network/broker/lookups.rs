//! The sandbox's resolver: what the guest asks at its address is looked up for it, if the policy lets it.
//!
//! What the guest takes for a UDP or a TCP socket to the resolver is one end of a pair; here is the other. Each question by UDP is
//! asked by a thread of its own, and each connection has one; there are so many at a time and no more, and a question that finds
//! none is lost, as on any network.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use simple_dns::RCODE;

use super::query::{self, Query};
use super::sockets::towards;
use super::{SharedPolicy, Source, Sources, lock};
use crate::network::Protocol;

/// Flows to the resolver at a time.
const MAX_FLOWS: usize = 1024;
/// Questions that are being looked up, and connections, at a time.
const MAX_THREADS: usize = 64;
const STACK_BYTES: usize = 256 << 10;
/// The longest message of the DNS.
const MAX_MESSAGE_BYTES: usize = 65_535;
/// The longest question: a name and little else.
const MAX_QUESTION_BYTES: usize = 4096;
/// How long a server is waited for, and how often all are asked (`man 5 resolv.conf`: timeout, attempts).
const PATIENCE: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 2;
/// How long a connection stays though nothing is asked.
const IDLE: Duration = Duration::from_secs(10);

/// The flows to the resolver.
pub(super) struct Lookups {
    flows: HashMap<u32, Arc<OwnedFd>>,
    next_number: u32,
    worker: Worker,
}

/// What a thread needs to look something up.
#[derive(Clone)]
struct Worker {
    policy: SharedPolicy,
    servers: Arc<[SocketAddr]>,
    threads: Arc<AtomicUsize>,
}

impl Lookups {
    pub(super) fn new(policy: SharedPolicy, servers: Vec<SocketAddr>) -> Self {
        let worker = Worker { policy, servers: servers.into(), threads: Arc::default() };
        Self { flows: HashMap::new(), next_number: 0, worker }
    }

    /// A way to the resolver.
    ///
    /// # Errors
    /// ENOBUFS: there are too many.
    pub(super) fn open(&mut self, protocol: Protocol, sources: &Sources) -> Result<OwnedFd, Errno> {
        let kind = match protocol {
            Protocol::Tcp => SocketType::STREAM,
            Protocol::Udp => SocketType::SEQPACKET,
        };
        let (own, theirs) =
            socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        match protocol {
            Protocol::Tcp => self.worker.spawn(move |worker| worker.serve_connection(&own))?,
            Protocol::Udp if self.flows.len() >= MAX_FLOWS => return Err(Errno::NOBUFS),
            Protocol::Udp => {
                let number = self.next_number;
                self.next_number = self.next_number.wrapping_add(1);
                sources.add(own.as_fd(), Source::Lookup(number))?;
                self.flows.insert(number, Arc::new(own));
            }
        }
        Ok(theirs)
    }

    /// Takes a question, or the end of a flow.
    pub(super) fn take(&mut self, number: u32, sources: &Sources) {
        let Some(flow) = self.flows.get(&number).cloned() else { return };
        let mut question = vec![0; MAX_QUESTION_BYTES];
        match retry_on_intr(|| recv(&flow, &mut question[..], RecvFlags::DONTWAIT)) {
            Ok((0, _)) | Err(Errno::CONNRESET) => {
                sources.remove(flow.as_fd());
                self.flows.remove(&number);
            }
            Ok((len, _)) => {
                question.truncate(len);
                let asked = self.worker.spawn(move |worker| worker.answer_datagram(&flow, &question));
                if asked.is_err() {
                    log::debug!("a question is lost: too many are being looked up");
                }
            }
            Err(_) => {}
        }
    }
}

/// A thread's place among all.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    /// Has a thread do something.
    ///
    /// # Errors
    /// ENOBUFS: there are too many.
    fn spawn(&self, work: impl FnOnce(&Self) + Send + 'static) -> Result<(), Errno> {
        let has_room = |threads: usize| (threads < MAX_THREADS).then_some(threads + 1);
        let taken = self.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room);
        taken.map_err(|_| Errno::NOBUFS)?;
        let (worker, place) = (self.clone(), Place(self.threads.clone()));
        let run = move || {
            let _place = place;
            work(&worker);
        };
        let builder = std::thread::Builder::new().name("lookup".into()).stack_size(STACK_BYTES);
        builder.spawn(run).map(drop).map_err(|_| Errno::NOBUFS)
    }

    fn answer_datagram(&self, flow: &OwnedFd, question: &[u8]) {
        let Some(answer) = self.answer(question, Protocol::Udp) else { return };
        // A guest that does not listen loses it.
        let _ = send(flow, &answer, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }

    /// Answers questions on a connection, each behind its length, until its end.
    fn serve_connection(&self, connection: &OwnedFd) {
        while let Some(question) = receive_message(connection, MAX_QUESTION_BYTES, IDLE) {
            let Some(answer) = self.answer(&question, Protocol::Tcp) else { return };
            if send_message(connection, &answer).is_none() {
                return;
            }
        }
    }

    /// The answer to a question; `None` if there is none.
    fn answer(&self, question: &[u8], protocol: Protocol) -> Option<Vec<u8>> {
        let query = match Query::parse(question)? {
            Ok(query) => query,
            Err(refusal) => return query::refuse(question, refusal),
        };
        if !lock(&self.policy).allows_name(&query.name) {
            // Who turns addresses into names can do without; everything else is told that it may not.
            return query.refuse(if query.is_reverse { RCODE::NameError } else { RCODE::Refused });
        }
        let Some(answer) = self.ask_all(&query, protocol) else { return query.refuse(RCODE::ServerFailure) };
        let now = Instant::now();
        for (address, time_to_live) in query::addresses(&answer, &query.name) {
            lock(&self.policy).learn(&query.name, address, time_to_live, now);
        }
        Some(answer)
    }

    /// Asks one server after the other. One that has failed is believed if no other knows better.
    fn ask_all(&self, query: &Query<'_>, protocol: Protocol) -> Option<Vec<u8>> {
        let mut failure = None;
        for _ in 0..ATTEMPTS {
            for server in &*self.servers {
                match ask(*server, query, protocol) {
                    Some(answer) if query::has_failed(&answer) => failure = Some(answer),
                    Some(answer) => return Some(answer),
                    None => {}
                }
            }
            if failure.is_some() {
                break;
            }
        }
        failure
    }
}

fn ask(server: SocketAddr, query: &Query<'_>, protocol: Protocol) -> Option<Vec<u8>> {
    let id = random_number()?;
    let question = query.forwarded(id)?;
    let socket = towards(protocol, server).ok()?;
    match protocol {
        Protocol::Udp => {
            send(&socket, &question, SendFlags::NOSIGNAL).ok()?;
            let deadline = Instant::now() + PATIENCE;
            // What else comes from there is not the answer.
            while wait(&socket, PollFlags::IN, deadline.saturating_duration_since(Instant::now())).is_some() {
                let mut answer = vec![0; MAX_MESSAGE_BYTES];
                let (len, _) = retry_on_intr(|| recv(&socket, &mut answer[..], RecvFlags::DONTWAIT)).ok()?;
                answer.truncate(len);
                if let Some(answer) = query.answer(id, answer) {
                    return Some(answer);
                }
            }
            None
        }
        Protocol::Tcp => {
            wait(&socket, PollFlags::OUT, PATIENCE)?;
            send_message(&socket, &question)?;
            query.answer(id, receive_message(&socket, MAX_MESSAGE_BYTES, PATIENCE)?)
        }
    }
}

fn random_number() -> Option<u16> {
    let mut bytes = [0; 2];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    (filled == Ok(bytes.len())).then(|| u16::from_ne_bytes(bytes))
}

/// Waits until a socket is ready; `None` if it takes too long.
fn wait(socket: &OwnedFd, events: PollFlags, patience: Duration) -> Option<()> {
    let patience = Timespec::try_from(patience).ok()?;
    let mut polled = [PollFd::new(socket, events)];
    (retry_on_intr(|| poll(&mut polled, Some(&patience))).ok()? > 0).then_some(())
}

/// Receives a message behind its length.
fn receive_message(socket: &OwnedFd, longest: usize, patience: Duration) -> Option<Vec<u8>> {
    let mut len = [0; 2];
    receive_exactly(socket, &mut len, patience)?;
    let len = usize::from(u16::from_be_bytes(len));
    let mut message = vec![0; Some(len).filter(|len| *len <= longest)?];
    receive_exactly(socket, &mut message, patience)?;
    Some(message)
}

fn receive_exactly(socket: &OwnedFd, buffer: &mut [u8], patience: Duration) -> Option<()> {
    let deadline = Instant::now() + patience;
    let mut rest = buffer;
    while !rest.is_empty() {
        wait(socket, PollFlags::IN, deadline.saturating_duration_since(Instant::now()))?;
        let (received, _) = retry_on_intr(|| recv(socket, &mut *rest, RecvFlags::DONTWAIT)).ok()?;
        if received == 0 {
            return None;
        }
        rest = rest.get_mut(received..)?;
    }
    Some(())
}

/// Sends a message behind its length.
fn send_message(socket: &OwnedFd, message: &[u8]) -> Option<()> {
    let len = u16::try_from(message.len()).ok()?;
    let framed = [&len.to_be_bytes()[..], message].concat();
    let deadline = Instant::now() + PATIENCE;
    let mut rest = &framed[..];
    while !rest.is_empty() {
        wait(socket, PollFlags::OUT, deadline.saturating_duration_since(Instant::now()))?;
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = retry_on_intr(|| send(socket, rest, flags)).ok()?;
        rest = rest.get(sent..)?;
    }
    Some(())
}
