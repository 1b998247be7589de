//! The platform's modules, stripped of types by `build.rs` and embedded.

include!(concat!(env!("OUT_DIR"), "/platform.rs"));

/// The module that all others are imported from.
pub const ENTRY: &str = "boot.ts";
