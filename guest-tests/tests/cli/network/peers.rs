//! What peers on the outside do, and what a guest is told of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use guest_tests::bounded;

use super::python;
use super::world::{HERE, serve, serve_echo};
use crate::{TIMEOUT, vmm_command};

/// Breaks each connection off once it has sent something.
fn reset(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 8]);
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("an option");
}

/// Says all it has to say at once, and listens on.
fn end_first(mut stream: TcpStream) {
    // One who has come and gone hears nothing.
    let _ = stream.write_all(b"all").and_then(|()| stream.shutdown(Shutdown::Write));
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    LISTENED.fetch_add(rest.len(), std::sync::atomic::Ordering::SeqCst);
}

static LISTENED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Takes nothing until it is told to, by a connection to its other port.
fn serve_stalling(address: &'static str) -> (u16, u16) {
    let [listener, signal] = [(); 2].map(|()| TcpListener::bind((address, 0)).expect("a port"));
    let ports = [&listener, &signal].map(|socket| socket.local_addr().expect("a port").port());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a peer");
        let (_told, _) = signal.accept().expect("a peer");
        let mut buffer = vec![0; 1 << 20];
        let mut total: u64 = 0;
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            total += len as u64;
        }
        let _ = stream.write_all(&total.to_be_bytes());
    });
    ports.into()
}

pub(super) fn end_reset_and_stall() {
    let (resets, ends) = (serve(HERE, reset), serve(HERE, end_first));
    let (stalls, signal) = serve_stalling(HERE);
    let closed = {
        let socket = TcpListener::bind((HERE, 0)).expect("a port");
        socket.local_addr().expect("a port").port()
    };
    let script = format!(
        "
import os, select
def connect(port):
    end = socket.create_connection(('{HERE}', port)); end.settimeout(20); return end
def told(work):
    try:
        return work()
    except OSError as error:
        return errno.errorcode.get(error.errno, 'timed out')

# A peer that resets: once, and then the end.
end = connect({resets}); end.sendall(b'now')
print(told(lambda: end.recv(8)), told(lambda: end.recv(8)), told(lambda: end.send(b'x')), told(end.getpeername))

# A peer that ends first hears on.
end = connect({ends})
print(end.recv(8), end.recv(8), end.recv(8), end.send(b'x' * 1000), end.getpeername()[0])
end.shutdown(socket.SHUT_WR)
poll = select.poll(); poll.register(end, select.POLLIN | select.POLLRDHUP)
print(poll.poll(20000)[0][1] & (select.POLLIN | select.POLLRDHUP | select.POLLERR), told(lambda: end.send(b'x')))

# A peer that stalls: who does not wait is told, and goes on when there is room.
end = connect({stalls}); end.setblocking(False); sent = 0
try:
    while True:
        sent += end.send(b'x' * 65536)
except BlockingIOError:
    pass
poll = select.epoll(); poll.register(end, select.EPOLLOUT | select.EPOLLET)
poll.poll(0)
print(sent > 65536, poll.poll(0.05), told(lambda: end.recv(8)))
tell = connect({signal})
print(poll.poll(20) != [], end.send(b'y'))
end.shutdown(socket.SHUT_WR); end.settimeout(20)
print(int.from_bytes(end.recv(8), 'big') == sent + 1)

# Nobody there: at once, or by SO_ERROR.
end = socket.socket()
print(told(lambda: end.connect(('{HERE}', {closed}))), end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
end = socket.socket(); end.setblocking(False)
print(end.connect_ex(('{HERE}', {closed})) == errno.EINPROGRESS)
poll = select.poll(); poll.register(end, select.POLLOUT)
print(poll.poll(20000)[0][1] & (select.POLLERR | select.POLLHUP) != 0, end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
end = socket.socket(); end.setblocking(False)
end.connect_ex(('{HERE}', {ends})); poll = select.poll(); poll.register(end, select.POLLOUT); poll.poll(20000)
print(end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), end.connect_ex(('{HERE}', {ends})), end.connect_ex(('{HERE}', {ends})) == errno.EISCONN)

# Datagrams for nobody: one who is connected is told, another is not.
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); end.settimeout(20); end.connect(('{HERE}', {closed}))
end.send(b'x'); print(told(lambda: end.recv(8)))
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); end.settimeout(0.3)
print(end.sendto(b'x', ('{HERE}', {closed})), told(lambda: end.recv(8)))
"
    );
    let finished = python(&["--network", "host"], &script);
    let expected = "ECONNRESET b'' EPIPE ENOTCONN\nb'all' b'' b'' 1000 192.0.2.1\n8193 EPIPE\nTrue [] EAGAIN\nTrue 1\nTrue\n\
        ECONNREFUSED 0\nTrue\nTrue 111\n0 0 True\nECONNREFUSED\n1 timed out\n";
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
    assert_eq!(LISTENED.load(std::sync::atomic::Ordering::SeqCst), 1000, "what came behind the end");
}

pub(super) fn a_thousand_connections_at_once() {
    let port = serve_echo(HERE);
    let script = format!(
        "
import select
ends = []
for number in range(1000):
    end = socket.socket(); end.setblocking(False)
    if end.connect_ex(('{HERE}', {port})) not in (0, errno.EINPROGRESS):
        print('connection', number, 'is refused')
    ends.append(end)
poll = select.epoll()
by_number = {{end.fileno(): (index, end) for index, end in enumerate(ends)}}
for end in ends:
    poll.register(end, select.EPOLLOUT)
answers = 0
while answers < 1000:
    ready = poll.poll(20)
    if not ready:
        break
    for number, events in ready:
        index, end = by_number[number]
        if events & select.EPOLLOUT:
            end.send(b'%d' % index); poll.modify(end, select.EPOLLIN)
        elif events & select.EPOLLIN:
            answers += end.recv(16) == b'%d' % index; poll.unregister(end)
print(answers)"
    );
    let finished = python(&["--network", "host", "--ulimit", "nofile=4096"], &script);
    assert_eq!(finished.stdout, "1000\n", "{}", finished.describe());
}

pub(super) fn sockets_of_the_host_are_bounded() {
    let port = serve_echo(HERE);
    let script = format!(
        "
import errno, socket, time
deadline = time.monotonic() + 20
def open_all(kind):
    ends = []
    try:
        while len(ends) < 1000:
            end = socket.socket(socket.AF_INET, kind); end.connect(('{HERE}', {port})); end.send(b'x'); ends.append(end)
    except OSError as error:
        # Connections that are closed have their places until the peer has closed, too.
        if len(ends) < 64 and time.monotonic() < deadline:
            for end in ends: end.close()
            time.sleep(0.05)
            return open_all(kind)
        return errno.errorcode[error.errno], len(ends), ends
    return 'no bound', len(ends), ends
for kind in (socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM):
    error, count, ends = open_all(kind)
    print(error, count)
    for end in ends: end.close()
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(1000, 3000):
    end.sendto(b'x', ('192.0.2.2', port))
end.sendto(b'hello', ('{HERE}', {port}))
print(end.recv(8))"
    );
    let mut command = vmm_command(&["--image", "/", "--network", "host"], &["python3", "-c", &script]);
    let finished = bounded::run(with_few_descriptors(&mut command), TIMEOUT).expect("vmm starts");
    let expected = "ENOBUFS 64\nENOBUFS 64\nENOBUFS 64\nb'hello'\n";
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
}

/// Has the command begin with a limit of 256 descriptors.
fn with_few_descriptors(command: &mut std::process::Command) -> &mut std::process::Command {
    use std::os::unix::process::CommandExt;

    use rustix::process::{Resource, Rlimit, setrlimit};
    const LIMIT: Option<u64> = Some(256);
    // SAFETY: the child makes one system call.
    unsafe {
        command.pre_exec(|| Ok(setrlimit(Resource::Nofile, Rlimit { current: LIMIT, maximum: LIMIT })?))
    }
}

pub(super) fn bytes_go_by_sendfile_splice_and_epoll() {
    let port = serve_echo(HERE);
    let script = format!(
        "
import array, fcntl, os, select, tempfile, termios
end = socket.create_connection(('{HERE}', {port})); end.settimeout(20)
def take(count):
    got = b''
    while len(got) < count:
        got += end.recv(count - len(got))
    return got
data = os.urandom(1 << 20)
with tempfile.TemporaryFile() as file:
    file.write(data); file.flush()
    sent = 0
    def feed():
        global sent
        while sent < len(data):
            sent += os.sendfile(end.fileno(), file.fileno(), sent, len(data) - sent)
    import threading
    feeder = threading.Thread(target=feed); feeder.start()
    print(take(len(data)) == data); feeder.join()
inner, outer = os.pipe()
os.write(outer, b'through a pipe'); print(os.splice(inner, end.fileno(), 14), take(14))
end.send(b'back'); select.select([end], [], [], 20)
print(os.splice(end.fileno(), outer, 4), os.read(inner, 9))
end.send(b'peek'); select.select([end], [], [], 20)
waiting = array.array('i', [0]); fcntl.ioctl(end, termios.FIONREAD, waiting)
print(end.recv(2, socket.MSG_PEEK), end.recv(9, socket.MSG_PEEK), waiting[0], end.recv(9))
poll = select.epoll(); poll.register(end, select.EPOLLIN | select.EPOLLET)
print(poll.poll(0)); end.send(b'edge'); print(poll.poll(20) != [], poll.poll(0.05), end.recv(2), poll.poll(0.05), end.recv(2))
for level, option, value in ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77), (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000)):
    end.setsockopt(level, option, value); print(end.getsockopt(level, option), end=' ')
print(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))
print(end.send(b'abc', socket.MSG_OOB), end.recv(2))
messages = end.sendmsg([b'several ', b'parts']); print(messages, take(13))
own, *others = [line.split()[1:4] for line in open('/proc/net/tcp')][1]; print([own.split(':')[0], *others])
end.close()
large = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); large.settimeout(20); large.connect(('{HERE}', {port}))
large.send(b'x' * 60000); print(len(large.recv(65536)), end=' ')
large.send(b''); print(large.recv(9))"
    );
    let finished = python(&["--network", "host"], &script);
    let status = format!("['0F02000A', '010200C0:{port:04X}', '01']");
    let expected = format!(
        "True\n14 b'through a pipe'\n4 b'back'\nb'pe' b'peek' 4 b'peek'\n[]\nTrue [] b'ed' [] b'ge'\n\
         1 1 77 5000 b'\\x01'\n3 b'ab'\n13 b'several parts'\n{status}\n60000 b''\n"
    );
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
}
