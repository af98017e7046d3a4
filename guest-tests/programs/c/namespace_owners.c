// User namespaces and what they own: who may change and enter what, what is out of sight, how deep they nest.
#include "check.h"
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>

static int open_namespace(const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/ns/%s", name);
  return OK(open(path, O_RDONLY | O_CLOEXEC));
}

static ino_t number_of(int file) {
  struct stat status;
  OK(fstat(file, &status));
  return status.st_ino;
}

static int ioctl_file(int file, unsigned long request) {
  int result = ioctl(file, request);
  CHECK(result >= 0);
  return result;
}

// A new user namespace in which the caller is root.
static int enter_new_user_namespace(void) {
  if (unshare(CLONE_NEWUSER) != 0) return -1;
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/gid_map", "0 0 1");
  write_file("/proc/self/uid_map", "0 0 1");
  return 0;
}

static void owners_are_told(void) {
  pid_t pid;
  IN_CHILD(pid) {
    ino_t outer = number_of(open_namespace("user"));
    OK(enter_new_user_namespace());
    OK(unshare(CLONE_NEWUTS));
    int uts = open_namespace("uts"), own = open_namespace("user"), ipc = open_namespace("ipc");
    CHECK_EQ(number_of(ioctl_file(uts, NS_GET_USERNS)), number_of(own));
    CHECK(number_of(own) != outer);
    uid_t owner = 77;
    OK(ioctl(own, NS_GET_OWNER_UID, &owner));
    CHECK_EQ(owner, 0);
    CHECK_ERRNO(ioctl(uts, NS_GET_OWNER_UID, &owner), EINVAL);
    // What is around is out of sight.
    CHECK_ERRNO(ioctl(own, NS_GET_PARENT), EPERM);
    CHECK_ERRNO(ioctl(ipc, NS_GET_USERNS), EPERM);
    OK(enter_new_user_namespace());
    int inner = open_namespace("user");
    // From inside the second, the first is around it.
    CHECK_ERRNO(ioctl(inner, NS_GET_PARENT), EPERM);
    CHECK_ERRNO(ioctl(uts, NS_GET_USERNS), EPERM);
  }
  WAIT_OK(pid);
}

static void what_is_owned_may_be_changed(void) {
  pid_t pid;
  IN_CHILD(pid) {
    int before = open_namespace("ipc");
    OK(enter_new_user_namespace());
    OK(unshare(CLONE_NEWUTS));
    int uts = open_namespace("uts"), own = open_namespace("user");
    CHECK_ERRNO(setns(own, CLONE_NEWUSER), EINVAL);
    CHECK_ERRNO(setns(before, CLONE_NEWIPC), EPERM);
    OK(sethostname("mine", 4));
    OK(unshare(CLONE_NEWIPC));
    OK(enter_new_user_namespace());
    CHECK_ERRNO(sethostname("not mine", 8), EPERM);
    CHECK_ERRNO(setns(uts, CLONE_NEWUTS), EPERM);
    CHECK_ERRNO(setns(own, CLONE_NEWUSER), EPERM);
  }
  WAIT_OK(pid);
}

// Whoever made a namespace may enter it from the one around.
static void a_namespace_is_entered_from_around_it(void) {
  int to_child[2], to_parent[2];
  OK(pipe(to_child));
  OK(pipe(to_parent));
  char byte;
  pid_t pid = check_fork(__FILE__, __LINE__);
  if (pid == 0) {
    OK(enter_new_user_namespace());
    OK(unshare(CLONE_NEWUTS));
    OK(sethostname("inner", 5));
    CHECK_EQ(write(to_parent[1], "", 1), 1);
    CHECK_EQ(read(to_child[0], &byte, 1), 1);
    _exit(0);
  }
  CHECK_EQ(read(to_parent[0], &byte, 1), 1);
  int pidfd = OK(syscall(SYS_pidfd_open, pid, 0));
  pid_t visitor;
  IN_CHILD(visitor) {
    OK(setns(pidfd, CLONE_NEWUSER | CLONE_NEWUTS));
    char name[65];
    OK(gethostname(name, sizeof name));
    CHECK(strcmp(name, "inner") == 0);
    CHECK_EQ(getuid(), 0);
    OK(sethostname("visited", 7));
  }
  WAIT_OK(visitor);
  CHECK_EQ(write(to_child[1], "", 1), 1);
  WAIT_OK(pid);
}

static void they_do_not_nest_for_ever(void) {
  pid_t pid;
  IN_CHILD(pid) {
    int depth = 0;
    while (enter_new_user_namespace() == 0) depth++;
    CHECK_EQ(errno, ENOSPC);
    CHECK_CASE(depth > 20 && depth <= 33, "%d", depth);
  }
  WAIT_OK(pid);
}

int main(void) {
  owners_are_told();
  what_is_owned_may_be_changed();
  a_namespace_is_entered_from_around_it();
  they_do_not_nest_for_ever();
  return 0;
}
