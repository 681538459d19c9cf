//! Standard input: read by a thread of its own, so that no worker ever waits for it.

use std::io::{self, BufRead, BufReader, Read};
use std::thread;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::Compression;
use super::stream::unpack;

const CHUNK_BYTES: usize = 256 << 10;
/// How many chunks may wait to be taken; then the thread waits, and with it the sender.
const WAITING_CHUNKS: usize = 16;

/// The first bytes of standard input, which stay there to be read. Waits until there are some.
pub(super) fn peek() -> io::Result<Vec<u8>> {
    Ok(io::stdin().lock().fill_buf()?.to_vec())
}

/// The unpacked bytes of standard input, as they come. The channel is disconnected at their end.
pub(super) fn chunks(
    compression: Option<Compression>,
) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (sender, receiver) = bounded(WAITING_CHUNKS);
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || send(compression, &sender))
        .map(|_detached| ())?;
    Ok(receiver)
}

/// The unpacked bytes of standard input. Reading them answers `WouldBlock` while there are none.
pub(super) fn open(compression: Option<Compression>) -> io::Result<Box<dyn Read + Send>> {
    Ok(Box::new(Chunks {
        receiver: chunks(compression)?,
        chunk: Vec::new(),
        at: 0,
    }))
}

/// Sends chunks until the input ends, an error comes up, or nobody takes them any more.
fn send(compression: Option<Compression>, sender: &Sender<io::Result<Vec<u8>>>) {
    let mut unpacked = match unpack(BufReader::new(io::stdin()), compression) {
        Ok(unpacked) => unpacked,
        Err(error) => {
            let _nobody_listens = sender.send(Err(error));
            return;
        }
    };
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let sent = match unpacked.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                chunk.truncate(length);
                sender.send(Ok(chunk))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let _nobody_listens = sender.send(Err(error));
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The receiving end.
struct Chunks {
    receiver: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            self.chunk = match self.receiver.try_recv() {
                Ok(chunk) => chunk?,
                Err(TryRecvError::Empty) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(TryRecvError::Disconnected) => Vec::new(),
            };
            self.at = 0;
        }
        let rest = &self.chunk[self.at..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}
