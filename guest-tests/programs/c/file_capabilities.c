// compared
// Capabilities of files: what execve makes of them, who may set them and how user namespaces show them, and what takes
// them from a file. Prints outcomes, which have to be those of Linux.
#include "check.h"
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/xattr.h>

#define USER 1000
#define CHOWN (1u << CAP_CHOWN)
#define KILL (1u << CAP_KILL)
#define RAW (1u << CAP_NET_RAW)
#define EFFECTIVE VFS_CAP_FLAGS_EFFECTIVE
#define NAME "security.capability"

static char program[64];

struct attribute {
  uint32_t header, permitted, inheritable, high_permitted, high_inheritable, root;
};

static int give_to(const char *path, uint32_t version, uint32_t flags, uint32_t permitted, uint32_t inheritable, uint32_t root) {
  struct attribute value = {version | flags, permitted, inheritable, 0, 0, root};
  return setxattr(path, NAME, &value, version == VFS_CAP_REVISION_3 ? 24 : 20, 0);
}

static void give(uint32_t flags, uint32_t permitted, uint32_t inheritable) {
  OK(give_to(program, VFS_CAP_REVISION_2, flags, permitted, inheritable, 0));
}

// What the program says of itself.
static int tell(void) {
  static const char *const wanted[] = {"Uid", "CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs"};
  FILE *status = fopen("/proc/self/status", "r");
  char line[256];
  printf(" secure %lu dumpable %d", getauxval(AT_SECURE), prctl(PR_GET_DUMPABLE) == 1);
  while (fgets(line, sizeof line, status)) {
    for (size_t index = 0; index < COUNT(wanted); index++) {
      if (strncmp(line, wanted[index], strlen(wanted[index])) != 0) continue;
      line[strcspn(line, "\n")] = 0;
      for (char *tab = line; (tab = strchr(tab, '\t')); *tab = ' ') {}
      printf(", %s", line);
    }
  }
  printf("\n");
  return 0;
}

static void become(uid_t user) {
  OK(setgroups(0, NULL));
  OK(setresgid(user, user, user));
  OK(setresuid(user, user, user));
}

static void set_inheritable(uint32_t inheritable) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  OK(syscall(SYS_capget, &header, data));
  data[0].inheritable = inheritable;
  OK(syscall(SYS_capset, &header, data));
}

static void write_text(const char *path, const char *text) {
  int file = OK(open(path, O_WRONLY));
  CHECK_EQ(write(file, text, strlen(text)), strlen(text));
  close(file);
}

// Executes the program in a child that `prepare` has prepared.
static void run(const char *title, void (*prepare)(void)) {
  printf("%s:", title);
  fflush(stdout);
  pid_t pid;
  IN_CHILD(pid) {
    prepare();
    execl(program, "program", "tell", NULL);
    printf(" %s\n", strerrorname_np(errno));
    fflush(stdout);
    _exit(0);
  }
  WAIT_EXIT(pid, 0);
}

static void as_root(void) {}
static void as_user(void) { become(USER); }

static void as_user_with_inheritable(void) {
  OK(prctl(PR_SET_KEEPCAPS, 1));
  become(USER);
  set_inheritable(CHOWN);
}

static void as_user_with_ambient(void) {
  as_user_with_inheritable();
  OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
}

static void as_user_without_kill_in_bounds(void) {
  OK(prctl(PR_CAPBSET_DROP, CAP_KILL));
  become(USER);
}

static void as_user_without_new_privileges(void) {
  become(USER);
  OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void as_root_without_power(void) { OK(prctl(PR_SET_SECUREBITS, 1 << 0)); }

static void as_user_without_set_id_mounts(void) {
  OK(mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID, NULL));
  become(USER);
}

static void in_namespace(void) {
  become(USER);
  OK(prctl(PR_SET_DUMPABLE, 1));
  OK(unshare(CLONE_NEWUSER));
  write_text("/proc/self/uid_map", "0 1000 1");
}

static void in_namespace_as_another(void) {
  become(USER);
  OK(prctl(PR_SET_DUMPABLE, 1));
  OK(unshare(CLONE_NEWUSER));
  write_text("/proc/self/uid_map", "5 1000 1");
}

static void all_ways(const char *title) {
  static const struct {
    const char *name;
    void (*prepare)(void);
  } ways[] = {
    {"root", as_root},
    {"user", as_user},
    {"inheritable", as_user_with_inheritable},
    {"ambient", as_user_with_ambient},
    {"bounds", as_user_without_kill_in_bounds},
    {"no new privileges", as_user_without_new_privileges},
    {"SECBIT_NOROOT", as_root_without_power},
    {"nosuid", as_user_without_set_id_mounts},
    {"namespace", in_namespace},
    {"namespace, another", in_namespace_as_another},
  };
  for (size_t index = 0; index < COUNT(ways); index++) {
    char line[128];
    snprintf(line, sizeof line, "%s, %s", title, ways[index].name);
    // The mount belongs to the child's namespace.
    pid_t pid;
    fflush(stdout);
    IN_CHILD(pid) {
      OK(unshare(CLONE_NEWNS));
      run(line, ways[index].prepare);
      fflush(stdout);
      _exit(0);
    }
    WAIT_EXIT(pid, 0);
  }
}

static void programs_get_capabilities(void) {
  all_ways("none");
  give(EFFECTIVE, KILL | RAW, 0);
  all_ways("effective");
  give(0, KILL | RAW, CHOWN);
  all_ways("not effective");
  give(EFFECTIVE, 0, CHOWN);
  all_ways("inheritable");
  give(0, 0, 0);
  all_ways("empty");
  give(EFFECTIVE, 0, 0);
  all_ways("empty, effective");
  OK(give_to(program, VFS_CAP_REVISION_3, EFFECTIVE, KILL, 0, USER));
  all_ways("of a namespace");
  OK(chmod(program, 04755));
  give(EFFECTIVE, KILL, 0);
  all_ways("set-user-ID");
  OK(chmod(program, 0755));
}

static void traced(bool is_privileged) {
  give(EFFECTIVE, KILL, 0);
  printf("traced by %s:", is_privileged ? "root" : "its user");
  fflush(stdout);
  pid_t tracer;
  IN_CHILD(tracer) {
    if (!is_privileged) become(USER);
    pid_t pid;
    IN_CHILD(pid) {
      if (is_privileged) become(USER);
      OK(ptrace(PTRACE_TRACEME, 0, 0, 0));
      execl(program, "program", "tell", NULL);
      _exit(1);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSTOPPED(status));
    OK(ptrace(PTRACE_CONT, pid, 0, 0));
    WAIT_EXIT(pid, 0);
    _exit(0);
  }
  WAIT_EXIT(tracer, 0);
}

// What getxattr shows.
static void show(const char *title, const char *path) {
  struct attribute value = {0};
  ssize_t length = getxattr(path, NAME, &value, sizeof value);
  printf("  %s: ", title);
  if (length < 0) printf("%s\n", strerrorname_np(errno));
  else printf("%zd bytes, %x, %x %x, root %u\n", length, value.header, value.permitted, value.inheritable, value.root);
}

static void try_value(const char *title, size_t length, uint32_t header, uint32_t root) {
  struct attribute value = {header, KILL, CHOWN, 0, 0, root};
  errno = 0;
  int result = setxattr(program, NAME, &value, length, 0);
  printf("%s: %s\n", title, result == 0 ? "set" : strerrorname_np(errno));
  if (result == 0) show("shown", program);
}

static void try_values(const char *who) {
  printf("%s\n", who);
  removexattr(program, NAME);
  try_value("version 1", 12, VFS_CAP_REVISION_1, 0);
  try_value("version 2", 20, VFS_CAP_REVISION_2 | EFFECTIVE, 0);
  try_value("version 2, long", 24, VFS_CAP_REVISION_2, 0);
  try_value("version 3", 24, VFS_CAP_REVISION_3 | EFFECTIVE, 0);
  try_value("version 3 of a user", 24, VFS_CAP_REVISION_3, USER);
  try_value("version 3 of nobody", 24, VFS_CAP_REVISION_3, 77777);
  try_value("version 3 of -1", 24, VFS_CAP_REVISION_3, -1);
  try_value("version 3, short", 20, VFS_CAP_REVISION_3, 0);
  try_value("version 4", 24, 0x04000000, 0);
  try_value("flags", 20, VFS_CAP_REVISION_2 | 0xfe, 0);
  try_value("short", 2, 0, 0);
  fflush(stdout);
}

// In a child, as root of a user namespace whose root is the user outside.
static void in_child(void (*prepare)(void), void (*body)(const char *), const char *title) {
  fflush(stdout);
  pid_t pid;
  IN_CHILD(pid) {
    prepare();
    body(title);
    fflush(stdout);
    _exit(0);
  }
  WAIT_EXIT(pid, 0);
}

static void show_to(const char *title) { show(title, program); }

static void attributes_are_translated(void) {
  try_values("root");
  OK(chown(program, USER, USER));
  in_child(as_user, try_values, "owner");
  in_child(in_namespace, try_values, "root of a namespace, the group unmapped");
  OK(chown(program, 0, 0));
  in_child(in_namespace, try_values, "root of a namespace that is not the owner");
  for (uint32_t version = 2; version <= 3; version++) {
    for (uint32_t root = 0; root < (version == 2 ? 1 : 1002); root += root ? 1 : USER) {
      OK(give_to(program, version << VFS_CAP_REVISION_SHIFT, EFFECTIVE, KILL, 0, root));
      printf("version %u of %u\n", version, root);
      in_child(as_root, show_to, "root");
      in_child(as_user, show_to, "user");
      in_child(in_namespace, show_to, "namespace");
      in_child(in_namespace_as_another, show_to, "namespace without a root");
    }
  }
}

static void take(const char *title, uid_t user, void (*change)(int file, const char *path)) {
  const char *path = "/tmp/data";
  unlink(path);
  int file = OK(open(path, O_CREAT | O_RDWR, 0777));
  OK(write(file, "ab", 2));
  OK(fchmod(file, 06777));
  OK(give_to(path, VFS_CAP_REVISION_2, EFFECTIVE, KILL, 0, 0));
  fflush(stdout);
  pid_t pid;
  IN_CHILD(pid) {
    if (user) become(user);
    change(file, path);
    struct stat status;
    OK(fstat(file, &status));
    printf("%s by %u: mode %o, %s\n", title, user, status.st_mode & 07777, getxattr(path, NAME, NULL, 0) < 0 ? strerrorname_np(errno) : "kept");
    fflush(stdout);
    _exit(0);
  }
  WAIT_EXIT(pid, 0);
  close(file);
}

static void write_it(int file, const char *path UNUSED) { OK(write(file, "x", 1)); }
static void write_nothing(int file, const char *path UNUSED) { OK(write(file, "x", 0)); }
static void truncate_open(int file, const char *path UNUSED) { OK(ftruncate(file, 1)); }
static void truncate_name(int file UNUSED, const char *path) { OK(truncate(path, 1)); }
static void open_truncating(int file UNUSED, const char *path) { close(OK(open(path, O_WRONLY | O_TRUNC))); }
static void open_only(int file UNUSED, const char *path) { close(OK(open(path, O_RDWR))); }
static void allocate(int file, const char *path UNUSED) { OK(fallocate(file, 0, 0, 4096)); }
static void change_owner(int file, const char *path UNUSED) { fchown(file, -1, -1); }
static void map_and_write(int file, const char *path UNUSED) {
  char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(memory != MAP_FAILED);
  memory[0] = 'y';
}

static void changes_take_privileges(void) {
  for (uid_t user = 0; user <= USER; user += USER) {
    take("write", user, write_it);
    take("write of nothing", user, write_nothing);
    take("ftruncate", user, truncate_open);
    take("truncate", user, truncate_name);
    take("O_TRUNC", user, open_truncating);
    take("open", user, open_only);
    take("fallocate", user, allocate);
    take("fchown", user, change_owner);
    take("mmap", user, map_and_write);
  }
}

static void copy_program(void) {
  char buffer[65536];
  int from = OK(open("/proc/self/exe", O_RDONLY)), to = OK(open(program, O_CREAT | O_WRONLY, 0755));
  for (ssize_t length; (length = OK(read(from, buffer, sizeof buffer))) > 0;) CHECK_EQ(write(to, buffer, length), length);
  close(from);
  close(to);
  OK(chmod(program, 0755));
}

int main(int count, char **arguments UNUSED) {
  if (count > 1) return tell();
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  snprintf(program, sizeof program, "/tmp/program");
  OK(mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
  OK(chmod("/tmp", 0755));
  copy_program();
  // Some hosts keep it from root.
  OK(prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE));
  programs_get_capabilities();
  traced(true);
  traced(false);
  attributes_are_translated();
  changes_take_privileges();
  return 0;
}
