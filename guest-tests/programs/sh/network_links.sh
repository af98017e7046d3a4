# Links that iproute2 makes: cables and bridges, up and down, their names, ports, carriers, addresses and routes.
unshare -mn /bin/bash -s <<'SCRIPT' 2>&1
export LC_ALL=C
norm() {
  sed -E 's/([0-9a-f]{2}:){5}[0-9a-f]{2}/MAC/g; s/fe80::[0-9a-f:]+/fe80::X/g; s/valid_lft.*//; s/ tentative / /'
}
say() {
  echo "-- $*"
  "$@" 2>&1 </dev/null | norm
  echo "= ${PIPESTATUS[0]}"
}
mount -t sysfs none /sys
say ip link add v0 type veth peer name v1
say ip link
say ip link add v0 type veth
say ip link add type veth
say ip link show type veth
say ip link del veth0
say ip link show
say ip link set v0 up
say ip link show v0
say ip addr show v0
say ip addr add 10.1.0.1/24 dev v0
say ip route show table all | sort
say ip link set v1 up
sleep 2
say ip addr
say ip route show table all | sort
say ip -6 route show table all | sort
say ip link set v1 down
say ip link
say ip route
say ip link del v1
say ip link
say ip route show table all | sort
say ip link add br0 type bridge
say ip link set br0 up
say ip link show br0
say ip link add v0 type veth peer name v1
say ip link set v1 master br0
say ip link show v1
say ip link show master br0
say bridge link
say ip link set v1 up
say ip link set v0 up
sleep 1
say ip link show
say cat /sys/class/net/v0/operstate /sys/class/net/v0/carrier /sys/class/net/v0/address /sys/class/net/v0/type /sys/class/net/v0/mtu
say ls /sys/class/net
say ip link set v1 nomaster
say ip link del br0
say ip link set v0 name foo
say ip link set v0 down
say ip link set foo name bar
say ip link set lo netns 1
say ip link add dev x type nosuch
say ip link set v1 master nosuch
say ip link set v1 master lo
say ip link add lo type veth
say ip link add name with/slash type veth
say ip link add p0 mtu 1400 type veth peer name p1 mtu 1300
say ip link show type veth
say ip link set p0 mtu 10
say ip link set p0 address 02:00:00:00:00:01
say ip link set p0 alias hello
say ip link show p0
say ip link set p0 master p1
SCRIPT
