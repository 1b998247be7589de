//! The first event that a streaming tail gets, and the envelope that all of them come in.

use super::told::Told;
use super::{SpanContext, execution_model, hex64, object_json};
use serde_json::json;
use std::sync::Arc;

/// The first event of an invocation, not written out yet.
pub struct Onset {
    pub(super) context: SpanContext,
    pub(super) parent: Option<u64>,
    pub(super) invocation_id: u128,
    pub(super) timestamp: u64,
    pub(super) worker: String,
    pub(super) entrypoint: String,
    pub(super) object: Option<String>,
    pub(super) event: Arc<Told>,
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
                r#"{{"type":"onset","executionModel":"{}","spanId":"{}"{}{},"#,
                r#""scriptName":{},"scriptTags":[],"info":{}}}"#
            ),
            execution_model(self.object.as_deref()),
            hex64(self.context.span_id),
            entrypoint,
            object_json(self.object.as_deref()),
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

pub(super) fn envelope(
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
