use super::*;

#[test]
fn every_reader_takes_some_bytes() {
    let readers = [archive, documents, index, control_request, broker_request, name_query];
    let seeds: [&[u8]; 4] = [b"", &[0; 1536], b"{\"kill\":{\"signal\":9}}", b"\x1f\x8b\x08\0\0\0\0\0\0\xff"];
    for reader in readers {
        seeds.into_iter().for_each(reader);
    }
}
