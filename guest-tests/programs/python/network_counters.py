"""What the protocols count, what TCP tells of its segments, and who gets what comes to a port that several sockets share."""
import ctypes
import fcntl
import os
import socket
import struct

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCOUTQ, SIOCOUTQNSD = 0x8913, 0x8914, 0x5411, 0x894B
SO_ATTACH_REUSEPORT_CBPF, SO_DETACH_REUSEPORT_BPF = 51, 68
TCP_INFO = 11

# Those whose figures follow from what a program does, not from timers.
SHOWN = {
    "Ip:": "InReceives InDelivers OutRequests OutNoRoutes OutTransmits",
    "Icmp:": "InMsgs InDestUnreachs InEchos InEchoReps OutMsgs OutDestUnreachs OutEchos OutEchoReps",
    "Tcp:": "ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs OutRsts",
    "Udp:": "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors",
    "TcpExt:": "TCPAbortOnData TCPAbortOnClose TCPOrigDataSent TCPDelivered ListenOverflows ListenDrops",
    "IpExt:": "InOctets OutOctets InNoECTPkts",
}
SHOWN_6 = "Ip6InReceives Ip6OutRequests Ip6InOctets Ip6OutOctets Icmp6InMsgs Icmp6InDestUnreachs Udp6InDatagrams Udp6NoPorts"


def raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | 1))


def snapshot():
    counted = {}
    for file in ("/proc/self/net/snmp", "/proc/self/net/netstat"):
        with open(file) as lines:
            lines = lines.read().splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            if not names.split()[0] in SHOWN or not values:
                continue
            group, *names = names.split()
            wanted = SHOWN[group].split()
            counted |= {group + name: int(value) for name, value in zip(names, values.split()[1:]) if name in wanted}
    with open("/proc/self/net/snmp6") as lines:
        rows = dict(line.split() for line in lines)
    counted |= {name: int(rows[name]) for name in SHOWN_6.split()}
    with open("/proc/self/net/dev") as lines:
        loopback = next(line for line in lines if line.strip().startswith("lo:")).split(":")[1].split()
    return counted | {"lo packets": int(loopback[1]), "lo bytes": int(loopback[0])}


def counts(name, act):
    before = snapshot()
    result = act()
    after = snapshot()
    print(name, {key: after[key] - before[key] for key in after if after[key] != before[key]}, flush=True)
    return result


def info(end):
    told = end.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 232)
    state, options = told[0], told[5]
    mss, received_mss = struct.unpack_from("2I", told, 16)
    advertised, = struct.unpack_from("I", told, 84)
    acknowledged, received = struct.unpack_from("2Q", told, 120)
    segments = struct.unpack_from("2I", told, 136)
    data_in, data_out = struct.unpack_from("2I", told, 152)
    delivered, = struct.unpack_from("I", told, 192)
    sent, = struct.unpack_from("Q", told, 200)
    return state, options, mss, received_mss, advertised, acknowledged, received, segments, data_in, data_out, delivered, sent


def connect(family=socket.AF_INET, host="127.0.0.1"):
    listener = socket.socket(family)
    listener.bind((host, 0))
    listener.listen(1)
    client = socket.socket(family)
    client.connect(listener.getsockname())
    return listener, client, listener.accept()[0]


def connections():
    print("-- connections")
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        listener, client, server = counts("connect", lambda: connect(family, host))
        print(info(client), info(server))
        print([end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) for end in (listener, client, server)])
        counts("a byte", lambda: (client.send(b"x"), server.recv(9)))
        print(info(client), info(server))
        print(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
        counts("its answer", lambda: (server.send(b"x"), client.recv(9)))
        counts("the end of one half", lambda: client.shutdown(socket.SHUT_WR))
        counts("unread bytes", lambda: server.send(b"unread"))
        counts("an end that has not read", lambda: client.close())
        server.close()
        listener.close()
    listener, client, server = connect()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("2i", 1, 0))
    counts("without lingering", lambda: client.close())
    server.close()

    def refused():
        with socket.socket() as client:
            print(client.connect_ex(("127.0.0.1", 1)))
    counts("refused", refused)


def queues():
    print("-- queues")
    listener, client, server = connect()
    client.setblocking(False)
    try:
        while client.send(bytes(65536)):
            pass
    except BlockingIOError:
        pass
    waiting = [struct.unpack("i", fcntl.ioctl(client, request, bytes(4)))[0] > 0 for request in (SIOCOUTQ, SIOCOUTQNSD)]
    print(waiting)
    try:
        fcntl.ioctl(listener, SIOCOUTQ, bytes(4))
    except OSError as error:
        print(error.errno)


def datagrams():
    print("-- datagrams")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        one.bind(("127.0.0.1", 0))
        counts("one", lambda: other.sendto(b"abc", one.getsockname()))
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        copies = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
        counts("to nobody", lambda: other.sendto(b"abcd", ("127.0.0.1", 9)))
        told, sender = raw.recvfrom(200)
        print(sender, len(told), told[20:22].hex(), told[28 + 22:28 + 24].hex(), told[-4:])
        copied, sender = copies.recvfrom(200)
        print(sender, len(copied), copied[9], copied[22:24].hex(), copied[28:])
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        counts("to nobody of IPv6", lambda: other.sendto(b"abcd", ("::1", 9)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        def nowhere():
            try:
                other.sendto(b"x", ("1.2.3.4", 9))
            except OSError as error:
                print(error.errno)
        counts("nowhere", nowhere)


def program(*instructions):
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    return struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(buffer)), buffer


def attach(end, filter):
    try:
        end.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, filter)
        return "attached"
    except OSError as error:
        return error.errno


def sharing(kind):
    ends = []
    for _ in range(3):
        end = socket.socket(socket.AF_INET, kind)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        end.bind(("127.0.0.1", ends[0].getsockname()[1] if ends else 0))
        if kind == socket.SOCK_STREAM:
            end.listen(9)
        end.setblocking(False)
        ends.append(end)
    return ends


def taken(end):
    try:
        return [end.accept()] if end.type == socket.SOCK_STREAM else [end.recv(9)]
    except BlockingIOError:
        return []


def shared_ports():
    print("-- shared ports")
    always_second, _keep = program((0x06, 0, 0, 1))
    first_byte, _keep_too = program((0x30, 0, 0, 0), (0x16, 0, 0, 0))
    too_much, _keep_as_well = program((0x06, 0, 0, 99))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as alone:
        print(attach(alone, always_second))
    ends = sharing(socket.SOCK_DGRAM)
    print(attach(ends[0], always_second), attach(ends[0], b"123"))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(4):
        sender.sendto(b"x", ends[0].getsockname())
    print([len([1 for _ in range(4) if taken(end)]) for end in ends])
    print(attach(ends[2], first_byte))
    for place in (2, 0, 1, 2):
        sender.sendto(bytes([place]), ends[0].getsockname())
    print([len([1 for _ in range(4) if taken(end)]) for end in ends])
    print(attach(ends[1], too_much))
    sender.sendto(b"x", ends[0].getsockname())
    print(sum(len(taken(end)) for end in ends))
    ends[0].setsockopt(socket.SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0)
    listeners = sharing(socket.SOCK_STREAM)
    print(attach(listeners[2], always_second))
    clients = [socket.create_connection(listeners[0].getsockname()) for _ in range(3)]
    print([len([1 for _ in range(4) if taken(end)]) for end in listeners], len(clients))


def ports():
    print("-- ports")
    given = set()
    for _ in range(8):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            given.add(one.getsockname()[1])
    differences = {abs(a - b) for a in given for b in given if a != b}
    print(all(32768 <= port <= 60999 for port in given), len(given) > 4, max(differences) > 100)


if libc.unshare(CLONE_NEWNET) != 0:
    raise OSError(ctypes.get_errno(), "unshare")
raise_loopback()
connections()
queues()
datagrams()
shared_ports()
ports()
with open("/proc/self/net/fib_trie") as lines:
    rows = [line.strip() for line in lines]
print([above for above, row in zip(rows, rows[1:]) if row == "/32 host LOCAL"][:1], os.path.exists("/proc/net/psched"))
