//! How far unpacking has come: shown on a terminal, and nowhere else.

use std::io::Read;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line on standard error, if that is a terminal.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// `total_bytes` are to be read.
    pub(crate) fn new(total_bytes: u64) -> Self {
        let template = "{msg} {bar:30} {bytes}/{total_bytes} ({bytes_per_sec})";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(total_bytes), ProgressDrawTarget::stderr());
        Self(bar.with_style(style).with_message("unpacking"))
    }

    /// Counts what is read from `input`.
    pub(crate) fn count<R: Read>(&self, input: R) -> impl Read {
        self.0.wrap_read(input)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
