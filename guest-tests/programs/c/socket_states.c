// Unix sockets: what each call answers in each state of each type, a line each.
// compared
// timeout: 180
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/sockios.h>

static int type, one, other = -1, listener = -1, targets[3];
static volatile sig_atomic_t broken_pipes;

static void note(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  broken_pipes++;
}

static struct sockaddr_un at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, path);
  return address;
}

static long join(int socket, const char *path) {
  struct sockaddr_un address = at(path);
  return connect(socket, (void *)&address, sizeof address);
}

static long name(int socket, const char *path) {
  struct sockaddr_un address = at(path);
  return bind(socket, (void *)&address, sizeof address);
}

static const char *type_name(int which) {
  return which == SOCK_STREAM ? "stream" : which == SOCK_DGRAM ? "dgram" : "seqpacket";
}

static int make(int which) { return OK(socket(AF_UNIX, which | SOCK_NONBLOCK, 0)); }

static void make_pair(void) {
  int pair[2];
  OK(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, pair));
  one = pair[0];
  other = pair[1];
}

static void fill(int socket) {
  char block[1000] = {0};
  while (send(socket, block, sizeof block, MSG_NOSIGNAL) > 0) {}
}

static void fresh(void) { one = make(type); }
static void bound(void) { fresh(); OK(name(one, "bound")); }
static void listening(void) { bound(); listen(one, 0); }
static void listening_shut(void) { listening(); shutdown(one, SHUT_RD); }
static void waited_for(void) { listening(); other = make(type); join(other, "bound"); }
static void paired(void) { make_pair(); }
static void pending(void) { make_pair(); CHECK_EQ(send(other, "data", 4, 0), 4); }
static void shut_read(void) { pending(); OK(shutdown(one, SHUT_RD)); }
static void shut_write(void) { pending(); OK(shutdown(one, SHUT_WR)); }
static void shut_both(void) { make_pair(); OK(shutdown(one, SHUT_RDWR)); }
static void peer_shut_read(void) { make_pair(); OK(shutdown(other, SHUT_RD)); }
static void peer_shut_write(void) { make_pair(); OK(shutdown(other, SHUT_WR)); }
static void peer_shut_both(void) { pending(); OK(shutdown(other, SHUT_RDWR)); }
static void drop_other(void) { OK(close(other)); other = -1; }
static void peer_closed(void) { make_pair(); drop_other(); }
static void peer_closed_pending(void) { pending(); drop_other(); }
static void peer_closed_unread(void) { make_pair(); CHECK_EQ(send(one, "data", 4, 0), 4); drop_other(); }
static void peer_closed_both_unread(void) { pending(); CHECK_EQ(send(one, "data", 4, 0), 4); drop_other(); }
static void full(void) { make_pair(); fill(one); }
static void full_closed(void) { full(); drop_other(); }
static void full_shut(void) { full(); OK(shutdown(other, SHUT_RD)); }
static void connected(void) {
  listener = make(type);
  OK(name(listener, "server"));
  listen(listener, 1);
  fresh();
  OK(join(one, "server"));
}
static void connected_to_gone(void) { connected(); OK(close(listener)); listener = -1; }
static void accepted(void) {
  connected();
  other = one;
  one = type == SOCK_DGRAM ? make(type) : OK(accept4(listener, NULL, NULL, SOCK_NONBLOCK));
}
static void accepted_bound(void) {
  listener = make(type);
  OK(name(listener, "server"));
  listen(listener, 1);
  bound();
  OK(join(one, "server"));
}

static struct { const char *name; void (*set_up)(void); } states[] = {
#define STATE(state) {#state, state}
  STATE(fresh), STATE(bound), STATE(listening), STATE(listening_shut), STATE(waited_for), STATE(paired), STATE(pending),
  STATE(shut_read), STATE(shut_write), STATE(shut_both), STATE(peer_shut_read), STATE(peer_shut_write), STATE(peer_shut_both),
  STATE(peer_closed), STATE(peer_closed_pending), STATE(peer_closed_unread), STATE(peer_closed_both_unread), STATE(full),
  STATE(full_closed), STATE(full_shut), STATE(connected), STATE(connected_to_gone), STATE(accepted), STATE(accepted_bound),
};

static char buffer[64];
static struct sockaddr_storage found;
static socklen_t length;

static long to(const char *path, size_t size) {
  struct sockaddr_un address = at(path);
  return sendto(one, "xyz", size, 0, (void *)&address, sizeof address);
}

static long receive_from(int flags) {
  length = sizeof found;
  long got = recvfrom(one, buffer, 2, flags, (void *)&found, &length);
  if (got >= 0) printf(" length %u", length);
  return got;
}

static long message(int flags, size_t size, size_t control_size) {
  char control[128];
  struct iovec part = {buffer, size};
  struct msghdr header = {&found, sizeof found, &part, 1, control, control_size, 7};
  long got = recvmsg(one, &header, flags);
  if (got >= 0) printf(" name %u control %zu flags %#x", header.msg_namelen, header.msg_controllen, header.msg_flags);
  return got;
}

static long send_message(size_t parts, size_t size) {
  struct iovec vector[3] = {{"abc", size}, {"def", size}, {"ghi", size}};
  struct msghdr header = {.msg_iov = vector, .msg_iovlen = parts};
  return sendmsg(one, &header, 0);
}

static long ioctl_value(unsigned long request) {
  int value = -7;
  long result = ioctl(one, request, &value);
  if (result == 0) printf(" value %s%d", request == SIOCOUTQ ? "is zero " : "", request == SIOCOUTQ ? value == 0 : value);
  return result;
}

static long option(int name) {
  int value = -7;
  length = sizeof value;
  long result = getsockopt(one, SOL_SOCKET, name, &value, &length);
  if (result == 0) printf(" value %d", value);
  return result;
}

static long credentials(void) {
  struct ucred peer = {-7, -7, -7};
  length = sizeof peer;
  long result = getsockopt(one, SOL_SOCKET, SO_PEERCRED, &peer, &length);
  if (result == 0) printf(" own %d none %d", peer.pid == getpid() && peer.uid == getuid(), peer.pid == 0 && peer.uid == (uid_t)-1);
  return result;
}

static long groups(void) {
  char list[8];
  length = 0;
  long result = getsockopt(one, SOL_SOCKET, SO_PEERGROUPS, list, &length);
  return result;
}

static long polled(int socket, short events) {
  struct pollfd entry = {socket, events, 0};
  OK(poll(&entry, 1, 0));
  return entry.revents;
}

#define ALL (POLLIN | POLLPRI | POLLOUT | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND | POLLMSG | POLLRDHUP)

static long accept_one(int flags) {
  length = sizeof found;
  long got = accept4(one, (void *)&found, &length, flags);
  if (got >= 0) {
    printf(" length %u flags %#x %#x", length, fcntl(got, F_GETFL), fcntl(got, F_GETFD));
    OK(close(got));
  }
  return got < 0 ? got : 0;
}

static long address_of(int (*get)(int, struct sockaddr *, socklen_t *), socklen_t size) {
  memset(&found, 'x', sizeof found);
  length = size;
  long result = get(one, (void *)&found, &length);
  if (result == 0) {
    printf(" length %u ", length);
    for (socklen_t i = 0; i < (size < length + 2 ? size : length + 2); i++) printf("%02x", ((unsigned char *)&found)[i]);
  }
  return result;
}

static long unspecific(size_t size) {
  struct sockaddr address = {.sa_family = AF_UNSPEC};
  return connect(one, &address, size);
}

static long bind_length(size_t size, int family) {
  struct sockaddr_un address = at("elsewhere");
  address.sun_family = family;
  long result = bind(one, (void *)&address, size);
  int kept = errno;
  unlink("elsewhere");
  errno = kept;
  return result;
}

static long listen_twice(void) {
  long first = listen(one, 3);
  printf(" first %ld", first);
  return listen(one, -1);
}

// Each call, in a state of its own.
static const char *call_name;
#define CALL(expression) if (which == place++) { call_name = #expression; printf("  %s:", call_name); errno = 0; return expression; }

static long do_call(int which) {
  int place = 0;
  CALL(recv(one, buffer, 0, 0))
  CALL(recv(one, buffer, 16, 0))
  CALL(recv(one, buffer, 2, MSG_TRUNC))
  CALL(recv(one, buffer, 2, MSG_PEEK))
  CALL(recv(one, buffer, 2, MSG_PEEK | MSG_TRUNC))
  CALL(recv(one, buffer, 16, MSG_DONTWAIT | MSG_WAITALL))
  CALL(recv(one, buffer, 1, MSG_OOB))
  CALL(recv(one, buffer, 1, MSG_ERRQUEUE))
  CALL(recv(one, NULL, 16, 0))
  CALL(recv(one, (void *)8, 4, 0))
  CALL(read(one, buffer, 0))
  CALL(read(one, buffer, 16))
  CALL(pread(one, buffer, 16, 0))
  CALL(pwrite(one, buffer, 16, 0))
  CALL(lseek(one, 0, SEEK_SET))
  CALL(receive_from(0))
  CALL(receive_from(MSG_PEEK))
  CALL(message(0, 2, 0))
  CALL(message(0, 16, 128))
  CALL(message(MSG_TRUNC, 2, 0))
  CALL(message(MSG_CMSG_CLOEXEC, 0, 128))
  CALL(send(one, "xyz", 0, 0))
  CALL(send(one, "xyz", 3, 0))
  CALL(send(one, "xyz", 3, MSG_NOSIGNAL))
  CALL(send(one, "xyz", 1, MSG_OOB))
  CALL(send(one, "xyz", 3, MSG_EOR | MSG_MORE | MSG_CONFIRM | MSG_DONTROUTE))
  if (type != SOCK_DGRAM) CALL(send(one, (void *)8, 3, 0))
  CALL(send(one, (void *)8, 0, 0))
  CALL(write(one, "xyz", 0))
  CALL(write(one, "xyz", 3))
  CALL(send_message(0, 0))
  CALL(send_message(3, 0))
  CALL(send_message(3, 2))
  CALL(to("target-stream", 3))
  CALL(to("target-dgram", 3))
  CALL(to("target-dgram", 0))
  CALL(to("target-seqpacket", 3))
  CALL(to("missing", 3))
  CALL(to("file", 3))
  CALL(to("bound", 3))
  CALL(sendto(one, "xyz", 3, 0, (void *)&(struct sockaddr){AF_UNSPEC}, sizeof(struct sockaddr)))
  CALL(sendto(one, "xyz", 3, 0, (void *)&(struct sockaddr){AF_UNIX}, 2))
  CALL(sendto(one, "xyz", 3, 0, (void *)&(struct sockaddr){AF_UNIX}, 0))
  CALL(sendto(one, "xyz", 3, 0, (void *)&(struct sockaddr){AF_INET}, sizeof(struct sockaddr)))
  CALL(join(one, "target-stream"))
  CALL(join(one, "target-dgram"))
  CALL(join(one, "target-seqpacket"))
  CALL(join(one, "missing"))
  CALL(join(one, "file"))
  CALL(join(one, "bound"))
  CALL(join(one, "busy"))
  CALL(unspecific(2))
  CALL(unspecific(sizeof(struct sockaddr)))
  CALL(unspecific(1))
  CALL(name(one, "second"))
  CALL(name(one, "target-dgram"))
  CALL(bind_length(2, AF_UNIX))
  CALL(bind_length(1, AF_UNIX))
  CALL(bind_length(0, AF_UNIX))
  CALL(bind_length(5, AF_UNIX))
  CALL(bind_length(20, AF_INET))
  CALL(bind_length(111, AF_UNIX))
  CALL(listen_twice())
  CALL(accept_one(0))
  CALL(accept_one(SOCK_NONBLOCK | SOCK_CLOEXEC))
  CALL(accept_one(1))
  CALL(address_of(getsockname, sizeof found))
  CALL(address_of(getpeername, sizeof found))
  CALL(address_of(getpeername, 1))
  CALL(address_of(getsockname, 3))
  CALL(polled(one, ALL))
  CALL(polled(one, 0))
  CALL(polled(other, ALL))
  CALL(ioctl_value(FIONREAD))
  CALL(ioctl_value(SIOCOUTQ))
  CALL(option(SO_ERROR))
  CALL(option(SO_ACCEPTCONN))
  CALL(credentials())
  CALL(groups())
  CALL(shutdown(one, SHUT_RD))
  CALL(shutdown(one, SHUT_WR))
  CALL(shutdown(one, SHUT_RDWR))
  CALL(shutdown(one, 3))
  CALL(shutdown(one, -1))
  CALL(close(one))
  call_name = NULL;
  return 0;
}

static void end_state(void) {
  if (call_name == NULL || strncmp(call_name, "close", 5) != 0) OK(close(one));
  if (other >= 0) OK(close(other));
  if (listener >= 0) OK(close(listener));
  other = listener = -1;
  char text[64];
  while (recv(targets[1], text, sizeof text, 0) >= 0) {}
  unlink("bound");
  unlink("server");
  unlink("second");
}

int main(void) {
  enter_scratch();
  handle(SIGPIPE, note, 0);
  write_file("file", "");
  int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
  for (size_t i = 0; i < COUNT(types); i++) {
    char path[32];
    snprintf(path, sizeof path, "target-%s", type_name(types[i]));
    targets[i] = make(types[i]);
    OK(name(targets[i], path));
    listen(targets[i], 1000);
  }
  for (size_t i = 0; i < COUNT(types); i++) {
    type = types[i];
    int busy = make(type), waits = make(type);
    OK(name(busy, "busy"));
    if (type == SOCK_DGRAM) OK(join(busy, "target-dgram"));
    else {
      OK(listen(busy, 0));
      OK(join(waits, "busy"));
    }
    for (size_t state = 0; state < COUNT(states); state++) {
      if (type == SOCK_DGRAM && strncmp(states[state].name, "accepted", 8) == 0) continue;
      printf("%s %s\n", type_name(type), states[state].name);
      for (int which = 0;; which++) {
        states[state].set_up();
        broken_pipes = 0;
        long result = do_call(which);
        if (call_name == NULL) {
          end_state();
          break;
        }
        printf(" %s", result == -1 ? strerrorname_np(errno) : "");
        if (result != -1) printf("%ld", result);
        if (broken_pipes) printf(" SIGPIPE");
        int is_closed = strncmp(call_name, "close", 5) == 0;
        if (!is_closed) printf("; then %#lx", polled(one, ALL));
        if (other >= 0) printf(", peer %#lx", polled(other, ALL));
        if (!is_closed) {
          errno = 0;
          option(SO_ERROR);
        }
        printf("\n");
        end_state();
      }
    }
    OK(close(busy));
    OK(close(waits));
    OK(unlink("busy"));
  }
  return 0;
}
