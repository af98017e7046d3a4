//! Sends that were asked to go without a copy (MSG_ZEROCOPY; `Documentation/networking/msg_zerocopy.rst`).
//!
//! What is sent is always copied, at once. Who asked for anything else is told that, by one message for all sends that it has not been
//! told of.

use linux_raw_sys::net as uapi;
use parking_lot::Mutex;
use zerocopy::IntoBytes;

use super::bound::InetSocket;
use crate::abi::SockExtendedErr;
use crate::net::{ControlMessage, Received};

/// `SO_EE_ORIGIN_ZEROCOPY` and `SO_EE_CODE_ZEROCOPY_COPIED`.
const ORIGIN: u8 = 5;
const COPIED: u8 = 1;

/// The sends of a socket that were asked to go without a copy: they are numbered.
#[derive(Default)]
pub(super) struct ZeroCopies(Mutex<State>);

#[derive(Default)]
struct State {
    next: u32,
    /// The first that nobody was told of.
    untold: Option<u32>,
}

impl ZeroCopies {
    /// One more is done.
    pub(super) fn complete(&self) {
        let mut state = self.0.lock();
        let number = state.next;
        state.next = number.wrapping_add(1);
        state.untold.get_or_insert(number);
    }

    /// Whether there are some that nobody was told of.
    pub(super) fn is_any_untold(&self) -> bool {
        self.0.lock().untold.is_some()
    }

    /// The first and the last of those.
    fn take(&self) -> Option<[u32; 2]> {
        let mut state = self.0.lock();
        let first = state.untold.take()?;
        Some([first, state.next.wrapping_sub(1)])
    }
}

impl InetSocket {
    /// What MSG_ERRQUEUE tells of them, if there are any.
    pub(super) fn tell_zero_copies(&self) -> Option<Received> {
        let [ee_info, ee_data] = self.zero_copies.take()?;
        let told = SockExtendedErr {
            ee_errno: 0,
            ee_origin: ORIGIN,
            ee_type: 0,
            ee_code: COPIED,
            ee_pad: 0,
            ee_info,
            ee_data,
        };
        let nobody = vec![0; self.encode(self.unbound()).bytes().len()];
        let (level, kind) = if self.is_ipv6() {
            (uapi::SOL_IPV6, uapi::IPV6_RECVERR)
        } else {
            (uapi::SOL_IP, uapi::IP_RECVERR)
        };
        let control = vec![ControlMessage { level, kind, data: [told.as_bytes(), &nobody].concat() }];
        Some(Received { control, ..Received::default() })
    }
}
