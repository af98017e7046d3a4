//! The port's `Platform`.

use std::sync::Arc;

use sentry::platform::{AddressSpace, Context, GuestMemory, Platform, PlatformError};

use crate::address_space::KvmAddressSpace;
use crate::context::KvmContext;
use crate::error::Error;
use crate::machine::Machine;
use crate::pool::Pool;
use crate::report::Report;

/// What a microVM is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Guest memory, in bytes; rounded up to a multiple of 2 MiB. The host provides it as it is touched.
    pub memory_bytes: u64,
    /// vCPUs at most; fewer if the host allows fewer. Tasks may outnumber them.
    pub vcpus_max: usize,
    /// When system calls are served by another thread while their task stays in user code.
    pub exitless: Exitless,
}

/// When system calls are served by another thread while their task stays in user code. Never without a processor for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exitless {
    /// Never.
    Off,
    /// While it saves more than it burns, by what was measured.
    Auto,
    /// Whenever calls are frequent, whatever it burns.
    On,
}

impl Default for Config {
    fn default() -> Self {
        Self { memory_bytes: 4 << 30, vcpus_max: 1024, exitless: Exitless::Off }
    }
}

/// One microVM on KVM.
pub struct KvmPlatform {
    machine: Arc<Machine>,
    pool: Arc<Pool>,
}

impl KvmPlatform {
    /// Makes a microVM, and tries out how this host behaves.
    ///
    /// The process gets a handler for its first real-time signal, with which other threads get contexts out of
    /// user code. Threads that run contexts must not block that signal, and may see it end a system call of
    /// theirs with EINTR. The calling thread, and those that it starts afterwards, do not block it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(config: Config) -> Result<Arc<Self>, Error> {
        let (machine, first) = Machine::new(&config)?;
        let pool = Arc::new(Pool::new(machine.clone(), first));
        Ok(Arc::new(Self { machine, pool }))
    }

    /// What this host's KVM is, and what was chosen for it.
    pub fn report(&self) -> &Report {
        self.machine.report()
    }
}

impl Platform for KvmPlatform {
    fn memory(&self) -> &Arc<GuestMemory> {
        self.machine.memory()
    }

    fn extend_memory(&self, len_bytes: u64) -> Result<u64, PlatformError> {
        self.machine.extend_memory(len_bytes)
    }

    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Ok(Arc::new(KvmAddressSpace::new(self.machine.clone())?))
    }

    fn new_context(&self) -> Result<Box<dyn Context>, PlatformError> {
        Ok(Box::new(KvmContext::new(self.machine.clone(), self.pool.clone())))
    }

    fn extended_state_len_bytes(&self) -> usize {
        self.machine.extended.len_bytes
    }

    fn extended_features(&self) -> u64 {
        self.machine.extended.features
    }
}
