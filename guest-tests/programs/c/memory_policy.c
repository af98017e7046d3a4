// Memory policies on a machine whose memory is on node 0, or on one more that the program keeps away from.
#include "check.h"
#include <linux/mempolicy.h>

#define STATIC_NODES (1 << 15)
#define RELATIVE_NODES (1 << 14)
#define MASK_BITS 64UL

static long get(int *mode, unsigned long *nodes, void *address, unsigned long flags) {
  return syscall(SYS_get_mempolicy, mode, nodes, MASK_BITS + 1, address, flags);
}

static long set(int mode, unsigned long nodes) { return syscall(SYS_set_mempolicy, mode, &nodes, MASK_BITS + 1); }

static long bind_range(void *start, unsigned long length, unsigned long mode, unsigned long nodes, unsigned flags) {
  return syscall(SYS_mbind, start, length, mode, &nodes, MASK_BITS + 1, flags);
}

static void check_policy(int expected_mode, unsigned long expected_nodes, void *address) {
  int mode = -1;
  unsigned long nodes = ~0UL;
  OK(get(&mode, &nodes, address, address ? MPOL_F_ADDR : 0));
  CHECK_EQ(mode, expected_mode);
  CHECK_EQ(nodes, expected_nodes);
}

static void a_task_keeps_its_policy(void) {
  check_policy(MPOL_DEFAULT, 0, NULL);
  struct { int mode; unsigned long nodes; int told; unsigned long told_nodes; } kept[] = {
    {MPOL_BIND, 1, MPOL_BIND, 1},
    {MPOL_INTERLEAVE, 1, MPOL_INTERLEAVE, 1},
    {MPOL_PREFERRED, 1, MPOL_PREFERRED, 1},
    {MPOL_PREFERRED, 0, MPOL_LOCAL, 0},
    {MPOL_LOCAL, 0, MPOL_LOCAL, 0},
    {MPOL_PREFERRED_MANY, 1, MPOL_PREFERRED_MANY, 1},
    {MPOL_BIND | STATIC_NODES, 1, MPOL_BIND | STATIC_NODES, 1},
    {MPOL_BIND | STATIC_NODES, 1 | 1UL << 40, MPOL_BIND | STATIC_NODES, 1 | 1UL << 40},
    {MPOL_BIND | RELATIVE_NODES, 1UL << 5, MPOL_BIND | RELATIVE_NODES, 1UL << 5},
    {MPOL_BIND, 1 | 1UL << 40, MPOL_BIND, 1}, // What is not there falls away.
    {MPOL_DEFAULT, 0, MPOL_DEFAULT, 0},
  };
  for (size_t i = 0; i < COUNT(kept); i++) {
    CHECK_CASE(set(kept[i].mode, kept[i].nodes) == 0, "case %zu", i);
    check_policy(kept[i].told, kept[i].told_nodes, NULL);
  }
  OK(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0));
}

static void wrong_policies_are_refused(void) {
  struct { int mode; unsigned long nodes; } wrong[] = {
    {MPOL_DEFAULT, 1}, {MPOL_BIND, 0}, {MPOL_INTERLEAVE, 0}, {MPOL_LOCAL, 1}, {MPOL_PREFERRED_MANY, 0}, {99, 1}, {-1, 1},
    {MPOL_BIND | STATIC_NODES | RELATIVE_NODES, 1}, {MPOL_PREFERRED | STATIC_NODES, 0}, {MPOL_LOCAL | STATIC_NODES, 0},
    {MPOL_INTERLEAVE | 1 << 13, 1}, {MPOL_BIND, 1UL << 40}, {MPOL_BIND | STATIC_NODES, 1UL << 40}, {MPOL_DEFAULT | STATIC_NODES, 1},
  };
  for (size_t i = 0; i < COUNT(wrong); i++) {
    long got = set(wrong[i].mode, wrong[i].nodes);
    CHECK_CASE(got == -1 && errno == EINVAL, "case %zu", i);
  }
  unsigned long none = 0, one = 1;
  CHECK_ERRNO(syscall(SYS_set_mempolicy, MPOL_BIND, wild, MASK_BITS), EFAULT);
  CHECK_ERRNO(syscall(SYS_set_mempolicy, MPOL_BIND, &one, 1UL << 20), EINVAL);
  CHECK_ERRNO(syscall(SYS_set_mempolicy, MPOL_BIND, &one, 0UL), EINVAL);
  CHECK_ERRNO(syscall(SYS_set_mempolicy, MPOL_BIND, &one, 1UL), EINVAL); // A mask of no bits.
  OK(syscall(SYS_set_mempolicy, MPOL_BIND, &one, 2UL));
  OK(syscall(SYS_set_mempolicy, MPOL_DEFAULT, &none, MASK_BITS));
}

static void questions_are_checked(void) {
  int mode;
  unsigned long nodes;
  char *memory = map_anonymous(2 * PAGE, PROT_READ | PROT_WRITE);
  OK(get(&mode, &nodes, NULL, MPOL_F_MEMS_ALLOWED));
  CHECK(nodes & 1);
  CHECK_ERRNO(get(&mode, &nodes, NULL, MPOL_F_MEMS_ALLOWED | MPOL_F_ADDR), EINVAL);
  CHECK_ERRNO(get(&mode, &nodes, NULL, MPOL_F_MEMS_ALLOWED | MPOL_F_NODE), EINVAL);
  CHECK_ERRNO(get(&mode, &nodes, NULL, 8), EINVAL);
  CHECK_ERRNO(get(&mode, &nodes, memory, 0), EINVAL);
  CHECK_ERRNO(get(&mode, &nodes, NULL, MPOL_F_ADDR), EFAULT);
  CHECK_ERRNO(get(&mode, &nodes, NULL, MPOL_F_NODE), EINVAL);
  CHECK_ERRNO(syscall(SYS_get_mempolicy, wild, &nodes, MASK_BITS, NULL, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_get_mempolicy, &mode, wild, MASK_BITS, NULL, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_get_mempolicy, &mode, &nodes, 0, NULL, 0), EINVAL);
  // A number of bits that is too large is refused, unless it is too large even to be rounded up: then nothing is written.
  CHECK_ERRNO(syscall(SYS_get_mempolicy, &mode, &nodes, 8 * PAGE + 2, NULL, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_get_mempolicy, &mode, &nodes, ULONG_MAX - 62, NULL, 0), EINVAL);
  OK(syscall(SYS_get_mempolicy, &mode, &nodes, ULONG_MAX, NULL, 0));
  OK(get(&mode, NULL, memory, MPOL_F_ADDR | MPOL_F_NODE));
  CHECK_EQ(mode, 0);
  OK(set(MPOL_INTERLEAVE, 1));
  OK(get(&mode, NULL, NULL, MPOL_F_NODE));
  CHECK_EQ(mode, 0);
  OK(set(MPOL_DEFAULT, 0));
  OK(munmap(memory, 2 * PAGE));
}

static void a_range_keeps_its_policy(void) {
  char *memory = map_anonymous(6 * PAGE, PROT_READ | PROT_WRITE);
  OK(bind_range(memory + PAGE, 2 * PAGE, MPOL_BIND, 1, 0));
  check_policy(MPOL_DEFAULT, 0, memory);
  check_policy(MPOL_BIND, 1, memory + PAGE);
  check_policy(MPOL_BIND, 1, memory + 3 * PAGE - 1);
  check_policy(MPOL_DEFAULT, 0, memory + 3 * PAGE);
  OK(bind_range(memory + 2 * PAGE, PAGE, MPOL_PREFERRED, 1, MPOL_MF_STRICT | MPOL_MF_MOVE));
  check_policy(MPOL_BIND, 1, memory + PAGE);
  check_policy(MPOL_PREFERRED, 1, memory + 2 * PAGE);
  char *moved = mremap(memory + 2 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  check_policy(MPOL_PREFERRED, 1, moved);
  OK(munmap(moved, 2 * PAGE));
  pid_t pid;
  OK(set(MPOL_BIND, 1));
  IN_CHILD(pid) {
    check_policy(MPOL_BIND, 1, memory + PAGE);
    check_policy(MPOL_BIND, 1, NULL);
  }
  WAIT_OK(pid);
  OK(set(MPOL_DEFAULT, 0));
  OK(bind_range(memory, 2 * PAGE, MPOL_DEFAULT, 0, 0));
  check_policy(MPOL_DEFAULT, 0, memory + PAGE);
  OK(munmap(memory, 6 * PAGE));
}

static void wrong_ranges_are_refused(void) {
  char *memory = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
  OK(munmap(memory + 2 * PAGE, PAGE));
  CHECK_ERRNO(bind_range(memory, 4 * PAGE, MPOL_BIND, 1, 0), EFAULT);
  CHECK_ERRNO(bind_range(memory + 2 * PAGE, PAGE, MPOL_BIND, 1, 0), EFAULT);
  CHECK_ERRNO(bind_range(memory + 1, PAGE, MPOL_BIND, 1, 0), EINVAL);
  CHECK_ERRNO(bind_range(memory, PAGE, MPOL_BIND, 0, 0), EINVAL);
  CHECK_ERRNO(bind_range(memory, PAGE, 77, 1, 0), EINVAL);
  CHECK_ERRNO(bind_range(memory, PAGE, MPOL_BIND, 1, 16), EINVAL);
  CHECK_ERRNO(bind_range(memory, -2 * PAGE, MPOL_BIND, 1, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_mbind, memory, PAGE, MPOL_BIND, wild, MASK_BITS, 0), EFAULT);
  OK(bind_range(memory, 0, MPOL_BIND, 0, 0)); // Nothing to do is never wrong.
  OK(munmap(memory, 4 * PAGE));
}

#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif

static void a_policy_may_have_a_home(void) {
  char *memory = map_anonymous(3 * PAGE, PROT_READ | PROT_WRITE);
  CHECK_ERRNO(syscall(SYS_set_mempolicy_home_node, memory, PAGE, 0, 0), ENOENT);
  OK(bind_range(memory, PAGE, MPOL_BIND, 1, 0));
  OK(bind_range(memory + PAGE, PAGE, MPOL_INTERLEAVE, 1, 0));
  OK(syscall(SYS_set_mempolicy_home_node, memory, PAGE, 0, 0));
  CHECK_ERRNO(syscall(SYS_set_mempolicy_home_node, memory + PAGE, PAGE, 0, 0), EOPNOTSUPP);
  CHECK_ERRNO(syscall(SYS_set_mempolicy_home_node, memory, PAGE, 0, 1), EINVAL);
  CHECK_ERRNO(syscall(SYS_set_mempolicy_home_node, memory, PAGE, 1 << 20, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_set_mempolicy_home_node, memory + 1, PAGE, 0, 0), EINVAL);
  OK(munmap(memory, 3 * PAGE));
}

static void pages_tell_their_node(void) {
  char *memory = map_anonymous(3 * PAGE, PROT_READ | PROT_WRITE);
  memory[0] = memory[PAGE] = 1;
  OK(madvise(memory + 2 * PAGE, PAGE, MADV_DONTNEED)); // It may have come with its neighbours.
  void *pages[] = {memory, memory + PAGE, memory + 2 * PAGE, wild};
  int status[4], nodes[4] = {0, 0, 0, 0};
  OK(syscall(SYS_move_pages, 0, 4, pages, NULL, status, 0));
  CHECK_EQ(status[0], 0);
  CHECK_EQ(status[1], 0);
  CHECK_EQ(status[2], -ENOENT);
  CHECK_EQ(status[3], -EFAULT);
  OK(syscall(SYS_move_pages, getpid(), 4, pages, nodes, status, MPOL_MF_MOVE));
  CHECK_EQ(status[0], 0);
  CHECK_EQ(status[2], -ENOENT);
  nodes[0] = 4000;
  CHECK_ERRNO(syscall(SYS_move_pages, 0, 1, pages, nodes, status, MPOL_MF_MOVE), ENODEV);
  CHECK_ERRNO(syscall(SYS_move_pages, 0, 4, wild, NULL, status, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_move_pages, 0, 4, pages, NULL, wild, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_move_pages, 0, 4, pages, NULL, status, MPOL_MF_STRICT), EINVAL);
  CHECK_ERRNO(syscall(SYS_move_pages, 0x3fffffff, 4, pages, NULL, status, 0), ESRCH);
  OK(syscall(SYS_move_pages, 0, 0, pages, NULL, status, 0));
  unsigned long one = 1, none = 0, far = 1UL << 40;
  CHECK_EQ(syscall(SYS_migrate_pages, 0, MASK_BITS, &one, &one), 0);
  CHECK_ERRNO(syscall(SYS_migrate_pages, 0, MASK_BITS, &one, &none), EINVAL);
  CHECK_ERRNO(syscall(SYS_migrate_pages, 0x3fffffff, MASK_BITS, &one, &one), ESRCH);
  CHECK_ERRNO(syscall(SYS_migrate_pages, 0, MASK_BITS, wild, &one), EFAULT);
  if (geteuid() == 0) {
    CHECK_ERRNO(syscall(SYS_migrate_pages, 0, MASK_BITS, &one, &far), EINVAL);
    pid_t pid;
    IN_CHILD(pid) {
      OK(setresuid(1234, 1234, 1234));
      CHECK_ERRNO(syscall(SYS_migrate_pages, 0, MASK_BITS, &one, &far), EPERM);
      CHECK_ERRNO(syscall(SYS_move_pages, getppid(), 0, pages, NULL, status, 0), EPERM);
      CHECK_ERRNO(syscall(SYS_move_pages, 0, 1, pages, NULL, status, MPOL_MF_MOVE_ALL), EPERM);
      CHECK_ERRNO(bind_range(memory, PAGE, MPOL_BIND, 1, MPOL_MF_MOVE_ALL), EPERM);
    }
    WAIT_OK(pid);
  }
  OK(munmap(memory, 3 * PAGE));
}

// The line of /proc/self/numa_maps that begins with an address.
static void numa_line(void *address, char *line, size_t size) {
  char start[32];
  snprintf(start, sizeof start, "%08lx ", (unsigned long)address);
  FILE *maps = fopen("/proc/self/numa_maps", "r");
  CHECK(maps != NULL);
  while (fgets(line, size, maps) != NULL)
    if (strncmp(line, start, strlen(start)) == 0) {
      fclose(maps);
      return;
    }
  FAIL("no line for %p", address);
}

static void proc_shows_policies(void) {
  char *memory = map_anonymous(8 * PAGE, PROT_READ | PROT_WRITE), line[512], expected[128];
  memset(memory, 1, 3 * PAGE);
  OK(madvise(memory + 3 * PAGE, 5 * PAGE, MADV_DONTNEED));
  OK(bind_range(memory, 8 * PAGE, MPOL_BIND | STATIC_NODES, 1, 0));
  numa_line(memory, line, sizeof line);
  snprintf(expected, sizeof expected, "%08lx bind=static:0 anon=3 dirty=3 ", (unsigned long)memory);
  CHECK_CASE(strncmp(line, expected, strlen(expected)) == 0, "%.200s", line);
  CHECK_CASE(strstr(line, " N0=3 kernelpagesize_kB=4\n") != NULL, "%.200s", line);
  OK(bind_range(memory, 8 * PAGE, MPOL_PREFERRED, 0, 0));
  numa_line(memory, line, sizeof line);
  snprintf(expected, sizeof expected, "%08lx local anon=3 ", (unsigned long)memory);
  CHECK_CASE(strncmp(line, expected, strlen(expected)) == 0, "%.200s", line);
  OK(munmap(memory, 8 * PAGE));
}

int main(void) {
  a_task_keeps_its_policy();
  wrong_policies_are_refused();
  questions_are_checked();
  a_range_keeps_its_policy();
  wrong_ranges_are_refused();
  a_policy_may_have_a_home();
  pages_tell_their_node();
  proc_shows_policies();
  return 0;
}
