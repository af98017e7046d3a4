//! What system calls do with paths: each function checks permissions, asks the inode, and keeps the dentries in
//! step with it.

mod attributes;
mod flags;
mod names;
mod open;
mod xattr;

pub use attributes::{change_mode, change_owner, change_times, truncate};
pub(crate) use flags::{file_flags, set_extended_flags, set_file_flags};
pub(in crate::fs) use names::check_may_remove;
pub use names::{create_node, link, remove_directory, rename, unlink};
pub(in crate::fs) use open::open_silently;
pub use open::{OpenRequest, Opening, begin_open, begin_open_path, open, open_path};
pub(in crate::fs) use xattr::check_prefix;
pub use xattr::{check_xattr_name, get_xattr, list_xattrs, remove_xattr, set_xattr};
