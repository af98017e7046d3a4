// What is said first of several wrong arguments: the descriptor, the direction, the place in the file, the memory, the flags.
#include "check.h"
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static void *const kernel = (void *)0xffff800000001000;
static volatile int too_many = 5000;
static int file, read_only, path_only, directory, pipe_end[2], events, notifier;

static void transfers(void) {
  struct iovec pieces[1] = {{kernel, 100}}, none[1] = {{NULL, 0}};
  CHECK_ERRNO(pread(pipe_end[0], kernel, 10, 0), ESPIPE);
  CHECK_ERRNO(pwrite(pipe_end[1], kernel, 10, 0), ESPIPE);
  CHECK_ERRNO(pread(events, kernel, 10, 0), ESPIPE);
  CHECK_ERRNO(pread(file, kernel, 10, -1), EINVAL);
  CHECK_ERRNO(pread(-1, kernel, 10, -1), EINVAL);
  CHECK_ERRNO(write(notifier, kernel, 0), EBADF);
  CHECK_ERRNO(write(read_only, kernel, 10), EBADF);
  CHECK_ERRNO(read(path_only, kernel, 10), EBADF);
  CHECK_ERRNO(writev(read_only, kernel, 1), EBADF);
  CHECK_ERRNO(writev(read_only, pieces, too_many), EBADF);
  CHECK_ERRNO(preadv(pipe_end[0], kernel, 1, 0), ESPIPE);
  CHECK_ERRNO(pwritev(pipe_end[1], pieces, too_many, 0), ESPIPE);
  CHECK_ERRNO(preadv2(pipe_end[0], kernel, 1, 5, 1 << 30), ESPIPE);
  CHECK_ERRNO(preadv2(file, kernel, 1, -5, 1 << 30), EINVAL);
  CHECK_ERRNO(preadv2(file, kernel, 1, 0, 1 << 30), EFAULT);
  CHECK_EQ(preadv2(file, none, 1, 0, 1 << 30), 0); // Nothing to read: the flags do not count.
  CHECK_EQ(pwritev2(file, none, 1, 0, 1 << 30), 0);
  CHECK_ERRNO(preadv2(file, pieces, 1, 0, 1 << 30), EFAULT);
  char byte;
  CHECK_ERRNO(preadv2(file, &(struct iovec){&byte, 1}, 1, 0, 1 << 30), EOPNOTSUPP);
  CHECK_ERRNO(pwritev2(file, &(struct iovec){&byte, 1}, 1, 0, 1 << 30), EOPNOTSUPP);
}

static void moves(void) {
  struct iovec pieces[1] = {{kernel, 100}};
  off_t negative = -1, zero = 0;
  CHECK_ERRNO(vmsplice(file, pieces, 1, 0), EFAULT);
  CHECK_EQ(vmsplice(file, NULL, 0, 0), 0);
  CHECK_ERRNO(splice(read_only, &negative, read_only, NULL, 10, 0), EBADF);
  CHECK_ERRNO(splice(file, &negative, pipe_end[1], NULL, 10, 0), EINVAL);
  CHECK_ERRNO(sendfile(pipe_end[1], pipe_end[1], &zero, 10), EBADF);
  CHECK_ERRNO(sendfile(pipe_end[1], pipe_end[0], &zero, 10), ESPIPE);
  CHECK_ERRNO(copy_file_range(pipe_end[0], &zero, file, NULL, 10, 0), EINVAL);
  CHECK_ERRNO(copy_file_range(pipe_end[0], &zero, -1, NULL, 10, 0), EBADF);
  CHECK_ERRNO(copy_file_range(directory, NULL, file, NULL, 10, 0), EISDIR);
  CHECK_ERRNO(copy_file_range(file, kernel, file, NULL, 10, 1), EFAULT);
  CHECK_ERRNO(copy_file_range(file, NULL, file, NULL, 10, 1), EINVAL);
}

static void allocations(void) {
  CHECK_ERRNO(fallocate(events, 0x0a, 0, 10), EOPNOTSUPP); // Two operations at once.
  CHECK_ERRNO(fallocate(events, 0, 0, 10), ENODEV);
  CHECK_ERRNO(fallocate(pipe_end[1], 2, 0, 10), EOPNOTSUPP); // A hole that changes the size.
  CHECK_ERRNO(fallocate(pipe_end[1], 3, 0, 10), ESPIPE);
  CHECK_ERRNO(fallocate(read_only, 3, 0, 10), EBADF);
  CHECK_ERRNO(fallocate(read_only, 9, 0, 10), EOPNOTSUPP);
  CHECK_ERRNO(fallocate(file, 0, 0, 0), EINVAL);
  CHECK_ERRNO(fallocate(file, 0, INT64_MAX, 1), EFBIG);
}

static void waiters(void) {
  struct itimerspec bad = {.it_value.tv_nsec = -1}, good = {.it_value.tv_sec = 1};
  CHECK_ERRNO(epoll_wait(file, kernel, 1, 0), EFAULT);
  CHECK_ERRNO(epoll_wait(file, (void *)&bad, 1, 0), EINVAL);
  CHECK_ERRNO(epoll_wait(path_only, (void *)&bad, 1, 0), EBADF);
  CHECK_ERRNO(timerfd_gettime(path_only, &good), EBADF);
  CHECK_ERRNO(timerfd_gettime(file, &good), EINVAL);
  CHECK_ERRNO(syscall(SYS_timerfd_settime, file, 1 << 20, wild, NULL), EFAULT);
  CHECK_ERRNO(timerfd_settime(-1, 1 << 20, &good, NULL), EINVAL);
  CHECK_ERRNO(timerfd_settime(-1, 0, &bad, NULL), EINVAL);
  CHECK_ERRNO(timerfd_settime(-1, 0, &good, NULL), EBADF);
  CHECK_ERRNO(syscall(SYS_timer_create, 99, wild, wild), EFAULT);
  CHECK_ERRNO(syscall(SYS_timer_create, 99, NULL, wild), EINVAL);
}

static void others(void) {
  int pair[2];
  CHECK_ERRNO(socketpair(99, SOCK_STREAM, 0, wild), EFAULT);
  CHECK_ERRNO(socketpair(99, SOCK_STREAM | 1 << 20, 0, wild), EINVAL);
  CHECK_ERRNO(socketpair(99, SOCK_STREAM, 0, pair), EAFNOSUPPORT);
  CHECK_ERRNO(recvfrom(-1, kernel, 10, 0, NULL, NULL), EFAULT);
  CHECK_ERRNO(sendto(file, kernel, 10, 0, NULL, 0), EFAULT);
  CHECK_ERRNO(connect(file, (void *)pair, 200), EINVAL);
  CHECK_ERRNO(connect(file, (void *)pair, 8), ENOTSOCK);
  int listener = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  socklen_t room = 100;
  CHECK_ERRNO(getsockname(listener, NULL, &room), EFAULT);
  OK(close(listener));
  CHECK_ERRNO(syscall(SYS_signalfd4, -1, wild, 249UL, 0), EINVAL);
  static uint32_t word[2];
  CHECK_ERRNO(syscall(SYS_futex, (char *)word + 1, 7, 0, NULL, NULL, 0), EPERM); // FUTEX_UNLOCK_PI
  CHECK_ERRNO(syscall(SYS_futex, word, 5, 1, 1L, (char *)word + 1, -1), EINVAL); // FUTEX_WAKE_OP
  CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0x3fffffff, 7, pair), EINVAL);
  CHECK_ERRNO(syscall(SYS_prlimit64, 0, 99, wild, NULL), EFAULT);
  CHECK_ERRNO(syscall(SYS_prlimit64, 0x3fffffff, 99, NULL, NULL), ESRCH);
  CHECK_ERRNO(syscall(SYS_prlimit64, 0, 99, NULL, NULL), EINVAL);
}

// Pipes and sockets belong to who has made them.
static void nameless_files_have_owners(void) {
  int sockets[2];
  struct stat status;
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
  int files[] = {pipe_end[0], sockets[0]};
  for (size_t i = 0; i < COUNT(files); i++) {
    OK(fchown(files[i], -1, getegid()));
    OK(fchmod(files[i], 0641));
    OK(fstat(files[i], &status));
    CHECK_EQ(status.st_mode & 07777, 0641);
    CHECK_EQ(status.st_uid, geteuid());
    struct timespec times[2] = {{1000, 5}, {2000, 6}};
    OK(futimens(files[i], times));
    OK(fstat(files[i], &status));
    CHECK_EQ(status.st_atim.tv_sec, 1000);
    CHECK_EQ(status.st_mtim.tv_sec, 2000);
    if (geteuid() != 0) continue;
    OK(fchown(files[i], 1234, 4321));
    OK(fstat(files[i], &status));
    CHECK_EQ(status.st_uid, 1234);
    CHECK_EQ(status.st_gid, 4321);
  }
  OK(close(sockets[0]));
  OK(close(sockets[1]));
}

static void names_of_files(void) {
  struct stat status;
  OK(symlink("file", "other"));
  CHECK_ERRNO(syscall(SYS_fchownat, file, NULL, -1, -1, AT_EMPTY_PATH), EFAULT);
  OK(syscall(SYS_fchownat, file, "", -1, -1, AT_EMPTY_PATH));
  CHECK_ERRNO(syscall(SYS_newfstatat, file, NULL, &status, 0), EFAULT);
  OK(linkat(AT_FDCWD, "file", AT_FDCWD, "third", AT_EMPTY_PATH));
  CHECK_ERRNO(linkat(AT_FDCWD, "", AT_FDCWD, "fourth", 0), ENOENT);
  CHECK_ERRNO(syscall(SYS_getdents64, file, wild, 0), ENOTDIR);
  CHECK_ERRNO(syscall(SYS_readahead, file, 0L, -1L), EINVAL);
  CHECK_ERRNO(copy_file_range(pipe_end[0], NULL, directory, NULL, 10, 0), EISDIR);
  off_t zero = 0;
  CHECK_ERRNO(syscall(SYS_sendfile, -1, -1, wild, 10L), EFAULT);
  CHECK_ERRNO(sendfile(pipe_end[1], directory, &zero, 10), EINVAL);
  CHECK_ERRNO(splice(directory, NULL, pipe_end[1], NULL, 10, 0), EINVAL);
}

static void empty_copies_name_nobody(void) {
  struct iovec none[1] = {{NULL, 0}}, some[1] = {{&file, sizeof file}};
  CHECK_EQ(process_vm_readv(0x3fffffff, none, 1, some, 1, 0), 0);
  CHECK_EQ(process_vm_readv(0x3fffffff, some, 1, none, 1, 0), 0);
  CHECK_ERRNO(process_vm_readv(0x3fffffff, some, 1, some, 1, 0), ESRCH);
  CHECK_ERRNO(process_vm_readv(0x3fffffff, &(struct iovec){kernel, 1}, 1, some, too_many, 0), EFAULT);
}

static void processes_are_compared(void) {
  pid_t pid;
  int same = OK(dup(file)), id = getpid();
  IN_CHILD(pid) {
    CHECK_EQ(syscall(SYS_kcmp, id, getpid(), 0, file, same), 0);
    CHECK(OK(syscall(SYS_kcmp, id, getpid(), 0, file, read_only)) != 0);
    CHECK(OK(syscall(SYS_kcmp, id, getpid(), 1, 0, 0)) != 0); // Memory.
    CHECK(OK(syscall(SYS_kcmp, id, getpid(), 2, 0, 0)) != 0); // Descriptors.
    CHECK(OK(syscall(SYS_kcmp, id, getpid(), 3, 0, 0)) != 0); // The working directory.
    CHECK(OK(syscall(SYS_kcmp, id, getpid(), 4, 0, 0)) != 0); // Actions of signals.
    for (int kind = 1; kind < 7; kind++) CHECK_EQ(syscall(SYS_kcmp, id, id, kind, 0, 0), 0);
    CHECK_ERRNO(syscall(SYS_kcmp, id, getpid(), 0, file, 500), EBADF);
    CHECK_ERRNO(syscall(SYS_kcmp, id, getpid(), 9, file, file), EINVAL);
    CHECK_ERRNO(syscall(SYS_kcmp, id, 0x3fffffff, 9, file, file), ESRCH);
    int epoll = OK(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    OK(epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_end[0], &event));
    struct { uint32_t epoll, descriptor, skipped; } slot = {epoll, pipe_end[0], 0};
    CHECK_EQ(syscall(SYS_kcmp, id, getpid(), 7, pipe_end[0], &slot), 0);
    CHECK(OK(syscall(SYS_kcmp, id, getpid(), 7, file, &slot)) != 0);
    slot.skipped = 1;
    CHECK_ERRNO(syscall(SYS_kcmp, id, getpid(), 7, pipe_end[0], &slot), ENOENT);
    CHECK_ERRNO(syscall(SYS_kcmp, id, getpid(), 7, pipe_end[0], wild), EFAULT);
  }
  WAIT_OK(pid);
}

int main(void) {
  enter_scratch();
  file = OK(open("file", O_RDWR | O_CREAT, 0644));
  CHECK_EQ(write(file, "0123456789", 10), 10);
  read_only = OK(open("file", O_RDONLY));
  path_only = OK(open("file", O_PATH));
  directory = OK(open(".", O_RDONLY | O_DIRECTORY));
  OK(pipe(pipe_end));
  events = OK(eventfd(1, EFD_NONBLOCK));
  notifier = OK(inotify_init1(IN_NONBLOCK));
  transfers();
  moves();
  allocations();
  waiters();
  others();
  nameless_files_have_owners();
  names_of_files();
  empty_copies_name_nobody();
  processes_are_compared();
  return 0;
}
