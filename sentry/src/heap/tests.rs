use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::Errno;

const PAGE: usize = 4096;

/// So many pages, of which some are sold.
struct Pool {
    pages: u64,
    sold: AtomicU64,
    refusal: Refusal,
}

impl Pool {
    fn of(pages: u64, refusal: Refusal) -> Arc<Self> {
        Arc::new(Self { pages, sold: AtomicU64::new(0), refusal })
    }
}

impl HeapPool for Pool {
    fn sell(&self, pages: u64, _bought_pages: u64) -> Result<(), Refusal> {
        let add = |sold: u64| (sold + pages <= self.pages).then_some(sold + pages);
        let sold = self.sold.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        sold.map(drop).map_err(|_| self.refusal)
    }

    fn buy_back(&self, pages: u64) {
        self.sold.fetch_sub(pages, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Payer {
    max: Option<u64>,
    pages: AtomicU64,
}

impl HeapPayer for Payer {
    fn charge_heap(&self, pages: u64) -> Result<(), Refusal> {
        let max = self.max.unwrap_or(u64::MAX);
        if pages > max {
            return Err(Refusal::Limit);
        }
        if self.pages.load(Ordering::Relaxed) + pages > max {
            return Err(Refusal::Shortage);
        }
        self.force_heap(pages);
        Ok(())
    }

    fn force_heap(&self, pages: u64) {
        self.pages.fetch_add(pages, Ordering::Relaxed);
    }

    fn uncharge_heap(&self, pages: u64) {
        self.pages.fetch_sub(pages, Ordering::Relaxed);
    }
}

#[test]
fn a_charge_lasts_as_long_as_its_object_and_the_pages_go_back() {
    let pool = Pool::of(1000, Refusal::Limit);
    let account = HeapAccount::new(pool.clone());
    let paying = pay_by(account.clone());
    let mut charge = HeapCharge::new(500 * PAGE).unwrap();
    assert_eq!(account.used_bytes(), 500 * PAGE as u64);
    assert!(pool.sold.load(Ordering::Relaxed) >= 500);
    charge.resize(10 * PAGE).unwrap();
    assert!(pool.sold.load(Ordering::Relaxed) < 100);
    drop(paying);
    // Whoever drops it, and though nobody pays any more on this thread.
    drop(charge);
    assert_eq!(account.used_bytes(), 0);
    drop(account);
    assert_eq!(pool.sold.load(Ordering::Relaxed), 0);
}

#[test]
fn what_there_is_no_room_for_is_refused_and_costs_nothing() {
    let pool = Pool::of(10, Refusal::Limit);
    let account = HeapAccount::new(pool.clone());
    let _paying = pay_by(account.clone());
    let mut first = HeapCharge::new(9 * PAGE).unwrap();
    assert_eq!(HeapCharge::new(2 * PAGE).unwrap_err(), Errno::ENOMEM);
    assert_eq!(check_room(2 * PAGE), Err(Errno::ENOMEM));
    assert_eq!(first.resize(11 * PAGE), Err(Errno::ENOMEM));
    assert_eq!(account.used_bytes(), 9 * PAGE as u64);
    assert_eq!(check_room(PAGE), Ok(()));
    assert_eq!(account.take_shortage(), 0);
}

#[test]
fn what_was_forced_must_be_paid_before_anything_else() {
    let account = HeapAccount::new(Pool::of(10, Refusal::Shortage));
    let _paying = pay_by(account.clone());
    let forced = HeapCharge::forced(20 * PAGE);
    assert_eq!(check_room(1), Err(Errno::ENOMEM));
    assert_eq!(account.take_shortage(), 21);
    assert_eq!(account.take_shortage(), 0);
    drop(forced);
    assert_eq!(check_room(1), Ok(()));
}

#[test]
fn nobody_pays_for_what_no_process_does() {
    let mut charge = HeapCharge::new(usize::MAX / 2).unwrap();
    let account = HeapAccount::new(Pool::of(10, Refusal::Limit));
    let _paying = pay_by(account.clone());
    charge.resize(usize::MAX / 4).unwrap();
    assert_eq!(account.used_bytes(), 0);
    charge.resize(0).unwrap();
    charge.resize(PAGE).unwrap();
    assert_eq!(account.used_bytes(), PAGE as u64);
}

#[test]
fn who_paid_before_pays_again() {
    let pool = Pool::of(100, Refusal::Limit);
    let (outer, inner) = (HeapAccount::new(pool.clone()), HeapAccount::new(pool));
    let _outer = pay_by(outer.clone());
    let paying = pay_by(inner.clone());
    let charge = HeapCharge::new(PAGE).unwrap();
    drop(paying);
    let _other = HeapCharge::new(2 * PAGE).unwrap();
    assert_eq!((outer.used_bytes(), inner.used_bytes()), (2 * PAGE as u64, PAGE as u64));
    drop(charge);
    assert_eq!(inner.used_bytes(), 0);
}

#[test]
fn a_limit_of_the_payer_holds_and_moves_with_the_process() {
    let account = HeapAccount::new(Pool::of(1000, Refusal::Limit));
    let (first, second) = (
        Arc::new(Payer { max: Some(20), ..Payer::default() }),
        Arc::new(Payer { max: Some(1), ..Payer::default() }),
    );
    account.set_payer(Some(first.clone()), None);
    let _paying = pay_by(account.clone());
    let _charge = HeapCharge::new(15 * PAGE).unwrap();
    assert_eq!(check_room(10 * PAGE), Err(Errno::ENOMEM));
    account.set_payer(Some(second.clone()), None);
    assert_eq!(first.pages.load(Ordering::Relaxed), 0);
    assert!(second.pages.load(Ordering::Relaxed) >= 15);
    assert_eq!(check_room(10 * PAGE), Err(Errno::ENOMEM));
    account.set_payer(None, None);
    assert_eq!(second.pages.load(Ordering::Relaxed), 0);
    assert_eq!(check_room(10 * PAGE), Ok(()));
}

#[test]
fn what_outlives_a_process_is_its_heirs() {
    let pool = Pool::of(1000, Refusal::Limit);
    let (heir, account) = (HeapAccount::new(pool.clone()), HeapAccount::new(pool.clone()));
    account.set_payer(None, Some(heir.clone()));
    let paying = pay_by(account.clone());
    let (charge, other) = (HeapCharge::new(100 * PAGE).unwrap(), HeapCharge::new(PAGE).unwrap());
    drop(charge);
    account.end();
    assert_eq!((account.used_bytes(), heir.used_bytes()), (0, PAGE as u64));
    // A thread that has not let go of it yet.
    let late = HeapCharge::new(3 * PAGE).unwrap();
    assert_eq!(HeapCharge::new(1000 * PAGE).unwrap_err(), Errno::ENOMEM);
    let forced = HeapCharge::forced(2 * PAGE);
    assert_eq!((account.used_bytes(), heir.used_bytes()), (0, 6 * PAGE as u64));
    drop((other, late, forced, paying));
    assert_eq!((account.used_bytes(), heir.used_bytes()), (0, 0));
    drop((account, heir));
    assert_eq!(pool.sold.load(Ordering::Relaxed), 0);
}

#[test]
fn what_has_been_emptied_gives_back_its_room() {
    let mut queue: VecDeque<u64> = (0..10_000).collect();
    let mut map: HashMap<u64, u64> = (0..10_000).map(|number| (number, 0)).collect();
    for number in 0..10_000 {
        queue.pop_front();
        shrink_queue(&mut queue);
        map.remove(&number);
        shrink_map(&mut map);
    }
    assert!(queue.capacity() < 100 && map.capacity() < 100, "{} {}", queue.capacity(), map.capacity());
}
