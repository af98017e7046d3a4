// Keys and keyrings: add_key(2), request_key(2), keyctl(2), /proc/keys, quotas, and what fork, threads and execve keep.
#include "check.h"
#include <grp.h>
#include <linux/keyctl.h>

typedef int32_t key;

#define THREAD KEY_SPEC_THREAD_KEYRING
#define PROCESS KEY_SPEC_PROCESS_KEYRING
#define SESSION KEY_SPEC_SESSION_KEYRING
#define USER KEY_SPEC_USER_KEYRING
#define USER_SESSION KEY_SPEC_USER_SESSION_KEYRING

#define keyctl(operation, ...) keyctl_words(operation, (long[5]){__VA_ARGS__})
static long keyctl_words(int operation, long words[5]) {
  return syscall(SYS_keyctl, operation, words[0], words[1], words[2], words[3], words[4]);
}

static long add_key(const char *type, const char *name, const void *payload, size_t length, key ring) {
  return syscall(SYS_add_key, type, name, payload, length, (long)ring);
}

static long add_user_key(const char *name, const char *payload, key ring) {
  return add_key("user", name, payload, strlen(payload), ring);
}

static long add_keyring(const char *name, key ring) { return add_key("keyring", name, NULL, 0, ring); }

static long request_key(const char *type, const char *name, const char *callout, key ring) {
  return syscall(SYS_request_key, type, name, callout, (long)ring);
}

static long search(key ring, const char *type, const char *name, key destination) {
  return keyctl(KEYCTL_SEARCH, ring, (long)type, (long)name, destination);
}

static char text[70000];

static void check_description(key id, const char *expected) {
  memset(text, 0, 200);
  long length = OK(keyctl(KEYCTL_DESCRIBE, id, (long)text, 200));
  CHECK_CASE(strcmp(text, expected) == 0, "described as %.80s instead of %.80s", text, expected);
  CHECK_EQ(length, strlen(expected) + 1);
}

static void check_payload(key id, const char *expected) {
  memset(text, 0, 200);
  long length = OK(keyctl(KEYCTL_READ, id, (long)text, 200));
  CHECK_EQ(length, strlen(expected));
  CHECK_CASE(strcmp(text, expected) == 0, "%.80s instead of %.80s", text, expected);
}

// Linux lets keys go some time after they have come free.
static void check_gone(key id) {
  for (int tries = 0; tries < 500 && keyctl(KEYCTL_DESCRIBE, id, 0, 0) != -1; tries++) sleep_ms(10);
  CHECK_ERRNO(keyctl(KEYCTL_DESCRIBE, id, 0, 0), ENOKEY);
}

static key new_session(void) { return OK(keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0)); }

static void test_sessions(void) {
  key first = new_session();
  check_description(first, "keyring;0;0;3f030000;_ses");
  CHECK_EQ(keyctl(KEYCTL_GET_KEYRING_ID, SESSION, 0), first);
  CHECK(new_session() != first);
  // Nobody holds the first one now.
  check_gone(first);
  CHECK_ERRNO(keyctl(KEYCTL_JOIN_SESSION_KEYRING, (long)".hidden"), EPERM);
  CHECK_ERRNO(keyctl(KEYCTL_JOIN_SESSION_KEYRING, (long)""), EINVAL);
  CHECK_ERRNO(keyctl(KEYCTL_JOIN_SESSION_KEYRING, (long)wild), EFAULT);
  char name[32];
  snprintf(name, sizeof name, "named %d", getpid());
  key named = OK(keyctl(KEYCTL_JOIN_SESSION_KEYRING, (long)name));
  char expected[64];
  snprintf(expected, sizeof expected, "keyring;0;0;3f130000;%s", name);
  check_description(SESSION, expected);
  // Its user may not search it, and so makes another.
  pid_t pid;
  IN_CHILD(pid) {
    new_session();
    CHECK(OK(keyctl(KEYCTL_JOIN_SESSION_KEYRING, (long)name)) != named);
  }
  WAIT_OK(pid);
  OK(keyctl(KEYCTL_SETPERM, named, 0x3f3f0000));
  IN_CHILD(pid) {
    new_session();
    CHECK_EQ(keyctl(KEYCTL_JOIN_SESSION_KEYRING, (long)name), named);
    // Who has joined it already is told nothing.
    CHECK_EQ(keyctl(KEYCTL_JOIN_SESSION_KEYRING, (long)name), 0);
    CHECK_EQ(keyctl(KEYCTL_GET_KEYRING_ID, SESSION, 0), named);
  }
  WAIT_OK(pid);
}

static void test_adding(void) {
  new_session();
  key id = OK(add_user_key("a", "hello", SESSION));
  check_description(id, "user;0;0;3f010000;a");
  check_payload(id, "hello");
  CHECK_EQ(add_user_key("a", "changed", SESSION), id);
  check_payload(id, "changed");
  key ring = OK(add_keyring("ring", SESSION));
  check_description(ring, "keyring;0;0;3f010000;ring");
  CHECK(OK(add_keyring("ring", SESSION)) != ring);
  key secret = OK(add_key("logon", "service:name", "x", 1, SESSION));
  check_description(secret, "logon;0;0;3d010000;service:name");
  CHECK_ERRNO(keyctl(KEYCTL_READ, secret, (long)text, 10), EOPNOTSUPP);
  OK(add_key("user", "large", text, 32767, SESSION));

  char name[5000];
  memset(name, 'd', sizeof name);
  name[4095] = 0;
  OK(add_user_key(name, "x", SESSION));
  name[4095] = 'd';
  name[4096] = 0;
  CHECK_ERRNO(add_user_key(name, "x", SESSION), EINVAL);
  struct {
    int expected;
    const char *type, *name;
    const void *payload;
    size_t length;
    key ring;
  } cases[] = {
      {EINVAL, "user", "a", "", 0, SESSION},
      {EINVAL, "user", "", "x", 1, SESSION},
      {EINVAL, "user", NULL, "x", 1, SESSION},
      {ENODEV, "no such type", "a", "x", 1, SESSION},
      {EPERM, ".user", "a", "x", 1, SESSION},
      {EINVAL, "", "a", "x", 1, SESSION},
      {EFAULT, wild, "a", "x", 1, SESSION},
      {EFAULT, "user", wild, "x", 1, SESSION},
      {EFAULT, "user", "a", wild, 1, SESSION},
      {EINVAL, "12345678901234567890123456789012", "a", "x", 1, SESSION},
      {ENODEV, "1234567890123456789012345678901", "a", "x", 1, SESSION},
      {EINVAL, "user", "a", text, 32768, SESSION},
      {EINVAL, "user", "a", text, 1 << 20, SESSION},
      {EINVAL, "keyring", "r", "x", 1, SESSION},
      {EINVAL, "keyring", "", NULL, 0, SESSION},
      {EPERM, "keyring", ".r", NULL, 0, SESSION},
      {EINVAL, "logon", "noprefix", "x", 1, SESSION},
      {EINVAL, "logon", ":x", "x", 1, SESSION},
      {EINVAL, "user", "a", "x", 1, 0},
      {EINVAL, "user", "a", "x", 1, -6},
      {ENOKEY, "user", "a", "x", 1, -7},
      {ENOKEY, "user", "a", "x", 1, -8},
      {EINVAL, "user", "a", "x", 1, -9},
      {ENOKEY, "user", "a", "x", 1, 2},
      {ENOTDIR, "user", "a", "x", 1, id},
  };
  for (size_t index = 0; index < COUNT(cases); index++) {
    errno = 0;
    long result = add_key(cases[index].type, cases[index].name, cases[index].payload, cases[index].length, cases[index].ring);
    CHECK_CASE(result == -1 && errno == cases[index].expected, "case %zu: %ld", index, result);
  }
}

static void test_reading(void) {
  new_session();
  key id = OK(add_user_key("a", "hello", SESSION));
  memset(text, '.', 16);
  // What does not fit is not begun.
  CHECK_EQ(keyctl(KEYCTL_READ, id, (long)text, 3), 5);
  CHECK_EQ(text[0], '.');
  CHECK_EQ(keyctl(KEYCTL_READ, id, (long)text, 5), 5);
  CHECK(memcmp(text, "hello.", 6) == 0);
  CHECK_EQ(keyctl(KEYCTL_READ, id, 0, 0), 5);
  CHECK_ERRNO(keyctl(KEYCTL_READ, id, (long)wild, 5), EFAULT);
  CHECK_ERRNO(keyctl(KEYCTL_READ, -9, (long)text, 5), ENOKEY);
  key ring = OK(add_keyring("ring", SESSION));
  key keys[3] = {0};
  CHECK_EQ(keyctl(KEYCTL_READ, ring, (long)keys, sizeof keys), 0);
  CHECK_EQ(keyctl(KEYCTL_READ, SESSION, (long)keys, sizeof keys), 8);
  CHECK((keys[0] == id && keys[1] == ring) || (keys[0] == ring && keys[1] == id));
  CHECK_ERRNO(keyctl(KEYCTL_READ, SESSION, (long)keys, 6), EINVAL);
  memset(text, '.', 40);
  CHECK_EQ(keyctl(KEYCTL_DESCRIBE, id, (long)text, 3), 20);
  CHECK_EQ(text[0], '.');
  CHECK_EQ(keyctl(KEYCTL_DESCRIBE, id, 0, 0), 20);
  CHECK_ERRNO(keyctl(KEYCTL_DESCRIBE, id, (long)wild, 100), EFAULT);
  CHECK_EQ(keyctl(KEYCTL_GET_SECURITY, id, (long)text, 9), 1);
  CHECK_EQ(text[0], 0);
}

static void test_updating(void) {
  new_session();
  key id = OK(add_user_key("a", "hello", SESSION)), ring = OK(add_keyring("ring", SESSION));
  OK(keyctl(KEYCTL_UPDATE, id, (long)"world!!", 7));
  check_payload(id, "world!!");
  OK(keyctl(KEYCTL_UPDATE, id, (long)text, 4096));
  CHECK_ERRNO(keyctl(KEYCTL_UPDATE, id, (long)text, 4097), EINVAL);
  CHECK_ERRNO(keyctl(KEYCTL_UPDATE, id, (long)"", 0), EINVAL);
  CHECK_ERRNO(keyctl(KEYCTL_UPDATE, id, (long)wild, 2), EFAULT);
  CHECK_ERRNO(keyctl(KEYCTL_UPDATE, ring, (long)"x", 1), EOPNOTSUPP);
  CHECK_ERRNO(keyctl(KEYCTL_UPDATE, 2, (long)"x", 1), ENOKEY);
}

static void test_linking(void) {
  new_session();
  key id = OK(add_user_key("a", "hello", SESSION)), ring = OK(add_keyring("ring", SESSION));
  OK(keyctl(KEYCTL_LINK, id, ring));
  OK(keyctl(KEYCTL_LINK, id, ring));
  CHECK_EQ(keyctl(KEYCTL_READ, ring, 0, 0), 4);
  CHECK_ERRNO(keyctl(KEYCTL_LINK, SESSION, ring), EDEADLK);
  CHECK_ERRNO(keyctl(KEYCTL_LINK, ring, ring), EDEADLK);
  CHECK_ERRNO(keyctl(KEYCTL_LINK, id, id), ENOTDIR);
  CHECK_ERRNO(keyctl(KEYCTL_LINK, 2, ring), ENOKEY);
  OK(keyctl(KEYCTL_UNLINK, id, ring));
  CHECK_ERRNO(keyctl(KEYCTL_UNLINK, id, ring), ENOENT);
  CHECK_ERRNO(keyctl(KEYCTL_UNLINK, id, id), ENOTDIR);
  CHECK_ERRNO(keyctl(KEYCTL_UNLINK, id, THREAD), ENOKEY);

  key other = OK(add_keyring("other", SESSION));
  OK(keyctl(KEYCTL_MOVE, id, SESSION, ring, 0));
  CHECK_ERRNO(keyctl(KEYCTL_MOVE, id, SESSION, ring, 0), ENOENT);
  CHECK_ERRNO(keyctl(KEYCTL_MOVE, id, ring, other, 2), EINVAL);
  OK(add_user_key("a", "another", other));
  CHECK_ERRNO(keyctl(KEYCTL_MOVE, id, ring, other, KEYCTL_MOVE_EXCL), EEXIST);
  OK(keyctl(KEYCTL_MOVE, id, ring, other, 0));
  CHECK_EQ(search(other, "user", "a", 0), id);
  CHECK_EQ(keyctl(KEYCTL_READ, other, 0, 0), 4);
  OK(keyctl(KEYCTL_CLEAR, other));
  CHECK_EQ(keyctl(KEYCTL_READ, other, 0, 0), 0);
  CHECK_ERRNO(keyctl(KEYCTL_CLEAR, OK(add_user_key("b", "x", SESSION))), ENOTDIR);

  CHECK_ERRNO(keyctl(KEYCTL_RESTRICT_KEYRING, ring, 0, (long)"x"), EINVAL);
  CHECK_ERRNO(keyctl(KEYCTL_RESTRICT_KEYRING, ring, (long)"user", (long)"x"), ENOENT);
  CHECK_ERRNO(keyctl(KEYCTL_RESTRICT_KEYRING, ring, (long)"no such type", (long)"x"), ENOKEY);
  OK(keyctl(KEYCTL_RESTRICT_KEYRING, ring, 0, 0));
  CHECK_ERRNO(keyctl(KEYCTL_RESTRICT_KEYRING, ring, 0, 0), EEXIST);
  CHECK_ERRNO(add_user_key("c", "x", ring), EPERM);
  CHECK_ERRNO(keyctl(KEYCTL_LINK, OK(add_user_key("b", "x", SESSION)), ring), EPERM);
}

static void test_searching(void) {
  new_session();
  key ring = OK(add_keyring("0", SESSION)), first = ring, rings[8];
  for (int depth = 0; depth < 7; depth++) {
    char name[8];
    snprintf(name, sizeof name, "%d", depth + 1);
    rings[depth] = ring;
    ring = OK(add_keyring(name, ring));
  }
  rings[7] = ring;
  key reached = OK(add_user_key("reached", "x", rings[5]));
  CHECK_EQ(search(SESSION, "user", "reached", 0), reached);
  OK(add_user_key("too deep", "x", rings[6]));
  CHECK_ERRNO(search(SESSION, "user", "too deep", 0), ENOKEY);
  CHECK_ERRNO(search(SESSION, "no such type", "x", 0), ENOKEY);
  CHECK_ERRNO(search(SESSION, ".user", "x", 0), EPERM);
  CHECK_ERRNO(search(SESSION, "user", NULL, 0), EFAULT);
  CHECK_ERRNO(search(SESSION, "user", "", 0), ENOKEY);
  CHECK_ERRNO(search(reached, "user", "x", 0), ENOTDIR);
  key other = OK(add_keyring("other", SESSION));
  CHECK_ERRNO(keyctl(KEYCTL_LINK, first, other), ELOOP);
  CHECK_EQ(search(SESSION, "user", "reached", other), reached);
  CHECK_EQ(keyctl(KEYCTL_READ, other, 0, 0), 4);

  CHECK_EQ(request_key("user", "reached", NULL, 0), reached);
  CHECK_ERRNO(request_key("user", "nothing", NULL, 0), ENOKEY);
  CHECK_ERRNO(request_key("user", "", NULL, 0), ENOKEY);
  CHECK_ERRNO(request_key("no such type", "nothing", NULL, 0), ENOKEY);
  CHECK_ERRNO(request_key("user", NULL, NULL, 0), EFAULT);
  CHECK_ERRNO(request_key("user", "reached", wild, 0), EFAULT);
  CHECK_ERRNO(request_key("user", "reached", NULL, 2), ENOKEY);
  key third = OK(add_keyring("third", SESSION));
  CHECK_EQ(request_key("user", "reached", NULL, third), reached);
  CHECK_EQ(keyctl(KEYCTL_READ, third, 0, 0), 4);
}

static void test_permissions(void) {
  new_session();
  key id = OK(add_user_key("a", "hello", SESSION)), ring = OK(add_keyring("ring", SESSION));
  CHECK_ERRNO(keyctl(KEYCTL_SETPERM, id, 0x40000000), EINVAL);
  OK(keyctl(KEYCTL_SETPERM, id, 0x3f000000));
  check_description(id, "user;0;0;3f000000;a");
  // What is left is to find it and to change what may be done.
  OK(keyctl(KEYCTL_SETPERM, id, 0x28000000));
  CHECK_ERRNO(keyctl(KEYCTL_DESCRIBE, id, 0, 0), EACCES);
  CHECK_ERRNO(keyctl(KEYCTL_UPDATE, id, (long)"x", 1), EACCES);
  CHECK_ERRNO(keyctl(KEYCTL_LINK, id, ring), EACCES);
  CHECK_ERRNO(add_user_key("a", "x", SESSION), EACCES);
  // Who possesses a key may read it.
  CHECK_EQ(keyctl(KEYCTL_READ, id, 0, 0), 5);
  CHECK_EQ(search(SESSION, "user", "a", 0), id);
  OK(keyctl(KEYCTL_SETPERM, id, 0x07000000));
  // A key that cannot be found is not possessed.
  CHECK_ERRNO(keyctl(KEYCTL_READ, id, 0, 0), EACCES);
  CHECK_ERRNO(search(SESSION, "user", "a", 0), EACCES);
  CHECK_ERRNO(keyctl(KEYCTL_SETPERM, id, 0x3f010000), EACCES);
  // Who may change the keyring may unlink it all the same.
  OK(keyctl(KEYCTL_UNLINK, id, SESSION));

  id = OK(add_user_key("a", "hello", SESSION));
  OK(keyctl(KEYCTL_CHOWN, id, -1, -1));
  OK(keyctl(KEYCTL_CHOWN, 2, -1, -1));
  CHECK_ERRNO(keyctl(KEYCTL_CHOWN, 2, 0, -1), ENOKEY);
  OK(keyctl(KEYCTL_CHOWN, id, 12, 34));
  check_description(id, "user;12;34;3f010000;a");
  pid_t pid;
  IN_CHILD(pid) {
    OK(setgroups(0, NULL));
    OK(setresgid(4243, 4243, 4243));
    OK(setresuid(4242, 4242, 4242));
    // The session is possessed still; its owner is not the caller.
    check_payload(id, "hello");
    key own = OK(add_user_key("own", "x", SESSION));
    CHECK_ERRNO(keyctl(KEYCTL_CHOWN, own, 12, -1), EACCES);
    CHECK_ERRNO(keyctl(KEYCTL_CHOWN, own, -1, 12), EACCES);
    OK(keyctl(KEYCTL_CHOWN, own, 4242, 4243));
    CHECK_ERRNO(keyctl(KEYCTL_SETPERM, id, 0x3f3f3f3f), EACCES);
    new_session();
    CHECK_ERRNO(keyctl(KEYCTL_DESCRIBE, id, 0, 0), EACCES);
    CHECK_ERRNO(keyctl(KEYCTL_READ, id, 0, 0), EACCES);
    CHECK_ERRNO(keyctl(KEYCTL_DESCRIBE, ring, 0, 0), EACCES);
  }
  WAIT_OK(pid);
}

static void test_ends(void) {
  new_session();
  key id = OK(add_user_key("a", "hello", SESSION));
  OK(keyctl(KEYCTL_SET_TIMEOUT, id, 1));
  sleep_ms(2100);
  CHECK_ERRNO(keyctl(KEYCTL_READ, id, 0, 0), EKEYEXPIRED);
  CHECK_ERRNO(keyctl(KEYCTL_DESCRIBE, id, 0, 0), EKEYEXPIRED);
  CHECK_ERRNO(search(SESSION, "user", "a", 0), EKEYEXPIRED);
  CHECK_ERRNO(request_key("user", "a", NULL, 0), ENOKEY);
  CHECK_ERRNO(keyctl(KEYCTL_SET_TIMEOUT, id, 0), EKEYEXPIRED);
  id = OK(add_user_key("a", "new", SESSION));
  check_payload(id, "new");
  OK(keyctl(KEYCTL_SET_TIMEOUT, id, 100));
  OK(keyctl(KEYCTL_SET_TIMEOUT, id, 0));

  OK(keyctl(KEYCTL_REVOKE, id));
  CHECK_ERRNO(keyctl(KEYCTL_REVOKE, id), EKEYREVOKED);
  CHECK_ERRNO(keyctl(KEYCTL_READ, id, 0, 0), EKEYREVOKED);
  CHECK_ERRNO(keyctl(KEYCTL_DESCRIBE, id, 0, 0), EKEYREVOKED);
  CHECK_ERRNO(search(SESSION, "user", "a", 0), EKEYREVOKED);
  CHECK_ERRNO(request_key("user", "a", NULL, 0), EKEYREVOKED);
  OK(keyctl(KEYCTL_UNLINK, id, SESSION));
  id = OK(add_user_key("a", "new", SESSION));

  OK(keyctl(KEYCTL_INVALIDATE, id));
  check_gone(id);
  CHECK_ERRNO(keyctl(KEYCTL_INVALIDATE, id), ENOKEY);

  key ring = OK(add_keyring("ring", SESSION));
  OK(add_user_key("b", "x", ring));
  OK(keyctl(KEYCTL_REVOKE, ring));
  CHECK_ERRNO(add_user_key("c", "x", ring), EKEYREVOKED);
  CHECK_ERRNO(search(SESSION, "user", "b", 0), ENOKEY);
}

static void *look_at_own(void *process) {
  // The process's own was there before the thread; each thread has one of its own if the first one had.
  CHECK_EQ(keyctl(KEYCTL_GET_KEYRING_ID, PROCESS, 0), *(key *)process);
  key thread = OK(keyctl(KEYCTL_GET_KEYRING_ID, THREAD, 0));
  CHECK(thread != ((key *)process)[1]);
  return NULL;
}

static void test_own_keyrings(char *self) {
  key session = new_session();
  CHECK_ERRNO(keyctl(KEYCTL_GET_KEYRING_ID, THREAD, 0), ENOKEY);
  CHECK_ERRNO(keyctl(KEYCTL_GET_KEYRING_ID, PROCESS, 0), ENOKEY);
  key own[2] = {OK(keyctl(KEYCTL_GET_KEYRING_ID, PROCESS, 1)), OK(keyctl(KEYCTL_GET_KEYRING_ID, THREAD, 1))};
  check_description(own[0], "keyring;0;0;3f010000;_pid");
  check_description(own[1], "keyring;0;0;3f010000;_tid");
  CHECK_EQ(keyctl(KEYCTL_GET_KEYRING_ID, PROCESS, 1), own[0]);
  check_description(USER, "keyring;0;65534;1f3f0000;_uid.0");
  check_description(USER_SESSION, "keyring;0;65534;1f3f0000;_uid_ses.0");
  CHECK_ERRNO(keyctl(KEYCTL_GET_KEYRING_ID, -6, 0), EINVAL);
  CHECK_ERRNO(keyctl(KEYCTL_GET_KEYRING_ID, -7, 0), ENOKEY);
  CHECK_ERRNO(keyctl(KEYCTL_GET_KEYRING_ID, 0, 0), EINVAL);
  // What is in them is found before what is in the session.
  key in_thread = OK(add_user_key("a", "thread", THREAD)), in_process = OK(add_user_key("a", "process", PROCESS));
  key in_session = OK(add_user_key("a", "session", SESSION));
  CHECK_EQ(request_key("user", "a", NULL, 0), in_thread);
  OK(keyctl(KEYCTL_UNLINK, in_thread, THREAD));
  CHECK_EQ(request_key("user", "a", NULL, 0), in_process);
  OK(keyctl(KEYCTL_CLEAR, PROCESS));
  CHECK_EQ(request_key("user", "a", NULL, 0), in_session);
  join_thread(start_thread(look_at_own, own));

  pid_t pid;
  IN_CHILD(pid) {
    CHECK_ERRNO(keyctl(KEYCTL_GET_KEYRING_ID, THREAD, 0), ENOKEY);
    CHECK_ERRNO(keyctl(KEYCTL_GET_KEYRING_ID, PROCESS, 0), ENOKEY);
    CHECK_EQ(keyctl(KEYCTL_GET_KEYRING_ID, SESSION, 0), session);
    // The parent's are there, and not possessed.
    CHECK_ERRNO(keyctl(KEYCTL_READ, own[0], 0, 0), EACCES);
  }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    OK(keyctl(KEYCTL_GET_KEYRING_ID, PROCESS, 1));
    OK(keyctl(KEYCTL_GET_KEYRING_ID, THREAD, 1));
    char number[16];
    snprintf(number, sizeof number, "%d", session);
    execl("/proc/self/exe", self, "executed", number, (char *)NULL);
  }
  WAIT_OK(pid);
  // It is gone with its thread, that of the process with the process.
  IN_CHILD(pid) {
    own[0] = OK(keyctl(KEYCTL_GET_KEYRING_ID, PROCESS, 1));
    FILE *file = fopen("process-keyring", "w");
    CHECK(file != NULL);
    fprintf(file, "%d", own[0]);
    fclose(file);
  }
  WAIT_OK(pid);
  char number[16];
  read_file("process-keyring", number, sizeof number);
  check_gone(atoi(number));
}

static void after_execve(key session) {
  CHECK_ERRNO(keyctl(KEYCTL_GET_KEYRING_ID, THREAD, 0), ENOKEY);
  CHECK_ERRNO(keyctl(KEYCTL_GET_KEYRING_ID, PROCESS, 0), ENOKEY);
  CHECK_EQ(keyctl(KEYCTL_GET_KEYRING_ID, SESSION, 0), session);
  CHECK(request_key("user", "a", NULL, 0) > 0);
}

static void test_session_to_parent(void) {
  pid_t pid;
  IN_CHILD(pid) {
    key before = new_session();
    int pipes[2];
    OK(pipe(pipes));
    pid_t grandchild;
    IN_CHILD(grandchild) {
      key id = new_session();
      CHECK_EQ(write(pipes[1], &id, sizeof id), sizeof id);
      OK(keyctl(KEYCTL_SESSION_TO_PARENT));
    }
    WAIT_OK(grandchild);
    key given;
    CHECK_EQ(read(pipes[0], &given, sizeof given), sizeof given);
    CHECK(given != before);
    CHECK_EQ(keyctl(KEYCTL_GET_KEYRING_ID, SESSION, 0), given);
  }
  WAIT_OK(pid);
}

static long number_in(const char *path) {
  char number[32];
  read_file(path, number, sizeof number);
  return atol(number);
}

// What a user has, as /proc/key-users tells it.
static void usage_of(unsigned uid, long *keys, long *bytes) {
  read_file("/proc/key-users", text, sizeof text);
  *keys = *bytes = 0;
  for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    unsigned user, usage, all, instantiated, max_keys, max_bytes;
    long quota_keys, quota_bytes;
    CHECK_EQ(sscanf(line, "%u: %u %u/%u %ld/%u %ld/%u", &user, &usage, &all, &instantiated, &quota_keys, &max_keys, &quota_bytes, &max_bytes), 8);
    if (user != uid) continue;
    *keys = quota_keys;
    *bytes = quota_bytes;
  }
}

static void test_quota(void) {
  const unsigned uid = 4244;
  pid_t pid;
  IN_CHILD(pid) {
    OK(setgroups(0, NULL));
    OK(setresuid(uid, uid, uid));
    new_session();
    long keys, bytes, more_keys, more_bytes;
    usage_of(uid, &keys, &bytes);
    OK(add_user_key("name", "payload", SESSION));
    usage_of(uid, &more_keys, &more_bytes);
    CHECK_EQ(more_keys, keys + 1);
    // Name and NUL, payload, link.
    CHECK_EQ(more_bytes, bytes + 5 + 7 + 4);
    long max_keys = number_in("/proc/sys/kernel/keys/maxkeys"), made = 0;
    for (;; made++) {
      char name[32];
      snprintf(name, sizeof name, "%ld", made);
      if (add_user_key(name, "x", SESSION) < 0) break;
      CHECK(made < max_keys);
    }
    CHECK_EQ(errno, EDQUOT);
    CHECK_EQ(made, max_keys - more_keys);
    OK(keyctl(KEYCTL_CLEAR, SESSION));
    for (int tries = 0; tries < 500; tries++) {
      usage_of(uid, &more_keys, &more_bytes);
      if (more_keys == keys) break;
      sleep_ms(10);
    }
    CHECK_EQ(more_keys, keys);
    CHECK_EQ(more_bytes, bytes);
    CHECK_ERRNO(add_key("user", "large", text, number_in("/proc/sys/kernel/keys/maxbytes"), SESSION), EDQUOT);
    // What is a task's own is not refused.
    OK(keyctl(KEYCTL_GET_KEYRING_ID, THREAD, 1));
  }
  WAIT_OK(pid);
}

static void test_listing(void) {
  new_session();
  key id = OK(add_user_key("listed", "hello", SESSION)), ring = OK(add_keyring("listed ring", SESSION));
  OK(keyctl(KEYCTL_LINK, id, ring));
  OK(keyctl(KEYCTL_SET_TIMEOUT, ring, 1000));
  struct {
    key id;
    const char *flags, *rest;
  } lines[] = {
      {id, "I--Q---", "    2 perm 3f010000     0     0 user      listed: 5\n"},
      {ring, "I--Q---", "    1  16m 3f010000     0     0 keyring   listed ring: 1\n"},
  };
  read_file("/proc/keys", text, sizeof text);
  for (size_t index = 0; index < COUNT(lines); index++) {
    char line[128];
    snprintf(line, sizeof line, "%08x %s %s", lines[index].id, lines[index].flags, lines[index].rest);
    CHECK_CASE(strstr(text, line) != NULL, "%.100s is missing", line);
  }
  pid_t pid;
  IN_CHILD(pid) {
    OK(setresuid(4245, 4245, 4245));
    new_session();
    read_file("/proc/keys", text, sizeof text);
    CHECK(strstr(text, "listed") == NULL);
    CHECK(strstr(text, "_ses: empty") != NULL);
  }
  WAIT_OK(pid);
}

static void test_persistent(void) {
  new_session();
  key own = OK(keyctl(KEYCTL_GET_PERSISTENT, -1, SESSION));
  check_description(own, "keyring;0;65534;1f030000;_persistent.0");
  CHECK_EQ(keyctl(KEYCTL_GET_PERSISTENT, 0, SESSION), own);
  key other = OK(keyctl(KEYCTL_GET_PERSISTENT, 4246, SESSION));
  check_description(other, "keyring;4246;65534;1f030000;_persistent.4246");
  CHECK_ERRNO(keyctl(KEYCTL_GET_PERSISTENT, -1, 0), EINVAL);
  CHECK_ERRNO(keyctl(KEYCTL_GET_PERSISTENT, -1, OK(add_user_key("a", "x", SESSION))), ENOTDIR);
  pid_t pid;
  IN_CHILD(pid) {
    OK(setresuid(4246, 4246, 4246));
    new_session();
    CHECK_EQ(keyctl(KEYCTL_GET_PERSISTENT, -1, SESSION), other);
    CHECK_ERRNO(keyctl(KEYCTL_GET_PERSISTENT, 0, SESSION), EPERM);
  }
  WAIT_OK(pid);
}

// Each call that changes a keyring needs the right to write it, and each that links a key the right to link that.
static void test_rights_to_change(void) {
  new_session();
  enum { WRITE = 0x04000000, LINK = 0x10000000, ALL = 0x3f000000 };
  key ring = OK(syscall(SYS_add_key, "keyring", "ring", NULL, 0, SESSION)), other = OK(add_user_key("other", "x", SESSION));
  key inner = OK(add_user_key("inner", "x", ring));
  OK(keyctl(KEYCTL_SETPERM, ring, ALL & ~WRITE));
  CHECK_ERRNO(add_user_key("new", "x", ring), EACCES);
  CHECK_ERRNO(add_user_key("inner", "y", ring), EACCES);
  CHECK_ERRNO(syscall(SYS_add_key, "keyring", "sub", NULL, 0, ring), EACCES);
  CHECK_ERRNO(request_key("user", "other", NULL, ring), EACCES);
  CHECK_ERRNO(request_key("user", "nothing", NULL, ring), EACCES);
  CHECK_ERRNO(keyctl(KEYCTL_LINK, other, ring), EACCES);
  CHECK_ERRNO(keyctl(KEYCTL_UNLINK, inner, ring), EACCES);
  CHECK_ERRNO(keyctl(KEYCTL_MOVE, other, SESSION, ring, 0), EACCES);
  CHECK_ERRNO(keyctl(KEYCTL_MOVE, inner, ring, SESSION, 0), EACCES);
  CHECK_ERRNO(keyctl(KEYCTL_CLEAR, ring), EACCES);
  CHECK_ERRNO(keyctl(KEYCTL_SEARCH, SESSION, (long)"user", (long)"other", ring), EACCES);
  OK(keyctl(KEYCTL_SETPERM, ring, ALL));
  OK(keyctl(KEYCTL_SETPERM, other, ALL & ~LINK));
  CHECK_EQ(request_key("user", "other", NULL, 0), other);
  CHECK_ERRNO(request_key("user", "other", NULL, ring), EACCES);
  CHECK_ERRNO(keyctl(KEYCTL_LINK, other, ring), EACCES);
  CHECK_ERRNO(keyctl(KEYCTL_SEARCH, SESSION, (long)"user", (long)"other", ring), EACCES);
  OK(keyctl(KEYCTL_SETPERM, other, ALL & ~0x01000000));
  CHECK_ERRNO(keyctl(KEYCTL_GET_SECURITY, other, 0, 0), ENOKEY);
}

static void test_rest(void) {
  new_session();
  key id = OK(add_user_key("a", "x", SESSION));
  CHECK_ERRNO(keyctl(KEYCTL_INSTANTIATE, id, (long)"x", 1, 0), EPERM);
  CHECK_ERRNO(keyctl(KEYCTL_NEGATE, id, 1, 0), EPERM);
  CHECK_ERRNO(keyctl(KEYCTL_REJECT, id, 1, 5, 0), EPERM);
  CHECK_ERRNO(keyctl(KEYCTL_REJECT, id, 1, 0, 0), EINVAL);
  OK(keyctl(KEYCTL_ASSUME_AUTHORITY, 0));
  CHECK_ERRNO(keyctl(KEYCTL_ASSUME_AUTHORITY, -1), EINVAL);
  CHECK_ERRNO(keyctl(KEYCTL_ASSUME_AUTHORITY, id), ENOKEY);
  CHECK_ERRNO(keyctl(1000), EOPNOTSUPP);
  const int accepted[] = {0, 1, 2, 3, 4, 5, 7};
  int before = OK(keyctl(KEYCTL_SET_REQKEY_KEYRING, -1));
  CHECK_EQ(before, 0);
  for (size_t index = 0; index < COUNT(accepted); index++) {
    CHECK_EQ(keyctl(KEYCTL_SET_REQKEY_KEYRING, accepted[index]), before);
    before = accepted[index];
  }
  CHECK_ERRNO(keyctl(KEYCTL_SET_REQKEY_KEYRING, 6), EINVAL);
  CHECK_ERRNO(keyctl(KEYCTL_SET_REQKEY_KEYRING, 8), EINVAL);
  CHECK_ERRNO(keyctl(KEYCTL_SET_REQKEY_KEYRING, -2), EINVAL);
  CHECK_EQ(keyctl(KEYCTL_SET_REQKEY_KEYRING, -1), 7);
  unsigned char told[8];
  memset(told, 0xff, sizeof told);
  CHECK_EQ(keyctl(KEYCTL_CAPABILITIES, (long)told, sizeof told), 2);
  const unsigned char expected = KEYCTL_CAPS0_CAPABILITIES | KEYCTL_CAPS0_PERSISTENT_KEYRINGS | KEYCTL_CAPS0_INVALIDATE |
                                 KEYCTL_CAPS0_RESTRICT_KEYRING | KEYCTL_CAPS0_MOVE;
  CHECK_EQ(told[0] & expected, expected);
  CHECK_EQ(told[2], 0);
  CHECK_EQ(keyctl(KEYCTL_CAPABILITIES, 0, 0), 2);
}

int main(int count, char **arguments) {
  if (count > 2) {
    after_execve(atoi(arguments[2]));
    return 0;
  }
  enter_scratch();
  test_sessions();
  test_adding();
  test_reading();
  test_updating();
  test_linking();
  test_searching();
  test_permissions();
  test_ends();
  test_own_keyrings(arguments[0]);
  test_session_to_parent();
  test_quota();
  test_listing();
  test_persistent();
  test_rights_to_change();
  test_rest();
  return 0;
}
