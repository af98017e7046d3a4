// What files of procfs answer to who writes, truncates, seeks, waits for changes, or asks of what has gone.

#include "check.h"
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>

static char place[64];

static int open_at(const char *format, int number, int flags) {
  snprintf(place, sizeof place, format, number);
  return (int)OK(open(place, flags));
}

// Who may do everything opens what nobody can write to, and every write fails.
static void read_only_files(void) {
  static const struct { const char *path; int error; } files[] = {
      {"/proc/cpuinfo", EIO}, {"/proc/version", EIO}, {"/proc/filesystems", EIO},
      {"/proc/self/maps", EINVAL}, {"/proc/self/status", EINVAL}, {"/proc/self/mountinfo", EINVAL},
  };
  for (size_t i = 0; i < COUNT(files); i++) {
    int file = (int)OK(open(files[i].path, O_WRONLY | O_TRUNC));
    errno = 0;
    CHECK_CASE(write(file, "x", 1) == -1 && errno == files[i].error, "%s", files[i].path);
    OK(close(file));
    OK(truncate(files[i].path, 3));
  }
  // Settings that are fixed are so for everybody.
  CHECK_ERRNO(open("/proc/sys/kernel/ostype", O_WRONLY), EACCES);
  CHECK_ERRNO(access("/proc/sys/kernel/ostype", W_OK), EACCES);
  CHECK_ERRNO(truncate("/proc/sys/kernel/ostype", 0), EACCES);
  int memory = (int)OK(open("/proc/self/mem", O_RDONLY));
  CHECK_ERRNO(lseek(memory, 0, SEEK_END), EINVAL);
  OK(close(memory));
}

static int next_event(int epoll, int timeout_ms) {
  struct epoll_event event = {0};
  return OK(epoll_wait(epoll, &event, 1, timeout_ms)) == 0 ? 0 : (int)event.events;
}

static int watch(const char *path) {
  int epoll = (int)OK(epoll_create1(EPOLL_CLOEXEC)), file = (int)OK(open(path, O_RDONLY));
  struct epoll_event event = {.events = EPOLLPRI | EPOLLERR};
  OK(epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event));
  CHECK_EQ(next_event(epoll, 0), 0);
  return epoll;
}

// Each change is told of once, to each who waits.
static void names_that_change(void) {
  OK(unshare(CLONE_NEWUTS));
  int host = watch("/proc/sys/kernel/hostname"), other = watch("/proc/sys/kernel/hostname");
  int domain = watch("/proc/sys/kernel/domainname");
  OK(sethostname("first", 5));
  CHECK_EQ(next_event(host, 5000), EPOLLPRI | EPOLLERR);
  CHECK_EQ(next_event(other, 5000), EPOLLPRI | EPOLLERR);
  CHECK_EQ(next_event(host, 0), 0);
  CHECK_EQ(next_event(domain, 0), 0);
  OK(setdomainname("second", 6));
  CHECK_EQ(next_event(domain, 5000), EPOLLPRI | EPOLLERR);
  CHECK_EQ(next_event(host, 0), 0);
  int file = (int)OK(open("/proc/sys/kernel/hostname", O_WRONLY));
  CHECK_EQ(write(file, "third", 5), 5);
  OK(close(file));
  CHECK_EQ(next_event(host, 5000), EPOLLPRI | EPOLLERR);
}

static void mounts_that_change(void) {
  OK(unshare(CLONE_NEWNS));
  OK(mount("none", "/", NULL, MS_PRIVATE | MS_REC, NULL));
  char directory[] = "/tmp/answersXXXXXX";
  CHECK(mkdtemp(directory) != NULL);
  int epoll = watch("/proc/self/mountinfo");
  OK(mount("none", directory, "tmpfs", 0, NULL));
  CHECK_EQ(next_event(epoll, 5000), EPOLLPRI | EPOLLERR);
  CHECK_EQ(next_event(epoll, 0), 0);
  OK(mount("none", directory, NULL, MS_REMOUNT | MS_RDONLY, NULL));
  CHECK_EQ(next_event(epoll, 5000), EPOLLPRI | EPOLLERR);
  OK(mount("none", directory, NULL, MS_SHARED, NULL));
  CHECK_EQ(next_event(epoll, 0), 0);
  OK(umount(directory));
  CHECK_EQ(next_event(epoll, 5000), EPOLLPRI | EPOLLERR);
  CHECK_EQ(next_event(epoll, 0), 0);
  OK(rmdir(directory));
}

// The directories of a process outlive it, empty.
static void directories_of_the_dead(void) {
  int ends[2];
  OK(pipe(ends));
  pid_t child = (pid_t)OK(fork());
  if (child == 0) {
    close(ends[1]);
    char byte;
    _exit((int)read(ends[0], &byte, 1));
  }
  int own = open_at("/proc/%d", child, O_RDONLY | O_DIRECTORY);
  int tasks = open_at("/proc/%d/task", child, O_RDONLY | O_DIRECTORY);
  int attributes = open_at("/proc/%d/attr", child, O_RDONLY | O_DIRECTORY);
  OK(close(ends[1]));
  WAIT_OK(child);
  char entries[1024];
  CHECK_ERRNO(syscall(SYS_getdents64, own, entries, sizeof entries), ENOENT);
  CHECK_ERRNO(syscall(SYS_getdents64, tasks, entries, sizeof entries), ENOENT);
  CHECK_ERRNO(syscall(SYS_getdents64, attributes, entries, sizeof entries), ENOENT);
  struct stat status;
  CHECK_ERRNO(fstatat(own, "stat", &status, 0), ESRCH);
  CHECK_ERRNO(openat(own, "fd/0", O_RDONLY), ESRCH);
  CHECK_ERRNO(readlinkat(own, "exe", entries, sizeof entries), ESRCH);
  OK(close(own));
  OK(close(tasks));
  OK(close(attributes));
  OK(close(ends[0]));
}

static uid_t owner_of(const char *path) {
  struct stat status;
  OK(stat(path, &status));
  return status.st_uid;
}

// Who may not be dumped keeps the directories that everybody may look into; the rest is root's.
static void owners_of_the_undumpable(void) {
  pid_t child;
  IN_CHILD(child) {
    OK(setuid(1000));
    OK(prctl(PR_SET_DUMPABLE, 0));
    CHECK_EQ(owner_of("/proc/self/"), 1000);
    CHECK_EQ(owner_of("/proc/self/task"), 1000);
    CHECK_EQ(owner_of("/proc/self/net"), 1000);
    CHECK_EQ(owner_of("/proc/self/stat"), 0);
    CHECK_EQ(owner_of("/proc/self/fd"), 0);
    CHECK_EQ(owner_of("/proc/self/ns"), 0);
  }
  WAIT_OK(child);
}

int main(void) {
  read_only_files();
  directories_of_the_dead();
  owners_of_the_undumpable();
  names_that_change();
  mounts_that_change();
  return 0;
}
