// File systems that a process serves through /dev/fuse: what each call asks of the server, and what becomes of it when the server is slow, refuses or goes.
// static
#include "mounts.h"
#include <dirent.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#define MAX_FILES 64
#define MAX_DATA 300000
#define REQUEST_ADD _IOWR(0xf5, 1, uint32_t)
#define REQUEST_FAIL _IOWR(0xf5, 9, uint32_t)

// A file of the server, which keeps everything in memory. Number 1 is the root.
struct file {
  int is_used, links;
  uint32_t mode, uid, gid;
  uint64_t parent, size;
  char name[64], target[64], xattr[32];
  char *data;
  struct timespec times[3];
};

struct server {
  int device;
  struct file files[MAX_FILES];
};

// What the test and its server share.
struct shared {
  volatile int opens, releases, flushes, forgets, interrupts, lookups, reads;
  // Requests that the server does not answer, by their operation.
  volatile int silent;
  // Seconds that names and attributes hold.
  volatile int validity;
  volatile int last_uid, last_pid;
  // What access(2) was asked last, and whether the server does not know of it.
  volatile int last_access, has_no_access;
};
static struct shared *shared;

static void answer(struct server *server, uint64_t unique, int error, const void *body, size_t length) {
  struct fuse_out_header header = {.len = sizeof header + length, .error = -error, .unique = unique};
  char message[sizeof header + MAX_DATA];
  CHECK(length <= MAX_DATA);
  memcpy(message, &header, sizeof header);
  if (length != 0) memcpy(message + sizeof header, body, length);
  ssize_t written = write(server->device, message, header.len);
  // Whoever asked may have gone.
  CHECK(written == (ssize_t)header.len || errno == ENOENT);
}

static struct fuse_attr attributes(struct server *server, uint64_t node) {
  struct file *file = &server->files[node];
  return (struct fuse_attr){.ino = node + 100, .size = file->size, .blocks = (file->size + 511) / 512, .mode = file->mode, .nlink = file->links,
    .uid = file->uid, .gid = file->gid, .blksize = 4096, .atime = file->times[0].tv_sec, .mtime = file->times[1].tv_sec, .ctime = file->times[2].tv_sec};
}

static struct fuse_entry_out entry_of(struct server *server, uint64_t node) {
  return (struct fuse_entry_out){.nodeid = node, .entry_valid = shared->validity, .attr_valid = shared->validity, .attr = attributes(server, node)};
}

static uint64_t find(struct server *server, uint64_t parent, const char *name) {
  for (uint64_t i = 2; i < MAX_FILES; i++) {
    struct file *file = &server->files[i];
    if (file->is_used && file->links > 0 && file->parent == parent && strcmp(file->name, name) == 0) return i;
  }
  return 0;
}

static uint64_t make(struct server *server, const struct fuse_in_header *in, uint32_t mode, const char *name) {
  for (uint64_t i = 2; i < MAX_FILES; i++) {
    struct file *file = &server->files[i];
    if (file->is_used) continue;
    *file = (struct file){.is_used = 1, .links = 1, .mode = mode, .uid = in->uid, .gid = in->gid, .parent = in->nodeid};
    strcpy(file->name, name);
    return i;
  }
  FAIL("no file is left");
}

static void answer_entry(struct server *server, const struct fuse_in_header *in, uint64_t node) {
  struct fuse_entry_out entry = entry_of(server, node);
  answer(server, in->unique, 0, &entry, sizeof entry);
}

static void answer_attributes(struct server *server, const struct fuse_in_header *in) {
  struct fuse_attr_out out = {.attr_valid = shared->validity, .attr = attributes(server, in->nodeid)};
  answer(server, in->unique, 0, &out, sizeof out);
}

static void list(struct server *server, const struct fuse_in_header *in, const struct fuse_read_in *read_in) {
  char entries[8192];
  size_t length = 0;
  for (uint64_t i = read_in->offset; i < MAX_FILES; i++) {
    struct file *file = &server->files[i];
    const char *name = i == 0 ? "." : i == 1 ? ".." : file->name;
    if (i > 1 && !(file->is_used && file->links > 0 && file->parent == in->nodeid)) continue;
    size_t size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + strlen(name));
    if (length + size > read_in->size || length + size > sizeof entries) break;
    struct fuse_dirent *entry = (struct fuse_dirent *)(entries + length);
    memset(entry, 0, size);
    *entry = (struct fuse_dirent){.ino = i < 2 ? 101 : i + 100, .off = i + 1, .namelen = strlen(name), .type = i < 2 ? DT_DIR : file->mode >> 12};
    memcpy(entry->name, name, strlen(name));
    length += size;
  }
  answer(server, in->unique, 0, entries, length);
}

static void set_attributes(struct server *server, const struct fuse_in_header *in, const struct fuse_setattr_in *set) {
  struct file *file = &server->files[in->nodeid];
  if (set->valid & FATTR_MODE) file->mode = (file->mode & S_IFMT) | (set->mode & 07777);
  if (set->valid & FATTR_UID) file->uid = set->uid;
  if (set->valid & FATTR_GID) file->gid = set->gid;
  if (set->valid & FATTR_MTIME) file->times[1].tv_sec = set->mtime;
  if (set->valid & FATTR_SIZE) {
    if (set->size > file->size && file->data != NULL) memset(file->data + file->size, 0, set->size - file->size);
    file->size = set->size;
  }
  answer_attributes(server, in);
}

static char *data_of(struct file *file) {
  if (file->data == NULL) file->data = calloc(1, MAX_DATA);
  return file->data;
}

static void rename_file(struct server *server, const struct fuse_in_header *in, uint64_t new_parent, const char *old, uint32_t flags) {
  const char *new = old + strlen(old) + 1;
  uint64_t source = find(server, in->nodeid, old), target = find(server, new_parent, new);
  if (target != 0 && flags & RENAME_NOREPLACE) return answer(server, in->unique, EEXIST, NULL, 0);
  if (target != 0) server->files[target].links = 0;
  server->files[source].parent = new_parent;
  strcpy(server->files[source].name, new);
  answer(server, in->unique, 0, NULL, 0);
}

static void serve_xattr(struct server *server, const struct fuse_in_header *in, const char *body) {
  struct file *file = &server->files[in->nodeid];
  const struct fuse_getxattr_in *get = (const void *)body;
  if (in->opcode == FUSE_GETXATTR) {
    if (strcmp(body + sizeof *get, "user.it") != 0 || file->xattr[0] == 0) return answer(server, in->unique, ENODATA, NULL, 0);
  } else {
    static const char name[] = "user.it";
    if (get->size == 0) {
      struct fuse_getxattr_out out = {.size = file->xattr[0] ? sizeof name : 0};
      return answer(server, in->unique, 0, &out, sizeof out);
    }
    return answer(server, in->unique, 0, name, file->xattr[0] ? sizeof name : 0);
  }
  if (get->size == 0) {
    struct fuse_getxattr_out out = {.size = strlen(file->xattr)};
    return answer(server, in->unique, 0, &out, sizeof out);
  }
  answer(server, in->unique, 0, file->xattr, strlen(file->xattr));
}

// Refuses writing.
static void serve_access(struct server *server, const struct fuse_in_header *in, const struct fuse_access_in *access_in) {
  shared->last_access = access_in->mask;
  if (shared->has_no_access) return answer(server, in->unique, ENOSYS, NULL, 0);
  answer(server, in->unique, access_in->mask & W_OK ? EACCES : 0, NULL, 0);
}

// Knows one request, which adds one, and another, which fails.
static void serve_ioctl(struct server *server, const struct fuse_in_header *in, const struct fuse_ioctl_in *ioctl_in) {
  struct {
    struct fuse_ioctl_out out;
    uint32_t number;
  } result = {.out.result = 7};
  if (ioctl_in->cmd == REQUEST_FAIL) {
    result.out.result = -EDOM;
    return answer(server, in->unique, 0, &result, sizeof result.out);
  }
  if (ioctl_in->cmd != REQUEST_ADD) return answer(server, in->unique, ENOTTY, NULL, 0);
  CHECK_EQ(ioctl_in->in_size, 4);
  CHECK_EQ(ioctl_in->out_size, 4);
  CHECK_EQ(ioctl_in->flags, S_ISDIR(server->files[in->nodeid].mode) ? FUSE_IOCTL_DIR : 0);
  memcpy(&result.number, ioctl_in + 1, 4);
  result.number++;
  answer(server, in->unique, 0, &result, sizeof result.out + 4);
}

static void serve_one(struct server *server, const struct fuse_in_header *in, char *body) {
  struct file *file = &server->files[in->nodeid < MAX_FILES ? in->nodeid : 0];
  shared->last_uid = in->uid;
  shared->last_pid = in->pid;
  switch (in->opcode) {
    case FUSE_INIT: {
      struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_readahead = 65536, .max_write = 65536,
        .flags = ((struct fuse_init_in *)body)->flags & FUSE_BIG_WRITES};
      return answer(server, in->unique, 0, &out, sizeof out);
    }
    case FUSE_LOOKUP: {
      shared->lookups++;
      uint64_t node = find(server, in->nodeid, body);
      return node == 0 ? answer(server, in->unique, ENOENT, NULL, 0) : answer_entry(server, in, node);
    }
    case FUSE_FORGET: case FUSE_BATCH_FORGET: shared->forgets++; return;
    case FUSE_GETATTR: return answer_attributes(server, in);
    case FUSE_SETATTR: return set_attributes(server, in, (void *)body);
    case FUSE_READLINK: return answer(server, in->unique, 0, file->target, strlen(file->target));
    case FUSE_SYMLINK: {
      uint64_t node = make(server, in, S_IFLNK | 0777, body);
      strcpy(server->files[node].target, body + strlen(body) + 1);
      server->files[node].size = strlen(server->files[node].target);
      return answer_entry(server, in, node);
    }
    case FUSE_MKNOD: return answer_entry(server, in, make(server, in, ((struct fuse_mknod_in *)body)->mode, body + sizeof(struct fuse_mknod_in)));
    case FUSE_MKDIR: return answer_entry(server, in, make(server, in, S_IFDIR | ((struct fuse_mkdir_in *)body)->mode, body + sizeof(struct fuse_mkdir_in)));
    case FUSE_UNLINK: case FUSE_RMDIR: {
      server->files[find(server, in->nodeid, body)].links = 0;
      return answer(server, in->unique, 0, NULL, 0);
    }
    case FUSE_RENAME: return rename_file(server, in, ((struct fuse_rename_in *)body)->newdir, body + sizeof(struct fuse_rename_in), 0);
    case FUSE_RENAME2: {
      struct fuse_rename2_in *rename_in = (void *)body;
      return rename_file(server, in, rename_in->newdir, body + sizeof *rename_in, rename_in->flags);
    }
    case FUSE_CREATE: {
      struct { struct fuse_entry_out entry; struct fuse_open_out open; } out = {0};
      uint64_t node = make(server, in, ((struct fuse_create_in *)body)->mode, body + sizeof(struct fuse_create_in));
      out.entry = entry_of(server, node);
      out.open.fh = 77;
      shared->opens++;
      return answer(server, in->unique, 0, &out, sizeof out);
    }
    case FUSE_OPEN: case FUSE_OPENDIR: {
      struct fuse_open_out out = {.fh = in->opcode == FUSE_OPEN ? 77 : 88};
      if (in->opcode == FUSE_OPEN) shared->opens++;
      return answer(server, in->unique, 0, &out, sizeof out);
    }
    case FUSE_READDIR: return list(server, in, (void *)body);
    case FUSE_READ: {
      struct fuse_read_in *read_in = (void *)body;
      shared->reads++;
      CHECK_EQ(read_in->fh, 77);
      size_t left = read_in->offset < file->size ? file->size - read_in->offset : 0;
      return answer(server, in->unique, 0, data_of(file) + read_in->offset, left < read_in->size ? left : read_in->size);
    }
    case FUSE_WRITE: {
      struct fuse_write_in *write_in = (void *)body;
      if (write_in->offset + write_in->size > MAX_DATA) return answer(server, in->unique, ENOSPC, NULL, 0);
      memcpy(data_of(file) + write_in->offset, write_in + 1, write_in->size);
      if (write_in->offset + write_in->size > file->size) file->size = write_in->offset + write_in->size;
      struct fuse_write_out out = {.size = write_in->size};
      return answer(server, in->unique, 0, &out, sizeof out);
    }
    case FUSE_STATFS: {
      struct fuse_statfs_out out = {.st = {.blocks = 1000, .bfree = 500, .bavail = 400, .files = 64, .ffree = 7, .bsize = 512, .namelen = 63, .frsize = 512}};
      return answer(server, in->unique, 0, &out, sizeof out);
    }
    case FUSE_GETXATTR: case FUSE_LISTXATTR: return serve_xattr(server, in, body);
    case FUSE_SETXATTR: {
      struct fuse_setxattr_in *set = (void *)body;
      char *name = body + FUSE_COMPAT_SETXATTR_IN_SIZE;
      memset(file->xattr, 0, sizeof file->xattr);
      memcpy(file->xattr, name + strlen(name) + 1, set->size);
      return answer(server, in->unique, 0, NULL, 0);
    }
    case FUSE_REMOVEXATTR: file->xattr[0] = 0; return answer(server, in->unique, 0, NULL, 0);
    case FUSE_FLUSH: shared->flushes++; return answer(server, in->unique, 0, NULL, 0);
    case FUSE_RELEASE: shared->releases++; return answer(server, in->unique, 0, NULL, 0);
    case FUSE_RELEASEDIR: case FUSE_FSYNC: return answer(server, in->unique, 0, NULL, 0);
    case FUSE_ACCESS: return serve_access(server, in, (void *)body);
    case FUSE_IOCTL: return serve_ioctl(server, in, (void *)body);
    default: return answer(server, in->unique, ENOSYS, NULL, 0);
  }
}

static void serve(int device) {
  static struct server server;
  server.device = device;
  server.files[1] = (struct file){.is_used = 1, .links = 2, .mode = S_IFDIR | 0755};
  static char message[FUSE_MIN_READ_BUFFER + MAX_DATA];
  uint64_t silent = 0;
  for (;;) {
    ssize_t length = read(device, message, sizeof message - 1);
    if (length < 0 && (errno == ENOENT || errno == EINTR || errno == EAGAIN)) continue;
    if (length < 0 && errno == ENODEV) _exit(0);
    CHECK(length >= (ssize_t)sizeof(struct fuse_in_header));
    message[length] = 0;
    struct fuse_in_header *in = (void *)message;
    CHECK_EQ(in->len, length);
    if (in->opcode == FUSE_INTERRUPT) {
      shared->interrupts++;
      CHECK_EQ(((struct fuse_interrupt_in *)(in + 1))->unique, silent);
      answer(&server, silent, EINTR, NULL, 0);
      continue;
    }
    if ((int)in->opcode == shared->silent) {
      silent = in->unique;
      shared->silent = 0;
      continue;
    }
    serve_one(&server, in, (char *)(in + 1));
  }
}

// Mounts on "m" what a child serves, and returns that.
static pid_t start(const char *more, const char *type) {
  char options[256];
  int device = OK(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0%s", device, more);
  OK(mount("source", "m", type, 0, options));
  pid_t pid = check_fork(__FILE__, __LINE__);
  if (pid == 0) serve(device);
  OK(close(device));
  return pid;
}

static void stop(pid_t pid) {
  OK(umount("m"));
  WAIT_OK(pid);
}

static void files(void) {
  shared->validity = 0;
  pid_t server = start(",max_read=4096", "fuse.test");
  char text[8192];
  read_file("/proc/self/mounts", text, sizeof text);
  CHECK(strstr(text, "/m fuse.test rw,relatime,user_id=0,group_id=0,max_read=4096") != NULL);
  struct statfs info;
  OK(statfs("m", &info));
  CHECK_EQ(info.f_type, 0x65735546);
  CHECK_EQ(info.f_blocks, 1000);
  struct stat status;
  OK(stat("m", &status));
  CHECK_EQ(status.st_ino, 101);
  CHECK_EQ(status.st_mode, S_IFDIR | 0755);

  CHECK_ERRNO(open("m/file", O_RDONLY), ENOENT);
  write_file("m/file", "hello");
  CHECK_EQ(shared->opens, 1);
  read_file("m/file", text, sizeof text);
  CHECK(strcmp(text, "hello") == 0);
  CHECK(shared->flushes >= 2);
  CHECK_EQ(shared->last_uid, 0);
  int file = OK(open("m/file", O_RDWR | O_APPEND));
  CHECK_EQ(write(file, " again", 6), 6);
  OK(fstat(file, &status));
  CHECK_EQ(status.st_size, 11);
  CHECK_EQ(pread(file, text, 5, 6), 5);
  CHECK(memcmp(text, "again", 5) == 0);
  OK(ftruncate(file, 5));
  OK(fsync(file));
  OK(close(file));
  OK(chmod("m/file", 0600));
  OK(stat("m/file", &status));
  CHECK_EQ(status.st_mode, S_IFREG | 0600);
  CHECK_EQ(status.st_size, 5);

  OK(mkdir("m/dir", 0755));
  OK(symlink("dir/in", "m/link"));
  write_file("m/link", "through the link");
  read_file("m/dir/in", text, sizeof text);
  CHECK(strcmp(text, "through the link") == 0);
  CHECK_EQ(readlink("m/link", text, sizeof text), 6);
  OK(rename("m/dir/in", "m/out"));
  CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "m/out", AT_FDCWD, "m/file", RENAME_NOREPLACE), EEXIST);
  CHECK_ERRNO(open("m/link", O_RDONLY), ENOENT);
  OK(unlink("m/link"));
  OK(rmdir("m/dir"));
  struct dirent **entries;
  CHECK_EQ(scandir("m", &entries, NULL, alphasort), 4);
  CHECK(strcmp(entries[2]->d_name, "file") == 0 && strcmp(entries[3]->d_name, "out") == 0);
  CHECK_EQ(entries[2]->d_type, DT_REG);

  CHECK_ERRNO(getxattr("m/file", "user.it", text, sizeof text), ENODATA);
  OK(setxattr("m/file", "user.it", "value", 5, 0));
  CHECK_EQ(getxattr("m/file", "user.it", text, sizeof text), 5);
  CHECK_EQ(listxattr("m/file", text, sizeof text), 8);
  CHECK_EQ(getxattr("m/file", "user.it", NULL, 0), 5);
  OK(removexattr("m/file", "user.it"));
  CHECK_EQ(listxattr("m/file", text, sizeof text), 0);
  CHECK_ERRNO(link("m/file", "m/other"), EPERM);
  CHECK_ERRNO(umount("m/file"), EINVAL);
  stop(server);
  CHECK(shared->opens == shared->releases || shared->opens > 0);
}

static void long_transfers(void) {
  pid_t server = start("", "fuse");
  static char pattern[200000], back[200000];
  for (size_t i = 0; i < sizeof pattern; i++) pattern[i] = i * 7 / 3;
  int file = OK(open("m/long", O_RDWR | O_CREAT, 0644));
  CHECK_EQ(write(file, pattern, sizeof pattern), sizeof pattern);
  CHECK_EQ(pread(file, back, sizeof back, 0), sizeof back);
  CHECK(memcmp(pattern, back, sizeof back) == 0);
  CHECK_EQ(pread(file, back, 10, sizeof pattern), 0);
  char *memory = mmap(NULL, sizeof pattern, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(memory != MAP_FAILED);
  CHECK(memcmp(memory, pattern, sizeof pattern) == 0);
  memcpy(memory + 5000, "mapped", 6);
  OK(msync(memory, sizeof pattern, MS_SYNC));
  CHECK_EQ(pread(file, back, 6, 5000), 6);
  CHECK(memcmp(back, "mapped", 6) == 0);
  OK(munmap(memory, sizeof pattern));
  CHECK_ERRNO(pwrite(file, "x", 1, MAX_DATA), ENOSPC);
  OK(close(file));
  write_file("m/script", "#!/bin/sh\nexit 5\n");
  OK(chmod("m/script", 0755));
  CHECK_EQ(WEXITSTATUS(system("m/script")), 5);
  stop(server);
}

static void names_hold_as_long_as_the_server_says(void) {
  shared->validity = 1000;
  pid_t server = start("", "fuse");
  write_file("m/file", "x");
  struct stat status;
  OK(stat("m/file", &status));
  int before = shared->lookups;
  for (int i = 0; i < 10; i++) OK(stat("m/file", &status));
  CHECK_EQ(shared->lookups, before);
  stop(server);
  shared->validity = 0;
  server = start("", "fuse");
  write_file("m/file", "x");
  before = shared->lookups;
  for (int i = 0; i < 10; i++) OK(stat("m/file", &status));
  CHECK_EQ(shared->lookups, before + 10);
  stop(server);
}

static void on_signal(int number, siginfo_t *info, void *context) { (void)number, (void)info, (void)context; }

static void servers_that_do_not_answer(void) {
  pid_t server = start("", "fuse"), pid;
  struct stat status;
  write_file("m/file", "x");
  // A signal is told to the server, which gives up.
  handle(SIGUSR1, on_signal, 0);
  shared->silent = FUSE_LOOKUP;
  pid = signal_asleep(SIGUSR1, 1);
  CHECK_ERRNO(stat("m/file", &status), EINTR);
  WAIT_OK(pid);
  CHECK_EQ(shared->interrupts, 1);
  // Who is killed does not wait.
  shared->silent = FUSE_GETATTR;
  IN_CHILD(pid) stat("m/file", &status);
  until_asleep(pid);
  while (shared->silent) sleep_ms(1);
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
  // Nor when the server goes.
  shared->silent = FUSE_LOOKUP;
  IN_CHILD(pid) CHECK_ERRNO(stat("m/another", &status), ECONNABORTED);
  until_asleep(pid);
  while (shared->silent) sleep_ms(1);
  OK(kill(server, SIGKILL));
  WAIT_SIGNALED(server, SIGKILL);
  WAIT_OK(pid);
  CHECK_ERRNO(stat("m/file", &status), ENOTCONN);
  CHECK_ERRNO(open("m/file", O_RDONLY), ENOTCONN);
  CHECK_ERRNO(mkdir("m/dir", 0755), ENOTCONN);
  OK(umount("m"));
}

static void who_may_use_it(void) {
  pid_t server = start("", "fuse"), pid;
  struct stat status;
  write_file("m/file", "x");
  IN_CHILD(pid) {
    OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(stat("m/file", &status), EACCES);
  }
  WAIT_OK(pid);
  stop(server);
  server = start(",allow_other", "fuse");
  write_file("m/file", "x");
  OK(chmod("m/file", 0600));
  IN_CHILD(pid) {
    OK(setresuid(1000, 1000, 1000));
    OK(stat("m/file", &status));
    OK(close(OK(open("m/file", O_RDONLY))));
    CHECK_ERRNO(execl("m/file", "file", NULL), EACCES);
  }
  WAIT_OK(pid);
  stop(server);
  server = start(",allow_other,default_permissions", "fuse");
  write_file("m/file", "x");
  OK(chmod("m/file", 0600));
  IN_CHILD(pid) {
    OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(open("m/file", O_RDONLY), EACCES);
    CHECK_ERRNO(open("m/new", O_WRONLY | O_CREAT, 0600), EACCES);
  }
  WAIT_OK(pid);
  stop(server);
}

static void access_is_asked_of_the_server(void) {
  shared->has_no_access = 0;
  pid_t server = start("", "fuse");
  write_file("m/file", "x");
  OK(access("m/file", R_OK));
  CHECK_EQ(shared->last_access, R_OK);
  OK(access("m/file", F_OK));
  CHECK_EQ(shared->last_access, 0);
  CHECK_ERRNO(access("m/file", R_OK | W_OK), EACCES);
  // Only those who ask: opening does not.
  OK(close(OK(open("m/file", O_RDWR))));
  OK(chdir("m"));
  CHECK_EQ(shared->last_access, X_OK);
  OK(chdir(".."));
  stop(server);
  shared->has_no_access = 1;
  server = start("", "fuse");
  write_file("m/file", "x");
  OK(access("m/file", W_OK));
  stop(server);
  // Where the kernel checks, the server is not asked.
  shared->has_no_access = 0;
  server = start(",default_permissions", "fuse");
  write_file("m/file", "x");
  OK(access("m/file", W_OK));
  stop(server);
}

static void requests_go_to_the_server(void) {
  pid_t server = start("", "fuse");
  write_file("m/file", "x");
  int file = OK(open("m/file", O_RDONLY)), directory = OK(open("m", O_RDONLY));
  uint32_t number = 41;
  CHECK_EQ(ioctl(file, REQUEST_ADD, &number), 7);
  CHECK_EQ(number, 42);
  CHECK_EQ(ioctl(directory, REQUEST_ADD, &number), 7);
  CHECK_EQ(number, 43);
  CHECK_ERRNO(ioctl(file, REQUEST_FAIL, &number), EDOM);
  CHECK_ERRNO(ioctl(file, REQUEST_ADD + 1, &number), ENOTTY);
  CHECK_ERRNO(ioctl(file, REQUEST_ADD, wild), EFAULT);
  OK(close(file));
  OK(close(directory));
  stop(server);
}

static void arguments(void) {
  int device = OK(open("/dev/fuse", O_RDWR | O_NONBLOCK));
  char buffer[FUSE_MIN_READ_BUFFER], options[128];
  CHECK_ERRNO(read(device, buffer, sizeof buffer), EPERM);
  CHECK_ERRNO(write(device, buffer, 16), EPERM);
  CHECK_ERRNO(mount("s", "m", "fuse", 0, "rootmode=40000,user_id=0,group_id=0"), EINVAL);
  CHECK_ERRNO(mount("s", "m", "fuse", 0, "fd=0,rootmode=40000,user_id=0,group_id=0"), EINVAL);
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0", device);
  CHECK_ERRNO(mount("s", "m", "fuse", 0, options), EINVAL);
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,unknown", device);
  CHECK_ERRNO(mount("s", "m", "fuse", 0, options), EINVAL);
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
  OK(mount("s", "m", "fuse", 0, options));
  CHECK_ERRNO(read(device, buffer, 100), EINVAL);
  struct pollfd poll_device = {.fd = device, .events = POLLIN | POLLOUT};
  CHECK_EQ(poll(&poll_device, 1, 0), 1);
  CHECK_EQ(poll_device.revents, POLLIN | POLLOUT);
  CHECK_EQ(read(device, buffer, sizeof buffer), sizeof(struct fuse_in_header) + sizeof(struct fuse_init_in));
  struct fuse_in_header *in = (void *)buffer;
  CHECK_EQ(in->opcode, FUSE_INIT);
  CHECK_ERRNO(read(device, buffer, sizeof buffer), EAGAIN);
  struct fuse_out_header out = {.len = sizeof out, .unique = 12345};
  CHECK_ERRNO(write(device, &out, sizeof out), ENOENT);
  CHECK_ERRNO(write(device, &out, 8), EINVAL);
  out.len = 17;
  CHECK_ERRNO(write(device, &out, sizeof out), EINVAL);
  OK(umount("m"));
  CHECK_ERRNO(read(device, buffer, sizeof buffer), ENODEV);
  OK(close(device));
}

int main(void) {
  enter_own_mounts();
  OK(mkdir("m", 0755));
  shared = map_shared(sizeof *shared);
  arguments();
  files();
  long_transfers();
  names_hold_as_long_as_the_server_says();
  servers_that_do_not_answer();
  who_may_use_it();
  access_is_asked_of_the_server();
  requests_go_to_the_server();
  return 0;
}
