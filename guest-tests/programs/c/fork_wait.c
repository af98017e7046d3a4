// fork and the wait family: statuses, options, process groups, rusage, races of several children.
#include "check.h"
#include <sys/resource.h>

static void exit_statuses_are_reported(void) {
  int codes[] = {0, 1, 42, 127, 255, 256 + 7};
  for (size_t i = 0; i < COUNT(codes); i++) {
    pid_t pid;
    IN_CHILD(pid) { _exit(codes[i]); }
    WAIT_EXIT(pid, codes[i] & 0xff);
  }
}

static void deadly_signals_are_reported(void) {
  int numbers[] = {SIGHUP, SIGINT, SIGKILL, SIGUSR1, SIGALRM, SIGTERM, SIGPIPE, SIGRTMIN + 3};
  for (size_t i = 0; i < COUNT(numbers); i++) {
    pid_t pid;
    IN_CHILD(pid) {
      // Who runs the tests in the background has them ignore SIGINT.
      signal(numbers[i], SIG_DFL);
      raise(numbers[i]);
    }
    WAIT_SIGNALED(pid, numbers[i]);
  }
}

static void nohang_returns_zero_while_running(void) {
  int gate[2], status;
  OK(pipe(gate));
  pid_t pid;
  IN_CHILD(pid) {
    char byte;
    close(gate[1]);
    CHECK_EQ(read(gate[0], &byte, 1), 0);
    _exit(3);
  }
  CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
  OK(close(gate[1]));
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(WEXITSTATUS(status), 3);
  CHECK_ERRNO(waitpid(pid, &status, 0), ECHILD);
  close(gate[0]);
}

static void without_children_wait_fails(void) {
  int status;
  siginfo_t info;
  CHECK_ERRNO(wait(&status), ECHILD);
  CHECK_ERRNO(waitpid(-1, &status, WNOHANG), ECHILD);
  CHECK_ERRNO(waitpid(getpid(), &status, 0), ECHILD);
  CHECK_ERRNO(waitpid(1, &status, 0x40000), EINVAL);
  CHECK_ERRNO(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
  CHECK_ERRNO(waitid(P_ALL, 0, &info, 0), EINVAL);
  CHECK_ERRNO(waitid((idtype_t)77, 0, &info, WEXITED), EINVAL);
}

static void waitid_fills_siginfo(void) {
  pid_t pid;
  siginfo_t info;
  IN_CHILD(pid) { _exit(9); }
  memset(&info, 0xff, sizeof info);
  OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
  CHECK_EQ(info.si_signo, SIGCHLD);
  CHECK_EQ(info.si_code, CLD_EXITED);
  CHECK_EQ(info.si_pid, pid);
  CHECK_EQ(info.si_uid, getuid());
  CHECK_EQ(info.si_status, 9);
  OK(waitid(P_PID, pid, &info, WEXITED));
  CHECK_ERRNO(waitid(P_PID, pid, &info, WEXITED), ECHILD);

  IN_CHILD(pid) { raise(SIGKILL); }
  OK(waitid(P_ALL, 0, &info, WEXITED));
  CHECK_EQ(info.si_code, CLD_KILLED);
  CHECK_EQ(info.si_status, SIGKILL);

  IN_CHILD(pid) { sleep(20); }
  memset(&info, 0xff, sizeof info);
  OK(waitid(P_PID, pid, &info, WEXITED | WNOHANG));
  CHECK_EQ(info.si_pid, 0);
  CHECK_EQ(info.si_signo, 0);
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static void stops_and_continues_are_reported(void) {
  pid_t pid;
  int status;
  siginfo_t info;
  int go[2];
  OK(pipe(go));
  IN_CHILD(pid) {
    OK(setpgid(0, 0)); // A group with a parent in its session: SIGTSTP stops it.
    raise(SIGSTOP);
    CHECK_EQ(read(go[0], &status, 1), 1); // The next stop would take back the report of being continued.
    raise(SIGTSTP);
    _exit(4);
  }
  CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
  OK(kill(pid, SIGCONT));
  CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
  CHECK(WIFCONTINUED(status));
  CHECK_EQ(write(go[1], "", 1), 1);
  OK(waitid(P_PID, pid, &info, WSTOPPED));
  CHECK_EQ(info.si_code, CLD_STOPPED);
  CHECK_EQ(info.si_status, SIGTSTP);
  OK(kill(pid, SIGCONT));
  OK(waitid(P_PID, pid, &info, WCONTINUED | WEXITED | WNOWAIT));
  WAIT_EXIT(pid, 4);
  OK(close(go[0]));
  OK(close(go[1]));
}

static void a_stopped_child_can_be_killed(void) {
  pid_t pid;
  int status;
  IN_CHILD(pid) { raise(SIGSTOP); }
  CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static void groups_select_children(void) {
  pid_t first, second;
  int status;
  IN_CHILD(first) {
    OK(setpgid(0, 0));
    _exit(1);
  }
  IN_CHILD(second) { _exit(2); }
  setpgid(first, first);
  CHECK_EQ(waitpid(-first, &status, 0), first);
  CHECK_EQ(WEXITSTATUS(status), 1);
  CHECK_EQ(waitpid(0, &status, 0), second);
  CHECK_EQ(WEXITSTATUS(status), 2);
}

static void wait_collects_each_child_once(void) {
  enum { N = 16 };
  pid_t children[N];
  int seen[N] = {0};
  for (int i = 0; i < N; i++) {
    IN_CHILD(children[i]) { _exit(i); }
  }
  for (int i = 0; i < N; i++) {
    int status;
    pid_t pid = OK(wait(&status));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) < N);
    CHECK_EQ(children[WEXITSTATUS(status)], pid);
    seen[WEXITSTATUS(status)]++;
  }
  for (int i = 0; i < N; i++) CHECK_EQ(seen[i], 1);
  CHECK_ERRNO(wait(NULL), ECHILD);
}

static void wait4_reports_usage(void) {
  pid_t pid;
  struct rusage usage, children_before, children_after;
  OK(getrusage(RUSAGE_CHILDREN, &children_before));
  IN_CHILD(pid) {
    struct timespec used;
    do OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used));
    while (used.tv_nsec < 60000000);
  }
  int status;
  CHECK_EQ(wait4(pid, &status, 0, &usage), pid);
  long used_us = usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec;
  CHECK_CASE(used_us >= 30000, "%ld us", used_us);
  OK(getrusage(RUSAGE_CHILDREN, &children_after));
  long before = children_before.ru_utime.tv_sec * 1000000 + children_before.ru_utime.tv_usec + children_before.ru_stime.tv_sec * 1000000 + children_before.ru_stime.tv_usec;
  long after = children_after.ru_utime.tv_sec * 1000000 + children_after.ru_utime.tv_usec + children_after.ru_stime.tv_sec * 1000000 + children_after.ru_stime.tv_usec;
  CHECK_CASE(after - before >= 30000, "%ld us", after - before);
}

static void ignored_sigchld_reaps_by_itself(void) {
  signal(SIGCHLD, SIG_IGN);
  pid_t pid;
  IN_CHILD(pid) { _exit(5); }
  CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
  signal(SIGCHLD, SIG_DFL);
  struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
  OK(sigaction(SIGCHLD, &action, NULL));
  IN_CHILD(pid) { _exit(5); }
  CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
  signal(SIGCHLD, SIG_DFL);
}

static void *wait_in_thread(void *argument) {
  int status;
  CHECK_EQ(waitpid(*(pid_t *)argument, &status, 0), *(pid_t *)argument);
  return (void *)(long)WEXITSTATUS(status);
}

static void *fork_in_thread(void *argument) {
  pid_t *pid = argument;
  IN_CHILD(*pid) { _exit(12); }
  return NULL;
}

static void any_thread_waits_for_any_threads_child(void) {
  pid_t pid;
  join_thread(start_thread(fork_in_thread, &pid));
  CHECK_EQ((long)join_thread(start_thread(wait_in_thread, &pid)), 12);
  join_thread(start_thread(fork_in_thread, &pid));
  int status;
  // The thread that made it has gone; the first thread adopts it, maybe a moment after it could be joined.
  pid_t waited = -1;
  for (int tries = 0; tries < 1000 && (waited = waitpid(pid, &status, __WNOTHREAD)) < 0 && errno == ECHILD; tries++) usleep(1000);
  CHECK_EQ(waited, pid);
  CHECK_EQ(WEXITSTATUS(status), 12);
}

static void a_bad_status_pointer_still_reaps(void) {
  pid_t pid;
  IN_CHILD(pid) { _exit(1); }
  CHECK_ERRNO(syscall(SYS_wait4, pid, (void *)8, 0, NULL), EFAULT);
  CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
}

int main(void) {
  exit_statuses_are_reported();
  deadly_signals_are_reported();
  nohang_returns_zero_while_running();
  without_children_wait_fails();
  waitid_fills_siginfo();
  stops_and_continues_are_reported();
  a_stopped_child_can_be_killed();
  groups_select_children();
  wait_collects_each_child_once();
  wait4_reports_usage();
  ignored_sigchld_reaps_by_itself();
  any_thread_waits_for_any_threads_child();
  a_bad_status_pointer_still_reaps();
  return 0;
}
