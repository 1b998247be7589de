//! SpiderMonkey behind a small safe API.
//!
//! Placeholder head.

pub mod data;

pub use data::{Args, Data, OpDecl, OpError, OpFn, OpResult};
