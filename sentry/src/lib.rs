//! A Linux kernel in user space.
