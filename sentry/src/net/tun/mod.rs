//! TUN and TAP links (`Documentation/networking/tuntap.rst`): what goes out of one is read from /dev/net/tun by the program that has it,
//! and what that writes comes in.
//!
//! A TUN carries packets of IP, and a TAP frames of Ethernet. On a TAP the sentry asks who has an address of IPv4 (RFC 826), and keeps what is
//! to go there until somebody answers. Packets are made for such links as they are for packet sockets ([`inet::tap`](super::inet)); so
//! no segments of TCP go out of one, and a connect by it is never answered.
//!
//! Lock order: a namespace's configuration, then a device's state.

mod control;
mod device;
mod file;
mod resolve;

pub use file::TunDriver;

pub(super) use control::{flags_of, told_of};
pub(super) use device::{TunDevice, TunLayer};
pub(super) use resolve::{ask, learn, leave};
