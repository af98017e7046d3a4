// The frame of a signal: handlers read and edit registers, flags and vector state; sigreturn checks them.
#include "check.h"
#include <cpuid.h>
#include <immintrin.h>
#include <ucontext.h>

// --- general registers

static void skip_undefined(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  registers[REG_RIP] += 2; // ud2 is two bytes long.
  registers[REG_RAX] = registers[REG_RBX] + registers[REG_R12] + registers[REG_R15];
  registers[REG_R13] = 0x1313131313131313;
  registers[REG_EFL] |= 1; // Carry.
}

static void registers_are_read_and_edited(void) {
  handle(SIGILL, skip_undefined, 0);
  long sum, replaced;
  unsigned char carry;
  __asm__ volatile(
      "movq $0x10, %%rbx\n movq $0x200, %%r12\n movq $0x3000, %%r15\n clc\n ud2\n setc %b2\n movq %%r13, %1"
      : "=a"(sum), "=r"(replaced), "=r"(carry)
      :
      : "rbx", "r12", "r13", "r15", "cc");
  CHECK_EQ(sum, 0x3210);
  CHECK_EQ(replaced, 0x1313131313131313);
  CHECK_EQ(carry, 1);
}

static void nothing(int number, siginfo_t *info, void *context) { (void)number, (void)info, (void)context; }

static void every_register_survives(void) {
  handle(SIGUSR1, nothing, 0);
  struct { unsigned long rbx, rbp, r8, r9, r10, r12, r13, r14, r15, rdx; } kept;
  // kill(self) returns with the signal delivered.
  __asm__ volatile(
      "pushq %%rbp\n pushq %%rdi\n"
      "movl %1, %%edi\n movl %2, %%esi\n movl %3, %%eax\n"
      "movq $1, %%rbx\n movq $2, %%rbp\n movq $3, %%r8\n movq $4, %%r9\n movq $5, %%r10\n movq $6, %%r12\n"
      "movq $7, %%r13\n movq $8, %%r14\n movq $9, %%r15\n movq $10, %%rdx\n"
      "syscall\n"
      "popq %%rdi\n"
      "movq %%rbx, 0(%%rdi)\n movq %%rbp, 8(%%rdi)\n movq %%r8, 16(%%rdi)\n movq %%r9, 24(%%rdi)\n movq %%r10, 32(%%rdi)\n"
      "movq %%r12, 40(%%rdi)\n movq %%r13, 48(%%rdi)\n movq %%r14, 56(%%rdi)\n movq %%r15, 64(%%rdi)\n movq %%rdx, 72(%%rdi)\n"
      "popq %%rbp"
      :
      : "D"(&kept), "r"(getpid()), "i"(SIGUSR1), "i"(SYS_kill)
      : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
  unsigned long *values = (unsigned long *)&kept;
  for (unsigned long i = 0; i < 10; i++) CHECK_CASE(values[i] == i + 1, "register %lu is %#lx", i, values[i]);
}

static volatile int recovered;
static void recover(void) {
  recovered = 1;
  _exit(0);
}

static void redirect(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  static char stack[16384] __attribute__((aligned(16)));
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  registers[REG_RIP] = (long)recover;
  registers[REG_RSP] = (long)(stack + sizeof stack - 8);
}

static void a_handler_can_move_the_program_elsewhere(void) {
  pid_t pid;
  IN_CHILD(pid) {
    handle(SIGSEGV, redirect, 0);
    *(volatile int *)wild = 1;
    FAIL("went on");
  }
  WAIT_OK(pid);
}

// --- flags and selectors that a frame may not set

static void elevate(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  registers[REG_EFL] |= 0x3000 | 0x10000 | 0x20000; // I/O privilege level 3, RF, VM.
  registers[REG_EFL] &= ~0x200L; // Interrupts off.
}

static void privileged_flags_are_not_restored(void) {
  handle(SIGUSR1, elevate, 0);
  raise(SIGUSR1);
  unsigned long flags = __builtin_ia32_readeflags_u64();
  CHECK_EQ(flags & 0x3000, 0);
  CHECK_EQ(flags & 0x20000, 0);
  CHECK_EQ(flags & 0x200, 0x200);
}

static void spoil_segment(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_CSGSFS] = 0x10; // A kernel selector.
}

static void spoil_pointer(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)0x8000000000000000;
}

static void bad_contexts_kill(void) {
  void (*handlers[])(int, siginfo_t *, void *) = {spoil_segment, spoil_pointer};
  for (size_t i = 0; i < COUNT(handlers); i++) {
    pid_t pid;
    IN_CHILD(pid) {
      handle(SIGUSR1, handlers[i], 0);
      raise(SIGUSR1);
    }
    int status = WAIT(pid);
    // A bad selector may be corrected (its privilege bits are forced) or refused; never may the child go on in ring 0.
    CHECK_CASE((WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) || (i == 0 && WIFEXITED(status)), "case %zu: status %#x", i, status);
  }
}

// --- vector state

static volatile unsigned seen_xmm[4], seen_mxcsr;
static void read_and_edit_vector(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  struct _libc_fpstate *state = ((ucontext_t *)context)->uc_mcontext.fpregs;
  CHECK(state != NULL);
  CHECK_EQ((uintptr_t)state % 64, 0);
  for (int i = 0; i < 4; i++) seen_xmm[i] = state->_xmm[7].element[i];
  seen_mxcsr = state->mxcsr;
  for (int i = 0; i < 4; i++) state->_xmm[8].element[i] = 0x88880000 + i;
  // What the handler itself does with the registers must not be seen outside.
  __asm__ volatile("pcmpeqd %%xmm7, %%xmm7\n pcmpeqd %%xmm9, %%xmm9\n fninit\n fldz" ::: "xmm7", "xmm9");
}

static void handlers_see_and_edit_sse(void) {
  handle(SIGILL, read_and_edit_vector, 0);
  unsigned before[4] = {0x11, 0x22, 0x33, 0x44}, kept[4], edited[4], untouched[4];
  struct sigaction action;
  OK(sigaction(SIGILL, NULL, &action));
  handle(SIGUSR1, read_and_edit_vector, 0);
  long double pi = 3.14159265358979323846L, after;
  unsigned control = 0x1f80 | 0x8000, control_after; // Flush to zero.
  __asm__ volatile(
      "fldt %[pi]\n ldmxcsr %[control]\n movdqu %[before], %%xmm7\n movdqu %[before], %%xmm9\n"
      "syscall\n"
      "movdqu %%xmm7, %[kept]\n movdqu %%xmm8, %[edited]\n movdqu %%xmm9, %[untouched]\n fstpt %[after]\n stmxcsr %[control_after]"
      : [kept] "=m"(kept), [edited] "=m"(edited), [untouched] "=m"(untouched), [after] "=m"(after), [control_after] "=m"(control_after)
      : [before] "m"(before), [pi] "m"(pi), [control] "m"(control), "a"(SYS_kill), "D"(getpid()), "S"(SIGUSR1)
      : "rcx", "r11", "xmm7", "xmm8", "xmm9", "memory", "cc");
  unsigned standard = 0x1f80;
  __asm__ volatile("ldmxcsr %0" ::"m"(standard));
  CHECK_EQ(memcmp((void *)seen_xmm, before, 16), 0);
  CHECK_EQ(seen_mxcsr, control);
  CHECK_EQ(memcmp(kept, before, 16), 0);
  CHECK_EQ(memcmp(untouched, before, 16), 0);
  for (int i = 0; i < 4; i++) CHECK_EQ(edited[i], 0x88880000 + i);
  CHECK(after == pi);
  CHECK_EQ(control_after, control);
}

static volatile int extended_seen;
static unsigned char seen_high[16];

static void read_extended(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  unsigned char *state = (void *)((ucontext_t *)context)->uc_mcontext.fpregs;
  // The software-reserved bytes of the legacy area announce the extended one.
  struct { uint32_t magic1, extended_size; uint64_t features; uint32_t xstate_size; } *software = (void *)(state + 464);
  CHECK_EQ(software->magic1, 0x46505853);
  CHECK(software->extended_size >= software->xstate_size && software->xstate_size >= 576);
  CHECK(software->features & 4);
  uint32_t magic2;
  memcpy(&magic2, state + software->xstate_size, 4);
  CHECK_EQ(magic2, 0x46505845);
  uint64_t header;
  memcpy(&header, state + 512, 8);
  CHECK(header & 4);
  memcpy(seen_high, state + 576 + 16 * 5, 16); // The upper half of ymm5.
  memset(state + 576 + 16 * 6, 0x66, 16);
  extended_seen = 1;
  __asm__ volatile("vzeroall" ::: "memory");
}

__attribute__((target("avx"))) static void handlers_see_and_edit_avx(void) {
  if (!__builtin_cpu_supports("avx")) return;
  handle(SIGUSR2, read_extended, 0);
  unsigned char source[32], ymm5[32], ymm6[32];
  for (int i = 0; i < 32; i++) source[i] = i;
  __asm__ volatile(
      "vmovdqu %[source], %%ymm5\n vmovdqu %[source], %%ymm6\n syscall\n vmovdqu %%ymm5, %[ymm5]\n vmovdqu %%ymm6, %[ymm6]"
      : [ymm5] "=m"(ymm5), [ymm6] "=m"(ymm6)
      : [source] "m"(source), "a"(SYS_kill), "D"(getpid()), "S"(SIGUSR2)
      : "rcx", "r11", "xmm5", "xmm6", "memory", "cc");
  __asm__ volatile("vzeroupper");
  CHECK(extended_seen);
  CHECK_EQ(memcmp(seen_high, source + 16, 16), 0);
  CHECK_EQ(memcmp(ymm5, source, 32), 0);
  CHECK_EQ(memcmp(ymm6, source, 16), 0);
  for (int i = 16; i < 32; i++) CHECK_EQ(ymm6[i], 0x66);
}

static void clobber_avx512(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  __asm__ volatile("vpxorq %%zmm20, %%zmm20, %%zmm20\n kxorw %%k3, %%k3, %%k3" ::: "memory");
}

__attribute__((target("avx512f"))) static void avx512_survives(void) {
  if (!__builtin_cpu_supports("avx512f")) return;
  handle(SIGUSR1, clobber_avx512, 0);
  unsigned char source[64], after[64];
  for (int i = 0; i < 64; i++) source[i] = 255 - i;
  unsigned mask = 0xa5a5, mask_after;
  __asm__ volatile(
      "vmovdqu64 %[source], %%zmm20\n kmovw %[mask], %%k3\n syscall\n vmovdqu64 %%zmm20, %[after]\n kmovw %%k3, %[mask_after]"
      : [after] "=m"(after), [mask_after] "=r"(mask_after)
      : [source] "m"(source), [mask] "r"(mask), "a"(SYS_kill), "D"(getpid()), "S"(SIGUSR1)
      : "rcx", "r11", "memory", "cc");
  __asm__ volatile("vzeroupper");
  CHECK_EQ(memcmp(after, source, 64), 0);
  CHECK_EQ(mask_after, mask);
}

static volatile sig_atomic_t ticks;
static void on_tick(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  ticks++;
  volatile double junk = ticks;
  junk = junk * 1.5 + 7;
  __asm__ volatile("pxor %%xmm1, %%xmm1\n pxor %%xmm2, %%xmm2\n fninit" ::: "xmm1", "xmm2");
}

static volatile int rounds = 2000000;
static NOINLINE double compute(void) {
  double sum = 0;
  for (int i = rounds; i > 0; i--) sum += 1.0 / ((double)i * i);
  return sum;
}

static void computation_is_not_disturbed_by_asynchronous_signals(void) {
  double expected = compute();
  handle(SIGALRM, on_tick, 0);
  struct itimerspec often = {{0, 2000000}, {0, 2000000}};
  timer_t timer;
  OK(timer_create(CLOCK_MONOTONIC, NULL, &timer));
  OK(timer_settime(timer, 0, &often, NULL));
  for (int i = 0; i < 10 || (ticks < 10 && i < 500); i++) CHECK(compute() == expected);
  OK(timer_delete(timer));
  CHECK(ticks >= 10);
}

static void *vector_in_thread(void *argument) {
  unsigned long mine = (unsigned long)argument, found = 0;
  for (int i = 0; i < 50; i++) {
    __asm__ volatile("movq %1, %%xmm15\n movl $24, %%eax\n syscall\n movq %%xmm15, %0" : "=r"(found) : "r"(mine) : "rax", "rcx", "r11", "xmm15", "memory"); // sched_yield
    CHECK_EQ(found, mine);
  }
  return NULL;
}

static void threads_have_their_own_vectors(void) {
  pthread_t threads[4];
  for (long i = 0; i < 4; i++) threads[i] = start_thread(vector_in_thread, (void *)(0x1111 * (i + 1)));
  for (int i = 0; i < 4; i++) join_thread(threads[i]);
  pid_t pid;
  unsigned long found;
  __asm__ volatile("movq %2, %%xmm15\n movl $57, %%eax\n syscall\n movq %%xmm15, %0\n" : "=r"(found), "=a"(pid) : "r"(0x5eedUL) : "rcx", "r11", "xmm15", "memory"); // fork
  if (found != 0x5eed) FAIL("the vector registers of pid %d after fork: %#lx", pid, found);
  if (pid == 0) _exit(0);
  WAIT_OK(pid);
}

int main(void) {
  registers_are_read_and_edited();
  every_register_survives();
  a_handler_can_move_the_program_elsewhere();
  privileged_flags_are_not_restored();
  bad_contexts_kill();
  handlers_see_and_edit_sse();
  handlers_see_and_edit_avx();
  avx512_survives();
  computation_is_not_disturbed_by_asynchronous_signals();
  threads_have_their_own_vectors();
  return 0;
}
