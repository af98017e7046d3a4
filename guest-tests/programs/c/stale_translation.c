// Stale translations: after munmap, mprotect, mremap, madvise or fork, no other thread may go on with the
// old mapping, not for one access. Each case keeps a thread reading or writing while the mapping changes.
// static
#include "check.h"
#include <sched.h>
#include <ucontext.h>

enum { ROUNDS = 12 };

static volatile char *target; // Where the other thread looks.
static volatile int command, faults; // 0 pause, 1 read, 2 write, 3 quit
static volatile long accesses, generation; // Counted by the other thread.
static volatile unsigned char last_read;

// A faulting access is skipped: both are 2 or 3 bytes long, marked by labels.
extern char read_at[], read_end[], write_at[], write_end[];

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)number, (void)info;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  faults++;
  if (registers[REG_RIP] == (long)read_at) registers[REG_RIP] = (long)read_end;
  else if (registers[REG_RIP] == (long)write_at) registers[REG_RIP] = (long)write_end;
  else FAIL("a fault elsewhere: rip %#llx address %p", registers[REG_RIP], info->si_addr);
}

static void *accessor(void *argument) {
  while (command != 3) {
    generation++;
    if (command == 1) {
      unsigned char byte = last_read;
      __asm__ volatile("read_at: movb (%1), %0\n read_end:" : "+q"(byte) : "r"(target) : "memory");
      last_read = byte;
    } else if (command == 2) {
      __asm__ volatile("write_at: movb $0x77, (%0)\n write_end:" ::"r"(target) : "memory");
    } else {
      continue;
    }
    accesses++;
  }
  return argument;
}

// Waits until the other thread has made some accesses after now.
static void let_it_run(void) {
  __sync_synchronize(); // What the caller stored is seen by the accesses that are counted.
  long from = accesses;
  long long deadline = now_ms() + 10000;
  while (accesses < from + 3) {
    CHECK(now_ms() < deadline);
    sched_yield();
  }
}

static void direct(int what, char *where) {
  command = 0;
  long from = generation;
  while (generation < from + 2) sched_yield(); // The other thread has seen the pause.
  target = where;
  faults = 0;
  command = what;
  if (what == 1 || what == 2) let_it_run();
}

static void munmap_ends_reading(void) {
  for (int round = 0; round < ROUNDS; round++) {
    char *page = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
    *page = 1;
    direct(1, page);
    CHECK_EQ(faults, 0);
    OK(munmap(page, PAGE));
    int before = faults;
    long from = accesses;
    while (accesses < from + 3) sched_yield();
    CHECK_CASE(faults > before, "round %d: the page can be read after munmap", round);
    command = 0;
  }
}

static void a_replaced_mapping_shows_the_new_page(void) {
  char *page = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  for (int round = 0; round < ROUNDS; round++) {
    *page = 1;
    direct(1, page);
    CHECK_EQ(last_read, 1);
    CHECK(mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
    let_it_run();
    CHECK_EQ(last_read, 0);
    // No call changes the mapping here, and hosts that are machines of a hypervisor themselves are seen to be late.
    *page = 1;
    long long deadline = now_ms() + 10000;
    do let_it_run();
    while (last_read != 1 && now_ms() < deadline);
    CHECK_EQ(last_read, 1);
    OK(madvise(page, PAGE, MADV_DONTNEED));
    let_it_run();
    CHECK_EQ(last_read, 0);
  }
  direct(0, NULL);
  OK(munmap(page, PAGE));
}

static void mprotect_ends_writing(void) {
  char *page = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  for (int round = 0; round < ROUNDS; round++) {
    OK(mprotect(page, PAGE, PROT_READ | PROT_WRITE));
    page[0] = 0;
    direct(2, page);
    CHECK_EQ(page[0], 0x77);
    OK(mprotect(page, PAGE, PROT_READ));
    int before = faults;
    let_it_run();
    CHECK_CASE(faults > before, "round %d: the page can be written after mprotect", round);
    OK(mprotect(page, PAGE, PROT_NONE));
    direct(1, page);
    CHECK_CASE(faults > 0, "round %d: the page can be read after PROT_NONE", round);
  }
  direct(0, NULL);
  OK(munmap(page, PAGE));
}

static void mremap_moves_writers_away(void) {
  for (int round = 0; round < ROUNDS; round++) {
    char *page = map_anonymous(PAGE, PROT_READ | PROT_WRITE), *place = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
    direct(2, page);
    CHECK(mremap(page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
    *place = 0; // The writer can no longer reach the frame.
    int before = faults;
    let_it_run();
    CHECK_CASE(*place == 0, "round %d: a write reached the moved page", round);
    CHECK(faults > before);
    direct(0, NULL);
    OK(munmap(place, PAGE));
  }
}

static void fork_protects_the_child_from_the_writer(void) {
  volatile char *page = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
  for (int round = 0; round < ROUNDS; round++) {
    page[0] = 1;
    direct(2, (char *)page);
    pid_t pid;
    IN_CHILD(pid) {
      // The parent's thread goes on writing 0x77; the child resets its copy, which must stay reset.
      page[0] = 5;
      for (int i = 0; i < 20; i++) {
        CHECK_CASE(page[0] == 5, "round %d: the parent's write reached the child", round);
        sched_yield();
      }
      page[0] = 6;
    }
    for (int i = 0; i < 20; i++) {
      CHECK_EQ(page[0], 0x77);
      sched_yield();
    }
    WAIT_OK(pid);
    CHECK_EQ(page[0], 0x77);
    direct(0, NULL);
  }
}

static void freed_frames_are_out_of_reach(void) {
  // A writer holds on to an unmapped address while other memory is allocated: it must never be hit.
  for (int round = 0; round < ROUNDS; round++) {
    char *page = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
    direct(2, page);
    OK(munmap(page, PAGE));
    unsigned char *victim = mmap((void *)0x300000000000, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(victim != MAP_FAILED);
    memset(victim, 0x11, 32 * PAGE);
    let_it_run();
    for (int n = 0; n < 32; n++) CHECK_CASE(victim[n * PAGE] == 0x11, "round %d: a write reached a recycled frame", round);
    direct(0, NULL);
    OK(munmap(victim, 32 * PAGE));
  }
}

static void truncation_ends_access(void) {
  enter_scratch();
  int file = OK(open("file", O_RDWR | O_CREAT, 0644));
  for (int round = 0; round < ROUNDS / 2; round++) {
    OK(ftruncate(file, PAGE));
    char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(page != MAP_FAILED);
    direct(2, page);
    CHECK_EQ(faults, 0);
    OK(ftruncate(file, 0));
    int before = faults;
    let_it_run();
    CHECK_CASE(faults > before, "round %d: the page can be written after truncation", round);
    direct(0, NULL);
    OK(munmap(page, PAGE));
  }
}

int main(void) {
  handle(SIGSEGV, on_fault, 0);
  handle(SIGBUS, on_fault, 0);
  pthread_t thread = start_thread(accessor, NULL);
  munmap_ends_reading();
  a_replaced_mapping_shows_the_new_page();
  mprotect_ends_writing();
  mremap_moves_writers_away();
  fork_protects_the_child_from_the_writer();
  freed_frames_are_out_of_reach();
  truncation_ends_access();
  command = 3;
  join_thread(thread);
  return 0;
}
