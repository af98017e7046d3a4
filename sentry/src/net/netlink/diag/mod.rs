//! NETLINK_SOCK_DIAG (`man 7 sock_diag`): what sockets there are.

mod inet;
mod unix;

use linux_raw_sys::net::{AF_INET, AF_INET6, AF_UNIX};
use netlink_packet_core::NLM_F_DUMP;
use zerocopy::FromBytes;

use super::reply;
use super::request::{Request, Served};
use super::socket::NetlinkSocket;
use crate::Errno;
use crate::cred::UserNamespace;
use crate::fs::sleeper::ServedPace;
use crate::heap::HeapCharge;
use crate::net::NetworkNamespace;
use crate::pace::Pace;

/// The types of requests: a question by family, and an end by force, which no protocol here knows.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;

/// Who asks: the sockets of which namespace, and whose numbers users are told by.
struct Asker<'a> {
    namespace: &'a NetworkNamespace,
    users: &'a UserNamespace,
}

/// All answers, at the pace of who asks, who also pays for them until they are dumped.
///
/// # Errors
/// ENOMEM; EINTR: he is ending.
fn gather(answers: impl Iterator<Item = Vec<u8>>) -> Result<Vec<Vec<u8>>, Errno> {
    /// Answers between two looks at whether he is wanted elsewhere.
    const STEP: usize = 256;
    let (mut gathered, mut len_bytes, mut charge) = (Vec::new(), 0, HeapCharge::default());
    for answer in answers {
        len_bytes += answer.len() + size_of::<Vec<u8>>();
        gathered.push(answer);
        if gathered.len().is_multiple_of(STEP) {
            charge.resize(len_bytes)?;
            ServedPace.keep_going()?;
        }
    }
    Ok(gathered)
}

pub(super) fn serve(socket: &NetlinkSocket, request: &Request<'_>) -> Served {
    match request.header.kind {
        SOCK_DIAG_BY_FAMILY => {
            by_family(socket, request).unwrap_or_else(|error| Served::Done(Err(error.into())))
        }
        SOCK_DESTROY if !socket.namespace().administers(request.credentials) => {
            Served::Done(Err(Errno::EPERM.into()))
        }
        SOCK_DESTROY => Served::Done(Err(Errno::EOPNOTSUPP.into())),
        _ => Served::Done(Err(Errno::EINVAL.into())),
    }
}

fn by_family(socket: &NetlinkSocket, request: &Request<'_>) -> Result<Served, Errno> {
    let asker = Asker { namespace: socket.namespace(), users: &request.credentials.user_namespace };
    let is_dump = request.header.flags & NLM_F_DUMP != 0;
    // The family and the protocol that every question begins with.
    let [family, _] = *request.payload.first_chunk().ok_or(Errno::EINVAL)?;
    let payloads = match u32::from(family) {
        AF_INET | AF_INET6 => {
            let (question, attributes) =
                inet::Question::read_from_prefix(request.payload).map_err(|_| Errno::EINVAL)?;
            inet::check_protocol(attributes, &question)?;
            if is_dump { inet::list(&asker, &question)? } else { vec![inet::find(&asker, &question)?] }
        }
        AF_UNIX => {
            let (question, _) =
                unix::Question::read_from_prefix(request.payload).map_err(|_| Errno::EINVAL)?;
            if is_dump { unix::list(&asker, &question)? } else { vec![unix::find(&asker, &question)?] }
        }
        // Nobody tells of sockets of other families.
        _ => return Err(Errno::ENOENT),
    };
    if is_dump {
        socket.dump(|part_bytes| {
            reply::dump_encoded(SOCK_DIAG_BY_FAMILY, payloads, request.to(), part_bytes)
        })?;
        return Ok(Served::Dump);
    }
    for payload in &payloads {
        socket.answer(reply::encoded(SOCK_DIAG_BY_FAMILY, 0, request.to(), payload));
    }
    Ok(Served::Done(Ok(())))
}
