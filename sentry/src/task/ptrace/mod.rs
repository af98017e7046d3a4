//! ptrace(2): one task, the tracer, sees the stops of another and changes it there.
//!
//! Who traces whom is in the tree, by ids: [`TaskNode::tracer`](super::tree::TaskNode) and its `tracees`. What a
//! tracer asked for is in the tracee's [`TraceState`]. A tracee stops between two states of its run loop or inside
//! a system call that is an event ([`stop`]): it publishes a [`Stop`] with an [`Image`] of its registers, tells its
//! tracer, and sleeps. The tracer edits the image under the lock and resumes the tracee ([`request`]), which takes
//! the image back. So nobody but a task's own thread ever touches its context.
//!
//! A stop ends early only if the tracee is killed. A tracer's end detaches its tracees, or kills them
//! (PTRACE_O_EXITKILL).

mod access;
mod debug;
mod end;
mod image;
mod relation;
mod request;
mod state;
mod stop;
#[cfg(test)]
mod tests;
mod wait;
mod watch;

pub(crate) use access::check_access;
pub(crate) use image::GENERAL_REGISTER_COUNT;
pub(in crate::task) use image::Image;
pub(crate) use request::{PendingQueue, SyscallInfo, SyscallPhase, Tracee};
pub(in crate::task) use state::TraceState;
pub(crate) use state::{Mode, TraceOptions};
pub(in crate::task) use stop::{Event, PENDING_RESULT};
pub(in crate::task) use watch::DebugState;

#[cfg(doc)]
use state::Stop;
