//! Where time goes: what is recorded of a sandbox while somebody asks, and what becomes of it.
//!
//! A [`Recording`] has a record for each system call, apart by who served it, for each other kind of exit, and for each task; a time line;
//! figures at intervals; and stacks. A task's thread hands over one [`Lap`] each time that it goes back to user code:
//!
//! | part | is |
//! |---|---|
//! | user code | from entering it until the call |
//! | crossing | the way out and back, which happens inside of the platform's run: the least that a run ever took (see `task::cpu_time`) |
//! | handler | all that the sentry does about it, signals and stops included |
//! | asleep | the rest: waiting for what the call waits for, or for a processor |
//!
//! So the parts of a task add up to its life. Nothing here reads a clock for it: the laps are what `task::cpu_time` notes anyway.
//!
//! # Stacks
//!
//! A sampler (`task::profiling`) looks at all tasks that are awake, [`Options::hz`] times a second, and has those that have used
//! processor time since take a sample of so much weight. A task in user code is kicked out of it, unless it leaves often enough by
//! itself, and walks its own frame pointers ([`guest_stack`]). A thread in the sentry gets a signal, whose handler unwinds it into a
//! buffer that the thread empties on its way back to user code ([`host_stack`]): so that it works in the jail, where no other process
//! and no perf_event_open(2) is. Both name addresses by image and offset; symbols are looked up once, at the end ([`symbols`]).
//!
//! # Bounds
//!
//! All that a guest can make more of is bounded, and what did not fit is counted ([`data::Lost`]): so many tasks, events, intervals (which become
//! longer), images, frames of stacks. What is kept is vmm's, not the guest's, and is charged to nobody.
//!
//! # Locks
//!
//! Each record has one of its own, and none is held while another is taken. They come last of all locks.

pub mod data;
mod guest_stack;
mod host_stack;
mod intervals;
mod record;
mod recording;
mod stack_table;
mod summary;
mod symbols;
mod task_record;
#[cfg(test)]
mod tests;
mod timeline;

pub use guest_stack::{GuestFrame, walk};
pub use host_stack::{HostStacks, install_handler, request, sampling_signal};
pub use intervals::Point;
pub use record::{Lap, Way};
pub use recording::{ExitKind, Options, Recording};
pub use stack_table::Frame;
pub use summary::{ImageSource, ReadSeek};
pub use task_record::TaskRecord;
pub use timeline::EventKind;
