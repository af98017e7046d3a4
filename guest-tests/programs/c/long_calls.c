// System calls whose length the caller chooses, at their longest: whoever is killed in one of them ends soon. How soon is
// printed; a minute would be a hang. With the number of a call as its argument, makes that call again and again for ever.
// timeout: 300
#include "check.h"
#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define MIB (1L << 20)
#define LARGE (96 * MIB)
#define PIECES 1024
#define ROUNDS 2
#define MAPPINGS 10000
#define DESCRIPTORS 20000
#define HANG_SECONDS 60

static int source, target, null, pipe_ends[2];
static char *memory;
static struct iovec pieces[PIECES];
static struct pollfd *polled;

static double now(void) {
  struct timespec time;
  OK(clock_gettime(CLOCK_MONOTONIC, &time));
  return time.tv_sec + time.tv_nsec / 1e9;
}

static int sparse_file(off_t size) {
  int file = OK(memfd_create("long", 0));
  OK(ftruncate(file, size));
  return file;
}

static char *populated(int kind) {
  char *place = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  CHECK(place != MAP_FAILED);
  return place;
}

static void files(void) {
  source = sparse_file(2048 * MIB);
  target = sparse_file(0);
  null = OK(open("/dev/null", O_RDWR));
}

static void vectors(void) {
  files();
  memory = populated(MAP_PRIVATE);
  for (int i = 0; i < PIECES; i++) pieces[i] = (struct iovec){memory, MIB / 8};
}

static void send_all(void) { OK(sendfile(null, source, &(off_t){0}, 2048 * MIB)); }
static void copy_all(void) { OK(copy_file_range(source, &(off_t){0}, target, &(off_t){0}, LARGE, 0)); }
static void write_all(void) { OK(pwritev(target, pieces, PIECES, 0)); }
static void write_at_position(void) {
  OK(lseek(target, 0, SEEK_SET));
  OK(writev(target, pieces, PIECES));
}
static void read_all(void) { OK(preadv(source, pieces, PIECES, 0)); }
static void read_zeroes(void) { OK(read(null, memory, LARGE)); }
static void zeroes(void) {
  vectors();
  null = OK(open("/dev/zero", O_RDWR));
}
static void random_all(void) { OK(getrandom(memory, LARGE, 0)); }
static void allocate_all(void) {
  OK(fallocate(target, 0, 0, LARGE));
  OK(ftruncate(target, 0));
}
static void truncate_giant(void) {
  OK(fallocate(target, 0, 1L << 40, LARGE));
  OK(ftruncate(target, 0));
}
static void nothing(void) {}
static void populate(void) { OK(munmap(populated(MAP_PRIVATE), LARGE)); }
static void share(void) { memory = populated(MAP_SHARED); }
static void own(void) { memory = populated(MAP_PRIVATE); }
static void forget_all(void) {
  OK(madvise(memory, LARGE, MADV_DONTNEED));
  OK(madvise(memory, LARGE, MADV_POPULATE_WRITE));
}
static void protect_all(void) {
  OK(mprotect(memory, LARGE, PROT_READ));
  OK(mprotect(memory, LARGE, PROT_READ | PROT_WRITE));
}
static void lock_all(void) {
  if (mlock(memory, LARGE) < 0) CHECK(errno == ENOMEM || errno == EPERM);
  OK(munlock(memory, LARGE));
}
static void synchronise_all(void) { OK(msync(memory, LARGE, MS_SYNC)); }
static void move_all(void) {
  memory = mremap(memory, LARGE, 2 * LARGE, MREMAP_MAYMOVE);
  CHECK(memory != MAP_FAILED);
  memory = mremap(memory, 2 * LARGE, LARGE, MREMAP_MAYMOVE);
  CHECK(memory != MAP_FAILED);
}
static void copy_memory(void) { OK(process_vm_readv(getpid(), pieces, PIECES, pieces, PIECES, 0)); }

static int most_descriptors(void) {
  struct rlimit limit;
  OK(getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  return limit.rlim_cur;
}

static void descriptors(void) {
  OK(pipe(pipe_ends));
  int most = most_descriptors();
  while (dup(pipe_ends[0]) < most - 1) {}
  polled = calloc(most, sizeof *polled);
  for (int i = 0; i < most; i++) polled[i] = (struct pollfd){.fd = i, .events = POLLIN};
  for (int i = 0; i < pipe_ends[0]; i++) polled[i].fd = -1;
}
static void poll_all(void) { OK(poll(polled, most_descriptors(), 1)); }
static void close_all(void) {
  OK(close_range(10, ~0U, 0));
  while (dup(0) < most_descriptors() - 1) {}
}
static void duplicate_all(void) {
  pid_t pid = OK(fork());
  if (pid == 0) _exit(0);
  OK(waitpid(pid, NULL, 0));
}

static int watcher;
static void epolls(void) {
  watcher = OK(epoll_create1(0));
  descriptors();
  for (int i = pipe_ends[1] + 1; i < most_descriptors(); i++) {
    if (epoll_ctl(watcher, EPOLL_CTL_ADD, i, &(struct epoll_event){.events = EPOLLIN}) < 0) CHECK(errno == ENOSPC || errno == EPERM);
  }
  CHECK_EQ(write(pipe_ends[1], "x", 1), 1);
}
static void wait_for_all(void) {
  static struct epoll_event events[DESCRIPTORS];
  OK(epoll_wait(watcher, events, DESCRIPTORS, 0));
}

static void mappings(void) {
  char *place = mmap(NULL, MAPPINGS * 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(place != MAP_FAILED);
  for (long i = 0; i < MAPPINGS; i++) OK(mprotect(place + i * 2 * PAGE, PAGE, PROT_READ));
}
// Such as stay apart whatever their protection is.
static void unlike_mappings(void) {
  memory = mmap(NULL, MAPPINGS * 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(memory != MAP_FAILED);
  for (long i = 0; i < MAPPINGS; i++) OK(madvise(memory + i * 2 * PAGE, PAGE, MADV_DONTFORK));
}
static void protect_many(void) {
  OK(mprotect(memory, MAPPINGS * 2 * PAGE, PROT_NONE));
  OK(mprotect(memory, MAPPINGS * 2 * PAGE, PROT_READ));
}
static void read_proc(const char *path) {
  static char text[65536];
  int file = OK(open(path, O_RDONLY));
  while (OK(read(file, text, sizeof text)) > 0) {}
  OK(close(file));
}
static void read_maps(void) { read_proc("/proc/self/maps"); }
static void read_smaps(void) { read_proc("/proc/self/smaps"); }

static void directory(void) {
  char name[32];
  OK(mkdir("many", 0700));
  OK(chdir("many"));
  for (int i = 0; i < 2000; i++) {
    snprintf(name, sizeof name, "%d", i);
    OK(close(OK(open(name, O_CREAT | O_WRONLY, 0600))));
  }
}
static void list_all(void) {
  DIR *many = opendir(".");
  CHECK(many != NULL);
  while (readdir(many) != NULL) {}
  OK(closedir(many));
}

static int semaphores;
static struct sembuf operations[500];
static void make_semaphores(void) {
  semaphores = OK(semget(IPC_PRIVATE, 500, 0600));
  OK(semctl(semaphores, 0, IPC_RMID) == -1 ? 0 : 0);
}
static void use_semaphores(void) {
  for (int i = 0; i < 500; i++) operations[i] = (struct sembuf){i, i % 2 ? 1 : 0, IPC_NOWAIT};
  if (semop(semaphores, operations, 500) < 0) CHECK(errno == EAGAIN || errno == EIDRM || errno == EINVAL || errno == E2BIG);
}

static const struct {
  const char *name;
  void (*prepare)(void), (*call)(void);
} cases[] = {
    {"sendfile of 2 GiB", files, send_all},
    {"copy_file_range", files, copy_all},
    {"pwritev of 1024 pieces", vectors, write_all},
    {"writev of 1024 pieces", vectors, write_at_position},
    {"preadv of 1024 pieces", vectors, read_all},
    {"read from /dev/zero", zeroes, read_zeroes},
    {"getrandom", own, random_all},
    {"fallocate", files, allocate_all},
    {"ftruncate of a sparse giant", files, truncate_giant},
    {"MAP_POPULATE and munmap", nothing, populate},
    {"madvise", own, forget_all},
    {"mprotect", own, protect_all},
    {"mlock", own, lock_all},
    {"msync", share, synchronise_all},
    {"mremap", own, move_all},
    {"process_vm_readv", vectors, copy_memory},
    {"poll", descriptors, poll_all},
    {"close_range", nothing, close_all},
    {"fork with many descriptors", descriptors, duplicate_all},
    {"epoll_wait", epolls, wait_for_all},
    {"fork with many mappings", mappings, duplicate_all},
    {"/proc/self/maps", mappings, read_maps},
    {"/proc/self/smaps", mappings, read_smaps},
    {"getdents", directory, list_all},
    {"semop", make_semaphores, use_semaphores},
    {"mprotect of many mappings", unlike_mappings, protect_many},
};

static void call_for_ever(size_t number, int ready) {
  cases[number].prepare();
  CHECK_EQ(write(ready, "r", 1), 1);
  for (;;) cases[number].call();
}

static double kill_within(size_t number, int microseconds) {
  int ready[2];
  OK(pipe(ready));
  pid_t pid = OK(fork());
  if (pid == 0) {
    const char *scratch = enter_scratch();
    (void)scratch;
    check_scratch_owner = 0;
    call_for_ever(number, ready[1]);
  }
  OK(close(ready[1]));
  CHECK_CASE(read(ready[0], &(char){0}, 1) == 1, "%s", cases[number].name);
  OK(close(ready[0]));
  OK(usleep(microseconds));
  double start = now();
  OK(kill(pid, SIGKILL));
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_CASE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s: %#x", cases[number].name, status);
  return now() - start;
}

int main(int count, char **arguments) {
  if (count > 1) {
    enter_scratch();
    call_for_ever(atoi(arguments[1]), STDOUT_FILENO);
  }
  enter_scratch();
  setlinebuf(stdout);
  srandom(1);
  for (size_t i = 0; i < COUNT(cases); i++) {
    double worst = 0;
    for (int round = 0; round < ROUNDS; round++) {
      double took = kill_within(i, random() % 50000);
      if (took > worst) worst = took;
    }
    printf("%-30s %8.1f ms\n", cases[i].name, worst * 1000);
    CHECK_CASE(worst < HANG_SECONDS, "%s: %.1f s", cases[i].name, worst);
  }
  return 0;
}
