# find, xargs, grep, sed, awk, sort, tar and gzip on a tree that is made here.
set -e
directory=$(mktemp -d)
cd "$directory"
for i in 1 2 3 4 5; do
  mkdir -p "tree/d$i"
  for j in 1 2 3; do seq "$i" "$((i * 40 + j))" > "tree/d$i/f$j"; done
done
ln -s d1/f1 tree/link
ln tree/d1/f2 tree/hard
mkfifo tree/fifo
find tree -printf '%p %y %n %m %l\n' | sort
find tree -type f -size +0 -name 'f[12]' -print0 | xargs -0 -P 3 -n 2 wc -l | grep -v total | sort
grep -rlx 42 tree --include='f*' -D skip | sort
grep -rc 1 tree/d3 | sort
sed -i -e 's/^1\(.\)$/<\1>/' -e '3d' tree/d1/f1
head -12 tree/d1/f1
awk '{ s += $1 } END { print FILENAME, NR, s }' tree/d5/f3
seq 20000 | sort -R --random-source=/dev/zero | sort -S 100K -n -T . | md5sum
tar -cf - --exclude=fifo --sort=name tree | gzip -9 > tree.tgz
mkdir out
tar -xzf tree.tgz -C out
diff -r --exclude=fifo tree out/tree && echo equal
tar -tzvf tree.tgz | awk '{ print $1, $3, $6, $7, $8 }' | sort
stat -c '%A %h %F %s %N' tree/link tree/fifo tree/hard out/tree/d1/f1
du --apparent-size -b tree/d2/f1
truncate -s 1M sparse; stat -c '%s %b' sparse
cp -a tree copy && rm -r tree && ls copy
split -b 20000 -d --additional-suffix=.part tree.tgz piece
cat piece*.part | cmp - tree.tgz && echo joined
touch -d '2001-02-03 04:05:06.789 UTC' dated; TZ=UTC stat -c %y dated
dd if=/dev/zero of=blocks bs=4k count=10 seek=5 status=none; stat -c %s blocks
chmod u+s,g-r blocks; stat -c %A blocks
rm -r "$directory"
