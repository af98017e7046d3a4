//! Tests that run small programs natively and inside the microVM, so that Linux itself is the oracle.
//!
//! A program asserts one subject of Linux's behaviour, prints the assertion that failed and exits 1, or
//! exits 0. `tests/guest.rs` turns every program into two tests, `native::NAME` and `inside::NAME`;
//! `tests/cli.rs` tests the contract of `vmm` itself. The modules here are what both share:
//!
//! - [`known_state`]: what programs inherit, whoever starts the tests;
//! - [`program`]: which programs there are and how each is built;
//! - [`bounded`]: runs a command with a deadline and captures what it prints;
//! - [`vmm`]: finds or builds `vmm`, and makes the command that runs a program inside;
//! - [`elf`]: makes ELF executables, well formed and torn, for the tests of the loader;
//! - [`check`]: the assertions of the programs written in Rust.

pub mod bounded;
pub mod check;
pub mod elf;
pub mod known_state;
pub mod program;
pub mod vmm;
