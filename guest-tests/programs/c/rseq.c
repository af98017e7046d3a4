// rseq(2): registration and its errors, numbers, aborts by signals, broken sections, fork, exec, threads.
// timeout: 60
#include "check.h"
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/rseq.h>
#include <sys/time.h>

#define SIGNATURE RSEQ_SIG
#define UNREGISTER 1

static long sys_rseq(void *area, unsigned length, int flags, unsigned signature) {
  return syscall(SYS_rseq, area, length, flags, signature);
}

// What is in an area that Linux 6.3 and later fill.
struct area {
  uint32_t cpu_id_start;
  uint32_t cpu_id;
  uint64_t rseq_cs;
  uint32_t flags;
  uint32_t node_id;
  uint32_t mm_cid;
  uint32_t rest[9];
} __attribute__((aligned(64)));

static volatile struct area *area_of_thread(void) {
  return (volatile struct area *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static unsigned glibc_length;

// glibc has registered an area with one of these lengths; here it is taken back.
static void drop_registration(void) {
  for (glibc_length = 32; glibc_length <= 512; glibc_length++)
    if (sys_rseq((void *)area_of_thread(), glibc_length, UNREGISTER, SIGNATURE) == 0) return;
  FAIL("glibc's area is not registered");
}

struct section {
  uint32_t version, flags;
  uint64_t start, post_commit, abort;
} __attribute__((aligned(32)));

static struct area own;

// Waits in a critical section until *flag is set: 1, or 0 if it was aborted. The section is the caller's to spoil.
static struct section spin_section;
extern char spin_start[], spin_end[], spin_abort[];
static NOINLINE int spin_in_section(volatile struct area *area, volatile int *flag) {
  int committed;
  asm volatile(
      "lea spin_section(%%rip), %%rax\n"
      "mov %%rax, 8(%[area])\n"
      ".globl spin_start\nspin_start:\n"
      "movl $1, (%[started])\n"
      "1: pause\n"
      "cmpl $0, (%[flag])\n"
      "je 1b\n"
      ".globl spin_end\nspin_end:\n"
      "mov $1, %[committed]\n"
      "jmp 3f\n"
      ".byte 0x0f, 0xb9, 0x3d\n"
      ".long 0x53053053\n"
      ".globl spin_abort\nspin_abort:\n"
      "xor %[committed], %[committed]\n"
      "3:\n"
      : [committed] "=&r"(committed)
      : [area] "r"(area), [flag] "r"(flag), [started] "r"(flag + 1)
      : "rax", "memory", "cc");
  return committed;
}

static void reset_section(void) {
  spin_section = (struct section){
      .start = (uintptr_t)spin_start, .post_commit = spin_end - spin_start, .abort = (uintptr_t)spin_abort};
}

static void test_glibc_registered(void) {
  volatile struct area *area = area_of_thread();
  CHECK(__rseq_size >= 20);
  CHECK(getauxval(AT_RSEQ_FEATURE_SIZE) >= 28);
  CHECK(getauxval(AT_RSEQ_ALIGN) >= 32);
  CHECK((int)area->cpu_id >= 0 && area->cpu_id < (unsigned)sysconf(_SC_NPROCESSORS_CONF));
  CHECK_EQ(area->cpu_id, area->cpu_id_start);
}

static void test_errors(void) {
  drop_registration();
  CHECK_EQ((int)area_of_thread()->cpu_id, -1);
  CHECK_EQ(area_of_thread()->cpu_id_start, 0);
  CHECK_ERRNO(sys_rseq(&own, 32, UNREGISTER, 1), EINVAL);
  CHECK_ERRNO(sys_rseq(&own, 32, 2, 1), EINVAL);
  CHECK_ERRNO(sys_rseq(&own, 32, -1, 1), EINVAL);
  CHECK_ERRNO(sys_rseq(&own, 31, 0, 1), EINVAL);
  CHECK_ERRNO(sys_rseq(&own, 0, 0, 1), EINVAL);
  CHECK_ERRNO(sys_rseq((char *)&own + 8, 32, 0, 1), EINVAL);
  CHECK_ERRNO(sys_rseq((char *)&own + 16, 64, 0, 1), EINVAL);
  CHECK_ERRNO(sys_rseq((void *)0xffff800000000000, 32, 0, 1), EFAULT);
  CHECK_ERRNO(sys_rseq((void *)0x1000, 32, 0, 1), EFAULT);
  pid_t pid;
  IN_CHILD(pid) {
    // That the numbers cannot be written is found on the way back.
    sys_rseq(map_anonymous(PAGE, PROT_READ), 32, 0, 1);
  }
  WAIT_SIGNALED(pid, SIGSEGV);

  own.rseq_cs = 0x1234;
  OK(sys_rseq(&own, 32, 0, 0x1111));
  CHECK_EQ(own.rseq_cs, 0);
  CHECK_EQ(own.cpu_id, own.cpu_id_start);
  CHECK(own.cpu_id < (unsigned)sysconf(_SC_NPROCESSORS_CONF));
  CHECK_ERRNO(sys_rseq(&own, 32, 0, 0x1111), EBUSY);
  CHECK_ERRNO(sys_rseq(&own, 32, 0, 0x2222), EPERM);
  CHECK_ERRNO(sys_rseq(&own, 64, 0, 0x1111), EINVAL);
  CHECK_ERRNO(sys_rseq((char *)&own + 8, 32, 0, 0x1111), EINVAL);
  CHECK_ERRNO(sys_rseq(&own, 32, UNREGISTER | 2, 0x1111), EINVAL);
  CHECK_ERRNO(sys_rseq(&own, 33, UNREGISTER, 0x1111), EINVAL);
  CHECK_ERRNO(sys_rseq(&own.flags, 32, UNREGISTER, 0x1111), EINVAL);
  CHECK_ERRNO(sys_rseq(&own, 32, UNREGISTER, 0x2222), EPERM);
  OK(sys_rseq(&own, 32, UNREGISTER, 0x1111));
  CHECK_EQ((int)own.cpu_id, -1);
  OK(sys_rseq(&own, 64, 0, SIGNATURE));
  OK(sys_rseq(&own, 64, UNREGISTER, SIGNATURE));
  OK(sys_rseq(&own, 32, 0, SIGNATURE));
}

// A task that may run on one CPU only has that number, at once.
static void test_pinned_numbers(void) {
  cpu_set_t all, one;
  OK(sched_getaffinity(0, sizeof all, &all));
  int count = CPU_COUNT(&all);
  for (int round = 0; round < 50; round++)
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
      if (!CPU_ISSET(cpu, &all)) continue;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      OK(sched_setaffinity(0, sizeof one, &one));
      CHECK_EQ(own.cpu_id, cpu);
      CHECK_EQ(own.cpu_id_start, cpu);
      unsigned told = -1, node = -1;
      OK(syscall(SYS_getcpu, &told, &node, NULL));
      CHECK_EQ(told, cpu);
      CHECK_EQ(node, own.node_id);
      CHECK_EQ(sched_getcpu(), cpu);
      // One thread: one concurrency id.
      CHECK_EQ(own.mm_cid, 0);
    }
  CHECK(count >= 1);
  OK(sched_setaffinity(0, sizeof all, &all));
}

static volatile int flag[2];
static volatile uint64_t saved_ip;
static volatile uint64_t section_in_handler;

static void on_signal(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  saved_ip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
  section_in_handler = own.rseq_cs;
}

static void *send_when_started(void *target) {
  while (!flag[1]) sched_yield();
  sleep_ms(5);
  CHECK_ZERO(pthread_kill(*(pthread_t *)target, SIGUSR1));
  return NULL;
}

// The handler's frame says that the task will go on at the abort address.
static void test_signal_aborts(void) {
  handle(SIGUSR1, on_signal, 0);
  reset_section();
  pthread_t self = pthread_self();
  for (int round = 0; round < 20; round++) {
    flag[0] = flag[1] = 0;
    saved_ip = 0;
    // On a busy machine the section is preempted first: that is an abort, too.
    pthread_t sender = start_thread(send_when_started, &self);
    CHECK_EQ(spin_in_section(&own, flag), 0);
    CHECK_EQ(own.rseq_cs, 0);
    join_thread(sender);
    if (saved_ip != 0) CHECK_EQ(section_in_handler, 0);
  }
}

// Outside of the section nothing is aborted, and the area forgets the section.
static void test_signal_outside(void) {
  reset_section();
  flag[0] = 1;
  own.rseq_cs = (uintptr_t)&spin_section;
  saved_ip = 0;
  OK(raise(SIGUSR1));
  CHECK(saved_ip != 0 && saved_ip != (uintptr_t)spin_abort);
  CHECK_EQ(own.rseq_cs, 0);
  CHECK_EQ(section_in_handler, 0);
}

static void test_commit(void) {
  reset_section();
  flag[0] = 1;
  int commits = 0;
  for (int round = 0; round < 1000; round++) commits += spin_in_section(&own, flag);
  CHECK(commits > 900);
}

// A handler, a trap flag: each step in the section is a signal, and so an abort.
static void on_trap(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  gregset_t *registers = &((ucontext_t *)context)->uc_mcontext.gregs;
  if ((*registers)[REG_RIP] == (long long)(uintptr_t)spin_abort) (*registers)[REG_EFL] &= ~0x100LL;
}

static void test_single_step(void) {
  handle(SIGTRAP, on_trap, 0);
  reset_section();
  flag[0] = 1;
  asm volatile("sub $128, %%rsp; pushfq; orl $0x100, (%%rsp); popfq; add $128, %%rsp" ::: "memory", "cc");
  int committed = spin_in_section(&own, flag);
  CHECK_EQ(committed, 0);
}

// What makes no sense is SIGSEGV when a signal finds it.
static void test_broken_sections(void) {
  static const struct {
    const char *what;
    struct section change;
    uint64_t pointer;
  } cases[] = {
      {"version", {.version = 1}, 0},
      {"section's flags", {.flags = 1}, 0},
      {"section's other flags", {.flags = 8}, 0},
      {"start in the kernel", {.start = 0xffff800000000000}, 0},
      {"length wraps", {.post_commit = ~0UL}, 0},
      {"abort in the kernel", {.abort = 0xffff800000000000}, 0},
      {"abort inside", {.abort = 1}, 0},
      {"wrong signature", {.abort = 2}, 0},
      {"unmapped pointer", {}, 8},
      {"pointer into the kernel", {}, 0xffff800000000000},
  };
  handle(SIGUSR1, on_signal, 0);
  for (size_t index = 0; index < COUNT(cases); index++) {
    pid_t pid;
    IN_CHILD(pid) {
      struct section change = cases[index].change;
      reset_section();
      spin_section.version = change.version;
      spin_section.flags = change.flags;
      if (change.start) spin_section.start = change.start;
      if (change.post_commit) spin_section.post_commit = change.post_commit;
      if (change.abort == 1) spin_section.abort = (uintptr_t)spin_start + 1;
      else if (change.abort == 2) spin_section.abort = (uintptr_t)spin_abort + 1;
      else if (change.abort) spin_section.abort = change.abort;
      if (cases[index].pointer) {
        own.rseq_cs = cases[index].pointer;
        raise(SIGUSR1);
        _exit(1);
      }
      flag[0] = 0;
      struct itimerval soon = {.it_value = {0, 20000}};
      handle(SIGALRM, on_signal, 0);
      OK(setitimer(ITIMER_REAL, &soon, NULL));
      spin_in_section(&own, flag);
      _exit(1);
    }
    int status = WAIT(pid);
    CHECK_CASE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "%s: status %#x", cases[index].what, status);
  }
}

// Flags that are out of use count only where something would be aborted.
static void test_area_flags(void) {
  pid_t pid;
  IN_CHILD(pid) {
    reset_section();
    own.flags = 1;
    OK(raise(SIGUSR1));
    own.rseq_cs = (uintptr_t)&spin_section;
    OK(raise(SIGUSR1));
    own.flags = 0;
  }
  WAIT_OK(pid);
}

static void test_fork_inherits(void) {
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_ERRNO(sys_rseq(&own, 32, 0, SIGNATURE), EBUSY);
    CHECK(own.cpu_id < (unsigned)sysconf(_SC_NPROCESSORS_CONF));
    flag[0] = 1;
    reset_section();
    CHECK(spin_in_section(&own, flag) || spin_in_section(&own, flag) || spin_in_section(&own, flag));
  }
  WAIT_OK(pid);
}

static struct area in_clone;

static int cloned(void *argument) {
  (void)argument;
  int has_none = sys_rseq(&own, 32, UNREGISTER, SIGNATURE) == -1;
  if (sys_rseq(&in_clone, 32, 0, SIGNATURE) != 0) return 2;
  if ((int)in_clone.cpu_id < 0) return 3;
  return !has_none;
}

// What shares memory has an area of its own.
static void test_clone_has_none(void) {
  static char stack[65536] __attribute__((aligned(16)));
  pid_t pid = OK(clone(cloned, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL));
  WAIT_OK(pid);
  pid = OK(clone(cloned, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
  WAIT_OK(pid);
}

static void *thread_with_area(void *argument) {
  (void)argument;
  volatile struct area *area = area_of_thread();
  CHECK((int)area->cpu_id >= 0);
  CHECK(area->cpu_id < (unsigned)sysconf(_SC_NPROCESSORS_CONF));
  CHECK_ERRNO(sys_rseq(&in_clone, 32, 0, SIGNATURE), EINVAL);
  return NULL;
}

static void *abort_by_barrier(void *argument) {
  (void)argument;
  while (!flag[1]) sched_yield();
  sleep_ms(5);
  OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0));
  return NULL;
}

static void test_membarrier_aborts(void) {
  CHECK_ERRNO(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0), EPERM);
  CHECK_ERRNO(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 1, 0), EINVAL);
  OK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0));
  CHECK_ERRNO(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 2, 0), EINVAL);
  OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, 5000));
  reset_section();
  for (int round = 0; round < 20; round++) {
    flag[0] = flag[1] = 0;
    pthread_t other = start_thread(abort_by_barrier, NULL);
    CHECK_EQ(spin_in_section(&own, flag), 0);
    join_thread(other);
  }
}

// An area that goes away while it is registered is SIGSEGV once its task is preempted.
static void test_unmapped_area(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(sys_rseq(&own, 32, UNREGISTER, SIGNATURE));
    char *page = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
    OK(sys_rseq(page, 32, 0, SIGNATURE));
    OK(munmap(page, PAGE));
    sleep_ms(10);
  }
  WAIT_SIGNALED(pid, SIGSEGV);
}

int main(int count, char **arguments) {
  if (count > 1) {
    // After execve there was nothing, so that glibc could register its own.
    test_glibc_registered();
    for (int round = 0; round < 8; round++) join_thread(start_thread(thread_with_area, NULL));
    return 0;
  }
  test_glibc_registered();
  test_errors();
  test_pinned_numbers();
  test_commit();
  test_signal_aborts();
  test_signal_outside();
  test_single_step();
  test_membarrier_aborts();
  test_broken_sections();
  test_area_flags();
  test_fork_inherits();
  test_clone_has_none();
  test_unmapped_area();
  execl("/proc/self/exe", arguments[0], "executed", NULL);
  FAIL("execl");
}
