// What calls refuse, and which of several mistakes they name: found by drawing calls at random.
#include "check.h"
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

static void direct_io_is_for_files_with_blocks(void) {
  const char *paths[] = {"/dev/null", "/dev/zero", "/proc/self/status", "/proc/meminfo", "/proc", ".", "fifo"};
  OK(mkfifo("fifo", 0600));
  for (size_t i = 0; i < COUNT(paths); i++) {
    int file = open(paths[i], O_RDONLY | O_DIRECT | O_NONBLOCK);
    CHECK_CASE(file == -1 && errno == EINVAL, "%s", paths[i]);
    file = OK(open(paths[i], O_RDONLY | O_NONBLOCK));
    if (strcmp(paths[i], "fifo") != 0) CHECK_ERRNO(fcntl(file, F_SETFL, O_DIRECT), EINVAL);
    OK(close(file));
  }
  int event = OK(eventfd(1, 0));
  CHECK_ERRNO(fcntl(event, F_SETFL, O_DIRECT), EINVAL);
  CHECK_ERRNO(fallocate(event, 0, INT64_MAX, 5), ENODEV);
  CHECK_ERRNO(write(event, wild, 12), EINVAL);
  CHECK_ERRNO(write(event, wild, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_rt_sigaction, 68, wild, NULL, 8), EFAULT);
  OK(close(event));
}

static void not_every_file_can_do_without_waiting(void) {
  const char *paths[] = {"/dev/full", "/proc/self/status", "/proc/meminfo", "/proc", ".", "fifo"};
  char byte = 0;
  struct iovec one = {&byte, 1};
  for (size_t i = 0; i < COUNT(paths); i++) {
    int file = OK(open(paths[i], O_RDONLY | O_NONBLOCK));
    CHECK_CASE(preadv2(file, &one, 1, -1, RWF_NOWAIT) == -1 && errno == EOPNOTSUPP, "%s", paths[i]);
    OK(close(file));
  }
  int zero = OK(open("/dev/zero", O_RDWR)), pipes[2];
  CHECK_EQ(preadv2(zero, &one, 1, -1, RWF_NOWAIT), 1);
  OK(pipe(pipes));
  CHECK_ERRNO(preadv2(pipes[0], &one, 1, -1, RWF_NOWAIT), EAGAIN);
  CHECK_EQ(pwritev2(pipes[1], &one, 1, -1, RWF_NOWAIT), 1);
  close(zero), close(pipes[0]), close(pipes[1]);
}

static void the_first_bad_length_counts(void) {
  char *memory = map_anonymous(2 * PAGE, PROT_READ | PROT_WRITE);
  OK(munmap(memory + PAGE, PAGE));
  struct iovec *last = (struct iovec *)(memory + PAGE) - 2;
  int zero = OK(open("/dev/zero", O_RDONLY));
  last[0].iov_base = last[1].iov_base = memory;
  last[0].iov_len = last[1].iov_len = 5;
  CHECK_ERRNO(readv(zero, last, 10), EFAULT);
  last[1].iov_len = -1;
  CHECK_ERRNO(readv(zero, last, 10), EINVAL);
  int neither = open("/dev/null", O_ACCMODE);
  CHECK(neither >= 0);
  CHECK_ERRNO(vmsplice(neither, last, 10, 0), EBADF);
  close(zero), close(neither);
  OK(munmap(memory, PAGE));
}

static void an_empty_path_is_fstat(void) {
  int here = OK(open(".", O_RDONLY));
  struct stat status;
  OK(syscall(SYS_newfstatat, here, "", &status, AT_EMPTY_PATH | 0x200));
  CHECK(S_ISDIR(status.st_mode));
  CHECK_ERRNO(syscall(SYS_newfstatat, here, "", wild, AT_EMPTY_PATH | 0x200), EFAULT);
  CHECK_ERRNO(syscall(SYS_newfstatat, here, "fifo", &status, AT_EMPTY_PATH | 0x200), EINVAL);
  CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, "", &status, AT_EMPTY_PATH | 0x200), EINVAL);
  CHECK_ERRNO(syscall(SYS_getdents64, here, NULL, 0xffffffffUL), EINVAL);
  OK(close(here));
}

static void the_rest(void) {
  struct timespec time;
  int timer, pair[2], length = -1;
  // No clock of a machine that is off, if that is so here.
  if (clock_getres(CLOCK_REALTIME_ALARM, NULL) < 0) {
    CHECK_EQ(errno, EINVAL);
    CHECK_ERRNO(clock_gettime(CLOCK_BOOTTIME_ALARM, &time), EINVAL);
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_REALTIME_ALARM, &event, &timer), EOPNOTSUPP);
    event.sigev_notify = 77;
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_REALTIME_ALARM, &event, &timer), EINVAL);
    time = (struct timespec){0, 1};
    CHECK_EQ(clock_nanosleep(CLOCK_BOOTTIME_ALARM, 0, &time, NULL), EOPNOTSUPP);
  }
  OK(prctl(PR_SET_TIMING, PR_TIMING_STATISTICAL, 0, 0, 0));
  CHECK_ERRNO(prctl(PR_SET_TIMING, PR_TIMING_TIMESTAMP, 0, 0, 0), EINVAL);
  CHECK(pipe2(pair, O_EXCL) == 0 || errno == ENOPKG);
  CHECK_ERRNO(pipe2(pair, O_EXCL | O_APPEND), EINVAL);
  CHECK_ERRNO(inotify_add_watch(999, ".", IN_MASK_ADD | IN_MASK_CREATE), EBADF);
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  CHECK_ERRNO(syscall(SYS_getsockname, pair[0], NULL, &length), EINVAL);
  length = 0;
  OK(syscall(SYS_getsockname, pair[0], NULL, &length));
  CHECK_EQ(length, 2);
  CHECK_ERRNO(syscall(SYS_getsockname, pair[0], NULL, &length), EFAULT);
  loff_t low = INT64_MIN, zero = 0;
  int memory = OK(memfd_create("file", 0));
  CHECK_ERRNO(copy_file_range(memory, &zero, memory, &low, 4097, 0), EINVAL);
}

static void rings_are_not_sent(void) {
  char parameters[120] = {0};
  int ring = syscall(SYS_io_uring_setup, 4, parameters), pair[2];
  if (ring < 0) return; // Not everybody may have one.
  OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  memcpy(CMSG_DATA(&control.header), &ring, sizeof ring);
  struct iovec byte = {"x", 1};
  struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  CHECK_ERRNO(sendmsg(pair[0], &message, 0), EINVAL);
  close(ring), close(pair[0]), close(pair[1]);
}

// Whoever looks into the directory of the own descriptors is refused what it cannot do, not for want of permission.
static void own_descriptors_are_not_entries_to_be_changed(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(setuid(12345));
    CHECK_ERRNO(unlink("/proc/self/fd/1"), EPERM);
    CHECK_ERRNO(rmdir("/proc/self/fd/1"), ENOTDIR);
    CHECK_ERRNO(mkdir("/proc/self/fd/77", 0700), ENOENT);
  }
  WAIT_OK(pid);
}

int main(void) {
  enter_scratch();
  direct_io_is_for_files_with_blocks();
  not_every_file_can_do_without_waiting();
  the_first_bad_length_counts();
  an_empty_path_is_fstat();
  the_rest();
  rings_are_not_sent();
  own_descriptors_are_not_entries_to_be_changed();
  return 0;
}
