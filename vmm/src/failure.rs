//! How vmm itself fails, in docker's exit statuses.

/// A failure: what to say and which status to exit with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: u8,
    pub(crate) error: anyhow::Error,
}

impl Failure {
    /// vmm itself failed.
    pub(crate) const VMM: u8 = 125;
    /// COMMAND cannot be executed.
    pub(crate) const NOT_EXECUTABLE: u8 = 126;
    /// COMMAND is not found.
    pub(crate) const NOT_FOUND: u8 = 127;

    /// A failure of the program to run.
    pub(crate) fn of_program(error: sentry::kernel::InitError) -> Self {
        use sentry::kernel::InitError;
        let status = match &error {
            InitError::NotFound { .. } => Self::NOT_FOUND,
            InitError::Program { .. } => Self::NOT_EXECUTABLE,
            InitError::WorkingDirectory { .. } | InitError::Task(_) => Self::VMM,
        };
        Self { status, error: error.into() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { status: Self::VMM, error }
    }
}
