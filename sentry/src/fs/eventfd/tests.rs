use super::*;

fn read(file: &EventFile) -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    file.read_at(&mut bytes, 0).map(|_| u64::from_ne_bytes(bytes))
}

fn write(file: &EventFile, value: u64) -> Result<usize, Errno> {
    file.write_at(&value.to_ne_bytes(), 0)
}

#[test]
fn a_read_takes_the_whole_count_and_a_semaphore_s_takes_one() {
    let counter = EventFile::new(2, false, &OpenFiles::default());
    assert_eq!(write(&counter, 3), Ok(8));
    assert_eq!(read(&counter), Ok(5));
    assert_eq!(read(&counter), Err(Errno::EAGAIN));
    let semaphore = EventFile::new(2, true, &OpenFiles::default());
    assert_eq!([read(&semaphore), read(&semaphore), read(&semaphore)], [Ok(1), Ok(1), Err(Errno::EAGAIN)]);
}

#[test]
fn a_count_that_would_pass_the_maximum_blocks_and_all_ones_is_invalid() {
    let counter = EventFile::new(1, false, &OpenFiles::default());
    assert_eq!(write(&counter, u64::MAX), Err(Errno::EINVAL));
    assert_eq!(write(&counter, u64::MAX - 1), Err(Errno::EAGAIN));
    assert_eq!(write(&counter, u64::MAX - 2), Ok(8));
    assert_eq!(counter.readiness(), Events::IN);
}

#[test]
fn buffers_of_another_length_are_invalid() {
    let counter = EventFile::new(1, false, &OpenFiles::default());
    assert_eq!(counter.write_at(&[0; 9], 0), Err(Errno::EINVAL));
    assert_eq!(counter.read_at(&mut [0; 7], 0), Err(Errno::EINVAL));
    assert_eq!(counter.write_at(&[0; 7], 0), Err(Errno::EINVAL));
}
