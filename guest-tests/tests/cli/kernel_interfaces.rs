//! What the host has mounted below an image: files are seen, interfaces of its kernel are not.

use std::fs;
use std::path::Path;
use std::process::Command;

use guest_tests::bounded::{self, Finished};
use guest_tests::vmm;

use crate::images::build_root;
use crate::{TIMEOUT, Test, assert_code, assert_one_line, run, run_script};

pub(crate) const TESTS: &[Test] = &[
    ("kernel_interfaces::are_not_uncovered_by_unmounting", are_not_uncovered_by_unmounting),
    ("kernel_interfaces::are_not_uncovered_by_moving_and_binding", are_not_uncovered_by_moving_and_binding),
    (
        "kernel_interfaces::below_an_image_are_empty_and_files_are_seen",
        below_an_image_are_empty_and_files_are_seen,
    ),
    ("kernel_interfaces::are_no_images", are_no_images),
    ("kernel_interfaces::device_nodes_are_the_guest_s_own_or_none", device_nodes_are_the_guest_s_own_or_none),
];

/// What is printed if `/proc` and `/sys` show nothing of the host.
const NOTHING: &str = "/proc: 0 entries\n/sys: 0 entries\n/proc/version is absent\n/proc/self is absent\n\
     /proc/1/environ is absent\n/sys/kernel is absent\n/sys/class/net is absent\n";

/// Prints what can be found in `$1/proc` and `$1/sys`, with builtins: /proc is needed by many programs.
const LOOK: &str = "look() {
        for d in /proc /sys; do n=0; for f in \"$1$d\"/* \"$1$d\"/.[!.]*; do [ ! -e \"$f\" ] || n=$((n + 1)); done
            echo \"$d: $n entries\"; done
        for f in /proc/version /proc/self /proc/1/environ /sys/kernel /sys/class/net; do
            if [ -e \"$1$f\" ] || read -r line 2> /dev/null < \"$1$f\"; then echo \"$f is there\"
            else echo \"$f is absent\"; fi; done 2> /dev/null; }";

fn are_not_uncovered_by_unmounting() {
    for unmount in
        ["umount /sys/fs/cgroup && umount /sys && umount /proc", "umount -l /sys && umount -l /proc"]
    {
        let finished = run_script(&[], &format!("{LOOK}\n{unmount}; look ''"));
        assert_eq!(finished.stdout, NOTHING, "{}", finished.describe());
    }
    // The guest's own come back, and what it makes in the empty directories is its own.
    let script = "umount -l /proc; mkdir /proc/new && echo x > /proc/file && ls /proc; rm -r /proc/*; mount -t proc proc /proc
        cat /proc/self/comm; umount -l /dev; ls /dev | grep -c -e '^kvm$' -e '^sd' -e '^vda'; true";
    let finished = run_script(&[], script);
    let devices = if is_devtmpfs("/dev") {
        "0\n"
    } else {
        finished.stdout.split_inclusive('\n').next_back().unwrap_or_default()
    };
    assert_eq!(finished.stdout, format!("file\nnew\ncat\n{devices}"), "{}", finished.describe());
}

/// Whether the host has a devtmpfs there.
fn is_devtmpfs(path: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let last = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some(path));
    last.is_some_and(|line| line.split(' ').nth(2) == Some("devtmpfs"))
}

fn are_not_uncovered_by_moving_and_binding() {
    for (uncover, place) in [
        // A bind mount without what is mounted below.
        ("mount --bind / /mnt", "/mnt"),
        ("mkdir /tmp/a; mount --bind / /tmp/a; mount --bind /tmp/a /mnt", "/mnt"),
        ("mount --move /sys /mnt; mkdir /tmp/p; mount --move /proc /tmp/p", ""),
        ("mkdir /tmp/p /tmp/s; mount --bind / /mnt; mount --bind /mnt/proc /tmp/p; mount --bind /mnt/sys /tmp/s
          mkdir -p /tmp/v/proc /tmp/v/sys; mount --move /tmp/p /tmp/v/proc; mount --move /tmp/s /tmp/v/sys", "/tmp/v"),
        // Renamed, as a directory of the image can be.
        ("mkdir /tmp/o; umount -l /proc; umount -l /sys; mv /proc /tmp/o/proc; mv /sys /tmp/o/sys", "/tmp/o"),
    ] {
        let finished = run_script(&[], &format!("{LOOK}\n{uncover}; look '{place}'"));
        assert_eq!(finished.stdout, NOTHING, "{uncover}: {}", finished.describe());
    }
}

/// Runs a shell script in a mount namespace of its own, with `vmm` as `$0` and the image as `$1`.
fn run_with_mounts(image: &Path, script: &str) -> Finished {
    let binary = vmm::binary().unwrap_or_else(|message| panic!("{message}"));
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--", "/bin/bash", "-e", "-c", script]);
    bounded::run(command.arg(binary).arg(image), TIMEOUT).expect("unshare starts")
}

fn below_an_image_are_empty_and_files_are_seen() {
    let root = build_root(&["sh", "ls", "cat"]);
    let live = root.path().join("live");
    let below = ["proc", "sys", "pts", "self", "tmp", "bind", "queue", "over"];
    below.iter().for_each(|name| fs::create_dir_all(live.join(name)).expect("mkdir"));
    ["version", "ns", "null", "marker"]
        .iter()
        .for_each(|name| fs::write(live.join(name), "").expect("write"));
    fs::write(live.join("proc/covered"), "").expect("write");
    let script = "cd \"$1/live\"; mount -t proc p proc; mount -t sysfs s sys; mount -t devpts -o newinstance d pts
        mount -t mqueue q queue; mount --bind /proc/self self; mount --bind /proc/version version
        mount --bind /proc/self/ns/uts ns; mount --bind /dev/null null
        mount -t tmpfs t tmp; echo of a tmpfs > tmp/file; mkdir tmp/proc tmp/more; mount -t proc p tmp/proc
        mount -t tmpfs t tmp/more; echo deeper > tmp/more/file
        mount --bind \"$1/etc\" bind; mount --bind \"$1/etc/marker\" marker
        mkdir tmp/upper tmp/work; mount -t overlay -o lowerdir=\"$1/etc\",upperdir=tmp/upper,workdir=tmp/work o over
        cd /; exec \"$0\" --image \"$1\" -- /bin/sh -c '
            cd /live; for d in proc sys pts self queue tmp/proc; do echo $d: $(ls -A $d); cat $d/version $d/self/comm $d/comm; done 2> /dev/null
            cat version ns; ls -l version ns null | { read a b c d size rest; echo $a $size; read a rest; echo $a; read a rest; echo $a; }
            cat null; echo lost > null; cat tmp/file tmp/more/file bind/marker marker over/marker; echo own > proc/file; cat proc/file'";
    let finished = run_with_mounts(root.path(), script);
    let image = "of the image\n";
    let expected = format!(
        "proc:\nsys:\npts:\nself:\nqueue:\ntmp/proc:\ncrw-rw-rw- 0\n-r--r--r--\n-r--r--r--\n\
         of a tmpfs\ndeeper\n{image}{image}{image}own\n"
    );
    // In the order of ls: ns, null, version.
    let expected =
        expected.replace("crw-rw-rw- 0\n-r--r--r--\n-r--r--r--", "-r--r--r-- 0\ncrw-rw-rw-\n-r--r--r--");
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
    assert_code(&finished, 0);
}

fn are_no_images() {
    for image in ["/proc", "/sys", "/proc/self/task"] {
        assert_one_line(&run(&["--image", image], &["/bin/true"]), &[125], &[image, "host's kernel"]);
    }
}

/// Memory, a port and a disk of the host, a loop device, and a null device by another name.
fn device_nodes_are_the_guest_s_own_or_none() {
    let root = build_root(&["sh", "cat"]);
    let script = "cd \"$1\"; mknod memory c 1 1; mknod port c 1 4; mknod disk b 259 0; mknod loop b 7 0; mknod kvm c 10 232; mknod none c 1 3
        cd /; exec \"$0\" --image \"$1\" -- /bin/sh -c '
            for f in memory port disk kvm; do cat /$f; (: > /$f); done; cat /loop; echo lost > /none && cat /none && echo own'";
    let finished = run_with_mounts(root.path(), script);
    assert_eq!(finished.stdout, "own\n", "{}", finished.describe());
    let refused = finished.stderr.matches("No such device or address").count();
    assert_eq!(refused, 8, "{}", finished.describe());
}
