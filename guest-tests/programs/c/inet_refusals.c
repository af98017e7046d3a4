// What internet sockets and those of netlink say first of wrong calls, and of calls in the wrong state, in a network of their own.
#include "inet.h"
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <sched.h>

static int make(int family, int type, int protocol) { return OK(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol)); }

static void set_up(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_UP};
  strcpy(request.ifr_name, name);
  int one = make(AF_INET, SOCK_DGRAM, 0);
  OK(ioctl(one, SIOCSIFFLAGS, &request));
  OK(close(one));
}

static int reset_of(const char *text) {
  int ends[2];
  make_connection(text, ends);
  struct linger linger = {1, 0};
  OK(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  OK(close(ends[1]));
  return ends[0];
}

// Who receives nothing waits as well.
static void receiving_nothing(void) {
  int ends[2];
  char byte;
  make_connection("127.0.0.1", ends);
  CHECK_ERRNO(recv(ends[0], &byte, 0, MSG_DONTWAIT), EAGAIN);
  CHECK_EQ(read(ends[0], &byte, 0), 0);
  OK(send(ends[1], "x", 1, 0));
  CHECK_EQ(recv(ends[0], &byte, 0, MSG_DONTWAIT), 0);
  CHECK_EQ(recv(ends[0], &byte, 1, MSG_DONTWAIT), 1);
  OK(shutdown(ends[1], SHUT_WR));
  CHECK_EQ(recv(ends[0], &byte, 0, MSG_DONTWAIT), 0);
  OK(close(ends[0]));
  OK(close(ends[1]));
  int broken = reset_of("127.0.0.1");
  CHECK_ERRNO(recv(broken, &byte, 0, MSG_DONTWAIT), ECONNRESET);
  CHECK_EQ(recv(broken, &byte, 0, MSG_DONTWAIT), 0);
  OK(close(broken));
}

static void urgent_bytes(void) {
  int one = make(AF_INET, SOCK_STREAM, 0), listener = listen_at("127.0.0.1", 1), ends[2];
  char byte;
  CHECK_ERRNO(recv(one, &byte, 1, MSG_OOB), EINVAL);
  CHECK_ERRNO(recv(one, &byte, 1, 0), ENOTCONN);
  CHECK_ERRNO(recv(listener, &byte, 1, MSG_OOB), ENOTCONN);
  CHECK_ERRNO(send(one, &byte, 0, MSG_OOB | MSG_NOSIGNAL), EPIPE);
  make_connection("127.0.0.1", ends);
  CHECK_EQ(send(ends[0], &byte, 0, MSG_OOB), 0);
  OK(close(one));
  OK(close(listener));
  OK(close(ends[0]));
  OK(close(ends[1]));
}

// MSG_FASTOPEN connects, and sends what there is room for.
static void connecting_fast(void) {
  int listener = listen_at("127.0.0.1", 4), one = OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), ends[2];
  struct address where = own_name(listener);
  char bytes[8];
  CHECK_ERRNO(send(one, "hello", 5, MSG_FASTOPEN | MSG_NOSIGNAL), EINVAL);
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  CHECK_ERRNO(sendto(one, "hello", 5, MSG_FASTOPEN | MSG_NOSIGNAL, &none, sizeof none), EOPNOTSUPP);
  CHECK_EQ(sendto(one, "hello", 5, MSG_FASTOPEN, &where.any, where.length), 5);
  int other = OK(accept(listener, NULL, NULL));
  CHECK_EQ(recv(other, bytes, sizeof bytes, 0), 5);
  CHECK(memcmp(bytes, "hello", 5) == 0);
  CHECK_ERRNO(sendto(one, "hello", 5, MSG_FASTOPEN | MSG_NOSIGNAL, &where.any, where.length), EISCONN);
  CHECK_ERRNO(send(listener, "hello", 5, MSG_FASTOPEN | MSG_NOSIGNAL), EISCONN);
  OK(close(one));
  OK(close(other));
  OK(close(listener));
  // Nobody is there.
  one = OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK_ERRNO(sendto(one, "hello", 5, MSG_FASTOPEN | MSG_NOSIGNAL, &where.any, where.length), ECONNREFUSED);
  OK(close(one));
  make_connection("127.0.0.1", ends);
  OK(close(ends[0]));
  OK(close(ends[1]));
}

static void connections(void) {
  int ends[2], listener = listen_at("127.0.0.1", 1);
  struct address where = own_name(listener);
  make_connection("127.0.0.1", ends);
  CHECK_ERRNO(connect(ends[0], &where.any, 1), EINVAL);
  CHECK_ERRNO(connect(listener, &where.any, 0), EINVAL);
  CHECK_ERRNO(connect_to(ends[0], where), EISCONN);
  // Parting breaks the connection off, and parting again leaves that to be told.
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  OK(connect(ends[0], &none, sizeof none));
  OK(connect(ends[0], &none, sizeof none));
  CHECK_EQ(option_of(ends[0], SOL_SOCKET, SO_ERROR), ECONNRESET);
  OK(connect_to(ends[0], where));
  OK(close(ends[0]));
  OK(close(ends[1]));
  OK(close(listener));
}

static void scopes(void) {
  int tcp = make(AF_INET6, SOCK_STREAM, 0), udp = make(AF_INET6, SOCK_DGRAM, 0);
  CHECK_ERRNO(bind_to(tcp, at("ff02::1", 0)), EINVAL);
  CHECK_ERRNO(bind_to(tcp, at("ff05::1", 0)), EINVAL);
  CHECK_ERRNO(bind_to(udp, at("ff02::1", 0)), EINVAL);
  CHECK_ERRNO(connect_to(tcp, at("fe80::1", 9)), EINVAL);
  CHECK_ERRNO(connect_to(udp, at("fe80::1", 9)), EINVAL);
  CHECK_ERRNO(connect_to(udp, at("ff02::1", 9)), EINVAL);
  OK(close(tcp));
  OK(close(udp));
}

// Which address a datagram is for.
static void datagrams(void) {
  int one = make(AF_INET, SOCK_DGRAM, 0), six = make(AF_INET6, SOCK_DGRAM, 0), receiver = make(AF_INET6, SOCK_DGRAM, 0);
  struct address where = at("127.0.0.1", 9), other = at("::1", 9);
  char byte;
  CHECK_ERRNO(sendto(one, "x", 1, 0, &where.any, 0), EINVAL);
  CHECK_ERRNO(sendto(six, "x", 1, 0, &other.any, 0), EINVAL);
  other.any.sa_family = AF_UNIX;
  CHECK_ERRNO(sendto(six, "x", 1, 0, &other.any, other.length), EINVAL);
  // Without a family it is the peer's.
  other.any.sa_family = AF_UNSPEC;
  CHECK_ERRNO(sendto(six, "x", 1, 0, &other.any, other.length), EDESTADDRREQ);
  OK(bind_to(receiver, at("::1", 0)));
  OK(connect_to(six, own_name(receiver)));
  CHECK_EQ(sendto(six, "x", 1, 0, &other.any, other.length), 1);
  CHECK_EQ(await_events(receiver, POLLIN), POLLIN);
  CHECK_EQ(recv(receiver, &byte, 1, 0), 1);
  // This one has nothing to do with IPv4.
  CHECK_ERRNO(sendto(receiver, "x", 1, 0, &where.any, where.length), ENETUNREACH);
  OK(close(one));
  OK(close(six));
  OK(close(receiver));
}

// What goes to a group leaves by the link that has the sender's address.
static void groups(void) {
  int sender = make(AF_INET, SOCK_DGRAM, 0), receiver = make(AF_INET, SOCK_DGRAM, 0);
  struct ip_mreq request = {{inet_addr("239.1.2.3")}, {inet_addr("127.0.0.1")}};
  OK(bind_to(receiver, at("0.0.0.0", 0)));
  OK(setsockopt(receiver, SOL_IP, IP_ADD_MEMBERSHIP, &request, sizeof request));
  struct address where = at("239.1.2.3", port_of(own_name(receiver)));
  CHECK_ERRNO(sendto(sender, "x", 1, 0, &where.any, where.length), ENETUNREACH);
  OK(close(sender));
  sender = make(AF_INET, SOCK_DGRAM, 0);
  OK(bind_to(sender, at("127.0.0.1", 0)));
  CHECK_EQ(sendto(sender, "x", 1, 0, &where.any, where.length), 1);
  CHECK_EQ(await_events(receiver, POLLIN), POLLIN);
  struct address all = at("255.255.255.255", 9);
  CHECK_ERRNO(sendto(sender, "x", 1, 0, &all.any, all.length), EACCES);
  OK(close(sender));
  OK(close(receiver));
}

static void requests(void) {
  int udp = make(AF_INET, SOCK_DGRAM, 0), tcp = make(AF_INET, SOCK_STREAM, 0);
  long value = 0;
  CHECK_ERRNO(ioctl(udp, SIOCPROTOPRIVATE, &value), ENOTTY);
  CHECK_ERRNO(ioctl(tcp, SIOCPROTOPRIVATE + 15, &value), ENOTTY);
  CHECK_ERRNO(ioctl(udp, SIOCOUTQNSD, &value), ENOTTY);
  OK(close(udp));
  OK(close(tcp));
}

static void raw_sockets(void) {
  int icmp = make(AF_INET, SOCK_RAW, IPPROTO_ICMP), icmp6 = make(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), whole = make(AF_INET6, SOCK_RAW, IPPROTO_RAW);
  struct address here = at("127.0.0.1", 0), here6 = at("::1", 0), wrong = at("127.0.0.1", 0), peer;
  char bytes[64];
  // It looks at no family, but at whether it is connected.
  wrong.any.sa_family = AF_UNIX;
  OK(bind_to(icmp, wrong));
  OK(bind_to(icmp, here));
  CHECK_ERRNO(bind_to(icmp6, wrong), EINVAL);
  CHECK_ERRNO(sendto(icmp, bytes, 1, 0, &here.any, here.length), EFAULT);
  CHECK_ERRNO(sendto(icmp6, bytes, 0, 0, &here6.any, here6.length), EFAULT);
  // What is too short to be a message reaches nobody.
  memset(bytes, 0, sizeof bytes);
  CHECK_EQ(sendto(icmp, bytes, 7, 0, &here.any, here.length), 7);
  CHECK_ERRNO(recv(icmp, bytes, sizeof bytes, 0), EAGAIN);
  CHECK_ERRNO(sendto(whole, bytes, 39, 0, &here6.any, here6.length), EINVAL);
  OK(connect_to(icmp, here));
  CHECK_ERRNO(bind_to(icmp, here), EINVAL);
  peer.length = sizeof peer.v6;
  CHECK_ERRNO(getpeername(icmp, &peer.any, &peer.length), ENOTCONN);
  OK(shutdown(icmp, SHUT_WR));
  CHECK_EQ(send(icmp, bytes, 8, 0), 8);
  OK(close(icmp));
  OK(close(icmp6));
  OK(close(whole));
}

// A packet of IPv6 with the header that its sender has written.
static void whole_packet(void) {
  enum { PROTOCOL = 253 };
  int sender = make(AF_INET6, SOCK_RAW, IPPROTO_RAW), receiver = make(AF_INET6, SOCK_RAW, PROTOCOL);
  unsigned char packet[45] = {0x60, 0, 0, 0, 0, 5, PROTOCOL, 9, [23] = 1, [39] = 1, 'h', 'e', 'l', 'l', 'o'}, got[64];
  struct address where = at("::1", 0);
  CHECK_EQ(sendto(sender, packet, sizeof packet, 0, &where.any, where.length), sizeof packet);
  CHECK_EQ(await_events(receiver, POLLIN), POLLIN);
  CHECK_EQ(recv(receiver, got, sizeof got, 0), 5);
  CHECK(memcmp(got, "hello", 5) == 0);
  OK(close(sender));
  OK(close(receiver));
}

static void netlink(void) {
  int one = make(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), value;
  struct pollfd poller = {one, POLLOUT | POLLWRBAND, 0};
  CHECK_EQ(poll(&poller, 1, 0), 1);
  CHECK_EQ(poller.revents, POLLOUT | POLLWRBAND);
  CHECK_ERRNO(send(one, "", 0, 0), ENODATA);
  CHECK_ERRNO(ioctl(one, FIONREAD, &value), ENOTTY);
  CHECK_ERRNO(ioctl(one, TIOCOUTQ, &value), ENOTTY);
  OK(close(one));
}

// What is sent to one who has shut both halves is answered with a reset; what a connection leaves behind that is over.
static void ends_of_connections(void) {
  int ends[2];
  char byte;
  make_connection("127.0.0.1", ends);
  OK(shutdown(ends[1], SHUT_RDWR));
  CHECK_EQ(recv(ends[0], &byte, 1, 0), 0);
  CHECK_EQ(send(ends[0], "x", 1, MSG_NOSIGNAL), 1);
  await_events(ends[0], POLLERR);
  CHECK_EQ(option_of(ends[0], SOL_SOCKET, SO_ERROR), EPIPE);
  CHECK_EQ(option_of(ends[1], SOL_SOCKET, SO_ERROR), ECONNRESET);
  CHECK_ERRNO(send(ends[0], "x", 1, MSG_NOSIGNAL), EPIPE);
  for (int i = 0; i < 2; i++) OK(close(ends[i]));

  // One who reads no more gets it all the same.
  make_connection("127.0.0.1", ends);
  OK(shutdown(ends[1], SHUT_RD));
  for (int i = 0; i < 2; i++) CHECK_EQ(send(ends[0], "x", 1, MSG_NOSIGNAL), 1);
  for (int i = 0; i < 2; i++) OK(close(ends[i]));

  struct sockaddr none = {.sa_family = AF_UNSPEC};
  make_connection("127.0.0.1", ends);
  for (int i = 0; i < 2; i++) OK(shutdown(ends[i], SHUT_WR));
  for (int i = 0; i < 2; i++) CHECK_EQ(recv(ends[i], &byte, 1, 0), 0);
  OK(connect(ends[0], &none, sizeof none));
  CHECK_EQ(option_of(ends[0], SOL_SOCKET, SO_ERROR), 0);
  for (int i = 0; i < 2; i++) OK(close(ends[i]));

  int one = make(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  CHECK_ERRNO(connect_to(one, at("127.0.0.1", 1)), EINPROGRESS);
  await_events(one, POLLHUP);
  OK(bind_to(one, at("127.0.0.1", 0)));
  CHECK_ERRNO(bind_to(one, at("127.0.0.1", 0)), EINVAL);
  OK(close(one));

  // Who asks only how much room all links need says nothing of his own.
  struct ifconf all = {.ifc_len = -77};
  one = make(AF_INET, SOCK_DGRAM, 0);
  OK(ioctl(one, SIOCGIFCONF, &all));
  CHECK_EQ(all.ifc_len, sizeof(struct ifreq));
  OK(close(one));
}

int main(void) {
  OK(unshare(CLONE_NEWNET));
  set_up("lo");
  receiving_nothing();
  urgent_bytes();
  connecting_fast();
  connections();
  scopes();
  datagrams();
  groups();
  requests();
  raw_sockets();
  whole_packet();
  ends_of_connections();
  netlink();
  puts("ok");
}
