//! gzip, xz, zstd or none: told by the first bytes.
//!
//! All decoders are Rust: archives are foreign bytes, and are read before vmm is confined.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const XZ_MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// A frame of zstd that holds no data has one of 16 magic numbers, which differ in four bits of the first byte.
const ZSTD_SKIPPABLE_MAGIC: &[u8] = &[0x2a, 0x4d, 0x18];
/// The most memory that xz may take: four times what `xz -9` asks for.
const MAX_XZ_MEMORY_KIB: u32 = 256 * 1024;
const BUFFER_LEN: usize = 128 * 1024;

/// How something is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    /// Of something that begins with `head`.
    pub(crate) fn of(head: &[u8]) -> Self {
        let is_skippable = head.first().is_some_and(|first| first & 0xf0 == 0x50)
            && head.get(1..4) == Some(ZSTD_SKIPPABLE_MAGIC);
        match head {
            _ if head.starts_with(GZIP_MAGIC) => Self::Gzip,
            _ if head.starts_with(XZ_MAGIC) => Self::Xz,
            _ if head.starts_with(ZSTD_MAGIC) || is_skippable => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// What is in `input`, uncompressed.
///
/// # Errors
/// The input's.
pub(crate) fn decompress<'a>(input: impl Read + 'a) -> io::Result<(Compression, Box<dyn Read + 'a>)> {
    let mut input = BufReader::with_capacity(BUFFER_LEN, Peeked::new(input, XZ_MAGIC.len())?);
    let compression = Compression::of(input.fill_buf()?);
    Ok((
        compression,
        match compression {
            Compression::None => Box::new(input),
            Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
            Compression::Xz => Box::new(XzReader::new_mem_limit(input, true, MAX_XZ_MEMORY_KIB)),
            Compression::Zstd => Box::new(ZstdReader::new(input)),
        },
    ))
}

/// Has the first read yield a number of bytes at once, so that they can be looked at: a pipe gives them in pieces.
struct Peeked<R> {
    head: io::Cursor<Vec<u8>>,
    rest: R,
}

impl<R: Read> Peeked<R> {
    fn new(mut input: R, len: usize) -> io::Result<Self> {
        let mut head = Vec::with_capacity(len);
        input.by_ref().take(len as u64).read_to_end(&mut head)?;
        Ok(Self { head: io::Cursor::new(head), rest: input })
    }
}

impl<R: Read> Read for Peeked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.head.read(buffer)? {
            0 => self.rest.read(buffer),
            len => Ok(len),
        }
    }
}

/// All frames of a zstd file, with their checksums.
struct ZstdReader<R> {
    input: R,
    decoder: FrameDecoder,
    is_in_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    fn new(input: R) -> Self {
        Self { input, decoder: FrameDecoder::new(), is_in_frame: false }
    }

    /// Begins the next frame that holds data, and tells whether there is one.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.input.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.init(&mut self.input) {
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut (&mut self.input).take(length.into()), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                result => return result.map(|()| true).map_err(io::Error::other),
            }
        }
    }

    fn check_frame(&self) -> io::Result<()> {
        let announced = self.decoder.get_checksum_from_data();
        if announced.is_some() && announced != self.decoder.get_calculated_checksum() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a checksum does not match"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy;
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_in_frame {
                self.is_in_frame = self.next_frame()?;
                if !self.is_in_frame {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            match self.decoder.read(buffer)? {
                0 => {
                    self.check_frame()?;
                    self.is_in_frame = false;
                }
                len => return Ok(len),
            }
        }
    }
}
