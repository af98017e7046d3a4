// User namespaces: where capabilities count, what execve and set*id make of them, and how others see one's numbers.
// timeout: 120
#include "user_namespaces.h"
#include <linux/nsfs.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/xattr.h>

#define OTHER 1001
#define ALL_CAPABILITIES 0x1ffffffffffull

static const char *program;

// Enters a new user namespace as `inside`, alone in it.
static void unshare_as(uid_t inside) {
  char text[64];
  uid_t user = geteuid();
  gid_t group = getegid();
  OK(unshare(CLONE_NEWUSER));
  snprintf(text, sizeof text, "%d %d 1", inside, user);
  CHECK_EQ(write_text("/proc/self/uid_map", text), 0);
  CHECK_EQ(write_text("/proc/self/setgroups", "deny"), 0);
  snprintf(text, sizeof text, "%d %d 1", inside, group);
  CHECK_EQ(write_text("/proc/self/gid_map", text), 0);
}

struct sets {
  unsigned long long effective, permitted, inheritable;
};

static struct sets capabilities(void) {
  struct {
    uint32_t version;
    int pid;
  } header = {0x20080522, 0};
  uint32_t data[6];
  OK(syscall(SYS_capget, &header, data));
  return (struct sets){data[0] | (uint64_t)data[3] << 32, data[1] | (uint64_t)data[4] << 32,
                       data[2] | (uint64_t)data[5] << 32};
}

static void set_capabilities(unsigned long long set) {
  struct {
    uint32_t version;
    int pid;
  } header = {0x20080522, 0};
  uint32_t data[6] = {set, set, 0, set >> 32, set >> 32, 0};
  OK(syscall(SYS_capset, &header, data));
}

static unsigned long long bounding_set(void) {
  unsigned long long set = 0;
  for (int number = 0; number <= 40; number++) set |= (unsigned long long)OK(prctl(PR_CAPBSET_READ, number)) << number;
  return set;
}

// What this program, executed anew, says of itself: real and effective user, effective and permitted capabilities, AT_SECURE.
struct report {
  unsigned real, effective, secure;
  unsigned long long effective_set, permitted_set;
};

static struct report execute(const char *path) {
  int output[2];
  OK(pipe2(output, O_CLOEXEC));
  pid_t pid;
  IN_CHILD(pid) {
    OK(dup2(output[1], STDOUT_FILENO));
    execl(path, path, "--report", (char *)NULL);
    FAIL("exec %s: %d", path, errno);
  }
  OK(close(output[1]));
  WAIT_OK(pid);
  struct report report;
  CHECK_EQ(read(output[0], &report, sizeof report), sizeof report);
  OK(close(output[0]));
  return report;
}


static int report(void) {
  struct sets sets = capabilities();
  struct report report = {getuid(), geteuid(), getauxval(AT_SECURE), sets.effective, sets.permitted};
  CHECK_EQ(getauxval(AT_UID), getuid());
  CHECK_EQ(getauxval(AT_EUID), geteuid());
  CHECK_EQ(getauxval(AT_EGID), getegid());
  CHECK_EQ(write(STDOUT_FILENO, &report, sizeof report), sizeof report);
  return 0;
}

static void who_makes_a_namespace_has_every_capability_in_it_alone(void) {
  pid_t pid;
  IN_CHILD(pid) {
    become(USER);
    CHECK_EQ(capabilities().effective, 0);
    OK(unshare(CLONE_NEWUSER));
    struct sets sets = capabilities();
    CHECK(sets.effective == ALL_CAPABILITIES && sets.permitted == ALL_CAPABILITIES && sets.inheritable == 0);
    CHECK_EQ(bounding_set(), ALL_CAPABILITIES);
    CHECK_EQ(prctl(PR_GET_SECUREBITS), 0);
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    // What belongs to the namespaces around.
    CHECK_ERRNO(sethostname("x", 1), EPERM);
    CHECK_ERRNO(mount("none", "/tmp", "tmpfs", 0, NULL), EPERM);
    CHECK_ERRNO(kill(1, SIGTERM), EPERM);
    CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, -5), EACCES);
    CHECK_ERRNO(mknod("device", S_IFCHR | 0600, 0x103), EPERM);
    CHECK_ERRNO(open("/etc/shadow", O_RDONLY), EACCES);
    CHECK_ERRNO(syscall(SYS_syslog, 3, NULL, 0), EPERM);
    struct rlimit limit;
    OK(getrlimit(RLIMIT_CORE, &limit));
    limit.rlim_max = limit.rlim_cur = 0;
    OK(setrlimit(RLIMIT_CORE, &limit));
    limit.rlim_max = 1;
    CHECK_ERRNO(setrlimit(RLIMIT_CORE, &limit), EPERM);
    CHECK_ERRNO(setxattr("/etc/hostname", "trusted.x", "x", 1, 0), EPERM);
    // What belongs to its own.
    OK(unshare(CLONE_NEWUTS));
    OK(sethostname("mine", 4));
    OK(prctl(PR_CAPBSET_DROP, 0));
    OK(chroot("/"));
  }
  WAIT_OK(pid);
}

static void the_root_within_keeps_capabilities_over_execve(void) {
  pid_t pid;
  IN_CHILD(pid) {
    become(USER);
    OK(unshare(CLONE_NEWUSER));
    struct report unmapped = execute(program);
    CHECK(unmapped.real == NOBODY && unmapped.effective_set == 0 && unmapped.permitted_set == 0);
  }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    become(USER);
    unshare_as(0);
    struct report root = execute(program);
    CHECK(root.real == 0 && root.effective == 0 && root.secure == 0);
    CHECK(root.effective_set == ALL_CAPABILITIES && root.permitted_set == ALL_CAPABILITIES);
    set_capabilities(1);
    CHECK_EQ(execute(program).effective_set, ALL_CAPABILITIES);
    OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK_EQ(execute(program).effective_set, 1);
  }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    become(USER);
    unshare_as(5);
    CHECK_EQ(capabilities().effective, ALL_CAPABILITIES);
    struct report user = execute(program);
    CHECK(user.real == 5 && user.effective == 5 && user.effective_set == 0);
  }
  WAIT_OK(pid);
}

static void changing_users_within_drops_capabilities(void) {
  pid_t pid;
  IN_CHILD(pid) {
    unshare_with_maps("0 1000 10\n", "0 1000 10\n");
    OK(setresuid(0, 0, 0));
    OK(setresgid(0, 0, 0));
    CHECK_EQ(capabilities().effective, ALL_CAPABILITIES);
    OK(setfsuid(3));
    CHECK_EQ(setfsuid(-1), 3);
    CHECK_EQ(capabilities().effective & 0x1f, 0);
    CHECK_EQ(capabilities().effective >> 5 & 1, 1);
    setfsuid(0);
    CHECK_EQ(capabilities().effective, ALL_CAPABILITIES);
    OK(seteuid(5));
    CHECK(capabilities().effective == 0 && capabilities().permitted == ALL_CAPABILITIES);
    OK(seteuid(0));
    CHECK_EQ(capabilities().effective, ALL_CAPABILITIES);
    OK(setuid(5));
    CHECK(capabilities().effective == 0 && capabilities().permitted == 0);
    CHECK_ERRNO(setuid(0), EPERM);
  }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    // Who is no root within keeps them.
    unshare_with_maps("0 1000 10\n", "0 1000 10\n");
    CHECK_EQ(getuid(), NOBODY);
    OK(setresuid(5, 5, 5));
    CHECK_EQ(capabilities().effective, ALL_CAPABILITIES);
    OK(setresuid(6, 6, 6));
    CHECK_EQ(capabilities().permitted, ALL_CAPABILITIES);
    OK(seteuid(0));
    CHECK_EQ(getuid(), 6);
  }
  WAIT_OK(pid);
}

static void copy_program(const char *path, uid_t user, gid_t group, mode_t mode) {
  static char buffer[1 << 20];
  ssize_t length = read_file(program, buffer, sizeof buffer);
  int file = OK(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755));
  CHECK_EQ(write(file, buffer, length), length);
  OK(fchown(file, user, group));
  OK(fchmod(file, mode));
  OK(close(file));
}

static void set_id_files_count_if_their_owner_is_mapped(void) {
  copy_program("set_root", 0, 0, 04755);
  copy_program("set_other", 1005, 1005, 04755);
  copy_program("set_mixed", 1005, 0, 04755);
  pid_t pid;
  IN_CHILD(pid) {
    become(USER);
    struct report outside = execute("./set_root");
    CHECK(outside.effective == 0 && outside.secure == 1 && outside.effective_set == bounding_set());
  }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    unshare_with_maps("0 1000 10\n", "0 1000 10\n");
    OK(setresgid(1, 1, 1));
    OK(setresuid(1, 1, 1));
    struct report foreign = execute("./set_root");
    CHECK(foreign.effective == 1 && foreign.secure == 0 && foreign.effective_set == 0);
    struct report mapped = execute("./set_other");
    CHECK(mapped.real == 1 && mapped.effective == 5 && mapped.secure == 1 && mapped.effective_set == 0);
    struct report mixed = execute("./set_mixed");
    CHECK(mixed.effective == 1 && mixed.secure == 0);
  }
  WAIT_OK(pid);
}

static void capabilities_over_files_need_both_numbers(void) {
  write_file("of_mapped", "");
  write_file("of_user", "");
  write_file("of_group", "");
  OK(chown("of_mapped", 1003, 1003));
  OK(chown("of_user", 1003, 5));
  OK(chown("of_group", 5, 1003));
  const char *const names[] = {"of_mapped", "of_user", "of_group"};
  for (size_t index = 0; index < COUNT(names); index++) OK(chmod(names[index], 0));
  pid_t pid;
  IN_CHILD(pid) {
    unshare_with_maps("0 1000 10\n", "0 1000 10\n");
    OK(setresgid(0, 0, 0));
    OK(setresuid(0, 0, 0));
    OK(close(OK(open("of_mapped", O_RDWR))));
    CHECK_ERRNO(open("of_user", O_RDONLY), EACCES);
    CHECK_ERRNO(open("of_group", O_RDONLY), EACCES);
    OK(chown("of_mapped", 4, 4));
    CHECK_ERRNO(chown("of_user", 4, -1), EPERM);
    CHECK_ERRNO(chown("of_group", -1, 4), EPERM);
    OK(chmod("of_mapped", 0600));
    // To act as the owner takes the owner's number alone.
    OK(chmod("of_user", 0600));
    CHECK_ERRNO(chmod("of_group", 0600), EPERM);
    OK(setxattr("of_mapped", "user.x", "x", 1, 0));
  }
  WAIT_OK(pid);
}

static void enter_as_user(void) {
  become(USER);
  unshare_as(0);
}

static void enter_as_root(void) { unshare_as(0); }

static void its_maker_rules_a_namespace_from_outside(void) {
  int release;
  pid_t inside = start_inside(enter_as_user, &release), pid;
  IN_CHILD(pid) {
    become(OTHER);
    CHECK_ERRNO(kill(inside, 0), EPERM);
    CHECK_ERRNO(ptrace(PTRACE_SEIZE, inside, 0, 0), EPERM);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", inside);
    CHECK_ERRNO(open(path, O_RDONLY), EACCES);
  }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    become(USER);
    OK(kill(inside, 0));
    OK(setpriority(PRIO_PROCESS, inside, 19));
    OK(ptrace(PTRACE_SEIZE, inside, 0, 0));
    OK(ptrace(PTRACE_INTERRUPT, inside, 0, 0));
    int status;
    CHECK_EQ(waitpid(inside, &status, __WALL), inside);
    OK(ptrace(PTRACE_DETACH, inside, 0, 0));
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", inside);
    int file = OK(open(path, O_RDONLY));
    uid_t owner;
    OK(ioctl(file, NS_GET_OWNER_UID, &owner));
    CHECK_EQ(owner, USER);
    int parent = OK(ioctl(file, NS_GET_PARENT));
    CHECK_ERRNO(ioctl(parent, NS_GET_PARENT), EPERM);
    OK(setns(file, CLONE_NEWUSER));
    CHECK_EQ(getuid(), 0);
    CHECK_EQ(capabilities().effective, ALL_CAPABILITIES);
    CHECK_ERRNO(setns(file, CLONE_NEWUSER), EINVAL);
    CHECK_ERRNO(setns(parent, CLONE_NEWUSER), EPERM);
    OK(ioctl(file, NS_GET_OWNER_UID, &owner));
    CHECK_EQ(owner, 0);
    CHECK_ERRNO(ioctl(file, NS_GET_PARENT), EPERM);
  }
  WAIT_OK(pid);
  // Somebody within another namespace has no power over it, whoever they are.
  IN_CHILD(pid) {
    become(USER);
    unshare_as(0);
    OK(kill(inside, 0));
    CHECK_ERRNO(ptrace(PTRACE_SEIZE, inside, 0, 0), EPERM);
  }
  WAIT_OK(pid);
  OK(close(release));
  WAIT_OK(inside);
}

static void the_real_root_is_beyond_reach(void) {
  int release;
  pid_t inside = start_inside(enter_as_root, &release), pid;
  IN_CHILD(pid) {
    // The same user, but with capabilities in a namespace of its own only.
    unshare_as(0);
    OK(kill(inside, 0));
    CHECK_ERRNO(ptrace(PTRACE_SEIZE, inside, 0, 0), EPERM);
    CHECK_ERRNO(ptrace(PTRACE_SEIZE, getppid(), 0, 0), EPERM);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", getppid());
    CHECK_ERRNO(open(path, O_RDONLY), EACCES);
  }
  WAIT_OK(pid);
  OK(close(release));
  WAIT_OK(inside);
}

static void peers_see_each_other_s_numbers(void) {
  int pair[2], go[2];
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  OK(pipe2(go, O_CLOEXEC));
  OK(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
  pid_t pid;
  IN_CHILD(pid) {
    unshare_with_maps("0 1000 10\n", "0 1000 10\n");
    OK(setresgid(4, 4, 4));
    OK(setresuid(4, 4, 4));
    struct ucred peer;
    socklen_t length = sizeof peer;
    OK(getsockopt(pair[1], SOL_SOCKET, SO_PEERCRED, &peer, &length));
    CHECK(peer.uid == NOBODY && peer.gid == NOBODY);
    OK(send(pair[1], "x", 1, 0));
    struct ucred self = {getpid(), 4, 4}, root = {getpid(), 50, 50};
    char byte = 'y', control[CMSG_SPACE(sizeof self)] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){CMSG_LEN(sizeof self), SOL_SOCKET, SCM_CREDENTIALS};
    memcpy(CMSG_DATA(header), &root, sizeof root);
    CHECK_ERRNO(sendmsg(pair[1], &message, 0), EINVAL);
    memcpy(CMSG_DATA(header), &self, sizeof self);
    CHECK_EQ(sendmsg(pair[1], &message, 0), 1);
  }
  WAIT_OK(pid);
  for (int index = 0; index < 2; index++) {
    char byte, control[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    CHECK_EQ(recvmsg(pair[0], &message, 0), 1);
    struct ucred sender;
    memcpy(&sender, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof sender);
    CHECK_CASE(sender.uid == 1004 && sender.gid == 1004, "%d: %d", index, sender.uid);
  }
}

static volatile sig_atomic_t told_user;

static void on_signal(int number UNUSED, siginfo_t *info, void *context UNUSED) { told_user = info->si_uid; }

static void signals_tell_the_sender_as_the_receiver_numbers_users(void) {
  handle(SIGUSR1, on_signal, SA_RESTART);
  pid_t pid, receiver = getpid();
  IN_CHILD(pid) {
    unshare_with_maps("0 1000 10\n20 0 1\n", "0 1000 10\n20 0 1\n");
    OK(setresuid(3, 3, 20));
    OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(told_user, 3);
    OK(setresuid(-1, 20, -1));
    OK(kill(receiver, SIGUSR1));
    sigset_t none;
    sigemptyset(&none);
    siginfo_t info = {.si_code = SI_QUEUE};
    info.si_pid = getpid();
    info.si_uid = 3;
    OK(syscall(SYS_rt_sigqueueinfo, receiver, SIGUSR1, &info));
  }
  siginfo_t info;
  OK(waitid(P_PID, pid, &info, WEXITED));
  CHECK(info.si_code == CLD_EXITED && info.si_status == 0);
  CHECK_EQ(info.si_uid, 1003);
  CHECK_EQ(told_user, 1003);
  // From a sender that has no number where it is.
  IN_CHILD(pid) {
    unshare_with_maps("0 1000 10\n", "0 1000 10\n");
    OK(setresgid(0, 0, 0));
    OK(setresuid(0, 0, 0));
    pid_t parent = getpid(), sender;
    IN_CHILD(sender) {
      int file = OK(open("/proc/self/ns/user", O_RDONLY));
      CHECK_ERRNO(setns(file, CLONE_NEWUSER), EINVAL);
      OK(unshare(CLONE_NEWUSER));
      OK(kill(parent, SIGUSR1));
    }
    OK(waitid(P_PID, sender, &info, WEXITED));
    CHECK_EQ(info.si_uid, 0);
    CHECK_EQ(told_user, NOBODY);
  }
  WAIT_OK(pid);
}

static void securebits_are_locked_for_good(void) {
  pid_t pid;
  IN_CHILD(pid) {
    become(USER);
    CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 0), EPERM);
    unshare_as(0);
    CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 1 << 20), EPERM);
    OK(prctl(PR_SET_SECUREBITS, 1 | 2 | 32));
    CHECK_EQ(prctl(PR_GET_SECUREBITS), 35);
    CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 2 | 32), EPERM);
    CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 1), EPERM);
    CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 1), EPERM);
    CHECK_EQ(execute(program).effective_set, 0);
    pid_t inner;
    IN_CHILD(inner) {
      OK(unshare(CLONE_NEWUSER));
      CHECK_EQ(prctl(PR_GET_SECUREBITS), 0);
    }
    WAIT_OK(inner);
  }
  WAIT_OK(pid);
}

static void priorities_are_found_by_the_own_number_of_a_user(void) {
  pid_t pid;
  IN_CHILD(pid) {
    unshare_with_maps("0 1000 10\n", "0 1000 10\n");
    OK(setresuid(7, 7, 7));
    OK(setpriority(PRIO_USER, 7, 19));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
    errno = 0;
    CHECK(getpriority(PRIO_USER, 50) == -1 && errno == ESRCH);
  }
  WAIT_OK(pid);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--report") == 0) return report();
  static char path[PATH_MAX];
  OK(readlink("/proc/self/exe", path, sizeof path - 1));
  enter_scratch();
  OK(chmod(".", 0777));
  program = path;
  copy_program("program", 0, 0, 0755);
  CHECK(realpath("program", path) != NULL);
  who_makes_a_namespace_has_every_capability_in_it_alone();
  the_root_within_keeps_capabilities_over_execve();
  changing_users_within_drops_capabilities();
  set_id_files_count_if_their_owner_is_mapped();
  capabilities_over_files_need_both_numbers();
  its_maker_rules_a_namespace_from_outside();
  the_real_root_is_beyond_reach();
  peers_see_each_other_s_numbers();
  signals_tell_the_sender_as_the_receiver_numbers_users();
  securebits_are_locked_for_good();
  priorities_are_found_by_the_own_number_of_a_user();
  return 0;
}
