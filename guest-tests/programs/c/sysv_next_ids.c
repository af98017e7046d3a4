// The identifier of the next System V object, chosen below /proc/sys/kernel (CONFIG_CHECKPOINT_RESTORE).
#include "check.h"
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

static int is_open(const char *path) {
  int file = open(path, O_WRONLY);
  if (file < 0) return 0;
  OK(close(file));
  return 1;
}

static void choose(const char *path, int id) {
  char text[32];
  snprintf(text, sizeof text, "%d", id);
  int file = OK(open(path, O_WRONLY));
  OK(write(file, text, strlen(text)));
  OK(close(file));
}

static int chosen(const char *path) {
  char text[32];
  read_file(path, text, sizeof text);
  return atoi(text);
}

static int make_queue(void) { return OK(msgget(IPC_PRIVATE, 0600)); }
static int make_set(void) { return OK(semget(IPC_PRIVATE, 1, 0600)); }
static int make_segment(void) { return OK(shmget(IPC_PRIVATE, 4096, 0600)); }

static void an_identifier_is_chosen_once(const char *path, int (*make)(void)) {
  CHECK_EQ(chosen(path), -1);
  int first = make();
  choose(path, first + 5);
  CHECK_EQ(chosen(path), first + 5);
  CHECK_EQ(make(), first + 5);
  CHECK_EQ(chosen(path), -1);
  choose(path, first); // It is taken.
  int near = make();
  CHECK(near != first);
  CHECK_EQ(chosen(path), -1);
  int file = OK(open(path, O_WRONLY));
  CHECK_ERRNO(write(file, "-1", 2), EINVAL);
  OK(close(file));
}

int main(void) {
  // A namespace of its own, so that no other program is in the way, and all ends with it.
  if (geteuid() != 0) return 0;
  OK(unshare(CLONE_NEWIPC));
  if (!is_open("/proc/sys/kernel/msg_next_id")) return 0; // The host was built without it.
  an_identifier_is_chosen_once("/proc/sys/kernel/msg_next_id", make_queue);
  an_identifier_is_chosen_once("/proc/sys/kernel/sem_next_id", make_set);
  an_identifier_is_chosen_once("/proc/sys/kernel/shm_next_id", make_segment);
  return 0;
}
