//! The port's `Platform`.

use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use sentry::platform::{AddressSpace, CallCounts, Context, GuestMemory, Platform, PlatformError};

use crate::address_space::KvmAddressSpace;
use crate::context::KvmContext;
use crate::error::Error;
use crate::exitless::dispatcher::Host;
use crate::extended::{HEADER_END, LEGACY_FEATURES};
use crate::kick;
use crate::layout::{MEMORY_START, SLOT_LEN_MIN, memory_len};
use crate::machine::Machine;
use crate::pool::Pool;
use crate::report::Report;

/// What a microVM is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Guest memory, in bytes; rounded up to a multiple of 2 MiB. The host provides it as it is touched.
    pub memory_bytes: u64,
    /// Guest-physical addresses after that, in bytes, for what is no memory of the guest but pages of host files
    /// ([`GuestMemory::map_file`]); none are mapped if it is 0.
    pub window_bytes: u64,
    /// vCPUs at most; fewer if the host allows fewer. Tasks may outnumber them.
    pub vcpus_max: usize,
    /// When system calls are served by another thread while their task stays in user code.
    pub exitless: Exitless,
    /// User code never sees its text changed. Then all system calls are exits.
    pub keeps_text: bool,
}

/// When system calls are served by another thread while their task stays in user code. Never without a processor for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exitless {
    /// Never.
    Off,
    /// While it saves more than it burns, by what was measured, and nobody else on the host waits for a processor.
    Auto,
    /// Whenever calls are frequent, whatever it burns.
    On,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory_bytes: 4 << 30,
            window_bytes: 0,
            vcpus_max: 1024,
            exitless: Exitless::Off,
            keeps_text: false,
        }
    }
}

impl Config {
    /// All that lies between the first and the last guest-physical address of guest memory, in bytes.
    pub(crate) fn guest_bytes(&self) -> u64 {
        self.memory_bytes.saturating_add(self.window_bytes)
    }
}

/// One microVM on KVM.
pub struct KvmPlatform {
    memory: Arc<GuestMemory>,
    made: OnceLock<Made>,
    making: Mutex<Making>,
}

/// What is there once the microVM is made.
struct Made {
    machine: Arc<Machine>,
    pool: Arc<Pool>,
}

/// How far the making of a microVM is.
enum Making {
    /// A thread is at it.
    Begun(JoinHandle<Result<Made, Error>>),
    /// Who needs it first makes it.
    Due(Config, Arc<OnceLock<Host>>),
    /// It cannot be made, and nobody has been told why.
    Failed(Error),
    /// It is made, or whoever asked knows why not.
    Over,
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
        let platform = Self::begin(config)?;
        platform.finish()?;
        Ok(platform)
    }

    /// Begins to make a microVM, as [`KvmPlatform::new`] does, on a thread of its own: KVM takes milliseconds. Guest memory is
    /// there at once; all else that is asked of the platform waits until it is made. The calling thread has looked at /proc and
    /// /sys when this returns, and the other opens /dev/kvm.
    ///
    /// # Errors
    /// There is no room for guest memory, or the host has no signal handler to give.
    pub fn begin(config: Config) -> Result<Arc<Self>, Error> {
        kick::install_handler()
            .map_err(|source| PlatformError::refused("install a signal handler", source))?;
        let len_bytes = memory_len(config.guest_bytes()).unwrap_or(u64::MAX);
        let memory = match GuestMemory::new(MEMORY_START, len_bytes) {
            Ok(memory) => Arc::new(memory),
            Err(error) => {
                // What the processor or KVM cannot do counts for more.
                Machine::check_room(config.guest_bytes())?;
                return Err(error.into());
            }
        };
        if config.window_bytes > 0
            && let Err(error) = memory.allow_files()
        {
            log::debug!("host files are read, not mapped: {error}");
        }
        let host = Arc::new(OnceLock::new());
        let make = {
            let (config, memory, host) = (config.clone(), memory.clone(), host.clone());
            move || Made::new(&config, memory, host)
        };
        let thread = thread::Builder::new().name("machine".into()).spawn(make);
        if config.exitless != Exitless::Off {
            host.get_or_init(Host::look);
        }
        let making = thread.map_or(Making::Due(config, host), Making::Begun);
        Ok(Arc::new(Self { memory, made: OnceLock::new(), making: Mutex::new(making) }))
    }

    /// Waits until the microVM is made. No thread of its making is left.
    ///
    /// # Errors
    /// As [`KvmPlatform::new`].
    pub fn finish(&self) -> Result<(), Error> {
        let mut making = self.making.lock();
        let made = match std::mem::replace(&mut *making, Making::Over) {
            Making::Begun(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Making::Due(config, host) => Made::new(&config, self.memory.clone(), host),
            Making::Failed(error) => Err(error),
            Making::Over => return Ok(()),
        };
        // Nobody else has the lock, and so nobody has set it.
        let _ = self.made.set(made?);
        Ok(())
    }

    /// What this host's KVM is, and what was chosen for it.
    ///
    /// # Errors
    /// There is no microVM.
    pub fn report(&self) -> Result<&Report, PlatformError> {
        Ok(self.made()?.machine.report())
    }

    /// Logs what has happened so far: exits, and calls without.
    pub fn log_counts(&self) {
        let Some(Made { machine, .. }) = self.made.get() else { return };
        log::debug!("{}", machine.run_counts());
        if let Some(dispatcher) = machine.dispatcher() {
            log::debug!("{}", dispatcher.economy().counts());
        }
    }

    /// What is made, once it is.
    fn made(&self) -> Result<&Made, PlatformError> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let unmade = |reason| PlatformError::Unexpected { attempt: "make a microVM", reason };
        self.finish().map_err(|error| {
            let reason = error.to_string();
            *self.making.lock() = Making::Failed(error);
            unmade(reason)
        })?;
        self.made.get().ok_or_else(|| unmade("it has failed before".to_owned()))
    }
}

impl Made {
    fn new(config: &Config, memory: Arc<GuestMemory>, host: Arc<OnceLock<Host>>) -> Result<Self, Error> {
        let (machine, first) = Machine::new(config, memory, host)?;
        let pool = Arc::new(Pool::new(machine.clone(), first));
        Ok(Self { machine, pool })
    }
}

impl Platform for KvmPlatform {
    fn memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }

    fn extend_memory(&self, len_bytes: u64) -> Result<u64, PlatformError> {
        let first_len = SLOT_LEN_MIN.min(self.memory.len_bytes());
        if self.made.get().is_none() && len_bytes <= first_len {
            // The machine begins with as much.
            return Ok(first_len);
        }
        self.made()?.machine.extend_memory(len_bytes)
    }

    fn new_address_space(&self) -> Result<Arc<dyn AddressSpace>, PlatformError> {
        Ok(Arc::new(KvmAddressSpace::new(self.made()?.machine.clone())?))
    }

    fn new_context(&self) -> Result<Box<dyn Context>, PlatformError> {
        let Made { machine, pool } = self.made()?;
        Ok(Box::new(KvmContext::new(machine.clone(), pool.clone())))
    }

    fn extended_state_len_bytes(&self) -> usize {
        self.made().map_or(HEADER_END, |made| made.machine.extended.len_bytes)
    }

    fn extended_features(&self) -> u64 {
        self.made().map_or(LEGACY_FEATURES, |made| made.machine.extended.features)
    }

    fn call_counts(&self) -> CallCounts {
        let dispatcher = self.made.get().and_then(|made| made.machine.dispatcher());
        dispatcher.map(|dispatcher| dispatcher.economy().counts().told()).unwrap_or_default()
    }
}
