//! When something has arrived: SO_TIMESTAMP and its kin, SO_TIMESTAMPING.

use std::time::Duration;

use linux_raw_sys::net as uapi;
use zerocopy::IntoBytes;

use crate::Errno;
use crate::net::options::{Timestamp, Timestamping};
use crate::net::{ControlMessage, SocketCommon, SocketOptions};
use crate::time::{timespec, timeval};

/// `SOF_TIMESTAMPING_*`: stamp what is received, tell of stamps made by software; all that there are.
const RECEIVE_SOFTWARE: u32 = 1 << 3;
const SOFTWARE: u32 = 1 << 4;
const KEEP_IDS: u32 = 1 << 7;
const IDS_OF_TCP: u32 = 1 << 16;
const ALL_TIMESTAMPING: u32 = (1 << 18) - 1;

/// Which of the four numbers an option is.
fn kind(option: u32) -> Option<Timestamp> {
    let (is_nanoseconds, is_new) = match option {
        uapi::SO_TIMESTAMP_OLD => (false, false),
        uapi::SO_TIMESTAMP_NEW => (false, true),
        uapi::SO_TIMESTAMPNS_OLD => (true, false),
        uapi::SO_TIMESTAMPNS_NEW => (true, true),
        _ => return None,
    };
    Some(Timestamp { is_nanoseconds, is_new })
}

/// Whether a stamp is told by the number of `option`; `None` if that is no such option.
pub(super) fn told_switch(options: &SocketOptions, option: u32) -> Option<bool> {
    kind(option).map(|kind| options.timestamp == Some(kind))
}

/// Sets SO_TIMESTAMP or one of its kin. Returns whether `option` is one.
pub(super) fn set_switch(options: &mut SocketOptions, option: u32, is_on: bool) -> bool {
    let Some(kind) = kind(option) else { return false };
    options.timestamp = is_on.then_some(kind);
    true
}

impl Timestamping {
    /// Whether what is sent is numbered, so that its stamps can be told apart (SOF_TIMESTAMPING_OPT_ID).
    pub(super) fn keeps_ids(self) -> bool {
        self.flags & KEEP_IDS != 0
    }
}

/// What SO_TIMESTAMPING is set to by `value`: flags, or a `struct so_timestamping`.
///
/// # Errors
/// EINVAL.
pub(super) fn decode_timestamping(option: u32, value: &[u8]) -> Result<Timestamping, Errno> {
    let word = |index: usize| {
        let bytes = value.get(index * 4..)?.first_chunk()?;
        Some(u32::from_ne_bytes(*bytes))
    };
    let flags = word(0).ok_or(Errno::EINVAL)?;
    let hardware_clock = if value.len() == 2 * size_of::<u32>() { word(1).unwrap_or(0) } else { 0 };
    let has_ids_alone = flags & IDS_OF_TCP != 0 && flags & KEEP_IDS == 0;
    if flags & !ALL_TIMESTAMPING != 0 || has_ids_alone {
        return Err(Errno::EINVAL);
    }
    let is_new = option == uapi::SO_TIMESTAMPING_NEW;
    Ok(Timestamping { flags, hardware_clock: hardware_clock.cast_signed(), is_new })
}

/// What the options have a receive tell of something that has arrived at this time of day; noted for SIOCGSTAMP.
pub(in crate::net) fn tell_arrival(common: &SocketCommon, arrival: Duration, told: &mut Vec<ControlMessage>) {
    let options = common.options();
    let mut tell =
        |kind, data: &[u8]| told.push(ControlMessage { level: uapi::SOL_SOCKET, kind, data: data.to_vec() });
    match options.timestamp {
        Some(Timestamp { is_nanoseconds: true, is_new }) => {
            let kind = if is_new { uapi::SO_TIMESTAMPNS_NEW } else { uapi::SO_TIMESTAMPNS_OLD };
            tell(kind, timespec(arrival).as_bytes());
        }
        Some(Timestamp { is_nanoseconds: false, is_new }) => {
            let kind = if is_new { uapi::SO_TIMESTAMP_NEW } else { uapi::SO_TIMESTAMP_OLD };
            tell(kind, timeval(arrival).as_bytes());
        }
        None => {}
    }
    let Timestamping { flags, is_new, .. } = options.timestamping;
    if flags & (SOFTWARE | RECEIVE_SOFTWARE) == SOFTWARE | RECEIVE_SOFTWARE {
        let kind = if is_new { uapi::SO_TIMESTAMPING_NEW } else { uapi::SO_TIMESTAMPING_OLD };
        tell(kind, [timespec(arrival), [0; 2], [0; 2]].as_bytes());
    }
    // What was told needs not be asked for.
    if options.timestamp.is_none() {
        common.note_arrival(arrival);
    }
}
