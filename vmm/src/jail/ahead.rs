//! Namespaces that a thread makes ahead, while the microVM is made.
//!
//! Linux takes half a millisecond to make a network namespace, and waits for a grace period, tens of microseconds to
//! milliseconds, when the host's mounts are given up. What the thread has made the caller enters in no time; the host's mounts go
//! meanwhile.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, gettid, move_into_link_name_space};

use super::empty_root::{EmptyRoot, give_up_host_mounts, leave_directory_tree};
use super::namespaces::unshare;

/// A small stack will do.
const STACK_BYTES: usize = 64 << 10;

/// A namespace that nothing is in: what makes it, its kind, its name, and that of its file in /proc/PID/ns.
type Empty = (UnshareFlags, LinkNameSpaceType, &'static str, &'static str);

/// The network's comes last, since not everybody leaves the host's.
const EMPTY: [Empty; 4] = [
    (UnshareFlags::NEWIPC, LinkNameSpaceType::InterProcessCommunication, "IPC", "ipc"),
    (UnshareFlags::NEWUTS, LinkNameSpaceType::HostNameAndNISDomainName, "UTS", "uts"),
    (UnshareFlags::NEWCGROUP, LinkNameSpaceType::ControlGroup, "cgroup", "cgroup"),
    (UnshareFlags::NEWNET, LinkNameSpaceType::Network, "network", "net"),
];

/// Namespaces that are being made.
#[derive(Debug)]
pub(super) struct Ahead {
    made: Receiver<Made>,
    thread: Rest,
}

/// What goes on in them once they are made: the host's mounts go.
#[derive(Debug)]
pub(super) struct Rest(JoinHandle<()>);

impl Rest {
    /// Waits until it is done, and the thread has ended.
    pub(super) fn finish(self) {
        if let Err(panic) = self.0.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// What a thread has made, or what the host has refused.
#[derive(Debug)]
struct Made {
    empty: Vec<(Empty, Result<OwnedFd, Errno>)>,
    /// A copy of the caller's mounts, which is left for an empty directory.
    mounts: Result<(OwnedFd, Result<EmptyRoot, Errno>), Errno>,
}

/// A layer's name, and whether the process is in it now.
type Entered = (&'static str, Result<(), Errno>);

impl Ahead {
    /// Begins to make them, one of the network among them if `has_network`.
    ///
    /// # Errors
    /// The host has no thread left.
    pub(super) fn begin(has_network: bool) -> Result<Self, Errno> {
        let thread = std::thread::Builder::new().name("namespaces".into()).stack_size(STACK_BYTES);
        let count = if has_network { EMPTY.len() } else { EMPTY.len() - 1 };
        let (sender, made) = sync_channel(1);
        let make = move || {
            let (made, has_host_mounts) = Made::new(EMPTY.get(..count).unwrap_or_default());
            // Whoever asked for them may have failed meanwhile.
            let _ = sender.send(made);
            if has_host_mounts {
                give_up_host_mounts();
            }
        };
        match thread.spawn(make) {
            Ok(thread) => Ok(Self { made, thread: Rest(thread) }),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)),
        }
    }

    /// Has the calling thread enter them. The one that has made them goes on for a while.
    pub(super) fn enter(self) -> (Vec<Entered>, Rest) {
        // One that has panicked is found out when it is waited for.
        let entered = self.made.recv().map_or_else(|_| Vec::new(), Made::enter);
        (entered, self.thread)
    }
}

impl Made {
    /// Makes `empty` namespaces and the mounts, and tells whether the calling thread is to give up the host's.
    fn new(empty: &[Empty]) -> (Self, bool) {
        let all = empty.iter().map(|(flag, ..)| *flag).collect();
        let is_made = unshare(all).is_ok();
        let make = |(flag, _, _, file): Empty| {
            if !is_made {
                unshare(flag)?;
            }
            own_namespace(file)
        };
        let empty = empty.iter().map(|namespace| (*namespace, make(*namespace))).collect();
        let mut has_host_mounts = false;
        let mounts = unshare(UnshareFlags::NEWNS).and_then(|()| {
            // Nothing has a name afterwards.
            let namespace = own_namespace("mnt")?;
            let root = leave_directory_tree().map(|(root, is_pivoted)| {
                has_host_mounts = is_pivoted;
                root
            });
            Ok((namespace, root))
        });
        (Self { empty, mounts }, has_host_mounts)
    }

    fn enter(self) -> Vec<Entered> {
        let enter = |((_, kind, name, _), made): (Empty, Result<OwnedFd, Errno>)| {
            (name, made.and_then(|namespace| move_into_link_name_space(namespace.as_fd(), Some(kind))))
        };
        let empty: Vec<Entered> = self.empty.into_iter().map(enter).collect();
        let (mounts, root) = match self.mounts {
            Ok((namespace, root)) => {
                // Nobody may share its directories with who enters another's mounts (`man 2 setns`), or gets another root.
                let parted = unshare(UnshareFlags::FS);
                (
                    parted.and_then(|()| enter_mounts(&namespace)),
                    parted.and(root).and_then(|root| root.enter()),
                )
            }
            Err(error) => (Err(error), Err(error)),
        };
        [vec![("mount", mounts)], empty, vec![("empty root", root)]].concat()
    }
}

fn enter_mounts(namespace: &OwnedFd) -> Result<(), Errno> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
}

/// The calling thread's namespace that `file` stands for.
fn own_namespace(file: &str) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/task/{}/ns/{file}", gettid().as_raw_nonzero());
    match File::open(path) {
        Ok(file) => Ok(file.into()),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL)),
    }
}
