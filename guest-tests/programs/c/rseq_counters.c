// Per-CPU counters without locks: more threads than CPUs, and no increment is lost (rseq(2)).
// timeout: 60
#include "check.h"
#include <sched.h>
#include <sys/rseq.h>

#define CPUS 1024
#define RUN_MS 1000

static struct {
  volatile long count;
  char rest[56];
} counters[CPUS] __attribute__((aligned(64)));
static volatile int is_over;

struct section {
  uint32_t version, flags;
  uint64_t start, post_commit, abort;
} __attribute__((aligned(32)));

// Adds 1 to this CPU's counter, with a long time between the load and the store. 0 if that was aborted.
static NOINLINE int increment(volatile struct rseq *area, long delay) {
  int is_done = 0;
  asm goto volatile(
      ".pushsection __rseq_cs, \"aw\"\n"
      ".balign 32\n"
      "9: .long 0, 0\n"
      ".quad 1f, 2f - 1f, 4f\n"
      ".popsection\n"
      "lea 9b(%%rip), %%rax\n"
      "mov %%rax, 8(%[area])\n"
      "1: mov 4(%[area]), %%eax\n"
      "shl $6, %%rax\n"
      "add %[counters], %%rax\n"
      "mov (%%rax), %%rcx\n"
      "mov %[delay], %%rdx\n"
      "3: dec %%rdx\n"
      "jnz 3b\n"
      "inc %%rcx\n"
      "mov %%rcx, (%%rax)\n"
      "2: jmp 5f\n"
      ".byte 0x0f, 0xb9, 0x3d\n"
      ".long 0x53053053\n"
      "4: jmp %l[aborted]\n"
      "5:\n"
      :
      : [area] "r"(area), [counters] "r"(counters), [delay] "r"(delay)
      : "rax", "rcx", "rdx", "memory", "cc"
      : aborted);
  is_done = 1;
aborted:
  return is_done;
}

struct worker {
  pthread_t thread;
  long delay, done, aborted;
  int sleeps;
};

static void *work(void *argument) {
  struct worker *worker = argument;
  volatile struct rseq *area = (volatile struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
  while (!is_over) {
    if (increment(area, worker->delay)) worker->done++;
    else worker->aborted++;
    if (worker->sleeps && worker->done % 50 == 0) sleep_ms(1);
  }
  return NULL;
}

static void run(int threads, int pins) {
  cpu_set_t all;
  OK(sched_getaffinity(0, sizeof all, &all));
  struct worker workers[64] = {0};
  memset(counters, 0, sizeof counters);
  is_over = 0;
  for (int index = 0; index < threads; index++) {
    // Short ones, and some that take a tenth of a millisecond and are often caught inside.
    workers[index].delay = index % 2 == 0 ? 100 : 100000;
    workers[index].sleeps = index % 5 == 4;
    workers[index].thread = start_thread(work, &workers[index]);
  }
  long long end = now_ms() + RUN_MS;
  while (now_ms() < end) {
    sleep_ms(7);
    if (!pins) continue;
    // Threads are moved about all the while.
    for (int index = 0; index < threads; index++) {
      cpu_set_t one;
      CPU_ZERO(&one);
      int cpu = rand() % CPU_SETSIZE;
      while (!CPU_ISSET(cpu, &all)) cpu = (cpu + 1) % CPU_SETSIZE;
      CPU_SET(cpu, &one);
      CHECK_ZERO(pthread_setaffinity_np(workers[index].thread, sizeof one, &one));
    }
  }
  is_over = 1;
  long sum = 0, done = 0, aborted = 0;
  for (int index = 0; index < threads; index++) {
    join_thread(workers[index].thread);
    CHECK_CASE(workers[index].done > 0, "thread %d of %d never got anywhere", index, threads);
    done += workers[index].done;
    aborted += workers[index].aborted;
  }
  for (int cpu = 0; cpu < CPUS; cpu++) sum += counters[cpu].count;
  if (getenv("VERBOSE")) printf("%d threads: %ld increments, %ld aborted\n", threads, done, aborted);
  CHECK_EQ(sum, done);
  if (threads > CPU_COUNT(&all) * 2) CHECK(aborted > 0);
}

int main(void) {
  int cpus = sysconf(_SC_NPROCESSORS_ONLN);
  CHECK(cpus <= CPUS);
  int many = cpus * 6 < 48 ? cpus * 6 : 48;
  run(1, 0);
  run(cpus < 32 ? cpus : 32, 0);
  run(many, 0);
  run(many, 1);
  return 0;
}
