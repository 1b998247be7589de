//! What an operator does with a whole KV namespace, D1 database or R2 bucket while no host runs.
//!
//! An exported one is a folder: `kv.sqlite`, `d1.sqlite`, or `r2.sqlite` and the bucket's bytes in `blobs/`. All are whole
//! SQLite databases that other tools read; `docs/state.md` says what is in them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::error::StoreError;
use crate::operator::{copy, walk};
use crate::place::{Store, sync_folder};

/// A product that keeps data under a name of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Product {
    /// Workers KV.
    Kv,
    /// D1.
    D1,
    /// R2.
    R2,
}

/// A namespace, database or bucket that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Of what it is one.
    pub product: Product,
    /// Its id or name.
    pub name: String,
    /// Keys, tables or objects.
    pub entries: u64,
    /// Bytes of their values; of a database, of its file.
    pub bytes: u64,
}

impl Product {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kv, Self::D1, Self::R2];

    /// What [`Kept::entries`] counts.
    pub fn entry(self) -> &'static str {
        match self {
            Self::Kv | Self::R2 => "entries",
            Self::D1 => "tables",
        }
    }

    /// Its folder in the state, and its file in an export.
    fn word(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::D1 => "d1",
            Self::R2 => "r2",
        }
    }

    /// `kv:NAME`, `d1:NAME`, `r2:NAME`.
    pub fn parse(text: &str) -> Option<(Self, &str)> {
        let (word, name) = text.split_once(':')?;
        let product = Self::ALL
            .into_iter()
            .find(|product| product.word() == word)?;
        // The same that the configuration allows, since it becomes the name of a file.
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (!name.is_empty() && name.chars().all(allowed)).then_some((product, name))
    }

    fn weight(self) -> &'static str {
        match self {
            Self::Kv => "SELECT count(*), coalesce(sum(length(value)), 0) FROM entries",
            Self::D1 => {
                "SELECT (SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'),
                    page_count * page_size FROM pragma_page_count, pragma_page_size"
            }
            Self::R2 => "SELECT count(*), coalesce(sum(size), 0) FROM objects",
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Store {
    /// The namespaces, databases and buckets that were ever opened, in the order of their names.
    pub fn kept(&self) -> Result<Vec<Kept>, StoreError> {
        let mut kept = Vec::new();
        for product in Product::ALL {
            let Some(folder) = self.kept_folder(product) else {
                continue;
            };
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let Some(name) = path.file_stem().and_then(|name| name.to_str()) else {
                    continue;
                };
                if path
                    .extension()
                    .is_none_or(|extension| extension != "sqlite")
                {
                    continue;
                }
                let (entries, bytes) = weigh(&path, product)?;
                kept.push(Kept {
                    product,
                    name: name.to_owned(),
                    entries,
                    bytes,
                });
            }
        }
        kept.sort_by(|a, b| (a.product, &a.name).cmp(&(b.product, &b.name)));
        Ok(kept)
    }

    /// Copies a namespace or bucket into `folder`, which is made; gives how many files.
    pub fn export_kept(
        &self,
        product: Product,
        name: &str,
        folder: &Path,
    ) -> Result<usize, StoreError> {
        let (database, blobs) = self.existing(product, name)?;
        settle(&database)?;
        copy(&database, &folder.join(format!("{product}.sqlite")))?;
        let mut files = Vec::new();
        if blobs.is_dir() {
            walk(&blobs, Path::new(""), &mut files)?;
        }
        for relative in &files {
            copy(&blobs.join(relative), &folder.join("blobs").join(relative))?;
        }
        Ok(files.len() + 1)
    }

    /// Copies an exported one in, where there is none of that name.
    pub fn import_kept(
        &self,
        product: Product,
        name: &str,
        folder: &Path,
    ) -> Result<usize, StoreError> {
        let exported = folder.join(format!("{product}.sqlite"));
        if !exported.is_file() {
            let message = format!("{} holds no exported {product}", folder.display());
            return Err(StoreError::NotFound(message));
        }
        let (database, target) = self.places(product, name)?;
        let blobs = folder.join("blobs");
        let mut files = Vec::new();
        if product == Product::R2 && blobs.is_dir() {
            walk(&blobs, Path::new(""), &mut files)?;
        }
        // The bytes first: a database without them would promise what is not there.
        for relative in &files {
            copy(&blobs.join(relative), &target.join(relative))?;
        }
        copy(&exported, &database)?;
        Ok(files.len() + 1)
    }

    /// Deletes a namespace or bucket with all that is in it.
    pub fn delete_kept(&self, product: Product, name: &str) -> Result<(), StoreError> {
        let (database, blobs) = self.existing(product, name)?;
        for suffix in ["", "-wal", "-shm"] {
            let mut path = database.clone().into_os_string();
            path.push(suffix);
            missing_is_fine(fs::remove_file(&path), Path::new(&path))?;
        }
        missing_is_fine(fs::remove_dir_all(&blobs), &blobs)?;
        sync_folder(&database);
        Ok(())
    }

    /// Whether there is one of that name.
    pub fn has_kept(&self, product: Product, name: &str) -> bool {
        self.existing(product, name).is_ok()
    }

    fn places(&self, product: Product, name: &str) -> Result<(PathBuf, PathBuf), StoreError> {
        let folder = self
            .kept_folder(product)
            .ok_or_else(|| StoreError::NotFound("state in memory cannot be copied".to_owned()))?;
        let database = folder.join(format!("{name}.sqlite"));
        let blobs = folder.join(format!("{name}.blobs"));
        Ok((database, blobs))
    }

    fn existing(&self, product: Product, name: &str) -> Result<(PathBuf, PathBuf), StoreError> {
        let places = self.places(product, name)?;
        match places.0.is_file() {
            true => Ok(places),
            false => Err(StoreError::NotFound(format!(
                "there is no {product}:{name}"
            ))),
        }
    }
}

fn weigh(path: &Path, product: Product) -> Result<(u64, u64), StoreError> {
    let weighed = Connection::open(path).and_then(|connection| {
        connection.query_row(product.weight(), [], |row| Ok((row.get(0)?, row.get(1)?)))
    });
    let (entries, bytes): (i64, i64) = weighed.map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source,
    })?;
    Ok((
        u64::try_from(entries).unwrap_or(0),
        u64::try_from(bytes).unwrap_or(0),
    ))
}

/// What a host that was killed left in the log belongs to the database.
fn settle(path: &Path) -> Result<(), StoreError> {
    let opened = Connection::open(path).and_then(|connection| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    });
    opened.map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source,
    })
}

fn missing_is_fine(result: std::io::Result<()>, path: &Path) -> Result<(), StoreError> {
    match result {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(StoreError::File {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_paths_are_none() {
        assert_eq!(Product::parse("kv:users-1"), Some((Product::Kv, "users-1")));
        assert_eq!(Product::parse("r2:A_b"), Some((Product::R2, "A_b")));
        assert_eq!(Product::parse("d1:x"), Some((Product::D1, "x")));
        for wrong in [
            "kv:",
            "kv:../x",
            "r2:a/b",
            "d1:a.b",
            "d2:x",
            "kv",
            "worker/Class",
            "r2:a.b",
        ] {
            assert_eq!(Product::parse(wrong), None, "{wrong}");
        }
    }
}
