// Locks: POSIX record locks, open-file-description locks, flock, deadlock detection, release at close and exit.
#include "check.h"
#include <sys/file.h>

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

int main(void) {
  enter_scratch();
  write_file("file", "0123456789");
  record_locks_exclude_other_processes();
  waiting_ends_with_the_holder();
  description_locks_belong_to_the_open_file();
  flock_locks_whole_files();
  return 0;
}
