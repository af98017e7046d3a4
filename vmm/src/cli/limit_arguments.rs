//! What the command line says of limits and privileges, in docker's spelling.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use linux_raw_sys::general as uapi;
use sentry::boot::ResourceLimit;

/// The options of what the program may use and do.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct LimitArguments {
    /// Most processor time that the program and what it starts may use, in CPUs, as 1.5
    #[arg(long, value_name = "NUMBER", value_parser = cpus)]
    pub(crate) cpus: Option<u32>,

    /// Most processes and threads that there may be at a time
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) pids_limit: Option<u64>,

    /// Set a resource limit, as nofile=1024:4096
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = ulimit)]
    pub(crate) ulimit: Vec<ResourceLimit>,

    /// Give the program a capability, as NET_RAW or ALL
    #[arg(long, value_name = "NAME", value_parser = capability)]
    cap_add: Vec<Capability>,

    /// Take a capability from the program, as NET_RAW or ALL
    #[arg(long, value_name = "NAME", value_parser = capability)]
    cap_drop: Vec<Capability>,

    /// How long the program may run, as 90, 500ms, 5m or 2h; then it gets SIGTERM, is killed after the --stop-timeout, and the exit status is 124
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

impl LimitArguments {
    /// The capabilities that a program of user `uid` may have, by number; `None` for those that go with the user.
    pub(crate) fn capabilities(&self, uid: u32) -> Option<BTreeSet<u32>> {
        if self.cap_add.is_empty() && self.cap_drop.is_empty() {
            return None;
        }
        let numbers = |capability: &Capability| match capability {
            Capability::All => all_capabilities(),
            Capability::One(number) => BTreeSet::from([*number]),
        };
        let own = if uid == 0 { all_capabilities() } else { BTreeSet::new() };
        let dropped: BTreeSet<u32> = self.cap_drop.iter().flat_map(numbers).collect();
        let added = self.cap_add.iter().flat_map(numbers);
        Some(own.difference(&dropped).copied().chain(added).collect())
    }
}

/// One capability, by number, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capability {
    All,
    One(u32),
}

/// The capabilities in the order of their numbers (`man 7 capabilities`).
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

fn all_capabilities() -> BTreeSet<u32> {
    (0..).zip(CAPABILITIES).map(|(number, _)| number).collect()
}

fn capability(text: &str) -> anyhow::Result<Capability> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    if name == "ALL" {
        return Ok(Capability::All);
    }
    let found = (0..).zip(CAPABILITIES).find(|(_, known)| *known == name);
    found.map(|(number, _)| Capability::One(number)).with_context(|| format!("'{text}' is no capability"))
}

/// Resources by docker's names for them.
const RESOURCES: [(&str, u32); 16] = [
    ("as", uapi::RLIMIT_AS),
    ("core", uapi::RLIMIT_CORE),
    ("cpu", uapi::RLIMIT_CPU),
    ("data", uapi::RLIMIT_DATA),
    ("fsize", uapi::RLIMIT_FSIZE),
    ("locks", uapi::RLIMIT_LOCKS),
    ("memlock", uapi::RLIMIT_MEMLOCK),
    ("msgqueue", uapi::RLIMIT_MSGQUEUE),
    ("nice", uapi::RLIMIT_NICE),
    ("nofile", uapi::RLIMIT_NOFILE),
    ("nproc", uapi::RLIMIT_NPROC),
    ("rss", uapi::RLIMIT_RSS),
    ("rtprio", uapi::RLIMIT_RTPRIO),
    ("rttime", uapi::RLIMIT_RTTIME),
    ("sigpending", uapi::RLIMIT_SIGPENDING),
    ("stack", uapi::RLIMIT_STACK),
];

fn ulimit(text: &str) -> anyhow::Result<ResourceLimit> {
    let (name, values) = text.split_once('=').with_context(|| format!("'{text}' has no value"))?;
    let known = RESOURCES.iter().find(|(known, _)| *known == name);
    let (_, resource) = known.with_context(|| format!("'{name}' is no resource that can be limited"))?;
    let value = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        _ => text.parse().with_context(|| format!("'{text}' is no limit")),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (value(soft)?, value(hard)?);
    ensure!(soft <= hard, "the soft limit is above the hard one");
    Ok(ResourceLimit { resource: *resource, soft, hard })
}

/// A number of CPUs, in thousandths.
fn cpus(text: &str) -> anyhow::Result<u32> {
    let number: f64 = text.parse().with_context(|| format!("'{text}' is not a number"))?;
    ensure!((0.01..=4096.0).contains(&number), "'{text}' is not between 0.01 and 4096");
    // In range, by the line before.
    Ok((number * 1000.0).round() as u32)
}

/// A length of time: seconds, or with a unit.
pub(crate) fn duration(text: &str) -> anyhow::Result<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().with_context(|| format!("'{text}' does not begin with a whole number"))?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "" | "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        "d" => number.checked_mul(86_400),
        _ => bail!("'{unit}' is no unit: use ms, s, m, h or d"),
    };
    seconds.map(Duration::from_secs).with_context(|| format!("'{text}' is for ever"))
}

#[cfg(test)]
mod tests;
