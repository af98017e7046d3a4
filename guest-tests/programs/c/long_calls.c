// System calls whose length the caller chooses, at their longest: whoever is killed in one of them ends soon. How soon is
// printed; a minute would be a hang. With the number of a call as its argument, makes that call again and again for ever; with
// the word "table", does as without, but twice and at larger sizes (for a release build, by hand).
// timeout: 400
#include "ring.h"
#include <dirent.h>
#include <grp.h>
#include <linux/inet_diag.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define MIB (1L << 20)
#define PIECES 1024
#define HANG_SECONDS 60

// Sizes; with "table" the larger ones.
static long large = 96 * MIB, mappings_made = 10000, descriptors_made = 20000, names_made = 2000, objects_made = 1000;
#define LARGE large
#define MAPPINGS mappings_made
#define DESCRIPTORS descriptors_made

static void enlarge(void) {
  large = 1024 * MIB, mappings_made = 30000, descriptors_made = 100000, names_made = 20000, objects_made = 10000;
}

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
static void touched(void) {
  own();
  memory = mremap(memory, LARGE, LARGE, MREMAP_MAYMOVE | MREMAP_FIXED, (char *)0x200000000000);
  CHECK(memory != MAP_FAILED);
}
// Between two places that lie differently in their page tables.
static void relocate_all(void) {
  static int times;
  char *place = (char *)0x200000000000 + (++times % 2 ? (LARGE * 4 + 7 * PAGE) : 0);
  CHECK(mremap(memory, LARGE, LARGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
  memory = place;
}
static void copy_memory(void) { OK(process_vm_readv(getpid(), pieces, PIECES, pieces, PIECES, 0)); }

static int most_descriptors(void) {
  struct rlimit limit;
  OK(getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = limit.rlim_max < (rlim_t)DESCRIPTORS ? limit.rlim_max : (rlim_t)DESCRIPTORS;
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
  static struct epoll_event *events;
  if (events == NULL) events = calloc(DESCRIPTORS, sizeof *events);
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
// Makes them again, where they were.
static void carve(char *place, int protection, int flags) {
  CHECK(mmap(place, MAPPINGS * 2 * PAGE, protection, flags | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == place);
  for (long i = 0; i < MAPPINGS; i++) OK(madvise(place + i * 2 * PAGE, PAGE, MADV_DONTFORK));
}
static void unmap_many(void) {
  OK(munmap(memory, MAPPINGS * 2 * PAGE));
  carve(memory, PROT_READ, 0);
}
static void replace_many(void) {
  carve(memory, PROT_READ, 0);
  CHECK(mmap(memory, MAPPINGS * 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory);
}
static void move_onto_many(void) {
  size_t len = MAPPINGS * 2 * PAGE;
  char *other = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(other != MAP_FAILED);
  CHECK(mremap(other, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, memory) == memory);
  carve(memory, PROT_READ, 0);
}
static void shrink_many(void) {
  CHECK(mremap(memory, MAPPINGS * 2 * PAGE, PAGE, 0) == memory);
  carve(memory, PROT_READ, 0);
}
static void advise_many(void) {
  OK(madvise(memory, MAPPINGS * 2 * PAGE, MADV_DONTDUMP));
  OK(madvise(memory, MAPPINGS * 2 * PAGE, MADV_DODUMP));
  OK(madvise(memory, MAPPINGS * 2 * PAGE, MADV_DONTNEED));
}
static void lock_many(void) {
  if (mlock2(memory, MAPPINGS * 2 * PAGE, MLOCK_ONFAULT) < 0) CHECK(errno == ENOMEM || errno == EPERM);
  OK(munlock(memory, MAPPINGS * 2 * PAGE));
  OK(syscall(SYS_munlockall));
}
static void bind_many(void) {
  OK(syscall(SYS_mbind, memory, MAPPINGS * 2 * PAGE, 4, NULL, 0, 0));
  OK(syscall(SYS_mbind, memory, MAPPINGS * 2 * PAGE, 0, NULL, 0, 0));
}
static void segment_parts(void) {
  OK(unshare(CLONE_NEWIPC));
  int segment = OK(shmget(IPC_PRIVATE, MAPPINGS * 2 * PAGE, IPC_CREAT | 0600));
  if (memory == NULL) memory = shmat(segment, NULL, 0);
  else CHECK(shmat(segment, memory, SHM_REMAP) == memory);
  OK(shmctl(segment, IPC_RMID, NULL));
  for (long i = 0; i < MAPPINGS; i++) OK(mprotect(memory + i * 2 * PAGE, PAGE, PROT_READ));
}
static void detach_parts(void) {
  OK(shmdt(memory));
  segment_parts();
}
static void end_of_many(void) {
  pid_t pid = OK(fork());
  if (pid == 0) execl("/proc/self/exe", "long_calls", "nothing", NULL);
  OK(waitpid(pid, NULL, 0));
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
static void read_rollup(void) { read_proc("/proc/self/smaps_rollup"); }
static void read_numa(void) { read_proc("/proc/self/numa_maps"); }
static void read_interests(void) {
  char path[64];
  close(pipe_ends[0]); // There is no other number left.
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", watcher);
  read_proc(path);
}
static void list_descriptors(void) {
  close(pipe_ends[0]);
  DIR *many = opendir("/proc/self/fd");
  CHECK(many != NULL);
  while (readdir(many) != NULL) {}
  OK(closedir(many));
}

// Who hears of touches, each of a mapping of its own. Some hosts let nobody.
static void user_faults(void) {
  for (long i = 0; i < objects_made; i++) {
    int faults = syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY);
    if (faults < 0) return;
    OK(ioctl(faults, UFFDIO_API, &(struct uffdio_api){.api = UFFD_API}));
    char *place = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(place != MAP_FAILED);
    OK(ioctl(faults, UFFDIO_REGISTER, &(struct uffdio_register){.range = {(uintptr_t)place, PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING}));
  }
}
static void end_with_user_faults(void) { sleep(1); }

static void mounts(void) {
  char name[32];
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  for (long i = 0; i < names_made; i++) {
    snprintf(name, sizeof name, "mount%ld", i % 100);
    if (i < 100) OK(mkdir(name, 0700));
    OK(mount("none", name, "tmpfs", 0, NULL));
  }
}
static void read_mounts(void) {
  read_proc("/proc/self/mountinfo");
  read_proc("/proc/self/mounts");
}
static void copy_mounts(void) { OK(unshare(CLONE_NEWNS)); }

static void sockets(void) {
  OK(unshare(CLONE_NEWNET));
  most_descriptors();
  for (long i = 0; i < objects_made; i++) OK(socket(AF_UNIX, SOCK_STREAM, 0));
  for (long i = 0; i < objects_made; i++) OK(socket(AF_NETLINK, SOCK_RAW, 0));
}
static void read_sockets(void) {
  read_proc("/proc/net/unix");
  read_proc("/proc/net/netlink");
}

static void internet_sockets(void) {
  OK(unshare(CLONE_NEWNET));
  most_descriptors();
  struct sockaddr_in any = {.sin_family = AF_INET};
  for (long i = 0; i < objects_made; i++) {
    any.sin_port = htons(1024 + i % 50000);
    OK(bind(OK(socket(AF_INET, SOCK_DGRAM, 0)), (void *)&any, sizeof any));
    int listener = OK(socket(AF_INET, SOCK_STREAM, 0));
    OK(bind(listener, (void *)&any, sizeof any));
    OK(listen(listener, 1));
  }
}
static void read_internet(void) {
  read_proc("/proc/net/tcp");
  read_proc("/proc/net/udp");
  read_proc("/proc/net/sockstat");
}
// Every descriptor refers to the file with the locks.
static void locks(void) {
  OK(unshare(CLONE_NEWIPC));
  int file = OK(memfd_create("locks", 0));
  for (long i = 0; i < objects_made; i++) OK(fcntl(file, F_OFD_SETLK, &(struct flock){.l_type = F_WRLCK, .l_start = 2 * i, .l_len = 1}));
  for (long i = 0; i < 500; i++) OK(dup(file));
}
static void read_locks(void) { read_proc("/proc/locks"); }
static void dump(int protocol, void *request, size_t len) {
  static char answers[1 << 17];
  int asker = OK(socket(AF_NETLINK, SOCK_RAW, protocol));
  CHECK_EQ(send(asker, request, len, 0), len);
  for (;;) {
    int got = OK(recv(asker, answers, sizeof answers, 0)), is_over = 0;
    for (struct nlmsghdr *one = (void *)answers; NLMSG_OK(one, (unsigned)got); one = NLMSG_NEXT(one, got)) is_over |= one->nlmsg_type == NLMSG_DONE;
    if (is_over) break;
  }
  OK(close(asker));
}
static void dump_sockets(void) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 query;
  } of_internet = {{sizeof of_internet, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0U}};
  dump(NETLINK_SOCK_DIAG, &of_internet, sizeof of_internet);
}
static void directory(void) {
  char name[32];
  OK(mkdir("many", 0700));
  OK(chdir("many"));
  for (int i = 0; i < names_made; i++) {
    snprintf(name, sizeof name, "%d", i);
    OK(close(OK(open(name, O_CREAT | O_WRONLY, 0600))));
  }
}
static void watches(void) {
  directory();
  watcher = OK(inotify_init1(0));
}
static void watch_all(void) {
  char name[32];
  for (int i = 0; i < names_made; i++) {
    snprintf(name, sizeof name, "%d", i);
    OK(inotify_add_watch(watcher, name, IN_ALL_EVENTS));
  }
  OK(close(watcher));
  watcher = OK(inotify_init1(0));
}
static void list_all(void) {
  DIR *many = opendir(".");
  CHECK(many != NULL);
  while (readdir(many) != NULL) {}
  OK(closedir(many));
}

static void marked(void) {
  directory();
  watcher = OK(fanotify_init(FAN_CLASS_NOTIF, O_RDONLY));
}
static void mark_all(void) {
  char name[32];
  for (int i = 0; i < names_made; i++) {
    snprintf(name, sizeof name, "%d", i);
    OK(fanotify_mark(watcher, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, name));
  }
  OK(fanotify_mark(watcher, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL));
}
// Requests that wait for a pipe, and all cancelled at once.
static struct ring ring;
static void ring_of_requests(void) {
  OK(pipe(pipe_ends));
  ring_open(&ring, 4096, 0);
}
static void request_all(void) {
  for (long done = 0; done < objects_made; done += 1000) {
    for (int i = 0; i < 1000; i++) ring_prepare(&ring, IORING_OP_POLL_ADD, pipe_ends[0], NULL, 0, 0, i)->poll32_events = POLLIN;
    CHECK_EQ(ring_submit(&ring, 0), 1000);
  }
  ring_prepare(&ring, IORING_OP_ASYNC_CANCEL, -1, NULL, 0, 0, 1000)->cancel_flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY;
  CHECK_EQ(ring_submit(&ring, 1), 1);
  for (struct completion each; ring_peek(&ring, &each) || ring_enter(ring.fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0) < 0 || ring_peek(&ring, &each);) {}
}
// More linked than are begun at a time.
static void link_all(void) {
  for (int i = 0; i < 4096; i++) ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, i)->flags = i < 4095 ? IOSQE_IO_LINK : 0;
  CHECK_EQ(ring_submit(&ring, 0), 4096);
  for (struct completion each; ring_peek(&ring, &each);) {}
}

#define SEMAPHORES 32000
static int semaphores;
static struct sembuf operations[500];
static unsigned short values[SEMAPHORES];
static void make_semaphores(void) {
  OK(unshare(CLONE_NEWIPC));
  semaphores = OK(semget(IPC_PRIVATE, SEMAPHORES, 0600));
  for (int i = 0; i < 500; i++) operations[i] = (struct sembuf){i * 64, i % 2 ? 1 : 0, IPC_NOWAIT};
}
static void use_semaphores(void) {
  OK(semctl(semaphores, 0, SETALL, values));
  OK(semop(semaphores, operations, 500));
  OK(semctl(semaphores, 0, GETALL, values));
}

static void groups(void) {
  polled = calloc(65536, sizeof(gid_t));
  for (int i = 0; i < 65536; i++) ((gid_t *)polled)[i] = 65536 - i;
}
static void set_groups(void) {
  OK(setgroups(65536, (gid_t *)polled));
  CHECK_EQ(getgroups(65536, (gid_t *)polled), 65536);
}

static void keys(void) {
  char name[32];
  OK(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
  for (long i = 0; i < objects_made; i++) {
    snprintf(name, sizeof name, "key%ld", i);
    if (syscall(SYS_add_key, "user", name, "x", 1, KEY_SPEC_SESSION_KEYRING) < 0) CHECK(errno == EDQUOT);
  }
}
static void read_keys(void) {
  static int numbers[1 << 16];
  OK(syscall(SYS_keyctl, KEYCTL_READ, KEY_SPEC_SESSION_KEYRING, numbers, sizeof numbers));
  CHECK(syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "none", 0) < 0);
  read_proc("/proc/keys");
}

static void packets(void) {
  OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pipe_ends));
  memory = populated(MAP_PRIVATE);
}
static void send_many(void) {
  static struct mmsghdr messages[PIECES];
  static struct iovec parts[PIECES];
  for (int i = 0; i < PIECES; i++) {
    parts[i] = (struct iovec){memory, 32768};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = parts + i, .msg_iovlen = 1};
  }
  while (sendmmsg(pipe_ends[1], messages, PIECES, MSG_DONTWAIT) > 0) {}
  while (recvmmsg(pipe_ends[0], messages, PIECES, MSG_DONTWAIT, NULL) > 0) {}
}
static void pipes(void) {
  vectors();
  OK(pipe(pipe_ends));
  OK(fcntl(pipe_ends[1], F_SETPIPE_SZ, MIB));
  OK(fcntl(pipe_ends[1], F_SETFL, O_NONBLOCK));
}
static void splice_all(void) {
  int other[2];
  OK(pipe(other));
  OK(fcntl(other[1], F_SETPIPE_SZ, MIB));
  OK(vmsplice(pipe_ends[1], pieces, PIECES, SPLICE_F_NONBLOCK));
  OK(tee(pipe_ends[0], other[1], 2 * MIB, SPLICE_F_NONBLOCK));
  OK(splice(pipe_ends[0], NULL, null, NULL, 2 * MIB, 0));
  OK(splice(other[0], NULL, null, NULL, 2 * MIB, 0));
  OK(splice(source, &(off_t){0}, pipe_ends[1], NULL, 2 * MIB, SPLICE_F_NONBLOCK));
  OK(splice(pipe_ends[0], NULL, null, NULL, 2 * MIB, 0));
  OK(close(other[0]));
  OK(close(other[1]));
}
static void filled(void) {
  files();
  OK(fallocate(target, 0, 0, LARGE));
}
static void cut_all(void) {
  OK(ftruncate(target, 1));
  OK(fallocate(target, 0, 0, LARGE));
}
static void mapped(void) {
  filled();
  memory = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, target, 0);
  CHECK(memory != MAP_FAILED);
}
static void cut_mapped(void) {
  cut_all();
  OK(madvise(memory, LARGE, MADV_POPULATE_WRITE));
}
static void punch_all(void) {
  OK(fallocate(target, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, LARGE));
  OK(fallocate(target, 0, 0, LARGE));
}
static void forget_file(void) {
  OK(close(target));
  target = sparse_file(0);
  OK(fallocate(target, 0, 0, LARGE));
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
    {"munmap of many mappings", unlike_mappings, unmap_many},
    {"MAP_FIXED over many mappings", unlike_mappings, replace_many},
    {"mremap onto many mappings", unlike_mappings, move_onto_many},
    {"mremap that cuts off many", unlike_mappings, shrink_many},
    {"madvise of many mappings", unlike_mappings, advise_many},
    {"mlock2 of many mappings", unlike_mappings, lock_many},
    {"mbind of many mappings", unlike_mappings, bind_many},
    {"shmdt of many parts", segment_parts, detach_parts},
    {"execve of many mappings", mappings, end_of_many},
    {"fork of a large table", own, duplicate_all},
    {"smaps_rollup", mappings, read_rollup},
    {"numa_maps", mappings, read_numa},
    {"mountinfo", mounts, read_mounts},
    {"unshare of many mounts", mounts, copy_mounts},
    {"/proc/net/unix", sockets, read_sockets},
    {"inotify_add_watch", watches, watch_all},
    {"setgroups", groups, set_groups},
    {"keyctl", keys, read_keys},
    {"sendmmsg and recvmmsg", packets, send_many},
    {"splice, tee and vmsplice", pipes, splice_all},
    {"ftruncate", filled, cut_all},
    {"fallocate of a hole", filled, punch_all},
    {"close of a large file", filled, forget_file},
    {"mremap to another place", touched, relocate_all},
    {"ftruncate of a mapped file", mapped, cut_mapped},
    {"/proc/net/tcp and udp", internet_sockets, read_internet},
    {"dump of sockets", internet_sockets, dump_sockets},
    {"/proc/locks", locks, read_locks},
    {"fanotify_mark", marked, mark_all},
    {"cancelled requests of a ring", ring_of_requests, request_all},
    {"linked requests of a ring", ring_of_requests, link_all},
    {"fdinfo of many interests", epolls, read_interests},
    {"/proc/self/fd", descriptors, list_descriptors},
    {"end with many userfaultfds", user_faults, end_with_user_faults},
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
  int rounds = 1;
  if (count > 1 && strcmp(arguments[1], "nothing") == 0) return 0;
  if (count > 1 && strcmp(arguments[1], "table") == 0) {
    enlarge();
    rounds = 2;
  } else if (count > 1) {
    enter_scratch();
    call_for_ever(atoi(arguments[1]), STDOUT_FILENO);
  }
  enter_scratch();
  setlinebuf(stdout);
  srandom(1);
  for (size_t i = 0; i < COUNT(cases); i++) {
    double worst = 0;
    for (int round = 0; round < rounds; round++) {
      double took = kill_within(i, random() % 50000);
      if (took > worst) worst = took;
    }
    printf("%-30s %8.1f ms\n", cases[i].name, worst * 1000);
    CHECK_CASE(worst < HANG_SECONDS, "%s: %.1f s", cases[i].name, worst);
  }
  return 0;
}
