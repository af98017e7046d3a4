// Faults as signals: number, code and address of siginfo, trap number and error code of the context.
#include "check.h"
#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf escape;
static volatile struct { int number, code; void *address; long trap, error, cr2, rip; } fault;

static void record(int number, siginfo_t *info, void *context) {
  const greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  fault.number = number;
  fault.code = info->si_code;
  fault.address = info->si_addr;
  fault.trap = registers[REG_TRAPNO];
  fault.error = registers[REG_ERR];
  fault.cr2 = registers[REG_CR2];
  fault.rip = registers[REG_RIP];
  siglongjmp(escape, 1);
}

static char *nothing, *read_only, *unreadable, *past_end, *not_executable;

// Labels at the instructions that fault, to compare with the reported addresses.
extern char fault_ud2[], fault_div[], fault_hlt[];

static void read_nothing(void) { *(volatile char *)nothing; }
static void write_nothing(void) { *(volatile char *)nothing = 1; }
static void write_read_only(void) { *(volatile char *)(read_only + 5) = 1; }
static void read_unreadable(void) { *(volatile char *)(unreadable + 7); }
static void read_past_end(void) { *(volatile char *)(past_end + PAGE + 3); }
static void write_past_end(void) { *(volatile char *)(past_end + PAGE + 3) = 1; }
static void run_data(void) { ((void (*)(void))not_executable)(); }
static void run_nothing(void) { ((void (*)(void))nothing)(); }
static void read_null(void) { *(volatile char *)(long)(uintptr_t)NULL; }
static void read_noncanonical(void) { __asm__ volatile("movq (%0), %%rax" ::"r"(0x8000000000000000UL) : "rax"); }
static void read_kernel(void) { __asm__ volatile("movq (%0), %%rax" ::"r"(0xffffffff81000000UL) : "rax"); }
static NOINLINE void divide_by_zero(void) { __asm__ volatile("fault_div: divl %0" ::"r"(0), "a"(1), "d"(0)); }
static void divide_overflow(void) { __asm__ volatile("idivl %0" ::"r"(-1), "a"(0x80000000), "d"(-1)); }
static NOINLINE void undefined(void) { __asm__ volatile("fault_ud2: ud2"); }
static NOINLINE void halt(void) { __asm__ volatile("fault_hlt: hlt"); }
static void disable_interrupts(void) { __asm__ volatile("cli"); }
static void port(void) { __asm__ volatile("outb %%al, $0x80" ::"a"(0)); }
static void breakpoint(void) { __asm__ volatile("int3"); }
static void debug_interrupt(void) { __asm__ volatile(".byte 0xf1"); }
static void software_interrupt(void) { __asm__ volatile("int $0x55"); }
static void write_model_register(void) { __asm__ volatile("wrmsr" ::"c"(0x10), "a"(0), "d"(0)); }
static void simd_divide(void) {
  unsigned control = 0x1f80 & ~0x200; // Unmask division by zero.
  __asm__ volatile("ldmxcsr %0" ::"m"(control));
  volatile double zero = 0, one = 1;
  one = one / zero;
}
static void x87_divide(void) {
  unsigned short control = 0x37f & ~4;
  __asm__ volatile("fninit\n fldcw %0\n fld1\n fldz\n fdivrp\n fwait" ::"m"(control));
}
static void misaligned_sse(void) { __asm__ volatile("movaps (%0), %%xmm0" ::"r"(read_only + 1) : "xmm0"); }
static void single_step(void) { __asm__ volatile("pushfq\n orl $0x100, (%%rsp)\n popfq\n nop\n nop" ::: "memory", "cc"); }
static void load_segment(void) { __asm__ volatile("movw %w0, %%ds" ::"r"(0x1234)); }

#define ANY ((void *)-1)

// Cases of the table that were otherwise: all are told, and the rest is tested, before they count.
static int wrong_count;

static void table_of_faults(void) {
  struct { const char *name; void (*body)(void); int number, code; void *address; long trap, error; } cases[] = {
      {"read of nothing", read_nothing, SIGSEGV, SEGV_MAPERR, nothing, 14, 4},
      {"write to nothing", write_nothing, SIGSEGV, SEGV_MAPERR, nothing, 14, 6},
      {"write to read-only", write_read_only, SIGSEGV, SEGV_ACCERR, read_only + 5, 14, 7},
      {"read of PROT_NONE", read_unreadable, SIGSEGV, SEGV_ACCERR, unreadable + 7, 14, -1},
      {"read past the end of a file", read_past_end, SIGBUS, BUS_ADRERR, past_end + PAGE + 3, 14, 4},
      {"write past the end of a file", write_past_end, SIGBUS, BUS_ADRERR, past_end + PAGE + 3, 14, 6},
      {"execution of data", run_data, SIGSEGV, SEGV_ACCERR, not_executable, 14, 0x15},
      {"execution of nothing", run_nothing, SIGSEGV, SEGV_MAPERR, nothing, 14, 0x14},
      {"read of null", read_null, SIGSEGV, SEGV_MAPERR, NULL, 14, 4},
      {"non-canonical address", read_noncanonical, SIGSEGV, SI_KERNEL, NULL, 13, 0},
      {"read of the kernel's half", read_kernel, SIGSEGV, SEGV_MAPERR, (void *)0xffffffff81000000UL, 14, -1},
      {"division by zero", divide_by_zero, SIGFPE, FPE_INTDIV, fault_div, 0, 0},
      {"overflow of a quotient", divide_overflow, SIGFPE, FPE_INTDIV, ANY, 0, 0},
      {"ud2", undefined, SIGILL, ILL_ILLOPN, fault_ud2, 6, 0},
      {"hlt", halt, SIGSEGV, SI_KERNEL, NULL, 13, 0},
      {"cli", disable_interrupts, SIGSEGV, SI_KERNEL, NULL, 13, 0},
      {"out", port, SIGSEGV, SI_KERNEL, NULL, 13, 0},
      {"wrmsr", write_model_register, SIGSEGV, SI_KERNEL, NULL, 13, 0},
      {"int 0x55", software_interrupt, SIGSEGV, SI_KERNEL, NULL, 13, 0x55 * 8 + 2},
      {"int3", breakpoint, SIGTRAP, SI_KERNEL, NULL, 3, 0},
      {"int1", debug_interrupt, SIGTRAP, TRAP_BRKPT, ANY, 1, 0},
      {"single step", single_step, SIGTRAP, TRAP_TRACE, ANY, 1, 0},
      {"SIMD division", simd_divide, SIGFPE, FPE_FLTDIV, ANY, 19, 0},
      {"x87 division", x87_divide, SIGFPE, FPE_FLTDIV, ANY, 16, 0},
      {"misaligned movaps", misaligned_sse, SIGSEGV, SI_KERNEL, NULL, 13, 0},
      {"bad segment", load_segment, SIGSEGV, SI_KERNEL, NULL, 13, 0x1234},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    fault.number = 0;
    if (sigsetjmp(escape, 1) == 0) cases[i].body();
    unsigned control = 0x1f80;
    __asm__ volatile("fninit\n ldmxcsr %0" ::"m"(control));
    if (fault.number == 0) {
      wrong_count += fprintf(stderr, "%s: no fault\n", cases[i].name) > 0;
      continue;
    }
    int is_right = fault.number == cases[i].number && fault.code == cases[i].code && fault.trap == cases[i].trap;
    is_right = is_right && (cases[i].address == ANY || fault.address == cases[i].address);
    is_right = is_right && (cases[i].error == -1 || (fault.trap == 14 ? fault.error | 1 : fault.error) == (fault.trap == 14 ? cases[i].error | 1 : cases[i].error)); // Whether the page was present (bit 0) is the kernel's choice.
    if (fault.trap == 14) is_right = is_right && fault.cr2 == (long)cases[i].address;
    if (!is_right) wrong_count += fprintf(stderr, "%s: signal %d code %d address %p trap %ld error %#lx cr2 %#lx\n", cases[i].name, fault.number, fault.code, fault.address, fault.trap, fault.error, fault.cr2) > 0;
  }
}

// Whether something is mapped beyond user memory is nobody's business: all of it counts as present.
static void nothing_is_told_of_the_kernels_half(void) {
  if (sigsetjmp(escape, 1) == 0) read_kernel();
  CHECK_EQ(fault.error, 5);
}

static void instruction_pointers_are_those_of_the_fault(void) {
  struct { void (*body)(void); char *at; } cases[] = {{divide_by_zero, fault_div}, {undefined, fault_ud2}, {halt, fault_hlt}, {run_nothing, nothing}};
  for (volatile size_t i = 0; i < COUNT(cases); i++)
    if (sigsetjmp(escape, 1) == 0) cases[i].body();
    else CHECK_CASE(fault.rip == (long)cases[i].at, "case %zu: rip %#lx", i, fault.rip);
}

static void a_blocked_or_ignored_fault_kills(void) {
  pid_t pid;
  IN_CHILD(pid) {
    sigset_t set = signals(SIGSEGV, 0);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    read_nothing();
  }
  WAIT_SIGNALED(pid, SIGSEGV);
  IN_CHILD(pid) {
    signal(SIGFPE, SIG_IGN);
    divide_by_zero();
  }
  WAIT_SIGNALED(pid, SIGFPE);
  struct { void (*body)(void); int number; } cases[] = {{read_nothing, SIGSEGV}, {undefined, SIGILL}, {breakpoint, SIGTRAP}, {read_past_end, SIGBUS}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    IN_CHILD(pid) {
      signal(cases[i].number, SIG_DFL);
      cases[i].body();
    }
    WAIT_SIGNALED(pid, cases[i].number);
  }
}

static void a_wild_handler_or_frame_kills(void) {
  pid_t pid;
  IN_CHILD(pid) {
    signal(SIGSEGV, SIG_DFL);
    signal(SIGUSR1, (void (*)(int))nothing);
    raise(SIGUSR1);
  }
  WAIT_SIGNALED(pid, SIGSEGV);
  IN_CHILD(pid) {
    signal(SIGSEGV, SIG_DFL);
    __asm__ volatile("movq $8, %%rsp\n movl $15, %%eax\n syscall" ::: "rax", "rcx", "r11", "memory"); // rt_sigreturn without a frame
  }
  WAIT_SIGNALED(pid, SIGSEGV);
  IN_CHILD(pid) {
    handle(SIGILL, record, 0); // On the ordinary stack, which is nowhere.
    signal(SIGSEGV, SIG_DFL);
    __asm__ volatile("movq $0x1000, %%rsp\n ud2" ::: "memory");
  }
  WAIT_SIGNALED(pid, SIGSEGV);
}

// Who has no protection keys cannot write them; who writes that it may touch nothing touches nothing more. Neither goes on for ever.
static void keys_that_forbid_all_kill(void) {
  int number;
  pid_t pid = OK(fork());
  if (pid == 0) {
    signal(SIGILL, SIG_DFL), signal(SIGSEGV, SIG_DFL);
    __asm__ volatile(".byte 0x0f, 0x01, 0xef" : : "a"(0x55555555), "c"(0), "d"(0) : "memory");
    _exit(*(volatile int *)&number);
  }
  int status = WAIT(pid);
  CHECK(WIFSIGNALED(status) && (WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGSEGV));
}

int main(void) {
  enter_scratch();
  nothing = map_anonymous(PAGE, PROT_READ);
  OK(munmap(nothing, PAGE));
  read_only = map_anonymous(PAGE, PROT_READ);
  unreadable = map_anonymous(PAGE, PROT_NONE);
  not_executable = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  not_executable[0] = (char)0xc3;
  write_file("short", "x");
  int file = OK(open("short", O_RDWR));
  past_end = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(past_end != MAP_FAILED);
  // The first mappings above must not have been put where "nothing" is.
  if (nothing == read_only || nothing == unreadable || nothing == not_executable || nothing == past_end || nothing == past_end + PAGE) nothing = (char *)0x10000;
  char *stack = map_anonymous(65536, PROT_READ | PROT_WRITE);
  OK(sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = 65536}, NULL));
  int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  for (size_t i = 0; i < COUNT(numbers); i++) handle(numbers[i], record, i == 0 ? SA_ONSTACK : 0);
  table_of_faults();
  nothing_is_told_of_the_kernels_half();
  instruction_pointers_are_those_of_the_fault();
  a_blocked_or_ignored_fault_kills();
  a_wild_handler_or_frame_kills();
  keys_that_forbid_all_kill();
  CHECK_EQ(wrong_count, 0);
  return 0;
}
