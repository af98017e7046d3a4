// IPC namespaces: a child in a new one sees none of the parent's objects, and its own end with it.
#include "check.h"

#include <mqueue.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

static int key, segment, semaphores, queue;
static char *attached;
static int reports[2];
static char posix_name[32];

static void number_of_namespace(char *link, size_t size) {
  ssize_t length = OK(readlink("/proc/self/ns/ipc", link, size - 1));
  link[length] = 0;
}

static int lines_of(const char *path) {
  char text[4096];
  int file = OK(open(path, O_RDONLY)), lines = 0;
  ssize_t length = OK(read(file, text, sizeof text));
  OK(close(file));
  for (ssize_t index = 0; index < length; index++) lines += text[index] == '\n';
  return lines;
}

static int in_new_namespace(void *argument) {
  const char *parents = argument;
  char own[64];
  number_of_namespace(own, sizeof own);
  CHECK(strcmp(own, parents) != 0);
  // Neither by key nor by identifier.
  CHECK_ERRNO(shmget(key, 1, 0600), ENOENT);
  CHECK_ERRNO(semget(key, 1, 0600), ENOENT);
  CHECK_ERRNO(msgget(key, 0600), ENOENT);
  CHECK_ERRNO(shmctl(segment, IPC_RMID, NULL), EINVAL);
  CHECK_ERRNO(semctl(semaphores, 0, GETVAL), EINVAL);
  CHECK_ERRNO(msgctl(queue, IPC_RMID, NULL), EINVAL);
  CHECK_ERRNO(mq_open(posix_name, O_RDWR), ENOENT);
  CHECK_EQ(lines_of("/proc/sysvipc/shm"), 1);
  CHECK_EQ(lines_of("/proc/sysvipc/sem"), 1);
  CHECK_EQ(lines_of("/proc/sysvipc/msg"), 1);
  // What was attached stays so.
  CHECK(strcmp(attached, "of the parent") == 0);
  strcpy(attached, "of the child");
  // The same names mean other things here, and numbers begin anew.
  CHECK_EQ(shmget(key, 1, IPC_CREAT | 0600), 0);
  CHECK_EQ(semget(key, 1, IPC_CREAT | 0600), 0);
  CHECK_EQ(msgget(key, IPC_CREAT | 0600), 0);
  OK(mq_open(posix_name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL));
  CHECK_EQ(lines_of("/proc/sysvipc/shm"), 2);
  OK(write(reports[1], own, strlen(own)));
  return 0;
}

int main(void) {
  static char stack[65536] __attribute__((aligned(16)));
  key = 0x75000000 + getpid();
  segment = OK(shmget(key, PAGE, IPC_CREAT | 0600));
  // An identifier that no fresh namespace gives out.
  while (segment < 3) {
    OK(shmctl(segment, IPC_RMID, NULL));
    segment = OK(shmget(key, PAGE, IPC_CREAT | 0600));
  }
  semaphores = OK(semget(key, 1, IPC_CREAT | 0600));
  queue = OK(msgget(key, IPC_CREAT | 0600));
  snprintf(posix_name, sizeof posix_name, "/ipc-namespace-%d", getpid());
  mqd_t posix = OK(mq_open(posix_name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL));
  attached = shmat(segment, NULL, 0);
  CHECK(attached != (void *)-1);
  strcpy(attached, "of the parent");
  char parents[64], childs[64] = "";
  number_of_namespace(parents, sizeof parents);
  OK(pipe(reports));
  CHECK_ERRNO(clone(in_new_namespace, stack + sizeof stack, CLONE_NEWIPC | CLONE_SYSVSEM | SIGCHLD, parents), EINVAL);
  pid_t child = OK(clone(in_new_namespace, stack + sizeof stack, CLONE_NEWIPC | SIGCHLD, parents));
  WAIT_OK(child);
  CHECK(read(reports[0], childs, sizeof childs) > 0);
  CHECK(strcmp(attached, "of the child") == 0);
  CHECK_EQ(shmget(key, 1, 0600), segment);
  CHECK_EQ(semget(key, 1, 0600), semaphores);
  CHECK_EQ(msgget(key, 0600), queue);
  struct shmid_ds status;
  OK(shmctl(segment, IPC_STAT, &status));
  CHECK_EQ(status.shm_nattch, 1);
  // unshare does the same for a running task, and takes its semaphore operations back first.
  OK(semctl(semaphores, 0, SETVAL, 5));
  int back = OK(open("/proc/self/ns/ipc", O_RDONLY));
  IN_CHILD(child) {
    OK(semop(semaphores, &(struct sembuf){0, -2, SEM_UNDO}, 1));
    CHECK_EQ(semctl(semaphores, 0, GETVAL), 3);
    OK(unshare(CLONE_NEWIPC));
    CHECK_ERRNO(shmget(key, 1, 0600), ENOENT);
    CHECK_EQ(lines_of("/proc/sysvipc/sem"), 1);
    OK(setns(back, CLONE_NEWIPC));
    CHECK_EQ(semctl(semaphores, 0, GETVAL), 5);
    CHECK_EQ(shmget(key, 1, 0600), segment);
  }
  WAIT_OK(child);
  // Limits are each namespace's own.
  IN_CHILD(child) {
    OK(unshare(CLONE_NEWIPC));
    write_file("/proc/sys/kernel/shmmni", "1");
    int only = OK(shmget(IPC_PRIVATE, 1, 0600));
    CHECK_ERRNO(shmget(IPC_PRIVATE, 1, 0600), ENOSPC);
    OK(shmctl(only, IPC_RMID, NULL));
    write_file("/proc/sys/kernel/msgmax", "10");
    int here = OK(msgget(IPC_PRIVATE, 0600));
    struct { long type; char text[11]; } message = {1, "0123456789"};
    OK(msgsnd(here, &message, 10, 0));
    CHECK_ERRNO(msgsnd(here, &message, 11, 0), EINVAL);
    write_file("/proc/sys/kernel/shm_rmid_forced", "1");
    int forced = OK(shmget(IPC_PRIVATE, 1, 0600));
    void *at = shmat(forced, NULL, 0);
    CHECK(at != (void *)-1);
    OK(shmdt(at));
    CHECK_ERRNO(shmctl(forced, IPC_STAT, &status), EINVAL);
  }
  WAIT_OK(child);
  OK(msgsnd(queue, &(struct { long type; char text[11]; }){1, ""}, 11, 0));
  OK(shmctl(segment, IPC_RMID, NULL));
  OK(semctl(semaphores, 0, IPC_RMID));
  OK(msgctl(queue, IPC_RMID, NULL));
  OK(mq_close(posix));
  OK(mq_unlink(posix_name));
  return 0;
}
