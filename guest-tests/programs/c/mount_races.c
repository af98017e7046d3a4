// Mounts that come and go while others walk through them, copy them and look at them: nothing hangs or breaks.
// static
#include "mounts.h"

static volatile int is_over;

static void *mounter(void *directory) {
  while (!is_over) {
    // The copy of an earlier one lies on the directory until that in "copy" goes: between the walk to it and the mount, at times.
    if (mount("race", directory, "tmpfs", 0, NULL) != 0 && errno != EINVAL) FAIL("mount: errno %d", errno);
    char inner[64];
    snprintf(inner, sizeof inner, "%s/inner", (char *)directory);
    mkdir(inner, 0755);
    if (mount("race", inner, "tmpfs", 0, NULL) != 0 && errno != ENOENT && errno != EINVAL) FAIL("mount: errno %d", errno);
    // When the copy of it in "copy" goes, so does this one; what was then mounted on "inner" lies in the directory below.
    if (umount2(inner, MNT_DETACH) != 0 && errno != ENOENT && errno != EINVAL) FAIL("umount2: errno %d", errno);
    if (umount2(directory, MNT_DETACH) != 0 && errno != EINVAL) FAIL("umount2: errno %d", errno);
  }
  return NULL;
}

static void *walker(void *unused) {
  while (!is_over) {
    int file = open("shared/a/inner/x", O_CREAT | O_RDWR, 0644);
    if (file >= 0) close(file);
    access("peer/b/inner/../../a/inner/x", F_OK);
    rename("shared/a/inner/x", "shared/a/inner/y");
    char text[4096];
    read_file("/proc/self/mountinfo", text, sizeof text);
  }
  return unused;
}

static void *copier(void *unused) {
  while (!is_over) {
    pid_t pid = fork();
    if (pid == 0) {
      if (unshare(CLONE_NEWNS) != 0) _exit(1);
      mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
      umount2("shared", MNT_DETACH);
      _exit(0);
    }
    WAIT_OK(pid);
    OK(mount("shared", "copy", NULL, MS_BIND | MS_REC, NULL));
    OK(umount2("copy", MNT_DETACH));
  }
  return unused;
}

int main(void) {
  const char *base = enter_own_mounts();
  OK(mkdir("shared", 0755)), OK(mkdir("peer", 0755)), OK(mkdir("copy", 0755));
  OK(mount("test", "shared", "tmpfs", 0, NULL));
  OK(mount(NULL, "shared", NULL, MS_SHARED, NULL));
  OK(mount("shared", "peer", NULL, MS_BIND, NULL));
  OK(mkdir("shared/a", 0755)), OK(mkdir("shared/b", 0755));
  pthread_t threads[] = {
      start_thread(mounter, "shared/a"), start_thread(mounter, "peer/b"), start_thread(walker, NULL),
      start_thread(copier, NULL),
  };
  sleep_ms(1500);
  is_over = 1;
  for (size_t i = 0; i < COUNT(threads); i++) join_thread(threads[i]);
  // All that was received has gone with what was given.
  char text[65536];
  read_file("/proc/self/mountinfo", text, sizeof text);
  CHECK(strstr(text, "/shared/a") == NULL && strstr(text, "/peer/a") == NULL);
  CHECK(strstr(text, "/shared/b") == NULL && strstr(text, "/peer/b") == NULL);
  OK(chdir("/"));
  OK(umount2(base, MNT_DETACH));
  return 0;
}
