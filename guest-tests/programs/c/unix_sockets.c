// Unix sockets: pairs of every type, addresses, listening, descriptors and credentials in messages, shutdown, options.
#include "check.h"
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static void make_pair(int type, int *pair) { OK(socketpair(AF_UNIX, type, 0, pair)); }

static void close_pair(int *pair) {
  OK(close(pair[0]));
  OK(close(pair[1]));
}

static void types_keep_or_join_boundaries(void) {
  struct { int type, keeps; } cases[] = {{SOCK_STREAM, 0}, {SOCK_DGRAM, 1}, {SOCK_SEQPACKET, 1}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    int pair[2], type, waiting;
    socklen_t length = sizeof type;
    char text[32];
    make_pair(cases[i].type, pair);
    OK(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &type, &length));
    CHECK_EQ(type, cases[i].type);
    CHECK_EQ(write(pair[0], "one", 3), 3);
    CHECK_EQ(send(pair[0], "three", 5, 0), 5);
    OK(ioctl(pair[1], FIONREAD, &waiting));
    CHECK_EQ(waiting, cases[i].type == SOCK_DGRAM ? 3 : 8);
    CHECK_EQ(recv(pair[1], text, sizeof text, MSG_PEEK), cases[i].keeps ? 3 : 8);
    CHECK_EQ(recv(pair[1], text, 2, 0), 2);
    // The rest of a packet is dropped, that of a stream stays.
    CHECK_EQ(recv(pair[1], text, sizeof text, 0), cases[i].keeps ? 5 : 6);
    CHECK_ERRNO(recv(pair[1], text, 1, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(send(pair[1], "long message", 12, 0), 12);
    if (cases[i].keeps) {
      CHECK_EQ(recv(pair[0], text, 4, MSG_TRUNC), 12);
      struct iovec part = {text, 3};
      struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
      CHECK_EQ(send(pair[1], "again", 5, 0), 5);
      CHECK_EQ(recvmsg(pair[0], &message, 0), 3);
      CHECK_EQ(message.msg_flags & MSG_TRUNC, MSG_TRUNC);
    } else {
      CHECK_EQ(recv(pair[0], text, 20, 0), 12);
      pid_t pid;
      IN_CHILD(pid) {
        CHECK_EQ(send(pair[1], "ab", 2, 0), 2);
        sleep_ms(30);
        CHECK_EQ(send(pair[1], "cd", 2, 0), 2);
      }
      CHECK_EQ(recv(pair[0], text, 4, MSG_WAITALL), 4);
      WAIT_OK(pid);
    }
    close_pair(pair);
  }
}

static void closing_and_shutting_down(void) {
  int pair[2];
  char text[16];
  signal(SIGPIPE, SIG_IGN);
  make_pair(SOCK_STREAM, pair);
  CHECK_EQ(send(pair[0], "last", 4, 0), 4);
  OK(shutdown(pair[0], SHUT_WR));
  CHECK_ERRNO(send(pair[0], "x", 1, 0), EPIPE);
  CHECK_EQ(recv(pair[1], text, 16, 0), 4);
  CHECK_EQ(recv(pair[1], text, 16, 0), 0);
  CHECK_EQ(send(pair[1], "back", 4, 0), 4);
  CHECK_EQ(recv(pair[0], text, 16, 0), 4);
  OK(shutdown(pair[0], SHUT_RD));
  CHECK_EQ(recv(pair[0], text, 16, 0), 0);
  CHECK_ERRNO(send(pair[1], "x", 1, 0), EPIPE);
  CHECK_ERRNO(shutdown(pair[0], 9), EINVAL);
  close_pair(pair);
  make_pair(SOCK_STREAM, pair);
  CHECK_EQ(send(pair[1], "unread", 6, 0), 6);
  OK(close(pair[0])); // Closed with unread data: the peer sees a reset.
  CHECK_ERRNO(recv(pair[1], text, 16, 0), ECONNRESET);
  CHECK_EQ(recv(pair[1], text, 16, 0), 0);
  OK(close(pair[1]));
  make_pair(SOCK_SEQPACKET, pair);
  OK(close(pair[0]));
  CHECK_EQ(recv(pair[1], text, 16, 0), 0);
  OK(close(pair[1]));
  make_pair(SOCK_DGRAM, pair);
  OK(close(pair[0]));
  CHECK_ERRNO(send(pair[1], "x", 1, 0), ECONNREFUSED);
  OK(close(pair[1]));
}

static struct sockaddr_un address_of(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  return address;
}

static void listening_and_connecting(int type) {
  struct sockaddr_un address = address_of("socket"), found;
  socklen_t length = sizeof found;
  int listener = OK(socket(AF_UNIX, type | SOCK_CLOEXEC, 0)), client = OK(socket(AF_UNIX, type, 0));
  CHECK_ERRNO(connect(client, (void *)&address, sizeof address), ENOENT);
  CHECK_ERRNO(listen(listener, 1), EINVAL); // Not bound.
  OK(bind(listener, (void *)&address, sizeof address));
  struct stat status;
  OK(stat("socket", &status));
  CHECK(S_ISSOCK(status.st_mode));
  CHECK_ERRNO(open("socket", O_RDWR), ENXIO);
  CHECK_ERRNO(connect(client, (void *)&address, sizeof address), ECONNREFUSED);
  CHECK_ERRNO(accept(listener, NULL, NULL), EINVAL);
  OK(listen(listener, 2));
  int is_listening = 0;
  socklen_t size = sizeof is_listening;
  OK(getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size));
  CHECK_EQ(is_listening, 1);
  struct pollfd entry = {.fd = listener, .events = POLLIN};
  CHECK_EQ(poll(&entry, 1, 0), 0);
  OK(connect(client, (void *)&address, sizeof address));
  CHECK_EQ(poll(&entry, 1, 1000), 1);
  CHECK_EQ(send(client, "early", 5, 0), 5); // Before it is accepted.
  int server = OK(accept4(listener, (void *)&found, &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
  CHECK_EQ(length, sizeof(sa_family_t)); // The client has no name.
  CHECK_EQ(fcntl(server, F_GETFD), FD_CLOEXEC);
  CHECK(fcntl(server, F_GETFL) & O_NONBLOCK);
  char text[16];
  CHECK_EQ(recv(server, text, 16, 0), 5);
  length = sizeof found;
  OK(getpeername(client, (void *)&found, &length));
  CHECK(strcmp(found.sun_path, "socket") == 0);
  length = 4;
  OK(getsockname(server, (void *)&found, &length));
  CHECK(length > 4); // The full length, although cut.
  struct ucred peer;
  size = sizeof peer;
  OK(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size));
  CHECK_EQ(peer.pid, getpid());
  CHECK_EQ(peer.uid, geteuid());
  CHECK_ERRNO(connect(client, (void *)&address, sizeof address), EISCONN);
  int second = OK(socket(AF_UNIX, type, 0));
  CHECK_ERRNO(bind(second, (void *)&address, sizeof address), EADDRINUSE);
  CHECK_ERRNO(getpeername(second, (void *)&found, &length), ENOTCONN);
  CHECK_ERRNO(recv(second, text, 1, 0), type == SOCK_STREAM ? EINVAL : ENOTCONN);
  CHECK_ERRNO(send(second, text, 1, 0), ENOTCONN);
  OK(close(second));
  OK(fcntl(listener, F_SETFL, O_NONBLOCK));
  CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
  // The backlog is full after one more than asked for.
  int pending[4];
  for (int i = 0; i < 4; i++) {
    pending[i] = OK(socket(AF_UNIX, type | SOCK_NONBLOCK, 0));
    if (i < 3) OK(connect(pending[i], (void *)&address, sizeof address));
    else CHECK_ERRNO(connect(pending[i], (void *)&address, sizeof address), EAGAIN);
  }
  OK(close(listener));
  CHECK_ERRNO(connect(pending[3], (void *)&address, sizeof address), ECONNREFUSED);
  CHECK(recv(pending[0], text, 1, 0) <= 0);
  for (int i = 0; i < 4; i++) OK(close(pending[i]));
  OK(close(server));
  OK(close(client));
  OK(unlink("socket"));
}

static void datagram_addresses(void) {
  struct sockaddr_un first = address_of("first"), second = address_of("second"), from;
  int a = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), b = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  char text[16];
  OK(bind(a, (void *)&first, sizeof first));
  OK(bind(b, (void *)&second, sizeof second));
  CHECK_EQ(sendto(a, "to b", 4, 0, (void *)&second, sizeof second), 4);
  socklen_t length = sizeof from;
  CHECK_EQ(recvfrom(b, text, 16, 0, (void *)&from, &length), 4);
  CHECK(strcmp(from.sun_path, "first") == 0);
  OK(connect(b, (void *)&first, sizeof first));
  CHECK_EQ(send(b, "reply", 5, 0), 5);
  CHECK_EQ(recv(a, text, 16, 0), 5);
  int stranger = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  CHECK_ERRNO(sendto(stranger, "x", 1, 0, (void *)&second, sizeof second), EPERM); // b hears its peer alone.
  CHECK_ERRNO(send(stranger, "x", 1, 0), ENOTCONN);
  CHECK_ERRNO(sendto(a, "x", 1, 0, (void *)&(struct sockaddr_un){.sun_family = AF_UNIX, .sun_path = "absent"}, sizeof from), ENOENT);
  CHECK_ERRNO(listen(a, 1), EOPNOTSUPP);
  OK(close(a)), OK(close(b)), OK(close(stranger));
}

static void abstract_names(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int length = offsetof(struct sockaddr_un, sun_path) + snprintf(address.sun_path + 1, 64, "guest-test-%d", getpid()) + 1;
  int listener = OK(socket(AF_UNIX, SOCK_STREAM, 0)), client = OK(socket(AF_UNIX, SOCK_STREAM, 0)), other = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(bind(listener, (void *)&address, length));
  CHECK_ERRNO(bind(other, (void *)&address, length), EADDRINUSE);
  OK(listen(listener, 1));
  CHECK_ERRNO(connect(client, (void *)&address, length - 1), ECONNREFUSED); // Another name.
  OK(connect(client, (void *)&address, length));
  struct sockaddr_un found;
  socklen_t size = sizeof found;
  OK(getpeername(client, (void *)&found, &size));
  CHECK_EQ(size, length);
  CHECK_EQ(memcmp(&found, &address, length), 0);
  OK(close(listener));
  OK(bind(other, (void *)&address, length)); // Free again at once.
  OK(close(other));
  OK(close(client));
  int automatic = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(bind(automatic, (void *)&address, sizeof(sa_family_t))); // The kernel chooses a name.
  size = sizeof found;
  OK(getsockname(automatic, (void *)&found, &size));
  CHECK_EQ(size, sizeof(sa_family_t) + 6);
  CHECK_EQ(found.sun_path[0], 0);
  OK(close(automatic));
}

static void send_descriptors(int socket, const int *files, int count) {
  char control[CMSG_SPACE(16 * sizeof(int))] = {0};
  struct iovec part = {"d", 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))};
  memcpy(CMSG_DATA(header), files, count * sizeof(int));
  CHECK_EQ(sendmsg(socket, &message, 0), 1);
}

// Receives one message with room for some descriptors; returns how many came.
static int receive_descriptors(int socket, int *files, int room, int flags, int *message_flags) {
  char control[CMSG_SPACE(16 * sizeof(int))], byte;
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room ? CMSG_LEN(room * sizeof(int)) : 0};
  CHECK_EQ(recvmsg(socket, &message, flags), 1);
  *message_flags = message.msg_flags;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header == NULL) return 0;
  CHECK(header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS);
  int count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  memcpy(files, CMSG_DATA(header), count * sizeof(int));
  return count;
}

static void descriptors_travel(void) {
  int pair[2], ends[2], got[16], flags;
  char text[8];
  make_pair(SOCK_STREAM, pair);
  OK(pipe(ends));
  send_descriptors(pair[0], ends, 2);
  CHECK_EQ(receive_descriptors(pair[1], got, 4, MSG_CMSG_CLOEXEC, &flags), 2);
  CHECK_EQ(flags & MSG_CTRUNC, 0);
  CHECK(got[0] != ends[0]);
  CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
  CHECK_EQ(write(ends[1], "same", 4), 4);
  CHECK_EQ(read(got[0], text, 8), 4);
  OK(close(got[0])), OK(close(got[1]));
  send_descriptors(pair[0], ends, 2);
  CHECK_EQ(receive_descriptors(pair[1], got, 1, 0, &flags), 1); // The rest is closed.
  CHECK_EQ(flags & MSG_CTRUNC, MSG_CTRUNC);
  OK(close(got[0]));
  send_descriptors(pair[0], ends, 2);
  CHECK_EQ(recv(pair[1], text, 1, 0), 1); // Without room all are dropped.
  // In flight a descriptor stays open,
  send_descriptors(pair[0], &ends[1], 1);
  OK(close(ends[1]));
  struct pollfd entry = {.fd = ends[0], .events = POLLIN};
  CHECK_EQ(poll(&entry, 1, 0), 0);
  close_pair(pair); // and goes with the socket.
  CHECK_EQ(poll(&entry, 1, 2000), 1);
  CHECK_EQ(entry.revents, POLLHUP);
  OK(close(ends[0]));
  // A socket sent over itself.
  make_pair(SOCK_STREAM, pair);
  send_descriptors(pair[0], pair, 2);
  close_pair(pair);
  // Descriptors end a read of a stream.
  make_pair(SOCK_STREAM, pair);
  CHECK_EQ(send(pair[0], "before", 6, 0), 6);
  send_descriptors(pair[0], (int[]){1}, 1);
  CHECK_EQ(send(pair[0], "after", 5, 0), 5);
  char joined[32], control[64];
  struct iovec part = {joined, sizeof joined};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK_EQ(recvmsg(pair[1], &message, 0), 7); // Up to and with the bytes that they came with.
  CHECK(CMSG_FIRSTHDR(&message) != NULL);
  message.msg_controllen = sizeof control;
  CHECK_EQ(recvmsg(pair[1], &message, 0), 5);
  CHECK(CMSG_FIRSTHDR(&message) == NULL);
  close_pair(pair);
}

// Receives a message, and checks that it says it comes from this process.
static void receive_from(int socket, pid_t pid) {
  char text[8], control[CMSG_SPACE(sizeof(struct ucred))];
  struct iovec part = {text, sizeof text};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK_EQ(recvmsg(socket, &message, 0), 2);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  CHECK(header != NULL && header->cmsg_type == SCM_CREDENTIALS);
  struct ucred sender;
  memcpy(&sender, CMSG_DATA(header), sizeof sender);
  CHECK_EQ(sender.pid, pid);
  CHECK_EQ(sender.uid, getuid());
  CHECK_EQ(sender.gid, getgid());
}

static ssize_t send_as(int socket, pid_t pid) {
  char control[CMSG_SPACE(sizeof(struct ucred))] = {0};
  struct iovec part = {"me", 2};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){CMSG_LEN(sizeof(struct ucred)), SOL_SOCKET, SCM_CREDENTIALS};
  struct ucred claimed = {pid, getuid(), getgid()};
  memcpy(CMSG_DATA(header), &claimed, sizeof claimed);
  return sendmsg(socket, &message, 0);
}

static void credentials_travel(void) {
  int pair[2], on = 1;
  make_pair(SOCK_DGRAM, pair);
  OK(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(send(pair[0], "me", 2, 0), 2);
    CHECK_EQ(write(pair[0], "me", 2), 2);
    CHECK_EQ(send_as(pair[0], getpid()), 2);
  }
  for (int i = 0; i < 3; i++) receive_from(pair[1], pid);
  WAIT_OK(pid);
  // Root may say that it is another process, if there is one.
  IN_CHILD(pid) { CHECK_EQ(send_as(pair[0], getppid()), 2); }
  receive_from(pair[1], getpid());
  WAIT_OK(pid);
  CHECK_ERRNO(send_as(pair[0], 4000000), ESRCH);
  // A process is called as the receiver's namespace calls it.
  pid = OK(syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0));
  if (pid == 0) {
    CHECK_EQ(getpid(), 1);
    CHECK_EQ(write(pair[0], "me", 2), 2);
    CHECK_EQ(send_as(pair[0], 1), 2);
    _exit(0);
  }
  for (int i = 0; i < 2; i++) receive_from(pair[1], pid);
  WAIT_OK(pid);
  close_pair(pair);
}

// Who asks for credentials is told of nobody's at the end of a stream.
static void the_end_tells_of_nobody(void) {
  int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
  for (int i = 0; i < 2; i++) {
    int pair[2], yes = 1;
    make_pair(types[i], pair);
    OK(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes));
    OK(shutdown(pair[0], SHUT_WR));
    char byte, control[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    CHECK_EQ(recvmsg(pair[1], &message, 0), 0);
    CHECK_EQ(message.msg_controllen, i == 0 ? sizeof control : 0);
    if (i == 0) {
      struct ucred nobody;
      memcpy(&nobody, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof nobody);
      CHECK(nobody.pid == 0 && nobody.uid == 0 && nobody.gid == 0);
    }
    close_pair(pair);
  }
}

static void options_and_limits(void) {
  int pair[2], value;
  socklen_t length = sizeof value;
  make_pair(SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, pair);
  CHECK(fcntl(pair[1], F_GETFL) & O_NONBLOCK);
  OK(getsockopt(pair[0], SOL_SOCKET, SO_DOMAIN, &value, &length));
  CHECK_EQ(value, AF_UNIX);
  OK(getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &value, &length));
  CHECK_EQ(value, 0);
  value = 50000;
  OK(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &value, sizeof value));
  OK(getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &value, &length));
  CHECK_EQ(value, 100000);
  char block[4096] = {0};
  long total = 0;
  for (ssize_t sent; (sent = send(pair[0], block, sizeof block, 0)) > 0;) total += sent;
  CHECK_EQ(errno, EAGAIN);
  CHECK(total >= 16384 && total <= 400000);
  struct pollfd entry = {.fd = pair[0], .events = POLLOUT};
  CHECK_EQ(poll(&entry, 1, 0), 0);
  for (ssize_t got; (got = recv(pair[1], block, sizeof block, 0)) > 0;) total -= got;
  CHECK_EQ(total, 0);
  CHECK_EQ(poll(&entry, 1, 1000), 1);
  CHECK_ERRNO(setsockopt(pair[0], SOL_SOCKET, 9999, &value, sizeof value), ENOPROTOOPT);
  CHECK_ERRNO(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, wild, &length), EFAULT);
  close_pair(pair);
  CHECK_ERRNO(socket(AF_UNIX, 77, 0), EINVAL);
  CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 99), EPROTONOSUPPORT);
  CHECK_ERRNO(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
  CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 0, wild), EFAULT);
  CHECK_ERRNO(send(1, "x", 1, 0), ENOTSOCK);
  CHECK_ERRNO(bind(999, NULL, 0), EBADF);
  int fresh = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un long_address = address_of("x");
  CHECK_ERRNO(bind(fresh, (void *)&long_address, 200), EINVAL);
  CHECK_ERRNO(bind(fresh, wild, 10), EFAULT);
  long_address.sun_family = AF_INET;
  CHECK_ERRNO(bind(fresh, (void *)&long_address, sizeof long_address), EINVAL);
  OK(close(fresh));
}

static void many_messages_at_once(void) {
  int pair[2];
  make_pair(SOCK_SEQPACKET, pair);
  char texts[3][8] = {"a", "bb", "ccc"};
  struct iovec parts[3];
  struct mmsghdr messages[3];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < 3; i++) {
    parts[i] = (struct iovec){texts[i], i + 1};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
  }
  CHECK_EQ(sendmmsg(pair[0], messages, 3, 0), 3);
  for (int i = 0; i < 3; i++) parts[i].iov_len = 8;
  CHECK_EQ(recvmmsg(pair[1], messages, 3, MSG_DONTWAIT, NULL), 3);
  for (int i = 0; i < 3; i++) CHECK_EQ(messages[i].msg_len, i + 1);
  close_pair(pair);
}

int main(void) {
  enter_scratch();
  types_keep_or_join_boundaries();
  closing_and_shutting_down();
  listening_and_connecting(SOCK_STREAM);
  listening_and_connecting(SOCK_SEQPACKET);
  datagram_addresses();
  abstract_names();
  descriptors_travel();
  credentials_travel();
  the_end_tells_of_nobody();
  options_and_limits();
  many_messages_at_once();
  return 0;
}
