// A small library over io_uring's system calls, for the guest programs that test them.
#ifndef RING_H
#define RING_H

#include "check.h"
#include <linux/io_uring.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

// `struct io_uring_cqe` without what large ones hold more.
struct completion {
  uint64_t user_data;
  int32_t res;
  uint32_t flags;
};

struct ring {
  int fd;
  struct io_uring_params parameters;
  char *rings;
  size_t rings_size;
  struct io_uring_sqe *sqes;
  unsigned prepared; // Submissions that have been filled in.
};

#define SQ_WORD(ring, field) ((_Atomic unsigned *)((ring)->rings + (ring)->parameters.sq_off.field))
#define CQ_WORD(ring, field) ((_Atomic unsigned *)((ring)->rings + (ring)->parameters.cq_off.field))

UNUSED static int ring_setup(unsigned entries, struct io_uring_params *parameters) {
  return syscall(SYS_io_uring_setup, entries, parameters);
}

UNUSED static long ring_enter(int fd, unsigned submit, unsigned wait, unsigned flags, void *argument, size_t size) {
  return syscall(SYS_io_uring_enter, fd, submit, wait, flags, argument, size);
}

UNUSED static long ring_register(int fd, unsigned opcode, void *argument, unsigned count) {
  return syscall(SYS_io_uring_register, fd, opcode, argument, count);
}

// A ring, if it can be had; else -1.
UNUSED static int ring_try(struct ring *ring, unsigned entries, unsigned flags) {
  memset(ring, 0, sizeof *ring);
  ring->parameters.flags = flags;
  ring->fd = ring_setup(entries, &ring->parameters);
  if (ring->fd < 0) return -1;
  struct io_uring_params *p = &ring->parameters;
  CHECK(p->features & IORING_FEAT_SINGLE_MMAP);
  ring->rings_size = p->cq_off.cqes + p->cq_entries * sizeof(struct completion);
  if (p->sq_off.array) {
    size_t end = p->sq_off.array + p->sq_entries * sizeof(unsigned);
    if (end > ring->rings_size) ring->rings_size = end;
  }
  ring->rings = mmap(NULL, ring->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQ_RING);
  if (ring->rings == MAP_FAILED) return -1;
  ring->sqes = mmap(NULL, p->sq_entries * sizeof *ring->sqes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQES);
  if (ring->sqes == MAP_FAILED) return -1;
  for (unsigned index = 0; p->sq_off.array && index < p->sq_entries; index++) ((unsigned *)(ring->rings + p->sq_off.array))[index] = index;
  return 0;
}

UNUSED static void ring_open(struct ring *ring, unsigned entries, unsigned flags) { OK(ring_try(ring, entries, flags)); }

UNUSED static void ring_close(struct ring *ring) {
  OK(munmap(ring->rings, ring->rings_size));
  OK(munmap(ring->sqes, ring->parameters.sq_entries * sizeof *ring->sqes));
  OK(close(ring->fd));
}

// The next submission, filled in with what most have.
UNUSED static struct io_uring_sqe *ring_prepare(struct ring *ring, int opcode, int fd, const void *address, unsigned length, uint64_t offset, uint64_t data) {
  unsigned tail = *SQ_WORD(ring, tail) + ring->prepared;
  CHECK(tail - *SQ_WORD(ring, head) < ring->parameters.sq_entries);
  struct io_uring_sqe *sqe = &ring->sqes[tail & (ring->parameters.sq_entries - 1)];
  memset(sqe, 0, sizeof *sqe);
  sqe->opcode = opcode;
  sqe->fd = fd;
  sqe->addr = (uintptr_t)address;
  sqe->len = length;
  sqe->off = offset;
  sqe->user_data = data;
  ring->prepared++;
  return sqe;
}

// Submits what is prepared and waits for so many completions; how many were submitted.
UNUSED static long ring_submit(struct ring *ring, unsigned wait) {
  unsigned count = ring->prepared;
  ring->prepared = 0;
  *SQ_WORD(ring, tail) += count;
  return ring_enter(ring->fd, count, wait, wait || ring->parameters.flags & IORING_SETUP_DEFER_TASKRUN ? IORING_ENTER_GETEVENTS : 0, NULL, 0);
}

// The next completion, if there is one.
UNUSED static int ring_peek(struct ring *ring, struct completion *cqe) {
  unsigned head = *CQ_WORD(ring, head);
  if (head == *CQ_WORD(ring, tail)) return 0;
  *cqe = ((struct completion *)(ring->rings + ring->parameters.cq_off.cqes))[head & (ring->parameters.cq_entries - 1)];
  *CQ_WORD(ring, head) = head + 1;
  return 1;
}

// The next completion, once there is one.
UNUSED static struct completion ring_wait(struct ring *ring) {
  struct completion cqe;
  while (!ring_peek(ring, &cqe)) OK(ring_enter(ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0));
  return cqe;
}

// The next completion is of this submission, and has this result.
#define COMPLETES(ring, data, result) \
  ({ \
    struct completion check_cqe = ring_wait(ring); \
    CHECK_EQ(check_cqe.user_data, data); \
    CHECK_EQ(check_cqe.res, result); \
    check_cqe; \
  })

// There is no completion.
#define NO_COMPLETION(ring) \
  do { \
    struct completion check_cqe; \
    if (ring_peek(ring, &check_cqe)) FAIL("completion of %lld: %d", (long long)check_cqe.user_data, check_cqe.res); \
  } while (0)

// Submits what is prepared, and has it complete with this result.
#define SUBMIT_ONE(ring, result) \
  ({ \
    CHECK_EQ(ring_submit(ring, 0), 1); \
    struct completion check_one = ring_wait(ring); \
    CHECK_EQ(check_one.res, result); \
    check_one; \
  })

#endif
