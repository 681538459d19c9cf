//! Standard input that is followed as it comes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;

use super::cutter::Cutter;
use super::{Closed, Outlet, Piece, Source};
use crate::source::{Compression, Format, stdin};

const LOOK: Duration = Duration::from_millis(100);

/// Standard input.
pub(super) struct StdinSource {
    pub(super) format: Format,
    pub(super) compression: Option<Compression>,
    /// The longest record, in bytes.
    pub(super) max_line: usize,
}

impl Source for StdinSource {
    fn run(self: Box<Self>, outlet: &Outlet) -> io::Result<()> {
        // Another thread reads, which may wait for ever; this one can end.
        let chunks = stdin::chunks(self.compression)?;
        let name = Arc::new(PathBuf::from("<stdin>"));
        let mut cutter = Cutter::new(name, &self.format, self.max_line);
        let mut pieces = Vec::new();
        while !outlet.is_closed() {
            match chunks.recv_timeout(LOOK) {
                Ok(chunk) => cutter.push(&chunk?, &mut pieces),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    cutter.finish(&mut pieces);
                    let _stops = send(&mut pieces, outlet);
                    break;
                }
            }
            if send(&mut pieces, outlet).is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn send(pieces: &mut Vec<Piece>, outlet: &Outlet) -> Result<(), Closed> {
    let mut pieces = pieces.drain(..);
    pieces.try_for_each(|piece| outlet.send(piece))
}
