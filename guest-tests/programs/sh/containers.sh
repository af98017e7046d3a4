# An ordinary user makes containers: unshare(1) and bubblewrap, with users, mounts, processes and names of their own.
# timeout: 120
dir=$(mktemp -d /tmp/guest-test-XXXXXX); trap 'rm -rf "$dir"' EXIT; cd "$dir" || exit 1
chmod 777 "$dir"
fail() { echo "failed: $*"; exit 1; }
as_user() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
equal() { [ "$1" = "$2" ] || fail "'$1' instead of '$2'"; }

equal "$(as_user unshare --user id -u)" 65534
equal "$(as_user unshare --user --map-root-user id -ur)" 0
equal "$(as_user unshare --user --map-root-user cat /proc/self/setgroups)" deny
equal "$(as_user unshare --user --map-root-user stat -c %u:%g /)" 65534:65534
equal "$(as_user unshare --user --map-current-user id -u)" 1000
equal "$(as_user unshare --user --map-root-user --uts sh -c 'hostname inner; hostname')" inner
as_user unshare --user --map-root-user hostname inner 2> error && fail 'the host name of others was set'
as_user unshare --user --map-root-user chroot / true || fail chroot
as_user unshare --user --map-root-user sh -c 'cat /etc/shadow' 2> error && fail 'a file of root was read'
equal "$(as_user unshare --user --map-root-user --mount --pid --fork --mount-proc ps -o pid=,comm= | tr -s ' ')" ' 1 ps'
as_user unshare --user --map-root-user --mount sh -c 'mount -t tmpfs -o uid=0 none /mnt && touch /mnt/file && stat -c %u /mnt /mnt/file' > numbers || fail tmpfs
equal "$(tr '\n' ' ' < numbers)" '0 0 '
[ -e /mnt/file ] && fail 'a mount was seen outside'

as_user bwrap --ro-bind / / --unshare-all --share-net true || fail bwrap
as_user bwrap --ro-bind / / --unshare-user --uid 5 --gid 6 sh -c 'id -u; id -g' > numbers || fail 'bwrap as another user'
equal "$(tr '\n' ' ' < numbers)" '5 6 '
as_user bwrap --ro-bind / / --unshare-all --share-net --proc /proc --dev /dev --tmpfs /tmp sh -c '
  touch /tmp/mine || exit 1
  touch /usr/mine 2> /tmp/error && exit 2
  echo hello > /dev/null || exit 3
  [ "$(ls /tmp)" = "error
mine" ] || exit 4
  [ "$(id -u)" = 1000 ] || exit 5
  grep -q "^CapEff:	0000000000000000$" /proc/self/status || exit 6
  grep -q "^NoNewPrivs:	1$" /proc/self/status || exit 7
  [ "$(ps -o comm= | head -1)" = bwrap ] || exit 8
'; equal "$?" 0
bwrap --ro-bind / / --unshare-user --unshare-pid --cap-drop ALL true || fail 'bwrap as root'
echo done
