//! The heap of vmm. Where the host has no memory left for it, vmm ends at once, with one line and docker's status.
//!
//! The standard library would end it by a signal, after a report that opens files, which the jail does not allow.

use std::alloc::{GlobalAlloc, Layout, System};

use crate::failure::Failure;
use crate::terminal;

/// What is said; nothing is formatted, since that takes memory.
const MESSAGE: &[u8] = b"vmm: the host has no memory left for vmm itself, so the sandbox ended\n";

/// The system's heap, which never fails: the process does.
pub struct Heap;

// SAFETY: every block is the system's own, with the layout that the caller gave.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { or_end(System.alloc(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { or_end(System.alloc_zeroed(layout)) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, len_bytes: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { or_end(System.realloc(block, layout, len_bytes)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

fn or_end(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        end();
    }
    block
}

#[cold]
fn end() -> ! {
    terminal::restore_raw();
    // Nothing can be done about a standard error that is closed.
    let _ = rustix::io::write(rustix::stdio::stderr(), MESSAGE);
    // SAFETY: it does not return, and runs no handler that could want memory.
    unsafe { libc::_exit(i32::from(Failure::VMM)) }
}
