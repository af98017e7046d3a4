// What a system call leaves in the registers: all as they were but RAX, RCX and R11, whose values are known, too; flags, vectors,
// the red zone and a stack pointer that is no address included. Each site makes its call often, and signals arrive meanwhile.
#include "check.h"
#include <ucontext.h>

enum { REGISTERS = 16, VECTORS = 16, ROUNDS = 150, RAX = 0, RCX = 2, RSI = 4, RDI = 5, RSP = 7, R11 = 11 };

struct state {
  uint64_t general[REGISTERS]; // RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8, …
  uint64_t flags;
  uint32_t mxcsr;
  uint16_t control, unused;
  uint8_t vectors[VECTORS][32] __attribute__((aligned(64)));
};
struct state call_in __attribute__((aligned(64))), call_out __attribute__((aligned(64)));
uint64_t call_own_stack, call_has_avx;

// call_NAME loads call_in, makes its call, and stores call_out. GETS sets RAX, and REST follows SYSCALL.
__asm__(
    ".text\n"
    ".macro each_general operation\n"
    "\\operation rbx, 8\n \\operation rcx, 16\n \\operation rdx, 24\n \\operation rsi, 32\n \\operation rdi, 40\n \\operation rbp, 48\n"
    "\\operation rsp, 56\n \\operation r8, 64\n \\operation r9, 72\n \\operation r10, 80\n \\operation r11, 88\n \\operation r12, 96\n"
    "\\operation r13, 104\n \\operation r14, 112\n \\operation r15, 120\n"
    ".endm\n"
    ".macro load_general register, offset\n mov call_in+\\offset(%rip), %\\register\n .endm\n"
    ".macro store_general register, offset\n mov %\\register, call_out+\\offset(%rip)\n .endm\n"
    ".macro each_vector operation\n"
    ".irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n \\operation \\number\n .endr\n"
    ".endm\n"
    ".macro load_xmm number\n movdqa call_in+192+32*\\number(%rip), %xmm\\number\n .endm\n"
    ".macro load_ymm number\n vmovdqa call_in+192+32*\\number(%rip), %ymm\\number\n .endm\n"
    ".macro store_xmm number\n movdqa %xmm\\number, call_out+192+32*\\number(%rip)\n .endm\n"
    ".macro store_ymm number\n vmovdqa %ymm\\number, call_out+192+32*\\number(%rip)\n .endm\n"
    ".macro site name, gets, rest\n"
    ".globl call_\\name, after_\\name\n"
    "call_\\name:\n"
    "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "mov %rsp, call_own_stack(%rip)\n"
    "ldmxcsr call_in+136(%rip)\n fldcw call_in+140(%rip)\n"
    "each_vector load_xmm\n"
    "cmpq $0, call_has_avx(%rip)\n je 1f\n"
    "each_vector load_ymm\n"
    "1: pushq call_in+128(%rip)\n popfq\n"
    "each_general load_general\n"
    "\\gets\n"
    "syscall\n"
    "after_\\name:\n"
    "\\rest\n"
    "mov %rax, call_out(%rip)\n"
    "each_general store_general\n"
    "mov call_own_stack(%rip), %rsp\n"
    "pushfq\n popq call_out+128(%rip)\n"
    "pushq $0x202\n popfq\n"
    "stmxcsr call_out+136(%rip)\n fstcw call_out+140(%rip)\n"
    "each_vector store_xmm\n"
    "cmpq $0, call_has_avx(%rip)\n je 1f\n"
    "each_vector store_ymm\n"
    "vzeroupper\n"
    "1: fninit\n ldmxcsr call_standard(%rip)\n"
    "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
    "ret\n"
    ".endm\n"
    // getpid, getpgid, close by number, and whatever RAX says.
    "site short_getpid, \"mov $39, %eax\", \"\"\n"
    "site short_getpgid, \"mov $121, %eax\", \"\"\n"
    "site long_getpgid, \"mov $121, %rax\", \"\"\n"
    "site short_close, \"mov $3, %eax\", \"\"\n"
    "site short_kill, \"mov $62, %eax\", \"\"\n"
    "site compared, \"mov call_in(%rip), %rax\", \"cmp $-4096, %rax\"\n"
    "site plain, \"mov call_in(%rip), %rax\", \"nop\"\n"
    ".data\n call_standard: .long 0x1f80\n .text\n");

#define SITE(name) extern void call_##name(void); extern const char after_##name[]
SITE(short_getpid);
SITE(short_getpgid);
SITE(long_getpgid);
SITE(short_close);
SITE(short_kill);
SITE(compared);
SITE(plain);

#define HIGH_GETPID ((long)0x8000000000000027) // Linux reads 32 bits of the number.

static const struct site {
  const char *name;
  void (*call)(void);
  const char *after;
  long number, first; // The call and its first argument.
  int changes_flags;
} sites[] = {
    {"mov, getpid", call_short_getpid, after_short_getpid, SYS_getpid, 0, 0},
    {"mov, getpgid", call_short_getpgid, after_short_getpgid, SYS_getpgid, 0, 0},
    {"long mov, getpgid", call_long_getpgid, after_long_getpgid, SYS_getpgid, 0, 0},
    {"mov, close", call_short_close, after_short_close, SYS_close, -1, 0},
    {"mov, kill", call_short_kill, after_short_kill, SYS_kill, 0, 0},
    {"cmp, getpid", call_compared, after_compared, SYS_getpid, 0, 1},
    {"cmp, getpgid", call_compared, after_compared, SYS_getpgid, 0, 1},
    {"cmp, sched_yield", call_compared, after_compared, SYS_sched_yield, 0, 1},
    {"cmp, no call", call_compared, after_compared, 100000, 0, 1},
    {"cmp, another", call_compared, after_compared, -1, 0, 1},
    {"nop, getpid", call_plain, after_plain, SYS_getpid, 0, 0},
    {"nop, getpgid", call_plain, after_plain, SYS_getpgid, 0, 0},
    {"nop, no call", call_plain, after_plain, 100000, 0, 0},
    {"nop, high getpid", call_plain, after_plain, HIGH_GETPID, 0, 0},
    {"cmp, high getpid", call_compared, after_compared, HIGH_GETPID, 0, 1},
};

static uint64_t seed = 1;
static uint64_t next(void) {
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return seed;
}

static long expected(const struct site *site) {
  switch (site->number) {
  case HIGH_GETPID:
  case SYS_getpid: return getpid();
  case SYS_getpgid: return getpgrp();
  case SYS_close: return -EBADF;
  case SYS_kill:
  case SYS_sched_yield: return 0;
  default: return -ENOSYS;
  }
}

// Carry, parity, adjust, zero, sign, direction, overflow, alignment check, identification.
static const uint64_t flags[] = {0, 0x1, 0x4, 0x10, 0x40, 0x80, 0x400, 0x800, 0xcd5, 0x40000, 0x200000};

static uint8_t stack[4096] __attribute__((aligned(64)));
enum { RED_ZONE = 128 };

static uint64_t stack_pointer(int round) {
  const uint64_t wild_ones[] = {8, 0x123456789abc, 0x8000000000000000, 0xffffffffffffffff};
  int choice = round % (int)(COUNT(wild_ones) + 4);
  return choice < (int)COUNT(wild_ones) ? wild_ones[choice] : (uint64_t)(stack + 2048 + choice * 8);
}

static void prepare(const struct site *site, int round) {
  for (int i = 0; i < REGISTERS; i++) call_in.general[i] = next();
  call_in.general[RAX] = site->number;
  call_in.general[RDI] = site->number == SYS_kill ? getpid() : site->first;
  call_in.general[RSI] = site->number == SYS_kill ? 0 : next();
  call_in.general[RSP] = stack_pointer(round);
  call_in.flags = 0x202 | flags[round % COUNT(flags)];
  call_in.mxcsr = 0x1f80 | (round & 3) << 13;
  call_in.control = 0x37f ^ (round & 3) << 10;
  for (size_t i = 0; i < sizeof call_in.vectors; i++) ((uint8_t *)call_in.vectors)[i] = next();
  memset(&call_out, 0x55, sizeof call_out);
  memset(stack, 0xaa, sizeof stack);
}

static void check(const struct site *site, int round) {
  uint64_t *before = call_in.general, *after = call_out.general;
  for (int i = 0; i < REGISTERS; i++) {
    uint64_t wanted = before[i];
    if (i == RAX) wanted = expected(site);
    if (i == RCX) wanted = (uint64_t)site->after;
    if (i == R11) wanted = call_in.flags;
    CHECK_CASE(after[i] == wanted, "%s, round %d: register %d is %#lx, not %#lx", site->name, round, i, after[i], wanted);
  }
  if (!site->changes_flags)
    CHECK_CASE(call_out.flags == call_in.flags, "%s, round %d: flags %#lx, not %#lx", site->name, round, call_out.flags, call_in.flags);
  CHECK_CASE(call_out.mxcsr == call_in.mxcsr && call_out.control == call_in.control, "%s: %#x %#x", site->name, call_out.mxcsr, call_out.control);
  for (int i = 0; i < VECTORS; i++)
    CHECK_CASE(memcmp(call_in.vectors[i], call_out.vectors[i], call_has_avx ? 32 : 16) == 0, "%s, round %d: vector %d", site->name, round, i);
  for (size_t i = 0; i < sizeof stack; i++) CHECK_CASE(stack[i] == 0xaa, "%s, round %d: stack[%zu]", site->name, round, i);
}

static void every_register_is_as_it_should_be(void) {
  for (size_t i = 0; i < COUNT(sites); i++)
    for (int round = 0; round < ROUNDS; round++) {
      prepare(&sites[i], round);
      sites[i].call();
      check(&sites[i], round);
    }
}

static volatile sig_atomic_t alarms, own_signals;
static void on_alarm(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  uint64_t rip = registers[REG_RIP];
  CHECK_CASE(rip < 1UL << 47, "RIP %#lx", rip);
  for (size_t i = 0; i < COUNT(sites); i++) {
    if (rip < (uint64_t)sites[i].after - 9 || rip > (uint64_t)sites[i].after) continue;
    CHECK_CASE((uint64_t)registers[REG_RSP] == call_in.general[RSP], "%s: RSP %#llx", sites[i].name, registers[REG_RSP]);
    if (rip < (uint64_t)sites[i].after) continue;
    CHECK_CASE((uint64_t)registers[REG_RCX] == rip, "%s: RCX %#llx", sites[i].name, registers[REG_RCX]);
    CHECK_CASE((uint64_t)registers[REG_R11] == call_in.flags, "%s: R11 %#llx", sites[i].name, registers[REG_R11]);
  }
  alarms++;
}

static void signals_find_the_program_at_its_own_place(void) {
  static uint8_t alternate[64 << 10];
  OK(sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = sizeof alternate}, NULL));
  handle(SIGALRM, on_alarm, SA_ONSTACK);
  timer_t timer;
  OK(timer_create(CLOCK_MONOTONIC, NULL, &timer));
  OK(timer_settime(timer, 0, &(struct itimerspec){{0, 300000}, {0, 300000}}, NULL));
  for (int times = 0; times < 100 && alarms < 300; times++) every_register_is_as_it_should_be();
  OK(timer_delete(timer));
  CHECK(alarms > 0);
}

static void on_own_signal(int number, siginfo_t *info, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  (void)number, (void)info;
  CHECK(registers[REG_RIP] == (greg_t)after_short_kill && registers[REG_RCX] == registers[REG_RIP]);
  CHECK(registers[REG_R11] == registers[REG_EFL] && registers[REG_RAX] == 0);
  CHECK((uint64_t)registers[REG_RSP] == call_in.general[RSP]);
  own_signals++;
}

static void a_signal_of_the_call_itself_comes_after_it(void) {
  handle(SIGUSR1, on_own_signal, SA_ONSTACK);
  const struct site *site = &sites[4];
  CHECK(site->number == SYS_kill);
  for (int round = 0; round < ROUNDS; round++) {
    prepare(site, round);
    call_in.general[RSI] = SIGUSR1;
    own_signals = 0;
    site->call();
    check(site, round);
    CHECK(own_signals == 1);
  }
}

int main(void) {
  call_has_avx = __builtin_cpu_supports("avx") != 0;
  every_register_is_as_it_should_be();
  signals_find_the_program_at_its_own_place();
  a_signal_of_the_call_itself_comes_after_it();
  return 0;
}
