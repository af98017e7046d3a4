// What process descriptors tell: PIDFD_GET_INFO and the namespaces (`linux/pidfd.h`).
#include "check.h"
#include <sys/ioctl.h>
#include <sys/vfs.h>

struct info {
  uint64_t mask, cgroup;
  uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exit_code;
};

#define GET_INFO _IOWR(0xff, 11, struct info)
#define GET_NAMESPACE(number) _IO(0xff, number)

static const char *const names[] = {"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"};

int main(void) {
  int ends[2];
  OK(pipe(ends));
  pid_t child;
  IN_CHILD(child) {
    char byte;
    OK(setresgid(7, 8, 9));
    OK(setresuid(0, 0, 5));
    OK(write(ends[1], "a", 1));
    OK(close(ends[1]));
    while (read(ends[0], &byte, 1) > 0) {}
    pause();
  }
  int fd = OK(syscall(SYS_pidfd_open, child, 0));
  struct info info;
  do {
    memset(&info, 0, sizeof info);
    info.mask = 3;
    OK(ioctl(fd, GET_INFO, &info));
    sleep_ms(1);
  } while (info.suid != 5);
  CHECK_EQ(info.mask & 3, 3);
  CHECK_EQ(info.pid, child);
  CHECK_EQ(info.tgid, child);
  CHECK_EQ(info.ppid, getpid());
  CHECK_EQ(info.ruid, 0);
  CHECK_EQ(info.rgid, 7);
  CHECK_EQ(info.egid, 8);
  CHECK_EQ(info.sgid, 9);
  CHECK_EQ(info.fsgid, 8);
  CHECK_ERRNO(ioctl(fd, GET_INFO, NULL), EINVAL);
  CHECK_ERRNO(ioctl(fd, _IOWR(0xff, 11, uint64_t), &info), ENOTTY);
  CHECK_ERRNO(ioctl(fd, GET_INFO, wild), EFAULT);
  CHECK_ERRNO(ioctl(fd, GET_NAMESPACE(5), 1), EINVAL);
  for (size_t index = 0; index < COUNT(names); index++) {
    char path[64];
    struct stat there, here;
    snprintf(path, sizeof path, "/proc/%d/ns/%s", child, names[index]);
    if (stat(path, &there) < 0) continue; // A child that has had no child of its own yet.
    int file = OK(ioctl(fd, GET_NAMESPACE(index + 1), 0));
    OK(fstat(file, &here));
    CHECK_EQ(here.st_ino, there.st_ino);
    CHECK_EQ(fcntl(file, F_GETFD), FD_CLOEXEC);
    OK(close(file));
  }
  // All descriptors of a process are one file, of a file system of their own.
  int again = OK(syscall(SYS_pidfd_open, child, 0)), own = OK(syscall(SYS_pidfd_open, getpid(), 0));
  struct stat first, second, other;
  struct statfs system;
  OK(fstat(fd, &first)), OK(fstat(again, &second)), OK(fstat(own, &other));
  CHECK(first.st_ino == second.st_ino && first.st_dev == second.st_dev);
  CHECK(first.st_ino != other.st_ino && first.st_dev == other.st_dev);
  CHECK_EQ(first.st_mode, 0700);
  OK(fstatfs(fd, &system));
  CHECK_EQ(system.f_type, 0x50494446);
  OK(close(again)), OK(close(own));
  OK(kill(child, SIGKILL));
  WAIT_SIGNALED(child, SIGKILL);
  info.mask = 3;
  CHECK_ERRNO(ioctl(fd, GET_INFO, &info), ESRCH);
  CHECK_ERRNO(ioctl(fd, GET_NAMESPACE(2), 0), ESRCH);
  OK(close(fd));
  return 0;
}
