//! How `mayfly` ends: one line on standard error and a number that scripts can rely on.
//!
//! Invariant: a number keeps its meaning for good; `mayfly --help` lists them all.

use std::path::PathBuf;
use std::process::ExitCode;

use mayfly_config::ConfigError;
use mayfly_config::modules::ModulesError;
use mayfly_gateway::BindError;

/// The Worker that was run threw.
pub const THREW: u8 = 1;
/// The command line is wrong; clap's own number.
pub const USAGE: u8 = 2;
/// A configuration is invalid.
pub const CONFIG: u8 = 3;
/// A file is missing or unreadable.
pub const FILE: u8 = 4;
/// The address cannot be listened on.
pub const LISTEN: u8 = 5;
/// The guest binary is missing or of another version.
pub const GUEST: u8 = 6;
/// The sandbox is not available.
pub const SANDBOX: u8 = 7;
/// There is no running host to talk to.
pub const UNREACHABLE: u8 = 9;
/// Layers of the sandbox are missing, and Workers can run all the same.
pub const DEGRADED: u8 = 8;
/// The state folder cannot be used.
pub const STATE: u8 = 10;
/// SQL that was run for an operator failed.
pub const SQL: u8 = 11;
/// A fault of Mayfly itself; `EX_SOFTWARE`.
pub const INTERNAL: u8 = 70;

/// Why `mayfly` ends before its time.
#[derive(Debug, thiserror::Error)]
pub enum Exit {
    /// The Worker threw, and has been told about.
    #[error("")]
    Threw,
    /// As its text says.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A Worker's files.
    #[error(transparent)]
    Modules(#[from] ModulesError),
    /// A file named on the command line.
    #[error("cannot read {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something that is not done without being asked for otherwise.
    #[error("{0}")]
    Refused(String),
    /// Configurations that contradict each other.
    #[error("{0}")]
    Definition(String),
    /// No gateway.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// No guests, for a reason that a person can mend.
    #[error("{0}")]
    Guest(String),
    /// No sandbox.
    #[error("{0}")]
    Sandbox(String),
    /// No running host.
    #[error("{0}")]
    Unreachable(String),
    /// Less of a sandbox than there could be.
    #[error("{0}")]
    Degraded(String),
    /// No state.
    #[error("state: {0}")]
    State(String),
    /// SQL failed.
    #[error("{0}")]
    Sql(String),
    /// Anything else.
    #[error("{0}")]
    Internal(String),
}

impl Exit {
    /// Its number.
    pub fn code(&self) -> u8 {
        match self {
            Self::Threw => THREW,
            Self::Refused(_) => USAGE,
            Self::Config(error) if unreadable(error) => FILE,
            Self::Config(_) | Self::Definition(_) => CONFIG,
            Self::File { .. } | Self::Modules(ModulesError::Read { .. }) => FILE,
            Self::Modules(_) => CONFIG,
            Self::Listen(_) => LISTEN,
            Self::Guest(_) => GUEST,
            Self::Sandbox(_) => SANDBOX,
            Self::Unreachable(_) => UNREACHABLE,
            Self::Degraded(_) => DEGRADED,
            Self::State(_) => STATE,
            Self::Sql(_) => SQL,
            Self::Internal(_) => INTERNAL,
        }
    }

    /// Prints the line and gives the number.
    pub fn report(&self) -> ExitCode {
        let text = self.to_string();
        if !text.is_empty() {
            eprintln!("mayfly: {text}");
        }
        ExitCode::from(self.code())
    }
}

/// An error with no place in a file is about not having the file.
fn unreadable(error: &ConfigError) -> bool {
    error.errors.iter().any(|error| error.position.is_none())
}
