use anyhow::{Context, anyhow};

use super::*;

#[test]
fn each_cause_is_said_once() {
    let text = |error: anyhow::Error| Failure::from(error).text();
    assert_eq!(text(anyhow!("no room")), "no room");
    assert_eq!(text(anyhow!("no room").context("open it")), "open it: no room");
    let told = std::io::Error::from_raw_os_error(24);
    let open = platform_kvm::Error::OpenDevice(told);
    let wanted = "begin: open /dev/kvm: Too many open files (os error 24)";
    assert_eq!(text(Err::<(), _>(open).context("begin").unwrap_err()), wanted);
}
