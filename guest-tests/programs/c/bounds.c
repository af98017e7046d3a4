// The bounds on pipes, and on what a process opens: each ends in its errno, and what is closed can be opened again.
// timeout: 60
#include "check.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#define NOBODY 65432

static void limit_descriptors(rlim_t limit) { OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){limit, limit})); }

// Opens until nothing is left; the last descriptor.
static int open_all(void) {
  int last = -1, got;
  while ((got = dup(STDIN_FILENO)) >= 0) last = got;
  CHECK_EQ(errno, EMFILE);
  return last;
}

static int two(int (*make)(int *)) {
  int ends[2];
  return make(ends);
}

static int make_sockets(int *ends) { return socketpair(AF_UNIX, SOCK_STREAM, 0, ends); }

static void whatever_opens_fails_at_the_limit(void) {
  pid_t pid;
  IN_CHILD(pid) {
    limit_descriptors(64);
    int listener = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "listener"};
    OK(bind(listener, (struct sockaddr *)&address, sizeof address));
    OK(listen(listener, 1));
    int client = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    OK(connect(client, (struct sockaddr *)&address, sizeof address));
    sigset_t set = signals(SIGUSR1, 0);
    int last = open_all();
    CHECK_EQ(last, 63);
    CHECK_ERRNO(open("new", O_CREAT | O_WRONLY, 0600), EMFILE);
    CHECK_ERRNO(access("new", F_OK), ENOENT);
    CHECK_ERRNO(two(pipe), EMFILE);
    CHECK_ERRNO(two(make_sockets), EMFILE);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_DGRAM, 0), EMFILE);
    CHECK_ERRNO(accept(listener, NULL, NULL), EMFILE);
    CHECK_ERRNO(epoll_create1(0), EMFILE);
    CHECK_ERRNO(eventfd(0, 0), EMFILE);
    CHECK_ERRNO(signalfd(-1, &set, 0), EMFILE);
    CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 0), EMFILE);
    CHECK_ERRNO(inotify_init1(0), EMFILE);
    CHECK_ERRNO(memfd_create("m", 0), EMFILE);
    CHECK_ERRNO(posix_openpt(O_RDWR), EMFILE);
    CHECK_ERRNO(syscall(SYS_pidfd_open, getpid(), 0), EMFILE);
    CHECK_ERRNO(syscall(SYS_fsopen, "tmpfs", 0), geteuid() == 0 ? EMFILE : EPERM);
    CHECK_ERRNO(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10), EMFILE);
    OK(close(last));
    CHECK_ERRNO(two(pipe), EMFILE);
    // The connection that could not be accepted waits.
    CHECK_EQ(OK(accept(listener, NULL, NULL)), last);
  }
  WAIT_OK(pid);
}

static void descriptors_without_room_are_not_received(void) {
  int pair[2];
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  pid_t pid;
  IN_CHILD(pid) {
    limit_descriptors(64);
    char space[CMSG_SPACE(sizeof(int[2]))] = {0}, byte = 'd';
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int[2]))};
    memcpy(CMSG_DATA(header), pair, sizeof pair);
    OK(sendmsg(pair[0], &message, 0));
    int last = open_all();
    OK(close(last));
    memset(space, 0, sizeof space);
    CHECK_EQ(OK(recvmsg(pair[1], &message, 0)), 1);
    CHECK_EQ(message.msg_flags, MSG_CTRUNC);
    int got;
    memcpy(&got, CMSG_DATA(header), sizeof got);
    CHECK_EQ(header->cmsg_len, CMSG_LEN(sizeof(int)));
    CHECK_EQ(got, last);
  }
  WAIT_OK(pid);
  OK(close(pair[0]));
  OK(close(pair[1]));
}

// Makes pipes until one is small, and leaves it in `ends`. Where the limit of descriptors comes first, a child that
// closes its copies goes on; the rest of the test is the last child's.
static void make_until_small(int ends[2], int usual) {
  int made = 0, first = -1;
  for (;;) {
    if (pipe2(ends, O_NONBLOCK) == 0) {
      made++;
      if (first < 0) first = ends[0];
      if (OK(fcntl(ends[1], F_GETPIPE_SZ)) < usual) return;
      continue;
    }
    CHECK_CASE(errno == EMFILE && made > 0, "%d made", made);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid > 0) {
      WAIT_OK(pid);
      _exit(0);
    }
    OK(syscall(SYS_close_range, first, ~0u, 0));
    made = 0;
  }
}

static void pipes_get_small_and_end(void) {
  enum { MOST = 60000, USUAL = 65536 };
  if (geteuid() != 0) return;
  pid_t pid;
  IN_CHILD(pid) {
    // Not every root may raise it.
    if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){MOST, MOST}) == -1) {
      struct rlimit limit;
      OK(getrlimit(RLIMIT_NOFILE, &limit));
      limit_descriptors(limit.rlim_max);
    }
    OK(setuid(NOBODY)); // The soft limit is not for the privileged.
    int ends[2], first[2];
    OK(pipe(first));
    OK(fcntl(first[0], F_SETPIPE_SZ, 2 * USUAL));
    CHECK_ERRNO(fcntl(first[0], F_SETPIPE_SZ, 1 << 30), EPERM);
    pid_t maker;
    IN_CHILD(maker) {
      make_until_small(ends, USUAL);
      int last = ends[1], capacity = OK(fcntl(last, F_GETPIPE_SZ));
      CHECK_ERRNO(fcntl(last, F_SETPIPE_SZ, USUAL), EPERM);
      // A small pipe works.
      char bytes[USUAL] = {0};
      CHECK_EQ(OK(write(last, bytes, sizeof bytes)), capacity);
      CHECK_ERRNO(write(last, bytes, 1), EAGAIN);
      CHECK_EQ(OK(read(ends[0], bytes, sizeof bytes)), capacity);
    }
    WAIT_OK(maker);
    OK(pipe(ends));
    CHECK_EQ(OK(fcntl(ends[1], F_GETPIPE_SZ)), USUAL);
  }
  WAIT_OK(pid);
}

int main(void) {
  enter_scratch();
  whatever_opens_fails_at_the_limit();
  descriptors_without_room_are_not_received();
  pipes_get_small_and_end();
  return 0;
}
