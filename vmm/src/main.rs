//! Runs a Linux program inside a microVM.
fn main() {}
