//! Messages as a fuzzer has them.

use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

use super::channel::Channel;
use super::message::{Reply, Request};

/// Long enough for what is there already.
const PATIENCE: Duration = Duration::from_millis(100);
/// What a socket takes at once.
const MAX_BYTES: usize = 64 << 10;

/// What a client, or a server, may say: a frame, whose length and version are right if the first byte is even.
pub fn control_request(bytes: &[u8]) {
    let Some((first, message)) = bytes.split_first() else { return };
    let frame = if first % 2 == 0 { Channel::frame_of(message) } else { message.to_vec() };
    for is_request in [true, false] {
        let flags = SocketFlags::CLOEXEC;
        let Ok((peer, own)) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None) else {
            return;
        };
        let _ = send(&peer, frame.get(..MAX_BYTES).unwrap_or(&frame), SendFlags::DONTWAIT);
        drop(peer);
        let channel = Channel::new(own);
        // Anything may be refused.
        match is_request {
            true => drop(channel.receive::<Request>(Some(PATIENCE))),
            false => drop(channel.receive::<Reply>(Some(PATIENCE))),
        }
    }
}
