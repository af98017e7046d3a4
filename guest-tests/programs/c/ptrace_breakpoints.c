// ptrace: breakpoints of the debug registers, what they refuse and whom they outlive; steps from branch to branch.
#include "tracees.h"
#include <stdbool.h>

#define REGISTER(number) (offsetof(struct user, u_debugreg) + 8 * (number))
#define WRITE 1UL
#define READ_OR_WRITE 3UL
#define RESUME_FLAG 0x10000
#define SINGLEBLOCK 33
// DR7 for breakpoint `index`.
#define CONTROL(index, kind, length) (1UL << 2 * (index) | ((kind) | (length) << 2) << (16 + 4 * (index)))

static const unsigned long length_code[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
static volatile long words[8];
static volatile long sink;

NOINLINE static void target(void) { __asm__ volatile("nop"); }

static unsigned long get(pid_t pid, int number) {
  errno = 0;
  unsigned long value = ptrace(PTRACE_PEEKUSER, pid, REGISTER(number), 0);
  CHECK_EQ(errno, 0);
  return value;
}

static long set(pid_t pid, int number, unsigned long value) {
  return ptrace(PTRACE_POKEUSER, pid, REGISTER(number), value);
}

// Resumes the task until it stops with SIGTRAP of `code`, and DR6 has `status`.
static void expect_trap(pid_t pid, int request, int code, unsigned long dr6) {
  int status;
  OK(ptrace(request, pid, 0, 0));
  CHECK_EQ(waitpid(pid, &status, __WALL), pid);
  CHECK_CASE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP, "status %x", status);
  siginfo_t info;
  OK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
  CHECK_EQ(info.si_code, code);
  CHECK_EQ((unsigned long)info.si_addr, registers_of(pid).rip);
  CHECK_EQ(get(pid, 6), 0xffff0ff0 | dr6);
}

static void expect_exit(pid_t pid, int code) {
  OK(ptrace(PTRACE_CONT, pid, 0, 0));
  WAIT_EXIT(pid, code);
}

static void nothing(void) {}

static void registers_hold_what_is_allowed(void) {
  pid_t pid = traced_child(nothing, 0);
  for (int number = 0; number < 8; number++) CHECK_EQ(get(pid, number), number == 6 ? 0xffff0ff0 : 0);
  CHECK_ERRNO(set(pid, 0, 1UL << 63), EINVAL);
  CHECK_ERRNO(set(pid, 0, 0x7ffffffff000), EINVAL);
  OK(set(pid, 0, 0x7fffffffefff));
  CHECK_ERRNO(set(pid, 4, 0), EIO);
  CHECK_ERRNO(set(pid, 5, 0), EIO);
  OK(set(pid, 6, 1UL << 63));
  CHECK_EQ(get(pid, 6), 1UL << 63);
  OK(set(pid, 7, 0x400));
  CHECK_EQ(get(pid, 7), 0x400);
  for (unsigned long kind = 0; kind < 4; kind++) {
    for (unsigned long length = 1; length <= 8; length *= 2) {
      for (unsigned long offset = 0; offset < 8; offset++) {
        OK(set(pid, 7, 0));
        OK(set(pid, 1, (unsigned long)&words[0] + offset));
        unsigned long control = CONTROL(1, kind, length_code[length]);
        bool is_allowed = kind != 2 && (kind != 0 || length == 1) && offset % length == 0;
        CHECK_CASE((set(pid, 7, control) == 0) == is_allowed, "kind %lu, length %lu, offset %lu", kind, length, offset);
        CHECK_EQ(get(pid, 7), is_allowed ? control : 0);
        if (is_allowed && length == 4) CHECK_ERRNO(set(pid, 1, (unsigned long)&words[0] + 2), EINVAL);
      }
    }
  }
  // All or nothing; and one that has never had an address is enabled at 0.
  OK(set(pid, 7, 0));
  CHECK_ERRNO(set(pid, 7, CONTROL(1, WRITE, 0UL) | CONTROL(2, 2UL, 0UL)), EINVAL);
  CHECK_EQ(get(pid, 7), 0);
  OK(set(pid, 7, CONTROL(3, WRITE, 0UL)));
  expect_exit(pid, 9);
}

static void touch(void) {
  words[0] = 1;
  sink = words[0];
  words[0] = 1;
  ((volatile char *)&words[1])[3] = 1;
  sink = words[2];
  int ends[2];
  OK(pipe(ends));
  OK(write(ends[1], "abcdefgh", 8));
  OK(read(ends[0], (void *)&words[0], 8));
  target();
  target();
}

static void writes_are_noticed_even_if_they_change_nothing(void) {
  pid_t pid = traced_child(touch, 0);
  OK(set(pid, 0, (unsigned long)&words[0]));
  OK(set(pid, 3, (unsigned long)&words[1] + 2));
  OK(set(pid, 7, CONTROL(0, WRITE, 2UL) | CONTROL(3, WRITE, 1UL)));
  expect_trap(pid, PTRACE_CONT, TRAP_HWBKPT, 1);
  expect_trap(pid, PTRACE_CONT, TRAP_HWBKPT, 1);
  expect_trap(pid, PTRACE_CONT, TRAP_HWBKPT, 8);
  // What a system call writes is not noticed.
  expect_exit(pid, 9);
}

static void reads_are_noticed(void) {
  pid_t pid = traced_child(touch, 0);
  OK(set(pid, 0, (unsigned long)&words[0]));
  OK(set(pid, 1, (unsigned long)&words[2]));
  OK(set(pid, 7, CONTROL(0, READ_OR_WRITE, 2UL) | CONTROL(1, READ_OR_WRITE, 0UL)));
  for (int time = 0; time < 3; time++) expect_trap(pid, PTRACE_CONT, TRAP_HWBKPT, 1);
  expect_trap(pid, PTRACE_CONT, TRAP_HWBKPT, 2);
  expect_exit(pid, 9);
}

static void many_kinds_of_instructions(void) {
  long *place = (long *)&words[4];
  __asm__ volatile("movdqu %%xmm0, -8(%0)\n"
                   "lock incq (%0)\n"
                   "cmpq $0, (%0)\n"
                   "lea (%0), %%rax\n"
                   "nop\n"
                   "prefetcht0 (%0)\n"
                   "mov %0, %%rdi\n"
                   "lea 32(%0), %%rsi\n"
                   "mov $3, %%ecx\n"
                   "cld\n"
                   "rep movsb\n"
                   "xchg %%rsp, %0\n"
                   "add $8, %%rsp\n"
                   "push %%rsp\n"
                   "pop %%rax\n"
                   "sub $8, %%rsp\n"
                   "xchg %%rsp, %0\n"
                   : "+r"(place)::"rax", "rcx", "rsi", "rdi", "memory", "cc");
}

static void all_kinds_of_instructions_are_noticed(void) {
  pid_t pid = traced_child(many_kinds_of_instructions, 0);
  OK(set(pid, 2, (unsigned long)&words[4]));
  OK(set(pid, 7, CONTROL(2, READ_OR_WRITE, 2UL)));
  // movdqu, inc, cmp, three times movsb, push, pop.
  for (int time = 0; time < 8; time++) expect_trap(pid, PTRACE_CONT, TRAP_HWBKPT, 4);
  expect_exit(pid, 9);
}

static void instructions_are_told_of_once_before_they_run(void) {
  pid_t pid = traced_child(touch, 0);
  OK(set(pid, 2, (unsigned long)target));
  OK(set(pid, 7, CONTROL(2, 0UL, 0UL)));
  expect_trap(pid, PTRACE_CONT, TRAP_HWBKPT, 4);
  struct user_regs_struct registers = registers_of(pid);
  CHECK_EQ(registers.rip, (unsigned long)target);
  CHECK_EQ(registers.eflags & RESUME_FLAG, RESUME_FLAG);
  // Without the flag, the processor tells again.
  registers.eflags &= ~RESUME_FLAG;
  OK(ptrace(PTRACE_SETREGS, pid, 0, &registers));
  expect_trap(pid, PTRACE_CONT, TRAP_HWBKPT, 4);
  expect_trap(pid, PTRACE_SINGLESTEP, TRAP_TRACE, 1 << 14);
  CHECK_EQ(registers_of(pid).eflags & RESUME_FLAG, 0);
  expect_trap(pid, PTRACE_CONT, TRAP_HWBKPT, 4);
  CHECK_EQ(registers_of(pid).rip, (unsigned long)target);
  expect_exit(pid, 9);
}

static void a_step_and_a_hit_are_told_of_together(void) {
  pid_t pid = traced_child(touch, 0);
  OK(set(pid, 0, (unsigned long)&words[0]));
  OK(set(pid, 7, CONTROL(0, WRITE, 2UL)));
  unsigned long dr6;
  do {
    int status;
    OK(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    dr6 = get(pid, 6);
    CHECK_CASE((dr6 & 0xf) == 0 || dr6 == 0xffff4ff1, "DR6 %lx", dr6);
  } while ((dr6 & 0xf) == 0);
  OK(set(pid, 7, 0));
  expect_exit(pid, 9);
}

static volatile int handled;

static void on_trap(int signal, siginfo_t *info, void *context) {
  (void)signal;
  CHECK_EQ(info->si_code, TRAP_HWBKPT);
  bool is_resumed = ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] & RESUME_FLAG;
  CHECK_EQ(is_resumed, handled > 0);
  handled++;
}

static void touch_with_handler(void) {
  struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
  OK(sigaction(SIGTRAP, &action, NULL));
  words[0] = 1;
  target();
  target();
  _exit(handled);
}

static void breakpoints_stay_when_the_tracer_goes(void) {
  pid_t pid = traced_child(touch_with_handler, 0);
  OK(set(pid, 0, (unsigned long)&words[0]));
  OK(set(pid, 1, (unsigned long)target));
  OK(set(pid, 7, CONTROL(0, WRITE, 2UL) | CONTROL(1, 0UL, 0UL)));
  OK(ptrace(PTRACE_DETACH, pid, 0, 0));
  WAIT_EXIT(pid, 3);
}

static void *write_word(void *argument) {
  words[0] = (long)argument;
  return NULL;
}

static void make_tasks(void) {
  pid_t child;
  IN_CHILD(child) {
    words[0] = 1;
    _exit(4);
  }
  WAIT_EXIT(child, 4);
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, write_word, NULL), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void new_tasks_have_no_breakpoints(void) {
  pid_t pid = traced_child(make_tasks, 0);
  OK(set(pid, 0, (unsigned long)&words[0]));
  OK(set(pid, 7, CONTROL(0, WRITE, 2UL)));
  OK(ptrace(PTRACE_CONT, pid, 0, 0));
  // The child's write does not stop it; its end does not, either, but is told of.
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGCHLD);
  expect_exit(pid, 9);
}

static void execute(void) { execl("/proc/self/exe", "ptrace_breakpoints", "exit", NULL); }

static void execve_ends_breakpoints(void) {
  pid_t pid = traced_child(execute, 0);
  OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXEC));
  OK(set(pid, 0, (unsigned long)&words[0]));
  OK(set(pid, 7, CONTROL(0, WRITE, 2UL)));
  int status;
  OK(ptrace(PTRACE_CONT, pid, 0, 0));
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_EXEC << 8);
  CHECK_EQ(get(pid, 0), 0);
  CHECK_EQ(get(pid, 7), 0);
  expect_exit(pid, 6);
}

__asm__("branches: nop\n nop\n nop\n jmp 1f\n nop\n 1: nop\n nop\n test %rsp, %rsp\n jz 1b\n nop\n ret\n branches_end:");
extern void branches(void);
extern char branches_end[];

// Processors without branch traps step by instructions: all that is sure is that a step ends behind the branch or before.
static void blocks_end_at_branches(void) {
  pid_t pid = traced_child(branches, 0);
  OK(set(pid, 0, (unsigned long)branches));
  OK(set(pid, 7, CONTROL(0, 0UL, 0UL)));
  expect_trap(pid, PTRACE_CONT, TRAP_HWBKPT, 1);
  OK(set(pid, 7, 0));
  int steps = 0;
  unsigned long rip;
  do {
    expect_trap(pid, SINGLEBLOCK, TRAP_TRACE, 1 << 14);
    steps++;
    rip = registers_of(pid).rip;
  } while (rip >= (unsigned long)branches && rip < (unsigned long)branches_end);
  CHECK_CASE(steps >= 2 && steps <= 10, "%d steps", steps);
  expect_exit(pid, 9);
}

int main(int count, char **arguments UNUSED) {
  if (count > 1) {
    words[0] = 1;
    return 6;
  }
  registers_hold_what_is_allowed();
  writes_are_noticed_even_if_they_change_nothing();
  reads_are_noticed();
  all_kinds_of_instructions_are_noticed();
  instructions_are_told_of_once_before_they_run();
  a_step_and_a_hit_are_told_of_together();
  breakpoints_stay_when_the_tracer_goes();
  new_tasks_have_no_breakpoints();
  execve_ends_breakpoints();
  blocks_end_at_branches();
  return 0;
}
