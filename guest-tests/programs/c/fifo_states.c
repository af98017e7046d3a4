// FIFOs and the capacities of pipes: what each call answers, a line each.
// compared
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static char block[200000];

#define TELL(expression) \
  do { \
    errno = 0; \
    long result = (expression); \
    printf("%s: %ld %s\n", #expression, result, result < 0 ? strerrorname_np(errno) : ""); \
  } while (0)

static long polled(int end) {
  struct pollfd entry = {end, POLLIN | POLLOUT, 0};
  OK(poll(&entry, 1, 0));
  return entry.revents;
}

static long unread(int end) {
  int value = -7;
  OK(ioctl(end, FIONREAD, &value));
  return value;
}

static void capacities(void) {
  int ends[2];
  OK(pipe2(ends, O_NONBLOCK));
  int reader = ends[0], writer = ends[1];
  TELL(fcntl(writer, F_SETPIPE_SZ, 0));
  TELL(fcntl(writer, F_SETPIPE_SZ, 1));
  TELL(fcntl(writer, F_SETPIPE_SZ, 4097));
  TELL(fcntl(writer, F_SETPIPE_SZ, -1));
  TELL(fcntl(writer, F_SETPIPE_SZ, 1 << 18));
  TELL(fcntl(reader, F_GETPIPE_SZ));
  TELL(write(writer, block, sizeof block));
  TELL(fcntl(writer, F_SETPIPE_SZ, 4096));
  TELL(fcntl(reader, F_SETPIPE_SZ, 200704));
  TELL(unread(reader));
  TELL(unread(writer));
  TELL(read(reader, block, 100));
  TELL(read(reader, block, sizeof block));
  TELL(read(reader, block, 1));
  OK(close(reader));
  OK(close(writer));
}

static void ends_come_and_go(void) {
  OK(mkfifo("fifo", 0600));
  TELL(open("fifo", O_WRONLY | O_NONBLOCK));
  int reader = OK(open("fifo", O_RDONLY | O_NONBLOCK));
  TELL(read(reader, block, 1));
  TELL(polled(reader));
  int writer = OK(open("fifo", O_WRONLY | O_NONBLOCK));
  TELL(read(reader, block, 1));
  TELL(write(writer, "abc", 3));
  TELL(polled(reader));
  TELL(polled(writer));
  OK(close(writer));
  TELL(polled(reader));
  TELL(read(reader, block, 9));
  TELL(read(reader, block, 9));
  TELL(polled(reader));
  int both = OK(open("fifo", O_RDWR));
  TELL(polled(reader));
  TELL(polled(both));
  TELL(fcntl(both, F_SETPIPE_SZ, 8192));
  TELL(fcntl(reader, F_GETPIPE_SZ));
  OK(close(reader));
  OK(close(both));
}

static void what_a_fifo_is_not(void) {
  int both = OK(open("fifo", O_RDWR));
  TELL(lseek(both, 0, SEEK_CUR));
  TELL(pread(both, block, 1, 0));
  TELL(pwrite(both, block, 1, 0));
  TELL(ftruncate(both, 0));
  TELL(truncate("fifo", 0));
  TELL(fsync(both));
  TELL(fdatasync(both));
  TELL(sync_file_range(both, 0, 0, 0));
  TELL(posix_fadvise(both, 0, 0, 0));
  TELL(fallocate(both, 0, 0, 1));
  int reader = OK(open("fifo", O_RDONLY | O_NONBLOCK | O_TRUNC));
  TELL(unread(reader));
  OK(close(reader));
  OK(close(both));
}

int main(void) {
  enter_scratch();
  capacities();
  ends_come_and_go();
  what_a_fifo_is_not();
  return 0;
}
