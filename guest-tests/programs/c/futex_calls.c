// The calls that each do one thing with futexes: futex_wait, futex_wake, futex_requeue.
#include "check.h"

#define WAKE 454
#define FUTEX_WAIT_ 455
#define REQUEUE 456
#define U32 2
#define PRIVATE 128
#define WAIT_ON_ALL 449
#define ANY 0xffffffffUL

struct waitv { uint64_t value, address; uint32_t flags, reserved; };

static uint32_t word, other;

static long wait_on(uint32_t *address, unsigned long value, unsigned long mask, unsigned flags, struct timespec *until) {
  return syscall(FUTEX_WAIT_, address, value, mask, flags, until, CLOCK_MONOTONIC);
}

static void wrong_arguments_are_refused(void) {
  CHECK_ERRNO(wait_on(&word, 1, ANY, U32, NULL), EAGAIN);
  CHECK_ERRNO(wait_on(&word, 0, 0, U32, NULL), EINVAL);
  CHECK_ERRNO(wait_on(&word, 0, ANY, 0, NULL), EINVAL); // Eight bits.
  CHECK_ERRNO(wait_on(&word, 0, ANY, 3, NULL), EINVAL);
  CHECK_ERRNO(wait_on(&word, 0, ANY, U32 | 64, NULL), EINVAL);
  CHECK_ERRNO(wait_on(&word, 1UL << 32, ANY, U32, NULL), EINVAL);
  CHECK_ERRNO(wait_on(&word, 0, 1UL << 32, U32, NULL), EINVAL);
  CHECK_ERRNO(wait_on((uint32_t *)((char *)&word + 1), 0, ANY, U32, NULL), EINVAL);
  CHECK_ERRNO(wait_on(wild, 0, ANY, U32, NULL), EFAULT);
  struct timespec past = {0, 1}, wrong = {0, 2000000000};
  CHECK_ERRNO(wait_on(&word, 0, ANY, U32, &past), ETIMEDOUT);
  CHECK_ERRNO(wait_on(&word, 0, ANY, U32, &wrong), EINVAL);
  CHECK_ERRNO(wait_on(&word, 0, ANY, U32, wild), EFAULT);
  CHECK_ERRNO(syscall(FUTEX_WAIT_, &word, 0UL, ANY, U32, &past, CLOCK_BOOTTIME), EINVAL);
  CHECK_EQ(syscall(WAKE, &word, ANY, 1, U32), 0);
  CHECK_ERRNO(syscall(WAKE, &word, 0UL, 1, U32), EINVAL);
  CHECK_ERRNO(syscall(WAKE, &word, 1UL << 33, 1, U32), EINVAL);
  CHECK_ERRNO(syscall(WAKE, &word, ANY, 1, 0), EINVAL);
  CHECK_ERRNO(syscall(WAKE, (char *)&word + 2, ANY, 1, U32), EINVAL);
  struct waitv pair[2] = {{0, (uintptr_t)&word, U32, 0}, {0, (uintptr_t)&other, U32, 0}};
  CHECK_EQ(syscall(REQUEUE, pair, 0, 1, 1), 0);
  CHECK_ERRNO(syscall(REQUEUE, pair, 1, 1, 1), EINVAL);
  CHECK_ERRNO(syscall(REQUEUE, NULL, 0, 1, 1), EINVAL);
  CHECK_ERRNO(syscall(REQUEUE, wild, 0, 1, 1), EFAULT);
  CHECK_ERRNO(syscall(REQUEUE, pair, 0, -1, 1), EINVAL);
  CHECK_ERRNO(syscall(WAIT_ON_ALL, NULL, 1, 0, NULL, CLOCK_MONOTONIC), EINVAL);
  CHECK_ERRNO(syscall(WAIT_ON_ALL, wild, 1, 0, NULL, CLOCK_MONOTONIC), EFAULT);
  CHECK_ERRNO(syscall(WAIT_ON_ALL, pair, 0, 0, NULL, CLOCK_MONOTONIC), EINVAL);
  CHECK_ERRNO(syscall(WAIT_ON_ALL, pair, 129, 0, NULL, CLOCK_MONOTONIC), EINVAL);
  pair[0].value = 1;
  CHECK_ERRNO(syscall(REQUEUE, pair, 0, 1, 1), EAGAIN);
  pair[0].value = 0;
  pair[1].reserved = 1;
  CHECK_ERRNO(syscall(REQUEUE, pair, 0, 1, 1), EINVAL);
}

struct sleeper { pthread_t thread; pid_t id; unsigned long mask; long result; };

static void *sleep_on_word(void *argument) {
  struct sleeper *sleeper = argument;
  __atomic_store_n(&sleeper->id, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
  sleeper->result = wait_on(&word, 0, sleeper->mask, U32 | PRIVATE, NULL);
  return NULL;
}

static void begin(struct sleeper *sleepers, int count) {
  for (int i = 0; i < count; i++) {
    sleepers[i].id = 0;
    sleepers[i].thread = start_thread(sleep_on_word, &sleepers[i]);
    while (__atomic_load_n(&sleepers[i].id, __ATOMIC_SEQ_CST) == 0) sleep_ms(1);
    until_asleep(sleepers[i].id);
  }
}

static void those_of_a_mask_are_woken(void) {
  struct sleeper sleepers[2] = {{.mask = 1}, {.mask = 6}};
  begin(sleepers, 2);
  CHECK_EQ(syscall(WAKE, &word, 8UL, 10, U32 | PRIVATE), 0);
  CHECK_EQ(syscall(WAKE, &word, 1UL, 0, U32 | PRIVATE), 0); // None is none.
  CHECK_EQ(syscall(WAKE, &word, 2UL, 10, U32 | PRIVATE), 1);
  join_thread(sleepers[1].thread);
  CHECK_EQ(syscall(WAKE, &word, ANY, 10, U32 | PRIVATE), 1);
  join_thread(sleepers[0].thread);
  CHECK_EQ(sleepers[0].result, 0);
  CHECK_EQ(sleepers[1].result, 0);
}

static void those_who_wait_are_moved(void) {
  struct sleeper sleepers[3] = {{.mask = ANY}, {.mask = ANY}, {.mask = ANY}};
  begin(sleepers, 3);
  struct waitv pair[2] = {{0, (uintptr_t)&word, U32 | PRIVATE, 0}, {0, (uintptr_t)&other, U32 | PRIVATE, 0}};
  CHECK_EQ(syscall(REQUEUE, pair, 0, 1, 10), 3);
  CHECK_EQ(syscall(WAKE, &word, ANY, 10, U32 | PRIVATE), 0);
  CHECK_EQ(syscall(WAKE, &other, ANY, 10, U32 | PRIVATE), 2);
  for (int i = 0; i < 3; i++) join_thread(sleepers[i].thread);
}

int main(void) {
  wrong_arguments_are_refused();
  those_of_a_mask_are_woken();
  those_who_wait_are_moved();
  return 0;
}
