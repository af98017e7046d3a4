// hidepid=, gid= and subset= of proc: who sees which processes.
#include "check.h"
#include <dirent.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

static pid_t other;

static int is_listed(const char *name) {
  DIR *directory = opendir("proc");
  CHECK(directory != NULL);
  struct dirent *entry;
  int found = 0;
  while ((entry = readdir(directory)) != NULL) found |= strcmp(entry->d_name, name) == 0;
  closedir(directory);
  return found;
}

// A user who is nothing to the other process finds this: whether it is listed, and the errors of its directory and of a file there.
static void check_user(gid_t group, int listed, int stat_error, int file_error) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(setgroups(1, &group));
    OK(setgid(1000));
    OK(setuid(1000));
    OK(prctl(PR_SET_DUMPABLE, 1));
    char name[32], directory[64], path[96];
    snprintf(name, sizeof name, "%d", other);
    snprintf(directory, sizeof directory, "proc/%s", name);
    snprintf(path, sizeof path, "proc/%s/status", name);
    CHECK_EQ(is_listed(name), listed);
    struct stat status;
    errno = 0;
    stat(directory, &status);
    CHECK_EQ(errno, stat_error);
    errno = 0;
    int file = open(path, O_RDONLY);
    CHECK_EQ(errno, file_error);
    CHECK((file < 0) == (file_error != 0));
    // Its own process is always there.
    OK(stat("proc/self/status", &status));
    snprintf(name, sizeof name, "%d", getpid());
    CHECK(is_listed(name));
  }
  WAIT_OK(pid);
}

static void check_options(const char *options, const char *shown) {
  OK(mount("proc", "proc", "proc", 0, options));
  FILE *mounts = fopen("/proc/self/mounts", "r");
  char line[512];
  int found = 0;
  while (fgets(line, sizeof line, mounts) != NULL) found |= strstr(line, "/proc proc ") != NULL && strstr(line, shown) != NULL;
  fclose(mounts);
  CHECK_CASE(found, "%s", shown);
}

static void check(void) {
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  OK(chmod(".", 0755));
  OK(mkdir("proc", 0755));
  IN_CHILD(other) pause();
  CHECK_ERRNO(mount("proc", "proc", "proc", 0, "hidepid=3"), EINVAL);
  CHECK_ERRNO(mount("proc", "proc", "proc", 0, "subset=all"), EINVAL);
  OK(mount("proc", "proc", "proc", 0, NULL));
  check_user(1000, 1, 0, 0);
  OK(umount("proc"));
  check_options("hidepid=1", "hidepid=noaccess");
  check_user(1000, 1, 0, EPERM);
  OK(mount(NULL, "proc", NULL, MS_REMOUNT, "hidepid=0"));
  check_user(1000, 1, 0, 0);
  OK(umount("proc"));
  check_options("hidepid=invisible,gid=2000", ",gid=2000,hidepid=invisible");
  check_user(1000, 0, ENOENT, ENOENT);
  check_user(2000, 1, 0, 0);
  struct stat status;
  OK(stat("proc/meminfo", &status));
  OK(umount("proc"));
  check_options("hidepid=4,gid=2000", ",gid=2000,hidepid=ptraceable");
  check_user(2000, 0, ENOENT, ENOENT);
  OK(umount("proc"));
  check_options("subset=pid", ",subset=pid");
  CHECK_ERRNO(stat("proc/meminfo", &status), ENOENT);
  CHECK_ERRNO(stat("proc/sys", &status), ENOENT);
  CHECK(!is_listed("meminfo") && is_listed("self") && is_listed("thread-self"));
  OK(umount("proc"));
  OK(kill(other, SIGKILL));
  WAIT_SIGNALED(other, SIGKILL);
}

int main(void) {
  enter_scratch();
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS | CLONE_NEWPID));
    pid_t inner;
    IN_CHILD(inner) check();
    WAIT_OK(inner);
  }
  WAIT_OK(pid);
  return 0;
}
