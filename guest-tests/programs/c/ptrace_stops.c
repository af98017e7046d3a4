// ptrace: stops for signals, system calls and single steps, and what the tracer does about them.
#include "tracees.h"

static volatile int handled;
static void count(int number, siginfo_t *info, void *context) {
  (void)info, (void)context;
  handled = number;
}

static void raise_and_tell(void) {
  handle(SIGUSR1, count, 0);
  handle(SIGUSR2, count, 0);
  raise(SIGUSR1);
  _exit(handled);
}

static void a_signal_is_passed_suppressed_or_replaced(void) {
  int given[] = {SIGUSR1, 0, SIGUSR2};
  for (size_t i = 0; i < COUNT(given); i++) {
    pid_t pid = traced_child(raise_and_tell, 0);
    NEXT_STOP(pid, PTRACE_CONT, SIGUSR1);
    siginfo_t info;
    info = siginfo_of(pid);
    CHECK_EQ(info.si_signo, SIGUSR1);
    CHECK_EQ(info.si_code, SI_TKILL);
    CHECK_EQ(info.si_pid, pid);
    resume_by(pid, PTRACE_CONT, given[i]);
    WAIT_EXIT(pid, given[i]);
  }
}

static void exit_with_code(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  _exit(info->si_code & 0xff);
}

static void raise_for_code(void) {
  handle(SIGUSR1, exit_with_code, 0);
  raise(SIGUSR1);
  _exit(99);
}

static void siginfo_can_be_replaced(void) {
  pid_t pid = traced_child(raise_for_code, 0);
  NEXT_STOP(pid, PTRACE_CONT, SIGUSR1);
  siginfo_t info = siginfo_of(pid);
  info.si_code = 33;
  OK(ptrace(PTRACE_SETSIGINFO, pid, 0, &info));
  resume_by(pid, PTRACE_CONT, SIGUSR1);
  WAIT_EXIT(pid, 33);
}

static void deadly_and_wrong_signals(void) {
  pid_t pid = traced_child(raise_and_tell, 0);
  CHECK_ERRNO(ptrace(PTRACE_CONT, pid, 0, 65L), EIO);
  resume_by(pid, PTRACE_CONT, SIGTERM);
  WAIT_SIGNALED(pid, SIGTERM);
  pid = traced_child(raise_and_tell, 0);
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static void ignore_and_exit(void) {
  signal(SIGUSR1, SIG_IGN);
  raise(SIGUSR1);
  _exit(5);
}

static void ignored_signals_are_seen(void) {
  pid_t pid = traced_child(ignore_and_exit, 0);
  NEXT_STOP(pid, PTRACE_CONT, SIGUSR1);
  resume_by(pid, PTRACE_CONT, SIGUSR1);
  WAIT_EXIT(pid, 5);
}

// Lets a tracee go on to the entry of this system call; its registers there.
static struct user_regs_struct stop_at_call(pid_t pid, unsigned long number) {
  struct user_regs_struct registers;
  do {
    NEXT_STOP(pid, PTRACE_SYSCALL, SIGTRAP | 0x80);
    registers = registers_of(pid);
  } while (registers.orig_rax != number);
  return registers;
}

static void call_getppid(void) { _exit(syscall(SYS_getppid, 1, 2, 3) == 4242 ? 1 : 2); }

static void system_calls_stop_twice_and_can_be_changed(void) {
  pid_t pid = traced_child(call_getppid, PTRACE_O_TRACESYSGOOD);
  CHECK_ERRNO(ptrace(PTRACE_SETOPTIONS, pid, 0, 1L << 29), EINVAL);
  struct user_regs_struct registers = stop_at_call(pid, SYS_getppid);
  CHECK_EQ(registers.rax, -ENOSYS);
  CHECK_EQ(registers.rdi, 1);
  siginfo_t info = siginfo_of(pid);
  CHECK_EQ(info.si_signo, SIGTRAP);
  CHECK_EQ(info.si_code, SIGTRAP | 0x80);
  struct __ptrace_syscall_info call;
  CHECK_EQ(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof call, &call), 80);
  CHECK_EQ(call.op, PTRACE_SYSCALL_INFO_ENTRY);
  CHECK_EQ(call.arch, 0xc000003e);
  CHECK_EQ(call.entry.nr, SYS_getppid);
  CHECK_EQ(call.entry.args[2], 3);
  CHECK_EQ(call.instruction_pointer, registers.rip);
  CHECK_EQ(call.stack_pointer, registers.rsp);
  NEXT_STOP(pid, PTRACE_SYSCALL, SIGTRAP | 0x80);
  CHECK_EQ(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof call, &call), 33);
  CHECK_EQ(call.op, PTRACE_SYSCALL_INFO_EXIT);
  CHECK_EQ(call.exit.rval, getpid());
  CHECK_EQ(call.exit.is_error, 0);
  OK(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), 4242L));
  resume(pid);
  WAIT_EXIT(pid, 1);
}

static void two_calls(void) {
  long skipped = syscall(SYS_getppid);
  long replaced = syscall(SYS_getppid);
  _exit(skipped == 7 && replaced == getpid() ? 1 : 2);
}

static void a_system_call_can_be_skipped_or_replaced(void) {
  pid_t pid = traced_child(two_calls, PTRACE_O_TRACESYSGOOD);
  struct user_regs_struct registers = stop_at_call(pid, SYS_getppid);
  registers.orig_rax = -1;
  registers.rax = 7;
  OK(ptrace(PTRACE_SETREGS, pid, 0, &registers));
  NEXT_STOP(pid, PTRACE_SYSCALL, SIGTRAP | 0x80);
  registers = registers_of(pid);
  CHECK_EQ(registers.rax, 7);
  NEXT_STOP(pid, PTRACE_SYSCALL, SIGTRAP | 0x80);
  OK(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), (long)SYS_getpid));
  resume(pid);
  WAIT_EXIT(pid, 1);
}

static void sleep_long(void) {
  struct timespec rest = {1, 0};
  _exit(clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL) == 0 ? 1 : 2);
}

static void an_interrupted_call_shows_its_restart(void) {
  pid_t pid = traced_child(sleep_long, PTRACE_O_TRACESYSGOOD);
  stop_at_call(pid, SYS_clock_nanosleep);
  resume(pid);
  until_asleep(pid);
  OK(kill(pid, SIGWINCH));
  CHECK_EQ(stop_of(pid), SIGWINCH);
  struct user_regs_struct registers = registers_of(pid);
  CHECK_EQ(registers.orig_rax, SYS_clock_nanosleep);
  CHECK_EQ(registers.rax, -516);
  resume_by(pid, PTRACE_SYSCALL, SIGWINCH);
  CHECK_EQ(stop_of(pid), SIGTRAP | 0x80);
  registers = registers_of(pid);
  CHECK_EQ(registers.orig_rax, SYS_restart_syscall);
  resume(pid);
  WAIT_EXIT(pid, 1);
}

// Jumps of known length: nothing is between the two labels but four instructions.
extern char step_begin[], step_syscall[], step_end[];
__attribute__((naked, noreturn)) static void steps(void) {
  __asm__("int3\n"
          ".globl step_begin, step_syscall, step_end\n"
          "step_begin: nop\n"
          "mov $39, %eax\n"
          "step_syscall: syscall\n"
          "nop\n"
          "step_end: mov $3, %edi\n"
          "mov $231, %eax\n"
          "syscall\n");
}

static long register_at(pid_t pid, size_t offset) {
  errno = 0;
  long value = ptrace(PTRACE_PEEKUSER, pid, offset, 0);
  CHECK_EQ(errno, 0);
  return value;
}
#define REGISTER(pid, name) register_at(pid, offsetof(struct user_regs_struct, name))

static void single_steps_go_instruction_by_instruction(void) {
  pid_t pid = traced_child(steps, 0);
  NEXT_STOP(pid, PTRACE_CONT, SIGTRAP);
  siginfo_t info = siginfo_of(pid);
  CHECK_EQ(info.si_code, SI_KERNEL);
  CHECK_EQ(REGISTER(pid, rip), (long)step_begin);
  NEXT_STOP(pid, PTRACE_SINGLESTEP, SIGTRAP);
  CHECK_EQ(REGISTER(pid, rip), (long)step_begin + 1);
  info = siginfo_of(pid);
  CHECK_EQ(info.si_code, TRAP_TRACE);
  CHECK_EQ((long)info.si_addr, (long)step_begin + 1);
  // The flag that does it is not shown.
  CHECK_EQ(REGISTER(pid, eflags) & 0x100, 0);
  NEXT_STOP(pid, PTRACE_SINGLESTEP, SIGTRAP);
  CHECK_EQ(REGISTER(pid, rip), (long)step_syscall);
  NEXT_STOP(pid, PTRACE_SINGLESTEP, SIGTRAP);
  CHECK_EQ(REGISTER(pid, rip), (long)step_syscall + 2);
  CHECK_EQ(REGISTER(pid, rax), pid);
  NEXT_STOP(pid, PTRACE_SINGLESTEP, SIGTRAP);
  CHECK_EQ(REGISTER(pid, rip), (long)step_end);
  resume(pid);
  WAIT_EXIT(pid, 3);
}

static void a_step_into_a_handler_stops_at_its_first_instruction(void) {
  pid_t pid = traced_child(raise_and_tell, 0);
  NEXT_STOP(pid, PTRACE_CONT, SIGUSR1);
  resume_by(pid, PTRACE_SINGLESTEP, SIGUSR1);
  CHECK_EQ(stop_of(pid), SIGTRAP);
  CHECK_EQ(REGISTER(pid, rip), (long)count);
  CHECK_EQ(REGISTER(pid, rdi), SIGUSR1);
  resume(pid);
  WAIT_EXIT(pid, SIGUSR1);
}

static NOINLINE int add_one(int value) { return value + 1; }
static void call_add_one(void) {
  volatile int value = 6;
  _exit(add_one(value));
}

static void a_breakpoint_is_put_in_and_taken_out(void) {
  pid_t pid = traced_child(call_add_one, 0);
  errno = 0;
  long original = ptrace(PTRACE_PEEKTEXT, pid, add_one, 0);
  CHECK_EQ(errno, 0);
  OK(ptrace(PTRACE_POKETEXT, pid, add_one, (original & ~0xffL) | 0xcc));
  NEXT_STOP(pid, PTRACE_CONT, SIGTRAP);
  CHECK_EQ(REGISTER(pid, rip), (long)add_one + 1);
  CHECK_EQ((int)REGISTER(pid, rdi), 6);
  OK(ptrace(PTRACE_POKETEXT, pid, add_one, original));
  OK(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rip), add_one));
  OK(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rdi), 20L));
  resume(pid);
  WAIT_EXIT(pid, 21);
}

// Calls a function in a tracee that sleeps in a call, as a debugger does, and puts the registers back.
static void a_call_restarts_after_its_registers_came_back(void) {
  pid_t pid = traced_child(sleep_long, 0);
  resume(pid);
  until_asleep(pid);
  OK(kill(pid, SIGSTOP));
  CHECK_EQ(stop_of(pid), SIGSTOP);
  struct user_regs_struct registers = registers_of(pid), call = registers;
  CHECK((long)registers.orig_rax >= 0);
  call.orig_rax = -1;
  call.rip = (long)step_begin;
  OK(ptrace(PTRACE_SETREGS, pid, 0, &call));
  NEXT_STOP(pid, PTRACE_SINGLESTEP, SIGTRAP);
  CHECK_EQ(REGISTER(pid, rip), (long)step_begin + 1);
  OK(ptrace(PTRACE_SETREGS, pid, 0, &registers));
  resume(pid);
  WAIT_EXIT(pid, 1);
}

static void read_wild(void) { _exit(*(volatile int *)wild); }

static void faults_stop_before_they_kill(void) {
  pid_t pid = traced_child(read_wild, 0);
  NEXT_STOP(pid, PTRACE_CONT, SIGSEGV);
  siginfo_t info = siginfo_of(pid);
  CHECK_EQ(info.si_code, SEGV_MAPERR);
  CHECK_EQ((long)info.si_addr, (long)wild);
  resume_by(pid, PTRACE_CONT, SIGSEGV);
  int status = WAIT(pid);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static volatile long watched[2];
static void write_watched(void) {
  watched[1] = 1;
  watched[0] = 7;
  _exit(add_one(watched[0]));
}

#define DEBUG_REGISTER(n) (offsetof(struct user, u_debugreg) + (n) * 8)

static void debug_registers_watch_writes_and_execution(void) {
  pid_t pid = traced_child(write_watched, 0);
  CHECK_EQ(register_at(pid, DEBUG_REGISTER(7)), 0);
  OK(ptrace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(0), watched));
  OK(ptrace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(1), add_one));
  // DR0: writes of 8 bytes; DR1: execution.
  OK(ptrace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(7), 1L | 1 << 2 | 0x9 << 16));
  CHECK_ERRNO(ptrace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(2), 1L << 63), EINVAL);
  NEXT_STOP(pid, PTRACE_CONT, SIGTRAP);
  siginfo_t info = siginfo_of(pid);
  CHECK_EQ(info.si_code, TRAP_HWBKPT);
  CHECK_EQ(register_at(pid, DEBUG_REGISTER(6)) & 0xf, 1);
  errno = 0;
  CHECK_EQ(ptrace(PTRACE_PEEKDATA, pid, &watched[0], 0), 7);
  OK(ptrace(PTRACE_POKEUSER, pid, DEBUG_REGISTER(6), 0L));
  NEXT_STOP(pid, PTRACE_CONT, SIGTRAP);
  CHECK_EQ(register_at(pid, DEBUG_REGISTER(6)) & 0xf, 2);
  CHECK_EQ(REGISTER(pid, rip), (long)add_one);
  resume(pid);
  WAIT_EXIT(pid, 8);
}

int main(void) {
  a_signal_is_passed_suppressed_or_replaced();
  siginfo_can_be_replaced();
  deadly_and_wrong_signals();
  ignored_signals_are_seen();
  system_calls_stop_twice_and_can_be_changed();
  a_system_call_can_be_skipped_or_replaced();
  an_interrupted_call_shows_its_restart();
  single_steps_go_instruction_by_instruction();
  a_step_into_a_handler_stops_at_its_first_instruction();
  a_breakpoint_is_put_in_and_taken_out();
  a_call_restarts_after_its_registers_came_back();
  faults_stop_before_they_kill();
  debug_registers_watch_writes_and_execution();
}
