//! What is told of one invocation that somebody follows: tails, `mayfly tail`, OpenTelemetry.
//!
//! A [`Trace`] is made for such invocations only, and gathers on the host's side, where neither the
//! Worker nor its end can take it back. At the end it becomes a trace item; meanwhile each event goes
//! to the streaming tails (`tail`). Everything from a guest is bounded: what exceeds the documented
//! size of a trace is left out and the trace says so.
//!
//! Invariant: whatever a guest sent, an item and an event are well-formed JSON.

mod event;
mod line;
mod room;
mod told;

pub use event::{Event, events_json};

use crate::actor::Actor;
use crate::bounds::{SPANS_MAX, TRACE_BYTES_MAX};
use crate::capability::Capability;
use crate::held::HeldEvent;
use crate::hub::Hub;
use crate::observe::InvocationReport;
use crate::tail::{Must, Session};
use event::{About, What};
use line::{Line, base64, exception_json, is_shallow, push_item, without_header};
use mayfly_wire::{Failure, LogLevel, LogValues, Outcome};
use room::TraceRoom;
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use told::{Told, generation};

/// Who hears of a Worker's invocations.
#[derive(Debug, Default)]
pub struct Tails {
    /// Once an invocation is over.
    pub buffered: Vec<Capability>,
    /// While it runs.
    pub streaming: Vec<Capability>,
}

impl Tails {
    /// Whose Workers are to hear what is told before anything else that comes to them.
    pub fn new(buffered: Vec<Capability>, streaming: Vec<Capability>) -> Self {
        for tail in buffered.iter().chain(&streaming) {
            if let Capability::Service(service) = tail {
                service.worker.is_tail.store(true, Ordering::Relaxed);
            }
        }
        Self {
            buffered,
            streaming,
        }
    }

    /// Nobody does.
    pub fn is_empty(&self) -> bool {
        self.buffered.is_empty() && self.streaming.is_empty()
    }

    /// Without a Worker's own entrypoints: a tail of a Worker's is not to be told of itself.
    fn without(&self, worker: &crate::worker::Worker) -> Self {
        let others = |tails: &[Capability]| {
            let is_own = |tail: &Capability| match tail {
                Capability::Service(service) => std::ptr::eq(&*service.worker, worker),
                _ => false,
            };
            let others = tails.iter().filter(|tail| match tail {
                Capability::Restored(restored) => {
                    !restored.target().is_some_and(|tail| is_own(&tail))
                }
                tail => !is_own(tail),
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
    about: Arc<About>,
    began: SystemTime,
    status: Option<u16>,
    logs: Vec<Arc<Line>>,
    /// Items of JSON arrays, with commas.
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

/// What a log entry costs beside its text.
const ENTRY_BYTES: usize = 64;

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
    /// The Durable Object or facet that it is delivered to.
    pub actor: Option<&'a Actor>,
    /// What is delivered.
    pub event: &'a HeldEvent,
    /// The span that the call came from.
    pub caller: Option<SpanContext>,
    /// Bytes of all traces of the guest that it is delivered to.
    pub trace_bytes: &'a Arc<AtomicU64>,
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
        let mut room = TraceRoom::new(hub, begin.trace_bytes);
        let mut told = Told::of(begin.event);
        let mut bytes = told.bytes();
        let fits = bytes <= TRACE_BYTES_MAX && room.take(bytes as u64);
        let mut logs = Vec::new();
        if !fits {
            told = told.shortened();
            bytes = 0;
            logs.push(Arc::new(note(EVENT_TOO_LARGE)));
        }
        let context = SpanContext {
            trace_id: begin
                .caller
                .map_or_else(random_128, |caller| caller.trace_id),
            span_id: random_64(),
        };
        Some(Box::new(Self {
            tails,
            observed,
            generation,
            about: Arc::new(About {
                context,
                parent: begin.caller.map(|caller| caller.span_id),
                invocation_id: random_128(),
                worker: begin.worker.name.clone(),
                entrypoint: begin.entrypoint.to_owned(),
                object: begin.actor.map(Actor::traced_id),
                told,
            }),
            began: SystemTime::now(),
            status: None,
            logs,
            exceptions: String::new(),
            diagnostics: String::new(),
            bytes,
            room,
            truncated: !fits,
            full: Full::default(),
            spans_open: HashMap::new(),
            spans: Vec::new(),
            span_bytes: 0,
            sessions: Vec::new(),
            sequence: 0,
            last: Last::Event,
        }))
    }

    /// Where calls of `span` come from; 0 is the invocation itself.
    pub fn context_of(&self, span: u32) -> SpanContext {
        SpanContext {
            trace_id: self.about.context.trace_id,
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

    fn has_room(&mut self, bytes: usize) -> bool {
        let bytes = bytes + ENTRY_BYTES;
        if self.bytes + bytes > TRACE_BYTES_MAX || !self.room.take(bytes as u64) {
            self.truncated = true;
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// A console line; see `ToHost::Log`.
    pub fn log(&mut self, level: &LogLevel, text: &str, values: LogValues) {
        let level = match level {
            LogLevel::Debug {} => "debug",
            LogLevel::Log {} => "log",
            LogLevel::Info {} => "info",
            LogLevel::Warn {} => "warn",
            LogLevel::Error {} => "error",
        };
        let line = Arc::new(Line::new(level, text, values));
        if !self.sessions.is_empty() {
            self.emit(What::Line(line.clone()), None);
        }
        if self.full.logs {
            return;
        }
        if self.has_room(line.bytes()) {
            self.logs.push(line);
        } else {
            self.full.logs = true;
            self.logs.push(Arc::new(note(LOGS_FULL)));
        }
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
            self.emit(What::Json(event.to_string().into()), None);
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
            self.emit(What::Json(event.to_string().into()), None);
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
            0 => self.about.context.span_id,
            // Never the same for two numbers, and never the invocation's own.
            number => {
                self.about.context.span_id ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            }
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
            self.emit(What::Json(event.to_string().into()), Some(parent));
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
            Ok(_) if is_shallow(&attributes) => attributes,
            _ => String::new(),
        };
        if !self.sessions.is_empty() {
            if !attributes.is_empty() {
                let event = format!(r#"{{"type":"attributes","info":{attributes}}}"#);
                self.emit(What::Json(event.into()), Some(span.id));
            }
            let event = r#"{"type":"spanClose","outcome":"ok"}"#;
            self.emit(What::Json(event.into()), Some(span.id));
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

    /// Spans that nobody ended, end with the invocation.
    fn end_spans(&mut self) {
        let mut numbers: Vec<u32> = self.spans_open.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            self.span_close(number, String::new());
        }
    }

    /// The invocation's outcome has come.
    pub fn returned(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Response { head, .. } => {
                self.status = Some(head.status);
                self.tell_return(self.status);
            }
            Outcome::Failed { failure } => self.exception(failure),
            Outcome::Value { .. }
            | Outcome::Nothing { .. }
            | Outcome::Code { .. }
            | Outcome::Connected { .. }
            | Outcome::Facet { .. }
            | Outcome::Restored { .. } => self.tell_return(None),
        }
    }

    fn tell_return(&mut self, status: Option<u16>) {
        if self.last == Last::Event {
            self.last = Last::Return;
            self.emit_as(What::Return(status), None, Must::Arrive);
        }
    }

    /// The invocation is over: tells the streaming tails and gives the trace item, as JSON.
    pub fn end(&mut self, report: &InvocationReport<'_>) -> String {
        let (cpu_ms, wall_ms) = (whole_ms(report.cpu), whole_ms(report.wall));
        self.end_spans();
        if self.last != Last::Outcome {
            self.last = Last::Outcome;
            let event = json!({
                "type": "outcome", "outcome": report.outcome, "cpuTime": cpu_ms, "wallTime": wall_ms,
            });
            self.emit_as(What::Json(event.to_string().into()), None, Must::Arrive);
            for session in &self.sessions {
                session.ended();
            }
        }
        let mut item = String::with_capacity(512 + self.bytes);
        item.push_str(r#"{"event":"#);
        self.about.told.item(&mut item, self.status);
        let mut logs = String::new();
        for line in &self.logs {
            push_item(&mut logs, &line.entry());
        }
        // Writing into a String does not fail.
        let _ = write!(
            item,
            concat!(
                r#","eventTimestamp":{},"logs":[{}],"exceptions":[{}],"#,
                r#""diagnosticsChannelEvents":[{}],"scriptName":{}{}{},"outcome":{},"#,
                r#""executionModel":"{}","truncated":{},"cpuTime":{},"wallTime":{}}}"#
            ),
            ms(self.began),
            logs,
            self.exceptions,
            self.diagnostics,
            json!(self.about.worker),
            self.about.entrypoint_json(),
            object_json(self.about.object.as_deref()),
            json!(report.outcome),
            execution_model(self.about.object.as_deref()),
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
        let (method, url) = match &self.about.told {
            Told::Fetch(request) => (request.method.as_str(), request.url.as_str()),
            Told::FetchShortened { method } => (method.as_str(), ""),
            Told::Rpc { method } => (method.as_str(), ""),
            _ => ("", ""),
        };
        TraceReport {
            invocation,
            context: self.about.context,
            parent: self.about.parent,
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
        let onset = Arc::new(Event {
            about: self.about.clone(),
            span: self.about.parent,
            timestamp: now_ms(),
            sequence: 0,
            what: What::Onset,
        });
        self.sequence = 1;
        for tail in &self.tails.streaming {
            if let Some(session) = Session::open(&hub, tail, &onset, self.generation + 1) {
                self.sessions.push(session);
            } else {
                hub.options.observer.trace_dropped(&self.about.worker);
            }
        }
        if let Told::Rpc { method } = &self.about.told {
            let method = json!([{"name": "jsrpc.method", "value": method}]);
            let event = format!(r#"{{"type":"attributes","info":{method}}}"#);
            self.emit(What::Json(event.into()), None);
        }
    }

    /// Sends an event to the streaming tails; `span` is its place, unless it is the invocation's.
    fn emit(&mut self, what: What, span: Option<u64>) {
        self.emit_as(what, span, Must::MayBeDropped);
    }

    fn emit_as(&mut self, what: What, span: Option<u64>, must: Must) {
        if self.sessions.is_empty() {
            return;
        }
        let event = Arc::new(Event {
            about: self.about.clone(),
            span: span.or(Some(self.about.context.span_id)),
            timestamp: now_ms(),
            sequence: self.sequence,
            what,
        });
        self.sequence += 1;
        for session in &self.sessions {
            session.event(&event, must);
        }
    }
}

/// What a trace says of itself, as a console line.
fn note(text: &str) -> Line {
    Line::new("warn", text, LogValues::Text {})
}

/// The word for what runs.
fn execution_model(object: Option<&str>) -> &'static str {
    match object {
        Some(_) => "durableObject",
        None => "stateless",
    }
}

fn object_json(object: Option<&str>) -> String {
    object.map_or_else(String::new, |id| {
        format!(r#","durableObjectId":{}"#, json!(id))
    })
}

fn hex64(id: u64) -> String {
    format!("{id:016x}")
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
