//! The whole of a live run, from a sender's bytes to an answer: the library and the real binary.

mod burst;
mod clock;
mod consistent;
mod dashboard;
mod documents;
mod equal;
mod faults;
mod lines;
mod process;
mod reload;
mod run;
mod senders;
mod sinks;
mod support;
