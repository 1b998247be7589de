//! Where things lie: the one file that makes a path.
//!
//! ```text
//! <state>/lock                        held by the host that uses the folder
//! <state>/index.sqlite                namespaces and alarms
//! <state>/kv/<namespace>.sqlite         keys and values
//! <state>/d1/<database>.sqlite          a database of SQL of Workers'
//! <state>/queues/<queue>.sqlite         messages that wait
//! <state>/r2/<bucket>.sqlite            what a bucket has
//! <state>/r2/<bucket>.blobs/<xx>/<blob>   its bytes
//! <state>/cache/<digest of a family>.sqlite   what Workers put into `caches`
//! <state>/objects/<namespace>/<id>.sqlite
//! <state>/objects/<namespace>/<id>.history, .base, .restore    its past: `object/history`
//! <state>/objects/<namespace>/<id>.facets/<digest of the name>.sqlite
//! <state>/objects/<namespace>/<id>.facets/<digest of the name>.facets/...
//! ```
//!
//! Invariant: a name of a path is a word of ours, hexadecimal digits, or the id of a KV namespace or
//! a D1 database, the name of a queue or of a bucket, which the configuration lets have letters, digits, dashes and underscores alone.

use crate::error::StoreError;
use crate::id::{ObjectId, digest, hex};
use crate::index::Index;
use crate::kept::Product;
use crate::lock::{Mutex, claim};
use crate::memory;
use crate::object::{Database, history};
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// State of one host.
pub struct Store {
    root: Root,
    pub(crate) index: Index,
    _lock: Option<File>,
}

enum Root {
    Folder(PathBuf),
    /// Databases in memory that nobody has open at the moment.
    Memory(Mutex<HashMap<PathBuf, Connection>>),
}

/// Where one object's or facet's database lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// Below `objects`, without an extension.
    stem: PathBuf,
}

/// An object on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Bytes of it and its facets.
    pub bytes: u64,
    /// How many facets it has, nested ones included.
    pub facets: usize,
}

impl Place {
    /// An object's.
    pub fn object(namespace_folder: &str, id: &ObjectId) -> Self {
        Self {
            stem: Path::new(namespace_folder).join(id.hex()),
        }
    }

    /// A facet's of whatever lies here.
    pub fn facet(&self, name: &str) -> Self {
        let digest = digest(&[name.as_bytes()]);
        Self {
            stem: self.folder_of_facets().join(hex(&digest[..16])),
        }
    }

    fn folder_of_facets(&self) -> PathBuf {
        self.stem.with_extension("facets")
    }
}

impl Store {
    /// A folder, made where it is missing, for this process alone.
    pub fn open(folder: &Path) -> Result<Arc<Self>, StoreError> {
        make_folder(&folder.join("objects"))?;
        let lock = claim(folder)?;
        let path = folder.join("index.sqlite");
        let connection = Connection::open(&path).map_err(|source| StoreError::Open {
            path: path.clone(),
            source,
        })?;
        memory::bound(&connection)?;
        let store = Self {
            root: Root::Folder(folder.to_owned()),
            index: Index::new(connection, Some(&path))?,
            _lock: Some(lock),
        };
        store.delete_doomed()?;
        Ok(Arc::new(store))
    }

    /// Memory: nothing is left behind.
    pub fn ephemeral() -> Result<Arc<Self>, StoreError> {
        let store = Self {
            root: Root::Memory(Mutex::new(HashMap::new())),
            index: Index::new(Connection::open_in_memory()?, None)?,
            _lock: None,
        };
        Ok(Arc::new(store))
    }

    /// Whether it outlives the process.
    pub fn is_on_disk(&self) -> bool {
        matches!(self.root, Root::Folder(_))
    }

    /// Opens a database, which is made by the first write.
    pub fn database(self: &Arc<Self>, place: &Place) -> Result<Database, StoreError> {
        match &self.root {
            Root::Folder(root) => {
                let path = file_of(root, place);
                if let Some(folder) = path.parent() {
                    make_folder(folder)?;
                }
                let failed = |source| StoreError::Open {
                    path: path.clone(),
                    source,
                };
                Database::on_disk(&path).map_err(failed)
            }
            Root::Memory(idle) => {
                let kept = idle.lock().remove(&place.stem);
                Ok(Database::in_memory(kept, self, place)?)
            }
        }
    }

    /// A database of the host's own below a folder of the state, such as `["kv", "users"]`. The last
    /// name is a plain file name, which its caller has checked; in memory, each call makes a new one.
    pub(crate) fn connection(&self, names: &[&str]) -> Result<Connection, StoreError> {
        let Root::Folder(root) = &self.root else {
            return Ok(Connection::open_in_memory()?);
        };
        let mut path = root.clone();
        path.extend(names);
        path.as_mut_os_string().push(".sqlite");
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let connection = Connection::open(&path).map_err(|source| StoreError::Open {
            path: path.clone(),
            source,
        })?;
        // FULL: a commit has reached the disk when it returns.
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        Ok(connection)
    }

    /// Where the blobs of a bucket lie, made where it is missing; `None` in memory.
    pub fn blobs(&self, bucket: &str) -> Result<Option<PathBuf>, StoreError> {
        let Root::Folder(root) = &self.root else {
            return Ok(None);
        };
        let folder = root.join("r2").join(format!("{bucket}.blobs"));
        make_folder(&folder)?;
        Ok(Some(folder))
    }

    /// Where all namespaces or buckets of a product lie; `None` in memory.
    pub(crate) fn kept_folder(&self, product: Product) -> Option<PathBuf> {
        match &self.root {
            Root::Folder(root) => Some(root.join(product.to_string())),
            Root::Memory(_) => None,
        }
    }

    /// Takes a database in memory back until it is opened again.
    pub(crate) fn keep(&self, place: &Place, connection: Connection) {
        if let Root::Memory(idle) = &self.root {
            idle.lock().insert(place.stem.clone(), connection);
        }
    }

    /// Whether something was ever written there, by itself or by a facet.
    pub fn exists(&self, place: &Place) -> bool {
        match &self.root {
            Root::Folder(root) => {
                let facets = root.join("objects").join(place.folder_of_facets());
                file_of(root, place).exists() || facets.exists()
            }
            Root::Memory(idle) => idle.lock().contains_key(&place.stem),
        }
    }

    /// Deletes a database and its facets. Nobody may have them open.
    pub fn delete(&self, place: &Place) -> Result<(), StoreError> {
        match &self.root {
            Root::Folder(root) => {
                let file = file_of(root, place);
                for suffix in ["", "-wal", "-journal", "-shm"] {
                    let mut name = file.clone().into_os_string();
                    name.push(suffix);
                    remove(fs::remove_file(&name), Path::new(&name))?;
                }
                for name in history::files_of(&file) {
                    remove(fs::remove_file(&name), &name)?;
                }
                let facets = root.join("objects").join(place.folder_of_facets());
                remove(fs::remove_dir_all(&facets), &facets)?;
                sync_folder(&file);
            }
            Root::Memory(idle) => {
                let facets = place.folder_of_facets();
                idle.lock()
                    .retain(|stem, _| *stem != place.stem && !stem.starts_with(&facets));
            }
        }
        Ok(())
    }

    /// Deletes all that is stored in a namespace's folder. Nobody may have any of it open.
    pub(crate) fn delete_namespace(&self, namespace_folder: &str) -> Result<(), StoreError> {
        match &self.root {
            Root::Folder(root) => {
                let folder = root.join("objects").join(namespace_folder);
                remove(fs::remove_dir_all(&folder), &folder)?;
                sync_folder(&folder);
            }
            Root::Memory(idle) => {
                let mut idle = idle.lock();
                idle.retain(|stem, _| !stem.starts_with(namespace_folder));
            }
        }
        Ok(())
    }

    /// The objects of a namespace that have written something, or whose facets have, in the order of their
    /// ids.
    pub fn objects(&self, namespace_folder: &str) -> Result<Vec<Listed>, StoreError> {
        let Root::Folder(root) = &self.root else {
            return Ok(Vec::new());
        };
        let folder = root.join("objects").join(namespace_folder);
        let mut found = BTreeMap::new();
        for (name, path) in entries(&folder)? {
            let named = name.strip_suffix(".sqlite");
            let Some(id) = named.or_else(|| name.strip_suffix(".facets")) else {
                continue;
            };
            let (facet_bytes, facets) = weigh(&path.with_extension("facets"))?;
            let listed = Listed {
                id: id.to_owned(),
                bytes: bytes_of(&path.with_extension("sqlite")) + facet_bytes,
                facets,
            };
            found.insert(id.to_owned(), listed);
        }
        Ok(found.into_values().collect())
    }

    /// Files of an object, by what they are called relative to it: `object.sqlite` for its own, where it has
    /// written something itself.
    pub fn files(&self, place: &Place) -> Result<Vec<(PathBuf, PathBuf)>, StoreError> {
        let Root::Folder(root) = &self.root else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        let file = file_of(root, place);
        if file.exists() {
            files.push((PathBuf::from("object.sqlite"), file));
        }
        let facets = root.join("objects").join(place.folder_of_facets());
        gather(&facets, Path::new("facets"), &mut files)?;
        Ok(files)
    }

    /// Where a file that [`Self::files`] called `relative` lies.
    pub fn file(&self, place: &Place, relative: &Path) -> Option<PathBuf> {
        let Root::Folder(root) = &self.root else {
            return None;
        };
        if relative == Path::new("object.sqlite") {
            return Some(file_of(root, place));
        }
        let inside = relative.strip_prefix("facets").ok()?;
        let safe = inside.components().all(|part| {
            let text = part.as_os_str().to_string_lossy();
            let stem = text.split('.').next().unwrap_or_default();
            matches!(part, std::path::Component::Normal(_))
                && stem.len() == 32
                && stem.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        safe.then(|| {
            root.join("objects")
                .join(place.folder_of_facets())
                .join(inside)
        })
    }
}

fn file_of(root: &Path, place: &Place) -> PathBuf {
    root.join("objects")
        .join(place.stem.with_extension("sqlite"))
}

pub(crate) fn make_folder(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(|source| StoreError::Folder {
        path: path.to_owned(),
        source,
    })
}

fn remove(result: io::Result<()>, path: &Path) -> Result<(), StoreError> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError::File {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Makes a new or removed name in the folder of `file` durable.
pub(crate) fn sync_folder(file: &Path) {
    // A folder that cannot be synced (some file systems) is no worse than before.
    if let Some(folder) = file.parent().and_then(|folder| File::open(folder).ok()) {
        let _ = folder.sync_all();
    }
}

fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(StoreError::File {
                path: folder.to_owned(),
                source,
            });
        }
    };
    Ok(read
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().into_string().ok()?, entry.path()))
        })
        .collect())
}

fn bytes_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

fn weigh(folder: &Path) -> Result<(u64, usize), StoreError> {
    let mut total = (0, 0);
    for (name, path) in entries(folder)? {
        if path.is_dir() {
            let (bytes, count) = weigh(&path)?;
            total = (total.0 + bytes, total.1 + count);
        } else {
            let one = usize::from(name.ends_with(".sqlite"));
            total = (total.0 + bytes_of(&path), total.1 + one);
        }
    }
    Ok(total)
}

fn gather(
    folder: &Path,
    relative: &Path,
    files: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<(), StoreError> {
    for (name, path) in entries(folder)? {
        let relative = relative.join(&name);
        if path.is_dir() {
            gather(&path, &relative, files)?;
        } else if name.ends_with(".sqlite") {
            files.push((relative, path));
        }
    }
    Ok(())
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Folder(folder) => write!(f, "Store({})", folder.display()),
            Root::Memory(_) => f.write_str("Store(memory)"),
        }
    }
}
