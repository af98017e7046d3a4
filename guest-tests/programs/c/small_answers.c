// Small answers that programs rely on: of devices of random numbers, of the kernel's log, of owners of files, of links in tmpfs, of
// low addresses, of the numbers of watches, and of how much sockets queue or peek at.

#include "check.h"
#include <linux/random.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>

static void random_devices(void) {
  int blocking = (int)OK(open("/dev/random", O_RDWR)), other = (int)OK(open("/dev/urandom", O_RDWR));
  int epoll = (int)OK(epoll_create1(0)), bits = 0;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT};
  OK(epoll_ctl(epoll, EPOLL_CTL_ADD, blocking, &event));
  CHECK_EQ(OK(epoll_wait(epoll, &event, 1, 0)), 1);
  CHECK_EQ(event.events, EPOLLIN);
  CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, other, &event), EPERM);
  OK(ioctl(other, _IOR('R', 0x00, int), &bits));
  CHECK_EQ(bits, 256);
  CHECK_ERRNO(ioctl(other, TIOCGWINSZ, &bits), EINVAL);
  // Who administers the system may add to the pool.
  struct { int bits, size; } nothing = {0, 0}, negative = {-1, 0};
  bits = 0;
  OK(ioctl(other, RNDADDTOENTCNT, &bits));
  OK(ioctl(blocking, RNDADDENTROPY, &nothing));
  OK(ioctl(blocking, RNDZAPENTCNT));
  OK(ioctl(blocking, RNDRESEEDCRNG));
  bits = -1;
  CHECK_ERRNO(ioctl(other, RNDADDTOENTCNT, &bits), EINVAL);
  CHECK_ERRNO(ioctl(other, RNDADDENTROPY, &negative), EINVAL);
  CHECK_ERRNO(ioctl(other, RNDADDENTROPY, NULL), EFAULT);
  pid_t pid;
  IN_CHILD(pid) {
    OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(ioctl(other, RNDADDENTROPY, &nothing), EPERM);
    CHECK_ERRNO(ioctl(other, RNDZAPENTCNT), EPERM);
    OK(ioctl(other, RNDGETENTCNT, &bits));
  }
  WAIT_OK(pid);
}

static void kernel_log(void) {
  char text[16];
  CHECK(OK(klogctl(10, NULL, 0)) > 0);
  CHECK_ERRNO(klogctl(3, text, -1), EINVAL);
  CHECK_ERRNO(klogctl(3, NULL, 1), EINVAL);
  CHECK_EQ(OK(klogctl(3, text, 0)), 0);
  CHECK_ERRNO(klogctl(8, NULL, 9), EINVAL);
  CHECK_ERRNO(klogctl(11, NULL, 0), EINVAL);
}

// A failure leaves the owner as it was.
static void owner_of_a_file(void) {
  int ends[2];
  OK(pipe(ends));
  OK(fcntl(ends[0], F_SETOWN, getpid()));
  CHECK_ERRNO(fcntl(ends[0], F_SETOWN, 4000000), ESRCH);
  CHECK_ERRNO(fcntl(ends[0], F_SETOWN, -4000000), ESRCH);
  CHECK_ERRNO(fcntl(ends[0], F_SETOWN, INT_MIN), EINVAL);
  CHECK_EQ(OK(fcntl(ends[0], F_GETOWN)), getpid());
}

static void truncation_of_what_has_no_length(void) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", (int)OK(eventfd(0, 0)));
  CHECK_ERRNO(truncate(path, 0), EINVAL);
}

// The text of a link that does not fit into the inode takes a page.
static void links_in_tmpfs(void) {
  OK(unshare(CLONE_NEWNS));
  OK(mount("none", "/", NULL, MS_PRIVATE | MS_REC, NULL));
  OK(mount("none", "/tmp", "tmpfs", 0, "size=4096"));
  char text[129];
  memset(text, 'a', 128);
  text[128] = 0;
  OK(symlink(text + 1, "/tmp/short"));
  OK(symlink(text, "/tmp/long"));
  CHECK_ERRNO(symlink(text, "/tmp/more"), ENOSPC);
  OK(symlink(text + 1, "/tmp/more"));
  struct stat status;
  OK(lstat("/tmp/long", &status));
  CHECK_EQ(status.st_blocks, 8);
  OK(lstat("/tmp/short", &status));
  CHECK_EQ(status.st_blocks, 0);
  OK(unlink("/tmp/long"));
  OK(symlink(text, "/tmp/again"));
}

static void *map_at(uintptr_t address) {
  return mmap((void *)address, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

// Below vm.mmap_min_addr is for CAP_SYS_RAWIO, which may name addresses there; nobody is given one.
static void low_addresses(void) {
  CHECK(map_at(0) == NULL);
  CHECK_EQ(OK(read((int)OK(open("/dev/zero", O_RDONLY)), wild, 8)), 8);
  void *mapping = map_at(1 << 20);
  CHECK(mremap(mapping, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, NULL) == NULL);
  OK(munmap(NULL, PAGE));
  int segment = (int)OK(shmget(IPC_PRIVATE, PAGE, 0600));
  CHECK_EQ((uintptr_t)shmat(segment, (void *)8, SHM_RND), 0);
  OK(shmctl(segment, IPC_RMID, NULL));
  OK(shmdt(NULL));
  CHECK((uintptr_t)mmap((void *)1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) >= PAGE);
  pid_t child;
  IN_CHILD(child) {
    mapping = map_at(1 << 20);
    OK(setuid(1000));
    CHECK(map_at(0) == MAP_FAILED && errno == EPERM);
    CHECK(mremap(mapping, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, NULL) == MAP_FAILED && errno == EPERM);
  }
  WAIT_OK(child);
}

// Whoever restores watches says which number the next one has.
static void numbers_of_watches(void) {
  int instance = (int)OK(inotify_init1(IN_CLOEXEC));
  unsigned long set_next = _IOW('I', 0, int);
  OK(ioctl(instance, set_next, 100));
  CHECK_EQ(inotify_add_watch(instance, "/tmp", IN_OPEN), 100);
  CHECK_EQ(inotify_add_watch(instance, "/etc", IN_OPEN), 101);
  OK(ioctl(instance, set_next, 100));
  CHECK_EQ(inotify_add_watch(instance, "/usr", IN_OPEN), 102);
  OK(ioctl(instance, set_next, INT_MAX));
  CHECK_EQ(inotify_add_watch(instance, "/", IN_OPEN), INT_MAX);
  CHECK_EQ(inotify_add_watch(instance, "/proc", IN_OPEN), 1);
  CHECK_ERRNO(ioctl(instance, set_next, 0), EINVAL);
  CHECK_ERRNO(ioctl(instance, set_next, 1UL << 31), EINVAL);
  OK(close(instance));
}

static int peek_offset_of(int socket) {
  int offset = -2;
  socklen_t len = sizeof offset;
  OK(getsockopt(socket, SOL_SOCKET, SO_PEEK_OFF, &offset, &len));
  return offset;
}

// What is set before there is a connection holds in it, and in those that a listener gives.
static void peek_offsets_before_connections(void) {
  int listener = (int)OK(socket(AF_INET, SOCK_STREAM, 0)), client = (int)OK(socket(AF_INET, SOCK_STREAM, 0));
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  OK(bind(listener, (struct sockaddr *)&address, sizeof address));
  OK(listen(listener, 1));
  OK(getsockname(listener, (struct sockaddr *)&address, &len));
  CHECK_EQ(peek_offset_of(client), -1);
  OK(setsockopt(listener, SOL_SOCKET, SO_PEEK_OFF, &(int){2}, sizeof(int)));
  OK(setsockopt(client, SOL_SOCKET, SO_PEEK_OFF, &(int){5}, sizeof(int)));
  CHECK_EQ(peek_offset_of(client), 5);
  OK(connect(client, (struct sockaddr *)&address, sizeof address));
  int accepted = (int)OK(accept(listener, NULL, NULL));
  CHECK_EQ(peek_offset_of(accepted), 2);
  CHECK_EQ(peek_offset_of(client), 5);
  CHECK_EQ(OK(write(accepted, "abcdefgh", 8)), 8);
  char bytes[4] = "";
  CHECK_EQ(OK(recv(client, bytes, 3, MSG_PEEK)), 3);
  CHECK(strcmp(bytes, "fgh") == 0);
  CHECK_EQ(peek_offset_of(client), 8);
  // A reset ends the connection, but SO_PEERNAME still knows with whom it was.
  OK(setsockopt(accepted, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)));
  OK(close(accepted));
  struct pollfd ended = {.fd = client};
  CHECK_EQ(OK(poll(&ended, 1, 5000)), 1);
  CHECK_ERRNO(getpeername(client, (struct sockaddr *)&address, &len), ENOTCONN);
  struct sockaddr_in peer;
  OK(getsockopt(client, SOL_SOCKET, SO_PEERNAME, &peer, &len));
  CHECK_EQ(peer.sin_port, address.sin_port);
  OK(close(client));
  OK(close(listener));
}

// How many messages reach a new socket of this name that nobody reads.
static int queued_messages(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path + 1, name, strlen(name));
  socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
  int receiver = (int)OK(socket(AF_UNIX, SOCK_DGRAM, 0)), sender = (int)OK(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  OK(bind(receiver, (struct sockaddr *)&address, len));
  int sent = 0;
  while (sendto(sender, "x", 1, 0, (struct sockaddr *)&address, len) == 1) sent++;
  CHECK_EQ(errno, EAGAIN);
  OK(close(receiver));
  OK(close(sender));
  return sent;
}

// A network namespace begins with net.unix.max_dgram_qlen of 10; one message more is taken. Sockets keep what they begin with.
static void queues_of_datagrams(void) {
  OK(unshare(CLONE_NEWNET));
  CHECK_EQ(queued_messages("first"), 11);
  int file = (int)OK(open("/proc/sys/net/unix/max_dgram_qlen", O_RDWR));
  char text[8] = "";
  CHECK_EQ(OK(pread(file, text, sizeof text - 1, 0)), 3);
  CHECK(strcmp(text, "10\n") == 0);
  CHECK_EQ(OK(pwrite(file, "3", 1, 0)), 1);
  CHECK_EQ(queued_messages("second"), 4);
  OK(close(file));
}

static void check_port(int kind) {
  int bound = (int)OK(socket(AF_INET, kind, 0));
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t len = sizeof address;
  OK(bind(bound, (struct sockaddr *)&address, sizeof address));
  OK(getsockname(bound, (struct sockaddr *)&address, &len));
  CHECK(ntohs(address.sin_port) > 60000);
  OK(close(bound));
}

// In a new network namespace.
static void reserved_ports(void) {
  static const struct { const char *written, *read; } texts[] = {
      {"8080,9000-9010\n", "8080,9000-9010\n"}, {"1-3,2-5,6\n", "1-6\n"}, {"5,", "5\n"}, {"5,6\n7\n", "5-7\n"}, {"0x10-20", "16-20\n"},
      {"\n", "\n"}, {"0", "0\n"}, {"32768-60000", "32768-60000\n"}};
  int file = (int)OK(open("/proc/sys/net/ipv4/ip_local_reserved_ports", O_RDWR));
  char text[64];
  CHECK_EQ(OK(pread(file, text, sizeof text, 0)), 1);
  for (size_t i = 0; i < COUNT(texts); i++) {
    OK(pwrite(file, texts[i].written, strlen(texts[i].written), 0));
    memset(text, 0, sizeof text);
    OK(pread(file, text, sizeof text - 1, 0));
    CHECK_CASE(strcmp(text, texts[i].read) == 0, "%s", texts[i].written);
  }
  static const char *const refused[] = {",5\n", "7-6\n", "65536\n", " 5\n", "5 \n", "a\n", "-5\n", "5-\n"};
  for (size_t i = 0; i < COUNT(refused); i++)
    CHECK_CASE(pwrite(file, refused[i], strlen(refused[i]), 0) == -1 && errno == EINVAL, "%s", refused[i]);
  for (int i = 0; i < 10; i++) {
    check_port(SOCK_STREAM);
    check_port(SOCK_DGRAM);
  }
  OK(close(file));
}

int main(void) {
  random_devices();
  kernel_log();
  owner_of_a_file();
  truncation_of_what_has_no_length();
  low_addresses();
  numbers_of_watches();
  peek_offsets_before_connections();
  queues_of_datagrams();
  reserved_ports();
  links_in_tmpfs();
  return 0;
}
