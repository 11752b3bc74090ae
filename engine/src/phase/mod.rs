//! The named points of an exchange at which code takes part.

pub mod fields;
