// What a process makes and keeps, until it is refused: each in an errno that Linux knows for it, and whoever makes it is none the
// worse afterwards. Alone it makes a little of each, as root and as nobody. `growth all`, or the
// name of one, goes on until it is refused or its time is over, and prints what it makes: who runs it looks at the memory that it
// takes meanwhile. `root` or `nobody` behind it has only one of them do so, and a number
// behind that for so many milliseconds each.
// timeout: 300
// static
#include "ring.h"
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/fuse.h>
#include <linux/if_link.h>
#include <linux/landlock.h>
#include <linux/perf_event.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <ftw.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/xattr.h>

enum { NOBODY = 65432, FEW = 20, CHILDREN = 64, FEW_CHILDREN = 8 };

static long most = FEW, milliseconds = 600;
static long long end_ms;
static char block[1 << 20];

static int goes_on(long made) { return made < most && (most == FEW || now_ms() < end_ms); }

// The same where each takes many calls.
static int goes_on_heavily(long made) { return goes_on(most == FEW ? made * 10 : made); }

// A call that makes something: whether it did. If not it must have been refused in one of these ways.
static int made(long result, int first, int second, int third) {
  if (result >= 0) return 1;
  CHECK_CASE(errno == first || errno == second || errno == third || errno == ENOMEM, "%s", strerror(errno));
  return 0;
}

// Copies of the process, each with what its maker has; the last waits until all is over.
static void multiply(void (*each)(void)) {
  for (long i = 0; i < (most > FEW ? CHILDREN : FEW_CHILDREN) && goes_on(i); i++) {
    pid_t pid = fork();
    if (!made(pid, EAGAIN, 0, 0)) break;
    if (pid > 0) continue;
    each();
    // Long enough for the others; whoever started all of them ends the group.
    if (most > FEW) sleep_ms(milliseconds);
    _exit(0);
  }
}

static int most_descriptors(void) {
  struct rlimit limit;
  OK(getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = limit.rlim_max < 60000 ? limit.rlim_max : 60000;
  OK(setrlimit(RLIMIT_NOFILE, &limit));
  return limit.rlim_cur;
}

static void inotify_queues(void) {
  char name[256];
  memset(name, 'n', sizeof name);
  name[250] = 0;
  for (long i = 0; goes_on(i); i++) {
    int instance = inotify_init1(IN_NONBLOCK);
    if (!made(instance, EMFILE, ENFILE, 0)) return;
    OK(inotify_add_watch(instance, ".", IN_ALL_EVENTS));
    for (long event = 0; event < 20000 && goes_on(event); event++) {
      snprintf(name + 240, 10, "%ld", event);
      int file = open(name, O_CREAT | O_WRONLY, 0600);
      if (!made(file, ENOSPC, ENFILE, EMFILE)) return;
      OK(close(file));
      unlink(name);
    }
  }
}

static void inotify_watches(void) {
  int instance = OK(inotify_init1(0));
  char name[64];
  for (long i = 0; goes_on(i); i++) {
    snprintf(name, sizeof name, "watched-%d-%ld", getpid(), i);
    if (!made(mkdir(name, 0700), ENOSPC, ENFILE, 0)) return;
    if (!made(inotify_add_watch(instance, name, IN_ALL_EVENTS), ENOSPC, 0, 0)) return;
  }
}

static void proc_texts(void) {
  char *place = mmap(NULL, 20000 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  for (long i = 0; i < (most > FEW ? 8000 : FEW); i += 2) mprotect(place + i * PAGE, PAGE, PROT_READ);
  most_descriptors();
  for (long i = 0; goes_on(i); i++) {
    int file = open("/proc/self/maps", O_RDONLY);
    if (!made(file, EMFILE, ENFILE, 0)) return;
    if (!made(read(file, block, 1), 0, 0, 0)) return;
  }
}

static void set_groups(void) {
  gid_t *groups = (gid_t *)block;
  for (int i = 0; i < 65536; i++) groups[i] = getpid() + i;
  made(syscall(SYS_setgroups, 65536, groups), EPERM, 0, 0);
}
static void group_lists(void) { multiply(set_groups); }

static void nothing(void) {}
static void mappings_of_children(void) {
  char *place = mmap(NULL, 70000 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(place != MAP_FAILED);
  for (long i = 0; goes_on(i) && i < 32000; i++) {
    if (!made(mprotect(place + i * 2 * PAGE, PAGE, PROT_READ), 0, 0, 0)) break;
  }
  multiply(nothing);
}

static void unix_connections(void) {
  most_descriptors();
  for (long i = 0; goes_on(i); i++) {
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (!made(listener, EMFILE, ENFILE, ENOBUFS)) return;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = offsetof(struct sockaddr_un, sun_path) + 1 + sprintf(address.sun_path + 1, "g%d-%ld", getpid(), i);
    OK(bind(listener, (void *)&address, len));
    OK(listen(listener, 4096));
    for (long client = 0; client < 4096 && goes_on(client); client++) {
      int end = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
      if (!made(end, EMFILE, ENFILE, ENOBUFS)) return;
      if (!made(connect(end, (void *)&address, len), EAGAIN, ENFILE, ENOBUFS)) return;
      OK(close(end));
    }
  }
}

static void tcp_connections(void) {
  most_descriptors();
  for (long i = 0; goes_on(i); i++) {
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (!made(listener, EMFILE, ENFILE, ENOBUFS)) return;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    OK(bind(listener, (void *)&address, len));
    OK(getsockname(listener, (void *)&address, &len));
    OK(listen(listener, 4096));
    for (long client = 0; client < 4000 && goes_on(client); client++) {
      int end = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      if (!made(end, EMFILE, ENFILE, ENOBUFS)) return;
      if (connect(end, (void *)&address, len) < 0 && errno != EINPROGRESS) {
        CHECK_CASE(errno == ENOBUFS || errno == EADDRNOTAVAIL || errno == ENOMEM, "%s", strerror(errno));
        return;
      }
    }
  }
}

static void queued_bytes(int family, int kind) {
  most_descriptors();
  for (long i = 0; goes_on(i); i++) {
    int ends[2];
    if (!made(socketpair(family, kind, 0, ends), EMFILE, ENFILE, ENOBUFS)) return;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &(int){1 << 20}, sizeof(int));
    while (goes_on(0) && send(ends[0], block, 4096, MSG_DONTWAIT) > 0) {}
    CHECK_CASE(!goes_on(0) || errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM, "%s", strerror(errno));
  }
}
static void unix_streams(void) { queued_bytes(AF_UNIX, SOCK_STREAM); }
static void unix_packets(void) { queued_bytes(AF_UNIX, SOCK_SEQPACKET); }

static void tiny_packets(void) {
  most_descriptors();
  for (long i = 0; goes_on_heavily(i); i++) {
    int ends[2];
    if (!made(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), EMFILE, ENFILE, ENOBUFS)) return;
    while (goes_on(0) && send(ends[0], "", 1, MSG_DONTWAIT) >= 0) {}
  }
}

static void udp_packets(void) {
  most_descriptors();
  for (long i = 0; goes_on_heavily(i); i++) {
    int receiver = socket(AF_INET, SOCK_DGRAM, 0);
    if (!made(receiver, EMFILE, ENFILE, ENOBUFS)) return;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    if (!made(bind(receiver, (void *)&address, len), EADDRINUSE, 0, 0)) return;
    OK(getsockname(receiver, (void *)&address, &len));
    for (int packet = 0; packet < 400; packet++) sendto(receiver, block, 512, MSG_DONTWAIT, (void *)&address, len);
  }
}

static void pipes(void) {
  most_descriptors();
  for (long i = 0; goes_on(i); i++) {
    int ends[2];
    if (!made(pipe2(ends, O_NONBLOCK), EMFILE, ENFILE, 0)) return;
    while (write(ends[1], block, 65536) > 0) {}
    CHECK_CASE(errno == EAGAIN || errno == ENOMEM, "%s", strerror(errno));
  }
}

static void make_descriptors(void) {
  int limit = most_descriptors();
  for (long i = 0; i < limit && goes_on(i); i++) {
    int fd = i % 3 == 0 ? eventfd(0, 0) : i % 3 == 1 ? timerfd_create(CLOCK_MONOTONIC, 0) : epoll_create1(0);
    if (!made(fd, EMFILE, ENFILE, 0)) return;
  }
}
static void descriptions(void) { multiply(make_descriptors); }

static void long_tables(void) {
  int limit = most_descriptors();
  made(dup2(0, limit - 1), EMFILE, 0, 0);
  multiply(nothing);
}

static void epoll_interests(void) {
  most_descriptors();
  int file = OK(eventfd(0, 0)), watched = 0, copies[256];
  for (; watched < 256; watched++) copies[watched] = OK(dup(file));
  for (long i = 0; goes_on(i); i++) {
    int watcher = epoll_create1(0);
    if (!made(watcher, EMFILE, ENFILE, 0)) return;
    for (int j = 0; j < watched; j++) {
      struct epoll_event event = {.events = EPOLLIN};
      if (!made(epoll_ctl(watcher, EPOLL_CTL_ADD, copies[j], &event), ENOSPC, 0, 0)) return;
    }
  }
}

static void queue_signals(void) {
  sigset_t set;
  sigfillset(&set);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  for (long i = 0; goes_on(i); i++) {
    if (!made(sigqueue(getpid(), SIGRTMIN + i % 8, (union sigval){.sival_int = i}), EAGAIN, 0, 0)) return;
  }
}
static void queued_signals(void) { multiply(queue_signals); }

static void make_timers(void) {
  for (long i = 0; goes_on(i); i++) {
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    int id;
    if (!made(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EAGAIN, 0, 0)) return;
    OK(syscall(SYS_timer_settime, id, 0, &(struct itimerspec){.it_value.tv_sec = 1000}, NULL));
  }
}
static void timers(void) { multiply(make_timers); }

static void record_locks(void) {
  char name[64];
  for (long file_number = 0; goes_on(file_number); file_number++) {
    snprintf(name, sizeof name, "locks-%d-%ld", getpid(), file_number);
    int file = open(name, O_RDWR | O_CREAT, 0644);
    if (!made(file, EMFILE, ENFILE, ENOSPC)) return;
    // From the end on: the list is searched from its start.
    for (long i = 0; i < 2000 && goes_on(i); i++) {
      struct flock lock = {.l_type = F_WRLCK, .l_start = i * 2, .l_len = 1};
      if (!made(fcntl(file, F_SETLK, &lock), ENOLCK, 0, 0)) return;
    }
  }
}

static void names(void) {
  char name[256];
  memset(name, 'x', sizeof name);
  for (long i = 0; goes_on(i); i++) {
    snprintf(name + 200, 50, "%d-%ld", getpid(), i);
    int file = open(name, O_CREAT | O_WRONLY | O_EXCL, 0600);
    if (!made(file, ENOSPC, ENFILE, EMFILE)) return;
    OK(close(file));
  }
}

static void absent_names(void) {
  char name[256];
  memset(name, 'y', sizeof name);
  name[255] = 0;
  for (long i = 0; goes_on(i); i++) {
    snprintf(name + 200, 50, "%d-%ld", getpid(), i);
    CHECK(access(name, F_OK) == -1 && (errno == ENOENT || errno == ENOMEM));
  }
}

static void symbolic_links(void) {
  char name[64], text[4000];
  memset(text, 't', sizeof text);
  text[sizeof text - 1] = 0;
  for (long i = 0; goes_on(i); i++) {
    snprintf(name, sizeof name, "link-%d-%ld", getpid(), i);
    if (!made(symlink(text, name), ENOSPC, ENAMETOOLONG, 0)) return;
  }
}

static void attributes(void) {
  char name[64];
  int file = OK(open("attributes", O_CREAT | O_RDWR, 0600));
  for (long i = 0; goes_on(i); i++) {
    snprintf(name, sizeof name, "user.%ld", i);
    if (!made(fsetxattr(file, name, block, 4000, 0), ENOSPC, EOPNOTSUPP, E2BIG)) return;
  }
}

static void memory_files(void) {
  most_descriptors();
  for (long i = 0; goes_on(i); i++) {
    if (!made(memfd_create("growth", 0), EMFILE, ENFILE, ENOSPC)) return;
  }
}

// One page of a file, mapped again and again where each place takes a page table of its own.
static void far_pages(void) {
  int file = OK(memfd_create("far", 0));
  OK(ftruncate(file, PAGE));
  for (long i = 0; goes_on(i) && i < 30000; i++) {
    char *place = mmap((void *)(0x100000000000 + (i << 21)), PAGE, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, file, 0);
    if (place == MAP_FAILED) {
      CHECK(errno == ENOMEM);
      return;
    }
    (void)*(volatile char *)place;
  }
}
static void page_tables(void) { multiply(far_pages); }

static void processes(void) {
  for (long i = 0; goes_on(i); i++) {
    pid_t pid = fork();
    if (!made(pid, EAGAIN, 0, 0)) return;
    if (pid == 0) {
      pause();
      _exit(0);
    }
  }
}

static void routes(void) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) return;
  struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  OK(ioctl(OK(socket(AF_INET, SOCK_DGRAM, 0)), SIOCSIFFLAGS, &up));
  int socket_fd = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  struct {
    struct nlmsghdr header;
    struct rtmsg route;
    struct rtattr to_name;
    uint32_t to;
    struct rtattr by_name;
    uint32_t by;
  } request = {
      .header = {sizeof request, RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0},
      .route = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT, .rtm_scope = RT_SCOPE_LINK, .rtm_type = RTN_UNICAST},
      .to_name = {8, RTA_DST}, .by_name = {8, RTA_OIF}, .by = 1};
  for (long i = 0; goes_on(i); i++) {
    struct {
      struct nlmsghdr header;
      struct nlmsgerr error;
      char rest[128];
    } answer;
    request.to = htonl(0x0a000000 + i);
    OK(send(socket_fd, &request, sizeof request, 0));
    OK(recv(socket_fd, &answer, sizeof answer, 0));
    CHECK_EQ(answer.header.nlmsg_type, NLMSG_ERROR);
    errno = -answer.error.error;
    if (!made(-(errno != 0), ENOBUFS, 0, 0)) return;
  }
}

static void terminals(void) {
  most_descriptors();
  // Some hosts let nobody but root have one.
  if (access("/dev/ptmx", R_OK | W_OK) < 0 && errno == EACCES) return;
  for (long i = 0; goes_on(i); i++) {
    if (!made(open("/dev/ptmx", O_RDWR | O_NOCTTY), ENOSPC, EMFILE, ENFILE)) return;
  }
}

static void *sleep_on(void *argument) {
  pause();
  return argument;
}
static void threads(void) {
  pthread_attr_t small;
  OK(pthread_attr_init(&small));
  OK(pthread_attr_setstacksize(&small, 65536));
  for (long i = 0; goes_on(i); i++) {
    pthread_t thread;
    int error = pthread_create(&thread, &small, sleep_on, NULL);
    if (error != 0) {
      CHECK_CASE(error == EAGAIN || error == ENOMEM, "%s", strerror(error));
      return;
    }
  }
}

static void mounts(void) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) return;
  for (long i = 0; goes_on(i); i++) {
    if (!made(mount("none", "/tmp", "tmpfs", 0, NULL), ENOSPC, EPERM, EACCES)) return;
  }
}

static void make_namespaces(void) {
  for (long i = 0; goes_on(i) && i < 20; i++) {
    if (!made(unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS), ENOSPC, EPERM, EUSERS)) return;
    static int kept;
    kept = open("/proc/self/ns/net", O_RDONLY);
    if (!made(kept, EMFILE, ENFILE, 0)) return;
  }
}
static void namespaces(void) { multiply(make_namespaces); }

static void keys(void) {
  char name[32];
  for (long i = 0; goes_on(i); i++) {
    snprintf(name, sizeof name, "growth-%ld", i);
    // -1: the thread's keyring.
    if (!made(syscall(SYS_add_key, "user", name, block, 4000, -1), EDQUOT, EPERM, ENOSYS)) return;
  }
}

static void message_queues(void) {
  int ids[64], count = 0;
  struct { long type; char text[4096]; } message = {.type = 1};
  for (; count < 64 && goes_on(count); count++) {
    ids[count] = msgget(IPC_PRIVATE, 0600);
    if (!made(ids[count], ENOSPC, 0, 0)) break;
    while (msgsnd(ids[count], &message, sizeof message.text, IPC_NOWAIT) == 0) {}
    CHECK_CASE(errno == EAGAIN || errno == ENOMEM, "%s", strerror(errno));
  }
  while (count > 0) OK(msgctl(ids[--count], IPC_RMID, NULL));
}

static void semaphores(void) {
  int ids[512], count = 0;
  for (; count < 512 && goes_on(count); count++) {
    ids[count] = semget(IPC_PRIVATE, 4000, 0600);
    if (!made(ids[count], ENOSPC, 0, 0)) break;
  }
  while (count > 0) OK(semctl(ids[--count], 0, IPC_RMID));
}

static void filter_programs(void) {
  OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  static struct sock_filter code[4000];
  for (size_t i = 0; i < COUNT(code) - 1; i++) code[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
  code[COUNT(code) - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {.len = COUNT(code), .filter = code};
  for (int i = 0; i < 7; i++) {
    if (!made(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), EINVAL, 0, 0)) return;
  }
}
static void filters(void) { multiply(filter_programs); }

static void asynchronous_requests(void) {
  int ends[2];
  OK(pipe(ends));
  static struct iovec pieces[1024];
  for (size_t i = 0; i < COUNT(pieces); i++) pieces[i] = (struct iovec){block, 1};
  struct iocb request = {.aio_lio_opcode = IOCB_CMD_PREADV, .aio_fildes = ends[0], .aio_buf = (uintptr_t)pieces, .aio_nbytes = COUNT(pieces)};
  struct iocb *list = &request;
  for (long i = 0; goes_on(i); i++) {
    aio_context_t context = 0;
    if (!made(syscall(SYS_io_setup, 1000, &context), EAGAIN, 0, 0)) return;
    // A host may read a pipe at once, and wait for it: there is nobody to be waited for inside.
    for (long j = 0; most > FEW && j < 1000 && goes_on(j); j++) {
      if (!made(syscall(SYS_io_submit, context, 1, &list), EAGAIN, 0, 0)) break;
    }
  }
}

static void poll_much(void) {
  int limit = most_descriptors();
  int file = OK(eventfd(0, 0));
  struct pollfd *polled = calloc(limit, sizeof *polled);
  if (polled == NULL) return;
  for (int i = 0; i < limit; i++) polled[i] = (struct pollfd){.fd = file, .events = POLLIN};
  if (poll(polled, most > FEW ? limit : FEW, most > FEW ? milliseconds : 1) < 0) CHECK(errno == ENOMEM);
}
static void polls(void) { multiply(poll_much); }

static void execute_much(void) {
  // 64 MiB of stack allow arguments of 6 MiB.
  static char *arguments[64];
  memset(block, 'a', 100000);
  block[100000] = 0;
  for (int i = 0; i < 60; i++) arguments[i] = block;
  while (goes_on(0)) {
    execv("/nonesuch/program", arguments);
    CHECK_CASE(errno == ENOENT || errno == E2BIG || errno == ENOMEM, "%s", strerror(errno));
    if (most == FEW) return;
  }
}
static void arguments(void) { multiply(execute_much); }

// A listener of the loopback; where it is goes to `address`.
static int listener_at(struct sockaddr_in *address, int receive_bytes) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (!made(listener, EMFILE, ENFILE, ENOBUFS)) return -1;
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof *address;
  if (receive_bytes > 0) OK(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes));
  OK(bind(listener, (void *)address, len));
  OK(getsockname(listener, (void *)address, &len));
  OK(listen(listener, 4096));
  return listener;
}

// Connections of addresses that differ, closed by who made them: their ports linger.
static void lingering_ports(void) {
  struct sockaddr_in address;
  int listener = listener_at(&address, 0);
  if (listener < 0) return;
  for (long i = 0; goes_on(i); i++) {
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (!made(client, EMFILE, ENFILE, ENOBUFS)) return;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f100000 + i)};
    OK(bind(client, (void *)&own, sizeof own));
    if (!made(connect(client, (void *)&address, sizeof address), ENOBUFS, EADDRNOTAVAIL, 0)) return;
    int other = accept(listener, NULL, NULL);
    if (!made(other, EMFILE, ENFILE, ENOBUFS)) return;
    OK(close(client));
    OK(close(other));
  }
}

// Connections whose sockets are closed, and which nobody reads.
static void orphans(void) {
  most_descriptors();
  struct sockaddr_in address;
  int listener = listener_at(&address, 1);
  if (listener < 0) return;
  for (long i = 0; goes_on(i); i++) {
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (!made(client, EMFILE, ENFILE, ENOBUFS)) return;
    OK(setsockopt(client, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)));
    if (!made(connect(client, (void *)&address, sizeof address), ENOBUFS, EADDRNOTAVAIL, 0)) return;
    if (!made(accept(listener, NULL, NULL), EMFILE, ENFILE, ENOBUFS)) return;
    while (send(client, block, 4096, MSG_DONTWAIT) > 0) {}
    OK(close(client));
  }
}

// Submits as many as the ring holds; whether all of them have been taken.
static int submit_all(struct ring *ring, int opcode, int fd) {
  for (unsigned i = 0; i < ring->parameters.sq_entries; i++) ring_prepare(ring, opcode, fd, NULL, 0, 0, i)->poll32_events = opcode == IORING_OP_POLL_ADD ? POLLIN : 0;
  long taken = ring_submit(ring, 0);
  return made(taken, EAGAIN, EBUSY, 0) && taken == ring->parameters.sq_entries;
}

static void rings(void) {
  most_descriptors();
  int *none = (int *)block;
  memset(block, 0xff, sizeof block);
  for (long i = 0; goes_on(i); i++) {
    struct io_uring_params parameters = {0};
    int ring = ring_setup(most > FEW ? 4096 : 8, &parameters);
    if (!made(ring, EMFILE, ENFILE, EPERM)) return;
    if (!made(ring_register(ring, IORING_REGISTER_FILES, none, most > FEW ? 30000 : 8), EMFILE, 0, 0)) return;
  }
}

// Requests that wait for what never comes.
static void ring_requests(void) {
  int ends[2];
  OK(pipe(ends));
  struct ring ring;
  for (long i = 0; goes_on_heavily(i); i++) {
    if (!made(ring_try(&ring, 256, 0), EMFILE, ENFILE, EPERM)) return;
    for (long j = 0; j < 4000 && goes_on(j) && submit_all(&ring, IORING_OP_POLL_ADD, ends[0]); j++) {}
  }
}

// Completions that nobody takes.
static void ring_completions(void) {
  struct ring ring;
  if (!made(ring_try(&ring, 256, 0), EMFILE, ENFILE, EPERM)) return;
  for (long i = 0; goes_on(i) && submit_all(&ring, IORING_OP_NOP, -1); i++) {}
}

// Groups of buffers that have been large, and hold one.
static void buffer_groups(void) {
  struct ring ring;
  int many = most > FEW ? 65535 : 8;
  for (long i = 0; goes_on(i); i++) {
    if (i % 65536 == 0 && !made(ring_try(&ring, 16, 0), EMFILE, ENFILE, EPERM)) return;
    ring_prepare(&ring, IORING_OP_PROVIDE_BUFFERS, many, block, 1, 0, 0)->buf_group = i;
    ring_prepare(&ring, IORING_OP_REMOVE_BUFFERS, many, NULL, 0, 0, 1)->buf_group = i;
    ring_prepare(&ring, IORING_OP_PROVIDE_BUFFERS, 1, block, 1, 0, 2)->buf_group = i;
    if (!made(ring_submit(&ring, 0), EAGAIN, EBUSY, 0)) return;
    for (struct completion each; ring_peek(&ring, &each);) CHECK_CASE(each.res >= 0 || each.res == -ENOMEM || each.res == -ENOENT, "%d", each.res);
  }
}

// A group of whoever may not have another: its file system may have no handles.
static int group_made(void) {
  int group = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_NONBLOCK, O_RDONLY);
  return made(group, EMFILE, EPERM, ENOSYS) ? group : -1;
}

static void mark_names(void) {
  char name[64];
  for (long i = 0; goes_on(i); i++) {
    int group = group_made();
    if (group < 0) return;
    for (long file_number = 0; file_number < 20000 && goes_on(file_number); file_number++) {
      snprintf(name, sizeof name, "marked-%d-%ld", getpid(), file_number);
      int file = open(name, O_CREAT | O_WRONLY, 0600);
      if (!made(file, ENOSPC, ENFILE, EMFILE)) return;
      OK(close(file));
      if (fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, name) < 0) {
        CHECK_CASE(errno == ENOSPC || errno == ENOMEM || errno == EOPNOTSUPP || errno == ENODEV || errno == EXDEV, "%s", strerror(errno));
        return;
      }
    }
  }
}
static void fanotify_marks(void) { multiply(mark_names); }

static void fanotify_queues(void) {
  char name[256];
  memset(name, 'f', sizeof name);
  for (long i = 0; goes_on(i); i++) {
    int group = group_made();
    if (group < 0 || fanotify_mark(group, FAN_MARK_ADD, FAN_CREATE | FAN_DELETE, AT_FDCWD, ".") < 0) return;
    for (long event = 0; event < 20000 && goes_on(event); event++) {
      snprintf(name + 200, 50, "%ld-%ld", i, event);
      int file = open(name, O_CREAT | O_WRONLY, 0600);
      if (!made(file, ENOSPC, ENFILE, EMFILE)) return;
      OK(close(file));
      unlink(name);
    }
  }
}

static void rulesets(void) {
  struct { uint64_t files, ports; } attributes = {0, 1};
  most_descriptors();
  for (long i = 0; goes_on(i); i++) {
    long ruleset = syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
    if (ruleset < 0 && (errno == EOPNOTSUPP || errno == E2BIG || errno == EINVAL)) return;
    if (!made(ruleset, EMFILE, ENFILE, ENOSYS)) return;
    for (long port = 0; port < 65536 && goes_on(port); port++) {
      struct { uint64_t access, port; } rule = {1, port};
      if (!made(syscall(SYS_landlock_add_rule, ruleset, 2, &rule, 0), E2BIG, 0, 0)) return;
    }
  }
}

static void make_links(void) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) return;
  int socket_fd = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
    struct rtattr info, kind;
    char name[8];
  } request = {
      .header = {sizeof request, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 1, 0},
      .info = {sizeof(struct rtattr) * 2 + 8, IFLA_LINKINFO}, .kind = {sizeof(struct rtattr) + 6, IFLA_INFO_KIND}, .name = "dummy"};
  for (long i = 0; goes_on(i); i++) {
    struct {
      struct nlmsghdr header;
      struct nlmsgerr error;
      char rest[256];
    } answer;
    OK(send(socket_fd, &request, sizeof request, 0));
    OK(recv(socket_fd, &answer, sizeof answer, 0));
    CHECK_EQ(answer.header.nlmsg_type, NLMSG_ERROR);
    errno = -answer.error.error;
    if (!made(-(errno != 0), ENOBUFS, EOPNOTSUPP, EPERM)) return;
  }
}
static void links(void) { multiply(make_links); }

// What has been filled and emptied again takes no room that others could not have.
static void emptied_queues(int family, int kind) {
  most_descriptors();
  for (long i = 0; goes_on_heavily(i); i++) {
    int ends[2];
    if (!made(socketpair(family, kind, 0, ends), EMFILE, ENFILE, ENOBUFS)) return;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &(int){1 << 20}, sizeof(int));
    while (goes_on(0) && send(ends[0], "x", 1, MSG_DONTWAIT) >= 0) {}
    while (recv(ends[1], block, 1, MSG_DONTWAIT) >= 0) {}
    CHECK_EQ(errno, EAGAIN);
  }
}
static void emptied_sockets(void) { emptied_queues(AF_UNIX, SOCK_DGRAM); }
static void emptied_streams(void) { emptied_queues(AF_UNIX, SOCK_STREAM); }

static void empty_directories(void) {
  char name[64];
  for (long i = 0; goes_on(i); i++) {
    snprintf(name, sizeof name, "emptied-%d-%ld", getpid(), i);
    if (!made(mkdir(name, 0700), ENOSPC, ENFILE, EMFILE)) return;
    OK(chdir(name));
    long names = 0;
    for (; names < 5000 && goes_on(names); names++) {
      snprintf(name, sizeof name, "%ld", names);
      if (!made(symlink("x", name), ENOSPC, 0, 0)) break;
    }
    while (names > 0) {
      snprintf(name, sizeof name, "%ld", --names);
      OK(unlink(name));
    }
    OK(chdir(".."));
  }
}
static void emptied_directories(void) { multiply(empty_directories); }

static void emptied_instances(void) {
  most_descriptors();
  // The place is root's, whose mode nobody else changes.
  OK(mkdir("watched", 0777));
  OK(chdir("watched"));
  for (long i = 0; goes_on(i); i++) {
    int instance = inotify_init1(IN_NONBLOCK);
    if (!made(instance, EMFILE, ENFILE, 0)) return;
    OK(inotify_add_watch(instance, ".", IN_ATTRIB | IN_OPEN));
    for (long event = 0; event < 10000 && goes_on(event); event++) {
      if (event % 2) OK(chmod(".", 0777));
      else OK(close(OK(open(".", O_RDONLY))));
    }
    while (read(instance, block, sizeof block) > 0) {}
  }
}

static void emptied_pipes(void) {
  most_descriptors();
  for (long i = 0; goes_on_heavily(i); i++) {
    int ends[2];
    if (!made(pipe2(ends, O_NONBLOCK | O_DIRECT), EMFILE, ENFILE, 0)) return;
    if (fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) < 0) CHECK(errno == EPERM || errno == ENOMEM);
    while (goes_on(0) && write(ends[1], "x", 1) > 0) {}
    while (read(ends[0], block, 65536) > 0) {}
  }
}

static void mount_texts(void) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) return;
  for (long i = 0; i < (most > FEW ? 800 : 4); i++) {
    if (!made(mount("none", "/tmp", "tmpfs", 0, NULL), ENOSPC, EPERM, EACCES)) return;
  }
  most_descriptors();
  for (long i = 0; goes_on(i); i++) {
    int file = open("/proc/self/mountinfo", O_RDONLY);
    if (!made(file, EMFILE, ENFILE, 0)) return;
    if (!made(read(file, block, 1), 0, 0, 0)) return;
  }
}

static void hard_links(void) {
  char name[64], target[64];
  for (long i = 0; goes_on(i);) {
    snprintf(target, sizeof target, "linked-%ld", i);
    int file = open(target, O_CREAT | O_WRONLY | O_EXCL, 0600);
    if (!made(file, ENOSPC, ENFILE, EMFILE)) return;
    OK(close(file));
    for (; goes_on(i); i++) {
      snprintf(name, sizeof name, "%lx", i);
      if (!made(link(target, name), ENOSPC, EMLINK, 0)) break;
    }
    if (goes_on(i) && errno != EMLINK) return;
  }
}

static void tiny_attributes(void) {
  char name[64];
  int file = OK(open("tiny-attributes", O_CREAT | O_RDWR, 0600));
  for (long i = 0; goes_on(i); i++) {
    snprintf(name, sizeof name, "user.%lx", i);
    if (!made(fsetxattr(file, name, "", 0, 0), ENOSPC, EOPNOTSUPP, E2BIG)) return;
  }
}

// Sockets that name many sources at each of many groups.
static void multicast_groups(void) {
  most_descriptors();
  struct group_filter *filter = (void *)block;
  for (long i = 0; goes_on(i); i++) {
    int member = socket(AF_INET6, SOCK_DGRAM, 0);
    if (!made(member, EMFILE, ENFILE, EAFNOSUPPORT)) return;
    for (int group = 0; group < 1000 && goes_on(group); group++) {
      *filter = (struct group_filter){.gf_interface = 1, .gf_fmode = MCAST_EXCLUDE, .gf_numsrc = most > FEW ? 64 : 2};
      struct sockaddr_in6 *to = (void *)&filter->gf_group;
      to->sin6_family = AF_INET6;
      memcpy(&to->sin6_addr, "\xff\x02\0\0\0\0\0\0\0\0\0\1\0\0", 14);
      to->sin6_addr.s6_addr16[7] = htons(group);
      for (unsigned source = 0; source < filter->gf_numsrc; source++) {
        struct sockaddr_in6 *from = (void *)(filter->gf_slist + source);
        *from = (struct sockaddr_in6){.sin6_family = AF_INET6};
        from->sin6_addr.s6_addr16[7] = source + 1;
      }
      struct group_req request = {.gr_interface = 1, .gr_group = filter->gf_group};
      if (!made(setsockopt(member, SOL_IPV6, MCAST_JOIN_GROUP, &request, sizeof request), ENOBUFS, ENODEV, EADDRNOTAVAIL)) break;
      if (!made(setsockopt(member, SOL_IPV6, MCAST_MSFILTER, filter, GROUP_FILTER_SIZE(filter->gf_numsrc)), ENOBUFS, 0, 0)) break;
    }
  }
}

// Mounts of its own, in a user namespace of its own, in which the user is root.
static int has_own_mounts(void) {
  char map[32];
  int uid = geteuid(), gid = getegid();
  // Whoever changed its user is nobody's to look at, not even its own.
  OK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) return 0;
  write_file("/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "0 %d 1", uid);
  write_file("/proc/self/uid_map", map);
  snprintf(map, sizeof map, "0 %d 1", gid);
  write_file("/proc/self/gid_map", map);
  OK(mkdir("m", 0700));
  return 1;
}

static void contexts(void) {
  if (!has_own_mounts()) return;
  static char zero[250];
  memset(zero, '0', sizeof zero - 1);
  most_descriptors();
  for (long i = 0; goes_on(i); i++) {
    int context = syscall(SYS_fsopen, "tmpfs", 0);
    if (!made(context, EMFILE, ENFILE, EPERM)) return;
    made(syscall(SYS_fsconfig, context, 1, "source", zero, 0), 0, 0, 0);
    for (int option = 0; option < 15; option++) made(syscall(SYS_fsconfig, context, 1, "size", zero, 0), 0, 0, 0);
  }
}

static void mount_sources(void) {
  if (!has_own_mounts()) return;
  memset(block, 's', 4000);
  block[4000] = 0;
  for (long i = 0; goes_on(i); i++) {
    if (!made(mount(block, "m", "tmpfs", 0, NULL), ENOSPC, EPERM, EACCES)) return;
  }
}

static void typed_terminals(void) {
  most_descriptors();
  if (access("/dev/ptmx", R_OK | W_OK) < 0 && errno == EACCES) return;
  memset(block, 'x', 4096);
  for (long i = 0; goes_on(i); i++) {
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (!made(master, ENOSPC, EMFILE, ENFILE)) return;
    for (int j = 0; j < 8; j++) if (write(master, block, 4096) < 0) break;
  }
}

// Links come and go, and what was set of them.
static void link_settings(void) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) return;
  int socket_fd = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  static const char *const settings[] = {"ipv4/conf/%s/forwarding", "ipv4/conf/%s/rp_filter", "ipv4/conf/%s/arp_ignore", "ipv6/conf/%s/forwarding", "ipv6/conf/%s/hop_limit"};
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
    struct rtattr by_name;
    char name[12];
    struct rtattr info, kind;
    char kind_name[8];
  } request = {
      .header = {sizeof request, 0, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 1, 0}, .by_name = {sizeof(struct rtattr) + 12, IFLA_IFNAME},
      .info = {sizeof(struct rtattr) * 2 + 8, IFLA_LINKINFO}, .kind = {sizeof(struct rtattr) + 6, IFLA_INFO_KIND}, .kind_name = "dummy"};
  for (long i = 0; goes_on(i); i++) {
    snprintf(request.name, sizeof request.name, "d%x", (unsigned)i);
    for (int removes = 0; removes < 2; removes++) {
      struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[256];
      } answer;
      request.header.nlmsg_type = removes ? RTM_DELLINK : RTM_NEWLINK;
      OK(send(socket_fd, &request, sizeof request, 0));
      OK(recv(socket_fd, &answer, sizeof answer, 0));
      CHECK_EQ(answer.header.nlmsg_type, NLMSG_ERROR);
      errno = -answer.error.error;
      if (!made(-(errno != 0), ENOBUFS, EOPNOTSUPP, EPERM)) return;
      for (size_t setting = 0; setting < COUNT(settings) && !removes; setting++) {
        char path[128] = "/proc/sys/net/";
        snprintf(path + strlen(path), 100, settings[setting], request.name);
        int file = open(path, O_WRONLY);
        if (file < 0) continue;
        made(write(file, "2", 1), EINVAL, EPERM, EACCES);
        OK(close(file));
      }
    }
  }
}

static void descriptor_texts(void) {
  int limit = most_descriptors(), watcher = OK(epoll_create1(0)), file = OK(eventfd(0, 0));
  for (long i = 0; i < limit / 2 && goes_on(i); i++) {
    struct epoll_event event = {.events = EPOLLIN};
    int copy = dup(file);
    if (!made(copy, EMFILE, 0, 0) || !made(epoll_ctl(watcher, EPOLL_CTL_ADD, copy, &event), ENOSPC, 0, 0)) break;
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", watcher);
  for (long i = 0; goes_on(i); i++) {
    int text = open(path, O_RDONLY);
    if (!made(text, EMFILE, ENFILE, 0)) return;
    if (!made(read(text, block, 1), 0, 0, 0)) return;
  }
}

static void answer_served(int device, uint64_t unique, const void *body, size_t len) {
  struct { struct fuse_out_header header; char body[256]; } answer = {.header = {sizeof answer.header + len, len == 0 ? -ENOSYS : 0, unique}};
  memcpy(answer.body, body, len);
  if (write(device, &answer, answer.header.len) < 0) CHECK(errno == ENOENT || errno == ENOMEM);
}

// Whatever is looked up is another file, and is so for ever.
static void serve_names(int device) {
  struct fuse_attr directory = {.mode = S_IFDIR | 0755, .nlink = 2}, file = {.mode = S_IFREG | 0600, .nlink = 1};
  uint64_t last = 1;
  for (;;) {
    struct { struct fuse_in_header header; char body[8192]; } request;
    if (read(device, &request, sizeof request) < 0) _exit(0);
    switch (request.header.opcode) {
      case FUSE_INIT: answer_served(device, request.header.unique, &(struct fuse_init_out){.major = 7, .minor = 31, .max_write = 4096}, sizeof(struct fuse_init_out)); break;
      case FUSE_GETATTR: answer_served(device, request.header.unique, &(struct fuse_attr_out){.attr_valid = 9999, .attr = directory}, sizeof(struct fuse_attr_out)); break;
      case FUSE_LOOKUP: answer_served(device, request.header.unique, &(struct fuse_entry_out){.nodeid = ++last, .entry_valid = 9999, .attr_valid = 9999, .attr = file}, sizeof(struct fuse_entry_out)); break;
      case FUSE_FORGET: case FUSE_BATCH_FORGET: break;
      default: answer_served(device, request.header.unique, "", 0);
    }
  }
}

static void served_names(void) {
  char options[64], name[256];
  if (!has_own_mounts()) return;
  int device = open("/dev/fuse", O_RDWR);
  if (device < 0) return;
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
  if (mount("none", "m", "fuse", 0, options) < 0) return;
  if (OK(fork()) == 0) serve_names(device);
  OK(close(device));
  memset(name, 'n', sizeof name);
  for (long i = 0; goes_on(i); i++) {
    snprintf(name, sizeof name, "m/%0200ld", i);
    if (!made(lstat(name, &(struct stat){0}), ENOTCONN, ECONNABORTED, 0)) return;
  }
}

// Names of a lower layer that are removed, and files of it that are opened to be written.
static void whiteouts(void) {
  char name[64];
  if (!has_own_mounts() || mount("none", "m", "tmpfs", 0, NULL) < 0) return;
  OK(chdir("m"));
  OK(mkdir("l", 0700)), OK(mkdir("u", 0700)), OK(mkdir("w", 0700)), OK(mkdir("o", 0700));
  long files = 0;
  for (; goes_on(files) && files < 2000; files++) {
    snprintf(name, sizeof name, "l/%ld", files);
    int file = open(name, O_CREAT | O_WRONLY, 0600);
    if (!made(file, ENOSPC, ENFILE, 0)) break;
    OK(close(file));
  }
  if (mount("over", "o", "overlay", 0, "lowerdir=l,upperdir=u,workdir=w,userxattr") < 0) return;
  for (long i = 0; i < files && goes_on(i); i++) {
    snprintf(name, sizeof name, "o/%ld", i);
    int file = i % 2 ? open(name, O_WRONLY) : unlink(name);
    if (!made(file, ENOSPC, EIO, EPERM)) return;
    if (i % 2) OK(close(file));
  }
}

static void binary_formats(void) {
  char line[128];
  if (!has_own_mounts() || mount("none", "m", "binfmt_misc", 0, NULL) < 0) return;
  for (long i = 0; goes_on(i); i++) {
    int file = OK(open("m/register", O_WRONLY));
    int len = snprintf(line, sizeof line, ":growth%ld:E::growth%ld::/bin/true:", i, i);
    if (!made(write(file, line, len), ENOSPC, ENFILE, 0)) return;
    OK(close(file));
  }
}

static void user_faults(void) {
  most_descriptors();
  for (long i = 0; goes_on(i); i++) {
    int faults = syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY | O_CLOEXEC);
    if (!made(faults, EMFILE, ENFILE, EPERM)) return;
    OK(ioctl(faults, UFFDIO_API, &(struct uffdio_api){.api = UFFD_API}));
    char *place = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!made(place == MAP_FAILED ? -1 : 0, 0, 0, 0)) return;
    struct uffdio_register of = {.range = {(uintptr_t)place, PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    if (!made(ioctl(faults, UFFDIO_REGISTER, &of), 0, 0, 0)) return;
  }
}

static void segments(void) {
  static int ids[4096];
  int count = 0;
  for (; count < (int)COUNT(ids) && goes_on(count); count++) {
    ids[count] = shmget(IPC_PRIVATE, PAGE, 0600);
    if (!made(ids[count], ENOSPC, 0, 0)) break;
  }
  while (count > 0) OK(shmctl(ids[--count], IPC_RMID, NULL));
}

static void posix_queues(void) {
  most_descriptors();
  char name[64];
  for (long i = 0; goes_on(i); i++) {
    snprintf(name, sizeof name, "/growth-%d-%ld", getpid(), i);
    struct mq_attr attributes = {.mq_maxmsg = 10, .mq_msgsize = 8192};
    int queue = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attributes);
    if (!made(queue, ENOSPC, EMFILE, ENFILE)) return;
    OK(mq_unlink(name));
    while (mq_send(queue, block, 8192, 0) == 0) {}
    CHECK_CASE(errno == EAGAIN || errno == ENOMEM, "%s", strerror(errno));
  }
}

static void count_events(void) {
  most_descriptors();
  struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_CONTEXT_SWITCHES, .inherit = 1, .exclude_kernel = 1};
  for (long i = 0; goes_on(i); i++) {
    if (!made(syscall(SYS_perf_event_open, &event, 0, -1, -1, 0), EMFILE, ENFILE, EACCES)) return;
  }
}
static void counters(void) {
  count_events();
  multiply(nothing);
}

// Calls that wait for a supervisor, which never answers.
static void ask_supervisor(void) { syscall(SYS_getppid); }
static void notifications(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {COUNT(filter), filter};
  OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  if (!made(listener, EMFILE, ENFILE, 0)) return;
  multiply(ask_supervisor);
}

static const struct {
  const char *name;
  void (*grow)(void);
} resources[] = {
#define RESOURCE(name) {#name, name}
    RESOURCE(inotify_queues), RESOURCE(inotify_watches), RESOURCE(proc_texts), RESOURCE(group_lists),
    RESOURCE(mappings_of_children), RESOURCE(unix_connections), RESOURCE(tcp_connections), RESOURCE(unix_streams),
    RESOURCE(unix_packets), RESOURCE(tiny_packets), RESOURCE(udp_packets), RESOURCE(pipes), RESOURCE(descriptions),
    RESOURCE(long_tables), RESOURCE(epoll_interests), RESOURCE(queued_signals), RESOURCE(timers), RESOURCE(record_locks),
    RESOURCE(names), RESOURCE(absent_names), RESOURCE(symbolic_links), RESOURCE(attributes), RESOURCE(memory_files),
    RESOURCE(page_tables), RESOURCE(processes), RESOURCE(threads), RESOURCE(routes), RESOURCE(terminals), RESOURCE(mounts), RESOURCE(namespaces), RESOURCE(keys),
    RESOURCE(message_queues), RESOURCE(semaphores), RESOURCE(filters), RESOURCE(asynchronous_requests), RESOURCE(polls),
    RESOURCE(arguments), RESOURCE(lingering_ports), RESOURCE(orphans), RESOURCE(rings), RESOURCE(ring_requests), RESOURCE(ring_completions), RESOURCE(buffer_groups),
    RESOURCE(fanotify_marks), RESOURCE(fanotify_queues), RESOURCE(rulesets), RESOURCE(links), RESOURCE(mount_texts),
    RESOURCE(emptied_sockets), RESOURCE(emptied_streams), RESOURCE(emptied_directories), RESOURCE(emptied_instances), RESOURCE(emptied_pipes),
    RESOURCE(hard_links), RESOURCE(tiny_attributes), RESOURCE(multicast_groups), RESOURCE(contexts), RESOURCE(mount_sources),
    RESOURCE(typed_terminals), RESOURCE(link_settings), RESOURCE(descriptor_texts), RESOURCE(served_names), RESOURCE(whiteouts),
    RESOURCE(binary_formats), RESOURCE(user_faults), RESOURCE(segments),
    RESOURCE(posix_queues), RESOURCE(counters), RESOURCE(notifications),
};

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place) {
  (void)status, (void)kind, (void)place;
  return remove(path);
}

// Runs one in a process group of its own, which ends afterwards with all that it made.
static void run(size_t number, uid_t uid) {
  fflush(NULL);
  OK(mkdir("place", 0777));
  OK(chmod("place", 0777));
  pid_t pid = OK(fork());
  if (pid == 0) {
    OK(setpgid(0, 0));
    OK(chdir("place"));
    if (uid != 0 && geteuid() == 0) OK(setresuid(uid, uid, uid));
    end_ms = now_ms() + milliseconds;
    resources[number].grow();
    _exit(0);
  }
  setpgid(pid, pid);
  int status = WAIT(pid);
  kill(-pid, SIGKILL);
  while (waitpid(-1, NULL, 0) > 0) {}
  OK(nftw("place", remove_entry, 16, FTW_DEPTH | FTW_PHYS));
  // Who takes most of what all are short of may be ended.
  int may_be_killed = most > FEW && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  CHECK_CASE(may_be_killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0), "%s as %d: %#x", resources[number].name, (int)uid, status);
}

// A network namespace that is new has an interface, but that is down.
static void raise_loopback(void) {
  int socket_fd = OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  if (ioctl(socket_fd, SIOCSIFFLAGS, &request) < 0) CHECK(errno == EPERM);
  OK(close(socket_fd));
}

int main(int count, char **words) {
  enter_scratch();
  OK(chmod(".", 0777));
  OK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
  raise_loopback();
  if (count > 1) most = LONG_MAX;
  if (count > 3) milliseconds = atol(words[3]);
  for (size_t i = 0; i < COUNT(resources); i++) {
    if (count > 1 && strcmp(words[1], "all") != 0 && strcmp(words[1], resources[i].name) != 0) continue;
    for (int as_nobody = 0; as_nobody < 2; as_nobody++) {
      const char *user = as_nobody ? "nobody" : "root";
      if (count > 2 && strcmp(words[2], user) != 0) continue;
      if (count > 1) {
        printf("%s %s\n", resources[i].name, user);
        fflush(stdout);
      }
      run(i, as_nobody ? NOBODY : 0);
    }
  }
  return 0;
}
