//! What happened, for whoever wants to know: observers on the host, tails among the Workers.
//!
//! An [`Observer`] has silent defaults, so a test or a small setup passes none. Its methods are
//! called on the hot path and must not block. A [`Trace`] is collected only for Workers that have
//! tails, and is bounded: what does not fit is counted and said.

use crate::bounds::{TRACE_BYTES_MAX, TRACE_ENTRIES_MAX};
use crate::capability::Capability;
use crate::ending::EndReason;
use crate::held::HeldEvent;
use mayfly_wire::{Failure, LogLevel, Outcome};
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One console line.
#[derive(Debug)]
pub struct LogLine<'a> {
    /// The Worker's name.
    pub worker: &'a str,
    /// The guest's pid.
    pub pid: i32,
    /// How loud.
    pub level: LogLevel,
    /// As a person reads it. From user code: not to be trusted on a terminal.
    pub text: &'a str,
}

/// One invocation that has ended.
#[derive(Debug)]
pub struct InvocationReport<'a> {
    /// The Worker's name.
    pub worker: &'a str,
    /// Export name; empty means `default`.
    pub entrypoint: &'a str,
    /// As in a trace item: `ok`, `exception`, `exceededCpu`, ...
    pub outcome: &'static str,
    /// CPU time, from the kernel.
    pub cpu: Duration,
    /// From delivery to the end of all its work.
    pub wall: Duration,
}

/// Hears what happens. Called from many threads.
pub trait Observer: Send + Sync {
    /// A Worker wrote to its console.
    fn log(&self, _line: LogLine<'_>) {}
    /// An error that nobody caught.
    fn exception(&self, _worker: &str, _failure: &Failure) {}
    /// A guest became a Worker.
    fn guest_started(&self, _worker: &str, _pid: i32) {}
    /// A guest ended.
    fn guest_ended(&self, _worker: Option<&str>, _pid: i32, _reason: &EndReason) {}
    /// An invocation ended.
    fn invocation_done(&self, _report: InvocationReport<'_>) {}
    /// A trace item was dropped because too many were under way.
    fn trace_dropped(&self, _worker: &str) {}
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

/// What tails will hear about one invocation.
pub struct Trace {
    tails: Arc<[Capability]>,
    event: Map<String, Value>,
    timestamp_ms: u64,
    logs: Vec<Value>,
    exceptions: Vec<Value>,
    bytes: usize,
    truncated: bool,
}

impl Trace {
    /// Nothing happened yet.
    pub fn new(tails: Arc<[Capability]>, event: &HeldEvent) -> Self {
        Self {
            tails,
            event: describe(event),
            timestamp_ms: now_ms(),
            logs: Vec::new(),
            exceptions: Vec::new(),
            bytes: 0,
            truncated: false,
        }
    }

    /// Who hears it.
    pub fn tails(&self) -> &Arc<[Capability]> {
        &self.tails
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        let entries = self.logs.len() + self.exceptions.len();
        if entries >= TRACE_ENTRIES_MAX || self.bytes + bytes > TRACE_BYTES_MAX {
            self.truncated = true;
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// A console line; `message` is the arguments as JSON, where the guest gave them.
    pub fn log(&mut self, level: &LogLevel, text: &str, message: &str) {
        if !self.has_room(text.len() + message.len()) {
            return;
        }
        // From a guest: only what really is a JSON array is taken as one.
        let message = serde_json::from_str::<Value>(message)
            .ok()
            .filter(Value::is_array)
            .unwrap_or_else(|| json!([text]));
        let level = match level {
            LogLevel::Debug {} => "debug",
            LogLevel::Log {} => "log",
            LogLevel::Info {} => "info",
            LogLevel::Warn {} => "warn",
            LogLevel::Error {} => "error",
        };
        self.logs
            .push(json!({"timestamp": now_ms(), "level": level, "message": message}));
    }

    /// An error that nobody caught.
    pub fn exception(&mut self, failure: &Failure) {
        let bytes = failure.name.len() + failure.message.len() + failure.stack.len();
        if !self.has_room(bytes) {
            return;
        }
        self.exceptions.push(json!({
            "timestamp": now_ms(),
            "name": failure.name,
            "message": failure.message,
            "stack": failure.stack,
        }));
    }

    /// The invocation's outcome has come.
    pub fn returned(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Response { head, .. } => {
                let response = json!({"status": head.status});
                self.event.insert("response".to_owned(), response);
            }
            Outcome::Failed { failure } => self.exception(failure),
            Outcome::Value { .. } | Outcome::Nothing { .. } | Outcome::Code { .. } => {}
        }
    }

    /// The trace items as `tail()` gets them: a JSON array of one.
    pub fn into_items(self, report: &InvocationReport<'_>) -> String {
        let entrypoint = match report.entrypoint {
            "" => Value::Null,
            name => json!(name),
        };
        let item = json!({
            "event": self.event,
            "eventTimestamp": self.timestamp_ms,
            "logs": self.logs,
            "exceptions": self.exceptions,
            "diagnosticsChannelEvents": [],
            "scriptName": report.worker,
            "entrypoint": entrypoint,
            "outcome": report.outcome,
            "executionModel": "stateless",
            "truncated": self.truncated,
            "cpuTime": report.cpu.as_millis() as u64,
            "wallTime": report.wall.as_millis() as u64,
        });
        Value::Array(vec![item]).to_string()
    }
}

fn describe(event: &HeldEvent) -> Map<String, Value> {
    let mut map = Map::new();
    match event {
        HeldEvent::Fetch { request, .. } => {
            let headers: Map<String, Value> = request
                .headers
                .iter()
                .map(|(name, value)| (name.to_lowercase(), json!(redact(name, value))))
                .collect();
            let cf = serde_json::from_str::<Value>(&request.cf).unwrap_or(Value::Null);
            let request = json!({
                "url": request.url, "method": request.method, "headers": headers, "cf": cf,
            });
            map.insert("request".to_owned(), request);
        }
        HeldEvent::Rpc { path, .. } => {
            map.insert("rpcMethod".to_owned(), json!(path.join(".")));
        }
        HeldEvent::Scheduled { time_ms, cron } => {
            map.insert("scheduledTime".to_owned(), json!(time_ms));
            map.insert("cron".to_owned(), json!(cron));
        }
        HeldEvent::Queue { queue, .. } => {
            map.insert("queue".to_owned(), json!(queue));
        }
        HeldEvent::LoadCode | HeldEvent::Tail { .. } => {}
    }
    map
}

/// Header values that a log should not keep, by the documented words in their names.
fn redact<'a>(name: &str, value: &'a str) -> &'a str {
    let name = name.to_lowercase();
    let secret = ["auth", "key", "secret", "token", "jwt", "cookie"]
        .iter()
        .any(|word| name.contains(word));
    if secret { "REDACTED" } else { value }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace")
    }
}
