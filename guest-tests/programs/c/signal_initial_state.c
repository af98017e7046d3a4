// Handlers start with the initial state of the processor's floating point and vector registers, nested ones too, and
// what was interrupted goes on with its own.
#include "check.h"
#include <immintrin.h>

struct legacy_area {
  uint16_t control, status;
  uint8_t tag, reserved;
  uint16_t opcode;
  uint64_t instruction, data;
  uint32_t mxcsr, mxcsr_mask;
  unsigned char stack[128], vectors[256], rest[96];
} __attribute__((aligned(64)));

// What the handlers of SIGUSR1 and, nested in it, of SIGUSR2 found.
struct legacy_area found_at_entry[2];
static pid_t own_pid;

// In assembly, so that nothing has used a register before it looks. The first one spoils the state and is interrupted.
void look_and_nest(int number, siginfo_t *info, void *context);
__asm__(
    "look_and_nest:\n"
    "  fxsave64 found_at_entry(%rip)\n"
    "  push $0x0e7f\n fldcw (%rsp)\n fldpi\n fldpi\n"
    "  movl $0x7f80, (%rsp)\n ldmxcsr (%rsp)\n pop %rax\n"
    "  pcmpeqd %xmm0, %xmm0\n pcmpeqd %xmm15, %xmm15\n"
    "  mov $39, %eax\n syscall\n"              // getpid
    "  mov %eax, %edi\n mov $12, %esi\n"       // SIGUSR2
    "  mov $62, %eax\n syscall\n ret\n"        // kill
    "look:\n"
    "  fxsave64 found_at_entry+512(%rip)\n ret\n");
void look(int number, siginfo_t *info, void *context);

static void check_initial(int index) {
  struct legacy_area *area = &found_at_entry[index];
  static const unsigned char zeros[256];
  CHECK_EQ(area->control, 0x37f);
  CHECK_EQ(area->status, 0);
  CHECK_EQ(area->tag, 0);
  CHECK_EQ(area->opcode, 0);
  CHECK_EQ(area->instruction, 0);
  CHECK_EQ(area->data, 0);
  CHECK_EQ(area->mxcsr, 0x1f80);
  CHECK_CASE(memcmp(area->stack, zeros, sizeof area->stack) == 0, "x87 registers of handler %d", index);
  CHECK_CASE(memcmp(area->vectors, zeros, sizeof area->vectors) == 0, "vector registers of handler %d", index);
}

static void legacy_state_is_initial_at_every_depth(void) {
  handle(SIGUSR1, look_and_nest, 0);
  handle(SIGUSR2, look, 0);
  for (int round = 0; round < 3; round++) {
    memset(found_at_entry, 0xee, sizeof found_at_entry);
    struct legacy_area before = {0}, after = {0};
    unsigned control = 0x5f80; // Rounds up.
    unsigned short x87_control = 0x0a7f;
    __asm__ volatile(
        "fninit\n fldcw %[x87]\n fldl2e\n fld1\n ldmxcsr %[control]\n movl $0x5eed, %%edx\n movd %%edx, %%xmm0\n movd %%edx, %%xmm9\n"
        "fxsave64 %[before]\n syscall\n fxsave64 %[after]\n"
        : [before] "=m"(before), [after] "=m"(after)
        : [control] "m"(control), [x87] "m"(x87_control), "a"(SYS_kill), "D"(own_pid), "S"(SIGUSR1)
        : "rcx", "rdx", "r11", "xmm0", "xmm9", "memory", "cc");
    unsigned standard = 0x1f80;
    __asm__ volatile("ldmxcsr %0\n fninit" ::"m"(standard));
    CHECK_CASE(memcmp(&before, &after, offsetof(struct legacy_area, rest)) == 0, "round %d", round);
    check_initial(0);
    check_initial(1);
  }
}

// A fault and an asynchronous signal are no different from a call.
static sigjmp_buf escape;
static void leave(int number, siginfo_t *info, void *context) {
  (void)info, (void)context;
  siglongjmp(escape, number);
}

void look_and_leave(int number, siginfo_t *info, void *context);
__asm__("look_and_leave:\n fxsave64 found_at_entry(%rip)\n jmp *leave_address(%rip)\n");
void (*leave_address)(int, siginfo_t *, void *) = leave;

static void faults_are_no_different(void) {
  handle(SIGSEGV, look_and_leave, SA_NODEFER);
  memset(found_at_entry, 0xee, sizeof found_at_entry);
  unsigned control = 0x7f80;
  if (sigsetjmp(escape, 1) == 0) {
    __asm__ volatile("ldmxcsr %0\n fld1\n pcmpeqd %%xmm3, %%xmm3\n movl $1, (%1)" ::"m"(control), "r"(wild) : "xmm3", "memory");
    FAIL("no fault");
  }
  check_initial(0);
}

unsigned char found_ymm[32], found_zmm[64];
uint32_t found_mask;
void look_at_avx(int number, siginfo_t *info, void *context);
void look_at_avx512(int number, siginfo_t *info, void *context);
__asm__(
    "look_at_avx:\n vmovdqu %ymm5, found_ymm(%rip)\n ret\n"
    "look_at_avx512:\n vmovdqu64 %zmm20, found_zmm(%rip)\n kmovw %k3, %eax\n mov %eax, found_mask(%rip)\n ret\n");

__attribute__((target("avx"))) static void upper_halves_are_clear(void) {
  if (!__builtin_cpu_supports("avx")) return;
  handle(SIGUSR1, look_at_avx, 0);
  unsigned char source[32], after[32];
  memset(source, 0x5a, sizeof source);
  memset(found_ymm, 0xee, sizeof found_ymm);
  __asm__ volatile("vmovdqu %[source], %%ymm5\n syscall\n vmovdqu %%ymm5, %[after]\n vzeroupper"
                   : [after] "=m"(after)
                   : [source] "m"(source), "a"(SYS_kill), "D"(own_pid), "S"(SIGUSR1)
                   : "rcx", "r11", "xmm5", "memory", "cc");
  for (size_t i = 0; i < sizeof found_ymm; i++) CHECK_EQ(found_ymm[i], 0);
  CHECK_EQ(memcmp(source, after, sizeof source), 0);
}

__attribute__((target("avx512f"))) static void avx512_is_clear(void) {
  if (!__builtin_cpu_supports("avx512f")) return;
  handle(SIGUSR1, look_at_avx512, 0);
  unsigned char source[64], after[64];
  memset(source, 0x5a, sizeof source);
  memset(found_zmm, 0xee, sizeof found_zmm);
  found_mask = 7;
  __asm__ volatile("vmovdqu64 %[source], %%zmm20\n kxnorw %%k3, %%k3, %%k3\n syscall\n vmovdqu64 %%zmm20, %[after]\n vzeroupper"
                   : [after] "=m"(after)
                   : [source] "m"(source), "a"(SYS_kill), "D"(own_pid), "S"(SIGUSR1)
                   : "rcx", "r11", "memory", "cc");
  for (size_t i = 0; i < sizeof found_zmm; i++) CHECK_EQ(found_zmm[i], 0);
  CHECK_EQ(found_mask, 0);
  CHECK_EQ(memcmp(source, after, sizeof source), 0);
}

int main(void) {
  own_pid = getpid();
  legacy_state_is_initial_at_every_depth();
  faults_are_no_different();
  upper_halves_are_clear();
  avx512_is_clear();
  return 0;
}
