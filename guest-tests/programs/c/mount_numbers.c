// statmount and listmount: mounts by numbers that are never used again, and what is told of each.
#include "mounts.h"
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define SYS_STATMOUNT 457
#define SYS_LISTMOUNT 458
#define ROOT (~0ULL)
#define UNIQUE 0x4000U
#define OFFSET (1ULL << 31)

struct request { uint32_t size, spare; uint64_t id, param, namespace; };
struct answer {
  uint32_t size, options;
  uint64_t mask;
  uint32_t major, minor;
  uint64_t magic;
  uint32_t flags, type;
  uint64_t id, parent;
  uint32_t old_id, old_parent;
  uint64_t attributes, propagation, peers, master, from;
  uint32_t root, point;
  uint64_t namespace, spare[49];
  char text[1024];
};

static uint64_t id_of(const char *path) {
  struct statx status;
  OK(statx(AT_FDCWD, path, 0, UNIQUE, &status));
  CHECK(status.stx_mask & UNIQUE);
  return status.stx_mnt_id;
}

static unsigned old_id_of(const char *path) {
  struct statx status;
  OK(statx(AT_FDCWD, path, 0, STATX_MNT_ID, &status));
  CHECK(status.stx_mask & STATX_MNT_ID);
  return status.stx_mnt_id;
}

static long tell_raw(uint64_t id, uint64_t mask, void *answer, size_t length, unsigned flags) {
  struct request request = {.size = 24, .id = id, .param = mask};
  return syscall(SYS_STATMOUNT, &request, answer, length, flags);
}

static struct answer tell(uint64_t id, uint64_t mask) {
  struct answer answer;
  memset(&answer, 0xff, sizeof answer);
  OK(tell_raw(id, mask, &answer, sizeof answer, 0));
  return answer;
}

static long list(uint64_t id, uint64_t after, uint64_t *ids, size_t count, unsigned flags) {
  struct request request = {.size = 24, .id = id, .param = after};
  return syscall(SYS_LISTMOUNT, &request, ids, count, flags);
}

static void test_answers(void) {
  uint64_t id = id_of("a"), parent = id_of(".");
  CHECK(id > OFFSET && id != parent);
  struct answer answer = tell(id, 1);
  struct statfs status;
  struct stat root;
  OK(statfs("a", &status)), OK(stat("a", &root));
  CHECK_EQ(answer.mask, 1);
  CHECK_EQ(answer.magic, status.f_type);
  CHECK_EQ(makedev(answer.major, answer.minor), root.st_dev);
  CHECK_EQ(answer.flags, 0);
  answer = tell(id, 2);
  CHECK_EQ(answer.mask, 2);
  CHECK(answer.id == id && answer.parent == parent);
  CHECK(answer.old_id == old_id_of("a") && answer.old_parent == old_id_of("."));
  CHECK_EQ(answer.attributes, 0x2 | 0x4);
  CHECK_EQ(answer.propagation, MS_PRIVATE);
  CHECK(answer.peers == 0 && answer.master == 0);
  OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
  answer = tell(id, 2);
  CHECK(answer.propagation == MS_SHARED && answer.peers != 0 && answer.master == 0);
  OK(mount("a", "b", NULL, MS_BIND, NULL)), OK(mount(NULL, "b", NULL, MS_SLAVE, NULL));
  uint64_t peers = answer.peers;
  answer = tell(id_of("b"), 2 | 4);
  CHECK(answer.propagation == MS_SLAVE && answer.peers == 0 && answer.master == peers && answer.from == peers);
  OK(umount("b"));
  answer = tell(id, 0x8 | 0x10 | 0x20);
  CHECK_EQ(answer.mask, 0x8 | 0x10 | 0x20);
  CHECK(!strcmp(answer.text + answer.root, "/") && !strcmp(answer.text + answer.type, "tmpfs"));
  CHECK(strstr(answer.text + answer.point, "/a") != NULL);
  OK(mkdir("a/below", 0755)), OK(mount("a/below", "b", NULL, MS_BIND, NULL));
  answer = tell(id_of("b"), 0x8);
  CHECK(!strcmp(answer.text + answer.root, "/below"));
  OK(umount("b"));
}

static void test_refusals(void) {
  struct answer answer;
  uint64_t id = id_of("a"), ids[8];
  CHECK_ERRNO(tell_raw(id, 1, &answer, sizeof answer, 1), EINVAL);
  CHECK_ERRNO(tell_raw(old_id_of("a"), 1, &answer, sizeof answer, 0), EINVAL);
  CHECK_ERRNO(tell_raw(id + 100000, 1, &answer, sizeof answer, 0), ENOENT);
  CHECK_ERRNO(tell_raw(id, 0x20, &answer, 512, 0), EOVERFLOW);
  CHECK_ERRNO(tell_raw(id, 0x20, &answer, 514, 0), EOVERFLOW);
  CHECK_ERRNO(tell_raw(id, 1, wild, sizeof answer, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_STATMOUNT, wild, &answer, sizeof answer, 0), EFAULT);
  struct request request = {.size = 8, .id = id, .param = 1};
  CHECK_ERRNO(syscall(SYS_STATMOUNT, &request, &answer, sizeof answer, 0), EINVAL);
  request.size = 5000;
  CHECK_ERRNO(syscall(SYS_STATMOUNT, &request, &answer, sizeof answer, 0), E2BIG);
  // A short buffer gets the beginning.
  memset(&answer, 0, sizeof answer);
  OK(tell_raw(id, 1, &answer, 16, 0));
  CHECK(answer.size == 16 && answer.mask == 1 && answer.magic == 0);
  CHECK_ERRNO(list(ROOT, 0, ids, 8, 0x100), EINVAL);
  CHECK_ERRNO(list(ROOT, 0, ids, 2000000, 0), EOVERFLOW);
  CHECK_ERRNO(list(ROOT, 0, (void *)-8, 8, 0), EFAULT);
  CHECK_ERRNO(list(old_id_of("a"), 0, ids, 8, 0), EINVAL);
  CHECK_ERRNO(list(id + 100000, 0, ids, 8, 0), ENOENT);
}

static void test_lists(void) {
  uint64_t a = id_of("a"), ids[8];
  CHECK_EQ(OK(list(a, 0, ids, 8, 0)), 0);
  OK(mkdir("a/1", 0755)), OK(mkdir("a/2", 0755));
  OK(mount("test", "a/1", "tmpfs", 0, NULL)), OK(mount("test", "a/2", "tmpfs", 0, NULL));
  OK(mkdir("a/1/x", 0755)), OK(mount("test", "a/1/x", "tmpfs", 0, NULL));
  uint64_t first = id_of("a/1"), second = id_of("a/2"), third = id_of("a/1/x");
  CHECK_EQ(OK(list(a, 0, ids, 8, 0)), 3);
  CHECK(ids[0] == first && ids[1] == second && ids[2] == third);
  CHECK_EQ(OK(list(a, 0, ids, 2, 0)), 2);
  CHECK_EQ(OK(list(a, ids[1], ids, 2, 0)), 1);
  CHECK_EQ(ids[0], third);
  CHECK_EQ(OK(list(a, 0, ids, 8, 1)), 3);
  CHECK(ids[0] == third && ids[2] == first);
  // Whoever has another root sees what is below it.
  pid_t process = OK(fork());
  if (process == 0) {
    OK(chroot("a/1"));
    CHECK_EQ(OK(list(ROOT, 0, ids, 8, 0)), 2);
    CHECK(ids[0] == first && ids[1] == third);
    struct answer answer = tell(third, 0x10);
    CHECK(!strcmp(answer.text + answer.point, "/x"));
    OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(tell_raw(second, 1, &answer, sizeof answer, 0), EPERM);
    _exit(0);
  }
  int status;
  OK(waitpid(process, &status, 0));
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  OK(umount2("a/1", MNT_DETACH)), OK(umount("a/2"));
}

// Mounts of a namespace that is another's, for who administers it.
static void test_another_namespace(void) {
  const unsigned long get_id = _IOR(0xb7, 5, uint64_t);
  int up[2], down[2], file;
  OK(pipe(up)), OK(pipe(down));
  pid_t child;
  char byte, path[64];
  IN_CHILD(child) {
    OK(unshare(CLONE_NEWNS));
    OK(mount("test", "b", "tmpfs", 0, NULL));
    OK(write(up[1], "x", 1));
    OK(read(down[0], &byte, 1));
  }
  OK(read(up[0], &byte, 1));
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", child);
  struct request request = {.size = 32, .id = ROOT};
  file = OK(open(path, O_RDONLY));
  OK(ioctl(file, get_id, &request.namespace));
  OK(close(file));
  static uint64_t ids[4096], own[4096];
  long count = OK(syscall(SYS_LISTMOUNT, &request, ids, COUNT(ids), 0));
  // It has all of this one's, and one more.
  CHECK_EQ(count, OK(list(ROOT, 0, own, COUNT(own), 0)) + 1);
  request = (struct request){.size = 32, .id = ids[count - 1], .param = 0x40 | 2, .namespace = request.namespace};
  struct answer answer;
  OK(syscall(SYS_STATMOUNT, &request, &answer, sizeof answer, 0));
  CHECK_EQ(answer.id, request.id);
  CHECK_EQ(answer.namespace, request.namespace);
  CHECK_ERRNO(tell_raw(request.id, 2, &answer, sizeof answer, 0), ENOENT);
  pid_t other;
  IN_CHILD(other) {
    OK(setresuid(1000, 1000, 1000));
    // EPERM since Linux 6.18.
    CHECK_EQ(syscall(SYS_STATMOUNT, &request, &answer, sizeof answer, 0), -1);
    CHECK(errno == ENOENT || errno == EPERM);
  }
  WAIT_OK(other);
  OK(write(down[1], "x", 1));
  WAIT_OK(child);
  CHECK_ERRNO(syscall(SYS_STATMOUNT, &request, &answer, sizeof answer, 0), ENOENT);
}

// What was moved out of a directory that is mounted elsewhere has nothing above it there.
static void test_disconnected(void) {
  OK(mkdir("a/in", 0755)), OK(mkdir("a/in/deep", 0755)), OK(mkdir("a/in/deep/x", 0755));
  OK(mount("a/in", "b", NULL, MS_BIND, NULL));
  int deep = OK(open("b/deep", O_PATH | O_DIRECTORY));
  OK(close(OK(openat(deep, "..", O_PATH))));
  OK(rename("a/in/deep", "a/out"));
  OK(close(OK(openat(deep, "x", O_PATH))));
  CHECK_ERRNO(openat(deep, "..", O_PATH), ENOENT);
  // A directory in between is none that can be told to be below.
  CHECK_ERRNO(openat(deep, "x/..", O_PATH), ENOENT);
  CHECK_ERRNO(openat(deep, "x/../..", O_PATH), ENOENT);
  OK(rename("a/out", "a/in/deep"));
  OK(close(OK(openat(deep, "..", O_PATH))));
  OK(close(deep)), OK(umount("b"));
}

int main(void) {
  enter_own_mounts();
  OK(mkdir("a", 0755)), OK(mkdir("b", 0755));
  OK(mount("test", "a", "tmpfs", MS_NOSUID | MS_NODEV, NULL));
  test_answers();
  test_refusals();
  test_lists();
  test_another_namespace();
  test_disconnected();
  OK(umount("a"));
  return 0;
}
