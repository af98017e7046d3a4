//! The line in the making.

use std::fmt::{Arguments, Write};

/// The longest line, in bytes; what would follow is left out.
const MAX_BYTES: usize = 16 << 10;

/// A line, or a part of one.
#[derive(Debug, Default)]
pub(super) struct Line(String);

impl Line {
    /// Appends `text`.
    pub(super) fn text(&mut self, text: &str) {
        if self.0.len() < MAX_BYTES {
            self.0.push_str(text);
        }
    }

    /// Appends formatted text.
    pub(super) fn put(&mut self, text: Arguments<'_>) {
        if self.0.len() < MAX_BYTES {
            // Writing to a string does not fail.
            let _ = self.0.write_fmt(text);
        }
    }

    /// Appends another line's text.
    pub(super) fn append(&mut self, other: &Self) {
        self.text(&other.0);
    }

    /// The comma before the element at `index`.
    pub(super) fn separate(&mut self, index: usize) {
        if index > 0 {
            self.text(", ");
        }
    }

    /// Appends bytes as a string literal of C.
    pub(super) fn string(&mut self, bytes: &[u8]) {
        self.text("\"");
        for (index, &byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' => self.text("\\n"),
                b'\t' => self.text("\\t"),
                b'\r' => self.text("\\r"),
                0x0b => self.text("\\v"),
                0x0c => self.text("\\f"),
                b'"' => self.text("\\\""),
                b'\\' => self.text("\\\\"),
                b' '..=b'~' => self.put(format_args!("{}", char::from(byte))),
                // A digit that follows would be read as part of a short escape.
                _ if bytes.get(index + 1).is_some_and(u8::is_ascii_digit) => {
                    self.put(format_args!("\\{byte:03o}"));
                }
                _ => self.put(format_args!("\\{byte:o}")),
            }
        }
        self.text("\"");
    }

    /// The finished text.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}
