//! Large bytes of a payload go beside it: ahead of the frame, each in a `Bytes` frame of its own.
//!
//! So each end reads them straight into the memory in which they stay, and writes them from there,
//! instead of copying them through the buffers that frames are cut from. A payload names them by
//! attachments without content, in their order.
//!
//! Invariant: whoever sends a message sends what belongs to it right ahead of it, or not at all.

use crate::codec::{Reader, Wire, WireError};
use crate::frames::{Attachment, Event, Outcome, Payload, ToGuest, ToHost};
use crate::{LENGTH_BYTES, frame_length};
use std::collections::VecDeque;

/// The tag of `Bytes`, in both directions.
const TAG: u8 = 142;

/// What comes before the bytes of a `Bytes` frame: the frame's length, its tag, their number.
pub const BYTES_HEAD: usize = LENGTH_BYTES + 1 + 4;

/// Bytes that go beside the payload which has them: nothing of them is in its own encoding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside(pub Vec<u8>);

impl Wire for Beside {
    fn encode(&self, _out: &mut Vec<u8>) {}
    fn decode(_reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self::default())
    }
}

/// How many bytes follow a `Bytes` frame's head; `None` for the head of any other frame.
pub fn bytes_that_follow(head: &[u8; BYTES_HEAD]) -> Result<Option<usize>, WireError> {
    let [a, b, c, d, tag, ..] = *head;
    let frame = frame_length([a, b, c, d])?;
    if tag != TAG {
        return Ok(None);
    }
    let [.., a, b, c, d] = *head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    match (length + BYTES_HEAD - LENGTH_BYTES).cmp(&frame) {
        std::cmp::Ordering::Equal => Ok(Some(length)),
        std::cmp::Ordering::Less => Err(WireError::Trailing {
            extra: frame - length - (BYTES_HEAD - LENGTH_BYTES),
        }),
        std::cmp::Ordering::Greater => Err(WireError::Truncated {
            missing: length + BYTES_HEAD - LENGTH_BYTES - frame,
        }),
    }
}

/// The head of a `Bytes` frame of so many bytes.
pub fn bytes_head(length: usize) -> [u8; BYTES_HEAD] {
    // Saturating, as every length; what is so long is refused by its receiver.
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let frame = length.saturating_add((BYTES_HEAD - LENGTH_BYTES) as u32);
    let [a, b, c, d] = frame.to_le_bytes();
    let [e, f, g, h] = length.to_le_bytes();
    [a, b, c, d, TAG, e, f, g, h]
}

impl Payload {
    /// Takes out what goes beside it.
    fn take_beside(&mut self) -> Vec<Vec<u8>> {
        let beside = self.attachments.iter_mut().filter_map(beside_of);
        beside.map(std::mem::take).collect()
    }

    /// Gives it what came beside it, in order. `false` where too little has come.
    fn put_beside(&mut self, arrived: &mut VecDeque<Vec<u8>>) -> bool {
        for bytes in self.attachments.iter_mut().filter_map(beside_of) {
            match arrived.pop_front() {
                Some(came) => *bytes = came,
                None => return false,
            }
        }
        true
    }
}

fn beside_of(attachment: &mut Attachment) -> Option<&mut Vec<u8>> {
    match attachment {
        Attachment::Bytes { bytes } => Some(&mut bytes.0),
        _ => None,
    }
}

fn of_event(event: &mut Event) -> Option<&mut Payload> {
    match event {
        Event::Rpc { args, .. } => args.as_mut(),
        _ => None,
    }
}

fn of_outcome(outcome: &mut Outcome) -> Option<&mut Payload> {
    match outcome {
        Outcome::Value { payload } => Some(payload),
        _ => None,
    }
}

impl ToHost {
    /// Takes out what is to be sent ahead of it.
    pub fn take_beside(&mut self) -> Vec<Vec<u8>> {
        let payload = match self {
            Self::Call { event, .. } => of_event(event),
            Self::Return { outcome, .. } => of_outcome(outcome),
            _ => None,
        };
        payload.map(Payload::take_beside).unwrap_or_default()
    }
}

impl ToGuest {
    fn payload(&mut self) -> Option<&mut Payload> {
        match self {
            Self::Invoke { event, .. }
            | Self::InvokeActor { event, .. }
            | Self::CallExport { event, .. }
            | Self::CallAnswer { event, .. } => of_event(event),
            Self::Return { outcome, .. } => of_outcome(outcome),
            _ => None,
        }
    }

    /// Takes out what is to be sent ahead of it.
    pub fn take_beside(&mut self) -> Vec<Vec<u8>> {
        self.payload().map(Payload::take_beside).unwrap_or_default()
    }

    /// Gives it what came ahead of it. `false` where too little has come.
    pub fn put_beside(&mut self, arrived: &mut VecDeque<Vec<u8>>) -> bool {
        match self.payload() {
            Some(payload) => payload.put_beside(arrived),
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Blob, CallId, read_frame, write_frame};

    #[test]
    fn the_head_is_that_of_the_frame() {
        for length in [0, 1, 300_000] {
            let blob = || Blob(vec![3; length]);
            let mut to_host = Vec::new();
            write_frame(&ToHost::Bytes { bytes: blob() }, &mut to_host);
            let mut to_guest = Vec::new();
            write_frame(&ToGuest::Bytes { bytes: blob() }, &mut to_guest);
            assert_eq!(to_host, to_guest);
            let head = to_host.first_chunk::<BYTES_HEAD>().unwrap();
            assert_eq!(*head, bytes_head(length));
            assert_eq!(bytes_that_follow(head), Ok(Some(length)));
        }
    }

    #[test]
    fn a_head_that_lies_is_refused_and_another_frames_is_none() {
        let mut head = bytes_head(10);
        head[5] = 11;
        assert!(bytes_that_follow(&head).is_err());
        head[5] = 9;
        assert!(bytes_that_follow(&head).is_err());
        head[4] = 1;
        assert_eq!(bytes_that_follow(&head), Ok(None));
        let head = [255; BYTES_HEAD];
        assert!(bytes_that_follow(&head).is_err());
    }

    #[test]
    fn what_goes_beside_comes_back_in_order() {
        let attachments = [1, 2].map(|byte| Attachment::Bytes {
            bytes: Beside(vec![byte; 5]),
        });
        let payload = Payload {
            bytes: Blob(vec![9]),
            attachments: attachments.to_vec(),
        };
        let whole = ToGuest::Return {
            call: CallId(1),
            outcome: Outcome::Value { payload },
        };
        let mut frame = whole.clone();
        let mut ahead = VecDeque::from(frame.take_beside());
        assert_eq!(ahead, [vec![1; 5], vec![2; 5]]);
        let mut bytes = Vec::new();
        write_frame(&frame, &mut bytes);
        let mut frame: ToGuest = read_frame(&bytes[LENGTH_BYTES..]).unwrap();
        assert!(frame.clone().put_beside(&mut ahead.clone()));
        assert!(!frame.clone().put_beside(&mut VecDeque::new()));
        assert!(frame.put_beside(&mut ahead));
        assert_eq!(frame, whole);
    }
}
