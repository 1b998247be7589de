//! What becomes of rows: JSON that is written while they come, so that nothing is in memory twice.
//!
//! `{"results": [{"columns": [...], "rows": [[...]], "meta": {...}}], "bookmark": "..."}`. BLOBs are lists of
//! bytes, as D1 gives them; numbers that JSON does not have are null, as `JSON.stringify` makes them.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::Duration;

use mayfly_store::d1::{Cell, Meta, Taker};
use serde_json::json;

use super::RESULT_BYTES_MAX;

/// Writes rows.
pub struct Writing {
    json: Vec<u8>,
    bytes_max: usize,
    rows: usize,
}

/// Leaves rows out: how many queries there were, and what they did together.
#[derive(Default)]
pub struct Counting {
    count: usize,
    all: Option<Meta>,
}

impl Writing {
    pub fn new() -> Self {
        Self {
            json: b"{\"results\":[".to_vec(),
            bytes_max: RESULT_BYTES_MAX,
            rows: 0,
        }
    }

    /// All of it.
    pub fn finish(mut self, bookmark: &str) -> Vec<u8> {
        self.json.extend_from_slice(b"],\"bookmark\":");
        self.text(bookmark);
        self.json.push(b'}');
        self.json
    }

    fn text(&mut self, text: &str) {
        // Nothing fails that writes to memory.
        let _ = serde_json::to_writer(&mut self.json, text);
    }

    fn cell(&mut self, cell: Cell<'_>) -> Result<(), String> {
        match cell {
            Cell::Null => self.json.extend_from_slice(b"null"),
            Cell::Integer(number) => {
                let _ = write!(self.json, "{number}");
            }
            Cell::Real(number) => {
                let _ = serde_json::to_writer(&mut self.json, &number);
            }
            Cell::Text(text) => {
                self.check(text.len())?;
                let text: Cow<'_, str> = String::from_utf8_lossy(text);
                self.text(&text);
            }
            Cell::Blob(bytes) => {
                self.check(bytes.len().saturating_mul(2))?;
                let _ = serde_json::to_writer(&mut self.json, bytes);
            }
        }
        Ok(())
    }

    /// Whether so much more has room.
    fn check(&self, more: usize) -> Result<(), String> {
        match self.json.len().saturating_add(more) > self.bytes_max {
            true => Err(format!(
                "the result of the SQL query is larger than {} bytes: add a LIMIT",
                self.bytes_max
            )),
            false => Ok(()),
        }
    }
}

impl Taker for Writing {
    fn columns(&mut self, names: &[&str]) -> Result<(), String> {
        if self.json.last() == Some(&b'}') {
            self.json.push(b',');
        }
        self.json.extend_from_slice(b"{\"columns\":");
        let _ = serde_json::to_writer(&mut self.json, names);
        self.json.extend_from_slice(b",\"rows\":[");
        self.rows = 0;
        self.check(0)
    }

    fn row(&mut self, cells: &mut dyn Iterator<Item = Cell<'_>>) -> Result<(), String> {
        if self.rows > 0 {
            self.json.push(b',');
        }
        self.rows += 1;
        self.json.push(b'[');
        for (index, cell) in cells.enumerate() {
            if index > 0 {
                self.json.push(b',');
            }
            self.cell(cell)?;
        }
        self.json.push(b']');
        self.check(0)
    }

    fn done(&mut self, meta: &Meta) -> Result<(), String> {
        let meta = described(meta).to_string();
        self.json.extend_from_slice(b"],\"meta\":");
        self.json.extend_from_slice(meta.as_bytes());
        self.json.push(b'}');
        Ok(())
    }
}

impl Counting {
    pub fn finish(self) -> Vec<u8> {
        let meta = self.all.as_ref().map(described);
        json!({ "count": self.count, "meta": meta })
            .to_string()
            .into_bytes()
    }
}

impl Taker for Counting {
    fn columns(&mut self, _names: &[&str]) -> Result<(), String> {
        Ok(())
    }

    fn row(&mut self, _cells: &mut dyn Iterator<Item = Cell<'_>>) -> Result<(), String> {
        Ok(())
    }

    fn done(&mut self, meta: &Meta) -> Result<(), String> {
        self.count += 1;
        self.all = Some(match &self.all {
            None => *meta,
            Some(before) => together(before, meta),
        });
        Ok(())
    }
}

/// What two did, the one after the other.
fn together(first: &Meta, then: &Meta) -> Meta {
    Meta {
        duration: first.duration + then.duration,
        changes: first.changes + then.changes,
        changed_db: first.changed_db || then.changed_db,
        rows_read: first.rows_read + then.rows_read,
        rows_written: first.rows_written + then.rows_written,
        ..*then
    }
}

/// `meta`, with the documentation's names.
pub fn described(meta: &Meta) -> serde_json::Value {
    let duration = milliseconds(meta.duration);
    json!({
        "served_by": "mayfly",
        "served_by_primary": true,
        "timings": { "sql_duration_ms": duration },
        "duration": duration,
        "changes": meta.changes,
        "last_row_id": meta.last_row_id,
        "changed_db": meta.changed_db,
        "size_after": meta.size_after,
        "rows_read": meta.rows_read,
        "rows_written": meta.rows_written,
        "total_attempts": 1,
    })
}

fn milliseconds(duration: Duration) -> f64 {
    // To the microsecond: what is behind it is noise.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: Meta = Meta {
        duration: Duration::from_micros(1500),
        changes: 0,
        last_row_id: 0,
        changed_db: false,
        size_after: 4096,
        rows_read: 2,
        rows_written: 0,
    };

    fn value(json: Vec<u8>) -> serde_json::Value {
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn rows_are_json_whatever_is_in_them() {
        let mut writing = Writing::new();
        writing.columns(&["a", "\""]).unwrap();
        let rows = [
            [Cell::Null, Cell::Integer(i64::MAX)],
            [Cell::Real(f64::INFINITY), Cell::Real(1.0)],
            [Cell::Text(b"\xff\"\n"), Cell::Blob(&[0, 255])],
        ];
        for row in rows {
            writing.row(&mut row.into_iter()).unwrap();
        }
        writing.done(&META).unwrap();
        writing.columns(&[]).unwrap();
        writing.done(&META).unwrap();
        let answer = value(writing.finish("b"));
        assert_eq!(
            answer["results"][0]["rows"],
            json!([[null, i64::MAX], [null, 1.0], ["\u{fffd}\"\n", [0, 255]]])
        );
        assert_eq!(answer["results"][0]["columns"], json!(["a", "\""]));
        assert_eq!(answer["results"][0]["meta"]["duration"], 1.5);
        assert_eq!(answer["results"][1]["rows"], json!([]));
        assert_eq!(answer["bookmark"], "b");
    }

    #[test]
    fn a_result_has_a_bound() {
        let mut writing = Writing {
            bytes_max: 100,
            ..Writing::new()
        };
        writing.columns(&["a"]).unwrap();
        let long = [b'x'; 100];
        let error = writing
            .row(&mut [Cell::Text(&long)].into_iter())
            .unwrap_err();
        assert!(error.starts_with("the result of the SQL query is larger than 100 bytes"));
        assert!(
            writing
                .row(&mut [Cell::Blob(&[1; 60])].into_iter())
                .is_err()
        );
    }

    #[test]
    fn an_exec_is_counted() {
        let mut counting = Counting::default();
        for _ in 0..2 {
            counting.columns(&["a"]).unwrap();
            counting.row(&mut std::iter::empty()).unwrap();
            counting.done(&META).unwrap();
        }
        let answer = value(counting.finish());
        let meta = &answer["meta"];
        assert_eq!(answer["count"], 2);
        assert_eq!(
            (&meta["duration"], &meta["rows_read"]),
            (&json!(3.0), &json!(4))
        );
    }
}
