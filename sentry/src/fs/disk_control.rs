//! What ioctl(2) can ask of a file system on a block device.

use crate::Errno;

/// Such a file system.
pub trait DiskControl {
    /// Leaves the device as it is from now on (FIFREEZE). What is changed meanwhile stays in memory.
    ///
    /// # Errors
    /// EBUSY: it is left so already. What keeps earlier changes from being written.
    fn freeze(&self) -> Result<(), Errno>;

    /// Ends that (FITHAW).
    ///
    /// # Errors
    /// EINVAL: it was not so.
    fn thaw(&self) -> Result<(), Errno>;

    /// Its name (FS_IOC_GETFSLABEL).
    fn label(&self) -> [u8; LABEL_BYTES];

    /// Names it (FS_IOC_SETFSLABEL).
    ///
    /// # Errors
    /// The device's.
    fn set_label(&self, label: [u8; LABEL_BYTES]) -> Result<(), Errno>;

    /// Tells the device which blocks are free (FITRIM), and returns how many bytes these are.
    ///
    /// # Errors
    /// EINVAL: the range makes no sense. EOPNOTSUPP: the device does not want to know. The device's.
    fn trim(&self, range: TrimRange) -> Result<u64, Errno>;
}

/// Most bytes of a label.
pub const LABEL_BYTES: usize = 16;

/// What is to be trimmed (`struct fstrim_range`), in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrimRange {
    /// Where it begins.
    pub start: u64,
    /// How long it is.
    pub len_bytes: u64,
    /// Free room that is shorter is left alone.
    pub min_len_bytes: u64,
}
