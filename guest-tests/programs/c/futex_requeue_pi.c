// FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI: who waits for a condition gets its lock with the news, one after the other.
#include "check.h"
#include <linux/futex.h>

static uint32_t condition, lock, other;
static volatile int passed;

static long futex(uint32_t *word, int operation, long value, void *timeout, uint32_t *second, uint32_t third) {
  return syscall(SYS_futex, word, operation, value, timeout, second, third);
}

static uint32_t own(void) { return syscall(SYS_gettid); }

static void take(void) {
  uint32_t free = 0;
  if (!__atomic_compare_exchange_n(&lock, &free, own(), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) OK(futex(&lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
  CHECK_EQ(__atomic_load_n(&lock, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK, own());
}

static void give(void) {
  uint32_t mine = own();
  if (!__atomic_compare_exchange_n(&lock, &mine, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) OK(futex(&lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
}

static pid_t waiters[4];

static void *wait_for_news(void *argument) {
  waiters[(long)argument] = own();
  OK(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 0, NULL, &lock, 0));
  CHECK_EQ(__atomic_load_n(&lock, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK, own());
  passed++;
  give();
  return NULL;
}

static void start(pthread_t *threads, int count) {
  for (long i = 0; i < count; i++) {
    waiters[i] = 0;
    threads[i] = start_thread(wait_for_news, (void *)i);
    while (__atomic_load_n(&waiters[i], __ATOMIC_SEQ_CST) == 0) sleep_ms(1);
    until_asleep(waiters[i]);
  }
}

static void refusals(void) {
  struct timespec past = {0, 1};
  CHECK_EQ(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, NULL, &lock, 0), 0);
  CHECK_ERRNO(futex(&condition, FUTEX_CMP_REQUEUE_PI, 2, NULL, &lock, 0), EINVAL);
  CHECK_ERRNO(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, NULL, &condition, 0), EINVAL);
  CHECK_ERRNO(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, NULL, &lock, 9), EAGAIN);
  CHECK_ERRNO(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, (void *)-1L, &lock, 0), EINVAL);
  CHECK_ERRNO(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 0, &past, &condition, 0), EINVAL);
  CHECK_ERRNO(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 1, &past, &lock, 0), EAGAIN);
  CHECK_ERRNO(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 0, &past, &lock, 0), ETIMEDOUT);
  CHECK_ERRNO(futex(wild, FUTEX_WAIT_REQUEUE_PI, 0, &past, &lock, 0), EFAULT);
}

static void all_get_the_lock_in_turn(void) {
  pthread_t threads[4];
  start(threads, 4);
  // Nobody may wake or move them in any other way.
  CHECK_ERRNO(futex(&condition, FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL);
  CHECK_ERRNO(futex(&condition, FUTEX_CMP_REQUEUE, 1, (void *)1, &other, 0), EINVAL);
  CHECK_ERRNO(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &other, 0), EINVAL);
  take();
  CHECK_EQ(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, (void *)(long)INT_MAX, &lock, 0), 4);
  CHECK(lock & FUTEX_WAITERS);
  CHECK_EQ(passed, 0);
  give();
  for (int i = 0; i < 4; i++) join_thread(threads[i]);
  CHECK_EQ(passed, 4);
  CHECK_EQ(lock, 0);
}

static void the_first_takes_a_free_lock(void) {
  pthread_t threads[3];
  passed = 0;
  start(threads, 3);
  CHECK_EQ(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, (void *)0, &lock, 0), 1);
  join_thread(threads[0]);
  CHECK_EQ(passed, 1);
  CHECK_EQ(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &lock, 0), 2);
  join_thread(threads[1]), join_thread(threads[2]);
  CHECK_EQ(passed, 3);
  CHECK_EQ(lock & FUTEX_TID_MASK, 0);
}

static void *wait_a_little(void *argument) {
  struct timespec until;
  OK(clock_gettime(CLOCK_MONOTONIC, &until));
  until.tv_sec += 1;
  waiters[0] = own();
  CHECK_ERRNO(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 0, &until, &lock, 0), ETIMEDOUT);
  return argument;
}

static void time_runs_out_in_both_places(void) {
  for (int is_moved = 0; is_moved < 2; is_moved++) {
    waiters[0] = 0;
    pthread_t thread = start_thread(wait_a_little, NULL);
    while (__atomic_load_n(&waiters[0], __ATOMIC_SEQ_CST) == 0) sleep_ms(1);
    until_asleep(waiters[0]);
    take();
    if (is_moved) CHECK_EQ(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, &lock, 0), 1);
    join_thread(thread);
    give();
    CHECK_EQ(lock & FUTEX_TID_MASK, 0);
    lock = 0;
  }
}

int main(void) {
  refusals();
  all_get_the_lock_in_turn();
  the_first_takes_a_free_lock();
  lock = 0;
  time_runs_out_in_both_places();
  return 0;
}
