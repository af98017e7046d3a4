use netlink_packet_core::ParseableParametrized;
use netlink_packet_route::RouteNetlinkMessage;
use proptest::prelude::*;

use super::reply;

/// A message as a guest may spoil it: a header of the right size, then attributes whose lengths and kinds lie.
fn attributes() -> impl Strategy<Value = Vec<u8>> {
    let attribute = (0u16..64, 0u16..40, prop::collection::vec(any::<u8>(), 0..40));
    let encode = |(kind, lie, value): (u16, u16, Vec<u8>)| {
        let honest = 4 + value.len() as u16;
        let len = if lie < 30 { honest } else { lie };
        let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(reply::aligned(bytes.len()), 0);
        bytes
    };
    prop::collection::vec(attribute.prop_map(encode), 0..6).prop_map(|attributes| attributes.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_request_makes_the_parser_panic(
        kind in 16u16..124,
        header in prop::collection::vec(any::<u8>(), 0..20),
        attributes in attributes(),
    ) {
        for payload in [header.clone(), [header, attributes].concat()] {
            if let Ok(message) = RouteNetlinkMessage::parse_with_param(&payload, kind) {
                drop(message);
            }
        }
    }
}

#[test]
fn a_dump_is_told_in_parts_and_ends_with_done() {
    let message = RouteNetlinkMessage::NewLink(Default::default());
    let parts = reply::dump(vec![message; 100], 0, (7, 9), 1024).unwrap();
    assert!(parts.len() > 1 && parts.iter().all(|part| part.len() <= 1024));
    let last = parts.last().unwrap();
    // NLMSG_DONE with NLM_F_MULTI to port 9, then zero.
    assert_eq!(last[last.len() - 20..], [20, 0, 0, 0, 3, 0, 2, 0, 7, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
}
