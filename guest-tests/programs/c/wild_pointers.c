// Wild pointers in system calls: EFAULT, never a signal, a crash or a hang; buffers that end in nothing.
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static long file, reading, writing, pair[2], epoll, timer, event, directory;

static void table_of_calls(unsigned long bad) {
  long full = (long)bad;
  struct { const char *name; long number, a, b, c, d, e; } cases[] = {
      {"read", SYS_read, file, full, 4},
      {"pread64", SYS_pread64, file, full, 4, 0},
      {"write", SYS_write, writing, full, 4},
      {"pwrite64", SYS_pwrite64, file, full, 4, 0},
      {"readv", SYS_readv, file, full, 1},
      {"writev", SYS_writev, writing, full, 1},
      {"open", SYS_open, full, 0},
      {"openat", SYS_openat, AT_FDCWD, full, 0},
      {"stat", SYS_stat, full, full},
      {"fstat", SYS_fstat, file, full},
      {"lstat", SYS_lstat, (long)"/", full},
      {"newfstatat", SYS_newfstatat, AT_FDCWD, (long)"/", full, 0},
      {"statx", SYS_statx, AT_FDCWD, (long)"/", 0, 0xfff, full},
      {"statfs", SYS_statfs, (long)"/", full},
      {"fstatfs", SYS_fstatfs, file, full},
      {"access", SYS_access, full, 0},
      {"chdir", SYS_chdir, full},
      {"mkdir", SYS_mkdir, full, 0},
      {"rmdir", SYS_rmdir, full},
      {"unlink", SYS_unlink, full},
      {"rename", SYS_rename, full, full},
      {"link", SYS_link, full, full},
      {"symlink", SYS_symlink, full, full},
      {"readlink", SYS_readlink, (long)"/proc/self", full, 100},
      {"chmod", SYS_chmod, full, 0},
      {"chown", SYS_chown, full, -1, -1},
      {"truncate", SYS_truncate, full, 0},
      {"getcwd", SYS_getcwd, full, 4096},
      {"getdents64", SYS_getdents64, directory, full, 4096},
      {"pipe", SYS_pipe, full},
      {"pipe2", SYS_pipe2, full, 0},
      {"poll", SYS_poll, full, 3, 0},
      {"ppoll", SYS_ppoll, full, 1, 0},
      {"select", SYS_select, 5, full, 0, 0, 0},
      {"pselect6", SYS_pselect6, 5, full, 0, 0, 0},
      {"epoll_ctl", SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, reading, full},
      {"epoll_wait", SYS_epoll_wait, epoll, full, 4, 0},
      {"socketpair", SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, full},
      {"sendto", SYS_sendto, pair[0], full, 4, 0, 0},
      {"recvmsg", SYS_recvmsg, pair[0], full, MSG_DONTWAIT},
      {"sendmsg", SYS_sendmsg, pair[0], full, 0},
      {"getsockname", SYS_getsockname, pair[0], full, full},
      {"getsockopt", SYS_getsockopt, pair[0], SOL_SOCKET, SO_TYPE, full, full},
      {"nanosleep", SYS_nanosleep, full, 0},
      {"clock_gettime", SYS_clock_gettime, 1, full},
      {"clock_getres", SYS_clock_getres, 1, full},
      {"clock_nanosleep", SYS_clock_nanosleep, 1, 0, full, 0},
      {"gettimeofday", SYS_gettimeofday, full, 0},
      {"setitimer", SYS_setitimer, 0, full, 0},
      {"getitimer", SYS_getitimer, 0, full},
      {"timer_create", SYS_timer_create, 1, 0, full},
      {"timerfd_settime", SYS_timerfd_settime, timer, 0, full, 0},
      {"timerfd_gettime", SYS_timerfd_gettime, timer, full},
      {"times", SYS_times, full},
      {"uname", SYS_uname, full},
      {"sysinfo", SYS_sysinfo, full},
      {"getrlimit", SYS_getrlimit, 7, full},
      {"setrlimit", SYS_setrlimit, 7, full},
      {"prlimit64", SYS_prlimit64, 0, 7, 0, full},
      {"getrusage", SYS_getrusage, 0, full},
      {"getrandom", SYS_getrandom, full, 16, 0},
      {"rt_sigaction", SYS_rt_sigaction, SIGUSR1, full, 0, 8},
      {"rt_sigprocmask", SYS_rt_sigprocmask, 0, full, 0, 8},
      {"rt_sigpending", SYS_rt_sigpending, full, 8},
      {"rt_sigtimedwait", SYS_rt_sigtimedwait, full, 0, 0, 8},
      {"rt_sigqueueinfo", SYS_rt_sigqueueinfo, getpid(), 10, full},
      {"sigaltstack", SYS_sigaltstack, full, 0},
      {"futex wait", SYS_futex, full, 0, 0, 0},
      {"execve", SYS_execve, full, 0, 0},
      {"clone3", SYS_clone3, full, 88},
      {"sched_getaffinity", SYS_sched_getaffinity, 0, 128, full},
      {"sched_getparam", SYS_sched_getparam, 0, full},
      {"getresuid", SYS_getresuid, full, full, full},
      {"getgroups", SYS_getgroups, 65536, full},
      {"utimensat", SYS_utimensat, AT_FDCWD, (long)"/", full, 0},
      {"fcntl F_GETLK", SYS_fcntl, file, F_GETLK, full},
      {"ioctl FIONREAD", SYS_ioctl, reading, 0x541b, full},
      {"sendfile", SYS_sendfile, pair[0], file, full, 10},
      {"memfd_create", SYS_memfd_create, full, 0},
      {"prctl PR_SET_NAME", SYS_prctl, 15, full},
      {"arch_prctl ARCH_GET_FS", SYS_arch_prctl, 0x1003, full},
      {"mincore", SYS_mincore, (long)&file & -PAGE, PAGE, full},
      {"getcpu", SYS_getcpu, full, 0, 0},
      {"capget", SYS_capget, full, full},
  };
  int groups = getgroups(0, NULL);
  for (size_t i = 0; i < COUNT(cases); i++) {
    if (cases[i].number == SYS_getgroups && groups == 0) continue; // Nothing to write.
    errno = 0;
    long got = syscall(cases[i].number, cases[i].a, cases[i].b, cases[i].c, cases[i].d, cases[i].e, 0);
    CHECK_CASE(got == -1 && errno == EFAULT, "%s of %#lx: %ld", cases[i].name, bad, got);
  }
}

static void buffers_that_end_in_nothing(void) {
  char *area = map_anonymous(3 * PAGE, PROT_READ | PROT_WRITE), *edge = area + PAGE;
  OK(munmap(edge, PAGE));
  int ends[2];
  OK(pipe(ends));
  memset(area, 'e', PAGE);
  // What fits is transferred, or nothing is; never a byte beyond.
  ssize_t got = write(ends[1], edge - 10, 20);
  CHECK(got == 10 || (got == -1 && errno == EFAULT));
  char text[64];
  if (got == 10) CHECK_EQ(read(ends[0], text, 64), 10);
  CHECK_EQ(write(ends[1], "0123456789abcdef", 16), 16);
  got = read(ends[0], edge - 6, 16);
  CHECK(got == 6 || (got == -1 && errno == EFAULT));
  strcpy(edge - 5, "/etc"); // A string that ends at the edge.
  OK(close(OK(open(edge - 5, O_RDONLY))));
  memcpy(edge - 4, "/etc", 4); // One that does not end.
  CHECK_ERRNO(open(edge - 4, O_RDONLY), EFAULT);
  CHECK_ERRNO(syscall(SYS_clock_gettime, 1, edge - 8), EFAULT);
  OK(syscall(SYS_clock_gettime, 1, edge - 16));
  struct stat *status = (void *)(edge - sizeof *status);
  OK(stat("/", status));
  CHECK(S_ISDIR(status->st_mode));
  OK(mprotect(area, PAGE, PROT_READ));
  CHECK_ERRNO(read(file, area, 10), EFAULT); // Not writable.
  CHECK_ERRNO(syscall(SYS_uname, area), EFAULT);
  OK(mprotect(area, PAGE, PROT_NONE));
  CHECK_ERRNO(write(writing, area, 10), EFAULT);
  CHECK_ERRNO(open(area, O_RDONLY), EFAULT);
}

static void lengths_without_sense(void) {
  char text[16];
  long got = syscall(SYS_read, file, text, -1L);
  CHECK(got == -1 && (errno == EFAULT || errno == EINVAL));
  got = syscall(SYS_write, writing, text, -1L);
  CHECK(got == -1 && (errno == EFAULT || errno == EINVAL));
  CHECK_ERRNO(syscall(SYS_poll, text, 0x7fffffffL, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_epoll_wait, epoll, text, INT_MAX, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_getgroups, -5, text), EINVAL);
  CHECK_ERRNO(fcntl(reading, F_SETOWN_EX, &(struct f_owner_ex){F_OWNER_PGRP, INT_MIN}), ESRCH);
  CHECK_ERRNO(fcntl(reading, F_SETOWN, INT_MIN), EINVAL);
  OK(fcntl(reading, F_GETOWN));
  CHECK(syscall(SYS_sendto, pair[0], text, -1L, 0, 0, 0) == -1);
}

int main(void) {
  enter_scratch();
  write_file("file", "content of the file");
  file = OK(open("file", O_RDWR));
  directory = OK(open(".", O_RDONLY));
  int ends[2], sockets[2];
  OK(pipe(ends));
  OK(fcntl(ends[1], F_SETFL, O_NONBLOCK));
  reading = ends[0];
  writing = ends[1];
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
  pair[0] = sockets[0];
  CHECK_EQ(write(sockets[1], "waiting", 7), 7);
  epoll = OK(epoll_create1(0));
  event = OK(dup(ends[1]));
  OK(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &(struct epoll_event){.events = EPOLLOUT}));
  timer = OK(timerfd_create(CLOCK_MONOTONIC, 0));
  char *unmapped = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  OK(munmap(unmapped, PAGE));
  unsigned long addresses[] = {8, 0x7ffffffff000 - 8, 0x800000000000, 0xffff888000000000, 0xffffffffffffff00, 0x8000000000000000, (unsigned long)unmapped};
  for (size_t i = 0; i < COUNT(addresses); i++) table_of_calls(addresses[i]);
  buffers_that_end_in_nothing();
  lengths_without_sense();
  return 0;
}
