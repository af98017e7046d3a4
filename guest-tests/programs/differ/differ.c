// Makes random system calls whose arguments are of the right kinds, and writes down what each of them said: `differ SEED CASES
// [CALL]`. The same seed makes the same calls everywhere, so that the logs of two kernels can be compared line by line; scripts/differ does.
//
// Each case is a child with the same descriptors, files and memory, in a directory of its own. What a kernel is free to choose
// (addresses, process ids, times, numbers of inodes) is not written down; errors are, and data and descriptors.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <unistd.h>

#define PAGE 4096UL
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
enum { CALLS_IN_A_CASE = 10, LOG = 200, NOBODY = 65432 };

static uint64_t state;

static uint64_t draw(void) { // splitmix64
  uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}
static uint64_t below(uint64_t limit) { return draw() % limit; }

// What an argument is. Where a set of flags belongs to a call, its index stands in the call's row.
enum kind { END, FD, DIRFD, PATH, OUT, IN, LEN, OFFSET, SMALL, FLAGS, MODE, SIGNAL, USER, TIME, IOV, IOVCNT, CLOCK, ADDRESS, ADDRLEN, LENPOINTER, MAPPING, MAPLEN, OPTION, POLLS, SIGSET, ITIMER, OFFPOINTER, WORD, PID };
// What a result is: a number to be compared, an address, an id.
enum result { NUMBER, POINTER, IDENTIFIER };

struct flagset { int count; uint64_t bits[24]; };
#define SET(...) {sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), {__VA_ARGS__}}
enum { NONE_, OPENS, ATS, MMAPS, PROTS, MSGS, PIPES, EVENTS, EPOLLS, INOTIFIES, WATCHES, SPLICES, RWFS, FALLOCS, MLOCKS, MSYNCS, MEMFDS, TIMERFDS, RENAMES, CLOSES, RANDOMS, STATXS, MREMAPS, SOCKETS, SEEKS, FUTEXES, SYNCS, XATTRS, FLOCKS, WAITS };
static const struct flagset flagsets[] = {
  [NONE_] = SET(0),
  [OPENS] = SET(O_RDONLY, O_WRONLY, O_RDWR, 3, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NONBLOCK, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_CLOEXEC, O_TMPFILE, O_NOATIME, O_SYNC, O_DSYNC, O_NOCTTY, O_DIRECT),
  [ATS] = SET(AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_EACCESS),
  [MMAPS] = SET(MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, MAP_ANONYMOUS, MAP_NORESERVE, MAP_POPULATE, MAP_GROWSDOWN, MAP_STACK, MAP_DENYWRITE, MAP_SYNC),
  [PROTS] = SET(PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP),
  [MSGS] = SET(MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_WAITALL, MSG_NOSIGNAL, MSG_ERRQUEUE, MSG_CTRUNC, MSG_EOR, MSG_MORE, MSG_CMSG_CLOEXEC, MSG_DONTROUTE, MSG_CONFIRM),
  [PIPES] = SET(O_CLOEXEC, O_NONBLOCK, O_DIRECT, O_RDWR, O_APPEND),
  [EVENTS] = SET(EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE),
  [EPOLLS] = SET(EPOLL_CLOEXEC, O_NONBLOCK),
  [INOTIFIES] = SET(IN_CLOEXEC, IN_NONBLOCK, O_APPEND),
  [WATCHES] = SET(IN_ACCESS, IN_MODIFY, IN_ATTRIB, IN_CREATE, IN_DELETE, IN_ONLYDIR, IN_DONT_FOLLOW, IN_MASK_ADD, IN_MASK_CREATE, IN_ONESHOT, IN_EXCL_UNLINK, IN_ISDIR),
  [SPLICES] = SET(SPLICE_F_MOVE, SPLICE_F_NONBLOCK, SPLICE_F_MORE, SPLICE_F_GIFT),
  [RWFS] = SET(RWF_HIPRI, RWF_DSYNC, RWF_SYNC, RWF_NOWAIT, RWF_APPEND),
  [FALLOCS] = SET(1, 2, 8, 16, 32, 64),
  [MLOCKS] = SET(1, 2, 4),
  [MSYNCS] = SET(MS_ASYNC, MS_SYNC, MS_INVALIDATE),
  [MEMFDS] = SET(MFD_CLOEXEC, MFD_ALLOW_SEALING, 8, 16),
  [TIMERFDS] = SET(TFD_CLOEXEC, TFD_NONBLOCK, TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET),
  [RENAMES] = SET(1, 2, 4),
  [CLOSES] = SET(2, 4),
  [RANDOMS] = SET(1, 2, 4),
  [STATXS] = SET(AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_STATX_FORCE_SYNC, AT_STATX_DONT_SYNC),
  [MREMAPS] = SET(MREMAP_MAYMOVE, MREMAP_FIXED, 4),
  [SOCKETS] = SET(SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RAW, SOCK_RDM),
  [SEEKS] = SET(SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE, 5),
  [FUTEXES] = SET(FUTEX_WAKE, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP, FUTEX_WAKE_BITSET, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI, FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME, 13),
  [SYNCS] = SET(1, 2, 4),
  [XATTRS] = SET(1, 2),
  [FLOCKS] = SET(1, 2, 4, 8, 32),
  [WAITS] = SET(WNOHANG, WUNTRACED, WCONTINUED, WEXITED, WSTOPPED, WNOWAIT, __WALL, __WCLONE, __WNOTHREAD),
};

struct call { int number; const char *name; enum result result; uint8_t writes; enum kind kinds[7]; int flags; };
// A call that writes plain data to its OUT buffers has these compared, too.
#define CALL(name, result, writes, flags, ...) {SYS_##name, #name, result, writes, {__VA_ARGS__}, flags}
static const struct call calls[] = {
  CALL(read, NUMBER, 1, 0, FD, OUT, LEN), CALL(write, NUMBER, 0, 0, FD, IN, LEN), CALL(pread64, NUMBER, 1, 0, FD, OUT, LEN, OFFSET),
  CALL(pwrite64, NUMBER, 0, 0, FD, IN, LEN, OFFSET), CALL(readv, NUMBER, 1, 0, FD, IOV, IOVCNT), CALL(writev, NUMBER, 0, 0, FD, IOV, IOVCNT),
  CALL(preadv, NUMBER, 1, 0, FD, IOV, IOVCNT, OFFSET), CALL(pwritev, NUMBER, 0, 0, FD, IOV, IOVCNT, OFFSET),
  CALL(preadv2, NUMBER, 1, RWFS, FD, IOV, IOVCNT, OFFSET, SMALL, FLAGS), CALL(pwritev2, NUMBER, 0, RWFS, FD, IOV, IOVCNT, OFFSET, SMALL, FLAGS),
  CALL(open, NUMBER, 0, OPENS, PATH, FLAGS, MODE), CALL(openat, NUMBER, 0, OPENS, DIRFD, PATH, FLAGS, MODE), CALL(creat, NUMBER, 0, 0, PATH, MODE),
  CALL(close, NUMBER, 0, 0, FD), CALL(close_range, NUMBER, 0, CLOSES, FD, FD, FLAGS), CALL(dup, NUMBER, 0, 0, FD), CALL(dup2, NUMBER, 0, 0, FD, FD),
  CALL(dup3, NUMBER, 0, PIPES, FD, FD, FLAGS), CALL(fcntl, NUMBER, 0, 0, FD, SMALL, WORD), CALL(ioctl, NUMBER, 0, 0, FD, OPTION, OUT), CALL(flock, NUMBER, 0, FLOCKS, FD, FLAGS),
  CALL(lseek, NUMBER, 0, SEEKS, FD, OFFSET, FLAGS), CALL(ftruncate, NUMBER, 0, 0, FD, OFFSET), CALL(truncate, NUMBER, 0, 0, PATH, OFFSET),
  CALL(fallocate, NUMBER, 0, FALLOCS, FD, FLAGS, OFFSET, OFFSET), CALL(fadvise64, NUMBER, 0, 0, FD, OFFSET, LEN, SMALL), CALL(readahead, NUMBER, 0, 0, FD, OFFSET, LEN),
  CALL(sync_file_range, NUMBER, 0, SYNCS, FD, OFFSET, OFFSET, FLAGS), CALL(fsync, NUMBER, 0, 0, FD), CALL(fdatasync, NUMBER, 0, 0, FD), CALL(syncfs, NUMBER, 0, 0, FD),
  CALL(stat, NUMBER, 0, 0, PATH, OUT), CALL(lstat, NUMBER, 0, 0, PATH, OUT), CALL(fstat, NUMBER, 0, 0, FD, OUT), CALL(newfstatat, NUMBER, 0, ATS, DIRFD, PATH, OUT, FLAGS),
  CALL(statx, NUMBER, 0, STATXS, DIRFD, PATH, FLAGS, WORD, OUT), CALL(statfs, NUMBER, 0, 0, PATH, OUT), CALL(fstatfs, NUMBER, 0, 0, FD, OUT),
  CALL(access, NUMBER, 0, 0, PATH, SMALL), CALL(faccessat, NUMBER, 0, 0, DIRFD, PATH, SMALL), CALL(faccessat2, NUMBER, 0, ATS, DIRFD, PATH, SMALL, FLAGS),
  CALL(mkdir, NUMBER, 0, 0, PATH, MODE), CALL(mkdirat, NUMBER, 0, 0, DIRFD, PATH, MODE), CALL(rmdir, NUMBER, 0, 0, PATH), CALL(unlink, NUMBER, 0, 0, PATH), CALL(unlinkat, NUMBER, 0, ATS, DIRFD, PATH, FLAGS),
  CALL(rename, NUMBER, 0, 0, PATH, PATH), CALL(renameat, NUMBER, 0, 0, DIRFD, PATH, DIRFD, PATH), CALL(renameat2, NUMBER, 0, RENAMES, DIRFD, PATH, DIRFD, PATH, FLAGS),
  CALL(link, NUMBER, 0, 0, PATH, PATH), CALL(linkat, NUMBER, 0, ATS, DIRFD, PATH, DIRFD, PATH, FLAGS), CALL(symlink, NUMBER, 0, 0, PATH, PATH), CALL(symlinkat, NUMBER, 0, 0, PATH, DIRFD, PATH),
  CALL(readlink, NUMBER, 1, 0, PATH, OUT, LEN), CALL(readlinkat, NUMBER, 1, 0, DIRFD, PATH, OUT, LEN), CALL(mknod, NUMBER, 0, 0, PATH, MODE, SMALL), CALL(mknodat, NUMBER, 0, 0, DIRFD, PATH, MODE, SMALL),
  CALL(chmod, NUMBER, 0, 0, PATH, MODE), CALL(fchmod, NUMBER, 0, 0, FD, MODE), CALL(fchmodat, NUMBER, 0, 0, DIRFD, PATH, MODE), {452, "fchmodat2", NUMBER, 0, {DIRFD, PATH, MODE, FLAGS}, ATS},
  CALL(chown, NUMBER, 0, 0, PATH, USER, USER), CALL(lchown, NUMBER, 0, 0, PATH, USER, USER), CALL(fchown, NUMBER, 0, 0, FD, USER, USER), CALL(fchownat, NUMBER, 0, ATS, DIRFD, PATH, USER, USER, FLAGS),
  CALL(utime, NUMBER, 0, 0, PATH, TIME), CALL(utimes, NUMBER, 0, 0, PATH, ITIMER), CALL(futimesat, NUMBER, 0, 0, DIRFD, PATH, ITIMER), CALL(utimensat, NUMBER, 0, ATS, DIRFD, PATH, ITIMER, FLAGS),
  CALL(getcwd, NUMBER, 0, 0, OUT, LEN), CALL(chdir, NUMBER, 0, 0, PATH), CALL(fchdir, NUMBER, 0, 0, FD), CALL(umask, NUMBER, 0, 0, MODE), CALL(chroot, NUMBER, 0, 0, PATH),
  CALL(getdents64, NUMBER, 0, 0, FD, OUT, LEN), CALL(getdents, NUMBER, 0, 0, FD, OUT, LEN),
  CALL(setxattr, NUMBER, 0, XATTRS, PATH, PATH, IN, LEN, FLAGS), CALL(lsetxattr, NUMBER, 0, XATTRS, PATH, PATH, IN, LEN, FLAGS), CALL(fsetxattr, NUMBER, 0, XATTRS, FD, PATH, IN, LEN, FLAGS),
  CALL(getxattr, NUMBER, 1, 0, PATH, PATH, OUT, LEN), CALL(lgetxattr, NUMBER, 1, 0, PATH, PATH, OUT, LEN), CALL(fgetxattr, NUMBER, 1, 0, FD, PATH, OUT, LEN),
  CALL(listxattr, NUMBER, 0, 0, PATH, OUT, LEN), CALL(flistxattr, NUMBER, 0, 0, FD, OUT, LEN), CALL(removexattr, NUMBER, 0, 0, PATH, PATH), CALL(fremovexattr, NUMBER, 0, 0, FD, PATH),
  CALL(pipe2, NUMBER, 0, PIPES, OUT, FLAGS), CALL(pipe, NUMBER, 0, 0, OUT), CALL(eventfd2, NUMBER, 0, EVENTS, WORD, FLAGS), CALL(memfd_create, NUMBER, 0, MEMFDS, PATH, FLAGS),
  CALL(splice, NUMBER, 0, SPLICES, FD, OFFPOINTER, FD, OFFPOINTER, LEN, FLAGS), CALL(tee, NUMBER, 0, SPLICES, FD, FD, LEN, FLAGS), CALL(vmsplice, NUMBER, 0, SPLICES, FD, IOV, IOVCNT, FLAGS),
  CALL(sendfile, NUMBER, 0, 0, FD, FD, OFFPOINTER, LEN), CALL(copy_file_range, NUMBER, 0, NONE_, FD, OFFPOINTER, FD, OFFPOINTER, LEN, FLAGS),
  CALL(mmap, POINTER, 0, MMAPS, MAPPING, MAPLEN, SMALL, FLAGS, FD, OFFSET), CALL(munmap, NUMBER, 0, 0, MAPPING, MAPLEN), CALL(mprotect, NUMBER, 0, PROTS, MAPPING, MAPLEN, FLAGS),
  CALL(mremap, POINTER, 0, MREMAPS, MAPPING, MAPLEN, MAPLEN, FLAGS), CALL(madvise, NUMBER, 0, 0, MAPPING, MAPLEN, SMALL), CALL(msync, NUMBER, 0, MSYNCS, MAPPING, MAPLEN, FLAGS),
  CALL(mincore, NUMBER, 0, 0, MAPPING, MAPLEN, OUT), CALL(mlock, NUMBER, 0, 0, MAPPING, MAPLEN), CALL(mlock2, NUMBER, 0, MLOCKS, MAPPING, MAPLEN, FLAGS), CALL(munlock, NUMBER, 0, 0, MAPPING, MAPLEN), CALL(remap_file_pages, NUMBER, 0, 0, MAPPING, MAPLEN, SMALL, SMALL, SMALL),
  CALL(socket, NUMBER, 0, SOCKETS, SMALL, FLAGS, SMALL), CALL(socketpair, NUMBER, 0, SOCKETS, SMALL, FLAGS, SMALL, OUT), CALL(bind, NUMBER, 0, 0, FD, ADDRESS, ADDRLEN), CALL(connect, NUMBER, 0, 0, FD, ADDRESS, ADDRLEN), CALL(listen, NUMBER, 0, 0, FD, SMALL),
  CALL(accept, NUMBER, 0, 0, FD, OUT, LENPOINTER), CALL(accept4, NUMBER, 0, SOCKETS, FD, OUT, LENPOINTER, FLAGS), CALL(getsockname, NUMBER, 0, 0, FD, OUT, LENPOINTER), CALL(getpeername, NUMBER, 0, 0, FD, OUT, LENPOINTER),
  CALL(sendto, NUMBER, 0, MSGS, FD, IN, LEN, FLAGS, ADDRESS, ADDRLEN), CALL(recvfrom, NUMBER, 1, MSGS, FD, OUT, LEN, FLAGS, OUT, LENPOINTER), CALL(shutdown, NUMBER, 0, 0, FD, SMALL),
  CALL(setsockopt, NUMBER, 0, 0, FD, SMALL, SMALL, IN, LEN), CALL(getsockopt, NUMBER, 0, 0, FD, SMALL, SMALL, OUT, LENPOINTER),
  CALL(poll, NUMBER, 0, 0, POLLS, IOVCNT, SMALL), CALL(ppoll, NUMBER, 0, 0, POLLS, IOVCNT, TIME, SIGSET, LEN), CALL(epoll_create1, NUMBER, 0, EPOLLS, FLAGS), CALL(epoll_create, NUMBER, 0, 0, SMALL),
  CALL(epoll_ctl, NUMBER, 0, 0, FD, SMALL, FD, IN), CALL(epoll_wait, NUMBER, 0, 0, FD, OUT, SMALL, SMALL), CALL(inotify_init1, NUMBER, 0, INOTIFIES, FLAGS), CALL(inotify_add_watch, NUMBER, 0, WATCHES, FD, PATH, FLAGS), CALL(inotify_rm_watch, NUMBER, 0, 0, FD, SMALL),
  CALL(signalfd4, NUMBER, 0, PIPES, FD, SIGSET, LEN, FLAGS), CALL(timerfd_create, NUMBER, 0, TIMERFDS, CLOCK, FLAGS), CALL(timerfd_settime, NUMBER, 0, TIMERFDS, FD, FLAGS, ITIMER, OUT), CALL(timerfd_gettime, NUMBER, 0, 0, FD, OUT),
  CALL(rt_sigaction, NUMBER, 0, 0, SIGNAL, IN, OUT, LEN), CALL(rt_sigprocmask, NUMBER, 0, 0, SMALL, SIGSET, OUT, LEN), CALL(rt_sigpending, NUMBER, 0, 0, OUT, LEN), CALL(sigaltstack, NUMBER, 0, 0, IN, OUT), CALL(rt_sigtimedwait, NUMBER, 0, 0, SIGSET, OUT, TIME, LEN),
  CALL(clock_gettime, NUMBER, 0, 0, CLOCK, OUT), CALL(clock_getres, NUMBER, 0, 0, CLOCK, OUT), CALL(gettimeofday, NUMBER, 0, 0, OUT, OUT), CALL(getitimer, NUMBER, 0, 0, SMALL, OUT), CALL(timer_create, NUMBER, 0, 0, CLOCK, IN, OUT), CALL(timer_gettime, NUMBER, 0, 0, SMALL, OUT), CALL(timer_delete, NUMBER, 0, 0, SMALL), CALL(timer_getoverrun, NUMBER, 0, 0, SMALL),
  CALL(getrlimit, NUMBER, 0, 0, SMALL, OUT), CALL(prlimit64, NUMBER, 0, 0, PID, SMALL, IN, OUT), CALL(getrusage, NUMBER, 0, 0, SMALL, OUT), CALL(getpriority, NUMBER, 0, 0, SMALL, PID), CALL(setpriority, NUMBER, 0, 0, SMALL, PID, SMALL), CALL(times, POINTER, 0, 0, OUT), CALL(sysinfo, NUMBER, 0, 0, OUT), CALL(uname, NUMBER, 0, 0, OUT),
  CALL(getgroups, NUMBER, 0, 0, SMALL, OUT), CALL(setuid, NUMBER, 0, 0, USER), CALL(setgid, NUMBER, 0, 0, USER), CALL(setreuid, NUMBER, 0, 0, USER, USER), CALL(setresuid, NUMBER, 0, 0, USER, USER, USER), CALL(setresgid, NUMBER, 0, 0, USER, USER, USER), CALL(getresuid, NUMBER, 1, 0, OUT, OUT, OUT), CALL(setfsuid, NUMBER, 0, 0, USER), CALL(setgroups, NUMBER, 0, 0, SMALL, IN), CALL(capget, NUMBER, 0, 0, OUT, OUT),
  CALL(getpgid, IDENTIFIER, 0, 0, PID), CALL(getsid, IDENTIFIER, 0, 0, PID), CALL(setpgid, NUMBER, 0, 0, PID, PID), CALL(sched_getaffinity, NUMBER, 0, 0, PID, LEN, OUT), CALL(sched_getparam, NUMBER, 0, 0, PID, OUT), CALL(sched_getscheduler, NUMBER, 0, 0, PID), CALL(sched_get_priority_max, NUMBER, 0, 0, SMALL), CALL(sched_rr_get_interval, NUMBER, 0, 0, PID, OUT),
  CALL(wait4, IDENTIFIER, 0, WAITS, PID, OUT, FLAGS, OUT), CALL(futex, NUMBER, 0, FUTEXES, WORD, FLAGS, SMALL, SMALL, WORD, SMALL), CALL(set_robust_list, NUMBER, 0, 0, OUT, LEN), CALL(getrandom, NUMBER, 0, RANDOMS, OUT, LEN, FLAGS), CALL(getcpu, NUMBER, 0, 0, OUT, OUT),
  CALL(personality, NUMBER, 0, 0, SMALL), CALL(prctl, NUMBER, 0, 0, SMALL, SMALL, SMALL, SMALL, SMALL), CALL(ioprio_get, NUMBER, 0, 0, SMALL, PID), CALL(ioprio_set, NUMBER, 0, 0, SMALL, PID, WORD), CALL(membarrier, NUMBER, 0, 0, SMALL, SMALL, SMALL),
  CALL(process_vm_readv, NUMBER, 1, 0, PID, IOV, IOVCNT, IOV, IOVCNT, SMALL), CALL(kcmp, NUMBER, 0, 0, PID, PID, SMALL, FD, FD), CALL(mq_unlink, NUMBER, 0, 0, PATH), CALL(msgget, NUMBER, 0, 0, SMALL, SMALL), CALL(semget, NUMBER, 0, 0, SMALL, SMALL, SMALL), CALL(shmget, NUMBER, 0, 0, SMALL, LEN, SMALL), CALL(pidfd_open, NUMBER, 0, PIPES, PID, FLAGS),
};

static char *memory; // Three pages to read and write, one to read, one that is not there.
static char text[1 << 16];
static size_t length;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int got = vsnprintf(text + length, sizeof text - length, format, arguments);
  va_end(arguments);
  if (got > 0) length = length + got < sizeof text ? length + got : sizeof text - 1;
}

static void flush(void) {
  syscall(SYS_write, LOG, text, length);
  length = 0;
}

static const char *const paths[] = {"file", "file", "sub", "sub/inner", "link", "dangling", "loop", "fifo", "none", "none/none", "file/none", ".", "..", "", "/", "sub/../file", "sub/", "file/", "link/", "user.name", "user.other", "security.x", "sock", "locked/x", "./././file", "/proc/self/fd/3", "/dev/null"};
static const uint64_t lengths[] = {0, 1, 2, 7, 8, 12, 16, 24, 64, 100, 4095, 4096, 4097, 8192, 65536, 0x7fffffff, 0x80000000, 0xffffffff, 1UL << 62, ~0UL, 1UL << 63};
static const int64_t offsets[] = {0, 1, 5, 4095, 4096, 4097, 9999, 10000, 10001, 1 << 20, -1, -4096, INT64_MAX, INT64_MIN, INT64_MAX - 4095, 1L << 40};
static const uint64_t small[] = {0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 17, 20, 24, 31, 32, 40, 41, 63, 64, 100, 1000, 1024, 1030, 1031, 1033, 0x7fffffff, 0x80000000, ~0UL, ~1UL};
static const int64_t clocks[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 99, -1, -2, -6};
static const uint64_t requests[] = {0x5401, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451, 0x5452, 0x8901, 0x8902, 0x8905, 0x5411, 0x540f, 0x5460, 0x80086601, 0x1, 0xffffffff, 0, 0x5414, 0x8912, 0x40045431};
static const uint64_t words[] = {0, 1, 2, 3, 0x7ff, 0xfff, 0x7fffffff, 0x80000000, 0xffffffff, ~0UL, 100, 4096};

// A place in memory, mostly a good one.
static uint64_t place(const char **name) {
  switch (below(12)) {
  case 0: *name = "NULL"; return 0;
  case 1: *name = "wild"; return 8;
  case 2: *name = "kernel"; return 0xffff800000001000;
  case 3: *name = "noncanonical"; return 0x8000000000000;
  case 4: *name = "readonly"; return (uintptr_t)memory + 3 * PAGE;
  case 5: *name = "gap-4"; return (uintptr_t)memory + 4 * PAGE - 4;
  case 6: *name = "edge-8"; return (uintptr_t)memory + 3 * PAGE - 8;
  case 7: *name = "odd"; return (uintptr_t)memory + 17;
  default: *name = "buffer"; return (uintptr_t)memory + 64;
  }
}

// A structure of 64 bytes that has just been filled, or another place.
static uint64_t structure(const void *bytes, size_t size, const char **name) {
  if (below(6) == 0) return place(name);
  char *slot = memory + PAGE + below(8) * 256;
  memcpy(slot, bytes, size);
  *name = "structure";
  return (uintptr_t)slot;
}

static uint64_t flags_of(int set) {
  const struct flagset *flags = &flagsets[set];
  uint64_t value = 0;
  for (int times = below(4); times > 0; times--) value |= flags->bits[below(flags->count)];
  if (below(20) == 0) value |= 1UL << below(64);
  return value;
}

static int a_descriptor(void) {
  static const int special[] = {-1, 99, 150, AT_FDCWD, 1 << 20, INT32_MIN};
  return below(10) == 0 ? special[below(COUNT(special))] : (int)below(26);
}

static uint64_t argument(enum kind kind, int set) {
  const char *name = NULL;
  uint64_t value = 0;
  switch (kind) {
  case FD: value = a_descriptor(); say("%d", (int)value); return value;
  case DIRFD: value = below(3) ? (uint64_t)AT_FDCWD : (uint64_t)(below(2) ? 6 : a_descriptor()); say("%d", (int)value); return value;
  case PATH: {
    if (below(12) == 0) { value = place(&name); say("%s", name); return value; }
    const char *path = paths[below(COUNT(paths))];
    char *slot = memory + PAGE + 2048 + below(8) * 64;
    strcpy(slot, path);
    say("\"%s\"", path);
    return (uintptr_t)slot;
  }
  case OUT: case IN: value = place(&name); break;
  case LEN: value = below(2) ? below(300) : lengths[below(COUNT(lengths))]; say("%lu", value); return value;
  case OFFSET: value = below(2) ? below(12000) : (uint64_t)offsets[below(COUNT(offsets))]; say("%ld", (long)value); return value;
  case SMALL: value = small[below(COUNT(small))]; say("%ld", (long)value); return value;
  case FLAGS: value = flags_of(set); say("%#lx", value); return value;
  case MODE: value = below(2) ? 0644 | below(8) << 9 : draw() & 0177777; say("0%lo", value); return value;
  case SIGNAL: value = below(70); if (value == SIGALRM || value == SIGSEGV) value = 0; say("%lu", value); return value;
  case USER: value = (uint64_t[]){NOBODY, NOBODY, 0, ~0UL, 0xffffffff, 1, 65534}[below(7)]; say("%ld", (long)value); return value;
  case PID: value = (uint64_t[]){0, 0, 0, ~0UL, 0x3fffffff, ~5UL, 1UL << 31}[below(7)]; say("%ld", (long)value); return value;
  case TIME: { int64_t time[2] = {(int64_t[]){0, 0, -1, INT64_MAX, 0}[below(5)], (int64_t[]){0, 1000, -1, 1000000000, 999999}[below(5)]}; say("{%ld,%ld}", time[0], time[1]); value = structure(time, sizeof time, &name); break; }
  case ITIMER: { int64_t time[4]; for (int i = 0; i < 4; i++) time[i] = (int64_t[]){0, 0, 1, -1, 1000000000, 0x3fffffff, 0x3ffffffe, 999999}[below(8)]; say("{%ld,%ld,%ld,%ld}", time[0], time[1], time[2], time[3]); value = structure(time, sizeof time, &name); break; }
  case IOV: {
    struct iovec pieces[4];
    for (int i = 0; i < 4; i++) { const char *where; pieces[i].iov_base = (void *)place(&where); pieces[i].iov_len = below(3) ? below(200) : lengths[below(COUNT(lengths))]; say("[%s,%lu]", where, pieces[i].iov_len); }
    value = structure(pieces, sizeof pieces, &name);
    break;
  }
  case IOVCNT: value = below(8) ? below(5) : small[below(COUNT(small))]; say("%ld", (long)value); return value;
  case CLOCK: value = clocks[below(COUNT(clocks))]; say("%ld", (long)value); return value;
  case OPTION: value = requests[below(COUNT(requests))]; say("%#lx", value); return value;
  case WORD: value = below(3) ? words[below(COUNT(words))] : place(&name); if (name) break; say("%#lx", value); return value;
  case ADDRESS: {
    struct sockaddr_un local = {AF_UNIX, "sock"};
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(below(2) ? 0 : 1), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int which = below(5);
    say("address%d", which);
    if (which == 0) value = structure(&inet, sizeof inet, &name);
    else { if (which == 1) local.sun_path[0] = 0; if (which == 2) strcpy(local.sun_path, "none"); if (which == 3) local.sun_family = 99; value = structure(&local, sizeof local, &name); }
    break;
  }
  case ADDRLEN: value = (uint64_t[]){110, 16, 2, 7, 0, 1, 28, 128, 129, ~0UL}[below(10)]; say("%ld", (long)value); return value;
  case LENPOINTER: { int size = (int[]){128, 16, 4, 0, -1, 3, 110, 1000}[below(8)]; say("{%d}", size); value = structure(&size, sizeof size, &name); break; }
  case OFFPOINTER: { if (below(2)) { say("NULL"); return 0; } int64_t offset = offsets[below(COUNT(offsets))]; say("{%ld}", (long)offset); value = structure(&offset, sizeof offset, &name); break; }
  case MAPPING: value = below(6) ? (uintptr_t)memory + 16 * PAGE + below(10) * PAGE + (below(8) ? 0 : 1) : place(&name); if (name) break; say("map+%#lx", value - (uintptr_t)memory); return value;
  case MAPLEN: value = below(4) ? below(12) * PAGE / (below(4) ? 1 : 3) : lengths[below(COUNT(lengths))]; say("%lu", value); return value;
  case POLLS: { struct { int fd; short events, revents; } polls[4]; for (int i = 0; i < 4; i++) { polls[i].fd = a_descriptor(); polls[i].events = draw(); polls[i].revents = 0x55; say("[%d,%#x]", polls[i].fd, (unsigned short)polls[i].events); } value = structure(polls, sizeof polls, &name); break; }
  case SIGSET: { uint64_t set = draw() & ~(1UL << (SIGALRM - 1)); say("{%#lx}", set); value = structure(&set, sizeof set, &name); break; }
  case END: return 0;
  }
  say("%s", name);
  return value;
}

static uint32_t sum(void) { // FNV-1a over what the program may read.
  uint32_t hash = 2166136261;
  for (size_t i = 0; i < 4 * PAGE; i++) hash = (hash ^ (unsigned char)memory[i]) * 16777619;
  return hash;
}

static void one_call(const struct call *call) {
  uint64_t arguments[6] = {0};
  say("%s(", call->name);
  for (int i = 0; i < 6 && call->kinds[i] != END; i++) {
    if (i > 0) say(", ");
    arguments[i] = argument(call->kinds[i], call->flags);
  }
  say(")");
  flush();
  // Whatever sleeps has this long.
  long result = syscall(call->number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
  int error = errno;
  if (result == -1) say(" = -%d", error);
  else if (call->result == POINTER) say(" = an address");
  else if (call->result == IDENTIFIER) say(" = %s", result == 0 ? "0" : "an id");
  else say(" = %ld", result);
  if (call->writes && result >= 0) say(" %08x", sum());
  say("\n");
  flush();
  memset(memory, 0x5a, 3 * PAGE);
}

static void must(int is_true, const char *what) {
  if (is_true) return;
  say("no fixture: %s: %s\n", what, strerror(errno));
  flush();
  _exit(3);
}

static void put(int from, int to) {
  if (from != to) { must(dup2(from, to) == to, "dup2"); close(from); }
}

// The descriptors 0 to 25, files, and memory that every case begins with.
static void fixture(void) {
  char content[10000];
  for (size_t i = 0; i < sizeof content; i++) content[i] = i * 7 + i / 256;
  for (int fd = 0; fd < 60; fd++) close(fd);
  must(open("/dev/null", O_RDWR) == 0, "null");
  must(open("/dev/zero", O_RDWR) == 1, "zero");
  must(open("/dev/full", O_RDWR) == 2, "full");
  put(open("file", O_RDWR | O_CREAT, 0644), 3);
  must(write(3, content, sizeof content) == sizeof content, "file");
  lseek(3, 0, SEEK_SET);
  put(open("file", O_RDONLY), 4);
  put(open("file", O_WRONLY | O_APPEND), 5);
  mkdir("sub", 0755);
  close(open("sub/inner", O_RDWR | O_CREAT, 0600));
  put(open("sub", O_RDONLY | O_DIRECTORY), 6);
  put(open("file", O_PATH), 7);
  int pair[2];
  must(pipe2(pair, O_NONBLOCK) == 0, "pipe"); put(pair[0], 8); put(pair[1], 9);
  must(write(9, content, 300) == 300, "pipe");
  must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0, "stream"); put(pair[0], 10); put(pair[1], 11);
  must(write(11, content, 200) == 200, "stream");
  must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0, "datagram"); put(pair[0], 12); close(pair[1]);
  put(eventfd(3, EFD_NONBLOCK), 13);
  put(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), 14);
  put(epoll_create1(0), 15);
  sigset_t set; sigemptyset(&set); sigaddset(&set, SIGUSR1);
  put(signalfd(-1, &set, SFD_NONBLOCK), 16);
  put(inotify_init1(IN_NONBLOCK), 17);
  put(memfd_create("memory", MFD_ALLOW_SEALING), 18);
  must(ftruncate(18, 3 * PAGE) == 0, "memfd");
  put(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), 19);
  struct sockaddr_un address = {AF_UNIX, "sock"};
  must(bind(19, (void *)&address, sizeof address) == 0 && listen(19, 3) == 0, "listener");
  put(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), 20);
  put(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), 21);
  must(mkfifo("fifo", 0644) == 0, "fifo");
  put(open("fifo", O_RDWR | O_NONBLOCK), 22);
  must(symlink("file", "link") == 0 && symlink("nowhere", "dangling") == 0 && symlink("loop", "loop") == 0, "links");
  put(open("link", O_PATH | O_NOFOLLOW), 23);
  put(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0), 24);
  put(open("sub", O_PATH), 25);
  mkdir("locked", 0);
  memory = mmap((void *)0x200000000000, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  must(memory != MAP_FAILED, "memory");
  must(mprotect(memory, 4 * PAGE, PROT_READ | PROT_WRITE) == 0, "memory");
  memset(memory, 0x5a, 4 * PAGE);
  must(mprotect(memory + 3 * PAGE, PAGE, PROT_READ) == 0, "memory");
  must(mmap(memory + 16 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED, "private");
  must(mmap(memory + 20 * PAGE, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED, 18, 0) != MAP_FAILED, "shared");
  must(mmap(memory + 24 * PAGE, 2 * PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE, 4, 0) != MAP_FAILED, "file");
}

static const struct call *find(const char *name) {
  for (size_t i = 0; i < COUNT(calls); i++) if (strcmp(calls[i].name, name) == 0) return &calls[i];
  return NULL;
}

static void one_case(uint64_t seed, const struct call *only) {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGALRM, SIG_DFL);
  fixture();
  state = seed;
  say("case %lu\n", seed);
  flush();
  alarm(2);
  for (int i = 0; i < CALLS_IN_A_CASE; i++) one_call(only && i % 2 == 0 ? only : &calls[below(COUNT(calls))]);
  _exit(0);
}

int main(int count, char **words_) {
  if (count < 3) return 2;
  uint64_t seed = strtoull(words_[1], NULL, 10), cases = strtoull(words_[2], NULL, 10);
  const struct call *only = count > 3 ? find(words_[3]) : NULL;
  if (count > 3 && only == NULL) return 2;
  umask(022);
  dup2(STDOUT_FILENO, LOG);
  fcntl(LOG, F_SETFD, FD_CLOEXEC);
  char start[4096];
  if (getcwd(start, sizeof start) == NULL) return 2;
  for (uint64_t i = 0; i < cases; i++) {
    char name[32];
    snprintf(name, sizeof name, "case-%lu", seed + i);
    if (mkdir(name, 0755) != 0 || chown(name, NOBODY, NOBODY) != 0) return 2;
    pid_t pid = fork();
    if (pid == 0) {
      setpgid(0, 0);
      setgroups(0, NULL);
      if (chdir(name) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0) _exit(2);
      one_case(seed + i, only);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (WIFSIGNALED(status)) say("\nsignal %d\n", WTERMSIG(status));
    flush();
  }
  return 0;
}
