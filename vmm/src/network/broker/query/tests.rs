use std::time::Duration;

use simple_dns::rdata::{A, AAAA, CNAME};
use simple_dns::{PacketFlag, ResourceRecord};

use super::*;

fn question(id: u16, name: &str, kind: TYPE) -> Packet<'_> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let (kind, class) = (QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN));
    packet.questions.push(Question::new(Name::new(name).unwrap(), kind, class, false));
    packet
}

fn record<'a>(name: &'a str, ttl: u32, rdata: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, ttl, rdata)
}

fn a(name: &str, ttl: u32, last: u32) -> ResourceRecord<'_> {
    record(name, ttl, RData::A(A { address: 0xc000_0200 + last }))
}

fn alias<'a>(name: &'a str, ttl: u32, to: &'a str) -> ResourceRecord<'a> {
    record(name, ttl, RData::CNAME(CNAME(Name::new(to).unwrap())))
}

fn answer(id: u16, name: &str, records: Vec<ResourceRecord<'_>>) -> Vec<u8> {
    let mut packet = question(id, name, TYPE::A);
    packet.set_flags(PacketFlag::RESPONSE);
    packet.answers = records;
    packet.build_bytes_vec().unwrap()
}

fn parse(bytes: &[u8]) -> Query<'_> {
    Query::parse(bytes).unwrap().unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

#[test]
fn a_question_goes_out_alone_and_under_another_number() {
    let mut packet = question(7, "Some.Example", TYPE::AAAA);
    *packet.opt_mut() = Some(OPT {
        opt_codes: vec![simple_dns::rdata::OPTCode { code: 65_001, data: b"secret".as_slice().into() }],
        udp_packet_size: 4096,
        version: 0,
    });
    let bytes = packet.build_bytes_vec().unwrap();
    let query = parse(&bytes);
    assert_eq!((query.name.as_str(), query.is_reverse), ("some.example", false));
    let forwarded = query.forwarded(99).unwrap();
    assert!(!forwarded.windows(6).any(|window| window == b"secret"));
    let forwarded = Packet::parse(&forwarded).unwrap();
    assert_eq!((forwarded.id(), forwarded.questions.len()), (99, 1));
    assert_eq!(forwarded.questions[0].qname.to_string(), "Some.Example");
    assert!(forwarded.opt().is_some());
}

#[test]
fn an_answer_to_something_else_is_none() {
    let bytes = question(7, "some.example", TYPE::A).build_bytes_vec().unwrap();
    let query = parse(&bytes);
    let good = query.answer(99, answer(99, "SOME.example", vec![a("some.example", 5, 1)])).unwrap();
    assert_eq!(Packet::parse(&good).unwrap().id(), 7);
    assert_eq!(query.answer(99, answer(98, "some.example", vec![])), None, "another number");
    assert_eq!(query.answer(99, answer(99, "other.example", vec![])), None, "another name");
    assert_eq!(query.answer(99, question(99, "some.example", TYPE::A).build_bytes_vec().unwrap()), None);
    assert_eq!(query.answer(99, vec![0; 5]), None);
}

#[test]
fn addresses_are_learnt_by_way_of_aliases_for_the_shortest_time() {
    let records = vec![
        a("c.example", 300, 3),
        alias("a.example", 100, "B.example"),
        alias("b.example", 20, "c.example"),
        a("d.example", 300, 4),
        alias("d.example", 300, "a.example"),
        record("c.example", 10, RData::AAAA(AAAA { address: 1 << 125 })),
    ];
    let learnt = addresses(&answer(1, "a.example", records), "a.example");
    let expected = [
        ("192.0.2.3".parse().unwrap(), Duration::from_secs(20)),
        ("2000::".parse().unwrap(), Duration::from_secs(10)),
    ];
    assert_eq!(learnt, expected);
    let ring = vec![alias("a.example", 1, "b.example"), alias("b.example", 1, "a.example")];
    assert!(addresses(&answer(1, "a.example", ring), "a.example").is_empty());
}

#[test]
fn what_is_no_question_is_told_so_or_is_nothing() {
    assert!(Query::parse(&[0; 11]).is_none());
    assert!(Query::parse(&answer(1, "a.example", vec![])).is_none());
    let bytes = question(7, "some.example", TYPE::A).build_bytes_vec().unwrap();
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        bytes
    };
    for (changed, expected) in [
        (with(4, 255), Refusal::Malformed),
        (with(5, 0), Refusal::Malformed),
        (with(6, 255), Refusal::Malformed),
        (with(10, 255), Refusal::Malformed),
        (with(2, 0x29), Refusal::NotImplemented),
        (bytes[..20].to_vec(), Refusal::Malformed),
    ] {
        let parsed = Query::parse(&changed).unwrap();
        assert_eq!(parsed.err(), Some(expected));
        let told = refuse(&changed, expected).unwrap();
        assert_eq!(Packet::parse(&told).unwrap().id(), 7);
    }
}

#[test]
fn any_bytes_are_taken() {
    let bytes = question(7, "some.example", TYPE::A).build_bytes_vec().unwrap();
    for at in 0..bytes.len() {
        for byte in 0..=u8::MAX {
            let mut changed = bytes.clone();
            changed[at] = byte;
            if let Some(Ok(query)) = Query::parse(&changed) {
                let _ = (query.forwarded(1), query.refuse(RCODE::Refused), query.answer(1, changed.clone()));
            }
            let _ = (addresses(&changed, "some.example"), has_failed(&changed));
        }
    }
}

#[test]
fn who_is_refused_is_told_the_question_and_why() {
    let bytes = question(7, "no.example", TYPE::A).build_bytes_vec().unwrap();
    let told = parse(&bytes).refuse(RCODE::Refused).unwrap();
    let told = Packet::parse(&told).unwrap();
    assert_eq!((told.id(), told.rcode(), told.questions.len()), (7, RCODE::Refused, 1));
    assert!(told.has_flags(PacketFlag::RESPONSE));
}
