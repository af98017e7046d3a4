// What fcntl(2) tells of files beside flags and locks; quotactl(2) where no quotas are on; lock holders seen from other PID namespaces.
#include "check.h"
#include <grp.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/quota.h>
#include <sys/sysmacros.h>

#define CREATED_QUERY 1028
#define GETOWNER_UIDS 17
#define GET_RW_HINT 1035
#define SET_RW_HINT 1036
#define QUOTACTL_FD 443

static void who_made_the_file(void) {
  int made = OK(open("made", O_CREAT | O_RDWR, 0644)), found = OK(open("made", O_CREAT | O_RDWR, 0644));
  CHECK_EQ(fcntl(made, CREATED_QUERY, 0), 1);
  CHECK_EQ(fcntl(OK(dup(made)), CREATED_QUERY, 0), 1);
  CHECK_EQ(fcntl(found, CREATED_QUERY, 0), 0);
  CHECK_EQ(fcntl(OK(open(".", O_TMPFILE | O_RDWR, 0600)), CREATED_QUERY, 0), 0);
  CHECK_EQ(fcntl(STDIN_FILENO, CREATED_QUERY, 0), 0);
}

static void owners(void) {
  int fd = OK(open("made", O_RDWR));
  uint32_t users[2] = {7, 7};
  OK(fcntl(fd, GETOWNER_UIDS, users));
  CHECK(users[0] == 0 && users[1] == 0);
  CHECK_ERRNO(fcntl(fd, GETOWNER_UIDS, wild), EFAULT);
  pid_t child;
  IN_CHILD(child) {
    OK(setresuid(1000, 1001, 0));
    OK(fcntl(fd, F_SETOWN, getpid()));
    OK(fcntl(fd, GETOWNER_UIDS, users));
    CHECK(users[0] == 1000 && users[1] == 1001);
  }
  WAIT_OK(child);
}

static void hints(void) {
  int fd = OK(open("made", O_RDWR)), other = OK(open("made", O_RDONLY));
  uint64_t hint = 9;
  OK(fcntl(fd, GET_RW_HINT, &hint));
  CHECK_EQ(hint, 0);
  hint = 3;
  OK(fcntl(fd, SET_RW_HINT, &hint));
  hint = 0;
  OK(fcntl(other, GET_RW_HINT, &hint));
  CHECK_EQ(hint, 3);
  hint = 6;
  CHECK_ERRNO(fcntl(fd, SET_RW_HINT, &hint), EINVAL);
  CHECK_ERRNO(fcntl(fd, SET_RW_HINT, wild), EFAULT);
  CHECK_ERRNO(fcntl(fd, GET_RW_HINT + 2, &hint), EINVAL);
  CHECK_ERRNO(fcntl(fd, SET_RW_HINT + 2, &hint), EINVAL);
  int pair[2];
  OK(pipe(pair));
  hint = 2;
  OK(fcntl(pair[0], SET_RW_HINT, &hint));
  hint = 0;
  OK(fcntl(pair[1], GET_RW_HINT, &hint));
  CHECK_EQ(hint, 2);
}

// The longest locks, and who holds them as different PID namespaces have it.
static void lock_holders(void) {
  int fd = OK(open("made", O_RDWR));
  struct flock longest = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = INT64_MAX};
  OK(fcntl(fd, F_SETLK, &longest));
  pid_t own = getpid(), child;
  IN_CHILD(child) {
    struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    OK(fcntl(fd, F_GETLK, &asked));
    CHECK_EQ(asked.l_pid, own);
    CHECK_EQ(asked.l_len, INT64_MAX);
    OK(unshare(CLONE_NEWPID));
    pid_t grandchild;
    IN_CHILD(grandchild) {
      asked = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
      OK(fcntl(fd, F_GETLK, &asked));
      CHECK_EQ(asked.l_pid, 0);
    }
    WAIT_OK(grandchild);
  }
  WAIT_OK(child);
  longest.l_start = 1;
  OK(fcntl(fd, F_SETLK, &longest));
  longest.l_start = 2;
  CHECK_ERRNO(fcntl(fd, F_SETLK, &longest), EOVERFLOW);
}

static int has_line(const char *path, const char *line) {
  char text[65536];
  int fd = OK(open(path, O_RDONLY));
  ssize_t size = 0, got;
  while ((got = OK(read(fd, text + size, sizeof text - 1 - size))) > 0) size += got;
  text[size] = 0;
  OK(close(fd));
  return strstr(text, line) != NULL;
}

// /proc/locks tells of each lock once, whoever has inherited the open file.
static void locks_are_told(void) {
  int fd = OK(open("locked", O_CREAT | O_RDWR, 0644)), other = OK(open("locked", O_RDWR));
  struct flock part = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 10};
  struct flock rest = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100};
  OK(fcntl(fd, F_SETLK, &part));
  OK(fcntl(other, F_OFD_SETLK, &rest));
  OK(flock(other, LOCK_EX));
  struct stat status;
  OK(fstat(fd, &status));
  char place[64], line[160];
  snprintf(place, sizeof place, "%02x:%02x:%lu", major(status.st_dev), minor(status.st_dev), status.st_ino);
  snprintf(line, sizeof line, ": POSIX  ADVISORY  WRITE %d %s 5 14\n", getpid(), place);
  CHECK_CASE(has_line("/proc/locks", line), "%s", line);
  snprintf(line, sizeof line, ": OFDLCK ADVISORY  READ -1 %s 100 EOF\n", place);
  CHECK_CASE(has_line("/proc/locks", line), "%s", line);
  snprintf(line, sizeof line, ": FLOCK  ADVISORY  WRITE %d %s 0 EOF\n", getpid(), place);
  CHECK_CASE(has_line("/proc/locks", line), "%s", line);
  pid_t child;
  IN_CHILD(child) {
    CHECK_CASE(has_line("/proc/locks", line), "%s", line);
    snprintf(line, sizeof line, ": FLOCK  ADVISORY  WRITE %d %s 0 EOF\n", getpid(), place);
    CHECK(!has_line("/proc/locks", line));
  }
  WAIT_OK(child);
  OK(close(fd));
  OK(close(other));
  CHECK(!has_line("/proc/locks", place));
  OK(unlink("locked"));
}

static void no_quotas(void) {
  char answer[256] = "";
#define QUOTA(command, device) syscall(SYS_quotactl, command, device, 0, answer)
  OK(QUOTA(QCMD(Q_SYNC, USRQUOTA), NULL));
  CHECK_ERRNO(QUOTA(QCMD(Q_SYNC, 3), NULL), EINVAL);
  CHECK_ERRNO(QUOTA(QCMD(Q_GETQUOTA, USRQUOTA), NULL), ENODEV);
  CHECK_ERRNO(QUOTA(QCMD(Q_GETQUOTA, USRQUOTA), "/dev/nothing"), ENOENT);
  CHECK_ERRNO(QUOTA(QCMD(Q_GETQUOTA, USRQUOTA), "/dev/null"), ENOTBLK);
  CHECK_ERRNO(QUOTA(QCMD(Q_GETQUOTA, USRQUOTA), "/tmp"), ENOTBLK);
  CHECK_ERRNO(QUOTA(QCMD(Q_GETQUOTA, USRQUOTA), wild), EFAULT);
  int fd = OK(open("/dev/shm", O_RDONLY));
  CHECK_ERRNO(syscall(QUOTACTL_FD, fd, QCMD(Q_GETQUOTA, USRQUOTA), 0, answer), ENOSYS);
  CHECK_ERRNO(syscall(QUOTACTL_FD, fd, QCMD(Q_GETQUOTA, 3), 0, answer), EINVAL);
  CHECK_ERRNO(syscall(QUOTACTL_FD, -1, QCMD(Q_GETQUOTA, 3), 0, answer), EBADF);
  OK(close(fd));
}

int main(void) {
  char directory[] = "/tmp/fcntl-XXXXXX";
  CHECK(mkdtemp(directory) != NULL);
  OK(chmod(directory, 0755));
  OK(chdir(directory));
  who_made_the_file();
  owners();
  hints();
  lock_holders();
  locks_are_told();
  no_quotas();
  OK(unlink("made"));
  OK(chdir("/"));
  OK(rmdir(directory));
  return 0;
}
