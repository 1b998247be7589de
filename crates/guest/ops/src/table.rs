//! Things that the platform holds by number.
//!
//! A number is never given twice, so a handle used after it was freed is an error and not someone
//! else's coder. The table does not know when the platform has forgotten a handle: it is told.
//!
//! Invariant: never more entries than the bound it was made with.

use std::collections::HashMap;

use mayfly_engine::data::{Data, OpError};

use crate::range_error;

#[derive(Debug)]
pub struct Table<T> {
    /// What the entries are, for messages.
    kind: &'static str,
    limit: usize,
    next: u32,
    entries: HashMap<u32, T>,
}

impl<T> Table<T> {
    pub fn new(kind: &'static str, limit: usize) -> Self {
        Self {
            kind,
            limit,
            next: 1,
            entries: HashMap::new(),
        }
    }

    /// Keeps `value`; its handle for JavaScript.
    pub fn insert(&mut self, value: T) -> Result<Data, OpError> {
        if self.entries.len() >= self.limit {
            let (kind, limit) = (self.kind, self.limit);
            return Err(range_error(format!(
                "too many {kind}: {limit} are open, which is the limit"
            )));
        }
        let handle = self.next;
        self.next = handle
            .checked_add(1)
            .ok_or_else(|| range_error(format!("no numbers are left for {}", self.kind)))?;
        self.entries.insert(handle, value);
        Ok(Data::Number(f64::from(handle)))
    }

    pub fn get(&mut self, handle: u32) -> Result<&mut T, OpError> {
        let kind = self.kind;
        self.entries
            .get_mut(&handle)
            .ok_or_else(|| OpError::type_error(format!("{handle} is not one of the {kind}")))
    }

    /// Frees a handle; freeing one twice is nothing.
    pub fn remove(&mut self, handle: u32) {
        self.entries.remove(&handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_numbers_are_not_reused() {
        let mut table = Table::new("letters", 2);
        assert_eq!(table.insert('a'), Ok(Data::Number(1.0)));
        assert_eq!(table.insert('b'), Ok(Data::Number(2.0)));
        let full = table.insert('c').unwrap_err();
        assert_eq!(full.class, "RangeError");
        assert_eq!(
            full.message,
            "too many letters: 2 are open, which is the limit"
        );
        table.remove(1);
        assert_eq!(table.insert('d'), Ok(Data::Number(3.0)));
        assert!(table.get(1).is_err());
        assert_eq!(table.get(3), Ok(&mut 'd'));
    }
}
