# gdb sets breakpoints and watchpoints, steps, looks at registers and stacks, calls functions, follows threads and forks, attaches and dumps core.
# timeout: 120
dir=$(mktemp -d /tmp/guest-test-XXXXXX); trap 'rm -rf "$dir"' EXIT; cd "$dir" || exit 1
cat > prog.c <<'END'
#include <stdio.h>
#include <unistd.h>
#include <sys/wait.h>
static int counter;
__attribute__((noinline)) int twice(int n) { counter += n; return 2 * n; }
int main(void) {
  int total = 0;
  for (int i = 0; i < 3; i++) total += twice(i);
  printf("total %d\n", total);
  fflush(stdout);
  if (fork() == 0) _exit(3);
  wait(NULL);
  return 7;
}
END
cat > threads.c <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
volatile int touched;
__attribute__((noinline)) void touch(int n) { touched = n; }
static void *body(void *argument) {
  for (int i = 0; i < 3; i++) touch((int)(long)argument + i);
  return NULL;
}
int main(void) {
  pthread_t threads[3];
  for (long i = 0; i < 3; i++) pthread_create(&threads[i], NULL, body, (void *)(i * 10));
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  puts("done");
  abort();
}
END
gcc -g -O0 -no-pie -o prog prog.c && gcc -g -O0 -no-pie -pthread -o threads threads.c || exit 1
debug() { gdb -q -nx -batch "$@" < /dev/null 2>&1 | sed -e 's/process [0-9]*/process N/g; s/LWP [0-9]*/LWP N/g; s/0x0*7f[0-9a-f]*/0x7fN/g; s/  */ /g' -e '/New Thread/d; /Thread .* exited/d; /libthread_db/d'; }
debug -ex 'break main' -ex run -ex bt -ex 'info registers rip' -ex 'break twice' -ex step -ex next -ex bt -ex 'print n' -ex finish \
  -ex 'print twice(21)' -ex stepi -ex 'print $rip' -ex 'print $mxcsr' -ex 'info threads' -ex kill ./prog
# A called function's return puts the vector registers back, which gdb 13 cannot do where the processor has AMX.
called=$(debug -ex 'break main' -ex run -ex 'print twice(21)' -ex 'print counter' -ex continue ./prog)
case $called in
  *'$1 = 42'*'$2 = 21'*'total 6'*'exited with code 07'*) echo called;;
  *"Couldn't write extended state status"*) grep -qw amx_tile /proc/cpuinfo && echo called;;
esac
debug -ex 'break touch if n == 11' -ex run -ex 'bt 1' -ex 'print n' -ex delete -ex continue -ex 'print $_siginfo.si_signo' -ex kill ./threads
debug -ex 'set can-use-hw-watchpoints 0' -ex 'break main' -ex run -ex 'watch counter' -ex continue -ex continue -ex kill ./prog
debug -ex 'break main' -ex run -ex 'watch counter' -ex 'hbreak 12' -ex continue -ex continue -ex next -ex continue -ex 'info breakpoints' -ex kill ./prog
debug -ex 'break main' -ex run -ex 'rwatch counter' -ex continue -ex continue -ex delete -ex 'awatch counter' -ex continue -ex continue -ex continue -ex delete -ex continue ./prog
debug -ex 'set follow-fork-mode child' -ex 'catch fork' -ex run -ex 'info breakpoints' -ex continue ./prog | grep -v 'Catchpoint 1 (forked'
debug -ex 'catch syscall write' -ex run -ex 'print $rax' -ex 'print $orig_rax' -ex continue -ex 'print $rax' -ex 'generate-core-file core' -ex kill ./prog | grep -v vsyscall | grep -v 'Memory read failed'
debug -ex 'bt -1' ./prog core | tail -1
sleep 60 & target=$!
debug -p $target -ex 'print $_siginfo.si_signo' -ex detach | tail -2
kill -0 $target && echo alive; kill $target
