# A POSIX shell (dash; ash where it is) runs a script: a word counter, a stack, a small queue of jobs.
run() {
sh -s -- "$@" <<'SCRIPT'
# --- functions and positional parameters
say() { printf '%s\n' "$*"; }
sum() {
  result=0
  while [ $# -gt 0 ]; do
    result=$((result + $1))
    shift
  done
  say "sum $result"
}
sum 1 2 3 4
say "arguments: $# first: ${1:-none} all: $*"
# --- a stack in one variable
stack=
push() { stack="$1 $stack"; }
pop() { top=${stack%% *}; stack=${stack#* }; }
push a; push b; push c
pop; say "popped $top, left $stack"
pop; say "popped $top, left $stack"
# --- words counted with case and loops
count_words() {
  vowels=0 others=0
  for word in "$@"; do
    case $word in
      [aeiou]*) vowels=$((vowels + 1)) ;;
      *) others=$((others + 1)) ;;
    esac
  done
  say "vowels $vowels others $others"
}
count_words apple banana orange cherry elderberry fig
# --- parameter expansion
path=/usr/local/share/file.tar.gz
say "${path##*/} ${path%/*} ${path%%.*} ${path#*.} ${#path}"
unset maybe
say "${maybe-default} ${maybe:=assigned} $maybe ${maybe:+set}"
# --- quoting
single='$HOME "double"'
say "$single" 'it'"'"'s' "a\"b" a\ b
IFS=,
set -- $(printf 'x,y,z')
say "fields $#: $1-$2-$3"
unset IFS
# --- here-documents in loops
n=0
while read -r key value; do
  n=$((n + 1))
  say "$n: $key is $value"
done <<END
color red
size $((4 * 5))
END
# --- redirections
file=$(mktemp)
{ say first; say second; } > "$file"
say third >> "$file"
exec 4< "$file"
read -r line <&4; say "read $line"
read -r line <&4; say "read $line"
exec 4<&-
say "lines $(wc -l < "$file")"
rm -f "$file"
[ -e "$file" ] || say "removed"
# --- conditions and lists
true && say and || say or
false && say and || say or
if ! [ 1 -lt 0 ]; then say "not less"; elif true; then say never; else say never; fi
until [ "$n" -le 0 ]; do n=$((n - 1)); done
say "n $n"
# --- subshells keep their changes
variable=outer
(variable=inner; cd /; say "$variable $(pwd)")
say "$variable"
# --- background jobs
(exit 4) & a=$!
(exit 5) & b=$!
wait $a; say "a $?"
wait $b; say "b $?"
# --- traps and signals
trap 'say trapped' USR2
kill -USR2 $$
trap - USR2
(trap 'exit 42' TERM; kill -TERM $(exec sh -c 'echo $PPID'); sleep 1)
say "subshell $?"
# --- arithmetic
say $((7 / 2)) $((7 % 3)) $((1 << 10)) $((0x1f)) $((5 > 3)) $((~0)) $((2 + 3 * 4))
# --- command substitution in depth
say "$(say "$(say "$(say innermost)")")"
# --- getopts
while getopts ab:c option -a -b value -c; do say "option $option ${OPTARG-}"; done
# --- eval and set
eval 'say "evaluated $((1 + 1))"'
set -e
false || say "guarded"
set +e
# --- exec replaces the shell
exec sh -c 'echo replaced by $0' another
SCRIPT
}
run p1 "p 2"
echo "status $?"
command -v busybox > /dev/null || true
