//! What ioctl(2) asks of a whole file system on a block device: to stand still, its name, what is free.

use crate::Errno;
use crate::abi::FstrimRange;
use crate::cred::Capabilities;
use crate::fs::disk_control::{DiskControl, LABEL_BYTES, TrimRange};
use crate::fs::{FileDescription, Path};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

/// What the requests are (`linux/fs.h`).
const FIFREEZE: u32 = 0xc004_5877;
const FITHAW: u32 = 0xc004_5878;
const FITRIM: u32 = 0xc018_5879;
const FS_IOC_GETFSLABEL: u32 = 0x8100_9431;
const FS_IOC_SETFSLABEL: u32 = 0x4100_9432;

/// Serves `request` if it is one of these; `None` if it is the file's own business.
pub(super) fn ioctl(
    task: &CurrentTask,
    description: &FileDescription,
    request: u32,
    place: VirtualAddress,
) -> Option<Result<usize, Errno>> {
    if !matches!(request, FIFREEZE | FITHAW | FITRIM | FS_IOC_GETFSLABEL | FS_IOC_SETFSLABEL) {
        return None;
    }
    let path = description.path();
    let control = path.and_then(|path| path.mount.file_system().disk_control());
    let result = match (request, path, control) {
        (FIFREEZE | FITHAW, ..) => set_frozen(task, path, control, request == FIFREEZE),
        (FITRIM, _, Some(control)) => trim(task, control, place),
        (FS_IOC_GETFSLABEL, _, Some(control)) => tell_label(task, control, place),
        (FS_IOC_SETFSLABEL, Some(path), Some(control)) => set_label(task, path, control, place),
        _ => return None,
    };
    Some(result.map(|()| 0))
}

/// FIFREEZE and FITHAW, which every file knows and few file systems can do.
fn set_frozen(
    task: &CurrentTask,
    path: Option<&Path>,
    control: Option<&dyn DiskControl>,
    is_frozen: bool,
) -> Result<(), Errno> {
    let may = match path.and_then(|path| path.mount.instance().owner()) {
        Some(owner) => task.credentials().has_in(owner, Capabilities::SYS_ADMIN),
        None => task.credentials().has(Capabilities::SYS_ADMIN),
    };
    match (may, control) {
        (false, _) => Err(Errno::EPERM),
        (true, Some(control)) if is_frozen => control.freeze(),
        (true, Some(control)) => control.thaw(),
        (true, None) => Err(if is_frozen { Errno::EOPNOTSUPP } else { Errno::EINVAL }),
    }
}

fn trim(task: &CurrentTask, control: &dyn DiskControl, place: VirtualAddress) -> Result<(), Errno> {
    if !task.credentials().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let asked: FstrimRange = task.memory().read_object(place)?;
    let range = TrimRange { start: asked.start, len_bytes: asked.len, min_len_bytes: asked.minlen };
    let len = control.trim(range)?;
    task.memory().write_object(place, &FstrimRange { len, ..asked })
}

/// A name and the NUL behind it.
type UserLabel = [u8; LABEL_BYTES + 1];

fn tell_label(task: &CurrentTask, control: &dyn DiskControl, place: VirtualAddress) -> Result<(), Errno> {
    let mut told: UserLabel = Default::default();
    told.iter_mut().zip(control.label()).for_each(|(place, byte)| *place = byte);
    task.memory().write_object(place, &told)
}

fn set_label(
    task: &CurrentTask,
    path: &Path,
    control: &dyn DiskControl,
    place: VirtualAddress,
) -> Result<(), Errno> {
    if !task.credentials().has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let asked: UserLabel = task.memory().read_object(place)?;
    let mut text = asked.split(|byte| *byte == 0).next().unwrap_or_default().iter();
    let label = std::array::from_fn(|_| text.next().copied().unwrap_or(0));
    if text.next().is_some() {
        return Err(Errno::EINVAL);
    }
    path.mount.check_writable()?;
    control.set_label(label)
}
