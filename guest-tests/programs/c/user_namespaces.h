// User namespaces: becoming a user, writing maps, and children that stay inside until they are let go.
#ifndef USER_NAMESPACES_H
#define USER_NAMESPACES_H

#include "check.h"
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>

#define USER 1000
#define NOBODY 65534

UNUSED static void become(uid_t user) {
  OK(setgroups(0, NULL));
  OK(setresgid(user, user, user));
  OK(setresuid(user, user, user));
  // Other processes of the user may look into it: its files in /proc stay its own.
  OK(prctl(PR_SET_DUMPABLE, 1));
}

// The errno of a write to a file as a whole, at an offset; 0 if it succeeds.
UNUSED static int write_at(const char *path, const char *text, size_t length, off_t offset) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno;
  OK(lseek(file, offset, SEEK_SET));
  ssize_t written = write(file, text, length);
  int error = written == (ssize_t)length ? 0 : errno;
  OK(close(file));
  return error;
}

UNUSED static int write_text(const char *path, const char *text) { return write_at(path, text, strlen(text), 0); }

UNUSED static const char *map_of(pid_t pid, const char *name) {
  static char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  return path;
}

// Enters a new user namespace whose maps a process outside writes.
UNUSED static void unshare_with_maps(const char *users, const char *groups) {
  int go[2];
  OK(pipe2(go, O_CLOEXEC));
  pid_t target = getpid(), helper;
  IN_CHILD(helper) {
    char byte;
    OK(read(go[0], &byte, 1));
    CHECK_EQ(write_text(map_of(target, "uid_map"), users), 0);
    CHECK_EQ(write_text(map_of(target, "gid_map"), groups), 0);
  }
  OK(unshare(CLONE_NEWUSER));
  OK(write(go[1], "", 1));
  WAIT_OK(helper);
  OK(close(go[0]));
  OK(close(go[1]));
}

// A child that has done `enter` and stays until the descriptor `release` is closed.
UNUSED static pid_t start_inside(void (*enter)(void), int *release) {
  int ready[2], end[2];
  OK(pipe2(ready, O_CLOEXEC));
  OK(pipe2(end, O_CLOEXEC));
  pid_t pid;
  IN_CHILD(pid) {
    char byte;
    OK(close(end[1]));
    enter();
    OK(write(ready[1], "", 1));
    CHECK_EQ(read(end[0], &byte, 1), 0);
  }
  char byte;
  OK(close(ready[1]));
  CHECK_EQ(read(ready[0], &byte, 1), 1);
  OK(close(ready[0]));
  OK(close(end[0]));
  *release = end[1];
  return pid;
}

#endif
