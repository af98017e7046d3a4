# Long pipelines, large data through pipes, early closing of readers, many background jobs.
set -o pipefail
seq 1 20000 | awk '{s += $1} END {print s}'
seq 1 5000 | sed 's/$/ x/' | grep -c '7 x'
yes | head -n 3 | tr '\n' ' '; echo
yes 2> /dev/null | head -n 1 > /dev/null; echo "status ${PIPESTATUS[*]}"
head -c 3000000 /dev/zero | tr '\0' 'a' | cat | cat | wc -c
seq 1 3000 | sort -r | sort -n | tail -n 1
seq 1 2000 | while read -r n; do ((n % 500 == 0)) && echo "$n"; done
echo 'b a c' | tr ' ' '\n' | sort | xargs -n 1 echo item
seq 1 12 | xargs -P 4 -I{} sh -c 'echo {}' | sort -n | paste -sd' '
jobs=(); for i in 0 1 2 3 4 5 6 7; do (exit "$i") & jobs+=($!); done
failed=0; for job in "${jobs[@]}"; do wait "$job" || failed=$((failed + $?)); done; echo "failed $failed"
mkfifo "/tmp/guest-test-fifo.$$"; (echo through the fifo > "/tmp/guest-test-fifo.$$") & cat "/tmp/guest-test-fifo.$$"; wait; rm "/tmp/guest-test-fifo.$$"
{ echo data | tee /dev/stderr > /dev/null; } 2>&1 | cat
{ echo out; echo err >&2; } 2>&1 | sort
