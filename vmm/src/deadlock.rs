//! Looks for threads that wait for each other's locks, and panics with what they hold.

use std::time::Duration;

use parking_lot::deadlock::check_deadlock;

/// How often is looked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks from now on, on a thread of its own.
///
/// # Errors
/// The host has no thread left.
pub(crate) fn watch() -> anyhow::Result<()> {
    let look = || {
        loop {
            std::thread::sleep(INTERVAL);
            let deadlocks = check_deadlock();
            let threads = deadlocks.iter().flatten();
            for thread in threads {
                log::error!("a thread in a deadlock:\n{:?}", thread.backtrace());
            }
            assert!(deadlocks.is_empty(), "{} deadlocks", deadlocks.len());
        }
    };
    std::thread::Builder::new().name("deadlocks".into()).spawn(look)?;
    Ok(())
}
