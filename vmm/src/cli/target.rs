//! The sandbox that a subcommand is about.

use anyhow::Context;
use rustix::process::Pid;
use vmm::control::{Target, known};
use vmm::records::Records;

/// The name of a container, or the number of a process: what is all digits is a number.
pub(crate) fn sandbox(text: &str) -> anyhow::Result<Target> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return container_name(text).map(Target::Container);
    }
    let pid = text.parse().ok().and_then(Pid::from_raw).map(Target::Process);
    pid.with_context(|| format!("'{text}' is no process number"))
}

/// A name that is a container's id everywhere else, too.
pub(crate) fn container_name(text: &str) -> anyhow::Result<String> {
    const MAX_LEN: usize = 64;
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    anyhow::ensure!(
        (1..=MAX_LEN).contains(&text.len())
            && text.bytes().all(is_fine)
            && text.starts_with(|first: char| first.is_ascii_alphanumeric()),
        "'{}' is no name: use up to {MAX_LEN} letters, digits, '_', '.' and '-', a letter or digit first",
        text.escape_debug()
    );
    Ok(text.to_owned())
}

/// What is said of a detached sandbox that there is none of.
pub(crate) fn no_record(records: &Records, name: &str) -> String {
    let names: Vec<String> =
        records.all().unwrap_or_default().into_iter().map(|(_, kept)| kept.name).collect();
    format!("there is no detached sandbox {name}; {}", known(&names, "vmm ps --all"))
}

#[cfg(test)]
mod tests;
