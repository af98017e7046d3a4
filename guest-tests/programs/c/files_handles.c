// File handles (name_to_handle_at(2), open_by_handle_at(2)): made, found again whatever became of the path, and refused.
#include "check.h"
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID AT_REMOVEDIR
#endif

union handle {
  struct file_handle head;
  char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static union handle handle_of(const char *path, int flags) {
  union handle handle = {.head.handle_bytes = MAX_HANDLE_SZ};
  int mount;
  OK(name_to_handle_at(AT_FDCWD, path, &handle.head, &mount, flags));
  return handle;
}

static ino_t number_of(int fd) {
  struct stat status;
  OK(fstat(fd, &status));
  return status.st_ino;
}

static void names_are_refused(void) {
  union handle handle = {.head.handle_bytes = MAX_HANDLE_SZ};
  int mount;
  CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "none", &handle.head, &mount, 0), ENOENT);
  CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "", &handle.head, &mount, 0), ENOENT);
  CHECK_ERRNO(name_to_handle_at(-1, "file", &handle.head, &mount, 0), EBADF);
  CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "file", &handle.head, &mount, -1), EINVAL);
  CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "file", wild, &mount, 0), EFAULT);
  CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "file", &handle.head, wild, 0), EFAULT);
  CHECK_ERRNO(name_to_handle_at(AT_FDCWD, wild, &handle.head, &mount, 0), EFAULT);
  handle.head.handle_bytes = MAX_HANDLE_SZ + 1;
  CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "file", &handle.head, &mount, 0), EINVAL);
  handle.head.handle_bytes = 0;
  CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "file", &handle.head, &mount, 0), EOVERFLOW);
  CHECK(handle.head.handle_bytes > 0);
  OK(name_to_handle_at(AT_FDCWD, "file", &handle.head, &mount, 0));
  handle.head.handle_bytes = MAX_HANDLE_SZ;
  CHECK_ERRNO(name_to_handle_at(AT_FDCWD, "/proc/version", &handle.head, &mount, 0), EOPNOTSUPP);
  // To tell files apart is possible everywhere.
  OK(name_to_handle_at(AT_FDCWD, "/proc/version", &handle.head, &mount, AT_HANDLE_FID));
}

static void mounts_are_told(void) {
  union handle handle = {.head.handle_bytes = MAX_HANDLE_SZ};
  int mount;
  OK(name_to_handle_at(AT_FDCWD, "file", &handle.head, &mount, 0));
  struct statx status;
  OK(statx(AT_FDCWD, "file", 0, STATX_MNT_ID, &status));
  CHECK_EQ(mount, status.stx_mnt_id);
}

static void files_are_found_again(void) {
  int directory = OK(open(".", O_RDONLY));
  union handle file = handle_of("file", 0), same = handle_of("linked", 0), other = handle_of("other", 0);
  CHECK_EQ(file.head.handle_bytes, same.head.handle_bytes);
  CHECK(memcmp(file.bytes, same.bytes, sizeof file.head + file.head.handle_bytes) == 0);
  CHECK(memcmp(file.bytes, other.bytes, sizeof file.head + file.head.handle_bytes) != 0);
  int fd = OK(open("file", O_RDONLY));
  ino_t number = number_of(fd);
  OK(close(fd));
  OK(mkdir("directory", 0755));
  OK(rename("file", "directory/renamed"));
  fd = OK(open_by_handle_at(directory, &file.head, O_RDWR));
  CHECK_EQ(number_of(fd), number);
  CHECK_EQ(write(fd, "abc", 3), 3);
  OK(close(fd));
  fd = OK(open_by_handle_at(AT_FDCWD, &file.head, O_RDONLY));
  char text[4] = "";
  CHECK_EQ(read(fd, text, 3), 3);
  CHECK(strcmp(text, "abc") == 0);
  OK(close(fd));
  // The handle of a descriptor.
  union handle of_directory = {.head.handle_bytes = MAX_HANDLE_SZ};
  int mount;
  fd = OK(open("directory", O_PATH));
  OK(name_to_handle_at(fd, "", &of_directory.head, &mount, AT_EMPTY_PATH));
  OK(close(fd));
  fd = OK(open_by_handle_at(directory, &of_directory.head, O_RDONLY | O_DIRECTORY));
  OK(faccessat(fd, "renamed", F_OK, 0));
  OK(faccessat(fd, "../other", F_OK, 0));
  OK(close(fd));
  CHECK_ERRNO(open_by_handle_at(directory, &of_directory.head, O_RDWR), EISDIR);
  CHECK_ERRNO(open_by_handle_at(directory, &file.head, O_RDONLY | O_DIRECTORY), ENOTDIR);
  OK(rename("directory/renamed", "file"));
  OK(rmdir("directory"));
  CHECK_ERRNO(open_by_handle_at(directory, &of_directory.head, O_RDONLY), ESTALE);
  OK(symlink("file", "link"));
  union handle link = handle_of("link", 0), followed = handle_of("link", AT_SYMLINK_FOLLOW);
  CHECK(memcmp(file.bytes, followed.bytes, sizeof file.head + file.head.handle_bytes) == 0);
  CHECK_ERRNO(open_by_handle_at(directory, &link.head, O_RDONLY), ELOOP);
  fd = OK(open_by_handle_at(directory, &link.head, O_PATH));
  CHECK_EQ(readlinkat(fd, "", text, sizeof text), 4);
  OK(close(fd));
  OK(unlink("link"));
  CHECK_ERRNO(open_by_handle_at(directory, &link.head, O_PATH), ESTALE);
  OK(close(directory));
}

static void handles_are_refused(void) {
  union handle handle = handle_of("file", 0), wrong = handle;
  CHECK_ERRNO(open_by_handle_at(-1, &handle.head, O_RDONLY), EBADF);
  CHECK_ERRNO(open_by_handle_at(AT_FDCWD, wild, O_RDONLY), EFAULT);
  wrong.head.handle_bytes = 0;
  CHECK_ERRNO(open_by_handle_at(AT_FDCWD, &wrong.head, O_RDONLY), EINVAL);
  wrong.head.handle_bytes = MAX_HANDLE_SZ + 1;
  CHECK_ERRNO(open_by_handle_at(AT_FDCWD, &wrong.head, O_RDONLY), EINVAL);
  wrong = handle;
  wrong.head.handle_type = -1;
  CHECK_ERRNO(open_by_handle_at(AT_FDCWD, &wrong.head, O_RDONLY), EINVAL);
  wrong = handle;
  memset(wrong.bytes + sizeof wrong.head, 0, 4);
  CHECK_ERRNO(open_by_handle_at(AT_FDCWD, &wrong.head, O_RDONLY), ESTALE);
  int process = OK(open("/proc/self", O_RDONLY));
  CHECK_ERRNO(open_by_handle_at(process, &handle.head, O_RDONLY), ESTALE);
  OK(close(process));
  pid_t child;
  IN_CHILD(child) {
    OK(setgroups(0, NULL));
    OK(setgid(1000));
    OK(setuid(1000));
    CHECK_ERRNO(open_by_handle_at(AT_FDCWD, &handle.head, O_RDONLY), EPERM);
    // Anybody may ask for one.
    handle_of("file", 0);
  }
  WAIT_OK(child);
}

static void in_directory(const char *pattern, int is_mounted) {
  char directory[64];
  strcpy(directory, pattern);
  CHECK(mkdtemp(directory) != NULL);
  if (is_mounted) OK(mount("tmpfs", directory, "tmpfs", 0, "mode=755"));
  OK(chmod(directory, 0755));
  OK(chdir(directory));
  OK(close(OK(open("file", O_CREAT | O_RDWR, 0644))));
  OK(close(OK(open("other", O_CREAT | O_RDWR, 0644))));
  OK(link("file", "linked"));
  names_are_refused();
  mounts_are_told();
  files_are_found_again();
  handles_are_refused();
  OK(unlink("file"));
  OK(unlink("linked"));
  OK(unlink("other"));
  OK(chdir("/"));
  if (is_mounted) OK(umount(directory));
  OK(rmdir(directory));
}

int main(void) {
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  in_directory("/tmp/handles-XXXXXX", 0);
  in_directory("/tmp/handles-XXXXXX", 1);
  return 0;
}
