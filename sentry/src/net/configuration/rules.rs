//! Rules that somebody makes.

use super::{NetworkConfiguration, Refusal, Thing};
use crate::Errno;
use crate::net::route::Rule;

/// Most rules of a namespace.
const MAX_RULES: usize = 1024;

impl NetworkConfiguration {
    /// Puts in a rule; without a priority it goes before all but the first of its family.
    ///
    /// # Errors
    /// EEXIST if there is such a rule and it `is_exclusive`, ENOBUFS.
    pub fn add_rule(&self, mut rule: Rule, priority: Option<u32>, is_exclusive: bool) -> Result<(), Refusal> {
        self.change(|state| {
            rule.priority = priority.unwrap_or_else(|| state.rules.next_priority(rule.is_ipv6));
            let is_same = |other: &Rule| Rule { protocol: rule.protocol, ..other.clone() } == rule;
            if is_exclusive && state.rules.iter().any(is_same) {
                return Err(Errno::EEXIST.into());
            }
            if state.rules.len() >= MAX_RULES {
                return Err(Errno::ENOBUFS.into());
            }
            state.check_room()?;
            state.rules.insert(rule.clone());
            state.note(Thing::Rule(rule));
            Ok(())
        })
    }

    /// Takes out the first rule that `is_wanted` tells.
    ///
    /// # Errors
    /// ENOENT.
    pub fn delete_rule(&self, is_wanted: impl Fn(&Rule) -> bool) -> Result<(), Refusal> {
        self.change(|state| {
            let rule = state.rules.remove(is_wanted).ok_or(Errno::ENOENT)?;
            state.note_gone(Thing::Rule(rule));
            Ok(())
        })
    }
}
