// timeout: 60
// System V semaphores: values, waiting in order and all at once, time-outs, signals, removal, undo.
#include "check.h"

#include <sched.h>
#include <sys/ipc.h>
#include <sys/sem.h>

union argument {
  int value;
  struct semid_ds *status;
  unsigned short *values;
  struct seminfo *info;
};

static int get(int id, int number, int command) {
  return OK(semctl(id, number, command));
}

static int set(int id, int number, int value) {
  return semctl(id, number, SETVAL, (union argument){.value = value});
}

static struct semid_ds stat_of(int id) {
  struct semid_ds status;
  OK(semctl(id, 0, IPC_STAT, (union argument){.status = &status}));
  return status;
}

static int operate(int id, int number, int change, int flags) {
  struct sembuf operation = {number, change, flags};
  return semop(id, &operation, 1);
}

static int make(int count) {
  return OK(semget(IPC_PRIVATE, count, 0600));
}

static void drop(int id) {
  OK(semctl(id, 0, IPC_RMID));
}

// Waits until as many tasks wait for a semaphore.
static void wait_for(int id, int number, int command, int count) {
  for (int round = 0; get(id, number, command) != count; round++) {
    CHECK_CASE(round < 2000, "%d waiters instead of %d", get(id, number, command), count);
    sleep_ms(2);
  }
}

static void test_identifiers(void) {
  int key = 0x70000000 + getpid();
  CHECK_ERRNO(semget(key, 3, 0600), ENOENT);
  CHECK_ERRNO(semget(key, -1, IPC_CREAT | 0600), EINVAL);
  CHECK_ERRNO(semget(key, 0, IPC_CREAT | 0600), EINVAL);
  CHECK_ERRNO(semget(key, 32001, IPC_CREAT | 0600), EINVAL);
  int id = OK(semget(key, 3, IPC_CREAT | 0640));
  CHECK_EQ(semget(key, 0, 0), id);
  CHECK_EQ(semget(key, 3, IPC_CREAT | 0600), id);
  CHECK_ERRNO(semget(key, 4, 0600), EINVAL);
  CHECK_ERRNO(semget(key, 3, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
  struct semid_ds status = stat_of(id);
  CHECK_EQ(status.sem_perm.__key, key);
  CHECK_EQ(status.sem_perm.mode, 0640);
  CHECK_EQ(status.sem_nsems, 3);
  CHECK_EQ(status.sem_otime, 0);
  CHECK(status.sem_ctime >= time(NULL) - 5);
  status.sem_perm.mode = 0604;
  OK(semctl(id, 0, IPC_SET, (union argument){.status = &status}));
  CHECK_EQ(stat_of(id).sem_perm.mode, 0604);
  pid_t child;
  IN_CHILD(child) {
    OK(setgid(4321));
    OK(setuid(4321));
    CHECK_EQ(semget(key, 3, 0004), id);
    CHECK_ERRNO(semget(key, 3, 0006), EACCES);
    CHECK_EQ(get(id, 0, GETVAL), 0);
    CHECK_EQ(operate(id, 0, 0, 0), 0);
    CHECK_ERRNO(operate(id, 0, 1, 0), EACCES);
    CHECK_ERRNO(set(id, 0, 1), EACCES);
    CHECK_ERRNO(semctl(id, 0, IPC_RMID), EPERM);
  }
  WAIT_OK(child);
  CHECK_ERRNO(semctl(id, 0, 99), EINVAL);
  CHECK_ERRNO(semctl(id, 0, IPC_STAT, wild), EFAULT);
  drop(id);
  CHECK_ERRNO(semctl(id, 0, GETVAL), EINVAL);
  CHECK_ERRNO(operate(id, 0, 1, 0), EINVAL);
}

static void test_values(void) {
  int id = make(3);
  unsigned short values[3] = {1, 32767, 3};
  OK(semctl(id, 0, SETALL, (union argument){.values = values}));
  CHECK_EQ(get(id, 1, GETVAL), 32767);
  CHECK_EQ(get(id, 2, GETPID), getpid());
  CHECK_ERRNO(operate(id, 1, 1, 0), ERANGE);
  OK(set(id, 0, 7));
  CHECK_ERRNO(set(id, 0, -1), ERANGE);
  CHECK_ERRNO(set(id, 0, 32768), ERANGE);
  CHECK_ERRNO(set(id, 3, 1), EINVAL);
  CHECK_ERRNO(set(id, -1, 1), EINVAL);
  CHECK_ERRNO(semctl(id, 3, GETVAL), EINVAL);
  memset(values, 0xee, sizeof values);
  OK(semctl(id, 0, GETALL, (union argument){.values = values}));
  CHECK(values[0] == 7 && values[1] == 32767 && values[2] == 3);
  values[1] = 32768;
  CHECK_ERRNO(semctl(id, 0, SETALL, (union argument){.values = values}), ERANGE);
  CHECK_EQ(get(id, 1, GETVAL), 32767);
  CHECK_ERRNO(semctl(id, 0, GETALL, (union argument){.values = wild}), EFAULT);
  drop(id);
}

static void test_operations(void) {
  int id = make(3);
  CHECK_EQ(operate(id, 0, 0, 0), 0);
  CHECK_EQ(get(id, 0, GETPID), getpid());
  CHECK(stat_of(id).sem_otime >= time(NULL) - 5);
  // All or nothing.
  struct sembuf both[] = {{0, 5, 0}, {1, -1, IPC_NOWAIT}};
  CHECK_ERRNO(semop(id, both, 2), EAGAIN);
  CHECK_EQ(get(id, 0, GETVAL), 0);
  struct sembuf chain[] = {{0, 2, 0}, {0, -1, 0}, {1, 1, 0}, {2, 0, 0}};
  OK(semop(id, chain, 4));
  CHECK(get(id, 0, GETVAL) == 1 && get(id, 1, GETVAL) == 1);
  CHECK_ERRNO(operate(id, 0, 0, IPC_NOWAIT), EAGAIN);
  CHECK_ERRNO(operate(id, 3, 1, 0), EFBIG);
  CHECK_ERRNO(semop(id, both, 0), EINVAL);
  CHECK_ERRNO(semop(-1, both, 1), EINVAL);
  CHECK_ERRNO(semop(id, wild, 1), EFAULT);
  static struct sembuf many[501];
  CHECK_ERRNO(semop(id, many, 501), E2BIG);
  for (int index = 0; index < 500; index++) many[index] = (struct sembuf){2, index % 2 ? -1 : 1, 0};
  OK(semop(id, many, 500));
  CHECK_EQ(get(id, 2, GETVAL), 0);
  drop(id);
}

static void test_waiting(void) {
  int id = make(2);
  pid_t first, second, zero;
  IN_CHILD(first) {
    struct sembuf both[] = {{0, -2, 0}, {1, 1, 0}};
    OK(semop(id, both, 2));
  }
  wait_for(id, 0, GETNCNT, 1);
  IN_CHILD(second) {
    OK(operate(id, 0, -1, 0));
  }
  wait_for(id, 0, GETNCNT, 2);
  OK(operate(id, 0, 1, 0));
  // One is enough for the second, and the first goes on waiting.
  WAIT_OK(second);
  CHECK_EQ(get(id, 0, GETPID), second);
  CHECK_EQ(get(id, 0, GETNCNT), 1);
  CHECK_EQ(get(id, 1, GETVAL), 0);
  OK(operate(id, 0, 1, 0));
  IN_CHILD(zero) {
    OK(operate(id, 0, 0, 0));
    CHECK_EQ(get(id, 1, GETVAL), 1);
  }
  wait_for(id, 0, GETZCNT, 1);
  CHECK_EQ(get(id, 0, GETNCNT), 1);
  OK(operate(id, 0, 1, 0));
  WAIT_OK(first);
  WAIT_OK(zero);
  CHECK_EQ(get(id, 0, GETVAL), 0);
  // A setting of the value wakes, too.
  IN_CHILD(first) {
    OK(operate(id, 0, -5, 0));
  }
  wait_for(id, 0, GETNCNT, 1);
  OK(set(id, 0, 7));
  WAIT_OK(first);
  CHECK_EQ(get(id, 0, GETVAL), 2);
  drop(id);
}

static void test_time_out(void) {
  int id = make(1);
  struct sembuf take = {0, -1, 0};
  long long start = now_ms();
  CHECK_ERRNO(semtimedop(id, &take, 1, &(struct timespec){0, 30000000}), EAGAIN);
  CHECK(now_ms() - start >= 29);
  CHECK_EQ(get(id, 0, GETNCNT), 0);
  CHECK_ERRNO(semtimedop(id, &take, 1, &(struct timespec){0, 0}), EAGAIN);
  CHECK_ERRNO(semtimedop(id, &take, 1, &(struct timespec){-1, 0}), EINVAL);
  CHECK_ERRNO(semtimedop(id, &take, 1, &(struct timespec){0, 1000000000}), EINVAL);
  OK(set(id, 0, 1));
  OK(semtimedop(id, &take, 1, &(struct timespec){1, 0}));
  drop(id);
}

static void nothing(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
}

static void test_signals_and_removal(void) {
  int id = make(1);
  pid_t child;
  IN_CHILD(child) {
    handle(SIGUSR1, nothing, SA_RESTART);
    // Not restarted, whatever the handler wants.
    CHECK_ERRNO(operate(id, 0, -1, 0), EINTR);
    CHECK_ERRNO(operate(id, 0, -1, 0), EIDRM);
  }
  wait_for(id, 0, GETNCNT, 1);
  until_asleep(child);
  OK(kill(child, SIGUSR1));
  until_asleep(child);
  wait_for(id, 0, GETNCNT, 1);
  drop(id);
  WAIT_OK(child);
}

static void test_undo(void) {
  int id = make(3);
  OK(set(id, 0, 10));
  pid_t child;
  IN_CHILD(child) {
    OK(operate(id, 0, -3, SEM_UNDO));
    OK(operate(id, 0, 1, SEM_UNDO));
    OK(operate(id, 1, 4, SEM_UNDO));
    OK(operate(id, 2, 1, 0));
    // A child of its own inherits no adjustment.
    pid_t grandchild;
    IN_CHILD(grandchild) {}
    WAIT_OK(grandchild);
    CHECK(get(id, 0, GETVAL) == 8 && get(id, 1, GETVAL) == 4);
  }
  WAIT_OK(child);
  CHECK_EQ(get(id, 0, GETVAL), 10);
  CHECK_EQ(get(id, 1, GETVAL), 0);
  CHECK_EQ(get(id, 2, GETVAL), 1);
  CHECK_EQ(get(id, 0, GETPID), child);
  // SETVAL forgets; what is left over is cut at zero.
  IN_CHILD(child) {
    OK(operate(id, 0, -3, SEM_UNDO));
    OK(operate(id, 1, 4, SEM_UNDO));
    OK(set(id, 0, 20));
    OK(operate(id, 1, -3, 0));
  }
  WAIT_OK(child);
  CHECK_EQ(get(id, 0, GETVAL), 20);
  CHECK_EQ(get(id, 1, GETVAL), 0);
  // The end of a process lets others go on.
  OK(set(id, 0, 1));
  IN_CHILD(child) {
    OK(operate(id, 0, -1, SEM_UNDO));
    pause();
  }
  while (get(id, 0, GETVAL) != 0) sleep_ms(1);
  pid_t waiter;
  IN_CHILD(waiter) {
    OK(operate(id, 0, -1, 0));
  }
  wait_for(id, 0, GETNCNT, 1);
  OK(kill(child, SIGKILL));
  WAIT_SIGNALED(child, SIGKILL);
  WAIT_OK(waiter);
  // Adjustments survive execve.
  OK(set(id, 0, 5));
  child = check_fork(__FILE__, __LINE__);
  if (child == 0) {
    OK(operate(id, 0, -2, SEM_UNDO));
    execl("/bin/sh", "sh", "-c", "sleep 0.2", (char *)NULL);
    _exit(127);
  }
  while (get(id, 0, GETVAL) != 3) sleep_ms(1);
  sleep_ms(50);
  CHECK_EQ(get(id, 0, GETVAL), 3);
  WAIT_OK(child);
  CHECK_EQ(get(id, 0, GETVAL), 5);
  // An adjustment has the range of a value.
  OK(set(id, 0, 0));
  OK(operate(id, 0, 32767, SEM_UNDO));
  OK(operate(id, 0, -32767, 0));
  CHECK_ERRNO(operate(id, 0, 2, SEM_UNDO), ERANGE);
  drop(id);
}

static int undo_id;

static void *take_with_undo(void *argument) {
  OK(operate(undo_id, 0, -1, SEM_UNDO));
  return argument;
}

static int add_with_undo(void *argument) {
  (void)argument;
  return operate(undo_id, 0, 4, SEM_UNDO) == 0 ? 0 : 1;
}

static void test_shared_undo(void) {
  undo_id = make(1);
  OK(set(undo_id, 0, 5));
  pid_t child;
  IN_CHILD(child) {
    // Threads share a list: nothing is taken back while one of them lives.
    pthread_t thread;
    CHECK_ZERO(pthread_create(&thread, NULL, take_with_undo, NULL));
    CHECK_ZERO(pthread_join(thread, NULL));
    CHECK_EQ(get(undo_id, 0, GETVAL), 4);
    // So do processes, with CLONE_SYSVSEM.
    static char stack[65536] __attribute__((aligned(16)));
    pid_t sharer = OK(clone(add_with_undo, stack + sizeof stack, CLONE_SYSVSEM | SIGCHLD, NULL));
    WAIT_OK(sharer);
    CHECK_EQ(get(undo_id, 0, GETVAL), 8);
    // Without it the list is this one's own, and goes with it.
    sharer = OK(clone(add_with_undo, stack + sizeof stack, SIGCHLD, NULL));
    WAIT_OK(sharer);
    CHECK_EQ(get(undo_id, 0, GETVAL), 8);
    OK(unshare(CLONE_SYSVSEM));
    CHECK_EQ(get(undo_id, 0, GETVAL), 5);
    CHECK_EQ(get(undo_id, 0, GETPID), getpid());
    OK(operate(undo_id, 0, -1, SEM_UNDO));
  }
  WAIT_OK(child);
  CHECK_EQ(get(undo_id, 0, GETVAL), 5);
  drop(undo_id);
}

static void test_usage(void) {
  struct seminfo limits, before, after;
  OK(semctl(0, 0, IPC_INFO, (union argument){.info = &limits}));
  CHECK(limits.semmni == 32000 && limits.semmsl == 32000 && limits.semmns == 1024000000 && limits.semopm == 500);
  CHECK(limits.semvmx == 32767 && limits.semaem == 32767 && limits.semume == 500 && limits.semusz == 20);
  CHECK(limits.semmap == 1024000000 && limits.semmnu == 1024000000);
  OK(semctl(0, 0, SEM_INFO, (union argument){.info = &before}));
  int id = make(17);
  int highest = OK(semctl(0, 0, SEM_INFO, (union argument){.info = &after}));
  CHECK_EQ(after.semusz, before.semusz + 1);
  CHECK_EQ(after.semaem, before.semaem + 17);
  CHECK(highest >= (id & 0x7fff));
  struct semid_ds status;
  CHECK_EQ(semctl(id & 0x7fff, 0, SEM_STAT, (union argument){.status = &status}), id);
  CHECK_EQ(status.sem_nsems, 17);
  CHECK_EQ(semctl(id & 0x7fff, 0, SEM_STAT_ANY, (union argument){.status = &status}), id);
  drop(id);
}

// Many processes count in shared memory, one at a time.
static void test_mutual_exclusion(void) {
  int id = make(1);
  OK(set(id, 0, 1));
  volatile long *counter = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(counter != MAP_FAILED);
  pid_t children[8];
  for (size_t index = 0; index < COUNT(children); index++) {
    IN_CHILD(children[index]) {
      for (int round = 0; round < 200; round++) {
        OK(operate(id, 0, -1, SEM_UNDO));
        long seen = *counter;
        if (round % 16 == 0) sched_yield();
        *counter = seen + 1;
        OK(operate(id, 0, 1, SEM_UNDO));
      }
    }
  }
  for (size_t index = 0; index < COUNT(children); index++) WAIT_OK(children[index]);
  CHECK_EQ(*counter, 200 * COUNT(children));
  CHECK_EQ(get(id, 0, GETVAL), 1);
  drop(id);
}

int main(void) {
  OK(unshare(CLONE_NEWIPC)); // Its limits are the usual ones, whatever the host's are.
  test_identifiers();
  test_values();
  test_operations();
  test_waiting();
  test_time_out();
  test_signals_and_removal();
  test_undo();
  test_shared_undo();
  test_usage();
  test_mutual_exclusion();
  return 0;
}
