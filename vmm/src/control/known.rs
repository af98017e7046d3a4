//! What is said of sandboxes to somebody who means one that is not there.

/// How many are named.
const MAX_NAMED: usize = 12;

/// Which sandboxes there are, and which command tells more.
pub fn known(names: &[String], command: &str) -> String {
    let listed = names.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let there = match names.len() {
        0 => "there is none".to_owned(),
        1 => format!("there is {listed}"),
        count if count > MAX_NAMED => format!("there are {listed} and {} more", count - MAX_NAMED),
        _ => format!("there are {listed}"),
    };
    format!("{there} (`{command}` tells more)")
}

/// The same of those that run: by their names, or the numbers of their processes.
pub(super) fn known_to_run() -> String {
    let running = super::running().unwrap_or_default();
    let names: Vec<String> =
        running.into_iter().map(|about| about.name.unwrap_or_else(|| about.pid.to_string())).collect();
    known(&names, "vmm ps")
}
