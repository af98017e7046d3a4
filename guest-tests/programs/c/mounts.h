// Tests of mounts: a mount namespace of the test's own, and a file system in it.
#ifndef MOUNTS_H
#define MOUNTS_H

#include "check.h"
#include <sched.h>
#include <sys/mount.h>

// Enters a mount namespace from which nothing spreads, and the root of a new tmpfs in it.
UNUSED static const char *enter_own_mounts(void) {
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  const char *base = enter_scratch();
  OK(mount("test", base, "tmpfs", 0, NULL));
  OK(chdir(base));
  return base;
}

#endif
