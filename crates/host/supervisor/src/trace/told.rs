//! The event of an invocation as it is told: what of it a trace keeps, and its two forms in JSON.
//!
//! Invariant: whatever a guest sent, both forms are well-formed.

use super::line::is_shallow;
use crate::held::HeldEvent;
use serde::Deserialize;
use serde_json::{Value, json};

/// Characters of a method in an event that is too large.
const METHOD_CHARS_MAX: usize = 64;

/// An event, as far as it is told.
pub(super) enum Told {
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
            HeldEvent::LoadCode | HeldEvent::StartFacet => Self::Other,
        }
    }

    pub(super) fn bytes(&self) -> usize {
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
    pub(super) fn shortened(&self) -> Self {
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
    pub(super) fn item(&self, out: &mut String, status: Option<u16>) {
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
