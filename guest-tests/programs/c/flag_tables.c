// compared
// timeout: 120
// Every flag of clone3, clone and unshare alone and with each other, and the wrong arguments of clone3, setns and
// waitid: the outcome of each case is printed. What Linux prints is what is right.
// not emulated: thousands of processes take many minutes there
#include "check.h"
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define FLAG(name) {#name, CLONE_##name}

struct flag { const char *name; unsigned long long bits; };

static const struct flag flags[] = {
  FLAG(VM), FLAG(FS), FLAG(FILES), FLAG(SIGHAND), FLAG(PIDFD), FLAG(PTRACE), FLAG(VFORK), FLAG(PARENT), FLAG(THREAD),
  FLAG(NEWNS), FLAG(SYSVSEM), FLAG(SETTLS), FLAG(PARENT_SETTID), FLAG(CHILD_CLEARTID), FLAG(DETACHED), FLAG(UNTRACED),
  FLAG(CHILD_SETTID), FLAG(NEWCGROUP), FLAG(NEWUTS), FLAG(NEWIPC), FLAG(NEWUSER), FLAG(NEWPID), FLAG(NEWNET), FLAG(IO),
  {"CLEAR_SIGHAND", 0x100000000ull}, {"INTO_CGROUP", 0x200000000ull}, {"NEWTIME", CLONE_NEWTIME},
};

static pid_t numbers[2];
static int pidfd;

// Makes a task that exits at once, whatever it shares: it touches no memory.
static long make(long number, long first, long second, long third, long fourth, long fifth) {
  register long r10 __asm__("r10") = fourth;
  register long r8 __asm__("r8") = fifth;
  long result;
  __asm__ volatile(
    "syscall\n"
    "test %%rax, %%rax\n"
    "jnz 1f\n"
    "mov $60, %%eax\n"
    "xor %%edi, %%edi\n"
    "syscall\n"
    "1:"
    : "=a"(result)
    : "a"(number), "D"(first), "S"(second), "d"(third), "r"(r10), "r"(r8)
    : "rcx", "r11", "memory");
  return result;
}

static long make_by_clone3(unsigned long long bits, unsigned long long exit_signal) {
  struct clone_args arguments = {
    .flags = bits, .exit_signal = exit_signal, .pidfd = (uintptr_t)&pidfd, .child_tid = (uintptr_t)&numbers[0],
    .parent_tid = (uintptr_t)&numbers[1], .cgroup = -1ull,
  };
  return make(SYS_clone3, (long)&arguments, sizeof arguments, 0, 0, 0);
}

// What comes before a case's call: the state that it is made in.
static void (*prepare)(void);

static void as_it_is(void) {}

static void as_a_user(void) {
  OK(setgid(1000));
  OK(setuid(1000));
}

static void *sleep_for_ever(void *unused) {
  while (pause() == -1) {}
  return unused;
}

static void with_a_thread(void) { start_thread(sleep_for_ever, NULL); }

static char other_stack[16 * 1024] __attribute__((aligned(16)));
static int ready[2];

// A child that ends with its parent, which waits until that is so.
static int wait_for_ever(void *unused) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (write(ready[1], "", 1) != 1) return 1;
  while (pause() == -1) {}
  return unused != NULL;
}

static void with_a_shared_root(void) {
  char byte;
  OK(pipe(ready));
  OK(clone(wait_for_ever, other_stack + sizeof other_stack, CLONE_FS | SIGCHLD, NULL));
  CHECK_EQ(read(ready[0], &byte, 1), 1);
}

static void in_another_pid_namespace(void) { OK(unshare(CLONE_NEWPID)); }
static void in_another_time_namespace(void) { OK(unshare(CLONE_NEWTIME)); }

// A call with up to two numbers.
typedef long (*call)(unsigned long long, unsigned long long);

// One case, as it is handed to the process that makes the call.
struct request { call call; unsigned long long first, second; };

// Who makes the calls: a process in the prepared state, until one succeeds and so may have changed it.
static struct { pid_t pid; int requests, errors; void (*prepared)(void); } worker;

static void serve(int requests, int errors) {
  prepare();
  struct request request;
  int error = -1;
  while (error != 0 && read(requests, &request, sizeof request) == sizeof request) {
    errno = 0;
    long result = request.call(request.first, request.second);
    error = result >= 0 ? 0 : result < -1 ? -result : errno ? errno : EPERM;
    CHECK_EQ(write(errors, &error, sizeof error), sizeof error);
  }
  _exit(0);
}

static void begin_worker(void) {
  int requests[2], errors[2];
  OK(pipe2(requests, O_CLOEXEC));
  OK(pipe2(errors, O_CLOEXEC));
  worker.pid = check_fork(__FILE__, __LINE__);
  if (worker.pid == 0) {
    OK(close(requests[1]));
    OK(close(errors[0]));
    serve(requests[0], errors[1]);
  }
  OK(close(requests[0]));
  OK(close(errors[1]));
  worker.requests = requests[1], worker.errors = errors[0], worker.prepared = prepare;
}

static void end_worker(void) {
  if (worker.pid == 0) return;
  OK(close(worker.requests));
  OK(close(worker.errors));
  worker.pid = 0;
  // With CLONE_PARENT the new tasks are children of this one.
  while (waitpid(-1, NULL, __WALL) > 0) {}
}

// Prints what the call gives in the prepared state: an errno's name, or ok.
static void outcome(const char *name, call call, unsigned long long first, unsigned long long second) {
  if (worker.prepared != prepare) end_worker();
  if (worker.pid == 0) begin_worker();
  struct request request = {call, first, second};
  CHECK_EQ(write(worker.requests, &request, sizeof request), sizeof request);
  int error = 0;
  if (read(worker.errors, &error, sizeof error) != sizeof error) printf("%s: no answer\n", name);
  else printf("%s: %s\n", name, error == 0 ? "ok" : strerrorname_np(error));
  if (error == 0) end_worker();
}

// Every flag alone and with each other.
static void pairs(const char *title, call call, unsigned long long leave_out, unsigned long long more) {
  char name[64];
  printf("== %s\n", title);
  for (size_t i = 0; i < COUNT(flags); i++)
    for (size_t j = i; j < COUNT(flags); j++) {
      unsigned long long bits = flags[i].bits | flags[j].bits;
      if (bits & leave_out) continue;
      snprintf(name, sizeof name, "%s%s%s", flags[i].name, i == j ? "" : "|", i == j ? "" : flags[j].name);
      outcome(name, call, bits | more, SIGCHLD);
    }
}

static void singles(const char *title, call call) {
  printf("== %s\n", title);
  for (size_t i = 0; i < COUNT(flags); i++) outcome(flags[i].name, call, flags[i].bits, SIGCHLD);
}

static long by_clone3(unsigned long long bits, unsigned long long unused) {
  (void)unused;
  return make_by_clone3(bits, bits & (CLONE_THREAD | CLONE_PARENT) ? 0 : SIGCHLD);
}

static long by_clone3_with_a_signal(unsigned long long bits, unsigned long long number) { return make_by_clone3(bits, number); }

static long by_clone(unsigned long long bits, unsigned long long number) {
  return make(SYS_clone, bits | number, 0, (long)&numbers[1], (long)&numbers[0], 0);
}

static long by_unshare(unsigned long long bits, unsigned long long unused) {
  (void)unused;
  return syscall(SYS_unshare, bits);
}

// Stands for a number that no process has.
#define FREE 30000

// A free number, far from those that the host gives out next.
static int free_number(void) {
  int number = 2000 + (getpid() + 14000) % 28000, before = errno;
  while (kill(number, 0) == 0 || errno != ESRCH) number++;
  errno = before;
  return number;
}

// clone3's structure: cases by number.
static long by_structure(unsigned long long which, unsigned long long value) {
  static pid_t wanted[40];
  struct { struct clone_args arguments; char tail[8192]; } request = {.arguments.exit_signal = SIGCHLD};
  struct clone_args *arguments = &request.arguments;
  long size = sizeof *arguments;
  void *address = arguments;
  wanted[0] = free_number();
  switch (which) {
    case 0: size = value; break;
    case 1: size = value, request.tail[value - sizeof *arguments - 1] = 1; break;
    case 2: address = (void *)value; break;
    case 3: arguments->flags = value; break;
    case 4: arguments->exit_signal = value; break;
    case 5: arguments->stack = value; break;
    case 6: arguments->stack_size = value; break;
    case 7: arguments->set_tid_size = value; break;
    case 8: arguments->set_tid = (uintptr_t)wanted, arguments->set_tid_size = value; break;
    case 9: arguments->set_tid = (uintptr_t)wanted, arguments->set_tid_size = 1, wanted[0] = value == FREE ? free_number() : value; break;
    case 10: arguments->set_tid = value, arguments->set_tid_size = 1; break;
    case 11: arguments->set_tid = value; break;
    case 12: arguments->flags = 0x200000000ull, arguments->cgroup = value; break;
    case 13: arguments->flags = CLONE_PIDFD, arguments->pidfd = value; break;
    case 14: arguments->flags = CLONE_PARENT_SETTID, arguments->parent_tid = value; break;
    case 15: arguments->flags = CLONE_NEWPID, arguments->set_tid = (uintptr_t)wanted, arguments->set_tid_size = 1, wanted[0] = value; break;
    case 16: arguments->flags = CLONE_NEWPID, arguments->set_tid = (uintptr_t)wanted, arguments->set_tid_size = 2, wanted[0] = 1, wanted[1] = value == FREE ? free_number() : value; break;
    case 17: arguments->flags = CLONE_SETTLS, arguments->tls = value; break;
  }
  return make(SYS_clone3, (long)address, size, 0, 0, 0);
}

static void structures(void) {
  static const struct { const char *name; int which; unsigned long long value; } cases[] = {
    {"size 0", 0, 0}, {"size 63", 0, 63}, {"size 64", 0, 64}, {"size 65", 0, 65}, {"size 72", 0, 72}, {"size 80", 0, 80},
    {"size 88", 0, 88}, {"size 96", 0, 96}, {"size 1000", 0, 1000}, {"size 4096", 0, 4096}, {"size 4097", 0, 4097},
    {"size -1", 0, -1ull}, {"tail at 96", 1, 96}, {"tail at 4096", 1, 4096}, {"address 0", 2, 0}, {"address 8", 2, 8},
    {"flags 1<<35", 3, 1ull << 35}, {"flags 1<<63", 3, 1ull << 63}, {"flags 0x11", 3, 0x11}, {"flags 1", 3, 1},
    {"exit signal 0", 4, 0}, {"exit signal 64", 4, 64}, {"exit signal 65", 4, 65}, {"exit signal 255", 4, 255},
    {"exit signal 256", 4, 256}, {"exit signal -1", 4, -1ull}, {"stack alone", 5, 0x10000}, {"stack size alone", 6, 4096},
    {"set_tid_size alone", 7, 1}, {"set_tid_size 0", 8, 0}, {"set_tid_size 2", 8, 2}, {"set_tid_size 32", 8, 32},
    {"set_tid_size 33", 8, 33}, {"set_tid_size -1", 8, -1ull}, {"set_tid 0", 9, 0}, {"set_tid -1", 9, -1ull},
    {"set_tid 1", 9, 1}, {"set_tid free", 9, FREE}, {"set_tid 100000000", 9, 100000000}, {"set_tid at 8", 10, 8},
    {"set_tid without size", 11, 4096}, {"cgroup -1", 12, -1ull}, {"cgroup 1<<31", 12, 1ull << 31}, {"cgroup 1<<32", 12, 1ull << 32},
    {"cgroup 0", 12, 0}, {"cgroup 999", 12, 999}, {"pidfd at 8", 13, 8}, {"pidfd at 0", 13, 0}, {"parent_tid at 8", 14, 8},
    {"inner set_tid 1", 15, 1}, {"inner set_tid 2", 15, 2}, {"outer set_tid free", 16, FREE}, {"outer set_tid 0", 16, 0},
    {"tls at the top", 17, 1ull << 47}, {"tls non-canonical", 17, 1ull << 62},
  };
  printf("== clone3: the structure\n");
  for (size_t i = 0; i < COUNT(cases); i++) outcome(cases[i].name, by_structure, cases[i].which, cases[i].value);
}

static long by_setns(unsigned long long which, unsigned long long kinds) {
  static const char *const paths[] = {
    "/proc/self/ns/uts", "/proc/self/ns/ipc", "/proc/self/ns/net", "/proc/self/ns/pid", "/proc/self/ns/pid_for_children",
    "/proc/self/ns/cgroup", "/proc/self/ns/time", "/proc/self/ns/time_for_children", "/proc/self/ns/user", "/proc/self/ns/mnt",
    "/proc/self/status", "/", "/dev/null",
  };
  int descriptor = -1;
  if (which < COUNT(paths)) descriptor = open(paths[which], O_RDONLY);
  if (which == 20) descriptor = syscall(SYS_pidfd_open, getpid(), 0);
  if (which == 21) {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    descriptor = syscall(SYS_pidfd_open, pid, 0);
    siginfo_t info;
    waitid(P_PID, pid, &info, WEXITED | (kinds & 1 ? WNOWAIT : 0));
    kinds &= ~1ull;
  }
  if (which == 22) descriptor = open("/proc/self/ns/uts", O_PATH);
  if (which == 23) {
    int ends[2];
    OK(pipe(ends));
    descriptor = ends[0];
    close(ends[1]);
  }
  errno = 0;
  long result = syscall(SYS_setns, descriptor, kinds);
  int error = errno;
  close(descriptor);
  errno = error;
  return result;
}

static void setns_cases(const char *title) {
  static const char *const places[] = {
    "uts", "ipc", "net", "pid", "pid_for_children", "cgroup", "time", "time_for_children", "user", "mnt", "status", "/", "null",
    [20] = "pidfd of oneself", "pidfd of a dead child", "O_PATH", "a pipe", "-1",
  };
  static const struct flag kinds[] = {
    {"0", 0}, FLAG(NEWUTS), FLAG(NEWIPC), FLAG(NEWNET), FLAG(NEWPID), FLAG(NEWCGROUP), FLAG(NEWTIME), FLAG(NEWUSER),
    FLAG(NEWNS), FLAG(VM), {"NEWUTS|NEWIPC", CLONE_NEWUTS | CLONE_NEWIPC}, {"NEWUTS|FILES", CLONE_NEWUTS | CLONE_FILES}, {"1<<32", 1ull << 32},
  };
  char name[64];
  printf("== setns%s\n", title);
  for (size_t i = 0; i < COUNT(places); i++)
    for (size_t j = 0; places[i] != NULL && j < COUNT(kinds); j++) {
      snprintf(name, sizeof name, "%s, %s", places[i], kinds[j].name);
      outcome(name, by_setns, i, kinds[j].bits);
    }
  // Kernels differ about who may look into the dead.
  if (prepare != as_a_user) outcome("dead and not reaped, NEWUTS", by_setns, 21, CLONE_NEWUTS | 1);
}

static long by_waitid(unsigned long long kind_and_options, unsigned long long id) {
  siginfo_t info;
  return syscall(SYS_waitid, (int)kind_and_options, id, &info, (int)(kind_and_options >> 32), NULL);
}

static void with_a_dead_child(void) {
  pid_t pid = OK(fork());
  if (pid == 0) _exit(3);
  siginfo_t info;
  OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
}

static void with_a_live_child(void) {
  char byte;
  OK(pipe(ready));
  OK(clone(wait_for_ever, other_stack + sizeof other_stack, SIGCHLD, NULL));
  CHECK_EQ(read(ready[0], &byte, 1), 1);
}

static void waitid_cases(const char *title, int options) {
  static const int kinds[] = {-1, P_ALL, P_PID, P_PGID, P_PIDFD, 4};
  static const long ids[] = {-1, 0, 1, INT_MIN, 0x7fffffff, 1L << 32};
  static const int more[] = {0, WEXITED, WSTOPPED, WCONTINUED, WNOWAIT, WNOHANG, WEXITED | WNOWAIT, WEXITED | __WALL,
    WEXITED | __WCLONE, WEXITED | __WNOTHREAD, WEXITED | 0x10, WEXITED | 1 << 30, -1, WSTOPPED | WCONTINUED | WEXITED};
  char name[64];
  printf("== waitid%s\n", title);
  // A process without children from before.
  end_worker();
  for (size_t i = 0; i < COUNT(kinds); i++)
    for (size_t j = 0; j < COUNT(ids); j++)
      for (size_t k = 0; k < COUNT(more); k++) {
        // Natively init's process group is another.
        if (kinds[i] == P_PGID && ids[j] == 1) continue;
        int all_options = more[k] | options;
        snprintf(name, sizeof name, "%d, %ld, %#x", kinds[i], ids[j], all_options);
        outcome(name, by_waitid, (unsigned)kinds[i] | (unsigned long long)(unsigned)all_options << 32, ids[j]);
      }
}

int main(void) {
  setvbuf(stdout, NULL, _IOFBF, 1 << 20);
  signal(SIGRTMAX, SIG_IGN);
  prepare = as_it_is;
  pairs("clone3", by_clone3, 0, 0);
  singles("clone3 with SIGCHLD", by_clone3_with_a_signal);
  pairs("clone3 of threads", by_clone3, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD);
  pairs("clone", by_clone, 0xff000000ffull, 0);
  pairs("unshare", by_unshare, 0, 0);
  structures();
  setns_cases("");
  waitid_cases("", WNOHANG);
  prepare = with_a_thread;
  singles("unshare with a thread", by_unshare);
  setns_cases(" with a thread");
  prepare = with_a_shared_root;
  singles("unshare with a shared root", by_unshare);
  setns_cases(" with a shared root");
  prepare = in_another_pid_namespace;
  singles("clone3 in another PID namespace", by_clone3);
  singles("unshare in another PID namespace", by_unshare);
  prepare = in_another_time_namespace;
  singles("clone3 in another time namespace", by_clone3);
  singles("unshare in another time namespace", by_unshare);
  prepare = as_a_user;
  pairs("clone3 as a user", by_clone3, CLONE_NEWUSER, 0);
  pairs("unshare as a user", by_unshare, CLONE_NEWUSER, 0);
  setns_cases(" as a user");
  structures();
  prepare = with_a_dead_child;
  waitid_cases(" with a dead child", WNOHANG);
  prepare = with_a_live_child;
  waitid_cases(" with a live child", WNOHANG);
  end_worker();
  return 0;
}
