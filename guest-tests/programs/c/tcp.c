// TCP on the loopback: names, backlogs, connects of all kinds, ends in order and broken off, urgent bytes, ports.
#include "inet.h"
#include <sys/epoll.h>
#include <sys/sendfile.h>

static const char *loopback;

static volatile sig_atomic_t broken_pipes;

static void note(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  broken_pipes++;
}

static int make(int flags) { return OK(socket(at(loopback, 0).any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0)); }

static void expect(int socket, const char *text) {
  char buffer[64] = {0};
  CHECK_EQ(recv(socket, buffer, strlen(text), MSG_WAITALL), strlen(text));
  CHECK_CASE(strcmp(buffer, text) == 0, "%s instead of %s", buffer, text);
}

static void names(void) {
  int fresh = make(0);
  CHECK_EQ(port_of(own_name(fresh)), 0);
  struct address peer = {.length = sizeof peer.v6};
  CHECK_ERRNO(getpeername(fresh, &peer.any, &peer.length), ENOTCONN);
  int listener = listen_at(loopback, 5);
  struct address where = own_name(listener);
  CHECK(port_of(where) != 0);
  OK(connect_to(fresh, where));
  CHECK(is_same_address(peer_name(fresh), where));
  struct address told = {.length = sizeof told.v6};
  int accepted = OK(accept(listener, &told.any, &told.length));
  CHECK(is_same_address(told, own_name(fresh)));
  CHECK(is_same_address(own_name(accepted), where));
  CHECK(is_same_address(peer_name(accepted), own_name(fresh)));
  CHECK_EQ(option_of(accepted, SOL_SOCKET, SO_ACCEPTCONN), 0);
  CHECK_EQ(option_of(listener, SOL_SOCKET, SO_ACCEPTCONN), 1);
  CHECK_EQ(option_of(accepted, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
  OK(close(fresh));
  OK(close(accepted));
  OK(close(listener));
}

static void bytes_both_ways(void) {
  int ends[2];
  make_connection(loopback, ends);
  CHECK_EQ(write(ends[0], "hello", 5), 5);
  CHECK_EQ(send(ends[1], "world", 5, 0), 5);
  char buffer[16] = {0};
  await_events(ends[1], POLLIN);
  CHECK_EQ(recv(ends[1], buffer, 3, MSG_PEEK), 3);
  int queued;
  OK(ioctl(ends[1], FIONREAD, &queued));
  CHECK_EQ(queued, 5);
  expect(ends[1], "hello");
  expect(ends[0], "world");
  CHECK_ERRNO(recv(ends[0], buffer, 1, MSG_DONTWAIT), EAGAIN);
  CHECK_EQ(send(ends[0], "abcdef", 6, 0), 6);
  await_events(ends[1], POLLIN);
  CHECK_EQ(recv(ends[1], NULL, 4, MSG_TRUNC), 4);
  expect(ends[1], "ef");
  OK(close(ends[0]));
  OK(close(ends[1]));
}

static void much(void) {
  enum { SIZE = 16 << 20 };
  int ends[2];
  make_connection(loopback, ends);
  char *sent = map_anonymous(SIZE, PROT_READ | PROT_WRITE), *got = map_anonymous(SIZE, PROT_READ | PROT_WRITE);
  for (size_t i = 0; i < SIZE; i++) sent[i] = i * 2654435761u >> 13;
  pid_t pid;
  IN_CHILD(pid) {
    OK(close(ends[1]));
    CHECK_EQ(send(ends[0], sent, SIZE, 0), SIZE);
  }
  OK(close(ends[0]));
  CHECK_EQ(recv(ends[1], got, SIZE, MSG_WAITALL), SIZE);
  CHECK(memcmp(sent, got, SIZE) == 0);
  CHECK_EQ(recv(ends[1], got, 1, 0), 0);
  WAIT_OK(pid);
  OK(close(ends[1]));
  OK(munmap(sent, SIZE));
  OK(munmap(got, SIZE));
}

// A writer that fills the buffers is told when there is room again, once in edge mode.
static void full_buffers(void) {
  int ends[2];
  make_connection(loopback, ends);
  OK(fcntl(ends[0], F_SETFL, O_NONBLOCK));
  int epoll = OK(epoll_create1(0));
  struct epoll_event event = {EPOLLOUT | EPOLLET, {0}};
  OK(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event));
  CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 1);
  static char block[64 * 1024];
  long long sent = 0, got = 0;
  for (int quiet = 0; quiet < 20;) {
    ssize_t part = send(ends[0], block, sizeof block, 0);
    if (part > 0) sent += part;
    if (part < 0) CHECK_EQ(errno, EAGAIN);
    quiet = part > 0 ? 0 : quiet + 1;
    if (part < 0) sleep_ms(5);
  }
  CHECK(sent > 100 * 1024);
  while (epoll_wait(epoll, &event, 1, 0) == 1) {}
  CHECK_EQ(events_of(ends[0], 0) & POLLOUT, 0);
  while (got < sent) got += OK(recv(ends[1], block, sizeof block, 0));
  CHECK_EQ(epoll_wait(epoll, &event, 1, 10000), 1);
  CHECK_EQ(event.events, EPOLLOUT);
  OK(close(epoll));
  OK(close(ends[0]));
  OK(close(ends[1]));
}

static void ends_in_order(void) {
  int ends[2];
  make_connection(loopback, ends);
  CHECK_EQ(send(ends[0], "last", 4, 0), 4);
  OK(shutdown(ends[0], SHUT_WR));
  CHECK_ERRNO(send(ends[0], "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK_EQ(broken_pipes, 0);
  CHECK_ERRNO(send(ends[0], "x", 1, 0), EPIPE);
  CHECK_EQ(broken_pipes, 1);
  await_events(ends[1], POLLRDHUP);
  CHECK_EQ(events_of(ends[1], 0), POLLIN | POLLOUT | POLLRDHUP);
  char buffer[8];
  CHECK_EQ(recv(ends[1], buffer, 8, 0), 4);
  CHECK_EQ(recv(ends[1], buffer, 8, 0), 0);
  CHECK_EQ(send(ends[1], "late", 4, 0), 4);
  expect(ends[0], "late");
  OK(close(ends[1]));
  await_events(ends[0], POLLHUP);
  CHECK_EQ(events_of(ends[0], 0), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
  CHECK_EQ(recv(ends[0], buffer, 8, 0), 0);
  OK(close(ends[0]));
  broken_pipes = 0;
}

static void writing_to_nobody(void) {
  int ends[2];
  make_connection(loopback, ends);
  OK(close(ends[1]));
  await_events(ends[0], POLLRDHUP);
  // Nothing goes out, and nothing comes of it.
  CHECK_EQ(send(ends[0], "", 0, 0), 0);
  CHECK_EQ(send(ends[0], "", 0, 0), 0);
  CHECK_EQ(send(ends[0], "x", 1, 0), 1);
  await_events(ends[0], POLLERR);
  CHECK_ERRNO(send(ends[0], "x", 1, 0), EPIPE);
  CHECK_EQ(broken_pipes, 1);
  OK(close(ends[0]));
  broken_pipes = 0;
}

static void broken_off(int by_linger) {
  int ends[2];
  make_connection(loopback, ends);
  struct linger off = {1, 0};
  if (by_linger) OK(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &off, sizeof off));
  else CHECK_EQ(send(ends[0], "unread", 6, 0), 6);
  if (!by_linger) await_events(ends[1], POLLIN);
  OK(close(ends[1]));
  await_events(ends[0], POLLERR);
  CHECK_EQ(events_of(ends[0], 0), POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
  char buffer[8];
  CHECK_ERRNO(recv(ends[0], buffer, 8, 0), ECONNRESET);
  CHECK_EQ(recv(ends[0], buffer, 8, 0), 0);
  CHECK_ERRNO(send(ends[0], "x", 1, MSG_NOSIGNAL), EPIPE);
  struct address peer = {.length = sizeof peer.v6};
  CHECK_ERRNO(getpeername(ends[0], &peer.any, &peer.length), ENOTCONN);
  OK(close(ends[0]));
}

// A port at which nobody listens.
static struct address nowhere(void) {
  int listener = listen_at(loopback, 1);
  struct address where = own_name(listener);
  OK(close(listener));
  return where;
}

static void refused(void) {
  struct address where = nowhere();
  int blocking = make(0), other = make(SOCK_NONBLOCK);
  CHECK_ERRNO(connect_to(blocking, where), ECONNREFUSED);
  CHECK_EQ(option_of(blocking, SOL_SOCKET, SO_ERROR), 0);
  CHECK_ERRNO(connect_to(other, where), EINPROGRESS);
  CHECK(await_events(other, POLLOUT) & POLLERR);
  CHECK_EQ(option_of(other, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  CHECK_EQ(option_of(other, SOL_SOCKET, SO_ERROR), 0);
  CHECK_ERRNO(connect_to(other, where), ECONNABORTED);
  CHECK_ERRNO(connect_to(other, where), EINPROGRESS);
  CHECK(await_events(other, POLLOUT) & POLLERR);
  CHECK_ERRNO(connect_to(other, where), ECONNREFUSED);
  int listener = listen_at(loopback, 1);
  OK(connect_to(blocking, own_name(listener)));
  OK(close(blocking));
  OK(close(other));
  OK(close(listener));
}

static void without_waiting(void) {
  int listener = listen_at(loopback, 5), one = make(SOCK_NONBLOCK);
  CHECK_EQ(events_of(one, 0), POLLOUT | POLLHUP);
  CHECK_ERRNO(accept4(listener, NULL, NULL, 99), EINVAL);
  OK(fcntl(listener, F_SETFL, O_NONBLOCK));
  CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
  CHECK_EQ(events_of(listener, 0), 0);
  CHECK_ERRNO(connect_to(one, own_name(listener)), EINPROGRESS);
  CHECK_EQ(await_events(one, POLLOUT), POLLOUT);
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_ERROR), 0);
  OK(connect_to(one, own_name(listener)));
  CHECK_ERRNO(connect_to(one, own_name(listener)), EISCONN);
  CHECK_ERRNO(connect(one, (void *)&(sa_family_t){AF_INET}, 1), EINVAL);
  CHECK_EQ(await_events(listener, POLLIN), POLLIN);
  int accepted = OK(accept4(listener, NULL, NULL, SOCK_NONBLOCK));
  CHECK_ERRNO(recv(accepted, &one, 1, 0), EAGAIN);
  OK(close(accepted));
  OK(close(one));
  OK(close(listener));
}

// A backlog takes one more than it says; others wait until there is room, or until the listener is gone.
static void full_backlog(void) {
  int listener = listen_at(loopback, 1), fitting[2], waiting = make(SOCK_NONBLOCK);
  for (int i = 0; i < 2; i++) OK(connect_to(fitting[i] = make(0), own_name(listener)));
  CHECK_ERRNO(connect_to(waiting, own_name(listener)), EINPROGRESS);
  sleep_ms(20);
  CHECK_EQ(events_of(waiting, 0), 0);
  CHECK_ERRNO(connect_to(waiting, own_name(listener)), EALREADY);
  OK(close(OK(accept(listener, NULL, NULL))));
  CHECK_EQ(await_events(waiting, POLLOUT), POLLOUT);
  OK(close(waiting));
  for (int i = 0; i < 2; i++) OK(close(fitting[i]));
  OK(close(listener));
}

static void listener_closed_with_backlog(void) {
  int listener = listen_at(loopback, 5), one = make(0);
  OK(connect_to(one, own_name(listener)));
  OK(close(listener));
  await_events(one, POLLERR);
  char byte;
  CHECK_ERRNO(recv(one, &byte, 1, 0), ECONNRESET);
  OK(close(one));
}

static void gone_before_accept(void) {
  int listener = listen_at(loopback, 5), one = make(0);
  OK(connect_to(one, own_name(listener)));
  CHECK_EQ(send(one, "bye", 3, 0), 3);
  OK(close(one));
  int accepted = OK(accept(listener, NULL, NULL));
  expect(accepted, "bye");
  char byte;
  CHECK_EQ(recv(accepted, &byte, 1, 0), 0);
  OK(close(accepted));
  OK(close(listener));
}

static void *accept_one(void *listener) { return (void *)(long)accept(*(int *)listener, NULL, NULL); }

static void blocking_accept(void) {
  int listener = listen_at(loopback, 5), clients[3];
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) threads[i] = start_thread(accept_one, &listener);
  for (int i = 0; i < 3; i++) OK(connect_to(clients[i] = make(0), own_name(listener)));
  for (int i = 0; i < 3; i++) OK(close((long)join_thread(threads[i])));
  for (int i = 0; i < 3; i++) OK(close(clients[i]));
  pthread_t thread = start_thread(accept_one, &listener);
  sleep_ms(20);
  OK(shutdown(listener, SHUT_RDWR));
  CHECK_EQ((long)join_thread(thread), -1);
  CHECK_ERRNO(accept(listener, NULL, NULL), EINVAL);
  OK(close(listener));
}

static void to_itself(void) {
  int one = make(0);
  OK(bind_to(one, at(loopback, 0)));
  OK(connect_to(one, own_name(one)));
  CHECK(is_same_address(own_name(one), peer_name(one)));
  CHECK_EQ(send(one, "me", 2, 0), 2);
  expect(one, "me");
  OK(shutdown(one, SHUT_WR));
  char byte;
  CHECK_EQ(recv(one, &byte, 1, 0), 0);
  OK(close(one));
}

static void disconnected(void) {
  int ends[2];
  make_connection(loopback, ends);
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  OK(connect(ends[0], &none, sizeof none));
  await_events(ends[1], POLLERR);
  char byte;
  CHECK_ERRNO(recv(ends[1], &byte, 1, 0), ECONNRESET);
  CHECK_ERRNO(recv(ends[0], &byte, 1, 0), ECONNRESET);
  CHECK_ERRNO(recv(ends[0], &byte, 1, 0), ENOTCONN);
  int listener = listen_at(loopback, 5);
  OK(connect_to(ends[0], own_name(listener)));
  OK(close(listener));
  OK(close(ends[0]));
  OK(close(ends[1]));
}

static void urgent(void) {
  int ends[2], is_at_mark;
  make_connection(loopback, ends);
  char buffer[16] = {0};
  CHECK_ERRNO(recv(ends[1], buffer, 1, MSG_OOB), EINVAL);
  CHECK_EQ(send(ends[0], "abU", 3, MSG_OOB), 3);
  CHECK_EQ(send(ends[0], "cd", 2, 0), 2);
  CHECK(await_events(ends[1], POLLPRI) & POLLPRI);
  sleep_ms(20);
  CHECK_EQ(recv(ends[1], buffer, 16, 0), 2);
  OK(ioctl(ends[1], SIOCATMARK, &is_at_mark));
  CHECK_EQ(is_at_mark, 1);
  CHECK_EQ(recv(ends[1], buffer, 1, MSG_OOB | MSG_PEEK), 1);
  CHECK_EQ(recv(ends[1], buffer, 1, MSG_OOB), 1);
  CHECK_EQ(buffer[0], 'U');
  CHECK_ERRNO(recv(ends[1], buffer, 1, MSG_OOB), EINVAL);
  expect(ends[1], "cd");
  OK(set_option(ends[1], SOL_SOCKET, SO_OOBINLINE, 1));
  CHECK_EQ(send(ends[0], "efV", 3, MSG_OOB), 3);
  await_events(ends[1], POLLPRI);
  CHECK_EQ(recv(ends[1], buffer, 16, 0), 2);
  CHECK_EQ(recv(ends[1], buffer, 16, 0), 1);
  CHECK_EQ(buffer[0], 'V');
  OK(close(ends[0]));
  OK(close(ends[1]));
}

static void ports_in_use(void) {
  int listener = listen_at(loopback, 5), other = make(0);
  struct address where = own_name(listener);
  CHECK_ERRNO(bind_to(other, where), EADDRINUSE);
  CHECK_ERRNO(bind_to(listener, where), EINVAL);
  OK(set_option(other, SOL_SOCKET, SO_REUSEADDR, 1));
  CHECK_ERRNO(bind_to(other, where), EADDRINUSE);
  // The end that closes first keeps the port in TIME_WAIT.
  int client = make(0);
  OK(connect_to(client, where));
  int accepted = OK(accept(listener, NULL, NULL));
  OK(close(accepted));
  char byte;
  CHECK_EQ(recv(client, &byte, 1, 0), 0);
  OK(close(client));
  OK(close(listener));
  int again = make(0);
  CHECK_ERRNO(bind_to(again, where), EADDRINUSE);
  OK(close(again));
  OK(close(other));
}

static void shared_ports(void) {
  int one = make(0), two = make(0), counts[2] = {0};
  for (int i = 0; i < 2; i++) OK(set_option(i ? two : one, SOL_SOCKET, SO_REUSEPORT, 1));
  OK(bind_to(one, at(loopback, 0)));
  OK(bind_to(two, own_name(one)));
  OK(listen(one, 64));
  OK(listen(two, 64));
  int clients[32];
  for (int i = 0; i < 32; i++) OK(connect_to(clients[i] = make(0), own_name(one)));
  for (int i = 0; i < 32; i++) {
    struct pollfd both[2] = {{one, POLLIN, 0}, {two, POLLIN, 0}};
    CHECK(poll(both, 2, 10000) > 0);
    int which = both[0].revents ? 0 : 1;
    OK(close(OK(accept(both[which].fd, NULL, NULL))));
    counts[which]++;
  }
  CHECK_CASE(counts[0] > 0 && counts[1] > 0, "%d and %d", counts[0], counts[1]);
  for (int i = 0; i < 32; i++) OK(close(clients[i]));
  OK(close(one));
  OK(close(two));
}

static void from_a_file(void) {
  int ends[2], file = OK(memfd_create("content", 0));
  make_connection(loopback, ends);
  static char content[100000], got[100000];
  for (size_t i = 0; i < sizeof content; i++) content[i] = i * 31;
  CHECK_EQ(write(file, content, sizeof content), sizeof content);
  off_t offset = 0;
  CHECK_EQ(sendfile(ends[0], file, &offset, sizeof content), sizeof content);
  CHECK_EQ(recv(ends[1], got, sizeof got, MSG_WAITALL), sizeof got);
  CHECK(memcmp(content, got, sizeof got) == 0);
  int pipes[2];
  OK(pipe(pipes));
  CHECK_EQ(send(ends[0], content, 5000, 0), 5000);
  for (int left = 5000; left > 0;) left -= OK(splice(ends[1], NULL, pipes[1], NULL, left, 0));
  CHECK_EQ(read(pipes[0], got, 5000), 5000);
  CHECK_EQ(write(pipes[1], content, 5000), 5000);
  for (int left = 5000; left > 0;) left -= OK(splice(pipes[0], NULL, ends[0], NULL, left, 0));
  CHECK_EQ(recv(ends[1], got, 5000, MSG_WAITALL), 5000);
  CHECK(memcmp(content, got, 5000) == 0);
  for (int i = 0; i < 2; i++) OK(close(pipes[i]));
  for (int i = 0; i < 2; i++) OK(close(ends[i]));
  OK(close(file));
}

int main(void) {
  handle(SIGPIPE, note, 0);
  const char *loopbacks[] = {"127.0.0.1", "127.9.8.7", "::1"};
  for (size_t i = 0; i < COUNT(loopbacks); i++) {
    loopback = loopbacks[i];
    names();
    bytes_both_ways();
    much();
    full_buffers();
    ends_in_order();
    writing_to_nobody();
    broken_off(0);
    broken_off(1);
    refused();
    without_waiting();
    full_backlog();
    listener_closed_with_backlog();
    gone_before_accept();
    blocking_accept();
    to_itself();
    disconnected();
    urgent();
    ports_in_use();
    shared_ports();
    from_a_file();
  }
  return 0;
}
