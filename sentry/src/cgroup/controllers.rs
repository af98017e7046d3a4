//! Sets of controllers.

use std::fmt;

use crate::Errno;

bitflags::bitflags! {
    /// A set of controllers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Controllers: u32 {
        /// Processor time.
        const CPU = 1 << 0;
        /// memory.*: what processes and the kernel hold for the group.
        const MEMORY = 1 << 1;
        /// Numbers of tasks.
        const PIDS = 1 << 2;
        /// Those that can tell the threads of a process apart; the others are domain controllers.
        const THREADED = Self::CPU.bits() | Self::PIDS.bits();
    }
}

/// In the order in which Linux names them.
const NAMES: [(&str, Controllers); 3] =
    [("cpu", Controllers::CPU), ("memory", Controllers::MEMORY), ("pids", Controllers::PIDS)];

impl Controllers {
    /// Those of which threads compete as a whole process only.
    pub fn domain(self) -> Self {
        self - Self::THREADED
    }

    /// Reads `+memory -pids ...`: what is to be enabled and what disabled; the last word on each counts.
    ///
    /// # Errors
    /// EINVAL for anything else.
    pub fn parse_changes(text: &str) -> Result<(Self, Self), Errno> {
        let (mut enabled, mut disabled) = (Self::empty(), Self::empty());
        for word in text.split_ascii_whitespace() {
            let (is_enabled, name) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
                (Some(name), _) => (true, name),
                (_, Some(name)) => (false, name),
                _ => return Err(Errno::EINVAL),
            };
            let (_, controller) = NAMES.iter().find(|(known, _)| *known == name).ok_or(Errno::EINVAL)?;
            enabled.set(*controller, is_enabled);
            disabled.set(*controller, !is_enabled);
        }
        Ok((enabled, disabled))
    }
}

impl fmt::Display for Controllers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            NAMES.iter().filter(|(_, set)| self.contains(*set)).map(|(name, _)| *name).collect();
        f.write_str(&names.join(" "))
    }
}

#[cfg(test)]
mod tests;
