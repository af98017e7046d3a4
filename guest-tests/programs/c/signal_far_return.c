// A far return to the null selector is a protection fault, each time anew, and the stack is as it was.
// not emulated: QEMU reads the stack with the kernel's rights, natively, too, where SMAP forbids it
#include "check.h"
#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf escape;
static volatile int seen, code;
static volatile long trap, error, rip;
extern char fault_far[];

static void record(int number, siginfo_t *info, void *context) {
  (void)number;
  const greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  seen++;
  code = info->si_code;
  trap = registers[REG_TRAPNO];
  error = registers[REG_ERR];
  rip = registers[REG_RIP];
  siglongjmp(escape, 1);
}

static NOINLINE void far_return(void) { __asm__ volatile("pushq $0\n pushq $0\n .globl fault_far\n fault_far: lretq"); }

int main(void) {
  handle(SIGSEGV, record, 0);
  for (volatile int round = 1; round <= 3; round++) {
    if (sigsetjmp(escape, 1) == 0) {
      far_return();
      FAIL("no fault");
    }
    CHECK_EQ(seen, round);
    CHECK_EQ(code, SI_KERNEL);
    CHECK_EQ(trap, 13);
    CHECK_EQ(error, 0);
    CHECK_EQ(rip, (long)fault_far);
  }
  return 0;
}
