// timeout: 60
// System V shared memory: identifiers and keys, where it is attached, who is counted, and when it goes.
#include "check.h"

#include <sched.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#define SIZE (3 * PAGE)

static struct shmid_ds stat_of(int id) {
  struct shmid_ds status;
  OK(shmctl(id, IPC_STAT, &status));
  return status;
}

static char *attach(int id, const void *address, int flags) {
  char *at = shmat(id, address, flags);
  CHECK(at != (void *)-1);
  return at;
}

#define ATTACH_ERRNO(id, address, flags, expected) CHECK_ERRNO((long)shmat(id, address, flags), expected)

static void test_identifiers(void) {
  int key = 0x70000000 + getpid();
  CHECK_ERRNO(shmget(key, SIZE, 0600), ENOENT);
  CHECK_ERRNO(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
  CHECK_ERRNO(shmget(key, 0, IPC_CREAT | 0600), EINVAL);
  CHECK_ERRNO(shmget(IPC_PRIVATE, (size_t)-1, 0600), EINVAL);
  CHECK_ERRNO(shmget(IPC_PRIVATE, 1UL << 60, 0600), ENOMEM);
  int id = OK(shmget(key, SIZE - 5, IPC_CREAT | 0640));
  CHECK_EQ(shmget(key, 0, 0), id);
  CHECK_EQ(shmget(key, 1, 0600), id);
  CHECK_EQ(shmget(key, SIZE - 5, IPC_CREAT | 0600), id);
  CHECK_ERRNO(shmget(key, SIZE - 4, 0600), EINVAL);
  CHECK_ERRNO(shmget(key, SIZE - 4, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
  struct shmid_ds status = stat_of(id);
  CHECK_EQ(status.shm_perm.__key, key);
  CHECK_EQ(status.shm_perm.mode, 0640);
  CHECK_EQ(status.shm_perm.uid, geteuid());
  CHECK_EQ(status.shm_perm.cgid, getegid());
  CHECK_EQ(status.shm_segsz, SIZE - 5);
  CHECK_EQ(status.shm_cpid, getpid());
  CHECK_EQ(status.shm_lpid, 0);
  CHECK_EQ(status.shm_nattch, 0);
  CHECK_EQ(status.shm_atime, 0);
  CHECK_EQ(status.shm_dtime, 0);
  CHECK(status.shm_ctime >= time(NULL) - 5);
  status.shm_perm.mode = 01444;
  status.shm_perm.uid = 1234;
  OK(shmctl(id, IPC_SET, &status));
  status = stat_of(id);
  CHECK_EQ(status.shm_perm.mode, 0444);
  CHECK_EQ(status.shm_perm.uid, 1234);
  CHECK_EQ(status.shm_perm.cuid, geteuid());
  status.shm_perm.uid = -1;
  CHECK_ERRNO(shmctl(id, IPC_SET, &status), EINVAL);
  CHECK_ERRNO(shmctl(id, IPC_STAT, wild), EFAULT);
  CHECK_ERRNO(shmctl(id, IPC_SET, wild), EFAULT);
  CHECK_ERRNO(shmctl(id, 99, &status), EINVAL);
  CHECK_ERRNO(shmctl(-1, IPC_STAT, &status), EINVAL);
  OK(shmctl(id, SHM_LOCK, NULL));
  CHECK_EQ(stat_of(id).shm_perm.mode, 02444);
  OK(shmctl(id, SHM_UNLOCK, NULL));
  CHECK_EQ(stat_of(id).shm_perm.mode, 0444);
  OK(shmctl(id, IPC_RMID, NULL));
  CHECK_ERRNO(shmctl(id, IPC_STAT, &status), EINVAL);
  CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EINVAL);
  ATTACH_ERRNO(id, NULL, 0, EINVAL);
  ATTACH_ERRNO(-1, NULL, 0, EINVAL);
}

static void test_attaching(void) {
  int id = OK(shmget(IPC_PRIVATE, SIZE - 5, 0600));
  char *one = attach(id, NULL, 0);
  CHECK_EQ((long)one % PAGE, 0);
  char *two = attach(id, NULL, SHM_RDONLY);
  CHECK_EQ(stat_of(id).shm_nattch, 2);
  CHECK_EQ((long)shmat(id, (void *)-PAGE, 0), -1);
  CHECK_EQ(errno, EINVAL); // It would end past all addresses.
  CHECK_EQ(stat_of(id).shm_lpid, getpid());
  CHECK(stat_of(id).shm_atime >= time(NULL) - 5);
  strcpy(one + PAGE, "seen by both");
  CHECK(strcmp(two + PAGE, "seen by both") == 0);
  CHECK_ERRNO(mprotect(two, PAGE, PROT_READ | PROT_WRITE), EACCES);
  CHECK_EQ(read(OK(open("/dev/zero", O_RDONLY)), two, 1), -1);
  CHECK_EQ(errno, EFAULT);
  // Where the caller wants it.
  char *room = mmap(NULL, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(room != MAP_FAILED);
  ATTACH_ERRNO(id, room + 100, 0, EINVAL);
  ATTACH_ERRNO(id, room, 0, EINVAL);
  ATTACH_ERRNO(id, NULL, SHM_REMAP, EINVAL);
  ATTACH_ERRNO(id, (void *)100, SHM_RND | SHM_REMAP, EINVAL);
  CHECK_EQ((long)attach(id, room, SHM_REMAP), (long)room);
  CHECK(strcmp(room + PAGE, "seen by both") == 0);
  OK(munmap(room + 4 * PAGE, 12 * PAGE));
  char *rounded = attach(id, room + 4 * PAGE + 123, SHM_RND);
  CHECK_EQ((long)rounded, (long)(room + 4 * PAGE));
  CHECK_EQ(stat_of(id).shm_nattch, 4);
  // Detaching: by the address of the attachment, whatever is left of it.
  CHECK_ERRNO(shmdt(one + PAGE), EINVAL);
  CHECK_ERRNO(shmdt(one + 1), EINVAL);
  CHECK_ERRNO(shmdt(room + 3 * PAGE), EINVAL);
  CHECK_EQ(stat_of(id).shm_dtime, 0);
  OK(shmdt(room));
  CHECK_ERRNO(shmdt(room), EINVAL);
  CHECK_EQ(stat_of(id).shm_nattch, 3);
  CHECK(stat_of(id).shm_dtime >= time(NULL) - 5);
  // A hole makes two mappings of one; shmdt removes both.
  OK(munmap(rounded + PAGE, PAGE));
  CHECK_EQ(stat_of(id).shm_nattch, 4);
  OK(shmdt(rounded));
  CHECK_EQ(stat_of(id).shm_nattch, 2);
  CHECK_ERRNO(msync(rounded, 3 * PAGE, MS_ASYNC), ENOMEM);
  // Without its first page an attachment is still found by where it began.
  OK(munmap(two, PAGE));
  CHECK_EQ(stat_of(id).shm_nattch, 2);
  OK(shmdt(two));
  CHECK_EQ(stat_of(id).shm_nattch, 1);
  OK(munmap(one, SIZE));
  CHECK_EQ(stat_of(id).shm_nattch, 0);
  OK(shmctl(id, IPC_RMID, NULL));
}

static void test_execution(void) {
  static const unsigned char code[] = {0xb8, 0x2a, 0, 0, 0, 0xc3};
  int id = OK(shmget(IPC_PRIVATE, PAGE, 0700));
  char *data = attach(id, NULL, 0);
  memcpy(data, code, sizeof code);
  int (*function)(void) = (int (*)(void))attach(id, NULL, SHM_RDONLY | SHM_EXEC);
  CHECK_EQ(function(), 42);
  OK(shmdt(data));
  OK(shmdt((void *)function));
  OK(shmctl(id, IPC_RMID, NULL));
}

static void test_removal(void) {
  int key = 0x71000000 + getpid();
  int id = OK(shmget(key, PAGE, IPC_CREAT | 0600));
  char *at = attach(id, NULL, 0);
  strcpy(at, "still here");
  OK(shmctl(id, IPC_RMID, NULL));
  // The key is free, the segment is not.
  CHECK_ERRNO(shmget(key, PAGE, 0600), ENOENT);
  struct shmid_ds status = stat_of(id);
  CHECK_EQ(status.shm_perm.mode, 01600);
  CHECK_EQ(status.shm_perm.__key, IPC_PRIVATE);
  char *again = attach(id, NULL, 0);
  CHECK(strcmp(again, "still here") == 0);
  OK(shmdt(again));
  pid_t child;
  IN_CHILD(child) {
    CHECK_EQ(stat_of(id).shm_nattch, 2);
    strcpy(at, "by the child");
  }
  WAIT_OK(child);
  CHECK(strcmp(at, "by the child") == 0);
  status = stat_of(id);
  CHECK_EQ(status.shm_nattch, 1);
  CHECK_EQ(status.shm_lpid, child);
  OK(shmdt(at));
  CHECK_ERRNO(shmctl(id, IPC_STAT, &status), EINVAL);
}

static void test_processes(void) {
  int id = OK(shmget(IPC_PRIVATE, PAGE, 0600));
  int *counter = (int *)attach(id, NULL, 0);
  int gate[2];
  OK(pipe(gate));
  pid_t child = check_fork(__FILE__, __LINE__);
  if (child == 0) {
    __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
    // execve detaches: this shell holds nothing, and ends when it is told to.
    close(gate[1]);
    dup2(gate[0], 0);
    execl("/bin/sh", "sh", "-c", "echo; read line", (char *)NULL);
    _exit(127);
  }
  for (int round = 0; stat_of(id).shm_nattch != 1 || *counter != 1; round++) {
    CHECK(round < 1000);
    sleep_ms(5);
  }
  CHECK_EQ(stat_of(id).shm_lpid, child);
  close(gate[1]);
  WAIT(child);
  // What a thread of execution leaves behind when it is killed is detached as well.
  IN_CHILD(child) {
    attach(id, NULL, 0);
    __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
    pause();
  }
  while (*(volatile int *)counter != 2) sleep_ms(1);
  CHECK_EQ(stat_of(id).shm_nattch, 3);
  OK(kill(child, SIGKILL));
  WAIT_SIGNALED(child, SIGKILL);
  CHECK_EQ(stat_of(id).shm_nattch, 1);
  CHECK_EQ(stat_of(id).shm_lpid, child);
  OK(shmctl(id, IPC_RMID, NULL));
}

static void test_maps(void) {
  int key = 0x72000000 + getpid();
  int id = OK(shmget(key, SIZE, IPC_CREAT | 0600));
  char *at = attach(id, NULL, 0);
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[256], name[64], expected[256];
  snprintf(name, sizeof name, "/SYSV%08x (deleted)\n", key);
  snprintf(expected, sizeof expected, "%lx-%lx rw-s 00000000 00:01 %d ", (long)at, (long)at + SIZE, id);
  int found = 0;
  while (fgets(line, sizeof line, maps)) {
    if (strstr(line, name) == NULL) continue;
    CHECK_CASE(strncmp(line, expected, strlen(expected)) == 0, "%.100s", line);
    found++;
  }
  CHECK_EQ(found, 1);
  fclose(maps);
  OK(shmctl(id, IPC_RMID, NULL));
  OK(shmdt(at));
}

static void test_permissions(void) {
  int key = 0x73000000 + getpid();
  int id = OK(shmget(key, PAGE, IPC_CREAT | 0604));
  pid_t child;
  IN_CHILD(child) {
    OK(setgid(4321));
    OK(setuid(4321));
    CHECK_EQ(shmget(key, PAGE, 0004), id);
    CHECK_EQ(shmget(key, PAGE, 0), id);
    CHECK_ERRNO(shmget(key, PAGE, 0006), EACCES);
    CHECK_ERRNO(shmget(key, PAGE, 0600), EACCES);
    ATTACH_ERRNO(id, NULL, 0, EACCES);
    ATTACH_ERRNO(id, NULL, SHM_RDONLY | SHM_EXEC, EACCES);
    char *at = attach(id, NULL, SHM_RDONLY);
    struct shmid_ds status = stat_of(id);
    CHECK_ERRNO(shmctl(id, IPC_SET, &status), EPERM);
    CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
    CHECK_ERRNO(shmctl(id, SHM_LOCK, NULL), EPERM);
    OK(shmdt(at));
  }
  WAIT_OK(child);
  struct shmid_ds status = stat_of(id);
  status.shm_perm.mode = 0600;
  OK(shmctl(id, IPC_SET, &status));
  IN_CHILD(child) {
    OK(setgid(4321));
    OK(setuid(4321));
    CHECK_ERRNO(shmctl(id, IPC_STAT, &status), EACCES);
    ATTACH_ERRNO(id, NULL, SHM_RDONLY, EACCES);
  }
  WAIT_OK(child);
  OK(shmctl(id, IPC_RMID, NULL));
}

static void test_usage(void) {
  struct shminfo limits;
  OK(shmctl(0, IPC_INFO, (struct shmid_ds *)&limits));
  CHECK_EQ(limits.shmmin, 1);
  CHECK_EQ(limits.shmmni, 4096);
  CHECK_EQ(limits.shmseg, 4096);
  struct shm_info before, after;
  OK(shmctl(0, SHM_INFO, (struct shmid_ds *)&before));
  int id = OK(shmget(IPC_PRIVATE, SIZE - 1, 0600));
  char *at = attach(id, NULL, 0);
  at[PAGE] = 1;
  int highest = OK(shmctl(0, SHM_INFO, (struct shmid_ds *)&after));
  CHECK_EQ(after.used_ids, before.used_ids + 1);
  CHECK_EQ(after.shm_tot, before.shm_tot + 3);
  CHECK_EQ(after.shm_rss, before.shm_rss + 1);
  CHECK(highest >= (id & 0x7fff));
  struct shmid_ds status;
  CHECK_EQ(shmctl(id & 0x7fff, SHM_STAT, &status), id);
  CHECK_EQ(status.shm_segsz, SIZE - 1);
  CHECK_EQ(shmctl(id & 0x7fff, SHM_STAT_ANY, &status), id);
  char line[512];
  FILE *list = fopen("/proc/sysvipc/shm", "r");
  int found = 0;
  CHECK(fgets(line, sizeof line, list) != NULL);
  while (fgets(line, sizeof line, list)) {
    int key, number, mode;
    unsigned long size, attached;
    int creator, last;
    CHECK_EQ(sscanf(line, "%d %d %o %lu %d %d %lu", &key, &number, &mode, &size, &creator, &last, &attached), 7);
    if (number != id) continue;
    CHECK(mode == 0600 && size == SIZE - 1 && creator == getpid() && last == getpid() && attached == 1);
    found++;
  }
  CHECK_EQ(found, 1);
  fclose(list);
  OK(shmdt(at));
  OK(shmctl(id, IPC_RMID, NULL));
  // The identifier is not given again soon.
  int next = OK(shmget(IPC_PRIVATE, PAGE, 0600));
  CHECK(next != id);
  OK(shmctl(next, IPC_RMID, NULL));
}

static void test_touching_past_the_end(void) {
  int id = OK(shmget(IPC_PRIVATE, PAGE + 10, 0600));
  char *at = attach(id, NULL, 0);
  at[2 * PAGE - 1] = 1;
  CHECK_EQ(at[2 * PAGE - 1], 1);
  char *moved = mremap(at, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  pid_t child;
  IN_CHILD(child) {
    moved[2 * PAGE] = 1;
  }
  WAIT_SIGNALED(child, SIGBUS);
  OK(shmctl(id, IPC_RMID, NULL));
}

int main(void) {
  OK(unshare(CLONE_NEWIPC)); // Its limits are the usual ones, whatever the host's are.
  test_identifiers();
  test_attaching();
  test_execution();
  test_removal();
  test_processes();
  test_maps();
  test_permissions();
  test_usage();
  test_touching_past_the_end();
  return 0;
}
