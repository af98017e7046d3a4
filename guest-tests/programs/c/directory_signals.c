// F_NOTIFY (fcntl(2)): signals when something happens in a directory.
#include "check.h"

static volatile sig_atomic_t received, last_fd;

static void count(int signal UNUSED, siginfo_t *info, void *context UNUSED) {
  received++;
  last_fd = info->si_fd;
}

// So many signals have come since the last time; they come before a call ends, or soon after.
static void expect(int wanted) {
  for (int i = 0; i < 2000 && received < wanted; i++) usleep(1000);
  CHECK_EQ(received, wanted);
  received = 0;
}

int main(void) {
  char directory[] = "/tmp/signals-XXXXXX";
  CHECK(mkdtemp(directory) != NULL);
  OK(chdir(directory));
  OK(mkdir("watched", 0755));
  struct sigaction action = {.sa_sigaction = count, .sa_flags = SA_SIGINFO | SA_RESTART};
  int signal_number = SIGRTMIN;
  OK(sigaction(signal_number, &action, NULL));
  int fd = OK(open("watched", O_RDONLY));
  OK(fcntl(fd, F_SETSIG, signal_number));
  // Once, unless more is asked for.
  OK(fcntl(fd, F_NOTIFY, DN_CREATE));
  OK(close(OK(open("watched/a", O_CREAT | O_RDWR, 0644))));
  expect(1);
  CHECK_EQ(last_fd, fd);
  OK(close(OK(open("watched/b", O_CREAT | O_RDWR, 0644))));
  expect(0);
  OK(fcntl(fd, F_NOTIFY, DN_MULTISHOT | DN_CREATE | DN_DELETE | DN_RENAME | DN_MODIFY | DN_ATTRIB));
  OK(unlink("watched/b"));
  expect(1);
  OK(chmod("watched/a", 0600));
  expect(1);
  int file = OK(open("watched/a", O_RDWR));
  CHECK_EQ(write(file, "x", 1), 1);
  expect(1);
  char byte;
  CHECK_EQ(pread(file, &byte, 1, 0), 1);
  expect(0);
  OK(close(file));
  // A name goes, a name comes, and a name has changed.
  OK(rename("watched/a", "watched/c"));
  expect(3);
  OK(fcntl(fd, F_NOTIFY, 0));
  OK(unlink("watched/c"));
  expect(0);
  OK(fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT));
  OK(close(fd));
  OK(mkdir("watched/d", 0755));
  expect(0);
  file = OK(open("plain", O_CREAT | O_RDWR, 0644));
  CHECK_ERRNO(fcntl(file, F_NOTIFY, DN_CREATE), ENOTDIR);
  OK(rmdir("watched/d"));
  OK(rmdir("watched"));
  OK(unlink("plain"));
  OK(chdir("/"));
  OK(rmdir(directory));
  return 0;
}
