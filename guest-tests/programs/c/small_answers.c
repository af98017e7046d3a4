// Small answers that programs rely on: of devices of random numbers, of the kernel's log, of owners of files, of links in tmpfs.

#include "check.h"
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>

static void random_devices(void) {
  int blocking = (int)OK(open("/dev/random", O_RDWR)), other = (int)OK(open("/dev/urandom", O_RDWR));
  int epoll = (int)OK(epoll_create1(0)), bits = 0;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT};
  OK(epoll_ctl(epoll, EPOLL_CTL_ADD, blocking, &event));
  CHECK_EQ(OK(epoll_wait(epoll, &event, 1, 0)), 1);
  CHECK_EQ(event.events, EPOLLIN);
  CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, other, &event), EPERM);
  OK(ioctl(other, _IOR('R', 0x00, int), &bits));
  CHECK_EQ(bits, 256);
  CHECK_ERRNO(ioctl(other, TIOCGWINSZ, &bits), EINVAL);
}

static void kernel_log(void) {
  char text[16];
  CHECK(OK(klogctl(10, NULL, 0)) > 0);
  CHECK_ERRNO(klogctl(3, text, -1), EINVAL);
  CHECK_ERRNO(klogctl(3, NULL, 1), EINVAL);
  CHECK_EQ(OK(klogctl(3, text, 0)), 0);
  CHECK_ERRNO(klogctl(8, NULL, 9), EINVAL);
  CHECK_ERRNO(klogctl(11, NULL, 0), EINVAL);
}

// A failure leaves the owner as it was.
static void owner_of_a_file(void) {
  int ends[2];
  OK(pipe(ends));
  OK(fcntl(ends[0], F_SETOWN, getpid()));
  CHECK_ERRNO(fcntl(ends[0], F_SETOWN, 4000000), ESRCH);
  CHECK_ERRNO(fcntl(ends[0], F_SETOWN, -4000000), ESRCH);
  CHECK_ERRNO(fcntl(ends[0], F_SETOWN, INT_MIN), EINVAL);
  CHECK_EQ(OK(fcntl(ends[0], F_GETOWN)), getpid());
}

static void truncation_of_what_has_no_length(void) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", (int)OK(eventfd(0, 0)));
  CHECK_ERRNO(truncate(path, 0), EINVAL);
}

// The text of a link that does not fit into the inode takes a page.
static void links_in_tmpfs(void) {
  OK(unshare(CLONE_NEWNS));
  OK(mount("none", "/", NULL, MS_PRIVATE | MS_REC, NULL));
  OK(mount("none", "/tmp", "tmpfs", 0, "size=4096"));
  char text[129];
  memset(text, 'a', 128);
  text[128] = 0;
  OK(symlink(text + 1, "/tmp/short"));
  OK(symlink(text, "/tmp/long"));
  CHECK_ERRNO(symlink(text, "/tmp/more"), ENOSPC);
  OK(symlink(text + 1, "/tmp/more"));
  struct stat status;
  OK(lstat("/tmp/long", &status));
  CHECK_EQ(status.st_blocks, 8);
  OK(lstat("/tmp/short", &status));
  CHECK_EQ(status.st_blocks, 0);
  OK(unlink("/tmp/long"));
  OK(symlink(text, "/tmp/again"));
}

int main(void) {
  random_devices();
  kernel_log();
  owner_of_a_file();
  truncation_of_what_has_no_length();
  links_in_tmpfs();
  return 0;
}
