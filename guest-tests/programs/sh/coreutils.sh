# coreutils, find, grep, sed, awk, tar and gzip upon a small tree of files.
export LC_ALL=C TZ=UTC
dir=$(mktemp -d /tmp/guest-test-XXXXXX); trap 'rm -rf "$dir"' EXIT; cd "$dir" || exit 1
mkdir -p a/b/c d; printf 'one\ntwo\nthree\n' > a/f1; seq 1 100 > a/b/f2; head -c 100000 /dev/zero > a/b/c/zero; ln -s ../a/f1 d/link; ln a/f1 d/hard; chmod 751 a/b/f2; touch -d '2020-02-02 02:02:02' d/old
find . | sort
find . -type f -size +50k; find . -name 'f?' -newer d/old | sort; find . -type l -exec readlink {} \;; find . -perm 751
stat -c '%n %s %a %h %F' a/f1 d/link; stat -c '%n %a %h %F' a/b; stat -c '%y' d/old
ls -l --time-style=+%Y d | awk 'NR > 1 {print $1, $2, $NF}'; ls -R | head -n 12
cp -a a copy && diff -r a copy && echo same; cp d/link resolved; cat resolved | wc -l
mv copy moved && test ! -e copy && echo moved; rm -r moved
cat a/f1 a/f1 | uniq -c | head -n 1; sort -k1,1r a/f1; tac a/f1; rev a/f1; nl a/f1; cut -c1-2 a/f1; comm -12 <(sort a/f1) <(printf 'three\ntwo\n')
grep -rn two . | sort; grep -c . a/b/f2; grep -E '^(1|9)0*$' a/b/f2; grep -q absent a/f1; echo "grep $?"
sed -n '2p;$=' a/f1; sed -i 's/two/2/' a/f1; cat a/f1; sed 's/\(.\)\(.*\)/\2\1/' a/f1
awk -F: '$3 == 0 {print $1}' /etc/passwd; awk 'BEGIN {for (i = 0; i < 3; i++) a[i] = i * i; print a[2], length("abc"), substr("hello", 2, 3), toupper("x")}'
tar cf t.tar a d && tar tf t.tar | sort | head -n 4; mkdir out && tar xf t.tar -C out && diff -r a out/a && echo extracted; tar czf t.tgz a && tar tzf t.tgz | wc -l
gzip -k a/b/f2 && zcat a/b/f2.gz | cmp - a/b/f2 && echo zipped; gzip -l a/b/f2.gz | awk 'END {print $2}'
md5sum a/b/f2 | cut -d' ' -f1; sha256sum a/b/c/zero | cut -c1-16; cksum a/f1; od -An -tx1 -N4 a/f1; base64 a/f1
dd if=a/b/f2 of=part bs=10 count=3 skip=1 2> /dev/null; cat part; echo; split -l 40 a/b/f2 piece. && wc -l piece.*; truncate -s 5 part; wc -c < part
du -k a/b/c | awk '{print ($1 >= 96)}'; df . > /dev/null && echo df; date -d @1000000000 '+%Y-%m-%d %H:%M:%S'; env -i A=1 env; printf '%05.1f|%-5s|%x\n' 3.14159 ab 255; expr 6 '*' 7; seq -s, 3; basename /x/y.c .c; dirname /x/y.c; realpath d/link | sed "s|$dir||"; pwd | sed "s|$dir|DIR|"
echo x | tee t1 t2 > /dev/null; cmp t1 t2 && echo teed; test -d a -a -f a/f1 && echo test; [ 3 -gt 2 ] && echo greater; id -u | grep -qx '[0-9]*' && echo id; sleep 0.01; nproc | grep -qx '[0-9]*' && echo nproc; mktemp -u XXXX | wc -c; install -m 600 a/f1 inst && stat -c %a inst; link a/f1 l2; unlink l2; shuf -i 1-5 | sort | tr '\n' ' '; echo; factor 1001; tr -d aeiou <<< education; fold -w 4 <<< abcdefgh; expand <<< "a	b"; paste a/f1 a/f1; join <(echo 1 a) <(echo 1 b)
rmdir d 2>&1 | sed 's/.*: //'; cat absent 2>&1; ls absent 2>&1; cd absent 2>&1 | sed 's/.*: //'; mkdir a 2>&1
true
