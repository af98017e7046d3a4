//! `vmm stats`.

use anyhow::Context;
use rustix::process::Pid;
use serde::Serialize;
use vmm::Failure;
use vmm::control::{self, About, Statistics, Target};

use super::output::{print, print_bytes};
use super::size;
use super::target::sandbox;

/// Which sandboxes are told of, and how.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct StatsArguments {
    /// Print JSON
    #[arg(long, conflicts_with = "prometheus")]
    json: bool,

    /// Print what Prometheus reads
    #[arg(long)]
    prometheus: bool,

    /// The process numbers of the vmm that run the sandboxes, or their names; all that run if left out
    #[arg(value_name = "PID|NAME", value_parser = sandbox)]
    sandboxes: Vec<Target>,
}

/// What a sandbox uses.
#[derive(Clone, Debug, Serialize)]
struct Used {
    name: Option<String>,
    pid: i32,
    image: String,
    /// Memory of the host that the process has in use, in bytes; `None` where the host does not tell.
    resident_bytes: Option<u64>,
    #[serde(flatten)]
    statistics: Statistics,
}

impl StatsArguments {
    /// Prints what they use.
    ///
    /// # Errors
    /// There is no such sandbox.
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let mut used = Vec::new();
        if self.sandboxes.is_empty() {
            // One that ends meanwhile uses nothing.
            used.extend(control::running()?.into_iter().filter_map(|about| used_by(about).ok()));
        }
        for target in &self.sandboxes {
            used.push(used_by(control::about(target)?)?);
        }
        match self.prometheus {
            true => print_bytes(prometheus(&used).as_bytes()),
            false => print(self.json, &used, |used| table(used)),
        }
    }
}

fn used_by(about: About) -> anyhow::Result<Used> {
    let pid = Pid::from_raw(about.pid).context("it has no process number")?;
    let statistics = control::statistics(&Target::Process(pid))?;
    let resident_bytes = resident_bytes(about.pid);
    Ok(Used { name: about.name, pid: about.pid, image: about.image, resident_bytes, statistics })
}

fn resident_bytes(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn table(used: &[Used]) -> String {
    let mut text = format!(
        "{:<20} {:>8} {:>10} {:>10} {:>10} {:>8}\n",
        "NAME", "PID", "CPU", "MEMORY", "RESIDENT", "TASKS"
    );
    for Used { name, pid, resident_bytes, statistics, .. } in used {
        let cpu = format!("{:.2}s", statistics.user_seconds + statistics.system_seconds);
        let (memory, resident) =
            (size::format(statistics.memory_bytes), resident_bytes.map_or_else(|| "-".into(), size::format));
        let (name, tasks) = (name.as_deref().unwrap_or("-"), statistics.tasks);
        text += &format!("{name:<20} {pid:>8} {cpu:>10} {memory:>10} {resident:>10} {tasks:>8}\n");
    }
    text
}

/// A figure: its name, its kind, what it is, and where it stands.
type Figure = (&'static str, &'static str, &'static str, fn(&Used) -> Option<f64>);

const FIGURES: [Figure; 8] = [
    ("memory_bytes", "gauge", "Guest memory in use.", |used| Some(used.statistics.memory_bytes as f64)),
    ("memory_limit_bytes", "gauge", "Guest memory that there is.", |used| {
        Some(used.statistics.memory_limit_bytes as f64)
    }),
    ("resident_memory_bytes", "gauge", "Memory of the host in use.", |used| {
        used.resident_bytes.map(|bytes| bytes as f64)
    }),
    ("cpu_user_seconds_total", "counter", "Processor time in user code.", |used| {
        Some(used.statistics.user_seconds)
    }),
    ("cpu_system_seconds_total", "counter", "Processor time in system calls.", |used| {
        Some(used.statistics.system_seconds)
    }),
    ("tasks", "gauge", "Processes and threads.", |used| Some(used.statistics.tasks as f64)),
    ("tasks_limit", "gauge", "Processes and threads that there may be.", |used| {
        used.statistics.tasks_limit.map(|limit| limit as f64)
    }),
    ("uptime_seconds", "gauge", "Time since the start.", |used| Some(used.statistics.uptime_seconds)),
];

/// Prometheus's text format.
fn prometheus(used: &[Used]) -> String {
    let mut text = String::new();
    for (name, kind, help, figure) in FIGURES {
        text += &format!("# HELP palisade_sandbox_{name} {help}\n# TYPE palisade_sandbox_{name} {kind}\n");
        for sandbox in used {
            let Some(value) = figure(sandbox) else { continue };
            let own = sandbox.name.as_deref().unwrap_or_default();
            let (pid, image) = (sandbox.pid, label(&sandbox.image));
            text += &format!(
                "palisade_sandbox_{name}{{name=\"{own}\",pid=\"{pid}\",image=\"{image}\"}} {value}\n"
            );
        }
    }
    text
}

/// A label's value, as it is written between quotes.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
