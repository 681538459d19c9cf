//! Sessions: SQL statements against an engine that runs, through the library.

mod changes;
mod rows;
mod support;
mod told;
