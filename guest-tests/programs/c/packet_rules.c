// Tables of rules for packets (iptables' older kind): what is told of them, what is refused, and what becomes of packets. In a network
// namespace of its own.
#include "inet.h"
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_LOG.h>
#include <linux/netfilter/xt_limit.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv4/ipt_REJECT.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <sys/ioctl.h>

enum { INPUT = 1, FORWARD = 2, OUTPUT = 3, LARGEST = 1 << 16 };
enum { DROPPED = -NF_DROP - 1, ACCEPTED = -NF_ACCEPT - 1 };

static int raw;
// A table that is being written: rules of INPUT, of FORWARD and of OUTPUT, and what ends it.
static union {
  struct ipt_replace head;
  char bytes[LARGEST];
} table;
static struct xt_counters counters[256];

static struct ipt_getinfo information(void) {
  struct ipt_getinfo told = {.name = "filter"};
  socklen_t length = sizeof told;
  OK(getsockopt(raw, IPPROTO_IP, IPT_SO_GET_INFO, &told, &length));
  CHECK_EQ(length, sizeof told);
  return told;
}

static struct ipt_get_entries *entries(void) {
  static union {
    struct ipt_get_entries told;
    char bytes[LARGEST];
  } room;
  struct ipt_getinfo info = information();
  memset(&room, 0, sizeof room);
  strcpy(room.told.name, "filter");
  room.told.size = info.size;
  socklen_t length = sizeof room.told + info.size;
  OK(getsockopt(raw, IPPROTO_IP, IPT_SO_GET_ENTRIES, &room, &length));
  return &room.told;
}

static void begin(void) {
  memset(&table, 0, sizeof table);
  strcpy(table.head.name, "filter");
  table.head.valid_hooks = 1 << INPUT | 1 << FORWARD | 1 << OUTPUT;
}

static char *end_of_table(void) { return table.bytes + sizeof table.head + table.head.size; }

// A rule: its matches are put behind it, then its target.
static struct ipt_entry *rule(int protocol) {
  struct ipt_entry *entry = (void *)end_of_table();
  entry->ip.proto = protocol;
  entry->target_offset = entry->next_offset = sizeof *entry;
  table.head.num_entries++;
  return entry;
}

static void *part(struct ipt_entry *entry, const char *name, int revision, size_t size, int is_target) {
  struct xt_entry_match *match = (void *)((char *)entry + entry->next_offset);
  match->u.user.match_size = XT_ALIGN(sizeof *match + size);
  match->u.user.revision = revision;
  strcpy(match->u.user.name, name);
  entry->next_offset += match->u.match_size;
  if (!is_target) entry->target_offset = entry->next_offset;
  if (is_target) table.head.size += entry->next_offset;
  return match->data;
}

static void verdict(struct ipt_entry *entry, int verdict) { *(int *)part(entry, "", 0, sizeof verdict, 1) = verdict; }
static void reject(struct ipt_entry *entry, int with) {
  ((struct ipt_reject_info *)part(entry, "REJECT", 0, sizeof(struct ipt_reject_info), 1))->with = with;
}

static void hook(int number) { table.head.hook_entry[number] = table.head.size; }
static void policy(int number, int what) {
  table.head.underflow[number] = table.head.size;
  verdict(rule(0), what);
}

static int replace(void) {
  strcpy(part(rule(0), "ERROR", 0, sizeof(((struct xt_error_target *)0)->errorname), 1), "ERROR");
  table.head.num_counters = information().num_entries;
  table.head.counters = counters;
  return setsockopt(raw, IPPROTO_IP, IPT_SO_SET_REPLACE, &table, sizeof table.head + table.head.size);
}

// Chains without rules; what follows is the place of one that has them.
static void rest_from(int number) {
  for (; number <= OUTPUT; number++) {
    hook(number);
    policy(number, ACCEPTED);
  }
}
static void finish(int number) {
  policy(number, ACCEPTED);
  rest_from(number + 1);
  OK(replace());
}
static void begin_at(int number) {
  begin();
  for (int before = INPUT; before < number; before++) {
    hook(before);
    policy(before, ACCEPTED);
  }
  hook(number);
}

static void clear(void) {
  begin();
  rest_from(INPUT);
  OK(replace());
}

static struct xt_tcp *to_port(struct ipt_entry *entry, int port) {
  struct xt_tcp *asked = part(entry, "tcp", 0, sizeof *asked, 0);
  *asked = (struct xt_tcp){.spts = {0, 65535}, .dpts = {port, port}};
  return asked;
}

static void initial_table(void) {
  struct ipt_getinfo info = information();
  CHECK_EQ(info.valid_hooks, 1 << INPUT | 1 << FORWARD | 1 << OUTPUT);
  CHECK_EQ(info.num_entries, 4);
  CHECK_EQ(info.size, 632);
  CHECK_EQ(info.hook_entry[0], UINT32_MAX);
  for (int number = INPUT; number <= OUTPUT; number++) {
    CHECK_EQ(info.hook_entry[number], 152 * (number - 1));
    CHECK_EQ(info.underflow[number], 152 * (number - 1));
  }
  struct ipt_entry *first = entries()->entrytable;
  CHECK_EQ(first->target_offset, 112);
  CHECK_EQ(first->next_offset, 152);
  CHECK_EQ(first->comefrom, 1 << INPUT);
  CHECK_EQ(((struct xt_standard_target *)ipt_get_target(first))->verdict, ACCEPTED);
  int six = OK(socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  struct ip6t_getinfo of_v6 = {.name = "filter"};
  socklen_t length = sizeof of_v6;
  OK(getsockopt(six, IPPROTO_IPV6, IP6T_SO_GET_INFO, &of_v6, &length));
  CHECK_EQ(of_v6.num_entries, 4);
  CHECK_EQ(of_v6.size, 3 * (168 + 40) + 168 + 64);
  OK(close(six));
}

static int asks_for(int option, const char *name, int revision) {
  struct xt_get_revision asked = {.revision = revision};
  strcpy(asked.name, name);
  socklen_t length = sizeof asked;
  return getsockopt(raw, IPPROTO_IP, option, &asked, &length);
}

static void refusals(void) {
  struct ipt_getinfo told = {.name = "nothing"};
  socklen_t length = sizeof told;
  CHECK_ERRNO(getsockopt(raw, IPPROTO_IP, IPT_SO_GET_INFO, &told, &length), ENOENT);
  length--;
  CHECK_ERRNO(getsockopt(raw, IPPROTO_IP, IPT_SO_GET_INFO, &told, &length), EINVAL);
  struct ipt_get_entries asked = {.name = "filter", .size = 0};
  length = sizeof asked;
  CHECK_ERRNO(getsockopt(raw, IPPROTO_IP, IPT_SO_GET_ENTRIES, &asked, &length), EAGAIN);
  length++;
  CHECK_ERRNO(getsockopt(raw, IPPROTO_IP, IPT_SO_GET_ENTRIES, &asked, &length), EINVAL);
  OK(asks_for(IPT_SO_GET_REVISION_MATCH, "tcp", 0));
  OK(asks_for(IPT_SO_GET_REVISION_MATCH, "conntrack", 3));
  OK(asks_for(IPT_SO_GET_REVISION_TARGET, "REJECT", 0));
  CHECK_ERRNO(asks_for(IPT_SO_GET_REVISION_MATCH, "tcp", 9), EPROTONOSUPPORT);
  CHECK_ERRNO(asks_for(IPT_SO_GET_REVISION_MATCH, "nothing", 0), ENOENT);

  begin_at(INPUT);
  verdict(rule(0), 0x7ffffff0);
  policy(INPUT, ACCEPTED);
  rest_from(FORWARD);
  CHECK(replace() < 0 && (errno == EINVAL || errno == ELOOP));
  begin_at(INPUT);
  part(rule(IPPROTO_TCP), "nothing", 0, 8, 1);
  policy(INPUT, ACCEPTED);
  rest_from(FORWARD);
  CHECK_ERRNO(replace(), ENOENT);
  // A port of what may be anything.
  begin_at(INPUT);
  struct ipt_entry *entry = rule(0);
  to_port(entry, 1);
  verdict(entry, DROPPED);
  policy(INPUT, ACCEPTED);
  rest_from(FORWARD);
  CHECK_ERRNO(replace(), EINVAL);
  // A chain that calls itself.
  begin_at(INPUT);
  entry = rule(0);
  entry->ip.iniface[0] = entry->ip.iniface_mask[0] = 1;
  verdict(entry, 0);
  policy(INPUT, ACCEPTED);
  rest_from(FORWARD);
  CHECK(replace() < 0 && (errno == ELOOP || errno == EINVAL));
  // Another table than the one that is there.
  begin();
  rest_from(INPUT);
  OK(replace());
  table.head.num_counters = 77;
  CHECK_ERRNO(setsockopt(raw, IPPROTO_IP, IPT_SO_SET_REPLACE, &table, sizeof table.head + table.head.size), EAGAIN);
  CHECK_ERRNO(setsockopt(raw, IPPROTO_IP, IPT_SO_SET_REPLACE, &table, sizeof table.head - 1), EINVAL);
}

static int listener, port;

static int try_connect(void) {
  int one = OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  OK(set_option(one, IPPROTO_TCP, TCP_SYNCNT, 1));
  int result = connect_to(one, at("127.0.0.1", port)) < 0 ? errno : 0;
  if (result == 0) OK(close(OK(accept(listener, NULL, NULL))));
  OK(close(one));
  return result;
}

static void connections(void) {
  listener = OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  OK(bind_to(listener, at("127.0.0.1", 0)));
  OK(listen(listener, 9));
  port = port_of(own_name(listener));
  CHECK_EQ(try_connect(), 0);
  struct {
    int with, error;
  } cases[] = {
      {IPT_TCP_RESET, ECONNREFUSED},          {IPT_ICMP_PORT_UNREACHABLE, ECONNREFUSED}, {IPT_ICMP_HOST_UNREACHABLE, EHOSTUNREACH},
      {IPT_ICMP_NET_UNREACHABLE, ENETUNREACH}, {IPT_ICMP_ADMIN_PROHIBITED, EHOSTUNREACH},
  };
  for (size_t i = 0; i < COUNT(cases); i++)
    for (int number = INPUT; number <= OUTPUT; number += 2) {
      begin_at(number);
      struct ipt_entry *entry = rule(IPPROTO_TCP);
      to_port(entry, port);
      reject(entry, cases[i].with);
      finish(number);
      CHECK_EQ(try_connect(), cases[i].error);
    }
  begin_at(INPUT);
  struct ipt_entry *entry = rule(IPPROTO_TCP);
  to_port(entry, port);
  verdict(entry, DROPPED);
  finish(INPUT);
  CHECK_EQ(try_connect(), ETIMEDOUT);
  entry = entries()->entrytable;
  CHECK(entry->counters.pcnt >= 2 && entry->counters.bcnt == 60 * entry->counters.pcnt);
  // The refusal itself does not get through.
  begin_at(INPUT);
  reject(rule(IPPROTO_TCP), IPT_TCP_RESET);
  finish(INPUT);
  CHECK_EQ(try_connect(), ETIMEDOUT);
  // What answers gets through by its state alone.
  begin_at(INPUT);
  entry = rule(0);
  struct xt_conntrack_mtinfo3 *state = part(entry, "conntrack", 3, sizeof *state, 0);
  *state = (struct xt_conntrack_mtinfo3){.match_flags = XT_CONNTRACK_STATE};
  state->state_mask = XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED) | XT_CONNTRACK_STATE_BIT(IP_CT_RELATED);
  verdict(entry, ACCEPTED);
  entry = rule(IPPROTO_TCP);
  struct xt_multiport_v1 *ports = part(entry, "multiport", 1, sizeof *ports, 0);
  *ports = (struct xt_multiport_v1){.flags = XT_MULTIPORT_DESTINATION, .count = 3, .ports = {1, 2, port}, .pflags = {1}};
  verdict(entry, ACCEPTED);
  policy(INPUT, DROPPED);
  rest_from(FORWARD);
  OK(replace());
  CHECK_EQ(try_connect(), 0);
  clear();
  CHECK_EQ(counters[0].pcnt > 0, 1);
  CHECK_EQ(try_connect(), 0);
}

// What is sent while rules drop it comes when they do no more.
static void held_back(void) {
  int one = OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  OK(connect_to(one, at("127.0.0.1", port)));
  int other = OK(accept(listener, NULL, NULL));
  char byte;
  CHECK_EQ(send(one, "a", 1, 0), 1);
  CHECK_EQ(recv(other, &byte, 1, 0), 1);
  begin_at(INPUT);
  struct ipt_entry *entry = rule(IPPROTO_TCP);
  to_port(entry, port);
  verdict(entry, DROPPED);
  finish(INPUT);
  CHECK_EQ(send(one, "b", 1, 0), 1);
  CHECK_EQ(events_of(other, 150), POLLOUT);
  CHECK_ERRNO(recv(other, &byte, 1, MSG_DONTWAIT), EAGAIN);
  clear();
  CHECK_EQ(recv(other, &byte, 1, 0), 1);
  CHECK_EQ(byte, 'b');
  OK(close(one));
  CHECK_EQ(recv(other, &byte, 1, 0), 0);
  OK(close(other));
}

static void datagrams(void) {
  int sender = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), receiver = OK(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  OK(bind_to(receiver, at("127.0.0.1", 0)));
  OK(connect_to(sender, own_name(receiver)));
  char byte;
  begin_at(OUTPUT);
  verdict(rule(IPPROTO_UDP), DROPPED);
  finish(OUTPUT);
  CHECK_ERRNO(send(sender, "x", 1, 0), EPERM);
  begin_at(INPUT);
  verdict(rule(IPPROTO_UDP), DROPPED);
  finish(INPUT);
  CHECK_EQ(send(sender, "x", 1, 0), 1);
  CHECK_ERRNO(recv(receiver, &byte, 1, 0), EAGAIN);
  begin_at(INPUT);
  reject(rule(IPPROTO_UDP), IPT_ICMP_PORT_UNREACHABLE);
  finish(INPUT);
  CHECK_EQ(send(sender, "x", 1, 0), 1);
  CHECK_ERRNO(recv(sender, &byte, 1, MSG_DONTWAIT), ECONNREFUSED);
  // Everything is rejected, what says so too.
  begin_at(INPUT);
  reject(rule(0), IPT_ICMP_PORT_UNREACHABLE);
  finish(INPUT);
  CHECK_EQ(send(sender, "x", 1, 0), 1);
  CHECK_ERRNO(recv(sender, &byte, 1, MSG_DONTWAIT), EAGAIN);
  clear();
  CHECK_EQ(send(sender, "x", 1, 0), 1);
  CHECK_EQ(recv(receiver, &byte, 1, 0), 1);
  OK(close(sender));
  OK(close(receiver));
}

static void echoes(void) {
  int one = OK(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  struct icmphdr echo = {.type = ICMP_ECHO, .checksum = htons(0xf7ff)};
  struct address to = at("127.0.0.1", 0);
  begin_at(OUTPUT);
  verdict(rule(IPPROTO_ICMP), DROPPED);
  finish(OUTPUT);
  CHECK_ERRNO(sendto(one, &echo, sizeof echo, 0, &to.any, to.length), EPERM);
  begin_at(INPUT);
  verdict(rule(IPPROTO_ICMP), DROPPED);
  finish(INPUT);
  CHECK_EQ(sendto(one, &echo, sizeof echo, 0, &to.any, to.length), (ssize_t)sizeof echo);
  char bytes[64];
  CHECK_ERRNO(recv(one, bytes, sizeof bytes, MSG_DONTWAIT), EAGAIN);
  // Two in an hour, and their answers; each is told of in any case.
  begin_at(INPUT);
  struct ipt_entry *entry = rule(IPPROTO_ICMP);
  struct ipt_icmp *kind = part(entry, "icmp", 0, sizeof *kind, 0);
  *kind = (struct ipt_icmp){.type = ICMP_ECHO, .code = {0, 255}};
  struct xt_log_info *told = part(entry, "LOG", 0, sizeof *told, 1);
  *told = (struct xt_log_info){.level = 4, .prefix = "echo "};
  entry = rule(IPPROTO_ICMP);
  struct xt_rateinfo *limit = part(entry, "limit", 0, sizeof *limit, 0);
  *limit = (struct xt_rateinfo){.avg = XT_LIMIT_SCALE * 3600 / 2, .burst = 2};
  verdict(entry, ACCEPTED);
  policy(INPUT, DROPPED);
  rest_from(FORWARD);
  OK(replace());
  for (int i = 0; i < 3; i++) CHECK_EQ(sendto(one, &echo, sizeof echo, 0, &to.any, to.length), (ssize_t)sizeof echo);
  // The first and its answer, and nothing of the others.
  CHECK_EQ(recv(one, bytes, sizeof bytes, 0), 28);
  CHECK_EQ(recv(one, bytes, sizeof bytes, 0), 28);
  CHECK_ERRNO(recv(one, bytes, sizeof bytes, MSG_DONTWAIT), EAGAIN);
  CHECK_EQ(entries()->entrytable->counters.pcnt, 3);
  clear();
  OK(close(one));
}

static void rights(void) {
  pid_t child = OK(fork());
  if (child == 0) {
    int one = OK(socket(AF_INET, SOCK_DGRAM, 0));
    OK(setuid(1000));
    struct ipt_getinfo told = {.name = "filter"};
    socklen_t length = sizeof told;
    CHECK_ERRNO(getsockopt(one, IPPROTO_IP, IPT_SO_GET_INFO, &told, &length), EPERM);
    CHECK_ERRNO(setsockopt(one, IPPROTO_IP, IPT_SO_SET_REPLACE, &table, sizeof table.head), EPERM);
    _exit(0);
  }
  int status;
  OK(waitpid(child, &status, 0));
  CHECK_EQ(status, 0);
}

int main(void) {
  OK(unshare(CLONE_NEWNET));
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  raw = OK(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  OK(ioctl(raw, SIOCSIFFLAGS, &request));
  initial_table();
  refusals();
  connections();
  held_back();
  datagrams();
  echoes();
  rights();
  puts("ok");
  return 0;
}
