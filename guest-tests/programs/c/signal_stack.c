// The alternate signal stack: use, nesting, overflow of the ordinary stack, refusals, autodisarm.
#include "check.h"
#include <setjmp.h>
#include <sys/resource.h>
#include <ucontext.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static char *area;
enum { SIZE = 64 * 1024 };
static volatile int on_area, reported_flags, depth;

static int is_on_area(void) {
  char *here = __builtin_frame_address(0);
  return here >= area && here < area + SIZE;
}

static void where_am_i(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  on_area = is_on_area();
  stack_t now;
  OK(sigaltstack(NULL, &now));
  reported_flags = now.ss_flags;
  ucontext_t *frame = context;
  CHECK(frame->uc_stack.ss_sp == area || frame->uc_stack.ss_sp == NULL);
  if (on_area && !(now.ss_flags & SS_DISABLE)) {
    stack_t other = {.ss_sp = area, .ss_size = SIZE};
    CHECK_ERRNO(sigaltstack(&other, NULL), EPERM); // Not while it is in use.
  }
  CHECK_EQ((uintptr_t)__builtin_frame_address(0) % 16, 0);
}

static void handlers_choose_their_stack(void) {
  stack_t stack = {.ss_sp = area, .ss_size = SIZE}, old;
  OK(sigaltstack(&stack, &old));
  CHECK_EQ(old.ss_flags, SS_DISABLE);
  handle(SIGUSR1, where_am_i, SA_ONSTACK);
  raise(SIGUSR1);
  CHECK(on_area);
  CHECK_EQ(reported_flags, SS_ONSTACK);
  handle(SIGUSR1, where_am_i, 0);
  raise(SIGUSR1);
  CHECK(!on_area);
  CHECK_EQ(reported_flags, 0);
  OK(sigaltstack(NULL, &old));
  CHECK(old.ss_sp == area && old.ss_size == SIZE && old.ss_flags == 0);
}

static void nest(int number, siginfo_t *info, void *context) {
  (void)info, (void)context;
  CHECK(is_on_area());
  static char *outer;
  char here;
  if (depth++ == 0) {
    outer = &here;
    raise(number);
  } else {
    CHECK(&here < outer); // The second frame lies below the first on the same stack.
  }
}

static void nested_handlers_share_it(void) {
  handle(SIGUSR2, nest, SA_ONSTACK | SA_NODEFER);
  depth = 0;
  raise(SIGUSR2);
  CHECK_EQ(depth, 2);
}

static sigjmp_buf escape;
static void on_overflow(int number, siginfo_t *info, void *context) {
  (void)context;
  CHECK_EQ(number, SIGSEGV);
  CHECK(is_on_area());
  CHECK(info->si_code == SEGV_MAPERR || info->si_code == SEGV_ACCERR);
  siglongjmp(escape, 1);
}

static NOINLINE int recurse(int level) {
  volatile char frame[4096];
  frame[0] = level;
  if (level < 0) return 0;
  return recurse(level + 1) + frame[0];
}

static void stack_overflow_is_caught(void) {
  pid_t pid;
  IN_CHILD(pid) {
    struct rlimit limit = {512 * 1024, RLIM_INFINITY};
    getrlimit(RLIMIT_STACK, &limit);
    limit.rlim_cur = 512 * 1024;
    OK(setrlimit(RLIMIT_STACK, &limit));
    handle(SIGSEGV, on_overflow, SA_ONSTACK);
    for (volatile int i = 0; i < 3; i++)
      if (sigsetjmp(escape, 1) == 0) FAIL("returned %d", recurse(0));
  }
  WAIT_OK(pid);
}

static void without_room_the_process_dies(void) {
  pid_t pid;
  IN_CHILD(pid) {
    struct rlimit limit = {512 * 1024, 512 * 1024};
    OK(setrlimit(RLIMIT_STACK, &limit));
    handle(SIGSEGV, on_overflow, 0); // The frame does not fit on the exhausted stack.
    recurse(0);
  }
  WAIT_SIGNALED(pid, SIGSEGV);
}

static void odd_stacks_are_refused(void) {
  stack_t stack = {.ss_sp = area, .ss_size = 2047};
  CHECK_ERRNO(sigaltstack(&stack, NULL), ENOMEM);
  stack = (stack_t){.ss_sp = area, .ss_size = SIZE, .ss_flags = 0x40};
  CHECK_ERRNO(sigaltstack(&stack, NULL), EINVAL);
  CHECK_ERRNO(syscall(SYS_sigaltstack, 8, NULL), EFAULT);
  CHECK_ERRNO(syscall(SYS_sigaltstack, NULL, 8), EFAULT);
}

static void *thread_starts_without(void *argument) {
  stack_t now;
  OK(sigaltstack(NULL, &now));
  CHECK_EQ(now.ss_flags, SS_DISABLE);
  return argument;
}

static void it_belongs_to_the_thread_and_survives_fork(void) {
  join_thread(start_thread(thread_starts_without, NULL));
  pid_t pid;
  IN_CHILD(pid) {
    stack_t now;
    OK(sigaltstack(NULL, &now));
    CHECK(now.ss_sp == area);
  }
  WAIT_OK(pid);
}

static void autodisarm_disables_during_the_handler(void) {
  stack_t stack = {.ss_sp = area, .ss_size = SIZE, .ss_flags = SS_AUTODISARM}, now;
  OK(sigaltstack(&stack, NULL));
  handle(SIGUSR1, where_am_i, SA_ONSTACK);
  raise(SIGUSR1);
  CHECK(on_area);
  CHECK_EQ(reported_flags, SS_DISABLE);
  OK(sigaltstack(NULL, &now));
  CHECK_EQ((unsigned)now.ss_flags, SS_AUTODISARM); // Restored by sigreturn.
  stack = (stack_t){.ss_flags = SS_DISABLE | SS_AUTODISARM};
  OK(sigaltstack(&stack, NULL));
  OK(sigaltstack(NULL, &now));
  CHECK_EQ((unsigned)now.ss_flags, SS_DISABLE | SS_AUTODISARM);
  stack = (stack_t){.ss_flags = SS_DISABLE};
  OK(sigaltstack(&stack, NULL));
  OK(sigaltstack(NULL, &now));
  CHECK_EQ(now.ss_flags, SS_DISABLE);
  raise(SIGUSR1);
  CHECK(!on_area);
}

int main(void) {
  area = map_anonymous(SIZE, PROT_READ | PROT_WRITE);
  handlers_choose_their_stack();
  nested_handlers_share_it();
  stack_overflow_is_caught();
  without_room_the_process_dies();
  odd_stacks_are_refused();
  it_belongs_to_the_thread_and_survives_fork();
  autodisarm_disables_during_the_handler();
  return 0;
}
