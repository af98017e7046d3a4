//! Files on their way through sockets, and the end of those that nobody can receive any more.
//!
//! A socket can hold a message that holds the socket, by itself or in a ring with others. Once nothing else refers to such
//! sockets, nobody can ever read what they hold, and yet each keeps the next one open (`unix_gc` of Linux). So all files on
//! their way are kept here, with the inbox that each is in. Those in flight that nothing else refers to, and that are in no
//! inbox that can still be read, are beyond reach: their inboxes are emptied. What is out of reach stays so, wherefore a look
//! at one instant, taken under the lock, can be thought about without it.
//!
//! It is looked after a descriptor of a socket in flight is closed, and after a message with such a socket is thrown away; with
//! many files in flight only every so often, so that it costs a descriptor no more than a few steps. A sender who is at a
//! limit has it looked in any case.
//!
//! Lock order: an inbox, then the files in flight. Files are dropped with neither held.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};

use parking_lot::Mutex;

use super::UnixSocket;
use super::endpoint::Endpoint;
use super::reach::{Graph, Node};
use crate::Errno;
use crate::fs::{Collector, FileDescription};
use crate::net::SocketFile;

/// Files in flight there can be, whoever sends them: looking through them takes a few milliseconds.
const MAX_IN_FLIGHT: usize = 65_536;
/// How many files in flight are looked through for each event after which some may be beyond reach.
const STEPS_PER_EVENT: usize = 32;

/// All files on their way in a kernel.
#[derive(Default)]
pub struct FilesInFlight(Mutex<State>);

#[derive(Default)]
struct State {
    parcels: HashMap<u64, Parcel>,
    next_parcel: u64,
    /// In all parcels.
    files: usize,
    /// Events after the last look, each of which may have put something beyond reach.
    events: usize,
    is_collecting: bool,
    /// What each thread is letting go of: chains of sockets within sockets end one after the other, not one within the other,
    /// however long a guest makes them.
    doomed: HashMap<ThreadId, Vec<Arc<FileDescription>>>,
}

/// The files of one message.
struct Parcel {
    inbox: Weak<Endpoint>,
    files: Vec<Arc<FileDescription>>,
}

/// The socket in `file`, if it is one that can hold files itself.
fn socket(file: &FileDescription) -> Option<&UnixSocket> {
    file.downcast::<SocketFile>()?.socket().downcast()
}

impl State {
    fn put(&mut self, parcel: Parcel) -> u64 {
        self.files += parcel.files.len();
        for socket in parcel.files.iter().filter_map(|file| socket(file)) {
            socket.times_in_flight.fetch_add(1, Ordering::Relaxed);
        }
        let number = self.next_parcel;
        self.next_parcel += 1;
        self.parcels.insert(number, parcel);
        number
    }

    fn take(&mut self, number: u64) -> Vec<Arc<FileDescription>> {
        let files = self.parcels.remove(&number).map(|parcel| parcel.files).unwrap_or_default();
        self.files -= files.len();
        for socket in files.iter().filter_map(|file| socket(file)) {
            socket.times_in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        files
    }

    /// How the sockets in flight hold each other at this instant.
    fn graph(&self) -> Graph<Weak<Endpoint>> {
        let mut graph = Graph::default();
        for parcel in self.parcels.values() {
            let Some(inbox) = parcel.inbox.upgrade() else { continue };
            let holder = inbox.reader();
            let mut holds_sockets = false;
            for file in &parcel.files {
                let Some(socket) = socket(file) else { continue };
                graph.add_edge(holder, node_of(&socket.own), Arc::strong_count(file));
                holds_sockets = true;
            }
            if holds_sockets {
                graph.add_contents(holder, parcel.inbox.clone());
            }
        }
        graph
    }
}

/// What a socket is called in a graph.
pub(super) fn node_of(endpoint: &Endpoint) -> Node {
    Node(endpoint.id())
}

impl FilesInFlight {
    /// Takes in `files`, on their way to the inbox of `to`.
    ///
    /// # Errors
    /// ETOOMANYREFS.
    pub(super) fn depart(
        self: &Arc<Self>,
        files: Vec<Arc<FileDescription>>,
        to: &Arc<Endpoint>,
    ) -> Result<Ticket, Errno> {
        let has_room = |state: &State| state.files + files.len() <= MAX_IN_FLIGHT;
        if !has_room(&self.0.lock()) {
            self.collect();
        }
        let mut state = self.0.lock();
        if !has_room(&state) {
            return Err(Errno::ETOOMANYREFS);
        }
        let parcel = state.put(Parcel { inbox: Arc::downgrade(to), files });
        Ok(Ticket { parcel: Some(parcel), in_flight: self.clone() })
    }

    /// Ends all sockets that nobody can reach any more, unless a thread is at it.
    pub(super) fn collect(&self) {
        let graph = {
            let mut state = self.0.lock();
            if std::mem::replace(&mut state.is_collecting, true) {
                return;
            }
            state.events = 0;
            state.graph()
        };
        for inbox in graph.contents_beyond_reach() {
            if let Some(inbox) = inbox.upgrade() {
                inbox.purge();
            }
        }
        self.0.lock().is_collecting = false;
    }

    /// Something may be beyond reach from now on: looks, if that is due.
    fn note_event(&self) {
        let is_due = {
            let mut state = self.0.lock();
            state.events += 1;
            state.events.saturating_mul(STEPS_PER_EVENT) >= state.files
        };
        if is_due {
            self.collect();
        }
    }

    /// Drops files of a message that nobody will receive. They may hold more messages.
    fn let_go(&self, parcel: u64) {
        let thread = thread::current().id();
        let leaves_sockets_in_flight = {
            let mut state = self.0.lock();
            let files = state.take(parcel);
            let is_in_flight =
                |file: &Arc<FileDescription>| socket(file).is_some_and(UnixSocket::is_in_flight);
            let leaves_sockets_in_flight = files.iter().any(is_in_flight);
            if let Some(doomed) = state.doomed.get_mut(&thread) {
                doomed.extend(files);
                return;
            }
            state.doomed.insert(thread, files);
            leaves_sockets_in_flight
        };
        while let Some(file) = self.next_doomed(thread) {
            drop(file);
        }
        if leaves_sockets_in_flight {
            self.note_event();
        }
    }

    fn next_doomed(&self, thread: ThreadId) -> Option<Arc<FileDescription>> {
        let mut state = self.0.lock();
        let file = state.doomed.get_mut(&thread)?.pop();
        if file.is_none() {
            state.doomed.remove(&thread);
        }
        file
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().files
    }
}

impl Collector for FilesInFlight {
    fn descriptor_is_gone(&self) {
        self.note_event();
    }
}

/// A message's claim to its files; dropping it lets go of them.
pub(super) struct Ticket {
    /// `None` once they have arrived.
    parcel: Option<u64>,
    in_flight: Arc<FilesInFlight>,
}

impl Ticket {
    /// The files, which stay in flight.
    pub(super) fn files(&self) -> Vec<Arc<FileDescription>> {
        let state = self.in_flight.0.lock();
        let parcel = self.parcel.and_then(|parcel| state.parcels.get(&parcel));
        parcel.map(|parcel| parcel.files.clone()).unwrap_or_default()
    }

    /// The files, which are in flight no more.
    pub(super) fn arrive(mut self) -> Vec<Arc<FileDescription>> {
        self.parcel.take().map(|parcel| self.in_flight.0.lock().take(parcel)).unwrap_or_default()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(parcel) = self.parcel {
            self.in_flight.let_go(parcel);
        }
    }
}
