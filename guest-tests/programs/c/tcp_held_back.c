// What TCP holds back: less than a segment (TCP_CORK, MSG_MORE), and connections without bytes (TCP_DEFER_ACCEPT); and what is told
// of connections that have ended.
#include "inet.h"
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/uio.h>

static int listener_at(struct address *where, int deferral) {
  int listener = OK(socket(AF_INET, SOCK_STREAM, 0));
  OK(bind_to(listener, at("127.0.0.1", 0)));
  if (deferral > 0) {
    OK(setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &deferral, sizeof deferral));
  }
  OK(listen(listener, 5));
  *where = own_name(listener);
  return listener;
}

static int connected(struct address where) {
  int client = OK(socket(AF_INET, SOCK_STREAM, 0));
  OK(connect_to(client, where));
  return client;
}

static int is_ready(int fd, int events, int milliseconds) {
  struct pollfd one = {.fd = fd, .events = events};
  return OK(poll(&one, 1, milliseconds)) == 1 && (one.revents & events) != 0;
}

static int unsent(int fd) {
  int count;
  OK(ioctl(fd, SIOCOUTQ, &count));
  return count;
}

static int unread(int fd) {
  int count;
  OK(ioctl(fd, FIONREAD, &count));
  return count;
}

static void set(int fd, int option, int value) { OK(setsockopt(fd, IPPROTO_TCP, option, &value, sizeof value)); }

static void corks(void) {
  struct address where;
  int listener = listener_at(&where, 0), client = connected(where), server = OK(accept(listener, NULL, NULL));
  char bytes[200000] = {0}, got[200000];
  set(client, TCP_CORK, 1);
  CHECK_EQ(write(client, "ab", 2), 2);
  CHECK_EQ(write(client, "cd", 2), 2);
  CHECK_EQ(recv(server, got, sizeof got, MSG_DONTWAIT), -1);
  CHECK_EQ(errno, EAGAIN);
  CHECK_EQ(unsent(client), 4);
  set(client, TCP_CORK, 0);
  CHECK(is_ready(server, POLLIN, 5000));
  CHECK_EQ(unsent(client), 0);
  CHECK_EQ(read(server, got, sizeof got), 4);
  CHECK(memcmp(got, "abcd", 4) == 0);
  // Whole segments go out; what is left of one follows in a while, uncorked or not.
  set(client, TCP_CORK, 1);
  CHECK_EQ(write(client, bytes, 100000), 100000);
  CHECK(is_ready(server, POLLIN, 5000));
  int first = unread(server);
  CHECK(first > 0 && first < 100000);
  for (int count = 0; count < 100000;) {
    CHECK(is_ready(server, POLLIN, 5000));
    count += OK(read(server, got, sizeof got));
  }
  // To have no delay pushes what waits.
  CHECK_EQ(write(client, "x", 1), 1);
  CHECK(unread(server) == 0);
  set(client, TCP_NODELAY, 1);
  CHECK(is_ready(server, POLLIN, 5000));
  CHECK_EQ(read(server, got, sizeof got), 1);
  // So does the end, which comes behind it.
  CHECK_EQ(write(client, "last", 4), 4);
  close(client);
  CHECK(is_ready(server, POLLIN, 5000));
  CHECK_EQ(read(server, got, sizeof got), 4);
  CHECK_EQ(read(server, got, sizeof got), 0);
  close(server);
  close(listener);
}

static void more(void) {
  struct address where;
  int listener = listener_at(&where, 0), client = connected(where), server = OK(accept(listener, NULL, NULL));
  char got[100];
  CHECK_EQ(send(client, "one ", 4, MSG_MORE), 4);
  CHECK_EQ(recv(server, got, sizeof got, MSG_DONTWAIT), -1);
  CHECK_EQ(send(client, "two ", 4, MSG_MORE), 4);
  CHECK_EQ(unread(server), 0);
  CHECK_EQ(send(client, "three", 5, 0), 5);
  CHECK(is_ready(server, POLLIN, 5000));
  CHECK_EQ(read(server, got, sizeof got), 13);
  CHECK(memcmp(got, "one two three", 13) == 0);
  // Nobody sends more: it comes all the same.
  CHECK_EQ(send(client, "alone", 5, MSG_MORE), 5);
  CHECK(is_ready(server, POLLIN, 5000));
  CHECK_EQ(read(server, got, sizeof got), 5);
  CHECK_EQ(send(client, "end", 3, MSG_MORE), 3);
  OK(shutdown(client, SHUT_WR));
  CHECK(is_ready(server, POLLIN, 5000));
  CHECK_EQ(read(server, got, sizeof got), 3);
  CHECK_EQ(read(server, got, sizeof got), 0);
  close(client);
  close(server);
  close(listener);
}

static void deferred(void) {
  struct address where;
  int listener = listener_at(&where, 30), silent = connected(where), talking = connected(where);
  CHECK(!is_ready(listener, POLLIN, 100));
  OK(fcntl(listener, F_SETFL, O_NONBLOCK));
  CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
  CHECK_EQ(write(talking, "hello", 5), 5);
  CHECK(is_ready(listener, POLLIN, 5000));
  struct address from = {.length = sizeof from.v6};
  int server = OK(accept(listener, &from.any, &from.length));
  CHECK(is_same_address(from, own_name(talking)));
  char got[10];
  CHECK_EQ(read(server, got, sizeof got), 5);
  CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
  close(silent);
  close(talking);
  close(server);
  close(listener);
}

// How many lines of /proc/net/tcp tell of a connection to this port in this state.
static int lines(int port, int state) {
  static char text[1 << 20];
  read_file("/proc/self/net/tcp", text, sizeof text);
  char wanted[40];
  snprintf(wanted, sizeof wanted, "0100007F:%04X %02X ", port, state);
  int count = 0;
  for (char *place = text; (place = strstr(place, wanted)) != NULL; place++) {
    count++;
  }
  return count;
}

static void ended(void) {
  enum { FIN_WAIT2 = 5, TIME_WAIT = 6 };
  struct address where;
  int listener = listener_at(&where, 0), client = connected(where), server = OK(accept(listener, NULL, NULL));
  int port = port_of(where);
  close(client);
  CHECK(is_ready(server, POLLIN, 5000));
  for (int tries = 0; lines(port, FIN_WAIT2) == 0; tries++) {
    CHECK(tries < 100);
    usleep(20000);
  }
  close(server);
  for (int tries = 0; lines(port, TIME_WAIT) == 0; tries++) {
    CHECK(tries < 100);
    usleep(20000);
  }
  CHECK_EQ(lines(port, FIN_WAIT2), 0);
  close(listener);
}

int main(void) {
  corks();
  more();
  deferred();
  ended();
  puts("ok");
}
