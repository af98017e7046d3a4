// Multicast and broadcast on the loopback: joining and leaving, sources, who hears what.
#include "inet.h"
#include <sys/time.h>

static struct in_addr address_of(const char *text) { return (struct in_addr){inet_addr(text)}; }

static int make(void) {
  int one = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  OK(bind_to(one, at("0.0.0.0", 0)));
  return one;
}

// A sender to groups on the loopback.
static int make_sender(void) {
  int one = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  struct in_addr loopback = address_of("127.0.0.1");
  OK(setsockopt(one, SOL_IP, IP_MULTICAST_IF, &loopback, sizeof loopback));
  return one;
}

static int join(int socket, int option, const char *group, const char *interface) {
  struct ip_mreq request = {address_of(group), address_of(interface)};
  return setsockopt(socket, SOL_IP, option, &request, sizeof request);
}

static int source(int socket, int option, const char *group, const char *from) {
  struct ip_mreq_source request = {.imr_multiaddr = address_of(group), .imr_interface = address_of("127.0.0.1"), .imr_sourceaddr = address_of(from)};
  return setsockopt(socket, SOL_IP, option, &request, sizeof request);
}

static int hears(int sender, int receiver, const char *group) {
  struct address where = at(group, port_of(own_name(receiver)));
  OK(sendto(sender, "x", 1, 0, &where.any, where.length));
  char byte;
  return recv(receiver, &byte, 1, MSG_DONTWAIT) == 1;
}

static void members(void) {
  int one = make(), other = make(), sender = make_sender();
  CHECK(!hears(sender, one, "224.0.2.1"));
  CHECK(hears(sender, one, "224.0.0.1"));
  OK(join(one, IP_ADD_MEMBERSHIP, "224.0.2.1", "127.0.0.1"));
  CHECK_ERRNO(join(one, IP_ADD_MEMBERSHIP, "224.0.2.1", "127.0.0.1"), EADDRINUSE);
  CHECK_ERRNO(join(one, IP_ADD_MEMBERSHIP, "10.0.2.1", "127.0.0.1"), EINVAL);
  CHECK_ERRNO(join(one, IP_ADD_MEMBERSHIP, "224.0.2.2", "10.9.9.9"), ENODEV);
  CHECK_ERRNO(join(one, IP_DROP_MEMBERSHIP, "224.0.2.2", "127.0.0.1"), EADDRNOTAVAIL);
  CHECK(hears(sender, one, "224.0.2.1"));
  // Somebody has joined it: others hear it too, unless they asked not to.
  CHECK(hears(sender, other, "224.0.2.1"));
  OK(set_option(other, SOL_IP, IP_MULTICAST_ALL, 0));
  CHECK(!hears(sender, other, "224.0.2.1"));
  OK(join(one, IP_DROP_MEMBERSHIP, "224.0.2.1", "127.0.0.1"));
  CHECK(!hears(sender, one, "224.0.2.1"));
  // What leaves with the socket.
  OK(join(other, IP_ADD_MEMBERSHIP, "224.0.2.1", "127.0.0.1"));
  CHECK(hears(sender, one, "224.0.2.1"));
  OK(close(other));
  CHECK(!hears(sender, one, "224.0.2.1"));
  for (int i = 0; i < 20; i++) {
    char group[32];
    snprintf(group, sizeof group, "224.0.3.%d", i);
    OK(join(one, IP_ADD_MEMBERSHIP, group, "127.0.0.1"));
  }
  CHECK_ERRNO(join(one, IP_ADD_MEMBERSHIP, "224.0.4.1", "127.0.0.1"), ENOBUFS);
  int tcp = OK(socket(AF_INET, SOCK_STREAM, 0));
  CHECK_ERRNO(join(tcp, IP_ADD_MEMBERSHIP, "224.0.4.1", "127.0.0.1"), EPROTO);
  // The newer options mind no connections.
  OK(source(tcp, IP_ADD_SOURCE_MEMBERSHIP, "224.0.4.1", "127.0.0.1"));
  CHECK_ERRNO(source(tcp, IP_BLOCK_SOURCE, "224.0.4.2", "127.0.0.1"), EINVAL);
  OK(close(tcp));
  OK(close(one));
  OK(close(sender));
}

static void sources(void) {
  int one = make(), sender = make_sender();
  const char *group = "232.1.1.1";
  OK(source(one, IP_ADD_SOURCE_MEMBERSHIP, group, "127.0.0.9"));
  CHECK(!hears(sender, one, group));
  OK(source(one, IP_ADD_SOURCE_MEMBERSHIP, group, "127.0.0.1"));
  CHECK(hears(sender, one, group));
  CHECK_ERRNO(source(one, IP_ADD_SOURCE_MEMBERSHIP, group, "127.0.0.1"), EADDRNOTAVAIL);
  CHECK_ERRNO(source(one, IP_BLOCK_SOURCE, group, "127.0.0.1"), EINVAL);
  struct {
    struct ip_msfilter head;
    struct in_addr more[4];
  } filter = {.head = {.imsf_multiaddr = address_of(group), .imsf_interface = address_of("127.0.0.1"), .imsf_numsrc = 4}};
  socklen_t length = sizeof filter;
  OK(getsockopt(one, SOL_IP, IP_MSFILTER, &filter, &length));
  CHECK_EQ(filter.head.imsf_fmode, MCAST_INCLUDE);
  CHECK_EQ(filter.head.imsf_numsrc, 2);
  CHECK_EQ(length, IP_MSFILTER_SIZE(2));
  OK(source(one, IP_DROP_SOURCE_MEMBERSHIP, group, "127.0.0.9"));
  OK(source(one, IP_DROP_SOURCE_MEMBERSHIP, group, "127.0.0.1"));
  CHECK(!hears(sender, one, group));
  CHECK_ERRNO(source(one, IP_DROP_SOURCE_MEMBERSHIP, group, "127.0.0.1"), EINVAL);
  OK(join(one, IP_ADD_MEMBERSHIP, group, "127.0.0.1"));
  OK(source(one, IP_BLOCK_SOURCE, group, "127.0.0.1"));
  CHECK(!hears(sender, one, group));
  OK(source(one, IP_UNBLOCK_SOURCE, group, "127.0.0.1"));
  CHECK(hears(sender, one, group));
  // Once sources were named the mode stays, though none is left.
  CHECK_ERRNO(source(one, IP_ADD_SOURCE_MEMBERSHIP, group, "127.0.0.1"), EINVAL);
  CHECK_ERRNO(source(one, IP_DROP_SOURCE_MEMBERSHIP, group, "127.0.0.1"), EINVAL);
  CHECK_ERRNO(source(one, IP_UNBLOCK_SOURCE, group, "127.0.0.1"), EADDRNOTAVAIL);
  OK(close(one));
  OK(close(sender));
}

// The options of RFC 3678, which are the same for both families.
static void any_family(void) {
  int one = make(), sender = make_sender();
  struct group_req request = {.gr_interface = 1};
  *(struct sockaddr_in *)&request.gr_group = at("224.0.2.7", 0).v4;
  OK(setsockopt(one, SOL_IP, MCAST_JOIN_GROUP, &request, sizeof request));
  CHECK(hears(sender, one, "224.0.2.7"));
  OK(setsockopt(one, SOL_IP, MCAST_LEAVE_GROUP, &request, sizeof request));
  CHECK(!hears(sender, one, "224.0.2.7"));
  CHECK_ERRNO(setsockopt(one, SOL_IP, MCAST_JOIN_GROUP, &request, sizeof request - 1), EINVAL);
  request.gr_interface = 4711;
  CHECK_ERRNO(setsockopt(one, SOL_IP, MCAST_JOIN_GROUP, &request, sizeof request), ENODEV);
  OK(close(one));
  OK(close(sender));
  int six = OK(socket(AF_INET6, SOCK_DGRAM, 0));
  struct ipv6_mreq six_request = {.ipv6mr_interface = 1};
  CHECK_EQ(inet_pton(AF_INET6, "ff02::1234", &six_request.ipv6mr_multiaddr), 1);
  OK(setsockopt(six, SOL_IPV6, IPV6_JOIN_GROUP, &six_request, sizeof six_request));
  CHECK_ERRNO(setsockopt(six, SOL_IPV6, IPV6_JOIN_GROUP, &six_request, sizeof six_request), EADDRINUSE);
  OK(setsockopt(six, SOL_IPV6, IPV6_LEAVE_GROUP, &six_request, sizeof six_request));
  CHECK_ERRNO(setsockopt(six, SOL_IPV6, IPV6_LEAVE_GROUP, &six_request, sizeof six_request), EADDRNOTAVAIL);
  // A filter of IPv6 is found by the number of its link alone.
  OK(setsockopt(six, SOL_IPV6, IPV6_JOIN_GROUP, &six_request, sizeof six_request));
  struct group_filter filter = {.gf_interface = 1, .gf_fmode = MCAST_EXCLUDE, .gf_numsrc = 0};
  *(struct sockaddr_in6 *)&filter.gf_group = at("ff02::1234", 0).v6;
  OK(setsockopt(six, SOL_IPV6, MCAST_MSFILTER, &filter, GROUP_FILTER_SIZE(0)));
  socklen_t length = GROUP_FILTER_SIZE(0);
  OK(getsockopt(six, SOL_IPV6, MCAST_MSFILTER, &filter, &length));
  CHECK_ERRNO(getsockopt(six, SOL_IPV6, MCAST_MSFILTER, &filter, &(socklen_t){GROUP_FILTER_SIZE(0) - 1}), EINVAL);
  six_request.ipv6mr_interface = 4711;
  CHECK_ERRNO(setsockopt(six, SOL_IPV6, IPV6_JOIN_GROUP, &six_request, sizeof six_request), ENODEV);
  OK(close(six));
}

static void interfaces(void) {
  int one = make();
  struct in_addr address;
  socklen_t length = sizeof address;
  OK(getsockopt(one, SOL_IP, IP_MULTICAST_IF, &address, &length));
  CHECK_EQ(address.s_addr, 0);
  CHECK_EQ(option_of(one, SOL_IP, IP_MULTICAST_TTL), 1);
  CHECK_EQ(option_of(one, SOL_IP, IP_MULTICAST_LOOP), 1);
  CHECK_EQ(option_of(one, SOL_IP, IP_MULTICAST_ALL), 1);
  struct in_addr nobody = address_of("10.9.9.9"), loopback = address_of("127.0.0.1");
  CHECK_ERRNO(setsockopt(one, SOL_IP, IP_MULTICAST_IF, &nobody, sizeof nobody), EADDRNOTAVAIL);
  OK(setsockopt(one, SOL_IP, IP_MULTICAST_IF, &loopback, sizeof loopback));
  OK(getsockopt(one, SOL_IP, IP_MULTICAST_IF, &address, &length));
  CHECK_EQ(address.s_addr, loopback.s_addr);
  CHECK_ERRNO(setsockopt(one, SOL_IP, IP_MULTICAST_IF, &loopback, 3), EINVAL);
  CHECK_ERRNO(set_option(one, SOL_IP, IP_MULTICAST_TTL, 256), EINVAL);
  OK(set_option(one, SOL_IP, IP_MULTICAST_TTL, -1));
  CHECK_EQ(option_of(one, SOL_IP, IP_MULTICAST_TTL), 1);
  CHECK_ERRNO(set_option(one, SOL_IP, IP_MULTICAST_ALL, 2), EINVAL);
  OK(set_option(one, SOL_IP, IP_UNICAST_IF, htonl(1)));
  CHECK_EQ(option_of(one, SOL_IP, IP_UNICAST_IF), (int)htonl(1));
  CHECK_ERRNO(set_option(one, SOL_IP, IP_UNICAST_IF, htonl(4711)), EADDRNOTAVAIL);
  OK(close(one));
}

static void broadcast(void) {
  int one = make(), same = OK(socket(AF_INET, SOCK_DGRAM, 0)), sender = make_sender();
  struct address everybody = at("127.255.255.255", port_of(own_name(one)));
  CHECK_ERRNO(sendto(sender, "x", 1, 0, &everybody.any, everybody.length), EACCES);
  OK(set_option(sender, SOL_SOCKET, SO_BROADCAST, 1));
  OK(close(one));
  one = OK(socket(AF_INET, SOCK_DGRAM, 0));
  OK(set_option(one, SOL_SOCKET, SO_REUSEADDR, 1));
  OK(set_option(same, SOL_SOCKET, SO_REUSEADDR, 1));
  OK(bind_to(one, everybody));
  OK(bind_to(same, at("0.0.0.0", port_of(everybody))));
  OK(sendto(sender, "x", 1, 0, &everybody.any, everybody.length));
  char byte;
  CHECK_EQ(recv(one, &byte, 1, MSG_DONTWAIT), 1);
  CHECK_EQ(recv(same, &byte, 1, MSG_DONTWAIT), 1);
  OK(close(one));
  OK(close(same));
  OK(close(sender));
}

int main(void) {
  members();
  sources();
  any_family();
  interfaces();
  broadcast();
  puts("ok");
}
