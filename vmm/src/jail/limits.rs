//! What the process may use of the host at most, and leaves behind.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Threads of the user that vmm is: more than the sentry runs tasks.
const MAX_THREADS: u64 = 1 << 17;
/// Descriptors: far more than the sentry holds.
const MAX_DESCRIPTORS: u64 = 1 << 20;

/// Sets the limits, which are not raised again.
///
/// # Errors
/// None that Linux documents for lowering a limit.
pub(super) fn lower() -> Result<(), Errno> {
    lower_to(Resource::Core, 0)?;
    lower_to(Resource::Nproc, MAX_THREADS)?;
    lower_to(Resource::Nofile, MAX_DESCRIPTORS)
}

/// What they are, for a person.
pub(super) fn describe() -> String {
    let told = |resource| {
        getrlimit(resource).current.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
    };
    format!("{} descriptors, {} threads, no core dump", told(Resource::Nofile), told(Resource::Nproc))
}

/// The process's memory holds the guest's: it goes to no file, and to no other process of the same user.
///
/// # Errors
/// None that Linux documents.
pub(super) fn hide_memory() -> Result<(), Errno> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

fn lower_to(resource: Resource, most: u64) -> Result<(), Errno> {
    let limit = getrlimit(resource);
    let lower = |value: Option<u64>| Some(value.map_or(most, |value| value.min(most)));
    setrlimit(resource, Rlimit { current: lower(limit.current), maximum: lower(limit.maximum) })
}
