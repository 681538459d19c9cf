//! The commands and files of `docs/running.md`.
