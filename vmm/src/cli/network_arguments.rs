//! The options that open the outside.

use std::net::IpAddr;

use vmm::network::{Allowance, Network, Publication, host_entry};

/// What of the outside the program reaches, and what reaches it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NetworkArguments {
    /// What of the network the program reaches: nothing but its own loopback, or whatever the host reaches
    ///
    /// With `host`, TCP, UDP and names lead to wherever they lead from the host, and the host's own loopback is at 10.0.2.2 and
    /// fd50:616c:6973::2. The program sees an interface of its own, eth0, and names are looked up at 10.0.2.3.
    #[arg(long, value_name = "WHAT", default_value = "none")]
    network: Reach,

    /// Let the program reach this, and else nothing; may be given often
    ///
    /// A name opens the addresses that it is found to have when the program looks it up, for as long as the answer says. An address
    /// may be the host's own, as 127.0.0.1:8080, which the program reaches at 10.0.2.2. IPv6 with ports is [ADDR]:PORT.
    #[arg(long, value_name = "HOST|ADDR|PREFIX[:PORT[-PORT]]")]
    allow: Vec<Allowance>,

    /// Have a port of the host lead to one of the program's; may be given often
    ///
    /// All of the host's addresses lead there unless one is given.
    #[arg(long, short = 'p', value_name = "[ADDR:]HOSTPORT:GUESTPORT[/udp]")]
    publish: Vec<Publication>,

    /// Ask this server for names [default: the host's own]
    ///
    /// With --network host or --allow, it is asked for the program, which asks at 10.0.2.3. Without either, it is what the program's
    /// /etc/resolv.conf names, and has to be inside.
    #[arg(long, value_name = "ADDR")]
    dns: Vec<IpAddr>,

    /// Have a name stand for an address in the program's /etc/hosts; `host-gateway` is the host
    #[arg(long, value_name = "NAME:ADDR", value_parser = host_entry)]
    add_host: Vec<(String, IpAddr)>,
}

/// What is reached without being allowed one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Reach {
    /// Nothing.
    None,
    /// Whatever the host reaches.
    Host,
}

impl NetworkArguments {
    /// What they say.
    pub(crate) fn network(&self) -> Network {
        Network {
            reaches_all: self.network == Reach::Host,
            allowed: self.allow.clone(),
            published: self.publish.clone(),
            nameservers: self.dns.clone(),
            hosts: self.add_host.clone(),
        }
    }
}
