//! Structures of landlock(7).

use linux_raw_sys::landlock as uapi;

use super::{same_layout, structures};

structures! {
    /// `struct landlock_ruleset_attr` (`man 2 landlock_create_ruleset`).
    LandlockRulesetAttr {
        handled_access_fs: u64,
        handled_access_net: u64,
        scoped: u64,
    }

    /// `struct landlock_net_port_attr` (`man 2 landlock_add_rule`).
    LandlockNetPortAttr {
        allowed_access: u64,
        port: u64,
    }
}

/// `struct landlock_path_beneath_attr`, which is packed (`man 2 landlock_add_rule`).
#[derive(
    Clone, Copy, Debug, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout,
)]
#[repr(C, packed)]
pub(crate) struct LandlockPathBeneathAttr {
    pub(crate) allowed_access: u64,
    pub(crate) parent_fd: i32,
}

same_layout! {
    LandlockRulesetAttr, uapi::landlock_ruleset_attr: handled_access_fs handled_access_net scoped
}
same_layout! { LandlockNetPortAttr, uapi::landlock_net_port_attr: allowed_access port }
same_layout! { LandlockPathBeneathAttr, uapi::landlock_path_beneath_attr: allowed_access parent_fd }
