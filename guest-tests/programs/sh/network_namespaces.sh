# Namespaces that talk to each other: through a cable, a bridge and a router, by TCP, UDP and ICMP of both families.
# timeout: 90
unshare -mn /bin/bash -s <<'SCRIPT' 2>&1
export LC_ALL=C
norm() {
  sed -E 's/([0-9a-f]{2}:){5}[0-9a-f]{2}/MAC/g; s/fe80::[0-9a-f:]+/fe80::X/g; s/valid_lft.*//; s/ router / /; s/ tentative / /'
}
say() {
  echo "-- $*"
  "$@" 2>&1 </dev/null | norm
  echo "= ${PIPESTATUS[0]}"
}
mount -t tmpfs none /run
cat >/run/talk.py <<'PYTHON'
import errno, socket, struct, sys, threading

def guarded(work):
    try:
        return work()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))

def serve(until):
    """A TCP server that counts, and a UDP server that echoes, until so many connections have come."""
    tcp = socket.create_server(("", 5000), family=socket.AF_INET6, dualstack_ipv6=True)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.bind(("", 5001))
    def echo():
        while True:
            data, sender = udp.recvfrom(2000)
            udp.sendto(b"echo " + data, sender)
    threading.Thread(target=echo, daemon=True).start()
    print("serving", flush=True)
    for _ in range(until):
        connection, peer = tcp.accept()
        count = 0
        while data := connection.recv(65536):
            count += len(data)
        connection.sendall(b"%d from %s" % (count, peer[0].encode()))
        connection.close()

def stream(host):
    with socket.create_connection((host, 5000), timeout=5) as client:
        mss = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        ends = client.getsockname()[0], client.getpeername()[0], mss
        client.sendall(bytes(500_000))
        client.shutdown(socket.SHUT_WR)
        return client.recv(100), *ends

def datagram(host, wants_errors=True, port=5001):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        if wants_errors:
            level, option = (socket.IPPROTO_IPV6, 25) if ":" in host else (socket.IPPROTO_IP, 11)
            client.setsockopt(level, option, 1)
        client.connect((host, port))
        client.send(b"hello")
        return client.recv(100)

def ping(host, hops=64):
    """The answer to an echo: its type, its code and who sent it."""
    is_v6 = ":" in host
    family, protocol = (socket.AF_INET6, 58) if is_v6 else (socket.AF_INET, 1)
    with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
        raw.settimeout(5)
        option = (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if is_v6 else (socket.IPPROTO_IP, socket.IP_TTL)
        raw.setsockopt(*option, hops)
        echo = struct.pack("!BBHHH", 128 if is_v6 else 8, 0, 0, 77, 1)
        if not is_v6:
            total = sum(struct.unpack("!4H", echo))
            echo = struct.pack("!BBHHH", 8, 0, ~(total + (total >> 16)) & 0xffff, 77, 1)
        raw.sendto(echo, (host, 0))
        while True:
            packet, sender = raw.recvfrom(2000)
            message = packet if is_v6 else packet[20:]
            if message[0] in ((129, 1, 3) if is_v6 else (0, 3, 11)):
                return message[0], message[1], sender[0], None if is_v6 else packet[8]

def shout(group, device):
    """What is sent to many is heard by all who listen at port 5001."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        client.sendto(b"all", (group, 5001))
        return sorted(client.recvfrom(100) for _ in range(2))

name, *arguments = sys.argv[1:]
arguments = [int(argument) if argument.isdigit() else argument for argument in arguments]
print(name, *arguments, guarded(lambda: globals()[name](*arguments)))
PYTHON
talk() {
  ip netns exec "$1" /usr/bin/python3 /run/talk.py "${@:2}"
}
serve() {
  mkfifo /run/$1.serving
  exec 9<>/run/$1.serving
  talk $1 serve $2 >&9 &
  read line <&9
}
echo "-- a router between two"
for name in a b r; do say ip netns add $name; done
say ip netns add a
say ip link add va netns a type veth peer name ra netns r
say ip link add vb type veth peer name rb
say ip link set vb netns b
say ip link set rb netns r
say ip link set rb netns r
say ip -n a link set lo name va
for link in a:lo b:lo r:lo a:va b:vb r:ra r:rb; do ip -n ${link%:*} link set ${link#*:} up; done
say ip -n a addr add 10.0.1.2/24 dev va
say ip -n b addr add 10.0.2.2/24 dev vb
say ip -n r addr add 10.0.1.1/24 dev ra
say ip -n r addr add 10.0.2.1/24 dev rb
for address in a:fd01::2/64:va r:fd01::1/64:ra r:fd02::1/64:rb b:fd02::2/64:vb; do
  ip -n ${address%%:*} -6 addr add $(sed 's/^.://; s/:[a-z]*$//' <<<$address) dev ${address##*:} nodad
done
say ip -n a route add default via 10.0.1.1
say ip -n b route add default via 10.0.2.1
say ip -n a -6 route add default via fd01::1
say ip -n b -6 route add default via fd02::1
say ip -n b route add default via 10.0.9.1
sleep 2
say ip -n a addr show va
say ip -n r link show
say ip -n a route get 10.0.2.2
say ip -n a route get 10.0.1.2
serve b 3
say talk a ping 10.0.1.1
say talk a ping fd01::1
say ip netns exec r sh -c 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/ra/forwarding'
ip netns exec r sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
say ip netns exec r sh -c 'cat /proc/sys/net/ipv4/conf/ra/forwarding'
say talk a ping 10.0.2.2
say talk a ping fd02::2
say talk a ping 10.0.2.2 1
say talk a ping 10.0.3.1
say talk a ping 10.0.2.9
say talk a stream 10.0.2.2
say talk a stream fd02::2
say talk a datagram 10.0.2.2
say talk a datagram fd02::2
say talk a datagram 10.0.2.2 1 5009
say talk a datagram 10.0.2.2 0 5009
say talk a datagram 10.0.3.1
ip -n r route add prohibit 10.0.4.0/24
say talk a datagram 10.0.4.1
say talk a stream 10.0.2.1
say talk a stream 10.0.1.77
say ip -n a neigh show 10.0.1.1
say ip -n a neigh show 10.0.1.77
say talk b stream 10.0.2.2
wait
say ip netns del b
sleep 0.5
say ip -n r link show
echo "-- a bridge between three"
ip link add br0 type bridge
ip addr add 10.1.0.1/24 dev br0
ip link set br0 up
for number in 2 3 4; do
  ip netns add n$number
  ip link add p$number type veth peer name eth0 netns n$number
  ip link set p$number master br0
  ip link set p$number up
  ip -n n$number link set lo up
  ip -n n$number link set eth0 up
  ip -n n$number addr add 10.1.0.$number/24 brd + dev eth0
done
serve n3 1
serve n4 1
say talk n2 ping 10.1.0.3
say talk n2 ping 10.1.0.1
say /usr/bin/python3 /run/talk.py ping 10.1.0.4
say talk n2 datagram 10.1.0.3
say talk n2 shout 10.1.0.255 eth0
ip link set p3 nomaster
ip -n n2 neigh flush all
say talk n2 ping 10.1.0.3
ip link set p3 master br0
say talk n2 stream 10.1.0.3
ip link set p4 down
say ip -n n4 link show eth0
say talk n2 stream 10.1.0.4
ip link set p4 up
say talk n2 stream 10.1.0.4
wait
say ip link show master br0
SCRIPT
