//! Routes: the tables (`man 8 ip-route`), the rules that choose among them (`man 8 ip-rule`), and neighbours.

mod entry;
mod lookup;
mod neighbour;
mod rule;
mod table;
#[cfg(test)]
mod tests;

pub use entry::Route;
pub use lookup::{RouteQuery, RouteResult};
pub use neighbour::Neighbour;
pub use rule::Rule;

pub(super) use lookup::Lookup;
pub(super) use neighbour::Neighbours;
pub(super) use rule::Rules;
pub(super) use table::Routes;

/// The table of local and broadcast addresses (RT_TABLE_LOCAL).
pub const LOCAL_TABLE: u32 = 255;
/// The table of all other routes, unless told otherwise (RT_TABLE_MAIN).
pub const MAIN_TABLE: u32 = 254;
/// The table that is asked last (RT_TABLE_DEFAULT).
pub const DEFAULT_TABLE: u32 = 253;

/// The metric of an IPv6 route that names none, and of the kernel's own.
pub const IPV6_METRIC: u32 = 1024;
pub(super) const IPV6_KERNEL_METRIC: u32 = 256;
