// Core dumps: who leaves one, what wait and SIGCHLD say of it, and what is in it.
#include "check.h"
#include <elf.h>
#include <sys/prctl.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/user.h>

static char pattern[256];

// The tests look for a file of this name in the working directory; a host may have another pattern.
static int is_pattern_plain(void) {
  char uses_pid[16];
  read_file("/proc/sys/kernel/core_pattern", pattern, sizeof pattern);
  read_file("/proc/sys/kernel/core_uses_pid", uses_pid, sizeof uses_pid);
  return strcmp(pattern, "core\n") == 0 && uses_pid[0] == '0';
}

static void limit_core(rlim_t bytes) {
  struct rlimit limit = {bytes, RLIM_INFINITY};
  OK(setrlimit(RLIMIT_CORE, &limit));
}

static void without_a_limit_there_is_none(void) {
  pid_t pid;
  IN_CHILD(pid) {
    limit_core(0);
    abort();
  }
  siginfo_t info;
  OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
  // A program that takes dumps by a pipe gets them whatever the limit is.
  if (pattern[0] != '|') CHECK_EQ(info.si_code, CLD_KILLED);
  int status = WAIT(pid);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  if (pattern[0] != '|') CHECK(!WCOREDUMP(status));
  CHECK_ERRNO(access("core", F_OK), ENOENT);
}

static void signals_that_dump_none(void) {
  int numbers[] = {SIGTERM, SIGKILL, SIGUSR1, SIGALRM, SIGPIPE};
  for (size_t i = 0; i < COUNT(numbers); i++) {
    pid_t pid;
    IN_CHILD(pid) {
      limit_core(RLIM_INFINITY);
      raise(numbers[i]);
    }
    int status = WAIT(pid);
    CHECK_EQ(status, numbers[i]);
  }
}

static void signals_that_dump_one(void) {
  int numbers[] = {SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS};
  for (size_t i = 0; i < COUNT(numbers); i++) {
    pid_t pid;
    IN_CHILD(pid) {
      limit_core(RLIM_INFINITY);
      raise(numbers[i]);
    }
    siginfo_t info;
    OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
    CHECK_EQ(info.si_code, CLD_DUMPED);
    CHECK_EQ(info.si_status, numbers[i]);
    CHECK_EQ(WAIT(pid), numbers[i] | 0x80);
    struct stat status;
    OK(stat("core", &status));
    CHECK_EQ(status.st_mode, S_IFREG | 0600);
    CHECK(status.st_size > 4096);
    OK(unlink("core"));
  }
}

// Only a directory is in the way; whatever else has the name loses it, and is left as it is.
static void what_has_the_name_is_replaced(void) {
  for (int kind = 0; kind < 4; kind++) {
    if (kind == 0) OK(mkdir("core", 0700));
    if (kind == 1) OK(symlink("elsewhere", "core"));
    if (kind == 2) OK(mkfifo("core", 0600));
    if (kind == 3) {
      write_file("other", "kept");
      OK(link("other", "core"));
    }
    pid_t pid;
    IN_CHILD(pid) {
      limit_core(RLIM_INFINITY);
      abort();
    }
    CHECK_CASE((WCOREDUMP(WAIT(pid)) != 0) == (kind != 0), "kind %d", kind);
    CHECK_ERRNO(access("elsewhere", F_OK), ENOENT);
    struct stat status;
    OK(lstat("core", &status));
    CHECK_CASE(status.st_mode == (kind == 0 ? S_IFDIR | 0700 : S_IFREG | 0600), "kind %d", kind);
    CHECK_CASE(kind == 0 || status.st_nlink == 1, "kind %d", kind);
    if (kind == 3) {
      char text[16];
      read_file("other", text, sizeof text);
      CHECK_EQ(strcmp(text, "kept"), 0);
      OK(unlink("other"));
    }
    if (kind == 0) OK(rmdir("core"));
    else OK(unlink("core"));
  }
}

static void who_is_not_dumpable_leaves_none(void) {
  char level[16];
  read_file("/proc/sys/fs/suid_dumpable", level, sizeof level);
  for (int kind = 0; kind < 2; kind++) {
    if (kind == 1 && level[0] != '0') continue;
    pid_t pid;
    IN_CHILD(pid) {
      limit_core(RLIM_INFINITY);
      if (kind == 0) OK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
      else OK(setresuid(-1, 1234, -1));
      abort();
    }
    CHECK_CASE(!WCOREDUMP(WAIT(pid)), "kind %d", kind);
    CHECK_ERRNO(access("core", F_OK), ENOENT);
  }
}

static void the_limit_cuts_it(void) {
  rlim_t limits[] = {1, 4095, 4096, 65536};
  for (size_t i = 0; i < COUNT(limits); i++) {
    pid_t pid;
    IN_CHILD(pid) {
      limit_core(limits[i]);
      abort();
    }
    int has_dumped = WCOREDUMP(WAIT(pid)) != 0;
    CHECK_CASE(has_dumped == (limits[i] >= 4096), "limit %ld", (long)limits[i]);
    if (!has_dumped) continue;
    struct stat status;
    OK(stat("core", &status));
    CHECK_CASE((rlim_t)status.st_blocks * 512 <= limits[i] + 4096, "limit %ld: %ld blocks", (long)limits[i], (long)status.st_blocks);
    OK(unlink("core"));
  }
}

// --- contents

static char *image;
static size_t image_bytes;

static void map_core(void) {
  int file = OK(open("core", O_RDONLY));
  struct stat status;
  OK(fstat(file, &status));
  image_bytes = status.st_size;
  image = mmap(NULL, image_bytes, PROT_READ, MAP_PRIVATE, file, 0);
  CHECK(image != MAP_FAILED);
  OK(close(file));
}

static Elf64_Ehdr *header(void) { return (Elf64_Ehdr *)image; }
static Elf64_Phdr *segment(int index) { return (Elf64_Phdr *)(image + header()->e_phoff) + index; }

// The index-th note of a type; its length.
static void *note(unsigned type, int index, size_t *length) {
  Elf64_Phdr *notes = segment(0);
  CHECK_EQ(notes->p_type, PT_NOTE);
  for (size_t offset = 0; offset < notes->p_filesz;) {
    Elf64_Nhdr *entry = (Elf64_Nhdr *)(image + notes->p_offset + offset);
    char *name = (char *)(entry + 1), *description = name + (entry->n_namesz + 3) / 4 * 4;
    if (entry->n_type == type && index-- == 0) {
      CHECK_EQ(strcmp(name, type == 0x202 ? "LINUX" : "CORE"), 0);
      *length = entry->n_descsz;
      return description;
    }
    offset = description + (entry->n_descsz + 3) / 4 * 4 - (image + notes->p_offset);
  }
  return NULL;
}

// What the core holds of an address; NULL if it holds nothing.
static char *content(void *address) {
  for (int i = 1; i < header()->e_phnum; i++) {
    uintptr_t offset = (uintptr_t)address - segment(i)->p_vaddr;
    if ((uintptr_t)address >= segment(i)->p_vaddr && offset < segment(i)->p_memsz)
      return offset < segment(i)->p_filesz ? image + segment(i)->p_offset + offset : NULL;
  }
  FAIL("no segment for %p", address);
}

static struct shared {
  char *private, *shared, *undumped, *untouched, *file;
  pid_t process, thread;
} *shared;
static char global[] = "a global variable";

static void *wait_for_the_end(void *argument) {
  prctl(PR_SET_NAME, "other");
  shared->thread = syscall(SYS_gettid);
  __asm__ volatile("movq $0x7eaded, %%r15\n 1: movl $34, %%eax\n syscall\n jmp 1b" ::: "rax", "rcx", "r11", "r15", "memory"); // pause
  return argument;
}

static void leave_core(unsigned filter) {
  pid_t pid;
  IN_CHILD(pid) {
    limit_core(RLIM_INFINITY);
    char text[16];
    snprintf(text, sizeof text, "%#x", filter);
    int file = OK(open("/proc/self/coredump_filter", O_WRONLY));
    OK(write(file, text, strlen(text)));
    OK(close(file));
    read_file("/proc/self/coredump_filter", text, sizeof text);
    CHECK_EQ(strtoul(text, NULL, 16), filter);
    shared->process = getpid();
    shared->private = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
    strcpy(shared->private + PAGE, "private");
    shared->shared = map_shared(PAGE);
    strcpy(shared->shared, "shared");
    shared->undumped = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
    strcpy(shared->undumped, "undumped");
    OK(madvise(shared->undumped, PAGE, MADV_DONTDUMP));
    shared->untouched = map_anonymous(1L << 32, PROT_NONE);
    file = OK(open("/proc/self/exe", O_RDONLY));
    shared->file = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    CHECK(shared->file != MAP_FAILED);
    OK(close(file));
    start_thread(wait_for_the_end, NULL);
    while (shared->thread == 0) sleep_ms(1);
    until_asleep(shared->thread);
    global[0] = 'A';
    unsigned long marks[2] = {0x1111222233334444, 0x5555666677778888};
    __asm__ volatile("movdqu %0, %%xmm6\n movq $0xfeed, %%r14\n movb $1, (%1)" ::"m"(marks), "r"(0x10UL) : "xmm6", "r14", "memory");
  }
  int status = WAIT(pid);
  CHECK_EQ(status, SIGSEGV | 0x80);
  map_core();
}

static void drop_core(void) {
  OK(munmap(image, image_bytes));
  OK(unlink("core"));
  shared->thread = 0;
}

static void headers_and_notes_are_there(void) {
  leave_core(0x33);
  CHECK_EQ(memcmp(header()->e_ident, ELFMAG, SELFMAG), 0);
  CHECK_EQ(header()->e_ident[EI_CLASS], ELFCLASS64);
  CHECK_EQ(header()->e_type, ET_CORE);
  CHECK_EQ(header()->e_machine, EM_X86_64);
  CHECK_EQ(header()->e_phentsize, sizeof(Elf64_Phdr));
  size_t length;
  struct elf_prstatus *status = note(NT_PRSTATUS, 0, &length);
  CHECK(status != NULL);
  CHECK_EQ(length, sizeof *status);
  struct user_regs_struct *registers = (void *)status->pr_reg;
  CHECK_EQ(status->pr_pid, shared->process);
  CHECK_EQ(status->pr_ppid, getpid());
  CHECK_EQ(status->pr_cursig, SIGSEGV);
  CHECK_EQ(status->pr_info.si_signo, SIGSEGV);
  CHECK_EQ(registers->r14, 0xfeed);
  CHECK_EQ(registers->orig_rax, -1);
  struct user_fpregs_struct *floating = note(NT_FPREGSET, 0, &length);
  CHECK(floating != NULL);
  CHECK_EQ(length, sizeof *floating);
  CHECK_EQ(floating->xmm_space[6 * 4], 0x33334444);
  CHECK_EQ(floating->xmm_space[6 * 4 + 3], 0x55556666);
  struct elf_prstatus *other = note(NT_PRSTATUS, 1, &length);
  CHECK(other != NULL);
  registers = (void *)other->pr_reg;
  CHECK_EQ(other->pr_pid, shared->thread);
  CHECK_EQ(registers->r15, 0x7eaded);
  CHECK_EQ(registers->orig_rax, SYS_pause);
  CHECK(note(NT_PRSTATUS, 2, &length) == NULL);
  CHECK(note(NT_FPREGSET, 1, &length) != NULL);
  CHECK(note(0x202, 1, &length) != NULL && length >= 576); // NT_X86_XSTATE
  struct elf_prpsinfo *process = note(NT_PRPSINFO, 0, &length);
  CHECK(process != NULL);
  CHECK_EQ(length, sizeof *process);
  CHECK_EQ(process->pr_pid, shared->process);
  CHECK_EQ(process->pr_uid, getuid());
  CHECK_EQ(strncmp(process->pr_fname, "core_dumps", 10), 0);
  CHECK(strstr(process->pr_psargs, "core_dumps") != NULL);
  siginfo_t *info = note(NT_SIGINFO, 0, &length);
  CHECK(info != NULL);
  CHECK_EQ(length, sizeof *info);
  CHECK_EQ(info->si_signo, SIGSEGV);
  CHECK_EQ(info->si_code, SEGV_MAPERR);
  CHECK_EQ(info->si_addr, (void *)0x10);
  Elf64_auxv_t *auxiliary = note(NT_AUXV, 0, &length);
  CHECK(auxiliary != NULL);
  size_t last = length / sizeof *auxiliary - 1;
  CHECK_EQ(auxiliary[last].a_type, AT_NULL);
  uint64_t *files = note(NT_FILE, 0, &length);
  CHECK(files != NULL && files[0] > 1);
  CHECK_EQ(files[1], PAGE);
  char self[PATH_MAX] = {0};
  OK(readlink("/proc/self/exe", self, sizeof self - 1));
  int is_named = 0;
  char *name = (char *)(files + 2 + 3 * files[0]);
  for (uint64_t i = 0; i < files[0]; i++, name += strlen(name) + 1) is_named |= strcmp(name, self) == 0;
  CHECK(is_named);
  drop_core();
}

static void the_filter_chooses_the_memory(void) {
  unsigned filters[] = {0x33, 0x1, 0x2, 0x4, 0};
  for (size_t i = 0; i < COUNT(filters); i++) {
    unsigned filter = filters[i];
    leave_core(filter);
    CHECK_CASE((content(shared->private) != NULL) == (filter & 1), "filter %#x", filter);
    CHECK_CASE((content(global) != NULL) == ((filter & 5) != 0), "filter %#x", filter);
    CHECK_CASE((content(shared->shared) != NULL) == ((filter & 2) != 0), "filter %#x", filter);
    CHECK_CASE((content(shared->file) != NULL) == ((filter & 0x14) != 0), "filter %#x", filter);
    CHECK(content(shared->undumped) == NULL);
    CHECK(content(shared->untouched) == NULL);
    if (filter & 1) {
      CHECK_EQ(strcmp(content(shared->private) + PAGE, "private"), 0);
      CHECK_EQ(content(shared->private)[0], 0);
      CHECK_EQ(strcmp(content(global), "A global variable"), 0);
    }
    if (filter & 2) CHECK_EQ(strcmp(content(shared->shared), "shared"), 0);
    if (filter & 0x14) CHECK_EQ(memcmp(content(shared->file), ELFMAG, SELFMAG), 0);
    drop_core();
  }
}

static volatile int is_first;
static void *fail_too(void *argument) {
  while (!is_first) {}
  *(volatile char *)wild = 1;
  return argument;
}

// Whoever comes first dumps, and the others are in it.
static void threads_that_fail_together_leave_one(void) {
  for (int round = 0; round < 5; round++) {
    pid_t pid;
    IN_CHILD(pid) {
      limit_core(RLIM_INFINITY);
      for (int i = 0; i < 7; i++) start_thread(fail_too, NULL);
      is_first = 1;
      fail_too(NULL);
    }
    CHECK_EQ(WAIT(pid), SIGSEGV | 0x80);
    map_core();
    size_t length;
    CHECK(note(NT_PRSTATUS, 0, &length) != NULL);
    CHECK(note(NT_PRSTATUS, 8, &length) == NULL);
    OK(munmap(image, image_bytes));
    OK(unlink("core"));
  }
}

static void the_filter_is_inherited(void) {
  char text[16];
  int file = OK(open("/proc/self/coredump_filter", O_WRONLY));
  CHECK_ERRNO(write(file, "nothing", 7), EINVAL);
  OK(write(file, "0x1ff", 5));
  pid_t pid;
  IN_CHILD(pid) {
    read_file("/proc/self/coredump_filter", text, sizeof text);
    CHECK_EQ(strcmp(text, "000001ff\n"), 0);
  }
  WAIT_OK(pid);
  OK(write(file, "51", 2));
  read_file("/proc/self/coredump_filter", text, sizeof text);
  CHECK_EQ(strcmp(text, "00000033\n"), 0);
  OK(close(file));
}

int main(void) {
  int is_plain = is_pattern_plain();
  enter_scratch();
  shared = map_shared(PAGE);
  without_a_limit_there_is_none();
  signals_that_dump_none();
  the_filter_is_inherited();
  if (!is_plain) return 0; // A host whose dumps go elsewhere.
  signals_that_dump_one();
  what_has_the_name_is_replaced();
  who_is_not_dumpable_leaves_none();
  the_limit_cuts_it();
  headers_and_notes_are_there();
  the_filter_chooses_the_memory();
  threads_that_fail_together_leave_one();
  return 0;
}
