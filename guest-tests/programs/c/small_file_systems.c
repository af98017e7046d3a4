// File systems of which the kernel has one each: what they are called and hold; fusectl's directories; binfmt_misc's formats.
// static
#include "mounts.h"
#include <dirent.h>
#include <linux/fuse.h>
#include <sys/statfs.h>

static int has(const char *path) {
  struct stat status;
  return lstat(path, &status) == 0;
}

static void kinds(void) {
  static const struct { const char *name; unsigned magic, mode; } kinds[] = {
      {"securityfs", 0x73636673, 0755}, {"debugfs", 0x64626720, 0700}, {"tracefs", 0x74726163, 0700}, {"pstore", 0x6165676c, 0750},
      {"fusectl", 0x65735543, 0755}, {"binfmt_misc", 0x42494e4d, 0755},
  };
  char filesystems[4096], mounts[16384];
  read_file("/proc/filesystems", filesystems, sizeof filesystems);
  for (size_t i = 0; i < COUNT(kinds); i++) {
    char line[64];
    snprintf(line, sizeof line, "nodev\t%s\n", kinds[i].name);
    CHECK_CASE(strstr(filesystems, line) != NULL, "%s", kinds[i].name);
    OK(mkdir("again", 0755));
    CHECK_CASE(mount("some", "m", kinds[i].name, 0, NULL) == 0, "%s", kinds[i].name);
    struct statfs info;
    OK(statfs("m", &info));
    CHECK_EQ(info.f_type, kinds[i].magic);
    struct stat status, again;
    OK(stat("m", &status));
    CHECK_CASE(status.st_mode == (S_IFDIR | kinds[i].mode), "%s: %o", kinds[i].name, status.st_mode);
    CHECK_ERRNO(mkdir("m/new", 0755), EPERM);
    CHECK_ERRNO(symlink("x", "m/new"), EPERM);
    read_file("/proc/self/mounts", mounts, sizeof mounts);
    snprintf(line, sizeof line, "/m %s rw,relatime", kinds[i].name);
    CHECK_CASE(strstr(mounts, line) != NULL, "%s", kinds[i].name);
    // Every mount shows the same.
    OK(mount("other", "again", kinds[i].name, 0, NULL));
    OK(stat("again", &again));
    CHECK_EQ(status.st_dev, again.st_dev);
    OK(umount("again"));
    OK(umount("m"));
    OK(rmdir("again"));
  }
  OK(mount("some", "m", "securityfs", 0, NULL));
  char text[256];
  read_file("m/lsm", text, sizeof text);
  CHECK(strstr(text, "capability") != NULL);
  OK(umount("m"));
}

static void write_text(const char *path, const char *text, int error) {
  int file = OK(open(path, O_WRONLY));
  if (error == 0) {
    CHECK_EQ(write(file, text, strlen(text)), strlen(text));
  } else {
    CHECK_ERRNO(write(file, text, strlen(text)), error);
  }
  OK(close(file));
}

static void check_text(const char *path, const char *expected) {
  char text[512];
  read_file(path, text, sizeof text);
  if (strcmp(text, expected) != 0) FAIL("%s: '%s' instead of '%s'", path, text, expected);
}

// The output of a command.
static const char *output_of(const char *command) {
  static char text[512];
  FILE *pipe = popen(command, "r");
  CHECK(pipe != NULL);
  size_t length = fread(text, 1, sizeof text - 1, pipe);
  text[length] = 0;
  pclose(pipe);
  return text;
}

static void formats(const char *base) {
  char text[512], expected[512];
  OK(mount("formats", "m", "binfmt_misc", 0, NULL));
  check_text("m/status", "enabled\n");
  write_file("interpreter", "#!/bin/sh\nfor i in \"$@\"; do echo \"[$i]\"; done\n");
  OK(chmod("interpreter", 0755));
  write_file("file.guesttest", "no program");
  OK(chmod("file.guesttest", 0755));
  write_file("magic", "..GUEST\x01TEST");
  OK(chmod("magic", 0755));

  snprintf(text, sizeof text, ":guest-extension:E::guesttest::%s/interpreter:", base);
  write_text("m/register", text, 0);
  write_text("m/register", text, EEXIST);
  snprintf(expected, sizeof expected, "enabled\ninterpreter %s/interpreter\nflags: \nextension .guesttest\n", base);
  check_text("m/guest-extension", expected);
  snprintf(expected, sizeof expected, "[%s/file.guesttest]\n[a]\n[b c]\n", base);
  snprintf(text, sizeof text, "%s/file.guesttest a 'b c'", base);
  CHECK(strcmp(output_of(text), expected) == 0);

  snprintf(text, sizeof text, ":guest-magic:M:2:GUEST\\x00TEST:\\xff\\xff\\xff\\xff\\xff\\xf0\\xff\\xff\\xff\\xff:%s/interpreter:P\n", base);
  write_text("m/register", text, 0);
  snprintf(expected, sizeof expected, "enabled\ninterpreter %s/interpreter\nflags: P\noffset 2\nmagic 47554553540054455354\nmask fffffffffff0ffffffff\n", base);
  check_text("m/guest-magic", expected);
  CHECK(strstr(output_of("./magic x"), "[./magic]\n[./magic]\n[x]\n") != NULL);

  write_text("m/guest-magic", "0", 0);
  read_file("m/guest-magic", text, sizeof text);
  CHECK(strncmp(text, "disabled\n", 9) == 0);
  CHECK_ERRNO(execl("./magic", "magic", NULL), ENOEXEC);
  write_text("m/guest-magic", "1\n", 0);
  write_text("m/guest-magic", "2", EINVAL);
  write_text("m/status", "0", 0);
  check_text("m/status", "disabled\n");
  CHECK_ERRNO(execl("./magic", "magic", NULL), ENOEXEC);
  write_text("m/status", "1", 0);
  write_text("m/guest-magic", "-1", 0);
  CHECK(!has("m/guest-magic"));
  write_text("m/guest-extension", "-1", 0);
  static const char *bad[] = {":a:M::x:", ":a:X::magic::/bin/true:", "::M::magic::/bin/true:", ":a/b:M::magic::/bin/true:", ":a:M:300:magic::/bin/true:", ":a:M::magic:x:/bin/true:", ":a:E::a/b::/bin/true:"};
  for (size_t i = 0; i < COUNT(bad); i++) write_text("m/register", bad[i], EINVAL);

  OK(umount("m"));
}

static void connections(void) {
  OK(mount("connections", "m", "fusectl", 0, NULL));
  OK(mkdir("served", 0755));
  int device = OK(open("/dev/fuse", O_RDWR));
  char options[128], path[64], text[64];
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
  OK(mount("s", "served", "fuse", 0, options));
  struct { struct fuse_in_header header; char body[FUSE_MIN_READ_BUFFER]; } request;
  OK(read(device, &request, sizeof request));
  CHECK_EQ(request.header.opcode, FUSE_INIT);
  struct { struct fuse_out_header header; struct fuse_init_out body; } answer = {
      .header = {.len = sizeof answer, .unique = request.header.unique}, .body = {.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096}};
  CHECK_EQ(write(device, &answer, sizeof answer), sizeof answer);
  pid_t pid;
  IN_CHILD(pid) {
    OK(close(device));
    struct stat status;
    CHECK_ERRNO(stat("served/file", &status), ECONNABORTED);
  }
  until_asleep(pid);
  DIR *directory = opendir("m");
  CHECK(directory != NULL);
  struct dirent *entry;
  int found = 0;
  while ((entry = readdir(directory)) != NULL) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "m/%.32s/waiting", entry->d_name);
    read_file(path, text, sizeof text);
    if (atoi(text) == 0) continue;
    found++;
    snprintf(path, sizeof path, "m/%.32s/abort", entry->d_name);
    write_text(path, "1", 0);
  }
  closedir(directory);
  CHECK_EQ(found, 1);
  WAIT_OK(pid);
  OK(umount("served"));
  OK(close(device));
  OK(umount("m"));
}

static int permissions(const char *path) {
  struct stat status;
  OK(stat(path, &status));
  return status.st_mode & 07777;
}

// Each instance of devpts has its own options.
static void options_of_devpts(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(chdir("m"));
    CHECK_ERRNO(mount("d", ".", "devpts", 0, "max=-1"), EINVAL);
    CHECK_ERRNO(mount("d", ".", "devpts", 0, "max=1048577"), EINVAL);
    CHECK_ERRNO(mount("d", ".", "devpts", 0, "mode=9"), EINVAL);
    CHECK_ERRNO(mount("d", ".", "devpts", 0, "other"), EINVAL);
    OK(mount("d", ".", "devpts", 0, "newinstance,gid=7,max=1"));
    char here[PATH_MAX];
    CHECK(getcwd(here, sizeof here) != NULL);
    OK(chdir(here));
    CHECK_EQ(permissions("ptmx"), 0);
    int only = OK(open("ptmx", O_RDWR | O_NOCTTY));
    struct stat status;
    OK(stat("0", &status));
    CHECK(status.st_gid == 7 && (status.st_mode & 07777) == 0600);
    CHECK_ERRNO(open("ptmx", O_RDWR | O_NOCTTY), ENOSPC);
    OK(mount("d", here, "devpts", MS_REMOUNT, "mode=620,ptmxmode=666,max=2"));
    CHECK_EQ(permissions("ptmx"), 0666);
    CHECK_EQ(permissions("0"), 0600);
    OK(open("ptmx", O_RDWR | O_NOCTTY));
    CHECK_EQ(permissions("1"), 0620);
    OK(fchmod(only, 0640));
    CHECK_EQ(permissions("ptmx"), 0640);
    CHECK_ERRNO(open("new", O_CREAT | O_RDWR, 0600), EACCES);
    CHECK_ERRNO(mkdir("new", 0700), EPERM);
    CHECK_ERRNO(mknod("new", S_IFIFO | 0600, 0), EPERM);
    OK(umount2(here, MNT_DETACH));
  }
  WAIT_OK(pid);
}

// The options of the mount at the end of a path, without those of its type.
static const char *shown_options(const char *path, char *room, size_t size) {
  char text[16384], wanted[128], *line;
  read_file("/proc/self/mounts", text, sizeof text);
  snprintf(wanted, sizeof wanted, "%s tmpfs ", path);
  CHECK((line = strstr(text, wanted)) != NULL);
  line += strlen(wanted);
  char *end = strstr(line, ",size=");
  CHECK(end != NULL && end - line < (long)size);
  snprintf(room, size, "%.*s", (int)(end - line), line);
  return room;
}

static void flags_of_all_mounts(const char *base) {
  enum { ST_SYNCHRONOUS_ = 16, ST_MANDLOCK_ = 64, LAZY = 1 << 25 };
  char path[64], room[128];
  struct statfs system;
  snprintf(path, sizeof path, "%s/all", base);
  OK(mkdir(path, 0755));
  OK(mount("t", path, "tmpfs", MS_SYNCHRONOUS | MS_DIRSYNC | MS_MANDLOCK | LAZY | MS_NODEV, "size=64k"));
  CHECK(strcmp(shown_options(path, room, sizeof room), "rw,sync,dirsync,mand,lazytime,nodev,relatime") == 0);
  OK(statfs(path, &system));
  CHECK_EQ(system.f_flags & (ST_SYNCHRONOUS_ | ST_MANDLOCK_), ST_SYNCHRONOUS_ | ST_MANDLOCK_);
  OK(mount("t", path, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=64k"));
  CHECK(strcmp(shown_options(path, room, sizeof room), "ro,dirsync,relatime") == 0);
  OK(mount("t", path, "tmpfs", MS_REMOUNT, "size=64k,sync"));
  CHECK(strcmp(shown_options(path, room, sizeof room), "rw,sync,dirsync,relatime") == 0);
  OK(umount(path));
  OK(rmdir(path));
}

// Sizes are read in any notation and unit, and told as they were set; what is not limited is not counted.
static void sizes_of_tmpfs(const char *base) {
  const struct { const char *type, *options; unsigned long long blocks, files; } cases[] = {
    {"tmpfs", "size=1t,nr_inodes=1k", 1ull << 28, 1024}, {"tmpfs", "size=0x2000,nr_inodes=010", 2, 8},
    {"tmpfs", "size=1E,nr_inodes=9", 1ull << 48, 9}, {"tmpfs", "size=0,nr_inodes=9", 0, 9},
    {"tmpfs", "nr_blocks=7,nr_inodes=0", 7, 0}, {"tmpfs", "size=k,nr_inodes=9", 0, 9}, {"ramfs", NULL, 0, 0},
  };
  char path[64];
  struct statfs system;
  snprintf(path, sizeof path, "%s/sizes", base);
  OK(mkdir(path, 0755));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    OK(mount("t", path, cases[i].type, 0, cases[i].options));
    OK(statfs(path, &system));
    CHECK_CASE(system.f_blocks == cases[i].blocks, "%s: %llu", cases[i].options, (long long)system.f_blocks);
    CHECK_CASE(system.f_files == cases[i].files, "%s: %llu", cases[i].options, (long long)system.f_files);
    OK(umount(path));
  }
  CHECK_ERRNO(mount("t", path, "tmpfs", 0, "size=1kk"), EINVAL);
  OK(rmdir(path));
}

int main(void) {
  const char *base = enter_own_mounts();
  OK(mkdir("m", 0755));
  kinds();
  options_of_devpts();
  connections();
  formats(base);
  flags_of_all_mounts(base);
  sizes_of_tmpfs(base);
  return 0;
}
