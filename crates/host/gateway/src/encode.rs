//! Content encodings that a Worker asks for by header.
//!
//! A response with `content-encoding: gzip` or `br` whose body the Worker left plain
//! (`encodeBody: "automatic"`, the default; also a decoded answer of `fetch()` passed on) is
//! encoded on its way out, and each flush of the Worker's stream flushes the encoder. Other
//! encodings are the Worker's own affair and pass untouched, as in workerd.

use async_compression::Level;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder};
use bytes::Bytes;
use http::{HeaderMap, header};
use mayfly_exchange::Body;
use mayfly_exchange::http::BodyStream;
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

/// Brotli's quality for bodies made on the fly: about gzip's time, some 15 % smaller.
const BROTLI_QUALITY: i32 = 4;

/// An encoding applied here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
}

/// What the headers ask for.
pub fn requested(headers: &HeaderMap) -> Option<Encoding> {
    match headers.get(header::CONTENT_ENCODING)?.as_bytes() {
        b"gzip" => Some(Encoding::Gzip),
        b"br" => Some(Encoding::Brotli),
        _ => None,
    }
}

/// A body that is encoded as it is read.
pub type Encoded = ReaderStream<Box<dyn AsyncRead + Send + Unpin>>;

/// Applies `encoding` to `body`.
pub fn encode(encoding: Encoding, body: Body) -> Encoded {
    let plain = StreamReader::<_, Bytes>::new(BodyStream::from(body));
    let reader: Box<dyn AsyncRead + Send + Unpin> = match encoding {
        Encoding::Gzip => Box::new(GzipEncoder::new(plain)),
        Encoding::Brotli => {
            let level = Level::Precise(BROTLI_QUALITY);
            Box::new(BrotliEncoder::with_quality(plain, level))
        }
    };
    ReaderStream::new(reader)
}
