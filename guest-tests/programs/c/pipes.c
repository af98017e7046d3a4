// Pipes: order, atomicity, end of file, EPIPE, non-blocking, capacity, packets, poll, named pipes.
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>

static void data_flows_in_order(void) {
  int ends[2];
  OK(pipe(ends));
  pid_t pid;
  IN_CHILD(pid) {
    OK(close(ends[0]));
    for (unsigned i = 0; i < 100000;) {
      unsigned block[1000];
      for (int n = 0; n < 1000; n++) block[n] = i++;
      char *from = (char *)block;
      for (size_t left = sizeof block; left > 0;) {
        ssize_t wrote = OK(write(ends[1], from, left));
        from += wrote;
        left -= wrote;
      }
    }
  }
  OK(close(ends[1]));
  unsigned expected = 0, buffer[3001];
  size_t held = 0;
  ssize_t got;
  while ((got = OK(read(ends[0], (char *)buffer + held, sizeof buffer - held))) > 0) {
    held += got;
    size_t whole = held / 4;
    for (size_t i = 0; i < whole; i++) CHECK_EQ(buffer[i], expected++);
    memmove(buffer, buffer + whole, held % 4);
    held %= 4;
  }
  CHECK_EQ(expected, 100000);
  WAIT_OK(pid);
  OK(close(ends[0]));
}

static void small_writes_are_atomic(void) {
  enum { WRITERS = 4, ROUNDS = 40, SIZE = 3000 };
  int ends[2];
  OK(pipe(ends));
  pid_t children[WRITERS];
  for (int i = 0; i < WRITERS; i++) {
    IN_CHILD(children[i]) {
      char record[SIZE];
      memset(record, 'a' + i, SIZE);
      for (int round = 0; round < ROUNDS; round++) CHECK_EQ(write(ends[1], record, SIZE), SIZE);
    }
  }
  OK(close(ends[1]));
  char record[SIZE];
  int counts[WRITERS] = {0};
  for (int n = 0; n < WRITERS * ROUNDS; n++) {
    for (size_t held = 0; held < SIZE;) {
      ssize_t got = OK(read(ends[0], record + held, SIZE - held));
      CHECK(got > 0);
      held += got;
    }
    for (int i = 1; i < SIZE; i++) CHECK_EQ(record[i], record[0]);
    counts[record[0] - 'a']++;
  }
  CHECK_EQ(read(ends[0], record, 1), 0);
  for (int i = 0; i < WRITERS; i++) {
    CHECK_EQ(counts[i], ROUNDS);
    WAIT_OK(children[i]);
  }
  OK(close(ends[0]));
}

static void ends_that_close(void) {
  int ends[2];
  char text[8];
  OK(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
  CHECK_EQ(fcntl(ends[0], F_GETFL), O_RDONLY | O_NONBLOCK);
  CHECK_EQ(fcntl(ends[1], F_GETFL), O_WRONLY | O_NONBLOCK);
  CHECK_EQ(fcntl(ends[1], F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(read(ends[0], text, 1), EAGAIN);
  CHECK_EQ(write(ends[1], "last", 4), 4);
  int copy = OK(dup(ends[1]));
  OK(close(ends[1]));
  CHECK_EQ(read(ends[0], text, 8), 4);
  CHECK_ERRNO(read(ends[0], text, 1), EAGAIN); // The copy holds it open.
  OK(close(copy));
  CHECK_EQ(read(ends[0], text, 8), 0);
  struct pollfd entry = {.fd = ends[0], .events = POLLIN};
  CHECK_EQ(poll(&entry, 1, 0), 1);
  CHECK_EQ(entry.revents, POLLHUP);
  OK(close(ends[0]));
  signal(SIGPIPE, SIG_IGN);
  OK(pipe(ends));
  OK(close(ends[0]));
  CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
  entry = (struct pollfd){.fd = ends[1], .events = POLLOUT};
  CHECK_EQ(poll(&entry, 1, 0), 1);
  CHECK_EQ(entry.revents, POLLOUT | POLLERR);
  OK(close(ends[1]));
}

static void capacity_and_blocking(void) {
  int ends[2], waiting;
  char *block = calloc(1, 1 << 20);
  OK(pipe2(ends, O_NONBLOCK));
  CHECK_EQ(fcntl(ends[0], F_GETPIPE_SZ), 65536);
  CHECK_EQ(write(ends[1], block, 1 << 20), 65536);
  CHECK_ERRNO(write(ends[1], block, 1), EAGAIN);
  OK(ioctl(ends[0], FIONREAD, &waiting));
  CHECK_EQ(waiting, 65536);
  struct pollfd entry = {.fd = ends[1], .events = POLLOUT};
  CHECK_EQ(poll(&entry, 1, 0), 0);
  CHECK_EQ(read(ends[0], block, 100), 100);
  CHECK_EQ(poll(&entry, 1, 0), 0); // Not a whole page free.
  CHECK_EQ(read(ends[0], block, 4096), 4096);
  CHECK_EQ(poll(&entry, 1, 0), 1);
  CHECK_ERRNO(fcntl(ends[1], F_SETPIPE_SZ, 4096), EBUSY); // Does not hold what is there.
  CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 200000), 262144);
  while (read(ends[0], block, 1 << 20) > 0) {}
  CHECK_EQ(write(ends[1], block, 1 << 20), 262144);
  while (read(ends[0], block, 1 << 20) > 0) {}
  CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 1), 4096);
  CHECK_EQ(write(ends[1], block, 10000), 4096);
  CHECK_ERRNO(write(ends[1], block, 4096), EAGAIN); // At most PIPE_BUF: all or nothing.
  OK(close(ends[0]));
  OK(close(ends[1]));
  free(block);
}

static void packet_mode_keeps_boundaries(void) {
  int ends[2];
  char text[16];
  OK(pipe2(ends, O_DIRECT));
  CHECK_EQ(write(ends[1], "first", 5), 5);
  CHECK_EQ(write(ends[1], "second", 6), 6);
  CHECK_EQ(read(ends[0], text, 3), 3); // The rest of a packet is dropped.
  CHECK_EQ(read(ends[0], text, 16), 6);
  CHECK_EQ(memcmp(text, "second", 6), 0);
  OK(close(ends[0]));
  OK(close(ends[1]));
}

static void named_pipes_meet(void) {
  OK(mkfifo("fifo", 0600));
  struct stat status;
  OK(stat("fifo", &status));
  CHECK(S_ISFIFO(status.st_mode));
  CHECK_ERRNO(mkfifo("fifo", 0600), EEXIST);
  CHECK_ERRNO(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
  int reader = OK(open("fifo", O_RDONLY | O_NONBLOCK));
  char text[8];
  CHECK_EQ(read(reader, text, 8), 0); // No writer yet.
  OK(close(reader));
  pid_t pid;
  IN_CHILD(pid) {
    int writer = OK(open("fifo", O_WRONLY)); // Waits for the reader.
    CHECK_EQ(write(writer, "met", 3), 3);
  }
  reader = OK(open("fifo", O_RDONLY));
  CHECK_EQ(read(reader, text, 8), 3);
  CHECK_EQ(read(reader, text, 8), 0);
  WAIT_OK(pid);
  OK(close(reader));
  int both = OK(open("fifo", O_RDWR));
  CHECK_EQ(write(both, "x", 1), 1);
  CHECK_EQ(read(both, text, 8), 1);
  OK(close(both));
}

static void refusals(void) {
  int ends[2];
  char text[8];
  CHECK_ERRNO(syscall(SYS_pipe2, 8, 0), EFAULT);
  CHECK_ERRNO(pipe2(ends, 0x10), EINVAL);
  OK(pipe(ends));
  CHECK_ERRNO(lseek(ends[0], 0, SEEK_SET), ESPIPE);
  CHECK_ERRNO(pread(ends[0], text, 1, 0), ESPIPE);
  CHECK_ERRNO(read(ends[1], text, 1), EBADF);
  CHECK_ERRNO(write(ends[0], text, 1), EBADF);
  CHECK_ERRNO(ftruncate(ends[1], 0), EINVAL);
  CHECK_ERRNO(write(ends[1], wild, 5), EFAULT);
  CHECK_EQ(write(ends[1], text, 0), 0);
  CHECK_EQ(write(ends[1], "abc", 3), 3);
  CHECK_ERRNO(read(ends[0], wild, 3), EFAULT);
  struct stat status;
  OK(fstat(ends[0], &status));
  CHECK(S_ISFIFO(status.st_mode));
  CHECK_EQ(status.st_size, 0);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
  char link[64] = {0}, expected[64];
  OK(readlink(path, link, sizeof link - 1));
  snprintf(expected, sizeof expected, "pipe:[%lu]", (unsigned long)status.st_ino);
  CHECK(strcmp(link, expected) == 0);
}

int main(void) {
  enter_scratch();
  data_flows_in_order();
  small_writes_are_atomic();
  ends_that_close();
  capacity_and_blocking();
  packet_mode_keeps_boundaries();
  named_pipes_meet();
  refusals();
  return 0;
}
