//! /proc/sysvipc: the System V objects of the viewer's IPC namespace (`man 5 proc_sysvipc`).

use std::fmt::Write;
use std::sync::Arc;

use super::About;
use crate::Errno;
use crate::fs::Viewer;
use crate::fs::pseudo::{Directory, text};
use crate::ipc::{IpcNamespace, Permissions};

/// /proc/sysvipc.
pub(super) static SYSTEM_V: Directory<About> = Directory {
    entries: &[text("msg", message_queues), text("sem", semaphores), text("shm", segments)],
    children: None,
};

const QUEUE_HEADER: &str = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n";
const SEMAPHORE_HEADER: &str =
    "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
const SEGMENT_HEADER: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n";

fn namespace(about: &About, viewer: &Viewer) -> Result<Arc<IpcNamespace>, Errno> {
    about.source().ipc_namespace(viewer).ok_or(Errno::ESRCH)
}

/// The columns that all kinds begin with.
fn head(id: i32, permissions: &Permissions) -> String {
    format!("{:10} {id:10}  {:4o}", permissions.key, permissions.mode)
}

/// Owner and creator, as the viewer numbers them.
fn owners(permissions: &Permissions, viewer: &Viewer) -> String {
    let Permissions { uid, gid, creator_uid, creator_gid, .. } =
        permissions.shown_in(&viewer.credentials.user_namespace);
    format!("{uid:5} {gid:5} {creator_uid:5} {creator_gid:5}")
}

fn message_queues(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let pid_namespace = about.source().pid_namespace();
    let mut text = QUEUE_HEADER.to_owned();
    for status in namespace(about, viewer)?.objects().message_queues.statuses() {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}  {:10} {:10} {:5} {:5} {} {:10} {:10} {:10}",
            head(status.id, &status.permissions),
            status.bytes,
            status.messages,
            status.last_sender.number_in(pid_namespace),
            status.last_receiver.number_in(pid_namespace),
            owners(&status.permissions, viewer),
            status.sent_seconds,
            status.received_seconds,
            status.changed_seconds,
        );
    }
    Ok(text.into_bytes())
}

fn semaphores(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let mut text = SEMAPHORE_HEADER.to_owned();
    for status in namespace(about, viewer)?.objects().semaphores.statuses() {
        let _ = writeln!(
            text,
            "{} {:10} {} {:10} {:10}",
            head(status.id, &status.permissions),
            status.len,
            owners(&status.permissions, viewer),
            status.operated_seconds,
            status.changed_seconds,
        );
    }
    Ok(text.into_bytes())
}

fn segments(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let pid_namespace = about.source().pid_namespace();
    let mut text = SEGMENT_HEADER.to_owned();
    for status in namespace(about, viewer)?.objects().shared_memory.statuses() {
        let _ = writeln!(
            text,
            "{} {:21} {:5} {:5}  {:5} {} {:10} {:10} {:10} {:21} {:21}",
            head(status.id, &status.permissions),
            status.size_bytes,
            status.creator.number_in(pid_namespace),
            status.last_process.number_in(pid_namespace),
            status.attachments,
            owners(&status.permissions, viewer),
            status.attached_seconds,
            status.detached_seconds,
            status.changed_seconds,
            status.resident_bytes,
            0,
        );
    }
    Ok(text.into_bytes())
}
