// What unix sockets bring beside the bytes: credentials of messages sent before they were asked for, urgent bytes, peeks
// that go on, names of each type.
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static int pair[2];
static char text[64];

static void set_option(int socket, int option, int value) {
  OK(setsockopt(socket, SOL_SOCKET, option, &value, sizeof value));
}

static int get_option(int socket, int option) {
  int value = -7;
  socklen_t size = sizeof value;
  OK(getsockopt(socket, SOL_SOCKET, option, &value, &size));
  return value;
}

// Receives, and says who sent: 0 for nobody who is told of, -1 if nothing is told.
static pid_t receive_sender(int socket, const char *expected) {
  char control[CMSG_SPACE(sizeof(struct ucred))];
  struct iovec part = {text, sizeof text};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  long got = OK(recvmsg(socket, &header, MSG_DONTWAIT));
  CHECK_CASE(got == (long)strlen(expected) && memcmp(text, expected, got) == 0, "%.*s", (int)got, text);
  struct cmsghdr *first = CMSG_FIRSTHDR(&header);
  if (first == NULL) return -1;
  CHECK_EQ(first->cmsg_type, SCM_CREDENTIALS);
  struct ucred sender;
  memcpy(&sender, CMSG_DATA(first), sizeof sender);
  CHECK_EQ(sender.uid, sender.pid == 0 ? 65534 : getuid());
  return sender.pid;
}

static void credentials_of_what_was_sent_before(int type) {
  OK(socketpair(AF_UNIX, type, 0, pair));
  CHECK_EQ(write(pair[0], "before", 6), 6);
  set_option(pair[1], SO_PASSCRED, 1);
  CHECK_EQ(write(pair[0], "after", 5), 5);
  // Nobody wanted to know when the first was sent; a stream does not join the two.
  CHECK_EQ(receive_sender(pair[1], "before"), 0);
  CHECK_EQ(receive_sender(pair[1], "after"), getpid());
  set_option(pair[1], SO_PASSCRED, 0);
  set_option(pair[0], SO_PASSCRED, 1);
  CHECK_EQ(write(pair[0], "sender", 6), 6);
  set_option(pair[1], SO_PASSCRED, 1);
  CHECK_EQ(receive_sender(pair[1], "sender"), getpid());
  close(pair[0]), close(pair[1]);
}

static void credentials_have_one_length(void) {
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  for (size_t length = 24; length < 33; length++) {
    char control[64] = {0};
    struct iovec part = {"x", 1};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *first = CMSG_FIRSTHDR(&header);
    *first = (struct cmsghdr){.cmsg_len = length, .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
    struct ucred own = {getpid(), getuid(), getgid()};
    memcpy(CMSG_DATA(first), &own, sizeof own);
    header.msg_controllen = length;
    if (length == CMSG_LEN(sizeof own)) CHECK_EQ(sendmsg(pair[0], &header, 0), 1);
    else CHECK_ERRNO(sendmsg(pair[0], &header, 0), EINVAL);
  }
  close(pair[0]), close(pair[1]);
}

static int is_at_mark(void) {
  int mark = -1;
  OK(ioctl(pair[1], SIOCATMARK, &mark));
  return mark;
}

static void expect(int flags, const char *expected) {
  long got = OK(recv(pair[1], text, sizeof text, flags | MSG_DONTWAIT));
  CHECK_CASE(got == (long)strlen(expected) && memcmp(text, expected, got) == 0, "%.*s, not %s", (int)got, text, expected);
}

static void urgent_bytes(void) {
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  struct pollfd entry = {.fd = pair[1], .events = POLLPRI};
  CHECK_ERRNO(recv(pair[1], text, 1, MSG_OOB), EINVAL);
  CHECK_ERRNO(send(pair[0], "", 0, MSG_OOB), EOPNOTSUPP);
  CHECK_EQ(send(pair[0], "hello", 5, MSG_OOB), 5);
  CHECK_EQ(poll(&entry, 1, 0), 1);
  CHECK_EQ(entry.revents, POLLPRI);
  expect(MSG_OOB | MSG_PEEK, "o");
  expect(MSG_PEEK, "hell");
  CHECK_EQ(is_at_mark(), 0);
  expect(0, "hell"); // A read ends before it.
  CHECK_EQ(is_at_mark(), 1);
  expect(MSG_OOB, "o");
  CHECK_EQ(poll(&entry, 1, 0), 0);
  CHECK_ERRNO(recv(pair[1], text, 1, MSG_DONTWAIT), EAGAIN);
  // Read out of turn, it leaves its mark.
  CHECK_EQ(send(pair[0], "ab", 2, MSG_OOB), 2);
  CHECK_EQ(send(pair[0], "cd", 2, 0), 2);
  expect(MSG_OOB, "b");
  expect(0, "a");
  CHECK_EQ(is_at_mark(), 1);
  expect(0, "cd");
  // The next one makes an ordinary byte of it; passed over, it is lost.
  CHECK_EQ(send(pair[0], "ab", 2, MSG_OOB), 2);
  CHECK_EQ(send(pair[0], "cd", 2, MSG_OOB), 2);
  CHECK_EQ(send(pair[0], "e", 1, 0), 1);
  expect(0, "abc");
  expect(0, "e");
  CHECK_ERRNO(recv(pair[1], text, 1, MSG_OOB), EINVAL);
  set_option(pair[1], SO_OOBINLINE, 1);
  CHECK_EQ(send(pair[0], "xyz", 3, MSG_OOB), 3);
  CHECK_ERRNO(recv(pair[1], text, 1, MSG_OOB), EINVAL);
  expect(0, "xy");
  CHECK_EQ(is_at_mark(), 1);
  expect(0, "z");
  close(pair[0]), close(pair[1]);
  OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
  CHECK_ERRNO(send(pair[0], "x", 1, MSG_OOB), EOPNOTSUPP);
  CHECK_ERRNO(recv(pair[1], text, 1, MSG_OOB), EOPNOTSUPP);
  close(pair[0]), close(pair[1]);
}

static void peeks_that_go_on(void) {
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  CHECK_EQ(get_option(pair[1], SO_PEEK_OFF), -1);
  set_option(pair[1], SO_PEEK_OFF, 1);
  CHECK_EQ(write(pair[0], "abc", 3), 3);
  CHECK_EQ(write(pair[0], "def", 3), 3);
  CHECK_EQ(recv(pair[1], text, 1, MSG_PEEK), 1);
  CHECK_EQ(text[0], 'b');
  CHECK_EQ(get_option(pair[1], SO_PEEK_OFF), 2);
  CHECK_EQ(recv(pair[1], text, 3, MSG_PEEK), 3);
  CHECK(memcmp(text, "cde", 3) == 0);
  CHECK_EQ(recv(pair[1], text, 2, 0), 2);
  CHECK_EQ(get_option(pair[1], SO_PEEK_OFF), 3);
  expect(MSG_PEEK, "f");
  CHECK_ERRNO(recv(pair[1], text, 1, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
  close(pair[0]), close(pair[1]);
  OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  set_option(pair[1], SO_PEEK_OFF, 0);
  CHECK_EQ(write(pair[0], "one", 3), 3);
  CHECK_EQ(write(pair[0], "two", 3), 3);
  CHECK_EQ(recv(pair[1], text, 2, MSG_PEEK), 2);
  expect(MSG_PEEK, "e");
  expect(MSG_PEEK, "two");
  expect(0, "one");
  close(pair[0]), close(pair[1]);
}

static void names_of_each_type(void) {
  struct sockaddr_un address = {AF_UNIX, ""}, found;
  int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}, sockets[3];
  socklen_t length = sizeof(sa_family_t) + 1 + sprintf(address.sun_path + 1, "guest-test-%d", getpid());
  for (int i = 0; i < 3; i++) {
    sockets[i] = OK(socket(AF_UNIX, types[i], 0));
    OK(bind(sockets[i], (void *)&address, length));
    CHECK_ERRNO(bind(OK(socket(AF_UNIX, types[i], 0)), (void *)&address, length), EADDRINUSE);
  }
  OK(listen(sockets[0], 1));
  OK(connect(OK(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&address, length));
  OK(connect(OK(socket(AF_UNIX, SOCK_DGRAM, 0)), (void *)&address, length));
  CHECK_ERRNO(connect(OK(socket(AF_UNIX, SOCK_SEQPACKET, 0)), (void *)&address, length), ECONNREFUSED);
  // A socket that tells who it is gets a name before it connects or sends.
  int named = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  set_option(named, SO_PASSCRED, 1);
  OK(connect(named, (void *)&address, length));
  length = sizeof found;
  OK(getsockname(named, (void *)&found, &length));
  CHECK_EQ(length, sizeof(sa_family_t) + 6);
  // A path without its NUL is as long as the buffer, and told with one.
  memset(address.sun_path, 'p', sizeof address.sun_path);
  int longest = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(bind(longest, (void *)&address, sizeof address));
  char name[128];
  length = sizeof name;
  OK(getsockname(longest, (void *)name, &length));
  CHECK_EQ(length, sizeof address + 1);
  CHECK_ERRNO(bind(longest, (void *)&address, sizeof address), EADDRINUSE);
}

// Who is connected is told where a message came from, even after the sender's end.
static void a_connected_sender_has_a_name(int type) {
  struct sockaddr_un address = {AF_UNIX, ""}, found;
  int listener = OK(socket(AF_UNIX, type, 0)), client = OK(socket(AF_UNIX, type, 0));
  socklen_t length = sizeof(sa_family_t) + 1 + sprintf(address.sun_path + 1, "guest-test-name-%d", getpid());
  OK(bind(listener, (void *)&address, length));
  OK(listen(listener, 1));
  OK(connect(client, (void *)&address, length));
  int accepted = OK(accept(listener, NULL, NULL));
  CHECK_EQ(write(accepted, "abcd", 4), 4);
  OK(close(accepted));
  socklen_t told = sizeof found;
  CHECK_EQ(recvfrom(client, text, 2, 0, (void *)&found, &told), 2);
  CHECK(told == length && memcmp(&found, &address, length) == 0);
  told = sizeof found;
  CHECK_EQ(recvfrom(client, text, 2, 0, (void *)&found, &told), type == SOCK_STREAM ? 2 : 0);
  CHECK_EQ(told, type == SOCK_STREAM ? length : 0);
  OK(close(client));
  OK(close(listener));
}

static void each_sender_has_a_buffer_of_its_own(void) {
  struct sockaddr_un address = {AF_UNIX, "reader"};
  int reader = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), first = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), second = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  static char block[3000];
  OK(bind(reader, (void *)&address, sizeof address));
  set_option(first, SO_SNDBUF, 3000);
  OK(connect(first, (void *)&address, sizeof address));
  OK(connect(second, (void *)&address, sizeof address));
  while (send(first, block, sizeof block, MSG_DONTWAIT) > 0) {}
  CHECK_EQ(errno, EAGAIN);
  int unread;
  OK(ioctl(first, TIOCOUTQ, &unread));
  CHECK(unread >= 3000);
  CHECK_EQ(send(second, block, sizeof block, MSG_DONTWAIT), (long)sizeof block);
  close(reader), close(first), close(second);
}

int main(void) {
  enter_scratch();
  credentials_of_what_was_sent_before(SOCK_STREAM);
  credentials_of_what_was_sent_before(SOCK_DGRAM);
  credentials_of_what_was_sent_before(SOCK_SEQPACKET);
  credentials_have_one_length();
  urgent_bytes();
  peeks_that_go_on();
  names_of_each_type();
  a_connected_sender_has_a_name(SOCK_STREAM);
  a_connected_sender_has_a_name(SOCK_SEQPACKET);
  each_sender_has_a_buffer_of_its_own();
  return 0;
}
