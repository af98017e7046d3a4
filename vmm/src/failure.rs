//! How vmm itself fails, in docker's exit statuses.

/// A failure: what to say and which status to exit with.
#[derive(Debug)]
pub struct Failure {
    /// What to exit with.
    pub status: u8,
    /// What is wrong.
    pub error: anyhow::Error,
}

impl Failure {
    /// The program's time has passed, as timeout(1) has it.
    pub const TIMED_OUT: u8 = 124;
    /// vmm itself failed.
    pub const VMM: u8 = 125;
    /// COMMAND cannot be executed.
    pub const NOT_EXECUTABLE: u8 = 126;
    /// COMMAND is not found.
    pub const NOT_FOUND: u8 = 127;

    /// What to say: the error and its causes, each of which is said once.
    pub fn text(&self) -> String {
        let mut causes = self.error.chain().map(ToString::to_string);
        let mut text = causes.next().unwrap_or_default();
        for cause in causes.filter(|cause| !cause.is_empty()) {
            if !text.ends_with(&cause) {
                text = format!("{text}: {cause}");
            }
        }
        text
    }

    /// A failure of the program to run.
    pub(crate) fn of_program(error: sentry::boot::InitError) -> Self {
        use sentry::boot::InitError;
        let status = match &error {
            InitError::NotFound { .. } => Self::NOT_FOUND,
            InitError::Program { .. } => Self::NOT_EXECUTABLE,
            InitError::WorkingDirectory { .. }
            | InitError::Task(_)
            | InitError::Account(_)
            | InitError::Ending => Self::VMM,
        };
        Self { status, error: error.into() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { status: Self::VMM, error }
    }
}

#[cfg(test)]
mod tests;
