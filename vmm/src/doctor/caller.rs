//! Who asks, and what an ordinary user lacks.

use std::fs;
use std::path::Path;

use rustix::process::{Uid, getuid};

/// Where sysctl(8)'s settings are.
const SETTINGS: &str = "/proc/sys";

/// What keeps users from user namespaces: a setting, the value that does, and what lets them.
const USER_NAMESPACES: [(&str, &str, &str); 3] = [
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=65536"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile for vmm that allows userns",
    ),
];

/// Who asks.
pub(super) fn describe() -> String {
    describe_user(getuid())
}

fn describe_user(user: Uid) -> String {
    match user.is_root() {
        true => "root: a sandbox becomes a user that no other process is".to_owned(),
        false => format!(
            "user {}, who needs no privilege but to open /dev/kvm: a sandbox is in a user namespace of its own",
            user.as_raw()
        ),
    }
}

/// What the caller lacks, and how to get it.
pub(super) fn missing() -> Vec<String> {
    missing_of(getuid(), Path::new(SETTINGS), std::env::var_os("HOME").is_some())
}

fn missing_of(user: Uid, settings: &Path, has_home: bool) -> Vec<String> {
    if user.is_root() {
        return Vec::new();
    }
    let is_denied = |(setting, denied, _): &(&str, &str, &str)| {
        fs::read_to_string(settings.join(setting)).is_ok_and(|value| value.trim() == *denied)
    };
    let mut missing: Vec<String> = USER_NAMESPACES
        .iter()
        .filter(|setting| is_denied(setting))
        .map(|(.., remedy)| {
            format!(
                "user namespaces, with which an ordinary user's sandbox has an empty root and a network of its own: {remedy}"
            )
        })
        .collect();
    if !has_home {
        missing.push(
            "HOME, below which images are unpacked and detached sandboxes kept: set it, or XDG_CACHE_HOME and \
             XDG_STATE_HOME"
                .to_owned(),
        );
    }
    missing
}

/// What an ordinary user does about a /dev/kvm that may not be opened.
pub(super) fn device_is_closed(error: &std::io::Error, group: u32, mode: u32) -> String {
    let may_group = mode & 0o060 == 0o060;
    match may_group {
        true => format!(
            "the right to open /dev/kvm ({error}): join its group {group}, as `usermod -aG`, and log in again"
        ),
        false => format!(
            "the right to open /dev/kvm ({error}): as root, `chgrp kvm /dev/kvm && chmod 660 /dev/kvm`, and join the group kvm"
        ),
    }
}

#[cfg(test)]
mod tests;
