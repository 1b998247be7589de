//! Between a WebSocket connection and the parcels by which it reaches a Worker.
//!
//! The gateway (we are the server) and the network binding (we are the client) run the same
//! [`converse`]. Headers of frames are `tungstenite`'s; payloads pass as they come, so that a message
//! of 32 MiB needs no more memory here than one of 32 KiB. Pings are answered here, Workers never see
//! them. Extensions are never agreed on.
//!
//! Deliberately absent: the handshake's HTTP, which belongs to whoever speaks HTTP; what is common to
//! both sides of it stands in [`handshake`].
//!
//! Invariants: text that passes is UTF-8, both ways; a close is said once in each direction.

use std::io::{self, Cursor};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mayfly_wire::bounds::{CHUNK_BYTES_MAX, SOCKET_MESSAGE_BYTES_MAX};
use mayfly_wire::parcel::{CLOSE_BYTES_MAX, HEADER_BYTES, Header, Kind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::{BodyReader, BodyWriter, Duplex, Failure, FailureKind};

/// Bytes of one read from the connection.
const READ_BYTES: usize = 16 * 1024;

/// Parcels are handed on together up to this size, where they arrived together.
const GATHER_BYTES: usize = 32 * 1024;

/// A Worker's message is sent as one frame up to this size and in pieces above, as they come.
const FRAGMENT_BYTES: usize = 256 * 1024;

/// Bytes of a control frame's payload, as RFC 6455 says.
const CONTROL_BYTES_MAX: u64 = 125;

/// Time for the other side to answer a close, and for our last word to leave.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// After this long without a byte the other side is asked whether it is still there, and after as
/// long again it is taken for gone: a peer that vanished sends nothing, not even an end.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Stands for a close without a code and is never sent.
const NO_CODE: u16 = 1005;
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const INVALID_TEXT: u16 = 1007;
const TOO_LARGE: u16 = 1009;

const _: () = assert!(GATHER_BYTES + READ_BYTES + HEADER_BYTES <= CHUNK_BYTES_MAX);

/// Who we are in the connection: a client masks what it sends, a server does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The other side connected to us.
    Server,
    /// We connected to the other side.
    Client,
}

/// What both sides of a handshake need.
pub mod handshake {
    use http::header::{self, HeaderMap, HeaderName};

    /// The version of the protocol, the only one there is.
    pub const VERSION: &str = "13";

    /// Headers of a handshake that belong to the connection: the host writes them itself.
    pub const OWN_HEADERS: [HeaderName; 4] = [
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::SEC_WEBSOCKET_ACCEPT,
        header::SEC_WEBSOCKET_EXTENSIONS,
    ];

    /// A fresh `sec-websocket-key`.
    pub fn key() -> String {
        tungstenite::handshake::client::generate_key()
    }

    /// The `sec-websocket-accept` that answers `key`.
    pub fn accept(key: &[u8]) -> String {
        tungstenite::handshake::derive_accept_key(key)
    }

    /// Whether `upgrade` asks for a WebSocket.
    pub fn is_asked_for(headers: &HeaderMap) -> bool {
        headers
            .get_all(header::UPGRADE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|word| word.trim().eq_ignore_ascii_case("websocket"))
    }
}

/// Why a connection is over before both sides have closed it.
#[derive(Debug)]
enum Broken {
    /// The connection is gone.
    Lost(String),
    /// The other side broke the protocol, and is told so.
    Protocol(u16, String),
    /// The Worker's end is gone, or what it said is no parcel.
    Worker,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// What the sending half must say besides the Worker's messages.
#[derive(Debug, Default)]
struct Urgent {
    state: Mutex<UrgentState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct UrgentState {
    /// The last ping's payload: one answer for several is allowed, so they cannot pile up.
    pong: Option<Bytes>,
    ping: bool,
    close: Option<(u16, String)>,
}

/// Whether the other side is there.
#[derive(Debug, Default)]
struct Presence {
    /// A byte came since the last look, or none was waited for.
    heard: AtomicBool,
    /// Our side waits for bytes; it does not while the Worker has no room.
    listening: AtomicBool,
}

impl Presence {
    /// Completes when the other side has been silent for too long, and asks it before.
    async fn watch(&self, urgent: &Urgent) {
        let mut asked = false;
        loop {
            tokio::time::sleep(SILENCE_MAX).await;
            let heard = self.heard.swap(false, Ordering::Relaxed);
            if heard || !self.listening.load(Ordering::Relaxed) {
                asked = false;
            } else if asked {
                return;
            } else {
                asked = true;
                urgent.set(|state| state.ping = true);
            }
        }
    }
}

impl Urgent {
    fn set(&self, change: impl FnOnce(&mut UrgentState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    fn take(&self) -> UrgentState {
        std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Carries messages between a connection after its handshake and a Worker, until both have said
/// close or one of them is gone. When `leave` completes the other side is asked to go.
pub async fn converse<S>(stream: S, role: Role, worker: Duplex, leave: impl Future<Output = ()>)
where
    S: AsyncRead + AsyncWrite + Send,
{
    let Duplex { reader, writer } = worker;
    let (read_half, write_half) = tokio::io::split(stream);
    let urgent = Urgent::default();
    let presence = Presence::default();
    let mut sender = Sender {
        stream: write_half,
        role,
        message: BytesMut::new(),
        begun: None,
        total: 0,
    };
    let mut receiver = Receiver {
        stream: read_half,
        role,
        buffer: BytesMut::new(),
        out: BytesMut::new(),
        writer: &writer,
        urgent: &urgent,
        presence: &presence,
        text: TextCheck::default(),
    };
    let broken = {
        let mut leave = pin!(leave);
        let mut sending = pin!(sender.run(reader, &urgent));
        let mut receiving = pin!(receiver.run());
        let mut silence = pin!(presence.watch(&urgent));
        let mut patience = pin!(tokio::time::sleep(CLOSE_WAIT));
        let (mut heard_close, mut said_close, mut leaving) = (false, false, false);
        loop {
            if heard_close && said_close {
                break None;
            }
            tokio::select! {
                heard = receiving.as_mut(), if !heard_close => match heard {
                    Ok(()) => heard_close = true,
                    Err(Broken::Protocol(code, message)) => {
                        let words = (code, message.clone());
                        urgent.set(|state| state.close = Some(words));
                        if !said_close {
                            let _ = tokio::time::timeout(CLOSE_WAIT, sending.as_mut()).await;
                        }
                        break Some(Broken::Protocol(code, message));
                    }
                    Err(broken) => break Some(broken),
                },
                said = sending.as_mut(), if !said_close => match said {
                    Ok(()) => {
                        said_close = true;
                        patience.as_mut().reset(tokio::time::Instant::now() + CLOSE_WAIT);
                    }
                    Err(broken) => break Some(broken),
                },
                () = patience.as_mut(), if said_close => {
                    break Some(Broken::Lost("the close was not answered".to_owned()));
                }
                () = silence.as_mut() => {
                    break Some(Broken::Lost("the other side does not answer".to_owned()));
                }
                () = leave.as_mut(), if !leaving => {
                    leaving = true;
                    urgent.set(|state| state.close = Some((GOING_AWAY, String::new())));
                }
            }
        }
    };
    match broken {
        None => writer.finish().await,
        Some(Broken::Lost(message)) => writer.fail(lost(&message)).await,
        Some(Broken::Protocol(_, message)) => writer.fail(refused(&message)).await,
        Some(Broken::Worker) => {}
    }
    let _ = tokio::time::timeout(CLOSE_WAIT, sender.stream.shutdown()).await;
}

/// The end of a connection without a close: to the Worker a close with code 1006.
fn lost(message: &str) -> Failure {
    let message = format!("the WebSocket's connection was lost: {message}");
    Failure::new(FailureKind::Network {}, "Error", message)
}

/// A message that could not be taken: to the Worker an error.
fn refused(message: &str) -> Failure {
    Failure::new(FailureKind::Limit {}, "Error", message)
}

fn protocol(message: impl Into<String>) -> Broken {
    Broken::Protocol(PROTOCOL_ERROR, message.into())
}

// ---- from the connection to the Worker

struct Receiver<'a, S> {
    stream: ReadHalf<S>,
    role: Role,
    /// Read and not looked at.
    buffer: BytesMut,
    /// Parcels not handed on.
    out: BytesMut,
    writer: &'a BodyWriter,
    urgent: &'a Urgent,
    presence: &'a Presence,
    text: TextCheck,
}

impl<S: AsyncRead + Send> Receiver<'_, S> {
    /// Until a close was heard.
    async fn run(&mut self) -> Result<(), Broken> {
        // The message under way and its bytes so far.
        let mut message: Option<(Kind, u64)> = None;
        loop {
            let (header, length) = self.header().await?;
            let kind = match header.opcode {
                OpCode::Control(control) => {
                    let payload = self.control(&header, length).await?;
                    match control {
                        Control::Ping => self.urgent.set(|state| state.pong = Some(payload)),
                        Control::Close => return self.close(payload).await,
                        _ => {}
                    }
                    continue;
                }
                OpCode::Data(data) => match (data, &message) {
                    (Data::Continue, Some((kind, _))) => *kind,
                    (Data::Text, None) => Kind::Text,
                    (Data::Binary, None) => Kind::Binary,
                    (Data::Continue, None) => {
                        return Err(protocol("a continuation of no message"));
                    }
                    _ => return Err(protocol("a message within another")),
                },
            };
            let so_far = message.map_or(0, |(_, bytes)| bytes);
            let total = so_far.saturating_add(length);
            if total > SOCKET_MESSAGE_BYTES_MAX as u64 {
                let words = format!("Message is too large: {total} > {SOCKET_MESSAGE_BYTES_MAX}");
                return Err(Broken::Protocol(TOO_LARGE, words));
            }
            self.payload(kind, &header, length).await?;
            message = (!header.is_final).then_some((kind, total));
        }
    }

    async fn header(&mut self) -> Result<(FrameHeader, u64), Broken> {
        loop {
            let mut cursor = Cursor::new(&self.buffer[..]);
            let parsed =
                FrameHeader::parse(&mut cursor).map_err(|error| protocol(error.to_string()))?;
            if let Some((header, length)) = parsed {
                let taken = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
                self.buffer.advance(taken);
                self.check(&header)?;
                return Ok((header, length));
            }
            self.more().await?;
        }
    }

    fn check(&self, header: &FrameHeader) -> Result<(), Broken> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(protocol("a reserved bit is set"));
        }
        match (self.role, header.mask) {
            (Role::Server, None) => Err(protocol("a client's frame without a mask")),
            (Role::Client, Some(_)) => Err(protocol("a server's frame with a mask")),
            _ => Ok(()),
        }
    }

    /// Reads on. Before it waits, what was gathered goes to the Worker.
    async fn more(&mut self) -> Result<(), Broken> {
        self.flush().await?;
        self.buffer.reserve(READ_BYTES);
        let mut room = (&mut self.buffer).limit(READ_BYTES);
        self.presence.listening.store(true, Ordering::Relaxed);
        let read = tokio::select! {
            read = self.stream.read_buf(&mut room) => read?,
            () = self.writer.closed() => return Err(Broken::Worker),
        };
        self.presence.listening.store(false, Ordering::Relaxed);
        self.presence.heard.store(true, Ordering::Relaxed);
        match read {
            0 => Err(Broken::Lost("the other side went away".to_owned())),
            _ => Ok(()),
        }
    }

    async fn control(&mut self, header: &FrameHeader, length: u64) -> Result<Bytes, Broken> {
        if !header.is_final || length > CONTROL_BYTES_MAX {
            return Err(protocol("a control frame that is cut or too long"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        while self.buffer.len() < length {
            self.more().await?;
        }
        let mut payload = self.buffer.split_to(length);
        unmask(&mut payload, header.mask, 0);
        Ok(payload.freeze())
    }

    async fn close(&mut self, payload: Bytes) -> Result<(), Broken> {
        let mut words = BytesMut::new();
        if !payload.is_empty() {
            let (code, reason) = close_words(&payload)?;
            words.put_u16_le(code);
            words.put_slice(reason.as_bytes());
        }
        self.parcel(Kind::Close, false, &words);
        self.flush().await
    }

    async fn payload(
        &mut self,
        kind: Kind,
        header: &FrameHeader,
        length: u64,
    ) -> Result<(), Broken> {
        let mut left = usize::try_from(length).unwrap_or(usize::MAX);
        let mut offset = 0;
        loop {
            let take = left.min(self.buffer.len()).min(GATHER_BYTES);
            let mut piece = self.buffer.split_to(take);
            unmask(&mut piece, header.mask, offset);
            offset += take;
            left -= take;
            let last = left == 0 && header.is_final;
            if kind == Kind::Text {
                piece = self.text.pass(piece, last)?;
            }
            if last || !piece.is_empty() {
                self.parcel(kind, !last, &piece);
            }
            if self.out.len() >= GATHER_BYTES {
                self.flush().await?;
            }
            if left == 0 {
                return Ok(());
            }
            if self.buffer.is_empty() {
                self.more().await?;
            }
        }
    }

    fn parcel(&mut self, kind: Kind, more: bool, payload: &[u8]) {
        // At most what was read at once, so it fits.
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.out.put_slice(&Header { kind, more, length }.encode());
        self.out.put_slice(payload);
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        while !self.out.is_empty() {
            let piece = self
                .out
                .split_to(self.out.len().min(CHUNK_BYTES_MAX))
                .freeze();
            self.writer.write(piece).await.map_err(|_| Broken::Worker)?;
        }
        Ok(())
    }
}

fn close_words(payload: &[u8]) -> Result<(u16, &str), Broken> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return Err(protocol("a close with half a code"));
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(protocol(format!("{code} is no code to close with")));
    }
    let reason = std::str::from_utf8(reason)
        .map_err(|_| Broken::Protocol(INVALID_TEXT, "a close's reason is not UTF-8".to_owned()))?;
    Ok((code, reason))
}

fn unmask(bytes: &mut [u8], mask: Option<[u8; 4]>, offset: usize) {
    if let Some(mut mask) = mask {
        mask.rotate_left(offset % 4);
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte ^= mask[index % 4];
        }
    }
}

/// Text in pieces: a character that is cut waits for its rest.
#[derive(Debug, Default)]
struct TextCheck {
    cut: BytesMut,
}

impl TextCheck {
    fn pass(&mut self, piece: BytesMut, last: bool) -> Result<BytesMut, Broken> {
        let mut whole = std::mem::take(&mut self.cut);
        if whole.is_empty() {
            whole = piece;
        } else {
            whole.extend_from_slice(&piece);
        }
        let invalid = || Broken::Protocol(INVALID_TEXT, "a message's text is not UTF-8".to_owned());
        let valid = valid_up_to(&whole).ok_or_else(invalid)?;
        self.cut = whole.split_off(valid);
        match last && !self.cut.is_empty() {
            true => Err(invalid()),
            false => Ok(whole),
        }
    }
}

/// How much of `bytes` is whole characters; `None` where more bytes could not make it valid.
fn valid_up_to(bytes: &[u8]) -> Option<usize> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Some(bytes.len()),
        Err(error) if error.error_len().is_none() => Some(error.valid_up_to()),
        Err(_) => None,
    }
}

// ---- from the Worker to the connection

struct Sender<S> {
    stream: WriteHalf<S>,
    role: Role,
    /// Bytes of the message under way that were not sent.
    message: BytesMut,
    /// Its kind, once a part of it was sent.
    begun: Option<Kind>,
    /// Its bytes so far.
    total: usize,
}

impl<S: AsyncWrite + Send> Sender<S> {
    /// Until a close was said.
    async fn run(&mut self, mut parcels: BodyReader, urgent: &Urgent) -> Result<(), Broken> {
        let mut buffer = BytesMut::new();
        // The parcel under way: its header and the bytes of it that have not come.
        let mut parcel: Option<(Header, usize)> = None;
        loop {
            if self.urgent(urgent.take()).await? {
                return Ok(());
            }
            if parcel.is_none()
                && let Some(bytes) = buffer.first_chunk::<HEADER_BYTES>()
            {
                let header = Header::decode(*bytes).map_err(|_| Broken::Worker)?;
                buffer.advance(HEADER_BYTES);
                parcel = Some((header, header.length as usize));
            }
            if let Some((header, left)) = &mut parcel {
                let piece = buffer.split_to(buffer.len().min(*left));
                *left -= piece.len();
                let whole = *left == 0;
                self.message.extend_from_slice(&piece);
                let header = *header;
                if whole {
                    parcel = None;
                }
                if whole && header.kind == Kind::Close {
                    let words = std::mem::take(&mut self.message);
                    self.close(&words).await?;
                    return Ok(());
                }
                self.data(header.kind, piece.len(), whole && !header.more)
                    .await?;
                if whole {
                    continue;
                }
            }
            tokio::select! {
                piece = parcels.next() => match piece {
                    Some(Ok(bytes)) => buffer.extend_from_slice(&bytes),
                    Some(Err(_)) | None => return Err(Broken::Worker),
                },
                () = urgent.changed.notified() => {}
            }
        }
    }

    /// Whether it said close.
    async fn urgent(&mut self, urgent: UrgentState) -> Result<bool, Broken> {
        if urgent.ping {
            self.frame(OpCode::Control(Control::Ping), true, &[])
                .await?;
        }
        if let Some(payload) = urgent.pong {
            self.frame(OpCode::Control(Control::Pong), true, &payload)
                .await?;
        }
        let Some((code, reason)) = urgent.close else {
            return Ok(false);
        };
        let mut words = BytesMut::new();
        words.put_u16_le(code);
        words.put_slice(reason.as_bytes());
        self.close(&words).await?;
        Ok(true)
    }

    /// `added` bytes came to the message; sends it where it is whole or has grown long.
    async fn data(&mut self, kind: Kind, added: usize, last: bool) -> Result<(), Broken> {
        self.total += added;
        if self.total > SOCKET_MESSAGE_BYTES_MAX {
            return Err(Broken::Worker);
        }
        if !last && self.message.len() < FRAGMENT_BYTES {
            return Ok(());
        }
        let mut ready = self.message.len();
        if kind == Kind::Text {
            ready = valid_up_to(&self.message).ok_or(Broken::Worker)?;
            if last && ready < self.message.len() {
                return Err(Broken::Worker);
            }
        }
        let data = match (self.begun, kind) {
            (Some(begun), kind) if begun != kind => return Err(Broken::Worker),
            (Some(_), _) => Data::Continue,
            (None, Kind::Text) => Data::Text,
            (None, _) => Data::Binary,
        };
        let payload = self.message.split_to(ready);
        self.begun = (!last).then_some(kind);
        if last {
            self.total = 0;
        }
        self.frame(OpCode::Data(data), last, &payload).await
    }

    /// `words` as in a close parcel; a Worker's that cannot stand in a frame are cut.
    async fn close(&mut self, words: &[u8]) -> Result<(), Broken> {
        let mut payload = Vec::with_capacity(CLOSE_BYTES_MAX);
        if let Some((code, reason)) = words.split_first_chunk::<2>() {
            let code = u16::from_le_bytes(*code);
            if !matches!(code, 1000..=4999) || code == NO_CODE {
                return self.frame(OpCode::Control(Control::Close), true, &[]).await;
            }
            let room = reason.len().min(CLOSE_BYTES_MAX - 2);
            let fits = valid_up_to(&reason[..room]).ok_or(Broken::Worker)?;
            payload.extend_from_slice(&code.to_be_bytes());
            payload.extend_from_slice(&reason[..fits]);
        }
        self.frame(OpCode::Control(Control::Close), true, &payload)
            .await
    }

    async fn frame(
        &mut self,
        opcode: OpCode,
        is_final: bool,
        payload: &[u8],
    ) -> Result<(), Broken> {
        let mask = (self.role == Role::Client).then(rand::random);
        let header = FrameHeader {
            is_final,
            opcode,
            mask,
            ..FrameHeader::default()
        };
        let mut bytes = Vec::with_capacity(payload.len() + header.len(payload.len() as u64));
        header
            .format(payload.len() as u64, &mut bytes)
            .map_err(|error| Broken::Lost(error.to_string()))?;
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[start..], mask, 0);
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
