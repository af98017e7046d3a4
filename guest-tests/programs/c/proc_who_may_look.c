// What of /proc/PID another user may look into, and at which call the others are refused (proc(5), ptrace(2)).
#include "check.h"
#include <dirent.h>
#include <grp.h>
#include <sys/prctl.h>

enum { SOMEBODY = 1000, SOMEBODY_ELSE = 1001 };

static void become(uid_t user) {
  OK(setgroups(0, NULL));
  OK(setresgid(user, user, user));
  OK(setresuid(user, user, user));
  OK(prctl(PR_SET_DUMPABLE, 1));
}

// A process that waits to be looked at, of `user`.
static pid_t start_target(uid_t user, int is_dumpable) {
  int ready[2];
  OK(pipe(ready));
  pid_t pid;
  IN_CHILD(pid) {
    if (user != 0) become(user);
    OK(prctl(PR_SET_DUMPABLE, is_dumpable));
    CHECK_EQ(write(ready[1], "x", 1), 1);
    for (;;) pause();
  }
  char byte;
  CHECK_EQ(read(ready[0], &byte, 1), 1);
  OK(close(ready[0]));
  OK(close(ready[1]));
  return pid;
}

static void stop_target(pid_t pid) {
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static const char *in(pid_t pid, const char *name) {
  static char path[128];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  return path;
}

static const char *const of_the_address_space[] = {"maps", "smaps", "smaps_rollup", "environ", "auxv", "mem"};
static const char *const of_the_owner[] = {"io", "personality", "mountstats"};
static const char *const links[] = {"exe", "cwd", "root", "ns/net", "ns/user", "ns/mnt"};
static const char *const of_everybody[] = {"stat", "statm", "status", "cmdline", "comm", "mounts", "mountinfo", "limits", "wchan", "cgroup", "oom_score"};

static void check_refused(pid_t target) {
  char text[256];
  struct stat status;
  for (size_t i = 0; i < COUNT(of_the_address_space); i++) {
    CHECK_ERRNO(open(in(target, of_the_address_space[i]), O_RDONLY), EACCES);
    OK(stat(in(target, of_the_address_space[i]), &status));
    // The mode alone says what access(2) does.
    if (status.st_mode & 04) OK(access(in(target, of_the_address_space[i]), R_OK));
    else CHECK_ERRNO(access(in(target, of_the_address_space[i]), R_OK), EACCES);
    snprintf(text, sizeof text, "task/%d/%s", target, of_the_address_space[i]);
    if (strcmp(of_the_address_space[i], "smaps_rollup") != 0) CHECK_ERRNO(open(in(target, text), O_RDONLY), EACCES);
  }
  for (size_t i = 0; i < COUNT(of_the_owner); i++) CHECK_ERRNO(open(in(target, of_the_owner[i]), O_RDONLY), EACCES);
  for (size_t i = 0; i < COUNT(links); i++) {
    CHECK_ERRNO(readlink(in(target, links[i]), text, sizeof text), EACCES);
    CHECK_ERRNO(stat(in(target, links[i]), &status), EACCES);
    CHECK_ERRNO(open(in(target, links[i]), O_RDONLY), EACCES);
    OK(lstat(in(target, links[i]), &status));
  }
  for (size_t i = 0; i < COUNT(of_everybody); i++) {
    int file = OK(open(in(target, of_everybody[i]), O_RDONLY));
    OK(read(file, text, sizeof text));
    OK(close(file));
  }
  // Who may not trace the process cannot even search these.
  const char *directories[] = {"fd", "fdinfo"};
  for (size_t i = 0; i < COUNT(directories); i++) {
    OK(stat(in(target, directories[i]), &status));
    CHECK_EQ(status.st_mode & 0777, i == 0 ? 0500 : 0555);
    CHECK_ERRNO(open(in(target, directories[i]), O_RDONLY | O_DIRECTORY), EACCES);
    CHECK_ERRNO(access(in(target, directories[i]), X_OK), EACCES);
    CHECK_ERRNO(access(in(target, directories[i]), R_OK), EACCES);
    if (i == 0) OK(access(in(target, directories[i]), F_OK));
    else CHECK_ERRNO(access(in(target, directories[i]), F_OK), EACCES);
    CHECK_ERRNO(chdir(in(target, directories[i])), EACCES);
    snprintf(text, sizeof text, "%s/0", directories[i]);
    CHECK_ERRNO(lstat(in(target, text), &status), EACCES);
    CHECK_ERRNO(open(in(target, text), O_RDONLY), EACCES);
    CHECK_ERRNO(access(in(target, text), F_OK), EACCES);
    snprintf(text, sizeof text, "%s/absent", directories[i]);
    CHECK_ERRNO(lstat(in(target, text), &status), EACCES);
  }
  int slack = OK(open(in(target, "timerslack_ns"), O_RDWR));
  CHECK_ERRNO(read(slack, text, sizeof text), EPERM);
  CHECK_ERRNO(write(slack, "1000", 4), EPERM);
  OK(close(slack));
}

static void check_allowed(pid_t target) {
  char text[256];
  struct stat status;
  for (size_t i = 0; i < COUNT(of_the_address_space); i++) {
    int file = OK(open(in(target, of_the_address_space[i]), O_RDONLY));
    if (strcmp(of_the_address_space[i], "mem") != 0) CHECK(read(file, text, sizeof text) > 0);
    OK(close(file));
  }
  for (size_t i = 0; i < COUNT(of_the_owner); i++) {
    int file = OK(open(in(target, of_the_owner[i]), O_RDONLY));
    CHECK(read(file, text, sizeof text) > 0);
    OK(close(file));
  }
  for (size_t i = 0; i < COUNT(links); i++) OK(readlink(in(target, links[i]), text, sizeof text));
  OK(lstat(in(target, "fd/0"), &status));
  int directory = OK(open(in(target, "fdinfo"), O_RDONLY | O_DIRECTORY));
  int file = OK(openat(directory, "0", O_RDONLY));
  CHECK(read(file, text, sizeof text) > 0);
  OK(close(file));
  OK(close(directory));
}

static void look_as(uid_t viewer, pid_t target, void (*look)(pid_t)) {
  pid_t pid;
  IN_CHILD(pid) {
    become(viewer);
    look(target);
  }
  WAIT_OK(pid);
}

static void another_user_s_process_keeps_its_insides(void) {
  pid_t target = start_target(0, 1);
  look_as(SOMEBODY, target, check_refused);
  check_allowed(target);
  stop_target(target);
  target = start_target(SOMEBODY, 1);
  look_as(SOMEBODY_ELSE, target, check_refused);
  look_as(SOMEBODY, target, check_allowed);
  stop_target(target);
}

static void a_process_that_is_not_dumpable_keeps_them_from_its_own_user(void) {
  pid_t target = start_target(SOMEBODY, 0);
  look_as(SOMEBODY, target, check_refused);
  check_allowed(target);
  struct stat status;
  OK(stat(in(target, "maps"), &status));
  CHECK_EQ(status.st_uid, 0);
  stop_target(target);
}

// What is opened in time stays open, about the memory that there was: a process that executes a program leaves that.
static void an_open_file_is_about_the_memory_of_its_opening(void) {
  char text[256];
  int start[2], started[2];
  OK(pipe(start));
  OK(pipe(started));
  pid_t target;
  IN_CHILD(target) {
    become(SOMEBODY);
    char byte;
    CHECK_EQ(write(started[1], "x", 1), 1);
    CHECK_EQ(read(start[0], &byte, 1), 1);
    OK(prctl(PR_SET_DUMPABLE, 0));
    CHECK_EQ(write(started[1], "x", 1), 1);
    CHECK_EQ(read(start[0], &byte, 1), 1);
    OK(dup2(start[0], 0));
    OK(dup2(started[1], 1));
    OK(prctl(PR_SET_DUMPABLE, 1));
    execl("/bin/cat", "cat", NULL);
    FAIL("errno %d", errno);
  }
  pid_t viewer;
  IN_CHILD(viewer) {
    char byte;
    CHECK_EQ(read(started[0], &byte, 1), 1);
    become(SOMEBODY);
    const char *names[] = {"maps", "smaps", "environ", "auxv"};
    int files[COUNT(names)];
    for (size_t i = 0; i < COUNT(names); i++) files[i] = OK(open(in(target, names[i]), O_RDONLY));
    int personality = OK(open(in(target, "personality"), O_RDONLY)), io = OK(open(in(target, "io"), O_RDONLY));
    int directory = OK(open(in(target, "fdinfo"), O_RDONLY | O_DIRECTORY));
    int info = OK(openat(directory, "0", O_RDONLY));
    CHECK_EQ(write(start[1], "x", 1), 1);
    CHECK_EQ(read(started[0], &byte, 1), 1);
    for (size_t i = 0; i < COUNT(names); i++) {
      CHECK(pread(files[i], text, sizeof text, 0) > 0);
      CHECK_ERRNO(open(in(target, names[i]), O_RDONLY), EACCES);
    }
    // These ask at each read.
    CHECK_ERRNO(read(personality, text, sizeof text), EPERM);
    CHECK_ERRNO(read(io, text, sizeof text), EACCES);
    CHECK(read(info, text, sizeof text) > 0);
    CHECK_ERRNO(openat(directory, "0", O_RDONLY), EACCES);
    CHECK_EQ(write(start[1], "x", 1), 1);
    CHECK_EQ(write(start[1], "x", 1), 1);
    CHECK_EQ(read(started[0], &byte, 1), 1);
    for (size_t i = 0; i < COUNT(names) - 1; i++) CHECK_EQ(pread(files[i], text, sizeof text, 0), 0);
    for (size_t i = 0; i < COUNT(names); i++) OK(close(OK(open(in(target, names[i]), O_RDONLY))));
    OK(kill(target, SIGKILL));
  }
  WAIT_OK(viewer);
  WAIT_SIGNALED(target, SIGKILL);
}

// A zombie has no memory: there is nothing to read, which is no error.
static void a_zombie_has_no_insides(void) {
  char text[256];
  pid_t pid;
  IN_CHILD(pid) _exit(0);
  siginfo_t information;
  OK(waitid(P_PID, pid, &information, WEXITED | WNOWAIT));
  const char *names[] = {"maps", "smaps", "environ", "mem"};
  for (size_t i = 0; i < COUNT(names); i++) {
    int file = open(in(pid, names[i]), O_RDONLY);
    if (file == -1) {
      // Since Linux 6.16.
      CHECK_EQ(errno, ESRCH);
      continue;
    }
    CHECK_EQ(read(file, text, sizeof text), 0);
    OK(close(file));
  }
  WAIT_OK(pid);
}

static unsigned long slack_in(int file) {
  char text[64] = "";
  OK(pread(file, text, sizeof text - 1, 0));
  return strtoul(text, NULL, 10);
}

static void timer_slack_is_inherited_and_set_from_outside(void) {
  int own = OK(prctl(PR_GET_TIMERSLACK));
  OK(prctl(PR_SET_TIMERSLACK, 70000));
  pid_t target = start_target(SOMEBODY, 1);
  int file = OK(open(in(target, "timerslack_ns"), O_RDWR));
  CHECK_EQ(slack_in(file), 70000);
  CHECK_EQ(write(file, "100000\n", 7), 7);
  CHECK_EQ(slack_in(file), 100000);
  struct { const char *text; int expected; } bad[] = {{"x", EINVAL}, {"-1", EINVAL}, {" 5", EINVAL}, {"5 ", EINVAL}, {"0x10", EINVAL}, {"99999999999999999999999", ERANGE}};
  for (size_t i = 0; i < COUNT(bad); i++) CHECK_ERRNO(write(file, bad[i].text, strlen(bad[i].text)), bad[i].expected);
  CHECK_EQ(slack_in(file), 100000);
  // Nothing is what its creator had.
  CHECK_EQ(write(file, "0", 1), 1);
  CHECK_EQ(slack_in(file), 70000);
  OK(close(file));
  stop_target(target);
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(prctl(PR_GET_TIMERSLACK), 70000);
    OK(prctl(PR_SET_TIMERSLACK, 5));
    OK(prctl(PR_SET_TIMERSLACK, 0));
    CHECK_EQ(prctl(PR_GET_TIMERSLACK), 70000);
    become(SOMEBODY);
    int self = OK(open("/proc/self/timerslack_ns", O_RDWR));
    CHECK_EQ(write(self, "60000", 5), 5);
    CHECK_EQ(prctl(PR_GET_TIMERSLACK), 60000);
  }
  WAIT_OK(pid);
  OK(prctl(PR_SET_TIMERSLACK, own));
}

int main(void) {
  CHECK_EQ(geteuid(), 0);
  another_user_s_process_keeps_its_insides();
  a_process_that_is_not_dumpable_keeps_them_from_its_own_user();
  an_open_file_is_about_the_memory_of_its_opening();
  a_zombie_has_no_insides();
  timer_slack_is_inherited_and_set_from_outside();
  return 0;
}
