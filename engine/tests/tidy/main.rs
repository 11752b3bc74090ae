//! What people should not have to check: who imports whom, where `unsafe` and foreign crates may be named, that
//! every file is part of a crate, and that the documents say what the code says.
//!
//! Read [`imports`] for the rules between modules, which are those of docs/architecture.md, then [`documents`] for
//! the text. [`source`] cuts files into words. With `UPDATE_EXPECT=1` the tables in docs/operating.md are written
//! anew from the code.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside of the machine")]

mod documents;
mod imports;
mod scenarios;
mod source;
