//! HTTP/1.

pub mod head;
