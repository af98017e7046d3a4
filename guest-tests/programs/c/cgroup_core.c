// Control groups without controllers: making and removing, moving, events, freezing, killing, CLONE_INTO_CGROUP.
#include "control_groups.h"
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/xattr.h>

static int has_line(const char *path, const char *line) {
  char padded[sizeof check_content + 2], wanted[128];
  snprintf(padded, sizeof padded, "\n%s", content(path));
  snprintf(wanted, sizeof wanted, "\n%s\n", line);
  return strstr(padded, wanted) != NULL;
}

static void eventually_has(const char *path, const char *line) {
  long long deadline = now_ms() + 5000;
  while (!has_line(path, line)) {
    CHECK_CASE(now_ms() < deadline, "%s: no %s: %.100s", path, line, content(path));
    sleep_ms(5);
  }
}

static pid_t sleeper(void) {
  pid_t pid;
  IN_CHILD(pid) for (;;) pause();
  return pid;
}

static void directories_are_groups(void) {
  struct stat status;
  OK(mkdir("a", 0755));
  OK(stat("a", &status));
  CHECK(S_ISDIR(status.st_mode) && status.st_nlink == 2);
  CHECK_ERRNO(mkdir("a", 0755), EEXIST);
  CHECK_ERRNO(mkdir("line\nbreak", 0755), EINVAL);
  OK(mkdir("a/b", 0755));
  OK(stat("a", &status));
  CHECK_EQ(status.st_nlink, 3);
  CHECK_ERRNO(rmdir("a"), EBUSY);
  CHECK_ERRNO(open("a/new", O_CREAT | O_WRONLY, 0644), EACCES);
  CHECK_ERRNO(unlink("a/cgroup.procs"), EPERM);
  CHECK_ERRNO(rmdir("a/cgroup.procs"), ENOTDIR);
  char byte;
  int kill_file = OK(open("a/cgroup.kill", O_RDWR));
  CHECK_ERRNO(read(kill_file, &byte, 1), EINVAL);
  close(kill_file);
  CHECK_EQ(put("a/cgroup.events", "1"), EINVAL);
  CHECK(has_line("a/cgroup.stat", "nr_descendants 1"));
  CHECK(strcmp(content("a/cgroup.type"), "domain\n") == 0);
  CHECK(strcmp(content("a/cgroup.max.depth"), "max\n") == 0);
  CHECK(strcmp(content("a/cgroup.subtree_control"), "") == 0);
  CHECK_EQ(put("a/cgroup.max.depth", "0x10"), 0);
  CHECK(strcmp(content("a/cgroup.max.depth"), "16\n") == 0);
  CHECK_EQ(put("a/cgroup.max.depth", "max"), 0);
  CHECK_EQ(put("a/cgroup.pressure", "2"), ERANGE);
  CHECK_EQ(put("a/cgroup.max.descendants", "1"), 0);
  CHECK_ERRNO(mkdir("a/c", 0755), EAGAIN);
  CHECK_EQ(put("a/cgroup.max.descendants", "max"), 0);
  CHECK_EQ(put("a/cgroup.max.depth", "1"), 0);
  CHECK_ERRNO(mkdir("a/b/c", 0755), EAGAIN);
  CHECK_EQ(put("a/cgroup.max.depth", "-1"), ERANGE);
  OK(rmdir("a/b"));
  OK(rmdir("a"));
  CHECK_ERRNO(rmdir("a"), ENOENT);
}

static void processes_move(void) {
  OK(mkdir("a", 0755));
  pid_t pid = sleeper();
  CHECK_EQ(put_number("a/cgroup.procs", pid), 0);
  CHECK_EQ(atoi(content("a/cgroup.procs")), pid);
  CHECK_EQ(atoi(content("a/cgroup.threads")), pid);
  CHECK(has_line("a/cgroup.events", "populated 1"));
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
  CHECK(strstr(content(path), "/a\n") != NULL);
  CHECK_ERRNO(rmdir("a"), EBUSY);
  CHECK_EQ(put("a/cgroup.procs", "x"), EINVAL);
  CHECK_EQ(put("a/cgroup.procs", "-1"), EINVAL);
  CHECK_EQ(put("a/cgroup.procs", "4000000"), ESRCH);
  OK(kill(pid, SIGKILL));
  // A zombie does not keep the group.
  eventually_has("a/cgroup.events", "populated 0");
  CHECK_EQ(put_number("a/cgroup.procs", pid), 0);
  CHECK(strcmp(content("a/cgroup.procs"), "") == 0);
  OK(rmdir("a"));
  CHECK(strstr(content(path), "/a (deleted)\n") != NULL);
  WAIT_SIGNALED(pid, SIGKILL);
}

static void children_are_where_their_parent_is(void) {
  OK(mkdir("a", 0755));
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    const char *group = unified_group("/proc/self/cgroup");
    CHECK(strcmp(group + strlen(group) - 2, "/a") == 0);
    pid_t child;
    IN_CHILD(child) {
      const char *own = unified_group("/proc/self/cgroup");
      CHECK(strcmp(own + strlen(own) - 2, "/a") == 0);
    }
    WAIT_OK(child);
  }
  WAIT_OK(pid);
  OK(rmdir("a"));
}

static void *sleep_in_thread(void *number) {
  *(volatile pid_t *)number = syscall(SYS_gettid);
  for (;;) pause();
  return NULL;
}

static void threads_move_with_their_process(void) {
  OK(mkdir("a", 0755));
  OK(mkdir("a/t", 0755));
  volatile pid_t *thread = map_shared(PAGE);
  pid_t pid;
  IN_CHILD(pid) {
    start_thread(sleep_in_thread, (void *)thread);
    for (;;) pause();
  }
  while (*thread == 0) sleep_ms(1);
  CHECK_EQ(put_number("a/cgroup.procs", *thread), 0);
  int lines = 0;
  for (const char *at = content("a/cgroup.threads"); *at; at++) lines += *at == '\n';
  CHECK_EQ(lines, 2);
  CHECK_EQ(atoi(content("a/cgroup.procs")), pid);
  CHECK_EQ(put_number("a/t/cgroup.threads", *thread), EOPNOTSUPP);
  CHECK_EQ(put("a/t/cgroup.type", "nothing"), EINVAL);
  CHECK_EQ(put("a/t/cgroup.type", "threaded"), 0);
  CHECK(strcmp(content("a/t/cgroup.type"), "threaded\n") == 0);
  CHECK(strcmp(content("a/cgroup.type"), "domain threaded\n") == 0);
  CHECK_EQ(put_number("a/t/cgroup.threads", *thread), 0);
  CHECK_EQ(atoi(content("a/t/cgroup.threads")), *thread);
  CHECK_EQ(atoi(content("a/cgroup.threads")), pid);
  char byte;
  int procs = OK(open("a/t/cgroup.procs", O_RDONLY));
  CHECK_ERRNO(read(procs, &byte, 1), EOPNOTSUPP);
  close(procs);
  CHECK_EQ(put("a/t/cgroup.kill", "1"), EOPNOTSUPP);
  CHECK_EQ(put("a/cgroup.kill", "1"), 0);
  WAIT_SIGNALED(pid, SIGKILL);
  OK(rmdir("a/t"));
  OK(rmdir("a"));
}

static void events_are_polled(void) {
  OK(mkdir("a", 0755));
  char text[256];
  int events = OK(open("a/cgroup.events", O_RDONLY));
  OK(read(events, text, sizeof text));
  struct pollfd polled = {events, POLLPRI, 0};
  CHECK_EQ(poll(&polled, 1, 0), 0);
  pid_t pid = sleeper();
  CHECK_EQ(put_number("a/cgroup.procs", pid), 0);
  CHECK_EQ(poll(&polled, 1, 5000), 1);
  CHECK_EQ(polled.revents & POLLPRI, POLLPRI);
  OK(lseek(events, 0, SEEK_SET));
  OK(read(events, text, sizeof text));
  CHECK(strncmp(text, "populated 1\n", 12) == 0);
  CHECK_EQ(poll(&polled, 1, 0), 0);
  OK(kill(pid, SIGKILL));
  CHECK_EQ(poll(&polled, 1, 5000), 1);
  close(events);
  WAIT_SIGNALED(pid, SIGKILL);
  OK(rmdir("a"));
}

static void frozen_groups_stand_still(void) {
  OK(mkdir("a", 0755));
  OK(mkdir("a/b", 0755));
  volatile long *counter = map_shared(PAGE);
  pid_t pid;
  IN_CHILD(pid) for (;;) ++*counter;
  CHECK_EQ(put_number("a/b/cgroup.procs", pid), 0);
  CHECK_EQ(put("a/cgroup.freeze", "2"), ERANGE);
  CHECK_EQ(put("a/cgroup.freeze", "1"), 0);
  eventually_has("a/cgroup.events", "frozen 1");
  CHECK(has_line("a/b/cgroup.events", "frozen 1"));
  CHECK(strcmp(content("a/b/cgroup.freeze"), "0\n") == 0);
  long before = *counter;
  sleep_ms(50);
  CHECK_EQ(*counter, before);
  CHECK_EQ(put("a/cgroup.freeze", "0"), 0);
  long long deadline = now_ms() + 5000;
  while (*counter == before) CHECK(now_ms() < deadline);
  CHECK(has_line("a/cgroup.events", "frozen 0"));
  // The frozen can be killed.
  CHECK_EQ(put("a/cgroup.freeze", "1"), 0);
  eventually_has("a/cgroup.events", "frozen 1");
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
  // A process that comes freezes, one that leaves goes on.
  pid_t sleeping = sleeper();
  CHECK_EQ(put_number("a/b/cgroup.procs", sleeping), 0);
  eventually_has("a/cgroup.events", "frozen 1");
  CHECK_EQ(put_number("cgroup.procs", sleeping), 0);
  OK(kill(sleeping, SIGTERM));
  WAIT_SIGNALED(sleeping, SIGTERM);
  OK(rmdir("a/b"));
  OK(rmdir("a"));
}

static void a_frozen_sleep_goes_on_after_the_thaw(void) {
  OK(mkdir("a", 0755));
  pid_t pid;
  IN_CHILD(pid) {
    struct timespec rest = {0, 200 * 1000000};
    OK(nanosleep(&rest, NULL));
    int pipes[2];
    OK(pipe(pipes));
    struct pollfd polled = {pipes[0], POLLIN, 0};
    CHECK_EQ(poll(&polled, 1, 50), 0);
  }
  CHECK_EQ(put_number("a/cgroup.procs", pid), 0);
  CHECK_EQ(put("a/cgroup.freeze", "1"), 0);
  eventually_has("a/cgroup.events", "frozen 1");
  sleep_ms(20);
  CHECK_EQ(put("a/cgroup.freeze", "0"), 0);
  WAIT_OK(pid);
  OK(rmdir("a"));
}

static void a_kill_reaches_the_whole_tree(void) {
  OK(mkdir("a", 0755));
  OK(mkdir("a/b", 0755));
  pid_t pids[2] = {sleeper(), sleeper()};
  CHECK_EQ(put_number("a/cgroup.procs", pids[0]), 0);
  CHECK_EQ(put_number("a/b/cgroup.procs", pids[1]), 0);
  CHECK_EQ(put("a/cgroup.kill", "0"), ERANGE);
  CHECK_EQ(put("a/cgroup.kill", "1"), 0);
  for (int i = 0; i < 2; i++) WAIT_SIGNALED(pids[i], SIGKILL);
  OK(rmdir("a/b"));
  OK(rmdir("a"));
}

static void clone_goes_straight_into_a_group(void) {
  OK(mkdir("a", 0755));
  int directory = OK(open("a", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct clone_args arguments = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = directory};
  fflush(NULL);
  pid_t pid = OK(syscall(SYS_clone3, &arguments, sizeof arguments));
  if (pid == 0) {
    const char *group = unified_group("/proc/self/cgroup");
    _exit(strcmp(group + strlen(group) - 2, "/a") == 0 ? 0 : 1);
  }
  WAIT_OK(pid);
  int wrong = OK(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  arguments.cgroup = wrong;
  CHECK_ERRNO(syscall(SYS_clone3, &arguments, sizeof arguments), EBADF);
  arguments.cgroup = 12345;
  CHECK_ERRNO(syscall(SYS_clone3, &arguments, sizeof arguments), EBADF);
  arguments.cgroup = 1LL << 40;
  CHECK_ERRNO(syscall(SYS_clone3, &arguments, sizeof arguments), EINVAL);
  OK(rmdir("a"));
  arguments.cgroup = directory;
  CHECK_ERRNO(syscall(SYS_clone3, &arguments, sizeof arguments), ENOENT);
}

static void a_removed_group_is_gone_for_open_files(void) {
  OK(mkdir("a", 0755));
  char byte;
  int procs = OK(open("a/cgroup.procs", O_RDWR));
  int directory = OK(open("a", O_RDONLY | O_DIRECTORY));
  OK(rmdir("a"));
  CHECK_ERRNO(mkdirat(directory, "b", 0755), ENOENT);
  CHECK_ERRNO(openat(directory, "cgroup.procs", O_RDONLY), ENOENT);
  char entries[1024];
  CHECK_ERRNO(syscall(SYS_getdents64, directory, entries, sizeof entries), ENOENT);
  close(directory);
  CHECK_ERRNO(read(procs, &byte, 1), ENODEV);
  CHECK_ERRNO(write(procs, "0", 1), ENODEV);
  close(procs);
}

static void a_delegate_moves_only_what_is_his(void) {
  OK(mkdir("a", 0755));
  OK(mkdir("a/b", 0755));
  OK(chown("a", 1000, 1000));
  OK(chown("a/cgroup.procs", 1000, 1000));
  OK(chown("a/b/cgroup.procs", 1000, 1000));
  pid_t inside = sleeper(), outside = sleeper();
  CHECK_EQ(put_number("a/cgroup.procs", inside), 0);
  pid_t pid;
  IN_CHILD(pid) {
    OK(setgid(1000));
    OK(setuid(1000));
    CHECK_EQ(put_number("a/b/cgroup.procs", inside), 0);
    CHECK_EQ(put_number("a/b/cgroup.procs", outside), EACCES);
    OK(mkdir("a/own", 0755));
    OK(rmdir("a/own"));
    CHECK_ERRNO(mkdir("mine", 0755), EACCES);
  }
  WAIT_OK(pid);
  OK(kill(outside, SIGKILL));
  WAIT_SIGNALED(outside, SIGKILL);
  CHECK_EQ(put("a/cgroup.kill", "1"), 0);
  WAIT_SIGNALED(inside, SIGKILL);
  OK(rmdir("a/b"));
  OK(rmdir("a"));
}

static void groups_are_marked_by_attributes(void) {
  char value[16], names[128];
  static char much[5000];
  OK(mkdir("a", 0755));
  for (int i = 0; i < 2; i++) {
    const char *path = i == 0 ? "a" : "a/cgroup.procs";
    OK(setxattr(path, "user.delegate", "1", 1, XATTR_CREATE));
    CHECK_ERRNO(setxattr(path, "user.delegate", "1", 1, XATTR_CREATE), EEXIST);
    CHECK_EQ(getxattr(path, "user.delegate", value, sizeof value), 1);
    OK(setxattr(path, "trusted.invocation_id", "abc", 3, 0));
    CHECK_EQ(listxattr(path, names, sizeof names), sizeof "user.delegate" + sizeof "trusted.invocation_id");
    CHECK_ERRNO(setxattr(path, "system.it", "1", 1, 0), EOPNOTSUPP);
    OK(removexattr(path, "user.delegate"));
    CHECK_ERRNO(getxattr(path, "user.delegate", value, sizeof value), ENODATA);
    CHECK_ERRNO(removexattr(path, "user.delegate"), ENODATA);
    CHECK_ERRNO(setxattr(path, "user.delegate", "1", 1, XATTR_REPLACE), ENODATA);
  }
  int error = 0;
  char name[32];
  for (int i = 0; i < 200 && error == 0; i++) {
    snprintf(name, sizeof name, "user.%d", i);
    error = setxattr("a", name, much, sizeof much, 0) < 0 ? errno : 0;
  }
  CHECK_EQ(error, ENOSPC);
  OK(rmdir("a"));
}

static void pressure_is_told_and_takes_a_trigger(void) {
  OK(mkdir("a", 0755));
  if (access("a/memory.pressure", F_OK) == 0) {
    CHECK(strncmp(content("a/memory.pressure"), "some avg10=", 11) == 0);
    int file = OK(open("a/memory.pressure", O_RDWR | O_NONBLOCK));
    struct pollfd entry = {.fd = file, .events = POLLPRI};
    CHECK_ERRNO(write(file, "some 0 2000000\n", 15), EINVAL);
    CHECK_EQ(write(file, "some 1900000 2000000\n", 21), 21);
    CHECK_EQ(poll(&entry, 1, 0), 0);
    CHECK_ERRNO(write(file, "some 1900000 2000000\n", 21), EBUSY);
    OK(close(file));
  }
  OK(rmdir("a"));
}

int main(void) {
  const char *scratch = enter_scratch();
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  OK(mount("cgroup2", scratch, "cgroup2", 0, NULL));
  OK(chdir(scratch));
  char own[64];
  snprintf(own, sizeof own, "guest-test-%d", getpid());
  OK(mkdir(own, 0755));
  OK(chdir(own));
  directories_are_groups();
  processes_move();
  children_are_where_their_parent_is();
  threads_move_with_their_process();
  events_are_polled();
  frozen_groups_stand_still();
  a_frozen_sleep_goes_on_after_the_thaw();
  a_kill_reaches_the_whole_tree();
  clone_goes_straight_into_a_group();
  a_removed_group_is_gone_for_open_files();
  a_delegate_moves_only_what_is_his();
  groups_are_marked_by_attributes();
  pressure_is_told_and_takes_a_trigger();
  OK(chdir(".."));
  OK(rmdir(own));
  OK(chdir("/"));
  OK(umount2(scratch, MNT_DETACH));
  return 0;
}
