//! What is expected was seen in a fresh network namespace of Linux.

use super::*;

fn show(settings: &NetworkSettings, directory: SettingDirectory, link: &str, name: &str) -> String {
    let setting = directory.find(name.as_bytes()).unwrap();
    settings.show(directory, link, setting, &UserNamespace::initial()).unwrap()
}

fn write(
    settings: &NetworkSettings,
    directory: SettingDirectory,
    link: &str,
    name: &str,
    text: &str,
) -> Result<(), Errno> {
    let setting = directory.find(name.as_bytes()).unwrap();
    settings.write(directory, link, setting, text.as_bytes(), &UserNamespace::initial())
}

#[test]
fn a_new_namespace_has_linux_s_settings() {
    let settings = NetworkSettings::default();
    assert_eq!(show(&settings, SettingDirectory::Core, "", "somaxconn"), "4096\n");
    assert_eq!(show(&settings, SettingDirectory::Ipv4, "", "ip_local_port_range"), "32768\t60999\n");
    assert_eq!(show(&settings, SettingDirectory::Ipv4Link, "lo", "disable_xfrm"), "1\n");
    assert_eq!(show(&settings, SettingDirectory::Ipv4Link, "all", "accept_source_route"), "0\n");
    assert_eq!(show(&settings, SettingDirectory::Ipv6Link, "lo", "mtu"), "65536\n");
    assert_eq!(settings.local_ports(), 32768..=60999);
    assert_eq!((settings.max_backlog(), settings.unprivileged_port_start()), (4096, 1024));
    assert!(settings.ping_groups().is_empty());
}

#[test]
fn what_a_setting_cannot_be_is_refused() {
    let settings = NetworkSettings::default();
    let ipv4 = SettingDirectory::Ipv4;
    for (name, text) in [
        ("ip_forward", ""),
        ("ip_forward", "x"),
        ("ip_forward", "99999999999999999999"),
        ("ip_local_port_range", "5 2"),
        ("ip_local_port_range", "1000 2000"),
        ("ip_local_port_range", "2000 70000"),
        ("ip_unprivileged_port_start", "70000"),
        ("ip_default_ttl", "300"),
    ] {
        assert_eq!(write(&settings, ipv4, "", name, text), Err(Errno::EINVAL), "{name} {text}");
    }
    assert_eq!(write(&settings, ipv4, "", "tcp_congestion_control", "x"), Err(Errno::ENOENT));
    assert_eq!(write(&settings, ipv4, "", "tcp_ehash_entries", "1"), Err(Errno::EACCES));
    assert_eq!(write(&settings, SettingDirectory::Core, "", "somaxconn", "-1"), Err(Errno::EINVAL));
    assert_eq!(write(&settings, SettingDirectory::Core, "", "somaxconn", "100000"), Ok(()));
}

#[test]
fn a_part_of_the_numbers_may_be_written_and_more_do_not_matter() {
    let settings = NetworkSettings::default();
    let ipv4 = SettingDirectory::Ipv4;
    assert_eq!(write(&settings, ipv4, "", "ip_local_port_range", "0x8000"), Ok(()));
    assert_eq!(settings.local_ports(), 32768..=60999);
    assert_eq!(write(&settings, ipv4, "", "ip_forward", "1 2\n"), Ok(()));
    assert_eq!(show(&settings, ipv4, "", "ip_forward"), "1\n");
}

#[test]
fn forwarding_is_of_all_links() {
    let settings = NetworkSettings::default();
    write(&settings, SettingDirectory::Ipv4, "", "ip_forward", "1").unwrap();
    for link in ["all", "default", "lo"] {
        assert_eq!(show(&settings, SettingDirectory::Ipv4Link, link, "forwarding"), "1\n", "{link}");
    }
    write(&settings, SettingDirectory::Ipv4Link, "all", "forwarding", "0").unwrap();
    assert!(!settings.forwards_ipv4());
    write(&settings, SettingDirectory::Ipv6Link, "all", "disable_ipv6", "1").unwrap();
    assert!(settings.is_ipv6_disabled("lo") && settings.is_ipv6_disabled("default"));
}

#[test]
fn an_empty_range_of_groups_is_nobody() {
    let settings = NetworkSettings::default();
    write(&settings, SettingDirectory::Ipv4, "", "ping_group_range", "0 5").unwrap();
    assert_eq!(settings.ping_groups(), 0..=5);
    write(&settings, SettingDirectory::Ipv4, "", "ping_group_range", "5 0").unwrap();
    assert_eq!(show(&settings, SettingDirectory::Ipv4, "", "ping_group_range"), "1\t0\n");
}

#[test]
fn settings_of_a_link_go_where_its_name_goes_and_end_with_it() {
    let settings = NetworkSettings::default();
    write(&settings, SettingDirectory::Ipv4Link, "a", "forwarding", "1").unwrap();
    settings.rename_link("a", "b");
    assert!(!settings.forwards_ipv4_of("a") && settings.forwards_ipv4_of("b"));
    settings.forget_link("b");
    assert!(!settings.forwards_ipv4_of("b"));
}

#[test]
fn what_is_told_in_two_units_is_one_setting() {
    let settings = NetworkSettings::default();
    let directory = SettingDirectory::Ipv4Neighbour;
    assert_eq!(show(&settings, directory, "lo", "unres_qlen"), "101\n");
    assert_eq!(write(&settings, directory, "lo", "base_reachable_time", "7"), Ok(()));
    assert_eq!(show(&settings, directory, "lo", "base_reachable_time_ms"), "7000\n");
    assert_eq!(write(&settings, directory, "lo", "retrans_time_ms", "50"), Ok(()));
    assert_eq!(show(&settings, directory, "lo", "retrans_time"), "5\n");
}

#[test]
fn only_the_first_namespace_changes_what_all_have_in_common() {
    let first = NetworkSettings::default();
    let further = NetworkSettings::new(first.buffers.clone(), true);
    assert_eq!(write(&first, SettingDirectory::Core, "", "rmem_max", "2303"), Err(Errno::EINVAL));
    assert_eq!(write(&first, SettingDirectory::Core, "", "rmem_max", "5000000"), Ok(()));
    assert_eq!(show(&further, SettingDirectory::Core, "", "rmem_max"), "5000000\n");
    assert_eq!(write(&further, SettingDirectory::Core, "", "rmem_max", "2304"), Err(Errno::EACCES));
}

#[test]
fn keys_addresses_and_choices_are_read_back() {
    let settings = NetworkSettings::default();
    let ipv4 = SettingDirectory::Ipv4;
    let key = "00000000-00000001-0000000a-ffffffff";
    assert_eq!(show(&settings, ipv4, "", "tcp_fastopen_key"), "00000000-00000000-00000000-00000000\n");
    assert_eq!(write(&settings, ipv4, "", "tcp_fastopen_key", key), Ok(()));
    assert_eq!(show(&settings, ipv4, "", "tcp_fastopen_key"), format!("{key}\n"));
    assert_eq!(write(&settings, ipv4, "", "tcp_fastopen_key", "1-2-3"), Err(Errno::EINVAL));
    assert_eq!(write(&settings, SettingDirectory::Ipv6Link, "lo", "stable_secret", "::1"), Ok(()));
    let secret = show(&settings, SettingDirectory::Ipv6Link, "lo", "stable_secret");
    assert_eq!(secret, "0000:0000:0000:0000:0000:0000:0000:0001\n");
    assert_eq!(write(&settings, ipv4, "", "tcp_congestion_control", "reno\n"), Ok(()));
    assert_eq!(settings.congestion_control(), "reno");
    assert_eq!(show(&settings, SettingDirectory::Ipv6Icmp, "", "ratemask"), "0-1,3-127\n");
}
