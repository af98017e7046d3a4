// timeout: 60
// System V message queues: types, limits, waiting for messages and for room, copies, signals, removal.
#include "check.h"

#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

struct message {
  long type;
  char text[16384];
};

static int send_text(int id, long type, const char *text, int flags) {
  struct message message = {.type = type};
  strcpy(message.text, text);
  return msgsnd(id, &message, strlen(text), flags);
}

// Receives a message and compares it.
static void expect(int id, long wanted, int flags, long type, const char *text) {
  struct message message;
  memset(&message, 0xee, sizeof message);
  ssize_t length = msgrcv(id, &message, sizeof message.text, wanted, flags | IPC_NOWAIT);
  CHECK_CASE(length == (ssize_t)strlen(text), "%ld for %s", (long)length, text);
  CHECK_EQ(message.type, type);
  CHECK(memcmp(message.text, text, length) == 0);
}

static struct msqid_ds stat_of(int id) {
  struct msqid_ds status;
  OK(msgctl(id, IPC_STAT, &status));
  return status;
}

static int make(void) {
  return OK(msgget(IPC_PRIVATE, 0600));
}

static void test_identifiers(void) {
  int key = 0x70000000 + getpid();
  CHECK_ERRNO(msgget(key, 0600), ENOENT);
  int id = OK(msgget(key, IPC_CREAT | 0640));
  CHECK_EQ(msgget(key, 0), id);
  CHECK_ERRNO(msgget(key, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
  struct msqid_ds status = stat_of(id);
  CHECK_EQ(status.msg_perm.__key, key);
  CHECK_EQ(status.msg_perm.mode, 0640);
  CHECK_EQ(status.msg_qbytes, 16384);
  CHECK(status.msg_qnum == 0 && status.__msg_cbytes == 0 && status.msg_stime == 0 && status.msg_rtime == 0);
  CHECK(status.msg_lspid == 0 && status.msg_lrpid == 0 && status.msg_ctime >= time(NULL) - 5);
  status.msg_perm.mode = 0602;
  status.msg_qbytes = 100;
  OK(msgctl(id, IPC_SET, &status));
  CHECK(stat_of(id).msg_perm.mode == 0602 && stat_of(id).msg_qbytes == 100);
  pid_t child;
  IN_CHILD(child) {
    OK(setgid(4321));
    OK(setuid(4321));
    struct message message;
    CHECK_EQ(msgget(key, 0002), id);
    CHECK_ERRNO(msgget(key, 0004), EACCES);
    OK(send_text(id, 1, "allowed", 0));
    CHECK_ERRNO(msgrcv(id, &message, 100, 0, IPC_NOWAIT), EACCES);
    CHECK_ERRNO(msgctl(id, IPC_STAT, &status), EACCES);
    CHECK_ERRNO(msgctl(id, IPC_SET, &status), EPERM);
    CHECK_ERRNO(msgctl(id, IPC_RMID, NULL), EPERM);
  }
  WAIT_OK(child);
  expect(id, 0, 0, 1, "allowed");
  CHECK_EQ(stat_of(id).msg_lspid, child);
  CHECK_EQ(stat_of(id).msg_lrpid, getpid());
  CHECK_ERRNO(msgctl(id, 99, &status), EINVAL);
  CHECK_ERRNO(msgctl(id, IPC_STAT, wild), EFAULT);
  OK(msgctl(id, IPC_RMID, NULL));
  CHECK_ERRNO(msgctl(id, IPC_STAT, &status), EINVAL);
  CHECK_ERRNO(send_text(id, 1, "", 0), EINVAL);
}

static void fill(int id) {
  const struct { long type; const char *text; } messages[] = {{5, "five"}, {3, "three"}, {9, "nine"}, {3, "again"}};
  for (size_t index = 0; index < COUNT(messages); index++) OK(send_text(id, messages[index].type, messages[index].text, 0));
}

static void test_selection(void) {
  int id = make();
  struct message message;
  fill(id);
  CHECK(stat_of(id).msg_qnum == 4 && stat_of(id).__msg_cbytes == 18);
  expect(id, 0, 0, 5, "five");
  expect(id, 9, 0, 9, "nine");
  expect(id, 0, 0, 3, "three");
  expect(id, 0, 0, 3, "again");
  CHECK_ERRNO(msgrcv(id, &message, 100, 0, IPC_NOWAIT), ENOMSG);
  fill(id);
  expect(id, -4, 0, 3, "three");
  expect(id, -9, 0, 3, "again");
  expect(id, 5, MSG_EXCEPT, 9, "nine");
  CHECK_ERRNO(msgrcv(id, &message, 100, -4, IPC_NOWAIT), ENOMSG);
  expect(id, LONG_MIN, 0, 5, "five");
  fill(id);
  expect(id, 2, MSG_COPY, 9, "nine");
  expect(id, 0, MSG_COPY, 5, "five");
  CHECK_ERRNO(msgrcv(id, &message, 100, 4, MSG_COPY | IPC_NOWAIT), ENOMSG);
  CHECK_ERRNO(msgrcv(id, &message, 100, 0, MSG_COPY), EINVAL);
  CHECK_ERRNO(msgrcv(id, &message, 100, 0, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT), EINVAL);
  CHECK_ERRNO(msgrcv(id, &message, 3, 0, MSG_COPY | IPC_NOWAIT), E2BIG);
  CHECK_ERRNO(msgrcv(id, &message, 3, 0, MSG_COPY | MSG_NOERROR | IPC_NOWAIT), EINVAL);
  CHECK_EQ(stat_of(id).msg_qnum, 4);
  OK(msgctl(id, IPC_RMID, NULL));
}

static void test_lengths(void) {
  int id = make();
  static struct message message = {.type = 1};
  CHECK_ERRNO(msgsnd(id, &message, 8193, 0), EINVAL);
  CHECK_ERRNO(msgsnd(id, &message, -1, 0), EINVAL);
  OK(msgsnd(id, &message, 8192, 0));
  OK(msgsnd(id, &message, 8191, IPC_NOWAIT));
  CHECK_ERRNO(msgsnd(id, &message, 2, IPC_NOWAIT), EAGAIN);
  OK(msgsnd(id, &message, 0, IPC_NOWAIT));
  OK(msgsnd(id, &message, 1, IPC_NOWAIT));
  message.type = 0;
  CHECK_ERRNO(msgsnd(id, &message, 1, 0), EINVAL);
  message.type = -1;
  CHECK_ERRNO(msgsnd(id, &message, 1, 0), EINVAL);
  CHECK_ERRNO(msgsnd(id, wild, 1, 0), EFAULT);
  CHECK_ERRNO(msgrcv(id, &message, 8191, 0, IPC_NOWAIT), E2BIG);
  CHECK_ERRNO(msgrcv(id, &message, -1, 0, IPC_NOWAIT), EINVAL);
  CHECK_EQ(msgrcv(id, &message, 10, 0, MSG_NOERROR | IPC_NOWAIT), 10);
  CHECK_EQ(msgrcv(id, &message, 8191, 0, 0), 8191);
  CHECK_EQ(msgrcv(id, &message, 0, 0, 0), 0);
  // A message whose place cannot be written is lost.
  CHECK_ERRNO(msgrcv(id, wild, 100, 0, 0), EFAULT);
  CHECK_EQ(stat_of(id).msg_qnum, 0);
  // Empty messages are as many as bytes are allowed.
  struct msqid_ds status = stat_of(id);
  status.msg_qbytes = 3;
  OK(msgctl(id, IPC_SET, &status));
  for (int count = 0; count < 3; count++) OK(send_text(id, 1, "", IPC_NOWAIT));
  CHECK_ERRNO(send_text(id, 1, "", IPC_NOWAIT), EAGAIN);
  OK(msgctl(id, IPC_RMID, NULL));
}

static void test_waiting(void) {
  int id = make();
  pid_t children[3];
  static const long wanted[] = {7, -3, 0};
  for (size_t index = 0; index < COUNT(children); index++) {
    IN_CHILD(children[index]) {
      struct message message;
      static const long types[] = {7, 2, 9};
      CHECK_EQ(msgrcv(id, &message, 100, wanted[index], 0), 4);
      CHECK_EQ(message.type, types[index]);
    }
    until_asleep(children[index]);
  }
  OK(send_text(id, 7, "text", 0));
  WAIT_OK(children[0]);
  CHECK_EQ(stat_of(id).msg_lrpid, children[0]);
  OK(send_text(id, 2, "text", 0));
  WAIT_OK(children[1]);
  OK(send_text(id, 9, "text", 0));
  WAIT_OK(children[2]);
  CHECK_EQ(stat_of(id).msg_qnum, 0);
  // Who has too little room fails, and the message goes to the next.
  IN_CHILD(children[0]) {
    struct message message;
    CHECK_ERRNO(msgrcv(id, &message, 3, 0, 0), E2BIG);
  }
  until_asleep(children[0]);
  IN_CHILD(children[1]) {
    struct message message;
    CHECK_EQ(msgrcv(id, &message, 3, 0, MSG_NOERROR), 3);
  }
  until_asleep(children[1]);
  OK(send_text(id, 1, "text", 0));
  WAIT_OK(children[0]);
  WAIT_OK(children[1]);
  // A sender waits for room.
  static struct message message = {.type = 1};
  OK(msgsnd(id, &message, 8192, 0));
  OK(msgsnd(id, &message, 8192, 0));
  IN_CHILD(children[0]) {
    OK(send_text(id, 4, "late", 0));
  }
  until_asleep(children[0]);
  CHECK_EQ(stat_of(id).msg_qnum, 2);
  CHECK_EQ(msgrcv(id, &message, 8192, 0, 0), 8192);
  WAIT_OK(children[0]);
  expect(id, 4, 0, 4, "late");
  OK(msgctl(id, IPC_RMID, NULL));
}

static void nothing(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
}

static void test_signals_and_removal(void) {
  int empty = make(), full = make();
  static struct message message = {.type = 1};
  OK(msgsnd(full, &message, 8192, 0));
  OK(msgsnd(full, &message, 8192, 0));
  for (int sends = 0; sends < 2; sends++) {
    int id = sends ? full : empty;
    pid_t child;
    IN_CHILD(child) {
      handle(SIGUSR1, nothing, SA_RESTART);
      for (int round = 0; round < 2; round++) {
        errno = 0;
        long result = sends ? msgsnd(id, &message, 1, 0) : msgrcv(id, &message, 1, 0, 0);
        CHECK_EQ(result, -1);
        // Not restarted, whatever the handler wants.
        CHECK_EQ(errno, round ? EIDRM : EINTR);
      }
    }
    until_asleep(child);
    OK(kill(child, SIGUSR1));
    until_asleep(child);
    // A stop is no interruption.
    OK(kill(child, SIGSTOP));
    CHECK_EQ(waitpid(child, NULL, WUNTRACED), child);
    OK(kill(child, SIGCONT));
    until_asleep(child);
    OK(msgctl(id, IPC_RMID, NULL));
    WAIT_OK(child);
  }
}

static void test_usage(void) {
  struct msginfo limits, before, after;
  OK(msgctl(0, IPC_INFO, (struct msqid_ds *)&limits));
  CHECK(limits.msgmax == 8192 && limits.msgmnb == 16384 && limits.msgmni == 32000 && limits.msgssz == 16);
  CHECK(limits.msgpool == 512000 && limits.msgmap == 16384 && limits.msgtql == 16384 && limits.msgseg == 0xffff);
  OK(msgctl(0, MSG_INFO, (struct msqid_ds *)&before));
  int id = make();
  fill(id);
  int highest = OK(msgctl(0, MSG_INFO, (struct msqid_ds *)&after));
  CHECK_EQ(after.msgpool, before.msgpool + 1);
  CHECK_EQ(after.msgmap, before.msgmap + 4);
  CHECK_EQ(after.msgtql, before.msgtql + 18);
  CHECK(highest >= (id & 0x7fff));
  struct msqid_ds status;
  CHECK_EQ(msgctl(id & 0x7fff, MSG_STAT, &status), id);
  CHECK_EQ(status.msg_qnum, 4);
  CHECK_EQ(msgctl(id & 0x7fff, MSG_STAT_ANY, &status), id);
  OK(msgctl(id, IPC_RMID, NULL));
}

// A stream of messages through a queue that holds few.
static void test_stream(void) {
  int id = make();
  struct msqid_ds status = stat_of(id);
  status.msg_qbytes = 64;
  OK(msgctl(id, IPC_SET, &status));
  pid_t child;
  IN_CHILD(child) {
    struct { long type; int number; } message = {1, 0};
    for (; message.number < 2000; message.number++) OK(msgsnd(id, &message, sizeof message.number, 0));
  }
  for (int number = 0; number < 2000; number++) {
    struct { long type; int number; } message;
    CHECK_EQ(msgrcv(id, &message, sizeof message.number, 0, 0), 4);
    CHECK_EQ(message.number, number);
  }
  WAIT_OK(child);
  OK(msgctl(id, IPC_RMID, NULL));
}

int main(void) {
  OK(unshare(CLONE_NEWIPC)); // Its limits are the usual ones, whatever the host's are.
  test_identifiers();
  test_selection();
  test_lengths();
  test_waiting();
  test_signals_and_removal();
  test_usage();
  test_stream();
  return 0;
}
