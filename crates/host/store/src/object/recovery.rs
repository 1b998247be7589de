//! Bookmarks, and going back to one: what JavaScript sees of `history`.
//!
//! A bookmark is a turn's number, then a number that makes each text larger than those before it, then
//! what it means: the end of that turn, or (of those that `onNextSessionRestoreBookmark()` gives) the last
//! turn before the restore that follows it.
//!
//! Invariant: a restore happens where a session begins, before the session's first question.

use super::history::{self, History};
use super::{Answer, Database, Failed, Open, Where, run};
use mayfly_wire::StorageResult;
use std::io;
use std::path::PathBuf;

const IN_MEMORY: &str = "point-in-time recovery needs a state folder: this server keeps its state in memory \
     (--ephemeral)";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    End,
    Undo,
}

fn text(turn: u64, number: u64, meaning: Meaning) -> String {
    let meaning = match meaning {
        Meaning::End => 0,
        Meaning::Undo => 1,
    };
    format!("{turn:016x}-{number:016x}-{meaning}")
}

fn parse(bookmark: &str) -> Option<(u64, Meaning)> {
    let mut parts = bookmark.split('-');
    let (turn, number, meaning) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || turn.len() != 16 || number.len() != 16 {
        return None;
    }
    u64::from_str_radix(number, 16).ok()?;
    let meaning = match meaning {
        "0" => Meaning::End,
        "1" => Meaning::Undo,
        _ => return None,
    };
    Some((u64::from_str_radix(turn, 16).ok()?, meaning))
}

fn internal(what: &str, error: &io::Error) -> Failed {
    tracing::error!(%error, "cannot {what}");
    Failed::error(format!("internal error: cannot {what}"))
}

impl Database {
    fn path(&self) -> Option<PathBuf> {
        match &self.file {
            Where::Disk { path, .. } => Some(path.clone()),
            Where::Memory { .. } => None,
        }
    }

    /// Before the first write: what is there is known to the history. An object without one goes on.
    pub(super) fn begin_history(&mut self) -> Result<(), Failed> {
        let Some(path) = self.path() else {
            return Ok(());
        };
        let open = self.open()?;
        if open.history.is_some() {
            return Ok(());
        }
        let opened = History::open(&path, || open.checkpoint("TRUNCATE"));
        match opened {
            Ok(history) => open.history = Some(history),
            Err(error) => open.go_on_without_history(&error),
        }
        Ok(())
    }

    /// A turn was committed.
    pub(super) fn keep_history(&mut self) {
        let Some(open) = &mut self.open else { return };
        let Some(history) = &mut open.history else {
            return;
        };
        let kept = history
            .keep()
            .and_then(|()| match history.wants_checkpoint() {
                true => history.sync().map(|()| true),
                false => Ok(false),
            });
        let checked = match kept {
            Ok(true) => open.checkpoint("PASSIVE"),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = checked {
            open.go_on_without_history(&error);
        }
    }

    fn history(&mut self) -> Result<&History, Failed> {
        if self.path().is_none() {
            return Err(Failed::error(IN_MEMORY));
        }
        self.writing()?;
        let history = self.open()?.history.as_ref();
        history.ok_or_else(|| Failed::error("internal error: the history of this object is lost"))
    }

    /// A text that is larger than all that came before, for the end of this turn.
    pub(super) fn bookmark(&mut self) -> Answer {
        let number = self.next_bookmark()?;
        let turn = match &self.open {
            Some(Open {
                history: Some(history),
                ..
            }) => history.turn() + 1,
            _ => 0,
        };
        Ok(StorageResult::Text {
            text: text(turn, number, Meaning::End),
        })
    }

    /// The bookmark of the last turn at or before a time.
    pub(super) fn bookmark_at(&mut self, time_ms: f64) -> Answer {
        if !time_ms.is_finite() {
            return Err(Failed::type_error("getBookmarkForTime() needs a time"));
        }
        // The cast saturates.
        let time = time_ms.max(0.0) as u64;
        let turn = self.history()?.turn_at(time);
        match turn.map_err(|error| internal("read the history of an object", &error))? {
            Some(turn) => Ok(StorageResult::Text {
                text: text(turn, 0, Meaning::End),
            }),
            None => Err(Failed::error(
                "getBookmarkForTime(): the time is before what is kept of this object's history, which is \
                 30 days at most",
            )),
        }
    }

    /// The next session begins at a bookmark.
    pub(super) fn restore_next(&mut self, bookmark: &str) -> Answer {
        let Some((turn, meaning)) = parse(bookmark) else {
            return Err(Failed::error(format!(
                "onNextSessionRestoreBookmark(): \"{bookmark}\" is no bookmark"
            )));
        };
        let history = self.history()?;
        let last = history.turn();
        let asked = match meaning {
            Meaning::End => Ok(turn),
            Meaning::Undo => history.undone_at(turn),
        };
        // The turn under way has a bookmark already, and may be forgotten.
        let reaches = asked.and_then(|turn| {
            let reaches = turn == last + 1 || history.reaches(turn)?;
            if reaches {
                history.ask(turn)?;
            }
            Ok(reaches)
        });
        match reaches {
            Err(error) => Err(internal("prepare the restore of an object", &error)),
            Ok(false) => Err(Failed::error(format!(
                "onNextSessionRestoreBookmark(): the bookmark \"{bookmark}\" is not of this object, or \
                 older than what is kept of its history"
            ))),
            Ok(true) => Ok(StorageResult::Text {
                text: text(last, u64::MAX, Meaning::Undo),
            }),
        }
    }

    /// A new instance has the database: a restore that was asked for happens now.
    pub fn begin_session(&mut self) -> Result<(), Failed> {
        let Some(path) = self.path() else {
            return Ok(());
        };
        let failed = |error: io::Error| internal("restore an object", &error);
        let Some(turn) = history::asked(&path).map_err(failed)? else {
            return Ok(());
        };
        // What the log of a host that was killed has is the database's.
        self.begin_history()?;
        self.open = None;
        history::restore(&path, turn).map_err(failed)?;
        self.ringing = None;
        self.alarm_changed = true;
        Ok(())
    }
}

impl Open {
    fn checkpoint(&mut self, how: &str) -> io::Result<()> {
        let moved = self.trusted("checkpoint", |connection| {
            run(connection, &format!("PRAGMA wal_checkpoint({how})"))
        });
        moved.map_err(io::Error::other)
    }

    /// What was stored counts more than what it was before.
    fn go_on_without_history(&mut self, error: &io::Error) {
        tracing::error!(%error, "cannot keep the history of an object");
        self.history = None;
        let pages = history::WAL_FRAMES_MAX;
        let set = self.trusted("checkpoint", |connection| {
            run(connection, &format!("PRAGMA wal_autocheckpoint = {pages}"))
        });
        if let Err(error) = set {
            tracing::error!(%error, "cannot bound the log of an object");
        }
    }
}
