//! From files and texts to batches, through the public face of `source` and `decode`.

mod coercion;
mod csv;
mod exact;
mod json;
mod parquet;
mod source;
mod support;
