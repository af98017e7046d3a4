//! What can be asked and done, as `/proc/net/ip_tables_matches` and `/proc/net/ip_tables_targets` list it.

use super::Family;
use super::matches::MATCHES;
use super::target::TARGETS;

/// The names of what rules can ask, one a line.
pub fn listed_matches(family: Family) -> String {
    let of_family = MATCHES.iter().filter(|kind| kind.family.is_none_or(|own| own == family));
    of_family.map(|kind| format!("{}\n", kind.name)).collect()
}

/// The names of what rules can have done, one a line.
pub fn listed_targets() -> String {
    TARGETS.iter().map(|kind| format!("{}\n", kind.name)).collect()
}
