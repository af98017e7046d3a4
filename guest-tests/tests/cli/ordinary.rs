//! Everything works for an ordinary user who may open /dev/kvm.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use guest_tests::bounded::{self, Finished};
use guest_tests::vmm;
use serde_json::Value;
use tempfile::TempDir;

use crate::layers::AS_ORDINARY_USER;
use crate::{TIMEOUT, Test, assert_code};

pub(crate) const TESTS: &[Test] = &[
    ("ordinary::sandboxes_are_run_kept_and_asked", sandboxes_are_run_kept_and_asked),
    ("ordinary::root_tells_of_them_beside_its_own", root_tells_of_them_beside_its_own),
    ("ordinary::changes_become_an_image", changes_become_an_image),
    ("ordinary::doctor_says_what_is_missing", doctor_says_what_is_missing),
];

/// A directory with a home and a vmm that user 12345 may use.
pub(crate) fn home() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::copy(vmm::binary().expect("vmm"), directory.path().join("vmm")).expect("copy");
    std::fs::create_dir(directory.path().join("home")).expect("a directory");
    std::os::unix::fs::chown(directory.path().join("home"), Some(12345), Some(12345)).expect("chown");
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("chmod");
    directory
}

/// Runs a script as an ordinary user for whom `vmm` is $VMM; `prepare` comes first, as root.
pub(crate) fn as_user(home: &TempDir, prepare: &str, script: &str) -> Finished {
    let place = home.path().to_str().expect("UTF-8");
    let become_user = format!("{prepare}\n{AS_ORDINARY_USER}");
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        &become_user,
        place,
        "sh",
        "-c",
        script,
    ]);
    command.env("HOME", format!("{place}/home")).env("VMM", format!("{place}/vmm")).current_dir("/");
    command.env_remove("XDG_STATE_HOME").env_remove("XDG_CACHE_HOME");
    bounded::run(&mut command, Duration::from_secs(120)).expect("unshare starts")
}

fn sandboxes_are_run_kept_and_asked() {
    let name = format!("ordinary-{}", std::process::id());
    let script = "set -e; cd $HOME; N=NAME
        $VMM --detach --name $N --volume $HOME:/mnt -- sh -c 'echo begun; trap \"exit 7\" TERM; while :; do sleep 0.05; done'
        $VMM exec $N -- sh -c 'id -u; echo from >/tmp/file; echo volume >/mnt/volume'
        echo typed | $VMM exec -i $N -- cat
        $VMM cp $N:/tmp/file out; cat out volume; $VMM cp out $N:/tmp/in; $VMM exec $N -- cat /tmp/in
        $VMM pause $N; $VMM resume $N
        $VMM ps | grep -c $N; $VMM stats --json $N | grep -c resident_bytes
        $VMM kill -s TERM $N; $VMM wait $N; $VMM logs $N; $VMM rm $N; ls -A $HOME/.local/state/palisade/sandboxes";
    let finished = as_user(&home(), "", &script.replace("NAME", &name));
    assert_code(&finished, 0);
    let expected = format!("{name}\n0\ntyped\nfrom\nvolume\nfrom\n1\n1\n7\nbegun\n{name}\n");
    assert_eq!((&*finished.stdout, &*finished.stderr), (&*expected, ""), "{}", finished.describe());
}

fn root_tells_of_them_beside_its_own() {
    let state = tempfile::tempdir().expect("a directory");
    let root = |words: &[&str]| {
        let mut command = Command::new(vmm::binary().unwrap_or_else(|message| panic!("{message}")));
        let finished = bounded::run(command.env("XDG_STATE_HOME", state.path()).args(words), TIMEOUT);
        let finished = finished.expect("vmm starts");
        assert_code(&finished, 0);
        finished.stdout
    };
    let name = |whose: &str| format!("{whose}-{}", std::process::id());
    let (own, theirs) = (name("root-s"), name("user-s"));
    root(&["--detach", "--name", &own, "--", "true"]);
    root(&["wait", &own]);
    let home = home();
    let script = format!("$VMM --detach --name {theirs} -- sleep 60");
    assert_code(&as_user(&home, "", &script), 0);
    let told = root(&["ps", "--all", "--json"]);
    let sandboxes: Vec<Value> = serde_json::from_str(&told).expect("JSON");
    let named = |name: &str| sandboxes.iter().find(|sandbox| sandbox["name"] == name);
    assert_eq!(named(&own).map(|own| &own["state"]), Some(&"exited".into()), "{told}");
    let pid = &named(&theirs).unwrap_or_else(|| panic!("{theirs} in {told}"))["pid"];
    root(&["kill", "--signal", "KILL", &pid.to_string()]);
}

fn changes_become_an_image() {
    let home = home();
    let root = crate::images::build_root(&["sh", "rm", "chown", "mkdir", "find"]);
    std::fs::write(home.path().join("root"), crate::image_layout::tar(root.path(), &[])).expect("write");
    let script = "set -e; cd $HOME; $VMM --image ../root --diff diff -- /bin/sh -c 'rm /etc/marker; mkdir /made; echo > /made/file; chown 7:8 /made/file'
        find diff -printf '%U %m\n'; $VMM images commit ../root diff app:2 >/dev/null
        $VMM --image app:2 -- /bin/find /etc /made -printf '%p %U %G\n'; ls -A";
    let finished = as_user(&home, "", script);
    assert_code(&finished, 0);
    let expected = "12345 600\n/etc 0 0\n/made 0 0\n/made/file 7 8\n.cache\ndiff\n";
    assert_eq!((&*finished.stdout, &*finished.stderr), (expected, ""), "{}", finished.describe());
}

fn doctor_says_what_is_missing() {
    let finished = as_user(&home(), "", "$VMM doctor");
    assert_code(&finished, 0);
    assert!(finished.stdout.contains("user 12345, who needs no privilege"), "{}", finished.describe());
    let finished = as_user(&home(), "mount() { chmod 600 $0/kvm; command mount \"$@\"; }", "$VMM doctor");
    assert_code(&finished, 125);
    assert!(finished.stdout.contains("the right to open /dev/kvm"), "{}", finished.describe());
    assert!(finished.stdout.contains("no program can run here"), "{}", finished.describe());
}
