//! What is said.

use serde::{Deserialize, Serialize};

/// What is asked of a running sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Have every task stand still.
    Pause,
    /// Let them go on.
    Resume,
    /// Send the first process a signal.
    Kill {
        /// Its number.
        signal: i32,
    },
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Reply {
    /// It has been done.
    Done,
    /// It has not been done, and this is why.
    Refused(String),
}
