//! A sandbox that runs on its own: a keeper, which is nothing to the guest, reads what it writes and sees how it ends.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, setsid, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::failure::Failure;
use crate::log_file::{LogWriter, MAX_ENTRY_LEN};
use crate::records::{Keeping, Record};
use crate::streams;

/// How a sandbox is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepingChoice {
    /// Its standard input stays open, and nobody writes to it; else it is empty.
    pub has_input: bool,
    /// How much is kept of what it writes, in bytes.
    pub log_limit_bytes: u64,
    /// The record goes when the sandbox has ended.
    pub removes_record: bool,
}

/// Has `run` run a sandbox in a process of its own, and returns once its program runs. `run` is handed the pipe that it tells that by
/// ([`crate::Custody::started`]). The process has one thread.
///
/// # Errors
/// What keeps the program from running: then there is no record any more.
pub fn detach(
    record: Record,
    keeping: Keeping,
    choice: KeepingChoice,
    run: impl FnOnce(Arc<OwnedFd>) -> Result<u8, Failure>,
) -> Result<(), Failure> {
    let log = LogWriter::new(record.path(), choice.log_limit_bytes);
    let log = log.with_context(|| record.path().display().to_string())?;
    let (started, starts) = pipe_with(PipeFlags::CLOEXEC).context("make a pipe")?;
    if fork()?.is_none() {
        let status = match keep(&record, choice, log, starts, run) {
            Ok(()) => 0,
            // There is nobody left to tell.
            Err(_) => Failure::VMM,
        };
        drop(keeping);
        std::process::exit(status.into());
    }
    drop((starts, keeping, run));
    let told = read_told(File::from(started));
    match told.split_first() {
        Some((0, _)) => Ok(()),
        told => {
            // Whoever kept it is about to end.
            let _ = record.wait();
            let _ = record.remove();
            let (status, text) = told.unwrap_or((&Failure::VMM, b"the sandbox ended before its program ran"));
            let error = anyhow!(String::from_utf8_lossy(text).into_owned());
            Err(Failure { status: *status, error })
        }
    }
}

/// What is told of the start: a zero, or a status and why.
fn read_told(mut started: File) -> Vec<u8> {
    let (mut told, mut buffer) = (Vec::new(), vec![0; MAX_ENTRY_LEN]);
    while told.first() != Some(&0) && told.len() < MAX_ENTRY_LEN {
        match started.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(len) => told.extend_from_slice(buffer.get(..len).unwrap_or_default()),
        }
    }
    told
}

/// Starts the sandbox, and keeps it until its end.
fn keep(
    record: &Record,
    choice: KeepingChoice,
    mut log: LogWriter,
    starts: OwnedFd,
    run: impl FnOnce(Arc<OwnedFd>) -> Result<u8, Failure>,
) -> anyhow::Result<()> {
    setsid()?;
    leave_terminal();
    let pipe = || pipe_with(PipeFlags::CLOEXEC);
    let (input, output, errors) = (pipe()?, pipe()?, pipe()?);
    let null = null()?;
    let Some(sandbox) = fork()? else {
        let input = if choice.has_input { input.0.as_fd() } else { null.as_fd() };
        dup2_stdin(input)?;
        dup2_stdout(&output.1)?;
        dup2_stderr(&errors.1)?;
        drop((log, input, output, errors));
        std::process::exit(run_sandbox(starts, run).into());
    };
    drop((starts, run, output.1, errors.1));
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    copy(&mut log, [output.0, errors.0])?;
    let status = retry_on_intr(|| waitpid(Some(sandbox), WaitOptions::empty()))?.map(|(_, status)| status);
    let code = status.and_then(|status| {
        let signal = status.terminating_signal().map(|signal| 128 + signal);
        status.exit_status().or(signal).and_then(|code| u8::try_from(code).ok())
    });
    if choice.removes_record {
        return record.remove();
    }
    record.set_end(code.unwrap_or(Failure::VMM))
}

/// Runs the sandbox in this process, and returns the status to exit with.
fn run_sandbox(starts: OwnedFd, run: impl FnOnce(Arc<OwnedFd>) -> Result<u8, Failure>) -> u8 {
    streams::are_open();
    let starts = Arc::new(starts);
    run(starts.clone()).unwrap_or_else(|failure| {
        let text = failure.text();
        // Whoever waits for it hears the status and the reason; the log has it, too.
        let _ = rustix::io::write(&starts, &[&[failure.status], text.as_bytes()].concat());
        let _ = writeln!(std::io::stderr(), "vmm: {text}");
        failure.status
    })
}

/// Writes down what comes from the sandbox, until its end.
fn copy(log: &mut LogWriter, sources: [OwnedFd; 2]) -> anyhow::Result<()> {
    let mut sources: Vec<_> = (1..).zip(sources).collect();
    let mut buffer = vec![0; MAX_ENTRY_LEN];
    while !sources.is_empty() {
        let mut ends: Vec<_> = sources.iter().map(|(_, source)| PollFd::new(source, PollFlags::IN)).collect();
        match poll(&mut ends, None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        let is_ready: Vec<bool> = ends.iter().map(|end| !end.revents().is_empty()).collect();
        let mut is_ready = is_ready.into_iter();
        sources.retain(|(stream, source)| {
            if is_ready.next() != Some(true) {
                return true;
            }
            match retry_on_intr(|| rustix::io::read(source, &mut buffer)) {
                Ok(0) | Err(_) => false,
                Ok(len) => {
                    // What a full disk has no room for is lost; the sandbox goes on.
                    let _ = log.append(*stream, buffer.get(..len).unwrap_or_default());
                    true
                }
            }
        });
    }
    Ok(())
}

/// Lets go of the caller's terminal, which a panic would restore.
fn leave_terminal() {
    drop(std::panic::take_hook());
    crate::end_process_on_panic();
}

fn null() -> anyhow::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// Forks; `None` in the child. Both go on with all that there is.
fn fork() -> anyhow::Result<Option<Pid>> {
    let threads = std::fs::read_dir("/proc/self/task").context("/proc/self/task")?.count();
    ensure!(threads == 1, "vmm has {threads} threads where it has to have one");
    // SAFETY: there is no other thread, whose locks and memory the child would be without.
    let pid = unsafe { libc::fork() };
    ensure!(pid >= 0, "make a process: {}", std::io::Error::last_os_error());
    Ok(Pid::from_raw(pid))
}
