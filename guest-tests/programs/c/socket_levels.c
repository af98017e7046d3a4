// Options of levels and numbers that there are not, and what is said first of a wrong socket(2).
#include "inet.h"
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

enum { NO_LEVEL = 300, NO_OPTION = 99, NO_TYPE = 7, NO_FAMILY = 100 };

static void *const kernel = (void *)0xffff800000001000;

// Both calls on a level that the socket has not, with values and lengths that nobody looks at.
static void unknown_level(int family, int type, int protocol, int set, int get) {
  int fd = socket(family, type, protocol), value = 0;
  CHECK(fd >= 0);
  static const int levels[] = {-1, 2, 5, 132, NO_LEVEL};
  for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
    CHECK_ERRNO(setsockopt(fd, levels[i], 1, &value, sizeof value), set);
    CHECK_ERRNO(setsockopt(fd, levels[i], 1, kernel, sizeof value), set);
    CHECK_ERRNO(setsockopt(fd, levels[i], 1, NULL, 0), set);
    CHECK_ERRNO(setsockopt(fd, levels[i], 1, &value, -1), EINVAL);
    CHECK_ERRNO(getsockopt(fd, levels[i], 1, kernel, &(socklen_t){sizeof value}), get);
    CHECK_ERRNO(getsockopt(fd, levels[i], 1, &value, &(socklen_t){-1}), get);
    CHECK_ERRNO(getsockopt(fd, levels[i], 1, &value, kernel), get);
  }
  close(fd);
}

static void levels(void) {
  static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
  for (int i = 0; i < 2; i++) {
    unknown_level(AF_UNIX, types[i], 0, EOPNOTSUPP, EOPNOTSUPP);
    unknown_level(AF_INET, types[i], 0, ENOPROTOOPT, EOPNOTSUPP);
    unknown_level(AF_INET6, types[i], 0, ENOPROTOOPT, ENOPROTOOPT);
  }
  unknown_level(AF_UNIX, SOCK_SEQPACKET, 0, EOPNOTSUPP, EOPNOTSUPP);
  unknown_level(AF_INET, SOCK_RAW, IPPROTO_ICMP, ENOPROTOOPT, EOPNOTSUPP);
  unknown_level(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6, ENOPROTOOPT, ENOPROTOOPT);
  unknown_level(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, ENOPROTOOPT, ENOPROTOOPT);
}

// The number is looked at before the value; in what order with the length is each level's own.
static void numbers(void) {
  int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET6, SOCK_DGRAM, 0), value = 0;
  CHECK_ERRNO(setsockopt(tcp, IPPROTO_IP, NO_OPTION, kernel, sizeof value), ENOPROTOOPT);
  CHECK_ERRNO(setsockopt(tcp, IPPROTO_IP, IP_MTU, kernel, sizeof value), ENOPROTOOPT);
  CHECK_ERRNO(setsockopt(udp, IPPROTO_IPV6, NO_OPTION, kernel, sizeof value), EFAULT);
  CHECK_ERRNO(setsockopt(udp, IPPROTO_IPV6, NO_OPTION, NULL, 0), ENOPROTOOPT);
  CHECK_ERRNO(setsockopt(tcp, IPPROTO_TCP, NO_OPTION, kernel, sizeof value), EFAULT);
  CHECK_ERRNO(setsockopt(tcp, IPPROTO_TCP, NO_OPTION, &value, 1), EINVAL);
  CHECK_ERRNO(setsockopt(tcp, IPPROTO_TCP, NO_OPTION, &value, sizeof value), ENOPROTOOPT);
  CHECK_ERRNO(setsockopt(tcp, IPPROTO_IPV6, IPV6_V6ONLY, &value, sizeof value), ENOPROTOOPT);
  CHECK_ERRNO(getsockopt(tcp, IPPROTO_IPV6, IPV6_V6ONLY, &value, &(socklen_t){4}), EOPNOTSUPP);
  CHECK_ERRNO(getsockopt(tcp, IPPROTO_IP, NO_OPTION, &value, &(socklen_t){-1}), EINVAL);
  CHECK_ERRNO(getsockopt(udp, IPPROTO_IPV6, NO_OPTION, &value, &(socklen_t){-1}), ENOPROTOOPT);
  CHECK_ERRNO(getsockopt(tcp, IPPROTO_TCP, NO_OPTION, &value, &(socklen_t){-1}), EINVAL);
  // To IPv6 no value is zero.
  value = 1;
  CHECK_EQ(setsockopt(udp, IPPROTO_IPV6, IPV6_RECVTCLASS, &value, sizeof value), 0);
  CHECK_EQ(setsockopt(udp, IPPROTO_IPV6, IPV6_RECVTCLASS, NULL, sizeof value), 0);
  CHECK_EQ(getsockopt(udp, IPPROTO_IPV6, IPV6_RECVTCLASS, &value, &(socklen_t){4}), 0);
  CHECK_EQ(value, 0);
  close(tcp);
  close(udp);
}

static void making(void) {
  int pair[2];
  CHECK_ERRNO(socket(AF_UNIX, NO_TYPE, 9), EPROTONOSUPPORT);
  CHECK_ERRNO(socket(AF_UNIX, NO_TYPE, 0), ESOCKTNOSUPPORT);
  CHECK_ERRNO(socketpair(AF_UNIX, NO_TYPE, 9, pair), EPROTONOSUPPORT);
  CHECK_ERRNO(socket(AF_INET, NO_TYPE, 300), EINVAL);
  CHECK_ERRNO(socket(AF_INET, NO_TYPE, 9), ESOCKTNOSUPPORT);
  CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
  CHECK_ERRNO(socket(AF_NETLINK, SOCK_STREAM, 200), ESOCKTNOSUPPORT);
  CHECK_ERRNO(socket(AF_NETLINK, SOCK_RAW, 200), EPROTONOSUPPORT);
  // A family that could be comes before the type, and the type before one that is not there.
  CHECK_ERRNO(socket(NO_FAMILY, 15, 0), EAFNOSUPPORT);
  CHECK_ERRNO(socket(AF_UNSPEC, 15, 0), EINVAL);
  CHECK_ERRNO(socket(AF_UNSPEC, NO_TYPE, 0), EAFNOSUPPORT);
  CHECK_ERRNO(socket(NO_FAMILY, SOCK_STREAM | 0x100, 0), EINVAL);
  // A socket is made before it turns out that two cannot be connected.
  CHECK_ERRNO(socketpair(AF_INET, SOCK_STREAM, 0, pair), EOPNOTSUPP);
  CHECK_ERRNO(socketpair(AF_INET, SOCK_STREAM, IPPROTO_UDP, pair), EPROTONOSUPPORT);
  CHECK_ERRNO(socketpair(AF_INET, NO_TYPE, 300, pair), EINVAL);
  CHECK_ERRNO(socketpair(AF_NETLINK, SOCK_STREAM, 0, pair), ESOCKTNOSUPPORT);
  CHECK_ERRNO(socketpair(NO_FAMILY, 15, 0, NULL), EFAULT);
}

static int make(int family, int type, int protocol) { return OK(socket(family, type | SOCK_CLOEXEC, protocol)); }

// Values of the socket level that change with others, or with what the socket is.
static void socket_values(void) {
  int tcp = make(AF_INET, SOCK_STREAM, 0), udp = make(AF_INET, SOCK_DGRAM, 0);
  struct linger linger = {1, 7};
  OK(setsockopt(tcp, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  linger = (struct linger){0, 0};
  OK(setsockopt(tcp, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  OK(getsockopt(tcp, SOL_SOCKET, SO_LINGER, &linger, &(socklen_t){sizeof linger}));
  CHECK(linger.l_onoff == 0 && linger.l_linger == 7);
  unsigned long rate[3] = {0x123456789, 1, 1}, told = 0;
  OK(setsockopt(udp, SOL_SOCKET, SO_MAX_PACING_RATE, rate, sizeof rate));
  OK(getsockopt(udp, SOL_SOCKET, SO_MAX_PACING_RATE, &told, &(socklen_t){sizeof told}));
  CHECK_EQ(told, rate[0]);
  // What a connection sends can be numbered, and there is none.
  CHECK_ERRNO(set_option(tcp, SOL_SOCKET, SO_TIMESTAMPING, 1 << 7), EINVAL);
  OK(set_option(udp, SOL_SOCKET, SO_TIMESTAMPING, 1 << 7));
  OK(set_option(tcp, SOL_SOCKET, SO_RCVBUF, 65536));
  OK(set_option(tcp, SOL_SOCKET, SO_RCVLOWAT, INT_MAX));
  CHECK_EQ(option_of(tcp, SOL_SOCKET, SO_RCVLOWAT), 65536);
  OK(close(tcp));
  OK(close(udp));
}

// IP_PROTOCOL is the protocol of a raw socket alone; others have a port there.
static void ip_values(void) {
  enum { IP_PROTOCOL_OPTION = 52 };
  int udp = make(AF_INET, SOCK_DGRAM, 0), raw = make(AF_INET, SOCK_RAW, IPPROTO_ICMP), whole = make(AF_INET, SOCK_RAW, IPPROTO_RAW);
  CHECK_EQ(option_of(udp, SOL_IP, IP_PROTOCOL_OPTION), 0);
  OK(bind_to(udp, at("127.0.0.1", 0)));
  CHECK_EQ(option_of(udp, SOL_IP, IP_PROTOCOL_OPTION), port_of(own_name(udp)));
  CHECK_EQ(option_of(raw, SOL_IP, IP_PROTOCOL_OPTION), IPPROTO_ICMP);
  CHECK_EQ(option_of(whole, SOL_IP, IP_HDRINCL), 1);
  OK(set_option(whole, SOL_IP, IP_HDRINCL, 0));
  CHECK_EQ(option_of(whole, SOL_IP, IP_HDRINCL), 0);
  unsigned char options[8] = {0, 1, 1, 1}, told[8] = {9};
  socklen_t length = sizeof told;
  OK(setsockopt(udp, SOL_IP, IP_OPTIONS, options, 4));
  OK(getsockopt(udp, SOL_IP, IP_OPTIONS, told, &length));
  CHECK_EQ(length, 4);
  CHECK(memcmp(told, "\0\0\0\0", 4) == 0);
  OK(close(udp));
  OK(close(raw));
  OK(close(whole));
}

static void ipv6_values(void) {
  int udp = make(AF_INET6, SOCK_DGRAM, 0), tcp = make(AF_INET6, SOCK_STREAM, 0), other = make(AF_INET6, SOCK_DGRAM, 0), value = 0;
  CHECK_EQ(option_of(udp, IPPROTO_IP, IP_MULTICAST_ALL), 0);
  CHECK_ERRNO(getsockopt(udp, IPPROTO_IPV6, IPV6_ADDRFORM, &value, &(socklen_t){4}), ENOTCONN);
  struct ip6_mtuinfo information;
  CHECK_ERRNO(getsockopt(udp, IPPROTO_IPV6, IPV6_PATHMTU, &information, &(socklen_t){sizeof information - 1}), EINVAL);
  CHECK_ERRNO(getsockopt(udp, IPPROTO_IPV6, IPV6_PATHMTU, &information, &(socklen_t){sizeof information}), ENOTCONN);
  // One with an address has nothing to do with IPv4.
  OK(set_option(udp, IPPROTO_IPV6, IPV6_V6ONLY, 0));
  OK(bind_to(udp, at("::1", 0)));
  CHECK_EQ(option_of(udp, IPPROTO_IPV6, IPV6_V6ONLY), 1);
  OK(set_option(other, IPPROTO_IPV6, IPV6_V6ONLY, 0));
  OK(bind_to(other, at("::", 0)));
  CHECK_EQ(option_of(other, IPPROTO_IPV6, IPV6_V6ONLY), 0);
  OK(connect_to(other, own_name(udp)));
  CHECK_EQ(option_of(other, IPPROTO_IPV6, IPV6_ADDRFORM), AF_INET6);
  OK(getsockopt(other, IPPROTO_IPV6, IPV6_PATHMTU, &information, &(socklen_t){sizeof information}));
  CHECK_EQ(information.ip6m_mtu, 65536);
  socklen_t length = -1;
  OK(getsockopt(udp, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &value, &length));
  CHECK_EQ(value, 64);
  CHECK_EQ(length, 4);
  OK(set_option(udp, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 7));
  CHECK_EQ(option_of(udp, IPPROTO_IPV6, IPV6_MULTICAST_ALL), 1);
  CHECK_EQ(option_of(udp, IPPROTO_IPV6, IPV6_ROUTER_ALERT), 0);
  CHECK_ERRNO(set_option(udp, IPPROTO_IPV6, IPV6_ROUTER_ALERT, 1), ENOPROTOOPT);
  CHECK_ERRNO(setsockopt(udp, IPPROTO_IPV6, NO_OPTION, &value, 1), ENOPROTOOPT);
  OK(setsockopt(udp, IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, &value, 1));
  OK(set_option(tcp, IPPROTO_IPV6, IPV6_TCLASS, 0xff));
  CHECK_EQ(option_of(tcp, IPPROTO_IPV6, IPV6_TCLASS), 0xfc);
  length = 9;
  OK(getsockopt(tcp, IPPROTO_IPV6, IPV6_2292PKTOPTIONS, &value, &length));
  CHECK_EQ(length, 0);
  OK(close(udp));
  OK(close(tcp));
  OK(close(other));
}

// Headers that stay with a socket of IPv6, told as they were set.
static void ipv6_headers(void) {
  static const int places[] = {IPV6_HOPOPTS, IPV6_RTHDRDSTOPTS, IPV6_DSTOPTS};
  int one = make(AF_INET6, SOCK_DGRAM, 0);
  unsigned char header[24] = {59, 1, 1, 12}, told[64];
  for (size_t i = 0; i < COUNT(places); i++) {
    socklen_t length = sizeof told;
    OK(getsockopt(one, IPPROTO_IPV6, places[i], told, &length));
    CHECK_EQ(length, 0);
    OK(setsockopt(one, IPPROTO_IPV6, places[i], header, 24));
    length = sizeof told;
    OK(getsockopt(one, IPPROTO_IPV6, places[i], told, &length));
    CHECK_EQ(length, 16);
    CHECK(memcmp(told, header, 16) == 0);
    CHECK_ERRNO(setsockopt(one, IPPROTO_IPV6, places[i], header, 8), EINVAL);
    CHECK_ERRNO(setsockopt(one, IPPROTO_IPV6, places[i], header, 17), EINVAL);
    OK(setsockopt(one, IPPROTO_IPV6, places[i], NULL, 0));
    length = sizeof told;
    OK(getsockopt(one, IPPROTO_IPV6, places[i], told, &length));
    CHECK_EQ(length, 0);
  }
  CHECK_ERRNO(setsockopt(one, IPPROTO_IPV6, IPV6_RTHDR, header, 16), EINVAL);
  struct in6_pktinfo information = {.ipi6_addr = in6addr_loopback, .ipi6_ifindex = 1};
  CHECK_ERRNO(setsockopt(one, IPPROTO_IPV6, IPV6_PKTINFO, &information, sizeof information - 1), EINVAL);
  OK(setsockopt(one, IPPROTO_IPV6, IPV6_PKTINFO, &information, sizeof information));
  OK(close(one));
}

static void raw_values(void) {
  int icmp = make(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), udp = make(AF_INET6, SOCK_RAW, IPPROTO_UDP), all = make(AF_INET6, SOCK_RAW, IPPROTO_RAW);
  CHECK_EQ(option_of(icmp, IPPROTO_IPV6, IPV6_CHECKSUM), 2);
  CHECK_EQ(option_of(icmp, SOL_RAW, IPV6_CHECKSUM), 2);
  CHECK_EQ(option_of(udp, SOL_RAW, IPV6_CHECKSUM), -1);
  CHECK_ERRNO(set_option(udp, SOL_RAW, IPV6_CHECKSUM, 3), EINVAL);
  OK(set_option(udp, SOL_RAW, IPV6_CHECKSUM, 6));
  CHECK_EQ(option_of(udp, IPPROTO_IPV6, IPV6_CHECKSUM), 6);
  CHECK_EQ(option_of(udp, IPPROTO_IPV6, IPV6_HDRINCL), 0);
  CHECK_EQ(option_of(all, IPPROTO_IPV6, IPV6_HDRINCL), 1);
  CHECK_ERRNO(set_option(udp, SOL_RAW, 1, 1), ENOPROTOOPT);
  CHECK_ERRNO(setsockopt(udp, SOL_RAW, 1, "", 1), EINVAL);
  CHECK_ERRNO(set_option(udp, IPPROTO_IPV6, IPV6_V6ONLY, 1), EINVAL);
  // The sum that is written for it: a datagram of nobody's.
  int receiver = make(AF_INET6, SOCK_RAW, IPPROTO_UDP);
  unsigned char datagram[10] = {0, 1, 0, 2, 0, 10, 0, 0, 'h', 'i'}, got[64];
  struct address where = at("::1", 0);
  OK(bind_to(receiver, where));
  CHECK_EQ(sendto(udp, datagram, sizeof datagram, 0, &where.any, where.length), sizeof datagram);
  do CHECK(recv(receiver, got, sizeof got, 0) > 0);
  while (memcmp(got, datagram, 6) != 0 || memcmp(got + 8, "hi", 2) != 0);
  // Of the addresses (1 and 1), the length twice, the protocol, the ports and the text.
  unsigned sum = 1 + 1 + 10 + 10 + IPPROTO_UDP + 1 + 2 + ('h' << 8 | 'i');
  CHECK_EQ(got[6] << 8 | got[7], ~sum & 0xffff);
  CHECK_ERRNO(sendto(udp, datagram, 6, 0, &where.any, where.length), EINVAL);
  OK(close(icmp));
  OK(close(udp));
  OK(close(all));
  OK(close(receiver));
}

static void tcp_values(void) {
  int one = make(AF_INET, SOCK_STREAM, 0), ends[2];
  OK(set_option(one, IPPROTO_TCP, TCP_LINGER2, 7));
  OK(set_option(one, IPPROTO_TCP, TCP_LINGER2, 0));
  CHECK_EQ(option_of(one, IPPROTO_TCP, TCP_LINGER2), 60);
  OK(set_option(one, IPPROTO_TCP, TCP_SAVE_SYN, 2));
  CHECK_EQ(option_of(one, IPPROTO_TCP, TCP_SAVE_SYN), 2);
  OK(set_option(one, IPPROTO_TCP, TCP_FASTOPEN, INT_MAX));
  CHECK(option_of(one, IPPROTO_TCP, TCP_FASTOPEN) < INT_MAX);
  unsigned char key[32] = {1, 2, 3}, told[32];
  socklen_t length = sizeof told;
  CHECK_ERRNO(setsockopt(one, IPPROTO_TCP, TCP_FASTOPEN_KEY, key, 15), EINVAL);
  OK(setsockopt(one, IPPROTO_TCP, TCP_FASTOPEN_KEY, key, 16));
  OK(getsockopt(one, IPPROTO_TCP, TCP_FASTOPEN_KEY, told, &length));
  CHECK_EQ(length, 16);
  CHECK(memcmp(told, key, 16) == 0);
  make_connection("127.0.0.1", ends);
  static const struct {
    int option, value, error;
  } late[] = {{TCP_FASTOPEN, 1, EINVAL}, {TCP_FASTOPEN_CONNECT, 1, EINVAL}, {TCP_FASTOPEN_NO_COOKIE, 1, EINVAL}, {TCP_WINDOW_CLAMP, 0, EINVAL}, {TCP_QUEUE_SEQ, 0, EPERM}};
  for (size_t i = 0; i < COUNT(late); i++) {
    CHECK_CASE(set_option(ends[0], IPPROTO_TCP, late[i].option, late[i].value) == -1, "%d", late[i].option);
    CHECK_CASE(errno == late[i].error, "%d", late[i].option);
  }
  OK(set_option(ends[0], SOL_SOCKET, SO_TIMESTAMPING, 1 << 7));
  OK(close(one));
  OK(close(ends[0]));
  OK(close(ends[1]));
}

static void memberships(void) {
  int one = make(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  unsigned groups[8];
  socklen_t length = sizeof groups;
  OK(getsockopt(one, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &length));
  CHECK_EQ(length, 0);
  OK(set_option(one, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, 1));
  length = sizeof groups;
  OK(getsockopt(one, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &length));
  CHECK(length >= 4 && groups[0] == 1);
  OK(close(one));
}

int main(void) {
  socket_values();
  ip_values();
  ipv6_values();
  ipv6_headers();
  raw_values();
  tcp_values();
  memberships();
  levels();
  numbers();
  making();
  puts("ok");
}
