//! /proc/PID/uid_map, gid_map, projid_map and setgroups (`man 7 user_namespaces`).
//!
//! An open file is about the user namespace that the process was in when it was opened, and what is written counts as
//! done by whoever opened it.

use std::any::Any;
use std::sync::Arc;

use super::About;
use crate::Errno;
use crate::cred::{Capabilities, Credentials, IdKind, UserNamespace};
use crate::fs::permission::permits;
use crate::fs::pseudo::{Entry, Node};
use crate::fs::{Access, File, Metadata, Splicing, Viewer};

/// The longest write to a map is less than a page.
const MAX_MAP_BYTES: usize = 4095;
/// The longest write to `setgroups`.
const MAX_SETGROUPS_BYTES: usize = 7;

/// A file called `name` that shows the numbers of `KIND` (an [`IdKind`]).
pub(super) const fn map_file(name: &'static str, kind: IdKind) -> Entry<About> {
    let open: crate::fs::pseudo::Open<About> = match kind {
        IdKind::User => |about, viewer, metadata| open_map(about, viewer, metadata, IdKind::User),
        IdKind::Group => |about, viewer, metadata| open_map(about, viewer, metadata, IdKind::Group),
        IdKind::Project => |about, viewer, metadata| open_map(about, viewer, metadata, IdKind::Project),
    };
    Entry { name, permissions: 0o644, node: Node::File(open) }
}

/// The file `setgroups`.
pub(super) const SETGROUPS: Entry<About> = Entry {
    name: "setgroups",
    permissions: 0o644,
    node: Node::Guarded(may_open_setgroups, &Node::File(open_setgroups)),
};

fn open_map(
    about: &About,
    viewer: &Viewer,
    metadata: Metadata,
    kind: IdKind,
) -> Result<Arc<dyn File>, Errno> {
    open(about, metadata, Content::Map { kind, viewer: viewer.clone() })
}

fn open_setgroups(about: &About, _viewer: &Viewer, metadata: Metadata) -> Result<Arc<dyn File>, Errno> {
    open(about, metadata, Content::Setgroups)
}

fn open(about: &About, metadata: Metadata, content: Content) -> Result<Arc<dyn File>, Errno> {
    let namespace = about.process()?.user_namespace();
    Ok(Arc::new(NamespaceFile { namespace, metadata, content }))
}

/// To write it takes CAP_SYS_ADMIN in the namespace, too.
fn may_open_setgroups(
    about: &About,
    metadata: &Metadata,
    access: Access,
    credentials: &Credentials,
) -> Result<bool, Errno> {
    let namespace = about.process()?.user_namespace();
    let is_privileged = credentials.has_in(&namespace, Capabilities::SYS_ADMIN);
    Ok((is_privileged || !access.contains(Access::WRITE)) && permits(metadata, access, credentials))
}

/// What a file shows of a namespace, and sets.
enum Content {
    /// The map of one kind of numbers, as `viewer` sees it.
    Map { kind: IdKind, viewer: Viewer },
    /// Whether setgroups(2) is allowed.
    Setgroups,
}

struct NamespaceFile {
    namespace: Arc<UserNamespace>,
    metadata: Metadata,
    content: Content,
}

impl NamespaceFile {
    fn set_allows_setgroups(&self, text: &[u8]) -> Result<(), Errno> {
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let is_allowed = match text.trim_ascii_end() {
            b"allow" => true,
            b"deny" => false,
            _ => return Err(Errno::EINVAL),
        };
        self.namespace.set_allows_setgroups(is_allowed)
    }
}

impl File for NamespaceFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let text = match &self.content {
            Content::Map { kind, viewer } => {
                self.namespace.show_map(*kind, &viewer.credentials.user_namespace)
            }
            Content::Setgroups if self.namespace.allows_setgroups() => "allow\n".to_owned(),
            Content::Setgroups => "deny\n".to_owned(),
        };
        Ok(copy_from(text.as_bytes(), buffer, offset))
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno> {
        let longest = match &self.content {
            Content::Map { .. } => MAX_MAP_BYTES,
            Content::Setgroups => MAX_SETGROUPS_BYTES,
        };
        if offset != 0 || buffer.len() > longest {
            return Err(Errno::EINVAL);
        }
        match &self.content {
            Content::Map { kind, viewer } => {
                self.namespace.write_map(*kind, buffer, &viewer.credentials)?;
            }
            Content::Setgroups => self.set_allows_setgroups(buffer)?,
        }
        Ok(buffer.len())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_sequence(&self) -> bool {
        true
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.metadata)
    }

    fn truncate(&self, _len_bytes: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Copies what `text` has from `offset` on; returns how many bytes.
fn copy_from(text: &[u8], buffer: &mut [u8], offset: u64) -> usize {
    let rest = usize::try_from(offset).ok().and_then(|start| text.get(start..)).unwrap_or_default();
    let len = rest.len().min(buffer.len());
    buffer[..len].copy_from_slice(&rest[..len]);
    len
}
