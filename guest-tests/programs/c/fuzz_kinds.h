// For the fuzzer of calls: objects whose calls depend on each other. A ring, memory whose touches another thread serves, a file
// system whose server lies, and files that are cut while they are mapped. What they need is there, or is left out.
#ifndef FUZZ_KINDS_H
#define FUZZ_KINDS_H

#include "ring.h"
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <termios.h>

enum { FAULT_PAGES = 16, RING_ENTRIES = 64 };

static struct ring fuzz_ring;
static int has_ring, faults_fd = -1, server_fd = -1;
static unsigned char *faulting;

static uint64_t next(uint64_t *state);
static long edge_number(uint64_t *state);
static long address(uint64_t *state);

static int is_faulting(const unsigned char *page) { return faulting != NULL && page >= faulting && page < faulting + FAULT_PAGES * PAGE; }

static long faulting_page(uint64_t *state) { return (long)(faulting + next(state) % FAULT_PAGES * PAGE); }

static void write_line(const char *path, const char *line) {
  int file = open(path, O_WRONLY);
  if (file < 0) return;
  if (write(file, line, strlen(line)) < 0) errno = 0;
  close(file);
}

// Mounts "served", in a namespace of its own, where the thread of the server tells of it what it likes.
static void mount_served(int is_privileged) {
  char options[80];
  int uid = geteuid();
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  if (unshare(CLONE_NEWNS | (is_privileged ? 0 : CLONE_NEWUSER)) < 0) return;
  if (!is_privileged) {
    snprintf(options, sizeof options, "0 %d 1", uid);
    write_line("/proc/self/setgroups", "deny");
    write_line("/proc/self/uid_map", options);
    write_line("/proc/self/gid_map", options);
  }
  if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return;
  server_fd = open("/dev/fuse", O_RDWR | O_NONBLOCK);
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", server_fd);
  if (mount("none", "served", "fuse", 0, options) < 0) errno = 0;
}

static void open_kinds(int is_privileged) {
  mount_served(is_privileged);
  has_ring = ring_try(&fuzz_ring, RING_ENTRIES, 0) == 0;
  faulting = (void *)map_anonymous(FAULT_PAGES * PAGE, PROT_READ | PROT_WRITE);
  faults_fd = syscall(SYS_userfaultfd, (is_privileged ? 0 : UFFD_USER_MODE_ONLY) | O_NONBLOCK);
  ioctl(faults_fd, UFFDIO_API, &(struct uffdio_api){.api = UFFD_API});
  ioctl(faults_fd, UFFDIO_REGISTER, &(struct uffdio_register){.range = {(uintptr_t)faulting, FAULT_PAGES * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING});
  int secret = syscall(SYS_memfd_secret, 0);
  if (secret >= 0 && ftruncate(secret, 4 * PAGE) < 0) close(secret);
}

// Requests of ioctl, and what is in their structures, a letter for eight bytes: F page whose touches are served, m address, k
// length, x flags, f descriptor, o offset.
static const struct {
  unsigned long request;
  const char *words;
} known_requests[] = {
    {UFFDIO_API, "x00"}, {UFFDIO_REGISTER, "Fkx0"}, {UFFDIO_UNREGISTER, "Fk"}, {UFFDIO_WAKE, "Fk"}, {UFFDIO_COPY, "Fmkx0"},
    {UFFDIO_ZEROPAGE, "Fkx0"}, {UFFDIO_WRITEPROTECT, "Fkx"}, {UFFDIO_CONTINUE, "Fkx0"}, {_IOWR(0xAA, 8, struct uffdio_zeropage), "Fkx0"},
    {_IOWR(0xAA, 5, struct uffdio_copy), "Fmkx0"}, {FS_IOC_FIEMAP, "ooxx00"}, {FICLONE, "f"}, {FICLONERANGE, "fooo"}, {FIDEDUPERANGE, "ook0fo00"},
    {FS_IOC_SETFLAGS, "x"}, {FIONBIO, "x"}, {FIOASYNC, "x"}, {FIONREAD, "0"}, {TCSETS, "xxxxxx"}, {TIOCSTI, "x"}, {TIOCPKT, "x"}, {TCXONC, "0"},
    {0x8004e500 /* FUSE_DEV_IOC_CLONE */, "f"}, {0xc0686611 /* PROCMAP_QUERY */, "kxm0000km0000"}, {0xb703 /* NS_GET_NSTYPE */, "0"},
};

static void known_request(uint64_t *state, long *arguments, uint64_t *room) {
  size_t which = next(state) % COUNT(known_requests);
  const char *words = known_requests[which].words;
  for (int i = 0; words[i] != 0; i++) {
    uint64_t random = next(state);
    switch (random % 16 == 0 ? 'e' : words[i]) {
      case 'F': room[i] = faulting_page(state); break;
      case 'm': room[i] = address(state); break;
      case 'k': room[i] = (1 + random / 16 % 4) * PAGE; break;
      case 'x': room[i] = random / 16 % 4 ? 1UL << (random / 64 % 20) : random >> 32; break;
      case 'f': room[i] = random / 16 % 48; break;
      case 'o': room[i] = random / 16 % 20000; break;
      case 'e': room[i] = edge_number(state); break;
      default: room[i] = 0;
    }
  }
  arguments[1] = known_requests[which].request, arguments[2] = (long)room;
}

// Submits requests of any kind and takes the completions that there are; others do so at the same time.
static void ring_once(uint64_t *state) {
  unsigned count = 1 + next(state) % 8, tail = *SQ_WORD(&fuzz_ring, tail);
  for (unsigned i = 0; i < count; i++) {
    struct io_uring_sqe *sqe = &fuzz_ring.sqes[(tail + i) % RING_ENTRIES];
    uint64_t random = next(state);
    *sqe = (struct io_uring_sqe){.opcode = random % 60, .flags = random >> 8 & 7 ? 0 : random >> 16 & 0x7f, .fd = random >> 24 & 0xf ? (int)(random >> 28 & 31) : -1,
      .addr = address(state), .len = random >> 40 & 7 ? (long)(random >> 43 & 0xfff) : edge_number(state), .off = random >> 56 & 1 ? (long)(random >> 32 & 0xffff) : address(state),
      .user_data = random & 15, .rw_flags = random >> 57 & 3 ? 0 : (int)next(state), .buf_index = random >> 59 & 3};
    if (random >> 62 == 3) memcpy((char *)sqe + random % 56, &random, 8);
  }
  *SQ_WORD(&fuzz_ring, tail) = tail + count;
  ring_enter(fuzz_ring.fd, count, next(state) % 2, next(state) % 4 ? IORING_ENTER_GETEVENTS : next(state) % 32, NULL, 0);
  *CQ_WORD(&fuzz_ring, head) = *CQ_WORD(&fuzz_ring, tail);
}

// Has files in the place of a page of the arena, and cuts them.
static void disturb_files(uint64_t *state, unsigned char *page, size_t length) {
  static const char *const files[] = {"a", "b", "/executables/0", "/executables/1", "served/a", "/proc/self/fd/45"};
  uint64_t random = next(state);
  int file = open(files[random % COUNT(files)], (random >> 8 & 3 ? O_RDWR : O_RDONLY) | O_NONBLOCK);
  if (file < 0) return;
  int kind = random >> 16 & 1 ? MAP_SHARED : MAP_PRIVATE, protection = random >> 17 & 1 ? PROT_READ | PROT_WRITE : PROT_READ;
  mmap(page, length, protection, kind | MAP_FIXED, file, (random >> 24 & 3) * PAGE);
  if (random >> 32 & 1 && ftruncate(file, random >> 36 & 0x7fff) < 0) errno = 0;
  if (random >> 33 & 1 && pwrite(file, page, random >> 44 & 0xfff, random >> 50 & 0x3fff) < 0) errno = 0;
  close(file);
  if (random >> 34 & 1) (void)*(volatile unsigned char *)page;
}

static void serve_touch(uint64_t *state, int faults) {
  struct uffd_msg message;
  if (read(faults, &message, sizeof message) != sizeof message) {
    // Whoever waits for what was not answered asks again.
    ioctl(faults, UFFDIO_WAKE, &(struct uffdio_range){(uintptr_t)faulting, FAULT_PAGES * PAGE});
    return;
  }
  static char bytes[PAGE];
  uintptr_t page = message.arg.pagefault.address & -PAGE;
  switch (next(state) % 8) {
    case 0: break;
    case 1: ioctl(faults, UFFDIO_UNREGISTER, &(struct uffdio_range){page, PAGE}); break;
    case 2: ioctl(faults, UFFDIO_ZEROPAGE, &(struct uffdio_zeropage){.range = {page, PAGE}}); break;
    case 3: mmap((void *)page, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); break;
    default: ioctl(faults, UFFDIO_COPY, &(struct uffdio_copy){.dst = page, .src = (uintptr_t)bytes, .len = PAGE}); break;
  }
}

// Answers a request with what has the right form most often, and tells the truth never.
static void serve_request(uint64_t *state, int server) {
  static char request[1 << 17];
  static struct { struct fuse_out_header header; uint64_t words[1200]; } answer;
  if (read(server, request, sizeof request) < (ssize_t)sizeof(struct fuse_in_header)) return;
  struct fuse_in_header *in = (void *)request;
  if (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET || in->opcode == FUSE_INTERRUPT) return;
  for (size_t i = 0; i < COUNT(answer.words); i++) answer.words[i] = next(state) % 4 ? next(state) % 64 : next(state);
  static const unsigned types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFSOCK, 0, 0xffff};
  struct fuse_attr attributes = {.ino = next(state) % 9, .size = next(state) % 3 ? next(state) % 20000 : next(state), .mode = types[next(state) % 64 % COUNT(types)] | 0777, .nlink = next(state) % 3, .blksize = next(state)};
  uint64_t valid = next(state) % 2 ? 0 : next(state);
  size_t len = next(state) % 8 ? next(state) % 200 : next(state) % sizeof answer.words;
  switch (in->opcode) {
    case FUSE_INIT: memcpy(answer.words, &(struct fuse_init_out){.major = 7, .minor = 31, .flags = next(state), .max_write = next(state) % 70000}, len = sizeof(struct fuse_init_out)); break;
    case FUSE_LOOKUP: case FUSE_MKDIR: case FUSE_MKNOD: case FUSE_SYMLINK: case FUSE_LINK: case FUSE_CREATE:
      memcpy(answer.words, &(struct fuse_entry_out){.nodeid = next(state) % 8 ? 2 + next(state) % 20 : next(state), .generation = next(state) % 2, .entry_valid = valid, .attr_valid = valid, .attr = attributes}, sizeof(struct fuse_entry_out));
      len = sizeof(struct fuse_entry_out) + (in->opcode == FUSE_CREATE ? sizeof(struct fuse_open_out) : 0);
      break;
    case FUSE_GETATTR: case FUSE_SETATTR: memcpy(answer.words, &(struct fuse_attr_out){.attr_valid = valid, .attr = attributes}, len = sizeof(struct fuse_attr_out)); break;
    case FUSE_OPEN: case FUSE_OPENDIR: memcpy(answer.words, &(struct fuse_open_out){.fh = next(state), .open_flags = next(state) % 32}, len = sizeof(struct fuse_open_out)); break;
    case FUSE_WRITE: len = sizeof(struct fuse_write_out); break;
    case FUSE_READDIR: case FUSE_READDIRPLUS:
      for (size_t i = 0; i + 24 < COUNT(answer.words); i += 4) memcpy(answer.words + i, &(struct fuse_dirent){.ino = i, .off = i + 1, .namelen = next(state) % 16 ? 5 : next(state) % 400, .type = next(state) % 16}, sizeof(struct fuse_dirent));
      break;
  }
  if (next(state) % 16 == 0 && in->opcode != FUSE_INIT) len = next(state) % sizeof answer.words;
  int has_failed = next(state) % 8 == 0 && in->opcode != FUSE_INIT;
  answer.header = (struct fuse_out_header){.len = sizeof answer.header + (has_failed ? 0 : len), .error = has_failed ? -(int)(next(state) % 140) : 0, .unique = in->unique};
  if (next(state) % 32 == 0) answer.header.unique = next(state) % 64;
  // An answer that is none: then a refusal, so that nobody waits for ever.
  if (write(server, &answer, answer.header.len) < 0 || answer.header.unique != in->unique) {
    answer.header = (struct fuse_out_header){.len = sizeof answer.header, .error = -EIO, .unique = in->unique};
    if (write(server, &answer, sizeof answer.header) < 0) errno = 0;
  }
  if (next(state) % 16 == 0) {
    len = next(state) % 64;
    answer.header = (struct fuse_out_header){.len = sizeof answer.header + len, .error = next(state) % 8};
    if (write(server, &answer, answer.header.len) < 0) errno = 0;
  }
}

// Serves touches of memory and requests of the file system, by descriptors that the others may close.
static void *serves(void *seed) {
  uint64_t state = (uint64_t)seed;
  for (;;) {
    struct pollfd polled[] = {{.fd = faults_fd, .events = POLLIN}, {.fd = server_fd, .events = POLLIN}};
    if (poll(polled, COUNT(polled), 1) < 0) sched_yield();
    serve_touch(&state, faults_fd);
    serve_request(&state, server_fd);
  }
  return NULL;
}

#endif
