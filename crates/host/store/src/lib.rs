//! State that outlives a process: what Durable Objects, D1, KV and R2 store, on disk or in memory.
//!
//! The only crate with SQL. A [`Store`] is a folder (or, for tests and `--ephemeral`, memory); in it
//! each namespace of Durable Objects has a folder, each object one SQLite database, each facet one
//! beside its parent's. `object` answers what an instance asks; `index` knows namespaces and alarms;
//! `place` is the one file that makes a path. What a guest says never becomes part of a path: ids are
//! checked 32 bytes in hexadecimal, facets' names are hashed.
//!
//! Deliberately absent: the network, guests, any decision about when an object runs.
//!
//! Invariant: SQL of a guest's reaches its own database and nothing else (`object/guard`).

#![forbid(unsafe_code)]

pub mod cache;
pub mod d1;
mod error;
mod id;
mod index;
mod kept;
pub mod kv;
mod lock;
mod memory;
pub mod object;
mod operator;
mod place;
pub mod queue;
pub mod r2;
mod seal;
pub mod usage;

pub use error::StoreError;
pub use id::{KEY_BYTES, ObjectId};
pub use index::{Alarm, Applied, ClassChange, Namespace, NamespaceInfo};
pub use kept::{Kept, Product};
pub use object::{Database, Outcome, Syncer};
pub use place::{Listed, Place, Store};
