// unshare, setns, clone with CLONE_NEW*, /proc/PID/ns and its files: who shares what with whom, and for how long.
#include "check.h"
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/vfs.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static const struct { const char *name; int flag; } kinds[] = {
  {"cgroup", CLONE_NEWCGROUP}, {"ipc", CLONE_NEWIPC}, {"mnt", CLONE_NEWNS}, {"net", CLONE_NEWNET},
  {"pid", CLONE_NEWPID}, {"time", CLONE_NEWTIME}, {"user", CLONE_NEWUSER}, {"uts", CLONE_NEWUTS},
};

// The number of a namespace, as the text of its link has it; 0 if there is none.
static unsigned long number_of(const char *process, const char *name) {
  char path[64], text[64], format[32];
  snprintf(path, sizeof path, "/proc/%s/ns/%s", process, name);
  ssize_t length = readlink(path, text, sizeof text - 1);
  if (length < 0) return 0;
  text[length] = 0;
  unsigned long number;
  snprintf(format, sizeof format, "%.*s:[%%lu]", (int)strcspn(name, "_"), name);
  CHECK_CASE(sscanf(text, format, &number) == 1, "%s reads %s", path, text);
  return number;
}

static int open_namespace(const char *process, const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/ns/%s", process, name);
  return OK(open(path, O_RDONLY | O_CLOEXEC));
}

static void files_tell_what_they_stand_for(void) {
  for (size_t i = 0; i < COUNT(kinds); i++) {
    int file = open_namespace("self", kinds[i].name);
    struct stat status;
    struct statfs system;
    OK(fstat(file, &status));
    CHECK_CASE(status.st_ino == number_of("self", kinds[i].name), "%s", kinds[i].name);
    CHECK(S_ISREG(status.st_mode));
    CHECK_EQ(status.st_mode & 07777, 0444);
    OK(fstatfs(file, &system));
    CHECK_EQ(system.f_type, 0x6e736673);
    CHECK_EQ(OK(ioctl(file, NS_GET_NSTYPE)), kinds[i].flag);
    char byte;
    CHECK_ERRNO(read(file, &byte, 1), EINVAL);
    int nests = kinds[i].flag == CLONE_NEWPID || kinds[i].flag == CLONE_NEWUSER;
    CHECK_ERRNO(ioctl(file, NS_GET_PARENT), nests ? EPERM : EINVAL);
    OK(close(file));
  }
}

static void each_kind_is_unshared_alone(void) {
  for (size_t i = 0; i < COUNT(kinds); i++) {
    pid_t pid;
    IN_CHILD(pid) {
      OK(unshare(kinds[i].flag));
      for (size_t j = 0; j < COUNT(kinds); j++) {
        int only_for_children = kinds[j].flag == CLONE_NEWPID || kinds[j].flag == CLONE_NEWTIME;
        char parent[16];
        snprintf(parent, sizeof parent, "%d", getppid());
        // In a new user namespace the parent is out of reach.
        if (kinds[i].flag == CLONE_NEWUSER) continue;
        CHECK_CASE((number_of("self", kinds[j].name) != number_of(parent, kinds[j].name)) == (i == j && !only_for_children),
                   "%s after unsharing %s", kinds[j].name, kinds[i].name);
      }
    }
    WAIT_OK(pid);
  }
}

static void children_enter_what_was_unshared_for_them(void) {
  pid_t pid;
  IN_CHILD(pid) {
    unsigned long own_pid = number_of("self", "pid"), own_time = number_of("self", "time");
    OK(unshare(CLONE_NEWPID | CLONE_NEWTIME));
    CHECK_EQ(number_of("self", "pid"), own_pid);
    // Nothing to show before its init.
    CHECK_EQ(number_of("self", "pid_for_children"), 0);
    unsigned long later_time = number_of("self", "time_for_children");
    CHECK(later_time != own_time);
    CHECK_ERRNO(unshare(CLONE_NEWPID), EINVAL);
    int ends[2];
    OK(pipe(ends));
    pid_t init = check_fork(__FILE__, __LINE__);
    if (init == 0) {
      CHECK_EQ(getpid(), 1);
      CHECK_EQ(getppid(), 0);
      char byte;
      CHECK_EQ(read(ends[0], &byte, 1), 1);
      _exit(7);
    }
    char name[16];
    snprintf(name, sizeof name, "%d", init);
    CHECK_EQ(number_of("self", "pid_for_children"), number_of(name, "pid"));
    CHECK_EQ(number_of(name, "time"), later_time);
    pid_t second = check_fork(__FILE__, __LINE__);
    if (second == 0) _exit(getpid() == 2 ? 0 : 1);
    WAIT_OK(second);
    CHECK_EQ(write(ends[1], "", 1), 1);
    WAIT_EXIT(init, 7);
    // Its init has died.
    CHECK_ERRNO(fork(), ENOMEM);
  }
  WAIT_OK(pid);
}

static void a_new_name_is_seen_in_its_namespace_alone(void) {
  char outer[65], name[65];
  OK(gethostname(outer, sizeof outer));
  int ends[2];
  OK(pipe(ends));
  pid_t pid = check_fork(__FILE__, __LINE__);
  if (pid == 0) {
    OK(unshare(CLONE_NEWUTS));
    OK(gethostname(name, sizeof name));
    CHECK(strcmp(name, outer) == 0);
    OK(sethostname("inner", 5));
    CHECK_EQ(write(ends[1], "", 1), 1);
    for (;;) pause();
  }
  char byte;
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  OK(gethostname(name, sizeof name));
  CHECK(strcmp(name, outer) == 0);
  char path[16];
  snprintf(path, sizeof path, "%d", pid);
  int theirs = open_namespace(path, "uts"), own = open_namespace("self", "uts");
  int pidfd = OK(syscall(SYS_pidfd_open, pid, 0));
  OK(setns(theirs, 0));
  OK(gethostname(name, sizeof name));
  CHECK(strcmp(name, "inner") == 0);
  OK(setns(own, CLONE_NEWUTS));
  OK(setns(pidfd, CLONE_NEWUTS | CLONE_NEWIPC));
  OK(gethostname(name, sizeof name));
  CHECK(strcmp(name, "inner") == 0);
  OK(setns(own, CLONE_NEWUTS));
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
  // The open file keeps it.
  OK(setns(theirs, CLONE_NEWUTS));
  OK(gethostname(name, sizeof name));
  CHECK(strcmp(name, "inner") == 0);
  OK(setns(own, CLONE_NEWUTS));
  OK(close(theirs));
  OK(close(own));
  OK(close(pidfd));
}

static void a_bind_mount_keeps_a_namespace(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS));
    OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    enter_scratch();
    write_file("kept", "");
    pid_t maker;
    IN_CHILD(maker) {
      OK(unshare(CLONE_NEWUTS));
      OK(sethostname("kept", 4));
      OK(mount("/proc/self/ns/uts", "kept", NULL, MS_BIND, NULL));
    }
    WAIT_OK(maker);
    int file = OK(open("kept", O_RDONLY));
    OK(setns(file, CLONE_NEWUTS));
    char name[65];
    OK(gethostname(name, sizeof name));
    CHECK(strcmp(name, "kept") == 0);
    OK(close(file));
    OK(umount("kept"));
    remove_scratch();
  }
  WAIT_OK(pid);
}

static void entering_a_pid_namespace_is_for_children(void) {
  pid_t pid;
  IN_CHILD(pid) {
    int ends[2];
    OK(pipe(ends));
    struct clone_args { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls; } arguments = {
      .flags = CLONE_NEWPID, .exit_signal = SIGCHLD,
    };
    fflush(NULL);
    pid_t init = OK(syscall(SYS_clone3, &arguments, sizeof arguments));
    if (init == 0) {
      char byte;
      CHECK_EQ(read(ends[0], &byte, 1), 1);
      _exit(0);
    }
    char path[16];
    snprintf(path, sizeof path, "%d", init);
    int theirs = open_namespace(path, "pid"), own = open_namespace("self", "pid");
    OK(setns(theirs, CLONE_NEWPID));
    pid_t inner = check_fork(__FILE__, __LINE__);
    if (inner == 0) {
      CHECK_EQ(getpid(), 2);
      // Inwards only.
      CHECK_ERRNO(setns(own, CLONE_NEWPID), EINVAL);
      OK(setns(theirs, CLONE_NEWPID));
      _exit(0);
    }
    WAIT_OK(inner);
    OK(setns(own, CLONE_NEWPID));
    pid_t outer = check_fork(__FILE__, __LINE__);
    if (outer == 0) _exit(getpid() != 3 ? 0 : 1);
    WAIT_OK(outer);
    CHECK_EQ(write(ends[1], "", 1), 1);
    WAIT_OK(init);
  }
  WAIT_OK(pid);
}

static void a_zombie_has_left_all_but_its_user_and_pid_namespaces(void) {
  pid_t pid;
  IN_CHILD(pid) {}
  siginfo_t info;
  OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
  char name[16], path[64];
  snprintf(name, sizeof name, "%d", pid);
  for (size_t i = 0; i < COUNT(kinds); i++) {
    int is_kept = kinds[i].flag == CLONE_NEWUSER || kinds[i].flag == CLONE_NEWPID;
    CHECK_CASE((number_of(name, kinds[i].name) != 0) == is_kept, "%s", kinds[i].name);
    snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, kinds[i].name);
    int file = open(path, O_RDONLY);
    CHECK_CASE((file >= 0) == is_kept, "%s", kinds[i].name);
    if (is_kept) OK(close(file));
    else CHECK_EQ(errno, ENOENT);
  }
  CHECK_EQ(number_of(name, "pid_for_children"), 0);
  CHECK_EQ(number_of(name, "time_for_children"), 0);
  snprintf(path, sizeof path, "/proc/%d/timens_offsets", pid);
  char text[64];
  CHECK_EQ(read_file(path, text, sizeof text), 0);
  WAIT_OK(pid);
}

int main(void) {
  files_tell_what_they_stand_for();
  each_kind_is_unshared_alone();
  children_enter_what_was_unshared_for_them();
  a_new_name_is_seen_in_its_namespace_alone();
  a_bind_mount_keeps_a_namespace();
  entering_a_pid_namespace_is_for_children();
  a_zombie_has_left_all_but_its_user_and_pid_namespaces();
  return 0;
}
