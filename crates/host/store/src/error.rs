//! What can go wrong outside of a guest's own SQL, for the operator.

use std::path::PathBuf;
use thiserror::Error;

/// See the file's head.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum StoreError {
    #[error("make folder {path}")]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is in use by another mayfly")]
    InUse { path: PathBuf },
    #[error("open database {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the index of the state folder")]
    Index(#[from] rusqlite::Error),
    #[error("file {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("migrations: {0}")]
    Migration(String),
    #[error("{0}")]
    NotFound(String),
}
