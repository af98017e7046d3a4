//! Which epolls watch which: no loops, no deep chains, no wide fans, since one event travels every path upwards.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::EpollFile;
use crate::Errno;

/// The longest chain of epolls watching each other (`man 2 epoll_ctl`, ELOOP).
const MAX_DEPTH: usize = 5;
/// Epolls that may watch one epoll; bounds the paths of an event together with [`MAX_DEPTH`].
const MAX_PARENTS: usize = 16;

/// Checks that `parent` may watch `child`. The edge is to be made while the result is held.
pub(super) fn join<'a>(parent: &'a EpollFile, child: &EpollFile) -> Result<MutexGuard<'a, ()>, Errno> {
    let guard = parent.files.lock_epolls();
    if std::ptr::eq(parent, child) {
        return Err(Errno::EINVAL);
    }
    let below = depth_below(child, parent, MAX_DEPTH)?;
    let above = depth_above(parent, MAX_DEPTH)?;
    if below + above > MAX_DEPTH {
        return Err(Errno::ELOOP);
    }
    let mut parents = child.parents.lock();
    parents.retain(|parent| parent.strong_count() > 0);
    if parents.len() >= MAX_PARENTS {
        return Err(Errno::EINVAL);
    }
    drop(parents);
    Ok(guard)
}

/// `parent` does not watch `child` any more.
pub(super) fn leave(parent: &EpollFile, child: &EpollFile) {
    let _guard = parent.files.lock_epolls();
    let mut parents = child.parents.lock();
    if let Some(index) = parents.iter().position(|other| other.ptr_eq(&parent.me)) {
        parents.swap_remove(index);
    }
}

/// Epolls on the longest chain from `epoll` downwards; ELOOP if `forbidden` is on one.
fn depth_below(epoll: &EpollFile, forbidden: &EpollFile, limit: usize) -> Result<usize, Errno> {
    let limit = limit.checked_sub(1).ok_or(Errno::ELOOP)?;
    let mut deepest = 0;
    for description in epoll.children() {
        let Some(child) = description.downcast::<EpollFile>() else { continue };
        if std::ptr::eq(child, forbidden) {
            return Err(Errno::ELOOP);
        }
        deepest = deepest.max(depth_below(child, forbidden, limit)?);
    }
    Ok(deepest + 1)
}

/// Epolls on the longest chain from `epoll` upwards.
fn depth_above(epoll: &EpollFile, limit: usize) -> Result<usize, Errno> {
    let limit = limit.checked_sub(1).ok_or(Errno::ELOOP)?;
    let parents: Vec<Arc<EpollFile>> =
        epoll.parents.lock().iter().filter_map(|parent| parent.upgrade()).collect();
    let mut deepest = 0;
    for parent in parents {
        deepest = deepest.max(depth_above(&parent, limit)?);
    }
    Ok(deepest + 1)
}
