use super::*;

#[test]
fn every_reader_takes_some_bytes() {
    let readers =
        [elf, script, file_capabilities, mount_options, control_messages, netlink, filter, ext_image];
    let seeds: [&[u8]; 5] =
        [b"", b"#! /bin/sh -e\n", b"size=1m,mode=755", &[0; 2048], &[6, 0, 0, 0, 0, 0, 0, 0]];
    for reader in readers {
        seeds.into_iter().for_each(reader);
    }
}
