// Consuming without end: processes, descriptors, mappings, threads, nesting, pending data. Each ends in an errno.
// timeout: 60
#include "check.h"
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

static void a_fork_bomb_is_contained(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(setpgid(0, 0));
    struct rlimit limit = {40, 40};
    OK(setrlimit(RLIMIT_NPROC, &limit));
    if (geteuid() == 0) OK(setuid(65432)); // Root is not limited.
    int refused = 0, made = 0;
    pid_t children[200];
    while (!refused && made < 200) {
      pid_t child = fork();
      if (child == 0) {
        pause();
        _exit(0);
      }
      if (child < 0) {
        CHECK_EQ(errno, EAGAIN);
        refused = 1;
      } else {
        children[made++] = child;
      }
    }
    CHECK_CASE(refused && made <= 40, "%d made", made);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, (void *(*)(void *))(void *)pause, NULL), EAGAIN);
    for (int i = 0; i < made; i++) OK(kill(children[i], SIGKILL));
    for (int i = 0; i < made; i++) WAIT_SIGNALED(children[i], SIGKILL);
    pid_t after;
    IN_CHILD(after) {}
    WAIT_OK(after);
  }
  WAIT_OK(pid);
}

static void mappings_end_somewhere(void) {
  pid_t pid;
  IN_CHILD(pid) {
    struct rlimit limit = {1UL << 32, 1UL << 32};
    OK(setrlimit(RLIMIT_AS, &limit));
    size_t total = 0, step = 64 << 20;
    while (mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED) {
      total += step;
      CHECK(total <= 1UL << 32);
    }
    CHECK_EQ(errno, ENOMEM);
  }
  WAIT_OK(pid);
}

static void descriptors_in_flight_end_somewhere(void) {
  int pair[2];
  OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {"d", 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  *CMSG_FIRSTHDR(&message) = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
  memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &pair[1], sizeof(int));
  int sent = 0;
  while (sent < 100000 && sendmsg(pair[0], &message, MSG_DONTWAIT) == 1) sent++;
  CHECK_CASE(sent < 100000 && (errno == EAGAIN || errno == ETOOMANYREFS), "%d sent", sent);
  OK(close(pair[0]));
  OK(close(pair[1]));
}

static void pipes_fill(void) {
  for (int i = 0; i < 20; i++) {
    int ends[2];
    char block[65536] = {0};
    OK(pipe2(ends, O_NONBLOCK));
    while (write(ends[1], block, sizeof block) > 0) {}
    CHECK_EQ(errno, EAGAIN);
    OK(close(ends[0]));
    OK(close(ends[1]));
  }
}

static void nested_epoll_is_bounded(void) {
  int previous = OK(epoll_create1(0)), depth = 0;
  for (; depth < 20; depth++) {
    int next = OK(epoll_create1(0));
    if (epoll_ctl(next, EPOLL_CTL_ADD, previous, &(struct epoll_event){.events = EPOLLIN}) == -1) break;
    previous = next;
  }
  CHECK_CASE(depth < 20 && (errno == ELOOP || errno == EINVAL), "depth %d", depth);
}

static void processes_come_and_go(void) {
  for (int i = 0; i < 60; i++) {
    pid_t pid;
    IN_CHILD(pid) {
      char *memory = map_anonymous(64 * PAGE, PROT_READ | PROT_WRITE);
      memset(memory, i, 64 * PAGE);
      OK(pipe((int[2]){0}));
    }
    WAIT_OK(pid);
  }
}

static void *nothing(void *argument) { return argument; }

static void threads_come_and_go(void) {
  for (int i = 0; i < 150; i++) join_thread(start_thread(nothing, NULL));
}

static void *die_at_once(void *argument) {
  kill(getpid(), SIGKILL);
  return argument;
}

static void death_at_any_moment(void) {
  for (int delay = 0; delay < 12; delay++) {
    pid_t pid;
    IN_CHILD(pid) {
      for (int i = 0; i < 3; i++) start_thread(nothing, NULL);
      for (volatile int n = 0; n < delay * 20000; n++) {}
      start_thread(die_at_once, NULL);
      for (;;) {
        int ends[2];
        if (pipe(ends) == 0) close(ends[0]), close(ends[1]);
        munmap(map_anonymous(PAGE, PROT_READ), PAGE);
      }
    }
    WAIT_SIGNALED(pid, SIGKILL);
  }
}

static void deep_file_locks_and_long_vectors(void) {
  enter_scratch();
  int file = OK(open("locks", O_RDWR | O_CREAT, 0644));
  for (int i = 0; i < 300; i++) {
    struct flock lock = {.l_type = F_WRLCK, .l_start = i * 2, .l_len = 1};
    OK(fcntl(file, F_SETLK, &lock));
  }
  OK(close(file));
}

int main(void) {
  a_fork_bomb_is_contained();
  mappings_end_somewhere();
  descriptors_in_flight_end_somewhere();
  pipes_fill();
  nested_epoll_is_bounded();
  processes_come_and_go();
  threads_come_and_go();
  death_at_any_moment();
  deep_file_locks_and_long_vectors();
  return 0;
}
