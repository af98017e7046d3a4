//! `vmm ps`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use vmm::Failure;
use vmm::control;
use vmm::records::Records;

use super::output::print;

/// Which sandboxes are told of.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct PsArguments {
    /// Tell of detached sandboxes that have ended, too
    #[arg(long, short = 'a')]
    all: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A sandbox, as it is told of.
#[derive(Clone, Debug, Serialize)]
struct Sandbox {
    name: Option<String>,
    pid: Option<i32>,
    image: String,
    command: Vec<String>,
    started_at: u64,
    state: State,
    exit_status: Option<u8>,
    ended_at: Option<u64>,
}

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Running,
    Paused,
    Exited,
    /// Nobody knows how it ended.
    Lost,
}

impl PsArguments {
    /// Prints them.
    ///
    /// # Errors
    /// The host does not tell of its sockets, or records cannot be read.
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let running = control::running()?.into_iter().map(|about| Sandbox {
            name: about.name,
            pid: Some(about.pid),
            image: about.image,
            command: about.command,
            started_at: about.started_at,
            state: if about.is_paused { State::Paused } else { State::Running },
            exit_status: None,
            ended_at: None,
        });
        let mut sandboxes: Vec<Sandbox> = running.collect();
        if self.all {
            sandboxes.extend(ended()?);
            sandboxes.sort_by_key(|sandbox| sandbox.started_at);
        }
        print(self.json, &sandboxes, |sandboxes| table(sandboxes))
    }
}

/// The detached sandboxes that have ended.
fn ended() -> anyhow::Result<Vec<Sandbox>> {
    let records = Records::of_caller()?.all()?;
    let ended = records.into_iter().filter(|(record, _)| !record.is_kept()).map(|(record, kept)| {
        let end = record.end();
        Sandbox {
            name: Some(kept.name),
            pid: None,
            image: kept.image,
            command: kept.command,
            started_at: kept.started_at,
            state: if end.is_some() { State::Exited } else { State::Lost },
            exit_status: end.map(|end| end.status),
            ended_at: end.map(|end| end.ended_at),
        }
    });
    Ok(ended.collect())
}

fn table(sandboxes: &[Sandbox]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ago = |seconds: u64| shortly(now.saturating_sub(Duration::from_secs(seconds)).as_secs());
    let mut text = format!("{:<20} {:>8}  {:<24} {:<20} {}\n", "NAME", "PID", "IMAGE", "STATE", "COMMAND");
    for sandbox in sandboxes {
        let state = match (sandbox.state, sandbox.exit_status) {
            (State::Running, _) => format!("running {}", ago(sandbox.started_at)),
            (State::Paused, _) => format!("paused {}", ago(sandbox.started_at)),
            (State::Exited, Some(status)) => {
                format!("exited ({status}) {}", ago(sandbox.ended_at.unwrap_or_default()))
            }
            (State::Exited | State::Lost, _) => "lost".to_owned(),
        };
        let name = sandbox.name.as_deref().unwrap_or("-");
        let pid = sandbox.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        // What others have named comes to a terminal.
        let shown = |text: &str| text.escape_debug().to_string();
        let (image, command) = (shown(&sandbox.image), shown(&sandbox.command.join(" ")));
        text += &format!("{name:<20} {pid:>8}  {image:<24} {state:<20} {command}\n");
    }
    text
}

/// A length of time in its largest unit.
fn shortly(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
