//! A System V message, and which one a receiver wants.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Errno;
use crate::ipc::IpcBudget;
use crate::ipc::budget::Charge;

/// What a message costs beside its text (Linux: `struct msg_msg`).
const MESSAGE_BYTES: usize = 64;

/// What msgsnd(2) put in: a type above 0 and bytes.
#[derive(Debug)]
pub struct Message {
    kind: i64,
    text: Box<[u8]>,
    charge: Charge,
}

/// Which message msgrcv(2) takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The first.
    Any,
    /// The first of this type.
    Type(i64),
    /// The first of any other type (MSG_EXCEPT).
    NotType(i64),
    /// The first of the lowest type that is not above this one.
    AtMost(i64),
    /// A copy of the one at this place (MSG_COPY).
    CopyAt(i64),
}

impl Message {
    /// A message whose text `fill` writes, charged to `budget`.
    ///
    /// # Errors
    /// ENOMEM, and those of `fill`.
    pub fn new(
        budget: &Arc<IpcBudget>,
        kind: i64,
        len_bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Errno>,
    ) -> Result<Self, Errno> {
        let charge = Charge::new(budget, len_bytes.saturating_add(MESSAGE_BYTES))?;
        let mut text = vec![0; len_bytes].into_boxed_slice();
        fill(&mut text)?;
        Ok(Self { kind, text, charge })
    }

    /// Its type, at least 1.
    pub fn kind(&self) -> i64 {
        self.kind
    }

    /// The bytes behind the type, msg_stype's `mtext`.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn copy(&self) -> Result<Self, Errno> {
        Self::new(self.charge.budget(), self.kind, self.text.len(), |text| {
            text.copy_from_slice(&self.text);
            Ok(())
        })
    }
}

impl Selection {
    /// The place in `messages` of the message that is wanted.
    pub(super) fn find(self, messages: &VecDeque<Message>) -> Option<usize> {
        match self {
            Self::CopyAt(place) => usize::try_from(place).ok().filter(|place| *place < messages.len()),
            Self::AtMost(limit) => {
                let fitting = messages.iter().enumerate().filter(|(_, message)| message.kind <= limit);
                fitting.min_by_key(|(_, message)| message.kind).map(|(place, _)| place)
            }
            _ => messages.iter().position(|message| self.accepts(message.kind)),
        }
    }

    /// Whether a message of type `kind` will do for who waits. Copies are not waited for.
    pub(super) fn accepts(self, kind: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Type(wanted) => kind == wanted,
            Self::NotType(unwanted) => kind != unwanted,
            Self::AtMost(limit) => kind <= limit,
            Self::CopyAt(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
