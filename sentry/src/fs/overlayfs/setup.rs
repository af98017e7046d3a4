//! Making an overlay out of the directories that the options name.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use super::inode::OverlayInode;
use super::layer::{self, Layer};
use super::lookup::{Found, LowerFile};
use super::options::OverlayOptions;
use super::{MAX_STACK_DEPTH, Overlay, OverlayFileSystem, Upper};
use crate::Errno;
use crate::cred::{Capabilities, KernelGid, KernelUid, UserNamespace};
use crate::fs::file_system_type::{MountRequest, Mounter};
use crate::fs::inode::{NewNode, NodeCreation};
use crate::fs::metadata::DeviceNumber;
use crate::fs::{Dentry, Instance, Mount, OpenFlags, Path, Viewer};

/// Name of the directory in the one that `workdir` names.
const WORK: &[u8] = b"work";
/// The path below that says that the upper layer was not synchronised.
const VOLATILE: [&[u8]; 3] = [b"incompat", b"volatile", b"dirty"];

/// Fails for options that are unknown, or name what is no directory.
pub(super) fn check_options(mounter: &dyn Mounter, text: &str) -> Result<(), Errno> {
    let options = OverlayOptions::parse(text)?;
    let paths = options.lower.iter().chain(&options.upper).chain(&options.work);
    paths.into_iter().try_for_each(|path| find_directory(mounter, path).map(drop))
}

fn find_directory(mounter: &dyn Mounter, path: &str) -> Result<Path, Errno> {
    let found = mounter.find(path.as_bytes())?;
    if found.is_directory() { Ok(found) } else { Err(Errno::EINVAL) }
}

pub(super) fn make_instance(
    mounter: &dyn Mounter,
    owner: Arc<UserNamespace>,
    request: &MountRequest<'_>,
) -> Result<Arc<Instance>, Errno> {
    let mut options = OverlayOptions::parse(request.options)?;
    options.check_whole()?;
    let find = |path: &String| find_directory(mounter, path);
    let lower = options.lower.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let changes = match (&options.upper, &options.work) {
        (Some(upper), Some(work)) => Some((find(upper)?, find(work)?)),
        _ => None,
    };
    check_places(&lower, changes.as_ref())?;
    let viewer = mounter.viewer();
    let is_privileged = viewer.credentials.has(Capabilities::SYS_ADMIN);
    let resources = &mounter.file_systems().memory;
    let work =
        changes.as_ref().map(|(_, work)| prepare_work(work, options.is_volatile, &viewer)).transpose()?;
    let mut layers = Layers::default();
    let mut layer = |path: &Path| layers.layer(path, || resources.devices.take());
    let upper = changes.as_ref().zip(work).map(|((upper, _), work)| Upper { layer: layer(upper), work });
    let lower: Vec<Layer> = lower.iter().map(layer).collect();
    let sleeps = |layer: &Layer| layer.root().inode().may_sleep();
    let may_sleep = lower.iter().any(sleeps) || upper.as_ref().is_some_and(|upper| sleeps(&upper.layer));
    let overlay = Arc::new(Overlay {
        device: resources.devices.take(),
        may_mark: is_privileged || options.uses_user_attributes,
        options,
        upper,
        lower,
        file_systems: layers.devices.len(),
        mounter: viewer.credentials,
        specials: resources.specials.clone(),
        may_sleep,
        inodes: Mutex::new(HashMap::new()),
        next_number: AtomicU64::new(1),
        next_temporary: AtomicU64::new(1),
    });
    let root = root_of(&overlay)?;
    Ok(Instance::new(Arc::new(OverlayFileSystem(overlay)), Dentry::new_root(root), owner))
}

/// The layers that are made so far: those on one file system have one device number.
#[derive(Default)]
struct Layers {
    /// By the device number of their file systems.
    devices: HashMap<DeviceNumber, (usize, DeviceNumber)>,
}

impl Layers {
    fn layer(&mut self, path: &Path, take_device: impl FnOnce() -> DeviceNumber) -> Layer {
        let next = self.devices.len();
        let of_file_system = path.mount.file_system().device();
        let entry = self.devices.entry(of_file_system);
        let (file_system, device) = *entry.or_insert_with(|| (next, take_device()));
        Layer::new(Mount::private(path), file_system, device)
    }
}

/// How many overlays lie on each other below.
pub(super) fn depth_below<'a>(layers: impl Iterator<Item = &'a Layer>) -> usize {
    layers.map(|layer| layer.mount().file_system().stack_depth()).max().unwrap_or(0)
}

/// Fails for directories that cannot be layers together.
///
/// # Errors
/// ELOOP: one is in another. EINVAL: those for changes are on different mounts, or in each other, or nothing can be changed there.
fn check_places(lower: &[Path], changes: Option<&(Path, Path)>) -> Result<(), Errno> {
    if let Some((upper, work)) = changes {
        let is_apart = !is_within(&upper.dentry, &work.dentry) && !is_within(&work.dentry, &upper.dentry);
        let is_possible = Arc::ptr_eq(&upper.mount, &work.mount) && is_apart;
        let is_changeable =
            upper.mount.check_writable().is_ok() && upper.mount.file_system().stack_depth() == 0;
        if !is_possible || !is_changeable {
            return Err(Errno::EINVAL);
        }
    }
    // Layers are read by what is kept, which is not what such mounts show.
    let mut all_layers = lower.iter().chain(changes.iter().flat_map(|(upper, work)| [upper, work]));
    if all_layers.any(|layer| layer.mount.is_id_mapped()) {
        return Err(Errno::EINVAL);
    }
    let depth = lower.iter().map(|path| path.mount.file_system().stack_depth()).max().unwrap_or(0);
    if depth >= MAX_STACK_DEPTH {
        return Err(Errno::EINVAL);
    }
    let all: Vec<&Path> = changes.iter().flat_map(|(upper, work)| [upper, work]).chain(lower).collect();
    for (index, path) in all.iter().enumerate() {
        if all
            .iter()
            .skip(index + 1)
            .any(|other| is_within(&path.dentry, &other.dentry) || is_within(&other.dentry, &path.dentry))
        {
            return Err(Errno::ELOOP);
        }
    }
    Ok(())
}

fn is_within(top: &Arc<Dentry>, other: &Arc<Dentry>) -> bool {
    top.is_ancestor_of(other)
}

fn make_directory(directory: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>, Errno> {
    if let Some(found) = layer::find(directory, name)? {
        return Ok(found);
    }
    let (uid, gid) = (KernelUid::ROOT, KernelGid::ROOT);
    layer::make(
        directory,
        name,
        &NodeCreation { node: NewNode::Directory, permissions: 0, uid, gid, acls: None },
    )
}

/// The empty directory for what is being prepared, in the one at `path`.
///
/// # Errors
/// EINVAL: the upper layer was once used without being synchronised.
fn prepare_work(path: &Path, is_volatile: bool, viewer: &Viewer) -> Result<Arc<Dentry>, Errno> {
    if let Some(old) = layer::find(&path.dentry, WORK)? {
        if old.is_directory() && layer::find(&old, VOLATILE[0])?.is_some() {
            return Err(Errno::EINVAL);
        }
        remove_tree(&path.dentry, WORK, viewer)?;
    }
    let work = make_directory(&path.dentry, WORK)?;
    if is_volatile {
        VOLATILE.iter().try_fold(work.clone(), |directory, name| make_directory(&directory, name))?;
    }
    Ok(work)
}

/// Removes what a mount has left behind: a file, or a directory of the overlay that was on its way out, with whiteouts in it.
pub(super) fn remove_tree(directory: &Arc<Dentry>, name: &[u8], viewer: &Viewer) -> Result<(), Errno> {
    // Deeper ones than an overlay leaves there are not removed.
    const MAX_DEPTH: usize = 3;
    remove_to_depth(directory, name, viewer, MAX_DEPTH)
}

fn remove_to_depth(directory: &Arc<Dentry>, name: &[u8], viewer: &Viewer, depth: usize) -> Result<(), Errno> {
    let Some(child) = layer::find(directory, name)? else { return Ok(()) };
    if child.is_directory() && depth != 0 {
        for entry in names_in(&child, viewer)? {
            remove_to_depth(&child, &entry, viewer, depth - 1)?;
        }
    }
    layer::remove(directory, name)
}

/// The names in a directory of a layer.
pub(super) fn names_in(directory: &Arc<Dentry>, viewer: &Viewer) -> Result<Vec<Vec<u8>>, Errno> {
    let flags = OpenFlags::DIRECTORY | OpenFlags::NOATIME;
    let file = directory.inode().clone().open(flags, viewer)?;
    let mut names = Vec::new();
    file.read_directory(0, &mut |entry| {
        if entry.name != b"." && entry.name != b".." {
            names.push(entry.name);
        }
        true
    })?;
    Ok(names)
}

/// The directory that all layers make together.
fn root_of(overlay: &Arc<Overlay>) -> Result<Arc<OverlayInode>, Errno> {
    let lower = overlay.lower.iter().enumerate();
    let lower = lower.map(|(layer, root)| LowerFile { layer, dentry: root.root().clone() }).collect();
    let upper = overlay.upper.as_ref().map(|upper| upper.layer.root().clone());
    OverlayInode::new(overlay, Found { upper, lower }, None)
}
