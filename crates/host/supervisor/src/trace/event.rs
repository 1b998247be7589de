//! What happens in an invocation, as its streaming tails are told of it.
//!
//! An event is kept as it came and put into JSON once it is told, because it happens on a request's path
//! and is told off it.
//!
//! Invariant: whatever a guest sent, an event is told as well-formed JSON.

use super::line::Line;
use super::told::Told;
use super::{SpanContext, execution_model, hex64, object_json};
use serde_json::json;
use std::sync::Arc;

/// What is the same for all events of an invocation.
pub(super) struct About {
    pub(super) context: SpanContext,
    pub(super) parent: Option<u64>,
    pub(super) invocation_id: u128,
    pub(super) worker: String,
    /// Export name; empty means `default`.
    pub(super) entrypoint: String,
    /// Of the Durable Object, if it is one's.
    pub(super) object: Option<String>,
    /// What was delivered.
    pub(super) told: Told,
}

/// See the file's head.
#[derive(Clone)]
pub struct Event {
    pub(super) about: Arc<About>,
    /// Where it happened; `None` is around the invocation.
    pub(super) span: Option<u64>,
    /// Milliseconds since the epoch.
    pub(super) timestamp: u64,
    pub(super) sequence: u64,
    pub(super) what: What,
}

/// What happened.
#[derive(Clone)]
pub(super) enum What {
    /// The invocation began.
    Onset,
    /// A console line.
    Line(Arc<Line>),
    /// The outcome has come, of a request with its status.
    Return(Option<u16>),
    /// So many events are missing.
    Dropped(u64),
    /// Anything else, as JSON.
    Json(Arc<str>),
}

/// What an event takes beside its text, written out or not.
const EVENT_BYTES: usize = 256;

impl Event {
    /// What it takes of memory, about; not less than what it will take of a frame.
    pub fn bytes(&self) -> usize {
        EVENT_BYTES
            + match &self.what {
                What::Line(line) => line.bytes(),
                What::Json(json) => json.len(),
                What::Onset | What::Return(_) | What::Dropped(_) => 0,
            }
    }

    /// A note in the place of this event, which is told that `count` events before it are missing, and this
    /// one moved on by one.
    pub fn after_dropped(mut self, count: u64) -> [Self; 2] {
        let note = Self {
            what: What::Dropped(count),
            ..self.clone()
        };
        self.sequence += 1;
        [note, self]
    }

    /// As a tail gets it.
    pub fn json(&self) -> String {
        let span = self.span.map_or_else(String::new, |span| {
            format!(r#","spanId":"{}""#, hex64(span))
        });
        format!(
            concat!(
                r#"{{"spanContext":{{"traceId":"{:032x}"{}}},"invocationId":"{:032x}","#,
                r#""timestamp":{},"sequence":{},"event":{}}}"#
            ),
            self.about.context.trace_id,
            span,
            self.about.invocation_id,
            self.timestamp,
            self.sequence,
            self.what_json(),
        )
    }

    fn what_json(&self) -> String {
        match &self.what {
            What::Onset => self.about.onset_json(),
            What::Line(line) => line.event(),
            What::Return(Some(status)) => {
                format!(r#"{{"type":"return","info":{{"type":"fetch","statusCode":{status}}}}}"#)
            }
            What::Return(None) => r#"{"type":"return"}"#.to_owned(),
            What::Dropped(count) => format!(
                concat!(
                    r#"{{"type":"streamDiagnostic","diagnostic":"#,
                    r#"{{"diagnosticsType":"droppedEvents","count":{}}}}}"#
                ),
                count
            ),
            What::Json(json) => json.as_ref().to_owned(),
        }
    }
}

impl About {
    fn onset_json(&self) -> String {
        format!(
            concat!(
                r#"{{"type":"onset","executionModel":"{}","spanId":"{}"{}{},"#,
                r#""scriptName":{},"scriptTags":[],"info":{}}}"#
            ),
            execution_model(self.object.as_deref()),
            hex64(self.context.span_id),
            self.entrypoint_json(),
            object_json(self.object.as_deref()),
            json!(self.worker),
            self.told.info(),
        )
    }

    /// A member of an object, with its comma; the default entrypoint has none.
    pub(super) fn entrypoint_json(&self) -> String {
        match self.entrypoint.as_str() {
            "" => String::new(),
            name => format!(r#","entrypoint":{}"#, json!(name)),
        }
    }
}

/// A JSON array of them.
pub fn events_json(events: &[Arc<Event>]) -> String {
    let mut array = String::from("[");
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            array.push(',');
        }
        array.push_str(&event.json());
    }
    array.push(']');
    array
}
