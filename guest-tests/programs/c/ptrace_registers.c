// ptrace: registers, memory and signal data of a stopped tracee, read and written in every way; access checks.
#include "tracees.h"
#include <elf.h>
#include <stdalign.h>
#include <sys/uio.h>

static volatile long shared_word = 0x1122334455667788;
static const long constant_word = 0x0102030405060708;

// Stops at SIGTRAP with known values in registers, then exits with the low byte of what rbx holds.
__attribute__((naked, noreturn)) static void trap_with_registers(void) {
  __asm__("mov $0x1111, %rbx\n"
          "mov $0x2222, %r12\n"
          "mov $0x3333, %r15\n"
          "mov $0x4444, %eax\n"
          "movd %eax, %xmm3\n"
          "int3\n"
          "mov %rbx, %rdi\n"
          "mov $231, %eax\n"
          "syscall\n");
}

static pid_t child_at_trap(void) {
  pid_t pid = traced_child(trap_with_registers, 0);
  NEXT_STOP(pid, PTRACE_CONT, SIGTRAP);
  return pid;
}

static void registers_are_read_and_written(void) {
  pid_t pid = child_at_trap();
  struct user_regs_struct registers, again;
  OK(ptrace(PTRACE_GETREGS, pid, 0, &registers));
  CHECK_EQ(registers.rbx, 0x1111);
  CHECK_EQ(registers.r12, 0x2222);
  CHECK_EQ(registers.r15, 0x3333);
  CHECK_EQ(registers.orig_rax, -1);
  CHECK_EQ(registers.cs, 0x33);
  CHECK_EQ(registers.ss, 0x2b);
  CHECK_EQ(registers.eflags & 0x202, 0x202);
  // The breakpoint has been executed.
  errno = 0;
  long code = ptrace(PTRACE_PEEKTEXT, pid, registers.rip - 1, 0);
  CHECK_EQ(errno, 0);
  CHECK_EQ(code & 0xff, 0xcc);
  for (size_t offset = 0; offset < sizeof registers; offset += 8) {
    errno = 0;
    long word = ptrace(PTRACE_PEEKUSER, pid, offset, 0);
    CHECK_EQ(errno, 0);
    CHECK_EQ(word, *(long *)((char *)&registers + offset));
  }
  struct iovec vector = {&again, sizeof again};
  OK(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &vector));
  CHECK_EQ(vector.iov_len, sizeof again);
  CHECK_EQ(memcmp(&registers, &again, sizeof again), 0);
  vector.iov_len = 16;
  OK(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &vector));
  CHECK_EQ(vector.iov_len, 16);
  vector.iov_len = 17;
  CHECK_ERRNO(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &vector), EINVAL);
  CHECK_ERRNO(ptrace(PTRACE_GETREGSET, pid, 0x7777, &vector), EINVAL);
  CHECK_ERRNO(ptrace(PTRACE_PEEKUSER, pid, 3, 0), EIO);
  CHECK_ERRNO(ptrace(PTRACE_PEEKUSER, pid, 4096, 0), EIO);
  CHECK_ERRNO(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, cs), 0x10), EIO);
  CHECK_ERRNO(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, fs_base), 1L << 62), EIO);
  registers.r12 = 0x5555;
  OK(ptrace(PTRACE_SETREGS, pid, 0, &registers));
  OK(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rbx), 77));
  OK(ptrace(PTRACE_GETREGS, pid, 0, &again));
  CHECK_EQ(again.r12, 0x5555);
  CHECK_EQ(again.rbx, 77);
  OK(ptrace(PTRACE_CONT, pid, 0, 0));
  WAIT_EXIT(pid, 77);
}

static void extended_state_is_read_and_written(void) {
  pid_t pid = child_at_trap();
  struct user_fpregs_struct floating;
  OK(ptrace(PTRACE_GETFPREGS, pid, 0, &floating));
  CHECK_EQ(floating.xmm_space[12], 0x4444);
  CHECK_EQ(floating.mxcsr, 0x1f80);
  CHECK_EQ(floating.cwd, 0x37f);
  alignas(64) static char area[16384];
  struct iovec vector = {area, sizeof area};
  OK(ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &vector));
  CHECK(vector.iov_len >= 576 && vector.iov_len < sizeof area);
  CHECK_EQ(*(int *)(area + 160 + 3 * 16), 0x4444);
  CHECK_EQ(*(long *)(area + 464) & 3, 3);
  *(int *)(area + 160 + 3 * 16) = 0x8888;
  *(long *)(area + 512) |= 3;
  OK(ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &vector));
  OK(ptrace(PTRACE_GETFPREGS, pid, 0, &floating));
  CHECK_EQ(floating.xmm_space[12], 0x8888);
  floating.xmm_space[13] = 0x9999;
  OK(ptrace(PTRACE_SETFPREGS, pid, 0, &floating));
  floating.mxcsr = -1;
  CHECK_ERRNO(ptrace(PTRACE_SETFPREGS, pid, 0, &floating), EINVAL);
  vector = (struct iovec){&floating, sizeof floating};
  OK(ptrace(PTRACE_GETREGSET, pid, NT_PRFPREG, &vector));
  CHECK_EQ(vector.iov_len, sizeof floating);
  CHECK_EQ(floating.xmm_space[13], 0x9999);
  OK(ptrace(PTRACE_KILL, pid, 0, 0));
  WAIT_SIGNALED(pid, SIGKILL);
}

// What a tracer set is there when the tracee goes on.
static void use_xmm(void) {
  int value;
  __asm__ volatile("int3\n movd %%xmm7, %0" : "=r"(value)::"xmm7");
  _exit(value);
}

static void a_tracee_goes_on_with_new_extended_state(void) {
  pid_t pid = traced_child(use_xmm, 0);
  int status;
  OK(ptrace(PTRACE_CONT, pid, 0, 0));
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  struct user_fpregs_struct floating;
  OK(ptrace(PTRACE_GETFPREGS, pid, 0, &floating));
  floating.xmm_space[28] = 55;
  OK(ptrace(PTRACE_SETFPREGS, pid, 0, &floating));
  OK(ptrace(PTRACE_CONT, pid, 0, 0));
  WAIT_EXIT(pid, 55);
}

static void exit_with_words(void) {
  __asm__ volatile("int3");
  _exit(shared_word == 42 && *(volatile const long *)&constant_word == 43 ? 11 : 12);
}

static void memory_is_read_and_written(void) {
  pid_t pid = traced_child(exit_with_words, 0);
  int status;
  OK(ptrace(PTRACE_CONT, pid, 0, 0));
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  errno = 0;
  CHECK_EQ(ptrace(PTRACE_PEEKDATA, pid, &shared_word, 0), 0x1122334455667788);
  CHECK_EQ(errno, 0);
  CHECK_ERRNO(ptrace(PTRACE_PEEKDATA, pid, 8, 0), EIO);
  CHECK_ERRNO(ptrace(PTRACE_POKEDATA, pid, 8, 1), EIO);
  long word = 0;
  struct iovec local = {&word, 8}, remote = {(void *)&shared_word, 8};
  CHECK_EQ(process_vm_readv(pid, &local, 1, &remote, 1, 0), 8);
  CHECK_EQ(word, 0x1122334455667788);
  word = 42;
  CHECK_EQ(process_vm_writev(pid, &local, 1, &remote, 1, 0), 8);
  // Memory without write permission is private, so a debugger may write to its copy; process_vm_writev may not.
  remote.iov_base = (void *)&constant_word;
  CHECK_ERRNO(process_vm_writev(pid, &local, 1, &remote, 1, 0), EFAULT);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/mem", pid);
  int file = OK(open(path, O_RDWR));
  CHECK_EQ(pread(file, &word, 8, (off_t)&shared_word), 8);
  CHECK_EQ(word, 42);
  CHECK_ERRNO(pread(file, &word, 8, 8), EIO);
  word = 43;
  CHECK_EQ(pwrite(file, &word, 8, (off_t)&constant_word), 8);
  CHECK_EQ(constant_word, 0x0102030405060708);
  OK(ptrace(PTRACE_CONT, pid, 0, 0));
  WAIT_EXIT(pid, 11);
  // The address space is gone.
  CHECK_EQ(pread(file, &word, 8, (off_t)&constant_word), 0);
  OK(close(file));
}

static void masks_and_pending_signals_are_seen(void) {
  pid_t pid = traced_child(exit_with_words, 0);
  sigset_t set = signals(SIGUSR1, SIGUSR2, SIGKILL, SIGSTOP, 0), got;
  OK(ptrace(PTRACE_SETSIGMASK, pid, 8, &set));
  OK(ptrace(PTRACE_GETSIGMASK, pid, 8, &got));
  CHECK(sigismember(&got, SIGUSR1) && sigismember(&got, SIGUSR2) && !sigismember(&got, SIGKILL));
  CHECK_ERRNO(ptrace(PTRACE_GETSIGMASK, pid, 4, &got), EINVAL);
  OK(kill(pid, SIGUSR1));
  OK(syscall(SYS_tgkill, pid, pid, SIGUSR2));
  struct __ptrace_peeksiginfo_args arguments = {.off = 0, .flags = 0, .nr = 4};
  siginfo_t entries[4];
  CHECK_EQ(ptrace(PTRACE_PEEKSIGINFO, pid, &arguments, entries), 1);
  CHECK_EQ(entries[0].si_signo, SIGUSR2);
  CHECK_EQ(entries[0].si_code, SI_TKILL);
  arguments.flags = PTRACE_PEEKSIGINFO_SHARED;
  CHECK_EQ(ptrace(PTRACE_PEEKSIGINFO, pid, &arguments, entries), 1);
  CHECK_EQ(entries[0].si_signo, SIGUSR1);
  arguments.off = 1;
  CHECK_EQ(ptrace(PTRACE_PEEKSIGINFO, pid, &arguments, entries), 0);
  arguments.flags = 2;
  CHECK_ERRNO(ptrace(PTRACE_PEEKSIGINFO, pid, &arguments, entries), EINVAL);
  OK(ptrace(PTRACE_KILL, pid, 0, 0));
  WAIT_SIGNALED(pid, SIGKILL);
}

static void only_stopped_tracees_of_one_s_own_obey(void) {
  pid_t pid;
  struct user_regs_struct registers;
  IN_CHILD(pid) { pause(); }
  CHECK_ERRNO(ptrace(PTRACE_GETREGS, pid, 0, &registers), ESRCH);
  CHECK_ERRNO(ptrace(PTRACE_CONT, pid, 0, 0), ESRCH);
  CHECK_ERRNO(ptrace(PTRACE_INTERRUPT, pid, 0, 0), ESRCH);
  CHECK_ERRNO(ptrace(PTRACE_SEIZE, pid, 1, 0), EIO);
  CHECK_ERRNO(ptrace(PTRACE_SEIZE, pid, 0, 1L << 30), EIO);
  OK(ptrace(PTRACE_SEIZE, pid, 0, 0));
  CHECK_ERRNO(ptrace(PTRACE_SEIZE, pid, 0, 0), EPERM);
  CHECK_ERRNO(ptrace(PTRACE_ATTACH, pid, 0, 0), EPERM);
  CHECK_ERRNO(ptrace(PTRACE_GETREGS, pid, 0, &registers), ESRCH);
  CHECK_ERRNO(ptrace(PTRACE_DETACH, pid, 0, 0), ESRCH);
  CHECK_ERRNO(ptrace(PTRACE_LISTEN, pid, 0, 0), ESRCH);
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
  CHECK_ERRNO(ptrace(PTRACE_ATTACH, pid, 0, 0), ESRCH);
  CHECK_ERRNO(ptrace(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
}

static void access_is_checked(void) {
  pid_t target, other;
  IN_CHILD(target) {
    OK(setresgid(1000, 1000, 1000));
    OK(setresuid(1000, 1000, 1000));
    // Changing the user has made the process undumpable; its own user may not look in.
    pause();
  }
  until_asleep(target);
  for (int uid = 1000; uid <= 1001; uid++) {
    IN_CHILD(other) {
      OK(setresgid(uid, uid, uid));
      OK(setresuid(uid, uid, uid));
      CHECK_ERRNO(ptrace(PTRACE_ATTACH, target, 0, 0), EPERM);
      char byte;
      struct iovec local = {&byte, 1}, remote = {(void *)&shared_word, 1};
      CHECK_ERRNO(process_vm_readv(target, &local, 1, &remote, 1, 0), EPERM);
    }
    WAIT_OK(other);
  }
  OK(kill(target, SIGKILL));
  WAIT_SIGNALED(target, SIGKILL);
}

int main(void) {
  registers_are_read_and_written();
  extended_state_is_read_and_written();
  a_tracee_goes_on_with_new_extended_state();
  memory_is_read_and_written();
  masks_and_pending_signals_are_seen();
  only_stopped_tracees_of_one_s_own_obey();
  access_is_checked();
}
