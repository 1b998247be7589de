//! What an operator sees of running Workers: usage, metrics, live tails, traces.
//!
//! [`Watch`] is the supervisor's observer: it counts invocations (`metrics`), passes traces on to
//! those who follow live (`live`), and hands everything to the observer behind it, which prints. `meter`
//! writes what Workers used into the store, `otel` sends to a collector. `admin` answers over HTTP, on a listener of its own that
//! the binary opens. What Workers hear of each other (tails) is the supervisor's.
//!
//! Invariant: nothing here makes a request wait; what a slow reader cannot take is dropped and told.

#![forbid(unsafe_code)]

mod admin;
mod filter;
mod live;
mod meter;
mod metrics;
mod otel;
mod redact;
mod watch;

pub use admin::Admin;
pub use filter::{Filter, FilterError, Status};
pub use live::Live;
pub use meter::{Meter, today};
pub use metrics::Metrics;
pub use otel::{Otel, OtelError};
pub use watch::Watch;
