//! Content encodings of answers, undone as they arrive.
//!
//! `gzip` and `br` leave the header in place, as workerd does: a Worker that passes the answer on
//! gets it encoded again by the gateway. `zstd` and `deflate` are decoded too, but nobody encodes
//! those again, so their header goes. A combination of several stays as it is.

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, header};
use http_body::Frame;
use http_body_util::StreamBody;
use mayfly_exchange::http::{BodyStream, receive};
use mayfly_exchange::{Body, Failure, FailureKind};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

/// What is sent where a Worker named nothing.
pub const ACCEPT_ENCODING: &str = "gzip, br";

/// What RFC 9659 lets a sender ask a receiver to keep: 8 MiB. The format would allow 2 GiB of the
/// host's memory for each answer.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// An encoding that is undone here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// RFC 1950, which HTTP calls deflate.
    Deflate,
}

/// What an answer's headers say.
pub fn applied(headers: &HeaderMap) -> Option<Encoding> {
    let value = headers.get(header::CONTENT_ENCODING)?.to_str().ok()?;
    match value.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Some(Encoding::Gzip),
        "br" => Some(Encoding::Brotli),
        "zstd" => Some(Encoding::Zstd),
        "deflate" => Some(Encoding::Deflate),
        _ => None,
    }
}

/// Whether the header survives decoding.
pub fn keeps_header(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::Gzip | Encoding::Brotli)
}

/// The plain body.
pub async fn decode(encoding: Encoding, body: Body) -> Body {
    let encoded = StreamReader::<_, Bytes>::new(BodyStream::from(body));
    let plain: Box<dyn AsyncRead + Send + Unpin> = match encoding {
        Encoding::Gzip => {
            let mut decoder = GzipDecoder::new(encoded);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        Encoding::Brotli => Box::new(BrotliDecoder::new(encoded)),
        Encoding::Zstd => {
            let window = DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX);
            Box::new(ZstdDecoder::with_params(encoded, &[window]))
        }
        Encoding::Deflate => Box::new(ZlibDecoder::new(encoded)),
    };
    let frames = ReaderStream::new(plain).map(|piece| piece.map(Frame::data));
    receive(StreamBody::new(frames), None, 0, broken).await
}

fn broken(error: std::io::Error) -> Failure {
    let message = format!("the answer's body cannot be decoded: {error}");
    Failure::new(FailureKind::Network {}, "TypeError", message)
}
