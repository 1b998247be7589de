//! State that outlives a process: what Workers used.
//!
//! The only crate with SQL.

#![forbid(unsafe_code)]

pub mod usage;
