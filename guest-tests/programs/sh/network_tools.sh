# iproute2 in a new network namespace: what they show of it, what they change, what they are refused.
unshare -n /bin/bash -s <<'SCRIPT' 2>&1
echo "-- down"
ip addr
ip route show table all
ip rule
ip -6 rule
ip route get 127.0.0.1
echo "-- up"
ip link set lo up
ip addr
ip -s link
ip route show table all
ip -6 route show table all
for destination in 127.3.3.3 8.8.8.8 224.0.0.1 ::1 2001::1; do ip route get $destination; done
echo "-- addresses"
ip addr add 10.0.0.1/24 dev lo
ip addr add 10.0.0.2/24 dev lo
ip addr add 10.0.0.2/24 dev lo
ip addr add 192.168.7.1/32 dev lo label lo:home
ip -6 addr add fd00::1/64 dev lo nodad
ip addr
ip -4 addr show label lo:home
ip route show table all
ip addr del 10.0.0.1/24 dev lo
ip addr del 10.0.0.1/24 dev lo
ip -br addr
echo "-- routes"
ip route add 1.2.3.0/24 dev lo
ip route add 1.2.3.0/24 dev lo
ip route add default via 1.2.3.4
ip route add default via 9.9.9.9 metric 5
ip route add unreachable 9.0.0.0/8
ip route add prohibit 9.2.0.0/16
ip route add 7.0.0.0/8 dev lo table 42
ip route
ip route show table 42
ip route show default
for destination in 1.2.3.9 9.1.1.1 9.2.1.1 6.6.6.6; do ip route get $destination; done
ip route del 1.2.3.0/24
ip route del 1.2.3.0/24
ip -6 route add 2001:db8::/32 dev lo
ip -6 route
ip rule add from 1.2.3.4 table 7
ip rule
ip rule del table 7
ip rule del table 9
cat /proc/net/route
echo "-- links"
ip link set lo mtu 1500 txqueuelen 5 alias "a loopback"
ip link show lo
ip link del lo
ip link set dev nosuch up
ip link add foo type nosuch
ip link set lo name other
ip link show
ip link set other name lo
ip link set lo down
ip addr
ip neigh add 10.0.0.9 lladdr 02:00:00:00:00:01 dev lo
ip link set lo up
SCRIPT
