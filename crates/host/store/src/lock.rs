//! Locks: a mutex that does not know poison, and the file that keeps two hosts off one folder.

use crate::error::StoreError;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};

/// A panic of one object's business leaves the others theirs.
#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held for as long as the returned file is open; the kernel lets go of it with the process.
pub fn claim(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| StoreError::File { path, source })?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| StoreError::InUse {
        path: folder.to_owned(),
    })?;
    Ok(file)
}
