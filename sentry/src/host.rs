//! Calls to the host that are nobody's in particular.

/// Fills `buffer` with the host's random bytes (`man 2 getrandom`).
pub fn fill_random(buffer: &mut [u8]) {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::rand::getrandom(&mut buffer[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(read) => filled += read,
            Err(rustix::io::Errno::INTR) => {}
            // Linux gives random bytes to everybody once it has booted.
            Err(error) => {
                log::error!("the host has no random bytes: {error}");
                return;
            }
        }
    }
}

/// Has every processor that runs a thread of this process, in guest mode or not, pass a full memory barrier (`man 2 membarrier`, MEMBARRIER_CMD_PRIVATE_EXPEDITED).
///
/// # Errors
/// The host's, on kernels before 4.14.
pub fn membarrier() -> std::io::Result<()> {
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    for command in [REGISTER_PRIVATE_EXPEDITED, PRIVATE_EXPEDITED] {
        // SAFETY: membarrier touches no memory of ours.
        if unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}
