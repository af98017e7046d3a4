//! One sandbox, watched from outside.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Guest memory, and what vmm may have besides: a bound on its own, and the size of its program and libraries.
pub(crate) const MEMORY_MIB: u64 = 256;
const OWN_MEMORY_MIB: u64 = 96 + 32;
/// Threads and descriptors of vmm, of which each guest has some for each process, and few for each file.
const THREADS_MAX: u64 = 2048;
const DESCRIPTORS_MAX: u64 = 4096;
/// How long a sandbox may take in all.
const LIFETIME: Duration = Duration::from_secs(180);
/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(50);

/// What was seen of sandboxes, at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peaks {
    pub(crate) silence: Duration,
    pub(crate) memory_mib: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

impl Peaks {
    /// The larger of each.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            silence: self.silence.max(other.silence),
            memory_mib: self.memory_mib.max(other.memory_mib),
            threads: self.threads.max(other.threads),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

/// How a sandbox went.
pub(crate) struct Outcome {
    pub(crate) peaks: Peaks,
    /// Standard error.
    pub(crate) messages: String,
    /// What must not be.
    pub(crate) failures: Vec<String>,
}

/// Runs the sandbox to its end. Its canary may be silent for `patience`.
pub(crate) fn run(command: &mut Command, patience: Duration) -> std::io::Result<Outcome> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let beats = listen(&mut child);
    let messages = collect_messages(&mut child);
    let (mut peaks, mut failures) = (Peaks::default(), Vec::new());
    let (start, mut last_beat) = (Instant::now(), Instant::now());
    let status = loop {
        match beats.recv_timeout(INTERVAL) {
            Ok(()) => last_beat = Instant::now(),
            Err(RecvTimeoutError::Timeout) => peaks.silence = peaks.silence.max(last_beat.elapsed()),
            Err(RecvTimeoutError::Disconnected) => thread::sleep(INTERVAL),
        }
        peaks = peaks.max(look_at(child.id()));
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if last_beat.elapsed() > patience || start.elapsed() > LIFETIME {
            child.kill()?;
            child.wait()?;
            break None;
        }
    };
    failures.extend(judge(status, &peaks));
    Ok(Outcome { peaks, messages: messages.join().unwrap_or_default(), failures })
}

fn judge(status: Option<ExitStatus>, peaks: &Peaks) -> Vec<String> {
    let memory_max = MEMORY_MIB + OWN_MEMORY_MIB;
    let ending = match status {
        None => {
            Some(format!("no process was served for {:.1} s, or it did not end", peaks.silence.as_secs_f64()))
        }
        Some(status) if status.success() => None,
        Some(status) => Some(format!("it ended with {status}")),
    };
    let bound =
        |name: &str, value: u64, max: u64| (value > max).then(|| format!("{value} {name}, above {max}"));
    [
        ending,
        bound("MiB of memory", peaks.memory_mib, memory_max),
        bound("threads", peaks.threads, THREADS_MAX),
        bound("descriptors", peaks.descriptors, DESCRIPTORS_MAX),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A message for each line of standard output.
fn listen(child: &mut Child) -> Receiver<()> {
    let (sender, beats) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        thread::spawn(move || {
            let lines = BufReader::new(output).split(b'\n');
            for line in lines {
                if line.is_err() || sender.send(()).is_err() {
                    break;
                }
            }
        });
    }
    beats
}

fn collect_messages(child: &mut Child) -> thread::JoinHandle<String> {
    let output = child.stderr.take();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut output) = output {
            // What was read until an error is what there is.
            let _ = output.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// What a process has now; nothing if it is gone.
fn look_at(pid: u32) -> Peaks {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0_u64)
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64);
    Peaks {
        silence: Duration::ZERO,
        memory_mib: field("VmRSS") >> 10,
        threads: field("Threads"),
        descriptors,
    }
}
