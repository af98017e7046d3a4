use super::*;

const GROUP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(224, 0, 2, 1));
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(224, 0, 2, 2));

fn source(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

#[test]
fn a_group_is_joined_once_on_a_link() {
    let mut own = Memberships::default();
    own.join(GROUP, 1, FilterMode::Exclude).unwrap();
    assert_eq!(own.join(GROUP, 1, FilterMode::Exclude), Err(Errno::EADDRINUSE));
    own.join(GROUP, 2, FilterMode::Exclude).unwrap();
    assert_eq!(own.leave(OTHER, None), Err(Errno::EADDRNOTAVAIL));
    assert_eq!((own.leave(GROUP, Some(2)), own.leave(GROUP, None)), (Ok(2), Ok(1)));
}

#[test]
fn memberships_and_sources_are_bounded() {
    let mut own = Memberships::default();
    for last in 0..20 {
        own.join(IpAddr::from([224, 0, 3, last]), 1, FilterMode::Exclude).unwrap();
    }
    assert_eq!(own.join(GROUP, 1, FilterMode::Exclude), Err(Errno::ENOBUFS));
    let place = (IpAddr::from([224, 0, 3, 0]), 1);
    for last in 1..=10 {
        assert_eq!(own.change_source(place, source(last), FilterMode::Exclude, true), Ok(false));
    }
    assert_eq!(own.change_source(place, source(11), FilterMode::Exclude, true), Err(Errno::ENOBUFS));
}

#[test]
fn a_filter_lets_its_sources_through_or_all_others() {
    let mut own = Memberships::default();
    assert!(own.hears(GROUP, source(1), 1, true) && !own.hears(GROUP, source(1), 1, false));
    own.join(GROUP, 1, FilterMode::Exclude).unwrap();
    own.change_source((GROUP, 1), source(1), FilterMode::Exclude, true).unwrap();
    assert!(!own.hears(GROUP, source(1), 1, true) && own.hears(GROUP, source(2), 1, false));
    assert_eq!(own.change_source((GROUP, 1), source(2), FilterMode::Include, true), Err(Errno::EINVAL));
    own.set_filter((GROUP, 1), FilterMode::Include, vec![source(2)]).unwrap();
    assert!(own.hears(GROUP, source(2), 1, false) && !own.hears(GROUP, source(1), 1, true));
    // Without its last source it would hear nobody.
    assert_eq!(own.change_source((GROUP, 1), source(2), FilterMode::Include, false), Ok(true));
}
