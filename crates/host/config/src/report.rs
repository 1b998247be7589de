//! What is said about a configuration: where, about which key, what.
//!
//! Errors stop a Worker from starting and are told all at once; warnings do not stop anything.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place in a file. Line and column count from 1, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The file.
    pub path: PathBuf,
    /// Its line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

/// One message: `wrangler.jsonc:4:12: services[0].service: ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// `None` where no file could be read.
    pub position: Option<Position>,
    /// The key it is about, from the root; may be empty.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Diagnostic {
    pub(crate) fn at(position: Position, key: &str, message: impl Into<String>) -> Self {
        Self {
            position: Some(position),
            key: key.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn unreadable(path: &Path, problem: impl fmt::Display) -> Self {
        Self {
            position: None,
            key: String::new(),
            message: format!("cannot read {}: {problem}", path.display()),
        }
    }
}

/// Reads a file that is at most so long.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, Diagnostic> {
    let length = std::fs::metadata(path).map(|data| data.len());
    if length.is_ok_and(|length| length > bytes_max) {
        let problem = format!("it is longer than {bytes_max} bytes");
        return Err(Diagnostic::unreadable(path, problem));
    }
    std::fs::read_to_string(path).map_err(|error| Diagnostic::unreadable(path, error))
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = &self.position {
            write!(f, "{position}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Something worth saying about a configuration that works.
pub type Warning = Diagnostic;

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order of the file; never empty.
    pub errors: Vec<Diagnostic>,
}

impl From<Diagnostic> for ConfigError {
    fn from(error: Diagnostic) -> Self {
        Self {
            errors: vec![error],
        }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}
