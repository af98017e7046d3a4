//! What system calls are given, as a fuzzer has it.

use super::socket::control;

/// A buffer of control messages.
pub fn control_messages(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some((message, next))) = control::split(rest) {
        assert!(next.len() < rest.len() && message.data.len() < rest.len());
        rest = next;
    }
}
