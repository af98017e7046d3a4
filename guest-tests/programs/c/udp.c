// UDP on the loopback: names, connected and not, refusals, cut messages, what is told beside them, buffers, ports.
#include "inet.h"

static const char *loopback;

// What a socket that is bound to no address sends from: the first of the own ones.
static const char *first_own(void) { return at(loopback, 0).any.sa_family == AF_INET ? "127.0.0.1" : "::1"; }

static int make(void) { return OK(socket(at(loopback, 0).any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }

static int make_bound(void) {
  int one = make();
  OK(bind_to(one, at(loopback, 0)));
  return one;
}

static long send_to(int socket, const char *text, struct address where) {
  return sendto(socket, text, strlen(text), 0, &where.any, where.length);
}

static void expect_from(int socket, const char *text, struct address sender) {
  char buffer[64] = {0};
  struct address told = {.length = sizeof told.v6};
  CHECK_EQ(recvfrom(socket, buffer, sizeof buffer, 0, &told.any, &told.length), strlen(text));
  CHECK_CASE(strcmp(buffer, text) == 0, "%s instead of %s", buffer, text);
  CHECK(is_same_address(told, sender));
}

static void names(void) {
  int one = make(), other = make_bound();
  CHECK_EQ(port_of(own_name(one)), 0);
  struct address peer = {.length = sizeof peer.v6};
  CHECK_ERRNO(getpeername(one, &peer.any, &peer.length), ENOTCONN);
  CHECK_ERRNO(send(one, "x", 1, 0), EDESTADDRREQ);
  CHECK_EQ(send_to(one, "first", own_name(other)), 5);
  CHECK(port_of(own_name(one)) != 0);
  expect_from(other, "first", at(first_own(), port_of(own_name(one))));
  OK(connect_to(one, own_name(other)));
  CHECK(is_same_address(peer_name(one), own_name(other)));
  CHECK(is_same_address(own_name(one), at(first_own(), port_of(own_name(one)))));
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDP);
  CHECK_ERRNO(listen(one, 1), EOPNOTSUPP);
  CHECK_ERRNO(accept(one, NULL, NULL), EOPNOTSUPP);
  CHECK_ERRNO(bind_to(other, at(loopback, 0)), EINVAL);
  CHECK_ERRNO(send_to(one, "x", at(loopback, 0)), EINVAL);
  if (at(loopback, 0).any.sa_family == AF_INET) CHECK_ERRNO(send(one, "x", 1, MSG_OOB), EOPNOTSUPP);
  OK(close(one));
  OK(close(other));
}

static void connected(void) {
  int one = make_bound(), other = make_bound(), stranger = make_bound();
  OK(connect_to(one, own_name(other)));
  CHECK_EQ(send_to(stranger, "ignored", own_name(one)), 7);
  CHECK_EQ(send_to(other, "taken", own_name(one)), 5);
  expect_from(one, "taken", own_name(other));
  CHECK_EQ(send(one, "answer", 6, 0), 6);
  expect_from(other, "answer", own_name(one));
  CHECK_EQ(send_to(one, "elsewhere", own_name(stranger)), 9);
  expect_from(stranger, "elsewhere", own_name(one));
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  OK(connect(one, &none, sizeof none));
  CHECK_ERRNO(send(one, "x", 1, 0), EDESTADDRREQ);
  CHECK_EQ(send_to(stranger, "now", own_name(one)), 3);
  expect_from(one, "now", own_name(stranger));
  OK(close(one));
  OK(close(other));
  OK(close(stranger));
}

static void refused(void) {
  int one = make_bound(), gone = make_bound();
  struct address nowhere = own_name(gone);
  OK(close(gone));
  CHECK_EQ(send_to(one, "lost", nowhere), 4);
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_ERROR), 0);
  OK(connect_to(one, nowhere));
  CHECK_EQ(send(one, "lost", 4, 0), 4);
  CHECK(await_events(one, POLLIN) & POLLERR);
  char byte;
  CHECK_ERRNO(recv(one, &byte, 1, MSG_DONTWAIT), ECONNREFUSED);
  CHECK_ERRNO(recv(one, &byte, 1, MSG_DONTWAIT), EAGAIN);
  CHECK_EQ(send(one, "lost", 4, 0), 4);
  await_events(one, POLLIN);
  CHECK_ERRNO(send(one, "lost", 4, 0), ECONNREFUSED);
  CHECK_EQ(send(one, "lost", 4, 0), 4);
  await_events(one, POLLIN);
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  OK(close(one));
}

static void messages(void) {
  int one = make_bound(), other = make_bound();
  CHECK_EQ(events_of(other, 0), POLLOUT);
  CHECK_EQ(send_to(one, "long message", own_name(other)), 12);
  CHECK_EQ(send_to(one, "", own_name(other)), 0);
  CHECK_EQ(send_to(one, "last", own_name(other)), 4);
  CHECK_EQ(await_events(other, POLLIN | POLLOUT), POLLIN | POLLOUT);
  int queued;
  OK(ioctl(other, FIONREAD, &queued));
  CHECK_EQ(queued, 12);
  char buffer[8] = {0};
  struct iovec piece = {buffer, 4};
  struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};
  CHECK_EQ(recvmsg(other, &header, MSG_PEEK), 4);
  CHECK_EQ(header.msg_flags, MSG_TRUNC);
  CHECK_EQ(recv(other, buffer, 4, MSG_TRUNC), 12);
  CHECK_EQ(recv(other, buffer, 4, 0), 0);
  CHECK_EQ(recv(other, buffer, 4, 0), 4);
  CHECK(memcmp(buffer, "last", 4) == 0);
  CHECK_ERRNO(recv(other, buffer, 4, MSG_DONTWAIT), EAGAIN);
  static char large[70000];
  size_t most = at(loopback, 0).any.sa_family == AF_INET ? 65507 : 65527;
  struct address where = own_name(other);
  CHECK_ERRNO(sendto(one, large, most + 1, 0, &where.any, where.length), EMSGSIZE);
  CHECK_EQ(sendto(one, large, most, 0, &where.any, where.length), most);
  CHECK_EQ(recv(other, large, sizeof large, 0), most);
  OK(close(one));
  OK(close(other));
}

static void shut_down(void) {
  int one = make_bound(), other = make_bound();
  CHECK_ERRNO(shutdown(one, SHUT_RD), ENOTCONN);
  OK(connect_to(other, own_name(one)));
  OK(shutdown(other, SHUT_WR));
  CHECK_ERRNO(send(other, "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK_EQ(events_of(one, 0) & (POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
  OK(close(one));
  OK(close(other));
}

// A receiver that reads nothing has the rest lost, and is not waited for.
static void full_buffer(void) {
  int one = make_bound(), other = make_bound();
  OK(set_option(other, SOL_SOCKET, SO_RCVBUF, 8192));
  char block[1000] = {0};
  struct address where = own_name(other);
  for (int i = 0; i < 1000; i++) CHECK_EQ(sendto(one, block, sizeof block, 0, &where.any, where.length), sizeof block);
  int got = 0;
  while (recv(other, block, sizeof block, MSG_DONTWAIT) > 0) got++;
  CHECK_EQ(errno, EAGAIN);
  CHECK_CASE(got > 2 && got < 100, "%d", got);
  CHECK_EQ(send_to(one, "again", where), 5);
  CHECK_EQ(recv(other, block, sizeof block, 0), 5);
  OK(close(one));
  OK(close(other));
}

static void ports(void) {
  int one = make_bound(), other = make();
  CHECK_ERRNO(bind_to(other, own_name(one)), EADDRINUSE);
  OK(set_option(one, SOL_SOCKET, SO_REUSEADDR, 1));
  OK(set_option(other, SOL_SOCKET, SO_REUSEADDR, 1));
  OK(close(one));
  one = make();
  OK(set_option(one, SOL_SOCKET, SO_REUSEADDR, 1));
  OK(bind_to(one, at(loopback, 0)));
  OK(bind_to(other, own_name(one)));
  OK(close(one));
  OK(close(other));
}

// Where a datagram was sent to, and how.
static void told_beside(void) {
  int is_v4 = at(loopback, 0).any.sa_family == AF_INET, one = make_bound(), other = make_bound();
  int level = is_v4 ? SOL_IP : SOL_IPV6;
  OK(set_option(other, level, is_v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, 1));
  OK(set_option(other, level, is_v4 ? IP_RECVTTL : IPV6_RECVHOPLIMIT, 1));
  CHECK_EQ(send_to(one, "x", own_name(other)), 1);
  char byte, control[256];
  struct iovec piece = {&byte, 1};
  struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK_EQ(recvmsg(other, &header, 0), 1);
  int seen = 0;
  for (struct cmsghdr *message = CMSG_FIRSTHDR(&header); message != NULL; message = CMSG_NXTHDR(&header, message)) {
    CHECK_EQ(message->cmsg_level, level);
    if (is_v4 && message->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo *info = (void *)CMSG_DATA(message);
      CHECK_EQ(info->ipi_ifindex, 1);
      CHECK_EQ(info->ipi_addr.s_addr, own_name(other).v4.sin_addr.s_addr);
      seen |= 1;
    } else if (!is_v4 && message->cmsg_type == IPV6_PKTINFO) {
      struct in6_pktinfo *info = (void *)CMSG_DATA(message);
      CHECK_EQ(info->ipi6_ifindex, 1);
      struct address own = own_name(other);
      CHECK(memcmp(&info->ipi6_addr, &own.v6.sin6_addr, 16) == 0);
      seen |= 1;
    } else {
      CHECK_EQ(message->cmsg_type, is_v4 ? IP_TTL : IPV6_HOPLIMIT);
      CHECK_EQ(*(int *)CMSG_DATA(message), 64);
      seen |= 2;
    }
  }
  CHECK_EQ(seen, 3);
  OK(close(one));
  OK(close(other));
}

static void broadcast(void) {
  int one = OK(socket(AF_INET, SOCK_DGRAM, 0));
  CHECK_ERRNO(send_to(one, "x", at("127.255.255.255", 9)), EACCES);
  OK(set_option(one, SOL_SOCKET, SO_BROADCAST, 1));
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_BROADCAST), 1);
  OK(close(one));
}

// A socket of IPv6 that takes IPv4 too, unless it is told not to.
static void dual_stack(void) {
  int both = OK(socket(AF_INET6, SOCK_DGRAM, 0)), v4 = OK(socket(AF_INET, SOCK_DGRAM, 0));
  OK(bind_to(both, at("::", 0)));
  int port = port_of(own_name(both));
  OK(bind_to(v4, at("127.0.0.1", 0)));
  CHECK_EQ(send_to(v4, "four", at("127.0.0.1", port)), 4);
  expect_from(both, "four", at("::ffff:127.0.0.1", port_of(own_name(v4))));
  CHECK_EQ(send_to(both, "back", at("::ffff:127.0.0.1", port_of(own_name(v4)))), 4);
  expect_from(v4, "back", at("127.0.0.1", port));
  CHECK_ERRNO(set_option(both, SOL_IPV6, IPV6_V6ONLY, 1), EINVAL);
  int only = OK(socket(AF_INET6, SOCK_DGRAM, 0)), other = OK(socket(AF_INET, SOCK_DGRAM, 0));
  CHECK_ERRNO(bind_to(other, at("0.0.0.0", port)), EADDRINUSE);
  OK(set_option(only, SOL_IPV6, IPV6_V6ONLY, 1));
  CHECK_EQ(option_of(only, SOL_IPV6, IPV6_V6ONLY), 1);
  CHECK_ERRNO(bind_to(only, at("::ffff:127.0.0.1", 0)), EINVAL);
  OK(bind_to(only, at("::", 0)));
  CHECK_ERRNO(connect_to(only, at("::ffff:127.0.0.1", 9)), ENETUNREACH);
  OK(bind_to(other, at("0.0.0.0", port_of(own_name(only)))));
  OK(close(both));
  OK(close(v4));
  OK(close(only));
  OK(close(other));
}

// A connect or a send that fails has given the socket a port.
static void bound_by_failures(void) {
  int one = OK(socket(AF_INET, SOCK_DGRAM, 0)), other = OK(socket(AF_INET, SOCK_DGRAM, 0));
  CHECK_ERRNO(connect_to(one, at("127.255.255.255", 9)), EACCES);
  CHECK(port_of(own_name(one)) != 0);
  CHECK_ERRNO(send(other, "x", 1, 0), EDESTADDRREQ);
  CHECK(port_of(own_name(other)) != 0);
  OK(close(one));
  OK(close(other));
}

static void wrong_arguments(void) {
  int one = OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct address where = at("127.0.0.1", 0);
  CHECK_ERRNO(bind(one, &where.any, 15), EINVAL);
  CHECK_ERRNO(bind_to(one, at("8.8.8.8", 0)), EADDRNOTAVAIL);
  CHECK_ERRNO(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
  CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
  CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
  CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, -1), EINVAL);
  int pair[2];
  CHECK_ERRNO(socketpair(AF_INET, SOCK_DGRAM, 0, pair), EOPNOTSUPP);
  CHECK_ERRNO(set_option(one, SOL_IP, 999, 1), ENOPROTOOPT);
  OK(close(one));
}

int main(void) {
  const char *loopbacks[] = {"127.0.0.1", "127.9.8.7", "::1"};
  for (size_t i = 0; i < COUNT(loopbacks); i++) {
    loopback = loopbacks[i];
    names();
    connected();
    refused();
    messages();
    shut_down();
    full_buffer();
    ports();
    told_beside();
  }
  broadcast();
  dual_stack();
  bound_by_failures();
  wrong_arguments();
  return 0;
}
