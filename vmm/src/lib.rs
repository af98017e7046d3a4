//! Runs a Linux program inside a microVM that has no guest kernel.
//!
//! The library takes a [`Description`] and a [`Custody`], builds the sandbox out of the sentry and the KVM platform, confines the process and waits
//! for the program: [`run`]. The binary only parses a command line; other front ends stand beside it. Exit statuses are docker's.

pub mod control;
pub mod copy;
mod diff;
pub mod doctor;
pub mod exec;
mod failure;
mod forward;
mod front;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod heap;
pub mod image;
mod jail;
pub mod keeper;
pub mod log_file;
pub mod network;
mod output;
mod panic;
pub mod profile;
pub mod records;
mod relay;
mod sandbox;
mod streams;
mod terminal;

pub use failure::Failure;
pub use heap::Heap;
pub use jail::JailUser;
pub use output::Output;
pub use panic::end_process_on_panic;
pub use sandbox::{Custody, run};
pub use sentry::boot::Description;
