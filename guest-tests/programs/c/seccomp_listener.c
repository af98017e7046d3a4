// Calls that a supervisor answers (`man 2 seccomp_unotify`).
#include "check.h"
#include "filters.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static int notify_filter(unsigned number, unsigned flags) {
  OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  struct sock_filter filter[] = {LOAD(nr), UNLESS(number, 1), RETURN(SECCOMP_RET_USER_NOTIF), RETURN(SECCOMP_RET_ALLOW)};
  return install(filter, COUNT(filter), SECCOMP_FILTER_FLAG_NEW_LISTENER | flags);
}

// Installs a filter here, and makes a child that runs `body` under it; returns the child.
static pid_t supervised(int *listener, unsigned number, unsigned flags, void (*body)(void)) {
  *listener = notify_filter(number, flags);
  pid_t pid;
  IN_CHILD(pid) {
    close(*listener);
    body();
  }
  return pid;
}

static struct seccomp_notif receive(int listener) {
  struct seccomp_notif notification = {0};
  OK(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notification));
  return notification;
}

static int respond(int listener, uint64_t id, int64_t value, int error, unsigned flags) {
  struct seccomp_notif_resp response = {.id = id, .val = value, .error = error, .flags = flags};
  return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

// The call has been answered; its caller may not have gone on yet.
static void check_answered(int result) { CHECK(result == -1 && (errno == ENOENT || errno == EINPROGRESS)); }

static int events_of(int listener) {
  struct pollfd poll_fd = {listener, POLLIN | POLLOUT, 0};
  OK(poll(&poll_fd, 1, 0));
  return poll_fd.revents;
}

// ---- answers

static void call_three_times(void) {
  CHECK_EQ(syscall(SYS_getppid, 1, 2, 3, 4, 5, 6), 4711);
  CHECK_ERRNO(syscall(SYS_getppid), EXDEV);
  // What the kernel would begin anew is an answer like others: ERESTARTSYS.
  CHECK_ERRNO(syscall(SYS_getppid), 512);
  CHECK_EQ(syscall(SYS_getppid), getppid());
}

static void answers(void) {
  int listener;
  pid_t pid = supervised(&listener, SYS_getppid, 0, call_three_times);
  CHECK_EQ(fcntl(listener, F_GETFD), FD_CLOEXEC);
  char link[64], name[64] = "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", listener);
  OK(readlink(link, name, sizeof name - 1));
  CHECK(!strcmp(name, "anon_inode:seccomp notify"));
  struct seccomp_notif notification = receive(listener);
  CHECK_EQ((pid_t)notification.pid, pid);
  CHECK_EQ(notification.flags, 0);
  CHECK_EQ(notification.data.nr, SYS_getppid);
  CHECK_EQ(notification.data.arch, 0xc000003e);
  for (uint64_t i = 0; i < 6; i++) CHECK_EQ(notification.data.args[i], i + 1);
  CHECK_EQ(events_of(listener), POLLOUT);
  OK(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &notification.id));
  uint64_t other = notification.id + 1000;
  CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &other), ENOENT);
  CHECK_ERRNO(respond(listener, other, 0, 0, 0), ENOENT);
  CHECK_ERRNO(respond(listener, notification.id, 0, 0, 2), EINVAL);
  CHECK_ERRNO(respond(listener, notification.id, 1, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
  CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, wild), EFAULT);
  CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, wild), EFAULT);
  CHECK_ERRNO(ioctl(listener, FIONREAD, &other), EINVAL);
  OK(respond(listener, notification.id, 4711, 0, 0));
  struct seccomp_notif dirty = {.flags = 1};
  CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &dirty), EINVAL);
  notification = receive(listener);
  OK(respond(listener, notification.id, 0, -EXDEV, 0));
  notification = receive(listener);
  OK(respond(listener, notification.id, 0, -512, 0));
  notification = receive(listener);
  OK(respond(listener, notification.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
  notification = receive(listener); // The child compares with getppid().
  OK(respond(listener, notification.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
  WAIT_OK(pid);
  CHECK_EQ(events_of(listener), 0);
}

static void only_one_listener(void) {
  int listener = notify_filter(SYS_getppid, 0);
  struct sock_filter allow[] = {RETURN(SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {1, allow};
  CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program), EBUSY);
  close(listener);
  CHECK_ERRNO(syscall(SYS_getppid), ENOSYS);
  OK(seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}

// ---- ends

static void call_once(void) { CHECK_ERRNO(syscall(SYS_getppid), ENOSYS); }

static void a_closed_listener_answers(void) {
  int listener;
  pid_t pid = supervised(&listener, SYS_getppid, 0, call_once);
  receive(listener);
  close(listener);
  WAIT_OK(pid);
}

// The filter is the child's alone, which hands the listener over.
static void the_end_of_all_callers_hangs_up(void) {
  int pair[2];
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  pid_t pid;
  IN_CHILD(pid) {
    int listener = notify_filter(SYS_getppid, 0);
    char control[CMSG_SPACE(sizeof listener)] = {0}, byte = 0;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof listener);
    memcpy(CMSG_DATA(header), &listener, sizeof listener);
    OK(sendmsg(pair[1], &message, 0));
    close(listener);
    syscall(SYS_getppid);
  }
  char control[CMSG_SPACE(sizeof(int))], byte;
  struct iovec vector = {&byte, 1};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  OK(recvmsg(pair[0], &message, 0));
  int listener;
  memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof listener);
  struct seccomp_notif notification = receive(listener);
  CHECK_EQ((pid_t)notification.pid, pid);
  OK(kill(pid, SIGKILL));
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &notification.id), ENOENT);
  CHECK_ERRNO(respond(listener, notification.id, 0, 0, 0), ENOENT);
  struct pollfd poll_fd = {listener, POLLIN, 0};
  CHECK_EQ(poll(&poll_fd, 1, -1), 1);
  CHECK_EQ(poll_fd.revents, POLLHUP);
  CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &(struct seccomp_notif){0}), ENOENT);
}

// ---- signals

static volatile sig_atomic_t caught;
static void count_signal(int signal) { caught += signal == SIGUSR1; }

static void call_interrupted(void) {
  struct sigaction action = {.sa_handler = count_signal};
  OK(sigaction(SIGUSR1, &action, NULL));
  CHECK_ERRNO(syscall(SYS_getppid), EINTR);
  CHECK_EQ(caught, 1);
}

static void call_through_signals(void) {
  struct sigaction action = {.sa_handler = count_signal};
  OK(sigaction(SIGUSR1, &action, NULL));
  CHECK_EQ(syscall(SYS_getppid), 5);
  CHECK_EQ(caught, 1);
}

static void a_signal_ends_the_wait(void) {
  int listener;
  pid_t pid = supervised(&listener, SYS_getppid, 0, call_interrupted);
  struct seccomp_notif notification = receive(listener);
  OK(kill(pid, SIGUSR1));
  WAIT_OK(pid);
  CHECK_ERRNO(respond(listener, notification.id, 0, 0, 0), ENOENT);
}

static void a_signal_waits_if_told_so(void) {
  int listener;
  pid_t pid = supervised(&listener, SYS_getppid, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, call_through_signals);
  struct seccomp_notif notification = receive(listener);
  OK(kill(pid, SIGUSR1));
  usleep(20000);
  OK(respond(listener, notification.id, 5, 0, 0));
  WAIT_OK(pid);
}

// ---- descriptors

static void use_descriptors(void) {
  struct stat stat;
  int fd = syscall(SYS_getppid);
  CHECK(fstat(fd, &stat) == 0 && S_ISCHR(stat.st_mode));
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  CHECK(fstat(77, &stat) == 0 && S_ISCHR(stat.st_mode));
  CHECK_EQ(fcntl(77, F_GETFD), 0);
  fd = syscall(SYS_getppid);
  CHECK(fstat(fd, &stat) == 0 && S_ISCHR(stat.st_mode));
}

static void descriptors_are_added(void) {
  int listener, null = open("/dev/null", O_RDWR);
  pid_t pid = supervised(&listener, SYS_getppid, 0, use_descriptors);
  struct seccomp_notif notification = receive(listener);
  struct seccomp_notif_addfd addition = {.id = notification.id, .srcfd = null, .newfd_flags = O_CLOEXEC};
  int added = ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &addition);
  CHECK(added >= 0);
  struct seccomp_notif_addfd wrong = addition;
  wrong.newfd = 5;
  CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &wrong), EINVAL);
  wrong.newfd = 0, wrong.srcfd = 9999;
  CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &wrong), EBADF);
  wrong.srcfd = null, wrong.flags = 8;
  CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &wrong), EINVAL);
  wrong.flags = 0, wrong.newfd_flags = O_APPEND;
  CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &wrong), EINVAL);
  wrong.newfd_flags = 0, wrong.id += 1000;
  CHECK_ERRNO(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &wrong), ENOENT);
  // A longer structure, whose rest must be zero; the direction that its request names is nobody's business.
  struct { struct seccomp_notif_addfd known; uint64_t rest; } longer = {{.id = notification.id, .srcfd = null}, 1};
  CHECK_ERRNO(ioctl(listener, _IOC(_IOC_READ | _IOC_WRITE, '!', 3, sizeof longer), &longer), E2BIG);
  CHECK_ERRNO(ioctl(listener, _IOC(_IOC_NONE, '!', 3, 8), &longer), EINVAL);
  struct seccomp_notif_addfd placed = {.id = notification.id, .srcfd = null, .newfd = 77, .flags = SECCOMP_ADDFD_FLAG_SETFD};
  CHECK_EQ(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &placed), 77);
  OK(respond(listener, notification.id, added, 0, 0));
  check_answered(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &(struct seccomp_notif_addfd){.id = notification.id, .srcfd = null}));
  notification = receive(listener);
  struct seccomp_notif_addfd sent = {.id = notification.id, .srcfd = null, .flags = SECCOMP_ADDFD_FLAG_SEND};
  CHECK(ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &sent) >= 0);
  check_answered(respond(listener, notification.id, 0, 0, 0));
  WAIT_OK(pid);
}

// ---- several callers

static void *call_from_a_thread(void *value) {
  CHECK_EQ(syscall(SYS_getppid, value), (long)value * 10);
  return NULL;
}

static void call_from_threads(void) {
  pthread_t threads[8];
  for (size_t i = 0; i < COUNT(threads); i++) pthread_create(&threads[i], NULL, call_from_a_thread, (void *)(i + 1));
  for (size_t i = 0; i < COUNT(threads); i++) pthread_join(threads[i], NULL);
}

static void callers_are_told_apart(void) {
  int listener;
  pid_t pid = supervised(&listener, SYS_getppid, 0, call_from_threads);
  struct seccomp_notif notifications[8];
  for (size_t i = 0; i < COUNT(notifications); i++) notifications[i] = receive(listener);
  for (size_t i = COUNT(notifications); i-- > 0;)
    OK(respond(listener, notifications[i].id, notifications[i].data.args[0] * 10, 0, 0));
  WAIT_OK(pid);
}

static void in_child(void (*body)(void)) {
  pid_t pid;
  IN_CHILD(pid) { body(); }
  WAIT_OK(pid);
}

int main(void) {
  in_child(answers);
  in_child(only_one_listener);
  in_child(a_closed_listener_answers);
  in_child(the_end_of_all_callers_hangs_up);
  in_child(a_signal_ends_the_wait);
  in_child(a_signal_waits_if_told_so);
  in_child(descriptors_are_added);
  in_child(callers_are_told_apart);
  return 0;
}
