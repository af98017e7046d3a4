// NETLINK_SOCK_DIAG and generic netlink: what sockets there are, and what families.
#include "inet.h"
#include <linux/genetlink.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/un.h>

static int make_netlink(int protocol) { return OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)); }

// Sends a request; returns the answer's first message.
static struct nlmsghdr *ask(int netlink, int type, int flags, const void *payload, size_t size) {
  static char buffer[65536] __attribute__((aligned(8)));
  struct nlmsghdr *header = (struct nlmsghdr *)buffer;
  *header = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(size), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = 7};
  memcpy(NLMSG_DATA(header), payload, size);
  OK(send(netlink, buffer, header->nlmsg_len, 0));
  ssize_t length = OK(recv(netlink, buffer, sizeof buffer, 0));
  CHECK(NLMSG_OK(header, length));
  CHECK_EQ(header->nlmsg_seq, 7);
  return header;
}

static int error_of(struct nlmsghdr *answer) {
  CHECK_EQ(answer->nlmsg_type, NLMSG_ERROR);
  return -((struct nlmsgerr *)NLMSG_DATA(answer))->error;
}

static void internet(int kind, int protocol, int state) {
  int one = OK(socket(AF_INET, kind, 0)), netlink = make_netlink(NETLINK_SOCK_DIAG);
  OK(bind_to(one, at("127.0.0.1", 0)));
  if (kind == SOCK_STREAM) OK(listen(one, 5));
  struct address name = own_name(one);
  struct stat status;
  OK(fstat(one, &status));
  struct inet_diag_req_v2 question = {.sdiag_family = AF_INET, .sdiag_protocol = protocol, .idiag_states = ~0u, .id.idiag_cookie = {~0u, ~0u}};
  question.id.idiag_sport = name.v4.sin_port;
  question.id.idiag_src[0] = name.v4.sin_addr.s_addr;
  struct nlmsghdr *answer = ask(netlink, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &question, sizeof question);
  CHECK_EQ(answer->nlmsg_type, SOCK_DIAG_BY_FAMILY);
  struct inet_diag_msg *told = NLMSG_DATA(answer);
  CHECK_EQ(told->idiag_family, AF_INET);
  CHECK_EQ(told->idiag_state, state);
  CHECK_EQ(told->id.idiag_sport, name.v4.sin_port);
  CHECK_EQ(told->id.idiag_src[0], name.v4.sin_addr.s_addr);
  CHECK_EQ(told->idiag_inode, status.st_ino);
  CHECK_EQ(told->idiag_wqueue, kind == SOCK_STREAM ? 5 : 0);
  OK(close(netlink));
  netlink = make_netlink(NETLINK_SOCK_DIAG);
  // Of UDP, one socket is asked for as its peer sees it.
  if (kind == SOCK_DGRAM) {
    question.id.idiag_dport = name.v4.sin_port, question.id.idiag_sport = 0;
    question.id.idiag_dst[0] = name.v4.sin_addr.s_addr, question.id.idiag_src[0] = 0;
  }
  answer = ask(netlink, SOCK_DIAG_BY_FAMILY, 0, &question, sizeof question);
  CHECK_EQ(answer->nlmsg_type, SOCK_DIAG_BY_FAMILY);
  OK(close(one));
  CHECK_EQ(error_of(ask(netlink, SOCK_DIAG_BY_FAMILY, 0, &question, sizeof question)), ENOENT);
  question.sdiag_protocol = 99;
  CHECK_EQ(error_of(ask(netlink, SOCK_DIAG_BY_FAMILY, 0, &question, sizeof question)), ENOENT);
  CHECK_EQ(error_of(ask(netlink, SOCK_DIAG_BY_FAMILY, 0, "", 1)), EINVAL);
  OK(close(netlink));
}

static void unix_sockets(void) {
  int one = OK(socket(AF_UNIX, SOCK_STREAM, 0)), netlink = make_netlink(NETLINK_SOCK_DIAG);
  struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0diagnosed"};
  OK(bind(one, (struct sockaddr *)&name, offsetof(struct sockaddr_un, sun_path) + 10));
  OK(listen(one, 1));
  struct stat status;
  OK(fstat(one, &status));
  struct unix_diag_req question = {.sdiag_family = AF_UNIX, .udiag_states = ~0u, .udiag_ino = status.st_ino, .udiag_show = UDIAG_SHOW_NAME, .udiag_cookie = {~0u, ~0u}};
  struct nlmsghdr *answer = ask(netlink, SOCK_DIAG_BY_FAMILY, 0, &question, sizeof question);
  CHECK_EQ(answer->nlmsg_type, SOCK_DIAG_BY_FAMILY);
  struct unix_diag_msg *told = NLMSG_DATA(answer);
  CHECK_EQ(told->udiag_type, SOCK_STREAM);
  CHECK_EQ(told->udiag_state, TCP_LISTEN);
  CHECK_EQ(told->udiag_ino, status.st_ino);
  struct nlattr *attribute = (struct nlattr *)(told + 1);
  CHECK_EQ(attribute->nla_type, UNIX_DIAG_NAME);
  CHECK_EQ(attribute->nla_len, sizeof *attribute + 10);
  CHECK(memcmp(attribute + 1, name.sun_path, 10) == 0);
  question.udiag_ino = 0;
  CHECK_EQ(error_of(ask(netlink, SOCK_DIAG_BY_FAMILY, 0, &question, sizeof question)), EINVAL);
  OK(close(one));
  OK(close(netlink));
}

// The attribute of an answer, or nothing.
static void *attribute_of(struct nlmsghdr *answer, size_t fixed, int kind) {
  CHECK_EQ(answer->nlmsg_type, SOCK_DIAG_BY_FAMILY);
  char *end = (char *)answer + answer->nlmsg_len;
  for (char *at = (char *)NLMSG_DATA(answer) + NLMSG_ALIGN(fixed); at + sizeof(struct nlattr) <= end;) {
    struct nlattr *attribute = (struct nlattr *)at;
    if (attribute->nla_type == kind) return attribute + 1;
    at += NLA_ALIGN(attribute->nla_len);
  }
  return NULL;
}

static struct nlmsghdr *ask_for_unix(int netlink, int one, unsigned *inode) {
  struct stat status;
  OK(fstat(one, &status));
  *inode = status.st_ino;
  struct unix_diag_req question = {.sdiag_family = AF_UNIX, .udiag_states = ~0u, .udiag_ino = status.st_ino, .udiag_cookie = {~0u, ~0u}};
  question.udiag_show = UDIAG_SHOW_RQLEN | UDIAG_SHOW_PEER | UDIAG_SHOW_MEMINFO;
  return ask(netlink, SOCK_DIAG_BY_FAMILY, 0, &question, sizeof question);
}

// What waits at unix sockets, who their peers are, and which halves are shut.
static void unix_queues(void) {
  int netlink = make_netlink(NETLINK_SOCK_DIAG), listener = OK(socket(AF_UNIX, SOCK_STREAM, 0)), client = OK(socket(AF_UNIX, SOCK_STREAM, 0)), pair[2];
  struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0waited for"};
  socklen_t length = offsetof(struct sockaddr_un, sun_path) + 11;
  OK(bind(listener, (struct sockaddr *)&name, length));
  OK(listen(listener, 7));
  OK(connect(client, (struct sockaddr *)&name, length));
  unsigned inode, other;
  size_t fixed = sizeof(struct unix_diag_msg);
  struct unix_diag_rqlen *queues = attribute_of(ask_for_unix(netlink, listener, &inode), fixed, UNIX_DIAG_RQLEN);
  CHECK(queues && queues->udiag_rqueue == 1 && queues->udiag_wqueue == 7);
  // One that nobody has accepted has no inode.
  unsigned *peer = attribute_of(ask_for_unix(netlink, client, &inode), fixed, UNIX_DIAG_PEER);
  CHECK(peer && *peer == 0);
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  CHECK_EQ(write(pair[0], "12345", 5), 5);
  OK(shutdown(pair[0], SHUT_WR));
  struct nlmsghdr *answer = ask_for_unix(netlink, pair[0], &inode);
  queues = attribute_of(answer, fixed, UNIX_DIAG_RQLEN);
  CHECK(queues && queues->udiag_rqueue == 0 && queues->udiag_wqueue >= 5);
  uint8_t *shut = attribute_of(answer, fixed, UNIX_DIAG_SHUTDOWN);
  CHECK(shut && *shut == 2);
  answer = ask_for_unix(netlink, pair[1], &other);
  queues = attribute_of(answer, fixed, UNIX_DIAG_RQLEN);
  CHECK(queues && queues->udiag_rqueue == 5 && queues->udiag_wqueue == 0);
  peer = attribute_of(answer, fixed, UNIX_DIAG_PEER);
  CHECK(peer && *peer == inode);
  uint32_t *memory = attribute_of(answer, fixed, UNIX_DIAG_MEMINFO);
  CHECK(memory && memory[SK_MEMINFO_RCVBUF] == (uint32_t)option_of(pair[1], SOL_SOCKET, SO_RCVBUF));
  shut = attribute_of(answer, fixed, UNIX_DIAG_SHUTDOWN);
  CHECK(shut && *shut == 1);
  OK(close(netlink));
}

// The congestion control and the buffers of a listener, and a protocol that only an attribute has room for.
static void tcp_attributes(void) {
  int one = OK(socket(AF_INET, SOCK_STREAM, 0)), netlink = make_netlink(NETLINK_SOCK_DIAG);
  OK(bind_to(one, at("127.0.0.1", 0)));
  OK(listen(one, 5));
  struct address name = own_name(one);
  struct {
    struct inet_diag_req_v2 question;
    struct nlattr head;
    uint32_t protocol;
  } request = {.question = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u, .id.idiag_cookie = {~0u, ~0u}}};
  request.question.idiag_ext = 1 << (INET_DIAG_CONG - 1) | 1 << (INET_DIAG_SKMEMINFO - 1);
  request.question.id.idiag_sport = name.v4.sin_port;
  request.question.id.idiag_src[0] = name.v4.sin_addr.s_addr;
  struct nlmsghdr *answer = ask(netlink, SOCK_DIAG_BY_FAMILY, 0, &request, sizeof request.question);
  uint32_t *memory = attribute_of(answer, sizeof(struct inet_diag_msg), INET_DIAG_SKMEMINFO);
  CHECK(memory && memory[SK_MEMINFO_RCVBUF] == (uint32_t)option_of(one, SOL_SOCKET, SO_RCVBUF));
  CHECK(memory[SK_MEMINFO_SNDBUF] == (uint32_t)option_of(one, SOL_SOCKET, SO_SNDBUF));
  char *told = attribute_of(answer, sizeof(struct inet_diag_msg), INET_DIAG_CONG), chosen[16];
  socklen_t length = sizeof chosen;
  OK(getsockopt(one, IPPROTO_TCP, TCP_CONGESTION, chosen, &length));
  CHECK(told && strcmp(told, chosen) == 0);
  request.head = (struct nlattr){sizeof request.head + sizeof request.protocol, INET_DIAG_REQ_PROTOCOL};
  request.protocol = 261;
  CHECK_EQ(error_of(ask(netlink, SOCK_DIAG_BY_FAMILY, 0, &request, sizeof request)), ENOENT);
  OK(close(netlink));
}

static void families(void) {
  int netlink = make_netlink(NETLINK_GENERIC);
  struct {
    struct genlmsghdr header;
    struct nlattr attribute;
    char name[8];
  } question = {{.cmd = CTRL_CMD_GETFAMILY, .version = 1}, {sizeof(struct nlattr) + 7, CTRL_ATTR_FAMILY_NAME}, "nlctrl"};
  struct nlmsghdr *answer = ask(netlink, GENL_ID_CTRL, 0, &question, sizeof question);
  CHECK_EQ(answer->nlmsg_type, GENL_ID_CTRL);
  CHECK_EQ(((struct genlmsghdr *)NLMSG_DATA(answer))->cmd, CTRL_CMD_NEWFAMILY);
  strcpy(question.name, "nobody");
  CHECK_EQ(error_of(ask(netlink, GENL_ID_CTRL, 0, &question, sizeof question)), ENOENT);
  CHECK_EQ(error_of(ask(netlink, GENL_ID_CTRL, 0, &question, sizeof question.header)), EINVAL);
  question.header.cmd = 99;
  CHECK_EQ(error_of(ask(netlink, GENL_ID_CTRL, 0, &question, sizeof question)), EOPNOTSUPP);
  CHECK_EQ(error_of(ask(netlink, 4711, 0, &question, sizeof question)), ENOENT);
  OK(close(netlink));
}

int main(void) {
  internet(SOCK_STREAM, IPPROTO_TCP, TCP_LISTEN);
  internet(SOCK_DGRAM, IPPROTO_UDP, TCP_CLOSE);
  unix_sockets();
  unix_queues();
  tcp_attributes();
  families();
  puts("ok");
}
