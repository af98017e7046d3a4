#!/bin/sh
# ext2, ext3 and ext4 on a loop device: made, filled, unmounted, found sound by e2fsck, mounted again, changed, and replayed from
# the journal.
# timeout: 120
# In a mount namespace of its own: a sandbox that starts on the same host meanwhile would hold on to what is mounted here, and
# the next mount of the same file would be what that was before.
[ -n "$is_apart" ] || is_apart=1 exec unshare --mount --propagation private bash "$0"
set -e
unset LANG LC_ALL
directory=$(mktemp -d)
cd "$directory"
trap 'cd /; umount "$directory/m" 2>/dev/null || true; rm -rf "$directory"' EXIT
mkdir m

# Others use loop devices, too: between finding a free one and taking it somebody else may have taken it.
attach() {
    for attempt in $(seq 1 50); do
        mount -o "$1" -t "$2" image m 2> report && return
        sleep 0.2
    done
    cat report
    e2fsck -fn image || true
    exit 1
}

check() {
    e2fsck -fn image > report 2>&1 || { echo "not sound after $1"; cat report; exit 1; }
}

fill() {
    mkdir -p m/d/e/f
    echo hello > m/d/e/f/x
    ln -s short m/short_link
    ln -s "$(printf 'long%.0s' $(seq 1 50))" m/long_link
    ln m/d/e/f/x m/hard
    mknod m/terminal c 5 300
    mknod m/disk b 7 1
    mkfifo m/fifo
    seq 1 1000000 > m/big
    truncate -s 5000000 m/sparse
    echo tail >> m/sparse
    for number in $(seq 1 500); do echo "$number" > "m/d/file_with_a_long_name_$number"; done
    setfattr -n user.small -v value m/d
    setfattr -n user.large -v "$(printf '%0300d' 7)" m/hard
    setfattr -n trusted.t -v x m/big
    chown 70000:80000 m/d/e
    chmod 4750 m/hard
    touch -d '2040-01-02 03:04:05 UTC' m/d/e/f
}

show() {
    sha256sum m/big
    cat m/d/e/f/x m/hard m/d/file_with_a_long_name_33
    readlink m/short_link m/long_link
    ls m/d | wc -l
    TZ=UTC stat -c '%n %F %a %u %g %h %t %T' m/d m/d/e m/terminal m/disk m/fifo m/hard m/sparse
    TZ=UTC stat -c '%s %y' m/hard m/sparse | cut -c 1-8
    TZ=UTC stat -c %y m/d/e/f
    tail -c 5 m/sparse
    getfattr -d -m - m/d m/hard m/big
}

change() {
    rm -r m/d
    rm m/big m/long_link
    mv m/hard m/moved
    mkdir m/new
    mkdir m/other
    mv m/new m/other/new
    echo over >> m/moved
    truncate -s 100 m/sparse
    setfattr -x user.large m/moved
    head -c 3000000 /dev/zero | tr '\0' a > m/third
}

for kind in "ext2 -b 1024" "ext3 -b 1024" "ext4 -b 1024" "ext4 -b 4096" "ext2 -b 4096 -I 128" "ext4 -O ^metadata_csum,uninit_bg"; do
    echo "== $kind"
    truncate -s 40M image
    mkfs.$kind -q -F image
    name=${kind%% *}
    attach loop "$name"
    stat -f -c '%s %T' m
    fill
    umount m
    check fill
    attach loop "$name"
    show
    change
    sync -f m/moved
    umount m
    check change
    attach loop,ro "$name"
    find m -type f | sort | xargs cksum
    stat -c '%n %h' m m/other
    touch m/moved 2>&1 || echo refused
    umount m
done

echo "== requests"
for kind in "ext2 -b 1024" "ext4 -b 1024"; do
    truncate -s 20M image
    mkfs.$kind -q -F image
    attach loop "${kind%% *}"
    device=$(findmnt -n -o SOURCE m)
    stat -f -c %b m
    seq 1 5000 > m/file
    lsattr m/file | cut -c -22
    for operation in "-l 64K" "-n -l 1M" "-p -o 1K -l 2K" "-z -o 4K -l 2K" "-c -o 4K -l 4K" "-i -o 4K -l 8K" "-c -o 1 -l 4K"; do
        fallocate $operation m/file 2> report || echo "not $operation"
        stat -c %s m/file
        cksum < m/file
    done
    dd if=m/file of=m/copy bs=4096 oflag=direct count=2 2> report && cksum < m/copy
    dd if=m/file of=m/copy bs=1000 oflag=direct count=2 2> report || echo "not aligned"
    dd if=m/file of=m/copy bs=1000 iflag=direct count=2 2> report || echo "not aligned"
    fstrim m && fstrim -v m
    fsfreeze -f m
    fsfreeze -f m 2> report || echo frozen
    fsfreeze -u m
    fsfreeze -u m 2> report || echo thawed
    tune2fs -L name "$device" > report
    e2label "$device"
    umount m
    check requests
    e2label image
done

echo "== journal"
for options in "" "-O ^metadata_csum" "-O ^64bit,^metadata_csum"; do
    truncate -s 20M image
    mkfs.ext4 -q -F -b 1024 $options image
    attach loop,usrquota,grpquota,data_err=abort ext4
    head -c 5000 /dev/zero > m/file
    umount m
    block=$(debugfs -R "bmap file 2" image 2>/dev/null)
    head -c 1024 /dev/zero | tr '\0' J > block
    # One that begins with the journal's own mark.
    printf '\300\073\071\230' | cat - block | head -c 1024 > marked
    printf 'jo\njw -b %s block\njc\njo\njw -b %s marked\njc\n' "$block" $((block + 1)) > commands
    debugfs -w -f commands image > /dev/null 2>&1
    dumpe2fs -h image 2>/dev/null | grep -c needs_recovery
    attach loop ext4
    cksum < m/file
    umount m
    check journal
done

echo "== refused"
truncate -s 4M empty
mount -o loop -t ext4 empty m 2>/dev/null || echo "no file system"
mount -t ext4 empty m 2>/dev/null || echo "no device"
mount -o loop -t ext3 image m 2>/dev/null || echo "not ext3"
for option in errors=never data=some commit=soon max_dir_size_kb unknown; do
    mount -o "loop,$option" -t ext4 image m 2>/dev/null || echo "not with $option"
done
mkfs.ext2 -q -F image
mount -o loop -t ext3 image m 2>/dev/null || echo "no journal"
