//! The frames that cross a guest's one socket, and the zygote's control socket.
//!
//! Plain data, its encoding, its bounds and a version; no I/O and no policy. The host and the
//! guest both lean on this crate and never on each other. Read `frames` first: it is the whole
//! vocabulary of a guest. `codec` says how values become bytes, `bounds` how large they may be.
//!
//! Invariant: decoding hostile bytes yields a value or a [`WireError`], never a panic, and
//! allocates in proportion to the bytes that really arrived.

#![forbid(unsafe_code)]

mod beside;
pub mod bounds;
mod codec;
pub mod control;
pub mod frames;
pub mod parcel;
pub mod storage;

pub use beside::{BYTES_HEAD, Beside, bytes_head, bytes_that_follow};
pub use codec::{Blob, Reader, Wire, WireError};
pub use frames::*;
pub use storage::*;

/// Both ends compare this before the first frame; it changes with every change of the frames.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+wire.3");

/// Bytes of a frame's length prefix (`u32`, little endian, the length of what follows it).
pub const LENGTH_BYTES: usize = 4;

/// Appends one whole frame, length prefix first.
pub fn write_frame<F: Wire>(frame: &F, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    frame.encode(out);
    let length = u32::try_from(out.len() - start - LENGTH_BYTES).unwrap_or(u32::MAX);
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// The body length that a prefix announces, checked against [`bounds::FRAME_BYTES_MAX`].
pub fn frame_length(prefix: [u8; LENGTH_BYTES]) -> Result<usize, WireError> {
    let length = u32::from_le_bytes(prefix) as usize;
    if length > bounds::FRAME_BYTES_MAX {
        return Err(WireError::TooLong {
            kind: "frame",
            length,
            limit: bounds::FRAME_BYTES_MAX,
        });
    }
    Ok(length)
}

/// Decodes one frame's body, all of it.
pub fn read_frame<F: Wire>(body: &[u8]) -> Result<F, WireError> {
    let mut reader = Reader::new(body);
    let frame = F::decode(&mut reader)?;
    reader.finish()?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_round_trip() {
        let frame = ToHost::StreamData {
            stream: StreamId(7),
            bytes: Blob(vec![1, 2, 3]),
        };
        let mut out = Vec::new();
        write_frame(&frame, &mut out);
        let length = frame_length(out[..LENGTH_BYTES].try_into().unwrap()).unwrap();
        assert_eq!(length, out.len() - LENGTH_BYTES);
        assert_eq!(read_frame::<ToHost>(&out[LENGTH_BYTES..]).unwrap(), frame);
    }

    #[test]
    fn a_count_that_lies_is_refused_before_allocating() {
        let mut body = vec![6u8]; // tag is irrelevant: the list is decoded on its own
        body.extend_from_slice(&u32::MAX.to_le_bytes());
        let error = Vec::<String>::decode(&mut Reader::new(&body[1..])).unwrap_err();
        assert!(matches!(error, WireError::Truncated { .. }));
    }

    #[test]
    fn a_list_beyond_its_bound_is_refused() {
        let count = bounds::LIST_ITEMS_MAX + 1;
        let mut body = u32::try_from(count).unwrap().to_le_bytes().to_vec();
        body.resize(4 + count, 0);
        let error = Vec::<bool>::decode(&mut Reader::new(&body)).unwrap_err();
        assert!(matches!(error, WireError::TooLong { kind: "list", .. }));
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        let mut out = Vec::new();
        ToHost::ReleaseCap { cap: CapId(1) }.encode(&mut out);
        out.push(0);
        assert_eq!(
            read_frame::<ToHost>(&out).unwrap_err(),
            WireError::Trailing { extra: 1 }
        );
    }

    #[test]
    fn every_truncation_of_a_frame_is_an_error() {
        let frame = ToGuest::Cancel {
            call: CallId(3),
            reason: "client left".to_owned(),
        };
        let mut out = Vec::new();
        frame.encode(&mut out);
        for cut in 0..out.len() {
            assert!(read_frame::<ToGuest>(&out[..cut]).is_err(), "cut at {cut}");
        }
    }
}
