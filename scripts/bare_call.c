// What a system call costs at best that leaves its guest: a loop of SYSCALL in ring 3, whose target writes to a port, which ends
// KVM_RUN. One vCPU, one page of code, and nothing else. Prints the microseconds of one such call.
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

enum { MEMORY_BYTES = 2 << 20, PORT = 0x10, WARM_UP = 100 };
// Where things lie in guest memory, which one large page maps at 0.
enum { PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000, LOOP = 0x4000, ENTRY = 0x4800, TSS = 0x5000 };
// The I/O bitmap follows the 104 bytes of a TSS: KVM may leave the CPU in ring 3 at the target of SYSCALL, which then needs the port.
enum { BITMAP = 104, BITMAP_BYTES = PORT / 8 + 2 };
// Selectors: SYSCALL loads KERNEL_CS and the next, SYSRET those two and one after USER_BASE.
enum { KERNEL_CS = 0x08, USER_BASE = 0x18, USER_SS = USER_BASE + 8 + 3, USER_CS = USER_BASE + 16 + 3 };
enum { CR0_PE = 1, CR0_NE = 1 << 5, CR0_WP = 1 << 16, CR4_PAE = 1 << 5, EFER_SCE = 1, EFER_LME = 1 << 8, EFER_LMA = 1 << 10 };
enum { MSR_STAR = 0xc0000081, MSR_LSTAR = 0xc0000082, MSR_SYSCALL_MASK = 0xc0000084 };
// Present, writable, user, accessed, dirty.
enum { TABLE = 0x67, LARGE_PAGE = 0xe7 };

static const uint8_t loop_code[] = {0x0f, 0x05, 0xeb, 0xfc};               // again: syscall; jmp again
static const uint8_t entry_code[] = {0xe6, PORT, 0x48, 0x0f, 0x07};        // out %al, $PORT; sysretq

static int checked(int result, const char *what) {
  if (result < 0) err(1, "%s", what);
  return result;
}

static void *mapped(void *memory, const char *what) {
  if (memory == MAP_FAILED) err(1, "%s", what);
  return memory;
}

static void fill_memory(uint8_t *memory) {
  *(uint64_t *)(memory + PML4) = PDPT | TABLE;
  *(uint64_t *)(memory + PDPT) = PD | TABLE;
  *(uint64_t *)(memory + PD) = LARGE_PAGE;
  memcpy(memory + LOOP, loop_code, sizeof loop_code);
  memcpy(memory + ENTRY, entry_code, sizeof entry_code);
  *(uint16_t *)(memory + TSS + BITMAP - 2) = BITMAP;
  memset(memory + TSS + BITMAP, 0, BITMAP_BYTES);
  memory[TSS + BITMAP + BITMAP_BYTES] = 0xff;
}

static void set_system_registers(int vcpu) {
  struct kvm_sregs registers;
  checked(ioctl(vcpu, KVM_GET_SREGS, &registers), "KVM_GET_SREGS");
  struct kvm_segment code = {.limit = ~0u, .selector = USER_CS, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1};
  struct kvm_segment data = {.limit = ~0u, .selector = USER_SS, .type = 3, .present = 1, .dpl = 3, .db = 1, .s = 1, .g = 1};
  struct kvm_segment task = {.base = TSS, .limit = BITMAP + BITMAP_BYTES, .selector = 0x30, .type = 11, .present = 1};
  registers.cs = code;
  registers.ds = registers.es = registers.fs = registers.gs = registers.ss = data;
  registers.tr = task;
  registers.cr0 = 1u << 31 | CR0_WP | CR0_NE | CR0_PE;
  registers.cr3 = PML4;
  registers.cr4 = CR4_PAE;
  registers.efer = EFER_LMA | EFER_LME | EFER_SCE;
  checked(ioctl(vcpu, KVM_SET_SREGS, &registers), "KVM_SET_SREGS");
}

static void set_call_target(int vcpu) {
  struct { struct kvm_msrs head; struct kvm_msr_entry entries[3]; } msrs = {
    .head = {.nmsrs = 3},
    .entries = {
      {.index = MSR_STAR, .data = (uint64_t)(USER_BASE | 3) << 48 | (uint64_t)KERNEL_CS << 32},
      {.index = MSR_LSTAR, .data = ENTRY},
      {.index = MSR_SYSCALL_MASK, .data = 0},
    },
  };
  if (ioctl(vcpu, KVM_SET_MSRS, &msrs) != 3) err(1, "KVM_SET_MSRS");
}

// One call: until the write to the port, and what it takes to go on behind SYSCALL.
static void call_once(int vcpu, struct kvm_run *run) {
  run->kvm_valid_regs = KVM_SYNC_X86_REGS;
  checked(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
  if (run->exit_reason != KVM_EXIT_IO || run->io.port != PORT) errx(1, "the guest left with exit reason %u", run->exit_reason);
}

// Where SYSCALL does not leave ring 3, SYSRET would not return: go on where it would have.
static void go_on_in_ring_3(struct kvm_run *run) {
  run->s.regs.regs.rip = run->s.regs.regs.rcx;
  run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}

static double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

int main(int count, char **arguments) {
  long calls = count > 1 ? atol(arguments[1]) : 5000;
  int kvm = checked(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  int machine = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  uint8_t *memory = mapped(mmap(0, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), "memory");
  fill_memory(memory);
  struct kvm_userspace_memory_region region = {.memory_size = MEMORY_BYTES, .userspace_addr = (uintptr_t)memory};
  checked(ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
  int vcpu = checked(ioctl(machine, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  int run_bytes = checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  struct kvm_run *run = mapped(mmap(0, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0), "kvm_run");
  struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 entries[256]; } cpuid = {.head = {.nent = 256}};
  checked(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid), "KVM_GET_SUPPORTED_CPUID");
  checked(ioctl(vcpu, KVM_SET_CPUID2, &cpuid), "KVM_SET_CPUID2");
  set_system_registers(vcpu);
  set_call_target(vcpu);
  struct kvm_regs registers = {.rip = LOOP, .rflags = 2};
  checked(ioctl(vcpu, KVM_SET_REGS, &registers), "KVM_SET_REGS");

  call_once(vcpu, run);
  struct kvm_sregs first;
  checked(ioctl(vcpu, KVM_GET_SREGS, &first), "KVM_GET_SREGS");
  int stays_in_ring_3 = first.cs.selector & 3;
  double started = 0;
  for (long call = -WARM_UP; call < calls; call++) {
    if (call == 0) started = now_us();
    if (stays_in_ring_3) go_on_in_ring_3(run);
    call_once(vcpu, run);
  }
  printf("%.3f\n", (now_us() - started) / calls);
}
