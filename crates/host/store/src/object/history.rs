//! What a database was at the end of each turn: point-in-time recovery.
//!
//! Beside `<id>.sqlite` lies `<id>.history`, a log with a record for each turn that committed: its number,
//! its time and the pages that it changed, copied out of SQLite's own log (`-wal`) before SQLite writes
//! over that. What a database was at a turn is the pages of all records up to it on top of `<id>.base`.
//! A bookmark names a turn. A restore (`<id>.restore` says to which turn, until a next session begins)
//! rebuilds the file and is a turn like any other, so that it can be undone.
//!
//! The log is bounded: where it is too large, or its records too old, the oldest half is folded into the
//! base. It is synced before SQLite's log begins anew, so that the two never part for good; where they
//! did (a machine lost power), what both know is cut or caught up, and where nothing fits, the history
//! begins again at what is there.
//!
//! Invariant: after [`History::keep`] the log's last record is what the database holds.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a turn can be gone back to, as documented.
const AGE_MS_MAX: u64 = 30 * 24 * 3600 * 1000;

/// Bytes of the log, where the database is not larger than half of it.
const LOG_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Pages of a database that the first record takes in whole, instead of a base of its own.
const PAGES_INLINE: u64 = 64;

/// Pages of SQLite's log after which it is moved into the database; SQLite's own default.
pub const WAL_FRAMES_MAX: u32 = 1000;

/// The log begins with these, and the turn that the base is of.
const MAGIC: &[u8; 8] = b"mayflyH1";
const HEAD_BYTES: u64 = 16;

/// Of a record, before its pages.
const FIXED_BYTES: usize = 40;
/// Around a record: its length and checksum before it, its length again behind it.
const FRAME_BYTES: u64 = 12;

/// Bytes of one record: a turn cannot change more than the whole database, and one that changes so
/// much is not kept (the history begins again after it).
const RECORD_BYTES_MAX: u64 = 512 * 1024 * 1024;

const WAL_HEAD_BYTES: u64 = 32;
const WAL_FRAME_HEAD_BYTES: usize = 24;

/// See the file's head.
#[derive(Debug)]
pub struct History {
    database: PathBuf,
    /// The last turn that committed.
    turn: u64,
    /// Where in SQLite's log the last record ends.
    wal: WalPlace,
    log_bytes: u64,
    dirty: bool,
}

/// A place in SQLite's log; the salts change each time it begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct WalPlace {
    salts: [u8; 8],
    frames: u32,
}

/// A record without its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    turn: u64,
    time_ms: u64,
    /// The turn before it, where it is the restore that was asked for at that bookmark; else 0.
    restored_at: u64,
    wal: WalPlace,
    /// Pages of the whole database.
    pages: u32,
}

type Pages = BTreeMap<u32, Vec<u8>>;

fn beside(database: &Path, extension: &str) -> PathBuf {
    database.with_extension(extension)
}

/// Files that belong to the history of the database at `path`.
pub fn files_of(database: &Path) -> [PathBuf; 3] {
    ["history", "base", "restore"].map(|extension| beside(database, extension))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

impl History {
    /// Of the database at `path`, which is open and in no transaction. `settle_wal` moves SQLite's log
    /// into the database, all of it.
    pub fn open(path: &Path, settle_wal: impl FnOnce() -> io::Result<()>) -> io::Result<Self> {
        let mut history = Self {
            database: path.to_owned(),
            turn: 0,
            wal: WalPlace::default(),
            log_bytes: 0,
            dirty: false,
        };
        let fits = match last_turn(&beside(path, "history")) {
            Ok(Some((last, log_bytes))) => {
                history.turn = last.turn;
                history.wal = last.wal;
                history.log_bytes = log_bytes;
                history.catch_up()?
            }
            Ok(None) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !fits {
            settle_wal()?;
            history.begin()?;
        }
        Ok(history)
    }

    /// The last turn that committed.
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// Whether the log knows what SQLite's log has; takes over what it missed.
    fn catch_up(&mut self) -> io::Result<bool> {
        let Some(wal) = Wal::read(&self.database, None)? else {
            // Closed in order: all of it was kept before.
            return Ok(true);
        };
        let known = wal.commits.last().map_or(0, |commit| commit.end);
        if wal.salts != self.wal.salts {
            // It begins anew only after all before was kept, and synced.
            self.wal = WalPlace {
                salts: wal.salts,
                frames: 0,
            };
        } else if known < self.wal.frames {
            // Records of turns that the disk has not: they never were.
            return Ok(false);
        }
        for commit in wal.commits {
            if commit.end > self.wal.frames {
                self.append(commit, wal.salts, 0)?;
            }
        }
        Ok(true)
    }

    /// Begins at what the database holds now, in its file alone.
    fn begin(&mut self) -> io::Result<()> {
        self.turn += 1;
        let log = beside(&self.database, "history");
        let base = beside(&self.database, "base");
        remove(&log)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.database)?;
        let bytes = file.metadata()?.len();
        let page_bytes = page_bytes(&file)?.unwrap_or(4096);
        let count = bytes / page_bytes;
        self.wal = WalPlace::default();
        let mut pages = Pages::new();
        if count <= PAGES_INLINE {
            remove(&base)?;
            for number in 1..=count {
                let mut page = vec![0; usize::try_from(page_bytes).unwrap_or(4096)];
                file.read_exact(&mut page)?;
                pages.insert(u32::try_from(number).unwrap_or(u32::MAX), page);
            }
        } else {
            let fresh = beside(&self.database, "base-new");
            fs::copy(&self.database, &fresh)?;
            File::open(&fresh)?.sync_all()?;
            fs::rename(&fresh, &base)?;
        }
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&(self.turn - 1).to_le_bytes());
        fs::write(&log, head)?;
        self.log_bytes = HEAD_BYTES;
        let turn = Turn {
            turn: self.turn,
            time_ms: now_ms(),
            restored_at: 0,
            wal: self.wal,
            pages: u32::try_from(count).unwrap_or(u32::MAX),
        };
        self.write(&encode(&turn, &pages))
    }

    /// A turn was committed: keeps it.
    pub fn keep(&mut self) -> io::Result<()> {
        // Without a log nothing was written.
        let Some(wal) = Wal::read(&self.database, Some(self.wal))? else {
            return Ok(());
        };
        for commit in wal.commits {
            self.append(commit, wal.salts, 0)?;
        }
        Ok(())
    }

    /// Whether SQLite's log is to be moved into the database now.
    pub fn wants_checkpoint(&self) -> bool {
        self.wal.frames >= WAL_FRAMES_MAX
    }

    /// Waits for the disk, where there is anything to wait for.
    pub fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) {
            File::open(beside(&self.database, "history"))?.sync_data()?;
        }
        Ok(())
    }

    fn append(&mut self, commit: Commit, salts: [u8; 8], restored_at: u64) -> io::Result<()> {
        self.wal = WalPlace {
            salts,
            frames: commit.end,
        };
        let turn = Turn {
            turn: self.turn + 1,
            time_ms: now_ms(),
            restored_at,
            wal: self.wal,
            pages: commit.pages_total,
        };
        let record = encode(&turn, &commit.pages);
        self.turn += 1;
        self.write(&record)?;
        if self.log_bytes > LOG_BYTES_MAX {
            let database = fs::metadata(&self.database)?.len();
            if self.log_bytes > LOG_BYTES_MAX.max(database.saturating_mul(2)) {
                self.fold()?;
            }
        }
        Ok(())
    }

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        let path = beside(&self.database, "history");
        let mut log = OpenOptions::new().append(true).open(path)?;
        log.write_all(record)?;
        self.log_bytes += u64::try_from(record.len()).unwrap_or(0);
        self.dirty = true;
        Ok(())
    }

    /// Moves the older half of the log, and what is too old, into the base.
    fn fold(&mut self) -> io::Result<()> {
        let path = beside(&self.database, "history");
        let mut log = Log::open(&path)?;
        let oldest = now_ms().saturating_sub(AGE_MS_MAX);
        let base = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside(&self.database, "base"))?;
        let half = self.log_bytes / 2;
        let mut folded = None;
        // Whoever finds the base half done begins at the turn that it will be of.
        while let Some((turn, _)) = log.next(With::Nothing)? {
            if (log.at > half && turn.time_ms >= oldest) || turn.turn == self.turn {
                break;
            }
            folded = Some((turn.turn, log.at));
        }
        let Some((turn, end)) = folded else {
            return Ok(());
        };
        let head = OpenOptions::new().write(true).open(&path)?;
        head.write_all_at(&turn.to_le_bytes(), MAGIC.len() as u64)?;
        head.sync_data()?;
        let mut log = Log::open(&path)?;
        while log.at < end {
            let Some((turn, pages)) = log.next(With::Pages)? else {
                break;
            };
            apply(&base, &turn, &pages)?;
        }
        base.sync_all()?;
        let fresh = beside(&self.database, "history-new");
        let mut written = File::create(&fresh)?;
        let mut rest = File::open(&path)?;
        let mut head = vec![0; HEAD_BYTES as usize];
        rest.read_exact(&mut head)?;
        written.write_all(&head)?;
        rest.seek(SeekFrom::Start(end))?;
        io::copy(&mut rest, &mut written)?;
        written.sync_all()?;
        fs::rename(&fresh, &path)?;
        self.log_bytes = written.metadata()?.len();
        Ok(())
    }

    // ---- bookmarks

    /// The last turn at or before a time; `None` where the history does not reach back so far.
    pub fn turn_at(&self, time_ms: u64) -> io::Result<Option<u64>> {
        let mut log = Log::open(&beside(&self.database, "history"))?;
        let mut found = None;
        let reach = log.base_turn;
        while let Some((turn, _)) = log.next(With::Nothing)? {
            if turn.turn <= reach {
                continue;
            }
            if turn.time_ms > time_ms && found.is_some() {
                break;
            }
            if turn.time_ms <= time_ms {
                found = Some(turn.turn);
            }
        }
        Ok(found)
    }

    /// The last turn before the first restore that happened at `turn` or after it; `turn` itself where
    /// none did.
    pub fn undone_at(&self, turn: u64) -> io::Result<u64> {
        let mut log = Log::open(&beside(&self.database, "history"))?;
        while let Some((next, _)) = log.next(With::Nothing)? {
            if next.restored_at >= turn && next.restored_at > 0 {
                return Ok(next.restored_at);
            }
        }
        Ok(turn)
    }

    /// Whether a turn can be gone back to.
    pub fn reaches(&self, turn: u64) -> io::Result<bool> {
        let log = Log::open(&beside(&self.database, "history"))?;
        Ok(turn > log.base_turn && turn <= self.turn)
    }

    /// The next session begins at `turn`.
    pub fn ask(&self, turn: u64) -> io::Result<()> {
        let path = beside(&self.database, "restore");
        let fresh = beside(&self.database, "restore-new");
        let mut file = File::create(&fresh)?;
        file.write_all(&turn.to_le_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        crate::place::sync_folder(&path);
        Ok(())
    }
}

impl Drop for History {
    fn drop(&mut self) {
        if let Err(error) = self.sync() {
            tracing::error!(%error, "cannot sync the history of an object");
        }
    }
}

/// The turn that the next session of the database at `path` is to begin at.
pub fn asked(path: &Path) -> io::Result<Option<u64>> {
    match fs::read(beside(path, "restore")) {
        Ok(bytes) => Ok(bytes.first_chunk::<8>().map(|it| u64::from_le_bytes(*it))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the database at `path` what it was at `target`. Nobody has it open, and SQLite's log is in it.
pub fn restore(path: &Path, target: u64) -> io::Result<()> {
    let fresh = beside(path, "restored-new");
    remove(&fresh)?;
    let base = beside(path, "base");
    match fs::copy(&base, &fresh) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => drop(File::create(&fresh)?),
        Err(error) => return Err(error),
    }
    let log_path = beside(path, "history");
    let mut log = Log::open(&log_path)?;
    let file = OpenOptions::new().read(true).write(true).open(&fresh)?;
    let mut last = None;
    while let Some((turn, pages)) = log.next(With::Pages)? {
        if turn.turn <= target {
            apply(&file, &turn, &pages)?;
        }
        last = Some(turn);
    }
    file.sync_all()?;
    if let Some(last) = last {
        let (pages, total) = difference(&File::open(path)?, &file)?;
        let turn = Turn {
            turn: last.turn + 1,
            time_ms: now_ms(),
            restored_at: last.turn,
            wal: WalPlace::default(),
            pages: total,
        };
        let mut log = OpenOptions::new().append(true).open(&log_path)?;
        log.write_all(&encode(&turn, &pages))?;
        log.sync_data()?;
    }
    fs::rename(&fresh, path)?;
    crate::place::sync_folder(path);
    remove(&beside(path, "restore"))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Bytes of a page of a database, as its first page says; `None` where there is none.
fn page_bytes(file: &File) -> io::Result<Option<u64>> {
    let mut size = [0; 2];
    match file.read_exact_at(&mut size, 16) {
        Ok(()) => Ok(Some(match u16::from_be_bytes(size) {
            1 => 65_536,
            size => u64::from(size).max(512),
        })),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn apply(file: &File, turn: &Turn, pages: &Pages) -> io::Result<()> {
    let Some(page_bytes) = pages.values().next().map(Vec::len) else {
        return Ok(());
    };
    let page_bytes = page_bytes as u64;
    for (number, page) in pages {
        file.write_all_at(page, u64::from(number.saturating_sub(1)) * page_bytes)?;
    }
    file.set_len(u64::from(turn.pages) * page_bytes)
}

/// The pages that make `before` into `after`, and how many `after` has.
fn difference(before: &File, after: &File) -> io::Result<(Pages, u32)> {
    let page_bytes = page_bytes(after)?.unwrap_or(4096);
    let size = usize::try_from(page_bytes).unwrap_or(4096);
    let total = after.metadata()?.len() / page_bytes;
    let mut pages = Pages::new();
    let (mut old, mut new) = (vec![0; size], vec![0; size]);
    for index in 0..total {
        after.read_exact_at(&mut new, index * page_bytes)?;
        let known = before.read_exact_at(&mut old, index * page_bytes);
        if known.is_err() || old != new || index == 0 {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            pages.insert(number, new.clone());
        }
    }
    Ok((pages, u32::try_from(total).unwrap_or(u32::MAX)))
}

// ---- records

fn encode(turn: &Turn, pages: &Pages) -> Vec<u8> {
    let page_bytes = pages.values().next().map_or(0, Vec::len);
    let mut payload = Vec::with_capacity(FIXED_BYTES + 16 + pages.len() * (4 + page_bytes));
    payload.extend_from_slice(&turn.turn.to_le_bytes());
    payload.extend_from_slice(&turn.time_ms.to_le_bytes());
    payload.extend_from_slice(&turn.restored_at.to_le_bytes());
    payload.extend_from_slice(&turn.wal.salts);
    payload.extend_from_slice(&turn.wal.frames.to_le_bytes());
    payload.extend_from_slice(&turn.pages.to_le_bytes());
    for (number, page) in pages {
        payload.extend_from_slice(&number.to_le_bytes());
        payload.extend_from_slice(page);
    }
    // The pages are of one size, which the count of them gives back.
    payload.extend_from_slice(&u32::try_from(pages.len()).unwrap_or(u32::MAX).to_le_bytes());
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let mut record = Vec::with_capacity(payload.len() + FRAME_BYTES as usize);
    record.extend_from_slice(&length);
    record.extend_from_slice(&checksum(&payload).to_le_bytes());
    record.extend_from_slice(&payload);
    record.extend_from_slice(&length);
    record
}

fn decode(payload: &[u8], with: With) -> Option<(Turn, Pages)> {
    let number = |at: usize| -> Option<u64> {
        let bytes = payload.get(at..at + 8)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let small = |at: usize| -> Option<u32> {
        let bytes = payload.get(at..at + 4)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let turn = Turn {
        turn: number(0)?,
        time_ms: number(8)?,
        restored_at: number(16)?,
        wal: WalPlace {
            salts: *payload.get(24..32)?.first_chunk::<8>()?,
            frames: small(32)?,
        },
        pages: small(36)?,
    };
    let count = small(payload.len().checked_sub(4)?)? as usize;
    let body = payload.get(FIXED_BYTES..payload.len() - 4)?;
    let mut pages = Pages::new();
    if count > 0 && with == With::Pages {
        for entry in body.chunks_exact(body.len() / count) {
            let (number, page) = entry.split_first_chunk::<4>()?;
            pages.insert(u32::from_le_bytes(*number), page.to_vec());
        }
    }
    Some((turn, pages))
}

/// As SQLite sums its own log: fast, and any torn write changes it.
fn checksum(bytes: &[u8]) -> u32 {
    let (mut first, mut second) = (1_u32, 0_u32);
    for chunk in bytes.chunks(4) {
        let mut word = [0; 4];
        for (slot, byte) in word.iter_mut().zip(chunk) {
            *slot = *byte;
        }
        first = first
            .wrapping_add(u32::from_le_bytes(word))
            .wrapping_add(second);
        second = second.rotate_left(5).wrapping_add(first);
    }
    first ^ second
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    Nothing,
    Pages,
}

/// The log, record after record.
struct Log {
    file: io::BufReader<File>,
    base_turn: u64,
    at: u64,
    length: u64,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut head = [0; HEAD_BYTES as usize];
        file.read_exact(&mut head)?;
        let base_turn = match head
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.first_chunk::<8>())
        {
            Some(turn) => u64::from_le_bytes(*turn),
            None => return Err(io::Error::other("this is no history of a database")),
        };
        Ok(Self {
            file: io::BufReader::with_capacity(64 * 1024, file),
            base_turn,
            at: HEAD_BYTES,
            length,
        })
    }

    /// The next whole record; `None` at the end, or where the rest is torn.
    fn next(&mut self, with: With) -> io::Result<Option<(Turn, Pages)>> {
        if self.length - self.at < FRAME_BYTES {
            return Ok(None);
        }
        let mut head = [0; 8];
        self.file.read_exact(&mut head)?;
        let [a, b, c, d, rest @ ..] = head;
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        if length > RECORD_BYTES_MAX || self.at + FRAME_BYTES + length > self.length {
            return Ok(None);
        }
        let mut payload = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_exact(&mut payload)?;
        let mut tail = [0; 4];
        self.file.read_exact(&mut tail)?;
        if tail != [a, b, c, d] || checksum(&payload) != u32::from_le_bytes(rest) {
            return Ok(None);
        }
        self.at += FRAME_BYTES + length;
        Ok(decode(&payload, with))
    }
}

/// The last record of a log and its length; a torn tail is cut off.
fn last_turn(path: &Path) -> io::Result<Option<(Turn, u64)>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if let Some(turn) = record_at_end(&file, length)? {
        return Ok(Some((turn, length)));
    }
    let mut log = match Log::open(path) {
        Ok(log) => log,
        Err(_) => return Ok(None),
    };
    let mut last = None;
    while let Some((turn, _)) = log.next(With::Nothing)? {
        last = Some((turn, log.at));
    }
    if let Some((_, end)) = last {
        OpenOptions::new().write(true).open(path)?.set_len(end)?;
    }
    Ok(last)
}

fn record_at_end(file: &File, length: u64) -> io::Result<Option<Turn>> {
    if length < HEAD_BYTES + FRAME_BYTES {
        return Ok(None);
    }
    let mut tail = [0; 4];
    file.read_exact_at(&mut tail, length - 4)?;
    let bytes = u64::from(u32::from_le_bytes(tail));
    let Some(start) = length.checked_sub(FRAME_BYTES + bytes) else {
        return Ok(None);
    };
    if start < HEAD_BYTES || bytes > RECORD_BYTES_MAX {
        return Ok(None);
    }
    let mut record = vec![0; usize::try_from(8 + bytes).unwrap_or(0)];
    file.read_exact_at(&mut record, start)?;
    let (Some(head), Some(payload)) = (record.first_chunk::<8>(), record.get(8..)) else {
        return Ok(None);
    };
    let [a, b, c, d, rest @ ..] = *head;
    if [a, b, c, d] != tail || checksum(payload) != u32::from_le_bytes(rest) {
        return Ok(None);
    }
    Ok(decode(payload, With::Nothing).map(|(turn, _)| turn))
}

// ---- SQLite's log

/// What SQLite's log has, of which the format is documented and frozen.
#[derive(Debug)]
struct Wal {
    salts: [u8; 8],
    commits: Vec<Commit>,
}

/// The frames of one commit.
#[derive(Debug)]
struct Commit {
    pages: Pages,
    pages_total: u32,
    /// Frames from the beginning of the log to its end.
    end: u32,
}

impl Wal {
    /// Commits after `place`, of which there is one; where that is not given, all of them, each checked
    /// as SQLite would. `None` where there is no log.
    fn read(database: &Path, place: Option<WalPlace>) -> io::Result<Option<Self>> {
        let mut name = database.as_os_str().to_owned();
        name.push("-wal");
        let file = match File::open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        if length < WAL_HEAD_BYTES {
            return Ok(None);
        }
        let mut head = [0; WAL_HEAD_BYTES as usize];
        file.read_exact_at(&mut head, 0)?;
        let word = |bytes: &[u8], at: usize| -> u32 {
            let bytes = bytes.get(at..at + 4).and_then(|it| it.first_chunk::<4>());
            bytes.map_or(0, |it| u32::from_be_bytes(*it))
        };
        let salts = head.get(16..24).and_then(|it| it.first_chunk::<8>());
        let salts = salts.copied().unwrap_or_default();
        let page_bytes = u64::from(word(&head, 8));
        if !(512..=65_536).contains(&page_bytes) {
            return Err(io::Error::other("SQLite's log has no size of a page"));
        }
        let frame_bytes = WAL_FRAME_HEAD_BYTES as u64 + page_bytes;
        let mut index = match place {
            Some(place) if place.salts == salts => u64::from(place.frames),
            _ => 0,
        };
        let mut sum = Sum::of_head(&head);
        let mut wal = Self {
            salts,
            commits: Vec::new(),
        };
        let mut pages = Pages::new();
        let mut frame = vec![0; usize::try_from(frame_bytes).unwrap_or(0)];
        while WAL_HEAD_BYTES + (index + 1) * frame_bytes <= length {
            file.read_exact_at(&mut frame, WAL_HEAD_BYTES + index * frame_bytes)?;
            let (frame_head, page) = frame.split_at(WAL_FRAME_HEAD_BYTES);
            if frame_head.get(8..16) != Some(salts.as_slice()) {
                break;
            }
            if place.is_none() {
                sum.add(frame_head.get(..8).unwrap_or_default());
                sum.add(page);
                if !sum.is(word(frame_head, 16), word(frame_head, 20)) {
                    break;
                }
            }
            index += 1;
            pages.insert(word(frame_head, 0), page.to_vec());
            let pages_total = word(frame_head, 4);
            if pages_total > 0 {
                wal.commits.push(Commit {
                    pages: std::mem::take(&mut pages),
                    pages_total,
                    end: u32::try_from(index).unwrap_or(u32::MAX),
                });
                if place.is_some() {
                    break;
                }
            }
        }
        Ok(Some(wal))
    }
}

/// The running checksum of SQLite's log.
struct Sum {
    big_endian: bool,
    first: u32,
    second: u32,
}

impl Sum {
    fn of_head(head: &[u8; WAL_HEAD_BYTES as usize]) -> Self {
        let mut sum = Self {
            // The magic number's last bit says how words are read.
            big_endian: head[3] & 1 == 1,
            first: 0,
            second: 0,
        };
        sum.add(head.get(..24).unwrap_or_default());
        sum
    }

    fn add(&mut self, bytes: &[u8]) {
        let read = |word: [u8; 4]| match self.big_endian {
            true => u32::from_be_bytes(word),
            false => u32::from_le_bytes(word),
        };
        for pair in bytes.chunks_exact(8) {
            let [a, b, c, d, e, f, g, h] = *pair else {
                continue;
            };
            let (one, two) = (read([a, b, c, d]), read([e, f, g, h]));
            self.first = self.first.wrapping_add(one).wrapping_add(self.second);
            self.second = self.second.wrapping_add(two).wrapping_add(self.first);
        }
    }

    fn is(&self, first: u32, second: u32) -> bool {
        (self.first, self.second) == (first, second)
    }
}
