# util-linux's tools for mounts and namespaces: mount, umount, findmnt, mountpoint, unshare, nsenter.
# On one CPU: Linux lets a mount namespace be mounted in older ones alone, and tells their age by numbers of which each CPU
# has a supply of its own.
taskset -cp "$(sed -n 's/^Cpus_allowed_list:[^0-9]*\([0-9]*\).*/\1/p' /proc/self/status)" $$ >/dev/null
run() {
unshare --mount --propagation private sh -s <<'SCRIPT'
cd /mnt || exit 1
mount -t tmpfs -o size=1m,mode=755 first /mnt
cd /mnt
mkdir a b c
mount -t tmpfs -o nosuid,nodev second a
findmnt -n -o SOURCE,FSTYPE,PROPAGATION a
mount --make-shared a
findmnt -n -o TARGET,PROPAGATION a
mount --bind a b
mkdir a/x
mount -t tmpfs third b/x
mountpoint a/x
mountpoint a
mountpoint c
mount --make-slave b
findmnt -n -o TARGET,PROPAGATION b
umount b/x
mountpoint a/x
umount a/x
mount --make-unbindable b
mount --bind b c 2>/dev/null || echo 'unbindable'
mount -o remount,bind,ro a
touch a/file 2>/dev/null || echo 'read-only'
mount -o remount,bind,rw a
touch a/file && echo 'writable'
mount --move b c
mountpoint b
mountpoint c
umount -l c
umount a
umount a 2>/dev/null || echo 'not mounted'
echo '--- namespaces'
touch name
unshare --mount=/mnt/name sh -c 'mount -t tmpfs inside /mnt/a; touch /mnt/a/inside'
findmnt -n -o FSTYPE /mnt/name
ls a
nsenter --mount=/mnt/name ls /mnt/a
umount name
unshare --pid --fork --mount-proc sh -c 'echo "$$"; ps -o comm'
unshare --mount --uts --ipc --pid --fork sh -c 'hostname inner; hostname; mount -t proc proc /proc; readlink /proc/self'
unshare --mount sh -c 'mkdir -p c/old; mount --bind / c; mkdir -p /mnt/d; cd c; pivot_root . mnt; test -d /mnt/proc && echo pivoted'
SCRIPT
}
run 2>&1
