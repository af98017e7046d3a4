//! The outside: what is allowed is reached, what is published is reached from outside, and nothing else.

mod peers;
mod world;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;

use guest_tests::bounded::{self, Finished};

use self::world::{HERE, HERE_V6, THERE, ask, ask_datagram, in_namespace, serve_echo, serve_names};
use crate::{TIMEOUT, Test, assert_code, assert_one_line, run, run_script, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("network::without_permission_nothing_leaves", || in_namespace(without_permission_nothing_leaves)),
    ("network::what_the_host_reaches_is_reached", || in_namespace(what_the_host_reaches_is_reached)),
    ("network::one_of_two_is_let_through", || in_namespace(one_of_two_is_let_through)),
    ("network::a_policy_of_a_thousand_lines", || in_namespace(a_policy_of_a_thousand_lines)),
    ("network::names_open_their_addresses", || in_namespace(names_open_their_addresses)),
    ("network::long_answers_come_by_tcp", || in_namespace(long_answers_come_by_tcp)),
    ("network::published_ports_lead_in", || in_namespace(published_ports_lead_in)),
    ("network::published_datagrams_lead_in", || in_namespace(published_datagrams_lead_in)),
    ("network::tables_of_names_are_written_inside_alone", tables_of_names_are_written_inside_alone),
    ("network::further_namespaces_have_no_way_out", || in_namespace(further_namespaces_have_no_way_out)),
    ("network::bad_options_are_refused", || in_namespace(bad_options_are_refused)),
    ("network::peers_end_reset_and_stall", || in_namespace(peers::end_reset_and_stall)),
    ("network::a_thousand_connections_at_once", || in_namespace(peers::a_thousand_connections_at_once)),
    ("network::sockets_of_the_host_are_bounded", || in_namespace(peers::sockets_of_the_host_are_bounded)),
    ("network::bytes_go_by_sendfile_splice_and_epoll", || {
        in_namespace(peers::bytes_go_by_sendfile_splice_and_epoll)
    }),
];

/// What guests say hello with: `reach KIND ADDRESS PORT` tells what comes back, or the error.
const REACH: &str = "
import errno, socket, sys
def reach(kind, address, port):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with socket.socket(family, getattr(socket, 'SOCK_' + kind)) as end:
        end.settimeout(20)
        try:
            end.connect((address, port))
            end.send(b'hello')
            return end.recv(100).decode() + ' from ' + end.getpeername()[0] + ' to ' + end.getsockname()[0]
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))
";

pub(super) fn python(options: &[&str], script: &str) -> Finished {
    run(&[&["--image", "/"], options].concat(), &["python3", "-c", &format!("{REACH}{script}")])
}

fn without_permission_nothing_leaves() {
    let port = serve_echo(HERE);
    let script = format!(
        "import os\nprint(os.listdir('/sys/class/net'))
for kind in ('STREAM', 'DGRAM'):
    for address in ('{HERE}', '10.0.2.2', '{HERE_V6}'):
        print(reach(kind, address, {port}))"
    );
    let finished = python(&[], &script);
    assert_eq!(finished.stdout, format!("['lo']\n{}", "ENETUNREACH\n".repeat(6)), "{}", finished.describe());
}

fn what_the_host_reaches_is_reached() {
    let ports = [HERE, HERE_V6, "127.0.0.1"].map(serve_echo);
    let script = format!(
        "import os\nprint(sorted(os.listdir('/sys/class/net')))
for kind in ('STREAM', 'DGRAM'):
    for address, port in zip(('{HERE}', '{HERE_V6}', '10.0.2.2'), {ports:?}):
        print(reach(kind, address, port))
print(reach('STREAM', '198.51.100.1', 80))
print(socket.getaddrinfo('{HERE}', 80, flags=socket.AI_ADDRCONFIG)[0][4])"
    );
    let finished = python(&["--network", "host"], &script);
    let each = format!(
        "hello from {HERE} to 10.0.2.15\nhello from {HERE_V6} to fd50:616c:6973::15\nhello from 10.0.2.2 to 10.0.2.15\n"
    );
    let expected = format!("['eth0', 'lo']\n{each}{each}ENETUNREACH\n('{HERE}', 80)\n");
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
    let finished =
        run_script(&["--network", "host"], "ip -o addr show eth0; ip route; ip -6 route show default");
    for line in [
        "inet 10.0.2.15/24",
        "inet6 fd50:616c:6973::15/64",
        "default via 10.0.2.2 dev eth0",
        "default via fd50:",
    ] {
        assert!(finished.stdout.contains(line), "{line}: {}", finished.describe());
    }
}

fn one_of_two_is_let_through() {
    let (open, closed) = (serve_echo(HERE), serve_echo(THERE));
    let script = format!(
        "for kind in ('STREAM', 'DGRAM'):
    for _ in range(3):
        print(reach(kind, '{HERE}', {open}), reach(kind, '{THERE}', {closed}), reach(kind, '{HERE}', {closed}))"
    );
    let allowed = format!("{HERE}:{open}");
    let finished = python(&["--log", "info", "--allow", &allowed], &script);
    let line = format!("hello from {HERE} to 10.0.2.15 ECONNREFUSED ECONNREFUSED\n");
    assert_eq!(finished.stdout, line.repeat(6), "{}", finished.describe());
    for told in [
        format!("tcp to {THERE}:{closed}; --allow {THERE}:{closed} "),
        format!("udp to {HERE}:{closed}; --allow "),
    ] {
        let lines = finished.stderr.lines().filter(|line| line.contains(&told));
        assert_eq!(lines.count(), 1, "{told}: {}", finished.describe());
    }
}

fn a_policy_of_a_thousand_lines() {
    let (open, closed) = (serve_echo(HERE), serve_echo(THERE));
    let lines: Vec<String> = (0..1000)
        .map(|number| match number {
            999 => format!("{HERE}:{open}"),
            number if number % 3 == 0 => format!("host-{number}.example:{}", number + 1),
            number => format!("198.51.{}.{}:{}", number / 250, number % 250, number + 1),
        })
        .collect();
    let options: Vec<&str> = lines.iter().flat_map(|line| ["--allow", line]).collect();
    let script = format!("print(reach('STREAM', '{HERE}', {open}), reach('STREAM', '{THERE}', {closed}))");
    let finished = python(&options, &script);
    let expected = format!("hello from {HERE} to 10.0.2.15 ECONNREFUSED\n");
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
}

const RECORDS: &[world::Record] = &[
    ("open.test", 1, Ipv4Addr::new(192, 0, 2, 1)),
    ("closed.test", 60, Ipv4Addr::new(192, 0, 2, 2)),
    ("own.test", 60, Ipv4Addr::new(127, 0, 0, 1)),
];

fn names_open_their_addresses() {
    serve_names("192.0.2.53", RECORDS, false);
    let (open, closed) = (serve_echo(HERE), serve_echo(THERE));
    let script = format!(
        "import time
def look_up(name):
    try:
        return socket.getaddrinfo(name, 1, type=socket.SOCK_STREAM)[0][4][0]
    except socket.gaierror as error:
        return 'no address'
print(open('/etc/resolv.conf').read().strip())
print(reach('STREAM', '{HERE}', {open}))
print(look_up('open.test'), reach('STREAM', '{HERE}', {open}), reach('STREAM', '{HERE}', {closed}))
print(look_up('closed.test'), reach('STREAM', '{THERE}', {closed}))
print(look_up('missing.test'))
deadline = time.monotonic() + 20
while reach('STREAM', '{HERE}', {open}) != 'ECONNREFUSED' and time.monotonic() < deadline:
    time.sleep(0.1)
print(reach('STREAM', '{HERE}', {open}))"
    );
    let allowed = [format!("open.test:{open}"), "missing.test".to_owned()];
    let options = ["--log", "info", "--dns", "192.0.2.53", "--allow", &allowed[0], "--allow", &allowed[1]];
    let finished = python(&options, &script);
    let expected = format!(
        "nameserver 10.0.2.3\nECONNREFUSED\n{HERE} hello from {HERE} to 10.0.2.15 ECONNREFUSED\nno address ECONNREFUSED\n\
         no address\nECONNREFUSED\n"
    );
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
    let told = "refused: the name closed.test; --allow closed.test would let it through";
    assert!(finished.stderr.contains(told), "{}", finished.describe());
    // A name that is said to be the host itself does not open it.
    let script = format!(
        "import socket\nprint(socket.gethostbyname('own.test'), reach('STREAM', '10.0.2.2', {open}))"
    );
    let finished = python(&["--dns", "192.0.2.53", "--allow", "own.test"], &script);
    assert_eq!(finished.stdout, "127.0.0.1 ECONNREFUSED\n", "{}", finished.describe());
}

fn long_answers_come_by_tcp() {
    serve_names("192.0.2.53", RECORDS, true);
    let port = serve_echo(THERE);
    let script = format!("print(socket.gethostbyname('closed.test'), reach('DGRAM', '{THERE}', {port}))");
    let finished = python(&["--dns", "192.0.2.53", "--allow", "closed.test"], &script);
    let expected = format!("{THERE} hello from {THERE} to 10.0.2.15\n");
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
}

/// A port that nobody has.
fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("a port").port()
}

/// Asks until there is an answer.
fn patiently<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < TIMEOUT, "nobody answers");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn published_ports_lead_in() {
    let (port, other) = (free_port(), free_port());
    let script = "
with socket.create_server(('0.0.0.0', 80), backlog=2) as server:
    while True:
        end, peer = server.accept()
        with end:
            request = end.recv(100)
            end.sendall(b'%s from %s' % (request, peer[0].encode()))
            if request == b'end':
                break
print('ended')";
    let (all, one) = (format!("{port}:80"), format!("127.0.0.1:{other}:80"));
    let options = ["--image", "/", "--publish", &all, "--publish", &one];
    let mut command = vmm_command(&options, &["python3", "-c", &format!("{REACH}{script}")]);
    let running = bounded::start(&mut command).expect("vmm starts");
    // Before the guest listens, who connects is broken off.
    assert_eq!(patiently(|| ask("127.0.0.1", port, b"one")), b"one from 10.0.2.2");
    assert_eq!(ask("127.0.0.1", other, b"two").as_deref(), Some(&b"two from 10.0.2.2"[..]));
    assert_eq!(ask(HERE, port, b"three").as_deref(), Some(&b"three from 192.0.2.1"[..]));
    assert_eq!(ask(HERE, other, b"four"), None, "that one is published at the loopback alone");
    // The guest's listener is of IPv4: a client of IPv6 comes from the host.
    assert_eq!(ask(HERE_V6, port, b"five").as_deref(), Some(&b"five from 10.0.2.2"[..]));
    // Far more at once than the guest's backlog holds: each has its turn.
    let clients: Vec<_> = (0..100)
        .map(|number: u32| std::thread::spawn(move || ask("127.0.0.1", port, number.to_string().as_bytes())))
        .collect();
    for (number, client) in clients.into_iter().enumerate() {
        let expected = format!("{number} from 10.0.2.2").into_bytes();
        assert_eq!(client.join().expect("no panic"), Some(expected));
    }
    assert_eq!(ask("127.0.0.1", port, b"end").as_deref(), Some(&b"end from 10.0.2.2"[..]));
    let finished = running.finish(TIMEOUT).expect("vmm ends");
    assert_eq!(finished.stdout, "ended\n", "{}", finished.describe());
}

fn published_datagrams_lead_in() {
    let port = free_port();
    let script = "
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(('', 53))
    request = b''
    while request != b'end':
        request, peer = server.recvfrom(65536)
        server.sendto(request + b' from ' + peer[0].encode(), peer)";
    let published = format!("127.0.0.1:{port}:53/udp");
    let options = ["--image", "/", "--publish", &published];
    let mut command = vmm_command(&options, &["python3", "-c", &format!("{REACH}{script}")]);
    let running = bounded::start(&mut command).expect("vmm starts");
    let clients = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a port"));
    assert_eq!(patiently(|| ask_datagram(&clients[0], port, b"one")), b"one from 10.0.2.2");
    for (number, client) in clients.iter().chain(&clients).chain(&clients).enumerate() {
        let request = number.to_string();
        let expected = format!("{number} from 10.0.2.2").into_bytes();
        assert_eq!(ask_datagram(client, port, request.as_bytes()), Some(expected));
    }
    let large = vec![b'x'; 60_000];
    assert_eq!(ask_datagram(&clients[0], port, &large), Some([&large[..], b" from 10.0.2.2"].concat()));
    // Nobody else can have the port meanwhile.
    assert!(UdpSocket::bind(("127.0.0.1", port)).is_err());
    assert!(ask_datagram(&clients[1], port, b"end").is_some());
    assert_code(&running.finish(TIMEOUT).expect("vmm ends"), 0);
}

fn tables_of_names_are_written_inside_alone() {
    let of_host = |path: &str| std::fs::read_to_string(path).expect("a table");
    let before = ["/etc/hosts", "/etc/resolv.conf"].map(of_host);
    let options = [
        "--dns",
        "127.0.0.53",
        "--dns",
        "::1",
        "--add-host",
        "Db.Test:192.0.2.7",
        "--add-host",
        "host:host-gateway",
    ];
    let script = "cat /etc/resolv.conf; getent hosts db.test; getent hosts host; tail -n +3 /etc/hosts";
    let finished = run_script(&options, script);
    let tables = "nameserver 127.0.0.53\nnameserver ::1\n192.0.2.7       db.test\n10.0.2.2        host\n";
    assert_eq!(finished.stdout, format!("{tables}{}", before[0]), "{}", finished.describe());
    let read_only = [&options[..], &["--read-only"]].concat();
    let finished = run_script(&read_only, script);
    assert_eq!(finished.stdout, format!("{tables}{}", before[0]), "{}", finished.describe());
    let finished = run_script(&[], "cat /etc/hosts /etc/resolv.conf");
    assert_eq!(finished.stdout, before.concat(), "{}", finished.describe());
    assert_eq!(["/etc/hosts", "/etc/resolv.conf"].map(of_host), before);
}

fn further_namespaces_have_no_way_out() {
    let port = serve_echo(HERE);
    let script = format!(
        "import os\nprint(reach('STREAM', '{HERE}', {port}))
os.unshare(os.CLONE_NEWNET) if hasattr(os, 'unshare') else __import__('ctypes').CDLL(None).unshare(0x40000000)
print(reach('STREAM', '{HERE}', {port}), reach('DGRAM', '{HERE}', {port}))"
    );
    let finished = python(&["--network", "host"], &script);
    let expected = format!("hello from {HERE} to 10.0.2.15\nENETUNREACH ENETUNREACH\n");
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
}

fn bad_options_are_refused() {
    for options in [
        &["--network", "bridge"][..],
        &["--allow", "a b"],
        &["--allow", "host:0"],
        &["--publish", "80"],
        &["--publish", "1:2/icmp"],
        &["--dns", "host"],
        &["--add-host", "name"],
    ] {
        let finished = run_script(options, "true");
        assert_code(&finished, 125);
        assert!(finished.stderr.contains(options[1]), "{options:?}: {}", finished.describe());
    }
    let port = free_port();
    let taken = format!("127.0.0.1:{port}:80");
    let publish = ["--publish", &taken];
    assert_code(&run_script(&publish, "true"), 0);
    let _listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("it is free again");
    assert_one_line(&run_script(&publish, "true"), &[125], &["--publish", &taken, "in use"]);
}
