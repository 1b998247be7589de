//! The ops that send frames (`interface Wire` of `platform/ops.ts`), and the one that sets the clock.
//!
//! One row each; the conversions are in `convert`. An op only appends to the output: the loop sends
//! when the turn is over.

use mayfly_engine::data::{Args, Buffers, Data, OpDecl, OpError, OpResult};
use mayfly_sandbox::fork::exit_now;
use mayfly_wire::bounds::{CHUNK_BYTES_MAX, LOG_BYTES_MAX, LOG_MESSAGE_BYTES_MAX, SPAN_BYTES_MAX};
use mayfly_wire::{
    Blob, Event, Failure, FailureKind, LogValues, Outcome, Payload, StreamId, ToHost,
};

use crate::convert::{
    FromData, IntoData, check_code, check_message, check_path, plain_attachments,
};
use crate::exit;
use crate::state::GuestState;

/// What a cut log line ends with.
const CUT: &str = " [cut]";

/// Every op of this crate.
pub fn declarations() -> Vec<OpDecl<GuestState>> {
    vec![
        OpDecl {
            object: "ops",
            buffers: Buffers::Copied,
            name: "timeWake",
            function: |state, args| {
                state.wake_in(args.number(0)?);
                Ok(Data::Undefined)
            },
        },
        wire("started", |state, args| {
            state.frame(ToHost::Started {
                entrypoints: args.at(0)?,
            })
        }),
        wire("startFailed", |state, args| {
            state.frame(ToHost::StartFailed {
                failure: args.at(0)?,
            })
        }),
        wire("call", |state, args| {
            state.frame(ToHost::Call {
                call: args.at(0)?,
                cap: args.at(1)?,
                event: args.at(2)?,
                result: args.at(3)?,
            })
        }),
        wire("callRpc", |state, args| {
            let result = args.at(6)?;
            let frame = ToHost::Call {
                call: args.at(0)?,
                cap: args.at(1)?,
                event: Event::Rpc {
                    path: path(args.take(2))?,
                    args: match args.take(3) {
                        Data::Undefined => None,
                        bytes => Some(plain_payload(bytes, args.take(5))?),
                    },
                },
                result,
            };
            if result.is_some() {
                return state.frame(frame);
            }
            state.queue_call(frame)?;
            Ok(Data::Undefined)
        }),
        wire("callResult", |state, args| {
            Ok(Data::Bool(state.result_of_queued(args.at(0)?, args.at(1)?)))
        }),
        wire("acting", |state, args| {
            state.frame(ToHost::Acting { call: args.at(0)? })
        }),
        wire("cancel", |state, args| {
            state.frame(ToHost::Cancel {
                call: args.at(0)?,
                reason: args.at(1)?,
            })
        }),
        wire("return", |state, args| {
            let outcome: Outcome = args.at(1)?;
            if let Outcome::Code { code } = &outcome {
                check_code(code)?;
            }
            state.frame(ToHost::Return {
                call: args.at(0)?,
                outcome,
            })
        }),
        wire("returnValue", |state, args| {
            let call = args.at(0)?;
            let payload = plain_payload(args.take(1), args.take(4))?;
            state.frame(ToHost::Return {
                call,
                outcome: Outcome::Value { payload },
            })?;
            if args.bool(3)? {
                state.frame(ToHost::Done { call })?;
            }
            Ok(Data::Undefined)
        }),
        wire("done", |state, args| {
            state.frame(ToHost::Done { call: args.at(0)? })
        }),
        wire("load", |state, args| {
            let code = args.at(2)?;
            check_code(&code)?;
            state.frame(ToHost::Load {
                worker: args.at(0)?,
                loader: args.at(1)?,
                code: Box::new(code),
            })
        }),
        wire("get", |state, args| {
            state.frame(ToHost::Get {
                worker: args.at(0)?,
                loader: args.at(1)?,
                id: args.at(2)?,
                callback: args.at(3)?,
            })
        }),
        wire("getEntrypoint", |state, args| {
            state.frame(ToHost::GetEntrypoint {
                service: args.at(0)?,
                worker: args.at(1)?,
                name: args.at(2)?,
                props: args.at(3)?,
                limits: args.at(4)?,
            })
        }),
        wire("getSelf", |state, args| {
            state.frame(ToHost::GetSelf {
                service: args.at(0)?,
                name: args.at(1)?,
                props: args.at(2)?,
            })
        }),
        wire("releaseCap", |state, args| {
            state.frame(ToHost::ReleaseCap { cap: args.at(0)? })
        }),
        wire("dupCap", |state, args| {
            state.frame(ToHost::DupCap {
                cap: args.at(0)?,
                copy: args.at(1)?,
            })
        }),
        wire("streamData", stream_data),
        wire("streamEnd", |state, args| {
            state.frame(ToHost::StreamEnd {
                stream: args.at(0)?,
            })
        }),
        wire("streamAbort", |state, args| {
            state.frame(ToHost::StreamAbort {
                stream: args.at(0)?,
                failure: args.at(1)?,
            })
        }),
        wire("streamCredit", |state, args| {
            state.frame(ToHost::StreamCredit {
                stream: args.at(0)?,
                bytes: args.at(1)?,
            })
        }),
        wire("streamCancel", |state, args| {
            state.frame(ToHost::StreamCancel {
                stream: args.at(0)?,
                reason: args.at(1)?,
            })
        }),
        wire("streamRead", |state, args| {
            state.frame(ToHost::StreamRead {
                stream: args.at(0)?,
            })
        }),
        wire("streamJoin", |state, args| {
            state.frame(ToHost::StreamJoin {
                from: args.at(0)?,
                to: args.at(1)?,
            })
        }),
        wire("log", |state, args| {
            state.frame(ToHost::Log {
                call: args.at(0)?,
                level: args.at(1)?,
                text: cut(args.at(2)?),
                values: match args.at(3)? {
                    LogValues::Json { json } => LogValues::Json {
                        json: shortened(json, LOG_MESSAGE_BYTES_MAX),
                    },
                    values => values,
                },
            })
        }),
        wire("exception", |state, args| {
            state.frame(ToHost::Exception {
                call: args.at(0)?,
                failure: args.at(1)?,
            })
        }),
        wire("tailMore", |state, args| {
            state.frame(ToHost::TailMore { call: args.at(0)? })
        }),
        wire("spanOpen", |state, args| {
            state.frame(ToHost::SpanOpen {
                call: args.at(0)?,
                span: args.at(1)?,
                parent: args.at(2)?,
                name: shortened(args.at(3)?, SPAN_BYTES_MAX),
            })
        }),
        wire("spanClose", |state, args| {
            state.frame(ToHost::SpanClose {
                call: args.at(0)?,
                span: args.at(1)?,
                attributes: whole_or_nothing(args.at(2)?),
            })
        }),
        wire("diagnostic", |state, args| {
            let (call, channel) = (args.at(0)?, shortened(args.at(1)?, SPAN_BYTES_MAX));
            let message: Blob = args.at(2)?;
            // One that was cut would be no value.
            if message.0.len() > LOG_MESSAGE_BYTES_MAX {
                return Ok(Data::Undefined);
            }
            state.frame(ToHost::Diagnostic {
                call,
                channel,
                message,
            })
        }),
        wire("callFrom", |state, args| {
            state.frame(ToHost::CallFrom {
                made: args.at(0)?,
                call: args.at(1)?,
                span: args.at(2)?,
            })
        }),
        wire("traceHold", |state, args| {
            state.frame(ToHost::TraceHold { call: args.at(0)? })
        }),
        wire("traceEnd", |state, args| {
            state.frame(ToHost::TraceEnd { call: args.at(0)? })
        }),
        wire("storage", |state, args| {
            let actor = args.at(0)?;
            let request = args.at(1)?;
            Ok(state.ask_storage(actor, request)?.into_data())
        }),
        wire("actorBroken", |state, args| {
            state.frame(ToHost::ActorBroken {
                actor: args.at(0)?,
                failure: args.at(1)?,
            })
        }),
        wire("getActor", |state, args| {
            state.frame(ToHost::GetActor {
                stub: args.at(0)?,
                namespace: args.at(1)?,
                id: args.at(2)?,
                name: args.at(3)?,
            })
        }),
        wire("getCaches", |state, args| {
            state.frame(ToHost::GetCaches {
                caches: args.at(0)?,
            })
        }),
        wire("getClass", |state, args| {
            state.frame(ToHost::GetClass {
                class: args.at(0)?,
                worker: args.at(1)?,
                name: args.at(2)?,
                props: args.at(3)?,
            })
        }),
        wire("getSelfClass", |state, args| {
            state.frame(ToHost::GetSelfClass {
                class: args.at(0)?,
                name: args.at(1)?,
                props: args.at(2)?,
            })
        }),
        wire("getFacet", |state, args| {
            state.frame(ToHost::GetFacet {
                stub: args.at(0)?,
                actor: args.at(1)?,
                name: args.at(2)?,
                start: args.at(3)?,
            })
        }),
        wire("restored", |state, args| {
            state.frame(ToHost::Restored {
                slot: args.at(0)?,
                call: args.at(1)?,
                actor: args.at(2)?,
                entrypoint: args.at(3)?,
                props: args.at(4)?,
                args: args.at(5)?,
                target: args.at(6)?,
            })
        }),
        wire("abortFacet", |state, args| {
            state.frame(ToHost::AbortFacet {
                actor: args.at(0)?,
                name: args.at(1)?,
                failure: args.at(2)?,
            })
        }),
        wire("deleteFacet", |state, args| {
            state.frame(ToHost::DeleteFacet {
                actor: args.at(0)?,
                name: args.at(1)?,
            })
        }),
        wire("socketSay", |state, args| {
            state.frame(ToHost::SocketSay {
                actor: args.at(0)?,
                socket: args.at(1)?,
                parcels: args.at(2)?,
                last: args.at(3)?,
            })
        }),
        wire("openSocket", |state, args| {
            state.frame(ToHost::OpenSocket {
                actor: args.at(0)?,
                socket: args.at(1)?,
                hears: args.at(2)?,
                says: args.at(3)?,
            })
        }),
        wire("abort", |state, args| {
            let failure = Failure::new(FailureKind::Exception {}, "Error", cut(args.at(0)?));
            state.send_queued();
            state.send(&ToHost::Exception {
                call: None,
                failure,
            })?;
            state.output.flush_all();
            exit_now(exit::ABORTED)
        }),
    ]
}

fn wire(
    name: &'static str,
    function: fn(&mut GuestState, &mut Args) -> OpResult,
) -> OpDecl<GuestState> {
    OpDecl {
        object: "wire",
        buffers: match name {
            // Buffers that go beside a message were made for it.
            "call" | "return" => Buffers::Taken,
            // The bytes are the start of a page that is written again.
            "callRpc" | "returnValue" => Buffers::Counted,
            _ => Buffers::Copied,
        },
        name,
        function,
    }
}

/// A chunk may be longer than a frame may carry; the reader sees bytes, not chunks.
fn stream_data(state: &mut GuestState, args: &mut Args) -> OpResult {
    let stream: StreamId = args.at(0)?;
    let bytes = args.bytes(1)?;
    if bytes.len() <= CHUNK_BYTES_MAX {
        return state.frame(ToHost::StreamData {
            stream,
            bytes: Blob(bytes),
        });
    }
    for chunk in bytes.chunks(CHUNK_BYTES_MAX) {
        let bytes = Blob(chunk.to_vec());
        state.frame(ToHost::StreamData { stream, bytes })?;
    }
    Ok(Data::Undefined)
}

/// A path of one name is that name.
fn path(data: Data) -> Result<Vec<String>, OpError> {
    let path = match data {
        Data::String(name) => vec![name],
        data => FromData::from_data(data)?,
    };
    check_path(&path)?;
    Ok(path)
}

/// A message of bytes, to which nothing but plain attachments belongs.
fn plain_payload(bytes: Data, attached: Data) -> Result<Payload, OpError> {
    let bytes = Blob::from_data(bytes)?;
    check_message(&bytes)?;
    Ok(Payload {
        bytes,
        attachments: plain_attachments(attached)?,
    })
}

fn cut(mut text: String) -> String {
    if text.len() > LOG_BYTES_MAX {
        text.truncate(text.floor_char_boundary(LOG_BYTES_MAX - CUT.len()));
        text.push_str(CUT);
    }
    text
}

/// At most so many bytes, in whole characters.
fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
    text
}

/// JSON that was cut is none.
fn whole_or_nothing(json: String) -> String {
    if json.len() > SPAN_BYTES_MAX {
        String::new()
    } else {
        json
    }
}

trait Typed {
    /// The argument at `index`, converted; the error says which it was.
    fn at<T: FromData>(&mut self, index: usize) -> Result<T, OpError>;
}

impl Typed for Args {
    fn at<T: FromData>(&mut self, index: usize) -> Result<T, OpError> {
        T::from_data(self.take(index)).map_err(|error| OpError {
            class: error.class,
            message: format!("argument {index}: {}", error.message),
        })
    }
}

impl GuestState {
    fn frame(&mut self, mut frame: ToHost) -> OpResult {
        let beside = frame.take_beside();
        self.send_message(&frame, beside)?;
        Ok(Data::Undefined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract is the TypeScript file: each member of `interface Wire` has one op.
    #[test]
    fn ops_are_those_of_the_contract() {
        let contract = include_str!("../../../../platform/ops.ts");
        let (_, members) = contract.split_once("export interface Wire {").unwrap();
        let (members, _) = members.split_once("\n}").unwrap();
        let wanted: Vec<&str> = members
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.split_once('('))
            .map(|(name, _)| name)
            .collect();
        let found: Vec<&str> = declarations()
            .iter()
            .filter(|op| op.object == "wire")
            .map(|op| op.name)
            .collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_long_line_is_cut_at_a_character_and_says_so() {
        let line = cut("\u{e9}".repeat(LOG_BYTES_MAX));
        assert!(line.len() <= LOG_BYTES_MAX && line.ends_with(CUT));
        assert_eq!(cut("short".to_owned()), "short");
    }
}
