//! RTM_NEWNSID and RTM_GETNSID: the numbers of other namespaces.

use std::sync::Arc;

use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::super::request::Request;
use super::Message;
use crate::Errno;
use crate::net::NetworkNamespace;
use crate::net::configuration::Refusal;

/// What is told of a namespace that has no number (`NETNSA_NSID_NOT_ASSIGNED`).
const NOT_ASSIGNED: i32 = -1;

/// The namespace that a request names.
///
/// # Errors
/// EINVAL if it names none, ESRCH, EBADF.
fn named(message: &NsidMessage, request: &Request<'_>) -> Result<Arc<NetworkNamespace>, Refusal> {
    let named = message.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Pid(number) => Some(request.network_of_process(number.cast_signed())),
        NsidAttribute::Fd(descriptor) => Some(request.network_of_descriptor(descriptor.cast_signed())),
        _ => None,
    });
    let missing = Refusal::new(Errno::EINVAL, "Peer netns reference is missing");
    named.ok_or(missing)?.map_err(|_| Refusal::new(Errno::EINVAL, "Peer netns reference is invalid"))
}

fn number_in(message: &NsidMessage) -> Option<i32> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Id(number) => Some(*number),
        _ => None,
    })
}

fn answer(number: i32) -> Message {
    let mut answer = NsidMessage::default();
    answer.attributes.push(NsidAttribute::Id(number));
    Message::NewNsId(answer)
}

/// RTM_GETNSID for one namespace.
pub(super) fn get(
    network: &NetworkNamespace,
    message: &NsidMessage,
    request: &Request<'_>,
) -> Result<Message, Refusal> {
    let other = match number_in(message) {
        Some(number) => network.numbers().get(number).ok_or(Errno::ENOENT)?,
        None => named(message, request)?,
    };
    Ok(answer(network.numbers().find(&other).unwrap_or(NOT_ASSIGNED)))
}

/// RTM_GETNSID for all that have a number.
pub(super) fn list(network: &NetworkNamespace) -> Vec<Message> {
    network.numbers().all().into_iter().map(answer).collect()
}

/// RTM_NEWNSID.
pub(super) fn add(
    network: &NetworkNamespace,
    message: &NsidMessage,
    request: &Request<'_>,
) -> Result<(), Refusal> {
    let number = number_in(message).ok_or(Refusal::new(Errno::EINVAL, "nsid is missing"))?;
    let other = named(message, request)?;
    let wanted = Some(number).filter(|number| *number >= 0);
    network.numbers().assign(&other, wanted).map(drop).map_err(|error| match error {
        Errno::EEXIST => Refusal::new(error, "Peer netns already has a nsid assigned"),
        error => error.into(),
    })
}
