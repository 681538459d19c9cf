//! Drives the real binary: what it prints, what it writes, and in which status it ends.

mod answers;
mod asking;
mod documents;
mod ending;
mod inputs;
mod models;
mod scripts;
mod shop;
mod usage;
mod why;
