//! `vmm logs`.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::time::Duration;

use anyhow::Context;
use serde_json::json;
use vmm::Failure;
use vmm::log_file::{Entry, LogReader};
use vmm::records::{Record, Records};

use super::target::{container_name, no_record};

/// How often a log that is followed is looked at.
const MOMENT: Duration = Duration::from_millis(50);

/// Whose log is shown, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct LogsArguments {
    /// Go on as long as the sandbox writes
    #[arg(long, short = 'f')]
    follow: bool,

    /// Begin with so many entries before the end; an entry is what the sandbox has written at a time
    #[arg(long, short = 'n', value_name = "NUMBER")]
    tail: Option<usize>,

    /// Print JSON: an entry a line, with its time in nanoseconds since 1970
    #[arg(long)]
    json: bool,

    /// The name of the detached sandbox
    #[arg(value_name = "NAME", value_parser = container_name)]
    name: String,
}

impl LogsArguments {
    /// Shows the log: standard output's where that is, and standard error's there.
    ///
    /// # Errors
    /// There is no such sandbox, or its log cannot be read.
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        match self.show() {
            Err(error) if is_broken_pipe(&error) => Ok(0),
            result => Ok(result.map(|()| 0)?),
        }
    }

    fn show(&self) -> anyhow::Result<()> {
        let records = Records::of_caller()?;
        let record = records.find(&self.name).with_context(|| no_record(&records, &self.name))?;
        let shown = || format!("the log of {}", self.name);
        let mut log = LogReader::new(record.path()).with_context(shown)?;
        let mut last = VecDeque::new();
        while let Some(entry) = log.next_entry().with_context(shown)? {
            match self.tail {
                None => self.print(&entry)?,
                Some(tail) => {
                    last.push_back(entry);
                    while last.len() > tail {
                        last.pop_front();
                    }
                }
            }
        }
        last.iter().try_for_each(|entry| self.print(entry))?;
        if self.follow {
            self.follow(&record, &mut log).with_context(shown)?;
        }
        Ok(())
    }

    /// Shows what comes, until nobody keeps the sandbox any more.
    fn follow(&self, record: &Record, log: &mut LogReader) -> anyhow::Result<()> {
        loop {
            // What comes after this look is not there any more.
            let is_kept = record.is_kept();
            while let Some(entry) = log.next_entry()? {
                self.print(&entry)?;
            }
            if !is_kept {
                return Ok(());
            }
            std::thread::sleep(MOMENT);
        }
    }

    fn print(&self, entry: &Entry) -> anyhow::Result<()> {
        if self.json {
            let stream = if entry.stream == 2 { "stderr" } else { "stdout" };
            let text = String::from_utf8_lossy(&entry.bytes);
            let line = json!({ "time_ns": entry.time_ns, "stream": stream, "text": text });
            return Ok(writeln!(stdout(), "{line}")?);
        }
        match entry.stream {
            2 => stderr().write_all(&entry.bytes)?,
            _ => {
                let mut stdout = stdout();
                stdout.write_all(&entry.bytes)?;
                stdout.flush()?;
            }
        }
        Ok(())
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
