//! The queue of blocks that feeds all workers.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;

use super::open::{FileTask, STDIN, Way, open};
use super::plain::PlainFile;
use super::splitter::Piece;
use super::stream::{Part, Stream};
use super::{
    Block, InputSpec, MAX_RECORD_BYTES, OpenInput, OpenOptions, Payload, RowGroup, SourceError,
    SourceErrors,
};

/// The smallest block, below which the work of handing it out would outweigh it.
const MIN_BLOCK_BYTES: usize = 16;
/// So much memory of blocks is kept for others; a worker has one block at a time.
const MOST_SPARE: usize = 64;

/// All blocks of all inputs, each handed out once, to whichever worker asks first.
pub struct Blocks {
    inputs: Vec<OpenInput>,
    tasks: Vec<FileTask>,
    block_bytes: usize,
    total_bytes: Option<u64>,
    cursor: Mutex<Cursor>,
    /// Memory of blocks that are done with.
    spare: Mutex<Vec<Vec<u8>>>,
}

/// What the queue has next.
#[derive(Debug)]
pub enum Next {
    /// Records.
    Block(Block),
    /// Nothing yet: standard input is slow. Come back.
    Wait,
    /// A file broke off, as packed ones do that were cut short. What came before is in blocks with
    /// lower numbers; the rest of the file is lost.
    Broken {
        /// The input, as a position in the list of inputs.
        input: usize,
        /// The file.
        file: Arc<PathBuf>,
        /// Where the first record begins that is lost, in bytes of the unpacked file.
        offset: u64,
        /// Its number among the blocks.
        number: u64,
        /// What is wrong.
        reason: String,
    },
    /// No more.
    End,
}

/// How far the blocks are handed out.
struct Cursor {
    /// The next file to begin.
    task: usize,
    number: u64,
    current: Option<Current>,
}

/// The file that blocks are handed out of.
enum Current {
    Ranges { file: Arc<PlainFile>, next: u64 },
    Stream(Box<Stream>),
    RowGroups(ParquetFile),
}

/// How far a Parquet file is handed out.
struct ParquetFile {
    metadata: ArrowReaderMetadata,
    next: usize,
    first_row: u64,
    /// Bytes of the file that no block accounts for yet; the footer's are in the last block.
    bytes_left: u64,
}

/// What a worker does outside of the queue's lock.
enum Work {
    Done(Next),
    /// Reads a range of the task's file.
    Range {
        task: usize,
        file: Arc<PlainFile>,
        number: u64,
        start: u64,
    },
}

impl Blocks {
    /// Finds and looks into all files of all inputs. Standard input without a said format is waited
    /// for, since its first bytes tell the format.
    ///
    /// # Errors
    /// Every fault of every input.
    pub fn open(inputs: &[InputSpec], options: &OpenOptions) -> Result<Blocks, SourceErrors> {
        let mut errors = Vec::new();
        let mut opened = Vec::with_capacity(inputs.len());
        let mut tasks = Vec::new();
        let mut stdin_taken = false;
        for (number, spec) in inputs.iter().enumerate() {
            if spec.location == STDIN && std::mem::replace(&mut stdin_taken, true) {
                errors.push(SourceError::StdinTwice {
                    table: spec.table.clone(),
                });
                continue;
            }
            if let Some((input, files)) = open(number, spec, &mut errors) {
                errors.extend(files.iter().filter_map(|file| check_parquet(spec, file)));
                opened.push(input);
                tasks.extend(files);
            }
        }
        if !errors.is_empty() {
            return Err(SourceErrors(errors));
        }
        let total_bytes = tasks.iter().map(|task| task.length).sum();
        let block_bytes = options.block_bytes.clamp(MIN_BLOCK_BYTES, MAX_RECORD_BYTES);
        let cursor = Mutex::new(Cursor {
            task: 0,
            number: 0,
            current: None,
        });
        Ok(Blocks {
            inputs: opened,
            tasks,
            block_bytes,
            total_bytes,
            cursor,
            spare: Mutex::default(),
        })
    }

    /// The inputs, in the order in which they were given.
    pub fn inputs(&self) -> &[OpenInput] {
        &self.inputs
    }

    /// The length of all files on disk; `None` if standard input or a pipe is among them.
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// The next block. Never waits for standard input, but may wait for a disk or for the worker
    /// that is reading the block before.
    pub fn next(&self) -> Next {
        let work = {
            let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
            self.assign(&mut cursor)
        };
        match work {
            Work::Done(next) => next,
            Work::Range {
                task,
                file,
                number,
                start,
            } => {
                let task = &self.tasks[task];
                let end = file.length().min(start + self.block_bytes as u64);
                match file.lines(start..end, self.memory()) {
                    Ok(piece) => block(task, number, end - start, None, piece),
                    Err(error) => broken(task, start, number, &error),
                }
            }
        }
    }

    /// Takes the memory of a block that is done with for one that is still to be read.
    pub fn recycle(&self, block: Block) {
        if let Payload::Text(text) = block.payload
            && text.capacity() <= 2 * self.block_bytes
        {
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < MOST_SPARE {
                spare.push(text);
            }
        }
    }

    fn memory(&self) -> Vec<u8> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.pop().unwrap_or_default()
    }

    /// Takes the next piece of work from the queue.
    fn assign(&self, cursor: &mut Cursor) -> Work {
        loop {
            let Some(current) = &mut cursor.current else {
                let Some(task) = self.tasks.get(cursor.task) else {
                    return Work::Done(Next::End);
                };
                cursor.task += 1;
                match self.begin(task) {
                    Ok(current) => cursor.current = Some(current),
                    Err(error) => {
                        let number = take_number(&mut cursor.number);
                        return Work::Done(broken(task, 0, number, &error));
                    }
                }
                continue;
            };
            let task = cursor.task - 1;
            match self.proceed(task, current, &mut cursor.number) {
                Some(work) => return work,
                None => cursor.current = None,
            }
        }
    }

    fn begin(&self, task: &FileTask) -> io::Result<Current> {
        match task.way {
            Way::Ranges => {
                let file = Arc::new(PlainFile::new(File::open(&*task.path)?)?);
                Ok(Current::Ranges { file, next: 0 })
            }
            Way::RowGroups => {
                let metadata = metadata(task).map_err(io::Error::other)?;
                let bytes_left = task.length.unwrap_or_default();
                Ok(Current::RowGroups(ParquetFile {
                    metadata,
                    next: 0,
                    first_row: 0,
                    bytes_left,
                }))
            }
            Way::Stream(_) | Way::Stdin(_) => {
                let format = &self.inputs[task.input].format;
                Ok(Current::Stream(Box::new(
                    task.stream(format, self.block_bytes)?,
                )))
            }
        }
    }

    /// The next work on the current file; `None` if there is none left.
    fn proceed(&self, task: usize, current: &mut Current, number: &mut u64) -> Option<Work> {
        let file_task = &self.tasks[task];
        match current {
            Current::Ranges { file, next } => {
                let start = *next;
                if start >= file.length() {
                    return None;
                }
                *next += self.block_bytes as u64;
                let (file, number) = (Arc::clone(file), take_number(number));
                Some(Work::Range {
                    task,
                    file,
                    number,
                    start,
                })
            }
            Current::Stream(stream) => Some(Work::Done(match stream.next() {
                Part::Piece(piece) => {
                    let (header, bytes) = (stream.header.clone(), stream.take_bytes());
                    block(file_task, take_number(number), bytes, header, piece)
                }
                Part::Wait => Next::Wait,
                Part::Broken { offset, reason } => Next::Broken {
                    input: file_task.input,
                    file: Arc::clone(&file_task.path),
                    offset,
                    number: take_number(number),
                    reason,
                },
                Part::End => return None,
            })),
            Current::RowGroups(file) => {
                let block = file.next(file_task, *number)?;
                take_number(number);
                Some(Work::Done(Next::Block(block)))
            }
        }
    }
}

impl ParquetFile {
    /// The block of the next row group.
    fn next(&mut self, task: &FileTask, number: u64) -> Option<Block> {
        let groups = self.metadata.metadata().row_groups();
        let group = groups.get(self.next)?;
        let is_last = self.next + 1 == groups.len();
        let packed = u64::try_from(group.compressed_size()).unwrap_or_default();
        let bytes = if is_last {
            self.bytes_left
        } else {
            packed.min(self.bytes_left)
        };
        let path = Arc::clone(&task.path);
        let block = Block {
            input: task.input,
            file: Arc::clone(&task.path),
            offset: self.first_row,
            number,
            bytes,
            header: None,
            too_long: None,
            read_time: None,
            payload: Payload::RowGroup(RowGroup {
                path,
                index: self.next,
            }),
        };
        self.next += 1;
        self.first_row += u64::try_from(group.num_rows()).unwrap_or_default();
        self.bytes_left -= bytes;
        Some(block)
    }
}

fn take_number(number: &mut u64) -> u64 {
    *number += 1;
    *number - 1
}

fn block(
    task: &FileTask,
    number: u64,
    bytes: u64,
    header: Option<Arc<Vec<String>>>,
    piece: Piece,
) -> Next {
    Next::Block(Block {
        input: task.input,
        file: Arc::clone(&task.path),
        offset: piece.offset,
        number,
        bytes,
        header,
        too_long: piece.too_long,
        read_time: None,
        payload: Payload::Text(piece.text),
    })
}

fn broken(task: &FileTask, offset: u64, number: u64, error: &io::Error) -> Next {
    let reason = format!("the file cannot be read: {error}");
    Next::Broken {
        input: task.input,
        file: Arc::clone(&task.path),
        offset,
        number,
        reason,
    }
}

fn metadata(task: &FileTask) -> Result<ArrowReaderMetadata, ParquetError> {
    let file = File::open(&*task.path)?;
    ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
}

/// Reads the footer of a Parquet file, if it is one, to see that it is whole.
fn check_parquet(spec: &InputSpec, task: &FileTask) -> Option<SourceError> {
    if task.way != Way::RowGroups {
        return None;
    }
    let source = metadata(task).err()?;
    let (table, path) = (spec.table.clone(), task.path.to_path_buf());
    Some(SourceError::NotParquet {
        table,
        path,
        source,
    })
}
