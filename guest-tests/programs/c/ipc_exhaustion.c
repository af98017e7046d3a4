// timeout: 120
// inside only: it takes all that there is, which on Linux would be the machine's own
// System V IPC and POSIX queues without end: errors come before the sandbox ends, and what is removed can be had again.
#include "check.h"

#include <mqueue.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

static char big[1 << 20];

// Fills queues with large messages, in namespaces that the limits of one do not bind.
static void test_messages(void) {
  pid_t child;
  IN_CHILD(child) {
    OK(unshare(CLONE_NEWIPC));
    write_file("/proc/sys/kernel/msgmax", "1000000");
    write_file("/proc/sys/kernel/msgmnb", "2000000000");
    int queue = OK(msgget(IPC_PRIVATE, 0600));
    *(long *)big = 1;
    int sent = 0;
    while (msgsnd(queue, big, 1000000, IPC_NOWAIT) == 0) CHECK(++sent < 2000);
    CHECK_EQ(errno, ENOMEM);
    CHECK(sent > 50);
    // Small ones fit in what is left, and no more than that.
    while (msgsnd(queue, big, 0, IPC_NOWAIT) == 0) sent++;
    CHECK_EQ(errno, ENOMEM);
    CHECK_ERRNO(semget(IPC_PRIVATE, 32000, 0600), ENOMEM);
    CHECK_ERRNO(msgget(IPC_PRIVATE, 0600), ENOMEM);
    CHECK_EQ(msgrcv(queue, big, sizeof big - 8, 0, 0), 1000000);
    OK(semget(IPC_PRIVATE, 10000, 0600));
  }
  WAIT_OK(child);
  // The namespace has ended, and everything in it.
  OK(semctl(OK(semget(IPC_PRIVATE, 32000, 0600)), 0, IPC_RMID));
}

static void test_objects(void) {
  pid_t child;
  IN_CHILD(child) {
    OK(unshare(CLONE_NEWIPC));
    int made = 0;
    while (semget(IPC_PRIVATE, 32000, 0600) >= 0) CHECK(++made < 32000);
    CHECK_EQ(errno, ENOMEM);
    CHECK(made > 50);
  }
  WAIT_OK(child);
  IN_CHILD(child) {
    OK(unshare(CLONE_NEWIPC));
    for (int index = 0; index < 4096; index++) OK(shmget(IPC_PRIVATE, PAGE, 0600));
    CHECK_ERRNO(shmget(IPC_PRIVATE, PAGE, 0600), ENOSPC);
    for (int index = 0; index < 256; index++) {
      char name[32];
      snprintf(name, sizeof name, "/queue-%d", index);
      OK(mq_close(OK(mq_open(name, O_CREAT | O_RDWR, 0600, &(struct mq_attr){.mq_maxmsg = 1, .mq_msgsize = 1}))));
    }
  }
  WAIT_OK(child);
}

// One call with more operations than can be kept.
static void test_operations(void) {
  pid_t child;
  IN_CHILD(child) {
    OK(unshare(CLONE_NEWIPC));
    write_file("/proc/sys/kernel/sem", "100 1000 2147483647 10");
    int id = OK(semget(IPC_PRIVATE, 1, 0600));
    CHECK_ERRNO(semop(id, (struct sembuf *)big, 2147483647), ENOMEM);
    CHECK_ERRNO(semop(id, (struct sembuf *)big, 10000000), EFAULT);
  }
  WAIT_OK(child);
}

int main(void) {
  test_messages();
  test_objects();
  test_operations();
  return 0;
}
