// The requests of nsfs that are about numbers (ioctl_nsfs(2)): what a process is called in another PID namespace, and the number of
// a mount namespace and of its mounts.
#include "check.h"

#include <sched.h>
#include <sys/ioctl.h>

#ifndef NS_GET_MNTNS_ID
#define NS_GET_MNTNS_ID _IOR(0xb7, 0x5, uint64_t)
#endif
#ifndef NS_GET_PID_FROM_PIDNS
#define NS_GET_PID_FROM_PIDNS _IOR(0xb7, 0x6, int)
#define NS_GET_TGID_FROM_PIDNS _IOR(0xb7, 0x7, int)
#define NS_GET_PID_IN_PIDNS _IOR(0xb7, 0x8, int)
#define NS_GET_TGID_IN_PIDNS _IOR(0xb7, 0x9, int)
#endif
struct mounts_info {
  uint32_t size, mounts;
  uint64_t number;
};
#define MNT_GET_INFO _IOR(0xb7, 10, struct mounts_info)

static void expect(int file, unsigned long request, long argument, int wanted, int error) {
  int got = ioctl(file, request, argument);
  if (got != wanted || (wanted < 0 && errno != error)) FAIL("request %lx of %ld: %d, %s", request, argument, got, strerror(errno));
}

int main(void) {
  int to_child[2], to_parent[2];
  if (pipe(to_child) < 0 || pipe(to_parent) < 0) FAIL("pipe");
  if (unshare(CLONE_NEWPID) < 0) FAIL("unshare: %s", strerror(errno));
  pid_t child = fork();
  if (child == 0) {
    char byte = 'r';
    if (write(to_parent[1], &byte, 1) != 1 || read(to_child[0], &byte, 1) != 1) _exit(1);
    _exit(0);
  }
  char byte;
  if (read(to_parent[0], &byte, 1) != 1) FAIL("read");
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/pid", child);
  int pids = open(path, O_RDONLY), mounts = open("/proc/self/ns/mnt", O_RDONLY);
  if (pids < 0 || mounts < 0) FAIL("open: %s", strerror(errno));
  expect(pids, NS_GET_PID_FROM_PIDNS, 1, child, 0);
  expect(pids, NS_GET_TGID_FROM_PIDNS, 1, child, 0);
  expect(pids, NS_GET_PID_IN_PIDNS, child, 1, 0);
  expect(pids, NS_GET_TGID_IN_PIDNS, child, 1, 0);
  expect(pids, NS_GET_PID_FROM_PIDNS, 2, -1, ESRCH);
  expect(pids, NS_GET_PID_IN_PIDNS, getpid(), -1, ESRCH);
  expect(pids, NS_GET_PID_IN_PIDNS, 0, -1, ESRCH);
  expect(mounts, NS_GET_PID_FROM_PIDNS, 1, -1, EINVAL);

  uint64_t number = 0, again = 0;
  expect(mounts, NS_GET_MNTNS_ID, (long)&number, 0, 0);
  expect(mounts, NS_GET_MNTNS_ID, (long)&again, 0, 0);
  if (number == 0 || number != again) FAIL("numbers %lu and %lu", number, again);
  expect(pids, NS_GET_MNTNS_ID, (long)&number, -1, EINVAL);
  expect(mounts, NS_GET_MNTNS_ID, 8, -1, EFAULT);
  struct mounts_info info = {0};
  expect(mounts, MNT_GET_INFO, (long)&info, 0, 0);
  if (info.size != sizeof info || info.mounts == 0 || info.number != number) FAIL("%u mounts, number %lu", info.mounts, info.number);
  expect(mounts, MNT_GET_INFO, 0, -1, EINVAL);
  expect(pids, MNT_GET_INFO, (long)&info, -1, EINVAL);
  // Nobody writes to a namespace.
  if (open("/proc/self/ns/mnt", O_RDWR) >= 0 || errno != EPERM) FAIL("open: %s", strerror(errno));
  if (write(to_child[1], "x", 1) != 1) FAIL("write");
  int status;
  if (waitpid(child, &status, 0) != child || status != 0) FAIL("child: %x", status);
  return 0;
}
