// renameat2(2): whiteouts, flags that exclude each other, and which of several errors is told.
#include "check.h"
#include <sched.h>
#include <sys/mount.h>

#ifndef RENAME_WHITEOUT
#define RENAME_WHITEOUT 4
#endif

static int rename2(int old_directory, const char *old, int new_directory, const char *new, unsigned flags) {
  return syscall(SYS_renameat2, old_directory, old, new_directory, new, flags);
}

static void make(const char *path) {
  OK(close(OK(open(path, O_CREAT | O_RDWR, 0644))));
}

static void flags(void) {
  CHECK_ERRNO(rename2(AT_FDCWD, wild, AT_FDCWD, wild, 8), EINVAL);
  CHECK_ERRNO(rename2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
  CHECK_ERRNO(rename2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_WHITEOUT | RENAME_EXCHANGE), EINVAL);
}

// Everything about the old path comes before anything about the new one.
static void order_of_errors(void) {
  make("a");
  CHECK_ERRNO(rename2(AT_FDCWD, "none/x", -1, "b", 0), ENOENT);
  CHECK_ERRNO(rename2(AT_FDCWD, "none/x", -1, wild, 0), ENOENT);
  CHECK_ERRNO(rename2(AT_FDCWD, "none", -1, wild, 0), EFAULT);
  CHECK_ERRNO(rename2(AT_FDCWD, "none", -1, "b", 0), EBADF);
  CHECK_ERRNO(rename2(-1, "none", AT_FDCWD, wild, 0), EBADF);
  CHECK_ERRNO(rename2(AT_FDCWD, "", -1, wild, 0), ENOENT);
  CHECK_ERRNO(rename2(AT_FDCWD, "none", AT_FDCWD, "", 0), ENOENT);
  CHECK_ERRNO(rename2(AT_FDCWD, "a/x", -1, wild, 0), ENOTDIR);
  CHECK_ERRNO(rename2(AT_FDCWD, ".", AT_FDCWD, "none/x", 0), ENOENT);
  CHECK_ERRNO(rename2(AT_FDCWD, ".", AT_FDCWD, "b", 0), EBUSY);
  CHECK_ERRNO(rename2(AT_FDCWD, "none", AT_FDCWD, ".", RENAME_NOREPLACE), EEXIST);
  OK(unlink("a"));
}

static void whiteouts(void) {
  make("a");
  struct stat before, after;
  OK(stat("a", &before));
  OK(rename2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_WHITEOUT));
  OK(stat("b", &after));
  CHECK_EQ(before.st_ino, after.st_ino);
  OK(stat("a", &after));
  CHECK_EQ(after.st_mode, S_IFCHR);
  CHECK_EQ(after.st_rdev, 0);
  CHECK_EQ(after.st_nlink, 1);
  CHECK_ERRNO(rename2(AT_FDCWD, "b", AT_FDCWD, "a", RENAME_WHITEOUT | RENAME_NOREPLACE), EEXIST);
  OK(rename2(AT_FDCWD, "b", AT_FDCWD, "a", RENAME_WHITEOUT));
  OK(stat("b", &after));
  CHECK_EQ(after.st_mode, S_IFCHR);
  OK(unlink("b"));
  OK(mkdir("d", 0755));
  OK(rename2(AT_FDCWD, "a", AT_FDCWD, "d/a", RENAME_WHITEOUT | RENAME_NOREPLACE));
  OK(rename2(AT_FDCWD, "d", AT_FDCWD, "e", RENAME_WHITEOUT));
  OK(stat("d", &after));
  CHECK_EQ(after.st_mode, S_IFCHR);
  OK(stat(".", &after));
  CHECK_EQ(after.st_nlink, 3);
  OK(unlink("d"));
  OK(unlink("a"));
  OK(unlink("e/a"));
  OK(rmdir("e"));
}

static void in_directory(const char *pattern, int is_mounted) {
  char directory[64];
  strcpy(directory, pattern);
  CHECK(mkdtemp(directory) != NULL);
  if (is_mounted) OK(mount("tmpfs", directory, "tmpfs", 0, NULL));
  OK(chdir(directory));
  flags();
  order_of_errors();
  whiteouts();
  OK(chdir("/"));
  if (is_mounted) OK(umount(directory));
  OK(rmdir(directory));
}

int main(void) {
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  in_directory("/tmp/renames-XXXXXX", 0);
  in_directory("/tmp/renames-XXXXXX", 1);
  return 0;
}
