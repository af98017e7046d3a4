// Netlink sockets: addresses, what is served and refused, how it is acknowledged, dumps, groups, losses.
#include "check.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

struct request {
  struct nlmsghdr header;
  union {
    struct rtgenmsg general;
    struct ifinfomsg link;
    struct ifaddrmsg address;
  };
  char attributes[256];
};

static int open_netlink(int protocol) { return OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)); }

static int refusal(int domain, int type, int protocol) {
  int file = socket(domain, type, protocol);
  if (file >= 0) close(file);
  return file < 0 ? errno : 0;
}

static struct sockaddr_nl name_of(int file) {
  struct sockaddr_nl name;
  socklen_t length = sizeof name;
  OK(getsockname(file, (struct sockaddr *)&name, &length));
  CHECK_EQ(length, sizeof name);
  CHECK_EQ(name.nl_family, AF_NETLINK);
  return name;
}

static struct request make(int type, int flags, size_t payload) {
  struct request request = {.header = {.nlmsg_len = NLMSG_LENGTH(payload), .nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = 77}};
  return request;
}

static void add_attribute(struct request *request, int type, const void *value, size_t length) {
  struct rtattr *attribute = (void *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = RTA_LENGTH(length);
  memcpy(RTA_DATA(attribute), value, length);
  request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + attribute->rta_len;
}

static void ask(int file, const struct request *request) {
  CHECK_EQ(OK(send(file, request, request->header.nlmsg_len, 0)), (ssize_t)request->header.nlmsg_len);
}

static char answer[1 << 16];

// The next datagram; its first message.
static struct nlmsghdr *receive(int file) {
  memset(answer, 0, 256);
  CHECK(OK(recv(file, answer, sizeof answer, 0)) >= (ssize_t)sizeof(struct nlmsghdr));
  return (struct nlmsghdr *)answer;
}

// The error that a request is answered with.
static int error_of(int file, const struct request *request) {
  ask(file, request);
  struct nlmsghdr *header = receive(file);
  CHECK_EQ(header->nlmsg_type, NLMSG_ERROR);
  CHECK_EQ(header->nlmsg_seq, request->header.nlmsg_seq);
  CHECK_EQ(header->nlmsg_pid, name_of(file).nl_pid);
  return -((struct nlmsgerr *)NLMSG_DATA(header))->error;
}

static void families(void) {
  CHECK_EQ(refusal(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE), ESOCKTNOSUPPORT);
  CHECK_EQ(refusal(AF_NETLINK, SOCK_SEQPACKET, NETLINK_ROUTE), ESOCKTNOSUPPORT);
  CHECK_EQ(refusal(AF_NETLINK, SOCK_RAW, 40), EPROTONOSUPPORT);
  CHECK_EQ(refusal(AF_NETLINK, SOCK_RAW, -1), EPROTONOSUPPORT);
  CHECK_EQ(refusal(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE), 0);
  CHECK_EQ(refusal(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT), 0);
}

static void addresses(void) {
  int first = open_netlink(NETLINK_ROUTE), second = open_netlink(NETLINK_ROUTE), third = open_netlink(NETLINK_ROUTE);
  CHECK_EQ(name_of(first).nl_pid, 0);
  struct sockaddr_nl any = {.nl_family = AF_NETLINK};
  OK(bind(first, (struct sockaddr *)&any, sizeof any));
  CHECK_EQ(name_of(first).nl_pid, (unsigned)getpid());
  OK(bind(second, (struct sockaddr *)&any, sizeof any));
  CHECK((int)name_of(second).nl_pid < 0);
  struct sockaddr_nl taken = {.nl_family = AF_NETLINK, .nl_pid = getpid()};
  CHECK_ERRNO(bind(third, (struct sockaddr *)&taken, sizeof taken), EADDRINUSE);
  struct sockaddr_nl other = {.nl_family = AF_NETLINK, .nl_pid = 4242, .nl_groups = 1};
  OK(bind(third, (struct sockaddr *)&other, sizeof other));
  CHECK_EQ(name_of(third).nl_pid, 4242);
  CHECK_EQ(name_of(third).nl_groups, 1);
  other.nl_pid = 4243;
  CHECK_ERRNO(bind(third, (struct sockaddr *)&other, sizeof other), EINVAL);
  CHECK_ERRNO(bind(third, (struct sockaddr *)&other, 4), EINVAL);
  other.nl_family = AF_UNIX;
  CHECK_ERRNO(bind(third, (struct sockaddr *)&other, sizeof other), EINVAL);
  CHECK_ERRNO(listen(third, 1), EOPNOTSUPP);
  CHECK_ERRNO(accept(third, NULL, NULL), EOPNOTSUPP);
  CHECK_ERRNO(shutdown(third, SHUT_RDWR), EOPNOTSUPP);
  close(first), close(second), close(third);
}

static void acknowledgements(void) {
  int file = open_netlink(NETLINK_ROUTE);
  struct request request = make(RTM_GETLINK, NLM_F_REQUEST, sizeof request.link);
  CHECK_EQ(error_of(file, &request), EINVAL);
  request.link.ifi_index = 4711;
  CHECK_EQ(error_of(file, &request), ENODEV);
  // The whole request comes back, unless only its header is asked for.
  CHECK_EQ(((struct nlmsghdr *)answer)->nlmsg_len, NLMSG_LENGTH(sizeof(struct nlmsgerr)) + sizeof request.link);
  int on = 1;
  OK(setsockopt(file, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on));
  CHECK_EQ(error_of(file, &request), ENODEV);
  CHECK_EQ(((struct nlmsghdr *)answer)->nlmsg_len, NLMSG_LENGTH(sizeof(struct nlmsgerr)));
  CHECK_EQ(((struct nlmsghdr *)answer)->nlmsg_flags, NLM_F_CAPPED);
  // What exists is told, and acknowledged if asked for.
  request.link.ifi_index = 1;
  request.header.nlmsg_flags |= NLM_F_ACK;
  ask(file, &request);
  struct nlmsghdr *header = receive(file);
  CHECK_EQ(header->nlmsg_type, RTM_NEWLINK);
  CHECK_EQ(((struct ifinfomsg *)NLMSG_DATA(header))->ifi_index, 1);
  header = receive(file);
  CHECK_EQ(header->nlmsg_type, NLMSG_ERROR);
  CHECK_EQ(((struct nlmsgerr *)NLMSG_DATA(header))->error, 0);
  // Types that there are not, and what is no request.
  struct request odd = make(5000, NLM_F_REQUEST, sizeof odd.general);
  CHECK_EQ(error_of(file, &odd), EOPNOTSUPP);
  odd = make(RTM_GETLINK, NLM_F_ACK, sizeof odd.general);
  CHECK_EQ(error_of(file, &odd), 0);
  odd = make(NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, sizeof odd.general);
  CHECK_EQ(error_of(file, &odd), 0);
  // Words about what was wrong.
  OK(setsockopt(file, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on));
  struct request same = make(RTM_NEWADDR, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, sizeof same.address);
  same.address = (struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = 8, .ifa_index = 1};
  unsigned char ten[4] = {10, 0, 0, 1};
  add_attribute(&same, IFA_LOCAL, ten, sizeof ten);
  same.header.nlmsg_flags |= NLM_F_ACK;
  CHECK_EQ(error_of(file, &same), 0);
  CHECK_EQ(error_of(file, &same), EEXIST);
  CHECK(((struct nlmsghdr *)answer)->nlmsg_flags & NLM_F_ACK_TLVS);
  struct rtattr *words = (void *)(answer + NLMSG_LENGTH(sizeof(struct nlmsgerr)));
  CHECK_EQ(words->rta_type, NLMSGERR_ATTR_MSG);
  CHECK(strcmp(RTA_DATA(words), "ipv4: Address already assigned") == 0);
  same.header.nlmsg_type = RTM_DELADDR;
  same.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  CHECK_EQ(error_of(file, &same), 0);
  CHECK_EQ(error_of(file, &same), EADDRNOTAVAIL);
  close(file);
}

static void several_and_broken(void) {
  int file = open_netlink(NETLINK_ROUTE);
  struct request pair[2] = {make(RTM_GETLINK, NLM_F_REQUEST, sizeof pair->link), make(RTM_GETLINK, NLM_F_REQUEST, sizeof pair->link)};
  char datagram[128];
  size_t length = NLMSG_ALIGN(pair[0].header.nlmsg_len);
  pair[0].link.ifi_index = 1, pair[1].link.ifi_index = 99, pair[1].header.nlmsg_seq = 78;
  memcpy(datagram, &pair[0], length);
  memcpy(datagram + length, &pair[1], length);
  OK(send(file, datagram, 2 * length, 0));
  CHECK_EQ(receive(file)->nlmsg_type, RTM_NEWLINK);
  CHECK_EQ(receive(file)->nlmsg_type, NLMSG_ERROR);
  CHECK_EQ(((struct nlmsghdr *)answer)->nlmsg_seq, 78);
  // Lengths that lie end the datagram without a word.
  for (unsigned lie = 0; lie < 3; lie++) {
    struct nlmsghdr *header = (struct nlmsghdr *)datagram;
    header->nlmsg_len = (unsigned[]){0, 15, 4000}[lie];
    CHECK_EQ(OK(send(file, datagram, 2 * length, 0)), (ssize_t)(2 * length));
  }
  CHECK_EQ(OK(send(file, datagram, 3, 0)), 3);
  CHECK_ERRNO(recv(file, answer, sizeof answer, MSG_DONTWAIT), EAGAIN);
  static char large[1 << 20];
  CHECK_ERRNO(send(file, large, sizeof large, 0), EMSGSIZE);
  close(file);
}

static void dumps(void) {
  int file = open_netlink(NETLINK_ROUTE);
  struct request request = make(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, sizeof request.general);
  ask(file, &request);
  // What does not fit is lost, and told.
  struct iovec none = {answer, 16};
  struct msghdr message = {.msg_iov = &none, .msg_iovlen = 1};
  ssize_t whole = OK(recvmsg(file, &message, MSG_PEEK | MSG_TRUNC));
  CHECK(whole > 100);
  CHECK(message.msg_flags & MSG_TRUNC);
  struct sockaddr_nl sender;
  message.msg_name = &sender, message.msg_namelen = sizeof sender;
  none.iov_len = sizeof answer;
  CHECK_EQ(OK(recvmsg(file, &message, 0)), whole);
  CHECK_EQ(sender.nl_pid, 0);
  CHECK_EQ(message.msg_namelen, sizeof sender);
  int links = 0, is_done = 0;
  int length = whole;
  for (;;) {
    for (struct nlmsghdr *header = (void *)answer; NLMSG_OK(header, (unsigned)length); header = NLMSG_NEXT(header, length)) {
      CHECK(header->nlmsg_flags & NLM_F_MULTI);
      CHECK_EQ(header->nlmsg_seq, 77);
      links += header->nlmsg_type == RTM_NEWLINK;
      is_done |= header->nlmsg_type == NLMSG_DONE;
    }
    if (is_done) break;
    length = OK(recv(file, answer, sizeof answer, 0));
  }
  CHECK(links >= 1);
  CHECK_ERRNO(recv(file, answer, sizeof answer, MSG_DONTWAIT), EAGAIN);
  close(file);
}

static void set_up(int file, int is_up) {
  struct request request = make(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, sizeof request.link);
  request.link.ifi_index = 1;
  request.link.ifi_change = IFF_UP;
  request.link.ifi_flags = is_up ? IFF_UP : 0;
  CHECK_EQ(error_of(file, &request), 0);
}

static void groups(void) {
  int file = open_netlink(NETLINK_ROUTE), listener = open_netlink(NETLINK_ROUTE);
  for (int bad = 0; bad < 2; bad++) {
    int group = (int[]){0, 5000}[bad];
    CHECK_ERRNO(setsockopt(listener, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group), EINVAL);
  }
  CHECK_ERRNO(setsockopt(listener, SOL_NETLINK, 99, &file, sizeof file), ENOPROTOOPT);
  int group = RTNLGRP_LINK;
  OK(setsockopt(listener, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
  // Who is not bound is taken for the kernel, which does not hear itself.
  set_up(file, 0);
  set_up(file, 1);
  CHECK_ERRNO(recv(listener, answer, sizeof answer, MSG_DONTWAIT), EAGAIN);
  struct sockaddr_nl any = {.nl_family = AF_NETLINK};
  OK(bind(listener, (struct sockaddr *)&any, sizeof any));
  CHECK_EQ(name_of(listener).nl_groups, 0);
  OK(setsockopt(listener, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
  set_up(file, 0);
  set_up(file, 1);
  CHECK(!(((struct ifinfomsg *)NLMSG_DATA(receive(listener)))->ifi_flags & IFF_UP));
  struct nlmsghdr *header = receive(listener);
  CHECK_EQ(header->nlmsg_type, RTM_NEWLINK);
  CHECK(((struct ifinfomsg *)NLMSG_DATA(header))->ifi_flags & IFF_UP);
  set_up(file, 0);
  CHECK(!(((struct ifinfomsg *)NLMSG_DATA(receive(listener)))->ifi_flags & IFF_UP));
  OK(setsockopt(listener, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &group, sizeof group));
  set_up(file, 1);
  CHECK_ERRNO(recv(listener, answer, sizeof answer, MSG_DONTWAIT), EAGAIN);
  // Who does not listen in time is told once that something was lost.
  int small = 0;
  OK(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small));
  OK(setsockopt(listener, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
  for (int round = 0; round < 20; round++) set_up(file, round & 1);
  CHECK_ERRNO(recv(listener, answer, sizeof answer, MSG_DONTWAIT), ENOBUFS);
  CHECK_EQ(receive(listener)->nlmsg_type, RTM_NEWLINK);
  close(file), close(listener);
}

static void others(void) {
  int one = open_netlink(NETLINK_USERSOCK), two = open_netlink(NETLINK_USERSOCK);
  struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_pid = 777};
  CHECK_ERRNO(sendto(one, "x", 1, 0, (struct sockaddr *)&to, sizeof to), ECONNREFUSED);
  OK(bind(two, (struct sockaddr *)&to, sizeof to));
  CHECK_EQ(OK(sendto(one, "word", 4, 0, (struct sockaddr *)&to, sizeof to)), 4);
  struct sockaddr_nl from;
  socklen_t length = sizeof from;
  CHECK_EQ(OK(recvfrom(two, answer, sizeof answer, 0, (struct sockaddr *)&from, &length)), 4);
  CHECK_EQ(from.nl_pid, name_of(one).nl_pid);
  close(one), close(two);
}

// Anybody looks; only who administers the network changes.
static void unprivileged(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(setresgid(65534, 65534, 65534));
    OK(setresuid(65534, 65534, 65534));
    int file = open_netlink(NETLINK_ROUTE);
    struct request request = make(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, sizeof request.link);
    request.link.ifi_index = 1;
    request.link.ifi_change = request.link.ifi_flags = IFF_UP;
    CHECK_EQ(error_of(file, &request), EPERM);
    request = make(RTM_GETLINK, NLM_F_REQUEST, sizeof request.link);
    request.link.ifi_index = 1;
    ask(file, &request);
    CHECK_EQ(receive(file)->nlmsg_type, RTM_NEWLINK);
    struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_pid = 1};
    CHECK_ERRNO(sendto(file, &request, request.header.nlmsg_len, 0, (struct sockaddr *)&to, sizeof to), EPERM);
  }
  WAIT_OK(pid);
}

int main(void) {
  alarm(20);
  OK(unshare(CLONE_NEWNET));
  families();
  addresses();
  acknowledgements();
  several_and_broken();
  dumps();
  groups();
  others();
  unprivileged();
}
