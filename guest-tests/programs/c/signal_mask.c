// Signal masks: blocking, pending, the mask during handlers, inheritance, sigsuspend, odd arguments.
#include "check.h"
#include <setjmp.h>

static volatile sig_atomic_t count, last, nested, depth, blocked_in_handler;

static void note(int number, siginfo_t *info, void *context) {
  (void)info, (void)context;
  count++;
  last = number;
}

static void blocked_signals_wait(void) {
  sigset_t set = signals(SIGUSR1, SIGUSR2, 0), old, pending;
  handle(SIGUSR1, note, 0);
  handle(SIGUSR2, note, 0);
  count = 0;
  OK(sigprocmask(SIG_BLOCK, &set, &old));
  raise(SIGUSR1);
  raise(SIGUSR1); // A standard signal that is pending already is merged.
  raise(SIGUSR2);
  CHECK_EQ(count, 0);
  OK(sigpending(&pending));
  CHECK(sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGUSR2) && !sigismember(&pending, SIGTERM));
  OK(sigprocmask(SIG_SETMASK, &old, NULL));
  CHECK_EQ(count, 2);
  OK(sigpending(&pending));
  CHECK(!sigismember(&pending, SIGUSR1));
}

static void how_changes_the_set(void) {
  sigset_t first = signals(SIGUSR1, 0), second = signals(SIGUSR2, 0), now;
  OK(sigprocmask(SIG_SETMASK, &first, NULL));
  OK(sigprocmask(SIG_BLOCK, &second, NULL));
  OK(sigprocmask(SIG_BLOCK, NULL, &now));
  CHECK(sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2));
  OK(sigprocmask(SIG_UNBLOCK, &first, NULL));
  OK(sigprocmask(SIG_BLOCK, NULL, &now));
  CHECK(!sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2));
  CHECK_ERRNO(sigprocmask(77, &first, NULL), EINVAL);
  OK(sigprocmask(77, NULL, &now)); // Without a set, how is not looked at.
  OK(sigprocmask(SIG_UNBLOCK, &second, NULL));
}

static void kill_and_stop_cannot_be_blocked(void) {
  sigset_t all, now, none = {0};
  sigfillset(&all);
  OK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8));
  OK(sigprocmask(SIG_BLOCK, NULL, &now));
  CHECK(!sigismember(&now, SIGKILL) && !sigismember(&now, SIGSTOP) && sigismember(&now, SIGTERM));
  OK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8));
  struct sigaction action = {.sa_handler = SIG_IGN};
  CHECK_ERRNO(sigaction(SIGKILL, &action, NULL), EINVAL);
  CHECK_ERRNO(sigaction(SIGSTOP, &action, NULL), EINVAL);
  CHECK_ERRNO(sigaction(0, &action, NULL), EINVAL);
  CHECK_ERRNO(sigaction(65, &action, NULL), EINVAL);
  OK(sigaction(SIGKILL, NULL, &action));
}

static void nest(int number, siginfo_t *info, void *context) {
  (void)info, (void)context;
  depth++;
  if (depth > nested) nested = depth;
  if (count++ == 0) raise(number);
  sigset_t now;
  sigprocmask(SIG_BLOCK, NULL, &now);
  if (sigismember(&now, SIGUSR2)) blocked_in_handler = 1;
  depth--;
}

static void a_handler_blocks_its_own_signal(void) {
  struct { int flags, nesting; } cases[] = {{0, 1}, {SA_NODEFER, 2}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    struct sigaction action = {.sa_sigaction = nest, .sa_flags = SA_SIGINFO | cases[i].flags};
    action.sa_mask = signals(SIGUSR2, 0);
    OK(sigaction(SIGUSR1, &action, NULL));
    count = nested = blocked_in_handler = 0;
    raise(SIGUSR1);
    CHECK_EQ(count, 2);
    CHECK_EQ(nested, cases[i].nesting);
    CHECK_EQ(blocked_in_handler, 1);
    sigset_t now;
    OK(sigprocmask(SIG_BLOCK, NULL, &now));
    CHECK(!sigismember(&now, SIGUSR2) && !sigismember(&now, SIGUSR1));
  }
}

static void resethand_serves_once(void) {
  struct sigaction now;
  handle(SIGUSR1, note, SA_RESETHAND);
  raise(SIGUSR1);
  OK(sigaction(SIGUSR1, NULL, &now));
  CHECK(now.sa_handler == SIG_DFL);
}

static void children_inherit_the_mask_but_not_what_is_pending(void) {
  sigset_t set = signals(SIGUSR1, 0), now;
  handle(SIGUSR1, note, 0);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  raise(SIGUSR1);
  pid_t pid;
  IN_CHILD(pid) {
    OK(sigprocmask(SIG_BLOCK, NULL, &now));
    CHECK(sigismember(&now, SIGUSR1));
    OK(sigpending(&now));
    CHECK(!sigismember(&now, SIGUSR1));
  }
  WAIT_OK(pid);
  OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

static void ignoring_discards_what_is_pending(void) {
  sigset_t set = signals(SIGUSR1, 0), pending;
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  raise(SIGUSR1);
  signal(SIGUSR1, SIG_IGN);
  OK(sigpending(&pending));
  CHECK(!sigismember(&pending, SIGUSR1));
  raise(SIGUSR1); // A blocked ignored signal is queued, for the action may change.
  OK(sigpending(&pending));
  CHECK(sigismember(&pending, SIGUSR1));
  signal(SIGUSR1, SIG_IGN);
  OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

static void sigsuspend_swaps_the_mask(void) {
  sigset_t set = signals(SIGUSR1, SIGUSR2, 0), only = signals(SIGUSR2, 0), now;
  handle(SIGUSR1, note, 0);
  handle(SIGUSR2, note, 0);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  count = 0;
  raise(SIGUSR1);
  raise(SIGUSR2);
  CHECK_ERRNO(sigsuspend(&only), EINTR);
  CHECK_EQ(count, 1);
  CHECK_EQ(last, SIGUSR1);
  OK(sigprocmask(SIG_BLOCK, NULL, &now));
  CHECK(sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2));
  OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
  CHECK_EQ(count, 2);
  pid_t self = getpid(), pid;
  IN_CHILD(pid) {
    // More than once: the first may come before the parent pauses.
    for (;;) {
      sleep_ms(30);
      kill(self, SIGUSR1);
    }
  }
  CHECK_ERRNO(pause(), EINTR);
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static sigjmp_buf target;
static void jump(int number, siginfo_t *info, void *context) {
  (void)info, (void)context;
  siglongjmp(target, number);
}

static void siglongjmp_restores_the_mask(void) {
  sigset_t now;
  handle(SIGUSR1, jump, 0);
  for (volatile int i = 0; i < 3; i++)
    if (sigsetjmp(target, 1) == 0) {
      raise(SIGUSR1);
      FAIL("the handler returned");
    }
  OK(sigprocmask(SIG_BLOCK, NULL, &now));
  CHECK(!sigismember(&now, SIGUSR1));
}

static void sizes_and_pointers_are_checked(void) {
  sigset_t set = signals(SIGUSR1, 0);
  CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 4), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, NULL, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, 8, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, 8, NULL, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 16), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_sigpending, 8, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_rt_sigpending, &set, 9), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_sigsuspend, 8, 8), EFAULT);
}

static void *thread_masks(void *argument) {
  sigset_t now, set = signals(SIGUSR2, 0);
  CHECK_ZERO(pthread_sigmask(SIG_BLOCK, &set, &now));
  CHECK(sigismember(&now, SIGUSR1)); // Inherited from the creator.
  return argument;
}

static void masks_are_per_thread(void) {
  sigset_t set = signals(SIGUSR1, 0), now;
  CHECK_ZERO(pthread_sigmask(SIG_BLOCK, &set, NULL));
  join_thread(start_thread(thread_masks, NULL));
  CHECK_ZERO(pthread_sigmask(SIG_UNBLOCK, &set, &now));
  CHECK(sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
}

int main(void) {
  blocked_signals_wait();
  how_changes_the_set();
  kill_and_stop_cannot_be_blocked();
  a_handler_blocks_its_own_signal();
  resethand_serves_once();
  children_inherit_the_mask_but_not_what_is_pending();
  ignoring_discards_what_is_pending();
  sigsuspend_swaps_the_mask();
  siglongjmp_restores_the_mask();
  sizes_and_pointers_are_checked();
  masks_are_per_thread();
  return 0;
}
