//! The port of the sentry to KVM: the only crate that knows it.
//!
//! [`KvmPlatform`] is one microVM without a guest kernel. User code runs in ring 3; whatever it does that
//! needs the sentry (SYSCALL, an exception) enters a stub of a few bytes that writes an I/O port, and that
//! ends KVM_RUN. The rooms:
//!
//! | file | holds |
//! |---|---|
//! | `layout` | where things are in guest-physical and guest-virtual memory, and whether they fit |
//! | `kernel` | the guest's own few pages: stubs, IDT, and a GDT, TSS and stack for each vCPU |
//! | `machine` | the VM: memory slots, vCPU creation, what the host can do |
//! | `probe` | how this host delivers traps, found out by trying |
//! | `template` | what every vCPU is made with |
//! | `vcpu` | one vCPU: entering user code and naming what ended it |
//! | `seat`, `pool` | which context has which vCPU, and kicks |
//! | `cpuid`, `ioctl`, `kick` | CPUID, and the system interfaces that are not safe by themselves |
//! | `context` | the port's `Context` |
//! | `tables`, `pieces`, `chunks` | page tables and the memory that they are made of |
//! | `address_space`, `gate`, `flush` | the port's `AddressSpace`, and how stale translations go |
//! | `exitless` | system calls that another thread serves while the vCPU stays in user code |
//! | `counts` | how often vCPUs ran, by what ended that |
//! | `report` | what the host is and what was chosen, as data |
//! | `extended` | x87, SSE, AVX: the XSAVE area |
//!
//! # Locks
//!
//! In the order in which they may be taken: a lane's (see `exitless::lane`: a call is served with it held) →
//! `Space::state` → `Patches::state`; `Space::state` → `Space::members` → `Gate::lock` → `Pool::state` → `Seat::state`; `Machine::slots` and `Chunks::state` are last and take no other. None is
//! held across KVM_RUN. Under `Pool::state`, and only there, a second seat may be locked beside the first.

mod address_space;
mod chunks;
mod context;
mod counts;
mod cpuid;
mod error;
mod exitless;
mod extended;
mod flush;
mod gate;
mod ioctl;
mod kernel;
mod kick;
mod layout;
mod machine;
mod pieces;
mod platform;
mod pool;
mod probe;
mod report;
mod seat;
mod tables;
mod template;
mod vcpu;

pub use error::Error;
pub use ioctl::RUNNING_REQUESTS;
pub use platform::{Config, Exitless, KvmPlatform};
pub use probe::{Outcome, Stop, TscReading};
pub use report::{Report, measure_exit};
