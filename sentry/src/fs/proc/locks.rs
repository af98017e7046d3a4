//! Locks on files, as /proc/locks tells of them.

use std::collections::HashSet;

use super::About;
use crate::Errno;
use crate::fs::leases::LeaseKind;
use crate::fs::locks::{LockOwner, RecordLock};
use crate::fs::sleeper::ServedPace;
use crate::fs::{DescriptorTable, Fd, FileDescription, LongText};
use crate::heap::HeapCharge;
use crate::pace::Pace;

/// What a lock takes among those that are known.
const KNOWN_BYTES: usize = 256;
/// What Linux shows as the holder of what an open file holds, and no process.
const NOBODY: i32 = -1;

/// What tells a lock from others that look like it: who holds it, its kind and its place.
#[derive(PartialEq, Eq, Hash)]
struct Lock {
    owner: LockOwner,
    kind: String,
    place: String,
}

/// All locks that processes hold which the instance shows. One that several processes have inherited is told once.
///
/// # Errors
/// ENOMEM; EINTR: the reader is ending.
pub(super) fn listing(about: &About) -> Result<Vec<u8>, Errno> {
    let mut known = HashSet::new();
    let mut charge = HeapCharge::default();
    let mut listing = LongText::default();
    for process_id in about.source().process_ids() {
        let process = about.source().process(process_id);
        let Some(descriptors) = process.and_then(|process| process.descriptors()) else { continue };
        for fd in descriptors.descriptors() {
            let Ok(description) = descriptors.get(Fd(fd)) else { continue };
            ServedPace.keep_going()?;
            for_each_held(&descriptors, &description, process_id, |lock, holder| {
                if !known.contains(&lock) {
                    let number = known.len() + 1;
                    listing.push(format!("{number}: {} {holder} {}\n", lock.kind, lock.place))?;
                    charge.resize(number * KNOWN_BYTES)?;
                    known.insert(lock);
                }
                Ok(())
            })?;
        }
    }
    Ok(listing.into_bytes())
}

/// Adds the lines of /proc/PID/fdinfo/FD about what `process_id` holds by `description`, or the open file itself.
///
/// # Errors
/// Those of [`LongText::push`].
pub(super) fn tell_of(
    text: &mut LongText,
    descriptors: &DescriptorTable,
    description: &FileDescription,
    process_id: i32,
) -> Result<(), Errno> {
    let mut number = 0;
    for_each_held(descriptors, description, process_id, |lock, holder| {
        number += 1;
        text.push(format!("lock:\t{number}: {} {holder} {}\n", lock.kind, lock.place))
    })
}

/// Tells `tell` what the process, or the open file itself, holds of the file, and who is shown as the holder.
fn for_each_held(
    descriptors: &DescriptorTable,
    description: &FileDescription,
    process_id: i32,
    mut tell: impl FnMut(Lock, i32) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let (Some(locks), Ok(place)) = (description.used_locks(), place_of(description)) else {
        return Ok(());
    };
    let process = descriptors.lock_owner(process_id);
    let Some(own) = LockOwner::of_description(description) else { return Ok(()) };
    let mode = |is_exclusive| if is_exclusive { "WRITE" } else { "READ" };
    if let Some(is_exclusive) = locks.whole_lock_of(own) {
        let kind = format!("FLOCK  ADVISORY  {}", mode(is_exclusive));
        tell(Lock { owner: own, kind, place: format!("{place} 0 EOF") }, process_id)?;
    }
    let records = locks.records();
    let _copy = HeapCharge::transient(size_of_val(&records[..]))?;
    for lock in records {
        let (kind, holder) = match lock.owner {
            owner if owner.is_same(process) => ("POSIX ", process_id),
            owner if owner.is_same(own) => ("OFDLCK", NOBODY),
            _ => continue,
        };
        let kind = format!("{kind} ADVISORY  {}", mode(lock.is_exclusive));
        tell(Lock { owner: lock.owner, kind, place: format!("{place} {}", range_of(&lock)) }, holder)?;
    }
    if let Some(lease) = locks.leases().of(description) {
        let kind = format!("LEASE  ACTIVE    {}", mode(lease == LeaseKind::Write));
        tell(Lock { owner: own, kind, place: format!("{place} 0 EOF") }, process_id)?;
    }
    Ok(())
}

/// Device and inode number.
fn place_of(description: &FileDescription) -> Result<String, Errno> {
    let metadata = description.metadata()?;
    Ok(format!("{:02x}:{:02x}:{}", metadata.device.major, metadata.device.minor, metadata.inode))
}

/// The first and the last byte.
fn range_of(lock: &RecordLock) -> String {
    match lock.end {
        u64::MAX => format!("{} EOF", lock.start),
        end => format!("{} {}", lock.start, end - 1),
    }
}
