// Cgroup namespaces: what /proc/PID/cgroup tells from inside and outside, and how far processes can be moved.
#include "control_groups.h"
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>

static char top[64];

// Where a process is, as the caller's namespace has it.
static const char *group_of(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
  return unified_group(path);
}

static void check_group(pid_t pid, const char *format, ...) {
  char expected[128];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(expected, sizeof expected, format, arguments);
  va_end(arguments);
  const char *group = group_of(pid);
  CHECK_CASE(strcmp(group, expected) == 0, "%s and %s", group, expected);
}

static const char *link_of(void) {
  static char links[2][64];
  static int next;
  char *target = links[next++ % 2];
  ssize_t length = OK(readlink("/proc/self/ns/cgroup", target, 63));
  target[length] = 0;
  return target;
}

static pid_t sleeper(const char *group) {
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(put(group, "0"), 0);
    CHECK_EQ(kill(getppid(), SIGUSR1), 0);
    for (;;) pause();
  }
  sigset_t set = signals(SIGUSR1, 0);
  int number;
  CHECK_ZERO(sigwait(&set, &number));
  return pid;
}

static void end(pid_t pid) {
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static void paths_begin_at_the_namespace_s_root(void) {
  int outer = OK(open("/proc/self/ns/cgroup", O_RDONLY | O_CLOEXEC));
  pid_t beside = sleeper("b/cgroup.procs"), below = sleeper("a/c/cgroup.procs"), pid;
  check_group(below, "/%s/a/c", top);
  IN_CHILD(pid) {
    pid_t parent = getppid(), child;
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    const char *old = link_of();
    OK(unshare(CLONE_NEWCGROUP));
    CHECK(strcmp(old, link_of()) != 0);
    check_group(getpid(), "/");
    check_group(parent, "/../..");
    check_group(beside, "/../b");
    check_group(below, "/c");
    // The namespace stays where it began.
    CHECK_EQ(put("a/c/cgroup.procs", "0"), 0);
    check_group(getpid(), "/c");
    IN_CHILD(child) check_group(getpid(), "/c");
    WAIT_OK(child);
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    OK(setns(outer, CLONE_NEWCGROUP));
    check_group(getpid(), "/%s/a", top);
    CHECK(strcmp(old, link_of()) == 0);
  }
  WAIT_OK(pid);
  end(beside);
  end(below);
}

static void clone_makes_one_where_its_caller_is(void) {
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    struct clone_args arguments = {.flags = CLONE_NEWCGROUP, .exit_signal = SIGCHLD};
    pid_t child = OK(syscall(SYS_clone3, &arguments, sizeof arguments));
    if (child == 0) {
      check_group(getpid(), "/");
      _exit(0);
    }
    check_group(child, "/%s/a", top);
    WAIT_OK(child);
    OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(unshare(CLONE_NEWCGROUP), EPERM);
    CHECK_ERRNO(syscall(SYS_clone3, &arguments, sizeof arguments), EPERM);
  }
  WAIT_OK(pid);
}

// With the mount option nsdelegate, namespaces are boundaries.
static int has_boundaries(void) {
  for (char *line = strtok(content("/proc/self/mounts"), "\n"); line; line = strtok(NULL, "\n"))
    if (strstr(line, " cgroup2 ") && strstr(line, "nsdelegate")) return 1;
  return 0;
}

static void processes_stay_within_the_boundary(void) {
  int is_boundary = has_boundaries();
  pid_t beside = sleeper("b/cgroup.procs"), inside = sleeper("a/cgroup.procs"), pid;
  char beside_text[32], inside_text[32];
  snprintf(beside_text, sizeof beside_text, "%d", beside);
  snprintf(inside_text, sizeof inside_text, "%d", inside);
  int early = OK(open("b/cgroup.procs", O_WRONLY | O_CLOEXEC));
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    OK(unshare(CLONE_NEWCGROUP));
    CHECK_EQ(put("a/c/cgroup.procs", inside_text), 0);
    CHECK_EQ(put("a/cgroup.procs", beside_text), is_boundary ? ENOENT : 0);
    CHECK_EQ(put("b/cgroup.procs", inside_text), is_boundary ? ENOENT : 0);
    CHECK_EQ(put("a/cgroup.max.depth", "7"), is_boundary ? EPERM : 0);
    CHECK_EQ(put("a/c/cgroup.max.depth", "7"), 0);
    // Where the file was opened counts.
    CHECK_EQ(write(early, inside_text, strlen(inside_text)), strlen(inside_text));
  }
  WAIT_OK(pid);
  close(early);
  check_group(inside, "/%s/b", top);
  end(beside);
  end(inside);
}

// The root that mountinfo shows for the mount at a place.
static const char *shown_root(const char *place) {
  static char root[128];
  char seen[128];
  for (char *line = strtok(content("/proc/self/mountinfo"), "\n"); line; line = strtok(NULL, "\n"))
    if (sscanf(line, "%*d %*d %*s %127s %127s", root, seen) == 2 && strcmp(seen, place) == 0) return root;
  FAIL("no mount at %s", place);
}

static void mounts_show_the_namespace_s_root(const char *scratch) {
  CHECK(strcmp(shown_root(scratch), "/") == 0);
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    OK(unshare(CLONE_NEWCGROUP | CLONE_NEWNS));
    CHECK(strcmp(shown_root(scratch), "/../..") == 0);
    char place[64] = "/tmp/guest-test-XXXXXX";
    CHECK(mkdtemp(place) != NULL);
    OK(mount("cgroup2", place, "cgroup2", 0, NULL));
    CHECK(strcmp(shown_root(place), "/") == 0);
    OK(chdir(place));
    // What is there is the group, not the hierarchy's root, which has no events.
    OK(access("cgroup.events", F_OK));
    OK(access("c", F_OK));
    OK(chdir("/"));
    OK(umount2(place, MNT_DETACH));
    OK(rmdir(place));
  }
  WAIT_OK(pid);
}

static void zero_is_who_writes(void) {
  int procs = OK(open("b/cgroup.procs", O_WRONLY | O_CLOEXEC));
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(write(procs, "0", 1), 1);
    check_group(getpid(), "/%s/b", top);
    check_group(getppid(), "/");
  }
  WAIT_OK(pid);
  close(procs);
}

int main(void) {
  const char *scratch = enter_scratch();
  sigset_t set = signals(SIGUSR1, 0);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  OK(mount("cgroup2", scratch, "cgroup2", 0, NULL));
  OK(chdir(scratch));
  check_group(getpid(), "/");
  snprintf(top, sizeof top, "guest-test-%d", getpid());
  OK(mkdir(top, 0755));
  OK(chdir(top));
  OK(mkdir("a", 0755));
  OK(mkdir("a/c", 0755));
  OK(mkdir("b", 0755));
  paths_begin_at_the_namespace_s_root();
  clone_makes_one_where_its_caller_is();
  processes_stay_within_the_boundary();
  zero_is_who_writes();
  mounts_show_the_namespace_s_root(scratch);
  OK(rmdir("a/c"));
  OK(rmdir("a"));
  OK(rmdir("b"));
  OK(chdir(".."));
  OK(rmdir(top));
  OK(chdir("/"));
  OK(umount2(scratch, MNT_DETACH));
  return 0;
}
