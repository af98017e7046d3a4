// Overlays: what is seen of their layers, what changes leave in the upper one, numbers, renames, hard links, options that are refused.
// static
#include "mounts.h"
#include <dirent.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <sys/xattr.h>

#define OPTIONS "lowerdir=l1:l2,upperdir=u,workdir=w"

static int overlay(const char *options) { return mount("over", "m", "overlay", 0, options); }

static struct stat status(const char *path) {
  struct stat status;
  if (lstat(path, &status) != 0) FAIL("stat %s: errno %d", path, errno);
  return status;
}

static int exists(const char *path) {
  struct stat status;
  return lstat(path, &status) == 0;
}

static int is_whiteout(const char *path) {
  struct stat found = status(path);
  return S_ISCHR(found.st_mode) && found.st_rdev == 0;
}

static void check_text(const char *path, const char *expected) {
  char text[256];
  read_file(path, text, sizeof text);
  if (strcmp(text, expected) != 0) FAIL("%s: '%s' instead of '%s'", path, text, expected);
}

static void check_mark(const char *path, const char *name, const char *expected) {
  char value[256] = "", full[64];
  snprintf(full, sizeof full, "trusted.overlay.%s", name);
  ssize_t len = lgetxattr(path, full, value, sizeof value - 1);
  if (expected == NULL) {
    if (len != -1 || errno != ENODATA) FAIL("%s has %s '%s'", path, full, value);
    return;
  }
  if (len < 0 || strcmp(value, expected) != 0) FAIL("%s: %s is '%s' instead of '%s'", path, full, value, expected);
}

// The names in a directory, in order, each with a blank behind; and each has the number that stat tells.
static const char *names(const char *path) {
  static char text[1024];
  struct dirent **entries;
  int count = OK(scandir(path, &entries, NULL, alphasort));
  text[0] = 0;
  for (int i = 0; i < count; i++) {
    if (strcmp(entries[i]->d_name, "..") != 0) {
      char child[512];
      snprintf(child, sizeof child, "%s/%s", path, entries[i]->d_name);
      if (entries[i]->d_ino != status(child).st_ino) FAIL("%s: listed as %lu", child, (unsigned long)entries[i]->d_ino);
    }
    if (entries[i]->d_name[0] != '.') strcat(strcat(text, entries[i]->d_name), " ");
    free(entries[i]);
  }
  free(entries);
  return text;
}
#define CHECK_NAMES(path, expected) \
  do { \
    const char *found = names(path); \
    if (strcmp(found, expected) != 0) FAIL("%s has '%s'", path, found); \
  } while (0)

// Two lower layers, an upper one and a work directory, all empty.
static void make_layers(void) {
  const char *directories[] = {"l1", "l2", "u", "w", "m"};
  for (size_t i = 0; i < COUNT(directories); i++) OK(mkdir(directories[i], 0755));
}

static void clear_layers(void) { CHECK_EQ(system("rm -rf l1 l2 u w m"), 0); }

static void layers_are_seen_as_one(void) {
  make_layers();
  write_file("l1/both", "first");
  write_file("l2/both", "second");
  write_file("l2/only", "second");
  write_file("l2/removed", "");
  OK(mknod("l1/removed", S_IFCHR, 0));
  OK(mkdir("l1/dir", 0711));
  OK(mkdir("l2/dir", 0755));
  write_file("l1/dir/a", "1");
  write_file("l2/dir/b", "2");
  OK(mkdir("l1/opaque", 0755));
  OK(setxattr("l1/opaque", "trusted.overlay.opaque", "y", 1, 0));
  OK(mkdir("l2/opaque", 0755));
  write_file("l2/opaque/hidden", "");
  write_file("l1/covers", "file");
  OK(mkdir("l2/covers", 0755));
  OK(overlay("lowerdir=l1:l2"));
  CHECK_NAMES("m", "both covers dir only opaque ");
  check_text("m/both", "first");
  check_text("m/only", "second");
  check_text("m/dir/a", "1");
  check_text("m/dir/b", "2");
  check_text("m/covers", "file");
  CHECK_NAMES("m/dir", "a b ");
  CHECK_NAMES("m/opaque", "");
  CHECK_EQ(status("m/dir").st_mode & 0777, 0711);
  CHECK_EQ(status("m/dir").st_nlink, 1);
  CHECK(!exists("m/removed"));
  CHECK_ERRNO(open("m/new", O_CREAT | O_WRONLY, 0600), EROFS);
  CHECK_ERRNO(open("m/both", O_WRONLY), EROFS);
  CHECK_ERRNO(mount(NULL, "m", NULL, MS_REMOUNT, NULL), EROFS);
  struct statfs info;
  OK(statfs("m", &info));
  CHECK_EQ(info.f_type, 0x794c7630);
  // The layers are in use, but their own mounts are not.
  CHECK_ERRNO(mknod("m/null", S_IFCHR, 0), EROFS);
  OK(umount("m"));
  clear_layers();
}

static void changes_go_to_the_upper_layer(void) {
  make_layers();
  write_file("l1/file", "lower");
  OK(chmod("l1/file", 0640));
  OK(chown("l1/file", 12, 34));
  OK(setxattr("l1/file", "user.note", "kept", 4, 0));
  struct timespec times[2] = {{1000, 5}, {2000, 6}};
  OK(utimensat(AT_FDCWD, "l1/file", times, 0));
  OK(mkdir("l1/dir", 0750));
  OK(mkdir("l1/dir/sub", 0700));
  write_file("l1/dir/sub/deep", "deep");
  OK(symlink("target", "l1/link"));
  OK(mkfifo("l1/fifo", 0604));
  OK(overlay(OPTIONS));
  CHECK(!exists("u/file"));
  struct stat before = status("m/file"), above = status("m");

  int reader = OK(open("m/file", O_RDONLY)), writer = OK(open("m/file", O_WRONLY | O_APPEND));
  CHECK_EQ(write(writer, "+upper", 6), 6);
  char text[32];
  CHECK_EQ(read(reader, text, sizeof text), 11);
  CHECK(memcmp(text, "lower+upper", 11) == 0);
  check_text("u/file", "lower+upper");
  check_text("l1/file", "lower");
  struct stat after = status("m/file"), copy = status("u/file");
  CHECK_EQ(after.st_ino, before.st_ino);
  CHECK_EQ(after.st_dev, before.st_dev);
  CHECK_EQ(after.st_dev, above.st_dev);
  CHECK(copy.st_dev != after.st_dev);
  CHECK_EQ(copy.st_mode, S_IFREG | 0640);
  CHECK_EQ(copy.st_uid, 12);
  CHECK_EQ(copy.st_gid, 34);
  CHECK_EQ(getxattr("u/file", "user.note", text, sizeof text), 4);
  CHECK_EQ(status("m").st_mtime, above.st_mtime);
  OK(close(reader));
  OK(close(writer));

  // What changes attributes alone keeps the times.
  OK(chmod("m/dir/sub/deep", 0600));
  check_text("u/dir/sub/deep", "deep");
  CHECK_EQ(status("u/dir").st_mode & 0777, 0750);
  CHECK_EQ(status("u/dir/sub").st_mode & 0777, 0700);
  CHECK_EQ(status("u/dir/sub").st_mtime, status("l1/dir/sub").st_mtime);
  OK(lchown("m/link", 1, 1));
  CHECK_EQ(readlink("u/link", text, sizeof text), 6);
  OK(chmod("m/fifo", 0606));
  CHECK_EQ(status("u/fifo").st_mode, S_IFIFO | 0606);
  OK(truncate("m/file", 3));
  check_text("u/file", "low");
  CHECK_NAMES("m", "dir fifo file link ");
  CHECK_NAMES("m/dir/sub", "deep ");
  OK(umount("m"));
  OK(overlay(OPTIONS));
  CHECK_EQ(status("m/file").st_ino, before.st_ino);
  CHECK_NAMES("m", "dir fifo file link ");

  // Empty before it is written: nothing is copied.
  write_file("l1/late", "long contents");
  int file = OK(open("m/late", O_RDWR | O_TRUNC));
  CHECK_EQ(status("u/late").st_size, 0);
  OK(close(file));
  OK(umount("m"));
  clear_layers();
}

static void what_is_removed_leaves_whiteouts(void) {
  make_layers();
  write_file("l1/file", "lower");
  write_file("u/own", "upper");
  OK(mkdir("l2/dir", 0755));
  write_file("l2/dir/a", "");
  OK(mkdir("u/dir", 0755));
  write_file("u/dir/b", "");
  OK(overlay(OPTIONS));
  int open_file = OK(open("m/file", O_RDONLY));
  OK(unlink("m/file"));
  CHECK(is_whiteout("u/file"));
  CHECK(!exists("m/file"));
  char text[8];
  CHECK_EQ(read(open_file, text, sizeof text), 5);
  OK(close(open_file));
  OK(unlink("m/own"));
  CHECK(!exists("u/own"));
  CHECK_ERRNO(rmdir("m/dir"), ENOTEMPTY);
  OK(unlink("m/dir/a"));
  CHECK(is_whiteout("u/dir/a"));
  CHECK_ERRNO(rmdir("m/dir"), ENOTEMPTY);
  OK(unlink("m/dir/b"));
  CHECK_NAMES("m/dir", "");
  OK(rmdir("m/dir"));
  CHECK(is_whiteout("u/dir"));
  CHECK_NAMES("m", "");

  // A directory in its place hides what was there.
  OK(mkdir("m/dir", 0700));
  check_mark("u/dir", "opaque", "y");
  CHECK_NAMES("m/dir", "");
  CHECK_EQ(getxattr("m/dir", "trusted.overlay.opaque", NULL, 0), -1);
  OK(rmdir("m/dir"));
  CHECK(is_whiteout("u/dir"));
  write_file("m/dir", "now a file");
  check_text("u/dir", "now a file");
  OK(mkdir("m/fresh", 0700));
  check_mark("u/fresh", "opaque", NULL);
  CHECK_ERRNO(mknod("m/white", S_IFCHR, 0), EPERM);
  OK(mknod("m/null", S_IFCHR | 0666, makedev(1, 3)));
  int null = OK(open("m/null", O_WRONLY));
  CHECK_EQ(write(null, "gone", 4), 4);
  OK(close(null));
  OK(umount("m"));
  OK(overlay(OPTIONS));
  CHECK_NAMES("m", "dir fresh null ");
  OK(umount("m"));
  clear_layers();
}

static void names_are_changed(void) {
  make_layers();
  write_file("l1/a", "a");
  write_file("l1/b", "b");
  OK(mkdir("l1/dir", 0755));
  write_file("l1/dir/in", "in");
  OK(mkdir("u/own", 0755));
  write_file("u/own/x", "x");
  OK(overlay(OPTIONS));
  OK(rename("m/a", "m/c"));
  CHECK(is_whiteout("u/a"));
  check_text("m/c", "a");
  OK(rename("m/c", "m/b"));
  check_text("m/b", "a");
  CHECK(!exists("u/c"));
  CHECK_ERRNO(rename("m/dir", "m/other"), EXDEV);
  OK(rename("m/own", "m/moved"));
  check_text("m/moved/x", "x");
  CHECK_ERRNO(rename("m/moved", "m/dir"), ENOTEMPTY);
  OK(unlink("m/dir/in"));
  OK(rename("m/moved", "m/dir"));
  check_text("m/dir/x", "x");
  check_mark("u/dir", "opaque", "y");
  CHECK_NAMES("m", "b dir ");
  CHECK_NAMES("m/dir", "x ");
  write_file("m/one", "1");
  write_file("m/two", "2");
  OK(syscall(SYS_renameat2, AT_FDCWD, "m/one", AT_FDCWD, "m/two", 2));
  check_text("m/one", "2");
  CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "m/one", AT_FDCWD, "m/two", 1), EEXIST);
  OK(umount("m"));
  OK(overlay(OPTIONS));
  CHECK_NAMES("m", "b dir one two ");
  check_text("m/dir/x", "x");
  OK(umount("m"));
  clear_layers();
}

static void directories_are_renamed_by_redirects(void) {
  make_layers();
  OK(mkdir("l1/dir", 0755));
  write_file("l1/dir/in", "in");
  OK(mkdir("l2/dir", 0755));
  write_file("l2/dir/deep", "deep");
  OK(mkdir("l1/top", 0755));
  OK(overlay(OPTIONS ",redirect_dir=on"));
  OK(rename("m/dir", "m/new"));
  check_mark("u/new", "redirect", "dir");
  CHECK(is_whiteout("u/dir"));
  check_text("m/new/in", "in");
  check_text("m/new/deep", "deep");
  OK(rename("m/new", "m/top/moved"));
  check_mark("u/top/moved", "redirect", "/dir");
  OK(rename("m/top", "m/last"));
  check_mark("u/last", "redirect", "top");
  OK(umount("m"));
  OK(overlay(OPTIONS));
  check_text("m/last/moved/in", "in");
  check_text("m/last/moved/deep", "deep");
  CHECK_NAMES("m/last/moved", "deep in ");
  CHECK_NAMES("m", "last ");
  OK(umount("m"));
  OK(overlay(OPTIONS ",redirect_dir=nofollow"));
  CHECK_ERRNO(open("m/last/moved", O_RDONLY), EPERM);
  OK(umount("m"));
  clear_layers();
}

static void hard_links(void) {
  make_layers();
  write_file("l1/a", "same");
  OK(link("l1/a", "l1/b"));
  write_file("l1/c", "c");
  OK(overlay(OPTIONS));
  CHECK_EQ(status("m/a").st_ino, status("m/b").st_ino);
  CHECK_EQ(status("m/a").st_nlink, 2);
  write_file("m/a", "other");
  // Each name is copied by itself.
  check_text("m/b", "same");
  CHECK(status("m/a").st_ino != status("m/b").st_ino);
  OK(link("m/c", "m/d"));
  CHECK_EQ(status("u/c").st_ino, status("u/d").st_ino);
  CHECK_EQ(status("m/c").st_ino, status("m/d").st_ino);
  CHECK_EQ(status("m/d").st_nlink, 2);
  write_file("m/d", "by the other name");
  check_text("m/c", "by the other name");
  OK(unlink("m/b"));
  OK(link("m/c", "m/b"));
  CHECK_EQ(status("m/b").st_nlink, 3);
  int file = OK(open("m", O_TMPFILE | O_RDWR, 0600));
  CHECK_EQ(write(file, "unnamed", 7), 7);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  OK(linkat(AT_FDCWD, path, AT_FDCWD, "m/named", AT_SYMLINK_FOLLOW));
  check_text("u/named", "unnamed");
  OK(close(file));
  CHECK_NAMES("m", "a b c d named ");
  OK(umount("m"));
  clear_layers();
}

static void files_are_used(void) {
  make_layers();
  write_file("l1/script", "#!/bin/sh\nexit 7\n");
  OK(chmod("l1/script", 0755));
  write_file("l1/mapped", "mapped");
  OK(overlay(OPTIONS));
  CHECK_EQ(WEXITSTATUS(system("m/script")), 7);
  int file = OK(open("m/mapped", O_RDWR));
  char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(memory != MAP_FAILED);
  memory[0] = 'M';
  check_text("m/mapped", "Mapped");
  OK(munmap(memory, PAGE));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  OK(fcntl(file, F_SETLK, &lock));
  pid_t pid;
  IN_CHILD(pid) {
    int other = OK(open("m/mapped", O_RDWR));
    struct flock wanted = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CHECK_ERRNO(fcntl(other, F_SETLK, &wanted), EAGAIN);
  }
  WAIT_OK(pid);
  OK(close(file));
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "m/socket"};
  int server = OK(socket(AF_UNIX, SOCK_STREAM, 0)), client = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  OK(bind(server, (struct sockaddr *)&address, sizeof address));
  OK(listen(server, 1));
  OK(connect(client, (struct sockaddr *)&address, sizeof address));
  OK(close(server));
  OK(close(client));
  OK(setxattr("m/mapped", "trusted.overlay.own", "x", 1, 0));
  CHECK_EQ(getxattr("m/mapped", "trusted.overlay.own", NULL, 0), 1);
  CHECK_EQ(getxattr("u/mapped", "trusted.overlay.overlay.own", NULL, 0), 1);
  char list[256];
  ssize_t len = OK(listxattr("m/mapped", list, sizeof list));
  CHECK(len == 20 && strcmp(list, "trusted.overlay.own") == 0);
  CHECK_ERRNO(setxattr("m/mapped", "user.none", "", 0, XATTR_REPLACE), ENODATA);
  OK(umount("m"));
  clear_layers();
}

static void other_file_systems(void) {
  make_layers();
  OK(mount("other", "l1", "tmpfs", 0, NULL));
  write_file("l1/file", "far");
  OK(mkdir("l1/dir", 0755));
  OK(overlay(OPTIONS));
  struct stat file = status("m/file"), directory = status("m/dir"), root = status("m");
  CHECK(file.st_dev != root.st_dev);
  CHECK_EQ(directory.st_dev, root.st_dev);
  CHECK_EQ(file.st_ino, status("l1/file").st_ino);
  OK(chmod("m/file", 0600));
  OK(chmod("m/dir", 0700));
  CHECK_EQ(status("m/file").st_dev, file.st_dev);
  CHECK_EQ(status("m/file").st_ino, file.st_ino);
  CHECK_EQ(status("m/dir").st_ino, directory.st_ino);
  // The overlay keeps what it is made of, not where it was.
  OK(umount("l1"));
  CHECK(!exists("l1/file"));
  check_text("m/file", "far");
  OK(umount("m"));
  OK(mount("other", "l1", "tmpfs", 0, NULL));
  write_file("l1/file", "far");
  OK(overlay(OPTIONS ",xino=on"));
  CHECK_EQ(status("m/file").st_dev, status("m").st_dev);
  OK(umount("m"));
  OK(umount("l1"));
  clear_layers();
}

static void overlays_of_overlays(void) {
  make_layers();
  const char *more[] = {"u2", "w2", "m2", "m3"};
  for (size_t i = 0; i < COUNT(more); i++) OK(mkdir(more[i], 0755));
  write_file("l1/file", "1");
  OK(overlay("lowerdir=l1:l2"));
  OK(mount("over", "m2", "overlay", 0, "lowerdir=m,upperdir=u2,workdir=w2"));
  check_text("m2/file", "1");
  write_file("m2/file", "2");
  check_text("u2/file", "2");
  check_text("m/file", "1");
  CHECK_ERRNO(mount("over", "m3", "overlay", 0, "lowerdir=m2:l2"), EINVAL);
  OK(umount("m2"));
  CHECK_ERRNO(mount("over", "m2", "overlay", 0, "lowerdir=l2,upperdir=m,workdir=w"), EINVAL);
  OK(umount("m"));
  CHECK_EQ(system("rm -rf u2 w2 m2 m3"), 0);
  clear_layers();
}

static void options(void) {
  make_layers();
  static const struct { const char *options; int error; } refused[] = {
      {"", EINVAL}, {"lowerdir=l1", EINVAL}, {"lowerdir=l1:l1", ELOOP}, {"lowerdir=l1,upperdir=u", EINVAL},
      {"lowerdir=l1:l2,unknown", EINVAL}, {"lowerdir=l1,upperdir=u,workdir=u", EINVAL}, {"upperdir=u,workdir=w", EINVAL},
      {"lowerdir=l1,upperdir=l1,workdir=w", ELOOP}, {"lowerdir=none:l1", ENOENT}, {"lowerdir=l1:l2,redirect_dir=x", EINVAL},
      {"lowerdir=l1:l2,upperdir=u,workdir=w,userxattr,redirect_dir=on", EINVAL},
      {"lowerdir=l1:l2,upperdir=u,workdir=w,userxattr,metacopy=on", EINVAL},
  };
  for (size_t i = 0; i < COUNT(refused); i++) {
    errno = 0;
    CHECK_CASE(overlay(refused[i].options) == -1 && errno == refused[i].error, "%s", refused[i].options);
  }
  OK(mkdir("with:colon", 0755));
  write_file("with:colon/f", "colon");
  OK(overlay("lowerdir=with\\:colon:l2"));
  check_text("m/f", "colon");
  char text[8192];
  read_file("/proc/self/mounts", text, sizeof text);
  CHECK(strstr(text, "/m overlay ro,relatime,lowerdir=with") != NULL);
  OK(umount("m"));
  CHECK_EQ(system("rm -rf with:colon"), 0);
  OK(overlay(OPTIONS ",volatile"));
  CHECK(exists("w/work/incompat/volatile"));
  OK(umount("m"));
  CHECK_ERRNO(overlay(OPTIONS), EINVAL);
  clear_layers();
}

static void by_descriptors(void) {
  make_layers();
  write_file("l2/file", "2");
  int context = OK(syscall(SYS_fsopen, "overlay", 0));
  OK(syscall(SYS_fsconfig, context, 1, "source", "over", 0));
  OK(syscall(SYS_fsconfig, context, 1, "lowerdir+", "l1", 0));
  OK(syscall(SYS_fsconfig, context, 1, "lowerdir+", "l2", 0));
  OK(syscall(SYS_fsconfig, context, 1, "upperdir", "u", 0));
  OK(syscall(SYS_fsconfig, context, 1, "workdir", "w", 0));
  CHECK_ERRNO(syscall(SYS_fsconfig, context, 1, "unknown", "x", 0), EINVAL);
  OK(syscall(SYS_fsconfig, context, 6, NULL, NULL, 0));
  int tree = OK(syscall(SYS_fsmount, context, 0, 0));
  OK(syscall(SYS_move_mount, tree, "", AT_FDCWD, "m", 4));
  check_text("m/file", "2");
  OK(umount2("m", MNT_DETACH));
  OK(close(tree));
  OK(close(context));
  clear_layers();
}

static void in_a_user_namespace(void) {
  make_layers();
  OK(mkdir("l1/dir", 0777));
  write_file("l1/file", "lower");
  OK(chown("l1", 1000, 1000));
  OK(chown("l1/file", 1000, 1000));
  OK(chown("l1/dir", 1000, 1000));
  const char *own[] = {"u", "w"};
  for (size_t i = 0; i < COUNT(own); i++) OK(chown(own[i], 1000, 1000));
  pid_t pid;
  IN_CHILD(pid) {
    OK(setresgid(1000, 1000, 1000));
    OK(setresuid(1000, 1000, 1000));
    OK(prctl(PR_SET_DUMPABLE, 1));
    OK(unshare(CLONE_NEWUSER | CLONE_NEWNS));
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", "0 1000 1");
    write_file("/proc/self/gid_map", "0 1000 1");
    OK(overlay(OPTIONS ",userxattr"));
    write_file("m/file", "upper");
    check_text("u/file", "upper");
    OK(rmdir("m/dir"));
    CHECK(is_whiteout("u/dir"));
    OK(mkdir("m/dir", 0755));
    char value[4] = "";
    CHECK_EQ(getxattr("u/dir", "user.overlay.opaque", value, sizeof value), 1);
    CHECK_EQ(getxattr("m/dir", "user.overlay.opaque", value, sizeof value), -1);
    CHECK_NAMES("m", "dir file ");
    OK(umount("m"));
  }
  WAIT_OK(pid);
  clear_layers();
}

int main(void) {
  enter_own_mounts();
  layers_are_seen_as_one();
  changes_go_to_the_upper_layer();
  what_is_removed_leaves_whiteouts();
  names_are_changed();
  directories_are_renamed_by_redirects();
  hard_links();
  files_are_used();
  other_file_systems();
  overlays_of_overlays();
  options();
  by_descriptors();
  in_a_user_namespace();
  return 0;
}
