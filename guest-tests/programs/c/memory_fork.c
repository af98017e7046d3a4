// Memory over fork: copy-on-write isolation both ways, shared anonymous memory, depth, madvise choices.
#include "check.h"
#include <sched.h>

static int global = 1;

static void writes_stay_on_their_side(void) {
  enum { PAGES = 300 };
  unsigned char *memory = (void *)map_anonymous(PAGES * PAGE, PROT_READ | PROT_WRITE);
  for (int page = 0; page < PAGES; page++) memory[page * PAGE] = page;
  int local = 5, gate[2], back[2];
  char byte;
  OK(pipe(gate));
  OK(pipe(back));
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(read(gate[0], &byte, 1), 1); // The parent has written meanwhile.
    for (int page = 0; page < PAGES; page++) CHECK_EQ(memory[page * PAGE], (unsigned char)page);
    for (int page = 0; page < PAGES; page += 2) memory[page * PAGE] = 200;
    global = 3;
    local = 6;
    CHECK_EQ(write(back[1], "x", 1), 1);
    CHECK_EQ(read(gate[0], &byte, 1), 1);
    for (int page = 0; page < PAGES; page++) CHECK_EQ(memory[page * PAGE], page % 2 ? (unsigned char)page : 200);
  }
  for (int page = 0; page < PAGES; page += 3) memory[page * PAGE] = 100;
  CHECK_EQ(write(gate[1], "x", 1), 1);
  CHECK_EQ(read(back[0], &byte, 1), 1);
  for (int page = 0; page < PAGES; page++) CHECK_EQ(memory[page * PAGE], page % 3 ? (unsigned char)page : 100);
  CHECK_EQ(global, 1);
  CHECK_EQ(local, 5);
  CHECK_EQ(write(gate[1], "x", 1), 1);
  WAIT_OK(pid);
  OK(munmap(memory, PAGES * PAGE));
  close(gate[0]), close(gate[1]), close(back[0]), close(back[1]);
}

static void the_kernels_writes_copy_as_well(void) {
  char *memory = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  int ends[2];
  OK(pipe(ends));
  strcpy(memory, "before");
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(write(ends[1], "after", 6), 6);
    CHECK_EQ(read(ends[0], memory, 6), 6); // Into a page that is shared with the parent.
    CHECK(strcmp(memory, "after") == 0);
  }
  WAIT_OK(pid);
  CHECK(strcmp(memory, "before") == 0);
  OK(munmap(memory, PAGE));
}

static void generations_see_their_own(void) {
  volatile int *value = (int *)map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  *value = 0;
  pid_t pid = 0;
  int level;
  for (level = 1; level <= 8; level++) {
    fflush(NULL);
    pid = OK(fork());
    if (pid != 0) break;
    CHECK_EQ(*value, level - 1);
    *value = level;
  }
  if (level <= 8) WAIT_OK(pid);
  if (level == 1) {
    CHECK_EQ(*value, 0);
    return;
  }
  CHECK_EQ(*value, level - 1);
  _exit(0);
}

static void shared_anonymous_memory_is_shared(void) {
  volatile int *shared = map_shared(4 * PAGE);
  pid_t pid;
  IN_CHILD(pid) {
    shared[0] = 11;
    shared[3000] = 33; // A page not touched before the fork.
    pid_t grandchild;
    IN_CHILD(grandchild) { shared[1] = 22; }
    WAIT_OK(grandchild);
  }
  WAIT_OK(pid);
  CHECK_EQ(shared[0], 11);
  CHECK_EQ(shared[1], 22);
  CHECK_EQ(shared[3000], 33);
  OK(munmap((void *)shared, 4 * PAGE));
}

static void advice_decides_what_a_child_gets(void) {
  char *left_out = map_anonymous(PAGE, PROT_READ | PROT_WRITE), *wiped = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  *left_out = 'l';
  *wiped = 'w';
  OK(madvise(left_out, PAGE, MADV_DONTFORK));
  OK(madvise(wiped, PAGE, MADV_WIPEONFORK));
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(*wiped, 0);
    int ends[2];
    OK(pipe(ends));
    CHECK_ERRNO(write(ends[1], left_out, 1), EFAULT);
    signal(SIGSEGV, SIG_DFL);
    *(volatile char *)left_out = 1;
  }
  WAIT_SIGNALED(pid, SIGSEGV);
  CHECK_EQ(*left_out, 'l');
  CHECK_EQ(*wiped, 'w');
}

static void many_children_with_different_contents(void) {
  // Frames and page tables of dead processes are used again: none may show what was there before.
  for (int round = 0; round < 25; round++) {
    pid_t pid;
    IN_CHILD(pid) {
      char *memory = mmap((void *)0x200000000000, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
      CHECK(memory == (void *)0x200000000000);
      for (int page = 0; page < 64; page += 1 + round % 3) CHECK_CASE(memory[page * PAGE] == 0, "round %d page %d: %d", round, page, memory[page * PAGE]);
      for (int page = 0; page < 64; page++) {
        CHECK_EQ(*(int *)(memory + page * PAGE + 8), 0);
        *(int *)(memory + page * PAGE) = round * 1000 + page;
        *(int *)(memory + page * PAGE + 8) = 1;
      }
      for (int page = 0; page < 64; page++) CHECK_EQ(*(int *)(memory + page * PAGE), round * 1000 + page);
    }
    WAIT_OK(pid);
  }
}

static void concurrent_children_at_the_same_address(void) {
  enum { N = 6 };
  pid_t children[N];
  unsigned char *memory = (void *)map_anonymous(32 * PAGE, PROT_READ | PROT_WRITE);
  memset(memory, 0xff, 32 * PAGE);
  for (int i = 0; i < N; i++) {
    IN_CHILD(children[i]) {
      for (int round = 0; round < 20; round++) {
        for (int page = 0; page < 32; page++) memory[page * PAGE + round] = i * 20 + round;
        sched_yield();
        for (int page = 0; page < 32; page++) CHECK_EQ(memory[page * PAGE + round], i * 20 + round);
      }
    }
  }
  for (int i = 0; i < N; i++) WAIT_OK(children[i]);
  for (int page = 0; page < 32; page++) CHECK_EQ(memory[page * PAGE], 0xff);
}

int main(void) {
  writes_stay_on_their_side();
  the_kernels_writes_copy_as_well();
  generations_see_their_own();
  shared_anonymous_memory_is_shared();
  advice_decides_what_a_child_gets();
  many_children_with_different_contents();
  concurrent_children_at_the_same_address();
  return 0;
}
