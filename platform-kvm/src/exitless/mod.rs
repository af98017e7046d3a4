//! System calls without exits: user code posts a call in a page that another thread of the host polls, and goes on with
//! the answer. The exit stays the way that is always right; everything here may be left out at any call.
//!
//! # The way of a call
//!
//! 1. A SYSCALL instruction that trapped often is *rewritten* ([`sites`]): in a copy of its page, which only user code
//!    sees, a jump stands in its place. It leads by a *record* of that site, in a page of the address space, to the gate.
//!    Copies are made once for all address spaces ([`patches`]).
//! 2. The gate ([`code`]) posts number and arguments in the vCPU's *call page* ([`page`]), and waits for the answer a
//!    bounded number of times. It needs no stack of the program's, and changes no flags and no registers but RAX, RCX and
//!    R11, which are afterwards what SYSCALL leaves there.
//!    What its server has told in advance it takes from there, and is done.
//! 3. A worker of the dispatcher ([`dispatcher`]) that polls the page has the call served by whoever lent it the task: the
//!    context's own thread, which sits in KVM_RUN ([`lane`]).
//! 4. Where nobody polls, where nobody answers in time and where the call is not for another thread, the gate leaves by
//!    SYSCALL like the original.
//!
//! Whether anybody polls is a matter of what it saves and of what it burns ([`economy`]). A worker that is busy with one
//! call keeps nobody else: those who wait in vain make their calls themselves, and post no more until it is back.
//!
//! Records, call page and gate lie in the last entry of the PML4, above all user memory, and are found at the same
//! addresses by every vCPU: each has a root of its own, in which that entry is private (see `tables`).
//!
//! # What user code, signals and debuggers see
//!
//! A vCPU may stop anywhere in the gate or in a record. [`crossing`] then takes the call back, if nobody has served it, or
//! completes it: outside of this folder no register ever tells of the gate. Who reads user memory by way of the sentry
//! reads the original. A jump into the middle of a rewritten site faults, and the site is restored for good.
//!
//! # Trust
//!
//! Everything in a call page is user code's to forge, at any time. The host copies a request once; whether it was served,
//! and with what result, it knows from its own notes ([`lane::Lane`]) and never from the page. A forged page leads its own
//! process astray and nobody else.

pub(crate) mod code;
pub(crate) mod crossing;
pub(crate) mod dispatcher;
pub(crate) mod economy;
pub(crate) mod lane;
pub(crate) mod page;
pub(crate) mod patches;
pub(crate) mod pressure;
pub(crate) mod rewrite;
pub(crate) mod sites;
#[cfg(test)]
mod tests;
