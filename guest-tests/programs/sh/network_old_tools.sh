# The programs from before iproute2: route, arp and ifconfig ask by ioctl(2), and bridges show themselves in sysfs.
unshare -mn /bin/bash -s <<'SCRIPT' 2>&1
export LC_ALL=C
norm() {
  sed -E 's/([0-9a-f]{2}:){5}[0-9a-f]{2}/MAC/g; s/8000\.[0-9a-f]{12}/8000.MAC/g'
}
say() {
  echo "-- $*"
  "$@" 2>&1 </dev/null | norm
  echo "= ${PIPESTATUS[0]}"
}
mount -t sysfs none /sys
ip link set lo up
ip link add v0 type veth peer name v1
say ifconfig v0 10.9.0.1/24 up
ip link set v1 up
echo "-- routes"
say route add -net 11.0.0.0/8 dev v0
say route add -net 11.0.0.0/8 dev v0
say route add -host 12.1.1.1 dev v0
say route add default gw 10.9.0.7
say route add -net 13.0.0.0 netmask 255.0.0.0 gw 99.9.9.9
say route add -net 13.0.0.0/8 gw 10.9.0.8 metric 5
say route add -net 14.0.0.0/8 reject
say route add -net 15.0.0.1 netmask 255.0.0.0 dev v0
say route add -net 15.0.0.0/8 dev nothing
say route -n
say ip route
say route del -net 11.0.0.0/8
say route del -net 11.0.0.0/8
say route del default
say route del -net 14.0.0.0/8 reject
say route -n
say route -A inet6 add fd00:1::/32 dev v0
say route -A inet6 add fd00:1::/32 dev v0
say ip -6 route show fd00:1::/32
say route -A inet6 del fd00:1::/32 dev v0
say route -A inet6 del fd00:1::/32 dev v0
echo "-- neighbours"
say arp -i v0 -s 10.9.0.5 00:11:22:33:44:55
say arp -s 10.9.0.6 00:11:22:33:44:66 temp
say arp -s 127.0.0.9 00:11:22:33:44:66
say arp -an 10.9.0.5
say ip neigh show 10.9.0.6
say arp -i v0 -d 10.9.0.5
say arp -i v0 -d 10.9.0.77
echo "-- bridges"
ip link add br0 type bridge
ip link set v0 master br0
say cat /sys/class/net/br0/bridge/bridge_id /sys/class/net/br0/bridge/forward_delay /sys/class/net/v0/brport/port_no
say ls /sys/class/net/br0/brif
say ls /sys/class/net/br0/bridge
say readlink /sys/class/net/br0/brif/v0 /sys/class/net/v0/master /sys/class/net/v0/upper_br0 /sys/class/net/br0/lower_v0 /sys/class/net/v0/brport/bridge
say ls -d /sys/class/net/v1/brport /sys/class/net/v1/bridge
ip link set v0 nomaster
say ls /sys/class/net/br0/brif
say ls -d /sys/class/net/v0/master
echo "-- lists"
say ip netconf show dev v0
say ip addrlabel
say ip nexthop
say tc qdisc show dev br0
say tc qdisc del dev v0 root
say tc class show dev v0
say tc filter show dev v0
say bridge mdb
SCRIPT
