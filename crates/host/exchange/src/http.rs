//! Between our heads and bodies and the types that HTTP libraries speak.
//!
//! The gateway (requests in, responses out) and the network binding (the other way round) need
//! the same four translations: header lists, a body going out, a body coming in, and a body as
//! something to read from. It opens no socket and decides nothing about any header's meaning.
//!
//! Invariants: header values are isomorphic (one char is one byte) both ways; a body whose length
//! was announced never carries more or fewer bytes without its receiver noticing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::{Frame, SizeHint};
use mayfly_wire::bounds::{CHUNK_BYTES_MAX, INLINE_BODY_BYTES_MAX};

use crate::{Body, BodyReader, BodyWriter, Failure, FailureKind, ReaderGone, body_channel};

/// How long a body that is announced as small may take to arrive whole. Its bytes nearly always
/// came with the head; a sender that dawdles is served as a stream instead of being waited for.
const INLINE_WAIT: Duration = Duration::from_millis(10);

/// The same for a body of unannounced length, whose first bytes may be all there is for long.
const INLINE_WAIT_UNSIZED: Duration = Duration::from_millis(1);

/// Headers that one message may have. A [`HeaderMap`] that grows beyond 24,576 names panics, also
/// when the HTTP library adds one of its own, and a head of 256 KiB has room for more.
pub const HEADERS_MAX: usize = 8192;

/// Headers that cannot stand in a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeaders {
    /// One of them.
    #[error("header {name:?} has an invalid name or value")]
    Header {
        /// Its name, as given.
        name: String,
    },
    /// Their number.
    #[error("{count} headers are too many for one message; {HEADERS_MAX} are allowed")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

/// A header map as a list, in order of first appearance; repeated names stay apart.
pub fn header_list(map: &HeaderMap) -> Vec<(String, String)> {
    map.iter()
        .map(|(name, value)| (name.as_str().to_owned(), latin1_text(value.as_bytes())))
        .collect()
}

/// A list as a header map, without those that describe the connection or frame the body: the
/// HTTP library writes these itself, from what it really does.
pub fn header_map(list: &[(String, String)]) -> Result<HeaderMap, InvalidHeaders> {
    if list.len() > HEADERS_MAX {
        return Err(InvalidHeaders::TooMany { count: list.len() });
    }
    let mut map = HeaderMap::with_capacity(list.len());
    for (name, value) in list {
        let invalid = || InvalidHeaders::Header { name: name.clone() };
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        if is_framing(&parsed) {
            continue;
        }
        let bytes = latin1_bytes(value).ok_or_else(invalid)?;
        let value = HeaderValue::from_bytes(&bytes).map_err(|_| invalid())?;
        map.try_append(parsed, value).map_err(|_| invalid())?;
    }
    Ok(map)
}

fn is_framing(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
        || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}

/// Bytes as a string of one char each.
pub fn latin1_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The reverse; `None` where a char is no byte.
pub fn latin1_bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(c).ok()).collect()
}

/// A body that an HTTP library sends.
#[derive(Debug)]
pub struct OutgoingBody(Outgoing);

#[derive(Debug)]
enum Outgoing {
    Empty,
    Full(Bytes),
    Stream {
        reader: BodyReader,
        left: Option<u64>,
    },
}

impl From<Body> for OutgoingBody {
    fn from(body: Body) -> Self {
        Self(match body {
            Body::Empty => Outgoing::Empty,
            Body::Full(bytes) if bytes.is_empty() => Outgoing::Empty,
            Body::Full(bytes) => Outgoing::Full(bytes),
            Body::Stream { reader, length } => Outgoing::Stream {
                reader,
                left: length,
            },
            // What a socket carries is no body; whoever can hand one on looks at it first.
            Body::Socket(_) => Outgoing::Empty,
        })
    }
}

/// A body broke before its end.
#[derive(Debug)]
pub struct BrokenBody(pub Failure);

impl std::fmt::Display for BrokenBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for BrokenBody {}

impl http_body::Body for OutgoingBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        match &mut self.0 {
            Outgoing::Empty => Poll::Ready(None),
            Outgoing::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Outgoing::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Outgoing::Stream { reader, left } => reader
                .poll_next(cx)
                .map(|piece| counted(piece, left).map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Outgoing::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Outgoing::Empty => SizeHint::with_exact(0),
            Outgoing::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Outgoing::Stream { left, .. } => left.map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}

/// Holds a piece against the announced length: sending other than announced would let the rest
/// be taken for the next message.
fn counted(
    piece: Option<Result<Bytes, Failure>>,
    left: &mut Option<u64>,
) -> Option<Result<Bytes, BrokenBody>> {
    let short = |what: &str| {
        let message = format!("the body is {what} than its announced length");
        Some(Err(BrokenBody(Failure::new(
            FailureKind::Exception {},
            "TypeError",
            message,
        ))))
    };
    match (piece, left) {
        (Some(Ok(bytes)), Some(left)) => match left.checked_sub(bytes.len() as u64) {
            None => short("longer"),
            Some(rest) => {
                *left = rest;
                Some(Ok(bytes))
            }
        },
        (None, Some(left)) if *left > 0 => short("shorter"),
        (piece, _) => piece.map(|piece| piece.map_err(BrokenBody)),
    }
}

/// Takes in a body that an HTTP library receives. A small one that is there already comes back
/// whole, so that it can travel inside its message; any other as a stream that a task of its own
/// feeds until the reader leaves. `broken` says what a transport error means to the reader.
///
/// After the reader left, up to `spare_bytes` more are read and thrown away: a sender that is
/// cut off in the middle of what it says may lose the answer that it was given.
pub async fn receive<B>(
    mut incoming: B,
    length: Option<u64>,
    spare_bytes: u64,
    broken: impl Fn(B::Error) -> Failure + Send + 'static,
) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    if incoming.is_end_stream() {
        return match length {
            Some(0) => Body::Full(Bytes::new()),
            _ => Body::Empty,
        };
    }
    let mut held = Held::default();
    if length.is_none_or(|length| length <= INLINE_BODY_BYTES_MAX as u64) {
        let wait = match length {
            Some(_) => INLINE_WAIT,
            None => INLINE_WAIT_UNSIZED,
        };
        match gather(&mut incoming, wait, &mut held).await {
            Gathered::Whole => return Body::Full(held.join()),
            Gathered::Part => {}
            Gathered::Broken(error) => {
                let (writer, reader) = body_channel();
                let failure = broken(error);
                tokio::spawn(async move { writer.fail(failure).await });
                return Body::Stream { reader, length };
            }
        }
    }
    let (writer, reader) = body_channel();
    tokio::spawn(async move {
        if pump(held.pieces, &mut incoming, writer, broken)
            .await
            .is_err()
        {
            discard(incoming, spare_bytes).await;
        }
    });
    Body::Stream { reader, length }
}

#[derive(Default)]
struct Held {
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl Held {
    fn join(mut self) -> Bytes {
        if self.pieces.len() == 1 {
            return self.pieces.remove(0);
        }
        self.pieces.concat().into()
    }
}

enum Gathered<E> {
    Whole,
    Part,
    Broken(E),
}

async fn gather<B>(incoming: &mut B, wait: Duration, held: &mut Held) -> Gathered<B::Error>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut late = std::pin::pin!(tokio::time::sleep(wait));
    loop {
        let frame = tokio::select! {
            biased;
            frame = next_data(incoming) => frame,
            () = &mut late => return Gathered::Part,
        };
        match frame {
            None => return Gathered::Whole,
            Some(Err(error)) => return Gathered::Broken(error),
            Some(Ok(bytes)) => {
                held.bytes += bytes.len();
                held.pieces.push(bytes);
                if held.bytes > INLINE_BODY_BYTES_MAX {
                    return Gathered::Part;
                }
                if incoming.is_end_stream() {
                    return Gathered::Whole;
                }
            }
        }
    }
}

/// The next data frame; trailers are passed over, Workers have no way to see them.
async fn next_data<B>(incoming: &mut B) -> Option<Result<Bytes, B::Error>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx)).await?;
        match frame.map(Frame::into_data) {
            Ok(Ok(bytes)) if bytes.is_empty() => {}
            Ok(Ok(bytes)) => return Some(Ok(bytes)),
            Ok(Err(_trailers)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

async fn pump<B>(
    held: Vec<Bytes>,
    incoming: &mut B,
    writer: BodyWriter,
    broken: impl Fn(B::Error) -> Failure,
) -> Result<(), ReaderGone>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    for bytes in held {
        write_cut(&writer, bytes).await?;
    }
    loop {
        let frame = tokio::select! {
            frame = next_data(incoming) => frame,
            () = writer.closed() => return Err(ReaderGone),
        };
        match frame {
            None => {
                writer.finish().await;
                return Ok(());
            }
            Some(Err(error)) => {
                writer.fail(broken(error)).await;
                return Ok(());
            }
            Some(Ok(bytes)) => write_cut(&writer, bytes).await?,
        }
    }
}

async fn discard<B>(mut incoming: B, mut spare_bytes: u64)
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    // Where nothing is to spare, waiting for the next piece would keep the exchange for as long as
    // its sender likes.
    while spare_bytes > 0
        && let Some(Ok(bytes)) = next_data(&mut incoming).await
    {
        spare_bytes = spare_bytes.saturating_sub(bytes.len() as u64);
    }
}

/// Writes a piece in chunks of the size that the channel's bound is counted in.
async fn write_cut(writer: &BodyWriter, mut bytes: Bytes) -> Result<(), ReaderGone> {
    while bytes.len() > CHUNK_BYTES_MAX {
        writer.write(bytes.split_to(CHUNK_BYTES_MAX)).await?;
    }
    writer.write(bytes).await
}

/// A body as a byte stream, for codecs that read.
#[derive(Debug)]
pub struct BodyStream(OutgoingBody);

impl From<Body> for BodyStream {
    fn from(body: Body) -> Self {
        Self(body.into())
    }
}

impl Stream for BodyStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        use http_body::Body as _;
        let frame = std::task::ready!(Pin::new(&mut self.0).poll_frame(cx));
        Poll::Ready(frame.map(|frame| match frame {
            Ok(frame) => Ok(frame.into_data().unwrap_or_default()),
            Err(broken) => Err(io::Error::other(broken)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};
    use std::convert::Infallible;

    fn never(error: Infallible) -> Failure {
        match error {}
    }

    fn headers(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn header_values_are_isomorphic_and_repeated_names_stay_apart() {
        let list = headers(&[
            ("x-a", "caf\u{e9}"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ]);
        let map = header_map(&list).unwrap();
        assert_eq!(map["x-a"].as_bytes(), b"caf\xe9");
        assert_eq!(header_list(&map), list);
    }

    #[test]
    fn headers_that_would_split_a_message_are_refused_by_name() {
        for (name, value) in [("x", "a\r\nb: c"), ("x y", "1"), ("x", "\u{20ac}")] {
            let error = header_map(&headers(&[(name, value)])).unwrap_err();
            let name = name.to_owned();
            assert_eq!(error, InvalidHeaders::Header { name });
        }
        assert!(
            header_map(&headers(&[("Transfer-Encoding", "chunked")]))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn headers_without_number_are_an_error_and_no_panic() {
        let named = |count: usize| -> Vec<(String, String)> {
            let names = (0..count).map(|number| (format!("x{number}"), String::new()));
            names.collect()
        };
        assert_eq!(header_map(&named(HEADERS_MAX)).unwrap().len(), HEADERS_MAX);
        for count in [HEADERS_MAX + 1, 24_577, 65_536] {
            let error = header_map(&named(count)).unwrap_err();
            assert_eq!(error, InvalidHeaders::TooMany { count });
        }
    }

    #[tokio::test]
    async fn a_small_body_comes_whole_and_a_large_one_as_a_stream_in_chunks() {
        let small = http_body_util::Full::new(Bytes::from_static(b"hello"));
        let body = receive(small, Some(5), 0, never).await;
        assert!(matches!(body, Body::Full(bytes) if bytes == "hello"));

        let large = http_body_util::Full::new(Bytes::from(vec![1; 300_000]));
        let Body::Stream { mut reader, length } = receive(large, Some(300_000), 0, never).await
        else {
            panic!("a large body is a stream");
        };
        assert_eq!(length, Some(300_000));
        let mut total = 0;
        while let Some(piece) = reader.next().await {
            let piece = piece.unwrap();
            assert!(piece.len() <= CHUNK_BYTES_MAX);
            total += piece.len();
        }
        assert_eq!(total, 300_000);
    }

    #[tokio::test]
    async fn a_dawdling_small_body_becomes_a_stream_that_keeps_what_came_first() {
        struct Slow(u8);
        impl Stream for Slow {
            type Item = Result<Frame<Bytes>, Infallible>;
            fn poll_next(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                self.0 += 1;
                match self.0 {
                    1 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"ab"))))),
                    2..=4 => {
                        let waker = cx.waker().clone();
                        tokio::spawn(async move {
                            tokio::time::sleep(INLINE_WAIT * 2).await;
                            waker.wake();
                        });
                        Poll::Pending
                    }
                    5 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"cd"))))),
                    _ => Poll::Ready(None),
                }
            }
        }
        let body = receive(StreamBody::new(Slow(0)), Some(4), 0, never).await;
        assert!(matches!(body, Body::Stream { .. }));
        let whole = OutgoingBody::from(body).collect().await.unwrap().to_bytes();
        assert_eq!(whole, "abcd");
    }

    #[tokio::test]
    async fn a_body_of_another_length_than_announced_breaks() {
        for (length, what) in [(3, "longer"), (9, "shorter")] {
            let (writer, reader) = body_channel();
            writer.write(Bytes::from_static(b"12345")).await.unwrap();
            writer.finish().await;
            let body = Body::Stream {
                reader,
                length: Some(length),
            };
            let error = OutgoingBody::from(body).collect().await.unwrap_err();
            assert!(error.0.message.contains(what), "{}", error.0.message);
        }
    }
}
