//! A guest of a few pages, for tests of the port on a real KVM.

use std::sync::Arc;

use platform_kvm::{Config, KvmPlatform};
use sentry::platform::{
    Access, AddressSpace, Context, FrameRun, GuestAddress, PAGE_SIZE, Platform, Registers, VirtualAddress,
};

/// Where the code is.
pub(crate) const CODE: u64 = 0x40_0000;
/// Where the stack ends.
pub(crate) const STACK_TOP: u64 = 0x7000_0000;
/// Readable and executable.
pub(crate) const RX: Access = Access::READ.union(Access::EXECUTE);
/// Readable and writable.
pub(crate) const RW: Access = Access::READ.union(Access::WRITE);

/// A platform, and frames handed out one after the other.
pub(crate) struct Guest {
    pub(crate) platform: Arc<KvmPlatform>,
    next: std::sync::atomic::AtomicU64,
}

impl Guest {
    pub(crate) fn new() -> Self {
        Self::with_config(Config::default())
    }

    pub(crate) fn with_config(config: Config) -> Self {
        let _ = env_logger::builder().is_test(true).try_init();
        let config = Config { memory_bytes: 256 << 20, ..config };
        let platform =
            KvmPlatform::new(config).unwrap_or_else(|error| panic!("these tests need KVM: {error}"));
        assert_eq!(platform.extend_memory(256 << 20).unwrap(), 256 << 20);
        let next = platform.memory().start().0.into();
        Self { platform, next }
    }

    /// Takes frames; `align` is in bytes.
    pub(crate) fn frames(&self, pages: usize, align: u64) -> FrameRun {
        let update = |next: u64| Some(next.next_multiple_of(align) + pages as u64 * PAGE_SIZE);
        let old = self.next.fetch_update(
            std::sync::atomic::Ordering::SeqCst,
            std::sync::atomic::Ordering::SeqCst,
            update,
        );
        let start = GuestAddress(old.unwrap().next_multiple_of(align));
        self.platform.memory().populate(start, pages * PAGE_SIZE as usize).unwrap();
        FrameRun { start, pages }
    }

    pub(crate) fn write(&self, frame: FrameRun, bytes: &[u8]) {
        self.platform.memory().slice(frame.start, bytes.len()).unwrap().copy_from(bytes);
    }

    /// A space with `code` at [`CODE`] and a stack below [`STACK_TOP`].
    pub(crate) fn space(&self, code: &[u8]) -> Arc<dyn AddressSpace> {
        let space = self.platform.new_address_space().unwrap();
        let frame = self.frames(code.len().div_ceil(4096).max(1), PAGE_SIZE);
        self.write(frame, code);
        space.map(VirtualAddress(CODE), &[frame], RX).unwrap();
        space.map(VirtualAddress(STACK_TOP - PAGE_SIZE), &[self.frames(1, PAGE_SIZE)], RW).unwrap();
        space
    }

    pub(crate) fn context(&self) -> Box<dyn Context> {
        self.platform.new_context().unwrap()
    }
}

/// Registers at the start of the code.
pub(crate) fn start() -> Registers {
    Registers { rip: CODE, rsp: STACK_TOP, rflags: 0x202, ..Registers::default() }
}
