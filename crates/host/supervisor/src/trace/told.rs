//! The event of an invocation as it is told: what of it a trace keeps, and its two forms in JSON.
//!
//! Invariant: whatever a guest sent, both forms are well-formed.

use super::line::is_shallow;
use crate::held::HeldEvent;
use mayfly_wire::RequestHead;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Characters of a method in an event that is too large.
const METHOD_CHARS_MAX: usize = 64;

/// An event, as far as it is told.
pub(super) enum Told {
    Fetch(Arc<RequestHead>),
    /// One that is too large to be told whole.
    FetchShortened {
        method: String,
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
        messages: u32,
    },
    /// The scripts whose items a tail got.
    Tail {
        scripts: Vec<Value>,
    },
    Alarm {
        time_ms: f64,
    },
    /// Of a WebSocket that an object keeps while it is not there.
    Socket(SocketEvent),
    Connect,
    Other,
}

/// What happened to such a WebSocket.
pub(super) enum SocketEvent {
    Message,
    Close { code: u32, clean: bool },
    Error,
}

impl SocketEvent {
    /// With `key` for the word that says which it is.
    fn json(&self, key: &str) -> Value {
        match self {
            Self::Message => json!({key: "message"}),
            Self::Close { code, clean } => json!({key: "close", "code": code, "wasClean": clean}),
            Self::Error => json!({key: "error"}),
        }
    }
}

pub(super) fn generation(event: &HeldEvent) -> u32 {
    match event {
        HeldEvent::Tail { generation, .. } | HeldEvent::TailStream { generation, .. } => {
            *generation
        }
        _ => 0,
    }
}

impl Told {
    pub(super) fn of(event: &HeldEvent) -> Self {
        match event {
            HeldEvent::Fetch { request, .. } => Self::Fetch(request.clone()),
            HeldEvent::Rpc { path, .. } if path.is_empty() => Self::Rpc {
                method: "(this)".to_owned(),
            },
            HeldEvent::Rpc { path, .. } => Self::Rpc {
                method: path.join("."),
            },
            HeldEvent::Scheduled { time_ms, cron } => Self::Scheduled {
                time_ms: *time_ms,
                cron: cron.clone(),
            },
            HeldEvent::Queue {
                queue, messages, ..
            } => Self::Queue {
                queue: queue.clone(),
                messages: *messages,
            },
            HeldEvent::Tail { items, .. } => Self::Tail {
                scripts: scripts_of(items),
            },
            HeldEvent::TailStream { .. } => Self::Tail {
                scripts: Vec::new(),
            },
            HeldEvent::Connect { .. } => Self::Connect,
            HeldEvent::Alarm { scheduled_ms, .. } => Self::Alarm {
                time_ms: *scheduled_ms,
            },
            HeldEvent::SocketText { .. } | HeldEvent::SocketBytes { .. } => {
                Self::Socket(SocketEvent::Message)
            }
            HeldEvent::SocketClose { code, clean, .. } => Self::Socket(SocketEvent::Close {
                code: *code,
                clean: *clean,
            }),
            HeldEvent::SocketError { .. } => Self::Socket(SocketEvent::Error),
            HeldEvent::LoadCode | HeldEvent::StartFacet | HeldEvent::Restore { .. } => Self::Other,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Fetch(request) => {
                let headers = request.headers.iter();
                let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
                request.method.len() + request.url.len() + headers + request.cf.len()
            }
            _ => 0,
        }
    }

    /// What is told of an event that is too large.
    pub(super) fn shortened(&self) -> Self {
        match self {
            Self::Fetch(request) => Self::FetchShortened {
                method: request.method.chars().take(METHOD_CHARS_MAX).collect(),
            },
            _ => Self::Other,
        }
    }

    /// As `event` of a trace item, for `platform/cloudflare/tails.ts`.
    pub(super) fn item(&self, out: &mut String, status: Option<u16>) {
        let item = match self {
            Self::Fetch(request) => {
                let mut item = json!({"type": "fetch", "request": {
                    "url": request.url,
                    "method": request.method,
                    "headers": merged(&request.headers),
                }});
                if let Some(cf) = object(&request.cf) {
                    item["request"]["cf"] = cf;
                }
                with_status(item, status)
            }
            Self::FetchShortened { method } => {
                let item = json!({"type": "fetch", "request": {
                    "url": "", "method": method, "headers": [],
                }});
                with_status(item, status)
            }
            Self::Rpc { method } => json!({"type": "jsrpc", "rpcMethod": method}),
            Self::Scheduled { time_ms, cron } => {
                json!({"type": "scheduled", "scheduledTime": time_ms, "cron": cron})
            }
            Self::Queue { queue, messages } => {
                json!({"type": "queue", "queue": queue, "batchSize": messages})
            }
            Self::Tail { scripts } => {
                let events = scripts.iter().map(|name| json!({"scriptName": name}));
                json!({"type": "tail", "consumedEvents": events.collect::<Vec<_>>()})
            }
            Self::Alarm { time_ms } => json!({"type": "alarm", "scheduledTime": time_ms}),
            Self::Socket(event) => {
                json!({"type": "hibernatableWebSocket", "event": event.json("webSocketEventType")})
            }
            Self::Connect => json!({"type": "connect"}),
            Self::Other => json!({"type": "custom"}),
        };
        out.push_str(&item.to_string());
    }

    /// As `info` of an onset.
    pub(super) fn info(&self) -> String {
        let info = match self {
            Self::Fetch(request) => {
                let headers = request
                    .headers
                    .iter()
                    .map(|(name, value)| json!({"name": name.to_lowercase(), "value": value}));
                let mut info = json!({
                    "type": "fetch", "method": request.method, "url": request.url,
                    "headers": headers.collect::<Vec<_>>(),
                });
                if let Some(cf) = object(&request.cf) {
                    info["cfJson"] = cf;
                }
                info
            }
            Self::FetchShortened { method } => {
                json!({"type": "fetch", "method": method, "url": "", "headers": []})
            }
            Self::Rpc { .. } => json!({"type": "jsrpc"}),
            Self::Scheduled { time_ms, cron } => {
                json!({"type": "scheduled", "scheduledTime": time_ms, "cron": cron})
            }
            Self::Queue { queue, messages } => {
                json!({"type": "queue", "queueName": queue, "batchSize": messages})
            }
            Self::Tail { scripts } => json!({"type": "trace", "traces": scripts}),
            Self::Alarm { time_ms } => json!({"type": "alarm", "scheduledTime": time_ms}),
            Self::Socket(event) => {
                json!({"type": "hibernatableWebSocket", "info": event.json("type")})
            }
            Self::Connect => json!({"type": "connect"}),
            Self::Other => json!({"type": "custom"}),
        };
        info.to_string()
    }
}

fn with_status(mut item: Value, status: Option<u16>) -> Value {
    if let Some(status) = status {
        item["response"] = json!({"status": status});
    }
    item
}

/// By names in lower case; a header that came several times is one, as in `Headers`.
fn merged(headers: &[(String, String)]) -> Vec<(String, String)> {
    let mut merged: Vec<(String, String)> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let name = name.to_lowercase();
        match merged.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => {
                known.push_str(", ");
                known.push_str(value);
            }
            None => merged.push((name, value.clone())),
        }
    }
    merged
}

fn object(json: &str) -> Option<Value> {
    let shallow = is_shallow(json).then(|| serde_json::from_str::<Value>(json).ok());
    shallow.flatten().filter(Value::is_object)
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
