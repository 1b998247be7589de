//! What is written to standard error while Workers run.
//!
//! Two voices: Mayfly's own (`tracing`, filtered by `MAYFLY_LOG`; a guest's end is told there) and
//! the Workers' console lines and errors, which are always shown. A Worker's text is not trusted: control characters are
//! shown by name, so that no line can rewrite a terminal or forge another line.
//!
//! Invariant: one event is one line in JSON form, and its fields are never read from its text.

use std::io::{IsTerminal, Write};

use mayfly_exchange::Failure;
use mayfly_supervisor::{LogLine, Observer};
use mayfly_wire::LogLevel;
use tracing_subscriber::EnvFilter;

use crate::args::LogForm;

const FILTER_VARIABLE: &str = "MAYFLY_LOG";

/// Starts logging. A filter that cannot be read is said once and replaced by the default.
pub fn start(form: LogForm) {
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|error| {
        if std::env::var_os(FILTER_VARIABLE).is_some() {
            eprintln!("mayfly: {FILTER_VARIABLE} is ignored: {error}");
        }
        EnvFilter::new("warn")
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Somebody else (a test) may have started logging in this process.
    let _ = match form {
        LogForm::Pretty => builder.with_target(false).try_init(),
        LogForm::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Prints what Workers say.
#[derive(Debug)]
pub struct Printer {
    form: LogForm,
    colour: bool,
}

impl Printer {
    /// A printer to standard error.
    pub fn new(form: LogForm) -> Self {
        Self {
            form,
            colour: std::io::stderr().is_terminal(),
        }
    }

    fn print(&self, said: &Said<'_>) {
        let line = match self.form {
            LogForm::Json => said.json(),
            LogForm::Pretty => said.pretty(self.colour),
        };
        // A closed terminal is no reason to stop serving.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

/// One event of a Worker.
struct Said<'a> {
    kind: &'static str,
    level: &'static str,
    colour: &'static str,
    worker: &'a str,
    pid: Option<i32>,
    text: &'a str,
}

impl Said<'_> {
    fn pretty(&self, colour: bool) -> String {
        let (on, off) = if colour {
            (self.colour, "\x1b[0m")
        } else {
            ("", "")
        };
        let text = visible(self.text).replace('\n', "\n    ");
        format!(
            "{on}[{}] {}{off} {text}\n",
            visible(self.worker),
            self.level
        )
    }

    fn json(&self) -> String {
        let mut line = serde_json::json!({
            "time": now_ms(),
            "kind": self.kind,
            "level": self.level,
            "worker": self.worker,
            "text": self.text,
        });
        if let Some(pid) = self.pid {
            line["pid"] = pid.into();
        }
        format!("{line}\n")
    }
}

/// Text without control characters but for line ends and tabs.
pub fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let hidden = c.is_control() && c != '\n' && c != '\t' || reorders(c);
            let shown: Vec<char> = if hidden {
                c.escape_unicode().collect()
            } else {
                vec![c]
            };
            shown
        })
        .collect()
}

/// Characters that change the order in which others are shown, or begin a line without looking like it.
fn reorders(c: char) -> bool {
    matches!(
        c,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}'
    )
}

/// Milliseconds since the epoch.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// A failure as its own program would print it.
pub fn describe(failure: &Failure) -> String {
    let first = format!("{}: {}", failure.name, failure.message);
    let stack = failure.stack.trim_end();
    match stack {
        "" => first,
        stack if stack.starts_with(&first) => stack.to_owned(),
        stack => format!("{first}\n{stack}"),
    }
}

impl Observer for Printer {
    fn log(&self, line: LogLine<'_>) {
        let (level, colour) = match line.level {
            LogLevel::Debug {} => ("debug", "\x1b[2m"),
            LogLevel::Log {} => ("log", "\x1b[36m"),
            LogLevel::Info {} => ("info", "\x1b[36m"),
            LogLevel::Warn {} => ("warn", "\x1b[33m"),
            LogLevel::Error {} => ("error", "\x1b[31m"),
        };
        self.print(&Said {
            kind: "console",
            level,
            colour,
            worker: line.worker,
            pid: Some(line.pid),
            text: line.text,
        });
    }

    fn exception(&self, worker: &str, failure: &Failure) {
        self.print(&Said {
            kind: "exception",
            level: "uncaught",
            colour: "\x1b[31m",
            worker,
            pid: None,
            text: &describe(failure),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(worker: &'a str, text: &'a str) -> Said<'a> {
        Said {
            kind: "console",
            level: "log",
            colour: "\x1b[36m",
            worker,
            pid: Some(7),
            text,
        }
    }

    #[test]
    fn a_worker_cannot_steer_the_terminal_or_forge_a_line() {
        let line = said("w", "a\x1b[2Jb\r\n[other] log forged").pretty(false);
        assert_eq!(line, "[w] log a\\u{1b}[2Jb\\u{d}\n    [other] log forged\n");
    }

    #[test]
    fn a_worker_cannot_turn_the_direction_of_writing() {
        assert_eq!(visible("a\u{202e}b\u{2066}c"), "a\\u{202e}b\\u{2066}c");
        assert_eq!(visible("שלום, 日本"), "שלום, 日本");
    }

    #[test]
    fn json_is_one_line_whatever_the_text() {
        let line = said("w", "a\n\"b\"\u{0}").json();
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["text"], "a\n\"b\"\u{0}");
        assert_eq!(value["pid"], 7);
    }
}
