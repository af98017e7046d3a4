# inside only: it changes settings that a host's processes share
# Where core dumps go: kernel.core_pattern and its letters, a program that takes them, and what gdb makes of one.
set -u
fail() { echo "failed: $*"; exit 1; }
expect() { [ "$2" = "$3" ] || fail "$1: '$2' instead of '$3'"; }
set_to() { echo "$2" > "/proc/sys/$1" || fail "cannot set $1 to $2"; }

directory=$(mktemp -d /tmp/core-XXXXXX) && cd "$directory" || exit 1
die() { bash -c "sh -c 'kill -$1 \$\$'; true" 2> /dev/null; }

ulimit -S -c 0
die ABRT; expect "files without a limit" "$(ls)" ""
ulimit -S -c unlimited
message=$(bash -c 'sh -c "kill -SEGV \$\$"; true' 2>&1)
case $message in *"(core dumped)"*) ;; *) fail "the shell says '$message'" ;; esac
expect "the file" "$(ls)" core
expect "its permissions" "$(stat -c %a core)" 600
readelf -h core | grep -q 'Type: *CORE' || fail "readelf -h"
readelf -n core > notes || fail "readelf -n"
for note in NT_PRSTATUS NT_PRPSINFO NT_SIGINFO NT_AUXV NT_FILE NT_FPREGSET NT_X86_XSTATE; do
  grep -q "$note" notes || fail "no $note"
done
gdb -nx -batch -ex bt -ex 'info sharedlibrary' /bin/sh core > gdb.out 2> /dev/null || fail "gdb"
grep -q 'terminated with signal SIGSEGV' gdb.out || fail "gdb knows no signal"
grep -q '^#0 ' gdb.out || fail "gdb knows no frame"
grep -q 'libc.so' gdb.out || fail "gdb knows no library"
rm -f core notes gdb.out

set_to kernel/core_uses_pid 1
die QUIT; ls core.[0-9]* > /dev/null || fail "core_uses_pid"
rm -f core.*
set_to kernel/core_uses_pid 0
set_to kernel/core_pattern "$directory/%e.%s.%u.%g.%d.%h.%f.%E.%%.%z"
die BUS
expect "letters" "$(ls)" "sh.7.0.0.1.$(hostname).$(basename "$(readlink -f /bin/sh)").$(readlink -f /bin/sh | tr / '!').%."
rm -f ./*

cat > handler <<'SCRIPT'
#!/bin/sh
cd "$1" && cat > dump && { echo "$2 $3 $4"; id -u; ulimit -c; } > facts
SCRIPT
chmod +x handler
set_to kernel/core_pattern "|$directory/handler $directory %s %e %u"
set_to kernel/core_pipe_limit 1
ulimit -S -c 0
die XCPU
for _ in $(seq 100); do [ -s facts ] && break; sleep 0.1; done
expect "the handler's arguments" "$(head -1 facts)" "24 sh 0"
expect "the handler's user" "$(sed -n 2p facts)" 0
expect "the handler's own limit" "$(sed -n 3p facts)" 0
readelf -h dump | grep -q 'Type: *CORE' || fail "what the handler got"

set_to kernel/core_pattern core
set_to fs/suid_dumpable 2
ulimit -S -c unlimited
rm -f ./*
(setpriv --reuid 1234 --clear-groups sh -c 'kill -SEGV $$') > /dev/null 2>&1
expect "a relative name for root alone" "$(ls)" ""
cd / && rm -rf "$directory"
(echo 3 > /proc/sys/fs/suid_dumpable) 2> /dev/null && fail "suid_dumpable 3"
exit 0
