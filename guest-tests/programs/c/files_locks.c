// Locks: POSIX record locks, open-file-description locks, flock, deadlock detection, release at close and exit.
#include "check.h"
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>

static int set_lock(int file, int command, int type, off_t start, off_t length) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  return fcntl(file, command, &lock);
}

// The type of the first lock that stands in the way, from another process's view.
static int conflict(int file, off_t start, off_t length, struct flock *found) {
  *found = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  OK(fcntl(file, F_GETLK, found));
  return found->l_type;
}

static void record_locks_exclude_other_processes(void) {
  int file = OK(open("file", O_RDWR));
  struct flock found;
  OK(set_lock(file, F_SETLK, F_WRLCK, 10, 10));
  OK(set_lock(file, F_SETLK, F_RDLCK, 40, 0)); // To the end and beyond.
  OK(set_lock(file, F_SETLK, F_WRLCK, 10, 10)); // Its own locks never conflict.
  CHECK_EQ(conflict(file, 0, 0, &found), F_UNLCK);
  pid_t self = getpid(), pid;
  IN_CHILD(pid) {
    int mine = OK(open("file", O_RDWR));
    CHECK_EQ(conflict(mine, 0, 0, &found), F_WRLCK);
    CHECK_EQ(found.l_pid, self);
    CHECK_EQ(found.l_start, 10);
    CHECK_EQ(found.l_len, 10);
    CHECK(set_lock(mine, F_SETLK, F_RDLCK, 19, 1) == -1 && (errno == EAGAIN || errno == EACCES));
    OK(set_lock(mine, F_SETLK, F_WRLCK, 20, 20));
    OK(set_lock(mine, F_SETLK, F_RDLCK, 45, 5));
    CHECK(set_lock(mine, F_SETLK, F_WRLCK, 45, 5) == -1);
  }
  WAIT_OK(pid);
  OK(set_lock(file, F_SETLK, F_UNLCK, 13, 4)); // Splits.
  IN_CHILD(pid) {
    CHECK_EQ(conflict(file, 13, 4, &found), F_UNLCK);
    CHECK_EQ(conflict(file, 0, 20, &found), F_WRLCK);
    CHECK_EQ(found.l_start, 10);
    CHECK_EQ(found.l_len, 3);
    CHECK_EQ(conflict(file, 15, 5, &found), F_WRLCK);
    CHECK_EQ(found.l_start, 17);
  }
  WAIT_OK(pid);
  OK(close(OK(open("file", O_RDONLY)))); // Closing any descriptor of the file drops all of the process's locks.
  IN_CHILD(pid) { CHECK_EQ(conflict(file, 0, 0, &found), F_UNLCK); }
  WAIT_OK(pid);
  CHECK_ERRNO(set_lock(file, F_SETLK, 77, 0, 1), EINVAL);
  CHECK_ERRNO(set_lock(file, F_SETLK, F_RDLCK, -1, 1), EINVAL);
  CHECK_ERRNO(set_lock(999, F_SETLK, F_RDLCK, 0, 1), EBADF);
  int reader = OK(open("file", O_RDONLY));
  CHECK_ERRNO(set_lock(reader, F_SETLK, F_WRLCK, 0, 1), EBADF);
  OK(close(reader));
  OK(close(file));
}

static void waiting_ends_with_the_holder(void) {
  int file = OK(open("file", O_RDWR)), gate[2];
  char byte;
  OK(pipe(gate));
  pid_t pid;
  IN_CHILD(pid) {
    OK(set_lock(file, F_SETLK, F_WRLCK, 0, 0));
    CHECK_EQ(write(gate[1], "x", 1), 1);
    sleep_ms(50);
  }
  CHECK_EQ(read(gate[0], &byte, 1), 1);
  CHECK(set_lock(file, F_SETLK, F_WRLCK, 0, 0) == -1);
  OK(set_lock(file, F_SETLKW, F_WRLCK, 0, 0)); // Granted when the holder exits.
  WAIT_OK(pid);
  // Two that wait for each other.
  OK(set_lock(file, F_SETLK, F_UNLCK, 0, 0));
  OK(set_lock(file, F_SETLK, F_WRLCK, 0, 1));
  IN_CHILD(pid) {
    OK(set_lock(file, F_SETLK, F_WRLCK, 1, 1));
    CHECK_EQ(write(gate[1], "x", 1), 1);
    int got = set_lock(file, F_SETLKW, F_WRLCK, 0, 1);
    CHECK(got == 0 || errno == EDEADLK);
    _exit(got == 0 ? 0 : 44);
  }
  CHECK_EQ(read(gate[0], &byte, 1), 1);
  sleep_ms(30);
  int got = set_lock(file, F_SETLKW, F_WRLCK, 1, 1), error = errno;
  OK(set_lock(file, F_SETLK, F_UNLCK, 0, 1));
  WAIT_EXIT(pid, got == 0 ? 44 : 0); // The later one of the two is told.
  CHECK(got == 0 || error == EDEADLK);
  OK(close(file));
}

static void description_locks_belong_to_the_open_file(void) {
  int first = OK(open("file", O_RDWR)), second = OK(open("file", O_RDWR)), copy = OK(dup(first));
  OK(set_lock(first, F_OFD_SETLK, F_WRLCK, 0, 10));
  OK(set_lock(copy, F_OFD_SETLK, F_WRLCK, 5, 10)); // The same description.
  CHECK_ERRNO(set_lock(second, F_OFD_SETLK, F_WRLCK, 0, 1), EAGAIN);
  CHECK_ERRNO(set_lock(second, F_SETLK, F_WRLCK, 0, 1), EAGAIN); // They conflict with the process's as well.
  struct flock found = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  OK(fcntl(second, F_OFD_GETLK, &found));
  CHECK_EQ(found.l_type, F_WRLCK);
  CHECK_EQ(found.l_pid, -1);
  CHECK_EQ(found.l_len, 15);
  OK(close(first));
  CHECK_ERRNO(set_lock(second, F_OFD_SETLK, F_WRLCK, 0, 1), EAGAIN); // Held as long as a copy is open.
  OK(close(copy));
  OK(set_lock(second, F_OFD_SETLK, F_WRLCK, 0, 1));
  found.l_pid = 5;
  CHECK_ERRNO(fcntl(second, F_OFD_SETLK, &found), EINVAL);
  OK(close(second));
}

static void flock_locks_whole_files(void) {
  int first = OK(open("file", O_RDONLY)), second = OK(open("file", O_RDWR));
  OK(flock(first, LOCK_SH));
  OK(flock(second, LOCK_SH | LOCK_NB));
  CHECK_ERRNO(flock(second, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  OK(flock(first, LOCK_UN));
  OK(flock(second, LOCK_EX | LOCK_NB));
  CHECK_ERRNO(flock(first, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  pid_t pid;
  IN_CHILD(pid) {
    OK(flock(second, LOCK_EX | LOCK_NB)); // Inherited with the description.
    OK(close(second));
  }
  WAIT_OK(pid);
  CHECK_ERRNO(flock(first, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  IN_CHILD(pid) {
    OK(close(second));
    int mine = OK(open("file", O_RDWR));
    OK(flock(mine, LOCK_EX)); // Waits until the parent closes.
  }
  sleep_ms(30);
  OK(close(second));
  WAIT_OK(pid);
  CHECK_ERRNO(flock(first, 0x10), EINVAL);
  CHECK_ERRNO(flock(999, LOCK_SH), EBADF);
  OK(close(first));
}

// Where a lock begins and ends, from each place that it can be counted from.
static void ranges_end_with_the_largest_offset(void) {
  enum { SIZE = 1000 };
  const off_t most = INT64_MAX;
  int file = OK(open("ranges", O_RDWR | O_CREAT, 0600)), other = OK(open("ranges", O_RDWR));
  OK(ftruncate(file, SIZE));
  OK(lseek(file, 500, SEEK_SET));
  const struct {
    int whence;
    off_t start, length;
    int error;
    off_t found_start, found_length;
  } cases[] = {
      {SEEK_SET, 1, most, 0, 1, 0},
      {SEEK_SET, 0, most, 0, 0, most},
      {SEEK_SET, 2, most, EOVERFLOW},
      {SEEK_SET, 2, most - 1, 0, 2, 0},
      {SEEK_SET, most, 0, 0, most, 0},
      {SEEK_SET, most, 1, 0, most, 0},
      {SEEK_SET, most, 2, EOVERFLOW},
      {SEEK_SET, most - 1, 1, 0, most - 1, 1},
      {SEEK_SET, most, -1, 0, most - 1, 1},
      {SEEK_SET, most, -most, 0, 0, most},
      {SEEK_SET, 0, -1, EINVAL},
      {SEEK_SET, 1, -1, 0, 0, 1},
      {SEEK_SET, -1, 1, EINVAL},
      {SEEK_SET, -1, 5, EINVAL},
      {SEEK_SET, 5, INT64_MIN, EINVAL},
      {SEEK_SET, INT64_MIN, 0, EINVAL},
      {SEEK_CUR, -500, 0, 0, 0, 0},
      {SEEK_CUR, -501, 0, EINVAL},
      {SEEK_CUR, -10, 5, 0, 490, 5},
      {SEEK_CUR, 0, -500, 0, 0, 500},
      {SEEK_CUR, 0, -501, EINVAL},
      {SEEK_CUR, most, 1, EOVERFLOW},
      {SEEK_CUR, most - 500, 1, 0, most, 0},
      {SEEK_CUR, most - 500, 2, EOVERFLOW},
      {SEEK_CUR, 1, most - 500, 0, 501, 0},
      {SEEK_END, -SIZE, 0, 0, 0, 0},
      {SEEK_END, -SIZE - 1, 0, EINVAL},
      {SEEK_END, most - SIZE + 1, 0, EOVERFLOW},
      {SEEK_END, 0, -1, 0, SIZE - 1, 1},
      {3, 0, 0, EINVAL},
      {-1, 0, 0, EINVAL},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    const int commands[] = {F_SETLK, F_OFD_SETLK};
    for (size_t j = 0; j < COUNT(commands); j++) {
      struct flock lock = {.l_type = F_WRLCK, .l_whence = cases[i].whence, .l_start = cases[i].start, .l_len = cases[i].length};
      errno = 0;
      int result = fcntl(file, commands[j], &lock);
      CHECK_CASE(errno == cases[i].error && result == (errno ? -1 : 0), "case %zu", i);
      if (result != 0) continue;
      struct flock found = {.l_type = F_WRLCK};
      OK(fcntl(other, F_OFD_GETLK, &found));
      CHECK_CASE(found.l_type == F_WRLCK && found.l_start == cases[i].found_start && found.l_len == cases[i].found_length,
                 "case %zu: %lld and %lld", i, (long long)found.l_start, (long long)found.l_len);
      OK(set_lock(file, commands[j], F_UNLCK, 0, 0));
    }
  }
  OK(close(file)), OK(close(other));
}

// Whatever can be opened can be locked, and other processes see it.
static void every_kind_of_file_can_be_locked(void) {
  int pipes[2], sockets[2];
  OK(pipe(pipes)), OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets)), OK(mkfifo("fifo", 0600));
  const struct {
    const char *name;
    int file, other, can_read, can_write;
  } files[] = {
      {"read end", pipes[0], -1, 1, 0},
      {"write end", pipes[1], -1, 0, 1},
      {"socket", sockets[0], -1, 1, 1},
      {"fifo", OK(open("fifo", O_RDWR)), OK(open("fifo", O_RDWR)), 1, 1},
      {"directory", OK(open(".", O_RDONLY)), OK(open(".", O_RDONLY)), 1, 0},
      {"proc", OK(open("/proc/self/oom_score_adj", O_RDWR)), OK(open("/proc/self/oom_score_adj", O_RDWR)), 1, 1},
      {"proc, to read", OK(open("/proc/version", O_RDONLY)), OK(open("/proc/version", O_RDONLY)), 1, 0},
      {"sys", OK(open("/sys/kernel", O_RDONLY)), OK(open("/sys/kernel", O_RDONLY)), 1, 0},
      {"null", OK(open("/dev/null", O_RDWR)), OK(open("/dev/null", O_RDWR)), 1, 1},
      {"event counter", OK(eventfd(0, 0)), -1, 1, 1},
      {"memory", OK(memfd_create("memory", 0)), -1, 1, 1},
      {"terminal", OK(posix_openpt(O_RDWR | O_NOCTTY)), -1, 1, 1},
      {"namespace", OK(open("/proc/self/ns/uts", O_RDONLY)), -1, 1, 0},
      {"neither", OK(open("file", 3)), -1, 0, 0},
  };
  for (size_t i = 0; i < COUNT(files); i++) {
    int file = files[i].file, other = files[i].other;
    const int types[] = {F_RDLCK, F_WRLCK};
    for (size_t j = 0; j < COUNT(types); j++) {
      int may = types[j] == F_RDLCK ? files[i].can_read : files[i].can_write;
      for (int command = F_SETLK; command != 0; command = command == F_SETLK ? F_OFD_SETLK : 0) {
        errno = 0;
        int result = set_lock(file, command, types[j], 0, 1);
        CHECK_CASE(may ? result == 0 : errno == EBADF, "%s: %d", files[i].name, types[j]);
        if (result != 0) continue;
        struct flock found = {.l_type = F_WRLCK};
        if (other >= 0) {
          OK(fcntl(other, F_OFD_GETLK, &found));
          CHECK_CASE(found.l_type == types[j] && found.l_pid == (command == F_SETLK ? getpid() : -1), "%s", files[i].name);
        }
        found = (struct flock){.l_type = F_UNLCK};
        OK(fcntl(file, F_OFD_GETLK, &found)); // One's own.
        CHECK_CASE(found.l_type == (command == F_SETLK ? F_UNLCK : types[j]), "%s", files[i].name);
        OK(set_lock(file, command, F_UNLCK, 0, 0));
      }
    }
    errno = 0;
    int may = files[i].can_read || files[i].can_write;
    CHECK_CASE(flock(file, LOCK_EX | LOCK_NB) == 0 ? may : !may && errno == EBADF, "%s", files[i].name);
    if (other >= 0) CHECK_ERRNO(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    OK(flock(file, LOCK_UN));
  }
  // The ends of a pipe are one file.
  OK(flock(pipes[0], LOCK_EX));
  CHECK_ERRNO(flock(pipes[1], LOCK_SH | LOCK_NB), EWOULDBLOCK);
  OK(flock(pipes[0], LOCK_UN));
}

static void errors_come_in_order(void) {
  int writer = OK(open("file", O_WRONLY));
  struct flock lock = {.l_type = F_RDLCK, .l_pid = 1};
  CHECK_ERRNO(fcntl(writer, F_OFD_SETLK, &lock), EBADF);
  CHECK_ERRNO(fcntl(writer, F_OFD_GETLK, &lock), EINVAL);
  lock = (struct flock){.l_type = F_UNLCK};
  CHECK_ERRNO(fcntl(writer, F_GETLK, &lock), EINVAL);
  CHECK_ERRNO(fcntl(writer, F_SETLK, wild), EFAULT);
  CHECK_ERRNO(flock(999, LOCK_SH | LOCK_EX), EINVAL);
  CHECK_ERRNO(flock(999, LOCK_NB), EINVAL);
  OK(flock(999, LOCK_MAND | LOCK_READ)); // Nothing any more.
  int path = OK(open("file", O_PATH));
  CHECK_ERRNO(flock(path, LOCK_UN), EBADF);
  CHECK_ERRNO(set_lock(path, F_SETLK, F_UNLCK, 0, 0), EBADF);
  OK(close(path)), OK(close(writer));
}

int main(void) {
  enter_scratch();
  write_file("file", "0123456789");
  record_locks_exclude_other_processes();
  waiting_ends_with_the_holder();
  description_locks_belong_to_the_open_file();
  flock_locks_whole_files();
  ranges_end_with_the_largest_offset();
  every_kind_of_file_can_be_locked();
  errors_come_in_order();
  return 0;
}
