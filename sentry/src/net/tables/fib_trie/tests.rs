use super::*;
use crate::cred::{Identity, NamespaceKind, UserNamespace};
use crate::net::{KernelSockets, NetworkNamespace};

#[test]
fn addresses_of_the_host_s_own_are_what_scripts_look_for() {
    let identity = Identity::initial(NamespaceKind::Network, &UserNamespace::initial());
    let namespace = NetworkNamespace::new(identity, KernelSockets::default());
    let text = namespace.configuration().look(|all| trie(&all));
    let expected = "Main:
  +-- 127.0.0.0/8 1 0 0
     +-- 127.0.0.0/31 1 0 0
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.0.0.1
           /32 host LOCAL
     |-- 127.255.255.255
        /32 link BROADCAST
";
    assert_eq!(text, format!("{expected}{}", expected.replace("Main", "Local")));
    let text = namespace.configuration().look(|all| statistics(&all));
    assert!(text.contains("\tMax depth:      2\n\tLeaves:         3\n"), "{text}");
}
