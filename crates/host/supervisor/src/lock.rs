//! A mutex that does not know poison.
//!
//! A panic while a lock is held is a bug of ours in one guest's business; the other guests go on.
//! Order of locks, outermost first: worker, call, link, guest, then the leaves (pool, hub's maps,
//! dependents, restored stubs). Never two of one kind but a call and one that waits on its answer, and nothing
//! that drops a capability needs a lock: drops are posted as chores.

use std::fmt;
use std::sync::{MutexGuard, PoisonError, TryLockError};

/// See the file's head.
#[derive(Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// A mutex around `value`.
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Waits for the lock. Never held across an await: the guard is not `Send`.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, if nobody has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}
