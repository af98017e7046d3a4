// /proc/sys/user: namespaces are counted for each user of each user namespace, and for who made the namespaces around; how
// maps are written.
#include "check.h"
#include <sched.h>
#include <sys/prctl.h>
#include <sys/uio.h>

static int write_text(const char *path, const char *text) {
  int file = OK(open(path, O_WRONLY | O_CLOEXEC));
  int error = write(file, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : errno;
  close(file);
  return error;
}

// Enters a user namespace with the users and groups 0 to 9 of the one around.
static void enter_namespace(void) {
  int go[2], done[2];
  OK(pipe(go));
  OK(pipe(done));
  pid_t self = getpid(), helper;
  char byte = 0;
  IN_CHILD(helper) {
    CHECK_EQ(read(go[0], &byte, 1), 1);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/uid_map", self);
    CHECK_EQ(write_text(path, "0 0 10"), 0);
    snprintf(path, sizeof path, "/proc/%d/gid_map", self);
    CHECK_EQ(write_text(path, "0 0 10"), 0);
    CHECK_EQ(write(done[1], &byte, 1), 1);
    _exit(0);
  }
  OK(unshare(CLONE_NEWUSER));
  CHECK_EQ(write(go[1], &byte, 1), 1);
  CHECK_EQ(read(done[0], &byte, 1), 1);
  WAIT_EXIT(helper, 0);
}

// Becomes another user and keeps every capability.
static void become(uid_t user) {
  OK(prctl(PR_SET_SECUREBITS, 1 << 2));
  OK(setresuid(user, user, user));
}

// A task that makes namespaces and stays, until its pipe is closed. Its result is told first.
static int stay(uid_t user, int flags, int keep) {
  int told[2];
  OK(pipe(told));
  if (OK(fork()) == 0) {
    close(told[0]);
    become(user);
    int error = unshare(flags) == 0 ? 0 : errno;
    CHECK_EQ(write(told[1], &error, sizeof error), sizeof error);
    close(told[1]);
    char byte;
    _exit(error == 0 && read(keep, &byte, 1) == 1);
  }
  close(told[1]);
  int error = -1;
  CHECK_EQ(read(told[0], &error, sizeof error), sizeof error);
  close(told[0]);
  return error;
}

static void limits(void) {
  pid_t pid;
  IN_CHILD(pid) {
    enter_namespace();
    int keep[2];
    OK(pipe(keep));
    CHECK_EQ(write_text("/proc/sys/user/max_uts_namespaces", "2"), 0);
    CHECK_EQ(stay(0, CLONE_NEWUTS, keep[0]), 0);
    CHECK_EQ(stay(0, CLONE_NEWUTS, keep[0]), 0);
    CHECK_EQ(stay(0, CLONE_NEWUTS, keep[0]), ENOSPC);
    // Other kinds and other users have their own.
    CHECK_EQ(stay(0, CLONE_NEWIPC, keep[0]), 0);
    CHECK_EQ(stay(1, CLONE_NEWUTS, keep[0]), 0);
    // In a user namespace within, both count for who made that.
    CHECK_EQ(stay(1, CLONE_NEWUSER | CLONE_NEWUTS, keep[0]), 0);
    CHECK_EQ(stay(1, CLONE_NEWUSER | CLONE_NEWUTS, keep[0]), ENOSPC);
    CHECK_EQ(stay(1, CLONE_NEWUTS, keep[0]), ENOSPC);
    CHECK_EQ(stay(1, CLONE_NEWUSER, keep[0]), 0);
    CHECK_EQ(stay(2, CLONE_NEWUSER | CLONE_NEWUTS, keep[0]), 0);
    CHECK_EQ(write_text("/proc/sys/user/max_user_namespaces", "2"), 0);
    CHECK_EQ(stay(1, CLONE_NEWUSER, keep[0]), ENOSPC);
    CHECK_EQ(stay(2, CLONE_NEWUSER, keep[0]), 0);
    // With their tasks they end, and there is room again.
    char bytes[16] = {0};
    OK(write(keep[1], bytes, 8));
    int left = 0;
    while (wait(NULL) > 0) left++;
    CHECK(left > 8);
    CHECK_EQ(stay(0, CLONE_NEWUTS, keep[0]), 0);
    OK(write(keep[1], bytes, 1));
    OK(wait(NULL));
    _exit(0);
  }
  WAIT_EXIT(pid, 0);
}

static void writes_of_maps(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWUSER));
    int map = OK(open("/proc/self/uid_map", O_RDWR)), setgroups = OK(open("/proc/self/setgroups", O_RDWR));
    CHECK_ERRNO(pwrite(map, "0 0 1", 5, 0), ESPIPE);
    CHECK_ERRNO(pwrite(map, "0 0 1", 5, 1), ESPIPE);
    CHECK_ERRNO(lseek(map, 0, SEEK_END), EINVAL);
    CHECK_EQ(lseek(map, 3, SEEK_SET), 3);
    CHECK_ERRNO(write(map, "0 0 1", 5), EINVAL);
    CHECK_EQ(lseek(map, 0, SEEK_SET), 0);
    // Each buffer is a write of its own.
    struct iovec lines[2] = {{"0 0 1\n", 6}, {"1 1 1\n", 6}};
    CHECK_EQ(writev(map, lines, 2), 6);
    CHECK_EQ(lseek(map, 0, SEEK_CUR), 6);
    CHECK_ERRNO(write(map, "0 0 1", 5), EINVAL);
    CHECK_EQ(lseek(map, 0, SEEK_SET), 0);
    CHECK_ERRNO(write(map, "0 0 1", 5), EPERM);
    char text[64];
    CHECK_EQ(pread(map, text, sizeof text, 0), 33);
    struct iovec parts[2] = {{"de", 2}, {"ny", 2}};
    CHECK_ERRNO(writev(setgroups, parts, 2), EINVAL);
    CHECK_ERRNO(pwrite(setgroups, "deny", 4, 0), ESPIPE);
    CHECK_EQ(write(setgroups, "deny", 4), 4);
    CHECK_ERRNO(write(setgroups, "deny", 4), EINVAL);
    _exit(0);
  }
  WAIT_EXIT(pid, 0);
}

int main(void) {
  limits();
  writes_of_maps();
  return 0;
}
