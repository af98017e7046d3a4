// The other end's process as a descriptor: SO_PEERPIDFD, SO_PASSPIDFD, SCM_PIDFD.
#include "check.h"
#include <sys/socket.h>
#include <sys/un.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

// The process that a descriptor is of, as /proc/self/fdinfo tells it.
static int process_of(int descriptor) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", descriptor);
  read_file(path, text, sizeof text);
  char *place = strstr(text, "Pid:");
  CHECK(place != NULL);
  return atoi(place + 4);
}

static int option(int socket, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  OK(getsockopt(socket, SOL_SOCKET, name, &value, &length));
  return value;
}

static void peers(void) {
  int pair[2], none = OK(socket(AF_UNIX, SOCK_STREAM, 0)), value;
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  int descriptor = option(pair[0], SO_PEERPIDFD);
  CHECK_EQ(process_of(descriptor), getpid());
  CHECK_EQ(fcntl(descriptor, F_GETFD), FD_CLOEXEC);
  socklen_t length = sizeof value;
  CHECK_ERRNO(getsockopt(none, SOL_SOCKET, SO_PEERPIDFD, &value, &length), ENODATA);
  OK(close(descriptor));
  OK(close(none));
  OK(close(pair[0]));
  OK(close(pair[1]));
}

static void messages(int kind) {
  int pair[2], one = 1;
  OK(socketpair(AF_UNIX, kind, 0, pair));
  CHECK_EQ(option(pair[0], SO_PASSPIDFD), 0);
  OK(setsockopt(pair[0], SOL_SOCKET, SO_PASSPIDFD, &one, sizeof one));
  CHECK_EQ(option(pair[0], SO_PASSPIDFD), 1);
  pid_t pid;
  int done[2];
  OK(pipe(done));
  IN_CHILD(pid) {
    CHECK_EQ(write(pair[1], "x", 1), 1);
    char byte;
    CHECK_EQ(read(done[0], &byte, 1), 1);
  }
  char text[8], control[256] __attribute__((aligned(8)));
  struct iovec piece = {text, sizeof text};
  struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK_EQ(recvmsg(pair[0], &header, 0), 1);
  struct cmsghdr *message = CMSG_FIRSTHDR(&header);
  CHECK(message != NULL && message->cmsg_level == SOL_SOCKET && message->cmsg_type == SCM_PIDFD);
  CHECK_EQ(message->cmsg_len, CMSG_LEN(sizeof(int)));
  int descriptor;
  memcpy(&descriptor, CMSG_DATA(message), sizeof descriptor);
  CHECK_EQ(process_of(descriptor), pid);
  CHECK(CMSG_NXTHDR(&header, message) == NULL);
  CHECK_EQ(write(done[1], "x", 1), 1);
  WAIT_OK(pid);
  OK(close(descriptor));
  OK(close(done[0]));
  OK(close(done[1]));
  OK(close(pair[0]));
  OK(close(pair[1]));
}

int main(void) {
  peers();
  messages(SOCK_STREAM);
  messages(SOCK_DGRAM);
  messages(SOCK_SEQPACKET);
  puts("ok");
}
