//! The vDSO (`man 7 vdso`): a shared library that the kernel maps into every process, with which user code
//! tells the time without a system call.
//!
//! It is one page of code behind one page of data, the "vvar" page. All processes share both; user code may
//! read the first and execute the second.

mod image;
mod vvar;

pub use image::{CODE_BYTES, vdso_image};
pub use vvar::{ClockLine, VvarPage, VvarSnapshot};
