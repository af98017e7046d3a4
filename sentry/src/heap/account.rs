//! The account of a process: bytes that are charged, pages that are bought for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::Errno;
use crate::platform::{PAGE_SHIFT, PAGE_SIZE};

/// Pages that are bought beyond need.
const MARGIN_PAGES: u64 = 8;
/// Bytes that may be bought and not used before some are given back.
const MAX_SPARE_BYTES: u64 = 64 * PAGE_SIZE;

/// Why pages are not sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The heap, or this buyer, has as much as it may.
    Limit,
    /// Guest memory is in use, or what the payer has is; if some of it is given up there is room.
    Shortage,
}

/// All memory of a sandbox, of which the heap gets a part.
pub trait HeapPool: Send + Sync {
    /// Sells `pages` to somebody who has `bought_pages` already.
    ///
    /// # Errors
    /// There are not as many.
    fn sell(&self, pages: u64, bought_pages: u64) -> Result<(), Refusal>;

    /// Buys back `pages` that were sold.
    fn buy_back(&self, pages: u64);
}

/// Whose limit bounds what a process may have: a control group's.
pub trait HeapPayer: Send + Sync {
    /// Charges `pages`, all or none.
    ///
    /// # Errors
    /// There are not as many; [`Refusal::Limit`] if there never can be.
    fn charge_heap(&self, pages: u64) -> Result<(), Refusal>;

    /// Charges `pages`, whatever the limit.
    fn force_heap(&self, pages: u64);

    /// Takes back the charge for `pages`.
    fn uncharge_heap(&self, pages: u64);
}

/// What a process has of the heap.
pub struct HeapAccount {
    pool: Arc<dyn HeapPool>,
    used_bytes: AtomicU64,
    /// How far `used_bytes` may grow without more being bought.
    bought_bytes: AtomicU64,
    bought: Mutex<Bought>,
    /// A charge of so many pages has failed for want of memory that others may give up, and nobody has dealt with it yet; or 0.
    short_pages: AtomicU64,
    /// Who has taken over what is charged here, and whatever is charged from now on.
    successor: OnceLock<Arc<HeapAccount>>,
}

struct Bought {
    pages: u64,
    payer: Option<Arc<dyn HeapPayer>>,
    /// Who takes over what outlives the process.
    heir: Option<Arc<HeapAccount>>,
}

impl HeapAccount {
    /// An account that buys from `pool`, paid by nobody else.
    pub fn new(pool: Arc<dyn HeapPool>) -> Arc<Self> {
        Arc::new(Self {
            pool,
            used_bytes: AtomicU64::new(0),
            bought_bytes: AtomicU64::new(0),
            bought: Mutex::new(Bought { pages: 0, payer: None, heir: None }),
            short_pages: AtomicU64::new(0),
            successor: OnceLock::new(),
        })
    }

    /// Has `payer` pay, also for what is bought already, and `heir` take over what outlives the process.
    pub fn set_payer(&self, payer: Option<Arc<dyn HeapPayer>>, heir: Option<Arc<HeapAccount>>) {
        let mut bought = self.bought.lock();
        if bought.pages > 0 {
            payer.iter().for_each(|payer| payer.force_heap(bought.pages));
            bought.payer.iter().for_each(|payer| payer.uncharge_heap(bought.pages));
        }
        let old = (std::mem::replace(&mut bought.payer, payer), std::mem::replace(&mut bought.heir, heir));
        drop(bought);
        drop(old);
    }

    /// The process has ended: its heir pays for what is left of it.
    pub fn end(&self) {
        let heir = self.bought.lock().heir.take();
        if let Some(heir) = heir {
            let _ = self.successor.set(heir);
            self.hand_over();
        }
    }

    /// Whatever is charged here is charged to the successor instead, if there is one. Returns whether there is.
    fn hand_over(&self) -> bool {
        let Some(successor) = self.successor.get() else { return false };
        // Less than nothing, where others took charges back that have been handed over already.
        let rest = self.used_bytes.swap(0, Ordering::SeqCst).cast_signed();
        match rest {
            1.. => successor.force(rest.unsigned_abs()),
            0 => {}
            _ => successor.uncharge(rest.unsigned_abs()),
        }
        self.give_back(0);
        true
    }

    /// Bytes that are charged.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// How many pages could not be had since this was asked last, though there is room if others give up memory; 0 if none.
    pub fn take_shortage(&self) -> u64 {
        match self.short_pages.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.short_pages.swap(0, Ordering::Relaxed),
        }
    }

    /// Charges `len_bytes`.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn charge(&self, len_bytes: u64) -> Result<(), Errno> {
        let used = self.used_bytes.fetch_add(len_bytes, Ordering::SeqCst).wrapping_add(len_bytes);
        if used <= self.bought_bytes.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(successor) = self.successor.get() {
            self.used_bytes.fetch_sub(len_bytes, Ordering::SeqCst);
            successor.charge(len_bytes)?;
            // What is taken back here later is handed over, too.
            return Ok(());
        }
        self.buy().map_err(|(refusal, pages)| {
            self.used_bytes.fetch_sub(len_bytes, Ordering::SeqCst);
            if refusal == Refusal::Shortage {
                self.short_pages.store(pages, Ordering::Relaxed);
            }
            Errno::ENOMEM
        })
    }

    /// Fails if `len_bytes` could not be charged.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn check(&self, len_bytes: u64) -> Result<(), Errno> {
        let wanted = self.used_bytes().wrapping_add(len_bytes);
        if wanted <= self.bought_bytes.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.charge(len_bytes)?;
        self.uncharge(len_bytes);
        Ok(())
    }

    /// Charges `len_bytes`, which are there already, whether there is room or not.
    pub(super) fn force(&self, len_bytes: u64) {
        let used = self.used_bytes.fetch_add(len_bytes, Ordering::SeqCst).wrapping_add(len_bytes);
        if used > self.bought_bytes.load(Ordering::Relaxed) && !self.hand_over() {
            // What cannot be bought now has to be before anything else can.
            let _ = self.buy();
        }
    }

    /// Takes back the charge for `len_bytes`.
    pub(super) fn uncharge(&self, len_bytes: u64) {
        let used = self.used_bytes.fetch_sub(len_bytes, Ordering::SeqCst).wrapping_sub(len_bytes);
        if self.hand_over() {
            return;
        }
        if used.saturating_add(MAX_SPARE_BYTES) < self.bought_bytes.load(Ordering::Relaxed) {
            self.give_back(MARGIN_PAGES);
        }
    }

    /// Buys what the bytes in use need. Where that fails, it tells how many pages they need.
    fn buy(&self) -> Result<(), (Refusal, u64)> {
        let mut bought = self.bought.lock();
        let needed = self.used_bytes().div_ceil(PAGE_SIZE).saturating_sub(bought.pages);
        if needed == 0 {
            return Ok(());
        }
        let got = match bought.buy(&*self.pool, needed.saturating_add(MARGIN_PAGES)) {
            Ok(()) => needed + MARGIN_PAGES,
            Err(_) => {
                bought.buy(&*self.pool, needed).map_err(|refusal| (refusal, needed))?;
                needed
            }
        };
        bought.pages += got;
        self.bought_bytes.store(bought.pages << PAGE_SHIFT, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back what the bytes in use do not need, but for some pages.
    fn give_back(&self, margin_pages: u64) {
        let mut bought = self.bought.lock();
        let kept = self.used_bytes().div_ceil(PAGE_SIZE).saturating_add(margin_pages);
        let spare = bought.pages.saturating_sub(kept);
        bought.pages -= spare;
        self.bought_bytes.store(bought.pages << PAGE_SHIFT, Ordering::Relaxed);
        bought.give_back(&*self.pool, spare);
    }
}

impl Bought {
    fn buy(&self, pool: &dyn HeapPool, pages: u64) -> Result<(), Refusal> {
        if let Some(payer) = &self.payer {
            payer.charge_heap(pages)?;
        }
        pool.sell(pages, self.pages).inspect_err(|_| {
            self.payer.iter().for_each(|payer| payer.uncharge_heap(pages));
        })
    }

    fn give_back(&self, pool: &dyn HeapPool, pages: u64) {
        if pages > 0 {
            pool.buy_back(pages);
            self.payer.iter().for_each(|payer| payer.uncharge_heap(pages));
        }
    }
}

impl Drop for HeapAccount {
    fn drop(&mut self) {
        let bought = self.bought.get_mut();
        bought.give_back(&*self.pool, bought.pages);
    }
}

impl std::fmt::Debug for HeapAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HeapAccount({} bytes)", self.used_bytes())
    }
}
