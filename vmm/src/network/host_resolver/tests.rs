use super::*;

#[test]
fn servers_and_the_last_search_list_are_read() {
    let text = "# made by hand\nnameserver 192.0.2.53\nsearch a.example\nnameserver fe80::1%2\n\
        \tnameserver 2001:db8::53 # the second\noptions ndots:2\nsearch b.example c.example\n";
    let expected = HostResolver {
        nameservers: vec!["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()],
        search: vec!["b.example".to_owned(), "c.example".to_owned()],
    };
    assert_eq!(HostResolver::parse(text), expected);
    assert_eq!(HostResolver::parse("nameserver\nsearch\nnonsense"), HostResolver::default());
}
