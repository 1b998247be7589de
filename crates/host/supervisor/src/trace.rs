//! What is told of one invocation that somebody follows: tails, `mayfly tail`, OpenTelemetry.
//!
//! A [`Trace`] is made for such invocations only, and gathers on the host's side, where neither the
//! Worker nor its end can take it back. At the end it becomes a trace item; meanwhile each event goes
//! to the streaming tails (`tail`). Everything from a guest is bounded: what exceeds the documented
//! size of a trace is left out and the trace says so.
//!
//! Invariant: whatever a guest sent, an item and an event are well-formed JSON.

use crate::bounds::{GUEST_TRACE_BYTES_MAX, SPANS_MAX, TRACE_BYTES_MAX, TRACES_BYTES_MAX};
use crate::capability::Capability;
use crate::held::HeldEvent;
use crate::hub::Hub;
use crate::observe::InvocationReport;
use crate::tail::{Must, Session};
use mayfly_wire::bounds::LOG_MESSAGE_BYTES_MAX;
use mayfly_wire::{Failure, LogLevel, Outcome};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Who hears of a Worker's invocations.
#[derive(Debug, Default)]
pub struct Tails {
    /// Once an invocation is over.
    pub buffered: Vec<Capability>,
    /// While it runs.
    pub streaming: Vec<Capability>,
}

impl Tails {
    /// Nobody does.
    pub fn is_empty(&self) -> bool {
        self.buffered.is_empty() && self.streaming.is_empty()
    }

    /// Without a Worker's own entrypoints: a tail of a Worker's is not to be told of itself.
    fn without(&self, worker: &crate::worker::Worker) -> Self {
        let others = |tails: &[Capability]| {
            let others = tails.iter().filter(|tail| match tail {
                Capability::Service(service) => !std::ptr::eq(&*service.worker, worker),
                _ => true,
            });
            others.cloned().collect()
        };
        Self {
            buffered: others(&self.buffered),
            streaming: others(&self.streaming),
        }
    }
}

/// The place of an invocation, or of a span of it, among all that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    /// What belongs together.
    pub trace_id: u128,
    /// The span.
    pub span_id: u64,
}

/// A span of an invocation, once it has ended.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its id.
    pub id: u64,
    /// The span around it.
    pub parent: u64,
    /// What it is about.
    pub name: String,
    /// Its begin.
    pub began: SystemTime,
    /// Its end.
    pub ended: SystemTime,
    /// A JSON array of `{name, value}`; may be empty.
    pub attributes: String,
}

/// What happened, for observers that want traces.
#[derive(Debug)]
pub struct TraceReport<'a> {
    /// The invocation.
    pub invocation: &'a InvocationReport<'a>,
    /// Its own span.
    pub context: SpanContext,
    /// The span that it was called from.
    pub parent: Option<u64>,
    /// When it was delivered.
    pub began: SystemTime,
    /// The event's HTTP method; empty for other events.
    pub method: &'a str,
    /// The event's URL; empty for other events.
    pub url: &'a str,
    /// Spans in it.
    pub spans: &'a [Span],
    /// The trace item, as JSON. What a log should not keep is in it.
    pub item: &'a str,
}

/// See the file's head.
pub struct Trace {
    tails: Arc<Tails>,
    /// An observer wants it too.
    observed: bool,
    /// 0 for what is told of a Worker, one more for each tail that tells of a tail.
    generation: u32,
    context: SpanContext,
    parent: Option<u64>,
    invocation_id: u128,
    worker: String,
    entrypoint: String,
    event: Arc<Told>,
    began: SystemTime,
    status: Option<u16>,
    /// Items of JSON arrays, with commas.
    logs: String,
    exceptions: String,
    diagnostics: String,
    bytes: usize,
    room: TraceRoom,
    truncated: bool,
    full: Full,
    spans_open: HashMap<u32, Span>,
    spans: Vec<Span>,
    /// Bytes of the attributes of `spans`.
    span_bytes: usize,
    sessions: Vec<Arc<Session>>,
    sequence: u64,
    last: Last,
}

/// Which kinds were said to be too many.
#[derive(Debug, Default)]
struct Full {
    logs: bool,
    exceptions: bool,
    diagnostics: bool,
}

/// What streaming tails were told last.
#[derive(Debug, PartialEq, Eq)]
enum Last {
    Event,
    Return,
    Outcome,
}

/// An event, as far as it is told.
enum Told {
    Fetch {
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        cf: String,
    },
    Rpc {
        method: String,
    },
    Scheduled {
        time_ms: f64,
        cron: String,
    },
    Queue {
        queue: String,
    },
    /// The scripts whose items a tail got.
    Tail {
        scripts: Vec<Value>,
    },
    Connect,
    Other,
}

/// What a log entry costs beside its text.
const ENTRY_BYTES: usize = 64;

/// Characters of a method in an event that is too large.
const METHOD_CHARS_MAX: usize = 64;

const LOGS_FULL: &str = "Log size limit exceeded: More than 256KB of data (across console.log statements, exception, \
     request metadata and headers) was logged during a single request. Subsequent data for this \
     request will not be recorded in logs, appear when tailing this Worker's logs, or in Tail \
     Workers.";

const EXCEPTIONS_FULL: &str = "Trace resource limit exceeded; subsequent exceptions not recorded.";

const EVENT_TOO_LARGE: &str = "Trace resource limit exceeded; could not capture event info.";

/// What an invocation's trace begins with.
pub struct Begin<'a> {
    /// Its Worker.
    pub worker: &'a crate::worker::Worker,
    /// The Worker's tails.
    pub tails: &'a Arc<Tails>,
    /// Export name; empty means `default`.
    pub entrypoint: &'a str,
    /// What is delivered.
    pub event: &'a HeldEvent,
    /// The span that the call came from.
    pub caller: Option<SpanContext>,
    /// Bytes of all traces of the guest that it is delivered to.
    pub trace_bytes: &'a Arc<AtomicU64>,
}

/// What a trace takes of the room that all traces have: of its guest's share and of the host's.
struct TraceRoom {
    hub: Arc<Hub>,
    guest: Arc<AtomicU64>,
    bytes: u64,
}

impl TraceRoom {
    fn take(&mut self, bytes: u64) -> bool {
        let all = &self.hub.counters.trace_bytes;
        let fits = self.guest.load(Ordering::Relaxed) + bytes <= GUEST_TRACE_BYTES_MAX
            && all.load(Ordering::Relaxed) + bytes <= TRACES_BYTES_MAX;
        if fits {
            self.guest.fetch_add(bytes, Ordering::Relaxed);
            all.fetch_add(bytes, Ordering::Relaxed);
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for TraceRoom {
    fn drop(&mut self) {
        self.guest.fetch_sub(self.bytes, Ordering::Relaxed);
        let all = &self.hub.counters.trace_bytes;
        all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Trace {
    /// The trace of an invocation that is about to be delivered; `None` if nobody follows it.
    pub fn begin(hub: &Arc<Hub>, begin: &Begin<'_>) -> Option<Box<Self>> {
        let generation = generation(begin.event);
        let observed = generation == 0 && hub.options.observer.wants_traces();
        if begin.tails.is_empty() && !observed {
            return None;
        }
        let tails = match generation {
            0 => begin.tails.clone(),
            // Tails may have tails, and in a circle.
            crate::bounds::TAIL_GENERATIONS_MAX.. => return None,
            _ => Arc::new(begin.tails.without(begin.worker)),
        };
        if tails.is_empty() && !observed {
            return None;
        }
        let mut trace = Box::new(Self {
            tails,
            observed,
            generation,
            context: SpanContext {
                trace_id: begin
                    .caller
                    .map_or_else(random_128, |caller| caller.trace_id),
                span_id: random_64(),
            },
            parent: begin.caller.map(|caller| caller.span_id),
            invocation_id: random_128(),
            worker: begin.worker.name.clone(),
            entrypoint: begin.entrypoint.to_owned(),
            event: Arc::new(Told::of(begin.event)),
            began: SystemTime::now(),
            status: None,
            logs: String::new(),
            exceptions: String::new(),
            diagnostics: String::new(),
            bytes: 0,
            room: TraceRoom {
                hub: hub.clone(),
                guest: begin.trace_bytes.clone(),
                bytes: 0,
            },
            truncated: false,
            full: Full::default(),
            spans_open: HashMap::new(),
            spans: Vec::new(),
            span_bytes: 0,
            sessions: Vec::new(),
            sequence: 0,
            last: Last::Event,
        });
        trace.weigh_event();
        Some(trace)
    }

    /// Where calls of `span` come from; 0 is the invocation itself.
    pub fn context_of(&self, span: u32) -> SpanContext {
        SpanContext {
            trace_id: self.context.trace_id,
            span_id: self.span_id(span),
        }
    }

    /// Who hears it at the end.
    pub fn tails(&self) -> &Arc<Tails> {
        &self.tails
    }

    /// Whether the observer wants it.
    pub fn is_observed(&self) -> bool {
        self.observed
    }

    /// See [`HeldEvent::Tail`].
    pub fn generation(&self) -> u32 {
        self.generation
    }

    fn weigh_event(&mut self) {
        let bytes = self.event.bytes();
        if bytes <= TRACE_BYTES_MAX && self.room.take(bytes as u64) {
            self.bytes += bytes;
            return;
        }
        self.event = Arc::new(self.event.shortened());
        self.truncated = true;
        let entry = log_json(
            now_ms(),
            "warn",
            &json!([EVENT_TOO_LARGE]).to_string(),
            None,
        );
        push_item(&mut self.logs, &entry);
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        let bytes = bytes + ENTRY_BYTES;
        if self.bytes + bytes > TRACE_BYTES_MAX || !self.room.take(bytes as u64) {
            self.truncated = true;
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// A console line; `message` as the guest gave it, see `ToHost::Log`.
    pub fn log(&mut self, level: &LogLevel, text: &str, message: &str) {
        let level = match level {
            LogLevel::Debug {} => "debug",
            LogLevel::Log {} => "log",
            LogLevel::Info {} => "info",
            LogLevel::Warn {} => "warn",
            LogLevel::Error {} => "error",
        };
        let line = Line::of(text, message);
        if !self.sessions.is_empty() {
            self.emit(&line.event(level), None);
        }
        if self.full.logs {
            return;
        }
        if !self.has_room(line.bytes()) {
            self.full.logs = true;
            let entry = log_json(now_ms(), "warn", &json!([LOGS_FULL]).to_string(), None);
            push_item(&mut self.logs, &entry);
            return;
        }
        push_item(&mut self.logs, &line.entry(level));
    }

    /// An error that nobody caught.
    pub fn exception(&mut self, failure: &Failure) {
        let stack = without_header(&failure.stack, &failure.name, &failure.message);
        if !self.sessions.is_empty() {
            let mut event = json!({
                "type": "exception", "name": failure.name, "message": failure.message,
            });
            if !stack.is_empty() {
                event["stack"] = json!(stack);
            }
            self.emit(&event.to_string(), None);
        }
        if self.full.exceptions {
            return;
        }
        if !self.has_room(failure.name.len() + failure.message.len() + stack.len()) {
            self.full.exceptions = true;
            let entry = exception_json("Error", EXCEPTIONS_FULL, "");
            push_item(&mut self.exceptions, &entry);
            return;
        }
        let entry = exception_json(&failure.name, &failure.message, stack);
        push_item(&mut self.exceptions, &entry);
    }

    /// A message on a diagnostics channel, in the platform's codec.
    pub fn diagnostic(&mut self, channel: &str, message: &[u8]) {
        let coded = base64(message);
        if !self.sessions.is_empty() {
            let event = json!({"type": "diagnosticChannel", "channel": channel, "message": coded});
            self.emit(&event.to_string(), None);
        }
        if self.full.diagnostics {
            return;
        }
        let (channel, coded) = if self.has_room(channel.len() + coded.len()) {
            (channel, coded)
        } else {
            self.full.diagnostics = true;
            ("workerd.LimitExceeded", String::new())
        };
        let entry = json!({"timestamp": now_ms(), "channel": channel, "message": coded});
        push_item(&mut self.diagnostics, &entry.to_string());
    }

    fn span_id(&self, number: u32) -> u64 {
        match number {
            0 => self.context.span_id,
            // Never the same for two numbers, and never the invocation's own.
            number => self.context.span_id ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    /// A span began. Numbers are the guest's; one that it uses twice begins again.
    pub fn span_open(&mut self, number: u32, parent: u32, name: String) {
        let count = self.spans_open.len() + self.spans.len();
        let bytes = (name.len() + ENTRY_BYTES) as u64;
        if number == 0 || count >= SPANS_MAX || !self.room.take(bytes) {
            self.truncated = true;
            return;
        }
        let (id, parent) = (self.span_id(number), self.span_id(parent));
        if !self.sessions.is_empty() {
            let event = json!({"type": "spanOpen", "name": name, "spanId": hex64(id)});
            self.emit(&event.to_string(), Some(parent));
        }
        let span = Span {
            id,
            parent,
            name,
            began: SystemTime::now(),
            ended: UNIX_EPOCH,
            attributes: String::new(),
        };
        self.spans_open.insert(number, span);
    }

    /// It ended.
    pub fn span_close(&mut self, number: u32, attributes: String) {
        let Some(mut span) = self.spans_open.remove(&number) else {
            return;
        };
        // From a guest: only what really is a JSON array is taken as one.
        let attributes = match serde_json::from_str::<Vec<&RawValue>>(&attributes) {
            Ok(_) => attributes,
            Err(_) => String::new(),
        };
        if !self.sessions.is_empty() {
            if !attributes.is_empty() {
                let event = format!(r#"{{"type":"attributes","info":{attributes}}}"#);
                self.emit(&event, Some(span.id));
            }
            let event = r#"{"type":"spanClose","outcome":"ok"}"#;
            self.emit(event, Some(span.id));
        }
        // Only observers get to see it later.
        let bytes = attributes.len();
        let fits = self.span_bytes + bytes <= TRACE_BYTES_MAX;
        if !self.observed || !fits || !self.room.take(bytes as u64) {
            return;
        }
        self.span_bytes += bytes;
        span.ended = SystemTime::now();
        span.attributes = attributes;
        self.spans.push(span);
    }

    /// The invocation's outcome has come.
    pub fn returned(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Response { head, .. } => {
                self.status = Some(head.status);
                let status = head.status;
                self.tell_return(&format!(
                    r#"{{"type":"return","info":{{"type":"fetch","statusCode":{status}}}}}"#
                ));
            }
            Outcome::Failed { failure } => self.exception(failure),
            Outcome::Value { .. }
            | Outcome::Nothing { .. }
            | Outcome::Code { .. }
            | Outcome::Connected { .. }
            | Outcome::Facet { .. } => {
                self.tell_return(r#"{"type":"return"}"#);
            }
        }
    }

    fn tell_return(&mut self, event: &str) {
        if self.last == Last::Event {
            self.last = Last::Return;
            self.emit_as(event, None, Must::Arrive);
        }
    }

    /// The invocation is over: tells the streaming tails and gives the trace item, as JSON.
    pub fn end(&mut self, report: &InvocationReport<'_>) -> String {
        let (cpu_ms, wall_ms) = (whole_ms(report.cpu), whole_ms(report.wall));
        if self.last != Last::Outcome {
            self.last = Last::Outcome;
            let event = json!({
                "type": "outcome", "outcome": report.outcome, "cpuTime": cpu_ms, "wallTime": wall_ms,
            });
            self.emit_as(&event.to_string(), None, Must::Arrive);
            for session in &self.sessions {
                session.ended();
            }
        }
        let mut item = String::with_capacity(512 + self.bytes);
        item.push_str(r#"{"event":"#);
        self.event.item(&mut item, self.status);
        let entrypoint = match self.entrypoint.as_str() {
            "" => String::new(),
            name => format!(r#","entrypoint":{}"#, json!(name)),
        };
        // Writing into a String does not fail.
        let _ = write!(
            item,
            concat!(
                r#","eventTimestamp":{},"logs":[{}],"exceptions":[{}],"#,
                r#""diagnosticsChannelEvents":[{}],"scriptName":{}{},"outcome":{},"#,
                r#""executionModel":"stateless","truncated":{},"cpuTime":{},"wallTime":{}}}"#
            ),
            ms(self.began),
            self.logs,
            self.exceptions,
            self.diagnostics,
            json!(self.worker),
            entrypoint,
            json!(report.outcome),
            self.truncated,
            cpu_ms,
            wall_ms,
        );
        item
    }

    /// What observers get of it.
    pub fn report<'a>(
        &'a self,
        invocation: &'a InvocationReport<'a>,
        item: &'a str,
    ) -> TraceReport<'a> {
        let (method, url) = match &*self.event {
            Told::Fetch { method, url, .. } => (method.as_str(), url.as_str()),
            Told::Rpc { method } => (method.as_str(), ""),
            _ => ("", ""),
        };
        TraceReport {
            invocation,
            context: self.context,
            parent: self.parent,
            began: self.began,
            method,
            url,
            spans: &self.spans,
            item,
        }
    }

    /// The invocation is on its way into its guest, and so will have an end: streaming tails hear of
    /// it from here on.
    pub fn delivered(&mut self) {
        if self.tails.streaming.is_empty() {
            return;
        }
        let hub = self.room.hub.clone();
        let onset = Arc::new(Onset {
            context: self.context,
            parent: self.parent,
            invocation_id: self.invocation_id,
            timestamp: now_ms(),
            worker: self.worker.clone(),
            entrypoint: self.entrypoint.clone(),
            event: self.event.clone(),
        });
        self.sequence = 1;
        for tail in &self.tails.streaming {
            if let Some(session) = Session::open(&hub, tail, &onset, self.generation + 1) {
                self.sessions.push(session);
            } else {
                hub.options.observer.trace_dropped(&self.worker);
            }
        }
        if let Told::Rpc { method } = &*self.event {
            let method = json!([{"name": "jsrpc.method", "value": method}]);
            let event = format!(r#"{{"type":"attributes","info":{method}}}"#);
            self.emit(&event, None);
        }
    }

    /// Sends an event to the streaming tails; `span` is its place, unless it is the invocation's.
    fn emit(&mut self, event: &str, span: Option<u64>) {
        self.emit_as(event, span, Must::MayBeDropped);
    }

    fn emit_as(&mut self, event: &str, span: Option<u64>, must: Must) {
        if self.sessions.is_empty() {
            return;
        }
        let span = hex64(span.unwrap_or(self.context.span_id));
        let event = self.envelope(event, Some(span));
        for session in &self.sessions {
            session.event(&event, must);
        }
    }

    fn envelope(&mut self, event: &str, span: Option<String>) -> String {
        let sequence = self.sequence;
        self.sequence += 1;
        let (trace_id, invocation_id) = (self.context.trace_id, self.invocation_id);
        envelope(trace_id, invocation_id, span, now_ms(), sequence, event)
    }
}

/// The first event of an invocation, not written out yet.
pub struct Onset {
    context: SpanContext,
    parent: Option<u64>,
    invocation_id: u128,
    timestamp: u64,
    worker: String,
    entrypoint: String,
    event: Arc<Told>,
}

impl Onset {
    /// As a tail gets it.
    pub fn event(&self) -> String {
        let entrypoint = match self.entrypoint.as_str() {
            "" => String::new(),
            name => format!(r#","entrypoint":{}"#, json!(name)),
        };
        let event = format!(
            concat!(
                r#"{{"type":"onset","executionModel":"stateless","spanId":"{}"{},"#,
                r#""scriptName":{},"scriptTags":[],"info":{}}}"#
            ),
            hex64(self.context.span_id),
            entrypoint,
            json!(self.worker),
            self.event.info(),
        );
        let (trace_id, parent) = (self.context.trace_id, self.parent.map(hex64));
        envelope(
            trace_id,
            self.invocation_id,
            parent,
            self.timestamp,
            0,
            &event,
        )
    }
}

fn envelope(
    trace_id: u128,
    invocation_id: u128,
    span: Option<String>,
    timestamp: u64,
    sequence: u64,
    event: &str,
) -> String {
    let span = span.map_or_else(String::new, |span| format!(r#","spanId":"{span}""#));
    format!(
        concat!(
            r#"{{"spanContext":{{"traceId":"{:032x}"{}}},"invocationId":"{:032x}","#,
            r#""timestamp":{},"sequence":{},"event":{}}}"#
        ),
        trace_id, span, invocation_id, timestamp, sequence, event,
    )
}

fn generation(event: &HeldEvent) -> u32 {
    match event {
        HeldEvent::Tail { generation, .. } | HeldEvent::TailStream { generation, .. } => {
            *generation
        }
        _ => 0,
    }
}

impl Told {
    fn of(event: &HeldEvent) -> Self {
        match event {
            HeldEvent::Fetch { request, .. } => Self::Fetch {
                method: request.method.clone(),
                url: request.url.clone(),
                headers: request
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_lowercase(), value.clone()))
                    .collect(),
                cf: request.cf.clone(),
            },
            HeldEvent::Rpc { path, .. } => Self::Rpc {
                method: path.join("."),
            },
            HeldEvent::Scheduled { time_ms, cron } => Self::Scheduled {
                time_ms: *time_ms,
                cron: cron.clone(),
            },
            HeldEvent::Queue { queue, .. } => Self::Queue {
                queue: queue.clone(),
            },
            HeldEvent::Tail { items, .. } => Self::Tail {
                scripts: scripts_of(items),
            },
            HeldEvent::TailStream { .. } => Self::Tail {
                scripts: Vec::new(),
            },
            HeldEvent::Connect { .. } => Self::Connect,
            HeldEvent::LoadCode
            | HeldEvent::Alarm { .. }
            | HeldEvent::StartFacet
            | HeldEvent::SocketText { .. }
            | HeldEvent::SocketBytes { .. }
            | HeldEvent::SocketClose { .. }
            | HeldEvent::SocketError { .. } => Self::Other,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Fetch {
                method,
                url,
                headers,
                cf,
            } => {
                let headers: usize = headers
                    .iter()
                    .map(|(name, value)| name.len() + value.len())
                    .sum();
                method.len() + url.len() + headers + cf.len()
            }
            _ => 0,
        }
    }

    /// What is told of an event that is too large.
    fn shortened(&self) -> Self {
        match self {
            Self::Fetch { method, .. } => Self::Fetch {
                method: method.chars().take(METHOD_CHARS_MAX).collect(),
                url: String::new(),
                headers: Vec::new(),
                cf: String::new(),
            },
            _ => Self::Other,
        }
    }

    /// As `event` of a trace item, for `platform/cloudflare/tails.ts`.
    fn item(&self, out: &mut String, status: Option<u16>) {
        let item = match self {
            Self::Fetch {
                method,
                url,
                headers,
                cf,
            } => {
                let mut item = json!({"type": "fetch", "request": {
                    "url": url, "method": method, "headers": merged(headers),
                }});
                if let Some(cf) = object(cf) {
                    item["request"]["cf"] = cf;
                }
                if let Some(status) = status {
                    item["response"] = json!({"status": status});
                }
                item
            }
            Self::Rpc { method } => json!({"type": "jsrpc", "rpcMethod": method}),
            Self::Scheduled { time_ms, cron } => {
                json!({"type": "scheduled", "scheduledTime": time_ms, "cron": cron})
            }
            Self::Queue { queue } => json!({"type": "queue", "queue": queue}),
            Self::Tail { scripts } => {
                let events = scripts.iter().map(|name| json!({"scriptName": name}));
                json!({"type": "tail", "consumedEvents": events.collect::<Vec<_>>()})
            }
            Self::Connect => json!({"type": "connect"}),
            Self::Other => json!({"type": "custom"}),
        };
        out.push_str(&item.to_string());
    }

    /// As `info` of an onset.
    fn info(&self) -> String {
        let info = match self {
            Self::Fetch {
                method,
                url,
                headers,
                cf,
            } => {
                let headers = headers
                    .iter()
                    .map(|(name, value)| json!({"name": name, "value": value}));
                let mut info = json!({
                    "type": "fetch", "method": method, "url": url,
                    "headers": headers.collect::<Vec<_>>(),
                });
                if let Some(cf) = object(cf) {
                    info["cfJson"] = cf;
                }
                info
            }
            Self::Rpc { .. } => json!({"type": "jsrpc"}),
            Self::Scheduled { time_ms, cron } => {
                json!({"type": "scheduled", "scheduledTime": time_ms, "cron": cron})
            }
            Self::Queue { queue } => json!({"type": "queue", "queueName": queue}),
            Self::Tail { scripts } => json!({"type": "trace", "traces": scripts}),
            Self::Connect => json!({"type": "connect"}),
            Self::Other => json!({"type": "custom"}),
        };
        info.to_string()
    }
}

/// A header that came several times is one, as in `Headers`.
fn merged(headers: &[(String, String)]) -> Vec<(String, String)> {
    let mut merged: Vec<(String, String)> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        match merged.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => {
                known.push_str(", ");
                known.push_str(value);
            }
            None => merged.push((name.clone(), value.clone())),
        }
    }
    merged
}

fn object(json: &str) -> Option<Value> {
    serde_json::from_str::<Value>(json)
        .ok()
        .filter(Value::is_object)
}

#[derive(Deserialize)]
struct Script {
    #[serde(rename = "scriptName")]
    name: Value,
}

/// The items are the host's own.
fn scripts_of(items: &str) -> Vec<Value> {
    let scripts: Vec<Script> = serde_json::from_str(items).unwrap_or_default();
    scripts.into_iter().map(|script| script.name).collect()
}

/// A console line's values. Of what a guest sent only well-formed JSON is taken as such.
struct Line<'a> {
    message: Message<'a>,
    errors: Option<&'a RawValue>,
}

enum Message<'a> {
    Json(&'a RawValue),
    /// It was too long and so is no JSON.
    Cut(&'a str),
    /// There are no values, only a text.
    Text(&'a str),
}

#[derive(Deserialize)]
struct WithErrors<'a> {
    #[serde(borrow)]
    m: &'a RawValue,
    #[serde(borrow)]
    e: &'a RawValue,
}

impl<'a> Line<'a> {
    fn of(text: &'a str, message: &'a str) -> Self {
        let line = |message| Self {
            message,
            errors: None,
        };
        if message.is_empty() {
            return line(Message::Text(text));
        }
        if message.starts_with('{')
            && let Ok(both) = serde_json::from_str::<WithErrors<'a>>(message)
            && is_array(both.m)
            && is_array(both.e)
        {
            return Self {
                message: Message::Json(both.m),
                errors: Some(both.e),
            };
        }
        match serde_json::from_str::<&RawValue>(message) {
            Ok(json) if is_array(json) => line(Message::Json(json)),
            // In whole characters, so that it may be up to three bytes shorter.
            _ if message.len() + 4 > LOG_MESSAGE_BYTES_MAX => line(Message::Cut(message)),
            _ => line(Message::Text(text)),
        }
    }

    fn bytes(&self) -> usize {
        let message = match &self.message {
            Message::Json(json) => json.get().len(),
            Message::Cut(text) | Message::Text(text) => text.len(),
        };
        message + self.errors.map_or(0, |errors| errors.get().len())
    }

    /// Of a trace item.
    fn entry(&self, level: &str) -> String {
        let message = match &self.message {
            Message::Json(json) => json.get().to_owned(),
            Message::Cut(text) | Message::Text(text) => json!([text]).to_string(),
        };
        log_json(now_ms(), level, &message, self.errors)
    }

    /// Of a streaming tail.
    fn event(&self, level: &str) -> String {
        let (message, cut) = match &self.message {
            Message::Json(json) => (json.get().to_owned(), ""),
            Message::Cut(text) => (json!(text).to_string(), r#","truncated":true"#),
            Message::Text(text) => (json!([text]).to_string(), ""),
        };
        let errors = errors_json(self.errors);
        format!(r#"{{"type":"log","level":"{level}","message":{message}{cut}{errors}}}"#)
    }
}

fn is_array(json: &RawValue) -> bool {
    json.get().starts_with('[')
}

fn errors_json(errors: Option<&RawValue>) -> String {
    errors.map_or_else(String::new, |errors| format!(r#","errorInfo":{errors}"#))
}

fn log_json(timestamp: u64, level: &str, message: &str, errors: Option<&RawValue>) -> String {
    let errors = errors_json(errors);
    format!(r#"{{"timestamp":{timestamp},"level":"{level}","message":{message}{errors}}}"#)
}

fn exception_json(name: &str, message: &str, stack: &str) -> String {
    let mut entry = json!({"timestamp": now_ms(), "name": name, "message": message});
    if !stack.is_empty() {
        entry["stack"] = json!(stack);
    }
    entry.to_string()
}

/// A stack begins with name and message, which stand beside it.
fn without_header<'a>(stack: &'a str, name: &str, message: &str) -> &'a str {
    let rest = match stack.strip_prefix(name) {
        Some(rest) => rest.strip_prefix(": ").unwrap_or(rest),
        None => stack,
    };
    match rest.strip_prefix(message) {
        Some(rest) => rest.strip_prefix('\n').unwrap_or(rest),
        None => rest,
    }
}

fn push_item(list: &mut String, item: &str) {
    if !list.is_empty() {
        list.push(',');
    }
    list.push_str(item);
}

fn hex64(id: u64) -> String {
    format!("{id:016x}")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (index, byte)| {
            bits | u32::from(*byte) << (16 - 8 * index)
        });
        for digit in 0..4 {
            text.push(if digit <= group.len() {
                char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63])
            } else {
                '='
            });
        }
    }
    text
}

/// Keyed afresh by the standard library; unlike every other, which is all that an id has to be.
fn random_64() -> u64 {
    RandomState::new().hash_one(SystemTime::now()).max(1)
}

fn random_128() -> u128 {
    u128::from(random_64()) << 64 | u128::from(random_64())
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn ms(time: SystemTime) -> u64 {
    whole_ms(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn now_ms() -> u64 {
    ms(SystemTime::now())
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, expect) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob\xff", "Zm9vYv8="),
        ] {
            assert_eq!(base64(bytes), expect);
        }
    }

    #[test]
    fn a_stack_loses_its_header_once() {
        let stack = "TypeError: no\nat f (main.js:1:2)";
        assert_eq!(
            without_header(stack, "TypeError", "no"),
            "at f (main.js:1:2)"
        );
        assert_eq!(without_header("at f", "Error", "no"), "at f");
        assert_eq!(without_header("Error: no", "Error", "no"), "");
    }

    #[test]
    fn a_line_is_well_formed_whatever_a_guest_says() {
        let cases = [
            ("hello", "", r#"["hello"]"#),
            ("hello", r#"["a", {"b": 1}]"#, r#"["a", {"b": 1}]"#),
            ("hello", r#"{"m":[1],"e":[null]}"#, "[1]"),
            ("hello", r#"{"m":1,"e":[null]}"#, r#"["hello"]"#),
            ("hello", r#"[1], "forged": 2"#, r#"["hello"]"#),
            ("he\"llo", "[1", r#"["he\"llo"]"#),
        ];
        for (text, message, expect) in cases {
            let line = Line::of(text, message);
            let entry: Value = serde_json::from_str(&line.entry("log")).unwrap();
            let expect: Value = serde_json::from_str(expect).unwrap();
            assert_eq!(entry["message"], expect, "{message}");
            let event: Value = serde_json::from_str(&line.event("log")).unwrap();
            assert_eq!(event["message"], expect, "{message}");
        }
    }

    #[test]
    fn a_cut_line_is_a_string_and_says_so() {
        let message = format!("[\"{}", "a".repeat(LOG_MESSAGE_BYTES_MAX - 2));
        let event: Value = serde_json::from_str(&Line::of("a", &message).event("log")).unwrap();
        assert_eq!(event["truncated"], true);
        assert_eq!(event["message"], message);
    }
}
