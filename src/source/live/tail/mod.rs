//! Files that grow: followed through rotation, truncation, deletion and the arrival of new ones.
//!
//! A file is known by what it is (device and number on Unix), not by its name. So a log that is
//! renamed is read to its end under the new name or through the descriptor that is still open, and
//! what appears under the old name is another file, read from its beginning. A file that became
//! shorter, or whose first bytes changed, was begun anew in its place and is read anew.
//!
//! The files are looked at 200 times a second while they grow, and ten times a second while not.

mod follow;
mod pattern;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use self::follow::{FileId, Follow, Read};
pub(super) use self::pattern::Pattern;
use super::{Closed, Outlet, PIECE_BYTES, Piece, Source};
use crate::source::Format;

/// How many files are held open; others are opened when they have grown.
const MOST_OPEN: usize = 128;
/// How many pieces of one file are read before it is the next one's turn.
const PIECES_A_TURN: usize = 16;
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Files that grow.
pub(super) struct TailSource {
    pub(super) pattern: Pattern,
    pub(super) format: Format,
    /// The longest record, in bytes.
    pub(super) max_line: usize,
    /// Whether what the files hold at the start is passed over.
    pub(super) from_end: bool,
}

impl Source for TailSource {
    fn run(self: Box<Self>, outlet: &Outlet) -> io::Result<()> {
        let tail = Tail {
            source: *self,
            outlet,
            files: BTreeMap::new(),
            numbers: HashMap::new(),
            passed_over: HashSet::new(),
            arrived: 0,
            chunk: vec![0; PIECE_BYTES],
            last_fault: String::new(),
        };
        // There is no other way to end.
        let Closed = tail.run();
        outlet.status().connections.store(0, Ordering::Relaxed);
        Ok(())
    }
}

struct Tail<'a> {
    source: TailSource,
    outlet: &'a Outlet,
    /// The files, in the order in which they arrived.
    files: BTreeMap<u64, Follow>,
    numbers: HashMap<FileId, u64>,
    /// Files that are not followed.
    passed_over: HashSet<FileId>,
    arrived: u64,
    chunk: Vec<u8>,
    last_fault: String,
}

impl Tail<'_> {
    fn run(mut self) -> Closed {
        let mut pause = SHORTEST_PAUSE;
        let mut next_scan = Instant::now();
        let mut is_first = true;
        while !self.outlet.is_closed() {
            let start = Instant::now();
            if next_scan <= start {
                self.scan(std::mem::take(&mut is_first));
                // Listing a large folder must not take up the disk.
                next_scan = start + LONGEST_PAUSE.max(20 * start.elapsed());
            }
            let Ok(grown) = self.pass() else {
                return Closed;
            };
            let behind = self.note_status();
            if behind > 0 && grown {
                pause = SHORTEST_PAUSE;
                continue;
            }
            pause = if grown { SHORTEST_PAUSE } else { 2 * pause };
            let spent = 4 * start.elapsed();
            pause = pause.max(spent).min(LONGEST_PAUSE);
            thread::sleep(pause);
        }
        Closed
    }

    /// Looks for files that came, were renamed, or went away.
    fn scan(&mut self, is_first: bool) {
        let paths = match self.source.pattern.paths() {
            Ok(paths) => paths,
            Err(error) => return self.note_fault(error.to_string()),
        };
        let mut found = Vec::new();
        for path in paths {
            // What vanishes between listing and looking is gone.
            if let Ok(metadata) = fs::metadata(&path)
                && metadata.is_file()
            {
                found.push((path, metadata));
            }
        }
        if is_first {
            // History in its order, as far as that can be told.
            found.sort_by_cached_key(|(path, file)| (file.modified().ok(), path.clone()));
        }
        let mut seen = HashSet::new();
        let mut paths = HashSet::new();
        for (path, metadata) in found {
            let id = FileId::of(&metadata);
            paths.insert(path.clone());
            if !seen.insert(id) || self.passed_over.contains(&id) {
                continue;
            }
            match self.numbers.get(&id) {
                Some(number) => {
                    if let Some(file) = self.files.get_mut(number) {
                        file.is_at(path);
                    }
                }
                None => self.arrive(id, path, metadata.len(), is_first),
            }
        }
        self.passed_over.retain(|id| seen.contains(id));
        for file in self.files.values_mut() {
            if !seen.contains(&file.id()) && file.is_lost() && !paths.contains(file.path()) {
                let fault = format!("{} went away", file.path().display());
                self.outlet.status().note_fault(fault);
            }
        }
    }

    fn arrive(&mut self, id: FileId, path: PathBuf, length: u64, is_first: bool) {
        let TailSource {
            format, max_line, ..
        } = &self.source;
        let from_end = is_first && self.source.from_end;
        let path = Arc::new(path);
        let name = path.display().to_string();
        match Follow::open(id, path, format, *max_line) {
            Ok(None) => {
                self.passed_over.insert(id);
                self.note_fault(format!("{name} is packed and is not followed"));
            }
            Ok(Some(mut file)) => {
                if is_first {
                    file.read_first_to(length);
                }
                if from_end && let Err(error) = file.begin_at_end(format) {
                    self.note_fault(format!("could not find the end of {name}: {error}"));
                }
                self.numbers.insert(id, self.arrived);
                self.files.insert(self.arrived, file);
                self.arrived += 1;
            }
            // It is tried again at the next scan.
            Err(error) => self.note_fault(format!("could not open {name}: {error}")),
        }
    }

    /// Reads what is new in each file; tells whether anything was.
    fn pass(&mut self) -> Result<bool, Closed> {
        let mut grown = false;
        let mut done = Vec::new();
        let mut faults = Vec::new();
        for (&number, file) in &mut self.files {
            let mut turn = 0;
            while turn < PIECES_A_TURN || file.is_behind_at_first() {
                turn += 1;
                let mut pieces = Vec::new();
                let read = file.read(&mut self.chunk, &mut pieces);
                send(pieces, self.outlet)?;
                match read {
                    Ok(Read::Nothing) => break,
                    Ok(Read::Grown) => grown = true,
                    Ok(Read::Renewed) => {
                        grown = true;
                        let name = file.path().display();
                        faults.push(format!("{name} was begun anew in its place"));
                    }
                    Err(error) => {
                        let name = file.path().display();
                        faults.push(format!("could not read {name}: {error}"));
                        break;
                    }
                }
            }
            let mut pieces = Vec::new();
            if file.end_if_gone(&mut pieces) {
                done.push(number);
            }
            send(pieces, self.outlet)?;
        }
        faults.into_iter().for_each(|fault| self.note_fault(fault));
        for number in done {
            if let Some(file) = self.files.remove(&number) {
                self.numbers.remove(&file.id());
            }
        }
        self.close_some();
        Ok(grown)
    }

    /// Closes files that have been quiet for longest if too many are open.
    fn close_some(&mut self) {
        let is_open = |file: &&mut Follow| file.can_be_closed();
        let mut open: Vec<&mut Follow> = self.files.values_mut().filter(is_open).collect();
        if open.len() > MOST_OPEN {
            open.sort_by_key(|file| file.last_grown());
            let surplus = open.len() - MOST_OPEN;
            open.into_iter().take(surplus).for_each(Follow::close);
        }
    }

    /// Notes how many files there are and how much of them is not read; tells the latter, in bytes.
    fn note_status(&self) -> u64 {
        let behind = self.files.values().map(Follow::behind).sum();
        let status = self.outlet.status();
        let files = self.files.len() as u64;
        status.connections.store(files, Ordering::Relaxed);
        status.behind_bytes.store(behind, Ordering::Relaxed);
        behind
    }

    /// Notes a fault, unless it is the one noted before, as when a file stays unreadable.
    fn note_fault(&mut self, fault: String) {
        if self.last_fault != fault {
            self.outlet.status().note_fault(fault.clone());
            self.last_fault = fault;
        }
    }
}

fn send(pieces: Vec<Piece>, outlet: &Outlet) -> Result<(), Closed> {
    pieces.into_iter().try_for_each(|piece| outlet.send(piece))
}
