//! One file that is followed.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Piece;
use crate::source::csv::csv_header;
use crate::source::live::cutter::Cutter;
use crate::source::stream::compression_of;
use crate::source::{Compression, Format};

/// So many first bytes of a file tell whether it is still the same.
const HEAD_BYTES: usize = 1024;
/// So much before a file's end is searched for the beginning of its last line at once.
const SEARCH_BYTES: u64 = 64 << 10;
/// How long a file that was rotated away must be quiet before its last line counts as whole.
const QUIET_BEFORE_END: Duration = Duration::from_millis(1000);
/// How long it must be quiet before it is let go of: who writes it may take a while to notice.
const QUIET_BEFORE_CLOSE: Duration = Duration::from_secs(60);

/// What a file is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId(u64, u64);

impl FileId {
    #[cfg(unix)]
    pub(super) fn of(file: &Metadata) -> FileId {
        use std::os::unix::fs::MetadataExt;
        FileId(file.dev(), file.ino())
    }

    /// The time at which it was made is the nearest that there is elsewhere.
    #[cfg(not(unix))]
    pub(super) fn of(file: &Metadata) -> FileId {
        let made = file.created().ok();
        let since = made.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        FileId(0, since.unwrap_or_default().as_nanos() as u64)
    }
}

/// What reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// There was nothing new.
    Nothing,
    /// There was something.
    Grown,
    /// The file was begun anew in its place.
    Renewed,
}

/// A file, and how far it is read.
pub(super) struct Follow {
    id: FileId,
    path: Arc<PathBuf>,
    file: Option<File>,
    format: Format,
    /// The longest record, in bytes.
    limit: usize,
    cutter: Cutter,
    /// The file's first bytes, of those that are read.
    head: Vec<u8>,
    position: u64,
    length: u64,
    /// When it was last written to, as of the last look.
    modified: Option<SystemTime>,
    /// Its length when the source began, up to which it is read before any other file.
    first_length: u64,
    last_grown: Instant,
    /// Whether it is no longer among the files that match.
    is_gone: bool,
}

impl Follow {
    /// Opens a file; `None` if it is packed.
    pub(super) fn open(
        id: FileId,
        path: Arc<PathBuf>,
        format: &Format,
        limit: usize,
    ) -> io::Result<Option<Follow>> {
        let file = File::open(&*path)?;
        let mut start = Vec::new();
        (&file).take(8).read_to_end(&mut start)?;
        if compression_of(&start) != Compression::None {
            return Ok(None);
        }
        Ok(Some(Follow {
            id,
            cutter: Cutter::new(Arc::clone(&path), format, limit),
            path,
            file: Some(file),
            format: format.clone(),
            limit,
            head: Vec::new(),
            position: 0,
            length: 0,
            modified: None,
            first_length: 0,
            last_grown: Instant::now(),
            is_gone: false,
        }))
    }

    pub(super) fn id(&self) -> FileId {
        self.id
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(super) fn last_grown(&self) -> Instant {
        self.last_grown
    }

    /// Bytes that are not read.
    pub(super) fn behind(&self) -> u64 {
        self.length.saturating_sub(self.position)
    }

    /// Reads it up to a length before any other file is read.
    pub(super) fn read_first_to(&mut self, length: u64) {
        self.first_length = length;
    }

    pub(super) fn is_behind_at_first(&self) -> bool {
        self.position < self.first_length
    }

    /// It was found, perhaps under another name.
    pub(super) fn is_at(&mut self, path: PathBuf) {
        self.is_gone = false;
        if *self.path != path {
            self.path = Arc::new(path);
            self.cutter.rename(Arc::clone(&self.path));
        }
    }

    /// It was not found; tells whether that is news.
    pub(super) fn is_lost(&mut self) -> bool {
        let is_news = !std::mem::replace(&mut self.is_gone, true);
        if is_news {
            self.last_grown = Instant::now();
        }
        is_news
    }

    /// Whether it can be closed and opened again by its name.
    pub(super) fn can_be_closed(&self) -> bool {
        self.file.is_some() && !self.is_gone && self.behind() == 0
    }

    pub(super) fn close(&mut self) {
        self.file = None;
    }

    /// Passes over what the file holds: what is read first is the line that has begun last.
    pub(super) fn begin_at_end(&mut self, format: &Format) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let length = file.metadata()?.len();
        let mut start = length;
        let mut chunk = Vec::new();
        while start > 0 {
            let end = start;
            start = end.saturating_sub(SEARCH_BYTES);
            chunk.resize((end - start) as usize, 0);
            let read = read_at(file, &mut chunk, start)?;
            if let Some(newline) = memchr::memrchr(b'\n', &chunk[..read]) {
                start += newline as u64 + 1;
                break;
            }
        }
        let mut head = vec![0; SEARCH_BYTES as usize];
        let read = read_at(file, &mut head, 0)?;
        head.truncate(read.min(start as usize));
        let header = match format {
            Format::Csv(options) if options.header => Some(csv_header(&head, options).0),
            _ => None,
        };
        // Without a whole header the file is read from its beginning.
        if header.as_ref().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        self.cutter.resume_at(start, header);
        (self.position, self.length) = (start, length);
        head.truncate(HEAD_BYTES);
        self.head = head;
        Ok(())
    }

    /// Reads what is new, as far as it fits the chunk, and adds the records that are whole.
    pub(super) fn read(&mut self, chunk: &mut [u8], pieces: &mut Vec<Piece>) -> io::Result<Read> {
        let metadata = match &self.file {
            Some(file) => file.metadata()?,
            None if self.is_gone => return Ok(Read::Nothing),
            None => match fs::metadata(&*self.path) {
                Ok(metadata) if FileId::of(&metadata) == self.id => metadata,
                // It was renamed or went away; the next scan will tell.
                _ => return Ok(Read::Nothing),
            },
        };
        self.length = metadata.len();
        // A file that was rewritten may happen to be as long as before.
        let modified = metadata.modified().ok();
        let is_touched = std::mem::replace(&mut self.modified, modified) != modified;
        if self.length == self.position && !is_touched {
            return Ok(Read::Nothing);
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&*self.path)?,
        };
        let outcome = self.read_from(&file, chunk, pieces);
        self.file = Some(file);
        outcome
    }

    fn read_from(
        &mut self,
        file: &File,
        chunk: &mut [u8],
        pieces: &mut Vec<Piece>,
    ) -> io::Result<Read> {
        let mut head = vec![0; self.head.len()];
        let is_renewed = self.length < self.position
            || read_at(file, &mut head, 0)? < head.len()
            || head != self.head;
        if is_renewed {
            self.begin_anew(pieces);
        }
        let read = read_at(file, chunk, self.position)?;
        let new = &chunk[..read];
        if self.position == self.head.len() as u64 {
            let wanted = HEAD_BYTES.saturating_sub(self.head.len()).min(read);
            self.head.extend_from_slice(&new[..wanted]);
        }
        self.position += read as u64;
        self.cutter.push(new, pieces);
        if !is_renewed && read == 0 {
            return Ok(Read::Nothing);
        }
        self.last_grown = Instant::now();
        Ok(match is_renewed {
            true => Read::Renewed,
            false => Read::Grown,
        })
    }

    /// Begins again at the file's beginning. What was there before has come to its end.
    fn begin_anew(&mut self, pieces: &mut Vec<Piece>) {
        self.cutter.finish(pieces);
        self.cutter = Cutter::new(Arc::clone(&self.path), &self.format, self.limit);
        (self.position, self.first_length) = (0, 0);
        self.head.clear();
    }

    /// If the file was rotated away and is quiet, hands over its last line; tells whether it is
    /// done with.
    pub(super) fn end_if_gone(&mut self, pieces: &mut Vec<Piece>) -> bool {
        if !self.is_gone {
            return false;
        }
        let quiet = self.last_grown.elapsed();
        let is_done = quiet > QUIET_BEFORE_CLOSE || self.file.is_none();
        if quiet > QUIET_BEFORE_END || is_done {
            self.cutter.finish(pieces);
        }
        is_done
    }
}

/// Fills the buffer from a place in a file, as far as the file goes; tells how far.
fn read_at(mut file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    file.seek(SeekFrom::Start(position))?;
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
