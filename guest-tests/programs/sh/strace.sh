# strace follows processes and threads, counts calls, filters them, attaches and injects; its output equals Linux's but for numbers.
# timeout: 60
dir=$(mktemp -d /tmp/guest-test-XXXXXX); trap 'rm -rf "$dir"' EXIT; cd "$dir" || exit 1
strace -o out true; echo "status $?"; head -1 out | sed 's/ 0x.*//'; tail -2 out
strace -f -o out sh -c 'true | cat; (exit 3)'; echo "status $?"
grep -c 'exited with 0' out; grep -c 'exited with 3' out
# Children that end together are told of once.
grep -q -- '--- SIGCHLD' out; echo "SIGCHLD $?"
strace -c -o counts true; awk '/execve|exit_group/ { print $NF }' counts
strace -f -e trace=execve,exit_group -e signal=none sh -c 'exec /bin/echo hello' 2>&1 | sed 's/, 0x.*//'
strace -e trace=none -e signal=all sh -c 'kill -USR1 $$' 2>&1 | sed 's/si_pid=[0-9]*/si_pid=N/'; echo "status ${PIPESTATUS[0]}"
strace -e trace=chdir -e inject=chdir:error=EPERM sh -c 'cd /; echo $?' 2>&1 | grep -v '^sh:'
sleep 60 & target=$!
strace -o attached -p $target 2> /dev/null & tracer=$!
for _ in $(seq 200); do grep -q "TracerPid:	[1-9]" /proc/$target/status && [ -s attached ] && break; sleep 0.02; done
kill -TERM $target; wait $target; wait $tracer
sed 's/restart_syscall.*=/restart_syscall =/; s/clock_nanosleep(.*=/clock_nanosleep =/; s/si_pid=[0-9]*/si_pid=N/' attached | tail -2
