// POSIX threads: locks, conditions, barriers, semaphores, cancellation, thread-local storage, ids, clocks.
#include "check.h"
#include <sched.h>
#include <semaphore.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long counter;
static __thread long local = 5;
static __thread char large_local[20000];

static void *count_with_lock(void *argument) {
  for (int i = 0; i < 20000; i++) {
    pthread_mutex_lock(&mutex);
    counter++;
    pthread_mutex_unlock(&mutex);
  }
  return argument;
}

static void mutexes_exclude(void) {
  pthread_t threads[6];
  for (int i = 0; i < 6; i++) threads[i] = start_thread(count_with_lock, NULL);
  for (int i = 0; i < 6; i++) join_thread(threads[i]);
  CHECK_EQ(counter, 120000);
}

static void mutex_kinds_differ(void) {
  pthread_mutexattr_t attribute;
  pthread_mutex_t recursive, checking;
  CHECK_ZERO(pthread_mutexattr_init(&attribute));
  CHECK_ZERO(pthread_mutexattr_settype(&attribute, PTHREAD_MUTEX_RECURSIVE));
  CHECK_ZERO(pthread_mutex_init(&recursive, &attribute));
  CHECK_ZERO(pthread_mutex_lock(&recursive));
  CHECK_ZERO(pthread_mutex_lock(&recursive));
  CHECK_ZERO(pthread_mutex_unlock(&recursive));
  CHECK_ZERO(pthread_mutex_unlock(&recursive));
  CHECK_ZERO(pthread_mutexattr_settype(&attribute, PTHREAD_MUTEX_ERRORCHECK));
  CHECK_ZERO(pthread_mutex_init(&checking, &attribute));
  CHECK_ZERO(pthread_mutex_lock(&checking));
  CHECK_EQ(pthread_mutex_lock(&checking), EDEADLK);
  CHECK_ZERO(pthread_mutex_unlock(&checking));
  CHECK_EQ(pthread_mutex_unlock(&checking), EPERM);
  CHECK_ZERO(pthread_mutex_lock(&mutex));
  CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
  struct timespec until;
  OK(clock_gettime(CLOCK_REALTIME, &until));
  until.tv_nsec += 30000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  CHECK_EQ(pthread_mutex_timedlock(&mutex, &until), ETIMEDOUT);
  CHECK_ZERO(pthread_mutex_unlock(&mutex));
}

static int turn;
static void *play(void *argument) {
  int mine = (long)argument;
  for (int i = 0; i < 60; i++) {
    CHECK_ZERO(pthread_mutex_lock(&mutex));
    while (turn % 3 != mine) CHECK_ZERO(pthread_cond_wait(&condition, &mutex));
    turn++;
    CHECK_ZERO(pthread_cond_broadcast(&condition));
    CHECK_ZERO(pthread_mutex_unlock(&mutex));
  }
  return NULL;
}

static void conditions_hand_over(void) {
  pthread_t threads[3];
  for (long i = 0; i < 3; i++) threads[i] = start_thread(play, (void *)i);
  for (int i = 0; i < 3; i++) join_thread(threads[i]);
  CHECK_EQ(turn, 180);
  struct timespec until;
  OK(clock_gettime(CLOCK_REALTIME, &until));
  CHECK_ZERO(pthread_mutex_lock(&mutex));
  CHECK_EQ(pthread_cond_timedwait(&condition, &mutex, &until), ETIMEDOUT);
  CHECK_ZERO(pthread_mutex_unlock(&mutex));
}

static pthread_barrier_t barrier;
static int phases[4];
static void *through_phases(void *argument) {
  int mine = (long)argument, serial = 0;
  for (int phase = 1; phase <= 20; phase++) {
    phases[mine] = phase;
    int got = pthread_barrier_wait(&barrier);
    serial += got == PTHREAD_BARRIER_SERIAL_THREAD;
    for (int i = 0; i < 4; i++) CHECK_EQ(phases[i], phase);
    pthread_barrier_wait(&barrier);
  }
  return (void *)(long)serial;
}

static void barriers_gather(void) {
  CHECK_ZERO(pthread_barrier_init(&barrier, NULL, 4));
  pthread_t threads[4];
  long serial = 0;
  for (long i = 0; i < 4; i++) threads[i] = start_thread(through_phases, (void *)i);
  for (int i = 0; i < 4; i++) serial += (long)join_thread(threads[i]);
  CHECK_EQ(serial, 20);
}

static sem_t *items;
static void *produce(void *argument) {
  for (int i = 0; i < 50; i++) OK(sem_post(items));
  return argument;
}

static void semaphores_count(void) {
  items = map_shared(PAGE);
  OK(sem_init(items, 1, 0));
  pthread_t thread = start_thread(produce, NULL);
  pid_t pid;
  IN_CHILD(pid) {
    for (int i = 0; i < 30; i++) OK(sem_wait(items));
  }
  for (int i = 0; i < 20; i++) OK(sem_wait(items));
  join_thread(thread);
  WAIT_OK(pid);
  CHECK_ERRNO(sem_trywait(items), EAGAIN);
}

static void cleanup(void *argument) { *(int *)argument = 1; }
static void *wait_for_cancel(void *argument) {
  pthread_cleanup_push(cleanup, argument);
  for (;;) pause();
  pthread_cleanup_pop(0);
  return NULL;
}
static void *spin_until_cancelled(void *argument) {
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
  for (;;) __asm__ volatile("" ::: "memory");
  return argument;
}

static void threads_are_cancelled(void) {
  int cleaned = 0;
  pthread_t thread = start_thread(wait_for_cancel, &cleaned);
  sleep_ms(20);
  CHECK_ZERO(pthread_cancel(thread));
  CHECK(join_thread(thread) == PTHREAD_CANCELED);
  CHECK_EQ(cleaned, 1);
  thread = start_thread(spin_until_cancelled, NULL);
  sleep_ms(20);
  CHECK_ZERO(pthread_cancel(thread));
  CHECK(join_thread(thread) == PTHREAD_CANCELED);
}

static pthread_key_t key;
static int destroyed;
static void destroy(void *value) { destroyed += (long)value; }
static void *use_locals(void *argument) {
  CHECK_EQ(local, 5);
  for (size_t i = 0; i < sizeof large_local; i += 100) CHECK_EQ(large_local[i], 0);
  local = (long)argument;
  memset(large_local, local, sizeof large_local);
  CHECK_ZERO(pthread_setspecific(key, argument));
  sched_yield();
  CHECK_EQ(local, (long)argument);
  CHECK(pthread_getspecific(key) == argument);
  CHECK_EQ(large_local[12345], (char)local);
  return NULL;
}

static void locals_are_apart(void) {
  CHECK_ZERO(pthread_key_create(&key, destroy));
  pthread_t threads[5];
  for (long i = 0; i < 5; i++) threads[i] = start_thread(use_locals, (void *)(i + 10));
  for (int i = 0; i < 5; i++) join_thread(threads[i]);
  CHECK_EQ(local, 5);
  CHECK_EQ(destroyed, 10 + 11 + 12 + 13 + 14);
}

static void *own_ids(void *argument) {
  pid_t *ids = argument;
  ids[0] = getpid();
  ids[1] = syscall(SYS_gettid);
  ids[2] = getppid();
  return NULL;
}

static void ids_are_distinct(void) {
  pid_t ids[3];
  join_thread(start_thread(own_ids, ids));
  CHECK_EQ(ids[0], getpid());
  CHECK(ids[1] != getpid());
  CHECK_EQ(ids[2], getppid());
  CHECK_EQ(syscall(SYS_gettid), getpid());
}

static void *burn(void *argument) {
  struct timespec used;
  do OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used));
  while (used.tv_nsec < 20000000);
  return argument;
}

static void cpu_clocks_are_per_thread(void) {
  pthread_t thread = start_thread(burn, NULL);
  join_thread(thread);
  struct timespec mine, all;
  OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mine));
  OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &all));
  long long mine_ns = mine.tv_sec * 1000000000LL + mine.tv_nsec, all_ns = all.tv_sec * 1000000000LL + all.tv_nsec;
  CHECK(all_ns >= mine_ns + 19000000);
}

static void *fork_here(void *argument) {
  pid_t pid;
  IN_CHILD(pid) {
    char text[4096];
    read_file("/proc/self/status", text, sizeof text);
    CHECK(strstr(text, "Threads:\t1\n") != NULL); // Only the calling thread goes over.
    CHECK_EQ(syscall(SYS_gettid), getpid());
    join_thread(start_thread(own_ids, (pid_t[3]){0}));
  }
  WAIT_OK(pid);
  return argument;
}

static void a_thread_may_fork(void) {
  pthread_t idle = start_thread(wait_for_cancel, &(int){0}), forker = start_thread(fork_here, NULL);
  join_thread(forker);
  CHECK_ZERO(pthread_cancel(idle));
  join_thread(idle);
}

static void attributes_hold(void) {
  pthread_attr_t attribute;
  CHECK_ZERO(pthread_attr_init(&attribute));
  CHECK_ZERO(pthread_attr_setstacksize(&attribute, 256 * 1024));
  CHECK_ZERO(pthread_attr_setdetachstate(&attribute, PTHREAD_CREATE_DETACHED));
  pthread_t thread;
  sem_t done;
  OK(sem_init(&done, 0, 0));
  CHECK_ZERO(pthread_create(&thread, &attribute, (void *(*)(void *))(void *)sem_post, &done));
  OK(sem_wait(&done));
  CHECK_ZERO(pthread_getattr_np(pthread_self(), &attribute)); // Reads /proc/self/maps and the stack's limit.
  void *base;
  size_t size;
  CHECK_ZERO(pthread_attr_getstack(&attribute, &base, &size));
  CHECK((char *)base < (char *)&size && (char *)&size < (char *)base + size);
}

int main(void) {
  mutexes_exclude();
  mutex_kinds_differ();
  conditions_hand_over();
  barriers_gather();
  semaphores_count();
  threads_are_cancelled();
  locals_are_apart();
  ids_are_distinct();
  cpu_clocks_are_per_thread();
  a_thread_may_fork();
  attributes_hold();
  return 0;
}
