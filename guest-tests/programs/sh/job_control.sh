# Jobs, traps, coprocesses and limits of bash, as a script uses them.
set -m
sleep 30 & sleeper=$!
sleep 0.1
kill -STOP %1
sleep 0.2
jobs
kill -CONT %1
sleep 0.2
jobs
kill %1
wait $sleeper
echo "killed: $?"
(sleep 0.1; echo foreground) &
fg %+ > /dev/null
set +m

trap 'echo trapped USR1' USR1
trap 'echo at exit' EXIT
kill -USR1 $$
(trap 'echo subshell exit' EXIT; exit 3)
echo "status $?"
sh -c 'kill -TERM $$'
echo "by signal: $?"

(exit 7) & first=$!
(sleep 0.1; exit 8) & second=$!
wait $second; echo "second $?"
wait $first; echo "first $?"
for delay in 3 2 1; do (sleep 0.$((3 * delay)); exit $delay) & done
wait -n; echo "any: $?"
wait; echo "all: $?"

coproc { while read -r line; do echo "<$line>"; done; }
echo one >&"${COPROC[1]}"
read -r -t 5 -u "${COPROC[0]}" answer
echo "$answer"
eval "exec ${COPROC[1]}>&-"
wait

read -r -t 0.05 nothing < <(sleep 0.5)
echo "timed out: $(($? > 128))"
diff <(seq 3) <(seq 4)
echo "differ: $?"

(ulimit -n 16; ulimit -n; exec 20</dev/null) 2> /dev/null
(ulimit -f 1; trap '' XFSZ; head -c 5000 /dev/zero > "$(mktemp)") 2> /dev/null
echo "too large: $?"
(ulimit -v 200000; /usr/bin/perl -e '$x = "x" x 1_000_000_000' 2> /dev/null)
echo "out of memory: $(($? != 0))"
timeout 0.1 sleep 5; echo "timeout: $?"
timeout -s KILL 0.1 sleep 5; echo "timeout KILL: $?"
