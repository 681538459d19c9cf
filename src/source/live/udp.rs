//! Datagrams: each holds one or more whole records.
//!
//! UDP has no flow control: what arrives while the queue is full and the kernel's buffer as well is
//! lost, and nobody can tell.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use super::cutter::Cutter;
use super::listen::addresses;
use super::text::append_records;
use super::{Closed, Outlet, PIECE_BYTES, Piece, Source};
use crate::source::{Format, MAX_RECORD_BYTES};

const LOOK: Duration = Duration::from_millis(100);
const MOST_DATAGRAM_BYTES: usize = 64 << 10;

/// A port that takes datagrams.
pub(super) struct UdpSource {
    socket: UdpSocket,
    poll: Poll,
    format: Format,
    /// Bytes that have arrived.
    received: u64,
}

impl UdpSource {
    /// Takes the first of the addresses of `host:port` that can be had.
    pub(super) fn bind(host_and_port: &str, format: Format) -> io::Result<UdpSource> {
        let mut failed = io::ErrorKind::AddrNotAvailable.into();
        for address in addresses(host_and_port)? {
            match UdpSocket::bind(address) {
                Ok(mut socket) => {
                    let poll = Poll::new()?;
                    let registry = poll.registry();
                    registry.register(&mut socket, Token(0), Interest::READABLE)?;
                    return Ok(UdpSource {
                        socket,
                        poll,
                        format,
                        received: 0,
                    });
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Takes all datagrams that are there; what of one sender follows each other is one piece.
    fn drain(&mut self, buffer: &mut [u8], outlet: &Outlet) -> Result<(), Closed> {
        let mut texts = BTreeMap::<SocketAddr, Piece>::new();
        let mut taken = 0;
        loop {
            let (length, sender) = match self.socket.recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Such as an answer that an earlier datagram could not be delivered.
                Err(error) => {
                    outlet.status().note_fault(error.to_string());
                    continue;
                }
            };
            let datagram = &buffer[..length];
            match &self.format {
                Format::Csv(_) => {
                    // Each datagram has a header of its own, if there are any.
                    let mut cutter = Cutter::new(name(sender), &self.format, MAX_RECORD_BYTES);
                    cutter.resume_at(self.received, None);
                    let mut pieces = Vec::new();
                    cutter.push(datagram, &mut pieces);
                    if !datagram.ends_with(b"\n") {
                        cutter.push(b"\n", &mut pieces);
                    }
                    cutter.finish(&mut pieces);
                    pieces
                        .into_iter()
                        .try_for_each(|piece| outlet.send(piece))?;
                }
                Format::Json | Format::Parquet => {
                    let start = self.received;
                    let piece = || Piece::of_text(name(sender), start, Vec::new());
                    let piece = texts.entry(sender).or_insert_with(piece);
                    append_records(&mut piece.text, datagram);
                }
            }
            self.received += length as u64;
            taken += length;
            if taken > PIECE_BYTES {
                let full = std::mem::take(&mut texts);
                full.into_values()
                    .try_for_each(|piece| outlet.send(piece))?;
                taken = 0;
            }
        }
        let mut texts = texts.into_values();
        texts.try_for_each(|piece| outlet.send(piece))
    }
}

fn name(sender: SocketAddr) -> Arc<PathBuf> {
    Arc::new(PathBuf::from(sender.to_string()))
}

impl Source for UdpSource {
    fn run(mut self: Box<Self>, outlet: &Outlet) -> io::Result<()> {
        let mut events = Events::with_capacity(8);
        let mut buffer = vec![0; MOST_DATAGRAM_BYTES];
        while !outlet.is_closed() {
            match self.poll.poll(&mut events, Some(LOOK)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            if self.drain(&mut buffer, outlet).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }
}
