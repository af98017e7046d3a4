//! What all terminals share: sessions and their controlling terminals, and the user API's structures.

mod job_control;
mod termios;

pub(crate) use job_control::ControllingTerminal;
pub use job_control::{ControllingTerminals, JobControl, ProcessGroups, SessionMember};
pub use termios::{Termios, WindowSize};
