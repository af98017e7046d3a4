//! What is said.

use sentry::boot::{Joining, Text};
use serde::{Deserialize, Serialize};

/// What is asked of a running sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Have every task stand still.
    Pause,
    /// Let them go on.
    Resume,
    /// Send the first process a signal.
    Kill {
        /// Its number.
        signal: i32,
    },
    /// Tell what it is.
    Describe,
    /// Tell what it uses.
    Statistics,
    /// Tell how it ends, when it does.
    Wait,
    /// Record for a while, and send the profile as JSON through the descriptor.
    Profile {
        /// For how long.
        milliseconds: u64,
        /// How often stacks are sampled a second.
        hz: u32,
    },
    /// Run a program beside the first one.
    Execute(Execution),
    /// Send the file or tree as an archive through the descriptor.
    CopyOut {
        /// Where in the sandbox.
        path: Text,
    },
    /// Make what comes as an archive through the descriptor.
    CopyIn {
        /// Where: a directory, or what is to be in one.
        path: Text,
        /// What it is called if that is a directory.
        name: Text,
    },
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Reply {
    /// It has been done.
    Done,
    /// It has not been done, and this is why.
    Refused(String),
    /// A program does not run.
    Failed {
        /// What to exit with.
        status: u8,
        /// Why.
        reason: String,
    },
    /// The program runs.
    Started,
    /// The program, or the sandbox, has ended.
    Ended {
        /// Its status, as a shell has it.
        status: u8,
    },
    /// What the sandbox is.
    Description(About),
    /// What the sandbox uses.
    Statistics(Statistics),
}

/// What a running program's caller says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum During {
    /// Send the program this signal.
    Signal(i32),
    /// Its terminal is this large (`struct winsize`).
    Resize([u16; 4]),
}

/// A program to run, and its streams, whose descriptors come with the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execution {
    /// What to run, and as whom.
    pub program: Joining,
    /// Which of the three standard streams come along.
    pub streams: PassedStreams,
}

/// The streams of a program that joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PassedStreams {
    /// Files of the host.
    Own(Vec<PassedStream>),
    /// A terminal of the guest's own. What it shows goes to the first descriptor, what is typed comes from the second, if there is one.
    Terminal {
        /// How large it is (`struct winsize`).
        window: [u16; 4],
    },
}

/// A stream that is a file of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassedStream {
    /// The program's number for it.
    pub number: i32,
    /// Which of the descriptors it is; two streams may be one.
    pub descriptor: usize,
    /// What the program is told of its place.
    pub name: Text,
    /// The flags of the caller's own description (`man 2 open`).
    pub flags: u32,
    /// The descriptor's description is nobody else's, and does not block.
    pub is_opened_again: bool,
}

/// What a running sandbox is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The process that runs it.
    pub pid: i32,
    /// What `--name` said, if it said anything.
    pub name: Option<String>,
    /// The image, as it was named.
    pub image: String,
    /// The first program and its arguments.
    pub command: Vec<String>,
    /// When it was started, in seconds since 1970.
    pub started_at: u64,
    /// All of it stands still.
    pub is_paused: bool,
}

/// What a running sandbox uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Guest memory in use, in bytes.
    pub memory_bytes: u64,
    /// The most that there is.
    pub memory_limit_bytes: u64,
    /// Processor time in user code, in seconds.
    pub user_seconds: f64,
    /// Processor time in system calls, in seconds.
    pub system_seconds: f64,
    /// Processes and threads.
    pub tasks: u64,
    /// The most that there may be.
    pub tasks_limit: Option<u64>,
    /// Seconds since it was started.
    pub uptime_seconds: f64,
}
