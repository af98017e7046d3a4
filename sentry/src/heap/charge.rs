//! A charge, and who pays while a thread works for a process.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;

use super::HeapAccount;
use crate::Errno;

thread_local! {
    /// Whose calls the thread serves: what `current` is to Linux. Nobody pays for what the sentry does on its own.
    static CURRENT: RefCell<Current> = const { RefCell::new(Current { account: None, actor: (0, 0) }) };
}

/// Whose calls a thread serves.
#[derive(Clone)]
struct Current {
    account: Option<Arc<HeapAccount>>,
    /// Process and thread, as the root PID namespace numbers them; 0 for nobody.
    actor: (i32, i32),
}

/// The calling thread's objects are charged to an account until this is dropped.
#[must_use = "who paid before pays again once this is dropped"]
pub struct Paying {
    before: Current,
    /// It belongs to its thread.
    _thread: PhantomData<*const ()>,
}

/// Has `account` pay for what the calling thread makes, for nobody in particular.
#[cfg(test)]
pub(super) fn pay_by(account: Arc<HeapAccount>) -> Paying {
    serve(account, (0, 0))
}

/// Has `account` pay for what the calling thread makes while it serves `actor`: a process and a thread of it, as the root PID
/// namespace numbers them.
pub fn serve(account: Arc<HeapAccount>, actor: (i32, i32)) -> Paying {
    let now = Current { account: Some(account), actor };
    Paying { before: CURRENT.with(|current| current.replace(now)), _thread: PhantomData }
}

impl Drop for Paying {
    fn drop(&mut self) {
        let before = Current { account: self.before.account.take(), actor: self.before.actor };
        drop(CURRENT.with(|current| current.replace(before)));
    }
}

/// The process and the thread that the calling thread serves, as the root PID namespace numbers them; 0 for nobody.
pub fn actor() -> (i32, i32) {
    CURRENT.try_with(|current| current.borrow().actor).unwrap_or_default()
}

/// Who pays; nobody where a thread ends.
fn payer() -> Option<Arc<HeapAccount>> {
    CURRENT.try_with(|current| current.borrow().account.clone()).ok().flatten()
}

/// Fails if the calling thread's process could not be charged with `len_bytes` now; with 0, if what it was charged with by force
/// is not paid.
///
/// # Errors
/// ENOMEM.
pub fn check_room(len_bytes: usize) -> Result<(), Errno> {
    let check = |current: &RefCell<Current>| match &current.borrow().account {
        Some(account) => account.check(len_bytes as u64),
        None => Ok(()),
    };
    CURRENT.try_with(check).unwrap_or(Ok(()))
}

/// Bytes of the heap that are charged; dropping it takes the charge back.
#[derive(Debug, Default)]
pub struct HeapCharge {
    account: Option<Arc<HeapAccount>>,
    len_bytes: u64,
}

impl HeapCharge {
    /// Charges `len_bytes` to the process that the calling thread works for.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(len_bytes: usize) -> Result<Self, Errno> {
        let mut charge = Self::default();
        charge.resize(len_bytes)?;
        Ok(charge)
    }

    /// As [`Self::new`], for what is there already or can no longer be refused.
    pub fn forced(len_bytes: usize) -> Self {
        let (account, len_bytes) = (payer(), len_bytes as u64);
        account.iter().for_each(|account| account.force(len_bytes));
        Self { account, len_bytes }
    }

    /// As [`Self::new`], for what lasts no longer than a system call: what is small is not charged.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn transient(len_bytes: usize) -> Result<Self, Errno> {
        const SMALL_BYTES: usize = 16 << 10;
        if len_bytes <= SMALL_BYTES { Ok(Self::default()) } else { Self::new(len_bytes) }
    }

    /// Bytes that are charged.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes as usize
    }

    /// Charges `len_bytes` in all, to whom it is charged already.
    ///
    /// # Errors
    /// ENOMEM: it stays as it was.
    pub fn resize(&mut self, len_bytes: usize) -> Result<(), Errno> {
        self.change(len_bytes as u64, HeapAccount::charge)
    }

    /// As [`Self::resize`], for what can no longer be refused.
    pub fn force(&mut self, len_bytes: usize) {
        let forced = self.change(len_bytes as u64, |account, more| {
            account.force(more);
            Ok(())
        });
        debug_assert!(forced.is_ok());
    }

    fn change(
        &mut self,
        len_bytes: u64,
        charge: impl Fn(&HeapAccount, u64) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let old_bytes = self.len_bytes;
        if old_bytes == 0 {
            self.account = payer();
        }
        if let Some(account) = &self.account {
            match len_bytes.checked_sub(old_bytes) {
                Some(0) => {}
                Some(more) => charge(account, more)?,
                None => account.uncharge(old_bytes - len_bytes),
            }
        }
        self.len_bytes = len_bytes;
        Ok(())
    }
}

impl Drop for HeapCharge {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            account.uncharge(self.len_bytes);
        }
    }
}
