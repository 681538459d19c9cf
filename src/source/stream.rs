//! A file or pipe read in sequence: unpacked, its CSV header taken off, cut into blocks.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::csv::csv_header;
use super::splitter::{Piece, Splitter};
use super::{Compression, CsvOptions, Format};

const BUFFER_BYTES: usize = 256 << 10;

/// The records of one file or pipe.
pub(super) struct Stream {
    reader: Box<dyn Read + Send>,
    splitter: Splitter,
    /// The dialect, while the header has not been met.
    headless: Option<CsvOptions>,
    pub(super) header: Option<Arc<Vec<String>>>,
    /// Bytes read, packed.
    read: Arc<AtomicU64>,
    /// Of those, how many earlier blocks account for.
    accounted: u64,
    /// Why it broke off.
    broken: Option<String>,
    ended: bool,
}

/// What a stream has next.
pub(super) enum Part {
    Piece(Piece),
    Wait,
    /// The records from here on cannot be read.
    Broken {
        offset: u64,
        reason: String,
    },
    End,
}

impl Stream {
    /// A file's records.
    pub(super) fn open(
        path: &Path,
        compression: Option<Compression>,
        format: &Format,
        block_bytes: usize,
    ) -> io::Result<Stream> {
        let read = Arc::new(AtomicU64::new(0));
        let file = Counted {
            inner: File::open(path)?,
            read: Arc::clone(&read),
        };
        let reader = match compression {
            Some(Compression::None) => Box::new(file),
            other => unpack(BufReader::with_capacity(BUFFER_BYTES, file), other)?,
        };
        let mut stream = Stream::new(reader, format, block_bytes);
        stream.read = read;
        Ok(stream)
    }

    /// The records of an unpacked stream. Its reader may answer `WouldBlock`.
    pub(super) fn new(reader: Box<dyn Read + Send>, format: &Format, block_bytes: usize) -> Stream {
        let csv = match format {
            Format::Csv(options) => Some(options),
            _ => None,
        };
        Stream {
            reader,
            splitter: Splitter::new(csv, block_bytes),
            headless: csv.filter(|options| options.header).cloned(),
            header: None,
            read: Arc::default(),
            accounted: 0,
            broken: None,
            ended: false,
        }
    }

    /// Packed bytes read since the last call.
    pub(super) fn take_bytes(&mut self) -> u64 {
        let read = self.read.load(Ordering::Relaxed);
        read - std::mem::replace(&mut self.accounted, read)
    }

    /// The next part of the records.
    pub(super) fn next(&mut self) -> Part {
        loop {
            if let Some(reason) = self.broken.take() {
                self.ended = true;
                return Part::Broken {
                    offset: self.splitter.offset(),
                    reason,
                };
            }
            if self.ended {
                return Part::End;
            }
            let piece = match self.splitter.next(&mut *self.reader) {
                Ok(Some(piece)) => piece,
                Ok(None) => {
                    self.ended = true;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Part::Wait,
                Err(error) => {
                    self.broken = Some(reason(&error));
                    match self.splitter.rest() {
                        Some(piece) => piece,
                        None => continue,
                    }
                }
            };
            if let Some(piece) = self.without_header(piece) {
                return Part::Piece(piece);
            }
        }
    }

    /// Takes the header off the first records; `None` if nothing is left.
    fn without_header(&mut self, mut piece: Piece) -> Option<Piece> {
        let Some(options) = &self.headless else {
            return Some(piece);
        };
        let (header, end) = csv_header(&piece.text, options);
        if !header.is_empty() {
            self.header = Some(Arc::new(header));
            self.headless = None;
        }
        piece.text.drain(..end);
        piece.offset += end as u64;
        (!piece.text.is_empty() || piece.too_long.is_some()).then_some(piece)
    }
}

/// What a user is told of an error in the midst of a file.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("the packed data breaks off: {error}"),
        _ => format!("the file cannot be read further: {error}"),
    }
}

/// The unpacked bytes of a stream, by what its first bytes are unless that is said.
pub(super) fn unpack<R: Read + Send + 'static>(
    mut packed: BufReader<R>,
    compression: Option<Compression>,
) -> io::Result<Box<dyn Read + Send>> {
    let compression = match compression {
        Some(compression) => compression,
        None => compression_of(packed.fill_buf()?),
    };
    Ok(match compression {
        Compression::None => Box::new(packed),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(packed)?),
    })
}

/// How bytes that begin like this are packed.
pub(super) fn compression_of(start: &[u8]) -> Compression {
    match start {
        [0x1F, 0x8B, ..] => Compression::Gzip,
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Compression::Zstd,
        // A frame to be skipped, with which a zstd file may begin.
        [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
