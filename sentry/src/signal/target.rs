//! Who can be sent a signal, as rooms below tasks see it.

use super::SignalInfo;

/// A process or a task. Timers and descriptors hold it weakly.
pub trait SignalTarget: Send + Sync {
    /// Sends it a signal, if it still lives. Does not block.
    fn deliver(&self, info: SignalInfo);
}
