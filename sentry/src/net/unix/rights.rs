//! The files of one message (SCM_RIGHTS, `man 7 unix`).

use std::sync::Arc;

use super::endpoint::Endpoint;
use super::in_flight::{FilesInFlight, Ticket};
use crate::Errno;
use crate::fs::FileDescription;
use crate::limits::{InFlightCharge, UserCounters};

/// Files in one message (`SCM_MAX_FD`).
pub const MAX_FILES: usize = 253;

/// Files that are to go with a message, and who answers for them on their way.
#[derive(Clone, Default)]
pub struct SentFiles {
    /// What SCM_RIGHTS passes, in order.
    pub files: Vec<Arc<FileDescription>>,
    /// The user who sends them.
    pub user: Arc<UserCounters>,
    /// RLIMIT_NOFILE, unless the sender is privileged.
    pub limit: Option<u64>,
}

/// The files of one message that is on its way.
pub(super) struct Rights {
    ticket: Ticket,
    _charge: InFlightCharge,
}

impl Rights {
    /// Sends `sent` into the inbox of `to`; `None` if there are no files.
    ///
    /// # Errors
    /// EINVAL for too many in a message, ETOOMANYREFS for too many on their way.
    pub(super) fn new(
        sent: SentFiles,
        to: &Arc<Endpoint>,
        in_flight: &Arc<FilesInFlight>,
    ) -> Result<Option<Self>, Errno> {
        if sent.files.is_empty() {
            return Ok(None);
        }
        if sent.files.len() > MAX_FILES {
            return Err(Errno::EINVAL);
        }
        let charge = || sent.user.charge_files_in_flight(sent.files.len() as u64, sent.limit);
        let charge = charge().or_else(|_| {
            in_flight.collect();
            charge()
        })?;
        let ticket = in_flight.depart(sent.files, to)?;
        Ok(Some(Self { ticket, _charge: charge }))
    }

    /// The files, still on their way (MSG_PEEK).
    pub(super) fn peek(&self) -> Vec<Arc<FileDescription>> {
        self.ticket.files()
    }

    /// The files, arrived.
    pub(super) fn into_files(self) -> Vec<Arc<FileDescription>> {
        self.ticket.arrive()
    }
}
