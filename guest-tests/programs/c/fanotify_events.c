// fanotify(7): what is refused, events with descriptors and with handles, masks to ignore, questions, and groups without privilege.
#include "check.h"
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statfs.h>

#ifndef FAN_REPORT_TARGET_FID
#define FAN_REPORT_TARGET_FID 0x1000
#endif
#ifndef FAN_REPORT_PIDFD
#define FAN_REPORT_PIDFD 0x80
#endif
#ifndef FAN_RENAME
#define FAN_RENAME 0x10000000
#endif
#define MARK_IGNORE 0x400
#define INFO_PIDFD 4
#define INFO_OLD_DFID_NAME 10
#define INFO_NEW_DFID_NAME 12

static char buffer[8192] __attribute__((aligned(8)));
static size_t filled, at;

static void make(const char *path) {
  OK(close(OK(open(path, O_CREAT | O_RDWR, 0644))));
}

static int group_of(unsigned flags) {
  return OK(fanotify_init(flags | FAN_NONBLOCK, O_RDONLY));
}

static void mark(int group, unsigned flags, uint64_t mask, const char *path) {
  OK(fanotify_mark(group, FAN_MARK_ADD | flags, mask, AT_FDCWD, path));
}

// Reads all events that there are.
static void read_events(int group) {
  ssize_t got = read(group, buffer, sizeof buffer);
  CHECK(got >= 0 || errno == EAGAIN);
  filled = got < 0 ? 0 : got;
  at = 0;
}

static struct fanotify_event_metadata *next_event(uint64_t mask) {
  CHECK_CASE(at < filled, "event %llx is missing", (unsigned long long)mask);
  struct fanotify_event_metadata *event = (void *)(buffer + at);
  CHECK_EQ(event->vers, FANOTIFY_METADATA_VERSION);
  CHECK_EQ(event->metadata_len, sizeof *event);
  CHECK_EQ(event->mask, mask);
  at += event->event_len;
  return event;
}

// An event of the caller with a descriptor of the path.
static void expect_file(uint64_t mask, const char *path) {
  struct fanotify_event_metadata *event = next_event(mask);
  struct stat expected, got;
  OK(stat(path, &expected));
  OK(fstat(event->fd, &got));
  CHECK_CASE(expected.st_ino == got.st_ino, "%s", path);
  CHECK_EQ(event->pid, getpid());
  OK(close(event->fd));
}

static void expect_end(void) {
  CHECK_EQ(at, filled);
}

static void what_is_refused(void) {
  CHECK_ERRNO(fanotify_init(0x80000000, O_RDONLY), EINVAL);
  CHECK_ERRNO(fanotify_init(FAN_CLASS_CONTENT | FAN_CLASS_PRE_CONTENT, O_RDONLY), EINVAL);
  CHECK_ERRNO(fanotify_init(0, O_ACCMODE), EINVAL);
  CHECK_ERRNO(fanotify_init(0, O_RDONLY | O_CREAT), EINVAL);
  CHECK_ERRNO(fanotify_init(FAN_REPORT_FID | FAN_CLASS_CONTENT, O_RDONLY), EINVAL);
  CHECK_ERRNO(fanotify_init(FAN_REPORT_NAME, O_RDONLY), EINVAL);
  CHECK_ERRNO(fanotify_init(FAN_REPORT_DFID_NAME | FAN_REPORT_TARGET_FID, O_RDONLY), EINVAL);
  CHECK_ERRNO(fanotify_init(FAN_REPORT_PIDFD | FAN_REPORT_TID, O_RDONLY), EINVAL);
  int group = group_of(FAN_CLASS_NOTIF), with_handles = group_of(FAN_REPORT_FID);
  CHECK_ERRNO(fanotify_mark(group, 0, FAN_OPEN, AT_FDCWD, "file"), EINVAL);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_REMOVE, FAN_OPEN, AT_FDCWD, "file"), EINVAL);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD | 0x80000000, FAN_OPEN, AT_FDCWD, "file"), EINVAL);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD, 0, AT_FDCWD, "file"), EINVAL);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD, 1ULL << 32, AT_FDCWD, "file"), EINVAL);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "file"), EINVAL);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD, FAN_CREATE, AT_FDCWD, "."), EINVAL);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD, FAN_ATTRIB, AT_FDCWD, "file"), EINVAL);
  CHECK_ERRNO(fanotify_mark(with_handles, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_CREATE, AT_FDCWD, "."), EINVAL);
  CHECK_ERRNO(fanotify_mark(with_handles, FAN_MARK_ADD, FAN_RENAME, AT_FDCWD, "."), EINVAL);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_ONLYDIR, FAN_OPEN, AT_FDCWD, "file"), ENOTDIR);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "none"), ENOENT);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN, -1, "file"), EBADF);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN, -1, NULL), EBADF);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_REMOVE, FAN_OPEN, AT_FDCWD, "file"), ENOENT);
  CHECK_ERRNO(fanotify_mark(-1, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "file"), EBADF);
  CHECK_ERRNO(fanotify_mark(STDERR_FILENO, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "file"), EINVAL);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD | MARK_IGNORE, FAN_OPEN, AT_FDCWD, "."), EISDIR);
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | MARK_IGNORE, FAN_OPEN, AT_FDCWD, "file"), EINVAL);
  CHECK_ERRNO(write(group, buffer, 8), EINVAL);
  CHECK_ERRNO(read(group, buffer, sizeof buffer), EAGAIN);
  OK(close(group));
  OK(close(with_handles));
}

static void a_file_is_used(void) {
  int group = group_of(FAN_CLASS_NOTIF);
  mark(group, 0, FAN_OPEN | FAN_ACCESS | FAN_MODIFY | FAN_CLOSE, "file");
  int fd = OK(open("file", O_RDWR));
  CHECK_EQ(write(fd, "abc", 3), 3);
  CHECK_EQ(pread(fd, buffer, 3, 0), 3);
  OK(close(fd));
  struct pollfd waiting = {group, POLLIN, 0};
  CHECK_EQ(poll(&waiting, 1, 0), 1);
  int length;
  OK(ioctl(group, FIONREAD, &length));
  CHECK_EQ(length, sizeof(struct fanotify_event_metadata));
  CHECK_ERRNO(read(group, buffer, 23), EINVAL);
  read_events(group);
  // What one process does to one file is one event.
  expect_file(FAN_OPEN | FAN_MODIFY | FAN_ACCESS | FAN_CLOSE_WRITE, "file");
  expect_end();
  // Who reads the event makes none.
  OK(close(OK(open("file", O_RDONLY))));
  read_events(group);
  expect_file(FAN_OPEN | FAN_CLOSE_NOWRITE, "file");
  expect_end();
  read_events(group);
  expect_end();
  OK(fanotify_mark(group, FAN_MARK_REMOVE, FAN_OPEN, AT_FDCWD, "file"));
  OK(close(OK(open("file", O_RDONLY))));
  read_events(group);
  expect_file(FAN_CLOSE_NOWRITE, "file");
  OK(fanotify_mark(group, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL));
  OK(close(OK(open("file", O_RDONLY))));
  read_events(group);
  expect_end();
  OK(close(group));
}

static void directories(void) {
  int group = group_of(FAN_CLASS_NOTIF);
  mark(group, 0, FAN_OPEN | FAN_CLOSE, ".");
  OK(close(OK(open("file", O_RDONLY))));
  OK(close(OK(open(".", O_RDONLY))));
  read_events(group);
  expect_end();
  mark(group, 0, FAN_OPEN | FAN_EVENT_ON_CHILD, ".");
  OK(close(OK(open("file", O_RDONLY))));
  OK(close(OK(open(".", O_RDONLY))));
  read_events(group);
  expect_file(FAN_OPEN | FAN_CLOSE_NOWRITE, "file");
  expect_end();
  mark(group, 0, FAN_OPEN | FAN_ONDIR, ".");
  OK(close(OK(open(".", O_RDONLY))));
  OK(close(OK(open("directory", O_RDONLY))));
  OK(close(OK(open("directory/below", O_RDONLY))));
  read_events(group);
  expect_file(FAN_OPEN | FAN_CLOSE_NOWRITE, ".");
  expect_file(FAN_OPEN | FAN_CLOSE_NOWRITE, "directory");
  expect_end();
  OK(close(group));
}

// Marks on the mount and the file system, of which another mount shows a part as well.
static void wide_marks(void) {
  int of_mount = group_of(FAN_CLASS_NOTIF), of_system = group_of(FAN_CLASS_NOTIF);
  mark(of_mount, FAN_MARK_MOUNT, FAN_OPEN, ".");
  mark(of_system, FAN_MARK_FILESYSTEM, FAN_OPEN, ".");
  OK(close(OK(open("file", O_RDONLY))));
  OK(close(OK(open("/proc/self/status", O_RDONLY))));
  read_events(of_mount);
  expect_file(FAN_OPEN, "file");
  expect_end();
  read_events(of_system);
  expect_file(FAN_OPEN, "file");
  expect_end();
  OK(mount("directory", "other", NULL, MS_BIND, NULL));
  OK(close(OK(open("other/below", O_RDONLY))));
  read_events(of_mount);
  expect_end();
  read_events(of_system);
  expect_file(FAN_OPEN, "directory/below");
  expect_end();
  OK(umount("other"));
  OK(close(of_mount));
  OK(close(of_system));
}

static void masks_to_ignore(void) {
  int group = group_of(FAN_CLASS_NOTIF);
  mark(group, FAN_MARK_MOUNT, FAN_OPEN | FAN_MODIFY, ".");
  mark(group, FAN_MARK_IGNORED_MASK, FAN_OPEN, "file");
  OK(close(OK(open("file", O_RDONLY))));
  read_events(group);
  expect_end();
  // A change of the file ends that.
  int fd = OK(open("file", O_WRONLY));
  CHECK_EQ(write(fd, "x", 1), 1);
  OK(close(fd));
  OK(close(OK(open("file", O_RDONLY))));
  read_events(group);
  expect_file(FAN_MODIFY | FAN_OPEN, "file");
  expect_end();
  mark(group, FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN | FAN_MODIFY, "file");
  fd = OK(open("file", O_WRONLY));
  CHECK_EQ(write(fd, "x", 1), 1);
  OK(close(fd));
  OK(close(OK(open("file", O_RDONLY))));
  read_events(group);
  expect_end();
  OK(close(group));
}

// What the next write would undo is not even begun while somebody writes.
static void writers_keep_masks_away(void) {
  int group = group_of(FAN_CLASS_NOTIF), writer = OK(open("file", O_WRONLY));
  mark(group, FAN_MARK_IGNORED_MASK, FAN_OPEN, "file");
  CHECK_ERRNO(fanotify_mark(group, FAN_MARK_REMOVE | FAN_MARK_IGNORED_MASK, FAN_OPEN, AT_FDCWD, "file"), ENOENT);
  mark(group, FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN, "file");
  OK(fanotify_mark(group, FAN_MARK_REMOVE | FAN_MARK_IGNORED_MASK, FAN_OPEN, AT_FDCWD, "file"));
  OK(close(writer));
  mark(group, FAN_MARK_IGNORED_MASK, FAN_OPEN, "file");
  OK(fanotify_mark(group, FAN_MARK_REMOVE | FAN_MARK_IGNORED_MASK, FAN_OPEN, AT_FDCWD, "file"));
  OK(close(group));
}

// The record of an event at an offset: its type, the handle against that of the path, and the name.
static size_t expect_record(struct fanotify_event_metadata *event, size_t offset, int type, const char *path, const char *name) {
  struct fanotify_event_info_fid *record = (void *)((char *)event + offset);
  CHECK_EQ(record->hdr.info_type, type);
  struct statfs system;
  OK(statfs(".", &system));
  CHECK(memcmp(&record->fsid, &system.f_fsid, sizeof system.f_fsid) == 0);
  struct file_handle *handle = (void *)record->handle;
  char room[sizeof *handle + MAX_HANDLE_SZ];
  struct file_handle *expected = (void *)room;
  if (path != NULL) {
    int mount;
    expected->handle_bytes = MAX_HANDLE_SZ;
    OK(name_to_handle_at(AT_FDCWD, path, expected, &mount, 0));
    CHECK_EQ(handle->handle_bytes, expected->handle_bytes);
    CHECK_EQ(handle->handle_type, expected->handle_type);
    CHECK_CASE(memcmp(handle->f_handle, expected->f_handle, handle->handle_bytes) == 0, "%s", path);
  }
  if (name != NULL) CHECK_CASE(strcmp((char *)handle->f_handle + handle->handle_bytes, name) == 0, "%s", name);
  return offset + record->hdr.len;
}

static void expect_name(uint64_t mask, const char *directory, const char *name) {
  struct fanotify_event_metadata *event = next_event(mask);
  CHECK_EQ(event->fd, FAN_NOFD);
  CHECK_EQ(event->pid, getpid());
  size_t end = expect_record(event, sizeof *event, FAN_EVENT_INFO_TYPE_DFID_NAME, directory, name);
  CHECK_EQ(end, event->event_len);
}

static void entries_by_name(void) {
  int group = group_of(FAN_REPORT_DFID_NAME);
  mark(group, 0, FAN_CREATE | FAN_DELETE | FAN_MOVE | FAN_ONDIR | FAN_EVENT_ON_CHILD | FAN_OPEN | FAN_ATTRIB | FAN_DELETE_SELF | FAN_MOVE_SELF,
       "directory");
  make("directory/made");
  OK(chmod("directory/made", 0600));
  OK(mkdir("directory/sub", 0755));
  OK(rename("directory/made", "directory/moved"));
  OK(unlink("directory/moved"));
  OK(rmdir("directory/sub"));
  read_events(group);
  expect_name(FAN_CREATE | FAN_OPEN | FAN_ATTRIB | FAN_MOVED_FROM, "directory", "made");
  expect_name(FAN_CREATE | FAN_ONDIR | FAN_DELETE, "directory", "sub");
  expect_name(FAN_MOVED_TO | FAN_DELETE, "directory", "moved");
  expect_end();
  OK(rename("directory", "renamed"));
  OK(rename("renamed", "directory"));
  read_events(group);
  expect_name(FAN_MOVE_SELF | FAN_ONDIR, "directory", ".");
  expect_end();
  OK(close(group));
}

static void both_handles(void) {
  int group = group_of(FAN_REPORT_DFID_NAME | FAN_REPORT_FID | FAN_REPORT_TARGET_FID);
  mark(group, 0, FAN_CREATE | FAN_CLOSE_WRITE | FAN_EVENT_ON_CHILD | FAN_RENAME, "directory");
  make("directory/made");
  OK(rename("directory/made", "directory/moved"));
  read_events(group);
  struct fanotify_event_metadata *event = next_event(FAN_CREATE | FAN_CLOSE_WRITE);
  size_t end = expect_record(event, sizeof *event, FAN_EVENT_INFO_TYPE_DFID_NAME, "directory", "made");
  end = expect_record(event, end, FAN_EVENT_INFO_TYPE_FID, "directory/moved", NULL);
  CHECK_EQ(end, event->event_len);
  event = next_event(FAN_RENAME);
  end = expect_record(event, sizeof *event, INFO_OLD_DFID_NAME, "directory", "made");
  end = expect_record(event, end, INFO_NEW_DFID_NAME, "directory", "moved");
  end = expect_record(event, end, FAN_EVENT_INFO_TYPE_FID, "directory/moved", NULL);
  CHECK_EQ(end, event->event_len);
  expect_end();
  OK(unlink("directory/moved"));
  OK(close(group));
  group = group_of(FAN_REPORT_FID);
  mark(group, 0, FAN_DELETE_SELF | FAN_ATTRIB, "file");
  OK(chmod("file", 0640));
  OK(link("file", "linked"));
  OK(unlink("linked"));
  read_events(group);
  event = next_event(FAN_ATTRIB);
  end = expect_record(event, sizeof *event, FAN_EVENT_INFO_TYPE_FID, "file", NULL);
  CHECK_EQ(end, event->event_len);
  expect_end();
  make("doomed");
  mark(group, 0, FAN_DELETE_SELF, "doomed");
  OK(unlink("doomed"));
  read_events(group);
  event = next_event(FAN_DELETE_SELF);
  expect_record(event, sizeof *event, FAN_EVENT_INFO_TYPE_FID, NULL, NULL);
  expect_end();
  OK(close(group));
}

static void processes_are_told(void) {
  int group = group_of(FAN_REPORT_PIDFD);
  mark(group, 0, FAN_OPEN, "file");
  OK(close(OK(open("file", O_RDONLY))));
  read_events(group);
  struct fanotify_event_metadata *event = next_event(FAN_OPEN);
  struct { struct fanotify_event_info_header header; int pidfd; } *record = (void *)(event + 1);
  CHECK_EQ(record->header.info_type, INFO_PIDFD);
  CHECK_EQ(event->event_len, sizeof *event + sizeof *record);
  struct pollfd running = {record->pidfd, POLLIN, 0};
  CHECK_EQ(poll(&running, 1, 0), 0);
  OK(close(record->pidfd));
  OK(close(event->fd));
  OK(close(group));
}

// Who answers, in a child of its own, so that nobody waits for himself.
static pid_t answer(int group, const unsigned *answers, int count) {
  pid_t child;
  IN_CHILD(child) {
    for (int i = 0; i < count; i++) {
      struct pollfd waiting = {group, POLLIN, 0};
      CHECK_EQ(poll(&waiting, 1, 20000), 1);
      struct fanotify_event_metadata event;
      CHECK_EQ(read(group, &event, sizeof event), sizeof event);
      struct fanotify_response response = {event.fd, 7};
      CHECK_ERRNO(write(group, &response, sizeof response), EINVAL);
      response.response = answers[i];
      CHECK_EQ(write(group, &response, sizeof response), sizeof response);
      CHECK_ERRNO(write(group, &response, sizeof response), ENOENT);
      OK(close(event.fd));
    }
  }
  return child;
}

static void questions(void) {
  int group = group_of(FAN_CLASS_CONTENT);
  mark(group, 0, FAN_OPEN_PERM | FAN_ACCESS_PERM, "file");
  unsigned yes_no_yes[] = {FAN_ALLOW, FAN_DENY, FAN_ALLOW, FAN_ALLOW};
  pid_t child = answer(group, yes_no_yes, 4);
  int fd = OK(open("file", O_RDONLY));
  CHECK_ERRNO(read(fd, buffer, 1), EPERM);
  CHECK_EQ(read(fd, buffer, 1), 1);
  OK(close(OK(open("file", O_RDWR))));
  WAIT_OK(child);
  OK(close(fd));
  unsigned no[] = {FAN_DENY};
  child = answer(group, no, 1);
  struct stat before, after;
  OK(stat("file", &before));
  CHECK_ERRNO(open("file", O_WRONLY | O_TRUNC), EPERM);
  OK(stat("file", &after));
  CHECK_EQ(before.st_size, after.st_size);
  WAIT_OK(child);
  // The end of the group lets everybody go on.
  int done[2];
  OK(pipe(done));
  IN_CHILD(child) {
    OK(close(group));
    OK(close(OK(open("file", O_RDONLY))));
  }
  struct pollfd waiting = {group, POLLIN, 0};
  CHECK_EQ(poll(&waiting, 1, 20000), 1);
  OK(close(group));
  WAIT_OK(child);
}

static void without_privilege(void) {
  OK(chmod("file", 0644));
  make("secret");
  OK(chmod("secret", 0600));
  pid_t child;
  IN_CHILD(child) {
    OK(setgroups(0, NULL));
    OK(setgid(1000));
    OK(setuid(1000));
    CHECK_ERRNO(fanotify_init(FAN_CLASS_NOTIF, O_RDONLY), EPERM);
    CHECK_ERRNO(fanotify_init(FAN_CLASS_CONTENT, O_RDONLY), EPERM);
    CHECK_ERRNO(fanotify_init(FAN_REPORT_FID | FAN_UNLIMITED_QUEUE, O_RDONLY), EPERM);
    int group = group_of(FAN_REPORT_FID);
    CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN, AT_FDCWD, "file"), EPERM);
    CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN, AT_FDCWD, "file"), EPERM);
    CHECK_ERRNO(fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "secret"), EACCES);
    mark(group, 0, FAN_OPEN, "file");
    OK(close(OK(open("file", O_RDONLY))));
    read_events(group);
    struct fanotify_event_metadata *event = next_event(FAN_OPEN);
    CHECK_EQ(event->pid, getpid());
    pid_t other;
    IN_CHILD(other) OK(close(OK(open("file", O_RDONLY))));
    WAIT_OK(other);
    read_events(group);
    event = next_event(FAN_OPEN);
    CHECK_EQ(event->pid, 0);
    CHECK_EQ(event->fd, FAN_NOFD);
  }
  WAIT_OK(child);
  OK(unlink("secret"));
}

int main(void) {
  umask(0);
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  char directory[] = "/tmp/fanotify-XXXXXX";
  CHECK(mkdtemp(directory) != NULL);
  OK(mount("tmpfs", directory, "tmpfs", 0, "mode=755"));
  OK(chdir(directory));
  make("file");
  OK(mkdir("directory", 0755));
  OK(mkdir("other", 0755));
  make("directory/below");
  what_is_refused();
  a_file_is_used();
  directories();
  wide_marks();
  masks_to_ignore();
  writers_keep_masks_away();
  entries_by_name();
  both_handles();
  processes_are_told();
  questions();
  without_privilege();
  OK(chdir("/"));
  OK(umount(directory));
  OK(rmdir(directory));
  return 0;
}
