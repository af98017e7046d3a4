// User namespaces: who may write which maps of users and groups, what they show, and what numbers are without them.
// timeout: 120
#include "user_namespaces.h"

static void shows(const char *path, const char *expected) {
  char text[8192];
  read_file(path, text, sizeof text);
  CHECK_CASE(strcmp(text, expected) == 0, "%s: %.200s", path, text);
}

static void make_user_namespace(void) { OK(unshare(CLONE_NEWUSER)); }

// What a user may write to the maps of a namespace that it has made itself.
static void a_user_maps_oneself_alone(void) {
  static const struct {
    const char *name, *text;
    int error;
  } cases[] = {
    {"uid_map", "0 1000 1", 0},
    {"uid_map", "  7\t1000  1 \n", 0},
    {"uid_map", "4294967296 1000 1", 0},
    {"uid_map", "0 1001 1", EPERM},
    {"uid_map", "0 0 1", EPERM},
    {"uid_map", "0 1000 2", EPERM},
    {"uid_map", "0 1000 1\n1 2000 1", EPERM},
    {"uid_map", "\n", EINVAL},
    {"uid_map", "0 1000", EINVAL},
    {"uid_map", "0 1000 0", EINVAL},
    {"uid_map", "0 1000 1 1", EINVAL},
    {"uid_map", "0 1000 1\n\n", EINVAL},
    {"uid_map", "0 1000 1x", EINVAL},
    {"uid_map", "a 1000 1", EINVAL},
    {"uid_map", "0x0 1000 1", EINVAL},
    {"uid_map", "-1 1000 1", EINVAL},
    {"uid_map", "4294967295 1000 1", EINVAL},
    {"uid_map", "0 4294967295 1", EINVAL},
    {"uid_map", "1 1000 4294967295", EINVAL},
    {"uid_map", "0 1000 1\n0 2000 1", EINVAL},
    {"uid_map", "0 1000 2\n5 1001 1", EINVAL},
    {"gid_map", "0 1000 1", EPERM},
    {"gid_map", "0 1000", EINVAL},
    {"projid_map", "0 5 10", 0},
    {"projid_map", "0 5 10\n3 100 1", EINVAL},
    {"setgroups", "allow", 0},
    {"setgroups", "deny \n", 0},
    {"setgroups", "den", EINVAL},
    {"setgroups", "deny x", EINVAL},
    {"setgroups", "", EINVAL},
    {"setgroups", "deny    ", EINVAL},
  };
  for (size_t index = 0; index < COUNT(cases); index++) {
    pid_t pid;
    IN_CHILD(pid) {
      become(USER);
      OK(unshare(CLONE_NEWUSER));
      int error = write_text(map_of(getpid(), cases[index].name), cases[index].text);
      CHECK_CASE(error == cases[index].error, "%s: '%s': %d", cases[index].name, cases[index].text, error);
    }
    WAIT_OK(pid);
  }
}

static void maps_are_written_once_and_whole(void) {
  pid_t pid;
  IN_CHILD(pid) {
    become(USER);
    shows("/proc/self/uid_map", "         0          0 4294967295\n");
    CHECK_EQ(write_text("/proc/self/uid_map", "0 1000 1"), EPERM);
    OK(unshare(CLONE_NEWUSER));
    shows("/proc/self/uid_map", "");
    CHECK_EQ(write_at("/proc/self/uid_map", "0 1000 1", 8, 1), EINVAL);
    static char page[PAGE];
    memset(page, ' ', sizeof page);
    memcpy(page, "0 1000 1", 8);
    CHECK_EQ(write_at("/proc/self/uid_map", page, sizeof page, 0), EINVAL);
    CHECK_EQ(write_at("/proc/self/uid_map", page, sizeof page - 1, 0), 0);
    CHECK_EQ(write_text("/proc/self/uid_map", "0 1000 1"), EPERM);
    CHECK_EQ(write_text("/proc/self/uid_map", "x"), EPERM);
    shows("/proc/self/uid_map", "         0       1000          1\n");
    shows("/proc/self/setgroups", "allow\n");
    CHECK_EQ(write_text("/proc/self/setgroups", "deny"), 0);
    shows("/proc/self/setgroups", "deny\n");
    CHECK_EQ(write_text("/proc/self/setgroups", "allow"), EPERM);
    CHECK_EQ(write_text("/proc/self/setgroups", "deny"), 0);
    CHECK_EQ(write_text("/proc/self/gid_map", "0 1000 1"), 0);
    CHECK_EQ(write_text("/proc/self/setgroups", "deny"), EPERM);
    CHECK_ERRNO(setgroups(0, NULL), EPERM);
    CHECK_EQ(getuid(), 0);
    CHECK_EQ(getegid(), 0);
  }
  WAIT_OK(pid);
}

static void without_maps_everybody_is_nobody(void) {
  pid_t pid;
  IN_CHILD(pid) {
    become(USER);
    int file = OK(open("of_user", O_RDWR | O_CREAT, 0600));
    OK(unshare(CLONE_NEWUSER));
    uid_t real, effective, saved;
    OK(getresuid(&real, &effective, &saved));
    CHECK(real == NOBODY && effective == NOBODY && saved == NOBODY);
    CHECK_EQ(getuid(), NOBODY);
    CHECK_EQ(geteuid(), NOBODY);
    CHECK_EQ(getgid(), NOBODY);
    CHECK_EQ(getegid(), NOBODY);
    struct stat status;
    OK(fstat(file, &status));
    CHECK(status.st_uid == NOBODY && status.st_gid == NOBODY);
    OK(stat("/", &status));
    CHECK_EQ(status.st_uid, NOBODY);
    CHECK_ERRNO(setuid(0), EINVAL);
    CHECK_ERRNO(setuid(NOBODY), EINVAL);
    CHECK_ERRNO(setgid(USER), EINVAL);
    CHECK_ERRNO(setreuid(-1, 0), EINVAL);
    CHECK_ERRNO(setresgid(0, -1, -1), EINVAL);
    OK(setresuid(-1, -1, -1));
    CHECK_ERRNO(setgroups(0, NULL), EPERM);
    CHECK_ERRNO(fchown(file, 0, -1), EINVAL);
    CHECK_ERRNO(fchown(file, -1, USER), EINVAL);
    OK(fchown(file, -1, -1));
    CHECK_ERRNO(unshare(CLONE_NEWUSER), EPERM);
  }
  WAIT_OK(pid);
}

static void a_privileged_parent_maps_ranges(void) {
  int release;
  pid_t pid = start_inside(make_user_namespace, &release);
  CHECK_EQ(write_text(map_of(pid, "uid_map"), "0 0 1\n1 100000 65536\n"), 0);
  CHECK_EQ(write_text(map_of(pid, "gid_map"), "0 100000 10\n"), 0);
  shows(map_of(pid, "uid_map"), "         0          0          1\n         1     100000      65536\n");
  shows(map_of(pid, "gid_map"), "         0     100000         10\n");
  shows(map_of(pid, "setgroups"), "allow\n");
  OK(close(release));
  WAIT_OK(pid);
  // Somebody else's numbers need a capability outside, even if the namespace is one's own.
  pid_t user;
  IN_CHILD(user) {
    become(USER);
    pid = start_inside(make_user_namespace, &release);
    CHECK_EQ(write_text(map_of(pid, "uid_map"), "0 100000 10"), EPERM);
    CHECK_EQ(write_text(map_of(pid, "uid_map"), "5 1000 1"), 0);
    CHECK_EQ(write_text(map_of(pid, "setgroups"), "deny"), 0);
    CHECK_EQ(write_text(map_of(pid, "gid_map"), "5 1000 1"), 0);
    OK(close(release));
    WAIT_OK(pid);
  }
  WAIT_OK(user);
}

static void the_longest_map_has_340_lines(void) {
  for (int lines = 340; lines <= 341; lines++) {
    char text[PAGE] = "";
    size_t length = 0;
    for (int line = 0; line < lines; line++)
      length += snprintf(text + length, sizeof text - length, "%d %d 1\n", 340 - line, 2000 + line);
    int release;
    pid_t pid = start_inside(make_user_namespace, &release);
    CHECK_EQ(write_text(map_of(pid, "uid_map"), text), lines == 340 ? 0 : EINVAL);
    if (lines == 340) {
      static char shown[340 * 40];
      read_file(map_of(pid, "uid_map"), shown, sizeof shown);
      CHECK(strncmp(shown, "         1       2339          1\n         2       2338          1\n", 66) == 0);
    }
    OK(close(release));
    WAIT_OK(pid);
  }
}

static void numbers_are_those_of_the_namespace(void) {
  int ready[2], go[2];
  OK(pipe2(ready, O_CLOEXEC));
  OK(pipe2(go, O_CLOEXEC));
  pid_t pid;
  IN_CHILD(pid) {
    char byte;
    OK(unshare(CLONE_NEWUSER));
    OK(write(ready[1], "", 1));
    OK(read(go[0], &byte, 1));
    shows("/proc/self/uid_map", "         0          0          1\n       100     200000       1000\n");
    OK(setgroups(3, (gid_t[]){0, 105, 101}));
    gid_t groups[3];
    CHECK_EQ(getgroups(3, groups), 3);
    CHECK(groups[0] == 0 && groups[1] == 101 && groups[2] == 105);
    CHECK_ERRNO(setgroups(2, (gid_t[]){0, 50}), EINVAL);
    write_file("mine", "");
    OK(chown("mine", 105, 106));
    CHECK_ERRNO(chown("mine", 50, -1), EINVAL);
    struct stat status;
    OK(stat("mine", &status));
    CHECK(status.st_uid == 105 && status.st_gid == 106);
    struct statx extended;
    OK(statx(AT_FDCWD, "mine", 0, STATX_BASIC_STATS, &extended));
    CHECK(extended.stx_uid == 105 && extended.stx_gid == 106);
    OK(stat("not_mapped", &status));
    CHECK(status.st_uid == NOBODY && status.st_gid == NOBODY);
    CHECK_ERRNO(chown("not_mapped", 105, -1), EPERM);
    CHECK_ERRNO(chmod("not_mapped", 0600), EPERM);
    CHECK_ERRNO(open("not_mapped", O_RDWR), EACCES);
    OK(setresgid(102, 103, 104));
    OK(setresuid(102, 103, 104));
    CHECK_ERRNO(setuid(0), EPERM);
    CHECK_ERRNO(setuid(50), EINVAL);
    CHECK_EQ(getuid(), 102);
    CHECK_EQ(geteuid(), 103);
    OK(write(ready[1], "", 1));
    OK(read(go[0], &byte, 1));
  }
  char byte;
  struct stat status;
  write_file("not_mapped", "");
  OK(chmod("not_mapped", 0600));
  OK(chown("not_mapped", 200, 200));
  OK(chmod(".", 0777));
  OK(read(ready[0], &byte, 1));
  CHECK_EQ(write_text(map_of(pid, "uid_map"), "0 0 1\n100 200000 1000"), 0);
  CHECK_EQ(write_text(map_of(pid, "gid_map"), "0 0 1\n100 200000 1000"), 0);
  OK(write(go[1], "", 1));
  OK(read(ready[0], &byte, 1));
  OK(stat("mine", &status));
  CHECK(status.st_uid == 200005 && status.st_gid == 200006);
  static char text[8192];
  read_file(map_of(pid, "status"), text, sizeof text);
  CHECK_CASE(strstr(text, "\nUid:\t200002\t200003\t200004\t200003\n") != NULL, "%s", strstr(text, "\nUid"));
  CHECK(strstr(text, "\nGid:\t200002\t200003\t200004\t200003\n") != NULL);
  CHECK(strstr(text, "\nGroups:\t0 200001 200005 \n") != NULL);
  pid_t other;
  IN_CHILD(other) {
    // From a namespace that does not map them.
    OK(unshare(CLONE_NEWUSER));
    read_file(map_of(pid, "status"), text, sizeof text);
    CHECK(strstr(text, "\nUid:\t65534\t65534\t65534\t65534\n") != NULL);
    shows(map_of(pid, "uid_map"), "         0 4294967295          1\n       100 4294967295       1000\n");
  }
  WAIT_OK(other);
  OK(write(go[1], "", 1));
  WAIT_OK(pid);
}

static void namespaces_nest_within_the_maps_around_them(void) {
  pid_t pid;
  IN_CHILD(pid) {
    unshare_with_maps("0 0 100\n200 200 100", "0 0 100\n200 200 100");
    static const struct {
      const char *text;
      int error;
    } cases[] = {{"10 5 95", 0}, {"0 5 96", EPERM}, {"0 150 1", EPERM}, {"0 0 300", EPERM}, {"5 250 50\n0 0 1", 0}};
    for (size_t index = 0; index < COUNT(cases); index++) {
      pid_t inner;
      IN_CHILD(inner) {
        OK(unshare(CLONE_NEWUSER));
        int error = write_text("/proc/self/uid_map", cases[index].text);
        // The opener is in the new namespace and has nothing outside of it.
        CHECK_CASE(error == EPERM, "%s: %d", cases[index].text, error);
      }
      WAIT_OK(inner);
      int release;
      inner = start_inside(make_user_namespace, &release);
      int error = write_text(map_of(inner, "uid_map"), cases[index].text);
      CHECK_CASE(error == cases[index].error, "%s: %d", cases[index].text, error);
      OK(close(release));
      WAIT_OK(inner);
    }
  }
  WAIT_OK(pid);
}

static void namespaces_nest_only_so_deep(void) {
  pid_t pid;
  IN_CHILD(pid) {
    int depth = 0;
    while (unshare(CLONE_NEWUSER) == 0) {
      depth++;
      CHECK_EQ(write_text("/proc/self/uid_map", "0 0 1"), 0);
      int error = write_text("/proc/self/setgroups", "deny");
      CHECK(error == 0);
      CHECK_EQ(write_text("/proc/self/gid_map", "0 0 1"), 0);
    }
    CHECK_EQ(errno, ENOSPC);
    CHECK_EQ(depth, 33);
  }
  WAIT_OK(pid);
}

static void mapping_the_root_outside_needs_cap_setfcap(void) {
  pid_t pid;
  IN_CHILD(pid) {
    struct {
      uint32_t version;
      int pid;
    } header = {0x20080522, 0};
    uint32_t data[6];
    OK(syscall(SYS_capget, &header, data));
    data[0] &= ~(1u << 31);
    OK(syscall(SYS_capset, &header, data));
    OK(unshare(CLONE_NEWUSER));
    CHECK_EQ(write_text("/proc/self/uid_map", "0 0 1"), EPERM);
    CHECK_EQ(write_text("/proc/self/gid_map", "0 0 1"), EPERM);
    CHECK_EQ(write_text("/proc/self/setgroups", "deny"), 0);
    CHECK_EQ(write_text("/proc/self/gid_map", "0 0 1"), 0);
  }
  WAIT_OK(pid);
}

static void a_changed_root_keeps_from_new_namespaces(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(mkdir("root", 0755));
    OK(chroot("root"));
    CHECK_ERRNO(unshare(CLONE_NEWUSER), EPERM);
    CHECK_ERRNO(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), EPERM);
  }
  WAIT_OK(pid);
}

static void limits_are_each_namespace_s_own(void) {
  pid_t pid;
  IN_CHILD(pid) {
    char text[64];
    become(USER);
    CHECK_EQ(write_text("/proc/sys/user/max_uts_namespaces", "3"), EACCES);
    OK(unshare(CLONE_NEWUSER));
    CHECK_EQ(write_text("/proc/self/uid_map", "0 1000 1"), 0);
    CHECK_EQ(write_text("/proc/self/setgroups", "deny"), 0);
    CHECK_EQ(write_text("/proc/self/gid_map", "0 1000 1"), 0);
    read_file("/proc/sys/user/max_uts_namespaces", text, sizeof text);
    CHECK(strcmp(text, "2147483647\n") == 0);
    CHECK_EQ(write_text("/proc/sys/user/max_uts_namespaces", "2147483648"), EINVAL);
    CHECK_EQ(write_text("/proc/sys/user/max_uts_namespaces", "-1"), EINVAL);
    CHECK_EQ(write_text("/proc/sys/user/max_uts_namespaces", "1"), 0);
    CHECK_EQ(write_text("/proc/sys/user/max_user_namespaces", "0"), 0);
    shows("/proc/sys/user/max_uts_namespaces", "1\n");
    OK(unshare(CLONE_NEWUTS));
    pid_t inner;
    IN_CHILD(inner) CHECK_ERRNO(unshare(CLONE_NEWUTS), ENOSPC);
    WAIT_OK(inner);
    CHECK_ERRNO(unshare(CLONE_NEWUSER), ENOSPC);
    OK(unshare(CLONE_NEWIPC));
  }
  WAIT_OK(pid);
}

int main(void) {
  enter_scratch();
  OK(chmod(".", 0777));
  a_user_maps_oneself_alone();
  maps_are_written_once_and_whole();
  without_maps_everybody_is_nobody();
  a_privileged_parent_maps_ranges();
  the_longest_map_has_340_lines();
  numbers_are_those_of_the_namespace();
  namespaces_nest_within_the_maps_around_them();
  namespaces_nest_only_so_deep();
  mapping_the_root_outside_needs_cap_setfcap();
  a_changed_root_keeps_from_new_namespaces();
  limits_are_each_namespace_s_own();
  return 0;
}
