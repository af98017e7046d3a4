// What goes beside datagrams: control messages in both directions, the queue of errors, segments, corks, stamps, filters.
#include "inet.h"
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/udp.h>
#include <sys/time.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct message {
  char text[256];
  ssize_t length;
  int flags;
  struct address sender;
  char control[512];
  struct msghdr header;
  struct iovec piece;
};

static int make(const char *where) {
  int one = OK(socket(at(where, 0).any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  OK(bind_to(one, at(where, 0)));
  return one;
}

static struct message *receive(int socket, int flags) {
  static struct message got;
  memset(&got, 0, sizeof got);
  got.piece = (struct iovec){got.text, sizeof got.text};
  got.header = (struct msghdr){.msg_name = &got.sender.any,
                               .msg_namelen = sizeof got.sender.v6,
                               .msg_iov = &got.piece,
                               .msg_iovlen = 1,
                               .msg_control = got.control,
                               .msg_controllen = sizeof got.control};
  got.length = recvmsg(socket, &got.header, flags);
  got.sender.length = got.header.msg_namelen;
  got.flags = got.header.msg_flags;
  return &got;
}

// The data of a control message; NULL if there is none.
static void *control_of(struct message *message, int level, int type) {
  for (struct cmsghdr *one = CMSG_FIRSTHDR(&message->header); one != NULL; one = CMSG_NXTHDR(&message->header, one))
    if (one->cmsg_level == level && one->cmsg_type == type) return CMSG_DATA(one);
  return NULL;
}

static long send_with(int socket, const char *text, size_t length, struct address where, int level, int type, const void *data, size_t size) {
  char control[256] __attribute__((aligned(8))) = {0};
  struct iovec piece = {(void *)text, length};
  struct msghdr header = {.msg_name = &where.any, .msg_namelen = where.length, .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(size)};
  struct cmsghdr *one = CMSG_FIRSTHDR(&header);
  *one = (struct cmsghdr){.cmsg_len = CMSG_LEN(size), .cmsg_level = level, .cmsg_type = type};
  memcpy(CMSG_DATA(one), data, size);
  return sendmsg(socket, &header, 0);
}

static void told_of_v4(void) {
  int one = make("127.0.0.1"), other = make("0.0.0.0");
  int options[] = {IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, IP_RECVORIGDSTADDR};
  for (size_t i = 0; i < COUNT(options); i++) OK(set_option(other, SOL_IP, options[i], 1));
  OK(set_option(one, SOL_IP, IP_TTL, 9));
  OK(set_option(one, SOL_IP, IP_TOS, 0x13));
  struct address where = at("127.1.2.3", port_of(own_name(other)));
  OK(sendto(one, "x", 1, 0, &where.any, where.length));
  struct message *got = receive(other, 0);
  struct in_pktinfo *info = control_of(got, SOL_IP, IP_PKTINFO);
  CHECK(info != NULL && info->ipi_ifindex == 1 && info->ipi_addr.s_addr == where.v4.sin_addr.s_addr);
  CHECK_EQ(*(int *)control_of(got, SOL_IP, IP_TTL), 9);
  CHECK_EQ(*(unsigned char *)control_of(got, SOL_IP, IP_TOS), 0x13);
  struct sockaddr_in *original = control_of(got, SOL_IP, IP_ORIGDSTADDR);
  CHECK(original != NULL && original->sin_port == where.v4.sin_port && original->sin_addr.s_addr == where.v4.sin_addr.s_addr);
  int ttl = 77, zero = 0, tos = 0x20;
  CHECK_EQ(send_with(one, "y", 1, where, SOL_IP, IP_TTL, &ttl, sizeof ttl), 1);
  CHECK_EQ(*(int *)control_of(receive(other, 0), SOL_IP, IP_TTL), 77);
  CHECK_EQ(send_with(one, "y", 1, where, SOL_IP, IP_TOS, &tos, sizeof tos), 1);
  CHECK_EQ(*(unsigned char *)control_of(receive(other, 0), SOL_IP, IP_TOS), 0x20);
  CHECK_ERRNO(send_with(one, "y", 1, where, SOL_IP, IP_TTL, &zero, sizeof zero), EINVAL);
  CHECK_ERRNO(send_with(one, "y", 1, where, SOL_IP, IP_TTL, &ttl, 2), EINVAL);
  CHECK_ERRNO(send_with(one, "y", 1, where, SOL_IP, 200, &ttl, sizeof ttl), EINVAL);
  CHECK_ERRNO(send_with(one, "y", 1, where, SOL_UDP, 200, &ttl, sizeof ttl), EINVAL);
  CHECK_EQ(send_with(one, "y", 1, where, 200, 200, &ttl, sizeof ttl), 1);
  receive(other, 0);
  struct in_pktinfo from = {.ipi_spec_dst.s_addr = inet_addr("127.0.0.9")};
  int free_one = make("0.0.0.0");
  CHECK_EQ(send_with(free_one, "z", 1, where, SOL_IP, IP_PKTINFO, &from, sizeof from), 1);
  CHECK_EQ(receive(other, 0)->sender.v4.sin_addr.s_addr, from.ipi_spec_dst.s_addr);
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_PRIORITY), 6);
  OK(close(free_one));
  OK(close(one));
  OK(close(other));
}

static void told_of_v6(void) {
  int one = make("::1"), other = make("::1");
  int options[] = {IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS};
  for (size_t i = 0; i < COUNT(options); i++) OK(set_option(other, SOL_IPV6, options[i], 1));
  OK(set_option(one, SOL_IPV6, IPV6_UNICAST_HOPS, 7));
  OK(set_option(one, SOL_IPV6, IPV6_TCLASS, 0x21));
  struct address where = own_name(other);
  OK(sendto(one, "x", 1, 0, &where.any, where.length));
  struct message *got = receive(other, 0);
  struct in6_pktinfo *info = control_of(got, SOL_IPV6, IPV6_PKTINFO);
  CHECK(info != NULL && info->ipi6_ifindex == 1 && IN6_IS_ADDR_LOOPBACK(&info->ipi6_addr));
  CHECK_EQ(*(int *)control_of(got, SOL_IPV6, IPV6_HOPLIMIT), 7);
  CHECK_EQ(*(int *)control_of(got, SOL_IPV6, IPV6_TCLASS), 0x21);
  int hops = 3, many = 256;
  CHECK_EQ(send_with(one, "y", 1, where, SOL_IPV6, IPV6_HOPLIMIT, &hops, sizeof hops), 1);
  CHECK_EQ(*(int *)control_of(receive(other, 0), SOL_IPV6, IPV6_HOPLIMIT), 3);
  CHECK_ERRNO(send_with(one, "y", 1, where, SOL_IPV6, IPV6_HOPLIMIT, &many, sizeof many), EINVAL);
  OK(close(one));
  OK(close(other));
}

static void errors(const char *loopback) {
  int is_v4 = at(loopback, 0).any.sa_family == AF_INET;
  int level = is_v4 ? SOL_IP : SOL_IPV6, option = is_v4 ? IP_RECVERR : IPV6_RECVERR;
  int one = make(loopback), gone = make(loopback);
  struct address nowhere = own_name(gone);
  OK(close(gone));
  OK(set_option(one, level, option, 1));
  CHECK_EQ(receive(one, MSG_ERRQUEUE | MSG_DONTWAIT)->length, -1);
  CHECK_EQ(errno, EAGAIN);
  CHECK_EQ(sendto(one, "hello", 5, 0, &nowhere.any, nowhere.length), 5);
  CHECK(await_events(one, POLLIN) & POLLERR);
  struct message *got = receive(one, MSG_ERRQUEUE);
  CHECK_EQ(got->length, 5);
  CHECK(memcmp(got->text, "hello", 5) == 0);
  CHECK_EQ(got->flags, MSG_ERRQUEUE);
  CHECK(is_same_address(got->sender, nowhere));
  struct sock_extended_err *error = control_of(got, level, option);
  CHECK(error != NULL);
  CHECK_EQ(error->ee_errno, ECONNREFUSED);
  CHECK_EQ(error->ee_origin, is_v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6);
  CHECK_EQ(error->ee_type, is_v4 ? 3 : 1);
  CHECK_EQ(error->ee_code, is_v4 ? 3 : 4);
  CHECK_EQ(SO_EE_OFFENDER(error)->sa_family, at(loopback, 0).any.sa_family);
  CHECK_EQ(events_of(one, POLLIN) & POLLERR, 0);
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_ERROR), 0);
  // Taken by SO_ERROR, it is still in the queue.
  CHECK_EQ(sendto(one, "again", 5, 0, &nowhere.any, nowhere.length), 5);
  CHECK(await_events(one, POLLIN) & POLLERR);
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  CHECK(events_of(one, POLLIN) & POLLERR);
  CHECK_EQ(receive(one, MSG_ERRQUEUE)->length, 5);
  CHECK_EQ(events_of(one, POLLIN) & POLLERR, 0);
  static char large[70000];
  CHECK_ERRNO(sendto(one, large, is_v4 ? 65508 : 65528, 0, &nowhere.any, nowhere.length), EMSGSIZE);
  OK(close(one));
}

static void segments(void) {
  int one = make("127.0.0.1"), other = make("127.0.0.1");
  struct address where = own_name(other);
  CHECK_ERRNO(set_option(one, SOL_UDP, UDP_SEGMENT, -1), EINVAL);
  CHECK_ERRNO(set_option(one, SOL_UDP, UDP_SEGMENT, 65536), EINVAL);
  OK(set_option(one, SOL_UDP, UDP_SEGMENT, 4));
  CHECK_EQ(option_of(one, SOL_UDP, UDP_SEGMENT), 4);
  CHECK_EQ(sendto(one, "abcdefghij", 10, 0, &where.any, where.length), 10);
  CHECK_EQ(receive(other, 0)->length, 4);
  CHECK_EQ(receive(other, 0)->length, 4);
  CHECK_EQ(receive(other, 0)->length, 2);
  OK(set_option(other, SOL_UDP, UDP_GRO, 1));
  CHECK_EQ(sendto(one, "abcdefghij", 10, 0, &where.any, where.length), 10);
  struct message *got = receive(other, 0);
  CHECK_EQ(got->length, 10);
  CHECK_EQ(*(int *)control_of(got, SOL_UDP, UDP_GRO), 4);
  OK(set_option(one, SOL_UDP, UDP_SEGMENT, 0));
  OK(set_option(other, SOL_UDP, UDP_GRO, 0));
  uint16_t three = 3;
  CHECK_EQ(send_with(one, "abcdef", 6, where, SOL_UDP, UDP_SEGMENT, &three, sizeof three), 6);
  CHECK_EQ(receive(other, 0)->length, 3);
  CHECK_EQ(receive(other, 0)->length, 3);
  static char large[2000];
  uint16_t byte = 1;
  CHECK_ERRNO(send_with(one, large, sizeof large, where, SOL_UDP, UDP_SEGMENT, &byte, sizeof byte), EINVAL);
  OK(close(one));
  OK(close(other));
}

static void corks(void) {
  int one = make("127.0.0.1"), other = make("127.0.0.1");
  struct address where = own_name(other);
  CHECK_EQ(sendto(one, "first ", 6, MSG_MORE, &where.any, where.length), 6);
  CHECK_EQ(receive(other, MSG_DONTWAIT)->length, -1);
  CHECK_EQ(sendto(one, "second", 6, 0, &where.any, where.length), 6);
  CHECK_EQ(receive(other, 0)->length, 12);
  OK(connect_to(one, where));
  OK(set_option(one, SOL_UDP, UDP_CORK, 1));
  CHECK_EQ(send(one, "a", 1, 0), 1);
  CHECK_EQ(send(one, "b", 1, 0), 1);
  CHECK_EQ(receive(other, MSG_DONTWAIT)->length, -1);
  OK(set_option(one, SOL_UDP, UDP_CORK, 0));
  CHECK_EQ(receive(other, 0)->length, 2);
  OK(close(one));
  OK(close(other));
}

static void stamps(void) {
  int one = make("127.0.0.1"), other = make("127.0.0.1");
  struct address where = own_name(other);
  struct timeval last, before, after;
  CHECK_ERRNO(ioctl(other, SIOCGSTAMP_OLD, &last), ENOENT);
  OK(set_option(other, SOL_SOCKET, SO_TIMESTAMP, 1));
  CHECK_EQ(option_of(other, SOL_SOCKET, SO_TIMESTAMP), 1);
  OK(gettimeofday(&before, NULL));
  OK(sendto(one, "x", 1, 0, &where.any, where.length));
  struct timeval *stamp = control_of(receive(other, 0), SOL_SOCKET, SCM_TIMESTAMP);
  OK(gettimeofday(&after, NULL));
  CHECK(stamp != NULL && !timercmp(stamp, &before, <) && !timercmp(stamp, &after, >));
  // What was told needs not be asked for.
  CHECK_ERRNO(ioctl(other, SIOCGSTAMP_OLD, &last), ENOENT);
  OK(set_option(other, SOL_SOCKET, SO_TIMESTAMPNS, 1));
  CHECK_EQ(option_of(other, SOL_SOCKET, SO_TIMESTAMP), 0);
  CHECK_EQ(option_of(other, SOL_SOCKET, SO_TIMESTAMPNS), 1);
  OK(sendto(one, "x", 1, 0, &where.any, where.length));
  struct message *got = receive(other, 0);
  CHECK(control_of(got, SOL_SOCKET, SCM_TIMESTAMPNS) != NULL && control_of(got, SOL_SOCKET, SCM_TIMESTAMP) == NULL);
  OK(set_option(other, SOL_SOCKET, SO_TIMESTAMPNS, 0));
  OK(sendto(one, "x", 1, 0, &where.any, where.length));
  CHECK(control_of(receive(other, 0), SOL_SOCKET, SCM_TIMESTAMPNS) == NULL);
  OK(ioctl(other, SIOCGSTAMP_OLD, &last));
  CHECK(!timercmp(&last, &before, <));
  CHECK_ERRNO(set_option(other, SOL_SOCKET, SO_TIMESTAMPING, 1 << 30), EINVAL);
  OK(close(one));
  OK(close(other));
}

// The first byte behind the header of UDP decides.
static void packet_filters(void) {
  int one = make("127.0.0.1"), other = make("127.0.0.1");
  struct address where = own_name(other);
  struct sock_filter code[] = {
      {BPF_LD | BPF_B | BPF_ABS, 0, 0, 8}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'a'}, {BPF_RET | BPF_K, 0, 0, 10}, {BPF_RET | BPF_K, 0, 0, 0}};
  struct sock_fprog program = {COUNT(code), code}, empty = {0, code};
  CHECK_ERRNO(setsockopt(other, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program - 1), EINVAL);
  CHECK_ERRNO(setsockopt(other, SOL_SOCKET, SO_ATTACH_FILTER, &empty, sizeof empty), EINVAL);
  CHECK_ERRNO(set_option(other, SOL_SOCKET, SO_DETACH_FILTER, 0), ENOENT);
  OK(setsockopt(other, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
  OK(sendto(one, "bad", 3, 0, &where.any, where.length));
  OK(sendto(one, "all of it", 9, 0, &where.any, where.length));
  struct message *got = receive(other, 0);
  CHECK_EQ(got->length, 2);
  CHECK_EQ(receive(other, MSG_DONTWAIT)->length, -1);
  struct sock_filter told[8];
  socklen_t length = 0;
  OK(getsockopt(other, SOL_SOCKET, SO_GET_FILTER, told, &length));
  CHECK_EQ(length, 4);
  length = COUNT(told);
  OK(getsockopt(other, SOL_SOCKET, SO_GET_FILTER, told, &length));
  CHECK(length == 4 && memcmp(told, code, sizeof code) == 0);
  OK(set_option(other, SOL_SOCKET, SO_LOCK_FILTER, 1));
  CHECK_ERRNO(set_option(other, SOL_SOCKET, SO_LOCK_FILTER, 0), EPERM);
  CHECK_ERRNO(set_option(other, SOL_SOCKET, SO_DETACH_FILTER, 0), EPERM);
  CHECK_ERRNO(setsockopt(other, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), EPERM);
  OK(close(one));
  OK(close(other));
}

// Options of the socket level, and what they are at first.
static void socket_level(void) {
  int one = make("127.0.0.1"), tcp = OK(socket(AF_INET, SOCK_STREAM, 0)), unix_one = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  uint64_t first, second;
  socklen_t length = sizeof first;
  OK(getsockopt(one, SOL_SOCKET, SO_NETNS_COOKIE, &first, &length));
  OK(getsockopt(tcp, SOL_SOCKET, SO_NETNS_COOKIE, &second, &length));
  CHECK(first != 0 && first == second);
  length = 4;
  CHECK_ERRNO(getsockopt(one, SOL_SOCKET, SO_NETNS_COOKIE, &first, &length), EINVAL);
  uint32_t memory[9];
  length = sizeof memory;
  OK(getsockopt(one, SOL_SOCKET, SO_MEMINFO, memory, &length));
  CHECK(length == sizeof memory && memory[0] == 0 && memory[1] == (uint32_t)option_of(one, SOL_SOCKET, SO_RCVBUF));
  uint64_t rate;
  length = sizeof rate;
  OK(getsockopt(tcp, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &length));
  CHECK(length == sizeof rate && rate == UINT64_MAX);
  OK(set_option(tcp, SOL_SOCKET, SO_MAX_PACING_RATE, 1000));
  CHECK_EQ(option_of(tcp, SOL_SOCKET, SO_MAX_PACING_RATE), 1000);
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_BPF_EXTENSIONS), 64);
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_INCOMING_NAPI_ID), 0);
  CHECK_ERRNO(set_option(one, SOL_SOCKET, SO_TYPE, 1), ENOPROTOOPT);
  CHECK_ERRNO(set_option(one, SOL_SOCKET, SO_ERROR, 1), ENOPROTOOPT);
  CHECK_ERRNO(set_option(one, SOL_SOCKET, 999, 1), ENOPROTOOPT);
  CHECK_ERRNO(set_option(unix_one, SOL_SOCKET, SO_ZEROCOPY, 1), EOPNOTSUPP);
  CHECK_ERRNO(set_option(tcp, SOL_SOCKET, SO_ZEROCOPY, 2), EINVAL);
  CHECK_ERRNO(set_option(one, SOL_UDP, 200, 1), ENOPROTOOPT);
  CHECK_ERRNO(set_option(tcp, SOL_TCP, 200, 1), ENOPROTOOPT);
  CHECK_ERRNO(set_option(tcp, SOL_IP, 190, 1), ENOPROTOOPT);
  OK(close(one));
  OK(close(tcp));
  OK(close(unix_one));
}

// The error of a port where nobody is comes with the time to live that it has, if that is wanted.
static void errors_arrivals(void) {
  int one = make("127.0.0.1"), nobody = make("127.0.0.1");
  struct address where = own_name(nobody);
  OK(close(nobody));
  OK(set_option(one, SOL_IP, IP_RECVERR, 1));
  OK(set_option(one, SOL_IP, IP_RECVTTL, 1));
  OK(set_option(one, SOL_IP, IP_RECVTOS, 1));
  OK(sendto(one, "x", 1, 0, &where.any, where.length));
  await_events(one, POLLERR);
  struct message *got = receive(one, MSG_ERRQUEUE);
  int *ttl = control_of(got, SOL_IP, IP_TTL);
  unsigned char *tos = control_of(got, SOL_IP, IP_TOS);
  CHECK(control_of(got, SOL_IP, IP_RECVERR) != NULL);
  CHECK(ttl != NULL && *ttl == 64);
  CHECK(tos != NULL && *tos == 0xc0);
  OK(close(one));
}

// Where an error has come to, of a socket of IPv6 in the order of its options; what is said of IPv4 only who asked for that hears.
static void errors_ways(void) {
  int one = make("127.0.0.1"), nobody = make("127.0.0.1");
  struct address where = own_name(nobody);
  OK(close(nobody));
  OK(set_option(one, SOL_IP, IP_RECVERR, 1));
  OK(set_option(one, SOL_IP, IP_PKTINFO, 1));
  OK(set_option(one, SOL_IP, IP_RECVORIGDSTADDR, 1));
  OK(sendto(one, "hello", 5, 0, &where.any, where.length));
  await_events(one, POLLERR);
  struct message *got = receive(one, MSG_ERRQUEUE);
  struct in_pktinfo *info = control_of(got, SOL_IP, IP_PKTINFO);
  CHECK(info != NULL && info->ipi_ifindex == 1 && info->ipi_spec_dst.s_addr == 0);
  CHECK_EQ(ntohl(info->ipi_addr.s_addr), INADDR_LOOPBACK);
  struct sockaddr_in *target = control_of(got, SOL_IP, IP_ORIGDSTADDR);
  CHECK(target != NULL && memcmp(&target->sin_port, "ll", 2) == 0);
  OK(sendto(one, "hel", 3, 0, &where.any, where.length));
  await_events(one, POLLERR);
  CHECK(control_of(receive(one, MSG_ERRQUEUE), SOL_IP, IP_ORIGDSTADDR) == NULL);
  OK(close(one));

  int six = make("::1");
  struct address six_where = own_name(six);
  six_where.v6.sin6_port = where.v4.sin_port;
  int told[] = {IPV6_RECVERR, IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, IPV6_2292PKTINFO};
  int kinds[] = {IPV6_PKTINFO, IPV6_HOPLIMIT, IPV6_TCLASS, IPV6_2292PKTINFO, IPV6_RECVERR};
  for (size_t i = 0; i < COUNT(told); i++) OK(set_option(six, SOL_IPV6, told[i], 1));
  OK(sendto(six, "hello", 5, 0, &six_where.any, six_where.length));
  await_events(six, POLLERR);
  got = receive(six, MSG_ERRQUEUE);
  size_t count = 0;
  for (struct cmsghdr *each = CMSG_FIRSTHDR(&got->header); each != NULL; each = CMSG_NXTHDR(&got->header, each))
    CHECK_EQ(each->cmsg_type, count < COUNT(kinds) ? kinds[count++] : -1);
  CHECK_EQ(count, COUNT(kinds));
  OK(close(six));

  int any = make("::");
  struct address mapped = at("::ffff:127.0.0.1", port_of(where));
  OK(set_option(any, SOL_IPV6, IPV6_RECVERR, 1));
  OK(sendto(any, "x", 1, 0, &mapped.any, mapped.length));
  CHECK_EQ(events_of(any, 50) & POLLERR, 0);
  OK(set_option(any, SOL_IP, IP_RECVERR, 1));
  OK(sendto(any, "x", 1, 0, &mapped.any, mapped.length));
  await_events(any, POLLERR);
  CHECK(control_of(receive(any, MSG_ERRQUEUE), SOL_IPV6, IPV6_RECVERR) != NULL);
  OK(close(any));
}

static void set_setting(const char *name, const char *value) {
  char path[128];
  snprintf(path, sizeof path, "/proc/sys/net/%s", name);
  int file = OK(open(path, O_WRONLY));
  CHECK_EQ(write(file, value, strlen(value)), strlen(value));
  OK(close(file));
}

// The time to live of what nobody gave one, an error's as well: the namespace's, of IPv6 that of the link.
static void usual_ttl(void) {
  pid_t child;
  IN_CHILD(child) {
    OK(unshare(CLONE_NEWNET));
    CHECK_EQ(system("ip link set lo up"), 0);
    set_setting("ipv4/ip_default_ttl", "33");
    set_setting("ipv6/conf/lo/hop_limit", "44");
    set_setting("ipv6/conf/all/hop_limit", "45");
    for (int is_v6 = 0; is_v6 < 2; is_v6++) {
      int level = is_v6 ? SOL_IPV6 : SOL_IP, kind = is_v6 ? IPV6_HOPLIMIT : IP_TTL;
      int one = make(is_v6 ? "::1" : "127.0.0.1");
      CHECK_EQ(option_of(one, level, is_v6 ? IPV6_UNICAST_HOPS : IP_TTL), is_v6 ? 45 : 33);
      OK(set_option(one, level, is_v6 ? IPV6_RECVERR : IP_RECVERR, 1));
      OK(set_option(one, level, is_v6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, 1));
      struct address where = own_name(one);
      OK(sendto(one, "x", 1, 0, &where.any, where.length));
      int *ttl = control_of(receive(one, 0), level, kind);
      CHECK(ttl != NULL && *ttl == (is_v6 ? 44 : 33));
      where.v4.sin_port = htons(1);
      OK(sendto(one, "x", 1, 0, &where.any, where.length));
      await_events(one, POLLERR);
      ttl = control_of(receive(one, MSG_ERRQUEUE), level, kind);
      CHECK(ttl != NULL && *ttl == (is_v6 ? 44 : 33));
      OK(close(one));
    }
  }
  WAIT_OK(child);
}

// The sends of MSG_ZEROCOPY that are done, told as one: they were copied.
static void expect_copies(int socket, int is_v6, unsigned first, unsigned last) {
  CHECK_EQ(await_events(socket, 0), POLLERR);
  struct message *got = receive(socket, MSG_ERRQUEUE);
  CHECK_EQ(got->length, 0);
  CHECK_EQ(got->flags, MSG_ERRQUEUE);
  struct sock_extended_err *told = control_of(got, is_v6 ? SOL_IPV6 : SOL_IP, is_v6 ? IPV6_RECVERR : IP_RECVERR);
  CHECK(told != NULL);
  CHECK_EQ(told->ee_errno, 0);
  CHECK_EQ(told->ee_origin, SO_EE_ORIGIN_ZEROCOPY);
  CHECK_EQ(told->ee_code, SO_EE_CODE_ZEROCOPY_COPIED);
  CHECK_EQ(told->ee_info, first);
  CHECK_EQ(told->ee_data, last);
  CHECK_EQ(receive(socket, MSG_ERRQUEUE)->length, -1);
  CHECK_EQ(errno, EAGAIN);
  CHECK_EQ(option_of(socket, SOL_SOCKET, SO_ERROR), 0);
}

static void zero_copies(const char *where) {
  int ends[2], is_v6 = strchr(where, ':') != NULL, receiver = make(where), sender = make(where);
  char bytes[64];
  make_connection(where, ends);
  // Without the option nobody is told.
  OK(send(ends[0], "x", 1, MSG_ZEROCOPY));
  CHECK_EQ(recv(ends[1], bytes, sizeof bytes, 0), 1);
  CHECK_EQ(receive(ends[0], MSG_ERRQUEUE)->length, -1);
  OK(set_option(ends[0], SOL_SOCKET, SO_ZEROCOPY, 1));
  for (int i = 0; i < 3; i++) OK(send(ends[0], "hello", 5, MSG_ZEROCOPY));
  CHECK_EQ(send(ends[0], "", 0, MSG_ZEROCOPY), 0);
  CHECK_EQ(recv(ends[1], bytes, 15, MSG_WAITALL), 15);
  expect_copies(ends[0], is_v6, 0, 2);
  OK(send(ends[0], "z", 1, MSG_ZEROCOPY));
  CHECK_EQ(recv(ends[1], bytes, sizeof bytes, 0), 1);
  expect_copies(ends[0], is_v6, 3, 3);
  OK(set_option(sender, SOL_SOCKET, SO_ZEROCOPY, 1));
  OK(connect_to(sender, own_name(receiver)));
  OK(send(sender, "a", 1, MSG_ZEROCOPY));
  OK(send(sender, "", 0, MSG_ZEROCOPY));
  CHECK_EQ(recv(receiver, bytes, sizeof bytes, 0), 1);
  CHECK_EQ(recv(receiver, bytes, sizeof bytes, 0), 0);
  expect_copies(sender, is_v6, 0, 1);
  OK(close(ends[0]));
  OK(close(ends[1]));
  OK(close(receiver));
  OK(close(sender));
}

int main(void) {
  errors_arrivals();
  errors_ways();
  usual_ttl();
  zero_copies("127.0.0.1");
  zero_copies("::1");
  told_of_v4();
  told_of_v6();
  errors("127.0.0.1");
  errors("::1");
  segments();
  corks();
  stamps();
  packet_filters();
  socket_level();
  puts("ok");
}
