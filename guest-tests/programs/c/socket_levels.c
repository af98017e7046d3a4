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

int main(void) {
  levels();
  numbers();
  making();
  puts("ok");
}
