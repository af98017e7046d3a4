//! NETLINK_GENERIC: families with names. There is one, which tells of them (`nlctrl`).

use netlink_packet_core::{NLM_F_DUMP, NlaBuffer, NlasIterator};
use zerocopy::IntoBytes;

use super::reply::{self, attribute};
use super::request::{Request, Served};
use super::socket::NetlinkSocket;
use crate::Errno;

/// The type of messages to the family that tells of families, and its name with the NUL.
const CONTROLLER: u16 = 0x10;
const CONTROLLER_NAME: &[u8] = b"nlctrl\0";
/// `struct genlmsghdr`.
const HEADER_BYTES: usize = 4;
/// Attributes (`CTRL_ATTR_*`).
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const FAMILY_VERSION: u16 = 3;
const FAMILY_HEADER_BYTES: u16 = 4;
const FAMILY_LAST_ATTRIBUTE: u16 = 5;
/// What is asked and told.
const GET_FAMILY: u8 = 3;
const NEW_FAMILY: u8 = 1;
const VERSION: u8 = 2;
/// The last attribute that it knows (CTRL_ATTR_OP).
const LAST_ATTRIBUTE: u32 = 10;

pub(super) fn serve(socket: &NetlinkSocket, request: &Request<'_>) -> Served {
    match family(request) {
        Err(error) => Served::Done(Err(error.into())),
        Ok(payload) if request.header.flags & NLM_F_DUMP != 0 => {
            let dumped = socket
                .dump(|part_bytes| reply::dump_encoded(CONTROLLER, vec![payload], request.to(), part_bytes));
            dumped.map_or_else(|error| Served::Done(Err(error.into())), |()| Served::Dump)
        }
        Ok(payload) => {
            socket.answer(reply::encoded(CONTROLLER, 0, request.to(), &payload));
            Served::Done(Ok(()))
        }
    }
}

/// The family that a request asks for.
///
/// # Errors
/// ENOENT: there is none like that. EINVAL, EOPNOTSUPP.
fn family(request: &Request<'_>) -> Result<Vec<u8>, Errno> {
    if request.header.kind != CONTROLLER {
        return Err(Errno::ENOENT);
    }
    let (header, attributes) = request.payload.split_at_checked(HEADER_BYTES).ok_or(Errno::EINVAL)?;
    if header.first() != Some(&GET_FAMILY) {
        return Err(Errno::EOPNOTSUPP);
    }
    let is_dump = request.header.flags & NLM_F_DUMP != 0;
    if is_dump || names_controller(attributes)? { Ok(controller()) } else { Err(Errno::ENOENT) }
}

fn names_controller(attributes: &[u8]) -> Result<bool, Errno> {
    let mut is_it = None;
    for attribute in NlasIterator::new(attributes) {
        let attribute: NlaBuffer<&[u8]> = attribute.map_err(|_| Errno::EINVAL)?;
        let value = attribute.value();
        match attribute.kind() {
            FAMILY_ID => is_it = Some(value == CONTROLLER.as_bytes()),
            FAMILY_NAME => {
                let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
                is_it = Some(CONTROLLER_NAME.strip_suffix(&[0]) == Some(name));
            }
            _ => {}
        }
    }
    is_it.ok_or(Errno::EINVAL)
}

/// What is told of it.
fn controller() -> Vec<u8> {
    let number = |kind: u16, value: u32| attribute(kind, value.as_bytes().to_vec());
    [
        vec![NEW_FAMILY, VERSION, 0, 0],
        attribute(FAMILY_NAME, CONTROLLER_NAME.to_vec()),
        attribute(FAMILY_ID, CONTROLLER.as_bytes().to_vec()),
        number(FAMILY_VERSION, VERSION.into()),
        number(FAMILY_HEADER_BYTES, 0),
        number(FAMILY_LAST_ATTRIBUTE, LAST_ATTRIBUTE),
    ]
    .concat()
}
