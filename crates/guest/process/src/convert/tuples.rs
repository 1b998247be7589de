//! Tuples that begin with their word: events, outcomes, bodies, attachments.

use mayfly_engine::data::{Data, OpError};
use mayfly_wire::bounds::{INLINE_BODY_BYTES_MAX, PATH_SEGMENTS_MAX};
use mayfly_wire::{
    Attachment, Beside, Blob, Body, CapId, CapKind, Event, ExportId, LogValues, Outcome, Socket,
    StreamId,
};

use super::heads::check_attachments;
use super::{FromData, IntoData, Items, bounded, tuple, unexpected};

fn unknown(what: &str, word: &str) -> OpError {
    OpError::type_error(format!("\"{word}\" is not {what}"))
}

/// The streams' numbers, the one that the receiver reads first.
fn socket_data(socket: Socket) -> [Data; 2] {
    [socket.readable.into_data(), socket.writable.into_data()]
}

fn take_socket(items: &mut Items, from: usize) -> Result<Socket, OpError> {
    Ok(Socket {
        readable: items.take(from)?,
        writable: items.take(from + 1)?,
    })
}

impl IntoData for Attachment {
    fn into_data(self) -> Data {
        match self {
            Self::Cap { cap, kind } => tuple("cap", [cap.into_data(), kind.into_data()]),
            Self::Export { export } => tuple("export", [export.into_data()]),
            Self::Readable { stream } => tuple("readable", [stream.into_data()]),
            Self::Writable { stream } => tuple("writable", [stream.into_data()]),
            Self::Socket { socket } => tuple("socket", socket_data(socket)),
            Self::Bytes { bytes } => tuple("bytes", [Data::Bytes(bytes.0)]),
            Self::Held { actor, socket } => tuple("held", [actor.into_data(), socket.into_data()]),
            Self::Passed { hears, says } => tuple("passed", [hears.into_data(), says.into_data()]),
        }
    }
}

impl FromData for Attachment {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let mut items = Items::of(data)?;
        match items.word()?.as_str() {
            "cap" => Ok(Self::Cap {
                cap: items.take(1)?,
                kind: items.take(2)?,
            }),
            "export" => Ok(Self::Export {
                export: items.take(1)?,
            }),
            "readable" => Ok(Self::Readable {
                stream: items.take(1)?,
            }),
            "writable" => Ok(Self::Writable {
                stream: items.take(1)?,
            }),
            "socket" => Ok(Self::Socket {
                socket: take_socket(&mut items, 1)?,
            }),
            "bytes" => {
                let bytes: Blob = items.take(1)?;
                Ok(Self::Bytes {
                    bytes: Beside(bytes.0),
                })
            }
            "held" => Ok(Self::Held {
                actor: items.take(1)?,
                socket: items.take(2)?,
            }),
            "passed" => Ok(Self::Passed {
                hears: items.take(1)?,
                says: items.take(2)?,
            }),
            other => Err(unknown("an attachment", other)),
        }
    }
}

/// `undefined`, bytes, a stream's number and length, or `"socket"` and its streams' numbers.
impl FromData for LogValues {
    fn from_data(data: Data) -> Result<Self, OpError> {
        Ok(match data {
            Data::Undefined => Self::Text {},
            Data::List(_) => Self::Texts {
                lengths: FromData::from_data(data)?,
            },
            other => Self::Json {
                json: FromData::from_data(other)?,
            },
        })
    }
}

impl IntoData for Body {
    fn into_data(self) -> Data {
        match self {
            Self::Empty {} => Data::Undefined,
            Self::Inline { bytes } => bytes.into_data(),
            Self::Stream { stream, length } => {
                Data::List(vec![stream.into_data(), length.into_data()])
            }
            Self::Socket { socket } => tuple("socket", socket_data(socket)),
            Self::Held { actor, socket } => tuple("held", [actor.into_data(), socket.into_data()]),
            Self::Passed { hears, says } => tuple("passed", [hears.into_data(), says.into_data()]),
        }
    }
}

impl FromData for Body {
    fn from_data(data: Data) -> Result<Self, OpError> {
        match data {
            Data::Undefined => Ok(Self::Empty {}),
            Data::Bytes(bytes) => {
                bounded("an inline body", bytes.len(), INLINE_BODY_BYTES_MAX)?;
                Ok(Self::Inline { bytes: Blob(bytes) })
            }
            Data::List(items) => {
                let has_word = matches!(items.first(), Some(Data::String(_) | Data::Word(_)));
                let mut items = Items::of(Data::List(items))?;
                if has_word {
                    return match items.word()?.as_str() {
                        "socket" => Ok(Self::Socket {
                            socket: take_socket(&mut items, 1)?,
                        }),
                        "held" => Ok(Self::Held {
                            actor: items.take(1)?,
                            socket: items.take(2)?,
                        }),
                        "passed" => Ok(Self::Passed {
                            hears: items.take(1)?,
                            says: items.take(2)?,
                        }),
                        other => Err(unknown("a body", other)),
                    };
                }
                Ok(Self::Stream {
                    stream: items.take(0)?,
                    length: items.take(1)?,
                })
            }
            other => Err(unexpected("a body", &other)),
        }
    }
}

/// Bounds the names between a stub and what is called.
pub fn check_path(path: &[String]) -> Result<(), OpError> {
    bounded("a property path", path.len(), PATH_SEGMENTS_MAX)
}

/// An RPC event as three arguments, if what is attached to it is plain: its path (one of one name is that name),
/// its bytes, and what is attached. Any other event comes back as it is.
pub fn split_rpc(event: Event) -> Result<[Data; 3], Event> {
    let attached = match &event {
        Event::Rpc {
            args: Some(args), ..
        } => plain(&args.attachments),
        _ => Some(Data::Undefined),
    };
    match (event, attached) {
        (Event::Rpc { mut path, args }, Some(attached)) => {
            let path = match path.as_mut_slice() {
                [name] => Data::Name(std::mem::take(name)),
                _ => Data::List(path.into_iter().map(Data::Name).collect()),
            };
            let args = args.map_or(Data::Undefined, |args| Data::Passing(args.bytes.0));
            Ok([path, args, attached])
        }
        (event, _) => Err(event),
    }
}

/// A value as two arguments, if what is attached to it is plain. Any other outcome comes back as it is.
pub fn split_value(outcome: Outcome) -> Result<[Data; 2], Outcome> {
    match outcome {
        Outcome::Value { payload } => match plain(&payload.attachments) {
            Some(attached) => Ok([Data::Passing(payload.bytes.0), attached]),
            None => Err(Outcome::Value { payload }),
        },
        outcome => Err(outcome),
    }
}

/// Attachments that are one number each, as a flat list: a number for their kind (their place in `PLAIN_KINDS`
/// of `platform/ops.ts`), and theirs. None are `undefined`; `None` is that there are others.
fn plain(attachments: &[Attachment]) -> Option<Data> {
    if attachments.is_empty() {
        return Some(Data::Undefined);
    }
    let mut flat = Vec::with_capacity(attachments.len() * 2);
    for attachment in attachments {
        let (kind, id) = match attachment {
            Attachment::Cap { cap, kind } => {
                let place = CAP_KINDS.iter().position(|known| known == kind)?;
                (place as u32, cap.0)
            }
            Attachment::Export { export } => (EXPORT, export.0),
            Attachment::Readable { stream } => (READABLE, stream.0),
            Attachment::Writable { stream } => (WRITABLE, stream.0),
            _ => return None,
        };
        flat.extend([kind.into_data(), id.into_data()]);
    }
    Some(Data::List(flat))
}

const CAP_KINDS: [CapKind; 5] = [
    CapKind::Service {},
    CapKind::DynamicService {},
    CapKind::Object {},
    CapKind::Loader {},
    CapKind::ActorClass {},
];
const EXPORT: u32 = 5;
const READABLE: u32 = 6;
const WRITABLE: u32 = 7;

/// The other direction.
pub fn plain_attachments(flat: Data) -> Result<Vec<Attachment>, OpError> {
    if flat == Data::Undefined {
        return Ok(Vec::new());
    }
    let flat: Vec<u32> = FromData::from_data(flat)?;
    let (pairs, _) = flat.as_chunks();
    check_attachments(pairs.len())?;
    pairs
        .iter()
        .map(|&[kind, id]| {
            Ok(match kind {
                EXPORT => Attachment::Export {
                    export: ExportId(id),
                },
                READABLE => Attachment::Readable {
                    stream: StreamId(id),
                },
                WRITABLE => Attachment::Writable {
                    stream: StreamId(id),
                },
                kind => match CAP_KINDS.get(kind as usize) {
                    Some(kind) => Attachment::Cap {
                        cap: CapId(id),
                        kind: kind.clone(),
                    },
                    None => return Err(unknown("an attachment", &kind.to_string())),
                },
            })
        })
        .collect()
}

impl IntoData for Event {
    fn into_data(self) -> Data {
        match self {
            Self::Fetch { request, body } => {
                tuple("fetch", [request.into_data(), body.into_data()])
            }
            Self::Rpc { path, args } => tuple("rpc", [path.into_data(), args.into_data()]),
            Self::Scheduled { time_ms, cron } => {
                tuple("scheduled", [time_ms.into_data(), cron.into_data()])
            }
            Self::LoadCode {} => tuple("loadCode", []),
            Self::Tail { items } => tuple("tail", [items.into_data()]),
            Self::TailStream { events } => tuple("tailStream", [events.into_data()]),
            Self::Queue {
                queue,
                messages,
                batch,
            } => tuple(
                "queue",
                [queue.into_data(), messages.into_data(), batch.into_data()],
            ),
            Self::Connect {
                authority,
                secure,
                socket: Socket { readable, writable },
            } => tuple(
                "connect",
                [
                    authority.into_data(),
                    secure.into_data(),
                    readable.into_data(),
                    writable.into_data(),
                ],
            ),
            Self::Alarm {
                scheduled_ms,
                retries,
            } => tuple("alarm", [scheduled_ms.into_data(), retries.into_data()]),
            Self::StartFacet {} => tuple("startFacet", []),
            Self::Restore { args } => tuple("restore", [args.into_data()]),
            Self::SocketText { socket, text } => {
                tuple("socketText", [socket.into_data(), text.into_data()])
            }
            Self::SocketBytes { socket, bytes } => {
                tuple("socketBytes", [socket.into_data(), bytes.into_data()])
            }
            Self::SocketClose {
                socket,
                code,
                reason,
                clean,
            } => tuple(
                "socketClose",
                [
                    socket.into_data(),
                    code.into_data(),
                    reason.into_data(),
                    clean.into_data(),
                ],
            ),
            Self::SocketError { socket, failure } => {
                tuple("socketError", [socket.into_data(), failure.into_data()])
            }
        }
    }
}

impl FromData for Event {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let mut items = Items::of(data)?;
        match items.word()?.as_str() {
            "fetch" => Ok(Self::Fetch {
                request: items.take(1)?,
                body: items.take(2)?,
            }),
            "rpc" => {
                let path: Vec<String> = items.take(1)?;
                check_path(&path)?;
                Ok(Self::Rpc {
                    path,
                    args: items.take(2)?,
                })
            }
            "scheduled" => Ok(Self::Scheduled {
                time_ms: items.take(1)?,
                cron: items.take(2)?,
            }),
            "loadCode" => Ok(Self::LoadCode {}),
            "tail" => Ok(Self::Tail {
                items: items.take(1)?,
            }),
            "tailStream" => Ok(Self::TailStream {
                events: items.take(1)?,
            }),
            "queue" => Ok(Self::Queue {
                queue: items.take(1)?,
                messages: items.take(2)?,
                batch: items.take(3)?,
            }),
            "connect" => Ok(Self::Connect {
                authority: items.take(1)?,
                secure: items.take(2)?,
                socket: take_socket(&mut items, 3)?,
            }),
            "alarm" => Ok(Self::Alarm {
                scheduled_ms: items.take(1)?,
                retries: items.take(2)?,
            }),
            "startFacet" => Ok(Self::StartFacet {}),
            "restore" => Ok(Self::Restore {
                args: items.take(1)?,
            }),
            "socketText" => Ok(Self::SocketText {
                socket: items.take(1)?,
                text: items.take(2)?,
            }),
            "socketBytes" => Ok(Self::SocketBytes {
                socket: items.take(1)?,
                bytes: items.take(2)?,
            }),
            "socketClose" => Ok(Self::SocketClose {
                socket: items.take(1)?,
                code: items.take(2)?,
                reason: items.take(3)?,
                clean: items.take(4)?,
            }),
            "socketError" => Ok(Self::SocketError {
                socket: items.take(1)?,
                failure: items.take(2)?,
            }),
            other => Err(unknown("an event", other)),
        }
    }
}

impl IntoData for Outcome {
    fn into_data(self) -> Data {
        match self {
            Self::Response { head, body } => {
                tuple("response", [head.into_data(), body.into_data()])
            }
            Self::Value { payload } => tuple("value", [payload.into_data()]),
            Self::Nothing { no_retry } => tuple("nothing", [no_retry.into_data()]),
            Self::Code { code } => tuple("code", [code.into_data()]),
            Self::Failed { failure } => tuple("failed", [failure.into_data()]),
            Self::Connected { upgrade } => tuple("connected", [upgrade.into_data()]),
            Self::Facet { class, id } => tuple("facet", [class.into_data(), id.into_data()]),
            Self::Restored { target } => tuple("restored", [target.into_data()]),
        }
    }
}

impl FromData for Outcome {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let mut items = Items::of(data)?;
        match items.word()?.as_str() {
            "response" => Ok(Self::Response {
                head: items.take(1)?,
                body: items.take(2)?,
            }),
            "value" => Ok(Self::Value {
                payload: items.take(1)?,
            }),
            "nothing" => Ok(Self::Nothing {
                no_retry: items.take(1)?,
            }),
            "code" => Ok(Self::Code {
                code: items.take(1)?,
            }),
            "failed" => Ok(Self::Failed {
                failure: items.take(1)?,
            }),
            "connected" => Ok(Self::Connected {
                upgrade: items.take(1)?,
            }),
            "facet" => Ok(Self::Facet {
                class: items.take(1)?,
                id: items.take(2)?,
            }),
            "restored" => Ok(Self::Restored {
                target: items.take(1)?,
            }),
            other => Err(unknown("an outcome", other)),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use mayfly_wire::bounds::ATTACHMENTS_MAX;
    use mayfly_wire::{
        ActorId, Failure, FailureKind, Payload, Redirect, RequestHead, ResponseHead, Secure,
    };
    use std::fmt::Debug;
    use std::sync::Arc;

    /// A value becomes data and comes back as it was.
    pub fn round_trip<T: IntoData + FromData + Clone + PartialEq + Debug>(value: T) {
        let data = value.clone().into_data();
        assert_eq!(T::from_data(data), Ok(value));
    }

    /// A payload with one attachment of each kind.
    pub fn payload() -> Payload {
        let cap = |number, kind| Attachment::Cap {
            cap: CapId(number),
            kind,
        };
        Payload {
            bytes: Blob(vec![1, 2, 255]),
            attachments: vec![
                cap(2, CapKind::Service {}),
                cap(4, CapKind::DynamicService {}),
                cap(6, CapKind::Object {}),
                cap(8, CapKind::Loader {}),
                cap(10, CapKind::ActorClass {}),
                Attachment::Export {
                    export: ExportId(u32::MAX),
                },
                Attachment::Readable {
                    stream: StreamId(1),
                },
                Attachment::Writable {
                    stream: StreamId(3),
                },
                Attachment::Socket { socket: socket() },
                Attachment::Bytes {
                    bytes: Beside(vec![4; 9]),
                },
                Attachment::Held {
                    actor: ActorId(2),
                    socket: 3,
                },
            ],
        }
    }

    fn socket() -> Socket {
        Socket {
            readable: StreamId(7),
            writable: StreamId(9),
        }
    }

    fn request() -> Arc<RequestHead> {
        Arc::new(RequestHead {
            method: "GET".to_owned(),
            url: "http://x/".to_owned(),
            headers: vec![],
            redirect: Redirect::Follow {},
            cf: String::new(),
            encoded: false,
        })
    }

    #[test]
    fn plain_attachments_survive_the_round_trip() {
        let mut attachments = payload().attachments;
        assert_eq!(plain(&attachments), None);
        attachments.truncate(8);
        let flat = plain(&attachments).unwrap();
        assert_eq!(plain_attachments(flat), Ok(attachments));
        assert_eq!(plain(&[]), Some(Data::Undefined));
        assert_eq!(plain_attachments(Data::Undefined), Ok(vec![]));
        let number = |number: f64| Data::List(vec![Data::Number(number), Data::Number(1.0)]);
        assert!(plain_attachments(number(8.0)).is_err());
        assert!(plain_attachments(number(0.5)).is_err());
        assert!(plain_attachments(Data::Null).is_err());
        let many = vec![Data::Number(0.0); 2 * ATTACHMENTS_MAX + 2];
        assert!(plain_attachments(Data::List(many)).is_err());
    }

    #[test]
    fn events_survive_the_round_trip() {
        for body in [
            Body::Empty {},
            Body::Inline {
                bytes: Blob(vec![0; 100]),
            },
            Body::Stream {
                stream: StreamId(5),
                length: Some(1 << 40),
            },
            Body::Stream {
                stream: StreamId(5),
                length: None,
            },
        ] {
            round_trip(Event::Fetch {
                request: request(),
                body,
            });
        }
        round_trip(Event::Rpc {
            path: vec!["a".to_owned(), "b".to_owned()],
            args: Some(payload()),
        });
        round_trip(Event::Rpc {
            path: vec![],
            args: None,
        });
        round_trip(Event::Scheduled {
            time_ms: 1.5e12,
            cron: "* * * * *".to_owned(),
        });
        round_trip(Event::LoadCode {});
        round_trip(Event::Tail {
            items: "[]".to_owned(),
        });
        round_trip(Event::Alarm {
            scheduled_ms: 1.5e12,
            retries: 2,
        });
        round_trip(Event::StartFacet {});
        round_trip(Event::Restore {
            args: Payload::empty(),
        });
        round_trip(Event::SocketText {
            socket: 3,
            text: "said".to_owned(),
        });
        round_trip(Event::SocketBytes {
            socket: 3,
            bytes: Blob(vec![1, 255]),
        });
        round_trip(Event::SocketClose {
            socket: 3,
            code: 1006,
            reason: String::new(),
            clean: false,
        });
        round_trip(Event::SocketError {
            socket: 3,
            failure: Failure::new(FailureKind::Limit {}, "Error", "too large"),
        });
        round_trip(Event::Queue {
            queue: "q".to_owned(),
            messages: 3,
            batch: Payload::empty(),
        });
        for secure in [Secure::Off {}, Secure::On {}, Secure::Later {}] {
            round_trip(Event::Connect {
                authority: "a.example:5432".to_owned(),
                secure,
                socket: socket(),
            });
        }
    }

    #[test]
    fn outcomes_survive_the_round_trip() {
        let head = Box::new(ResponseHead {
            status: 200,
            status_text: String::new(),
            headers: vec![],
            url: String::new(),
            redirected: false,
            encoded: false,
        });
        let held = Body::Held {
            actor: ActorId(2),
            socket: 3,
        };
        let passed = Body::Passed {
            hears: StreamId(2),
            says: StreamId(4),
        };
        for body in [
            Body::Empty {},
            Body::Socket { socket: socket() },
            held,
            passed,
        ] {
            round_trip(Outcome::Response {
                head: head.clone(),
                body,
            });
        }
        for upgrade in [None, Some(CapId(8))] {
            round_trip(Outcome::Connected { upgrade });
        }
        round_trip(Outcome::Value { payload: payload() });
        round_trip(Outcome::Nothing { no_retry: true });
        round_trip(Outcome::Restored {
            target: Attachment::Export {
                export: ExportId(3),
            },
        });
        round_trip(Outcome::Facet {
            class: CapId(3),
            id: Some("id".to_owned()),
        });
        round_trip(Outcome::Failed {
            failure: Failure::new(FailureKind::Exception {}, "Error", "x"),
        });
    }

    #[test]
    fn a_body_too_large_to_be_inline_is_an_exception() {
        let data = Data::Bytes(vec![0; INLINE_BODY_BYTES_MAX + 1]);
        assert_eq!(Body::from_data(data).unwrap_err().class, "RangeError");
    }

    #[test]
    fn a_path_too_long_is_an_exception() {
        let path = Data::List(vec![Data::String("p".to_owned()); PATH_SEGMENTS_MAX + 1]);
        let data = tuple("rpc", [path, Data::Undefined]);
        assert_eq!(Event::from_data(data).unwrap_err().class, "RangeError");
    }

    #[test]
    fn an_unknown_word_is_named() {
        let error = Event::from_data(tuple("email", [])).unwrap_err();
        assert_eq!(error.message, "\"email\" is not an event");
    }
}
