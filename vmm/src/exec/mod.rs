//! Programs that run beside the first one: started from outside, with streams of their own.

mod client;
mod client_streams;
mod server;

pub use client::execute;
pub use client_streams::StreamChoice;

pub(crate) use server::Executor;
