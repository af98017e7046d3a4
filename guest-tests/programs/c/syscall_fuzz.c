// System calls with hostile arguments, from several threads, while another unmaps, protects and rewrites what they
// pass: whatever a child does to itself, it can be killed and waited for, and the next one starts afresh.
//
// On Linux an unprivileged user makes harmless calls in a directory of its own. The first process inside, which
// nobody else depends on, makes every call there is. `syscall_fuzz SEED CHILDREN MILLISECONDS [CALL]` goes on longer.
// static
// timeout: 60
#include "fuzz_kinds.h"
#include <sys/ptrace.h>
#include <grp.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

enum { ARENA_PAGES = 64, CALLERS = 3, NUMBERS = 472, NOBODY = 64321, MOST_DESCRIPTORS = 128 };

// The arguments of a call, a letter each: f descriptor, p path, b buffer, w buffer of numbers, l length, i small
// number, x flags, k length of a mapping, o offset, t timespec, v vector of buffers, m address of a mapping, s signal,
// d directory descriptor, q process, u user, c socket address, n message header, z size of a kernel structure,
// 0 nothing. A call that is made inside only begins with '!'.
static const char *const shapes[NUMBERS] = {
    [SYS_read] = "fbl", [SYS_write] = "fbl", [SYS_open] = "pxi", [SYS_close] = "f", [SYS_stat] = "pb",
    [SYS_fstat] = "fb", [SYS_lstat] = "pb", [SYS_poll] = "wii", [SYS_lseek] = "foi", [SYS_mmap] = "mkxxfo",
    [SYS_mprotect] = "mkx", [SYS_munmap] = "mk", [SYS_brk] = "!m", [SYS_rt_sigaction] = "sbbz", [SYS_rt_sigprocmask] = "ibbz",
    [SYS_ioctl] = "fxb", [SYS_pread64] = "fblo", [SYS_pwrite64] = "fblo", [SYS_readv] = "fvi", [SYS_writev] = "fvi",
    [SYS_access] = "pi", [SYS_pipe] = "b", [SYS_select] = "ibbbt", [SYS_sched_yield] = "0", [SYS_mremap] = "mkkxm",
    [SYS_msync] = "mkx", [SYS_mincore] = "mlb", [SYS_madvise] = "mki", [SYS_dup] = "f", [SYS_dup2] = "ff",
    [SYS_pause] = "!0", [SYS_nanosleep] = "tb", [SYS_getitimer] = "ib", [SYS_alarm] = "!i", [SYS_setitimer] = "!iwb",
    [SYS_getpid] = "0", [SYS_sendfile] = "ffbl", [SYS_socket] = "!iii", [SYS_connect] = "fci", [SYS_accept] = "fbb",
    [SYS_sendto] = "fblxci", [SYS_recvfrom] = "fblxbb", [SYS_sendmsg] = "fnx", [SYS_recvmsg] = "fnx", [SYS_shutdown] = "fi",
    [SYS_bind] = "fci", [SYS_listen] = "fi", [SYS_getsockname] = "fbb", [SYS_getpeername] = "fbb", [SYS_socketpair] = "iiib",
    [SYS_setsockopt] = "fiibi", [SYS_getsockopt] = "fiibb", [SYS_clone] = "!xmbbb", [SYS_fork] = "!0", [SYS_execve] = "!pww",
    [SYS_exit] = "!i", [SYS_wait4] = "qbxb", [SYS_kill] = "!qs", [SYS_uname] = "b", [SYS_fcntl] = "fiw", [SYS_flock] = "fi",
    [SYS_fsync] = "!f", [SYS_fdatasync] = "!f", [SYS_truncate] = "po", [SYS_ftruncate] = "fo", [SYS_getdents] = "fbl",
    [SYS_getcwd] = "bl", [SYS_chdir] = "!p", [SYS_fchdir] = "!f", [SYS_rename] = "pp", [SYS_mkdir] = "pi", [SYS_rmdir] = "p",
    [SYS_creat] = "pi", [SYS_link] = "pp", [SYS_unlink] = "p", [SYS_symlink] = "pp", [SYS_readlink] = "pbl", [SYS_chmod] = "pi",
    [SYS_fchmod] = "fi", [SYS_chown] = "puu", [SYS_fchown] = "fuu", [SYS_lchown] = "puu", [SYS_umask] = "i",
    [SYS_gettimeofday] = "bb", [SYS_getrlimit] = "ib", [SYS_getrusage] = "ib", [SYS_sysinfo] = "b", [SYS_times] = "b",
    [SYS_getuid] = "0", [SYS_setpgid] = "!qq", [SYS_getgroups] = "ib", [SYS_setgroups] = "!iw", [SYS_getresuid] = "bbb",
    [SYS_capget] = "bb", [SYS_rt_sigpending] = "bz", [SYS_rt_sigtimedwait] = "bbtz", [SYS_rt_sigqueueinfo] = "!qsb",
    [SYS_rt_sigsuspend] = "bz", [SYS_sigaltstack] = "bb", [SYS_utime] = "pb", [SYS_mknod] = "pii", [SYS_personality] = "!x",
    [SYS_statfs] = "pb", [SYS_fstatfs] = "fb", [SYS_getpriority] = "iq", [SYS_sched_getparam] = "qb",
    [SYS_sched_setscheduler] = "!qib", [SYS_mlock] = "mk", [SYS_munlock] = "mk", [SYS_mlockall] = "!x", [SYS_pivot_root] = "!pp",
    [SYS_prctl] = "!ibbbb", [SYS_arch_prctl] = "!xb", [SYS_setrlimit] = "!ib", [SYS_chroot] = "!p", [SYS_mount] = "!pppxb",
    [SYS_umount2] = "!px", [SYS_gettid] = "0", [SYS_readahead] = "fol", [SYS_setxattr] = "ppblx", [SYS_lsetxattr] = "ppblx",
    [SYS_fsetxattr] = "fpblx", [SYS_getxattr] = "ppbl", [SYS_fgetxattr] = "fpbl", [SYS_listxattr] = "pbl",
    [SYS_flistxattr] = "fbl", [SYS_removexattr] = "pp", [SYS_fremovexattr] = "fp", [SYS_tkill] = "!qs", [SYS_time] = "b",
    [SYS_futex] = "wxitwi", [SYS_sched_setaffinity] = "!qlb", [SYS_sched_getaffinity] = "qlb", [SYS_epoll_create] = "i",
    [SYS_getdents64] = "fbl", [SYS_set_tid_address] = "!b", [SYS_restart_syscall] = "0", [SYS_semtimedop] = "!iwit",
    [SYS_fadvise64] = "foli", [SYS_timer_create] = "ibb", [SYS_timer_settime] = "ixwb", [SYS_timer_gettime] = "ib",
    [SYS_timer_getoverrun] = "i", [SYS_timer_delete] = "i", [SYS_clock_gettime] = "ib", [SYS_clock_getres] = "ib",
    [SYS_clock_nanosleep] = "ixtb", [SYS_epoll_wait] = "fbii", [SYS_epoll_ctl] = "fifw", [SYS_tgkill] = "!qqs",
    [SYS_utimes] = "pb", [SYS_waitid] = "iqbxb", [SYS_keyctl] = "!iiiii", [SYS_inotify_init] = "0",
    [SYS_inotify_add_watch] = "fpx", [SYS_inotify_rm_watch] = "fi", [SYS_openat] = "dpxi", [SYS_mkdirat] = "dpi",
    [SYS_mknodat] = "dpii", [SYS_fchownat] = "dpuux", [SYS_futimesat] = "dpb", [SYS_newfstatat] = "dpbx",
    [SYS_unlinkat] = "dpx", [SYS_renameat] = "dpdp", [SYS_linkat] = "dpdpx", [SYS_symlinkat] = "pdp",
    [SYS_readlinkat] = "dpbl", [SYS_fchmodat] = "dpi", [SYS_faccessat] = "dpi", [SYS_pselect6] = "ibbbtb", [SYS_ppoll] = "witbz",
    [SYS_unshare] = "!x", [SYS_set_robust_list] = "!bz", [SYS_get_robust_list] = "qbb", [SYS_splice] = "fbfblx",
    [SYS_tee] = "fflx", [SYS_sync_file_range] = "!foox", [SYS_vmsplice] = "fvix", [SYS_utimensat] = "dpbx",
    [SYS_epoll_pwait] = "fbiibz", [SYS_signalfd] = "fbz", [SYS_timerfd_create] = "ix", [SYS_eventfd] = "i",
    [SYS_fallocate] = "fxoo", [SYS_timerfd_settime] = "fxwb", [SYS_timerfd_gettime] = "fb", [SYS_accept4] = "fbbx",
    [SYS_signalfd4] = "fbzx", [SYS_eventfd2] = "ix", [SYS_epoll_create1] = "x", [SYS_dup3] = "ffx", [SYS_pipe2] = "bx",
    [SYS_inotify_init1] = "x", [SYS_preadv] = "fvio", [SYS_pwritev] = "fvio", [SYS_rt_tgsigqueueinfo] = "!qqsb",
    [SYS_recvmmsg] = "fnixt", [SYS_prlimit64] = "!qibb", [SYS_name_to_handle_at] = "dpbbx", [SYS_sendmmsg] = "fnix",
    [SYS_setns] = "!fx", [SYS_getcpu] = "bbb", [SYS_process_vm_readv] = "!qvivix", [SYS_process_vm_writev] = "!qvivix",
    [SYS_kcmp] = "qqiii", [SYS_renameat2] = "dpdpx", [SYS_getrandom] = "blx", [SYS_memfd_create] = "px", [SYS_execveat] = "!dpwwx",
    [SYS_mlock2] = "mkx", [SYS_membarrier] = "ixi", [SYS_copy_file_range] = "fbfblx", [SYS_preadv2] = "fviox",
    [SYS_pwritev2] = "fviox", [SYS_statx] = "dpxxb", [SYS_rseq] = "!blxi", [424] = "!fsbx", [SYS_pidfd_open] = "qx",
    [SYS_clone3] = "!wz", [SYS_close_range] = "!iix", [SYS_openat2] = "dpwz", [SYS_pidfd_getfd] = "!ffx", [SYS_faccessat2] = "dpix",
    [SYS_process_madvise] = "!fviix", [SYS_epoll_pwait2] = "fbitbz", [SYS_io_uring_setup] = "!iw", [SYS_io_uring_enter] = "!fiixbl",
    [SYS_io_uring_register] = "!fiwi", [SYS_userfaultfd] = "!x", [SYS_memfd_secret] = "!x", [SYS_open_tree] = "!dpx",
    [SYS_move_mount] = "!dpdpx", [SYS_fsopen] = "!px", [SYS_fsconfig] = "!fippi", [SYS_fsmount] = "!fxx", [SYS_fspick] = "!dpx",
    [SYS_mount_setattr] = "!dpxwz", [SYS_landlock_create_ruleset] = "!wzx", [SYS_landlock_add_rule] = "!fiwx",
    [SYS_landlock_restrict_self] = "!fx", [SYS_process_mrelease] = "!fx", [SYS_seccomp] = "!ixw", [SYS_fanotify_init] = "!xx",
    [SYS_fanotify_mark] = "!fxodp", [SYS_io_setup] = "!ib", [SYS_io_submit] = "!bib", [SYS_io_cancel] = "!bbb", [SYS_io_getevents] = "!biibt",
    [SYS_shmget] = "!ilx", [SYS_shmat] = "!imx", [SYS_shmctl] = "!iib", [SYS_shmdt] = "!m", [SYS_semget] = "!iix", [SYS_semop] = "!iwi",
    [SYS_semctl] = "!iiib", [SYS_msgget] = "!ix", [SYS_msgsnd] = "!iblx", [SYS_msgrcv] = "!iblix", [SYS_msgctl] = "!iib",
    [SYS_mq_open] = "!pxib", [SYS_mq_timedsend] = "!fblit", [SYS_mq_timedreceive] = "!fblbt", [SYS_mq_notify] = "!fb", [SYS_mq_unlink] = "!p",
    [SYS_add_key] = "!ppbli", [SYS_request_key] = "!pppi", [SYS_open_by_handle_at] = "!dbx", [SYS_mbind] = "!mkiblx",
    [SYS_move_pages] = "!qibbbx", [SYS_remap_file_pages] = "!mkiox", [SYS_ptrace] = "!iqmb", [SYS_acct] = "!p", [SYS_quotactl] = "!xpib",
    [449] = "!wixti", [450] = "!mkix", [451] = "!fwbx", [452] = "!dpix", [454] = "!wiix", [455] = "!wiixti", [456] = "!wxii", [457] = "!wblx",
    [458] = "!wblx", [462] = "!mkx", [463] = "!dpxpwz", [464] = "!dpxpwz", [465] = "!dpxbl", [466] = "!dpxp",
};

static const char *const paths[] = {
    "a", "b", "dir", "dir/a", "dir/b", "./dir/../a", "link", "loop", "dir/dir", "", ".", "..", "a/b", "dir/", "x//y",
    "socket", "/proc/self/fd/3", "/proc/self/maps", "/proc/self/status", "/proc/self/fd", "/proc/self/task", "/dev/null",
    "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/proc/self/mem", "/proc/self/root", "/tmp", "/", "user.a",
    "served/a", "served/b/c", "served", "/executables/0", "/proc/self/fdinfo/5", "/proc/self/environ", "/proc/locks", "tmpfs", "user",
};

static unsigned char *arena;
static char *long_path;
static int is_inside;
static int is_hunt; // With arguments: what changes the mounts that all share is called, too.
static int only_call = -1;
static volatile int ends_now;
// How many calls all children have made.
static uint64_t *calls_made;

static uint64_t next(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

static long edge_number(uint64_t *state) {
  static const long edges[] = {0, 1, -1, 2, 7, 8, 63, 64, 65, 4095, 4096, 4097, 65535, 65536, INT_MAX, INT_MIN, 0x80000000, 0xffffffff, 0x100000000, LONG_MAX, LONG_MIN, LONG_MAX - 4095, -4096, -4095, -100, 0x7ffffffff000};
  uint64_t random = next(state);
  return random % 4 == 0 ? edges[random / 4 % COUNT(edges)] + (long)(random >> 60) - 8 : edges[random / 4 % COUNT(edges)];
}

// An address in the arena, often just before the end of a page.
static long address(uint64_t *state) {
  uint64_t random = next(state);
  long page = faulting != NULL && random >> 52 == 0 ? faulting_page(state) : (long)(arena + random % ARENA_PAGES * PAGE);
  switch (random >> 32 & 7) {
    case 0: return page + PAGE - (random >> 40 & 31);
    case 1: return edge_number(state);
    case 2: return 0;
    default: return page + (random >> 40 & 0xff8);
  }
}

static void fill_numbers(uint64_t *state, uint64_t *words, int count) {
  for (int i = 0; i < count; i++) words[i] = next(state) % 3 ? next(state) % 64 : (uint64_t)edge_number(state);
}

// A place in the arena that was writable a moment ago; the other threads may take it away at any time.
static uint64_t *fresh(uint64_t *state) {
  return (uint64_t *)(arena + next(state) % 8 * PAGE + (next(state) & 0x7f8));
}

static long argument(uint64_t *state, char shape) {
  uint64_t random = next(state);
  if (random % 16 == 0) return edge_number(state);
  if (random % 16 == 1) return address(state);
  random >>= 8;
  uint64_t *room = fresh(state);
  switch (shape) {
    case 'f': return random % 8 ? (long)(random / 8 % 40) : (long)(random / 8 % MOST_DESCRIPTORS);
    case 'd': return random % 4 ? AT_FDCWD : (long)(random / 4 % 40);
    case 'p': return random % 32 == 0 ? (long)long_path : random % 32 == 1 ? address(state) : (long)paths[random / 32 % COUNT(paths)];
    case 'b': return address(state);
    case 'w': fill_numbers(state, room, 12); return (long)room;
    case 'l': return random % 4 ? (long)(random / 4 % 10000) : edge_number(state);
    case 'k': return (1 + random % 4) * PAGE;
    case 'o': return random % 2 ? (long)(random / 2 % 100000) : edge_number(state);
    case 'i': return random % 4 ? (long)(random / 4 % 24) : edge_number(state);
    case 'x': return random % 4 ? 1L << (random / 4 % 32) : (long)(random & random >> 20);
    case 't': room[0] = 0; room[1] = random % 8 ? random / 8 % 1000000 : (uint64_t)edge_number(state); return (long)room;
    case 'v':
      for (int i = 0; i < 4; i++) room[2 * i] = address(state), room[2 * i + 1] = random >> i & 7 ? next(state) % 8000 : (uint64_t)edge_number(state);
      return (long)room;
    case 'm': return random % 4 ? (long)(arena + random / 4 % ARENA_PAGES * PAGE) : address(state);
    case 's': return random % 70;
    case 'q': return random % 8 == 0 ? 0 : random % 8 == 1 ? edge_number(state) : getpid();
    case 'u': return random % 2 ? -1 : random % 4 ? NOBODY : edge_number(state);
    case 'c': { struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"}; memcpy(room, &name, 32); return (long)room; }
    case 'n': {
      struct msghdr *message = (void *)room;
      uint64_t *rest = room + sizeof *message / 8;
      *message = (struct msghdr){.msg_iov = (void *)argument(state, 'v'), .msg_iovlen = random % 5, .msg_control = rest, .msg_controllen = random / 8 % 64};
      struct cmsghdr header = {.cmsg_len = 16 + random / 64 % 24, .cmsg_level = SOL_SOCKET, .cmsg_type = random >> 40 & 3};
      memcpy(rest, &header, sizeof header);
      for (int i = 4; i < 10; i++) ((int *)rest)[i] = next(state) % 40;
      return (long)room;
    }
    case 'z': return random % 8 ? 8 : (long)(random / 8 % 200);
    default: return (long)random;
  }
}

// Calls that end or cripple the caller, so that there would be less to see.
static int is_rare(int number) {
  static const int rare[] = {SYS_exit, SYS_exit_group, SYS_execve, SYS_execveat, SYS_pause, SYS_rt_sigaction, SYS_rt_sigsuspend, SYS_rt_sigprocmask, SYS_close_range, SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_setrlimit, SYS_prlimit64, SYS_munmap, SYS_mremap, SYS_brk, SYS_rt_sigreturn, SYS_prctl, 424, 462, SYS_landlock_restrict_self, SYS_seccomp, SYS_ptrace};
  for (size_t i = 0; i < COUNT(rare); i++) if (rare[i] == number) return 1;
  return 0;
}

static void call_once(uint64_t *state) {
  int number = only_call;
  if (number < 0 || next(state) % 4 == 0) number = next(state) % (is_inside ? NUMBERS + 40 : NUMBERS);
  const char *shape = number < NUMBERS ? shapes[number] : NULL;
  if (shape == NULL || shape[0] == '!') {
    if (!is_inside) return;
    shape = shape == NULL ? "bbbbbb" : shape + 1;
  }
  int is_of_mounts = number == SYS_mount || number == SYS_umount2 || number == SYS_pivot_root || (number >= SYS_open_tree && number <= SYS_fspick) || number == SYS_mount_setattr;
  if (!is_hunt && is_of_mounts) return;
  if (is_rare(number) && next(state) % 50 != 0) return;
  long arguments[6] = {0};
  for (int i = 0; i < 6 && shape[i] != 0; i++) arguments[i] = argument(state, shape[i]);
  if (number == SYS_ioctl && faulting != NULL && next(state) % 2) known_request(state, arguments, fresh(state));
  // The processor's own registers must stay as the C library needs them for the calls that follow.
  if (number == SYS_arch_prctl && (arguments[0] == 0x1002 || arguments[0] == 0x1001)) return;
  if (number == SYS_kill && arguments[0] <= 1) return;
  int is_fork = number == SYS_fork || number == SYS_clone || number == SYS_clone3 || number == SYS_vfork;
  if (number == SYS_vfork) number = SYS_fork;
  __atomic_fetch_add(calls_made, 1, __ATOMIC_RELAXED);
  if (syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]) == 0 && is_fork) syscall(SYS_exit, 0);
}

static void *calls(void *seed) {
  uint64_t state = (uint64_t)seed;
  while (!ends_now) {
    call_once(&state);
    if (has_ring && next(&state) % 16 == 0) ring_once(&state);
  }
  return NULL;
}

// Takes away, gives back, protects and rewrites the arena under the others.
static void *disturbs(void *seed) {
  uint64_t state = (uint64_t)seed;
  while (!ends_now) {
    uint64_t random = next(&state);
    unsigned char *page = arena + random % ARENA_PAGES * PAGE;
    size_t length = (1 + (random >> 16) % 4) * PAGE;
    if (page + length > arena + ARENA_PAGES * PAGE) length = PAGE;
    switch (random >> 32 & 7) {
      case 0: munmap(page, length); break;
      case 1: mprotect(page, length, random >> 40 & 7); break;
      case 2: madvise(page, length, MADV_DONTNEED); break;
      default: mmap(page, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0); break;
    }
    if (random >> 60 == 0) sched_yield();
    if (faulting != NULL && random >> 56 < 8) disturb_files(&state, page, length);
    if (faulting != NULL && random >> 56 == 9) *(volatile unsigned char *)faulting_page(&state) = 1;
  }
  return NULL;
}

// Faults are part of the game: the page that faulted is mapped again.
static void on_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  unsigned char *page = (unsigned char *)((long)info->si_addr & -PAGE);
  if ((page < arena || page >= arena + ARENA_PAGES * PAGE) && !is_faulting(page)) _exit(number);
  if (mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) _exit(number);
}

static void ignore(int number, siginfo_t *info, void *context) { (void)number, (void)info, (void)context; }

static void limit(int resource, unsigned long value) { setrlimit(resource, &(struct rlimit){value, value}); }

// Descriptors of every kind at 3 and up.
static void open_descriptors(void) {
  int pair[2];
  static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
  open("a", O_RDWR | O_CREAT, 0666);
  open("dir", O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 2; i++) OK(pipe2(pair, i ? O_NONBLOCK : 0));
  for (size_t i = 0; i < COUNT(kinds); i++) OK(socketpair(AF_UNIX, kinds[i] | (i ? SOCK_NONBLOCK : 0), 0, pair));
  epoll_create1(0);
  eventfd(0, 0);
  eventfd(5, EFD_SEMAPHORE | EFD_NONBLOCK);
  timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  sigset_t all;
  sigfillset(&all);
  signalfd(-1, &all, SFD_NONBLOCK);
  int memory = memfd_create("memory", MFD_ALLOW_SEALING);
  if (ftruncate(memory, 10000) != 0) return;
  open("/dev/null", O_RDWR);
  open("/dev/zero", O_RDWR);
  open("/dev/urandom", O_RDONLY);
  open("/proc/self/status", O_RDONLY);
  open("/proc/self/maps", O_RDONLY);
  open("/proc/self/mem", O_RDWR);
  open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
  open("/proc", O_RDONLY | O_DIRECTORY);
  open("a", O_PATH);
  syscall(SYS_pidfd_open, getpid(), 0);
  inotify_init1(IN_NONBLOCK);
  socket(AF_UNIX, SOCK_STREAM, 0);
  if (is_inside) {
    int terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
    ioctl(terminal, 0x40045431, &(int){0}); // TIOCSPTLCK
    ioctl(terminal, 0x5441, O_RDWR | O_NOCTTY); // TIOCGPTPEER
  }
}

static void child(uint64_t seed, int is_privileged) {
  setsid();
  if (!is_privileged && geteuid() == 0) {
    OK(setgroups(0, NULL));
    OK(setgid(NOBODY));
    OK(setuid(NOBODY));
  }
  limit(RLIMIT_NOFILE, MOST_DESCRIPTORS);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 1 << 20);
  limit(RLIMIT_AS, 512 << 20);
  limit(RLIMIT_NPROC, is_inside ? 60 : 1000);
  for (int number = 1; number <= SIGRTMAX; number++) sigaction(number, &(struct sigaction){.sa_sigaction = ignore, .sa_flags = SA_SIGINFO}, NULL);
  handle(SIGSEGV, on_fault, SA_NODEFER);
  handle(SIGBUS, on_fault, SA_NODEFER);
  int sink = open("/dev/null", O_RDWR); // What is written to the standard streams is noise.
  for (int i = 0; i < 3; i++) dup2(sink, i);
  close(sink);
  open_descriptors();
  if (is_hunt && is_inside) open_kinds(is_privileged);
  // Interrupts what blocks.
  struct itimerval ticks = {{0, 3000}, {0, 3000}};
  setitimer(ITIMER_REAL, &ticks, NULL);
  pthread_t thread;
  for (uint64_t i = 1; i < CALLERS; i++) pthread_create(&thread, NULL, calls, (void *)(seed + i * 1000));
  pthread_create(&thread, NULL, disturbs, (void *)(seed + 77));
  if (is_hunt && is_inside) pthread_create(&thread, NULL, serves, (void *)(seed + 78));
  calls((void *)seed);
  _exit(0);
}

// Kills what a child has left behind: everything of its user, or of everybody inside.
static void kill_the_rest(int is_privileged) {
  if (is_inside) {
    kill(-1, SIGKILL);
  } else if (!is_privileged && geteuid() == 0) {
    pid_t pid = fork();
    if (pid == 0) {
      if (setuid(NOBODY) == 0) kill(-1, SIGKILL);
      _exit(0);
    }
  }
  while (waitpid(-1, NULL, WNOHANG | __WALL) > 0) {}
}

// Waits for anything: a thread that asked to be traced (PTRACE_TRACEME) holds its process back until it is waited for.
static int has_ended(pid_t pid) {
  int status;
  pid_t got;
  while ((got = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
    if (WIFSTOPPED(status)) ptrace(PTRACE_CONT, got, 0, 0);
    else if (got == pid) return 1;
  }
  return got < 0;
}

int main(int argc, char **argv) {
  is_inside = getpid() == 1;
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
  int children = argc > 2 ? atoi(argv[2]) : 12;
  int lifetime_ms = argc > 3 ? atoi(argv[3]) : 150;
  is_hunt = argc > 1;
  if (argc > 4) only_call = atoi(argv[4]);
  enter_scratch();
  OK(chmod(".", 0777));
  OK(mkdir("dir", 0777));
  OK(chmod("dir", 0777));
  OK(mkdir("served", 0777));
  OK(symlink("a", "link"));
  OK(symlink("loop", "loop"));
  arena = (void *)map_anonymous(ARENA_PAGES * PAGE, PROT_READ | PROT_WRITE);
  calls_made = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(calls_made != MAP_FAILED);
  long_path = map_anonymous(3 * PAGE, PROT_READ | PROT_WRITE);
  memset(long_path, 'n', 3 * PAGE - 1);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (int i = 0; i < children; i++) {
    int is_privileged = is_inside && i % 2;
    uint64_t child_seed = seed * 1000003 + i;
    if (is_hunt) fprintf(stderr, "child %d%s\n", i, is_privileged ? " privileged" : "");
    unsigned long long made_before = *calls_made;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) child(child_seed, is_privileged);
    long long end = now_ms() + lifetime_ms + next(&child_seed) % 50;
    while (!has_ended(pid)) {
      sleep_ms(2);
      // On a machine that has other things to do it may not have begun.
      int has_begun = __atomic_load_n(calls_made, __ATOMIC_RELAXED) != made_before;
      if (now_ms() >= (has_begun ? end : end + 5000)) kill(pid, SIGKILL);
      CHECK_CASE(now_ms() - end < 10000, "child %d (seed %llu) outlives SIGKILL", i, (unsigned long long)seed);
    }
    kill_the_rest(is_privileged);
  }
  if (is_hunt) {
    fprintf(stderr, "made %llu calls\n", (unsigned long long)*calls_made);
    return 0;
  }
  // The place still works.
  OK(chdir(check_scratch));
  OK(chmod(".", 0755));
  pid_t pid;
  IN_CHILD(pid) write_file("after", "after");
  WAIT_OK(pid);
  return 0;
}
