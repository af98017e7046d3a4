// Calls that are given the number of a thread that leads no process: each finds it, or refuses it, in its own way.
#include "check.h"
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>

static volatile pid_t thread_id;
static volatile sig_atomic_t count, code, handled_by;

static void note(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  count++;
  code = info->si_code;
  handled_by = syscall(SYS_gettid);
}

static void *block_all(void *argument) {
  sigset_t all;
  sigfillset(&all);
  CHECK_ZERO(pthread_sigmask(SIG_BLOCK, &all, NULL));
  thread_id = syscall(SYS_gettid);
  for (;;) pause();
  return argument;
}

static pid_t start_blocking_thread(void) {
  thread_id = 0;
  start_thread(block_all, NULL);
  while (thread_id == 0) sleep_ms(1);
  return thread_id;
}

// A child with a second thread, whose number goes to `thread`.
static pid_t child_with_thread(pid_t *thread, int leader_exits) {
  int channel[2];
  OK(pipe(channel));
  pid_t pid;
  IN_CHILD(pid) {
    pid_t id = start_blocking_thread();
    CHECK_EQ(write(channel[1], &id, sizeof id), sizeof id);
    if (leader_exits) syscall(SYS_exit, 3);
    for (;;) pause();
  }
  CHECK_EQ(read(channel[0], thread, sizeof *thread), sizeof *thread);
  OK(close(channel[0]));
  OK(close(channel[1]));
  return pid;
}

static siginfo_t composed(int number, int si_code) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = number;
  info.si_code = si_code;
  return info;
}

// The thread blocks everything: that the signal arrives shows that it is the process's.
static void kill_and_sigqueue_reach_the_process(pid_t thread) {
  handle(SIGUSR1, note, 0);
  OK(kill(thread, 0));
  OK(kill(thread, SIGUSR1));
  CHECK_EQ(count, 1);
  CHECK_EQ(code, SI_USER);
  CHECK_EQ(handled_by, getpid());
  siginfo_t info = composed(SIGUSR1, SI_QUEUE);
  OK(syscall(SYS_rt_sigqueueinfo, thread, SIGUSR1, &info));
  CHECK_EQ(count, 2);
  CHECK_EQ(code, SI_QUEUE);
  OK(syscall(SYS_tgkill, getpid(), thread, SIGUSR1));
  OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), thread, SIGUSR1, &info));
  CHECK_EQ(count, 2); // Those stay with the thread.
  CHECK_ERRNO(syscall(SYS_tgkill, thread, thread, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, thread, thread, SIGUSR1, &info), ESRCH);
  CHECK_ERRNO(kill(-thread, 0), ESRCH);
}

// Only the receiving thread itself may claim to be the kernel or kill(2).
static void made_up_causes_are_one_s_own(pid_t thread) {
  int codes[] = {SI_USER, SI_KERNEL, SI_TKILL};
  for (size_t i = 0; i < COUNT(codes); i++) {
    siginfo_t info = composed(SIGUSR1, codes[i]);
    count = 0;
    OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info));
    OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR1, &info));
    CHECK_EQ(count, 2);
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, thread, SIGUSR1, &info), EPERM);
    CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getpid(), thread, SIGUSR1, &info), EPERM);
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, 0x3ffffff, SIGUSR1, &info), EPERM);
  }
}

static void errors_come_in_linux_s_order(void) {
  siginfo_t info = composed(SIGUSR1, SI_QUEUE);
  CHECK_ERRNO(kill(0x3ffffff, 65), ESRCH);
  CHECK_ERRNO(kill(-0x3ffffff, 65), ESRCH);
  CHECK_ERRNO(syscall(SYS_tkill, 0x3ffffff, 65), ESRCH);
  CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 0x3ffffff, 65), ESRCH);
  CHECK_ERRNO(syscall(SYS_tgkill, getpid(), getpid(), 65), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, 0x3ffffff, 65, &info), ESRCH);
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &info), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, 0, 0, &info), ESRCH);
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), 65, wild), EFAULT);
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, 0, 0, 0, &info), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, getpid(), 0x3ffffff, 65, &info), ESRCH);
  // Behind an unknown code nothing may lie.
  info.si_code = -100;
  OK(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &info));
  ((char *)&info)[100] = 1;
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &info), E2BIG);
  info.si_code = SI_QUEUE;
  OK(syscall(SYS_rt_sigqueueinfo, getpid(), 0, &info));
}

static void process_groups_take_leaders_alone(pid_t thread) {
  CHECK_EQ(getpgid(thread), getpgid(0));
  CHECK_EQ(getsid(thread), getsid(0));
  pid_t others[] = {0, getpid(), thread};
  for (size_t i = 0; i < COUNT(others); i++) CHECK_ERRNO(setpgid(thread, others[i]), EINVAL);
  pid_t its_thread, child = child_with_thread(&its_thread, 0);
  CHECK_ERRNO(setpgid(its_thread, 0), EINVAL);
  CHECK_ERRNO(setpgid(its_thread, child), EINVAL);
  CHECK_ERRNO(setpgid(child, its_thread), EPERM);
  OK(setpgid(child, child));
  CHECK_EQ(getpgid(its_thread), child);
  // wait finds it by none of its threads' numbers.
  int options[] = {0, __WCLONE, __WALL};
  for (size_t i = 0; i < COUNT(options); i++) CHECK_ERRNO(waitpid(its_thread, NULL, WNOHANG | options[i]), ECHILD);
  siginfo_t info;
  CHECK_ERRNO(waitid(P_PID, its_thread, &info, WEXITED | WNOHANG), ECHILD);
  // But its tracer does.
  OK(ptrace(PTRACE_SEIZE, its_thread, 0, 0));
  CHECK_EQ(waitpid(its_thread, NULL, WNOHANG), 0);
  OK(kill(its_thread, SIGKILL));
  CHECK_EQ(waitpid(its_thread, NULL, 0), its_thread);
  WAIT_SIGNALED(child, SIGKILL);
}

static void what_asks_for_a_task_finds_a_thread(pid_t thread) {
  struct sched_param parameters;
  CHECK_EQ(sched_getscheduler(thread), SCHED_OTHER);
  OK(sched_getparam(thread, &parameters));
  struct rlimit limit;
  OK(prlimit(thread, RLIMIT_NOFILE, NULL, &limit));
  OK(setpriority(PRIO_PROCESS, thread, 3));
  CHECK_EQ(getpriority(PRIO_PROCESS, thread), 3);
  CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
  int from = 5, to = 0;
  struct iovec local = {&to, sizeof to}, remote = {&from, sizeof from};
  CHECK_EQ(process_vm_readv(thread, &local, 1, &remote, 1, 0), sizeof to);
  void *head;
  size_t length;
  OK(syscall(SYS_get_robust_list, thread, &head, &length));
  CHECK_ERRNO(ptrace(PTRACE_SEIZE, thread, 0, 0), EPERM); // One's own.
  int file = OK(open("/dev/null", O_RDONLY));
  OK(fcntl(file, F_SETOWN, thread));
  CHECK_EQ(fcntl(file, F_GETOWN), 0); // It leads nothing.
  OK(fcntl(file, F_SETOWN, getpid()));
  CHECK_EQ(fcntl(file, F_GETOWN), getpid());
  CHECK_ERRNO(fcntl(file, F_SETOWN, 0x3ffffff), ESRCH);
  struct f_owner_ex owner = {F_OWNER_TID, thread};
  OK(fcntl(file, F_SETOWN_EX, &owner));
  owner.pid = 0x3ffffff;
  CHECK_ERRNO(fcntl(file, F_SETOWN_EX, &owner), ESRCH);
  OK(close(file));
}

static void a_process_whose_leader_has_exited_is_there(void) {
  pid_t thread, child = child_with_thread(&thread, 1);
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", child);
  do sleep_ms(1), read_file(path, text, sizeof text);
  while (strstr(text, ") Z ") == NULL);
  OK(kill(child, 0));
  OK(kill(thread, 0));
  OK(syscall(SYS_tgkill, child, child, 0));
  CHECK_EQ(getpgid(child), getpgid(0));
  struct rlimit limit;
  OK(prlimit(child, RLIMIT_NOFILE, NULL, &limit));
  int from = 5, to = 0;
  struct iovec local = {&to, sizeof to}, remote = {&from, sizeof from};
  CHECK_ERRNO(process_vm_readv(child, &local, 1, &remote, 1, 0), ESRCH);
  CHECK_EQ(process_vm_readv(thread, &local, 1, &remote, 1, 0), sizeof to);
  CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
  OK(kill(child, SIGKILL));
  WAIT_SIGNALED(child, SIGKILL);
}

static void a_zombie_is_there_until_it_is_reaped(void) {
  pid_t child;
  IN_CHILD(child) {}
  siginfo_t info;
  OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
  OK(kill(child, 0));
  OK(kill(child, SIGTERM));
  CHECK_ERRNO(kill(child, 65), EINVAL);
  OK(syscall(SYS_tgkill, child, child, SIGUSR1));
  CHECK_EQ(getpgid(child), getpgid(0));
  OK(setpgid(child, child));
  CHECK_EQ(getpgid(child), child);
  CHECK_EQ(sched_getscheduler(child), SCHED_OTHER);
  CHECK_EQ(getpriority(PRIO_PROCESS, child), 0);
  CHECK_ERRNO(ptrace(PTRACE_SEIZE, child, 0, 0), EPERM);
  // Another user's zombie is as far as another user's process.
  pid_t other;
  IN_CHILD(other) {
    OK(setresuid(1234, 1234, 1234));
    CHECK_ERRNO(kill(child, 0), EPERM);
    CHECK_ERRNO(kill(child, SIGTERM), EPERM);
  }
  WAIT_OK(other);
  WAIT_OK(child);
  CHECK_ERRNO(kill(child, 0), ESRCH);
}

int main(void) {
  pid_t thread = start_blocking_thread();
  kill_and_sigqueue_reach_the_process(thread);
  made_up_causes_are_one_s_own(thread);
  errors_come_in_linux_s_order();
  process_groups_take_leaders_alone(thread);
  what_asks_for_a_task_finds_a_thread(thread);
  a_process_whose_leader_has_exited_is_there();
  a_zombie_is_there_until_it_is_reaped();
  return 0;
}
