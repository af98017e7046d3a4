//! Talking to a sandbox that runs, from outside.
//!
//! A vmm that runs a sandbox listens at an abstract unix socket (`man 7 unix`) named after its process, and at one named after
//! its user and the container, if that has a name. They are opened before the jail is entered, leave no file behind and need no
//! directory. Who calls sends a [`Request`] and gets [`Reply`]s, each a frame of bounded length with the protocol's version
//! before it; descriptors travel beside the frame (SCM_RIGHTS). The listener serves its own user and root, by what the host says of
//! the peer; the caller makes sure that the listener is the process that it names, or belongs to the user whose containers
//! it names: its own.

mod channel;
mod client;
mod discovery;
mod ending;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod known;
mod message;
mod server;
mod target;
#[cfg(test)]
mod tests;

pub use client::{about, ask, statistics, wait};
pub use discovery::running;
pub use known::known;
pub use message::{About, Execution, PassedStream, PassedStreams, Request, Statistics};
pub use target::Target;

pub(crate) use client::Call;
pub(crate) use ending::Ending;
pub(crate) use message::{During, Reply};
pub(crate) use server::{ControlSocket, Served};
