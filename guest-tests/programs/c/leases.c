// Leases: who may take one, what is in the way, how they are broken by opening and truncating, and what the holder hears.
#include "check.h"

static volatile sig_atomic_t heard, last_fd, last_code;

static void hear(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  last_fd = info->si_fd, last_code = info->si_code;
  heard++;
}

static int lease(int file, int kind) { return fcntl(file, F_SETLEASE, kind); }
static int lease_of(int file) { return fcntl(file, F_GETLEASE); }

static int child(int (*work)(void)) {
  pid_t process = OK(fork());
  if (process == 0) _exit(work());
  return process;
}

static void expect_exit(pid_t process, int status) {
  int found;
  CHECK_EQ(OK(waitpid(process, &found, 0)), process);
  CHECK(WIFEXITED(found));
  CHECK_EQ(WEXITSTATUS(found), status);
}

static void test_refusals(void) {
  int reader = OK(open("file", O_RDONLY)), writer;
  CHECK_EQ(lease_of(reader), F_UNLCK);
  CHECK_ERRNO(lease(reader, F_UNLCK), EAGAIN);
  CHECK_ERRNO(lease(reader, 17), EINVAL);
  int pipe_ends[2];
  OK(pipe(pipe_ends));
  CHECK_ERRNO(lease(pipe_ends[0], F_RDLCK), EINVAL);
  OK(close(pipe_ends[0])), OK(close(pipe_ends[1]));
  // Whoever has it open for writing is in the way of a read lease, be it the caller.
  writer = OK(open("file", O_RDWR));
  CHECK_ERRNO(lease(reader, F_RDLCK), EAGAIN);
  CHECK_ERRNO(lease(writer, F_RDLCK), EAGAIN);
  CHECK_ERRNO(lease(writer, F_WRLCK), EAGAIN);
  OK(close(reader));
  OK(lease(writer, F_WRLCK));
  CHECK_EQ(lease_of(writer), F_WRLCK);
  OK(lease(writer, F_UNLCK));
  CHECK_EQ(lease_of(writer), F_UNLCK);
  OK(close(writer));
  reader = OK(open("file", O_RDONLY));
  OK(lease(reader, F_RDLCK));
  // Another read lease may be beside it, and readers break nothing.
  int other = OK(open("file", O_RDONLY | O_NONBLOCK));
  OK(lease(other, F_RDLCK));
  CHECK_ERRNO(lease(reader, F_WRLCK), EAGAIN);
  OK(close(other));
  OK(lease(reader, F_WRLCK));
  CHECK_EQ(lease_of(reader), F_WRLCK);
  OK(lease(reader, F_RDLCK));
  CHECK_EQ(lease_of(reader), F_RDLCK);
  // A copy of the descriptor is the same open file.
  int copy = OK(dup(reader));
  OK(close(reader));
  CHECK_EQ(lease_of(copy), F_RDLCK);
  OK(close(copy));
  reader = OK(open("file", O_RDONLY));
  CHECK_EQ(lease_of(reader), F_UNLCK);
  OK(close(reader));
  pid_t stranger = OK(fork());
  if (stranger == 0) {
    OK(setresuid(1000, 1000, 1000));
    reader = OK(open("file", O_RDONLY));
    CHECK_ERRNO(lease(reader, F_RDLCK), EACCES);
    _exit(0);
  }
  expect_exit(stranger, 0);
}

static int open_writing(void) {
  int file = OK(open("file", O_WRONLY));
  return close(file);
}
static int open_reading(void) {
  int file = OK(open("file", O_RDONLY));
  return close(file);
}
static int cut(void) { return truncate("file", 2); }
static int open_writing_at_once(void) {
  CHECK_ERRNO(open("file", O_WRONLY | O_NONBLOCK), EWOULDBLOCK);
  return 0;
}

static void wait_for_signal(int count) {
  for (int attempt = 0; attempt < 1000 && heard < count; attempt++) usleep(5000);
  CHECK_EQ(heard, count);
}

// The holder hears of it and gives way; until then who opens waits.
static void test_breaks(int (*work)(void), int kind, int mode) {
  heard = 0;
  int file = OK(open("file", mode));
  OK(fcntl(file, F_SETSIG, SIGRTMIN + 2));
  OK(lease(file, kind));
  pid_t process = child(work);
  wait_for_signal(1);
  CHECK_EQ(last_fd, file);
  CHECK_EQ(last_code, POLL_MSG);
  CHECK_EQ(lease_of(file), work == open_reading ? F_RDLCK : F_UNLCK);
  if (work != open_writing_at_once) {
    usleep(50000);
    CHECK_EQ(waitpid(process, NULL, WNOHANG), 0);
  }
  OK(lease(file, work == open_reading ? F_RDLCK : F_UNLCK));
  expect_exit(process, 0);
  OK(close(file));
}

// Who has a lease is told as by O_ASYNC, and who gives it up is not told of anything.
static void test_owner(void) {
  int file = OK(open("file", O_RDONLY));
  OK(fcntl(file, F_SETSIG, SIGRTMIN + 2));
  OK(lease(file, F_RDLCK));
  CHECK_EQ(fcntl(file, F_GETFL) & O_ASYNC, O_ASYNC);
  CHECK_EQ(fcntl(file, F_GETOWN), getpid());
  OK(lease(file, F_UNLCK));
  CHECK_EQ(fcntl(file, F_GETFL) & O_ASYNC, 0);
  CHECK_EQ(fcntl(file, F_GETOWN), 0);
  CHECK_EQ(fcntl(file, F_GETSIG), 0);
  OK(close(file));
}

// A holder who does nothing loses it after a while; so does one who ends.
static void test_end(void) {
  heard = 0;
  int file = OK(open("file", O_RDONLY));
  OK(lease(file, F_RDLCK));
  pid_t process = child(open_writing);
  expect_exit(process, 0);
  CHECK_EQ(lease_of(file), F_UNLCK);
  OK(lease(OK(open("other", O_RDWR | O_CREAT, 0644)), F_WRLCK));
  OK(close(file));
  file = OK(open("file", O_RDONLY));
  OK(lease(file, F_RDLCK));
  process = child(cut);
  usleep(50000);
  OK(close(file));
  expect_exit(process, 0);
}

static int seconds(int new) {
  char text[32] = {0};
  int file = OK(open("/proc/sys/fs/lease-break-time", O_RDWR));
  CHECK(read(file, text, sizeof text - 1) > 0);
  int length = snprintf(text + 16, 16, "%d", new);
  CHECK_EQ(pwrite(file, text + 16, length, 0), length);
  OK(close(file));
  return atoi(text);
}

int main(void) {
  enter_scratch();
  write_file("file", "text");
  test_refusals();
  test_owner();
  struct sigaction action = {.sa_sigaction = hear, .sa_flags = SA_SIGINFO | SA_RESTART};
  OK(sigaction(SIGRTMIN + 2, &action, NULL));
  OK(sigaction(SIGIO, &action, NULL));
  test_breaks(open_writing, F_RDLCK, O_RDONLY);
  test_breaks(open_writing, F_WRLCK, O_RDWR);
  test_breaks(open_reading, F_WRLCK, O_RDONLY);
  test_breaks(cut, F_RDLCK, O_RDONLY);
  test_breaks(open_writing_at_once, F_RDLCK, O_RDONLY);
  int before = seconds(1);
  test_end();
  seconds(before);
  return 0;
}
