//! What an operator does with one object while no host runs: copy it out, copy it in, delete it.
//!
//! An exported object is a folder: `object.sqlite`, and `facets/` where it has any. Each file is a
//! whole SQLite database that other tools read. What is done with KV and R2 is in `kept`.

use crate::error::StoreError;
use crate::id::ObjectId;
use crate::index::Namespace;
use crate::place::{Place, Store, make_folder, sync_folder};
use rusqlite::Connection;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

impl Store {
    /// Copies an object and its facets into `folder`, which is made.
    pub fn export(
        &self,
        namespace: &Namespace,
        id: &ObjectId,
        folder: &Path,
    ) -> Result<usize, StoreError> {
        let place = Place::object(&namespace.folder, id);
        if !self.exists(&place) {
            return Err(StoreError::NotFound(format!(
                "there is no object {}",
                id.hex()
            )));
        }
        let files = self.files(&place)?;
        for (relative, path) in &files {
            // What a host that was killed left in the log belongs to the database.
            let opened = Connection::open(path).and_then(|connection| {
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            });
            opened.map_err(|source| StoreError::Open {
                path: path.clone(),
                source,
            })?;
            copy(path, &folder.join(relative))?;
        }
        Ok(files.len())
    }

    /// Copies an exported object in; where there is one already nothing is changed.
    pub fn import(
        self: &Arc<Self>,
        namespace: &Namespace,
        id: &ObjectId,
        folder: &Path,
    ) -> Result<usize, StoreError> {
        let place = Place::object(&namespace.folder, id);
        let mut files = Vec::new();
        walk(folder, Path::new(""), &mut files)?;
        if files.is_empty() {
            let message = format!("{} holds no exported object", folder.display());
            return Err(StoreError::NotFound(message));
        }
        let mut targets = Vec::new();
        for relative in &files {
            let target = self.file(&place, relative).ok_or_else(|| {
                StoreError::NotFound(format!("{} is not of an object", relative.display()))
            })?;
            targets.push((folder.join(relative), target));
        }
        for (source, target) in &targets {
            copy(source, target)?;
        }
        let alarm = self.database(&place)?.alarm()?;
        self.set_alarm(&namespace.folder, id, alarm)?;
        Ok(files.len())
    }

    /// Deletes an object, its facets and its alarm.
    pub fn delete_object(&self, namespace: &Namespace, id: &ObjectId) -> Result<(), StoreError> {
        self.delete(&Place::object(&namespace.folder, id))?;
        self.set_alarm(&namespace.folder, id, None)
    }
}

pub(crate) fn copy(source: &Path, target: &Path) -> Result<(), StoreError> {
    if let Some(folder) = target.parent() {
        make_folder(folder)?;
    }
    let failed = |source| StoreError::File {
        path: target.to_owned(),
        source,
    };
    fs::copy(source, target).map_err(failed)?;
    File::open(target)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    sync_folder(target);
    Ok(())
}

pub(crate) fn walk(
    folder: &Path,
    relative: &Path,
    files: &mut Vec<std::path::PathBuf>,
) -> Result<(), StoreError> {
    let path = folder.join(relative);
    let failed = |source| StoreError::File {
        path: path.clone(),
        source,
    };
    for entry in fs::read_dir(&path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let relative = relative.join(entry.file_name());
        // A link would be followed out of the folder.
        match entry.file_type().map_err(failed)? {
            kind if kind.is_dir() => walk(folder, &relative, files)?,
            kind if kind.is_file() => files.push(relative),
            _ => {
                let message = format!("{} is no plain file", relative.display());
                return Err(StoreError::NotFound(message));
            }
        }
    }
    Ok(())
}
