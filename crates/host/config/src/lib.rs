//! A Worker's configuration.
//!
//! [`Config::load`] reads a wrangler file; `syntax` makes one tree with positions of JSON and
//! TOML, `keys` says what wrangler knows, `read` checks the tree, `modules` finds the files that
//! belong to the Worker, [`compat`] says what its date and flags switch. Nothing here starts
//! anything, and nothing but the files named is read.
//!
//! Invariant: every message names file, line and column, and what was allowed instead.

#![forbid(unsafe_code)]

pub mod compat;
pub mod nearest;
