//! Who a process is to those that outlive it: System V IPC remembers who touched an object last (`man 7 sysvipc`).

use std::sync::Arc;

/// The numbers of a process, one for each PID namespace that sees it. They stay true when it has ended, as far as
/// anything can: a number may have been given to another process since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Serial numbers of namespaces, and the process's number in each.
    numbers: Arc<[(u64, i32)]>,
}

impl ProcessIdentity {
    /// A process with these numbers: the serial number of a PID namespace, and what that calls the process.
    pub fn new(numbers: impl IntoIterator<Item = (u64, i32)>) -> Self {
        Self { numbers: numbers.into_iter().collect() }
    }

    /// What the PID namespace that it is in calls the process: the youngest of those that see it. 0 if it is nobody.
    pub fn own_number(&self) -> i32 {
        self.numbers.iter().max_by_key(|(serial, _)| *serial).map_or(0, |(_, number)| *number)
    }

    /// What the root PID namespace calls it: the oldest of those that see it. 0 if it is nobody.
    pub fn root_tgid(&self) -> i32 {
        self.numbers.iter().min_by_key(|(serial, _)| *serial).map_or(0, |(_, number)| *number)
    }

    /// What the PID namespace with this serial number calls the process; 0 if it does not see it, or if it is nobody.
    pub fn number_in(&self, namespace: u64) -> i32 {
        self.numbers.iter().find(|(serial, _)| *serial == namespace).map_or(0, |(_, number)| *number)
    }
}

#[cfg(test)]
mod tests;
