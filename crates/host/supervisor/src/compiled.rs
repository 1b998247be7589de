//! Compiled code by what it was compiled from.
//!
//! A module that comes again need not be parsed again: what the engine's parser made of it is kept here
//! and sent along with the code. The engine trusts what it decodes, so it is never taken from a guest that
//! runs a Worker: a fresh one of the pool is given one module's source, compiles it without running any,
//! answers with the bytes and ends. They stand under a hash of exactly what it was given, so whatever a
//! source that breaks the parser makes it say reaches nobody but those who load that very source.
//!
//! The first load of a module only notes that it was seen; the second asks for the compilation and does
//! not wait for it. One is under way at a time, and only a guest that nobody waits for is taken. The CPU
//! that it takes is on the account of the Worker whose load asked.
//!
//! Invariant: bytes are found under no other name and source than those they were made from.

use crate::ending::EndReason;
use crate::hub::Hub;
use crate::lock::Mutex;
use crate::turn::Turn;
use crate::usage::Account;
use mayfly_wire::bounds::CODE_BYTES_MAX;
use mayfly_wire::{Blob, Module, ModuleKind, ToGuest};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Bytes of everything that is kept, names of modules seen once included.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of what was made of one module; more is not kept. A module of 1 MB made of small functions
/// makes seven.
const COMPILED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A source below this is parsed in the time that finding and sending its compiled form takes.
pub const SOURCE_BYTES_MIN: usize = 2 * 1024;

/// A source above this makes more than [`COMPILED_BYTES_MAX`] as a rule, and is not copied to find out.
const SOURCE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes that one `Start` may carry compiled, beside its code.
const START_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Modules that wait to be compiled. Others wait for a later load.
const QUEUE_MAX: usize = 8;

/// How long compiling one module may take. Four megabytes take half a second.
const COMPILE_MAX: Duration = Duration::from_secs(10);

/// How long to wait between two looks for a guest that nobody needs, and how often to look.
const SPARE_WAIT: Duration = Duration::from_millis(20);
const SPARE_LOOKS_MAX: u32 = 500;

/// What an entry weighs beside its bytes.
const ENTRY_BYTES: usize = 160;

const _: () = assert!(COMPILED_BYTES_MAX <= KEPT_BYTES_MAX / 4);
const _: () = assert!(START_BYTES_MAX <= CODE_BYTES_MAX);

/// Of a module's name and source. The name is in what is made of it: stacks show it.
pub type Key = [u8; 32];

/// What a module is looked up by; `None` where it is parsed anyway.
pub fn key(module: &Module) -> Option<Key> {
    let source = &module.content.0;
    let worth = (SOURCE_BYTES_MIN..=SOURCE_BYTES_MAX).contains(&source.len());
    if !worth || module.kind != (ModuleKind::Js {}) {
        return None;
    }
    let mut hash = Sha256::new();
    hash.update((module.name.len() as u64).to_le_bytes());
    hash.update(module.name.as_bytes());
    hash.update(source);
    Some(hash.finalize().into())
}

enum Entry {
    /// Loaded once.
    Seen,
    /// To be compiled, or being so.
    Awaited,
    /// Nothing came of it.
    Refused,
    Made(Arc<[u8]>),
}

impl Entry {
    fn weight(&self) -> usize {
        match self {
            Self::Made(bytes) => bytes.len() + ENTRY_BYTES,
            Self::Seen | Self::Awaited | Self::Refused => ENTRY_BYTES,
        }
    }
}

#[derive(Default)]
struct Kept {
    entries: HashMap<Key, (Entry, u64)>,
    /// By when they were last asked for.
    order: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
}

/// What a look finds.
enum Found {
    Made(Arc<[u8]>),
    /// It is worth compiling, and awaited from now on.
    Wanted,
    Nothing,
}

impl Kept {
    fn look(&mut self, key: &Key) -> Found {
        self.clock += 1;
        let Some((entry, asked)) = self.entries.get_mut(key) else {
            self.put(*key, Entry::Seen);
            return Found::Nothing;
        };
        self.order.remove(asked);
        *asked = self.clock;
        self.order.insert(self.clock, *key);
        match entry {
            Entry::Made(bytes) => Found::Made(bytes.clone()),
            Entry::Seen => {
                *entry = Entry::Awaited;
                Found::Wanted
            }
            Entry::Awaited | Entry::Refused => Found::Nothing,
        }
    }

    fn put(&mut self, key: Key, entry: Entry) {
        self.clock += 1;
        self.bytes += entry.weight();
        self.order.insert(self.clock, key);
        if let Some((old, asked)) = self.entries.insert(key, (entry, self.clock)) {
            self.bytes -= old.weight();
            self.order.remove(&asked);
        }
        while self.bytes > KEPT_BYTES_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            if let Some((old, _)) = self.entries.remove(&oldest) {
                self.bytes -= old.weight();
            }
        }
    }
}

/// A module on its way to be compiled.
pub(crate) struct Job {
    key: Key,
    name: String,
    source: Blob,
    /// Of the Worker whose load asked for it.
    account: Arc<Account>,
}

/// See the file's head.
pub(crate) struct Compiled {
    kept: Mutex<Kept>,
    jobs: mpsc::Sender<Job>,
    /// Modules that were sent compiled.
    pub sent: AtomicU64,
}

impl Compiled {
    /// Nothing yet, and the jobs for [`run`].
    pub(crate) fn new() -> (Self, mpsc::Receiver<Job>) {
        let (jobs, receiver) = mpsc::channel(QUEUE_MAX);
        let compiled = Self {
            kept: Mutex::default(),
            jobs,
            sent: AtomicU64::new(0),
        };
        (compiled, receiver)
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }

    /// What is there of a Worker's modules, by their places. `keys` are theirs; what is to be compiled is
    /// on `account`.
    pub(crate) fn of(
        &self,
        modules: &[Module],
        keys: &[Option<Key>],
        code_bytes: usize,
        account: &Arc<Account>,
    ) -> Vec<(u32, Arc<[u8]>)> {
        let mut found = Vec::new();
        let mut room = START_BYTES_MAX.min(CODE_BYTES_MAX.saturating_sub(code_bytes));
        for (place, (module, key)) in modules.iter().zip(keys).enumerate() {
            let Some(key) = key else { continue };
            let look = self.kept.lock().look(key);
            match look {
                Found::Made(bytes) if bytes.len() <= room => {
                    room -= bytes.len();
                    found.extend(u32::try_from(place).ok().map(|place| (place, bytes)));
                }
                Found::Wanted => self.want(module, key, account),
                Found::Made(_) | Found::Nothing => {}
            }
        }
        self.sent.fetch_add(found.len() as u64, Ordering::Relaxed);
        found
    }

    fn want(&self, module: &Module, key: &Key, account: &Arc<Account>) {
        match self.jobs.try_reserve() {
            Ok(place) => place.send(Job {
                key: *key,
                name: module.name.clone(),
                source: module.content.clone(),
                account: account.clone(),
            }),
            // The next load asks again.
            Err(_) => self.kept.lock().put(*key, Entry::Seen),
        }
    }
}

/// Compiles what is wanted, one after the other, until the hub is gone.
pub(crate) async fn run(hub: Arc<Hub>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.recv().await {
        let key = job.key;
        let entry = compile(&hub, job).await;
        hub.compiled.kept.lock().put(key, entry);
    }
}

async fn compile(hub: &Arc<Hub>, job: Job) -> Entry {
    let mut looks = 0;
    let guest = loop {
        if let Some(guest) = hub.pool.take_spare() {
            break guest;
        }
        looks += 1;
        if looks > SPARE_LOOKS_MAX {
            // There is more to do than there are guests; a later load asks again.
            return Entry::Seen;
        }
        tokio::time::sleep(SPARE_WAIT).await;
    };
    let (answer, answered) = oneshot::channel();
    guest.bill(job.account);
    guest.lock().compiling = Some(answer);
    let frame = ToGuest::Compile {
        name: job.name,
        source: job.source,
    };
    guest.send(&mut Turn::new(), &frame);
    drop(frame);
    let bytes = match tokio::time::timeout(COMPILE_MAX, answered).await {
        Ok(Ok(Blob(bytes))) => bytes,
        // It ended without a word, or takes too long.
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    guest.end(&mut Turn::new(), EndReason::Released);
    if bytes.is_empty() || bytes.len() > COMPILED_BYTES_MAX {
        return Entry::Refused;
    }
    Entry::Made(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Meter;

    fn module(name: &str, fill: u8) -> Module {
        Module {
            name: name.to_owned(),
            kind: ModuleKind::Js {},
            content: Blob(vec![fill; SOURCE_BYTES_MIN]),
        }
    }

    #[test]
    fn a_key_is_of_the_name_and_the_source() {
        let one = key(&module("a", 1));
        assert!(one.is_some());
        assert_eq!(one, key(&module("a", 1)));
        assert_ne!(one, key(&module("a", 2)));
        assert_ne!(one, key(&module("b", 1)));
        // A byte that moves from the name to the source is another module.
        let mut moved = module("", 1);
        moved.content.0.insert(0, b'a');
        assert_ne!(one, key(&moved));
        let text = Module {
            kind: ModuleKind::Text {},
            ..module("a", 1)
        };
        assert_eq!(key(&text), None);
        let small = Module {
            content: Blob(vec![1; SOURCE_BYTES_MIN - 1]),
            ..module("a", 1)
        };
        assert_eq!(key(&small), None);
    }

    #[test]
    fn the_second_look_wants_and_only_that() {
        let mut kept = Kept::default();
        let key = [7; 32];
        assert!(matches!(kept.look(&key), Found::Nothing));
        assert!(matches!(kept.look(&key), Found::Wanted));
        assert!(matches!(kept.look(&key), Found::Nothing));
        kept.put(key, Entry::Made(Arc::from([1, 2])));
        assert!(matches!(kept.look(&key), Found::Made(bytes) if *bytes == [1, 2]));
        assert!(matches!(kept.look(&[8; 32]), Found::Nothing));
        kept.put(key, Entry::Refused);
        assert!(matches!(kept.look(&key), Found::Nothing));
    }

    #[test]
    fn what_was_not_asked_for_longest_goes_first() {
        let mut kept = Kept::default();
        let large: Arc<[u8]> = vec![0; COMPILED_BYTES_MAX].into();
        for name in 0..3 {
            kept.put([name; 32], Entry::Made(large.clone()));
        }
        assert!(matches!(kept.look(&[0; 32]), Found::Made(_)));
        kept.put([3; 32], Entry::Made(large.clone()));
        assert!(kept.bytes <= KEPT_BYTES_MAX);
        assert!(matches!(kept.look(&[0; 32]), Found::Made(_)));
        assert!(!kept.entries.contains_key(&[1; 32]));
        assert_eq!(kept.entries.len(), kept.order.len());
        let weight: usize = kept.entries.values().map(|(entry, _)| entry.weight()).sum();
        assert_eq!(kept.bytes, weight);
    }

    #[test]
    fn a_full_queue_is_asked_again_later() {
        let (compiled, mut jobs) = Compiled::new();
        let account = Meter::new(true).account(&Arc::from("front"), "");
        let modules: Vec<Module> = (0..=QUEUE_MAX)
            .map(|number| module(&number.to_string(), 1))
            .collect();
        let keys: Vec<_> = modules.iter().map(key).collect();
        for _ in 0..2 {
            assert!(compiled.of(&modules, &keys, 0, &account).is_empty());
        }
        for _ in 0..QUEUE_MAX {
            assert!(jobs.try_recv().is_ok());
        }
        assert!(jobs.try_recv().is_err());
        assert!(compiled.of(&modules, &keys, 0, &account).is_empty());
        assert_eq!(jobs.try_recv().unwrap().name, QUEUE_MAX.to_string());
        assert!(jobs.try_recv().is_err());
    }
}
