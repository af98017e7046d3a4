//! Guest memory as processes and files use it.

/// The pages of one file: what mappings of it and its readers and writers share.
pub struct PageCache;

/// The address space of a process.
pub struct MemoryManager;
