//! What happens in the host when a script calls out.
//!
//! One file per thing a Worker can reach: `network` is the internet (global `fetch()`), with
//! `redirect` and `decode` for the rules it follows, `websocket` and `socket` for what is no exchange
//! of a request and an answer, `connect` for opening connections and TLS, and `egress` for where it
//! may go at all; `counted` bounds how many connections are open. `assets` are the files of a folder,
//! `kv` is a KV namespace, `d1` a database, `r2` a bucket, `queue` one end of a queue, `rate_limit` a limit, `cache` is what Workers find in `caches`. Bindings are
//! [`mayfly_exchange::Service`]s, with what they share in `answer`; who holds one is the supervisor's
//! affair.
//!
//! Invariant: no byte leaves for an address that `egress` has not judged.

#![forbid(unsafe_code)]

mod answer;
pub mod assets;
pub mod cache;
mod connect;
mod counted;
pub mod d1;
mod decode;
mod egress;
pub mod kv;
mod network;
pub mod queue;
pub mod r2;
pub mod rate_limit;
mod redirect;
mod socket;
mod websocket;

pub use connect::{OPEN_MAX, Resolve, TlsError};
pub use egress::{AllowRule, Egress, Refused, RuleError, Why, special_range};
pub use network::{Network, NetworkOptions};
