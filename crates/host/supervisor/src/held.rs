//! What a guest sent, freed of its numbers: the form in which values cross from one guest's
//! tables to another's.
//!
//! `translate` makes these from one guest's frame and turns them into another's. While a value is
//! held here it owns what it refers to; dropping it releases exports and ends streams. It never
//! looks into the bytes.

use crate::bounds::HELD_BYTES_MAX;
use crate::capability::{Capability, ServiceCap};
use crate::link::{ReaderEnd, WriterEnd};
use crate::trace::Tails;
use mayfly_wire::{Blob, Failure, Limits, Module, RequestHead, ResponseHead, Secure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that one guest makes the host hold until they are delivered or dropped.
#[derive(Debug, Default)]
pub struct Weight(Option<(Arc<AtomicU64>, u64)>);

impl Weight {
    /// Counts `bytes` on `meter`; `None` where that would exceed [`HELD_BYTES_MAX`].
    pub fn new(meter: &Arc<AtomicU64>, bytes: usize) -> Option<Self> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let before = meter.fetch_add(bytes, Ordering::Relaxed);
        let weight = Self(Some((meter.clone(), bytes)));
        // Dropped, and so taken off again, where it is too much.
        (before.saturating_add(bytes) <= HELD_BYTES_MAX).then_some(weight)
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        if let Some((meter, bytes)) = &self.0 {
            meter.fetch_sub(*bytes, Ordering::Relaxed);
        }
    }
}

/// A value and what it refers to.
#[derive(Debug, Default)]
pub struct HeldPayload {
    /// Counted on whoever sent it.
    pub weight: Weight,
    /// In the platform's codec; the host never reads them.
    pub bytes: Blob,
    /// In the order of the sender's.
    pub attachments: Vec<HeldAttachment>,
}

/// Something in a payload that is not plain data.
#[derive(Debug)]
pub enum HeldAttachment {
    /// Goes into a slot of the receiver's.
    Cap(Capability),
    /// The receiver reads it.
    Readable(ReaderEnd),
    /// The receiver writes it.
    Writable(WriterEnd),
    /// The receiver does both.
    Socket(HeldSocket),
    /// Large bytes of the value.
    Bytes(Vec<u8>),
}

/// Both directions of a socket, for its receiver.
#[derive(Debug)]
pub struct HeldSocket {
    /// What the receiver hears.
    pub reader: ReaderEnd,
    /// What the receiver says.
    pub writer: WriterEnd,
}

/// A message's body.
#[derive(Debug, Default)]
pub enum HeldBody {
    /// None.
    #[default]
    Empty,
    /// All of it.
    Inline(Blob),
    /// It follows.
    Stream {
        /// Where from.
        reader: ReaderEnd,
        /// Its length where the sender said so.
        length: Option<u64>,
    },
    /// A response's WebSocket.
    Socket(HeldSocket),
}

/// What is delivered to a callee.
#[derive(Debug)]
pub enum HeldEvent {
    /// An HTTP request.
    Fetch {
        /// Its head.
        request: Arc<RequestHead>,
        /// Its body.
        body: HeldBody,
        /// Counted on whoever sent it.
        weight: Weight,
    },
    /// An RPC call or property read.
    Rpc {
        /// Property names.
        path: Vec<String>,
        /// Arguments; `None` reads the property.
        args: Option<HeldPayload>,
    },
    /// A cron trigger.
    Scheduled {
        /// Milliseconds since the epoch.
        time_ms: f64,
        /// The expression that fired.
        cron: String,
    },
    /// Asks a loader callback for its code.
    LoadCode,
    /// Trace items.
    Tail {
        /// JSON.
        items: String,
        /// 1 for what tells of a Worker, one more for what tells of a tail.
        generation: u32,
    },
    /// The begin of an invocation, for `tailStream()`.
    TailStream {
        /// JSON: an array of its onset and what has come since.
        events: String,
        /// As above.
        generation: u32,
    },
    /// Messages for `queue()`.
    Queue {
        /// The queue's name.
        queue: String,
        /// How many messages there are, for whoever follows.
        messages: u32,
        /// The messages.
        batch: HeldPayload,
    },
    /// A byte connection.
    Connect {
        /// `host:port`.
        authority: String,
        /// Whether it speaks TLS.
        secure: Secure,
        /// For whoever takes the connection.
        socket: HeldSocket,
    },
    /// An alarm.
    Alarm {
        /// Milliseconds since the epoch.
        scheduled_ms: f64,
        /// How often it has failed.
        retries: u32,
    },
    /// Asks the callback of `facets.get()` for the class.
    StartFacet,
    /// Calls `[restore](args)`.
    Restore {
        /// As they were stored.
        args: HeldPayload,
    },
    /// A message of text on a socket that the host holds.
    SocketText {
        /// Its number.
        socket: u32,
        /// The message.
        text: String,
    },
    /// A message of bytes.
    SocketBytes {
        /// Its number.
        socket: u32,
        /// The message.
        bytes: Blob,
    },
    /// Its other side has closed, or is gone.
    SocketClose {
        /// Its number.
        socket: u32,
        /// As it was said.
        code: u32,
        /// As it was said.
        reason: String,
        /// It was said at all.
        clean: bool,
    },
    /// What came on it could not be taken.
    SocketError {
        /// Its number.
        socket: u32,
        /// Why.
        failure: Box<Failure>,
    },
}

impl HeldEvent {
    /// Whether it tells of another invocation.
    pub fn is_told(&self) -> bool {
        matches!(self, Self::Tail { .. } | Self::TailStream { .. })
    }
}

/// How a call ended.
#[derive(Debug)]
pub enum HeldOutcome {
    /// To `Fetch`.
    Response {
        /// Status and headers.
        head: Box<ResponseHead>,
        /// Its body.
        body: HeldBody,
    },
    /// To `Rpc`.
    Value(HeldPayload),
    /// To `Scheduled`, `Tail` and `TailStream`.
    Nothing {
        /// `controller.noRetry()` was called.
        no_retry: bool,
    },
    /// To `LoadCode`.
    Code(Box<HeldCode>),
    /// To `Connect`.
    Connected {
        /// Takes the `Connect` that begins TLS.
        upgrade: Option<Capability>,
    },
    /// To `StartFacet`.
    Facet {
        /// Its class.
        class: Arc<ServiceCap>,
        /// `ctx.id`, where it is not the parent's.
        id: Option<String>,
    },
    /// To `Restore`.
    Restored {
        /// What the method gave.
        target: Capability,
    },
    /// It failed.
    Failed(Failure),
}

/// A dynamic Worker's code as its parent gave it; not checked yet, see `code`.
#[derive(Debug)]
pub struct HeldCode {
    /// As given.
    pub compatibility_date: String,
    /// As given.
    pub compatibility_flags: Vec<String>,
    /// As given.
    pub allow_experimental: bool,
    /// As given.
    pub main_module: String,
    /// As given.
    pub modules: Vec<Module>,
    /// Of the modules, counted on whoever sent them.
    pub weight: Weight,
    /// In the platform's codec; empty bytes mean `{}`.
    pub env: HeldPayload,
    /// Already resolved: the parent's own, none, or a service.
    pub outbound: Option<Capability>,
    /// Services that hear of its invocations.
    pub tails: Tails,
    /// As given.
    pub limits: Limits,
    /// As given.
    pub jitless: bool,
}

/// How many table entries a value takes in its receiver.
#[derive(Debug, Default, Clone, Copy)]
pub struct Room {
    /// Capability slots.
    pub caps: usize,
    /// Streams.
    pub streams: usize,
    /// Bytes, roughly.
    pub bytes: usize,
}

impl HeldPayload {
    /// What it takes.
    pub fn room(&self) -> Room {
        let mut room = Room {
            bytes: self.bytes.0.len(),
            ..Room::default()
        };
        for attachment in &self.attachments {
            match attachment {
                HeldAttachment::Cap(_) => room.caps += 1,
                HeldAttachment::Readable(_) | HeldAttachment::Writable(_) => room.streams += 1,
                HeldAttachment::Socket(_) => room.streams += HeldSocket::STREAMS,
                HeldAttachment::Bytes(bytes) => room.bytes += bytes.len(),
            }
        }
        room
    }
}

impl HeldSocket {
    /// Streams of one socket.
    const STREAMS: usize = 2;

    fn room() -> Room {
        Room {
            streams: Self::STREAMS,
            ..Room::default()
        }
    }
}

impl HeldBody {
    /// Those in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.0.len(),
            Self::Empty | Self::Stream { .. } | Self::Socket(_) => 0,
        }
    }

    fn room(&self) -> Room {
        match self {
            Self::Empty => Room::default(),
            Self::Inline(bytes) => Room {
                bytes: bytes.0.len(),
                ..Room::default()
            },
            Self::Stream { .. } => Room {
                streams: 1,
                ..Room::default()
            },
            Self::Socket(_) => HeldSocket::room(),
        }
    }
}

impl HeldEvent {
    /// What it takes.
    pub fn room(&self) -> Room {
        match self {
            Self::Fetch { body, .. } => body.room(),
            Self::Rpc { args, .. } => args.as_ref().map(HeldPayload::room).unwrap_or_default(),
            Self::Tail { items: text, .. } | Self::TailStream { events: text, .. } => Room {
                bytes: text.len(),
                ..Room::default()
            },
            Self::Queue { batch, .. } => batch.room(),
            Self::Restore { args } => args.room(),
            Self::Connect { .. } => HeldSocket::room(),
            Self::SocketText { text, .. } => Room {
                bytes: text.len(),
                ..Room::default()
            },
            Self::SocketBytes { bytes, .. } => Room {
                bytes: bytes.0.len(),
                ..Room::default()
            },
            Self::Scheduled { .. }
            | Self::LoadCode
            | Self::Alarm { .. }
            | Self::StartFacet
            | Self::SocketClose { .. }
            | Self::SocketError { .. } => Room::default(),
        }
    }

    /// Whether its answer can be pipelined on.
    pub fn is_rpc(&self) -> bool {
        matches!(self, Self::Rpc { .. })
    }
}

impl HeldOutcome {
    /// What it takes.
    pub fn room(&self) -> Room {
        match self {
            Self::Response { body, .. } => body.room(),
            Self::Value(payload) => payload.room(),
            Self::Connected { upgrade } => Room {
                caps: usize::from(upgrade.is_some()),
                ..Room::default()
            },
            Self::Nothing { .. }
            | Self::Code(_)
            | Self::Failed(_)
            | Self::Facet { .. }
            | Self::Restored { .. } => Room::default(),
        }
    }
}
