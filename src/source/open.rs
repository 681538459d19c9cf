//! Inputs looked at before anything runs: which files they have, and how those are written.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::csv::csv_header;
use super::list;
use super::spec::format_of_name;
use super::stream::{Stream, compression_of, unpack};
use super::{Compression, CsvOptions, Format, InputSpec, OpenInput, SourceError, stdin};

/// How much of a file is looked at to tell what it is.
const LOOK_BYTES: u64 = 64 << 10;
/// The location that stands for standard input.
pub(super) const STDIN: &str = "-";

/// A file to be read, and how.
#[derive(Debug)]
pub(super) struct FileTask {
    /// Which input it is of.
    pub(super) input: usize,
    pub(super) path: Arc<PathBuf>,
    pub(super) way: Way,
    /// Its length on disk, if it is known.
    pub(super) length: Option<u64>,
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// In ranges, by many workers at once.
    Ranges,
    /// In sequence; packed like this, or as its first bytes tell.
    Stream(Option<Compression>),
    /// By row groups.
    RowGroups,
    /// Through a thread; packed like this, or as its first bytes tell.
    Stdin(Option<Compression>),
}

/// What a look into a file tells.
struct Look {
    format: Format,
    compression: Compression,
    length: Option<u64>,
}

/// Finds the files of an input and looks into each.
pub(super) fn open(
    number: usize,
    spec: &InputSpec,
    errors: &mut Vec<SourceError>,
) -> Option<(OpenInput, Vec<FileTask>)> {
    let mut found = if spec.location == STDIN {
        look_at_stdin(number, spec)
            .map_err(|error| errors.push(error))
            .ok()?
    } else {
        let paths = list::files(spec).map_err(|error| errors.push(error)).ok()?;
        look_at_files(number, spec, paths, errors)?
    };
    if let Format::Csv(options) = &found.0.format
        && options.header
    {
        found.0.csv_header = found.1.iter().find_map(|task| header(task, options));
    }
    Some(found)
}

fn look_at_stdin(
    number: usize,
    spec: &InputSpec,
) -> Result<(OpenInput, Vec<FileTask>), SourceError> {
    let path = Arc::new(PathBuf::from("<stdin>"));
    let format = match &spec.format {
        Some(format) => format.clone(),
        None => {
            let start = stdin::peek().map_err(|error| unreadable(spec, &path, error))?;
            let compression = spec.compression.unwrap_or_else(|| compression_of(&start));
            format_of_content(&start, compression)
        }
    };
    if format == Format::Parquet {
        return Err(packed_parquet(spec, &spec.location));
    }
    let way = Way::Stdin(spec.compression);
    let task = FileTask {
        input: number,
        path: Arc::clone(&path),
        way,
        length: None,
    };
    let input = OpenInput {
        spec: spec.clone(),
        format,
        files: vec![path],
        csv_header: None,
    };
    Ok((input, vec![task]))
}

fn look_at_files(
    number: usize,
    spec: &InputSpec,
    paths: Vec<PathBuf>,
    errors: &mut Vec<SourceError>,
) -> Option<(OpenInput, Vec<FileTask>)> {
    let mut first: Option<(PathBuf, Format)> = None;
    let mut tasks = Vec::with_capacity(paths.len());
    let before = errors.len();
    for path in paths {
        let look = match look(spec, &path) {
            Ok(look) => look,
            Err(error) => {
                errors.push(unreadable(spec, &path, error));
                continue;
            }
        };
        let (first_path, format) = first.get_or_insert_with(|| (path.clone(), look.format.clone()));
        if *format != look.format && look.length != Some(0) {
            let (first, second) = (first_path.clone(), path.clone());
            errors.push(SourceError::MixedFormats {
                table: spec.table.clone(),
                first,
                second,
            });
            break;
        }
        let way = match (format, look.compression) {
            (Format::Parquet, Compression::None) if look.length.is_some() => Way::RowGroups,
            (Format::Parquet, _) => {
                errors.push(packed_parquet(spec, &path.display().to_string()));
                continue;
            }
            (Format::Json, Compression::None) if look.length.is_some() => Way::Ranges,
            (_, compression) => Way::Stream(look.length.map(|_| compression).or(spec.compression)),
        };
        tasks.push(FileTask {
            input: number,
            path: Arc::new(path),
            way,
            length: look.length,
        });
    }
    if errors.len() > before {
        return None;
    }
    let files = tasks.iter().map(|task| Arc::clone(&task.path)).collect();
    let format = first?.1;
    Some((
        OpenInput {
            spec: spec.clone(),
            format,
            files,
            csv_header: None,
        },
        tasks,
    ))
}

/// Looks into a file, unless that would take away what is to be read, as of a pipe.
fn look(spec: &InputSpec, path: &Path) -> io::Result<Look> {
    let named = || path.to_str().and_then(format_of_name);
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        let format = spec.format.clone().or_else(named).unwrap_or(Format::Json);
        return Ok(Look {
            format,
            compression: Compression::None,
            length: None,
        });
    }
    let mut start = Vec::new();
    File::open(path)?.take(LOOK_BYTES).read_to_end(&mut start)?;
    let compression = spec.compression.unwrap_or_else(|| compression_of(&start));
    let format = spec.format.clone().or_else(named);
    let format = format.unwrap_or_else(|| format_of_content(&start, compression));
    Ok(Look {
        format,
        compression,
        length: Some(metadata.len()),
    })
}

/// Parquet by its magic, JSON by its brace; anything else is CSV.
fn format_of_content(start: &[u8], compression: Compression) -> Format {
    let unpacked = unpack(
        BufReader::new(io::Cursor::new(start.to_vec())),
        Some(compression),
    );
    let mut text = Vec::new();
    if let Ok(reader) = unpacked {
        // The start of a packed file breaks off; what came before that will do.
        let _breaks_off = reader.take(LOOK_BYTES).read_to_end(&mut text);
    }
    if text.starts_with(b"PAR1") {
        return Format::Parquet;
    }
    let text = text
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(&text)
        .trim_ascii_start();
    match text.first() {
        None | Some(b'{' | b'[') => Format::Json,
        Some(_) => {
            let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let tabs = line.contains(&b'\t') && !line.contains(&b',');
            let delimiter = if tabs { b'\t' } else { b',' };
            Format::Csv(CsvOptions {
                delimiter,
                ..CsvOptions::default()
            })
        }
    }
}

/// The header of a CSV file, if it can be read without taking anything away.
fn header(task: &FileTask, options: &CsvOptions) -> Option<Vec<String>> {
    let Way::Stream(compression) = task.way else {
        return None;
    };
    task.length.filter(|&length| length > 0)?;
    let file = File::open(&*task.path).ok()?;
    let unpacked = unpack(BufReader::new(file), compression).ok()?;
    let mut start = Vec::new();
    let _breaks_off = unpacked.take(LOOK_BYTES).read_to_end(&mut start);
    Some(csv_header(&start, options).0).filter(|header| !header.is_empty())
}

/// The header of a CSV file that grows, once it is there: the whole of its line.
pub(super) fn header_of_growing(path: &Path, options: &CsvOptions) -> Option<Vec<String>> {
    let mut start = Vec::new();
    let file = File::open(path).ok()?;
    file.take(LOOK_BYTES).read_to_end(&mut start).ok()?;
    let whole = memchr::memrchr(b'\n', &start)? + 1;
    Some(csv_header(&start[..whole], options).0).filter(|header| !header.is_empty())
}

fn unreadable(spec: &InputSpec, path: &Path, source: io::Error) -> SourceError {
    SourceError::Unreadable {
        table: spec.table.clone(),
        path: path.to_owned(),
        source,
    }
}

fn packed_parquet(spec: &InputSpec, location: &str) -> SourceError {
    SourceError::PackedParquet {
        table: spec.table.clone(),
        location: location.to_owned(),
    }
}

impl FileTask {
    /// Opens a file that is read in sequence.
    pub(super) fn stream(&self, format: &Format, block_bytes: usize) -> io::Result<Stream> {
        match self.way {
            Way::Stdin(compression) => {
                Ok(Stream::new(stdin::open(compression)?, format, block_bytes))
            }
            Way::Stream(compression) => Stream::open(&self.path, compression, format, block_bytes),
            Way::Ranges | Way::RowGroups => {
                Stream::open(&self.path, Some(Compression::None), format, block_bytes)
            }
        }
    }
}
