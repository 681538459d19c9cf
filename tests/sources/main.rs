//! Live sources from outside: opened as a user writes them, fed by files, sockets and servers.

mod entry;
mod feeds;
mod senders;
mod sockets;
mod spec;
mod stdin;
mod support;
mod tail;
mod traffic;
