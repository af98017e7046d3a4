//! A defect of vmm itself ends it: at once, with one clear line and docker's status, whichever thread meets it.
//!
//! A thread that died alone would leave a guest that waits for it for ever.

use std::io::Write;
use std::panic::PanicHookInfo;

use crate::failure::Failure;
use crate::terminal::TerminalGuard;

/// From now on a panic in any thread ends the process; the caller's terminal is left as it is now.
pub fn end_process_on_panic() {
    let terminal = TerminalGuard::new(Some(rustix::stdio::stdin()));
    std::panic::set_hook(Box::new(move |panic| {
        terminal.restore();
        // Nothing can be done about a standard error that is closed.
        let _ = writeln!(std::io::stderr(), "{}", describe(panic));
        std::process::exit(i32::from(Failure::VMM));
    }));
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let place = panic.location().map_or_else(|| "an unknown place".into(), ToString::to_string);
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let message =
        text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let message = message.replace('\n', " ");
    format!(
        "vmm: a defect of vmm ended the sandbox: {message} (thread {:?} at {place}); please report this line",
        thread.name().unwrap_or("unnamed")
    )
}
