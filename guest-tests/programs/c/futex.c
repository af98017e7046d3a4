// futex by the system call itself: waits, wakes, bitsets, requeueing, time-outs, sharing, robust lists, refusals.
#include "check.h"
#include <linux/futex.h>
#include <sched.h>

static long futex(volatile void *word, int operation, unsigned value, const void *timeout, volatile void *second, unsigned third) {
  return syscall(SYS_futex, word, operation, value, timeout, second, third);
}

static volatile unsigned word, other;
static volatile int awake, waiting;
static pid_t waiters[5];

static void wait_until(volatile int *count, int wanted) {
  long long deadline = now_ms() + 10000;
  while (__atomic_load_n(count, __ATOMIC_SEQ_CST) < wanted) {
    CHECK_CASE(now_ms() < deadline, "%d instead of %d", *count, wanted);
    sleep_ms(1);
  }
}

static void *waiter(void *bits) {
  waiters[__atomic_fetch_add(&waiting, 1, __ATOMIC_SEQ_CST)] = gettid();
  CHECK_EQ(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (unsigned)(long)bits), 0);
  __atomic_add_fetch(&awake, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

static void until_waiting(int count) {
  for (int i = 0; i < count; i++) {
    while (*(volatile pid_t *)&waiters[i] == 0) sleep_ms(1);
    until_asleep(waiters[i]);
  }
  memset(waiters, 0, sizeof waiters);
}

static void start_waiters(pthread_t *threads, int count, unsigned bits) {
  waiting = awake = 0;
  for (int i = 0; i < count; i++) threads[i] = start_thread(waiter, (void *)(long)bits);
  until_waiting(count);
}

static void wake_counts(void) {
  pthread_t threads[5];
  start_waiters(threads, 5, ~0U);
  CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0), 2);
  wait_until(&awake, 2);
  sleep_ms(10);
  CHECK_EQ(awake, 2);
  CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 3);
  CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 0);
  for (int i = 0; i < 5; i++) join_thread(threads[i]);
}

static void bitsets_select(void) {
  pthread_t first[2], second[2];
  start_waiters(first, 2, 1);
  waiting = 0;
  for (int i = 0; i < 2; i++) second[i] = start_thread(waiter, (void *)6L);
  until_waiting(2);
  CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, 8), 0);
  CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, 2), 2);
  for (int i = 0; i < 2; i++) join_thread(second[i]);
  CHECK_EQ(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, 1), 2);
  for (int i = 0; i < 2; i++) join_thread(first[i]);
  CHECK_ERRNO(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 0), EINVAL);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 0), EINVAL);
}

static void requeueing_moves_waiters(void) {
  pthread_t threads[5];
  start_waiters(threads, 5, ~0U);
  CHECK_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)10L, &other, 99), EAGAIN);
  CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2L, &other, 0), 3); // Woken and moved together.
  wait_until(&awake, 1);
  CHECK_EQ(futex(&other, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 2);
  CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 2);
  for (int i = 0; i < 5; i++) join_thread(threads[i]);
  start_waiters(threads, 3, ~0U);
  CHECK_EQ(futex(&word, FUTEX_REQUEUE_PRIVATE, 0, (void *)10L, &other, 0), 3);
  CHECK_EQ(futex(&other, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 3);
  for (int i = 0; i < 3; i++) join_thread(threads[i]);
}

static void wake_op_changes_the_second_word(void) {
  other = 5;
  int add_then_greater = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_GT, 4);
  CHECK_EQ(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1L, &other, add_then_greater), 0);
  CHECK_EQ(other, 8);
  CHECK_EQ(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1L, &other, FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 0)), 0);
  CHECK_EQ(other, 0);
  pthread_t threads[2];
  start_waiters(threads, 2, ~0U);
  CHECK_EQ(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)2L, &word, FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0)), 2);
  for (int i = 0; i < 2; i++) join_thread(threads[i]);
}

static void waits_end_at_their_time(void) {
  word = 0;
  long long started = now_ms();
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){0, 40000000}, NULL, 0), ETIMEDOUT);
  CHECK(now_ms() - started >= 39);
  int clocks[] = {0, FUTEX_CLOCK_REALTIME};
  for (int i = 0; i < 2; i++) {
    struct timespec until;
    OK(clock_gettime(clocks[i] ? CLOCK_REALTIME : CLOCK_MONOTONIC, &until));
    until.tv_nsec += 40000000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    started = now_ms();
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE | clocks[i], 0, &until, NULL, ~0U), ETIMEDOUT);
    CHECK(now_ms() - started >= 38);
    until = (struct timespec){0, 0}; // Not 100 seconds ago: a machine may be younger.
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE | clocks[i], 0, &until, NULL, ~0U), ETIMEDOUT);
  }
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){0, 1000000000}, NULL, 0), EINVAL);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){-1, 0}, NULL, 0), EINVAL);
}

static void odd_uses_are_refused(void) {
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0), EAGAIN);
  CHECK_ERRNO(futex((char *)&word + 1, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EINVAL);
  CHECK_ERRNO(futex(wild, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EFAULT);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, wild, NULL, 0), EFAULT);
  CHECK_ERRNO(futex(&word, 77, 0, NULL, NULL, 0), ENOSYS);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, &(struct timespec){0, 1}, NULL, 0), ENOSYS);
  CHECK_ERRNO(futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0), ENOSYS);
  CHECK_ERRNO(futex((void *)0x800000000000, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
  char *unmapped = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  OK(munmap(unmapped, PAGE));
  CHECK_ERRNO(futex(unmapped, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
  CHECK_ERRNO(futex(unmapped, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
  CHECK_EQ(futex(unmapped, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0); // A private key needs no memory.
}

static void shared_futexes_work_between_processes(void) {
  volatile unsigned *shared = map_shared(PAGE);
  pid_t pid;
  IN_CHILD(pid) {
    while (shared[0] == 0) {
      long got = futex(&shared[0], FUTEX_WAIT, 0, NULL, NULL, 0);
      CHECK(got == 0 || errno == EAGAIN);
    }
    shared[1] = 1;
    futex(&shared[1], FUTEX_WAKE, 1, NULL, NULL, 0);
  }
  until_asleep(pid);
  shared[0] = 1;
  CHECK_EQ(futex(&shared[0], FUTEX_WAKE, 1, NULL, NULL, 0), 1);
  while (shared[1] == 0) futex(&shared[1], FUTEX_WAIT, 0, NULL, NULL, 0);
  WAIT_OK(pid);
  // The same file mapped at two addresses is one futex.
  enter_scratch();
  int file = OK(open("file", O_RDWR | O_CREAT, 0644));
  OK(ftruncate(file, PAGE));
  volatile unsigned *first = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  volatile unsigned *second = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  IN_CHILD(pid) { CHECK_EQ(futex(first, FUTEX_WAIT, 0, &(struct timespec){10, 0}, NULL, 0), 0); }
  long woken = 0;
  for (int i = 0; i < 1000 && woken == 0; i++) {
    sleep_ms(2);
    woken = OK(futex(second, FUTEX_WAKE, 1, NULL, NULL, 0));
  }
  CHECK_EQ(woken, 1);
  WAIT_OK(pid);
  // A private futex is not woken by another process's copy of the page.
  IN_CHILD(pid) { CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){0, 80000000}, NULL, 0), ETIMEDOUT); }
  for (int i = 0; i < 10; i++) {
    sleep_ms(5);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 0);
  }
  WAIT_OK(pid);
}

struct robust_node { struct robust_list list; unsigned futex; };

static void *die_holding(void *argument) {
  struct robust_node *node = argument;
  static struct robust_list_head head;
  head.list.next = &node->list;
  node->list.next = &head.list;
  head.futex_offset = offsetof(struct robust_node, futex);
  OK(syscall(SYS_set_robust_list, &head, sizeof head));
  node->futex = syscall(SYS_gettid) | FUTEX_WAITERS;
  syscall(SYS_exit, 0);
  return NULL;
}

static void robust_lists_mark_the_dead_owner(void) {
  struct robust_node *node = map_shared(PAGE);
  pid_t pid;
  IN_CHILD(pid) { die_holding(node); }
  WAIT_OK(pid);
  CHECK_CASE(node->futex & FUTEX_OWNER_DIED, "%#x", node->futex);
  CHECK_EQ(node->futex & FUTEX_TID_MASK, 0);
  CHECK_ERRNO(syscall(SYS_set_robust_list, node, 5), EINVAL);
  void *head;
  size_t length;
  OK(syscall(SYS_get_robust_list, 0, &head, &length));
  CHECK_EQ(length, sizeof(struct robust_list_head));

  pthread_mutexattr_t attribute;
  pthread_mutex_t *mutex = map_shared(PAGE);
  CHECK_ZERO(pthread_mutexattr_init(&attribute));
  CHECK_ZERO(pthread_mutexattr_setrobust(&attribute, PTHREAD_MUTEX_ROBUST));
  CHECK_ZERO(pthread_mutexattr_setpshared(&attribute, PTHREAD_PROCESS_SHARED));
  CHECK_ZERO(pthread_mutex_init(mutex, &attribute));
  IN_CHILD(pid) {
    CHECK_ZERO(pthread_mutex_lock(mutex));
    kill(getpid(), SIGKILL);
  }
  WAIT_SIGNALED(pid, SIGKILL);
  CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
  CHECK_ZERO(pthread_mutex_consistent(mutex));
  CHECK_ZERO(pthread_mutex_unlock(mutex));
  CHECK_ZERO(pthread_mutex_lock(mutex));
}

int main(void) {
  wake_counts();
  bitsets_select();
  requeueing_moves_waiters();
  wake_op_changes_the_second_word();
  waits_end_at_their_time();
  odd_uses_are_refused();
  shared_futexes_work_between_processes();
  robust_lists_mark_the_dead_owner();
  return 0;
}
