// Calls that are made often, each with an answer that tells whether it was made, and made once: what a call that another thread
// serves could get wrong.
#include "check.h"
#include <linux/futex.h>
#include <mqueue.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>

enum { ROUNDS = 60 };

static int turn;

static void processors_and_clocks(void) {
  unsigned cpu = -1, node = -1;
  OK(syscall(SYS_getcpu, &cpu, &node, NULL));
  CHECK(cpu < (unsigned)sysconf(_SC_NPROCESSORS_CONF) && node == 0);
  static struct timespec last[4];
  clockid_t clocks[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
  for (size_t i = 0; i < COUNT(clocks); i++) {
    struct timespec now;
    OK(syscall(SYS_clock_gettime, clocks[i], &now));
    CHECK(now.tv_sec > last[i].tv_sec || (now.tv_sec == last[i].tv_sec && now.tv_nsec >= last[i].tv_nsec));
    last[i] = now;
  }
  CHECK(syscall(SYS_clock_gettime, 12345, &last[0]) == -1 && errno == EINVAL);
  struct rlimit limit;
  OK(syscall(SYS_getrlimit, RLIMIT_CORE, &limit));
  limit.rlim_cur = 0;
  OK(syscall(SYS_setrlimit, RLIMIT_CORE, &limit));
}

static uint32_t word, other_word;
static long futex(int operation, uint32_t value, void *fourth, uint32_t last) {
  return syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, value, fourth, &other_word, last);
}

static void futexes(void) {
  word = turn;
  CHECK(futex(FUTEX_WAIT, turn + 1, NULL, 0) == -1 && errno == EAGAIN);
  CHECK(futex(FUTEX_WAIT_BITSET, turn + 1, NULL, 1) == -1 && errno == EAGAIN);
  struct timespec soon = {0, 1000};
  CHECK(futex(FUTEX_WAIT, turn, &soon, 0) == -1 && errno == ETIMEDOUT);
  CHECK(futex(FUTEX_WAKE, 1, NULL, 0) == 0 && futex(FUTEX_REQUEUE, 1, (void *)1, 0) == 0);
  CHECK(futex(FUTEX_CMP_REQUEUE, 1, (void *)1, turn) == 0);
  CHECK(futex(FUTEX_CMP_REQUEUE, 1, (void *)1, turn + 1) == -1 && errno == EAGAIN);
  other_word = turn;
  CHECK(futex(FUTEX_WAKE_OP, 1, (void *)1, FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0)) == 0);
  CHECK(other_word == (uint32_t)turn + 1);
}

static void timers(void) {
  struct sigevent quiet = {.sigev_notify = SIGEV_NONE};
  timer_t timer;
  OK(timer_create(CLOCK_MONOTONIC, &quiet, &timer));
  struct itimerspec hour = {{turn, 0}, {3600, 0}}, left;
  OK(timer_settime(timer, 0, &hour, NULL));
  OK(timer_gettime(timer, &left));
  CHECK(left.it_interval.tv_sec == turn && left.it_value.tv_sec > 3000 && timer_getoverrun(timer) == 0);
  OK(timer_delete(timer));
  struct itimerval alarm_hour = {{turn, 0}, {3600, 0}}, before;
  OK(setitimer(ITIMER_REAL, &alarm_hour, NULL));
  OK(getitimer(ITIMER_REAL, &before));
  CHECK(before.it_interval.tv_sec == turn);
  CHECK(alarm(0) > 3000);
}

static void queues(int messages, int semaphore, mqd_t queue) {
  struct {
    long type;
    int turn;
  } message = {1, turn}, received;
  OK(msgsnd(messages, &message, sizeof message.turn, 0));
  CHECK(msgrcv(messages, &received, sizeof received.turn, 0, 0) == sizeof received.turn && received.turn == turn);
  CHECK(msgrcv(messages, &received, sizeof received.turn, 0, IPC_NOWAIT) == -1 && errno == ENOMSG);
  struct sembuf up = {0, 1, 0}, down = {0, -1, IPC_NOWAIT};
  OK(semop(semaphore, &up, 1));
  OK(semop(semaphore, &down, 1));
  CHECK(semop(semaphore, &down, 1) == -1 && errno == EAGAIN);
  down.sem_flg = 0;
  struct timespec soon = {0, 1000};
  CHECK(semtimedop(semaphore, &down, 1, &soon) == -1 && errno == EAGAIN && semctl(semaphore, 0, GETVAL) == 0);
  char text[64];
  OK(mq_send(queue, (char *)&turn, sizeof turn, 0));
  CHECK(mq_receive(queue, text, sizeof text, NULL) == sizeof turn && memcmp(text, &turn, sizeof turn) == 0);
  struct timespec past = {1, 0};
  CHECK(mq_timedreceive(queue, text, sizeof text, NULL, &past) == -1 && errno == ETIMEDOUT);
}

static void files(int file) {
  char first[4], second[4];
  struct iovec parts[] = {{first, 4}, {second, 4}};
  memset(first, turn, 4), memset(second, turn + 1, 4);
  CHECK(pwritev(file, parts, 2, turn * 8) == 8);
  memset(first, 0, 4), memset(second, 0, 4);
  CHECK(preadv(file, parts, 2, turn * 8) == 8 && first[3] == (char)turn && second[0] == (char)(turn + 1));
  CHECK(read(file, first, 0) == 0 && write(file, first, 0) == 0 && lseek(file, 0, SEEK_CUR) == 0);
  OK(fsetxattr(file, "user.turn", &turn, sizeof turn, 0));
  int found = -1;
  CHECK(fgetxattr(file, "user.turn", &found, sizeof found) == sizeof found && found == turn);
  OK(fremovexattr(file, "user.turn"));
  int memory = syscall(SYS_memfd_create, "memory", 0);
  CHECK(memory >= 0 && write(memory, &turn, sizeof turn) == sizeof turn && close(memory) == 0);
  OK(mknod("node", S_IFIFO | 0600, 0));
  CHECK(mknod("node", S_IFIFO | 0600, 0) == -1 && errno == EEXIST);
  OK(unlink("node"));
}

static void signals_and_processes(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = turn}));
  int file = signalfd(-1, &set, 0);
  struct signalfd_siginfo info;
  CHECK(file >= 0 && read(file, &info, sizeof info) == sizeof info && info.ssi_int == turn && close(file) == 0);
  int self = syscall(SYS_pidfd_open, getpid(), 0);
  CHECK(self >= 0 && syscall(SYS_pidfd_send_signal, self, 0, NULL, 0) == 0 && close(self) == 0);
  siginfo_t none = {0};
  CHECK(waitid(P_ALL, 0, &none, WEXITED | WNOHANG) == -1 && errno == ECHILD);
}

static void memory(void) {
  char *pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(pages != MAP_FAILED);
  pages[0] = turn, pages[PAGE] = turn + 1;
  pages = mremap(pages, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
  CHECK(pages != MAP_FAILED && pages[0] == (char)turn && pages[PAGE] == (char)(turn + 1) && pages[7 * PAGE] == 0);
  unsigned char present[8];
  OK(mincore(pages, 8 * PAGE, present));
  CHECK(present[0] & 1 && present[1] & 1);
  OK(madvise(pages, PAGE, MADV_FREE));
  OK(munmap(pages, 8 * PAGE));
}

static void waits(int epoll, int pipe_in, int pipe_out) {
  struct epoll_event event;
  struct timespec none = {0, 0};
  CHECK(syscall(SYS_epoll_pwait2, epoll, &event, 1, &none, NULL, 8) == 0);
  CHECK(write(pipe_out, &turn, sizeof turn) == sizeof turn);
  CHECK(syscall(SYS_epoll_pwait2, epoll, &event, 1, NULL, NULL, 8) == 1 && event.events == EPOLLIN);
  int found = -1;
  CHECK(read(pipe_in, &found, sizeof found) == sizeof found && found == turn);
  CHECK(read(pipe_in, &found, 0) == 0 && write(pipe_out, &found, 0) == 0);
}

// Whoever knows that its parent is gone is told another one, however often it has asked before.
static void parents_end_while_children_ask(void) {
  volatile int *is_gone = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(is_gone != MAP_FAILED);
  OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  for (int round = 0; round < 20; round++) {
    is_gone[0] = is_gone[1] = 0;
    pid_t parent, child, self = getpid();
    IN_CHILD(parent) {
      IN_CHILD(child) {
        for (bool is_last = false; !is_last; is_gone[1] = 1) {
          is_last = is_gone[0];
          pid_t told = syscall(SYS_getppid);
          CHECK_CASE(told == self || !is_last, "parent %d", (int)told);
        }
      }
      while (!is_gone[1]) sched_yield();
      sleep_ms(round % 4);
    }
    WAIT_OK(parent);
    is_gone[0] = 1;
    int status;
    CHECK(wait(&status) > 0 && status == 0);
  }
  OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

int main(void) {
  parents_end_while_children_ask();
  char directory[] = "/tmp/frequent_calls.XXXXXX";
  CHECK(mkdtemp(directory) != NULL);
  OK(chdir(directory));
  int file = open("file", O_RDWR | O_CREAT, 0600), pipes[2], epoll = epoll_create1(0);
  CHECK(file >= 0 && epoll >= 0 && pipe(pipes) == 0);
  struct epoll_event wanted = {.events = EPOLLIN};
  OK(epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[0], &wanted));
  int messages = msgget(IPC_PRIVATE, 0600), semaphore = semget(IPC_PRIVATE, 1, 0600);
  char name[32];
  snprintf(name, sizeof name, "/frequent_calls.%d", getpid());
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0600, &(struct mq_attr){.mq_maxmsg = 4, .mq_msgsize = 64});
  CHECK(messages >= 0 && semaphore >= 0 && queue >= 0 && mq_unlink(name) == 0);
  for (turn = 0; turn < ROUNDS; turn++) {
    processors_and_clocks();
    futexes();
    timers();
    queues(messages, semaphore, queue);
    files(file);
    signals_and_processes();
    memory();
    waits(epoll, pipes[0], pipes[1]);
  }
  OK(msgctl(messages, IPC_RMID, NULL));
  OK(semctl(semaphore, 0, IPC_RMID));
  OK(unlink("file"));
  OK(chdir("/"));
  OK(rmdir(directory));
  return 0;
}
