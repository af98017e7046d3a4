//! A network namespace of vmm's own, with nothing in it (`man 7 network_namespaces`).
//!
//! Linux takes half a millisecond to make one, as long as all else that the jail does, so that a thread makes it while the
//! microVM is made.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, gettid, move_into_link_name_space};

use super::namespaces::unshare;

/// A small stack will do.
const STACK_BYTES: usize = 64 << 10;

/// A namespace that is being made, by a thread that stays in it until this is dropped.
#[derive(Debug)]
pub(super) struct NetworkNamespace {
    thread: JoinHandle<()>,
    /// The thread's number once the namespace is made.
    made: Receiver<Result<i32, Errno>>,
    release: Sender<()>,
}

impl NetworkNamespace {
    /// Begins to make it.
    ///
    /// # Errors
    /// The host has no thread left.
    pub(super) fn begin() -> Result<Self, Errno> {
        let ((announce, made), (release, released)) = (mpsc::channel(), mpsc::channel());
        let make = move || {
            let result = unshare(UnshareFlags::NEWNET).map(|()| gettid().as_raw_nonzero().get());
            if announce.send(result).is_ok() {
                let _: Result<(), _> = released.recv();
            }
        };
        let thread = std::thread::Builder::new().name("network".into()).stack_size(STACK_BYTES).spawn(make);
        let thread = thread.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
        Ok(Self { thread, made, release })
    }

    /// Has the calling thread enter it, and ends the one that has made it.
    ///
    /// # Errors
    /// The host does not let vmm make one.
    pub(super) fn enter(self) -> Result<(), Errno> {
        let made = self.made.recv().unwrap_or(Err(Errno::AGAIN));
        let result = made.and_then(enter_namespace_of);
        drop(self.release);
        // It has no way to panic.
        let _ = self.thread.join();
        result
    }
}

fn enter_namespace_of(thread_id: i32) -> Result<(), Errno> {
    let namespace = File::open(format!("/proc/self/task/{thread_id}/ns/net"))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
}
