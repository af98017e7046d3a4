//! What subcommands print: for people, or JSON.

use std::io::{ErrorKind, Write};

use serde::Serialize;
use vmm::Failure;

/// Prints `bytes` to standard output, where somebody may have stopped to read.
///
/// # Errors
/// They cannot be written.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<u8, Failure> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(anyhow::Error::from(error).into()),
        _ => Ok(0),
    }
}

/// Prints `value` as JSON, or what `text` makes of it.
///
/// # Errors
/// It cannot be written.
pub(crate) fn print<T: Serialize>(
    as_json: bool,
    value: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<u8, Failure> {
    let json = || Ok(serde_json::to_string_pretty(value).map_err(anyhow::Error::from)? + "\n");
    let output: Result<String, Failure> = if as_json { json() } else { Ok(text(value)) };
    print_bytes(output?.as_bytes())
}
