//! What the sentry's own heap holds for guests, and who pays for it.
//!
//! Whatever a guest's action makes and keeps takes memory of the host outside of guest memory. It is charged all the same, as
//! Linux charges kernel memory: a [`HeapCharge`] is a field of the object that it is for, and dropping the object takes the
//! charge back. Whose calls a thread serves pays ([`pay_by`]): a process has a [`HeapAccount`], which buys pages from the
//! [`HeapPool`], the sandbox's memory (`--memory`), and from the [`HeapPayer`], the memory controller of its control group
//! (`memory.max`, "kernel" in `memory.stat`). A page that is sold is one that user code cannot have, so that the heap and guest
//! memory together never are more than the sandbox's memory. The heap gets at most three quarters of it, and whoever has much
//! already leaves the last eighth of that to others.
//!
//! An account buys some pages at a time, so that most charges touch no more than the account's own counters.
//!
//! A charge says what an object takes with its share of tables and of the allocator's own overhead, rather too much than too
//! little. Where an object cannot be refused where it is made, since what has been done can no longer be undone, it is
//! [forced](HeapCharge::forced): it counts, and whoever makes such objects asks for [room](check_room) before.

mod account;
mod charge;
#[cfg(test)]
mod tests;

pub use account::{HeapAccount, HeapPayer, HeapPool, Refusal};
pub use charge::{HeapCharge, Paying, check_room, pay_by};
