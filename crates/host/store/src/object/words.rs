//! Errors of SQLite's in the words that Workers know.

use super::guard::{Guard, TOO_LONG};
use rusqlite::ErrorCode;

/// Says what went wrong; the guard may know it better than SQLite.
pub fn of(error: &rusqlite::Error, guard: Option<&Guard>) -> String {
    if let Some(reason) = guard.and_then(Guard::take_reason) {
        return reason;
    }
    match error {
        rusqlite::Error::SqliteFailure(error, message) => {
            let message = message.clone().unwrap_or_else(|| error.to_string());
            if error.code == ErrorCode::OperationInterrupted {
                return TOO_LONG.to_owned();
            }
            format!("{message}: {}", code_name(error.extended_code))
        }
        rusqlite::Error::SqlInputError {
            error, msg, offset, ..
        } => {
            let place = match *offset {
                offset if offset >= 0 => format!(" at offset {offset}"),
                _ => String::new(),
            };
            format!("{msg}{place}: {}", code_name(error.extended_code))
        }
        rusqlite::Error::Empty => "SQL code did not contain a statement.".to_owned(),
        other => other.to_string(),
    }
}

/// The name of a result code without its extension, as Workers see it.
fn code_name(extended: i32) -> &'static str {
    match extended & 0xff {
        2 => "SQLITE_INTERNAL",
        3 => "SQLITE_PERM",
        4 => "SQLITE_ABORT",
        5 => "SQLITE_BUSY",
        6 => "SQLITE_LOCKED",
        7 => "SQLITE_NOMEM",
        8 => "SQLITE_READONLY",
        9 => "SQLITE_INTERRUPT",
        10 => "SQLITE_IOERR",
        11 => "SQLITE_CORRUPT",
        12 => "SQLITE_NOTFOUND",
        13 => "SQLITE_FULL",
        14 => "SQLITE_CANTOPEN",
        17 => "SQLITE_SCHEMA",
        18 => "SQLITE_TOOBIG",
        19 => "SQLITE_CONSTRAINT",
        20 => "SQLITE_MISMATCH",
        21 => "SQLITE_MISUSE",
        23 => "SQLITE_AUTH",
        25 => "SQLITE_RANGE",
        26 => "SQLITE_NOTADB",
        _ => "SQLITE_ERROR",
    }
}
