//! SpiderMonkey behind a small safe API: the only crate that knows the engine.
//!
//! One [`Engine`] lives in a process, on one thread, over a state `S` of the embedder that ops get
//! to see. The platform's TypeScript is evaluated once ([`Engine::evaluate_platform`]), the process
//! is forked, and from then on Rust calls the platform's handlers ([`Engine::call`]) with plain
//! [`Data`]. Nothing here knows frames, sockets, streams or Workers.
//!
//! Read in this order: `data`, `engine`, `turn`, `natives`, `convert`, `modules`.
//!
//! Invariants: no unrooted JavaScript value lives across a call that takes `&mut JSContext`; no
//! panic crosses C++ (the process aborts); at the end of [`Engine::prepare_fork`] the process has
//! one thread as far as this crate is concerned.

mod clone;
mod commonjs;
mod convert;
mod core;
pub mod data;
mod dispatch;
mod engine;
mod intrinsics;
mod memory;
mod messages;
mod meta;
mod modules;
mod natives;
mod policy;
mod resolve;
mod shim;
mod stencil;
mod threads;
mod throw;
mod turn;
mod wasm;

pub use convert::DATA_DEPTH_MAX;
pub use data::{Args, Buffers, Data, OpDecl, OpError, OpFn, OpResult};
pub use engine::{Engine, EngineError, EngineOptions, Interrupter};
pub use memory::EXIT_OUT_OF_MEMORY;
pub use modules::{ModuleEntry, ModuleKind};
pub use throw::JsError;
pub use turn::{Called, jobs_taken};
