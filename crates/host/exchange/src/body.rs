//! One direction of bytes through the host, with back-pressure.
//!
//! A writer waits once [`CHANNEL_CHUNKS_MAX`] chunks are unread, so a slow reader never fills
//! memory. Dropping the reader cancels the writer; dropping the writer without
//! [`BodyWriter::finish`] fails the reader, so that a cut body is never taken for a whole one.

use bytes::Bytes;
use mayfly_wire::{Failure, FailureKind};
use std::fmt::Debug;
use std::future::poll_fn;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Chunks between a writer and its reader. With chunks of at most 64 KiB this bounds a body to
/// 512 KiB of host memory.
pub const CHANNEL_CHUNKS_MAX: usize = 8;

/// A message's body.
#[derive(Debug, Default)]
pub enum Body {
    /// `body` is null.
    #[default]
    Empty,
    /// All of it.
    Full(Bytes),
    /// It arrives in pieces.
    Stream {
        /// Where the pieces come from.
        reader: BodyReader,
        /// Its whole length in bytes, where the sender said so.
        length: Option<u64>,
    },
    /// Of a response with status 101: the WebSocket that the exchange became, as parcels.
    Socket(Duplex),
}

/// Both directions of a socket, as one of its two holders has them.
#[derive(Debug)]
pub struct Duplex {
    /// What the other holder says.
    pub reader: BodyReader,
    /// What the other holder hears.
    pub writer: BodyWriter,
}

/// A socket's two ends.
pub fn duplex() -> (Duplex, Duplex) {
    let (to_second, second_reads) = body_channel();
    let (to_first, first_reads) = body_channel();
    let first = Duplex {
        reader: first_reads,
        writer: to_second,
    };
    let second = Duplex {
        reader: second_reads,
        writer: to_first,
    };
    (first, second)
}

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    End,
    Failed(Failure),
}

/// The reading end.
#[derive(Debug)]
pub struct BodyReader {
    pieces: Pieces,
    ended: bool,
}

#[derive(Debug)]
enum Pieces {
    Channel(mpsc::Receiver<Piece>),
    Source(Box<dyn Source>),
}

/// Where a body comes from that passes through no channel: whoever reads asks it. Dropped before its
/// end, nobody wants the rest.
pub trait Source: Debug + Send + Sync {
    /// The next piece; `None` after the last, or after a failure.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>>;
}

/// The writing end.
#[derive(Debug, Clone)]
pub struct BodyWriter {
    pieces: mpsc::Sender<Piece>,
}

/// The reader was dropped: nobody wants the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderGone;

/// A body under way.
pub fn body_channel() -> (BodyWriter, BodyReader) {
    let (sender, receiver) = mpsc::channel(CHANNEL_CHUNKS_MAX);
    (
        BodyWriter { pieces: sender },
        BodyReader {
            pieces: Pieces::Channel(receiver),
            ended: false,
        },
    )
}

impl BodyReader {
    /// A body that is asked for piece by piece.
    pub fn from_source(source: impl Source + 'static) -> Self {
        Self {
            pieces: Pieces::Source(Box::new(source)),
            ended: false,
        }
    }

    /// The next piece; `None` after the last. A failure is given once, then `None`.
    pub async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Self::next`], for `poll_frame` implementations.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match &mut self.pieces {
            Pieces::Channel(pieces) => pieces.poll_recv(cx).map(|piece| self.settle(piece)),
            Pieces::Source(source) => {
                let piece = source.poll_piece(cx);
                self.ended = !matches!(piece, Poll::Pending | Poll::Ready(Some(Ok(_))));
                piece
            }
        }
    }

    fn settle(&mut self, piece: Option<Piece>) -> Option<Result<Bytes, Failure>> {
        match piece {
            Some(Piece::Bytes(bytes)) => return Some(Ok(bytes)),
            Some(Piece::End) => self.ended = true,
            Some(Piece::Failed(failure)) => {
                self.ended = true;
                return Some(Err(failure));
            }
            None => {
                self.ended = true;
                let message = "the body's sender went away before its end";
                return Some(Err(Failure::new(FailureKind::Lost {}, "Error", message)));
            }
        }
        None
    }
}

impl BodyWriter {
    /// Waits for room and hands over a piece.
    pub async fn write(&self, bytes: Bytes) -> Result<(), ReaderGone> {
        self.pieces
            .send(Piece::Bytes(bytes))
            .await
            .map_err(|_| ReaderGone)
    }

    /// Hands over a piece if there is room right now; gives it back otherwise.
    pub fn try_write(&self, bytes: Bytes) -> Result<(), Bytes> {
        self.pieces
            .try_send(Piece::Bytes(bytes))
            .map_err(|refused| match refused.into_inner() {
                Piece::Bytes(bytes) => bytes,
                Piece::End | Piece::Failed(_) => Bytes::new(),
            })
    }

    /// The body is whole.
    pub async fn finish(self) {
        // A reader that left does not care how the body ended.
        let _ = self.pieces.send(Piece::End).await;
    }

    /// The body ends here, broken.
    pub async fn fail(self, failure: Failure) {
        let _ = self.pieces.send(Piece::Failed(failure)).await;
    }

    /// Completes when the reader is gone.
    pub async fn closed(&self) {
        self.pieces.closed().await;
    }
}
