// userfaultfd: touches of pages that are not there, or protected, are told, and served by another thread.
#include "check.h"
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>

static int file;
static char *area, *source;
static volatile int told;

static int open_file(int flags) {
  int opened = syscall(SYS_userfaultfd, flags);
  if (opened < 0) {
    CHECK(errno == ENOSYS || errno == EPERM);
    exit(0); // A kernel without it, or a user who may not.
  }
  return opened;
}

static void agree(int opened) {
  struct uffdio_api api = {.api = UFFD_API};
  OK(ioctl(opened, UFFDIO_API, &api));
  CHECK(api.features & UFFD_FEATURE_PAGEFAULT_FLAG_WP);
  CHECK_EQ(api.ioctls & (1ULL << _UFFDIO_REGISTER), 1ULL << _UFFDIO_REGISTER);
}

static struct uffd_msg next(void) {
  struct uffd_msg message;
  CHECK_EQ(read(file, &message, sizeof message), (long)sizeof message);
  CHECK_EQ(message.event, UFFD_EVENT_PAGEFAULT);
  told++;
  return message;
}

static void *serve(void *argument) {
  for (long left = (long)argument; left > 0; left--) {
    struct uffd_msg message = next();
    char *page = (char *)(message.arg.pagefault.address & ~(PAGE - 1UL));
    if (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
      struct uffdio_writeprotect protect = {.range = {(unsigned long)page, PAGE}};
      OK(ioctl(file, UFFDIO_WRITEPROTECT, &protect));
      continue;
    }
    CHECK_EQ(message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP, 0);
    memset(source, 'a' + (page - area) / PAGE, PAGE);
    struct uffdio_copy copy = {.dst = (unsigned long)page, .src = (unsigned long)source, .len = PAGE};
    OK(ioctl(file, UFFDIO_COPY, &copy));
    CHECK_EQ(copy.copy, PAGE);
  }
  return NULL;
}

static void errors(void) {
  CHECK_ERRNO(syscall(SYS_userfaultfd, 8), EINVAL);
  struct uffd_msg message;
  struct uffdio_range range = {(unsigned long)area, PAGE};
  CHECK_ERRNO(ioctl(file, UFFDIO_WAKE, &range), EINVAL);
  CHECK_ERRNO(read(file, &message, sizeof message), EINVAL);
  struct uffdio_api api = {.api = 0xab};
  CHECK_ERRNO(ioctl(file, UFFDIO_API, &api), EINVAL);
  api.api = UFFD_API, api.features = 1ULL << 63;
  CHECK_ERRNO(ioctl(file, UFFDIO_API, &api), EINVAL);
  agree(file);
  CHECK_ERRNO(read(file, &message, sizeof message - 1), EINVAL);
  struct uffdio_register wanted = {.range = {(unsigned long)area, PAGE}};
  CHECK_ERRNO(ioctl(file, UFFDIO_REGISTER, &wanted), EINVAL);
  wanted.mode = 1ULL << 40;
  CHECK_ERRNO(ioctl(file, UFFDIO_REGISTER, &wanted), EINVAL);
  wanted.mode = UFFDIO_REGISTER_MODE_MISSING, wanted.range.start++;
  CHECK_ERRNO(ioctl(file, UFFDIO_REGISTER, &wanted), EINVAL);
  wanted.range.start--, wanted.range.len = 0;
  CHECK_ERRNO(ioctl(file, UFFDIO_REGISTER, &wanted), EINVAL);
  struct uffdio_copy copy = {.dst = (unsigned long)area, .src = (unsigned long)source, .len = PAGE};
  CHECK_ERRNO(ioctl(file, UFFDIO_COPY, &copy), ENOENT);
  CHECK_EQ(copy.copy, -ENOENT);
  copy.len = 1;
  CHECK_ERRNO(ioctl(file, UFFDIO_COPY, &copy), EINVAL);
  copy.len = PAGE, copy.mode = 64;
  CHECK_ERRNO(ioctl(file, UFFDIO_COPY, &copy), EINVAL);
}

static void missing_pages_come_from_a_thread(void) {
  struct uffdio_register wanted = {.range = {(unsigned long)area, 16 * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  OK(ioctl(file, UFFDIO_REGISTER, &wanted));
  CHECK(wanted.ioctls & 1ULL << _UFFDIO_COPY && wanted.ioctls & 1ULL << _UFFDIO_ZEROPAGE);
  int other = open_file(O_CLOEXEC | O_NONBLOCK);
  agree(other);
  CHECK_ERRNO(ioctl(other, UFFDIO_REGISTER, &wanted), EBUSY);
  struct uffd_msg message;
  CHECK_ERRNO(read(other, &message, sizeof message), EAGAIN);
  OK(close(other));
  pthread_t thread = start_thread(serve, (void *)6L);
  CHECK_EQ(area[0], 'a');
  CHECK_EQ(area[5], 'a');
  area[PAGE] = 'x';
  CHECK_EQ(area[PAGE + 1], 'b');
  for (int page = 5; page < 8; page++) CHECK_EQ(area[page * PAGE + 9], 'a' + page);
  // System calls wait as well.
  int pipes[2];
  OK(pipe(pipes));
  CHECK_EQ(write(pipes[1], area + 9 * PAGE, 3), 3);
  char text[4];
  CHECK_EQ(read(pipes[0], text, sizeof text), 3);
  CHECK(memcmp(text, "jjj", 3) == 0);
  join_thread(thread);
  CHECK_EQ(told, 6);
  // What is put there before it is touched is not told of.
  struct uffdio_zeropage zero = {.range = {(unsigned long)(area + 10 * PAGE), 2 * PAGE}};
  OK(ioctl(file, UFFDIO_ZEROPAGE, &zero));
  CHECK_EQ(zero.zeropage, 2 * PAGE);
  CHECK_EQ(area[11 * PAGE], 0);
  CHECK_ERRNO(ioctl(file, UFFDIO_ZEROPAGE, &zero), EEXIST);
  CHECK_EQ(zero.zeropage, -EEXIST);
  struct uffdio_copy copy = {.dst = (unsigned long)(area + 9 * PAGE), .src = (unsigned long)source, .len = PAGE};
  CHECK_ERRNO(ioctl(file, UFFDIO_COPY, &copy), EEXIST);
  // Freed pages are missing again.
  OK(madvise(area, PAGE, MADV_DONTNEED));
  thread = start_thread(serve, (void *)1L);
  CHECK_EQ(area[77], 'a');
  join_thread(thread);
}

static void the_end_of_it(void) {
  struct uffdio_range range = {(unsigned long)area, 16 * PAGE};
  OK(ioctl(file, UFFDIO_UNREGISTER, &range));
  CHECK_EQ(area[14 * PAGE], 0);
}

static void *touch(void *argument) {
  volatile char *byte = argument;
  return (void *)(long)*byte;
}

static void closing_lets_everybody_go(void) {
  int other = open_file(O_CLOEXEC | O_NONBLOCK);
  agree(other);
  char *fresh = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
  struct uffdio_register wanted = {.range = {(unsigned long)fresh, 4 * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  OK(ioctl(other, UFFDIO_REGISTER, &wanted));
  struct pollfd look = {.fd = other, .events = POLLIN};
  CHECK_EQ(poll(&look, 1, 0), 0);
  pthread_t thread = start_thread(touch, fresh + PAGE);
  CHECK_EQ(poll(&look, 1, 10000), 1);
  CHECK_EQ(look.revents, POLLIN);
  OK(close(other));
  CHECK_EQ((long)join_thread(thread), 0);
  CHECK_EQ(fresh[3 * PAGE], 0);
}

static void writes_to_protected_pages_are_told(void) {
  char *fresh = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
  memset(fresh, 5, 4 * PAGE);
  struct uffdio_register wanted = {.range = {(unsigned long)fresh, 4 * PAGE}, .mode = UFFDIO_REGISTER_MODE_WP};
  OK(ioctl(file, UFFDIO_REGISTER, &wanted));
  CHECK(wanted.ioctls & 1ULL << _UFFDIO_WRITEPROTECT);
  struct uffdio_writeprotect protect = {.range = {(unsigned long)fresh, 2 * PAGE}, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
  OK(ioctl(file, UFFDIO_WRITEPROTECT, &protect));
  told = 0;
  CHECK_EQ(fresh[0], 5);
  fresh[3 * PAGE] = 6;
  CHECK_EQ(told, 0);
  pthread_t thread = start_thread(serve, (void *)1L);
  fresh[PAGE] = 7;
  join_thread(thread);
  CHECK_EQ(told, 1);
  CHECK_EQ(fresh[PAGE], 7);
  CHECK_EQ(fresh[PAGE + 1], 5);
  protect.mode = 8;
  CHECK_ERRNO(ioctl(file, UFFDIO_WRITEPROTECT, &protect), EINVAL);
  protect.mode = UFFDIO_WRITEPROTECT_MODE_WP, protect.range.start = (unsigned long)source;
  CHECK_ERRNO(ioctl(file, UFFDIO_WRITEPROTECT, &protect), ENOENT);
  struct uffdio_range range = {(unsigned long)fresh, 4 * PAGE};
  OK(ioctl(file, UFFDIO_UNREGISTER, &range));
  fresh[0] = 9;
  CHECK_EQ(fresh[0], 9);
}

static void signals_instead(void) {
  int other = open_file(O_CLOEXEC);
  struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_SIGBUS};
  OK(ioctl(other, UFFDIO_API, &api));
  char *fresh = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  struct uffdio_register wanted = {.range = {(unsigned long)fresh, PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  OK(ioctl(other, UFFDIO_REGISTER, &wanted));
  CHECK_EQ(fault_of(fresh, 0), SIGBUS);
  OK(close(other));
  CHECK_EQ(fault_of(fresh, 1), 0);
}

// Linux 6.6 and 6.8; headers may be older.
struct poison_request {
  struct uffdio_range range;
  uint64_t mode;
  int64_t done;
};
struct move_request {
  uint64_t target, source, length, mode;
  int64_t done;
};
#define POISON_PAGES _IOWR(UFFDIO, 0x08, struct poison_request)
#define MOVE_PAGES _IOWR(UFFDIO, 0x05, struct move_request)
#define ALLOW_HOLES 2

// Two pages of which this file is told; -1 if the kernel has no such feature.
static int watch(char *pages, uint64_t feature) {
  int own = open_file(O_CLOEXEC);
  struct uffdio_api api = {.api = UFFD_API, .features = feature};
  if (ioctl(own, UFFDIO_API, &api) != 0) return -1;
  struct uffdio_register wanted = {.range = {(unsigned long)pages, 2 * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
  OK(ioctl(own, UFFDIO_REGISTER, &wanted));
  return own;
}

static void poisoned_pages_are_as_broken_memory(void) {
  char *pages = map_anonymous(2 * PAGE, PROT_READ | PROT_WRITE);
  int own = watch(pages, 1 << 14);
  if (own < 0) return;
  struct poison_request poison = {.range = {(unsigned long)pages, PAGE}};
  OK(ioctl(own, POISON_PAGES, &poison));
  CHECK_EQ(poison.done, PAGE);
  CHECK_ERRNO(ioctl(own, POISON_PAGES, &poison), EEXIST);
  CHECK_EQ(poison.done, -EEXIST);
  struct uffdio_zeropage zero = {.range = {(unsigned long)pages, PAGE}};
  CHECK_ERRNO(ioctl(own, UFFDIO_ZEROPAGE, &zero), EEXIST);
  poison.mode = 2;
  CHECK_ERRNO(ioctl(own, POISON_PAGES, &poison), EINVAL);
  CHECK_EQ(fault_of(pages, 0), SIGBUS);
  int channel[2];
  OK(pipe(channel));
  CHECK_ERRNO(write(channel[1], pages, 1), EFAULT);
  OK(close(own));
  CHECK_EQ(fault_of(pages, 1), SIGBUS);
  OK(madvise(pages, PAGE, MADV_DONTNEED));
  CHECK_EQ(fault_of(pages, 1), 0);
}

static void pages_move(void) {
  char *pages = map_anonymous(2 * PAGE, PROT_READ | PROT_WRITE);
  char *from = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
  int own = watch(pages, 1 << 16);
  if (own < 0) return;
  memset(from, 'm', 2 * PAGE);
  struct move_request move = {(unsigned long)pages, (unsigned long)from, PAGE, 0, 0};
  OK(ioctl(own, MOVE_PAGES, &move));
  CHECK_EQ(move.done, PAGE);
  CHECK_EQ(pages[PAGE - 1], 'm');
  CHECK_EQ(from[0], 0);
  CHECK_ERRNO(ioctl(own, MOVE_PAGES, &move), EEXIST);
  move = (struct move_request){(unsigned long)pages + PAGE, (unsigned long)from + PAGE, PAGE, 4, 0};
  CHECK_ERRNO(ioctl(own, MOVE_PAGES, &move), EINVAL);
  OK(madvise(from, 4 * PAGE, MADV_DONTNEED));
  move.mode = 0;
  CHECK_ERRNO(ioctl(own, MOVE_PAGES, &move), ENOENT);
  move.mode = ALLOW_HOLES;
  OK(ioctl(own, MOVE_PAGES, &move));
  move = (struct move_request){(unsigned long)from, (unsigned long)pages, PAGE, 0, 0};
  CHECK(ioctl(own, MOVE_PAGES, &move) == -1);
  OK(mprotect(from, 4 * PAGE, PROT_READ));
  move = (struct move_request){(unsigned long)pages + PAGE, (unsigned long)from, PAGE, 0, 0};
  CHECK_ERRNO(ioctl(own, MOVE_PAGES, &move), EINVAL);
  OK(close(own));
}

static void one_who_waits_can_be_killed(void) {
  pid_t pid;
  IN_CHILD(pid) {
    int own = open_file(O_CLOEXEC);
    agree(own);
    char *fresh = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
    struct uffdio_register wanted = {.range = {(unsigned long)fresh, PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    OK(ioctl(own, UFFDIO_REGISTER, &wanted));
    touch(fresh);
  }
  until_asleep(pid);
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

// Where there is the device, whoever has opened it gets files of the same kind.
static void the_device_makes_them(void) {
  int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  if (device < 0) return;
  char byte;
  CHECK_ERRNO(read(device, &byte, 1), EINVAL);
  CHECK_ERRNO(ioctl(device, USERFAULTFD_IOC_NEW, 1 << 30), EINVAL);
  CHECK_ERRNO(ioctl(device, USERFAULTFD_IOC_NEW + 1, 0), EINVAL);
  int made = OK(ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC));
  CHECK_EQ(fcntl(made, F_GETFD), FD_CLOEXEC);
  struct uffdio_api api = {.api = UFFD_API};
  OK(ioctl(made, UFFDIO_API, &api));
  OK(close(made));
  OK(close(device));
}

int main(void) {
  file = open_file(O_CLOEXEC);
  area = map_anonymous(16 * PAGE, PROT_READ | PROT_WRITE);
  source = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  memset(source, 1, PAGE);
  errors();
  missing_pages_come_from_a_thread();
  the_end_of_it();
  closing_lets_everybody_go();
  writes_to_protected_pages_are_told();
  signals_instead();
  poisoned_pages_are_as_broken_memory();
  pages_move();
  one_who_waits_can_be_killed();
  the_device_makes_them();
  return 0;
}
