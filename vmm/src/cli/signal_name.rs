//! Signals as people and images write them: `SIGINT`, `int`, `2`, `SIGRTMIN+3`.

use anyhow::Context;
use sentry::signal::Signal;

/// The lowest and the highest real-time signal as the C library counts them, which keeps two for itself.
const REAL_TIME: (i32, i32) = (34, 64);

/// The signal that `text` names.
///
/// # Errors
/// There is none.
pub(crate) fn parse(text: &str) -> anyhow::Result<Signal> {
    find(text).with_context(|| format!("'{}' is no signal", text.escape_debug()))
}

fn find(text: &str) -> Option<Signal> {
    if let Ok(number) = text.parse() {
        return Signal::new(number).ok();
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return real_time(REAL_TIME.0.checked_add(offset(rest, '+')?)?);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return real_time(REAL_TIME.1.checked_sub(offset(rest, '-')?)?);
    }
    let is_called = |signal: &Signal| signal.name().and_then(|own| own.strip_prefix("SIG")) == Some(name);
    (1..).map_while(|number| Signal::new(number).ok()).find(is_called)
}

fn offset(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() {
        Some(0)
    } else {
        text.strip_prefix(sign)?.parse().ok().filter(|offset| *offset >= 0)
    }
}

fn real_time(number: i32) -> Option<Signal> {
    (REAL_TIME.0..=REAL_TIME.1).contains(&number).then(|| Signal::new(number).ok())?
}

#[cfg(test)]
mod tests;
