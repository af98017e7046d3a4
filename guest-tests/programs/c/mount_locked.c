// Mounts that a less privileged namespace has got (man 7 mount_namespaces, "Restrictions on mount namespaces").
// static
#include "mounts.h"
#include <sys/statvfs.h>

static void write_map(const char *file, const char *text) {
  int map = OK(open(file, O_WRONLY));
  CHECK_EQ(write(map, text, strlen(text)), strlen(text));
  OK(close(map));
}

// Into a user namespace in which we are root, and a mount namespace that it owns.
static void enter_user_namespace(void) {
  OK(unshare(CLONE_NEWUSER | CLONE_NEWNS));
  write_map("/proc/self/setgroups", "deny");
  write_map("/proc/self/uid_map", "0 0 1");
  write_map("/proc/self/gid_map", "0 0 1");
}

static void test_locked_mounts(void) {
  enter_user_namespace();
  // What has been inherited cannot be taken away.
  CHECK_ERRNO(umount2("below", 0), EINVAL);
  CHECK_ERRNO(umount2("below", MNT_DETACH), EINVAL);
  CHECK_ERRNO(mount("below", "other", NULL, MS_MOVE, NULL), EINVAL);
  // Nor shown without what is mounted on it.
  CHECK_ERRNO(mount(".", "other", NULL, MS_BIND, NULL), EINVAL);
  OK(mount(".", "other", NULL, MS_BIND | MS_REC, NULL));
  CHECK_ERRNO(umount2("other/below", MNT_DETACH), EINVAL);
  OK(access("other/below/inner", F_OK));
  CHECK_ERRNO(umount2("other", 0), EBUSY);
  OK(umount2("other", MNT_DETACH));
  // Locked flags stay.
  CHECK_ERRNO(mount(NULL, "strict", NULL, MS_REMOUNT | MS_BIND, NULL), EPERM);
  CHECK_ERRNO(mount(NULL, "strict", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), EPERM);
  CHECK_ERRNO(mount(NULL, "strict", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL), EPERM);
  CHECK_ERRNO(
      mount(NULL, "strict", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, NULL), EPERM);
  OK(mount(NULL, "strict", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
  OK(mount("strict", "other", NULL, MS_BIND, NULL));
  CHECK_ERRNO(mount(NULL, "other", NULL, MS_REMOUNT | MS_BIND, NULL), EPERM);
  OK(umount2("other", 0));
  // Whose file system it is not cannot reconfigure it.
  CHECK_ERRNO(mount(NULL, "below", NULL, MS_REMOUNT, NULL), EPERM);
  // Its own mounts are free.
  OK(mount("own", "other", "tmpfs", MS_NOSUID, NULL));
  OK(mkdir("other/inner", 0755));
  OK(mount(NULL, "other", NULL, MS_REMOUNT | MS_BIND, NULL));
  OK(mount(NULL, "other", NULL, MS_REMOUNT | MS_RDONLY, NULL));
  CHECK_ERRNO(mkdir("other/more", 0755), EROFS);
  OK(umount2("other", 0));
  // Of file systems, only those that are safe.
  CHECK_ERRNO(mount("none", "other", "nosuchfs", 0, NULL), ENODEV);
  // procfs of a PID namespace that somebody else owns.
  CHECK_ERRNO(mount("proc", "other", "proc", 0, NULL), EPERM);
  // Shared mounts have become slaves.
  char text[16384];
  read_file("/proc/self/mountinfo", text, sizeof text);
  CHECK(strstr(text, "shared:") == NULL && strstr(text, "master:") != NULL);
}

static void test_own_proc(void) {
  enter_user_namespace();
  OK(unshare(CLONE_NEWPID));
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(getpid(), 1);
    OK(mount("proc", "other", "proc", 0, NULL));
    char target[32] = {0};
    CHECK(readlink("other/self", target, sizeof target - 1) > 0);
    CHECK(strcmp(target, "1") == 0);
    OK(umount2("other", 0));
  }
  WAIT_OK(pid);
}

int main(void) {
  const char *base = enter_own_mounts();
  OK(mkdir("below", 0755)), OK(mkdir("other", 0755)), OK(mkdir("strict", 0755)), OK(mkdir("below/hidden", 0755));
  OK(mount("test", "below", "tmpfs", 0, NULL));
  OK(mkdir("below/inner", 0755));
  OK(mount("test", "strict", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
  OK(mount(NULL, "below", NULL, MS_SHARED, NULL));
  struct statvfs status;
  OK(statvfs("strict", &status));
  CHECK_EQ(status.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC), ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC);
  pid_t pid;
  IN_CHILD(pid) test_locked_mounts();
  WAIT_OK(pid);
  IN_CHILD(pid) test_own_proc();
  WAIT_OK(pid);
  OK(chdir("/"));
  OK(umount2(base, MNT_DETACH));
  return 0;
}
