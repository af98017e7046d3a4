// Sending: kill, tgkill, tkill, targets and errors; which thread a process signal finds; SIGCHLD, SIGPIPE, SIGALRM.
#include "check.h"
#include <sys/socket.h>

static volatile sig_atomic_t count, code, status_value, sender;
static volatile pthread_t handled_by;

static void note(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  handled_by = pthread_self();
  code = info->si_code;
  sender = info->si_pid;
  status_value = info->si_status;
  count++;
}

static void odd_targets_are_refused(void) {
  CHECK_ERRNO(kill(0x3ffffff, SIGTERM), ESRCH);
  CHECK_ERRNO(kill(getpid(), 65), EINVAL);
  CHECK_ERRNO(kill(getpid(), -1), EINVAL);
  CHECK_ERRNO(kill(INT_MIN, SIGTERM), ESRCH);
  CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 0x3ffffff, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_tgkill, getpid(), 0, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_tgkill, -1, getpid(), 0), EINVAL);
  pid_t pid;
  IN_CHILD(pid) { pause(); }
  CHECK_ERRNO(syscall(SYS_tgkill, pid, getpid(), 0), ESRCH); // Not a thread of that process.
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
  CHECK_ERRNO(syscall(SYS_tkill, 0, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_tkill, 0x3ffffff, 0), ESRCH);
  OK(kill(getpid(), 0));
  OK(syscall(SYS_tgkill, getpid(), getpid(), 0));
}

static void senders_are_named(void) {
  handle(SIGUSR1, note, 0);
  OK(kill(getpid(), SIGUSR1));
  CHECK_EQ(code, SI_USER);
  CHECK_EQ(sender, getpid());
  OK(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1));
  CHECK_EQ(code, SI_TKILL);
  CHECK_ZERO(pthread_kill(pthread_self(), SIGUSR1));
  CHECK_EQ(code, SI_TKILL);
}

static volatile int quit;
static void *wait_with_mask(void *argument) {
  sigset_t set = signals(SIGUSR1, 0);
  pthread_sigmask(argument ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
  while (!quit) sleep_ms(5);
  return NULL;
}

static void a_process_signal_finds_a_thread_that_takes_it(void) {
  sigset_t set = signals(SIGUSR1, 0);
  CHECK_ZERO(pthread_sigmask(SIG_BLOCK, &set, NULL));
  pthread_t blocking = start_thread(wait_with_mask, (void *)1), taking = start_thread(wait_with_mask, NULL);
  sleep_ms(20);
  for (int i = 0; i < 5; i++) {
    count = 0;
    OK(kill(getpid(), SIGUSR1));
    for (int n = 0; n < 400 && count == 0; n++) sleep_ms(5);
    CHECK_EQ(count, 1);
    CHECK(pthread_equal(handled_by, taking));
  }
  count = 0;
  CHECK_ZERO(pthread_kill(blocking, SIGUSR1)); // Directed: stays pending there.
  sleep_ms(30);
  CHECK_EQ(count, 0);
  quit = 1;
  join_thread(blocking);
  join_thread(taking);
  CHECK_ZERO(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
  CHECK_EQ(count, 0); // What was pending for a thread went with it.
}

static void *spin(void *argument) {
  while (!quit) __asm__ volatile("" ::: "memory");
  return argument;
}

static void a_computing_thread_is_interrupted(void) {
  sigset_t set = signals(SIGUSR1, 0);
  quit = 0;
  pthread_t thread = start_thread(spin, NULL);
  CHECK_ZERO(pthread_sigmask(SIG_BLOCK, &set, NULL));
  for (int i = 0; i < 20; i++) {
    count = 0;
    OK(kill(getpid(), SIGUSR1));
    for (int n = 0; n < 1000 && count == 0; n++) sleep_ms(2);
    CHECK_EQ(count, 1);
    CHECK(pthread_equal(handled_by, thread));
  }
  quit = 1;
  join_thread(thread);
  CHECK_ZERO(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
}

static void children_announce_their_changes(void) {
  handle(SIGCHLD, note, 0);
  sigset_t set = signals(SIGCHLD, 0), none;
  sigemptyset(&none);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  pid_t pid;
  int gate[2];
  OK(pipe(gate));
  IN_CHILD(pid) {
    char byte;
    OK(close(gate[1]));
    raise(SIGSTOP);
    CHECK_EQ(read(gate[0], &byte, 1), 0); // Else the news of its end might be merged with those of its going on.
    _exit(31);
  }
  CHECK_ERRNO(sigsuspend(&none), EINTR);
  CHECK_EQ(code, CLD_STOPPED);
  CHECK_EQ(status_value, SIGSTOP);
  CHECK_EQ(sender, pid);
  OK(kill(pid, SIGCONT));
  CHECK_ERRNO(sigsuspend(&none), EINTR);
  CHECK_EQ(code, CLD_CONTINUED);
  CHECK_EQ(status_value, SIGCONT);
  OK(close(gate[1]));
  OK(close(gate[0]));
  CHECK_ERRNO(sigsuspend(&none), EINTR);
  CHECK_EQ(code, CLD_EXITED);
  CHECK_EQ(status_value, 31);
  WAIT_EXIT(pid, 31);
  handle(SIGCHLD, note, SA_NOCLDSTOP);
  OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
  count = 0;
  IN_CHILD(pid) { raise(SIGSTOP); raise(SIGTERM); }
  int status;
  CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
  CHECK_EQ(count, 0);
  OK(kill(pid, SIGCONT));
  WAIT_SIGNALED(pid, SIGTERM);
  CHECK_EQ(count, 1);
  CHECK_EQ(code, CLD_KILLED);
  signal(SIGCHLD, SIG_DFL);
}

static void broken_pipes_announce_themselves(void) {
  int ends[2];
  handle(SIGPIPE, note, 0);
  count = 0;
  OK(pipe(ends));
  OK(close(ends[0]));
  CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
  CHECK_EQ(count, 1);
  OK(close(ends[1]));
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  OK(close(ends[0]));
  CHECK_ERRNO(send(ends[1], "x", 1, 0), EPIPE);
  CHECK_EQ(count, 2);
  CHECK_ERRNO(send(ends[1], "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK_EQ(count, 2);
  OK(close(ends[1]));
  signal(SIGPIPE, SIG_DFL);
  pid_t pid;
  IN_CHILD(pid) {
    OK(pipe(ends));
    OK(close(ends[0]));
    OK(write(ends[1], "x", 1));
  }
  WAIT_SIGNALED(pid, SIGPIPE);
}

static void alarms_ring_once(void) {
  handle(SIGALRM, note, 0);
  CHECK_EQ(alarm(100), 0);
  unsigned left = alarm(1);
  CHECK(left == 100 || left == 99);
  count = 0;
  for (int i = 0; i < 1000 && count == 0; i++) sleep_ms(5);
  CHECK_EQ(count, 1);
  CHECK_EQ(code, SI_KERNEL);
  CHECK_EQ(alarm(0), 0);
  alarm(50);
  pid_t pid;
  IN_CHILD(pid) { CHECK_EQ(alarm(0), 0); } // Not inherited by fork.
  WAIT_OK(pid);
  CHECK(alarm(0) >= 49);
}

static void stop_signals_and_continue_cancel_each_other(void) {
  sigset_t set = signals(SIGTSTP, SIGCONT, 0), pending;
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  handle(SIGTSTP, note, 0);
  handle(SIGCONT, note, 0);
  raise(SIGTSTP);
  raise(SIGCONT);
  OK(sigpending(&pending));
  CHECK(!sigismember(&pending, SIGTSTP) && sigismember(&pending, SIGCONT));
  raise(SIGTSTP);
  OK(sigpending(&pending));
  CHECK(sigismember(&pending, SIGTSTP) && !sigismember(&pending, SIGCONT));
  count = 0;
  OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
  CHECK_EQ(count, 1);
  signal(SIGTSTP, SIG_DFL);
}

static void default_ignored_signals_do_nothing(void) {
  int numbers[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
  for (size_t i = 0; i < COUNT(numbers); i++) {
    signal(numbers[i], SIG_DFL);
    raise(numbers[i]);
  }
}

int main(void) {
  odd_targets_are_refused();
  senders_are_named();
  a_process_signal_finds_a_thread_that_takes_it();
  a_computing_thread_is_interrupted();
  children_announce_their_changes();
  broken_pipes_announce_themselves();
  alarms_ring_once();
  stop_signals_and_continue_cancel_each_other();
  default_ignored_signals_do_nothing();
  return 0;
}
