// Queued signals: order and values of real-time signals, sigqueue, sigwaitinfo, sigtimedwait, limits.
#include "check.h"
#include <sys/resource.h>

static volatile sig_atomic_t seen, numbers[16], values[16], codes[16];

static void record(int number, siginfo_t *info, void *context) {
  (void)context;
  if (seen < 16) {
    numbers[seen] = number;
    values[seen] = info->si_value.sival_int;
    codes[seen] = info->si_code;
  }
  seen++;
}

static void lowest_number_first_then_in_order(void) {
  int first = SIGRTMIN, second = SIGRTMIN + 1, third = SIGRTMIN + 5;
  sigset_t set = signals(first, second, third, SIGUSR1, 0);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  int sent[] = {third, first, second, first, third, first};
  for (size_t i = 0; i < COUNT(sent); i++) OK(sigqueue(getpid(), sent[i], (union sigval){.sival_int = i}));
  OK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 100}));
  OK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 101})); // Merged with the pending one.
  struct { int number, value; } expected[] = {{SIGUSR1, 100}, {first, 1}, {first, 3}, {first, 5}, {second, 2}, {third, 0}, {third, 4}};
  for (size_t i = 0; i < COUNT(expected); i++) {
    siginfo_t info;
    int number = OK(sigwaitinfo(&set, &info));
    CHECK_CASE(number == expected[i].number && info.si_value.sival_int == expected[i].value, "%zu: signal %d, value %d", i, number, info.si_value.sival_int);
    CHECK_EQ(info.si_signo, number);
    CHECK_EQ(info.si_code, SI_QUEUE);
    CHECK_EQ(info.si_pid, getpid());
    CHECK_EQ(info.si_uid, getuid());
  }
  struct timespec none = {0, 0};
  CHECK_ERRNO(sigtimedwait(&set, NULL, &none), EAGAIN);
}

static void handlers_run_for_every_queued_one(void) {
  int number = SIGRTMIN + 2;
  sigset_t set = signals(number, 0);
  handle(number, record, 0);
  seen = 0;
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  for (int i = 0; i < 10; i++) OK(sigqueue(getpid(), number, (union sigval){.sival_int = i * 7}));
  CHECK_EQ(seen, 0);
  OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
  CHECK_EQ(seen, 10);
  for (int i = 0; i < 10; i++) {
    CHECK_EQ(values[i], i * 7);
    CHECK_EQ(codes[i], SI_QUEUE);
  }
}

static void a_thread_takes_its_own_before_the_process_ones(void) {
  int number = SIGRTMIN + 3;
  sigset_t set = signals(number, 0);
  siginfo_t info;
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  OK(sigqueue(getpid(), number, (union sigval){.sival_int = 1}));
  OK(pthread_sigqueue(pthread_self(), number, (union sigval){.sival_int = 2}));
  CHECK_EQ(sigwaitinfo(&set, &info), number);
  CHECK_EQ(info.si_value.sival_int, 2);
  CHECK_EQ(sigwaitinfo(&set, &info), number);
  CHECK_EQ(info.si_value.sival_int, 1);
  OK(kill(getpid(), number));
  CHECK_EQ(sigwaitinfo(&set, &info), number);
  CHECK_EQ(info.si_code, SI_USER);
  OK(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number));
  CHECK_EQ(syscall(SYS_rt_sigtimedwait, &set, &info, NULL, 8), number); // The C library would make it SI_USER.
  CHECK_EQ(info.si_code, SI_TKILL);
}

static void sigtimedwait_times_out_and_is_interrupted(void) {
  sigset_t set = signals(SIGUSR1, 0);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  struct timespec wait = {0, 40000000};
  long long started = now_ms();
  CHECK_ERRNO(sigtimedwait(&set, NULL, &wait), EAGAIN);
  CHECK(now_ms() - started >= 39);
  handle(SIGALRM, record, SA_RESTART);
  seen = 0;
  ualarm(60000, 0);
  wait.tv_sec = 10;
  CHECK_ERRNO(sigtimedwait(&set, NULL, &wait), EINTR); // Even with SA_RESTART.
  CHECK_EQ(seen, 1);
  wait.tv_nsec = 1000000000;
  CHECK_ERRNO(sigtimedwait(&set, NULL, &wait), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, 8, NULL, NULL, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, 7), EINVAL);
}

static void waiting_wakes_when_it_arrives(void) {
  sigset_t set = signals(SIGUSR1, SIGUSR2, 0);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  pid_t self = getpid(), pid;
  IN_CHILD(pid) {
    sleep_ms(30);
    OK(sigqueue(self, SIGUSR2, (union sigval){.sival_ptr = (void *)0x123456789abcdef}));
  }
  siginfo_t info;
  CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR2);
  CHECK_EQ(info.si_pid, pid);
  CHECK_EQ((long)info.si_value.sival_ptr, 0x123456789abcdef);
  WAIT_OK(pid);
  int number;
  raise(SIGUSR1);
  CHECK_ZERO(sigwait(&set, &number));
  CHECK_EQ(number, SIGUSR1);
}

static void forged_origins_are_refused(void) {
  siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_USER};
  pid_t pid;
  int gate[2];
  char byte;
  OK(pipe(gate));
  IN_CHILD(pid) {
    close(gate[1]);
    CHECK_EQ(read(gate[0], &byte, 1), 0);
  }
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info), EPERM); // Only the kernel says SI_USER to others,
  info.si_code = SI_TKILL;
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info), EPERM);
  CHECK_ERRNO(sigqueue(0x3ffffff, 0, (union sigval){0}), ESRCH);
  CHECK_ERRNO(sigqueue(getpid(), 65, (union sigval){0}), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, 8), EFAULT);
  OK(sigqueue(pid, 0, (union sigval){0}));
  close(gate[0]), close(gate[1]);
  WAIT_OK(pid);
}

static void the_queue_is_bounded(void) {
  pid_t pid;
  IN_CHILD(pid) {
    struct rlimit limit = {20, 20};
    OK(setrlimit(RLIMIT_SIGPENDING, &limit));
    if (geteuid() == 0) OK(setuid(54321)); // A user without signals pending elsewhere.
    sigset_t set = signals(SIGRTMIN, SIGUSR1, 0);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    int queued = 0;
    while (queued < 1000 && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0) queued++;
    CHECK_EQ(errno, EAGAIN);
    CHECK_CASE(queued >= 15 && queued <= 20, "%d queued", queued);
    OK(kill(getpid(), SIGUSR1)); // kill always gets through.
    sigset_t pending;
    OK(sigpending(&pending));
    CHECK(sigismember(&pending, SIGUSR1));
  }
  WAIT_OK(pid);
}

int main(void) {
  lowest_number_first_then_in_order();
  handlers_run_for_every_queued_one();
  a_thread_takes_its_own_before_the_process_ones();
  sigtimedwait_times_out_and_is_interrupted();
  waiting_wakes_when_it_arrives();
  forged_origins_are_refused();
  the_queue_is_bounded();
  return 0;
}
