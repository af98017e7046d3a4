//! The caller's streams, as they are passed to a program that joins a sandbox.
//!
//! A sandbox has no place among the caller's jobs, so that no terminal of the host is passed: what is typed and shown there goes
//! through a pipe. Everything else is passed as it is.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::isatty;

use crate::control::{PassedStream, PassedStreams};
use crate::relay::window_of;
use crate::streams::{Stream, Streams};
use crate::terminal::TerminalGuard;

/// Bytes that are passed on at a time.
const CHUNK_LEN: usize = 64 * 1024;
/// How long output is looked out for once the program has ended.
const LAST_LOOK: Duration = Duration::from_millis(10);

/// What a program that joins has for its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamChoice {
    /// It is on a terminal of the guest's own, which is relayed to the caller's streams.
    pub has_terminal: bool,
    /// It reads the caller's standard input; else its own is empty.
    pub has_input: bool,
}

/// The caller's side of the streams.
#[derive(Default)]
pub(super) struct ClientStreams {
    /// What is passed.
    pub(super) descriptors: Vec<OwnedFd>,
    guard: Option<TerminalGuard>,
    window: Option<Arc<OwnedFd>>,
    outputs: Vec<Output>,
}

/// How a stream reaches the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Empty,
    Direct,
    TypedIn,
    Shown,
}

/// Output that comes through a pipe.
struct Output {
    /// Closed to have the thread end once the pipe is empty.
    life: OwnedFd,
    thread: JoinHandle<()>,
}

impl ClientStreams {
    /// Makes what is passed, and tells of it.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub(super) fn new(choice: StreamChoice) -> anyhow::Result<(Self, PassedStreams)> {
        let mut client = Self::default();
        let passed = match choice.has_terminal {
            true => client.on_terminal(choice.has_input).context("standard streams")?,
            false => client.own(choice.has_input).context("standard streams")?,
        };
        Ok((client, passed))
    }

    /// The caller's window, if it has one and the program is on a terminal.
    pub(super) fn window(&self) -> Option<Arc<OwnedFd>> {
        self.window.clone()
    }

    /// The program runs: what was passed is its own, and the caller's terminal is raw.
    pub(super) fn begin(&mut self) {
        self.descriptors.clear();
        if let Some(guard) = &self.guard {
            guard.make_raw();
        }
    }

    /// The program has ended: shows what is left, and restores the caller's terminal.
    pub(super) fn finish(self) {
        for Output { life, thread } in self.outputs {
            drop(life);
            // Its thread has no way to fail.
            let _ = thread.join();
        }
    }

    fn on_terminal(&mut self, has_input: bool) -> anyhow::Result<PassedStreams> {
        let streams = Streams::of_caller(Path::new(""))?;
        if has_input {
            self.guard = Some(TerminalGuard::new(streams.get(0)));
        }
        let (mut input, mut output) = (None, None);
        for Stream { number, descriptor, .. } in streams.all() {
            if self.window.is_none() && window_of(&descriptor).is_some() {
                self.window = Some(Arc::new(rustix::io::fcntl_dupfd_cloexec(&descriptor, 3)?));
            }
            match number {
                0 if has_input => input = Some(descriptor),
                1 => output = Some(descriptor),
                _ => {}
            }
        }
        let output = match output {
            Some(output) => self.output_through_pipe(output)?,
            None => null()?,
        };
        self.descriptors.push(output);
        if let Some(input) = input {
            self.descriptors.push(input_through_pipe(input)?);
        }
        Ok(PassedStreams::Terminal { window: self.window.as_ref().and_then(size_of).unwrap_or_default() })
    }

    fn own(&mut self, has_input: bool) -> anyhow::Result<PassedStreams> {
        let mut passed = Vec::new();
        let mut known: Vec<((usize, Way), PassedStream)> = Vec::new();
        for Stream { number, descriptor, identity, name, flags, .. } in
            Streams::of_caller(Path::new(""))?.all()
        {
            let way = match (number, isatty(&descriptor)) {
                (0, _) if !has_input => Way::Empty,
                (_, false) => Way::Direct,
                (0, true) => Way::TypedIn,
                (_, true) => Way::Shown,
            };
            if let Some((_, same)) = known.iter().find(|(other, _)| *other == (identity, way)) {
                passed.push(PassedStream { number, ..same.clone() });
                continue;
            }
            let descriptor = match way {
                Way::Empty => null()?,
                Way::Direct => descriptor,
                Way::TypedIn => input_through_pipe(descriptor)?,
                Way::Shown => self.output_through_pipe(descriptor)?,
            };
            let again = open_again(&descriptor);
            let stream = PassedStream {
                number,
                descriptor: self.descriptors.len(),
                name: name.into(),
                flags: if way == Way::Direct { flags.bits() } else { access_mode(&descriptor)? },
                is_opened_again: again.is_some(),
            };
            self.descriptors.push(again.unwrap_or(descriptor));
            known.push(((identity, way), stream.clone()));
            passed.push(stream);
        }
        Ok(PassedStreams::Own(passed))
    }

    /// The end of a pipe whose other end is shown at `output`.
    fn output_through_pipe(&mut self, output: OwnedFd) -> anyhow::Result<OwnedFd> {
        let (shown, passed) = pipe_with(PipeFlags::CLOEXEC)?;
        let (living, life) = pipe_with(PipeFlags::CLOEXEC)?;
        let thread = std::thread::Builder::new().name("output".into());
        let thread = thread.spawn(move || show(&shown, &output, &living))?;
        self.outputs.push(Output { life, thread });
        Ok(passed)
    }
}

/// The end of a pipe into which goes what is typed at `input`.
fn input_through_pipe(input: OwnedFd) -> anyhow::Result<OwnedFd> {
    let (passed, typed) = pipe_with(PipeFlags::CLOEXEC)?;
    let type_in = move || {
        let mut buffer = vec![0; CHUNK_LEN];
        while let Ok(len @ 1..) = retry_on_intr(|| read(&input, &mut buffer)) {
            if !write_all(&typed, buffer.get(..len).unwrap_or_default()) {
                return;
            }
        }
    };
    std::thread::Builder::new().name("input".into()).spawn(type_in)?;
    Ok(passed)
}

/// Passes on what comes through the pipe until all its writers are gone, or `living` is closed and nothing more comes.
fn show(shown: &OwnedFd, output: &OwnedFd, living: &OwnedFd) {
    let mut buffer = vec![0; CHUNK_LEN];
    let mut has_reader = true;
    loop {
        let mut ends = [PollFd::new(shown, PollFlags::IN), PollFd::new(living, PollFlags::IN)];
        if matches!(poll(&mut ends, None), Err(error) if error != Errno::INTR) {
            return;
        }
        let is_over = !ends[1].revents().is_empty();
        if ends[0].revents().is_empty() {
            let last_look = Timespec::try_from(LAST_LOOK).ok();
            let mut end = [PollFd::new(shown, PollFlags::IN)];
            if is_over && !matches!(poll(&mut end, last_look.as_ref()), Ok(1..)) {
                return;
            }
            continue;
        }
        match retry_on_intr(|| read(shown, &mut buffer)) {
            Ok(0) | Err(_) => return,
            Ok(len) => has_reader = has_reader && write_all(output, buffer.get(..len).unwrap_or_default()),
        }
    }
}

/// Writes everything; returns whether somebody reads.
fn write_all(target: &OwnedFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match write(target, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                // A failure is met again by the next write.
                let _ = poll(&mut [PollFd::new(target, PollFlags::OUT)], None);
            }
            Err(_) => return false,
        }
    }
    true
}

/// A pipe, opened once more so that it does not block, where the host lets us.
fn open_again(stream: &OwnedFd) -> Option<OwnedFd> {
    let is_pipe =
        rustix::fs::fstat(stream).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
    let access = rustix::fs::fcntl_getfl(stream).ok()? & (OFlags::ACCMODE | OFlags::APPEND);
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
    is_pipe.then(|| rustix::fs::open(path, flags, Mode::empty()).ok())?
}

/// How a descriptor may be used.
fn access_mode(stream: &OwnedFd) -> anyhow::Result<u32> {
    Ok((rustix::fs::fcntl_getfl(stream)? & OFlags::ACCMODE).bits())
}

/// How large a window is (`struct winsize`).
pub(super) fn size_of(window: &Arc<OwnedFd>) -> Option<[u16; 4]> {
    window_of(&**window).map(|size| size.fields)
}

fn null() -> anyhow::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}
