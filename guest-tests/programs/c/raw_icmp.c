// Raw sockets of ICMP: an echo to the loopback comes by, and so does its answer.
#include "inet.h"
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>

// ICMP_FILTER of linux/icmp.h, which does not go with glibc's header.
enum { IDENTIFIER = 0x1234, FILTER = 1 };

static unsigned short checksum(const void *bytes, size_t length) {
  const unsigned char *byte = bytes;
  unsigned long sum = 0;
  for (size_t i = 0; i < length; i += 2) sum += byte[i] << 8 | (i + 1 < length ? byte[i + 1] : 0);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons(~sum);
}

static int make(int family, int protocol) { return OK(socket(family, SOCK_RAW | SOCK_CLOEXEC, protocol)); }

static void send_echo(int socket, const char *where, int sequence) {
  struct {
    struct icmphdr header;
    char payload[5];
  } echo = {.header = {.type = ICMP_ECHO}, .payload = "hello"};
  echo.header.un.echo.id = htons(IDENTIFIER);
  echo.header.un.echo.sequence = htons(sequence);
  size_t length = offsetof(__typeof__(echo), payload) + 5;
  echo.header.checksum = checksum(&echo, length);
  struct address target = at(where, 0);
  CHECK_EQ(sendto(socket, &echo, length, 0, &target.any, target.length), length);
}

// Receives packets until one is an echo's answer of this number. Others on this host may be pinging too.
static void await_answer(int socket, const char *sender, int sequence) {
  for (;;) {
    struct {
      struct iphdr ip;
      struct icmphdr header;
      char rest[1500];
    } packet;
    struct address told = {.length = sizeof told.v6};
    await_events(socket, POLLIN);
    ssize_t length = OK(recvfrom(socket, &packet, sizeof packet, 0, &told.any, &told.length));
    if (packet.header.type != ICMP_ECHOREPLY || packet.header.un.echo.id != htons(IDENTIFIER)) continue;
    if (packet.header.un.echo.sequence != htons(sequence)) continue;
    CHECK_EQ(length, 20 + 8 + 5);
    CHECK_EQ(packet.ip.version, 4);
    CHECK_EQ(packet.ip.ihl, 5);
    CHECK_EQ(packet.ip.protocol, IPPROTO_ICMP);
    CHECK_EQ(ntohs(packet.ip.tot_len), length);
    CHECK_EQ(checksum(&packet.ip, 20), 0);
    CHECK_EQ(checksum(&packet.header, length - 20), 0);
    CHECK(memcmp(packet.rest, "hello", 5) == 0);
    CHECK(is_same_address(told, at(sender, 0)));
    return;
  }
}

static void echo_v4(void) {
  int one = make(AF_INET, IPPROTO_ICMP), unrelated = make(AF_INET, IPPROTO_EGP);
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_TYPE), SOCK_RAW);
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_PROTOCOL), IPPROTO_ICMP);
  send_echo(one, "127.0.0.1", 1);
  await_answer(one, "127.0.0.1", 1);
  send_echo(one, "127.1.2.3", 2);
  await_answer(one, "127.1.2.3", 2);
  OK(connect_to(one, at("127.0.0.1", 0)));
  CHECK_ERRNO(recv(unrelated, &one, 1, MSG_DONTWAIT), EAGAIN);
  CHECK_ERRNO(send(unrelated, "x", 1, 0), EDESTADDRREQ);
  OK(close(one));
  OK(close(unrelated));
}

// A filter keeps the request out, and lets the answer in.
static void filtered(void) {
  int one = make(AF_INET, IPPROTO_ICMP);
  unsigned filter = ~(1u << ICMP_ECHOREPLY), told = 0;
  OK(setsockopt(one, SOL_RAW, FILTER, &filter, sizeof filter));
  socklen_t length = sizeof told;
  OK(getsockopt(one, SOL_RAW, FILTER, &told, &length));
  CHECK_EQ(told, filter);
  send_echo(one, "127.0.0.1", 3);
  await_answer(one, "127.0.0.1", 3);
  OK(close(one));
}

static void echo_v6(void) {
  int one = make(AF_INET6, IPPROTO_ICMPV6);
  struct icmp6_filter filter;
  ICMP6_FILTER_SETBLOCKALL(&filter);
  ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
  OK(setsockopt(one, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter));
  struct icmp6_hdr echo = {.icmp6_type = ICMP6_ECHO_REQUEST}, answer;
  echo.icmp6_id = htons(IDENTIFIER);
  echo.icmp6_seq = htons(7);
  struct address target = at("::1", 0);
  CHECK_EQ(sendto(one, &echo, sizeof echo, 0, &target.any, target.length), sizeof echo);
  do {
    await_events(one, POLLIN);
    CHECK_EQ(recv(one, &answer, sizeof answer, 0), sizeof answer);
    CHECK_EQ(answer.icmp6_type, ICMP6_ECHO_REPLY);
  } while (answer.icmp6_id != htons(IDENTIFIER) || answer.icmp6_seq != htons(7));
  OK(close(one));
}

// What no packet could hold is refused before anything is copied.
static void too_long(void) {
  size_t length = 1 << 30;
  void *memory = mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(memory != MAP_FAILED);
  int one = make(AF_INET, IPPROTO_ICMP);
  struct address target = at("127.0.0.1", 0);
  CHECK_ERRNO(sendto(one, memory, length, 0, &target.any, target.length), EMSGSIZE);
  OK(close(one));
  OK(munmap(memory, length));
}

static void who_may(void) {
  CHECK_ERRNO(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
  CHECK_ERRNO(socket(AF_INET, SOCK_RAW, 999), EINVAL);
  pid_t pid;
  IN_CHILD(pid) {
    OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
    CHECK_ERRNO(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), EPERM);
  }
  WAIT_OK(pid);
}

// An echo whose sum is wrong is seen, and not answered.
static void unsummed(void) {
  int one = make(AF_INET, IPPROTO_ICMP);
  struct icmphdr echo = {.type = ICMP_ECHO, .un.echo.id = htons(IDENTIFIER), .un.echo.sequence = htons(77)};
  struct address target = at("127.0.0.1", 0);
  CHECK_EQ(sendto(one, &echo, sizeof echo, 0, &target.any, target.length), sizeof echo);
  send_echo(one, "127.0.0.1", 78);
  for (;;) {
    struct {
      struct iphdr ip;
      struct icmphdr header;
      char rest[1500];
    } packet;
    await_events(one, POLLIN);
    OK(recv(one, &packet, sizeof packet, 0));
    if (packet.header.type != ICMP_ECHOREPLY || packet.header.un.echo.id != htons(IDENTIFIER)) continue;
    CHECK_EQ(ntohs(packet.header.un.echo.sequence), 78);
    break;
  }
  // Who hears of what routers look at is entered once, and taken out once.
  CHECK_ERRNO(set_option(one, SOL_IP, IP_ROUTER_ALERT, 0), ENOBUFS);
  OK(set_option(one, SOL_IP, IP_ROUTER_ALERT, 1));
  CHECK_ERRNO(set_option(one, SOL_IP, IP_ROUTER_ALERT, 1), EADDRINUSE);
  OK(set_option(one, SOL_IP, IP_ROUTER_ALERT, 0));
  OK(close(one));
}

int main(void) {
  echo_v4();
  unsummed();
  filtered();
  echo_v6();
  too_long();
  who_may();
  return 0;
}
