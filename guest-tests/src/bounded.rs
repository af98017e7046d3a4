//! Runs a command with a deadline: its own process group, its output kept in files, no survivors.
//!
//! Output goes to files, not pipes, so that a descendant which outlives the command cannot keep the
//! reader waiting for an end of file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How much of each stream is kept; a program that prints more is cut off here.
const CAPTURE_LIMIT_BYTES: u64 = 256 * 1024;

/// How often a running command is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(4);

/// What a command left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended; `None` if the deadline passed and it was killed.
    pub status: Option<ExitStatus>,
    /// Its standard output, up to a limit, invalid UTF-8 replaced.
    pub stdout: String,
    /// Its standard error, up to a limit, invalid UTF-8 replaced.
    pub stderr: String,
    /// From the start until it ended or was killed.
    pub elapsed: Duration,
}

impl Finished {
    /// The exit status if it exited by itself.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// Whether it exited with status 0 before the deadline.
    pub fn has_succeeded(&self) -> bool {
        self.code() == Some(0)
    }

    /// The end and the output as text for a test's failure message.
    pub fn describe(&self) -> String {
        let ending = match self.status {
            None => format!("killed at the deadline after {:.1} s", self.elapsed.as_secs_f64()),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit status {code}"),
                (None, Some(signal)) => format!("killed by signal {signal}"),
                (None, None) => format!("{status}"),
            },
        };
        format!("{ending}\n--- stdout\n{}\n--- stderr\n{}", self.stdout.trim_end(), self.stderr.trim_end())
    }
}

/// A command that has been started by [`start`] and whose process group dies with this value.
pub struct Running {
    child: Child,
    stdout: File,
    stderr: File,
    started: Instant,
}

impl Running {
    /// The process id of the command, which is also its process group's.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has printed to standard output so far.
    ///
    /// # Errors
    /// If the capture file cannot be read.
    pub fn stdout_so_far(&mut self) -> io::Result<String> {
        captured(&mut self.stdout)
    }

    /// Whether `text` appears on standard output within `timeout`.
    ///
    /// # Errors
    /// If the capture file cannot be read.
    pub fn prints_within(&mut self, text: &str, timeout: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if self.stdout_so_far()?.contains(text) {
                return Ok(true);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(false)
    }

    /// Waits until it ends or `timeout` has passed since its start, then kills what is left of its group.
    ///
    /// # Errors
    /// If the child cannot be waited for or its output cannot be read.
    pub fn finish(mut self, timeout: Duration) -> io::Result<Finished> {
        let deadline = self.started + timeout;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break Some(status);
            }
            if Instant::now() >= deadline {
                break None;
            }
            std::thread::sleep(POLL_INTERVAL);
        };
        let elapsed = self.started.elapsed();
        self.kill_group();
        Ok(Finished {
            status,
            stdout: captured(&mut self.stdout)?,
            stderr: captured(&mut self.stderr)?,
            elapsed,
        })
    }

    /// Kills the process group; a group that is gone already is what is wanted.
    fn kill_group(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// Starts `command` in a process group of its own, its output captured, its standard input empty.
///
/// # Errors
/// If the capture files cannot be made or the command cannot be started.
pub fn start(command: &mut Command) -> io::Result<Running> {
    start_with_input(command, Stdio::null())
}

/// As [`start`], with the given standard input.
///
/// # Errors
/// If the capture files cannot be made or the command cannot be started.
pub fn start_with_input(command: &mut Command, input: Stdio) -> io::Result<Running> {
    let stdout = tempfile::tempfile()?;
    let stderr = tempfile::tempfile()?;
    let child = command
        .stdin(input)
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .process_group(0)
        .spawn()?;
    Ok(Running { child, stdout, stderr, started: Instant::now() })
}

/// Runs `command` to its end, or until `timeout` has passed.
///
/// # Errors
/// If it cannot be started, waited for or read.
pub fn run(command: &mut Command, timeout: Duration) -> io::Result<Finished> {
    start(command)?.finish(timeout)
}

/// The captured bytes of one stream, as text. The command shares the file's offset, so it is put back.
fn captured(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut reader = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file)))?;
    reader.seek(SeekFrom::Start(0))?;
    reader.take(CAPTURE_LIMIT_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
