//! Access control lists, which are kept among the extended attributes.

use super::Node;
use crate::Errno;
use crate::fs::acl::{Acl, AclKind, InheritedAcls};
use crate::fs::metadata::FileKind;

impl Node {
    /// One of its lists.
    pub(super) fn kept_acl(&self, kind: AclKind) -> Result<Option<Acl>, Errno> {
        if self.kind == FileKind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        self.with_xattrs(|xattrs| match xattrs.get(kind.attribute()) {
            // What a layer below has is not to be trusted.
            Some(value) => Ok(Acl::from_kept(value).unwrap_or(None)),
            None => Ok(None),
        })
    }

    /// Replaces one of its lists.
    pub(super) fn keep_acl(&self, kind: AclKind, acl: Option<&Acl>) -> Result<(), Errno> {
        self.begin_change()?;
        let usage = &self.volume.usage;
        let name = kind.attribute();
        self.with_xattrs(|xattrs| {
            if let Some(acl) = acl {
                let value = acl.to_kept();
                let len = name.len() + value.len();
                usage.keep_bytes(len)?;
                let old = xattrs.insert(name, value).inspect_err(|_| usage.release_bytes(len))?;
                usage.release_bytes(old.map_or(0, |old| name.len() + old.len()));
            } else {
                let old = xattrs.remove(name);
                usage.release_bytes(old.map_or(0, |old| name.len() + old.len()));
            }
            Ok(())
        })
    }

    /// Takes what a directory gives to a new file.
    pub(super) fn inherit(&self, acls: &InheritedAcls) -> Result<(), Errno> {
        for (kind, acl) in
            [(AclKind::Access, acls.access.as_ref()), (AclKind::Default, acls.default.as_ref())]
        {
            if acl.is_some() {
                self.keep_acl(kind, acl)?;
            }
        }
        Ok(())
    }
}
