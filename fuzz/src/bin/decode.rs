//! The decoders that face a guest or a zygote: any bytes are a value or a `WireError`.
//!
//! Beyond not crashing: what decodes must encode to bytes that decode to the same value, so that
//! the host never acts on something a guest could not have said.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly_wire::control::FromZygote;
use mayfly_wire::{ToGuest, ToHost, Wire, read_frame};

fn decode<F: Wire + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(frame) = read_frame::<F>(bytes) {
        let mut encoded = Vec::new();
        frame.encode(&mut encoded);
        let again = read_frame::<F>(&encoded).expect("an encoded frame decodes");
        // Compared as text, since a NaN time is not equal to itself.
        assert_eq!(format!("{frame:?}"), format!("{again:?}"));
        assert_eq!(encoded, bytes, "an encoding is the only one of its frame");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    match kind % 3 {
        0 => decode::<ToHost>(rest),
        1 => decode::<ToGuest>(rest),
        _ => decode::<FromZygote>(rest),
    }
});
