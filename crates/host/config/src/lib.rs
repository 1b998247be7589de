//! A Worker's configuration.
//!
//! [`Config::load`] reads a wrangler file: `syntax` makes one tree with positions of JSON and
//! TOML, `keys` says what wrangler knows, `read` checks the tree field by field (`fields`).
//! [`compat`] says what date and flags turn on, [`modules`] finds the files that belong to a
//! Worker whose code is taken as it is. Code that has to be built first is the bundle crate's.
//! [`Config::add_secrets`] adds what lies in files beside it.
//!
//! Invariants: every message about a file names line, column, key, what is wrong and what is
//! allowed; nothing is read but the files named and, where
//! secrets are asked for, those beside them.

#![forbid(unsafe_code)]

mod config;
mod fields;
mod keys;
mod read;
mod report;
mod secrets;
mod syntax;

pub mod compat;
pub mod glob;
pub mod modules;
pub mod nearest;

pub use config::{
    ActorsTarget, Assets, Binding, BindingValue, Build, Caps, Config, Cron, D1Database, Define,
    Dev, HtmlHandling, Migration, MigrationStep, ModuleOptions, NotFoundHandling, Outbound,
    QueueConsumer, Rule, S3Bucket, ServiceTarget, WorkerFirst, check_all,
};
pub use report::{ConfigError, Diagnostic, Position, Warning};
