//! Messages of a WebSocket inside the byte streams that carry it.
//!
//! A stream knows no message borders, so each message travels as one or more *parcels*: a header of
//! five bytes (what it is, how many bytes follow) and the payload. Host and guest both write and read
//! them; between two guests the host passes them on unread. `platform/web/parcels.ts` is the same in
//! TypeScript. No I/O, and no WebSocket frames: those are the host's affair at its edge.
//!
//! Invariant: a header that was accepted announces no more than a message may have.

use crate::bounds::SOCKET_MESSAGE_BYTES_MAX;
use thiserror::Error;

/// Bytes before each payload: the kind, and the payload's length as `u32`, little endian.
pub const HEADER_BYTES: usize = 5;

/// Bytes of a close parcel's payload: a code (`u16`, little endian) and a reason, as much as fits
/// into a WebSocket's control frame. Nothing at all where no code was given.
pub const CLOSE_BYTES_MAX: usize = 125;

/// Added to the kind where the message goes on in the next parcel.
const MORE: u8 = 0x80;

/// What a parcel is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message of text, in UTF-8.
    Text,
    /// A message of bytes.
    Binary,
    /// The last word of this direction.
    Close,
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub kind: Kind,
    /// The message goes on in the next parcel, of the same kind.
    pub more: bool,
    /// Bytes of the payload.
    pub length: u32,
}

/// Bytes that are no parcel.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParcelError {
    /// An unknown kind, or one that cannot go on.
    #[error("{0:#04x} is no kind of parcel")]
    Kind(u8),
    /// A payload above the bound of its kind.
    #[error("a parcel of {length} bytes is above the limit of {limit}")]
    TooLong {
        /// What the header said.
        length: u32,
        /// What it may say.
        limit: usize,
    },
}

impl Header {
    /// As it stands before the payload.
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let kind = match self.kind {
            Kind::Text => 1,
            Kind::Binary => 2,
            Kind::Close => 3,
        };
        let more = if self.more { MORE } else { 0 };
        let [a, b, c, d] = self.length.to_le_bytes();
        [kind | more, a, b, c, d]
    }

    /// The reverse.
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Result<Self, ParcelError> {
        let [word, a, b, c, d] = bytes;
        let length = u32::from_le_bytes([a, b, c, d]);
        let more = word & MORE != 0;
        let (kind, limit) = match word & !MORE {
            1 => (Kind::Text, SOCKET_MESSAGE_BYTES_MAX),
            2 => (Kind::Binary, SOCKET_MESSAGE_BYTES_MAX),
            3 if !more => (Kind::Close, CLOSE_BYTES_MAX),
            _ => return Err(ParcelError::Kind(word)),
        };
        if length as usize > limit {
            return Err(ParcelError::TooLong { length, limit });
        }
        Ok(Self { kind, more, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_round_trip() {
        for (kind, more, length) in [
            (Kind::Text, false, 0),
            (Kind::Text, true, 70_000),
            (Kind::Binary, false, SOCKET_MESSAGE_BYTES_MAX as u32),
            (Kind::Close, false, 125),
        ] {
            let header = Header { kind, more, length };
            assert_eq!(Header::decode(header.encode()), Ok(header));
        }
    }

    #[test]
    fn what_is_no_parcel_is_refused() {
        for word in [0, 4, 0x80, 0x83, 0xff] {
            let refused = Header::decode([word, 0, 0, 0, 0]);
            assert_eq!(refused, Err(ParcelError::Kind(word)));
        }
        for (word, length) in [
            (3, 126),
            (1, SOCKET_MESSAGE_BYTES_MAX as u32 + 1),
            (2, u32::MAX),
        ] {
            let [a, b, c, d] = u32::to_le_bytes(length);
            let refused = Header::decode([word, a, b, c, d]).unwrap_err();
            assert!(matches!(refused, ParcelError::TooLong { .. }), "{refused}");
        }
    }
}
