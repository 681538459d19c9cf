//! The HTTP face, driven by clients over real connections against a live engine.

mod consistency;
mod deciding;
mod following;
mod operating;
mod postgres;
mod postgres_writing;
mod pushing;
mod querying;
mod reading;
mod securing;
mod support;
