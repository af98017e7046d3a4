// What files of every kind answer to ioctl(2), fcntl(2), fstatfs(2) and pwritev2(2): also those that no file system names.
#include "check.h"
#include "mounts.h"
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/uio.h>

#define CREATED_QUERY 1028
#define NOAPPEND 0x20
#define PIPEFS 0x50495045
#define SOCKFS 0x534f434b
#define ANON_INODE_FS 0x09041934

static int file, memory, ends[2], sockets[2], counter, poller;

static long magic(int fd) {
  struct statfs found;
  OK(fstatfs(fd, &found));
  return found.f_type;
}

static dev_t device(int fd) {
  struct stat status;
  OK(fstat(fd, &status));
  return status.st_dev;
}

static void nameless_file_systems(void) {
  CHECK_EQ(magic(ends[0]), PIPEFS);
  CHECK_EQ(magic(sockets[0]), SOCKFS);
  CHECK_EQ(magic(counter), ANON_INODE_FS);
  CHECK(device(ends[0]) != device(sockets[0]) && device(sockets[0]) != device(counter) && device(ends[0]) != device(counter));
  CHECK_ERRNO(ioctl(ends[0], FICLONE, sockets[0]), EXDEV);
  CHECK_ERRNO(ioctl(ends[0], FICLONE, ends[1]), EINVAL);
  char range[64] = {0};
  CHECK_ERRNO(ioctl(counter, FIDEDUPERANGE, range), EINVAL);
  CHECK_ERRNO(ioctl(counter, FS_IOC_SETFLAGS, wild), EFAULT);
  CHECK_ERRNO(ioctl(counter, FS_IOC_SETFLAGS, range), ENOTTY);
  CHECK_ERRNO(ioctl(poller, FS_IOC_GETFLAGS, range), EINVAL);
}

static void nothing_freezes(void) {
  int files[] = {file, memory, ends[0], sockets[0], counter};
  for (size_t i = 0; i < COUNT(files); i++) {
    CHECK_ERRNO(ioctl(files[i], FITHAW, 0), EINVAL);
    CHECK_ERRNO(ioctl(files[i], FIFREEZE, 0), EOPNOTSUPP);
  }
  pid_t child;
  IN_CHILD(child) {
    OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(ioctl(file, FITHAW, 0), EPERM);
    CHECK_ERRNO(ioctl(file, FIFREEZE, 0), EPERM);
  }
  WAIT_OK(child);
  int block;
  OK(ioctl(OK(open("/proc/self/maps", O_RDONLY)), FIGETBSZ, &block));
  CHECK_EQ(block, 1024);
}

// The requests that XFS had first.
static void reservations(void) {
  struct { short type, whence; long long start, length; int system; unsigned pid; int pad[4]; } range = {.whence = SEEK_SET, .length = 10000};
  const unsigned long reserve = 0x40305828, reserve64 = 0x4030582a, unreserve = 0x40305829, zero = 0x40305839;
  struct stat status;
  OK(ioctl(memory, reserve, &range));
  OK(ioctl(memory, reserve64, &range));
  OK(fstat(memory, &status));
  CHECK(status.st_size == 0 && status.st_blocks == 24);
  OK(ftruncate(memory, 12288));
  range.whence = SEEK_END;
  range.start = -12288;
  range.length = 4096;
  OK(ioctl(memory, unreserve, &range));
  OK(fstat(memory, &status));
  CHECK_EQ(status.st_blocks, 16);
  CHECK_ERRNO(ioctl(memory, zero, &range), EOPNOTSUPP);
  range.whence = 9;
  CHECK_ERRNO(ioctl(memory, reserve, &range), EINVAL);
  CHECK_ERRNO(ioctl(memory, reserve, wild), EFAULT);
  CHECK_ERRNO(ioctl(counter, reserve, &range), ENOTTY);
  OK(ftruncate(memory, 0));
}

static void tmpfs_cannot_zero_or_shift(void) {
  CHECK_ERRNO(fallocate(file, FALLOC_FL_ZERO_RANGE, 0, 4096), EOPNOTSUPP);
  CHECK_ERRNO(fallocate(file, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 4096), EOPNOTSUPP);
  CHECK_ERRNO(fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), EOPNOTSUPP);
  CHECK_ERRNO(fallocate(file, FALLOC_FL_INSERT_RANGE, 0, 4096), EOPNOTSUPP);
  CHECK_ERRNO(fallocate(file, FALLOC_FL_UNSHARE_RANGE, 0, 4096), EOPNOTSUPP);
}

static void where_writes_go(void) {
  struct iovec piece = {"ab", 2};
  int appender = OK(open("file", O_RDWR | O_APPEND));
  CHECK_EQ(pwritev2(appender, &piece, 1, 0, 0), 2);
  CHECK_EQ(pwritev2(appender, &piece, 1, 0, 0), 2);
  CHECK_EQ(lseek(appender, 0, SEEK_END), 4);
  CHECK_EQ(pwritev2(appender, &piece, 1, 1, NOAPPEND), 2);
  CHECK_EQ(lseek(appender, 0, SEEK_END), 4);
  CHECK_EQ(pwritev2(file, &piece, 1, 0, RWF_APPEND), 2);
  CHECK_EQ(lseek(appender, 0, SEEK_END), 6);
  CHECK_ERRNO(pwritev2(file, &piece, 1, 0, RWF_APPEND | NOAPPEND), EINVAL);
  char bytes[8];
  CHECK_EQ(pread(file, bytes, sizeof bytes, 0), 6);
  CHECK(memcmp(bytes, "aabbab", 6) == 0);
  struct iovec place = {bytes, sizeof bytes};
  CHECK_EQ(preadv2(file, &place, 1, 0, NOAPPEND), 6);
  // Files in memory do not say whether they would wait.
  CHECK_ERRNO(preadv2(file, &place, 1, 0, RWF_NOWAIT), EOPNOTSUPP);
  CHECK_ERRNO(pwritev2(memory, &piece, 1, 0, RWF_NOWAIT), EOPNOTSUPP);
  // Nothing overlaps behind the end.
  loff_t from = 6, to = 6;
  CHECK_EQ(copy_file_range(file, &from, file, &to, 10, 0), 0);
  from = 4;
  CHECK_EQ(copy_file_range(file, &from, file, &(loff_t){0}, 10, 0), 2);
  OK(close(appender));
}

static void status_flags(void) {
  OK(fcntl(file, F_SETFL, O_ASYNC | O_DIRECT));
  CHECK_EQ(fcntl(file, F_GETFL) & (O_ASYNC | O_DIRECT), O_DIRECT);
  OK(fcntl(ends[0], F_SETFL, O_ASYNC));
  CHECK(fcntl(ends[0], F_GETFL) & O_ASYNC);
  OK(fcntl(ends[0], F_SETFL, 0));
  int async = OK(open("file", O_RDONLY | O_ASYNC));
  OK(fcntl(async, F_SETFL, 0));
  CHECK(fcntl(async, F_GETFL) & O_ASYNC);
  CHECK_ERRNO(fcntl(memory, F_SETFL, O_DIRECT), EINVAL);
  int named = OK(open("file", O_PATH));
  CHECK_EQ(fcntl(named, CREATED_QUERY, 0), 0);
  CHECK_ERRNO(fcntl(named, F_NOTIFY, 0), EBADF);
  OK(fcntl(file, F_NOTIFY, 0));
  OK(fcntl(counter, F_NOTIFY, DN_MULTISHOT));
  CHECK_ERRNO(fcntl(file, F_NOTIFY, DN_ACCESS), ENOTDIR);
  OK(close(named));
  OK(close(async));
}

static void who_owns_a_file_of_proc(void) {
  int maps = OK(open("/proc/self/maps", O_RDONLY));
  OK(fchown(maps, 0, 0));
  CHECK_ERRNO(fchmod(maps, 0600), EPERM);
  OK(close(maps));
}

int main(void) {
  enter_own_mounts();
  file = OK(open("file", O_RDWR | O_CREAT, 0644));
  memory = OK(memfd_create("memory", 0));
  OK(pipe(ends));
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
  counter = OK(eventfd(0, 0));
  poller = OK(epoll_create1(0));
  nameless_file_systems();
  nothing_freezes();
  reservations();
  tmpfs_cannot_zero_or_shift();
  where_writes_go();
  status_flags();
  who_owns_a_file_of_proc();
  return 0;
}
