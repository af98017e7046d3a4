// mq_notify with SIGEV_THREAD, as the C library asks for it and as the kernel is asked.
#include "check.h"
#include <linux/netlink.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/socket.h>

static char name[64];
static volatile int told;

static void note(union sigval value) { told = value.sival_int; }

int main(void) {
  OK(unshare(CLONE_NEWIPC));
  snprintf(name, sizeof name, "/guest-test-%d", getpid());
  struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 16};
  mqd_t queue = OK(mq_open(name, O_CREAT | O_RDWR, 0600, &attributes));
  struct sigevent event = {.sigev_notify = SIGEV_THREAD};
  event.sigev_notify_function = note;
  event.sigev_value.sival_int = 42;
  OK(mq_notify(queue, &event));
  CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
  OK(mq_send(queue, "hello", 5, 1));
  while (told == 0) sleep_ms(1);
  CHECK_EQ(told, 42);
  char text[16];
  CHECK_EQ(mq_receive(queue, text, sizeof text, NULL), 5);
  // The kernel's own way: a cookie for a netlink socket.
  char cookie[32] = "a cookie of thirty-two bytes..", got[64];
  int socket_of = OK(socket(AF_NETLINK, SOCK_RAW, 0));
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_signo = socket_of;
  event.sigev_value.sival_ptr = cookie;
  OK(syscall(SYS_mq_notify, queue, &event));
  OK(mq_send(queue, "hello", 5, 1));
  CHECK_EQ(recv(socket_of, got, sizeof got, 0), 32);
  CHECK(memcmp(got, cookie, 31) == 0);
  CHECK_EQ(got[31], 1);
  // The end of a registration is told too.
  OK(syscall(SYS_mq_notify, queue, &event));
  OK(syscall(SYS_mq_notify, queue, NULL));
  CHECK_EQ(recv(socket_of, got, sizeof got, 0), 32);
  CHECK_EQ(got[31], 2);
  event.sigev_signo = 999;
  CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), EBADF);
  event.sigev_signo = 1;
  CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), ENOTSOCK);
  event.sigev_value.sival_ptr = wild;
  CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), EFAULT);
  OK(mq_unlink(name));
  return 0;
}
