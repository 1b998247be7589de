//! Every format there and back, in pieces, cut short, with a tail, and as a bomb.

use super::*;
use crate::{
    OpsState,
    testing::{bytes, call, text},
};

const FORMATS: [&str; 5] = ["gzip", "deflate", "deflate-raw", "br", "zstd"];

fn feed(state: &mut OpsState, coder: &Data, input: &[u8], last: bool) -> Result<Vec<u8>, OpError> {
    let args = vec![coder.clone(), bytes(input), Data::Bool(last)];
    match call(state, "compressPush", args)? {
        Data::Bytes(output) => Ok(output),
        other => panic!("{other:?}"),
    }
}

/// Pushes `input` in pieces of `size`; the last push is empty.
fn run(state: &mut OpsState, coder: &Data, input: &[u8], size: usize) -> Result<Vec<u8>, OpError> {
    let mut output = Vec::new();
    for piece in input.chunks(size) {
        output.extend(feed(state, coder, piece, false)?);
    }
    output.extend(feed(state, coder, &[], true)?);
    Ok(output)
}

fn encode(state: &mut OpsState, format: &str, input: &[u8]) -> Vec<u8> {
    let args = vec![text(format), Data::Number(-1.0)];
    let coder = call(state, "compressNew", args).unwrap();
    run(state, &coder, input, 10_000).unwrap()
}

fn decoder(state: &mut OpsState, format: &str, loose: bool) -> Data {
    let args = vec![text(format), Data::Bool(loose)];
    call(state, "decompressNew", args).unwrap()
}

/// Half of it compresses well, half not at all.
fn sample() -> Vec<u8> {
    let mut noise = vec![0; 150_000];
    crate::random::fill(&mut noise).unwrap();
    noise.extend(b"a line that comes again\n".repeat(10_000));
    noise
}

#[test]
fn every_format_survives_the_round_trip_in_any_pieces() {
    let state = &mut OpsState::new();
    let input = sample();
    for format in FORMATS {
        let packed = encode(state, format, &input);
        assert!(packed.len() < input.len() / 2, "{format}: {}", packed.len());
        for size in [1, 1_000, usize::MAX] {
            let coder = decoder(state, format, false);
            let found = run(state, &coder, &packed, size).unwrap();
            assert!(found == input, "{format} in pieces of {size}");
        }
    }
}

#[test]
fn nothing_compresses_to_something_that_decompresses_to_nothing() {
    let state = &mut OpsState::new();
    for format in FORMATS {
        let packed = encode(state, format, &[]);
        assert!(!packed.is_empty(), "{format}");
        let coder = decoder(state, format, false);
        assert_eq!(run(state, &coder, &packed, 1), Ok(vec![]), "{format}");
    }
}

#[test]
fn every_truncation_is_an_error_unless_ends_are_loose() {
    let state = &mut OpsState::new();
    for format in FORMATS {
        let packed = encode(state, format, b"some text to pack, some text");
        for cut in 0..packed.len() {
            let coder = decoder(state, format, false);
            let error = run(state, &coder, &packed[..cut], 7).unwrap_err();
            assert_eq!(error.class, "TypeError", "{format} cut at {cut}");
            let coder = decoder(state, format, true);
            assert!(
                run(state, &coder, &packed[..cut], 7).is_ok(),
                "{format} cut at {cut}"
            );
        }
    }
}

#[test]
fn bytes_after_the_end_are_an_error_unless_ends_are_loose() {
    let state = &mut OpsState::new();
    for format in FORMATS {
        let mut packed = encode(state, format, b"text");
        packed.push(0);
        for size in [1, 1_000] {
            let coder = decoder(state, format, false);
            let error = run(state, &coder, &packed, size).unwrap_err();
            assert!(error.message.ends_with("bytes after its end"), "{error:?}");
            let coder = decoder(state, format, true);
            assert_eq!(
                run(state, &coder, &packed, size),
                Ok(b"text".to_vec()),
                "{format}"
            );
        }
    }
}

#[test]
fn garbage_is_an_error_and_stays_one() {
    let state = &mut OpsState::new();
    for format in FORMATS {
        let coder = decoder(state, format, true);
        let garbage = [0xff; 64];
        assert_eq!(
            feed(state, &coder, &garbage, false).unwrap_err().class,
            "TypeError"
        );
        assert_eq!(
            feed(state, &coder, &[], true).unwrap_err().class,
            "TypeError",
            "{format}"
        );
    }
}

#[test]
fn a_bomb_meets_the_bound() {
    let state = &mut OpsState::new();
    let zeros = vec![0; OUTPUT_BYTES_MAX + 1];
    for format in FORMATS {
        let packed = encode(state, format, &zeros);
        let coder = decoder(state, format, false);
        let error = feed(state, &coder, &packed, true).unwrap_err();
        assert_eq!(error.class, "RangeError", "{format}");
    }
}

#[test]
fn formats_and_handles_are_checked() {
    let state = &mut OpsState::new();
    let args = vec![text("lzma"), Data::Number(1.0)];
    assert!(call(state, "compressNew", args).is_err());
    assert!(call(state, "decompressNew", vec![text("")]).is_err());
    assert!(feed(state, &Data::Number(99.0), &[], true).is_err());
    let coder = decoder(state, "gzip", false);
    call(state, "compressFree", vec![coder.clone()]).unwrap();
    assert!(feed(state, &coder, &[], true).is_err());
}
