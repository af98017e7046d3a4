// Names: link, rename and its flags, unlink, directories and their listing, the working directory, removal while open.
#include "check.h"
#include <dirent.h>
#include <sys/statfs.h>

static ino_t inode(const char *path) {
  struct stat status;
  OK(lstat(path, &status));
  return status.st_ino;
}

static nlink_t links(const char *path) {
  struct stat status;
  OK(lstat(path, &status));
  return status.st_nlink;
}

static int exists(const char *path) {
  struct stat status;
  return lstat(path, &status) == 0;
}

static void links_share_one_inode(void) {
  write_file("a", "content");
  OK(link("a", "b"));
  CHECK_EQ(inode("a"), inode("b"));
  CHECK_EQ(links("a"), 2);
  CHECK_ERRNO(link("a", "b"), EEXIST);
  CHECK_ERRNO(link("absent", "c"), ENOENT);
  CHECK_ERRNO(link(".", "c"), EPERM);
  OK(symlink("a", "s"));
  OK(link("s", "hard_to_link"));
  CHECK_EQ(inode("s"), inode("hard_to_link"));
  OK(linkat(AT_FDCWD, "s", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
  CHECK_EQ(inode("followed"), inode("a"));
  OK(unlink("a"));
  CHECK_EQ(links("b"), 2);
  CHECK_ERRNO(linkat(AT_FDCWD, "b", AT_FDCWD, "c", 0x9999), EINVAL);
}

static void unlinked_files_live_while_open(void) {
  int file = OK(open("gone", O_RDWR | O_CREAT, 0644));
  CHECK_EQ(write(file, "still here", 10), 10);
  OK(unlink("gone"));
  CHECK_ERRNO(unlink("gone"), ENOENT);
  struct stat status;
  OK(fstat(file, &status));
  CHECK_EQ(status.st_nlink, 0);
  char text[16], path[64], target[PATH_MAX];
  CHECK_EQ(pread(file, text, 16, 0), 10);
  write_file("gone", "another"); // The name is free for another file.
  CHECK_EQ(pread(file, text, 16, 0), 10);
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  ssize_t length = OK(readlink(path, target, sizeof target));
  target[length] = 0;
  CHECK_CASE(length > 10 && strcmp(target + length - 10, " (deleted)") == 0, "%.200s", target);
  OK(close(file));
}

static void rename_replaces(void) {
  write_file("x", "x");
  write_file("y", "y");
  ino_t x = inode("x");
  int old = OK(open("y", O_RDONLY));
  OK(rename("x", "y"));
  CHECK(!exists("x"));
  CHECK_EQ(inode("y"), x);
  char byte;
  CHECK_EQ(read(old, &byte, 1), 1);
  CHECK_EQ(byte, 'y');
  OK(close(old));
  OK(link("y", "y2"));
  OK(rename("y", "y2")); // Two names of one file: nothing happens.
  CHECK(exists("y") && exists("y2"));
  OK(mkdir("d1", 0755));
  OK(mkdir("d2", 0755));
  write_file("d2/f", "");
  OK(mkdir("empty", 0755));
  struct { const char *from, *to; int expected; } cases[] = {
      {"absent", "z", ENOENT},   {"y", "d1", EISDIR},           {"d1", "y", ENOTDIR},   {"d1", "d2", ENOTEMPTY},
      {"d1", "d1/sub", EINVAL},  {"y", "absent/z", ENOENT},     {"y", "y2/z", ENOTDIR}, {".", "z", EBUSY},
      {"d2/..", "z", EBUSY},     {"", "z", ENOENT},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    errno = 0;
    int got = rename(cases[i].from, cases[i].to);
    CHECK_CASE(got == -1 && errno == cases[i].expected, "%s to %s", cases[i].from, cases[i].to);
  }
  OK(rename("d2", "empty")); // An empty directory is replaced.
  CHECK(exists("empty/f") && !exists("d2"));
  OK(rename("empty", "d1/moved"));
  CHECK(exists("d1/moved/f"));
  OK(chdir("d1/moved"));
  CHECK_EQ(inode(".."), inode("../../d1"));
  OK(chdir("../.."));
}

static void rename_flags(void) {
  write_file("p", "p");
  write_file("q", "q");
  ino_t p = inode("p"), q = inode("q");
  CHECK_ERRNO(renameat2(AT_FDCWD, "p", AT_FDCWD, "q", RENAME_NOREPLACE), EEXIST);
  OK(renameat2(AT_FDCWD, "p", AT_FDCWD, "q", RENAME_EXCHANGE));
  CHECK_EQ(inode("p"), q);
  CHECK_EQ(inode("q"), p);
  CHECK_ERRNO(renameat2(AT_FDCWD, "p", AT_FDCWD, "absent", RENAME_EXCHANGE), ENOENT);
  CHECK_ERRNO(renameat2(AT_FDCWD, "p", AT_FDCWD, "q", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
  CHECK_ERRNO(renameat2(AT_FDCWD, "p", AT_FDCWD, "q", 0x80), EINVAL);
  OK(renameat2(AT_FDCWD, "p", AT_FDCWD, "fresh", RENAME_NOREPLACE));
  OK(mkdir("exchange", 0755));
  OK(renameat2(AT_FDCWD, "exchange", AT_FDCWD, "fresh", RENAME_EXCHANGE));
  CHECK_ERRNO(unlink("fresh"), EISDIR);
  CHECK_ERRNO(rmdir("exchange"), ENOTDIR);
}

static void directories_are_made_and_removed(void) {
  OK(mkdir("dir", 0700));
  CHECK_EQ(links("dir"), 2);
  OK(mkdir("dir/sub", 0700));
  CHECK_EQ(links("dir"), 3);
  struct { const char *path; int expected; } making[] = {{"dir", EEXIST}, {"absent/x", ENOENT}, {"q/x", ENOTDIR}, {"/", EEXIST}, {".", EEXIST}, {"", ENOENT}};
  for (size_t i = 0; i < COUNT(making); i++) {
    errno = 0;
    CHECK_CASE(mkdir(making[i].path, 0700) == -1 && errno == making[i].expected, "mkdir %s", making[i].path);
  }
  struct { const char *path; int expected; } removing[] = {{"dir", ENOTEMPTY}, {"absent", ENOENT}, {"q", ENOTDIR}, {"dir/.", EINVAL}, {"dir/sub/..", ENOTEMPTY}, {"/", EBUSY}};
  for (size_t i = 0; i < COUNT(removing); i++) {
    errno = 0;
    CHECK_CASE(rmdir(removing[i].path) == -1 && errno == removing[i].expected, "rmdir %s", removing[i].path);
  }
  CHECK_ERRNO(unlink("dir"), EISDIR);
  CHECK_ERRNO(unlinkat(AT_FDCWD, "dir/sub", 0x1), EINVAL);
  OK(mkdir("dir/slash/", 0700));
  OK(rmdir("dir/slash/"));
  OK(unlinkat(AT_FDCWD, "dir/sub", AT_REMOVEDIR));
  CHECK_EQ(links("dir"), 2);
  int open_directory = OK(open("dir", O_RDONLY));
  OK(rmdir("dir"));
  CHECK_ERRNO(openat(open_directory, "new", O_WRONLY | O_CREAT, 0644), ENOENT);
  CHECK_ERRNO(mkdirat(open_directory, "new", 0700), ENOENT);
  OK(close(open_directory));
}

static void listing_is_complete(void) {
  enum { N = 700 };
  char name[32];
  static char seen[N];
  OK(mkdir("many", 0755));
  OK(chdir("many"));
  for (int i = 0; i < N; i++) {
    snprintf(name, sizeof name, "entry-with-a-name-%d", i);
    OK(close(OK(open(name, O_WRONLY | O_CREAT, 0644))));
  }
  OK(mkdir("a_directory", 0755));
  OK(symlink("x", "a_link"));
  DIR *directory = opendir(".");
  int dots = 0, others = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    int number;
    if (sscanf(entry->d_name, "entry-with-a-name-%d", &number) == 1) {
      CHECK_EQ(seen[number]++, 0);
      CHECK(entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN);
      CHECK_EQ(entry->d_ino, inode(entry->d_name));
    } else if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
      dots++;
      CHECK_EQ(entry->d_type, DT_DIR);
    } else {
      others++;
      CHECK_EQ(entry->d_type, strcmp(entry->d_name, "a_link") == 0 ? DT_LNK : DT_DIR);
    }
  }
  for (int i = 0; i < N; i++) CHECK_EQ(seen[i], 1);
  CHECK_EQ(dots, 2);
  CHECK_EQ(others, 2);
  rewinddir(directory);
  CHECK(readdir(directory) != NULL);
  long position = telldir(directory);
  struct dirent *entry = readdir(directory);
  CHECK(entry != NULL);
  strcpy(name, entry->d_name);
  for (int i = 0; i < 300; i++) readdir(directory);
  seekdir(directory, position);
  entry = readdir(directory);
  CHECK(entry != NULL && strcmp(entry->d_name, name) == 0);
  rewinddir(directory);
  int removed = 0;
  while ((entry = readdir(directory)) != NULL) // Removal while listing loses no other entry.
    if (strncmp(entry->d_name, "entry", 5) == 0) {
      OK(unlink(entry->d_name));
      removed++;
    }
  CHECK_EQ(removed, N);
  closedir(directory);
  char buffer[64];
  int file = OK(open(".", O_RDONLY | O_DIRECTORY));
  CHECK_ERRNO(syscall(SYS_getdents64, file, buffer, 8), EINVAL); // Too small for one entry.
  CHECK_ERRNO(syscall(SYS_getdents64, file, wild, 4096), EFAULT);
  OK(close(file));
  file = OK(open("/etc/passwd", O_RDONLY));
  CHECK_ERRNO(syscall(SYS_getdents64, file, buffer, 64), ENOTDIR);
  OK(close(file));
  OK(chdir(".."));
}

static void the_working_directory(void) {
  char base[PATH_MAX], now[PATH_MAX], expected[PATH_MAX + 16];
  CHECK(getcwd(base, sizeof base) != NULL);
  OK(mkdir("w", 0755));
  OK(mkdir("w/v", 0755));
  OK(symlink("w/v", "short"));
  OK(chdir("short/../v"));
  snprintf(expected, sizeof expected, "%s/w/v", base);
  CHECK(getcwd(now, sizeof now) != NULL && strcmp(now, expected) == 0);
  CHECK_ERRNO(syscall(SYS_getcwd, now, 3), ERANGE);
  CHECK_ERRNO(syscall(SYS_getcwd, wild, 100), EFAULT);
  CHECK_EQ(syscall(SYS_getcwd, now, sizeof now), strlen(expected) + 1);
  OK(rename("../../w", "../../renamed"));
  snprintf(expected, sizeof expected, "%s/renamed/v", base);
  CHECK(getcwd(now, sizeof now) != NULL && strcmp(now, expected) == 0); // It follows the directory.
  OK(rmdir("../v"));
  CHECK(getcwd(now, sizeof now) == NULL && errno == ENOENT);
  CHECK_ERRNO(open("new", O_WRONLY | O_CREAT, 0644), ENOENT);
  OK(chdir(".."));
  int file = OK(open("..", O_RDONLY));
  OK(fchdir(file));
  CHECK(getcwd(now, sizeof now) != NULL && strcmp(now, base) == 0);
  OK(close(file));
  struct { const char *path; int expected; } cases[] = {{"absent", ENOENT}, {"q", ENOTDIR}, {"", ENOENT}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    errno = 0;
    CHECK_CASE(chdir(cases[i].path) == -1 && errno == cases[i].expected, "chdir %s", cases[i].path);
  }
  OK(chdir("/.."));
  CHECK(getcwd(now, sizeof now) != NULL && strcmp(now, "/") == 0);
  OK(chdir(base));
}

static void symlinks_hold_any_text(void) {
  char text[PATH_MAX + 10], longest[PATH_MAX];
  memset(longest, 'l', sizeof longest);
  longest[PATH_MAX - 1] = 0;
  CHECK_ERRNO(symlink("", "empty_link"), ENOENT);
  OK(symlink("any  text/\\ at all", "text_link"));
  CHECK_EQ(readlink("text_link", text, sizeof text), 18);
  CHECK_EQ(readlink("text_link", text, 5), 5); // Cut without an error.
  CHECK_ERRNO(readlink("text_link", text, 0), EINVAL);
  CHECK_ERRNO(readlink("q", text, 10), EINVAL);
  CHECK_ERRNO(readlink("absent", text, 10), ENOENT);
  CHECK_ERRNO(symlink("x", "text_link"), EEXIST);
  struct stat status;
  OK(lstat("text_link", &status));
  CHECK_EQ(status.st_size, 18);
  CHECK(S_ISLNK(status.st_mode));
}

static void deep_paths_need_relative_steps(void) {
  char name[201], cwd[PATH_MAX];
  memset(name, 'd', 200);
  name[200] = 0;
  int top = OK(open(".", O_RDONLY));
  for (int depth = 0; depth < 25; depth++) {
    OK(mkdir(name, 0755));
    OK(chdir(name));
  }
  CHECK(syscall(SYS_getcwd, cwd, sizeof cwd) == -1 && (errno == ENAMETOOLONG || errno == ERANGE));
  for (int depth = 0; depth < 25; depth++) {
    OK(chdir(".."));
    OK(rmdir(name));
  }
  CHECK_EQ(inode("."), ({ struct stat status; OK(fstat(top, &status)); status.st_ino; }));
  OK(close(top));
}

int main(void) {
  enter_scratch();
  links_share_one_inode();
  unlinked_files_live_while_open();
  rename_replaces();
  rename_flags();
  directories_are_made_and_removed();
  listing_is_complete();
  the_working_directory();
  symlinks_hold_any_text();
  deep_paths_need_relative_steps();
  return 0;
}
