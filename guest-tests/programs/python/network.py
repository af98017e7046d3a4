"""The files of a new network namespace, and what Python's and C's libraries make of its links and addresses."""
import ctypes
import os
import socket

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def show(path):
    print("--", path)
    try:
        with open(path) as file:
            print(file.read(), end="")
    except OSError as error:
        print(os.strerror(error.errno))


def write(path, text):
    try:
        with open(path, "w") as file:
            file.write(text)
        result = "written"
    except OSError as error:
        result = os.strerror(error.errno)
    print("--", path, repr(text), result)


def tables():
    for name in ["arp", "dev", "dev_mcast", "icmp", "if_inet6", "igmp6", "mcfilter", "raw", "raw6", "route",
                 "tcp", "tcp6", "udp", "udp6", "unix"]:
        show("/proc/net/" + name)
    for line in open("/proc/net/snmp"):
        group, rest = line.split(":")
        if group in ("Ip", "Tcp", "Udp"):
            print(group, rest.split()[:4])


def settings():
    base = "/proc/sys/net/"
    for name in ["core/somaxconn", "ipv4/ip_forward", "ipv4/ip_local_port_range", "ipv4/ip_unprivileged_port_start",
                 "ipv4/ping_group_range", "ipv4/ip_default_ttl", "ipv4/conf/all/forwarding", "ipv4/conf/lo/forwarding",
                 "ipv6/bindv6only", "ipv6/conf/lo/disable_ipv6", "ipv6/conf/default/forwarding"]:
        show(base + name)
    for name, text in [("core/somaxconn", "100000"), ("core/somaxconn", "-1"), ("ipv4/ip_forward", "1"),
                       ("ipv4/ip_forward", "x"), ("ipv4/ip_forward", ""), ("ipv4/ip_local_port_range", "5 2"),
                       ("ipv4/ip_local_port_range", "40000 50000"), ("ipv4/ip_unprivileged_port_start", "70000"),
                       ("ipv4/ip_unprivileged_port_start", "80"), ("ipv4/ping_group_range", "0 10"),
                       ("ipv6/conf/all/disable_ipv6", "1")]:
        write(base + name, text)
    for name in ["core/somaxconn", "ipv4/conf/lo/forwarding", "ipv4/ip_local_port_range", "ipv4/ping_group_range",
                 "ipv6/conf/lo/disable_ipv6"]:
        show(base + name)
    show("/proc/net/if_inet6")
    write(base + "ipv6/conf/lo/disable_ipv6", "0")
    show("/proc/net/if_inet6")


def libraries():
    print("--", "libraries")
    print(socket.if_nameindex(), socket.if_nametoindex("lo"), socket.if_indextoname(1))
    for attempt in (lambda: socket.if_nametoindex("nosuch"), lambda: socket.if_indextoname(7)):
        try:
            print(attempt())
        except OSError as error:
            print(error)


class Interface(ctypes.Structure):
    pass


Interface._fields_ = [("next", ctypes.POINTER(Interface)), ("name", ctypes.c_char_p), ("flags", ctypes.c_uint),
                      ("address", ctypes.POINTER(ctypes.c_ushort)), ("mask", ctypes.c_void_p),
                      ("other", ctypes.c_void_p), ("data", ctypes.c_void_p)]


def getifaddrs():
    print("--", "getifaddrs")
    first = ctypes.POINTER(Interface)()
    if libc.getifaddrs(ctypes.byref(first)) != 0:
        print(os.strerror(ctypes.get_errno()))
        return
    entry = first
    while entry:
        address = entry.contents.address
        print(entry.contents.name, hex(entry.contents.flags), address[0] if address else None)
        entry = entry.contents.next
    libc.freeifaddrs(first)


def raise_loopback():
    SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
    import fcntl
    import struct
    any_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    request = bytearray(struct.pack("16sh22x", b"lo", 0))
    fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
    print("flags", hex(struct.unpack_from("H", request, 16)[0]))
    struct.pack_into("H", request, 16, struct.unpack_from("H", request, 16)[0] | 1)
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)
    fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
    print("flags", hex(struct.unpack_from("H", request, 16)[0]))


def sockets():
    """What the tables tell of sockets, but for what differs each time: numbers of rows and inodes."""
    listener = socket.create_server(("127.0.0.1", 8080), backlog=5)
    client = socket.socket()
    client.bind(("127.0.0.1", 9999))
    client.connect(("127.0.0.1", 8080))
    server, _ = listener.accept()
    server.send(b"hello")
    dual = socket.socket(socket.AF_INET6)
    dual.bind(("::", 8081))
    dual.listen()
    unconnected = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    unconnected.bind(("127.0.0.1", 5353))
    connected = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    connected.bind(("::1", 5354))
    connected.connect(("::1", 5355))
    for name in ["tcp", "tcp6", "udp", "udp6"]:
        print("--", name)
        rows = [line.split() for line in open("/proc/net/" + name)][1:]
        for row in sorted(row[1:5] + row[7:9] for row in rows):
            print(*row)
    for file in (listener, client, server, dual, unconnected, connected):
        file.close()


if libc.unshare(CLONE_NEWNET) != 0:
    raise OSError(ctypes.get_errno(), "unshare")
show("/proc/net/if_inet6")
libraries()
getifaddrs()
raise_loopback()
getifaddrs()
tables()
sockets()
settings()
