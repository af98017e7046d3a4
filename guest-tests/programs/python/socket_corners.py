"""Corners of internet sockets: failed connects, ports that are shared late, answers that are for somebody else, raw datagrams."""
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IP_MTU, IP_HDRINCL, IP_ROUTER_ALERT, IPV6_MTU = 14, 3, 5, 24
MSG_ERRQUEUE = 0x2000
HOSTS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | 1))


def tried(*acts):
    """What each returns, or the name of its error."""
    results = []
    for act in acts:
        try:
            results.append(act())
        except TimeoutError:
            results.append("nothing")
        except OSError as error:
            results.append(errno.errorcode[error.errno])
    return results


def events(end):
    poll = select.poll()
    poll.register(end, 0xFFFF)
    found = poll.poll(50)
    return hex(found[0][1]) if found else "none"


def failed_connects(family):
    end = socket.socket(family)
    end.setblocking(False)
    connect = lambda: end.connect((HOSTS[family], 1))
    print(tried(connect, connect, connect, lambda: end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), connect,
                lambda: end.send(b"x")), events(end))


def shared_late(family, kind):
    one, other = socket.socket(family, kind), socket.socket(family, kind)
    one.bind((HOSTS[family], 0))
    bind = lambda: other.bind(one.getsockname())
    before = tried(bind)
    for end in (one, other):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    print(before, tried(bind), tried(lambda: one.listen(1), lambda: other.listen(1)))


def refused_elsewhere(family):
    end = socket.socket(family, socket.SOCK_DGRAM)
    end.settimeout(0.1)
    end.connect((HOSTS[family], 9))
    print(tried(lambda: end.send(b"x"), lambda: end.recv(9), lambda: end.sendto(b"x", (HOSTS[family], 11)),
                lambda: end.recv(9), lambda: end.recvmsg(9, 99, MSG_ERRQUEUE)))


def errors_are_not_waited_for():
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    print(tried(lambda: client.recvmsg(9, 99, MSG_ERRQUEUE), lambda: datagrams.recvmsg(9, 99, MSG_ERRQUEUE)))


def datagram(source, destination, text):
    return struct.pack("!4H", source, destination, 8 + len(text), 0) + text


def raw_datagrams():
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(1)
    port = receiver.getsockname()[1]
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    raw.sendto(datagram(7, port, b"without a header"), ("127.0.0.1", 0))
    print(receiver.recvfrom(99))
    whole = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    address = socket.inet_aton("127.0.0.1")
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 9, 17, 0, address, address)
    whole.sendto(header + datagram(8, port, b"with one"), ("127.0.0.1", 0))
    print(receiver.recvfrom(99))
    raw_6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 200)
    raw_6.settimeout(1)
    raw_6.sendto(b"of IPv6", ("::1", 0))
    print(raw_6.recvfrom(99)[0])


def options():
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    stream = socket.socket()
    level = socket.IPPROTO_IP
    print(raw.getsockopt(level, IP_HDRINCL), raw.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR))
    print(tried(lambda: stream.getsockopt(level, IP_HDRINCL), lambda: stream.setsockopt(level, IP_HDRINCL, 1),
                lambda: stream.getsockopt(level, IP_ROUTER_ALERT), lambda: stream.setsockopt(level, IP_ROUTER_ALERT, 1),
                lambda: raw.setsockopt(level, IP_ROUTER_ALERT, 1), lambda: raw.getsockopt(level, IP_ROUTER_ALERT)))
    joins = (socket.IP_ADD_MEMBERSHIP, 39, 42, 46)
    print(tried(*(lambda option=option: stream.setsockopt(level, option, 1) for option in joins)))
    for family, level, option in ((socket.AF_INET, socket.IPPROTO_IP, IP_MTU), (socket.AF_INET6, socket.IPPROTO_IPV6, IPV6_MTU)):
        end = socket.socket(family, socket.SOCK_DGRAM)
        end.connect((HOSTS[family], 9))
        print(end.getsockopt(level, option))
    print(tried(lambda: stream.getsockopt(6, 28, 99), lambda: stream.getsockopt(6, 33, 99), lambda: stream.getsockopt(6, 20),
                lambda: stream.getsockopt(6, 29), lambda: stream.setsockopt(6, 14, 1), lambda: stream.setsockopt(6, 34, 1),
                lambda: stream.getsockopt(6, 34), lambda: stream.getsockopt(6, 35)))


def many_events():
    """More than a few thousand events come by one call."""
    epoll = select.epoll()
    pipes = []
    try:
        while len(pipes) < 5000:
            pipes.append(os.eventfd(1))
    except OSError:
        pass
    for descriptor in pipes:
        epoll.register(descriptor, select.EPOLLIN)
    print(len(epoll.poll(1, 65536)) == len(pipes))


if libc.unshare(CLONE_NEWNET) != 0:
    raise OSError(ctypes.get_errno(), "unshare")
raise_loopback()
for family in HOSTS:
    failed_connects(family)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        shared_late(family, kind)
    refused_elsewhere(family)
errors_are_not_waited_for()
raw_datagrams()
options()
many_events()
