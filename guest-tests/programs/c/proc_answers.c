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

// Texts are sequence files: only read(2) and write(2) at their position, which is none from the end.
static void sequences(void) {
  static const char *const texts[] = {"/proc/cpuinfo", "/proc/uptime", "/proc/self/maps", "/proc/self/mountinfo", "/proc/self/comm",
                                      "/proc/self/timerslack_ns", "/proc/net/tcp"};
  for (size_t i = 0; i < COUNT(texts); i++) {
    int file = (int)OK(open(texts[i], O_RDONLY));
    CHECK_CASE(pwrite(file, "x", 1, 0) == -1 && errno == ESPIPE, "%s", texts[i]);
    CHECK_CASE(lseek(file, 0, SEEK_END) == -1 && errno == EINVAL, "%s", texts[i]);
    CHECK_CASE(lseek(file, 0, SEEK_DATA) == -1 && errno == EINVAL, "%s", texts[i]);
    OK(close(file));
  }
  int file = (int)OK(open("/proc/self/comm", O_WRONLY));
  CHECK_ERRNO(pwrite(file, "x", 1, 0), ESPIPE);
  OK(close(file));
  static const char *const others[] = {"/proc/self/cmdline", "/proc/self/environ", "/proc/self/auxv", "/proc/self/sessionid",
                                       "/proc/self/oom_score_adj", "/proc/sys/kernel/pid_max", "/proc/sys/kernel/ostype"};
  for (size_t i = 0; i < COUNT(others); i++) {
    int other = (int)OK(open(others[i], O_RDONLY));
    CHECK_CASE(pwrite(other, "x", 1, 0) == -1 && errno == EBADF, "%s", others[i]);
    CHECK_CASE(lseek(other, 0, SEEK_END) == 0, "%s", others[i]);
    CHECK_CASE(lseek(other, 0, SEEK_DATA) == -1 && errno == ENXIO, "%s", others[i]);
    OK(close(other));
  }
}

// The system's files are root's to change; those of processes are always their user's, and their directories nobody's.
static void attributes(void) {
  OK(chmod("/proc/cpuinfo", 0444));
  OK(chown("/proc/cpuinfo", 0, 0));
  OK(chown("/proc/tty", 0, 0));
  CHECK_ERRNO(chmod("/proc/sys/kernel/pid_max", 0644), EPERM);
  CHECK_ERRNO(chown("/proc/sys/kernel/pid_max", 0, 0), EPERM);
  OK(chown("/proc/sys/kernel/pid_max", -1, -1));
  CHECK_ERRNO(chown("/proc/sys/kernel", 0, 0), EPERM);
  CHECK_ERRNO(chmod("/proc/self/maps", 0444), EPERM);
  OK(chown("/proc/self/status", 7, 7));
  CHECK_EQ(owner_of("/proc/self/status"), 0);
  OK(chown("/proc/self/fd", 7, 7));
  CHECK_EQ(owner_of("/proc/self/fd"), 0);
  CHECK_ERRNO(chown("/proc/self/", 0, 0), EPERM);
  CHECK_ERRNO(chmod("/proc/self/", 0555), EPERM);
  CHECK_ERRNO(access("/proc/self/", W_OK), EPERM);
  CHECK_ERRNO(access("/proc/thread-self/", W_OK), EPERM);
  CHECK_ERRNO(unlink("/proc/self/maps"), EPERM);
  OK(chown("/proc/self/", -1, -1));
}

static void check_names(void) {
  CHECK_ERRNO(link("/proc/self/comm", "/proc/new"), ENOENT);
  CHECK_ERRNO(link("/etc/passwd", "/proc/self/new"), ENOENT);
  CHECK_ERRNO(link("/etc/passwd", "/proc/version"), EEXIST);
  CHECK_ERRNO(mkdir("/proc/sys/kernel/new", 0755), ENOENT);
  CHECK_ERRNO(mknod("/proc/self/net/new", S_IFREG, 0), ENOENT);
  CHECK_ERRNO(symlink("text", "/proc/tty/new"), ENOENT);
  CHECK_ERRNO(rename("/proc/version", "/proc/new"), ENOENT);
  CHECK_ERRNO(open("/proc/self/task/new", O_CREAT | O_RDWR, 0600), ENOENT);
}

// A name that is not there is what everybody hears of first.
static void names_to_be_made(void) {
  check_names();
  pid_t child;
  IN_CHILD(child) {
    OK(setuid(1000));
    check_names();
  }
  WAIT_OK(child);
}

static void tables_of_a_network(void) {
  CHECK_ERRNO(open("/proc/net/tcp", O_WRONLY), EACCES);
  CHECK_ERRNO(open("/proc/net/dev", O_RDWR), EACCES);
  OK(access("/proc/net/tcp", W_OK));
  static const struct { const char *path; int error; } files[] = {
      {"/proc/net/snmp", EACCES}, {"/proc/net/sockstat", EACCES}, {"/proc/net/psched", EIO}, {"/proc/net/softnet_stat", EIO}};
  for (size_t i = 0; i < COUNT(files); i++) {
    int file = (int)OK(open(files[i].path, O_WRONLY));
    CHECK_CASE(write(file, "x", 1) == -1 && errno == files[i].error, "%s", files[i].path);
    OK(close(file));
  }
}

// One line for each processor, whose number is the 13th figure.
static void packets_by_processor(void) {
  FILE *file = fopen("/proc/net/softnet_stat", "r");
  CHECK(file != NULL);
  char line[256];
  long lines = 0;
  for (; fgets(line, sizeof line, file) != NULL; lines++) {
    CHECK_EQ(strlen(line), 15 * 9);
    CHECK_EQ(strtol(line + 12 * 9, NULL, 16), lines);
  }
  CHECK_EQ(lines, sysconf(_SC_NPROCESSORS_ONLN));
  OK(fclose(file));
}

// Who has ended has no network any more.
static void network_of_a_zombie(void) {
  pid_t child = (pid_t)OK(fork());
  if (child == 0) _exit(0);
  siginfo_t info;
  OK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
  int directory = open_at("/proc/%d/net", child, O_RDONLY | O_DIRECTORY);
  struct stat status;
  CHECK_ERRNO(fstatat(directory, "tcp", &status, 0), ENOENT);
  char entries[1024];
  CHECK_ERRNO(syscall(SYS_getdents64, directory, entries, sizeof entries), EINVAL);
  OK(close(directory));
  WAIT_OK(child);
}

int main(void) {
  read_only_files();
  sequences();
  attributes();
  names_to_be_made();
  tables_of_a_network();
  packets_by_processor();
  network_of_a_zombie();
  directories_of_the_dead();
  owners_of_the_undumpable();
  names_that_change();
  mounts_that_change();
  return 0;
}
