//! Signals (`man 7 signal`): what they are, what is pending, what is to be done with them, and the frame a
//! handler runs on.
//!
//! This room knows no task. A task and its thread group each own a [`PendingSignals`]; they share
//! [`SignalActions`]; the task's run loop takes a signal from the queues, asks [`decide`] what becomes of it,
//! and enters a handler with [`FrameBuilder`].

mod action;
mod delivery;
mod fault;
mod frame;
mod info;
mod number;
mod pending;
mod set;
mod stack;
mod target;

pub use action::{Action, ActionFlags, Handler, SignalActions};
pub use delivery::{Delivery, InterruptedCall, decide, resume_call};
pub use fault::{FaultKind, TrapState, exception_signal, fault_signal, normalized_exception};
pub use frame::{
    FrameBuilder, RestoredFrame, SignalFrame, initial_extended_state, is_initial_extended_state,
    restore_frame,
};
pub use info::{SignalDetail, SignalInfo, TimerExpiration};
pub use number::{DefaultDisposition, Signal};
pub use pending::{Enqueued, PendingSignals};
pub use set::SignalSet;
pub use stack::AlternateStack;
pub use target::SignalTarget;
