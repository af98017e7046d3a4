# bash: expansions, arrays, functions, here-documents, traps, jobs, process substitution, arithmetic.
set -u
name=world
cat <<END
hello $name, ${#name} letters, ${name^^}, ${name/o/0}, $((6 * 7))
END
cat <<'END'
literal $name
END
cat <<< "here string"
array=(one two "three four")
array+=(five)
echo "${#array[@]} ${array[2]} ${array[@]:1:2}"
declare -A map=([k1]=v1 [k2]=v2)
for key in $(printf '%s\n' "${!map[@]}" | sort); do echo "$key=${map[$key]}"; done
total=0
for ((i = 1; i <= 10; i++)); do ((total += i)); done
echo "total $total"
factorial() { if (($1 <= 1)); then echo 1; else echo $(($1 * $(factorial $(($1 - 1))))); fi; }
factorial 6
(exit 3); echo "subshell status $?"
false || echo "false is $?"
! true; echo "negated $?"
echo a b c | { read x y; echo "$y then $x"; }
printf '%s\n' pear apple fig | sort | head -n 2 | paste -sd,
sleep 0.05 & first=$!
(sleep 0.02; exit 7) & second=$!
wait "$second"; echo "second $?"
wait "$first"; echo "first $?"
sleep 30 & kill -TERM $!; wait $!; echo "killed $?"
trap 'echo caught USR1' USR1
kill -USR1 $$
trap 'echo exit trap' EXIT
bash -c 'trap "echo in child TERM; exit 9" TERM; kill -TERM $$; sleep 5'; echo "child $?"
diff <(printf '1\n2\n') <(printf '1\n3\n') > /dev/null; echo "diff $?"
exec 3> >(cat > /dev/null); echo into >&3; exec 3>&-
coproc { while read -r line; do echo "co: $line"; done; }
echo ping >&"${COPROC[1]}"; read -r answer <&"${COPROC[0]}"; echo "$answer"
exec {COPROC[1]}>&-; wait
case "file.tar.gz" in *.gz) echo gzip;; *) echo other;; esac
[[ abc123 =~ ([a-z]+)([0-9]+) ]] && echo "${BASH_REMATCH[2]}"
IFS=: read -r user _ uid _ < <(grep '^root:' /etc/passwd); echo "$user $uid"
set -o pipefail; false | true; echo "pipefail $?"
echo "$(echo nested $(echo deeper $(echo deepest)))"
mapfile -t lines < <(seq 5); echo "${lines[*]}"
timeout 0.1 sleep 10; echo "timeout $?"
