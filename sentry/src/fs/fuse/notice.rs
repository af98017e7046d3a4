//! What a server tells unasked: that what the kernel knows is no longer so.

use std::sync::Weak;

use super::connection::Connection;
use super::wire::Reader;
use crate::Errno;

const INVALIDATE_INODE: i32 = 2;
const INVALIDATE_ENTRY: i32 = 3;
const STORE: i32 = 4;
const DELETE: i32 = 6;

/// Takes the notice `code`.
///
/// # Errors
/// EINVAL: it is unknown or makes no sense. ENOENT: it is about a file that the kernel does not know.
pub(super) fn take(connection: &Connection, code: i32, body: &[u8]) -> Result<(), Errno> {
    let mut reader = Reader(body);
    let result = match code {
        INVALIDATE_INODE => invalidate_inode(connection, &mut reader),
        INVALIDATE_ENTRY => invalidate_entry(connection, &mut reader, 0),
        STORE => store(connection, &mut reader),
        // The number of the file that has gone stands before the name's length.
        DELETE => invalidate_entry(connection, &mut reader, size_of::<u64>()),
        _ => Err(Errno::EINVAL),
    };
    result.map_err(|error| if error == Errno::EIO { Errno::EINVAL } else { error })
}

fn invalidate_inode(connection: &Connection, reader: &mut Reader<'_>) -> Result<(), Errno> {
    let (node, offset, len) = (reader.u64()?, reader.u64()?.cast_signed(), reader.u64()?.cast_signed());
    let known = connection.inodes.lock().get(&node).and_then(Weak::upgrade);
    let inode = known.ok_or(Errno::ENOENT)?;
    inode.forget_attributes();
    if let Ok(start) = u64::try_from(offset) {
        let end = if len > 0 { start.saturating_add(len.cast_unsigned()) } else { u64::MAX };
        inode.contents_changed(start..end);
    }
    Ok(())
}

/// New contents. They are not kept: whoever reads asks the server, which has them.
fn store(connection: &Connection, reader: &mut Reader<'_>) -> Result<(), Errno> {
    let (node, offset) = (reader.u64()?, reader.u64()?);
    let (len, _padding) = (reader.u32()?, reader.u32()?);
    if reader.0.len() != len as usize {
        return Err(Errno::EINVAL);
    }
    let known = connection.inodes.lock().get(&node).and_then(Weak::upgrade);
    let inode = known.ok_or(Errno::ENOENT)?;
    inode.forget_attributes();
    inode.contents_changed(offset..offset.saturating_add(len.into()));
    Ok(())
}

fn invalidate_entry(connection: &Connection, reader: &mut Reader<'_>, skipped: usize) -> Result<(), Errno> {
    let directory = reader.u64()?;
    reader.bytes(skipped)?;
    let (len, _flags) = (reader.u32()?, reader.u32()?);
    let name = reader.name(len)?.to_vec();
    let known = connection.inodes.lock().get(&directory).and_then(Weak::upgrade);
    known.ok_or(Errno::ENOENT)?.forget_attributes();
    let forgotten = connection.names.lock().remove(directory, &name);
    drop(forgotten);
    Ok(())
}
