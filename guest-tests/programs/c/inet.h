// Internet addresses of the loopback, and small steps with sockets.
#ifndef INET_H
#define INET_H

#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

// An address of either family.
struct address {
  socklen_t length;
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  };
};

// The address that this text and port are.
UNUSED static struct address at(const char *text, int port) {
  struct address address = {0};
  if (strchr(text, ':') != NULL) {
    address.length = sizeof address.v6;
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    CHECK_EQ(inet_pton(AF_INET6, text, &address.v6.sin6_addr), 1);
  } else {
    address.length = sizeof address.v4;
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    CHECK_EQ(inet_pton(AF_INET, text, &address.v4.sin_addr), 1);
  }
  return address;
}

UNUSED static int bind_to(int socket, struct address address) { return bind(socket, &address.any, address.length); }
UNUSED static int connect_to(int socket, struct address address) { return connect(socket, &address.any, address.length); }

UNUSED static struct address own_name(int socket) {
  struct address address = {.length = sizeof address.v6};
  OK(getsockname(socket, &address.any, &address.length));
  return address;
}

UNUSED static struct address peer_name(int socket) {
  struct address address = {.length = sizeof address.v6};
  OK(getpeername(socket, &address.any, &address.length));
  return address;
}

UNUSED static int port_of(struct address address) { return ntohs(address.v4.sin_port); }

UNUSED static int is_same_address(struct address one, struct address other) {
  return one.length == other.length && memcmp(&one.any, &other.any, one.length) == 0;
}

UNUSED static int option_of(int socket, int level, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  OK(getsockopt(socket, level, option, &value, &length));
  return value;
}

UNUSED static int set_option(int socket, int level, int option, int value) {
  return setsockopt(socket, level, option, &value, sizeof value);
}

// What poll(2) tells of a socket within this time, asked for everything.
UNUSED static int events_of(int socket, int timeout_ms) {
  struct pollfd poller = {socket, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
  OK(poll(&poller, 1, timeout_ms));
  return poller.revents;
}

// Waits until poll(2) tells of one of these events.
UNUSED static int await_events(int socket, int events) {
  struct pollfd poller = {socket, events, 0};
  CHECK_EQ(poll(&poller, 1, 10000), 1);
  return poller.revents;
}

// A listener at a port of the kernel's choice.
UNUSED static int listen_at(const char *text, int backlog) {
  struct address address = at(text, 0);
  int listener = OK(socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  OK(bind_to(listener, address));
  OK(listen(listener, backlog));
  return listener;
}

// Both ends of a TCP connection: the one that connected and the one that was accepted.
UNUSED static void make_connection(const char *text, int ends[2]) {
  int listener = listen_at(text, 1);
  ends[0] = OK(socket(own_name(listener).any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  OK(connect_to(ends[0], own_name(listener)));
  ends[1] = OK(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
  OK(close(listener));
}

#endif
