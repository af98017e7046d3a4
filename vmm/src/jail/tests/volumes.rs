//! A writable volume is written, and nothing else is; without one, the calls that change names are not there at all.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{
    FileType, Mode, OFlags, RenameFlags, ResolveFlags, mkdirat, mknodat, openat2, renameat_with,
};

use super::{DONE, IMAGE, REFUSED, command, has_landlock};
use crate::failure::Failure;

/// Names the child's writable volume, if it is to have one.
pub(super) const VOLUME: &str = "JAIL_TEST_VOLUME";

/// Whether the attempt succeeds; `None` if it is none of these.
pub(super) fn attempt(name: &str, volume: Option<&OwnedFd>, image: BorrowedFd<'_>) -> Option<bool> {
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let make = |directory: BorrowedFd<'_>| {
        openat2(directory, "made", create, Mode::RUSR, ResolveFlags::BENEATH).is_ok()
    };
    let volume = volume.map(std::os::fd::AsFd::as_fd);
    Some(match (name, volume) {
        ("make a directory in the image", _) => mkdirat(image, "directory", Mode::RWXU).is_ok(),
        ("make a file in the image beside a volume", _) => make(image),
        ("make a file in the volume", Some(volume)) => make(volume),
        ("move a file to the image", Some(volume)) => {
            make(volume) && renameat_with(volume, "made", image, "moved", RenameFlags::empty()).is_ok()
        }
        ("make a device in the volume", Some(volume)) => {
            mknodat(volume, "device", FileType::CharacterDevice, Mode::RUSR, 0x103).is_ok()
        }
        _ => return None,
    })
}

#[test]
fn a_writable_volume_is_all_that_is_written() {
    let mut cases =
        vec![("make a file in the volume", DONE), ("make a device in the volume", Failure::VMM.into())];
    if has_landlock() {
        cases.push(("make a file in the image beside a volume", REFUSED));
        cases.push(("move a file to the image", REFUSED));
    }
    for (name, code) in cases {
        let (image, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for directory in [&image, &volume] {
            let everybody = std::fs::Permissions::from_mode(0o777);
            std::fs::set_permissions(directory.path(), everybody).unwrap();
        }
        let output = command(name).env(IMAGE, image.path()).env(VOLUME, volume.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}: {output:?}");
        assert_eq!(std::fs::read_dir(image.path()).unwrap().count(), 0, "{name}");
    }
}

#[test]
fn without_a_volume_no_name_can_be_changed() {
    let image = tempfile::tempdir().unwrap();
    let output = command("make a directory in the image").env(IMAGE, image.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(Failure::VMM.into()), "{output:?}");
}
